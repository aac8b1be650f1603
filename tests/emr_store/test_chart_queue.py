"""What a transaction notes for the charter, and what a change of attribution does."""

from __future__ import annotations

import time

import numpy as np
import pytest

from clinical.attribution import State, Whose
from emr_store import chart_queue
from emr_store.chart_queue import EachMetrics, TouchedWhose, changed_encounters
from emr_store.transaction import Writer
from schemas.report import Mark, Record, Report, device_id
from tests.charting import CLAIM, PULSE_ID, pulse
from tests.making import PERCENT, PULSE, SPO2, report
from tests.storing import Store

HOUR_US = 3_600_000_000


def emit(store: Store, *reports: Report, each: EachMetrics | None = None) -> None:
    with store.open() as conn:
        Writer(conn, each).store([store.validate(store.seal(*reports))], [])


def spo2(at_us: int, marks: Mark) -> Report:
    return report(CLAIM, at_us, [Record(SPO2, PERCENT, mantissa=97, marks=marks)])


def now_us() -> int:
    return time.time_ns() // 1000


def test_live_values_are_not_noted(database: str) -> None:
    store = Store(database)
    emit(store, spo2(now_us(), Mark(0)), spo2(now_us() - 100_000_000, Mark(0)), each=EachMetrics([PULSE_ID]))
    for table in ("chart_late", "chart_each", "chart_corrected"):
        assert store.rows(f"SELECT * FROM {table}") == [], table


def test_late_values_are_noted_by_minute_and_device(database: str) -> None:
    store = Store(database)
    late_us = now_us() - HOUR_US
    emit(store, spo2(late_us, Mark(0)), spo2(now_us(), Mark(0)))
    (row,) = store.rows("SELECT devices, minute <= now() - interval '59 minutes' FROM chart_late")
    assert row == ([1], True)
    with store.open() as conn:
        (touched,) = chart_queue.take_late(conn)
        assert (touched.device, touched.from_us <= late_us < touched.until_us) == (str(device_id(CLAIM)), True)
        assert chart_queue.take_late(conn) == []


def test_values_that_are_charted_at_once_are_noted_from_the_first_to_the_last(database: str) -> None:
    store, each = Store(database), EachMetrics([PULSE_ID])
    at_us = now_us()
    emit(store, spo2(at_us, Mark(0)), pulse(0, 70), pulse(5, 71), each=each)
    with store.open() as conn:
        (touched,) = chart_queue.take_each(conn)
    assert touched.until_us - touched.from_us == 5_000_001
    each.replace([])
    emit(store, pulse(9, 72), each=each)
    assert store.rows("SELECT FROM chart_each") == []
    assert EachMetrics([PULSE_ID]).codes.tolist() == [PULSE]


def test_corrections_are_noted_however_young(database: str) -> None:
    store = Store(database)
    emit(store, spo2(now_us(), Mark.CORRECTION), spo2(now_us(), Mark(0)))
    with store.open() as conn:
        assert len(chart_queue.take_corrected(conn)) == 1


def test_reports_that_say_another_thing_are_noted_once_a_minute(database: str) -> None:
    store = Store(database)
    store.emit(spo2(now_us(), Mark(0)))
    moments = np.array([0, 59_000_000, 60_000_000], np.int64)
    with store.open() as conn:
        chart_queue.note_reports(conn, np.array([1, 1, 1]), moments)
        assert [each.from_us for each in chart_queue.take_late(conn)] == [0, 60_000_000]


def whose(from_us: int, until_us: int | None, encounter: str | None) -> Whose:
    state = State.NOBODY if encounter is None else State.ATTRIBUTED
    return Whose(device="d", from_us=from_us, until_us=until_us, state=state, encounter=encounter)


@pytest.mark.parametrize(
    ("before", "after", "changed"),
    [
        ([], [whose(0, None, "a")], [(0, None, ("a",))]),
        ([whose(0, None, "a")], [whose(0, 5, "a"), whose(5, None, None)], [(5, None, ("a",))]),
        ([whose(0, None, "a")], [whose(0, 5, "a"), whose(5, None, "b")], [(5, None, ("a", "b"))]),
        ([whose(0, None, "a")], [whose(0, 5, "a"), whose(5, None, "a")], []),
        ([whose(0, 9, "a")], [whose(2, 4, "b"), whose(4, 9, "a")], [(0, 2, ("a",)), (2, 4, ("a", "b"))]),
        ([whose(0, 9, None)], [], []),
    ],
)
def test_where_values_become_anothers(
    before: list[Whose], after: list[Whose], changed: list[tuple[int, int | None, tuple[str, ...]]]
) -> None:
    assert changed_encounters("d", before, after) == [TouchedWhose("d", *each) for each in changed]
