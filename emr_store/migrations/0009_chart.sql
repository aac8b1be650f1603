-- The chart: entries in versions, what waits to be charted, and what is proposed to people.

-- A version of an entry; never changed, never deleted (emr_store/roles.py: UNCHANGEABLE). Nothing names a patient but the
-- encounter, and that is never another one: of a wrong patient the entry is entered in error, and a new one begins.
CREATE TABLE chart_entry (
    entry         uuid NOT NULL,                -- its public identity; ordered by time (RFC 9562, version 7)
    version       int4 NOT NULL CHECK (version > 0),
    encounter     text NOT NULL CHECK (encounter <> ''),
    item          text NOT NULL,                -- a metric's reference id, or a key of clinical/chart_items.py
    slot          timestamptz NOT NULL,         -- its end; of `each` the value's own moment
    ordinal       int4 NOT NULL CHECK (ordinal > 0), -- which entry of this slot: those before were entered in error
    status        text NOT NULL CHECK (status IN ('preliminary', 'final', 'amended', 'entered-in-error')),
    origin        text NOT NULL CHECK (origin IN ('device', 'hand')),
    value         float8,                       -- null: a text
    text          text NOT NULL,
    unit          text NOT NULL,                -- UCUM
    decimals      int2 NOT NULL,                -- as Measured.decimals
    observed_at   timestamptz NOT NULL,
    source_batch  bytea[] NOT NULL,             -- batch_id, leaf and record of each value that it comes from: the public
    source_leaf   int4[] NOT NULL,              -- identity of a value; none where a person wrote it
    source_record int4[] NOT NULL,
    reason        text NOT NULL,
    act_id        bytea REFERENCES act,         -- null: the charter wrote it
    by_time       boolean NOT NULL,             -- it became final by `auto_final_after_min`, not by a person
    recorded_at   timestamptz NOT NULL,
    PRIMARY KEY (entry, version),
    CHECK (cardinality(source_leaf) = cardinality(source_batch)
        AND cardinality(source_record) = cardinality(source_batch)),
    CONSTRAINT chart_entry_stands_on CHECK (act_id IS NOT NULL OR cardinality(source_batch) > 0),
    CHECK (NOT (by_time AND act_id IS NOT NULL))
);
-- For an encounter's day, for one slot, and so that of two who write the same version one fails.
CREATE UNIQUE INDEX chart_entry_key ON chart_entry (encounter, slot, item, ordinal, version);

-- One entry that is not entered in error a slot, and versions without gaps. The unique indexes decide between two who
-- write at once.
CREATE FUNCTION check_chart_version() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    before chart_entry;
BEGIN
    -- A clerk writes what an act says, and nothing in the charter's name.
    IF NEW.act_id IS NULL AND NOT has_table_privilege('chart_progress', 'UPDATE') THEN
        RAISE EXCEPTION 'a version without an act is the charter''s alone' USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF NEW.version = 1 THEN
        IF NEW.ordinal > 1 THEN
            SELECT * INTO before FROM chart_entry c WHERE c.encounter = NEW.encounter AND c.slot = NEW.slot
                AND c.item = NEW.item AND c.ordinal = NEW.ordinal - 1 ORDER BY c.version DESC LIMIT 1;
            IF before.status IS DISTINCT FROM 'entered-in-error' THEN
                RAISE EXCEPTION 'an entry stands in this slot already' USING ERRCODE = 'unique_violation';
            END IF;
        END IF;
        RETURN NEW;
    END IF;
    SELECT * INTO before FROM chart_entry c WHERE c.entry = NEW.entry AND c.version = NEW.version - 1;
    IF NOT FOUND OR before.status = 'entered-in-error'
        OR (before.encounter, before.item, before.slot, before.ordinal)
            IS DISTINCT FROM (NEW.encounter, NEW.item, NEW.slot, NEW.ordinal) THEN
        RAISE EXCEPTION 'version % does not follow an earlier one of this entry', NEW.version
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER chart_entry_follows BEFORE INSERT ON chart_entry
    FOR EACH ROW EXECUTE FUNCTION check_chart_version();

-- What the charter would say where a person stands behind `version`; it lapses with the next version. value null and no
-- source: nothing would stand there.
CREATE TABLE chart_proposal (
    entry         uuid NOT NULL,
    version       int4 NOT NULL,                -- against which it is proposed
    value         float8,
    text          text NOT NULL,
    unit          text NOT NULL,
    decimals      int2 NOT NULL,
    observed_at   timestamptz,
    source_batch  bytea[] NOT NULL,
    source_leaf   int4[] NOT NULL,
    source_record int4[] NOT NULL,
    reason        text NOT NULL,
    recorded_at   timestamptz NOT NULL,
    PRIMARY KEY (entry, version)
);

-- What waits for the charter, written in the transaction that stores it and deleted in the one that charts it: numbers of
-- batches are given before COMMIT, so that no cursor over them would be safe.

-- Values that came when their slot may have been chosen already: the minute of observed_at, and the devices (as heard
-- through one edge).
CREATE TABLE chart_late (
    minute  timestamptz NOT NULL,
    devices int4[] NOT NULL
);
-- Values of metrics that are charted at once.
CREATE TABLE chart_each (
    device int4 NOT NULL,
    since  timestamptz NOT NULL,                -- both are observed_at
    until  timestamptz NOT NULL
);
-- Values that correct or take back what was sent of their moment.
CREATE TABLE chart_corrected (LIKE chart_each);
-- A device's values of this time are another encounter's than before.
CREATE TABLE chart_whose (
    device     uuid NOT NULL,
    valid      tstzrange NOT NULL,
    encounters text[] NOT NULL                  -- whose they were and whose they are
);
-- A person wrote this version: what was disputed or proposed may be settled.
CREATE TABLE chart_acted (
    encounter text NOT NULL,
    item      text NOT NULL,
    slot      timestamptz NOT NULL
);
-- Entries that a ward lets become final by time.
CREATE TABLE chart_auto_final (
    entry    uuid NOT NULL,
    final_at timestamptz NOT NULL
);
CREATE INDEX chart_auto_final_at ON chart_auto_final (final_at);

-- One row, once the charter has begun: no slot is charted that was over before it did.
CREATE TABLE chart_progress (
    one           boolean PRIMARY KEY DEFAULT true CHECK (one),
    began_at      timestamptz NOT NULL,
    charted_until timestamptz NOT NULL          -- what was due by then is charted
);

CREATE FUNCTION note_chart_acted() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = public, pg_temp AS $$
BEGIN
    INSERT INTO chart_acted VALUES (NEW.encounter, NEW.item, NEW.slot);
    RETURN NULL;
END $$;
CREATE TRIGGER chart_entry_acted AFTER INSERT ON chart_entry
    FOR EACH ROW WHEN (NEW.act_id IS NOT NULL) EXECUTE FUNCTION note_chart_acted();

-- What is heard through an edge is believed from when on, or no longer: its values are for the chart, or not.
CREATE FUNCTION note_chart_edge() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = public, pg_temp AS $$
BEGIN
    INSERT INTO chart_whose SELECT uuid, NEW.valid, '{}' FROM device WHERE device = NEW.device;
    RETURN NULL;
END $$;
CREATE TRIGGER device_edge_charted AFTER INSERT OR UPDATE ON device_edge
    FOR EACH ROW EXECUTE FUNCTION note_chart_edge();

-- Whose values are an encounter's, and what ended a moment ago.
CREATE INDEX whose_encounter ON whose (encounter, lower(valid)) WHERE upper_inf(recorded);
CREATE INDEX whose_ended ON whose (upper(valid)) WHERE upper_inf(recorded);
