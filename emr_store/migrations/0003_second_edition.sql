-- The second edition of what travels: channels are hashes of the sender's words, records carry bounds, codes, alarms and
-- marks, waves their exact rates. No batch of the first edition can be read any more, and none is in the field.

DO $$
BEGIN
    IF EXISTS (SELECT FROM batch) THEN
        RAISE EXCEPTION 'this database holds batches of the first edition, which this program cannot read: keep it with the program that wrote it, and name a new, empty database';
    END IF;
END $$;

DROP VIEW observation;

-- The list of (code, unit, channel) of a report's records: 12 bytes each, as in a record.
ALTER TABLE channel_set DROP COLUMN instance, ADD COLUMN channel int8[] NOT NULL;

ALTER TABLE ledger RENAME COLUMN charted TO accepted;

-- validity: 16 x marks + validity (schemas/report.py: Mark, Validity); null: all 0. verdict: null: all accepted.
-- texts: of reports with texts or codes under a known code, so that a page can show their words.
ALTER TABLE latest ADD COLUMN texts jsonb;

-- One row a stretch. A stretch that does not begin where the one before ended, by first_sample and count, is after a loss.
ALTER TABLE waveform DROP COLUMN instance,
    ADD COLUMN channel          int8 NOT NULL,
    ADD COLUMN rate_numerator   int8 NOT NULL,      -- samples a second: numerator / denominator
    ADD COLUMN rate_denominator int8 NOT NULL,
    ADD COLUMN first_sample     int8 NOT NULL,      -- its number in its channel since the connection began
    ADD COLUMN count            int4 NOT NULL;

-- The device's own alarms, a row each time that it speaks of one.
CREATE TABLE device_alarm (
    device         int NOT NULL,
    observed_at    timestamptz NOT NULL,
    received_at    timestamptz NOT NULL,
    code           int8 NOT NULL,               -- what it is about; 0: no standard code known, then sent_code
    unit           int8 NOT NULL,               -- of its limits, as sent
    channel        int8 NOT NULL,
    validity       int2 NOT NULL,
    sent_code      text,
    condition_code int8 NOT NULL,               -- 0: none known
    condition      text NOT NULL,               -- the sender's word or reference id
    state          int2 NOT NULL,               -- these three: schemas/report.py AlarmState, AlarmPriority, AlarmKind
    priority       int2 NOT NULL,
    kind           int2 NOT NULL,
    since          timestamptz,
    low            float8,
    high           float8,
    latched        boolean NOT NULL,
    audio_paused   boolean NOT NULL,
    text           text NOT NULL,
    batch          bigint NOT NULL,
    leaf           int4 NOT NULL,
    record         int4 NOT NULL
) PARTITION BY RANGE (observed_at);

-- What a person set on the device: limits, rates, modes; a row each time that it is said.
CREATE TABLE device_setting (
    device      int NOT NULL,
    observed_at timestamptz NOT NULL,
    received_at timestamptz NOT NULL,
    code        int8 NOT NULL,
    unit        int8 NOT NULL,                  -- as sent; the value is in the unit that metric_unit names beside it
    channel     int8 NOT NULL,
    validity    int2 NOT NULL,
    sent_code   text,
    value       float8,
    text        text,
    batch       bigint NOT NULL,
    leaf        int4 NOT NULL,
    record      int4 NOT NULL
) PARTITION BY RANGE (observed_at);

-- The months that `report` has (none with TimescaleDB, which makes its chunks itself).
DO $$
DECLARE part record;
BEGIN
    FOR part IN SELECT substr(relname, 8) AS month, pg_get_expr(relpartbound, oid) AS bounds
        FROM pg_inherits JOIN pg_class ON oid = inhrelid WHERE inhparent = 'report'::regclass AND relispartition
    LOOP
        EXECUTE format('CREATE TABLE device_alarm_%s PARTITION OF device_alarm %s', part.month, part.bounds);
        EXECUTE format('CREATE TABLE device_setting_%s PARTITION OF device_setting %s', part.month, part.bounds);
    END LOOP;
END $$;
CREATE INDEX device_alarm_device ON device_alarm (device, observed_at);
CREATE INDEX device_setting_device ON device_setting (device, observed_at);

-- The sender's own words for a channel. Two rows of one device, number and code: two word lists with one hash.
CREATE TABLE channel (
    device  int NOT NULL,
    channel int8 NOT NULL,
    code    int8 NOT NULL,
    words   jsonb NOT NULL,                     -- schemas/report.py: ChannelWords
    digest  bytea NOT NULL,                     -- SHA-256 of the words as sent
    since   timestamptz NOT NULL,
    batch   bigint NOT NULL,                    -- that said so first
    leaf    int4 NOT NULL,
    label   text,                               -- what people call it
    PRIMARY KEY (device, channel, code, digest)
);

