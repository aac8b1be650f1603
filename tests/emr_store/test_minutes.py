import asyncio
import time
from collections import defaultdict
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from emr_store import minutes
from emr_store.connect import open_store_async
from emr_store.transaction import Writer
from schemas.block import ValidationResult
from schemas.report import Record, Report, Validity
from tests.making import PER_MIN, PERCENT, PULSE, SPO2, T0_US, report
from tests.storing import Store

MINUTE_US = 60_000_000
WIDE_LIMIT_S = 5.0  # of some 0.3 s
M0_US = T0_US // MINUTE_US * MINUTE_US


@pytest.fixture
def store(database: str) -> Store:
    return Store(database)


def summarise(store: Store) -> int:
    async def run() -> int:
        async with await open_store_async(store.address) as conn:
            return await minutes.summarise(conn)

    return asyncio.run(run())


def spo2(value: int, second: float, **more: Any) -> Report:
    return report(at_us=M0_US + int(second * 1e6), records=[Record(SPO2, PERCENT, mantissa=value, **more)])


def kept(store: Store, columns: str = "count, min, max, mean, last") -> list[tuple[Any, ...]]:
    return store.rows(f"SELECT {columns} FROM report_minute ORDER BY minute, device, channel_set")


def test_a_minute_is_computed_once(store: Store) -> None:
    store.emit(spo2(97, 1), spo2(93, 59.999), spo2(95, 30), spo2(50, 60))
    assert summarise(store) == 2
    assert kept(store) == [([3], [93.0], [97.0], [95.0], [93.0]), ([1], [50.0], [50.0], [50.0], [50.0])]
    store.rows("UPDATE report_minute SET count = '{99}' RETURNING 1")
    assert summarise(store) == 0
    assert [count for (count,) in kept(store, "count")] == [[99], [99]]


def test_a_minute_that_still_runs_waits(store: Store) -> None:
    now_us = int(datetime.now(UTC).timestamp() * 1e6)
    store.emit(report(at_us=now_us), report(at_us=now_us - 3 * MINUTE_US))
    assert summarise(store) == 1
    assert store.rows("SELECT count(*) FROM minute_touched") == [(1,)]


def test_late_data_computes_its_minute_again(store: Store) -> None:
    store.emit(spo2(97, 10))
    summarise(store)
    store.emit(spo2(91, 5))
    assert summarise(store) == 1
    assert kept(store) == [([2], [91.0], [97.0], [94.0], [97.0])]  # last by its moment, not by its arrival


def test_what_is_not_accepted_is_in_no_figure(store: Store) -> None:
    store.emit(
        spo2(97, 1), spo2(250, 2), spo2(40, 3, validity=Validity.QUESTIONABLE), spo2(95, 4),
        spo2(0, 5, validity=Validity.NOT_AVAILABLE), spo2(250, 6),
    )  # fmt: skip
    assert store.rows("SELECT validation_result FROM report ORDER BY observed_at") == [
        (None,), ([ValidationResult.DOUBTFUL_RANGE],), ([ValidationResult.DOUBTFUL_VALIDITY],), (None,),
        ([ValidationResult.MISSING],),
        ([ValidationResult.DOUBTFUL_RANGE],),
    ]  # fmt: skip
    summarise(store)
    assert kept(store) == [([2], [95.0], [97.0], [96.0], [95.0])]


def test_a_minute_without_any_good_value_says_so(store: Store) -> None:
    store.emit(spo2(250, 1))
    summarise(store)
    assert kept(store) == [([0], [None], [None], [None], [None])]


def test_of_two_reports_of_one_moment_the_later_stored_is_last(store: Store) -> None:
    store.emit(spo2(97, 1), spo2(96, 1))
    store.emit(spo2(95, 1))
    summarise(store)
    assert kept(store, "last") == [([95.0],)]


