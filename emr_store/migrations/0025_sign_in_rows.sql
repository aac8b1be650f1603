-- Of a try to sign in it is kept by which factor; and a sign-in that somebody began is kept apart from one that failed.
ALTER TABLE sign_in_attempt
    ADD COLUMN factor text NOT NULL DEFAULT '',       -- gateway/people/factors.py: Factor; '' before this column
    ADD COLUMN begun boolean NOT NULL DEFAULT false;  -- a challenge was made, or a browser sent to the provider
CREATE INDEX sign_in_attempt_at ON sign_in_attempt (at);
CREATE INDEX machine_assertion_expires ON machine_assertion (expires_at);
CREATE INDEX provider_logout_used ON provider_logout (used_at);

-- Remove what nobody needs any more, at most so many rows of each table; how many. Whatever is asked for, a day stays: the
-- throttle looks back 15 minutes, a challenge lasts 2, a logout token is taken for 11 after it was made, and an assertion
-- until it expires; the rest of the day is for clocks of gateways that are behind this one. What somebody writes at this
-- moment is left for another time. `keep_attempts` null: tries stay for ever.
CREATE FUNCTION purge_sign_in_rows(
    keep_attempts interval, most int, OUT attempts bigint, OUT assertions bigint, OUT logouts bigint, OUT challenges bigint
) LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    WITH attempt AS (
        DELETE FROM sign_in_attempt WHERE ctid = ANY(ARRAY(
            SELECT ctid FROM sign_in_attempt
            WHERE keep_attempts IS NOT NULL AND at < now() - greatest(keep_attempts, interval '1 day')
            ORDER BY at LIMIT most FOR UPDATE SKIP LOCKED)) RETURNING 1),
    assertion AS (
        DELETE FROM machine_assertion WHERE ctid = ANY(ARRAY(
            SELECT ctid FROM machine_assertion WHERE expires_at < now() - interval '1 day'
            ORDER BY expires_at LIMIT most FOR UPDATE SKIP LOCKED)) RETURNING 1),
    logout AS (
        DELETE FROM provider_logout WHERE ctid = ANY(ARRAY(
            SELECT ctid FROM provider_logout WHERE used_at < now() - interval '1 day'
            ORDER BY used_at LIMIT most FOR UPDATE SKIP LOCKED)) RETURNING 1),
    challenge AS (
        DELETE FROM key_challenge WHERE ctid = ANY(ARRAY(
            SELECT ctid FROM key_challenge WHERE made_at < now() - interval '1 day'
            ORDER BY made_at LIMIT most FOR UPDATE SKIP LOCKED)) RETURNING 1)
    SELECT (SELECT count(*) FROM attempt), (SELECT count(*) FROM assertion), (SELECT count(*) FROM logout),
        (SELECT count(*) FROM challenge);
$$;
