-- The record: registry, kept batches and their seals, the log over them, the rows that are an index over the batches,
-- the ledger and what leaves after COMMIT, what time may take, names, alarm episodes, and where devices stand. Numbers 1
-- and 2 were the first edition's; migrate.py refuses its databases.

-- Registry.

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

-- A device as it is heard through one edge: an edge that claims another's device gets a row of its own, and so do its
-- reports, minutes and latest values. It can never write onto what the other edge said.
CREATE TABLE device (
    device        int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    uuid          uuid NOT NULL,
    claim         text,                         -- the identity as the sender states it; null until an event told it
    edge          uuid NOT NULL,                -- the edge that it is heard through
    first_seen_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (uuid, edge)
);

-- A list of (code, unit, channel): of a report's records, in their order; or a superset, of all that a device sends.
-- Never changed, only added to.
CREATE TABLE channel_set (
    channel_set int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    channels    bytea NOT NULL,                 -- 12 bytes a channel, as in a record
    digest      bytea NOT NULL UNIQUE,          -- SHA-256 of channels: a long list fits no index
    code        int8[] NOT NULL,
    unit        int8[] NOT NULL,
    channel     int8[] NOT NULL
);

-- The original: seals, batches and their bytes. report, waveform and their sisters are an index over them.

-- One row a block. `leaves` are what the seal's root is over, so that one batch is shown without the others, and a
-- batch that had come before in another block does not break it.
CREATE TABLE seal (
    seal      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    statement bytea NOT NULL,                   -- signed: evidence/block_seal.py
    leaves    bytea NOT NULL,                   -- 32 bytes a batch of the block, in its order: validation_leaf
    signed_at timestamptz NOT NULL,
    stored_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX seal_stored_at ON seal (stored_at);

-- The head of a batch: stays when its bytes are dropped, so that nothing is ever stored twice.
CREATE TABLE batch (
    batch      bigint PRIMARY KEY,              -- local: (batch_id, leaf, record) is what leaves the hospital
    edge       uuid NOT NULL,
    spool      uuid NOT NULL,
    lane       int2 NOT NULL,
    batch_no   int8 NOT NULL,
    batch_id   bytea NOT NULL,
    seal       bigint NOT NULL,
    seal_index int4 NOT NULL,                   -- its place among the batches of its seal, from 0
    created_at timestamptz NOT NULL,            -- by the edge's clock
    reports    int4 NOT NULL,
    records    int4 NOT NULL,
    stored_at  timestamptz NOT NULL DEFAULT now()
);
CREATE SEQUENCE batch_number;
CREATE INDEX batch_stream ON batch (spool, lane, batch_no);
CREATE INDEX batch_stored_at ON batch (stored_at);
CREATE INDEX batch_seal ON batch (seal);
CREATE INDEX batch_ident ON batch USING hash (batch_id);

-- Its bytes as they came and what was said of them, by lane and then number, 2^24 a partition, dropped whole. Both are
-- compressed already.
CREATE TABLE batch_body (
    lane       int2 NOT NULL,
    batch      bigint NOT NULL,
    sealed     bytea STORAGE EXTERNAL NOT NULL,
    validation bytea STORAGE EXTERNAL NOT NULL, -- zstd of Block.validations of this batch
    PRIMARY KEY (lane, batch)
) PARTITION BY LIST (lane);
-- A lane each (schemas/report.py: Lane); partitions.py has the further numbers made ahead.
CREATE TABLE batch_body_1 PARTITION OF batch_body FOR VALUES IN (1) PARTITION BY RANGE (batch);
CREATE TABLE batch_body_2 PARTITION OF batch_body FOR VALUES IN (2) PARTITION BY RANGE (batch);
CREATE TABLE batch_body_3 PARTITION OF batch_body FOR VALUES IN (3) PARTITION BY RANGE (batch);
CREATE TABLE batch_body_4 PARTITION OF batch_body FOR VALUES IN (4) PARTITION BY RANGE (batch);
CREATE TABLE batch_body_1_0 PARTITION OF batch_body_1 FOR VALUES FROM (0) TO (16777216);
CREATE TABLE batch_body_2_0 PARTITION OF batch_body_2 FOR VALUES FROM (0) TO (16777216);
CREATE TABLE batch_body_3_0 PARTITION OF batch_body_3 FOR VALUES FROM (0) TO (16777216);
CREATE TABLE batch_body_4_0 PARTITION OF batch_body_4 FOR VALUES FROM (0) TO (16777216);

-- What an act (mapping.change) made of a stored batch: validated anew, under a seal of its own. `batch` and `batch_body`
-- keep what was said first; `report` and `latest` show what the newest of these says, the one with the highest seal.
CREATE TABLE batch_validation (
    batch      bigint NOT NULL,
    seal       bigint NOT NULL,
    seal_index int4 NOT NULL,                   -- its place among the batches of its seal, from 0
    act_id     bytea NOT NULL,
    validation bytea STORAGE EXTERNAL,          -- as in batch_body; null: retention took it with the batch's bytes
    PRIMARY KEY (batch, seal)
);
CREATE INDEX batch_validation_seal ON batch_validation (seal);

-- How far the processors are with each mapping act.
CREATE TABLE mapping_work (
    act_id     bytea PRIMARY KEY,
    next_batch bigint NOT NULL DEFAULT 0,       -- all before it are done
    last_batch bigint NOT NULL,                 -- the newest number when the act was recorded: what comes later is not meant
    batches    int8 NOT NULL DEFAULT 0,         -- validated anew
    records    int8 NOT NULL DEFAULT 0,         -- of them, that came out otherwise than before
    done_at    timestamptz
);

-- The log (RFC 9162): a leaf a seal and a leaf an act of a person; one log an incarnation of the store.

CREATE TABLE act (
    act_id    bytea PRIMARY KEY,                -- SHA-256 of body
    kind      text NOT NULL,
    body      bytea NOT NULL,                   -- canonical JSON (RFC 8785): evidence/act.py
    statement bytea,                            -- null until the sealer has signed it
    at        timestamptz NOT NULL
);
CREATE INDEX act_at ON act (at);

-- The sealer may write the column `statement` of an act, once. Who owns the table, and a superuser, is stopped by
-- nothing here: `verify` finds what they change.
CREATE FUNCTION refuse_signed_act() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF pg_has_role(current_user, (SELECT relowner FROM pg_class WHERE oid = TG_RELID), 'USAGE') THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'act % is signed already', encode(OLD.act_id, 'hex') USING ERRCODE = 'insufficient_privilege';
END $$;
CREATE TRIGGER act_signed_once BEFORE UPDATE OF statement ON act
    FOR EACH ROW WHEN (OLD.statement IS NOT NULL) EXECUTE FUNCTION refuse_signed_act();

-- What waits for its place in the log; written in the transaction of what it names.
CREATE TABLE unlogged (
    id   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    seal bigint,
    act  bytea,                                 -- act_id
    CHECK (num_nonnulls(seal, act) = 1)
);

CREATE TABLE log (
    log         int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    incarnation bytea NOT NULL UNIQUE,
    origin      text NOT NULL UNIQUE,           -- of its checkpoints: vitalwire/<site>/<incarnation hex>
    began_at    timestamptz NOT NULL,
    size        bigint NOT NULL,
    frontier    bytea NOT NULL                  -- evidence/log.py: what root and further leaves are computed from
);

CREATE TABLE log_entry (
    incarnation bytea NOT NULL,
    position    bigint NOT NULL,                -- from 0
    seal        bigint,
    act_id      bytea,
    leaf_hash   bytea NOT NULL,
    PRIMARY KEY (incarnation, position),
    CHECK (num_nonnulls(seal, act_id) = 1)
);
CREATE INDEX log_entry_seal ON log_entry (seal);

CREATE TABLE checkpoint (
    incarnation bytea NOT NULL,
    size        bigint NOT NULL,
    note        bytea NOT NULL,                 -- signed: evidence/checkpoint.py
    at          timestamptz NOT NULL,
    PRIMARY KEY (incarnation, size)
);

-- Of the checkpoints of a minute the last one stays. Here and not by a right of the sealer: it takes none that has no
-- newer one beside it.
CREATE FUNCTION thin_checkpoint(of_incarnation bytea, of_size bigint) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    DELETE FROM checkpoint c WHERE c.incarnation = of_incarnation AND c.size = of_size AND EXISTS (
        SELECT FROM checkpoint newer WHERE newer.incarnation = c.incarnation AND newer.size > c.size
            AND date_trunc('minute', newer.at) = date_trunc('minute', c.at));
$$;

-- The rows over the batches. Tables with RANGE over a moment are hypertables with TimescaleDB, by month without (see
-- migrate.py). A moment that no clock can mean is filed under its receipt: schemas/filed_at.py.

-- One row a report.
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
    validity    int2[],                         -- 16 x marks + validity (schemas/report.py: Mark, Validity); null: all 0
    validation_result int2[],                   -- schemas/block.py: ValidationResult; null: all accepted
    channel_index int2[],                       -- which channel of channel_set each record has; null: first the first, ...
    texts       jsonb
) PARTITION BY RANGE (observed_at);
CREATE INDEX report_device ON report (device, observed_at);
-- Rows lie in the order of their batches: `verify` reads a range of these without reading the rest.
CREATE INDEX report_batch ON report USING brin (batch) WITH (autosummarize = on);
-- What reports say in words; the many metric reports without any, and the edges' own counts, are not in it.
CREATE INDEX report_words ON report (kind, observed_at)
    WHERE texts IS NOT NULL AND NOT texts @> '[{"system": "vitalwire", "code": "counts"}]';

