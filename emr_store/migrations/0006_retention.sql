-- Episodes of alarms that a person ended, for no value will: by which act. The alarm worker emits the transition.
CREATE TABLE alarm_end (
    episode uuid PRIMARY KEY,
    act_id  bytea NOT NULL REFERENCES act
);

-- The lane `adt` (schemas/report.py: Lane.ADT) has a retention of its own: names lie in its batches, which are few. Their
-- bytes go one by one, with no regard to whether rows over them are left: names in rows are erased by an act.

-- By which number of days, as it was last applied: what people are told who ask until when a name is sealed.
CREATE TABLE adt_retention (
    one        boolean PRIMARY KEY DEFAULT true CHECK (one),
    keep_days  int NOT NULL,                    -- 0: for ever
    applied_at timestamptz NOT NULL
);

CREATE FUNCTION note_adt_retention(keep_days int) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    INSERT INTO adt_retention VALUES (true, keep_days, clock_timestamp())
    ON CONFLICT (one) DO UPDATE SET keep_days = excluded.keep_days, applied_at = excluded.applied_at;
$$;

-- Drop the bytes of the lane's batches in this range of 2^24 numbers up to the first one that was not stored so long ago,
-- unless somebody holds the partition back; how many, and when the first and the last of them were stored.
CREATE FUNCTION drop_adt_bodies(part bigint, keep interval, OUT bodies bigint, OUT stored_from text, OUT stored_to text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    name text := 'batch_body_4_' || part;
    first bigint := part << 24;
    after bigint;
    stored record;
BEGIN
    bodies := 0;
    LOCK TABLE legal_hold IN SHARE MODE;  -- whoever adds one now waits, and sees what was dropped
    IF to_regclass(name) IS NULL OR EXISTS (SELECT FROM legal_hold h WHERE h.partition = name) THEN
        RETURN;
    END IF;
    EXECUTE format('SELECT coalesce(min(batch) FILTER (WHERE b.stored_at >= now() - $1), max(batch) + 1)'
        ' FROM %I JOIN batch b USING (batch)', name) INTO after USING keep;
    EXECUTE format('SELECT count(*) AS count, min(b.stored_at) AS since, max(b.stored_at) AS until'
        ' FROM %I JOIN batch b USING (batch) WHERE batch < $1', name) INTO stored USING after;
    IF stored.count = 0 THEN
        RETURN;
    END IF;
    EXECUTE format('DELETE FROM %I WHERE batch < $1', name) USING after;
    UPDATE batch_validation v SET validation = NULL FROM batch b
    WHERE b.batch = v.batch AND b.lane = 4 AND v.batch >= first AND v.batch < after AND v.validation IS NOT NULL;
    INSERT INTO dropped_body AS d VALUES (4, first, after, stored.since, stored.until)
    ON CONFLICT (lane, first_batch) DO UPDATE SET after_batch = greatest(d.after_batch, excluded.after_batch),
        stored_from = least(d.stored_from, excluded.stored_from), stored_to = greatest(d.stored_to, excluded.stored_to),
        dropped_at = excluded.dropped_at;
    bodies := stored.count;
    stored_from := stored.since::text;
    stored_to := stored.until::text;
END $$;

-- Drop the bytes of the lane's messages that could not be validated, so long ago; how many. That they came stays.
CREATE FUNCTION drop_adt_dead_letters(keep interval) RETURNS bigint
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    WITH emptied AS (
        UPDATE dead_letter SET message = ''
        WHERE topic IN ('adt.raw', 'adt.signed') AND at < now() - keep AND message <> '' RETURNING 1)
    SELECT count(*) FROM emptied;
$$;
