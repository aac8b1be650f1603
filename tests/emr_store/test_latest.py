import asyncio
import time
from datetime import UTC, datetime, timedelta
from uuid import UUID

import numpy as np
import pytest

from emr_store import minutes
from emr_store.connect import open_store_async
from emr_store.latest import (
    WHOLE_EVERY_S,
    Changes,
    LatestRows,
    LatestValue,
    channel_sets,
    device_ids,
    intervals,
    latest,
)
from schemas.block import ValidationResult
from schemas.report import AsSent, Mark, Record, RecordKind, Validity, device_id
from tests.making import PER_MIN, PERCENT, PULSE, SPO2, T0_US, report
from tests.storing import Store

SECOND = 1_000_000


@pytest.fixture
def store(database: str) -> Store:
    return Store(database)


def numeric(code: int, unit: int, value: int, channel: int = 0) -> Record:
    return Record(code, unit, channel=channel, mantissa=value)


def test_of_each_channel_the_newest_value_in_whichever_list_it_came(store: Store) -> None:
    both = [numeric(SPO2, PERCENT, 97), numeric(PULSE, PER_MIN, 70)]
    store.emit(
        report(records=both),
        report(records=[numeric(SPO2, PERCENT, 91)], at_us=T0_US + 2 * SECOND),
        report(records=[numeric(PULSE, PER_MIN, 71), numeric(PULSE, PER_MIN, 80, 1)], at_us=T0_US + SECOND),
        report("another", records=both),
        report(records=[Record(mantissa=5, as_sent=AsSent("99L", "x", ""))], at_us=T0_US + 9 * SECOND),  # no code
    )
    store.emit(report(records=both[::-1], at_us=T0_US - SECOND))  # late: it was never the newest
    ours = device_id("demo:nonin:1")
    with store.open() as conn:
        found = {(v.device, v.code, v.channel): v.value for v in latest(conn)}
    assert found == {
        (ours, SPO2, 0): 91.0, (ours, PULSE, 0): 71.0, (ours, PULSE, 1): 80.0,
        (device_id("another"), SPO2, 0): 97.0, (device_id("another"), PULSE, 0): 70.0,
    }  # fmt: skip


def test_how_often_a_channel_speaks_is_known_from_its_minutes(store: Store) -> None:
    minute_us = T0_US // (60 * SECOND) * 60 * SECOND
    often = [report(at_us=minute_us + i * 10 * SECOND, records=[numeric(PULSE, PER_MIN, 70), numeric(SPO2, PERCENT,
             97 if i % 6 else 250)]) for i in (*range(18), *range(360, 372))]  # fmt: skip
    seldom = [report("cuff", minute_us + i * 900 * SECOND, [numeric(PULSE, PER_MIN, 70)]) for i in range(4)]
    store.emit(*often, *seldom, report("once"))

    async def summarise() -> None:
        async with await open_store_async(store.address) as conn:
            await minutes.summarise(conn)

    asyncio.run(summarise())
    ours, cuff = device_id("demo:nonin:1"), device_id("cuff")
    with store.open() as conn:  # a silence of an hour between, and of SpO2 one value a minute is not accepted
        assert intervals(conn) == {
            (ours, PULSE, 0): 10_000, (ours, SPO2, 0): 12_000, (cuff, PULSE, 0): 900_000
        }  # fmt: skip


def now_us() -> int:
    return time.time_ns() // 1000


def test_what_lay_in_the_future_when_it_was_stored_gives_way_to_what_comes_after(store: Store) -> None:
    both = [numeric(SPO2, PERCENT, 97), numeric(PULSE, PER_MIN, 70)]
    store.emit(report(records=both, at_us=now_us() + 3600 * SECOND))  # its edge's clock is an hour ahead
    assert [v.value for v in newest(store)] == [70.0, 97.0]
    store.emit(report(records=[numeric(SPO2, PERCENT, 91)], at_us=now_us()))  # it was put right
    assert [v.value for v in newest(store)] == [70.0, 91.0]


def test_the_same_list_of_channels_is_not_frozen_by_a_clock_that_was_ahead(store: Store) -> None:
    changes = Changes()
    with store.open() as conn:
        for value, ahead_us in ((97, 3600 * SECOND), (91, 0), (92, 3600 * SECOND)):
            store.emit(report(records=[numeric(SPO2, PERCENT, value)], at_us=now_us() + ahead_us))
            assert [v.value for v in latest(conn)] == [float(value)]
            (rows,) = changes.read(conn)
            assert rows.value.tolist() == [[float(value)]]
        store.emit(report(records=[numeric(SPO2, PERCENT, 90)], at_us=T0_US))  # old: it was never the newest
        assert [v.value for v in latest(conn)] == [92.0]
        assert changes.read(conn) == []
        assert conn.execute("SELECT count(*) FROM latest JOIN batch USING (batch, stored_at)").fetchone() == (1,)


def test_in_one_batch_what_lies_in_the_future_is_no_newer_than_what_comes_after_it(store: Store) -> None:
    ahead = [
        report(records=[numeric(SPO2, PERCENT, v)], at_us=now_us() + s * SECOND) for v, s in ((97, 3600), (91, 99))
    ]
    store.emit(*ahead)
    assert [v.value for v in newest(store)] == [91.0]


def instant(us: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=us)


def newest(store: Store) -> list[LatestValue]:
    with store.open() as conn:
        return latest(conn)


