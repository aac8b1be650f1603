"""What `verify` finds of charts that somebody changed by SQL."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from clinical.chart_policy import read_policies
from emr_store import chart_acts, proof
from emr_store.acts import Author
from emr_store.chart_acts import Person
from emr_store.instants import moment
from tests.adt import group, us
from tests.charting import POLICIES, Ward, spo2
from tests.conftest import Databases
from tests.verifying import revalidate

NURSE = Person(Author("os:nurse@ward", "why"), "Li")


@pytest.fixture(scope="module")
def made_once(module_database: str) -> Ward:
    """Three entries: a device's in two versions, a confirmed one, one by hand."""
    made = Ward(module_database, read_policies(POLICIES))
    made.place()
    made.hospital.emit_records([group("A01", 0)])
    made.emit(spo2(50, 97), spo2(350, 90))
    made.chart()
    made.emit(spo2(60, 91))
    made.chart()
    with made.store.open() as conn:
        chart_acts.confirm(conn, made.entries()[1].entry, NURSE)
        chart_acts.enter(conn, "V1", "pain", 3, "", moment(us(60)), NURSE)
    made.store.seal_log()
    made.store.hang_up()
    return made


@pytest.fixture
def database(databases: Databases, made_once: Ward) -> Iterator[str]:
    yield from databases.copy_of(made_once.store.address)


@pytest.fixture
def ward(made_once: Ward, database: str) -> Ward:
    return made_once.in_copy(database)


def findings(ward: Ward, sql: str = "") -> list[str]:
    with ward.store.open() as conn, conn.transaction(force_rollback=True):
        if sql:
            conn.execute("ALTER TABLE chart_entry DISABLE TRIGGER ALL, DROP CONSTRAINT chart_entry_stands_on")
            assert conn.execute(sql.encode()).rowcount > 0
        result = proof.verify(conn, revalidate=revalidate)
        assert sql or result.counts["chart_entry"] == 5
        return [f"{finding.where}: {finding.what}" for finding in result.findings]


def test_an_honest_chart_has_no_finding(ward: Ward) -> None:
    assert findings(ward) == []


@pytest.mark.parametrize(
    ("sql", "found"),
    [
        ("UPDATE chart_entry SET value = 99 WHERE version = 1 AND value = 97", "it does not say what the value"),
        ("UPDATE chart_entry SET unit = 'mm[Hg]' WHERE version = 2 AND value = 91", "it does not say what the value"),
        ("UPDATE chart_entry SET decimals = 2 WHERE version = 2 AND value = 91", "it does not say what the value"),
        ("UPDATE chart_entry SET source_leaf = '{7}' WHERE value = 97", "its source is no report of that moment"),
        ("UPDATE chart_entry SET source_batch = '{abc}' WHERE value = 97", "no batch is kept with the id"),
        ("UPDATE chart_entry SET value = 5 WHERE item = 'pain'", "it is not what the act in the log says"),
        (
            "UPDATE chart_entry SET status = 'amended' WHERE act_id IS NOT NULL",
            "it is not what the act in the log says",
        ),
        ("UPDATE chart_entry SET encounter = 'V9' WHERE item = 'pain'", "it is not what the act in the log says"),
        ("DELETE FROM chart_entry WHERE item = 'pain'", "an act in the log wrote it, and it is gone"),
        ("DELETE FROM chart_entry WHERE value = 97", "the version before it is gone"),
        ("UPDATE chart_entry SET encounter = 'V9' WHERE value = 97", "it does not say the encounter, item and time"),
        (
            "INSERT INTO chart_entry SELECT gen_random_uuid(), 1, encounter, item, slot + '1 s', 1, status, origin, 77,"
            " text, unit, decimals, observed_at, '{}', '{}', '{}', reason, NULL, false, recorded_at FROM chart_entry"
            " WHERE value = 97",
            "neither an act nor a value stands behind it",
        ),
        (
            "UPDATE chart_entry SET act_id = (SELECT min(act_id) FROM act WHERE kind = 'device.assign')"
            " WHERE item = 'pain'",
            "no act in the log wrote it: it was invented",
        ),
    ],
)
def test_what_was_changed_is_found(ward: Ward, sql: str, found: str) -> None:
    assert any(found in each for each in findings(ward, sql)), findings(ward, sql)
