import asyncio
from typing import Any

import psycopg
import pytest

from emr_store import holds, minutes, retention
from emr_store.acts import Author
from emr_store.connect import open_store_async
from emr_store.retention import Keep
from emr_store.transaction import Writer
from evidence.dead_letter import DeadLetter
from schemas.adt import Person
from schemas.report import Alarm, Kind, Lane, Record, RecordKind, Report, Samples
from tests.adt import group
from tests.attributing import adt_report
from tests.making import PERCENT, SPO2, T0_US, report
from tests.storing import Store

DAY_US = 86_400_000_000
AUTUMN_US, SUMMER_US = T0_US, T0_US - 90 * DAY_US  # different months, and different chunks
MINUTE_US = 60_000_000
PLETH = Record(150452, kind=RecordKind.SAMPLES, samples=Samples(75, 1, 1, 0, 0, bytes(150)))
on_both_parts = pytest.mark.parametrize("parts", ["embedded", pytest.param("real", marks=pytest.mark.integration)])


@pytest.fixture
def store(database: str) -> Store:
    return Store(database)


def spo2(value: int, at_us: int) -> Report:
    return report(at_us=at_us, records=[Record(SPO2, PERCENT, mantissa=value)])


def drop(store: Store, **days: int) -> list[str]:
    async def run() -> list[str]:
        async with await open_store_async(store.address) as conn:
            return [d.what for d in await retention.drop_old(conn, Keep(**days))]

    return asyncio.run(run())


def summarise(store: Store) -> None:
    async def run() -> None:
        async with await open_store_async(store.address) as conn:
            while await minutes.summarise(conn):
                pass

    asyncio.run(run())


def age(store: Store, days: int) -> None:
    """Let time pass over all that is stored so far."""
    with store.open() as conn:
        for column in ("batch.stored_at", "seal.stored_at", "day_stored.first_stored_at", "day_stored.last_stored_at"):
            table, name = column.split(".")
            conn.execute(f"UPDATE {table} SET {name} = {name} - interval '{days} days'".encode())


def count(store: Store, table: str) -> Any:
    return store.rows(f"SELECT count(*) FROM {table}")[0][0]


