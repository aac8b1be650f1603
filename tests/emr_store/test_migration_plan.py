"""What a migration will lock, and for how long, from its text and the sizes of tables."""

from __future__ import annotations

import json

import psycopg
import pytest

from emr_store.migrate import migrate, migrations
from emr_store.migration_plan import Lock, plan, planned, statements
from tests.commands import vitalwire

GIGABYTE = {"report": 1_000_000_000, "edge": 8192, "report_n": 8192}


@pytest.mark.parametrize(
    ("sql", "lock", "about_s"),
    [
        ("CREATE TABLE new (id int)", Lock.NONE, 0),
        ("CREATE INDEX ON new (id)", Lock.NONE, 0),
        ("ALTER TABLE report ADD COLUMN note text", Lock.ALL, 0),
        ("ALTER TABLE report ADD COLUMN n int CHECK (n > 0)", Lock.ALL, 10),
        ("ALTER TABLE report ADD CONSTRAINT c CHECK (n > 0) NOT VALID", Lock.ALL, 0),
        ("ALTER TABLE report ALTER COLUMN n SET NOT NULL", Lock.ALL, 10),
        ("ALTER TABLE report ALTER n TYPE bigint", Lock.ALL, 50),
        ("CREATE UNIQUE INDEX i ON report (n)", Lock.WRITES, 10),
        ("DROP INDEX IF EXISTS report_n", Lock.ALL, 0),
        ("UPDATE report SET n = 1", Lock.ROWS, 50),
        ("UPDATE edge SET label = ''", Lock.ROWS, 0),
        ("INSERT INTO new SELECT n FROM report", Lock.NONE, 50),
    ],
)
def test_a_statement_is_known_by_what_it_does(sql: str, lock: Lock, about_s: float) -> None:
    found = planned(31, f"-- about report\n{sql};\n", GIGABYTE)
    assert found.lock == lock
    assert found.seconds == pytest.approx(about_s, abs=0.1)
    assert found.is_known
    assert bool(found.tables) == (lock > Lock.NONE)


def test_a_block_of_code_is_not_estimated_and_that_is_said() -> None:
    found = planned(31, "DO $$ BEGIN PERFORM 1; UPDATE report SET n = 1; END $$;", GIGABYTE)
    assert (found.is_known, found.lock, found.tables) == (False, Lock.ALL, ("report",))


def test_a_call_is_not_estimated_either() -> None:
    assert not planned(31, "SELECT make_month('report', now());", GIGABYTE).is_known


def test_a_migration_is_as_long_as_all_its_statements_and_locks_as_its_worst() -> None:
    found = planned(31, "UPDATE report SET n = 1; ALTER TABLE edge ADD COLUMN a int;", GIGABYTE)
    assert (found.lock, found.tables) == (Lock.ALL, ("report", "edge"))
    assert found.seconds > 50


def test_statements_are_not_cut_within_texts_comments_and_bodies() -> None:
    sql = "SELECT 'a;''b'; -- one; two\nCREATE FUNCTION f() RETURNS int AS $x$ SELECT 1; $x$ LANGUAGE sql;"
    assert [text[:15] for text in statements(sql)] == ["SELECT 'a;''b'", "CREATE FUNCTION"]


def test_an_empty_store_waits_for_all_and_locks_nobody(empty_database: str) -> None:
    found = plan(empty_database)
    assert [each.number for each in found] == [number for number, _ in migrations()]
    assert {each.lock for each in found} == {Lock.NONE}


def test_the_command_says_what_is_to_come_and_changes_nothing(database: str) -> None:
    migrate(database)
    last = migrations()[-1][0]
    assert plan(database) == []
    assert "up to date" in vitalwire("migrate --plan", "--database", database)[1]
    with psycopg.connect(database, autocommit=True) as conn:
        conn.execute("DELETE FROM schema_version WHERE version = %s", (last,))
    code, answer = vitalwire("migrate --plan --json", "--database", database)
    assert code == 0
    (each,) = json.loads(answer)
    assert (each["number"], each["seconds"] < 5, each["lock"] in ("NONE", "ROWS", "WRITES", "ALL")) == (
        last,
        True,
        True,
    )
    assert [each.number for each in plan(database)] == [last], "nothing was applied"
