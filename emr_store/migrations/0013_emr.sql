-- The chart for a hospital's other systems: ids, and views for those who read a table (docs/emr-views.md).

-- The id under which a patient, an encounter, a bed leaves the house: clinical/charted.py, resource_id. A text of
-- PostgreSQL holds no zero byte: the two parts are joined as bytes.
CREATE FUNCTION resource_id(kind text, key text) RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    SELECT substr(encode(sha256(convert_to(kind, 'UTF8') || '\x00'::bytea || convert_to(key, 'UTF8')), 'hex'), 1, 32);
$$;

-- Names, laid by the runner.

-- What can stand in a chart: metrics by their reference id, and keys of clinical/chart_items.py.
CREATE TABLE chart_item (
    item              text PRIMARY KEY,
    en                text NOT NULL,
    zh                text NOT NULL,
    unit              text NOT NULL,            -- UCUM, the first that it is charted in; '' of a text
    mdc_code          int8,                     -- of a metric: IEEE 11073-10101; null: a number of our own
    loinc             text,                     -- in that unit: LOINC tells a partial pressure from a fraction
    data_element      text,                     -- clinical/data_elements.py: 2.16.156.10011.2.2.1
    data_element_name text
);
CREATE TABLE unit_name (
    ucum text PRIMARY KEY,
    zh   text NOT NULL
);

-- One item of an encounter, by time: its newest entry, an hour or a day of it.
CREATE INDEX chart_entry_item ON chart_entry (encounter, item, observed_at, entry);
-- What is new, and a time of all encounters: versions lie in the order in which they were written.
CREATE INDEX chart_entry_written ON chart_entry USING brin (recorded_at, observed_at)
    WITH (autosummarize = on, pages_per_range = 32);
-- By the number alone, as people write it.
CREATE INDEX encounter_patient_number ON encounter (split_part(patient, '^', 1)) WHERE upper_inf(recorded);

-- An encounter and its patient as believed now, the survivor of merges. Of an erased patient there is no name.
CREATE VIEW charted_encounter AS
SELECT e.encounter, split_part(split_part(e.encounter, ':', 2), '^', 1) AS visit_number,
    split_part(e.patient, '^', 1) AS patient_number, split_part(e.patient, '^', 2) AS patient_authority,
    split_part(e.patient, '^', 3) AS patient_number_type,
    CASE WHEN p.name <> '' THEN p.name ELSE nullif(btrim(p.family || ' ' || p.given), '') END AS patient_name
FROM encounter e LEFT JOIN patient_person p ON p.patient = e.patient
WHERE upper_inf(e.recorded);

-- The newest version of each entry. What was entered in error says no value, and that it was. Few tables are joined and
-- the others asked for a row at a time: with more than join_collapse_limit (8) the planner would not begin with a patient.
CREATE VIEW charted_entry AS
SELECT c.entry, c.version, c.status, c.encounter, (
        SELECT coalesce(n.label, array_to_string(array_remove((string_to_array(b.bed, '^'))[2:], ''), ' '))
        FROM encounter_bed b LEFT JOIN bed_name n USING (bed)
        WHERE b.encounter = c.encounter AND upper_inf(b.recorded) AND lower(b.valid) <= c.observed_at
            AND (upper_inf(b.valid) OR upper(b.valid) > c.observed_at) LIMIT 1) AS bed,
    c.item, i.zh AS name_zh, i.en AS name_en,
    CASE WHEN c.unit = i.unit THEN i.loinc END AS loinc, CASE WHEN i.mdc_code IS NOT NULL THEN c.item END AS mdc_id,
    i.mdc_code, i.data_element, i.data_element_name,
    CASE WHEN c.status <> 'entered-in-error' THEN c.value END AS value,
    CASE WHEN c.status = 'entered-in-error' THEN NULL
        WHEN c.value IS NULL THEN c.text ELSE round(c.value::numeric, c.decimals)::text END AS value_text,
    c.unit, coalesce((SELECT u.zh FROM unit_name u WHERE u.ucum = c.unit), c.unit) AS unit_zh,
    c.observed_at, c.slot, c.recorded_at, c.origin, c.by_time,
    (SELECT convert_from(a.body, 'UTF8')::jsonb -> 'details' ->> 'by_name' FROM act a WHERE a.act_id = c.act_id)
        AS confirmed_by
FROM chart_entry c LEFT JOIN chart_item i USING (item)
WHERE NOT EXISTS (SELECT FROM chart_entry later WHERE later.entry = c.entry AND later.version = c.version + 1);

CREATE VIEW emr_vital_sign AS
SELECT e.patient_number, e.patient_authority, e.patient_number_type, e.patient_name, e.visit_number, c.entry, c.version,
    c.status, c.encounter, c.bed, c.item, c.name_zh, c.name_en, c.loinc, c.mdc_id, c.mdc_code, c.data_element,
    c.data_element_name, c.value, c.value_text, c.unit, c.unit_zh, c.observed_at, c.slot, c.recorded_at, c.origin,
    c.by_time, c.confirmed_by
FROM charted_entry c LEFT JOIN charted_encounter e ON e.encounter = c.encounter;

-- Of each encounter and item the newest that stands, by when it was measured: the items of an encounter are found one after
-- the other in chart_entry_item, and of each the last row. `encounter` is that of `e`, for WHERE to begin there.
CREATE VIEW emr_vital_sign_latest AS
SELECT e.patient_number, e.patient_authority, e.patient_number_type, e.patient_name, e.visit_number, c.entry, c.version,
    c.status, e.encounter, c.bed, c.item, c.name_zh, c.name_en, c.loinc, c.mdc_id, c.mdc_code, c.data_element,
    c.data_element_name, c.value, c.value_text, c.unit, c.unit_zh, c.observed_at, c.slot, c.recorded_at, c.origin,
    c.by_time, c.confirmed_by
FROM charted_encounter e
CROSS JOIN LATERAL (
    WITH RECURSIVE charted AS (
        (SELECT item FROM chart_entry WHERE encounter = e.encounter ORDER BY item LIMIT 1)
        UNION ALL
        SELECT (SELECT n.item FROM chart_entry n WHERE n.encounter = e.encounter AND n.item > c.item ORDER BY n.item LIMIT 1)
        FROM charted c WHERE c.item IS NOT NULL)
    SELECT item FROM charted WHERE item IS NOT NULL) AS i
CROSS JOIN LATERAL (
    SELECT * FROM charted_entry n
    WHERE n.encounter = e.encounter AND n.item = i.item AND n.status <> 'entered-in-error'
    ORDER BY n.observed_at DESC, n.entry DESC LIMIT 1) AS c;
