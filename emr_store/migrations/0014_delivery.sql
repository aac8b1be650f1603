-- The order in which the versions of charts became part of the record, and their delivery to the hospital's other systems.

-- What was written and has no place in the order yet; written in the transaction of the version itself.
CREATE TABLE chart_unsequenced (
    id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    entry   uuid NOT NULL,
    version int4 NOT NULL
);

-- The order of COMMIT, as one sequencer saw it (emr_store/chart_sequence.py): who has read up to a position has all that
-- stands before it. Of an entry no version stands before an earlier one.
CREATE TABLE chart_sequence (
    position  bigint PRIMARY KEY,               -- from 1, without gaps
    entry     uuid NOT NULL,
    version   int4 NOT NULL,
    encounter text NOT NULL,
    slot      timestamptz NOT NULL,
    UNIQUE (entry, version)
);

CREATE FUNCTION note_chart_unsequenced() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = public, pg_temp AS $$
BEGIN
    INSERT INTO chart_unsequenced (entry, version) SELECT entry, version FROM written ORDER BY entry, version;
    RETURN NULL;
END $$;
CREATE TRIGGER chart_entry_unsequenced AFTER INSERT ON chart_entry
    REFERENCING NEW TABLE AS written FOR EACH STATEMENT EXECUTE FUNCTION note_chart_unsequenced();

-- What was written before there was an order: as its versions were recorded, by a clock that may have gone back.
INSERT INTO chart_sequence
SELECT row_number() OVER (ORDER BY at, entry, version), entry, version, encounter, slot
FROM (SELECT max(recorded_at) OVER (PARTITION BY entry ORDER BY version) AS at, entry, version, encounter, slot
      FROM chart_entry) AS c;

-- Where entries go: a receiver of the configuration (processors.toml).
CREATE TABLE destination (
    destination int4 GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name        text NOT NULL UNIQUE CHECK (name <> ''),
    position    bigint NOT NULL,                -- of chart_sequence: up to here all was taken into messages
    began_at    timestamptz NOT NULL,
    paused_at   timestamptz,                    -- by an act; null: it is served
    away_since  timestamptz,                    -- it does not answer; null: it does
    away_reason text NOT NULL DEFAULT ''
);

-- A message, or a transaction: what is new of an encounter's slot. Its order is that of `delivery`.
CREATE TABLE delivery (
    delivery    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    destination int4 NOT NULL REFERENCES destination,
    patient     text NOT NULL,                  -- in whose order it goes; of nobody's encounter the encounter's key
    encounter   text NOT NULL,
    slot        timestamptz NOT NULL,
    entries     uuid[] NOT NULL,
    versions    int4[] NOT NULL,                -- of each entry
    recorded_at timestamptz NOT NULL,           -- the newest of these versions
    state       text NOT NULL CHECK (state IN ('waiting', 'parked', 'accepted', 'skipped')),
    control_id  text NOT NULL DEFAULT '',       -- as the receiver knows it; '' until its bytes are made
    body        bytea,                          -- made once, before it is sent first; gone once it is accepted or skipped
    said        uuid[] NOT NULL DEFAULT '{}',   -- what the bytes speak of, as in `delivered`
    said_versions int4[] NOT NULL DEFAULT '{}',
    attempts    int4 NOT NULL DEFAULT 0,        -- that were answered, or should have been
    next_at     timestamptz,                    -- not before then; null: at once
    behind      bigint,                         -- parked because this one is, which comes before it in the same slot
    code        text NOT NULL DEFAULT '',       -- of the last answer: MSA-1, or an HTTP status
    reason      text NOT NULL DEFAULT '',       -- for people; names no patient
    answer      bytea,                          -- of what is parked: what the receiver said
    settled_at  timestamptz,                    -- when it was parked, accepted or skipped
    CHECK (cardinality(entries) = cardinality(versions) AND cardinality(entries) > 0),
    CHECK (cardinality(said) = cardinality(said_versions)),
    CHECK ((state = 'waiting') = (settled_at IS NULL)),
    CHECK (body IS NULL OR state IN ('waiting', 'parked')),
    CHECK (behind IS NULL OR state = 'parked')
);
CREATE INDEX delivery_waiting ON delivery (destination, delivery) WHERE state = 'waiting';
CREATE INDEX delivery_parked ON delivery (destination, delivery) WHERE state = 'parked';
CREATE INDEX delivery_slot ON delivery (destination, encounter, slot) WHERE state IN ('waiting', 'parked');

-- What a destination has, by the id under which it has it: an entry's, or of FHIR a panel's (adapters/emr/observation.py).
CREATE TABLE delivered (
    destination      int4 NOT NULL REFERENCES destination,
    id               uuid NOT NULL,
    version          int4 NOT NULL,
    receiver_version text NOT NULL,             -- its own number of it (FHIR: versionId); '' where it said none
    PRIMARY KEY (destination, id)
);
