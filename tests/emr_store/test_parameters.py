"""Every parameter that a device ever sent, how it stands, and how much of it."""

from __future__ import annotations

from datetime import timedelta

import psycopg
import pytest

from emr_store import parameters
from emr_store.connect import open_store
from emr_store.parameters import State, coverage, note_unmapped
from schemas.report import AsSent, Record, RecordKind, device_id
from tests.making import PER_MIN, PERCENT, PULSE, SPO2, T0_US, report
from tests.storing import Store, event

SECOND_US = 1_000_000
HEART = AsSent("99MR", "HR^Heart", "bpm")
WORDS = Record(kind=RecordKind.TEXT, text="Zhang Wei", as_sent=AsSent("", "POS"))


@pytest.fixture
def store(database: str, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setattr(parameters, "_NEWEST_SETTLED_SQL", "SELECT coalesce(max(batch), -1) FROM batch")
    return Store(database)


def numeric(code: int, unit: int, value: int) -> Record:
    return Record(code, unit, mantissa=value)


def note(store: Store) -> None:
    with store.open() as conn:
        while note_unmapped(conn):
            pass


def found(store: Store) -> list[tuple[object, ...]]:
    with store.open() as conn:
        return [
            (p.device, p.state, p.name, p.unit_words, p.samples, p.value_count) for p in parameters.parameters(conn)
        ]


def test_what_has_a_code_what_has_none_and_whose_unit_is_in_doubt(store: Store) -> None:
    unknown_unit = numeric(PULSE, 0, 70)
    store.emit(
        report(records=[numeric(SPO2, PERCENT, 97), unknown_unit, Record(mantissa=72, as_sent=HEART), WORDS]),
        report(at_us=T0_US + SECOND_US, records=[Record(mantissa=73, as_sent=HEART)]),
        report("b", records=[numeric(SPO2, PERCENT, 95), numeric(PULSE, PER_MIN, 70)]),
        event("a", "connected", "x"),
    )
    note(store)
    first, second = device_id("demo:nonin:1"), device_id("b")
    assert found(store) == [
        (first, State.UNIT_IN_DOUBT, "MDC_PULS_OXIM_PULS_RATE", "", (70.0,), 0),
        (first, State.UNMAPPED, "HR^Heart", "bpm", (73.0, 72.0), 2),
        (first, State.UNMAPPED, "POS", "", (), 1),
        (first, State.MAPPED, "MDC_PULS_OXIM_SAT_O2", "%", (97.0,), 0),
        (second, State.MAPPED, "MDC_PULS_OXIM_PULS_RATE", "/min", (70.0,), 0),
        (second, State.MAPPED, "MDC_PULS_OXIM_SAT_O2", "%", (95.0,), 0),
    ]


def test_no_text_is_kept_for_it_may_name_somebody(store: Store) -> None:
    store.emit(report(records=[WORDS]))
    note(store)
    assert store.rows("SELECT times, texts, samples FROM unmapped_parameter") == [(1, 1, [])]
    assert "Zhang" not in str(store.rows("SELECT unmapped_parameter::text FROM unmapped_parameter"))


def test_each_batch_is_counted_once_however_often_it_is_looked(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parameters, "BATCHES_AT_ONCE", 2)
    for n in range(5):
        store.emit(report(at_us=T0_US + n * SECOND_US, records=[Record(mantissa=n, as_sent=HEART)]))
        if n % 2:
            note(store)
    note(store)
    note(store)
    ((times, samples, first_seen, last_seen),) = store.rows(
        "SELECT times, samples, first_seen, last_seen FROM unmapped_parameter"
    )
    assert (times, samples) == (5, [4.0, 3.0, 2.0])
    assert last_seen - first_seen == timedelta(seconds=4)  # type: ignore[operator]


def test_what_was_stored_a_moment_ago_is_left_for_later(database: str) -> None:
    """The numbers of batches are given before they are committed."""
    store = Store(database)
    store.emit(report(records=[Record(mantissa=72, as_sent=HEART)]))
    note(store)
    assert store.rows("SELECT FROM unmapped_parameter") == []
    store.rows("UPDATE batch SET stored_at = stored_at - interval '2 minutes' RETURNING batch")
    note(store)
    assert store.rows("SELECT times FROM unmapped_parameter") == [(1,)]


def test_one_process_at_a_time_counts(store: Store) -> None:
    store.emit(report(records=[Record(mantissa=72, as_sent=HEART)]))
    with store.open() as held, held.transaction():
        held.execute("SELECT FROM unmapped_parameter_work FOR UPDATE")
        note(store)
        assert store.rows("SELECT FROM unmapped_parameter") == []
    note(store)
    assert store.rows("SELECT times FROM unmapped_parameter") == [(1,)]


def test_a_sender_that_makes_names_up_fills_no_table(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store.emit(report(records=[Record(mantissa=1, as_sent=AsSent("", "a"))]))
    note(store)
    monkeypatch.setattr(parameters, "PARAMETERS_MAX", 1)
    records = [Record(mantissa=n, as_sent=AsSent("", name)) for n, name in enumerate("abc")]
    store.emit(report(at_us=T0_US + SECOND_US, records=records))
    note(store)
    assert store.rows("SELECT code, times FROM unmapped_parameter") == [("a", 2)]


def test_coverage_is_of_what_was_heard_within_a_day(store: Store) -> None:
    store.emit(
        report(records=[numeric(SPO2, PERCENT, 97), numeric(PULSE, 0, 70), Record(mantissa=72, as_sent=HEART)]),
        report("b", T0_US - 3 * 86_400 * SECOND_US, [numeric(SPO2, PERCENT, 95)]),
    )
    note(store)
    with store.open() as conn:
        known = parameters.parameters(conn)
    newest = max(each.last_seen for each in known)
    (one,) = coverage(known, newest)
    assert (one.claim or one.device, one.mapped, one.unmapped, one.unit_in_doubt) == (one.claim or one.device, 1, 1, 1)
    assert one.share == pytest.approx(1 / 3)
    assert len(coverage(known, newest - timedelta(days=2))) == 2


def test_an_empty_store_has_none(database: str) -> None:
    with open_store(database) as conn:
        assert parameters.parameters(conn) == []
        assert not note_unmapped(conn)
        assert isinstance(conn, psycopg.Connection)
