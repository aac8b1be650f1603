"""What each group of the database's users may do, tried by logins that are members of one alone."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from emr_store import acts, deliver, deliver_acts, holds, places, roles
from emr_store.acts import Author
from emr_store.connect import open_store, open_store_async, with_role
from emr_store.migrate import migrate
from schemas.errors import VitalwireError

BODY = '{"at_us":0,"by":"a","details":{},"kind":"device.move","why":""}'
INSERTS = {
    "report": "INSERT INTO report VALUES (now(), now(), 1, 1, 1, 0, 1, 1, 0, '{}')",
    "batch": "INSERT INTO batch VALUES (1, gen_random_uuid(), gen_random_uuid(), 1, 1, 'b', 1, 0, now(), 1, 1)",
    "batch_body": "INSERT INTO batch_body VALUES (1, 1, 'b', 'v')",
    "batch_validation": "INSERT INTO batch_validation VALUES (1, 1, 0, 'a', 'v')",
    "seal": "INSERT INTO seal (statement, leaves, signed_at) VALUES ('s', 'l', now())",
    "act": f"INSERT INTO act VALUES ('a', 'device.move', '{BODY}', NULL, now())",
    "log_entry": "INSERT INTO log_entry VALUES ('i', 0, 1, NULL, 'h')",
    "alarm_transition": "INSERT INTO alarm_transition (transition, episode, kind, at, by, device_uuid, condition_kind,"
    " code, channel, side, priority, opened_at, message, late, statement) VALUES (gen_random_uuid(), gen_random_uuid(),"
    " 'opened', now(), 'a', gen_random_uuid(), 'limit', 1, 0, 'low', 'high', now(), 'm', false, 's')",
    "checkpoint": "INSERT INTO checkpoint VALUES ('i', 1, 'n', now())",
    "chart_entry": "INSERT INTO chart_entry VALUES (gen_random_uuid(), 1, 'e', 'm', now(), 1, 'preliminary', 'device',"
    " 1, '', '', 0, now(), '{b}', '{0}', '{0}', 'r', NULL, false, now())",
}

COLUMNS = {
    "report": "value", "batch": "batch_id", "batch_body": "sealed", "batch_validation": "validation",
    "seal": "leaves", "act": "body", "log_entry": "leaf_hash", "checkpoint": "note", "alarm_transition": "statement",
    "chart_entry": "value", "look": "person", "look_end": "until_at", "look_minute": "sha256", "look_sealed": "act_id",
    "archive_reopening": "reason",
    "access_grant": "reason", "access_grant_end": "ended_at", "review": "person", "review_closed": "word",
    "custody_part": "list_sha256", "custody_confirmation": "name",
    "second_person": "by", "second_person_answer": "agrees", "second_person_use": "at",
    "emergency_account": "hash", "emergency_opened": "address",
}  # fmt: skip


class Logins:
    """Fresh logins of the server, each a member of one group; they are dropped after the test."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._made: list[str] = []

    def member(self, group: str, attributes: str = "") -> str:
        """The address of a login that is a member of this group ("": of none)."""
        name, password = f"t_{secrets.token_hex(6)}", secrets.token_hex(8)
        with open_store(self.address) as conn:
            conn.execute(f"CREATE ROLE {name} LOGIN PASSWORD '{password}' {attributes}".encode())
            self._made.append(name)
            if group:
                conn.execute(f"GRANT {group} TO {name}".encode())
        return make_conninfo(self.address, user=name, password=password)

    def drop(self) -> None:
        with open_store(self.address) as conn:
            for name in self._made:
                conn.execute(f"DROP OWNED BY {name} CASCADE".encode())
                conn.execute(f"DROP ROLE {name}".encode())


@pytest.fixture
def database(empty_database: str) -> str:
    """Without a schema: these tests are about its making."""
    return empty_database


@pytest.fixture
def logins(database: str) -> Iterator[Logins]:
    made = Logins(database)
    yield made
    made.drop()


@pytest.fixture
def store(database: str) -> str:
    migrate(database)
    with open_store(database) as conn:
        conn.execute("SELECT make_month(date_trunc('month', now())::date)")
        for sql in INSERTS.values():
            conn.execute(sql.encode())
    return database


def refused(conn: psycopg.Connection, sql: str) -> bool:
    try:
        conn.execute(sql.encode())
    except psycopg.errors.InsufficientPrivilege:
        return True
    return False


