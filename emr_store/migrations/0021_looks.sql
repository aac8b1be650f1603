-- Looks of a minute are one act; what came home late gets a further act of the same minute.
ALTER TABLE look_minute DROP CONSTRAINT look_minute_pkey, ADD PRIMARY KEY (act_id),
    ADD COLUMN ends int NOT NULL;                -- of looks that ended before their time
CREATE INDEX look_minute_minute ON look_minute (minute);
-- What no act says yet; written with the look, or with its end.
CREATE TABLE look_unsealed (
    look   uuid NOT NULL REFERENCES look,
    is_end boolean NOT NULL,
    PRIMARY KEY (look, is_end)
);
-- Which act says it.
CREATE TABLE look_sealed (
    look   uuid NOT NULL REFERENCES look,
    is_end boolean NOT NULL,
    act_id bytea NOT NULL REFERENCES act,
    PRIMARY KEY (look, is_end)
);
CREATE INDEX look_sealed_act ON look_sealed (act_id);
