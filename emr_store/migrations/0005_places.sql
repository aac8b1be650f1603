-- Where devices stand, and through which edge each is believed. Both are bitemporal: `valid` is when it was so in the
-- ward, `recorded` is when we believed it; what is believed now has no end of `recorded`. Nothing is ever changed but
-- that end: a correction closes the old rows and says the new ones, and the act beside each says who did so.

-- What a person registered. A device that nobody registered is only heard.
CREATE TABLE registered_device (
    registered_device int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    uuid              uuid NOT NULL UNIQUE,
    name              text,
    registered_at     timestamptz NOT NULL,
    act_id            bytea NOT NULL REFERENCES act
);

-- The ranges of one device never meet in what is believed now. The range of a single int stands for "is the same
-- device", which needs no extension (btree_gist is not on every server).
CREATE TABLE device_bed (
    registered_device int NOT NULL REFERENCES registered_device,
    bed               text NOT NULL CHECK (bed <> ''),
    valid             tstzrange NOT NULL CHECK (NOT isempty(valid)),
    recorded          tstzrange NOT NULL CHECK (NOT isempty(recorded)),
    act_id            bytea NOT NULL REFERENCES act,
    CONSTRAINT device_bed_one_at_a_time EXCLUDE USING gist (
        int4range(registered_device, registered_device, '[]') WITH &&, valid WITH &&) WHERE (upper_inf(recorded))
);

-- Through which edges a registered device is believed: that of its registration, and those that a person agreed to.
CREATE TABLE device_edge (
    device   int NOT NULL REFERENCES device,
    valid    tstzrange NOT NULL CHECK (NOT isempty(valid)),
    recorded tstzrange NOT NULL CHECK (NOT isempty(recorded)),
    act_id   bytea NOT NULL REFERENCES act,
    CONSTRAINT device_edge_one_at_a_time EXCLUDE USING gist (
        int4range(device, device, '[]') WITH &&, valid WITH &&) WHERE (upper_inf(recorded))
);

-- As believed now. `valid` is a column, so that a reader joins by the moment of measurement, never by today.
CREATE VIEW device_bed_believed AS
SELECT d.device, b.bed, b.valid FROM device d JOIN registered_device g USING (uuid)
JOIN device_bed b USING (registered_device) WHERE upper_inf(b.recorded);
CREATE VIEW device_edge_believed AS
SELECT device, valid FROM device_edge WHERE upper_inf(recorded);

-- By what a screen tells apart what edges say of one device: the first of them by its uuid, each other by one of its own.
CREATE VIEW device_shown AS
SELECT device, CASE WHEN device = min(device) OVER (PARTITION BY uuid) THEN uuid
    ELSE md5(uuid::text || edge::text)::uuid END AS shown_as
FROM device;

-- One row a value, with names: what people, Grafana and SQL read. A unit that is none of the metric's is the sender's own,
-- and so is then the value. `bed` is where the device stood when it measured; `foreign_edge`: it was heard through an edge
-- that it does not belong to, and that nobody agreed to: not for the chart.
CREATE VIEW observation AS
SELECT r.observed_at, r.received_at, d.uuid AS device, g.name AS device_name, b.bed,
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
       r.flags, r.kind, r.batch, r.leaf, i - 1 AS record,
       d.edge, g.uuid IS NOT NULL AND e.device IS NULL AS foreign_edge
FROM report r
JOIN device d USING (device)
LEFT JOIN registered_device g ON g.uuid = d.uuid
LEFT JOIN device_bed_believed b ON b.device = r.device AND b.valid @> r.observed_at
LEFT JOIN device_edge_believed e ON e.device = r.device AND e.valid @> r.observed_at
JOIN channel_set s USING (channel_set)
CROSS JOIN LATERAL generate_subscripts(s.code, 1) AS i
LEFT JOIN metric m ON m.code = s.code[i]
LEFT JOIN metric_unit mu ON mu.code = s.code[i] AND mu.unit = s.unit[i]
LEFT JOIN unit u ON u.unit = s.unit[i]
WHERE r.kind = 1;

-- The same for what devices say of their alarms and settings.
CREATE VIEW alarm_observation AS
SELECT a.observed_at, a.received_at, d.uuid AS device, g.name AS device_name, b.bed, a.code, m.reference_id AS metric,
       a.channel, a.sent_code, a.condition_code, a.condition, a.state = 1 AS active,
       (ARRAY['unknown', 'low', 'medium', 'high'])[a.priority + 1] AS priority,
       (ARRAY['unknown', 'physiological', 'technical', 'advisory'])[a.kind + 1] AS kind,
       a.since, a.low, a.high, u.ucum AS unit, a.latched, a.audio_paused, a.text,
       a.validity & 1024 <> 0 AS training, a.batch, a.leaf, a.record,
       d.edge, g.uuid IS NOT NULL AND e.device IS NULL AS foreign_edge
FROM device_alarm a
JOIN device d USING (device)
LEFT JOIN registered_device g ON g.uuid = d.uuid
LEFT JOIN device_bed_believed b ON b.device = a.device AND b.valid @> a.observed_at
LEFT JOIN device_edge_believed e ON e.device = a.device AND e.valid @> a.observed_at
LEFT JOIN metric m USING (code)
LEFT JOIN unit u ON u.unit = a.unit;

CREATE VIEW setting_observation AS
SELECT s.observed_at, s.received_at, d.uuid AS device, g.name AS device_name, b.bed, s.code, m.reference_id AS metric,
       s.channel, s.sent_code, s.value, coalesce(mu.ucum, u.ucum) AS unit, s.text,
       s.validity & 1024 <> 0 AS training, s.batch, s.leaf, s.record,
       d.edge, g.uuid IS NOT NULL AND e.device IS NULL AS foreign_edge
FROM device_setting s
JOIN device d USING (device)
LEFT JOIN registered_device g ON g.uuid = d.uuid
LEFT JOIN device_bed_believed b ON b.device = s.device AND b.valid @> s.observed_at
LEFT JOIN device_edge_believed e ON e.device = s.device AND e.valid @> s.observed_at
LEFT JOIN metric m USING (code)
LEFT JOIN metric_unit mu ON mu.code = s.code AND mu.unit = s.unit
LEFT JOIN unit u ON u.unit = s.unit;