def test_the_writer_adds_to_what_is_signed_and_never_changes_it(store: str, logins: Logins) -> None:
    with open_store(logins.member(roles.WRITER)) as conn:
        for table in roles.UNCHANGEABLE:
            assert refused(conn, f"UPDATE {table} SET {COLUMNS[table]} = NULL"), table
            assert refused(conn, f"DELETE FROM {table}"), table
            assert refused(conn, f"TRUNCATE {table} CASCADE"), table
            assert refused(conn, f"DROP TABLE {table} CASCADE"), table
        assert refused(conn, "SELECT take_reports(1, '{0}', '-infinity', 'infinity')")
        for table in ("report", "batch_body", "seal"):
            conn.execute(INSERTS[table].replace("(1, 1, 'b', 'v')", "(1, 2, 'b', 'v')").encode())
        conn.execute("INSERT INTO ledger (edge, spool, lane) VALUES (gen_random_uuid(), gen_random_uuid(), 1)")
        conn.execute("UPDATE ledger SET reports = 1")
        conn.execute("SELECT nextval('batch_number')")
        conn.execute("CREATE TEMPORARY TABLE latest_in (LIKE latest)")
        assert refused(conn, "UPDATE schema_version SET version = 99")


def test_the_writer_reaches_no_partition_beside_its_parent(store: str, logins: Logins) -> None:
    with open_store(logins.member(roles.WRITER)) as conn:
        row = conn.execute("SELECT tableoid::regclass::text FROM report").fetchone()
        assert row is not None
        for part in (row[0], "batch_body_1_0"):
            assert part != "report"
            assert refused(conn, f"DELETE FROM {part}")
            assert refused(conn, f"UPDATE {part} SET batch = 7")


def test_the_writer_gets_new_months_and_ranges_without_a_right_to_make_tables(store: str, logins: Logins) -> None:
    with open_store(logins.member(roles.WRITER)) as conn:
        assert refused(conn, "CREATE TABLE report_2001_01 PARTITION OF report DEFAULT")
        assert refused(conn, "CREATE TABLE of_its_own (a int)")
        conn.execute("SELECT make_month('2001-01-01')")
        conn.execute("SELECT make_body(1::int2, %s)", (1 << 24,))
        conn.execute(INSERTS["report"].replace("(now(), now()", "('2001-01-05', now()").encode())
        conn.execute("INSERT INTO batch_body VALUES (1, %s, 'b', 'v')", (1 << 24,))
        assert refused(conn, "DELETE FROM report_2001_01")
        owners = conn.execute(
            "SELECT pg_get_userbyid(relowner) FROM pg_class WHERE relname IN ('report_2001_01', 'batch_body_1_1')"
        ).fetchall()
        assert owners == [(roles.OWNER,)] * 2


def test_a_table_of_the_callers_own_does_not_mislead_the_owners_function(store: str, logins: Logins) -> None:
    with open_store(logins.member(roles.WRITER)) as conn:
        conn.execute("CREATE TEMPORARY TABLE report (a int)")
        conn.execute("SELECT make_month('2001-02-01')")
        row = conn.execute("SELECT inhparent::regclass::text FROM pg_inherits WHERE inhrelid ="
        r" 'report_2001_02'::regclass").fetchone()  # fmt: skip
        assert row == ("public.report",)


def test_the_sealer_signs_an_act_once(store: str, logins: Logins) -> None:
    with open_store(logins.member(roles.WRITER)) as conn:
        conn.execute("UPDATE act SET statement = 'signed' WHERE act_id = 'a'")
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="act 61 is signed already"):
            conn.execute("UPDATE act SET statement = 'forged' WHERE act_id = 'a'")


def test_the_reader_reads_and_changes_nothing(store: str, logins: Logins) -> None:
    with open_store(logins.member(roles.READER)) as conn:
        for name in ("observation", "alarm_observation", "latest", "ledger", "act", "device_bed", "registered_device"):
            conn.execute(f"SELECT count(*) FROM {name}".encode())
        for table in (*roles.UNCHANGEABLE, "edge_key", "device_bed", "latest", "ledger", "legal_hold", "dead_letter"):
            assert refused(conn, f"DELETE FROM {table}"), table
        assert refused(conn, INSERTS["act"])
        assert refused(conn, "SELECT make_month('2001-01-01')")
        assert refused(conn, "CREATE TABLE mine (a int)")


