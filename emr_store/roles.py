"""The groups of the database's users, and what each may do: docs/places.md.

They belong to the cluster, not to a database: they are made where they are absent, or taken as the DBA made them. A
login becomes able to work by `GRANT vitalwire_writer TO login`. Where they cannot be made all goes on with the rights
of the login alone.
"""

from __future__ import annotations

import re

import psycopg

OWNER, WRITER, RETENTION, READER = "vitalwire_owner", "vitalwire_writer", "vitalwire_retention", "vitalwire_reader"
CLERK = "vitalwire_clerk"  # what people do on pages
GROUPS = (OWNER, WRITER, RETENTION, READER, CLERK)
# What another system of the hospital may read, and nothing else: docs/emr-views.md. Nothing of ours works through it:
# the others hold where it is absent.
EMR_READER = "vitalwire_emr_reader"
EMR_VIEWS = ("emr_vital_sign", "emr_vital_sign_latest")
# What is signed, and what the signatures are over: nobody who stores has a reason to change it.
UNCHANGEABLE = (
    "report", "batch", "batch_body", "batch_validation", "seal", "act", "log_entry", "checkpoint", "alarm_transition",
    "chart_entry", "look", "look_end", "look_minute", "look_sealed", "access_grant", "access_grant_end", "review",
    "archive_reopening", "review_closed", "custody_part", "custody_confirmation", "second_person",
    "second_person_answer", "second_person_use", "emergency_account", "emergency_opened",
)  # fmt: skip
# What opens something to whoever guesses it: hashes of passwords. Read by who compares them, and by the owner.
SECRET = ("emergency_account",)
# Whose owner drops what may go; retention itself has no right to a row.
RETENTION_FUNCTIONS = (
    "drop_rows", "drop_body", "drop_adt_bodies", "drop_adt_dead_letters", "note_adt_retention", "purge_sign_in_rows",
)  # fmt: skip
# What a clerk adds to, and changes nothing else: acts, and what they say.
BY_ACT = (
    "act", "unlogged", "device_encounter", "pid_mute", "worklist_resolution", "chart_entry", "staff", "ward_shift",
    "access_grant", "access_grant_end", "supervision", "restricted_record", "archive_reopening", "review",
    "review_closed", "second_person", "second_person_answer", "second_person_use",
    "emergency_account", "emergency_opened",
    # Without an act of their own: sign-ins and looks.
    "login_session", "sign_in_attempt", "provider_logout", "look", "look_end", "look_unsealed",
    # Security keys, and who may get one; what is asked of a key has no act of its own.
    "security_key", "key_enrolment", "key_challenge", "station_display",
    # Which account at the provider is whose.
    "provider_account",
    # Tokens that machines asked for.
    "machine_assertion",
    # Where devices stand, and who they are.
    "registered_device", "device_bed", "device_edge",
    # Boxes that are let in, and the edges that they are then.
    "edge_invitation", "edge", "edge_key",
)  # fmt: skip
# And what a clerk changes: whether a destination is served, what becomes of a parked message, when a session was used
# last and that it ended, what the staff file says, when a restriction ends; how often a key was used and that it ended;
# what a device is called, and until when it was believed to stand somewhere; the key of a box that waits.
CHANGED_BY_ACT = {
    "destination": ("paused_at",),
    "delivery": (
        "state", "settled_at", "behind", "attempts", "next_at", "reason", "code", "answer", "body", "control_id",
        "said", "said_versions",
    ),
    "login_session": ("seen_at", "locked_at", "ended_at", "ended_by", "end_reason"),
    "staff": ("name", "role", "licence", "licence_until", "wards", "pool", "valid", "ended_at", "act_id"),
    "restricted_record": ("valid",),
    "security_key": ("sign_count", "used_at", "revoked_at", "revoked_by", "revoke_reason", "untold", "act_id"),
    "key_enrolment": ("agreed_by", "code_sha256", "open_until", "used_at", "act_id"),
    "key_challenge": ("challenge", "bound_to", "made_at", "used_at"),
    "station_display": ("enrolled_at", "revoked_at", "act_id"),
    "provider_account": ("unbound_at", "act_id"),
    "registered_device": ("name",),
    "device_bed": ("recorded",),
    "edge_invitation": (
        "public_der", "address", "asked_at", "agrees", "decided_by", "decided_at", "edge", "act_id",
    ),
    "edge": ("label",),
}  # fmt: skip
_ATTEMPTS = 20  # of one statement, while other databases' runners change the same row of the cluster