-- texts: of reports with texts or codes under a known code, so that a page can show their words.
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
    validation_result int2[],
    texts       jsonb,
    PRIMARY KEY (device, channel_set)
) WITH (fillfactor = 50);

-- Devices that send only what changed, and the list of all channels that each has sent. A longer list is another
-- channel_set: rows that were written under the shorter one keep it.
CREATE TABLE superset (
    device      int PRIMARY KEY,
    channel_set int NOT NULL
);

-- What such devices sent last, a row a device, an element a channel of channel_set: each value with its own moment and
-- report. Their reports from before they had a superset are in `latest`.
CREATE TABLE latest_by_channel (
    device      int PRIMARY KEY,
    channel_set int NOT NULL,
    writer      int8 NOT NULL,                  -- the connection that wrote it last: it knows what it wrote
    changed_at  timestamptz NOT NULL,           -- the newest stored_at
    observed_at timestamptz[] NOT NULL,
    received_at timestamptz[] NOT NULL,
    stored_at   timestamptz[] NOT NULL,
    flags       int2[] NOT NULL,
    batch       int8[] NOT NULL,
    leaf        int4[] NOT NULL,                -- -1: this channel has no value yet
    value       float8[] NOT NULL,              -- NaN where there is none: so that all rows of a set have one width
    decimals    int2[] NOT NULL,
    validity    int2[] NOT NULL,
    validation_result int2[] NOT NULL,
    texts       jsonb                           -- by index of the channel, from 1, the words of a code or a text
) WITH (fillfactor = 50);

