import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, date, datetime

import numpy as np
import psycopg
import pytest

from emr_store.connect import open_store_async
from emr_store.partitions import PARTITIONED, Partitions, make_ahead
from schemas.report import ClockQuality, Kind, Record, Report
from tests.making import PERCENT, SPO2, T0_US, report
from tests.storing import Store


@pytest.fixture
def store(database: str) -> Store:
    return Store(database)


def us(year: int, month: int, day: int = 1, hour: int = 0, **rest: int) -> int:
    moment = datetime(year, month, day, hour, tzinfo=UTC, **rest)
    return int((moment - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds()) * 1_000_000


def made(store: Store) -> list[str]:
    found = store.rows(
        "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'report'::regclass ORDER BY 1"
    )
    return [str(name) for (name,) in found]


@contextmanager
def partitions(store: Store) -> Iterator[tuple[psycopg.Connection, Callable[..., None]]]:
    """A connection, and what ensures that its moments have their partitions."""
    with store.open() as conn:
        parts = Partitions.of(conn)
        yield conn, lambda *moments: parts.ensure(conn, np.array(moments, np.int64))


def test_months_are_made_as_their_moments_come(store: Store) -> None:
    assert made(store) == []
    store.emit(report(at_us=us(2026, 11, 30, 23, minute=59, second=59)), report(at_us=us(2026, 12)))
    assert made(store) == ["report_2026_11", "report_2026_12"]
    store.emit(report(at_us=us(2026, 12, 31, 23)), report(at_us=us(2027, 1)))
    assert made(store) == ["report_2026_11", "report_2026_12", "report_2027_01"]
    assert store.rows("SELECT tableoid::regclass::text, count(*) FROM report GROUP BY 1 ORDER BY 1") == [
        ("report_2026_11", 1), ("report_2026_12", 2), ("report_2027_01", 1)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("moment", "name"),
    [(0, "report_1970_01"), (-1, "report_1969_12"), (us(1900, 2), "report_1900_02"), (us(1, 1), "report_0001_01"),
     (us(2024, 2, 29), "report_2024_02"), (us(2099, 12, 31, 23), "report_2099_12")],
)  # fmt: skip
def test_a_clock_that_is_wrong_by_years_has_its_month(store: Store, moment: int, name: str) -> None:
    records = (Record(SPO2, PERCENT, mantissa=97),)
    received = moment  # the edge's clock is as wrong
    store.emit(Report(Kind.METRIC, "clock", moment, received, ClockQuality.DEVICE, records, device_at_us=moment,
                     own_time=True))  # fmt: skip
    assert store.rows("SELECT tableoid::regclass::text FROM report") == [(name,)]


def test_far_ahead_of_its_reception_a_moment_makes_no_month_of_its_own(store: Store) -> None:
    ahead = us(2099, 12, 31)
    store.emit(Report(Kind.METRIC, "clock", ahead, T0_US, ClockQuality.DEVICE, (Record(SPO2, PERCENT, mantissa=97),),
                     device_at_us=ahead, own_time=True))  # fmt: skip
    assert store.rows("SELECT tableoid::regclass::text FROM report") == [("report_2026_09",)]


def test_long_before_its_reception_a_moment_makes_no_month_of_its_own(store: Store) -> None:
    store.emit(Report(Kind.METRIC, "clock", 0, T0_US, ClockQuality.DEVICE, (Record(SPO2, PERCENT, mantissa=97),),
                     device_at_us=0, own_time=True))  # fmt: skip
    assert made(store) == ["report_2026_09"]


def test_a_month_of_a_rolled_back_transaction_is_made_again(store: Store) -> None:
    with partitions(store) as (conn, ensure):
        with conn.transaction():
            ensure(0)
            raise psycopg.Rollback
        assert made(store) == []
        for _ in range(3):  # made, seen, known
            with conn.transaction():
                ensure(0, 1)
        assert made(store) == ["report_1970_01"]


def test_a_day_is_noted_once_an_hour_and_a_rolled_back_note_again(store: Store) -> None:
    def ages() -> list[tuple[object, ...]]:
        return store.rows("SELECT day::text, last_stored_at > now() - interval '1 min' FROM day_stored ORDER BY day")

    with partitions(store) as (conn, ensure):
        with conn.transaction():
            ensure(0)
            raise psycopg.Rollback
        assert ages() == []
        for _ in range(2):
            ensure(0, us(2026, 11, 24, 23))
        conn.execute("UPDATE day_stored SET last_stored_at = now() - interval '2 hours'")
        ensure(0)  # it is known to be noted of late
        assert ages() == [("1970-01-01", False), ("2026-11-24", False)]
    with partitions(store) as (_, ensure):
        ensure(0)
        assert ages() == [("1970-01-01", True), ("2026-11-24", False)]


def test_two_writers_may_need_one_new_month(store: Store) -> None:
    def one(_: int) -> None:
        with partitions(store) as (conn, ensure), conn.transaction():
            ensure(us(2030, 5))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(one, range(4)))
    assert made(store) == ["report_2030_05"]