def test_of_one_device_alone(store: Store) -> None:
    store.emit(report("one", records=[numeric(SPO2, PERCENT, 97)]), report("two", records=[numeric(SPO2, PERCENT, 98)]))
    with store.open() as conn:
        assert [v.value for v in latest(conn, device_id("two"))] == [98.0]
        assert latest(conn, UUID(int=1)) == []


def test_what_changed_is_read_in_columns_and_once(store: Store) -> None:
    store.emit(report("one"), report("two", records=[numeric(SPO2, PERCENT, 98)]))
    changes = Changes()
    with store.open() as conn:
        whole = changes.read(conn)
        assert changes.read(conn) == []
        sets = channel_sets(conn, [rows.channel_set for rows in whole])
        devices = device_ids(conn, [d for rows in whole for d in rows.device.tolist()])
        assert {(devices[d], tuple(sets[rows.channel_set].code)) for rows in whole for d in rows.device.tolist()} == {
            (device_id("one"), (SPO2, PULSE)), (device_id("two"), (SPO2,))
        }  # fmt: skip
        store.emit(report("two", records=[numeric(SPO2, PERCENT, 99)], at_us=T0_US + 1))
        (rows,) = changes.read(conn)
    assert devices[rows.device.item()] == device_id("two")
    assert rows.value.tolist() == [[99.0]]
    assert rows.observed_at_us.item() == T0_US + 1
    assert store.rows("SELECT stored_at FROM batch ORDER BY batch DESC LIMIT 1") == [
        (instant(rows.stored_at_us.item()),)
    ]
    assert rows.received_at_us.item() == report(at_us=T0_US + 1).received_at_us


def test_columns_say_all_that_latest_says(store: Store) -> None:
    store.emit(report(records=[
        numeric(SPO2, PERCENT, 250), Record(PULSE, PER_MIN, validity=Validity.NOT_AVAILABLE),
        Record(PULSE, PER_MIN, 1, RecordKind.BOUND, mantissa=30, marks=Mark.LESS),
        Record(SPO2, PERCENT, 1, kind=RecordKind.CODE, mantissa=3, text="searching"),
        Record(SPO2, PERCENT, 2, kind=RecordKind.CODE, mantissa=4),
    ]), report("plain"))  # fmt: skip
    rows = read_columns(store, 5)
    assert [None if np.isnan(v) else v for v in rows.value[0]] == [250.0, None, 30.0, None, None]
    assert (rows.validity[0] & 15).tolist() == [0, Validity.NOT_AVAILABLE, 0, 0, 0]
    assert (rows.validity[0] >> 4).tolist() == [0, 0, Mark.LESS, 0, 0]
    assert rows.validation_result[0].tolist() == [
        ValidationResult.DOUBTFUL_RANGE, ValidationResult.MISSING, ValidationResult.ACCEPTED_BOUND,
        ValidationResult.ACCEPTED_CODE, ValidationResult.ACCEPTED_CODE
    ]  # fmt: skip
    assert rows.text == {(0, 3): "searching", (0, 4): "4"}
    plain = read_columns(store, 2)
    assert (plain.validity.tolist(), plain.validation_result.tolist(), plain.text) == ([[0, 0]], [[0, 0]], {})


def read_columns(store: Store, channels: int) -> LatestRows:
    with store.open() as conn:
        (rows,) = [r for r in Changes().read(conn) if r.value.shape[1] == channels]
    return rows


def test_what_was_stamped_before_the_newest_one_seen_is_read_too(store: Store) -> None:
    store.emit(report("one"), report("two"))
    changes = Changes()
    with store.open() as conn:
        stored_us = next(int(rows.stored_at_us.max()) for rows in changes.read(conn))
        for device, ago_s in (("one", 3), ("two", 8)):
            conn.execute(
                "UPDATE latest SET stored_at = stored_at - %s * interval '1 second', leaf = 7"
                " WHERE device = (SELECT device FROM device WHERE uuid = %s)",
                (ago_s, device_id(device)),
            )
        assert [rows.stored_at_us.tolist() for rows in changes.read(conn)] == [[stored_us - 3 * SECOND]]
        changes = Changes()
        assert sum(len(rows.device) for rows in changes.read(conn)) == 2


def test_news_are_told_once_and_not_of_what_was_read(store: Store) -> None:
    changes = Changes()
    with store.open() as conn:
        assert not changes.has_news(conn)
        store.emit(report("one"))
        assert changes.has_news(conn)
        assert not changes.has_news(conn)
        changes.read(conn)
        store.emit(report("two"))
        changes.read(conn)
        assert not changes.has_news(conn)


def test_a_row_that_does_not_fit_its_channel_set_is_not_shown(store: Store) -> None:
    store.emit(report("one"), report("two"))
    with store.open() as conn:
        conn.execute("UPDATE latest SET value = '{1}' WHERE device = (SELECT min(device) FROM device)")
        assert [len(rows.device) for rows in Changes().read(conn)] == [1]
        conn.execute("UPDATE latest SET validation_result = '{1}'")
        assert Changes().read(conn) == []


def test_everything_is_read_now_and_then(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store.emit(report("one"), report("two"))
    changes, now_s = Changes(), 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now_s)
    with store.open() as conn:
        changes.read(conn)
        conn.execute("UPDATE latest SET stored_at = stored_at - interval '1 hour'")  # a transaction that took so long
        assert changes.read(conn) == []
        now_s += WHOLE_EVERY_S
        assert sum(len(rows.device) for rows in changes.read(conn)) == 2
