"""Take, retry, dead-letter, acknowledge: once, for all stages.

A stage's work runs inside `attempt`, which returns only when the work is done: nothing is ever raised out of a faust
agent (an exception that leaves one stalls the worker and can lose the message). Offsets are acknowledged after the
outputs are with the broker, or after COMMIT.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

import structlog
from prometheus_client import Counter, Histogram

from emr_store.connect import store_errors
from runtime.watchdog import AttemptsWatchdog
from schemas.block import BLOCK_BYTES, chunked
from schemas.errors import ServiceError, VitalwireError
from stream_processors.broker import broker_errors

BACKOFF_FIRST_S = 0.05
BACKOFF_MAX_S = 5.0
DEAD_LETTER_ATTEMPTS_MAX = 8
LOG_APPEND_TIME = 1  # timestamp type of Kafka's record batches
_log = structlog.get_logger("stage")
_messages = Counter("vitalwire_stage_messages", "Messages that a stage finished", ["stage"])
_retries = Counter("vitalwire_stage_retries", "Attempts that failed and were made again", ["stage"])
_dead_letters = Counter("vitalwire_stage_dead_letters", "Messages that a stage gave up on", ["stage"])
_abandoned = Counter("vitalwire_stage_abandoned", "Messages that not even a dead letter could be made of", ["stage"])
_seconds = Histogram("vitalwire_stage_chunk_seconds", "Time for a chunk, retries included", ["stage"])


@dataclass(frozen=True)
class Message:
    """One message of a topic."""

    topic: str
    partition: int
    value: bytes
    appended_at_us: int | None = None  # when the broker appended it; None where it does not stamp


@dataclass(frozen=True)
class Output:
    """One message for a topic; `partition` None lets the key decide."""

    topic: str
    value: bytes
    partition: int | None = None
    key: bytes | None = None


class Work(Protocol):
    """What a stage does with a chunk; raises StoreError or KafkaError while a service is away."""

    async def __call__(self, chunk: Sequence[Message]) -> Sequence[Output]: ...


@dataclass(frozen=True)
class Stage:
    """A stage between topics.

    A chunk is what comes within `within_s`, at most `take` messages; it is worked in parts of `bytes_max`. Where a
    stage has several workers, each has its index and its share of the partitions. `dead_letter` says what becomes of
    one message that the work cannot take, with its reason; it is retried like work. `done` is called when the outputs
    of a part are with the broker: only then may the work remember it.
    """

    name: str
    source: str
    take: int
    within_s: float
    work: Work
    dead_letter: Callable[[Message, str], Awaitable[Sequence[Output]]]
    done: Callable[[], None] = lambda: None
    bytes_max: int = BLOCK_BYTES
    workers: int = 1
    worker_index: int = 0


# Why a stage (by its name and topic) or a work of the background waits now: what /readyz says.
waits: dict[str, str] = {}

Send = Callable[[Sequence[Output]], Awaitable[None]]


async def run(stage: Stage, stream: Any, send: Send, watchdog: AttemptsWatchdog) -> None:
    """The body of a stage's agent. `stream` is faust's; its types lack noack."""
    async for events in taken(stream.noack().events(), stage.take, stage.within_s):
        mine = []
        for event in events:
            if event.message.partition % stage.workers == stage.worker_index:
                mine.append(event)
            else:
                event.ack()  # of a message that several workers see, faust takes the last one's
        for indices in chunked([len(e.value) for e in mine], stage.bytes_max):
            chunk = [
                Message(
                    topic=event.message.topic,
                    partition=event.message.partition,
                    value=event.value,
                    appended_at_us=_appended_at_us(event.message),
                )
                for event in mine[indices]
            ]
            with _seconds.labels(stage.name).time(), watchdog.work() as attempted:
                await attempt(stage, chunk, send, attempted)
            for event in mine[indices]:
                event.ack()
            _messages.labels(stage.name).inc(len(chunk))


async def taken(stream: AsyncIterator[Any], take: int, within_s: float) -> AsyncIterator[list[Any]]:
    """What comes within so long after the first, at most so many events at a time; no longer once so many are there.

    faust's own noack_take does the same, and wakes up each `within_s` while nothing comes: with a dozen stages in a
    process a tenth of a core.
    """
    waiting: asyncio.Queue[Any] = asyncio.Queue(take)
    enough = asyncio.Event()

    async def fill() -> None:
        async for event in stream:
            await waiting.put(event)
            if waiting.qsize() + 1 >= take:
                enough.set()

    filling = asyncio.ensure_future(fill())
    try:
        while True:
            first = asyncio.ensure_future(waiting.get())
            await asyncio.wait((first, filling), return_when=asyncio.FIRST_COMPLETED)
            if not first.done():
                first.cancel()
                filling.result()
                return
            events = [first.result()]
            if waiting.qsize() + 1 < take:
                enough.clear()
                with suppress(TimeoutError):
                    async with asyncio.timeout(within_s):
                        await enough.wait()
            while len(events) < take and not waiting.empty():
                events.append(waiting.get_nowait())
            yield events
    finally:
        filling.cancel()


def _appended_at_us(message: Any) -> int | None:
    """The broker's own stamp; a producer's (its clock may be wrong by hours) is none."""
    stamped = message.timestamp_type == LOG_APPEND_TIME and message.timestamp is not None
    return round(message.timestamp * 1_000_000) if stamped else None


async def attempt(stage: Stage, chunk: Sequence[Message], send: Send, attempted: Callable[[], None]) -> None:
    """Work a chunk until it is done: with back-off while a service is away; singly where a message cannot be worked."""
    delay_s = BACKOFF_FIRST_S
    while True:
        attempted()
        try:
            with store_errors(), broker_errors():
                outputs = await stage.work(chunk)
            await send(outputs)
            stage.done()
            waits.pop(_name(stage), None)
            return
        except asyncio.CancelledError:
            raise
        except Exception as error:  # noqa: BLE001  nothing may leave the agent
            if is_transient(error):
                _retries.labels(stage.name).inc()
                _wait(stage, error)
                _log.warning("retry", stage=stage.name, error=error_name(error), detail=first_line(error))
            elif len(chunk) > 1:
                for message in chunk:
                    await attempt(stage, [message], send, attempted)
                return
            else:
                await _give_up(stage, chunk[0], error, send, attempted)
                return
        await asyncio.sleep(delay_s * random.uniform(0.8, 1.2))
        delay_s = min(delay_s * 2, BACKOFF_MAX_S)


async def _give_up(stage: Stage, message: Message, error: Exception, send: Send, attempted: Callable[[], None]) -> None:
    reason = f"{stage.name}:{error_name(error)}"
    _dead_letters.labels(stage.name).inc()
    _log.error("dead letter", stage=stage.name, reason=reason, topic=message.topic, bytes=len(message.value))
    delay_s, refused = BACKOFF_FIRST_S, 0
    while refused < DEAD_LETTER_ATTEMPTS_MAX:
        attempted()
        try:
            with store_errors(), broker_errors():
                outputs = await stage.dead_letter(message, reason)
            await send(outputs)
            waits.pop(_name(stage), None)
            return
        except asyncio.CancelledError:
            raise
        except Exception as failure:  # noqa: BLE001  as above
            if is_transient(failure):
                _wait(stage, failure)
            else:
                refused += 1
            _log.warning("retry", stage=stage.name, error=error_name(failure), detail=first_line(failure))
        await asyncio.sleep(delay_s)
        delay_s = min(delay_s * 2, BACKOFF_MAX_S)
    # The lane goes on: nobody was given a receipt, so that its edge still has it and sends it again.
    waits.pop(_name(stage), None)
    _abandoned.labels(stage.name).inc()
    _log.error("abandoned", stage=stage.name, reason=reason, topic=message.topic, bytes=len(message.value))


def _name(stage: Stage) -> str:
    return f"{stage.name}{stage.worker_index or ''} of {stage.source}"


def _wait(stage: Stage, error: Exception) -> None:
    """Have /readyz say what this stage waits for."""
    waits[_name(stage)] = f"{_name(stage)} waits: {error_name(error)}"


def is_transient(error: Exception) -> bool:
    """Whether it lies with a service and not with the message."""
    return error.transient if isinstance(error, VitalwireError) else isinstance(error, OSError)


def error_name(error: Exception) -> str:
    """What an error is called; of a service's, its client's name for it."""
    return error.reason if isinstance(error, ServiceError) else type(error).__name__


def first_line(error: Exception) -> str:
    """What an error says, but for what follows: of a database's it is often the row."""
    return str(error).split("\n")[0][:200]