def test_hashes_of_sealed_accounts_are_read_by_the_clerk_alone(store: str, logins: Logins) -> None:
    for group in (roles.READER, roles.WRITER, roles.RETENTION):
        with open_store(logins.member(group)) as conn, pytest.raises(psycopg.errors.InsufficientPrivilege):
            conn.execute("SELECT hash FROM emergency_account")
    with open_store(logins.member(roles.CLERK)) as conn:
        assert conn.execute("SELECT hash FROM emergency_account").fetchall() == []


def test_a_clerk_adds_acts_and_changes_nothing_else(store: str, logins: Logins) -> None:
    with open_store(logins.member(roles.CLERK)) as conn:
        with conn.transaction():
            act = acts.record(conn, acts.act("worklist.resolve", Author("os:nurse@ward"), acts.now(conn), item=1))
            for sql in (
                "INSERT INTO device_encounter VALUES (gen_random_uuid(), 'v', '(,)', '(,)', false, %s)",
                "INSERT INTO pid_mute VALUES (gen_random_uuid(), now(), '(,)', %s)",
                "INSERT INTO worklist_resolution VALUES ('k', 's', now(), '{}', %s)",
                INSERTS["chart_entry"].replace("NULL", "%s"),
            ):
                conn.execute(sql.encode(), (act,))
        assert conn.execute("SELECT count(*) FROM attribution_device").fetchone() == (2,)
        for table in (*roles.UNCHANGEABLE, *roles.BY_ACT, "whose", "encounter_bed", "adt_fact", "device_bed"):
            assert refused(conn, f"DELETE FROM {table}"), table
        assert conn.execute("SELECT count(*) FROM chart_acted").fetchone() == (1,)
        for table in ("report", "batch", "seal", "log_entry", "chart_entry"):
            assert refused(conn, INSERTS[table])
        assert refused(conn, "INSERT INTO attribution_device VALUES (gen_random_uuid())")
        assert refused(conn, "UPDATE act SET statement = 'forged'")


def test_a_clerk_says_where_devices_stand_and_rewrites_nothing_of_it(store: str, logins: Logins) -> None:
    with open_store(store) as conn:
        conn.execute("INSERT INTO device (uuid, claim, edge) VALUES (gen_random_uuid(), 'a/1', gen_random_uuid())")
    with open_store(logins.member(roles.CLERK)) as conn:
        places.assign(conn, "a/1", "ICU-01", name="N10", author=Author("staff:N1"))
        places.move(conn, "a/1", "ICU-02", author=Author("staff:N1"))
        places.rename(conn, "a/1", "N10 7", author=Author("staff:N1"))
        places.release(conn, "a/1", author=Author("staff:N1"))
        for change in (
            "registered_device SET uuid = gen_random_uuid()", "registered_device SET registered_at = now()",
            "device_bed SET bed = 'x'", "device_bed SET valid = '(,)'", "device_bed SET act_id = 'a'",
            "device_edge SET recorded = '(,)'", "device SET claim = 'x'",
        ):  # fmt: skip
            assert refused(conn, f"UPDATE {change}"), change
        assert refused(conn, "INSERT INTO device (uuid, edge) VALUES (gen_random_uuid(), gen_random_uuid())")


def test_a_clerk_decides_what_becomes_of_deliveries_and_rewrites_none(store: str, logins: Logins) -> None:
    with open_store(store) as conn:
        number = deliver.open_destination(conn, "emr", None)
    with open_store(logins.member(roles.CLERK)) as conn:
        deliver_acts.pause(conn, "emr", Author("os:nurse@ward", "upgrade"))
        assert deliver.destination_now(conn, number).paused_at is not None
        deliver_acts.resume(conn, "emr", Author("os:nurse@ward"))
        assert deliver_acts.retry_all(conn, "emr", Author("os:nurse@ward")) == 0
        conn.execute("UPDATE delivery SET state = 'skipped', reason = '' WHERE delivery = 1")
        for column in ("entries = '{}'", "versions = '{}'", "patient = ''", "encounter = ''", "destination = 1"):
            assert refused(conn, f"UPDATE delivery SET {column}"), column
        for column in ("position = 0", "name = 'x'", "accepted = 0"):
            assert refused(conn, f"UPDATE destination SET {column}"), column
        assert refused(conn, "DELETE FROM delivery")
        assert refused(conn, "UPDATE delivered SET version = 9")