CREATE TABLE report_minute (
    device      int NOT NULL,
    minute      timestamptz NOT NULL,
    channel_set int NOT NULL,
    count       int4[] NOT NULL,                -- of accepted values, a channel each; the others are of these alone
    min         float8[] NOT NULL,
    max         float8[] NOT NULL,
    mean        float8[] NOT NULL,
    last        float8[] NOT NULL,
    computed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (device, minute, channel_set)
) PARTITION BY RANGE (minute);

-- A row a minute and transaction instead of a row a minute and device: COPY appends it, nobody waits for anybody.
CREATE TABLE minute_touched (
    minute  timestamptz NOT NULL,
    devices int4[] NOT NULL
);

-- One row a stretch. A stretch that does not begin where the one before ended, by first_sample and count, is after a loss.
CREATE TABLE waveform (
    device           int NOT NULL,
    second           timestamptz NOT NULL,      -- of the stretch's first sample
    code             int8 NOT NULL,
    batch            bigint NOT NULL,
    leaf             int4 NOT NULL,
    record           int4 NOT NULL,
    channel          int8 NOT NULL,
    rate_numerator   int8 NOT NULL,             -- samples a second: numerator / denominator
    rate_denominator int8 NOT NULL,
    first_sample     int8 NOT NULL,             -- its number in its channel since the connection began
    count            int4 NOT NULL
) PARTITION BY RANGE (second);
CREATE INDEX waveform_device ON waveform (device, second);
CREATE INDEX waveform_batch ON waveform USING brin (batch) WITH (autosummarize = on);

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
CREATE INDEX device_alarm_device ON device_alarm (device, observed_at);
CREATE INDEX device_alarm_batch ON device_alarm USING brin (batch) WITH (autosummarize = on);

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
CREATE INDEX device_setting_device ON device_setting (device, observed_at);
CREATE INDEX device_setting_batch ON device_setting USING brin (batch) WITH (autosummarize = on);

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

