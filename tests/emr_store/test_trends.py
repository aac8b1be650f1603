"""Trends of what was measured while it was the patient's: of minutes, and of reports where a minute has two."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta

import pytest

from emr_store import minutes, places
from emr_store.connect import open_store_async
from emr_store.trends import Span, trends
from schemas.block import ValidationResult
from schemas.report import Record, Report, device_id
from tests.making import PER_MIN, PERCENT, PULSE, SPO2, T0_US, report
from tests.storing import Store, event

CLAIM, OTHER = "n10:1", "n10:2"
MINUTE = timedelta(minutes=1)
T0_S = T0_US // 1_000_000 // 60 * 60
BEGIN = datetime.fromtimestamp(T0_S).astimezone()
NOW = BEGIN + timedelta(hours=1)
END = BEGIN + 10 * MINUTE


def at(second: float) -> datetime:
    return BEGIN + timedelta(seconds=second)


@pytest.fixture
def store(database: str) -> Store:
    """A value each 10 s for five minutes: a tenth of its second."""
    made = Store(database)
    made.emit(event(CLAIM, "identity", CLAIM, T0_US), *(saying(CLAIM, second) for second in range(0, 300, 10)))

    async def run() -> None:
        async with await open_store_async(database) as conn:
            await minutes.summarise(conn)

    asyncio.run(run())
    return made


def saying(claim: str, second: int, value: int | None = None) -> Report:
    record = Record(SPO2, PERCENT, mantissa=second if value is None else value, exponent=-1)
    return report(claim, (T0_S + second) * 1_000_000, [record])


def asked(store: Store, *spans: tuple[str, float, float], width: timedelta = MINUTE, now: datetime = NOW) -> object:
    with store.open() as conn:
        made = [Span(device_id(claim), at(since), at(until)) for claim, since, until in spans]
        found = trends(conn, made, BEGIN, END, width, now)
    return {(trend.code, number): bucket for trend in found for number, bucket in trend.buckets.items()}


def test_whole_minutes_and_the_parts_beside_them_are_the_patients_alone(store: Store) -> None:
    assert asked(store, (CLAIM, 65, 190)) == {
        (SPO2, 1): (7, 11, 9, 5), (SPO2, 2): (12, 17, 14.5, 6), (SPO2, 3): (18, 18, 18, 1)
    }  # fmt: skip


def test_a_minute_of_two_patients_is_divided(store: Store) -> None:
    assert asked(store, (CLAIM, 0, 30)) == {(SPO2, 0): (0, 2, 1, 3)}
    assert asked(store, (CLAIM, 30, 60)) == {(SPO2, 0): (3, 5, 4, 3)}


def test_what_is_not_summed_up_yet_is_read_from_reports(store: Store) -> None:
    store.rows("DELETE FROM report_minute RETURNING 1")
    assert asked(store, (CLAIM, 0, 60)) == {}  # it is old enough to be summed up
    assert asked(store, (CLAIM, 0, 60), now=at(90)) == {(SPO2, 0): (0, 5, 2.5, 6)}


def test_buckets_are_put_together_of_minutes_spans_and_devices(store: Store) -> None:
    store.emit(event(OTHER, "identity", OTHER, T0_US), saying(OTHER, 5, 99))
    assert asked(store, (CLAIM, 0, 90), (OTHER, 0, 10), width=2 * MINUTE) == {
        (SPO2, 0): (0, 9.9, pytest.approx((sum(range(0, 90, 10)) + 99) / 100), 10)
    }  # fmt: skip


def test_nothing_is_a_gap(store: Store) -> None:
    assert asked(store) == {}
    assert asked(store, (CLAIM, 400, 500)) == {}


def test_what_was_not_accepted_is_in_no_part_of_a_minute(store: Store) -> None:
    rejected = f"UPDATE report SET validation_result = '{{{int(ValidationResult.DOUBTFUL_RANGE)}}}'"
    store.rows(f"{rejected} WHERE observed_at = %s RETURNING 1", at(20))
    assert asked(store, (CLAIM, 0, 30)) == {(SPO2, 0): (0, 1, 0.5, 2)}


def test_values_stand_by_the_channels_that_a_report_names(store: Store) -> None:
    pulse = Record(PULSE, PER_MIN, mantissa=70)
    store.emit(report(CLAIM, (T0_S + 301) * 1_000_000, [Record(SPO2, PERCENT, mantissa=97), pulse]))
    assert asked(store, (CLAIM, 300, 310)) == {(SPO2, 5): (97, 97, 97, 1), (PULSE, 5): (70, 70, 70, 1)}
    store.rows("UPDATE report SET channel_index = '{2,1}' WHERE cardinality(value) = 2 RETURNING 1")
    assert asked(store, (CLAIM, 300, 310)) == {(SPO2, 5): (70, 70, 70, 1), (PULSE, 5): (97, 97, 97, 1)}
    store.rows("UPDATE report SET channel_index = '{2}', value = '{71}' WHERE cardinality(value) = 2 RETURNING 1")
    assert asked(store, (CLAIM, 300, 310)) == {(PULSE, 5): (71, 71, 71, 1)}


def test_what_was_heard_through_another_edge_is_nobodys(store: Store) -> None:
    with store.open() as conn:
        places.assign(conn, str(device_id(CLAIM)), "ICU-01", since=at(-60))
    everything = asked(store, (CLAIM, 0, 75))
    assert everything == {(SPO2, 0): (0, 5, 2.5, 6), (SPO2, 1): (6, 7, 6.5, 2)}
    store.rows("UPDATE device_edge SET valid = tstzrange(%s, NULL) RETURNING 1", at(0))
    assert asked(store, (CLAIM, 0, 75)) == everything
    store.rows("UPDATE device_edge SET valid = tstzrange(%s, %s) RETURNING 1", at(60), at(70))
    assert asked(store, (CLAIM, 0, 75)) == {(SPO2, 1): (6, 6, 6, 1)}
    store.rows("DELETE FROM device_edge RETURNING 1")
    assert asked(store, (CLAIM, 0, 75)) == {}
