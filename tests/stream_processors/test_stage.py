import asyncio
from collections.abc import AsyncIterator, Sequence

import psycopg
import pytest

from runtime.watchdog import AttemptsWatchdog
from stream_processors import stage as stages
from stream_processors.stage import Message, Output, Stage, attempt

LOT = [Message("live.raw", 0, bytes([i])) for i in range(4)]


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    async def sleep(_: float) -> None:
        return None

    monkeypatch.setattr(stages.asyncio, "sleep", sleep)


class Scene:
    """A stage whose work fails as told, and what it sent."""

    def __init__(self, failures: dict[int, list[Exception]]) -> None:
        self.failures, self.sent, self.attempts = failures, [], 0  # type: ignore[var-annotated]
        self.poison_failures: list[Exception] = []

    async def work(self, lot: Sequence[Message]) -> list[Output]:
        for message in lot:
            waiting = self.failures.get(message.value[0], [])
            if waiting:
                raise (
                    waiting[0]
                    if len(waiting) == 1 and not isinstance(waiting[0], psycopg.OperationalError)
                    else waiting.pop(0)
                )
        return [Output("out", m.value) for m in lot]

    async def poison(self, message: Message, reason: str) -> list[Output]:
        if self.poison_failures:
            raise self.poison_failures.pop(0)
        return [Output("dead", message.value + reason.encode())]

    async def send(self, outputs: Sequence[Output]) -> None:
        self.sent += [(o.topic, o.value) for o in outputs]

    def run(self) -> list[tuple[str, bytes]]:
        def attempted() -> None:
            self.attempts += 1

        asyncio.run(attempt(Stage("s", "live.raw", 10, 0.05, self.work, self.poison), LOT, self.send, attempted))
        return self.sent


GOOD = [("out", bytes([i])) for i in range(4)]


def test_a_good_lot_goes_on_once() -> None:
    assert Scene({}).run() == GOOD


def test_while_a_service_is_away_the_lot_waits_and_attempts_go_on() -> None:
    scene = Scene({2: [psycopg.OperationalError("down") for _ in range(5)]})
    assert scene.run() == GOOD
    assert scene.attempts == 6


def test_poison_is_parted_from_its_neighbours() -> None:
    scene = Scene({2: [ValueError("poison")]})
    assert scene.run() == [GOOD[0], GOOD[1], ("dead", b"\x02s:ValueError"), GOOD[3]]


def test_what_a_database_refuses_is_poison_and_a_missing_table_is_not() -> None:
    assert not stages._transient(psycopg.DataError())
    assert not stages._transient(psycopg.IntegrityError())
    assert stages._transient(psycopg.ProgrammingError())
    assert stages._transient(psycopg.OperationalError())


def test_where_the_dead_cannot_be_kept_the_lot_waits() -> None:
    scene = Scene({2: [ValueError("poison")]})
    scene.poison_failures = [psycopg.OperationalError("down")] * 3
    assert scene.run() == [GOOD[0], GOOD[1], ("dead", b"\x02s:ValueError"), GOOD[3]]


class Event:
    """What faust hands over."""

    def __init__(self, partition: int, value: bytes) -> None:
        self.message, self.value, self.acked = self, value, False
        self.topic, self.partition = "live.signed", partition

    def ack(self) -> None:
        self.acked = True


class Stream:
    """One lot."""

    def __init__(self, *events: Event) -> None:
        self.events = events

    async def noack_take(self, take: int, within: float) -> AsyncIterator[Sequence[Event]]:
        yield self.events


def test_a_way_works_its_partitions_in_parts_and_acknowledges_what_it_has_done() -> None:
    events = [Event(n % 2, bytes([n]) * 10) for n in range(8)]
    scene, lots = Scene({}), []

    async def work(lot: Sequence[Message]) -> list[Output]:
        lots.append([m.value[0] for m in lot])
        assert [e.value[0] for e in events if e.partition and e.acked] == [n for done in lots[:-1] for n in done]
        return []

    def run(way: int) -> None:
        each = Stage("s", "live.signed", 50, 0.05, work, scene.poison, bytes_max=25, ways=2, way=way)
        asyncio.run(stages.run(each, Stream(*events), scene.send, AttemptsWatchdog(60.0, lambda: None)))

    run(1)
    assert lots == [[1, 3], [5, 7]]
    assert all(e.acked for e in events)  # the other way's too: faust waits for its word as well
