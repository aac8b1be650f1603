-- Whose a value is: facts of admission offices, the stays and encounters that they come to, and the intervals in which a
-- device's values are somebody's. `recorded` is when we believed a row: what is believed now has no end of it, and
-- nothing of a row is ever changed but that end.
--
-- Moments are tstzrange, as in device_bed, and not numbers of microseconds: PostgreSQL keeps them to the microsecond too,
-- `@>` joins them with report.observed_at as it is, and people who write SQL read them.

-- What waits to be taken by the attributor, written in the transaction that stores it and deleted in the one that takes
-- it: numbers of batches are given before COMMIT, so that no cursor over them would be safe.
CREATE TABLE attribution_batch (
    batch bigint NOT NULL,
    lane  int2 NOT NULL
);
CREATE TABLE attribution_device (
    device uuid NOT NULL                        -- of which a person said something
);
CREATE TABLE attribution_encounter (
    encounter text NOT NULL                     -- whose facts are read by another configuration than before
);
-- One row: the recorded time of the newest chunk, and by which configuration facts are read.
CREATE TABLE attribution (
    one         boolean PRIMARY KEY DEFAULT true CHECK (one),
    recorded_at timestamptz NOT NULL DEFAULT 'epoch',
    settings    bytea NOT NULL DEFAULT ''       -- SHA-256
);
INSERT INTO attribution DEFAULT VALUES;

-- What is stored already (schemas/report.py: Lane); from now on the writer says (emr_store/attribution_queue.py).
INSERT INTO attribution_batch SELECT batch, lane FROM batch WHERE lane IN (1, 2, 4) ORDER BY batch;

-- Reports of kind CONTEXT alone: admission offices, and the patient numbers beside a device's values.
CREATE INDEX report_context ON report (batch) WHERE kind = 7;

-- What one group of one message says; never changed. `said` holds no name: schemas/adt.py, AdtGroup. The keys beside it
-- are the site's reading of it (clinical/facts.py), for those who look for it; another configuration reads it anew.
CREATE TABLE adt_fact (
    fact        bytea PRIMARY KEY,              -- clinical/facts.py: fact_id
    source      text NOT NULL,
    batch_id    bytea NOT NULL,
    leaf        int4 NOT NULL,
    grp         int2 NOT NULL,
    control     text NOT NULL,                  -- MSH-10, for people
    digest      bytea NOT NULL,                 -- SHA-256 of the frame
    event       text NOT NULL,
    effect      text NOT NULL,
    live        boolean NOT NULL,               -- false: a test or training message, without effect
    received_at timestamptz NOT NULL,
    recorded_at timestamptz,                    -- EVN-2, by the sender
    happened_at timestamptz,
    patient     text,                           -- the patient's own number
    patients    text[] NOT NULL,                -- every number, that one first
    encounter   text,
    bed         text NOT NULL,                  -- key; '' unless it is known
    bed_as_sent text NOT NULL,
    cancels     timestamptz,                    -- EVN-6 of a cancel
    movement    text[] NOT NULL,
    taken_at    timestamptz NOT NULL,           -- recorded time
    said        text NOT NULL
);
CREATE INDEX adt_fact_encounter ON adt_fact (encounter);
CREATE INDEX adt_fact_patient ON adt_fact (patient);
-- By the number alone, as people write it.
CREATE INDEX adt_fact_patient_number ON adt_fact (split_part(patient, '^', 1));
CREATE INDEX adt_fact_visit_number ON adt_fact (split_part(split_part(encounter, ':', 2), '^', 1));
CREATE INDEX adt_fact_patients ON adt_fact USING gin (patients);
CREATE INDEX adt_fact_digest ON adt_fact (digest) WHERE effect = 'swap';
CREATE INDEX adt_fact_taken ON adt_fact (taken_at);

-- Who the patient is to people, as the newest message said it: erased by `vitalwire patients erase`.
CREATE TABLE patient_person (
    patient    text PRIMARY KEY,
    family     text NOT NULL,
    given      text NOT NULL,
    name       text NOT NULL,
    birth_date text NOT NULL,
    sex        text NOT NULL,
    said_at    timestamptz NOT NULL,            -- by the sender
    fact       bytea NOT NULL
);
-- Whose name is not kept, whatever comes: by which act.
CREATE TABLE patient_erased (
    patient text PRIMARY KEY,
    act_id  bytea NOT NULL REFERENCES act
);

-- What facts say of two numbers; of patients and of encounters.
CREATE TABLE patient_link (
    retired  text NOT NULL,
    survivor text NOT NULL,
    kind     text NOT NULL,                     -- merge, link, unlink
    recorded tstzrange NOT NULL,
    fact     bytea NOT NULL REFERENCES adt_fact,
    PRIMARY KEY (fact, retired, survivor)
);
CREATE INDEX patient_link_retired ON patient_link (retired);
CREATE INDEX patient_link_survivor ON patient_link (survivor);
CREATE TABLE encounter_link (LIKE patient_link INCLUDING ALL);
ALTER TABLE encounter_link ADD FOREIGN KEY (fact) REFERENCES adt_fact;

