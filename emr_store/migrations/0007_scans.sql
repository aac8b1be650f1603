-- Scans of wristbands and devices. A scan is a report, sealed as every other; here it stands as it was said, once, and
-- what it means is a row of device_encounter, written anew whenever what is known of its wristband changes.
CREATE TABLE device_scan (
    scan        bytea PRIMARY KEY,              -- clinical/scans.py: scan_id
    batch_id    bytea NOT NULL,
    leaf        int4 NOT NULL,
    device      uuid NOT NULL,                  -- that it means, heard of or not
    number      text NOT NULL,                  -- of the wristband, alone; '' where none was scanned
    action      text NOT NULL,                  -- schemas/scan.py: ScanAction
    at          timestamptz,                    -- by the scanner; null: none that can be read
    received_at timestamptz NOT NULL,
    retained    boolean NOT NULL,
    effective   boolean NOT NULL,               -- false: it says nothing of anybody, whatever else is known
    taken_at    timestamptz NOT NULL,           -- recorded time
    said        text NOT NULL                   -- schemas/scan.py: Scan
);
CREATE INDEX device_scan_device ON device_scan (device);
CREATE INDEX device_scan_number ON device_scan (number) WHERE number <> '';

-- A row is by an act of a person or by a scan.
ALTER TABLE device_encounter ALTER COLUMN act_id DROP NOT NULL;
ALTER TABLE device_encounter ADD COLUMN scan bytea REFERENCES device_scan;
ALTER TABLE device_encounter ADD CHECK (num_nonnulls(act_id, scan) = 1);
CREATE INDEX device_encounter_scan ON device_encounter (scan) WHERE scan IS NOT NULL;

-- A device that is heard for the first time after it was scanned.
CREATE FUNCTION note_scanned_device() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = public, pg_temp AS $$
BEGIN
    INSERT INTO attribution_device SELECT NEW.uuid WHERE EXISTS (SELECT FROM device_scan WHERE device = NEW.uuid);
    RETURN NULL;
END $$;
CREATE TRIGGER device_scanned_waits AFTER INSERT ON device FOR EACH ROW EXECUTE FUNCTION note_scanned_device();

-- Facts that a person took back: they count no more, and stay as they were said. An act never changes a fact.
CREATE TABLE fact_undone (
    fact      bytea PRIMARY KEY REFERENCES adt_fact,
    undone_at timestamptz NOT NULL,             -- recorded time
    act_id    bytea NOT NULL REFERENCES act     -- that took it back
);
CREATE INDEX adt_fact_batch ON adt_fact (batch_id) WHERE source = 'act' OR starts_with(source, 'census:');
