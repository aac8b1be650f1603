-- Of values only those that nobody has mapped are looked for by their words, and seldom: block ranges find them, which
-- cost next to nothing to keep. The other reports that say something in words have their index as before.
DROP INDEX report_words;
CREATE INDEX report_words ON report (kind, observed_at)
    WHERE kind <> 1 AND texts IS NOT NULL AND NOT texts @> '[{"system": "vitalwire", "code": "counts"}]';
CREATE INDEX report_value_words ON report USING brin (observed_at) WITH (autosummarize = on)
    WHERE kind = 1 AND texts IS NOT NULL;