-- The exclusions stand for "never two answers at once". The range of a single number stands for "is the same", which
-- needs no extension (btree_gist is not on every server); of texts it is a hash of 64 bits.
CREATE FUNCTION key_range(key text) RETURNS int8range LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT int8range(hashtextextended(key, 0) / 2, hashtextextended(key, 0) / 2, '[]');
$$;

CREATE TABLE encounter (
    encounter     text NOT NULL,
    patient       text,                         -- the survivor; null: its messages name two that no merge made one
    patients      text[] NOT NULL,              -- as its messages name them
    open          tstzmultirange NOT NULL,
    absent        tstzmultirange NOT NULL,
    admitted_at   timestamptz,                  -- PV1-44, the admission office's time
    discharged_at timestamptz,                  -- PV1-45
    body          text NOT NULL,                -- clinical/encounter.py: Encounter, with the facts behind each period
    recorded      tstzrange NOT NULL CHECK (NOT isempty(recorded)),
    CONSTRAINT encounter_one_at_a_time EXCLUDE USING gist (key_range(encounter) WITH &&, recorded WITH &&)
);
CREATE INDEX encounter_key ON encounter (encounter);
CREATE INDEX encounter_number ON encounter (split_part(split_part(encounter, ':', 2), '^', 1));
CREATE INDEX encounter_patient ON encounter (patient);

-- None over bed: two in one bed is a truth.
CREATE TABLE encounter_bed (
    encounter     text NOT NULL,
    bed           text NOT NULL,
    valid         tstzrange NOT NULL CHECK (NOT isempty(valid)),
    recorded      tstzrange NOT NULL CHECK (NOT isempty(recorded)),
    from_fact     bytea NOT NULL,
    until_fact    bytea,
    until_planned boolean NOT NULL,             -- a plan alone ended it
    CONSTRAINT encounter_bed_one_at_a_time EXCLUDE USING gist (
        key_range(encounter) WITH &&, valid WITH &&, recorded WITH &&)
);
CREATE INDEX encounter_bed_encounter ON encounter_bed (encounter);
CREATE INDEX encounter_bed_bed ON encounter_bed (bed, lower(valid));
CREATE INDEX encounter_bed_now ON encounter_bed (bed) WHERE upper_inf(valid) AND upper_inf(recorded);

-- Which patient numbers a device's sender put beside its values, each time that it said so: until the device's next row.
CREATE TABLE pid_claim (
    device   int NOT NULL,                      -- as heard through one edge
    from_at  timestamptz NOT NULL,
    sequence int8 NOT NULL,                     -- of the report: which of one instant was said last
    patients text[] NOT NULL,                   -- none: nobody was named
    fact     bytea NOT NULL,                    -- batch_id and leaf (int4) of the report
    PRIMARY KEY (device, from_at, fact)
);
CREATE INDEX pid_claim_patients ON pid_claim USING gin (patients);

-- Scans, and what people say: a device is an encounter's, or nobody's (null).
CREATE TABLE device_encounter (
    device    uuid NOT NULL,
    encounter text,
    valid     tstzrange NOT NULL CHECK (NOT isempty(valid)),
    recorded  tstzrange NOT NULL CHECK (NOT isempty(recorded)),
    by_scan   boolean NOT NULL,
    act_id    bytea NOT NULL REFERENCES act
);
CREATE INDEX device_encounter_device ON device_encounter (device);
CREATE INDEX device_encounter_encounter ON device_encounter (encounter);
-- "ADT is right until the number on the monitor changes."
CREATE TABLE pid_mute (
    device   uuid NOT NULL,
    from_at  timestamptz NOT NULL,
    recorded tstzrange NOT NULL CHECK (NOT isempty(recorded)),
    act_id   bytea NOT NULL REFERENCES act
);
CREATE INDEX pid_mute_device ON pid_mute (device);

CREATE TABLE whose (
    device    uuid NOT NULL,
    valid     tstzrange NOT NULL CHECK (NOT isempty(valid)),
    recorded  tstzrange NOT NULL CHECK (NOT isempty(recorded)),
    state     text NOT NULL,                    -- clinical/attribution.py: State
    encounter text,
    patient   text,
    basis     text NOT NULL,                    -- Basis
    proposed  text,                             -- an encounter to offer to a person, never given
    facts     bytea[] NOT NULL,                 -- messages, acts and claims behind it
    CONSTRAINT whose_one_at_a_time EXCLUDE USING gist (key_range(device::text) WITH &&, valid WITH &&, recorded WITH &&)
);
CREATE INDEX whose_device ON whose (device, lower(valid));
CREATE INDEX whose_patient ON whose (patient, lower(valid));
CREATE INDEX whose_now ON whose (device) WHERE upper_inf(valid) AND upper_inf(recorded);

