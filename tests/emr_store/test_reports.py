"""Reports whose words others repeat: stored as each would be alone."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from emr_store import reports
from emr_store.reports import REPEATED_MIN
from emr_store.texts import texts_json
from emr_store.transaction import Writer
from evidence.seal import open_sealed
from schemas.report import AsSent, Record, RecordKind, Report
from tests.conftest import Databases
from tests.making import PER_MIN, PERCENT, PULSE, SPO2, T0_US, report
from tests.verifying import SECOND_US, Ward, masked, verify

CLAIM = "ward:pump:1"
UNMAPPED = AsSent("99BENCH", "flow", "gtt")


@pytest.fixture(scope="module")
def made_once(module_database: str) -> Ward:
    ward = Ward(module_database)
    ward.hang_up()
    return ward


@pytest.fixture
def ward(databases: Databases, made_once: Ward) -> Iterator[Ward]:
    for address in databases.copy_of(made_once.address):
        yield made_once.in_copy(address)


def wordy(count: int, first_us: int = T0_US) -> list[Report]:
    """In turns: what nobody has mapped, in the same words; two enumerations, one in words of its own; no words."""
    sent = []
    for n in range(count):
        at_us = first_us + n * SECOND_US
        sent += [
            report(CLAIM, at_us, [Record(mantissa=n, as_sent=UNMAPPED), Record(SPO2, PERCENT, mantissa=97)]),
            report(CLAIM, at_us + 1, [Record(kind=RecordKind.CODE, mantissa=n % 2, text="run")]),
            report(CLAIM, at_us + 2, [Record(kind=RecordKind.CODE, mantissa=7, note="first" if n == 0 else "later")]),
            report(CLAIM, at_us + 3, [Record(PULSE, PER_MIN, mantissa=60 + n % 9)]),
        ]
    return sent


def store(ward: Ward, writer: Writer, sent: list[Report]) -> list[object]:
    """Stored as one transaction; what each says in words."""
    sealed = ward.seal(*sent)
    writer.store([ward.validate(sealed)], [])
    _, table = open_sealed(sealed)
    return [json.loads(texts_json(table, i)) or None for i in range(len(table))]


def texts_of(ward: Ward) -> list[object]:
    with ward.open() as conn:
        return [row[0] for row in conn.execute("SELECT texts FROM report WHERE batch > 0 ORDER BY batch, leaf")]


def test_repeated_words_are_stored_with_each_report(ward: Ward) -> None:
    with ward.open() as conn:
        writer = Writer(conn)
        said = store(ward, writer, wordy(REPEATED_MIN))
        said += store(ward, writer, wordy(REPEATED_MIN, T0_US + 3600 * SECOND_US))  # nothing is left of the one before
        said += store(ward, writer, wordy(2, T0_US + 7200 * SECOND_US))  # too few to be put together
        assert conn.execute("SELECT count(*) FROM report_in").fetchone() == (0,)
    assert texts_of(ward) == said
    ward.seal_log(T0_US + 9000 * SECOND_US)
    assert verify(ward.address).findings == []


def test_words_that_are_all_different_are_stored_as_they_come(ward: Ward) -> None:
    sent = [
        report(CLAIM, T0_US + n, [Record(mantissa=1, as_sent=AsSent("99BENCH", f"flow {n}", ""))])
        for n in range(REPEATED_MIN)
    ]
    with ward.open() as conn:
        said = store(ward, Writer(conn), sent)
        assert conn.execute("SELECT to_regclass('report_in')").fetchone() == (None,)
    assert texts_of(ward) == said


def test_repeated_words_that_were_changed_in_the_store_are_found(ward: Ward) -> None:
    with ward.open() as conn:
        store(ward, Writer(conn), wordy(REPEATED_MIN))
        conn.execute("UPDATE report SET texts = replace(texts::text, 'flow', 'dose')::jsonb WHERE leaf = 40")
    ward.seal_log(T0_US + 9000 * SECOND_US)
    assert [masked(finding.what) for finding in verify(ward.address).findings] != []


def test_what_fails_leaves_no_row(ward: Ward, monkeypatch: pytest.MonkeyPatch) -> None:
    with ward.open() as conn:
        writer = Writer(conn)
        store(ward, writer, wordy(1))
        with monkeypatch.context() as patched:
            patched.setattr(reports, "_PUT_SQL", "SELECT 1 / 0")
            with pytest.raises(Exception, match="division by zero"):
                store(ward, writer, wordy(REPEATED_MIN, T0_US + 3600 * SECOND_US))
        assert len(texts_of(ward)) == 4
        said = store(ward, writer, wordy(REPEATED_MIN, T0_US + 3600 * SECOND_US))
    assert texts_of(ward)[4:] == said