def test_a_login_of_no_group_sees_nothing(store: str, logins: Logins) -> None:
    with open_store(logins.member("")) as conn:
        assert refused(conn, "SELECT * FROM observation")
        assert refused(conn, "SELECT make_month('2001-01-01')")


def test_a_system_of_the_hospital_reads_its_two_views_and_nothing_else(store: str, logins: Logins) -> None:
    with open_store(logins.member(roles.EMR_READER)) as conn:
        readable = conn.execute(
            "SELECT relname::text FROM pg_class WHERE relnamespace = 'public'::regnamespace"
            " AND relkind IN ('r', 'p', 'v') AND has_table_privilege(oid, 'SELECT') ORDER BY 1"
        ).fetchall()
        assert readable == [("emr_vital_sign",), ("emr_vital_sign_latest",)]
        assert conn.execute("SELECT status FROM emr_vital_sign").fetchall() == [("preliminary",)]
        assert conn.execute("SELECT * FROM emr_vital_sign_latest").fetchall() == []
        for table in ("chart_entry", "charted_entry", "charted_encounter", "patient_person", "act"):
            assert refused(conn, f"SELECT FROM {table}"), table
        for table, sql in INSERTS.items():
            assert refused(conn, sql), table


def test_retention_stores_and_changes_nothing_itself(store: str, logins: Logins) -> None:
    with open_store(logins.member(roles.RETENTION)) as conn:
        conn.execute("SELECT count(*) FROM report")
        for sql in INSERTS.values():
            assert refused(conn, sql)
        for table in (*roles.UNCHANGEABLE, "dropped", "legal_hold", "day_stored"):
            assert refused(conn, f"DELETE FROM {table}"), table


def test_retention_drops_what_is_old_and_nobody_holds_through_the_owners_function(store: str, logins: Logins) -> None:
    drops = [f"SELECT drop_rows('report', 'report_2001_{month}', interval '1 day')" for month in ("01", "02")]
    with open_store(store) as conn:
        conn.execute("SELECT make_month('2001-01-01'), make_month('2001-02-01')")
        for day in ("2001-01-05", "2001-02-05"):
            conn.execute(INSERTS["report"].replace("(now(), now()", f"('{day}', now()").encode())
            conn.execute(
                "INSERT INTO day_stored VALUES (%s, now() - interval '9 days', now() - interval '9 days')", (day,)
            )
        holds.add(conn, "report_2001_02", Author("os:jurist@house", "case 7"))
    with open_store(logins.member(roles.RETENTION)) as conn:
        assert [conn.execute(sql.encode()).fetchone() for sql in drops] == [(True,), (False,)]
        left = conn.execute("SELECT observed_at::date::text FROM report WHERE observed_at < '2002-01-01'").fetchall()
        assert left == [("2001-02-05",)]
        assert conn.execute("SELECT what FROM dropped").fetchall() == [("report",)]
        assert refused(conn, "TRUNCATE report_2001_02")
        assert refused(conn, "DELETE FROM legal_hold")
    with open_store(logins.member(roles.WRITER)) as conn:
        assert refused(conn, drops[1])


def test_retention_drops_bytes_of_the_lane_adt_and_a_writer_does_not(store: str, logins: Logins) -> None:
    drops = (
        "SELECT note_adt_retention(30)", "SELECT drop_adt_bodies(0, interval '30 days')",
        "SELECT drop_adt_dead_letters(interval '30 days')",
    )  # fmt: skip
    with open_store(logins.member(roles.RETENTION)) as conn:
        for sql in drops:
            conn.execute(sql.encode())
        assert conn.execute("SELECT keep_days FROM adt_retention").fetchone() == (30,)
        assert refused(conn, "UPDATE adt_retention SET keep_days = 0")
        assert refused(conn, "DELETE FROM batch_body_4")
    with open_store(logins.member(roles.WRITER)) as conn:
        assert all(refused(conn, sql) for sql in drops)


