-- The wire: registry, kept batches, the rows over them, the ledger, and what leaves after COMMIT.

CREATE TABLE edge (
    edge          uuid PRIMARY KEY,
    label         text NOT NULL,
    registered_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE edge_key (
    key_id      bytea PRIMARY KEY,              -- SHA-256 of the SubjectPublicKeyInfo
    edge        uuid NOT NULL REFERENCES edge,
    public_der  bytea NOT NULL,
    valid_from  timestamptz NOT NULL DEFAULT now(),
    valid_until timestamptz NOT NULL DEFAULT 'infinity',
    revoked_at  timestamptz
);

CREATE TABLE platform_key (
    key_id     bytea PRIMARY KEY,
    public_der bytea NOT NULL,
    first_seen timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE device (
    device        int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    uuid          uuid NOT NULL UNIQUE,
    claim         text,                         -- the identity as the sender states it; null until an event told it
    edge          uuid NOT NULL,                -- the edge that first spoke of it
    name          text,
    bed           text,
    adopted_at    timestamptz,                  -- null: nobody has adopted it yet
    first_seen_at timestamptz NOT NULL DEFAULT now()
);

-- The list of (code, unit, instance) of a report's records, in their order; never changed, only added to.
CREATE TABLE channel_set (
    channel_set int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    channels    bytea NOT NULL,                 -- 10 bytes a channel, as in a record
    digest      bytea NOT NULL UNIQUE,          -- SHA-256 of channels: a long list fits no index
    code        int8[] NOT NULL,
    unit        int8[] NOT NULL,
    instance    int4[] NOT NULL
);

-- One row a block, linked into a chain.
CREATE TABLE seal (
    position   bigint PRIMARY KEY,
    seal       bytea NOT NULL,                  -- the signed statement
    batch_ids  bytea NOT NULL,                  -- 32 bytes each, of every batch in the block
    judgement  bytea NOT NULL,                  -- zstd; its plain bytes' hash is in the seal
    chain_hash bytea NOT NULL,
    stored_at  timestamptz NOT NULL DEFAULT now()
);

-- The original: the sealed bytes as they came. report and waveform are an index over it.
CREATE TABLE batch (
    batch        bigint PRIMARY KEY,
    edge         uuid NOT NULL,
    spool        uuid NOT NULL,
    lane         int2 NOT NULL,
    batch_no     int8 NOT NULL,
    batch_id     bytea NOT NULL,
    position     bigint NOT NULL,               -- of its seal
    first_report int4 NOT NULL,                 -- where its judgement begins in its block's
    first_record int4 NOT NULL,
    stored_at    timestamptz NOT NULL DEFAULT now(),
    sealed       bytea NOT NULL
);
ALTER TABLE batch ALTER COLUMN sealed SET STORAGE EXTERNAL;  -- compressed already, at the edge
CREATE SEQUENCE batch_number;
CREATE INDEX batch_stream ON batch (spool, lane, batch_no);
CREATE INDEX batch_stored_at ON batch (stored_at);

-- One row a report. Partitioned by the runner: a hypertable with TimescaleDB, by month without (see migrate.py).
CREATE TABLE report (
    observed_at timestamptz NOT NULL,
    received_at timestamptz NOT NULL,
    device      int NOT NULL,
    channel_set int NOT NULL,
    kind        int2 NOT NULL,
    flags       int2 NOT NULL,
    sequence    int8 NOT NULL,
    batch       bigint NOT NULL,
    leaf        int4 NOT NULL,
    value       float8[] NOT NULL,              -- in the canonical unit; null where there is none
    decimals    bytea,                          -- one byte a value, 128 + power of ten of the last digit sent; null: all 0
    validity    int2[],                         -- null: all valid
    verdict     int2[],                         -- null: all charted
    texts       jsonb
) PARTITION BY RANGE (observed_at);

CREATE TABLE latest (
    device      int NOT NULL,
    channel_set int NOT NULL,
    observed_at timestamptz NOT NULL,
    received_at timestamptz NOT NULL,
    stored_at   timestamptz NOT NULL,
    flags       int2 NOT NULL,
    batch       bigint NOT NULL,
    leaf        int4 NOT NULL,
    value       float8[] NOT NULL,
    decimals    bytea,
    validity    int2[],
    verdict     int2[],
    PRIMARY KEY (device, channel_set)
) WITH (fillfactor = 50);

CREATE TABLE report_minute (
    device      int NOT NULL,
    minute      timestamptz NOT NULL,
    channel_set int NOT NULL,
    count       int NOT NULL,
    min         float8[] NOT NULL,
    max         float8[] NOT NULL,
    mean        float8[] NOT NULL,
    last        float8[] NOT NULL,
    PRIMARY KEY (device, minute, channel_set)
);
CREATE TABLE minute_touched (
    minute timestamptz NOT NULL,
    device int NOT NULL,
    PRIMARY KEY (minute, device)
);

CREATE TABLE waveform (
    device   int NOT NULL,
    second   timestamptz NOT NULL,              -- of the stretch's first sample
    code     int8 NOT NULL,
    instance int4 NOT NULL,
    batch    bigint NOT NULL,
    leaf     int4 NOT NULL,
    record   int4 NOT NULL
);
CREATE INDEX waveform_device ON waveform (device, second);

-- One row a stream. The multirange collapses by itself: it never grows while nothing is missing, and never expires.
CREATE TABLE ledger (
    edge        uuid NOT NULL,
    spool       uuid NOT NULL,
    lane        int2 NOT NULL,
    kept        int8multirange NOT NULL DEFAULT '{}',
    quarantined int8multirange NOT NULL DEFAULT '{}',
    reports     int8 NOT NULL DEFAULT 0,
    quarantined_reports int8 NOT NULL DEFAULT 0,
    charted     int8 NOT NULL DEFAULT 0,
    missing     int8 NOT NULL DEFAULT 0,
    unmapped    int8 NOT NULL DEFAULT 0,
    doubtful    int8 NOT NULL DEFAULT 0,
    duplicates  int8 NOT NULL DEFAULT 0,        -- batches that came again and stored nothing
    updated_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (spool, lane, edge)
);

-- What a device said, by its own count: last is the highest sequence seen, stored how many reports are kept.
CREATE TABLE sequence (
    spool  uuid NOT NULL,
    device int NOT NULL,
    last   int8 NOT NULL,
    stored int8 NOT NULL,
    PRIMARY KEY (spool, device)
) WITH (fillfactor = 50);

CREATE TABLE outbox (
    id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    edge    uuid NOT NULL,
    receipt bytea NOT NULL
);

CREATE TABLE dead (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at          timestamptz NOT NULL DEFAULT now(),
    reason      text NOT NULL,
    topic       text NOT NULL,
    receipted   boolean NOT NULL,
    digest      bytea NOT NULL,                 -- SHA-256 of message: what comes again is kept once
    message     bytea NOT NULL,
    replayed_at timestamptz,
    UNIQUE (digest, reason)
);

CREATE TABLE alert_episode (
    episode     uuid PRIMARY KEY,
    device_uuid uuid NOT NULL,
    condition   text NOT NULL,
    priority    text NOT NULL,
    opened_at   timestamptz NOT NULL,
    resolved_at timestamptz,
    message     text NOT NULL
);
CREATE INDEX alert_episode_open ON alert_episode (device_uuid) WHERE resolved_at IS NULL;

-- One row a value, with names: what people, Grafana and SQL read. Metric names are laid beside by the runner.
CREATE TABLE metric (
    code         int8 PRIMARY KEY,
    reference_id text NOT NULL,
    short        text NOT NULL,
    en           text NOT NULL,
    zh           text NOT NULL,
    unit         text NOT NULL,                 -- UCUM, of report.value
    loinc        text
);

CREATE VIEW observation AS
SELECT r.observed_at, r.received_at, d.uuid AS device, d.name AS device_name, d.bed,
       s.code[i] AS code, m.reference_id AS metric, s.instance[i] AS instance,
       r.value[i] AS value, m.unit, get_byte(r.decimals, i - 1) - 128 AS decimals,
       coalesce(r.validity[i], 0) AS validity, coalesce(r.verdict[i], 0) AS verdict, r.flags, r.kind, r.batch, r.leaf, i - 1 AS record
FROM report r
JOIN device d USING (device)
JOIN channel_set s USING (channel_set)
CROSS JOIN LATERAL generate_subscripts(s.code, 1) AS i
LEFT JOIN metric m ON m.code = s.code[i]
WHERE r.kind = 1;
