import asyncio
import dataclasses
from collections.abc import AsyncIterator, Sequence

import psycopg
import pytest
from aiokafka.errors import KafkaConnectionError

from runtime.watchdog import AttemptsWatchdog
from schemas.errors import FrameError, LayoutError, LayoutReason, ServiceError
from stream_processors import stage as stages
from stream_processors.stage import Message, Output, Stage, attempt

TOO_LARGE = ServiceError("MessageSizeTooLargeError", "too large", transient=False)
CHUNK = [Message("live.raw", 0, bytes([i])) for i in range(4)]


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    async def sleep(_: float) -> None:
        return None

    monkeypatch.setattr(stages.asyncio, "sleep", sleep)


class Scene:
    """A stage whose work fails as told, and what it sent."""

    def __init__(self, failures: dict[int, list[Exception]]) -> None:
        self.failures, self.sent, self.attempts = failures, [], 0  # type: ignore[var-annotated]
        self.dead_letter_failures: list[Exception] = []
        self.broker_refuses: set[bytes] = set()

    async def work(self, chunk: Sequence[Message]) -> list[Output]:
        for message in chunk:
            waiting = self.failures.get(message.value[0], [])
            if waiting:
                raise (
                    waiting[0]
                    if len(waiting) == 1 and not isinstance(waiting[0], psycopg.OperationalError | KafkaConnectionError)
                    else waiting.pop(0)
                )
        return [Output("out", m.value) for m in chunk]

    async def dead_letter(self, message: Message, reason: str) -> list[Output]:
        if self.dead_letter_failures:
            raise self.dead_letter_failures.pop(0)
        return [Output("dead", message.value + reason.encode())]

    async def send(self, outputs: Sequence[Output]) -> None:
        if any(output.value in self.broker_refuses for output in outputs):
            raise TOO_LARGE
        self.sent += [(o.topic, o.value) for o in outputs]

    def stage(self, worker_index: int = 0, workers: int = 1, bytes_max: int = 1000) -> Stage:
        return Stage(
            name="s",
            source="live.raw",
            take=50,
            within_s=0.05,
            work=self.work,
            dead_letter=self.dead_letter,
            bytes_max=bytes_max,
            workers=workers,
            worker_index=worker_index,
        )

    def run(self) -> list[tuple[str, bytes]]:
        def attempted() -> None:
            self.attempts += 1

        asyncio.run(attempt(self.stage(), CHUNK, self.send, attempted))
        return self.sent


GOOD = [("out", bytes([i])) for i in range(4)]


def test_a_good_chunk_goes_on_once() -> None:
    assert Scene({}).run() == GOOD


@pytest.mark.parametrize("error", [psycopg.OperationalError, KafkaConnectionError])
def test_while_a_service_is_away_the_chunk_waits_and_attempts_go_on(error: type[Exception]) -> None:
    scene = Scene({2: [error("down") for _ in range(5)]})
    assert scene.run() == GOOD
    assert scene.attempts == 6


def test_a_dead_letter_is_separated_from_its_neighbours() -> None:
    scene = Scene({2: [ValueError("a dead letter")]})
    assert scene.run() == [GOOD[0], GOOD[1], ("dead", b"\x02s:ValueError"), GOOD[3]]


def test_where_the_dead_cannot_be_kept_the_chunk_waits() -> None:
    scene = Scene({2: [ValueError("a dead letter")]})
    scene.dead_letter_failures = [psycopg.OperationalError("down")] * 3
    assert scene.run() == [GOOD[0], GOOD[1], ("dead", b"\x02s:ValueError"), GOOD[3]]


def test_readiness_names_a_stage_while_it_waits_and_no_longer() -> None:
    scene = Scene({0: [psycopg.OperationalError("down"), ValueError("a dead letter")]})
    scene.dead_letter_failures = [psycopg.OperationalError("down")] * 2
    emitted: list[list[str]] = []

    async def dead_letter(message: Message, reason: str) -> list[Output]:
        emitted.append(list(stages.waits.values()))
        return await scene.dead_letter(message, reason)

    stage = dataclasses.replace(scene.stage(), dead_letter=dead_letter)
    asyncio.run(attempt(stage, CHUNK[:1], scene.send, lambda: None))
    waiting = ["s of live.raw waits: OperationalError"]
    assert emitted == [waiting, waiting, waiting]
    assert stages.waits == {}
    assert scene.sent == [("dead", b"\x00s:ValueError")]
    emitted.clear()
    scene.failures = {0: [ValueError("a dead letter")]}
    scene.dead_letter_failures = [psycopg.OperationalError("down")]
    asyncio.run(attempt(stage, CHUNK[:1], scene.send, lambda: None))
    assert (emitted, stages.waits) == ([[], waiting], {})