def test_retention_alone_removes_rows_of_sign_ins_and_not_by_itself(store: str, logins: Logins) -> None:
    purge = "SELECT * FROM purge_sign_in_rows(interval '365 days', 100)"
    with open_store(store) as conn:
        conn.execute("INSERT INTO sign_in_attempt VALUES ('N1', '10.0.0.7', false, now() - interval '366 days')")
    with open_store(logins.member(roles.RETENTION)) as conn:
        for table in ("sign_in_attempt", "provider_logout", "machine_assertion", "key_challenge", "login_session"):
            assert refused(conn, f"DELETE FROM {table}"), table
        assert conn.execute(purge.encode()).fetchone() == (1, 0, 0, 0)
    for group in (roles.WRITER, roles.CLERK, roles.READER):
        with open_store(logins.member(group)) as conn:
            assert refused(conn, purge), group


def test_a_member_uses_the_groups_rights_alone(store: str, logins: Logins) -> None:
    with open_store(with_role(store, roles.READER)) as conn:  # a superuser
        assert conn.execute("SELECT current_user").fetchone() == (roles.READER,)
        assert refused(conn, "DELETE FROM report")
    other = logins.member(roles.WRITER)
    with open_store(with_role(other, roles.READER)) as conn, open_store(other) as plain:
        assert conn.execute("SELECT current_user").fetchone() == plain.execute("SELECT current_user").fetchone()


def test_a_group_is_named_beside_other_options_and_no_server_sees_it(store: str) -> None:
    named = with_role(make_conninfo(store, options="-c statement_timeout=4321"), roles.WRITER)

    async def ask() -> tuple[object, ...] | None:
        async with await open_store_async(named) as conn:
            settings = "current_setting('statement_timeout'), current_setting('vitalwire.role', true)"
            return await (await conn.execute(f"SELECT current_user::text, {settings}".encode())).fetchone()

    assert asyncio.run(ask()) == (roles.WRITER, "4321ms", None)


def test_a_writers_deed_is_an_act(store: str, logins: Logins) -> None:
    with open_store(logins.member(roles.WRITER)) as conn:
        conn.execute("INSERT INTO device (uuid, claim, edge) VALUES (gen_random_uuid(), 'a/1', gen_random_uuid())")
        places.assign(conn, "a/1", "ICU-01")
        assert [act.kind for act in acts.acts(conn) if act.position is None][-1:] == ["device.assign"]


def test_of_several_runners_who_make_one_group_at_once_nobody_fails(database: str) -> None:
    group = f"t_{secrets.token_hex(6)}"

    def make(_: int) -> bool:
        with open_store(database) as conn:
            return roles._made(conn, group)

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(make, range(8))) == [True] * 8
    with open_store(database) as conn:
        conn.execute(f"DROP ROLE {group}".encode())


def test_runners_of_several_databases_make_the_groups_at_once(database: str, logins: Logins) -> None:
    # The groups may be there from another test: what counts is that nobody fails, and that all have their rights.
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(migrate, [database] * 3))
    with open_store(database) as conn:
        assert roles.problem(conn) == ""
        assert conn.execute("SELECT has_table_privilege(%s, 'seal', 'INSERT')", (roles.WRITER,)).fetchone() == (True,)
        assert conn.execute("SELECT has_table_privilege(%s, 'seal', 'UPDATE')", (roles.WRITER,)).fetchone() == (False,)


def test_a_login_without_rights_to_make_groups_is_told_what_the_dba_does(database: str, logins: Logins) -> None:
    plain = logins.member("")
    with open_store(database) as conn:
        row = conn.execute("SELECT current_database()").fetchone()
        assert row is not None
        name = plain.split("user=")[1].split()[0]
        conn.execute(f"ALTER DATABASE {row[0]} OWNER TO {name}".encode())
    try:
        migrate(plain)
        with open_store(with_role(plain, roles.WRITER)) as conn:
            problem = roles.problem(conn)
            assert "GRANT vitalwire_owner TO t_" in problem
            assert "`vitalwire migrate` again" in problem
            assert conn.execute("SELECT count(*) FROM report").fetchone() == (0,)
    finally:
        with open_store(database) as conn:
            conn.execute(f"ALTER DATABASE {row[0]} OWNER TO CURRENT_USER".encode())


def test_who_may_not_change_the_schema_runs_with_a_current_one_alone(store: str, logins: Logins) -> None:
    writer = logins.member(roles.WRITER)
    assert migrate(writer) == []
    with open_store(store) as conn:
        conn.execute("DELETE FROM schema_version WHERE version = (SELECT max(version) FROM schema_version)")
    with pytest.raises(VitalwireError, match=r"this login may not change it: run `vitalwire migrate`.*vitalwire_owner"):
        migrate(writer)
