-- What time may take: partitions that can be dropped, and a note of each that was. Minutes of charted values alone;
-- and an index for each question that scanned a whole table.

-- What retention took: `verify` calls it dropped and not lost, and no minute is computed anew from less.
CREATE TABLE dropped (
    what       text NOT NULL,                   -- report, waveform, report_minute: their rows; batch: bodies, verdicts
    since      timestamptz NOT NULL,            -- of the partition's own moments; of a batch, when it was stored
    until      timestamptz NOT NULL,
    last_batch bigint NOT NULL,                 -- the newest at that time: rows of later ones came after
    dropped_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (what, since)
);

-- When rows were first and last stored of a day of observed_at: retention counts from there (see partitions.py).
CREATE TABLE day_stored (
    day             date PRIMARY KEY,
    first_stored_at timestamptz,                -- null: the rows of that time are dropped
    last_stored_at  timestamptz NOT NULL
);
INSERT INTO day_stored SELECT (observed_at AT TIME ZONE 'UTC')::date, 'epoch', now() FROM report GROUP BY 1;

ALTER TABLE waveform RENAME TO waveform_before;
CREATE TABLE waveform (
    LIKE waveform_before
) PARTITION BY RANGE (second);

-- A row a minute and transaction instead of a row a minute and device: COPY appends it, nobody waits for anybody.
-- Each minute that had a summary is computed again: the old ones held doubtful values too.
ALTER TABLE minute_touched RENAME TO minute_touched_before;
CREATE TABLE minute_touched (
    minute  timestamptz NOT NULL,
    devices int4[] NOT NULL
);
INSERT INTO minute_touched SELECT minute, array_agg(device)
    FROM (SELECT minute, device FROM report_minute UNION SELECT minute, device FROM minute_touched_before) AS t GROUP BY 1;
DROP TABLE minute_touched_before;
DROP TABLE report_minute;
CREATE TABLE report_minute (
    device      int NOT NULL,
    minute      timestamptz NOT NULL,
    channel_set int NOT NULL,
    count       int4[] NOT NULL,                -- of charted values, a channel each; the others are of these alone
    min         float8[] NOT NULL,
    max         float8[] NOT NULL,
    mean        float8[] NOT NULL,
    last        float8[] NOT NULL,
    computed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (device, minute, channel_set)
) PARTITION BY RANGE (minute);

-- What each device said is appended by the writers, a row a spool and transaction, and folded by and by: no transaction
-- updates a row a device. The view is what it always was.
ALTER TABLE sequence RENAME TO sequence_folded;
CREATE TABLE sequence_noted (
    spool  uuid NOT NULL,
    device int4[] NOT NULL,
    last   int8[] NOT NULL,
    stored int8[] NOT NULL
);
CREATE VIEW sequence AS
SELECT spool, device, max(last) AS last, sum(stored)::int8 AS stored
FROM (SELECT * FROM sequence_folded
      UNION ALL SELECT n.spool, u.* FROM sequence_noted n, unnest(n.device, n.last, n.stored) AS u) AS s
GROUP BY spool, device;

-- The months that `report` has (none with TimescaleDB, which makes its chunks itself).
DO $$
DECLARE part record;
BEGIN
    FOR part IN SELECT substr(relname, 8) AS month, pg_get_expr(relpartbound, oid) AS bounds
        FROM pg_inherits JOIN pg_class ON oid = inhrelid WHERE inhparent = 'report'::regclass AND relispartition
    LOOP
        EXECUTE format('CREATE TABLE waveform_%s PARTITION OF waveform %s', part.month, part.bounds);
        EXECUTE format('CREATE TABLE report_minute_%s PARTITION OF report_minute %s', part.month, part.bounds);
    END LOOP;
END $$;
INSERT INTO waveform SELECT * FROM waveform_before;
DROP TABLE waveform_before;
CREATE INDEX waveform_device ON waveform (device, second);

-- What reports say in words; the many metric reports without any, and the edges' own counts, are not in it.
CREATE INDEX report_words ON report (kind, observed_at)
    WHERE texts IS NOT NULL AND NOT texts @> '[{"system": "vitalwire", "code": "counts"}]';
CREATE INDEX batch_position ON batch (position);
CREATE INDEX batch_ident ON batch USING hash (batch_id);
CREATE INDEX seal_stored_at ON seal (stored_at);
