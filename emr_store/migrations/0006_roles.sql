-- What the groups of the database's users (emr_store/roles.py) cannot say by rights alone.

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

-- Of the checkpoints of a minute the last one stays. Here and not by a right of the sealer: it takes none that has no
-- newer one beside it.
CREATE FUNCTION thin_checkpoint(of_incarnation bytea, of_size bigint) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    DELETE FROM checkpoint c WHERE c.incarnation = of_incarnation AND c.size = of_size AND EXISTS (
        SELECT FROM checkpoint newer WHERE newer.incarnation = c.incarnation AND newer.size > c.size
            AND date_trunc('minute', newer.at) = date_trunc('minute', c.at));
$$;

-- What retention may drop, so that it needs no table of its own: months and ranges of batches, or chunks of TimescaleDB.
CREATE VIEW droppable AS
SELECT c.oid::regclass::text AS partition, p.relname::text AS parent
FROM pg_inherits JOIN pg_class c ON c.oid = inhrelid JOIN pg_class p ON p.oid = inhparent
WHERE c.relkind = 'r' AND c.relispartition AND p.relnamespace = 'public'::regnamespace;

-- Before what is in it is looked at for the last time: afterwards nobody stores into it.
CREATE FUNCTION lock_to_drop(of_partition text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF EXISTS (SELECT FROM legal_hold WHERE partition = of_partition) THEN
        RAISE EXCEPTION 'partition % is under a legal hold: `vitalwire hold list` says whose', of_partition;
    END IF;
    IF NOT EXISTS (SELECT FROM droppable WHERE partition = of_partition)
        AND NOT (to_regclass('timescaledb_information.chunks') IS NOT NULL AND is_chunk(of_partition)) THEN
        RAISE EXCEPTION '% is no partition that retention may drop', of_partition;
    END IF;
    EXECUTE format('LOCK TABLE %s IN ACCESS EXCLUSIVE MODE', of_partition);
END $$;

CREATE FUNCTION is_chunk(of_partition text) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    RETURN EXISTS (SELECT FROM timescaledb_information.chunks
                   WHERE format('%I.%I', chunk_schema, chunk_name) = of_partition);
END $$;

-- A month stays, empty, for writers know that they have made it; a chunk and a range of batches go.
CREATE FUNCTION drop_partition(of_partition text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    of_parent text;
BEGIN
    PERFORM lock_to_drop(of_partition);
    SELECT parent INTO of_parent FROM droppable WHERE partition = of_partition;
    IF of_parent IS NULL OR of_parent LIKE 'batch\_body%' THEN
        EXECUTE format('DROP TABLE %s', of_partition);
    ELSE
        EXECUTE format('TRUNCATE %s', of_partition);
    END IF;
END $$;