-- What is kept, and what leaves after COMMIT.

-- One row a stream. The multirange collapses by itself: it never grows while nothing is missing, and never expires.
CREATE TABLE ledger (
    edge        uuid NOT NULL,
    spool       uuid NOT NULL,
    lane        int2 NOT NULL,
    kept        int8multirange NOT NULL DEFAULT '{}',
    quarantined int8multirange NOT NULL DEFAULT '{}',
    reports     int8 NOT NULL DEFAULT 0,
    quarantined_reports int8 NOT NULL DEFAULT 0,
    accepted    int8 NOT NULL DEFAULT 0,
    missing     int8 NOT NULL DEFAULT 0,
    unmapped    int8 NOT NULL DEFAULT 0,
    doubtful    int8 NOT NULL DEFAULT 0,
    duplicates  int8 NOT NULL DEFAULT 0,        -- batches that came again and stored nothing
    updated_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (spool, lane, edge)
);

-- What each device said is appended by the writers, a row a spool and transaction, and folded by and by: no transaction
-- updates a row a device. last is the highest sequence seen, stored how many reports are kept.
CREATE TABLE sequence_folded (
    spool  uuid NOT NULL,
    device int NOT NULL,
    last   int8 NOT NULL,
    stored int8 NOT NULL,
    PRIMARY KEY (spool, device)
) WITH (fillfactor = 50);
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

