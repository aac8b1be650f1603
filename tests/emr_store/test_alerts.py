import asyncio
import itertools
from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest
from msgspec.structs import replace

from emr_store import alerts, outbox
from emr_store.connect import open_store_async
from schemas.transition import Transition
from tests.making import T0_US, report
from tests.storing import EDGE, Store

EPISODE, DEVICE = str(uuid4()), str(uuid4())
OPENED = Transition(str(uuid4()), EPISODE, DEVICE, "150456-0-low", "high", True, T0_US, T0_US, "SpO2 89 < 90")
RESOLVED = replace(OPENED, id=str(uuid4()), opened=False, at_us=T0_US + 5_000_001, message="SpO2 back in limits")


@pytest.fixture
def store(database: str) -> Store:
    return Store(database)


def file(store: Store, *transitions: Transition) -> None:
    async def run() -> None:
        async with await open_store_async(store.address) as conn:
            await alerts.file(conn, transitions)

    asyncio.run(run())


def open_now(store: Store) -> Sequence[alerts.OpenEpisode]:
    with store.open() as conn:
        return alerts.open_now(conn)


def moment(us: int) -> datetime:
    return datetime.fromtimestamp(us // 10**6, UTC).replace(microsecond=us % 10**6)


def test_an_episode_opens_and_resolves(store: Store) -> None:
    file(store, OPENED)
    assert open_now(store) == [
        (UUID(EPISODE), UUID(DEVICE), "150456-0-low", "high", moment(T0_US), "SpO2 89 < 90")
    ]  # fmt: skip
    file(store, RESOLVED)
    assert open_now(store) == []
    assert store.rows("SELECT opened_at, resolved_at FROM alert_episode") == [
        (moment(T0_US), moment(T0_US + 5_000_001))
    ]


@pytest.mark.parametrize("order", list(itertools.product([OPENED, RESOLVED], repeat=3)))
def test_in_any_order_and_however_often_it_is_one_episode(store: Store, order: tuple[Transition, ...]) -> None:
    for transition in order:
        file(store, transition)
    resolved = moment(RESOLVED.at_us) if RESOLVED in order else None
    message = OPENED.message if OPENED in order else RESOLVED.message
    assert store.rows("SELECT resolved_at, message FROM alert_episode") == [(resolved, message)]


def test_a_lot_is_filed_whole_or_not_at_all(store: Store) -> None:
    with pytest.raises(Exception, match="uuid"):
        file(store, OPENED, replace(OPENED, episode="no uuid"))
    assert open_now(store) == []


def test_the_oldest_stands_first(store: Store) -> None:
    later = replace(OPENED, episode=str(uuid4()), opened_at_us=T0_US + 1)
    file(store, later, OPENED)
    assert [str(e.episode) for e in open_now(store)] == [EPISODE, later.episode]


def test_receipts_wait_in_order_until_they_are_delivered(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "LOT", 2)
    for _ in range(3):
        store.say(report())

    async def run() -> None:
        async with await open_store_async(store.address) as conn:
            first = await outbox.waiting(conn)
            assert [(i, edge) for i, edge, _ in first] == [(1, EDGE), (2, EDGE)]
            assert await outbox.waiting(conn) == first
            await outbox.delivered(conn, [1])
            assert [i for i, _, _ in await outbox.waiting(conn)] == [2, 3]
            await outbox.delivered(conn, [2, 3, 4])
            assert await outbox.waiting(conn) == []
            await outbox.delivered(conn, [])

    asyncio.run(run())
