-- What an EMR is told, for those who read by SQL.

-- The id under which a patient, an encounter, a bed leaves the house: clinical/charted.py, resource_id. A text of
-- PostgreSQL holds no zero byte: the two parts are joined as bytes.
CREATE OR REPLACE FUNCTION resource_id(kind text, key text) RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    SELECT substr(encode(sha256(convert_to(kind, 'UTF8') || '\x00'::bytea || convert_to(key, 'UTF8')), 'hex'), 1, 32);
$$;
