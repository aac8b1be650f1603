-- Of values only those that nobody has mapped are looked for by their words: by time alone, and without a look into what
-- they say, which cost more than the rest of the index.
DROP INDEX report_words;
CREATE INDEX report_words ON report (kind, observed_at)
    WHERE kind <> 1 AND texts IS NOT NULL AND NOT texts @> '[{"system": "vitalwire", "code": "counts"}]';
CREATE INDEX report_value_words ON report (observed_at) WHERE kind = 1 AND texts IS NOT NULL;