-- Receipts to be, unsigned, a row a batch: signed and sent after COMMIT, one statement for a stream and outcome.
CREATE TABLE outbox (
    id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    edge      uuid NOT NULL,
    spool     uuid NOT NULL,
    lane      int2 NOT NULL,
    batch_no  int8 NOT NULL,
    batch_id  bytea NOT NULL,
    outcome   int2 NOT NULL,                    -- evidence/receipt.py: ReceiptOutcome
    reason    text NOT NULL DEFAULT '',
    stored_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE dead_letter (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at          timestamptz NOT NULL DEFAULT now(),
    reason      text NOT NULL,
    topic       text NOT NULL,
    outcome     int2,                           -- what its edge is told; null: nothing, its signature did not hold
    receipted   boolean NOT NULL GENERATED ALWAYS AS (outcome IS NOT NULL) STORED,
    batch_id    bytea,                          -- null: no header of a batch can be read
    digest      bytea NOT NULL,                 -- SHA-256 of message: what comes again is kept once
    message     bytea NOT NULL,
    replayed_at timestamptz,
    UNIQUE (digest, reason)
);
CREATE INDEX dead_letter_quarantined ON dead_letter (batch_id) WHERE outcome = 2;
CREATE INDEX dead_letter_evictable ON dead_letter (id) WHERE outcome IS DISTINCT FROM 2;

-- What time may take.

-- What retention took of rows: `verify` calls it dropped and not lost, and no minute is computed anew from less.
CREATE TABLE dropped (
    what       text NOT NULL,                   -- report, waveform, report_minute, ...
    since      timestamptz NOT NULL,            -- of the partition's own moments
    until      timestamptz NOT NULL,
    last_batch bigint NOT NULL,                 -- the newest at that time: rows of later ones came after
    dropped_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (what, since)
);

-- What retention took of batch_body: the numbers first_batch up to, but not, after_batch of a lane.
CREATE TABLE dropped_body (
    lane        int2 NOT NULL,
    first_batch bigint NOT NULL,
    after_batch bigint NOT NULL,
    stored_from timestamptz,                    -- of the batches in it; null: there was none
    stored_to   timestamptz,
    dropped_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (lane, first_batch)
);

-- Partitions and chunks that retention leaves alone, by the name that PostgreSQL gives them.
CREATE TABLE legal_hold (
    partition text PRIMARY KEY,
    since     timestamptz NOT NULL DEFAULT now(),
    by        text NOT NULL,
    why       text NOT NULL,
    act       bytea NOT NULL                    -- act_id
);

-- When rows were first and last stored of a day of observed_at: retention counts from there (see partitions.py).
CREATE TABLE day_stored (
    day             date PRIMARY KEY,
    first_stored_at timestamptz,                -- null: the rows of that time are dropped
    last_stored_at  timestamptz NOT NULL
);

-- Partitions are made as tables of their own and then attached: that waits for no reader and lets none wait, where
-- CREATE TABLE ... PARTITION OF would wait for the longest one (pg_dump, verify), and everybody behind it.

-- The tables of a calendar month (UTC) that are not there yet; nothing with TimescaleDB.
CREATE FUNCTION make_month(first date) RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    parent text;
    name text;
BEGIN
    PERFORM pg_advisory_xact_lock(x'76777061'::int);
    FOREACH parent IN ARRAY ARRAY['report', 'waveform', 'report_minute', 'device_alarm', 'device_setting'] LOOP
        name := parent || '_' || lpad(extract(year FROM first)::text, 4, '0') || to_char(first, '_MM');
        CONTINUE WHEN to_regclass(name) IS NOT NULL;
        EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING DEFAULTS INCLUDING STORAGE)', name, parent);
        EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', parent, name,
            first::timestamp AT TIME ZONE 'UTC', (first + interval '1 month') AT TIME ZONE 'UTC');
    END LOOP;
END $$;

-- The partition of `batch_body` that has this number of this lane, where it is not there yet.
CREATE FUNCTION make_body(of_lane int2, number bigint) RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    parent text := 'batch_body_' || of_lane;
    name text := parent || '_' || (number >> 24);
BEGIN
    PERFORM pg_advisory_xact_lock(x'76777061'::int);
    IF to_regclass(name) IS NULL THEN
        EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING DEFAULTS INCLUDING STORAGE)', name, parent);
        EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%s) TO (%s)', parent, name,
            (number >> 24) << 24, ((number >> 24) + 1) << 24);
    END IF;
END $$;

-- Take these reports of a batch out of `report`, to be put there anew, in the transaction that validates the batch anew and
-- in no other: writers have no right to delete them. Those whose rows were there, and the lists of channels they named.
CREATE FUNCTION take_reports(of_batch bigint, leaves int4[], since timestamptz, until timestamptz)
RETURNS TABLE (leaf int4, channel_set int4, in_superset boolean)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM batch_validation v
                   WHERE v.batch = of_batch AND v.xmin = pg_current_xact_id()::xid) THEN
        RAISE EXCEPTION 'batch % is not validated anew by this transaction', of_batch
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN QUERY DELETE FROM report r
    WHERE r.batch = of_batch AND r.leaf = ANY(leaves) AND r.observed_at >= since AND r.observed_at <= until
    RETURNING r.leaf, r.channel_set, r.channel_index IS NOT NULL;
END $$;

-- What may be dropped is dropped by functions of the owner: who runs retention has no right to a row.

