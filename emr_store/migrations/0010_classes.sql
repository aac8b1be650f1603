-- What the site calls its beds, as the processors' configuration has it: for those who read a key of a bed.
CREATE TABLE bed_name (
    bed   text PRIMARY KEY,                     -- its key (clinical/beds.py)
    label text NOT NULL
);
-- An encounter that was computed before classes were read has them as soon as the processors have looked at it.
INSERT INTO attribution_encounter
SELECT encounter FROM encounter WHERE upper_inf(recorded) AND NOT jsonb_exists(body::jsonb, 'classes');