def ensure(conn: psycopg.Connection) -> None:
    """Make the groups and give them this database's tables, as far as this login may; `problem` says what is missing.

    With any absent nothing is granted: half of the groups would lock out who works today.
    """
    made = [_made(conn, group) for group in GROUPS]
    if all(made) and _may_own(conn):
        with conn.transaction():
            conn.execute(_OWN_SQL.encode())
            conn.execute(_GRANT_SQL.encode())
        if _made(conn, EMR_READER):
            conn.execute(_GRANT_EMR_SQL.encode())


def problem(conn: psycopg.Connection) -> str:
    """Why the groups do not hold here, and what mends it; "" where they do."""
    row = conn.execute(_STATE_SQL, (list(GROUPS),)).fetchone()
    assert row is not None
    absent, owner, login = row
    if absent:
        made = " ".join(f"CREATE ROLE {group} NOLOGIN;" for group in absent)
        return (
            f"the database server has no groups {', '.join(absent)}, and {login} may not make them, so that every login"
            f" keeps its own rights: let the DBA run {made} GRANT {OWNER} TO {login}; then `vitalwire migrate` again"
        )
    if owner is not None and owner != OWNER:
        return (
            f"the tables belong to {owner} and not to {OWNER}, so that the groups have no rights here: let the DBA run"
            f" GRANT {OWNER} TO {owner}; then `vitalwire migrate` again as {owner}"
        )
    return ""


_STATE_SQL = """
SELECT ARRAY(SELECT g FROM unnest(%s::text[]) AS g WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = g)),
    (SELECT pg_get_userbyid(relowner) FROM pg_class WHERE oid = to_regclass('report')), current_user::text
"""


def _made(conn: psycopg.Connection, group: str) -> bool:
    """Whether the group is there, now or made by us."""
    if conn.execute("SELECT FROM pg_roles WHERE rolname = %s", (group,)).rowcount:
        return True
    try:
        conn.execute(f"CREATE ROLE {group} NOLOGIN".encode())
    except (psycopg.errors.DuplicateObject, psycopg.errors.UniqueViolation):  # another database's runner was faster
        return True
    except psycopg.errors.InsufficientPrivilege:
        return False
    return True


def _may_own(conn: psycopg.Connection) -> bool:
    """Whether we can hand the tables to the owner: as a superuser, or as a member, which who made it can become."""
    if _is_member(conn):
        return True
    for _ in range(_ATTEMPTS):
        try:
            conn.execute(f"GRANT {OWNER} TO CURRENT_USER".encode())
            return _is_member(conn)
        except psycopg.errors.InternalError as error:  # "tuple concurrently updated"
            if "concurrently" not in str(error):
                raise
        except psycopg.errors.InsufficientPrivilege:
            return False
    return False


def _is_member(conn: psycopg.Connection) -> bool:
    row = conn.execute("SELECT pg_has_role(%s, 'MEMBER')", (OWNER,)).fetchone()
    return bool(row and row[0])


def _listed(names: tuple[str, ...]) -> str:
    assert all(re.fullmatch("[a-z_]+", name) for name in names)
    return ", ".join(f"'{name}'" for name in names)


def _changing() -> str:
    """Rights to columns, one statement a table."""
    return " ".join(
        f"GRANT UPDATE ({', '.join(columns)}) ON {table} TO {CLERK};" for table, columns in CHANGED_BY_ACT.items()
    )