-- The partitions and chunks of the tables that go by moments. Their bounds are text: a clock may say a year before 1.
CREATE FUNCTION row_partitions(of_table text) RETURNS TABLE (partition text, since text, until text) LANGUAGE plpgsql STABLE AS $$
BEGIN
    IF (SELECT relkind = 'p' FROM pg_class WHERE oid = of_table::regclass) THEN
        RETURN QUERY SELECT inhrelid::regclass::text, b[1], b[2] FROM pg_inherits JOIN pg_class ON oid = inhrelid
        CROSS JOIN LATERAL regexp_match(pg_get_expr(relpartbound, oid), 'FROM \(''(.*)''\) TO \(''(.*)''\)') AS b
        WHERE inhparent = of_table::regclass;
    ELSE
        RETURN QUERY EXECUTE 'SELECT format(''%I.%I'', chunk_schema, chunk_name), range_start::text, range_end::text'
            ' FROM timescaledb_information.chunks WHERE hypertable_name = $1' USING of_table;
    END IF;
END $$;

-- Drop the rows of a partition into which nothing was stored for so long, which holds any, and which nobody holds back;
-- whether it was. The days' notes are locked first, then the partition, as a writer does: afterwards nobody stores into
-- it whose note is not seen here. A month stays, empty: writers know that they have made it.
CREATE FUNCTION drop_rows(of_table text, of_partition text, keep interval) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    part record;
    any_row boolean;
    is_old CONSTANT text := 'SELECT coalesce(max(last_stored_at) < now() - $1, false) FROM day_stored'
        ' WHERE day AT TIME ZONE ''UTC'' >= $2 AND day AT TIME ZONE ''UTC'' < $3';
    old boolean;
BEGIN
    IF of_table NOT IN ('report', 'waveform', 'report_minute', 'device_alarm', 'device_setting') THEN
        RAISE EXCEPTION '% has no rows that time may take', of_table;
    END IF;
    SELECT p.since::timestamptz, p.until::timestamptz INTO part FROM row_partitions(of_table) p WHERE p.partition = of_partition;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    PERFORM FROM day_stored WHERE day AT TIME ZONE 'UTC' >= part.since AND day AT TIME ZONE 'UTC' < part.until
        ORDER BY day FOR UPDATE;
    EXECUTE is_old INTO old USING keep, part.since, part.until;
    IF NOT old OR EXISTS (SELECT FROM legal_hold h WHERE h.partition = of_partition) THEN
        RETURN false;
    END IF;
    EXECUTE format('LOCK TABLE %s IN ACCESS EXCLUSIVE MODE', of_partition);
    EXECUTE is_old INTO old USING keep, part.since, part.until;
    EXECUTE format('SELECT EXISTS (SELECT FROM %s)', of_partition) INTO any_row;
    IF NOT old OR NOT any_row OR EXISTS (SELECT FROM legal_hold h WHERE h.partition = of_partition) THEN
        RETURN false;
    END IF;
    IF (SELECT relkind = 'p' FROM pg_class WHERE oid = of_table::regclass) THEN
        EXECUTE format('TRUNCATE %s', of_partition);
    ELSE
        EXECUTE 'SELECT drop_chunks($1::regclass, newer_than => $2, older_than => $3)' USING of_table, part.since, part.until;
    END IF;
    IF of_table = 'report' THEN
        UPDATE day_stored SET first_stored_at = NULL
        WHERE day AT TIME ZONE 'UTC' >= part.since AND day AT TIME ZONE 'UTC' < part.until;
    END IF;
    INSERT INTO dropped SELECT of_table, part.since, part.until, coalesce(max(batch), 0) FROM batch
    ON CONFLICT (what, since) DO UPDATE SET until = excluded.until, last_batch = excluded.last_batch,
        dropped_at = excluded.dropped_at;
    RETURN true;
END $$;

-- Drop the bytes of a lane's batches in this range of 2^24 numbers, where all were stored so long ago, no row over any
-- of them is left and nobody holds them back; whether they were. Numbers that can still be given are never in it.
CREATE FUNCTION drop_body(of_lane int2, part bigint, keep interval) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    name text := 'batch_body_' || of_lane || '_' || part;
    first bigint := part << 24;
    after bigint := (part + 1) << 24;
    may_go timestamptz := least(now() - keep, (SELECT min(first_stored_at) FROM day_stored));
    newest timestamptz;
    stored record;
    any_row boolean;
