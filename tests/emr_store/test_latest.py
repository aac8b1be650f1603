import asyncio

import pytest

from emr_store import minutes
from emr_store.connect import open_store_async
from emr_store.latest import intervals, latest
from schemas.report import AsSent, Record, device_id
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
    store.say(
        report(records=both),
        report(records=[numeric(SPO2, PERCENT, 91)], at_us=T0_US + 2 * SECOND),
        report(records=[numeric(PULSE, PER_MIN, 71), numeric(PULSE, PER_MIN, 80, 1)], at_us=T0_US + SECOND),
        report("another", records=both),
        report(records=[Record(mantissa=5, as_sent=AsSent("99L", "x", ""))], at_us=T0_US + 9 * SECOND),  # no code
    )
    store.say(report(records=both[::-1], at_us=T0_US - SECOND))  # late: it was never the newest
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
    store.say(*often, *seldom, report("once"))

    async def summarise() -> None:
        async with await open_store_async(store.address) as conn:
            await minutes.summarise(conn)

    asyncio.run(summarise())
    ours, cuff = device_id("demo:nonin:1"), device_id("cuff")
    with store.open() as conn:  # a silence of an hour between, and of SpO2 one value a minute is not accepted
        assert intervals(conn) == {
            (ours, PULSE, 0): 10_000, (ours, SPO2, 0): 12_000, (cuff, PULSE, 0): 900_000
        }  # fmt: skip