# What this login made by a migration becomes the owner's; partitions and the sequences of columns follow their tables.
_OWN_SQL = f"""
DO $$
DECLARE
    me oid := (SELECT oid FROM pg_roles WHERE rolname = current_user);
    thing record;
BEGIN
    EXECUTE format('GRANT USAGE, CREATE ON SCHEMA %I TO {OWNER}', current_schema());
    FOR thing IN
        SELECT c.oid::regclass::text AS name,
            CASE relkind WHEN 'S' THEN 'SEQUENCE' WHEN 'v' THEN 'VIEW' ELSE 'TABLE' END AS kind
        FROM pg_class c WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'p', 'v', 'S')
            AND relowner = me
            AND NOT EXISTS (SELECT FROM pg_depend WHERE classid = 'pg_class'::regclass AND objid = c.oid
                            AND (deptype = 'e' OR relkind = 'S' AND deptype IN ('a', 'i')))
        UNION ALL
        SELECT p.oid::regprocedure::text, 'FUNCTION' FROM pg_proc p
        WHERE pronamespace = current_schema()::regnamespace AND proowner = me
            AND NOT EXISTS (SELECT FROM pg_depend
                            WHERE classid = 'pg_proc'::regclass AND objid = p.oid AND deptype = 'e')
    LOOP
        EXECUTE format('ALTER %s %s OWNER TO {OWNER}', thing.kind, thing.name);
    END LOOP;
END $$
"""
# Rights on a parent are rights on all of its partitions; on a partition alone nobody has any.
_GRANT_SQL = f"""
DO $$
DECLARE
    here text := current_schema();
    thing record;
BEGIN
    -- Column by column: the sealer signs an act once; a trigger refuses a second time (0003_record.sql).
    GRANT UPDATE (statement) ON act TO {WRITER};
    {_changing()}
    EXECUTE format('GRANT USAGE ON SCHEMA %I TO {WRITER}, {RETENTION}, {READER}, {CLERK}', here);
    FOR thing IN
        SELECT relname, relkind FROM pg_class
        WHERE relnamespace = here::regnamespace AND relkind IN ('r', 'p', 'v', 'S') AND NOT relispartition
            AND relowner = '{OWNER}'::regrole
    LOOP
        IF thing.relkind = 'S' THEN
            EXECUTE format('GRANT USAGE, SELECT ON SEQUENCE %I.%I TO {WRITER}', here, thing.relname);
            CONTINUE;
        END IF;
        IF thing.relname IN ({_listed(SECRET)}) THEN
            EXECUTE format('REVOKE SELECT ON %I.%I FROM {WRITER}, {RETENTION}, {READER}', here, thing.relname);
            EXECUTE format('GRANT SELECT ON %I.%I TO {CLERK}', here, thing.relname);
        ELSE
            EXECUTE format('GRANT SELECT ON %I.%I TO {WRITER}, {RETENTION}, {READER}, {CLERK}', here, thing.relname);
        END IF;
        IF thing.relname IN ({_listed(BY_ACT)}) THEN
            EXECUTE format('GRANT INSERT ON %I.%I TO {CLERK}', here, thing.relname);
        END IF;
        IF thing.relkind <> 'v' AND thing.relname <> 'schema_version' THEN
            EXECUTE format('GRANT INSERT ON %I.%I TO {WRITER}', here, thing.relname);
            IF thing.relname NOT IN ({_listed(UNCHANGEABLE)}) THEN
                EXECUTE format('GRANT UPDATE, DELETE ON %I.%I TO {WRITER}', here, thing.relname);
            END IF;
        END IF;
    END LOOP;
    FOR thing IN
        SELECT p.oid::regprocedure::text AS name, proname FROM pg_proc p
        WHERE pronamespace = here::regnamespace AND proowner = '{OWNER}'::regrole AND prosecdef
    LOOP
        EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', thing.name);
        EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO %I', thing.name,
            CASE WHEN thing.proname IN ({_listed(RETENTION_FUNCTIONS)}) THEN '{RETENTION}' ELSE '{WRITER}' END);
    END LOOP;
    IF NOT has_database_privilege('{WRITER}', current_database(), 'TEMPORARY') THEN
        EXECUTE format('GRANT TEMPORARY ON DATABASE %I TO {WRITER}', current_database());
    END IF;
END $$
"""
_GRANT_EMR_SQL = f"""
DO $$
DECLARE
    here text := current_schema();
    name text;
BEGIN
    EXECUTE format('GRANT USAGE ON SCHEMA %I TO {EMR_READER}', here);
    FOR name IN SELECT relname FROM pg_class WHERE relnamespace = here::regnamespace AND relkind = 'v'
        AND relname IN ({_listed(EMR_VIEWS)}) AND relowner = '{OWNER}'::regrole
    LOOP
        EXECUTE format('GRANT SELECT ON %I.%I TO {EMR_READER}', here, name);
    END LOOP;
END $$
"""