BEGIN
    IF to_regclass(name) IS NULL OR after > (SELECT last_value FROM batch_number) THEN
        RETURN false;
    END IF;
    SELECT stored_at INTO newest FROM batch WHERE batch < after ORDER BY batch DESC LIMIT 1;
    IF newest >= may_go OR EXISTS (SELECT FROM legal_hold h WHERE h.partition = name) THEN
        RETURN false;
    END IF;
    EXECUTE format('LOCK TABLE %I IN ACCESS EXCLUSIVE MODE', name);
    EXECUTE format('SELECT EXISTS (SELECT FROM %I)', name) INTO any_row;
    SELECT min(stored_at) AS since, max(stored_at) AS until INTO stored FROM batch
    WHERE batch >= first AND batch < after AND lane = of_lane;
    IF NOT any_row OR stored.until >= may_go OR EXISTS (SELECT FROM legal_hold h WHERE h.partition = name) THEN
        RETURN false;
    END IF;
    EXECUTE format('TRUNCATE %I', name);
    UPDATE batch_validation v SET validation = NULL FROM batch b
    WHERE b.batch = v.batch AND b.lane = of_lane AND v.batch >= first AND v.batch < after;
    INSERT INTO dropped_body VALUES (of_lane, first, after, stored.since, stored.until)
    ON CONFLICT (lane, first_batch) DO UPDATE SET dropped_at = excluded.dropped_at;
    RETURN true;
END $$;

-- Names, laid by the runner.

CREATE TABLE metric (
    code         int8 PRIMARY KEY,
    reference_id text NOT NULL,
    short        text NOT NULL,
    en           text NOT NULL,
    zh           text NOT NULL,
    unit         text NOT NULL,                 -- UCUM, of report.value
    loinc        text
);
CREATE TABLE unit (
    unit         int8 PRIMARY KEY,
    reference_id text NOT NULL,
    ucum         text NOT NULL
);
-- Which of a metric's canonical units a value is stored in.
CREATE TABLE metric_unit (
    code   int8 NOT NULL,
    unit   int8 NOT NULL,                       -- as sent; 0: none stated
    stored int8 NOT NULL,
    ucum   text NOT NULL,                       -- of stored
    PRIMARY KEY (code, unit)
);

-- Alarm episodes: what is filed is their transitions, signed; an episode is a view over them.

