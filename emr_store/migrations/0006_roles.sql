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