-- What only a person can decide. `scope` is what it was computed from: a fact, an encounter, a link, a bed, a device.
CREATE TABLE worklist_item (
    item        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    scope       text NOT NULL,
    kind        text NOT NULL,                  -- clinical/worklist.py: ItemKind
    subject     text NOT NULL,
    since       timestamptz NOT NULL,
    announce_at timestamptz NOT NULL,           -- people hear of it from then on
    until       timestamptz,
    facts       bytea[] NOT NULL,
    detail      text NOT NULL,
    recorded    tstzrange NOT NULL CHECK (NOT isempty(recorded))
);
CREATE INDEX worklist_item_subject ON worklist_item (subject, scope);
CREATE INDEX worklist_item_open ON worklist_item (since) WHERE upper_inf(recorded) AND until IS NULL;
-- A person dealt with it. By what it says and not by its number: the same question with other facts is a new one.
CREATE TABLE worklist_resolution (
    kind    text NOT NULL,
    subject text NOT NULL,
    since   timestamptz NOT NULL,
    facts   bytea[] NOT NULL,
    act_id  bytea NOT NULL REFERENCES act
);
CREATE INDEX worklist_resolution_subject ON worklist_resolution (subject);

CREATE FUNCTION note_attribution_device() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = public, pg_temp AS $$
BEGIN
    INSERT INTO attribution_device VALUES (NEW.device);
    RETURN NULL;
END $$;
CREATE FUNCTION note_attribution_place() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = public, pg_temp AS $$
BEGIN
    INSERT INTO attribution_device
    SELECT uuid FROM registered_device WHERE registered_device = NEW.registered_device;
    RETURN NULL;
END $$;
CREATE FUNCTION note_attribution_edge() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = public, pg_temp AS $$
BEGIN
    INSERT INTO attribution_device SELECT uuid FROM device WHERE device = NEW.device;
    RETURN NULL;
END $$;
CREATE TRIGGER device_bed_waits AFTER INSERT OR UPDATE ON device_bed
    FOR EACH ROW EXECUTE FUNCTION note_attribution_place();
CREATE TRIGGER device_edge_waits AFTER INSERT OR UPDATE ON device_edge
    FOR EACH ROW EXECUTE FUNCTION note_attribution_edge();
CREATE TRIGGER device_encounter_waits AFTER INSERT OR UPDATE ON device_encounter
    FOR EACH ROW EXECUTE FUNCTION note_attribution_device();
CREATE TRIGGER pid_mute_waits AFTER INSERT OR UPDATE ON pid_mute
    FOR EACH ROW EXECUTE FUNCTION note_attribution_device();
INSERT INTO attribution_device SELECT uuid FROM registered_device;

-- A row a value, with whose it is as believed now, by the moment of measurement. What was heard through an edge that the
-- device does not belong to is nobody's. Values from before the first evidence, and of devices without any, have no state.
CREATE VIEW observation_of_patient AS
SELECT w.patient, w.encounter, w.state, w.basis, w.proposed, w.facts, o.*
FROM observation o
LEFT JOIN whose w ON w.device = o.device AND w.valid @> o.observed_at AND upper_inf(w.recorded) AND NOT o.foreign_edge;

-- The same of one patient between two moments, by the patient's intervals: reads the rows of those alone.
CREATE FUNCTION observations_of(of_patient text, since timestamptz, until timestamptz) RETURNS SETOF observation_of_patient
LANGUAGE sql STABLE AS $$
    SELECT w.patient, w.encounter, w.state, w.basis, w.proposed, w.facts, o.*
    FROM whose w CROSS JOIN LATERAL (
        SELECT * FROM observation o
        WHERE o.device = w.device AND NOT o.foreign_edge
            AND o.observed_at >= greatest(lower(w.valid), since)
            AND o.observed_at < least(coalesce(upper(w.valid), 'infinity'), until)
        OFFSET 0) AS o  -- planned by itself: an interval at a time, by the index over device and moment
    WHERE w.patient = of_patient AND upper_inf(w.recorded) AND lower(w.valid) < until
        AND w.valid && tstzrange(since, until);
$$;

-- The name that a report of an admission office holds, out of its row; the sealed batch keeps it as long as its bytes are
-- kept. Whether it was there. Nothing else of a report is ever changed: `verify` knows an erased name from any other change.
CREATE FUNCTION erase_person(of_batch bigint, of_leaf int4) RETURNS boolean
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    WITH erased AS (
        UPDATE report SET texts = (
            SELECT jsonb_agg(CASE WHEN t ->> 'code' = 'adt-person' AND t ->> 'system' = 'vitalwire'
                THEN (t - 'text' - 'note') || '{"erased": true}' ELSE t END ORDER BY n)
            FROM jsonb_array_elements(texts) WITH ORDINALITY AS e (t, n))
        WHERE batch = of_batch AND leaf = of_leaf AND kind = 7
            AND texts @> '[{"code": "adt-person", "system": "vitalwire"}]'
            AND NOT texts @> '[{"code": "adt-person", "erased": true}]'
        RETURNING 1)
    SELECT EXISTS (SELECT FROM erased);
$$;
CREATE INDEX pid_claim_fact ON pid_claim (fact);