@on_both_parts
def test_rows_go_when_nothing_was_stored_beside_them_for_so_long(parts: str, store: Store) -> None:
    store.emit(spo2(97, SUMMER_US), report(at_us=SUMMER_US, kind=Kind.WAVEFORM, records=[PLETH]))
    store.emit(spo2(96, AUTUMN_US))
    age(store, 31)
    store.emit(spo2(95, AUTUMN_US + DAY_US))  # of a month whose other rows are old
    assert drop(store) == drop(store, reports=60) == []
    assert drop(store, reports=30) == ["waveform", "report"]
    assert drop(store, reports=30) == []
    assert store.rows("SELECT value FROM report ORDER BY observed_at") == [([96.0],), ([95.0],)]
    assert count(store, "waveform") == 0
    (row,) = store.rows("SELECT since <= to_timestamp(%s), until > to_timestamp(%s), last_batch FROM dropped"
                        " WHERE what = 'report'", SUMMER_US // 10**6, SUMMER_US // 10**6)  # fmt: skip
    assert row == (True, True, 3)
    store.emit(spo2(94, SUMMER_US + 1))  # and what comes for that month now has its place
    assert count(store, "report") == 3


@on_both_parts
def test_alarms_and_settings_go_with_the_reports_of_their_time(parts: str, store: Store) -> None:
    alarm = Record(SPO2, kind=RecordKind.ALARM, alarm=Alarm("low"))
    for at_us in (SUMMER_US, AUTUMN_US):
        store.emit(report(at_us=at_us, kind=Kind.ALARM, records=[alarm]), report(at_us=at_us, kind=Kind.SETTING),
                  report(at_us=at_us, kind=Kind.WAVEFORM, records=[PLETH]))  # fmt: skip
    age(store, 31)
    store.emit(report(at_us=AUTUMN_US, kind=Kind.ALARM, records=[alarm]))
    assert drop(store, reports=30) == ["waveform", "device_alarm", "device_setting", "report"]
    assert [count(store, table) for table in ("device_alarm", "device_setting", "waveform")] == [2, 2, 1]
    store.emit(report(at_us=SUMMER_US + 1, kind=Kind.ALARM, records=[alarm]))
    assert count(store, "device_alarm") == 3


def test_old_data_that_came_today_stays(store: Store) -> None:
    store.emit(spo2(97, SUMMER_US))
    age(store, 400)
    store.emit(spo2(96, SUMMER_US))
    assert drop(store, reports=30) == []
    assert count(store, "report") == 2


def test_a_row_that_was_kept_under_the_time_of_its_receipt_is_dropped_with_that(store: Store) -> None:
    ahead = report(at_us=SUMMER_US)
    store.emit(Report(ahead.kind, ahead.claim, AUTUMN_US + 800 * DAY_US, SUMMER_US, ahead.clock_quality, ahead.records,
                     device_at_us=SUMMER_US))  # fmt: skip
    age(store, 31)
    assert drop(store, reports=30) == ["report"]
    assert count(store, "report") == 0


@on_both_parts
def test_a_minute_of_dropped_rows_is_never_computed_from_less(parts: str, store: Store) -> None:
    minute_us = SUMMER_US // MINUTE_US * MINUTE_US
    store.emit(spo2(97, minute_us), spo2(91, minute_us + 1))
    summarise(store)
    age(store, 31)
    drop(store, reports=30)
    for late in (80, 81):
        store.emit(spo2(late, minute_us + late), spo2(late, minute_us + MINUTE_US + late))
        summarise(store)
    # The other minute had no rows when they were dropped: it is whole.
    assert store.rows("SELECT count, min, max FROM report_minute ORDER BY minute") == [
        ([2], [91.0], [97.0]), ([2], [80.0], [81.0])
    ]  # fmt: skip
    age(store, 400)
    assert drop(store, minutes=365) == ["report_minute"]
    assert count(store, "report_minute") == 0


PART = 1 << 24


def begin_part(store: Store, part: int) -> None:
    """The batches from now on lie in this partition of bodies."""
    store.rows("SELECT setval('batch_number', %s)", part * PART)


@on_both_parts
def test_bodies_are_dropped_whole_when_no_row_over_them_is_left(parts: str, store: Store) -> None:
    first, second = store.seal(spo2(97, SUMMER_US)), store.seal(spo2(96, SUMMER_US))
    store.write([store.validate(first), store.validate(second)])
    age(store, 400)
    assert drop(store, batches=365, reports=30) == ["report"]  # numbers that it speaks for may still be given
    begin_part(store, 1)
    third = store.seal(spo2(94, AUTUMN_US))
    store.write([store.validate(third, first)])  # one of them came before
    age(store, 400)
    assert drop(store, batches=365) == ["batch"]
    assert drop(store, batches=365) == []
    assert [bytes(s) for (s,) in store.rows("SELECT sealed FROM batch_body")] == [third]  # type: ignore[call-overload]
    assert store.rows("SELECT lane, first_batch, after_batch, stored_from < stored_to FROM dropped_body") == [
        (1, 0, PART, False)
    ]
    assert count(store, "batch") == 3  # their heads stay
    assert store.write([store.validate(first)]).duplicates == 1  # nothing is stored twice, ever


@on_both_parts
def test_bodies_stay_while_a_row_over_them_does(parts: str, store: Store) -> None:
    store.emit(spo2(97, SUMMER_US))
    age(store, 400)
    store.emit(spo2(96, AUTUMN_US))
    begin_part(store, 1)
    age(store, 400)
    store.emit(spo2(95, AUTUMN_US))
    assert drop(store, batches=365) == []  # the rows of both are there
    assert drop(store, batches=365, reports=30) == ["report"]  # one of the second batch stays
    assert count(store, "batch_body") == 3


def test_bodies_stay_until_the_youngest_of_them_is_old(store: Store) -> None:
    store.emit(spo2(97, SUMMER_US))
    age(store, 400)
    store.emit(spo2(96, SUMMER_US))
    begin_part(store, 1)
    age(store, 31)
    assert drop(store, batches=365, reports=30) == ["report"]
    assert count(store, "batch_body") == 2
    age(store, 400)
    assert drop(store, batches=365, reports=30) == ["batch"]


@on_both_parts
def test_what_a_legal_hold_names_stays(parts: str, store: Store) -> None:
    store.emit(spo2(97, SUMMER_US))
    begin_part(store, 1)
    age(store, 400)
    with store.open() as conn:
        ((report_part,),) = conn.execute("SELECT partition FROM row_partitions('report')").fetchall()
        for name in (report_part, "batch_body_1_0"):
            holds.add(conn, name, Author("os:clerk@ward", "case 2026-117"))
    assert drop(store, batches=365, reports=30) == []
    with store.open() as conn:
        holds.release(conn, report_part)
    assert drop(store, batches=365, reports=30) == ["report"]
    with store.open() as conn:
        holds.release(conn, "batch_body_1_0")
    assert drop(store, batches=365, reports=30) == ["batch"]


def test_a_table_that_time_may_not_take_is_refused(store: Store) -> None:
    with store.open() as conn, pytest.raises(psycopg.errors.RaiseException, match="no rows that time may take"):
        conn.execute("SELECT drop_rows('batch', 'batch', '1 day')")


def test_who_reads_for_long_is_not_waited_for_and_blocks_nobody(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "_LOCK_TIMEOUT", "100ms")
    store.emit(spo2(97, SUMMER_US))
    age(store, 31)
    with store.open() as reader, reader.transaction():
        reader.execute("SELECT count(*) FROM report")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            drop(store, reports=30)
    assert count(store, "dropped") == 0
    assert drop(store, reports=30) == ["report"]


def test_a_writer_at_work_keeps_what_it_writes_into(store: Store) -> None:
    store.emit(spo2(97, SUMMER_US))
    age(store, 31)
    second = store.validate(store.seal(spo2(96, SUMMER_US)))

    async def run() -> list[retention.Dropped]:
        async with await open_store_async(store.address) as dropping:
            with store.open() as writing, writing.transaction():
                Writer(writing).store([second], [])
                task = asyncio.ensure_future(retention.drop_old(dropping, Keep(reports=30)))
                while not await waits(store):
                    await asyncio.sleep(0.01)
            return await task

    async def waits(store: Store) -> bool:
        sql = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
        return bool((await asyncio.to_thread(store.rows, sql))[0][0])

    assert asyncio.run(run()) == []
    assert count(store, "report") == 2


def test_of_two_at_once_one_works(store: Store) -> None:
    store.emit(spo2(97, SUMMER_US))
    age(store, 31)
    with store.open() as other:
        other.execute("SELECT pg_advisory_lock(%s)", [retention._LOCK])
        assert drop(store, reports=30) == []
        other.execute("SELECT pg_advisory_unlock(%s)", [retention._LOCK])  # a closed session ends a moment later
    assert drop(store, reports=30) == ["report"]


def test_bodies_of_the_lane_adt_go_one_by_one_whether_their_rows_are_there_or_not(store: Store) -> None:
    for second in range(2):
        store.emit(adt_report(group("A01", second), person=Person(name="张三")), lane=Lane.ADT)
    store.emit(report())
    age(store, 31)
    store.emit(adt_report(group("A02", 3)), lane=Lane.ADT)
    assert drop(store, adt_batches=0) == []
    assert store.rows("SELECT keep_days FROM adt_retention") == [(0,)]
    assert drop(store, adt_batches=30) == ["adt batch"]
    assert drop(store, adt_batches=30) == []
    assert store.rows("SELECT lane, batch FROM batch_body ORDER BY batch") == [(1, 3), (4, 4)]
    assert store.rows("SELECT lane, first_batch, after_batch FROM dropped_body") == [(4, 0, 4)]
    assert store.rows("SELECT keep_days FROM adt_retention") == [(30,)]
    assert (count(store, "report"), count(store, "batch")) == (4, 4)
    age(store, 31)
    assert drop(store, batches=30) == ["adt batch"]  # the shorter of the two counts
    assert store.rows("SELECT lane, first_batch, after_batch FROM dropped_body") == [(4, 0, 5)]


def test_a_legal_hold_keeps_bodies_of_the_lane_adt(store: Store) -> None:
    store.emit(adt_report(group("A01", 0)), lane=Lane.ADT)
    age(store, 31)
    with store.open() as conn:
        holds.add(conn, "batch_body_4_0", Author("os:clerk@ward", "case 2026-117"))
    assert drop(store, adt_batches=30) == []
    with store.open() as conn:
        holds.release(conn, "batch_body_4_0")
    assert drop(store, adt_batches=30) == ["adt batch"]


def test_dead_letters_of_the_lane_adt_lose_their_bytes_and_not_their_place(store: Store) -> None:
    for topic in ("adt.raw", "live.raw"):
        store.write([], [DeadLetter("layout", topic, None, f"PID|||{topic}".encode())])
    store.rows("UPDATE dead_letter SET at = at - interval '31 days' RETURNING 1")
    drop(store, adt_batches=30)
    assert store.rows("SELECT topic, length(message) FROM dead_letter ORDER BY topic") == [
        ("adt.raw", 0),
        ("live.raw", 14),
    ]