def test_a_message_that_the_broker_never_takes_is_a_dead_letter() -> None:
    scene = Scene({})
    scene.broker_refuses = {b"\x02"}
    assert scene.run() == [GOOD[0], GOOD[1], ("dead", b"\x02s:MessageSizeTooLargeError"), GOOD[3]]


@pytest.mark.parametrize(
    ("error", "transient"),
    [
        (ServiceError("OperationalError", "down", transient=True), True),
        (ServiceError("DataError", "a value", transient=False), False),
        (ConnectionResetError(), True),
        (TimeoutError(), True),
        (LayoutError(LayoutReason.SIZE), False),
        (FrameError("checksum"), False),
        (AssertionError(), False),
        (ValueError(), False),
    ],
)
def test_whether_it_lies_with_a_service_or_with_the_message(error: Exception, transient: bool) -> None:
    assert stages.is_transient(error) is transient


def test_what_the_database_says_of_a_message_is_its_dead_letter_s_reason() -> None:
    scene = Scene({2: [psycopg.DataError("of a row")]})
    assert scene.run() == [GOOD[0], GOOD[1], ("dead", b"\x02s:DataError"), GOOD[3]]
    assert scene.attempts == 6  # the chunk, then each alone and one more for the dead letter


def test_a_lane_goes_on_where_not_even_a_dead_letter_can_be_sent() -> None:
    scene = Scene({2: [ValueError("odd")]})
    scene.dead_letter_failures = [TOO_LARGE] * stages.DEAD_LETTER_ATTEMPTS_MAX
    before = stages._abandoned.labels("s")._value.get()
    assert scene.run() == [GOOD[0], GOOD[1], GOOD[3]]
    assert stages._abandoned.labels("s")._value.get() == before + 1


class Event:
    """What faust hands over."""

    def __init__(self, partition: int, value: bytes) -> None:
        self.message, self.value, self.acked = self, value, False
        self.topic, self.partition = "live.signed", partition
        self.timestamp, self.timestamp_type = 1_790_000_000.25, 1

    def ack(self) -> None:
        self.acked = True


class Stream:
    """What there is; then it ends."""

    def __init__(self, *events: Event) -> None:
        self._events = events

    def noack(self) -> "Stream":
        return self

    async def events(self) -> AsyncIterator[Event]:
        for event in self._events:
            yield event


def test_what_waits_is_taken_at_once_and_never_more_than_asked_for() -> None:
    async def run() -> list[list[bytes]]:
        events = Stream(*(Event(0, bytes([n])) for n in range(7))).events()
        return [[event.value[0] for event in taken] async for taken in stages.taken(events, 3, 0.0)]

    taken = asyncio.run(run())
    assert [number for chunk in taken for number in chunk] == list(range(7))
    assert max(map(len, taken)) <= 3


def test_nothing_more_is_waited_for_once_enough_is_there() -> None:
    async def slow() -> AsyncIterator[Event]:
        for number in range(3):
            for _ in range(20):  # turns of the loop, so that the first is taken before the others come
                turn = asyncio.get_running_loop().create_future()
                asyncio.get_running_loop().call_soon(turn.set_result, None)
                await turn
            yield Event(0, bytes([number]))
        await asyncio.Event().wait()

    async def run() -> list[int]:
        async with asyncio.timeout(5):
            return [event.value[0] for event in await anext(stages.taken(slow(), 3, 60.0))]

    assert asyncio.run(run()) == [0, 1, 2]


def test_what_the_stream_raises_leaves_the_stage() -> None:
    async def broken() -> AsyncIterator[Event]:
        yield Event(0, b"x")
        raise ConnectionError("broken")

    async def run() -> None:
        async for events in stages.taken(broken(), 3, 0.0):
            assert len(events) == 1

    with pytest.raises(ConnectionError):
        asyncio.run(run())


def test_a_worker_works_its_partitions_in_parts_and_acknowledges_what_it_has_done() -> None:
    events = [Event(n % 2, bytes([n]) * 10) for n in range(8)]
    scene, chunks = Scene({}), []  # type: ignore[var-annotated]

    async def work(chunk: Sequence[Message]) -> list[Output]:
        chunks.append([m.value[0] for m in chunk])
        assert [e.value[0] for e in events if e.partition and e.acked] == [n for done in chunks[:-1] for n in done]
        return []

    def run(worker_index: int) -> None:
        scene.work = work  # type: ignore[method-assign]
        each = scene.stage(worker_index, workers=2, bytes_max=25)
        asyncio.run(stages.run(each, Stream(*events), scene.send, AttemptsWatchdog(60.0, lambda: None)))

    run(1)
    assert chunks == [[1, 3], [5, 7]]
    assert all(e.acked for e in events)  # the other worker's too: faust waits for its word as well


def test_only_the_broker_s_own_stamp_counts() -> None:
    event = Event(0, b"x")
    assert stages._appended_at_us(event) == 1_790_000_000_250_000
    event.timestamp_type = 0  # the producer's
    assert stages._appended_at_us(event) is None
