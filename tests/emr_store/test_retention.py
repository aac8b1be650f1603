import asyncio
import contextlib
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest

from emr_store import minutes, proof, retention
from emr_store.connect import open_store_async
from emr_store.retention import Keep
from emr_store.writer import Writer
from schemas.report import Alarm, Kind, Record, RecordKind, Report, Samples
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


def verify(store: Store) -> proof.Verification:
    with store.open() as conn:
        return proof.verify(conn, datetime(2000, 1, 1, tzinfo=UTC))


def count(store: Store, table: str) -> Any:
    return store.rows(f"SELECT count(*) FROM {table}")[0][0]


@on_both_parts
def test_rows_go_when_nothing_was_stored_beside_them_for_so_long(parts: str, store: Store) -> None:
    store.say(spo2(97, SUMMER_US), report(at_us=SUMMER_US, kind=Kind.WAVEFORM, records=[PLETH]))
    store.say(spo2(96, AUTUMN_US))
    age(store, 31)
    store.say(spo2(95, AUTUMN_US + DAY_US))  # of a month whose other rows are old
    assert drop(store) == drop(store, reports=60) == []
    assert drop(store, reports=30) == ["waveform", "report"]
    assert drop(store, reports=30) == []
    assert store.rows("SELECT value FROM report ORDER BY observed_at") == [([96.0],), ([95.0],)]
    assert count(store, "waveform") == 0
    (row,) = store.rows("SELECT since <= to_timestamp(%s), until > to_timestamp(%s), last_batch FROM dropped"
                        " WHERE what = 'report'", SUMMER_US // 10**6, SUMMER_US // 10**6)  # fmt: skip
    assert row == (True, True, 3)
    store.say(spo2(94, SUMMER_US + 1))  # and what comes for that month now has its place
    assert count(store, "report") == 3


@on_both_parts
def test_alarms_and_settings_go_with_the_reports_of_their_time(parts: str, store: Store) -> None:
    alarm = Record(SPO2, kind=RecordKind.ALARM, alarm=Alarm("low"))
    for at_us in (SUMMER_US, AUTUMN_US):
        store.say(report(at_us=at_us, kind=Kind.ALERT, records=[alarm]), report(at_us=at_us, kind=Kind.SETTING),
                  report(at_us=at_us, kind=Kind.WAVEFORM, records=[PLETH]))  # fmt: skip
    age(store, 31)
    store.say(report(at_us=AUTUMN_US, kind=Kind.ALERT, records=[alarm]))
    assert drop(store, reports=30) == ["waveform", "device_alarm", "device_setting", "report"]
    assert [count(store, table) for table in ("device_alarm", "device_setting", "waveform")] == [2, 2, 1]
    assert (verify(store).findings, verify(store).dropped) == ([], 2)
    store.say(report(at_us=SUMMER_US + 1, kind=Kind.ALERT, records=[alarm]))
    assert verify(store).findings == []
    store.rows("DELETE FROM device_alarm RETURNING 1")
    assert {f.where for f in verify(store).findings} == {
        "batch 2 leaf 0 record 0", "batch 3 leaf 0 record 0", "batch 4 leaf 0 record 0"
    }  # fmt: skip


def test_old_data_that_came_today_stays(store: Store) -> None:
    store.say(spo2(97, SUMMER_US))
    age(store, 400)
    store.say(spo2(96, SUMMER_US))
    assert drop(store, reports=30) == []
    assert count(store, "report") == 2


@on_both_parts
def test_verify_tells_dropped_rows_from_lost_ones(parts: str, store: Store) -> None:
    store.say(spo2(97, SUMMER_US), spo2(96, SUMMER_US + 1), spo2(95, AUTUMN_US))
    age(store, 31)
    store.say(spo2(94, AUTUMN_US))
    drop(store, reports=30)
    store.say(spo2(93, SUMMER_US + 2))
    found = verify(store)
    assert (found.findings, found.dropped, found.reports, found.batches, found.begins) == ([], 2, 3, 3, None)
    store.rows("DELETE FROM report WHERE value = '{95}' OR value = '{93}' RETURNING 1")
    assert [(f.where, f.what) for f in verify(store).findings] == [
        ("batch 1 leaf 2", "the row is gone"), ("batch 3 leaf 0", "the row is gone")
    ]  # fmt: skip


def test_a_row_that_was_kept_under_the_time_of_its_receipt_is_dropped_with_that(store: Store) -> None:
    ahead = report(at_us=SUMMER_US)
    store.say(Report(ahead.kind, ahead.claim, AUTUMN_US + 800 * DAY_US, SUMMER_US, ahead.clock_quality, ahead.records,
                     device_at_us=SUMMER_US))  # fmt: skip
    age(store, 31)
    assert drop(store, reports=30) == ["report"]
    assert (verify(store).findings, verify(store).dropped) == ([], 1)


@on_both_parts
def test_a_minute_of_dropped_rows_is_never_computed_from_less(parts: str, store: Store) -> None:
    minute_us = SUMMER_US // MINUTE_US * MINUTE_US
    store.say(spo2(97, minute_us), spo2(91, minute_us + 1))
    summarise(store)
    age(store, 31)
    drop(store, reports=30)
    for late in (80, 81):
        store.say(spo2(late, minute_us + late), spo2(late, minute_us + MINUTE_US + late))
        summarise(store)
    # The other minute had no rows when they were dropped: it is whole.
    assert store.rows("SELECT count, min, max FROM report_minute ORDER BY minute") == [
        ([2], [91.0], [97.0]), ([2], [80.0], [81.0])
    ]  # fmt: skip
    age(store, 400)
    assert drop(store, minutes=365) == ["report_minute"]
    assert count(store, "report_minute") == 0


@on_both_parts
def test_a_batch_is_emptied_when_no_row_of_it_is_left(parts: str, store: Store) -> None:
    first, second = store.seal(spo2(97, SUMMER_US)), store.seal(spo2(96, SUMMER_US), spo2(95, AUTUMN_US))
    store.write([store.judge(first)])
    age(store, 1)
    store.write([store.judge(second)])
    age(store, 400)
    third = store.seal(spo2(94, AUTUMN_US))
    store.write([store.judge(third, first)])  # one of them came before
    assert drop(store, batches=365) == []  # its rows are there
    assert drop(store, batches=365, reports=30) == ["report", "batch"]
    assert count(store, "report") == 2  # one of the second batch: only what was stored before it may go
    assert drop(store, batches=365, reports=30) == []
    sealed = [bytes(s) for (s,) in store.rows("SELECT sealed FROM batch ORDER BY batch")]  # type: ignore[call-overload]
    assert sealed == [first[:321], second, third]
    assert [len(j) > 0 for (j,) in store.rows("SELECT judgement FROM seal ORDER BY position")] == [False, True, True]  # type: ignore[arg-type]
    found = verify(store)
    assert (found.findings, found.emptied, found.dropped, found.batches, found.reports) == ([], 1, 1, 2, 2)
    assert found.begins is not None
    assert store.write([store.judge(first)]).duplicates == 1  # nothing is stored twice, ever
    for change, what in (
        ("UPDATE batch SET sealed = set_byte(sealed, 100, 7) WHERE batch = 1 RETURNING 1", "no registered edge key"),
        ("UPDATE batch SET sealed = substr(sealed, 1, 321) WHERE batch = 2 RETURNING 1", "damaged"),
    ):
        store.rows(change)
        assert any(what in f.what for f in verify(store).findings)


def test_who_reads_for_long_is_not_waited_for_and_blocks_nobody(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "_LOCK_TIMEOUT", "100ms")
    store.say(spo2(97, SUMMER_US))
    age(store, 31)
    with store.open() as reader, reader.transaction():
        reader.execute("SELECT count(*) FROM report")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            drop(store, reports=30)
    assert count(store, "dropped") == 0
    assert drop(store, reports=30) == ["report"]


def test_nothing_is_dropped_from_under_verify(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "_LOCK_TIMEOUT", "100ms")
    store.say(spo2(97, SUMMER_US))
    age(store, 31)
    keys = proof._keys

    def keys_and_drop(conn: psycopg.Connection) -> Any:
        found = keys(conn)
        with contextlib.suppress(psycopg.errors.LockNotAvailable):
            drop(store, reports=30)
        return found

    monkeypatch.setattr(proof, "_keys", keys_and_drop)
    assert verify(store).findings == []


def test_a_writer_at_work_keeps_what_it_writes_into(store: Store) -> None:
    store.say(spo2(97, SUMMER_US))
    age(store, 31)
    second = store.judge(store.seal(spo2(96, SUMMER_US)))

    async def run() -> list[retention.Dropped]:
        async with await open_store_async(store.address) as dropping:
            with store.open() as writing, writing.transaction():
                Writer(writing, store.platform.key_id, store.platform.sign).store([second], [], T0_US)
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
    store.say(spo2(97, SUMMER_US))
    age(store, 31)
    with store.open() as other:
        other.execute("SELECT pg_advisory_lock(%s)", [retention._LOCK])
        assert drop(store, reports=30) == []
    assert drop(store, reports=30) == ["report"]