@pytest.mark.parametrize("chunk", [1, 2, 3])
def test_more_than_a_chunk_takes_several(store: Store, chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(minutes, "NOTES", 2)
    monkeypatch.setattr(minutes, "CHUNK", chunk)
    store.emit(*(spo2(90 + i, 60 * i) for i in range(5)))
    assert [summarise(store) for _ in range(4)] == [2, 2, 1, 0]
    assert [last for (last,) in kept(store, "last")] == [[90.0 + i] for i in range(5)]


def test_a_plain_computation_says_the_same(store: Store) -> None:
    """Devices, widths, validation results and moments mixed, in two chunks of which the second is late."""
    random = np.random.default_rng(11)
    expected: dict[tuple[str, int, int], list[tuple[int, list[float | None]]]] = defaultdict(list)
    chunks: list[list[Report]] = [[], []]
    moments = random.permutation(240_000)[:400] * 1000  # four minutes; no two alike, so that one is the last
    for i, offset_us in enumerate(moments.tolist()):
        claim, width, at_us = f"d{int(random.integers(3))}", int(random.integers(1, 5)), M0_US + offset_us
        records, good = [], []
        for channel in range(width):
            tenths, odd = int(random.integers(300, 990)), int(random.integers(6))
            validity = {0: Validity.NOT_AVAILABLE, 1: Validity.QUESTIONABLE}.get(odd, Validity.VALID)
            tenths = 2500 if odd == 2 else tenths
            code, unit = ((SPO2, PERCENT), (PULSE, PER_MIN))[channel % 2]
            if code == PULSE and odd == 2:
                tenths = 9999
            records.append(Record(code, unit, channel=channel, mantissa=tenths, exponent=-1, validity=validity))
            good.append(tenths / 10 if odd > 2 else None)
        chunks[i % 2].append(report(claim, at_us, records))
        expected[claim, at_us // MINUTE_US, width].append((at_us, good))
    for chunk in chunks:
        store.emit(*chunk)
        summarise(store)
    ids = {report(f"d{i}").device: f"d{i}" for i in range(3)}
    found = store.rows(
        "SELECT d.uuid, m.minute, cardinality(s.code), count, min, max, mean, last FROM report_minute m"
        " JOIN device d USING (device) JOIN channel_set s USING (channel_set)"
    )
    assert len(found) == len(expected) > 30
    for uuid, minute, channels, count, *figures in found:
        assert isinstance(minute, datetime)
        of = expected[ids[uuid], int(minute.timestamp()) // 60, channels]  # type: ignore[index]
        columns = [[v for v in column if v is not None] for column in zip(*(g for _, g in sorted(of)), strict=True)]
        assert count == [len(c) for c in columns]
        assert figures[0] == [min(c) if c else None for c in columns]
        assert figures[1] == [max(c) if c else None for c in columns]
        assert figures[2] == [pytest.approx(sum(c) / len(c)) if c else None for c in columns]
        assert figures[3] == [c[-1] if c else None for c in columns]


def test_a_report_of_ten_thousand_values_is_summarised_in_seconds(store: Store) -> None:
    """By position it took 45 s: the planner compares each of 50,000 aggregates with all before it."""
    count = 10_000

    def wide(value: int, second: int) -> Report:
        records = [Record(SPO2, PERCENT, channel=n, mantissa=value + n % 7) for n in range(count)]
        records[5] = Record(SPO2, PERCENT, channel=5, mantissa=250 if second == 2 else 90)
        return report(at_us=M0_US + second * 1_000_000, records=records)

    store.emit(wide(90, 1))
    store.emit(wide(92, 2))
    began_s = time.monotonic()
    assert summarise(store) == 1
    assert time.monotonic() - began_s < WIDE_LIMIT_S
    ((counts, low, high, mean, last),) = kept(store)
    assert (counts[5], low[5], high[5], mean[5], last[5]) == (1, 90.0, 90.0, 90.0, 90.0)  # 250 is not accepted
    for n in (n for n in range(count) if n != 5):
        found = (counts[n], low[n], high[n], mean[n], last[n])
        assert found == (2, 90.0 + n % 7, 92.0 + n % 7, 91.0 + n % 7, 92.0 + n % 7)


def test_a_minute_touched_by_a_writer_at_work_is_not_lost(store: Store) -> None:
    store.emit(spo2(97, 1))
    second = store.validate(store.seal(spo2(91, 2)))

    async def run() -> None:
        async with await open_store_async(store.address) as other:
            with store.open() as writing, writing.transaction():
                Writer(writing).store([second], [])
                await other.execute("SET lock_timeout = '200ms'")
                assert await minutes.summarise(other) == 1  # without waiting for the writer
            assert await minutes.summarise(other) == 1

    asyncio.run(run())
    assert kept(store, "count, min") == [([2], [91.0])]


def test_of_two_summarisers_one_works(store: Store) -> None:
    store.emit(*(spo2(90 + i, 60 * i) for i in range(4)))

    async def run() -> list[int]:
        async with await open_store_async(store.address) as one, await open_store_async(store.address) as two:
            async with one.transaction():
                found = [await minutes.summarise(one), await minutes.summarise(two)]
            store.emit(spo2(99, 0))
            return [*found, await minutes.summarise(two)]

    assert asyncio.run(run()) == [4, 0, 1]
    assert len(kept(store)) == 4