def test_the_first_row_of_a_month_waits_for_no_reader(store: Store) -> None:
    """pg_dump and verify read every table in one long transaction."""
    with store.open() as reader, reader.transaction():
        for table in (*PARTITIONED, "batch_body"):
            reader.execute(f"SELECT count(*) FROM {table}".encode())
        with partitions(store) as (conn, ensure), conn.transaction():
            conn.execute("SET lock_timeout = '5s'")
            ensure(us(2031, 1))
            conn.execute("SELECT make_body(1::int2, 1::bigint << 24)")
        assert made(store) == ["report_2031_01"]


def ahead(store: Store, today: date) -> None:
    async def run() -> None:
        async with await open_store_async(store.address) as conn:
            await make_ahead(conn, today)

    asyncio.run(run())


def bodies(store: Store) -> list[str]:
    found = store.rows(
        "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'batch_body_1'::regclass ORDER BY 1"
    )
    return [str(name) for (name,) in found]


def test_months_and_numbers_are_made_ahead(store: Store) -> None:
    for _ in range(2):
        ahead(store, date(2026, 11, 30))
    assert made(store) == ["report_2026_11", "report_2026_12", "report_2027_01"]
    assert bodies(store) == ["batch_body_1_0", "batch_body_1_1"]
    store.rows("SELECT setval('batch_number', 5 * (1::bigint << 24))")
    ahead(store, date(2026, 12, 1))
    assert made(store)[-1] == "report_2027_02"
    assert bodies(store)[2:] == ["batch_body_1_5", "batch_body_1_6"]


def test_what_was_made_ahead_is_used(store: Store) -> None:
    ahead(store, date(2026, 9, 1))
    indexes = "SELECT count(*) FROM pg_index WHERE indrelid = %s::regclass"
    assert store.rows(indexes, "report_2026_09") == store.rows(indexes, "report")
    assert store.rows("SELECT attstorage FROM pg_attribute WHERE attrelid = 'batch_body_1_1'::regclass"
                      " AND attname = 'sealed'") == [("e",)]  # fmt: skip
    store.emit(report())
    assert store.rows("SELECT tableoid::regclass::text FROM report") == [("report_2026_09",)]


def test_a_number_beyond_what_was_made_ahead_makes_its_partition(store: Store) -> None:
    store.rows("SELECT setval('batch_number', (7::bigint << 24) - 1)")
    store.emit(report())
    store.emit(report())
    assert store.rows("SELECT tableoid::regclass::text, batch FROM batch_body ORDER BY batch") == [
        ("batch_body_1_7", 7 << 24), ("batch_body_1_7", (7 << 24) + 1)
    ]  # fmt: skip


def test_making_ahead_gives_way_to_who_holds_a_lock(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("emr_store.partitions.LOCK_TIMEOUT", "100ms")
    with store.open() as other, other.transaction():
        other.execute("LOCK TABLE report IN SHARE UPDATE EXCLUSIVE MODE")  # as ANALYZE does
        with pytest.raises(psycopg.errors.LockNotAvailable):
            ahead(store, date(2026, 11, 1))
    assert made(store) == []