-- How far each edge's clock is ahead of the broker's, as its newest counts say.
CREATE TABLE edge_clock (
    edge      uuid PRIMARY KEY,
    at        timestamptz NOT NULL,
    offset_ms float8 NOT NULL
);

-- Laid by the runner, like metric: every unit, and which of a metric's canonical units a value is stored in.
CREATE TABLE unit (
    unit         int8 PRIMARY KEY,
    reference_id text NOT NULL,
    ucum         text NOT NULL
);
CREATE TABLE metric_unit (
    code   int8 NOT NULL,
    unit   int8 NOT NULL,                       -- as sent; 0: none stated
    stored int8 NOT NULL,
    ucum   text NOT NULL,                       -- of stored
    PRIMARY KEY (code, unit)
);

-- One row a value, with names: what people, Grafana and SQL read. A unit that is none of the metric's is the sender's own,
-- and so is then the value.
CREATE VIEW observation AS
SELECT r.observed_at, r.received_at, d.uuid AS device, d.name AS device_name, d.bed,
       s.code[i] AS code, m.reference_id AS metric, s.channel[i] AS channel,
       r.value[i] AS value,
       CASE coalesce(r.validity[i], 0) >> 4 & 7 WHEN 1 THEN '<' WHEN 5 THEN '<=' WHEN 2 THEN '>' WHEN 6 THEN '>=' END AS bound,
       coalesce(mu.ucum, u.ucum) AS unit, get_byte(r.decimals, i - 1) - 128 AS decimals,
       coalesce(r.validity[i], 0) & 15 AS validity, coalesce(r.verdict[i], 0) AS verdict,
       coalesce(r.validity[i], 0) & 128 <> 0 AS ambiguous, coalesce(r.validity[i], 0) & 256 <> 0 AS correction,
       coalesce(r.validity[i], 0) & 512 <> 0 AS withdrawal, coalesce(r.validity[i], 0) & 1024 <> 0 AS training,
       CASE WHEN r.texts IS NOT NULL THEN (SELECT coalesce(t ->> 'text', t ->> 'bytes', t ->> 'value')
           FROM jsonb_array_elements(r.texts) AS t WHERE (t ->> 'record')::int = i - 1) END AS text,
       CASE WHEN r.texts IS NOT NULL THEN (SELECT t ->> 'note'
           FROM jsonb_array_elements(r.texts) AS t WHERE (t ->> 'record')::int = i - 1) END AS note,
       r.flags, r.kind, r.batch, r.leaf, i - 1 AS record
FROM report r
JOIN device d USING (device)
JOIN channel_set s USING (channel_set)
CROSS JOIN LATERAL generate_subscripts(s.code, 1) AS i
LEFT JOIN metric m ON m.code = s.code[i]
LEFT JOIN metric_unit mu ON mu.code = s.code[i] AND mu.unit = s.unit[i]
LEFT JOIN unit u ON u.unit = s.unit[i]
WHERE r.kind = 1;

-- The same for what devices say of their alarms and settings.
CREATE VIEW alarm_observation AS
SELECT a.observed_at, a.received_at, d.uuid AS device, d.name AS device_name, d.bed, a.code, m.reference_id AS metric,
       a.channel, a.sent_code, a.condition_code, a.condition, a.state = 1 AS active,
       (ARRAY['unknown', 'low', 'medium', 'high'])[a.priority + 1] AS priority,
       (ARRAY['unknown', 'physiological', 'technical', 'advisory'])[a.kind + 1] AS kind,
       a.since, a.low, a.high, u.ucum AS unit, a.latched, a.audio_paused, a.text,
       a.validity & 1024 <> 0 AS training, a.batch, a.leaf, a.record
FROM device_alarm a JOIN device d USING (device) LEFT JOIN metric m USING (code) LEFT JOIN unit u ON u.unit = a.unit;

CREATE VIEW setting_observation AS
SELECT s.observed_at, s.received_at, d.uuid AS device, d.name AS device_name, d.bed, s.code, m.reference_id AS metric,
       s.channel, s.sent_code, s.value, coalesce(mu.ucum, u.ucum) AS unit, s.text,
       s.validity & 1024 <> 0 AS training, s.batch, s.leaf, s.record
FROM device_setting s JOIN device d USING (device) LEFT JOIN metric m USING (code)
LEFT JOIN metric_unit mu ON mu.code = s.code AND mu.unit = s.unit LEFT JOIN unit u ON u.unit = s.unit;