CREATE TABLE alarm_transition (
    transition     uuid PRIMARY KEY,            -- follows from its cause: what comes again is filed once
    episode        uuid NOT NULL,
    kind           text NOT NULL CHECK (kind IN ('opened', 'confirmed', 'resolved')),
    at             timestamptz NOT NULL,        -- of the value that caused it
    by             text NOT NULL,               -- limits, configuration, platform
    device_uuid    uuid NOT NULL,
    condition_kind text NOT NULL,
    code           int8 NOT NULL,
    channel        int8 NOT NULL,
    side           text NOT NULL,
    priority       text NOT NULL,
    opened_at      timestamptz NOT NULL,        -- of its episode
    late           boolean NOT NULL,            -- the value was older than a minute: what opens so does not ring
    message        text NOT NULL,
    statement      bytea NOT NULL,              -- signed by the platform
    filed_at       timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX alarm_transition_episode ON alarm_transition (episode, kind);
CREATE INDEX alarm_transition_device ON alarm_transition (device_uuid, at);

-- An index, so that nobody looks through the episodes of years for the few that are open: those without a resolution.
CREATE TABLE alarm_open (
    episode uuid PRIMARY KEY
);

-- In whichever order its transitions came, an episode's message is its opening's, or its confirmation's.
CREATE VIEW alarm_episode AS
SELECT episode,
       (array_agg(device_uuid))[1] AS device_uuid,
       (array_agg(code || '-' || channel || '-' || side))[1] AS condition,
       (array_agg(priority))[1] AS priority,
       min(opened_at) AS opened_at,
       min(at) FILTER (WHERE kind = 'resolved') AS resolved_at,
       (array_agg(message ORDER BY array_position(ARRAY['confirmed', 'opened', 'resolved'], kind), at))[1] AS message,
       (array_agg(condition_kind))[1] AS condition_kind,
       (array_agg(code))[1] AS code,
       (array_agg(channel))[1] AS channel,
       (array_agg(side))[1] AS side,
       coalesce(bool_or(late) FILTER (WHERE kind = 'opened'), false)
           AND coalesce(bool_and(kind <> 'confirmed'), true) AS late,
       min(at) FILTER (WHERE kind = 'confirmed') AS confirmed_at,
       (array_agg(by ORDER BY at) FILTER (WHERE kind = 'resolved'))[1] AS resolved_by
FROM alarm_transition
GROUP BY episode;

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
       s.code[c] AS code, m.reference_id AS metric, s.channel[c] AS channel,
       r.value[i] AS value,
       CASE coalesce(r.validity[i], 0) >> 4 & 7 WHEN 1 THEN '<' WHEN 5 THEN '<=' WHEN 2 THEN '>' WHEN 6 THEN '>=' END AS bound,
       coalesce(mu.ucum, u.ucum) AS unit, get_byte(r.decimals, i - 1) - 128 AS decimals,
       coalesce(r.validity[i], 0) & 15 AS validity, coalesce(r.validation_result[i], 0) AS validation_result,
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
CROSS JOIN LATERAL generate_subscripts(r.value, 1) AS i
CROSS JOIN LATERAL (SELECT coalesce(r.channel_index[i], i) AS c) AS listed
LEFT JOIN metric m ON m.code = s.code[c]
LEFT JOIN metric_unit mu ON mu.code = s.code[c] AND mu.unit = s.unit[c]
LEFT JOIN unit u ON u.unit = s.unit[c]
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

-- A row a value of `latest` and of `latest_by_channel`. Of several of one channel the newest is what is shown.
CREATE VIEW latest_value AS
SELECT l.device, l.channel_set, i AS channel_index, s.code[i] AS code, s.unit[i] AS unit, s.channel[i] AS channel,
       l.value[i] AS value, coalesce(get_byte(l.decimals, i - 1) - 128, 0) AS decimals,
       coalesce(l.validity[i], 0) AS validity, coalesce(l.validation_result[i], 0) AS validation_result,
       CASE WHEN l.texts IS NOT NULL THEN (SELECT coalesce(t ->> 'text', t ->> 'bytes', t ->> 'value')
           FROM jsonb_array_elements(l.texts) AS t WHERE (t ->> 'record')::int = i - 1) END AS text,
       l.flags, l.observed_at, l.received_at, l.stored_at, l.batch, l.leaf
FROM latest l JOIN channel_set s USING (channel_set) CROSS JOIN LATERAL generate_subscripts(s.code, 1) AS i
UNION ALL
SELECT l.device, l.channel_set, i, s.code[i], s.unit[i], s.channel[i],
       nullif(l.value[i], 'NaN'), l.decimals[i], l.validity[i], l.validation_result[i], l.texts ->> i::text,
       l.flags[i], l.observed_at[i], l.received_at[i], l.stored_at[i], l.batch[i], l.leaf[i]
FROM latest_by_channel l JOIN channel_set s USING (channel_set)
CROSS JOIN LATERAL generate_subscripts(s.code, 1) AS i WHERE l.leaf[i] >= 0;

-- No plan depends on what these arrays hold, and to sample them took two thirds of an ANALYZE, which runs while devices
-- send. New chunks of TimescaleDB take it over.
ALTER TABLE report ALTER COLUMN value SET STATISTICS 0, ALTER COLUMN decimals SET STATISTICS 0,
    ALTER COLUMN validity SET STATISTICS 0, ALTER COLUMN validation_result SET STATISTICS 0,
    ALTER COLUMN channel_index SET STATISTICS 0;
ALTER TABLE report_minute ALTER COLUMN count SET STATISTICS 0, ALTER COLUMN min SET STATISTICS 0,
    ALTER COLUMN max SET STATISTICS 0, ALTER COLUMN mean SET STATISTICS 0, ALTER COLUMN last SET STATISTICS 0;
