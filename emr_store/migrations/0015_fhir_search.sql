-- What the API `/fhir` looks for: entries by encounter and moment, by when they were recorded, and panels by their id;
-- patients and encounters by the ids under which they leave the house.

-- For an encounter's entries by time, and for a value: whether it stands in a chart.
CREATE INDEX IF NOT EXISTS chart_entry_observed ON chart_entry (encounter, observed_at, entry);
CREATE INDEX IF NOT EXISTS chart_entry_recorded ON chart_entry (recorded_at, entry);

-- Which panel an item belongs to: adapters/emr/observation.py, PANELS. Null: none.
CREATE OR REPLACE FUNCTION chart_panel(item text) RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    SELECT CASE
        WHEN item IN ('MDC_PRESS_BLD_NONINV_SYS', 'MDC_PRESS_BLD_NONINV_DIA', 'MDC_PRESS_BLD_NONINV_MEAN')
            THEN 'non-invasive'
        WHEN item IN ('MDC_PRESS_CUFF_SYS', 'MDC_PRESS_CUFF_DIA', 'MDC_PRESS_CUFF_MEAN') THEN 'cuff'
        WHEN item IN ('MDC_PRESS_BLD_SYS', 'MDC_PRESS_BLD_DIA', 'MDC_PRESS_BLD_MEAN') THEN 'unspecified'
        WHEN item IN ('MDC_PRESS_BLD_ART_SYS', 'MDC_PRESS_BLD_ART_DIA', 'MDC_PRESS_BLD_ART_MEAN') THEN 'arterial'
        WHEN item IN ('MDC_PRESS_BLD_ART_ABP_SYS', 'MDC_PRESS_BLD_ART_ABP_DIA', 'MDC_PRESS_BLD_ART_ABP_MEAN')
            THEN 'arterial-abp'
        WHEN item IN ('MDC_PRESS_BLD_ART_PULM_SYS', 'MDC_PRESS_BLD_ART_PULM_DIA', 'MDC_PRESS_BLD_ART_PULM_MEAN')
            THEN 'pulmonary'
    END;
$$;
-- The id of a panel: adapters/emr/observation.py, panel_id (RFC 9562, version 8, of SHA-256).
CREATE OR REPLACE FUNCTION chart_panel_id(encounter text, panel text, slot timestamptz) RETURNS uuid
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    SELECT encode(set_byte(set_byte(digest, 6, get_byte(digest, 6) & 15 | 128), 8, get_byte(digest, 8) & 63 | 128),
        'hex')::uuid
    FROM (SELECT substr(sha256(convert_to('panel', 'UTF8') || '\x00'::bytea || convert_to(encounter, 'UTF8')
        || '\x00'::bytea || convert_to(panel, 'UTF8') || '\x00'::bytea
        || convert_to((extract(epoch FROM slot - to_timestamp(0)) * 1000000)::int8::text, 'UTF8')), 1, 16) AS digest) AS d;
$$;
CREATE INDEX IF NOT EXISTS chart_entry_panel ON chart_entry (chart_panel_id(encounter, chart_panel(item), slot))
    WHERE version = 1 AND chart_panel(item) IS NOT NULL;

CREATE INDEX IF NOT EXISTS encounter_patient_id ON encounter (resource_id('Patient', patient)) WHERE upper_inf(recorded);
CREATE INDEX IF NOT EXISTS encounter_id ON encounter (resource_id('Encounter', encounter)) WHERE upper_inf(recorded);
