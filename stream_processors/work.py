"""What the stages' pure functions need around them: registry, keys, connections, clocks."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
import structlog
from prometheus_client import Counter

from emr_store import alerts, minutes, outbox, registry, retention, sequences
from emr_store.connect import StoreError, is_poison, open_store, open_store_async
from emr_store.retention import Keep
from emr_store.writer import SignedBlock, Writer
from runtime.clock import now_us
from runtime.keys import SigningKey
from schemas import topics
from schemas.block import QUARANTINE_MAGIC, Block, Quarantine, read_block
from schemas.errors import LayoutError
from schemas.report import Lane
from schemas.transition import Transition
from stream_processors import alert, sign, store, validate
from stream_processors.stage import Message, Output
from stream_processors.validate import EdgeKey, Memory, Seen

WRITERS = 2  # of a lane
UNKNOWN_EDGE_WAIT_S = 1.0  # an edge that a person registers now is known this soon
_log = structlog.get_logger("work")
_quarantined = Counter("vitalwire_quarantined_batches", "Batches that were not judged", ["reason"])
_written = Counter("vitalwire_stored", "Reports, values and batches committed", ["what"])


def by_partition(lot: Sequence[Message]) -> dict[int, list[bytes]]:
    """A lot's messages by partition: a stream's order holds from topic to topic."""
    parts: dict[int, list[bytes]] = {}
    for message in lot:
        parts.setdefault(message.partition, []).append(message.value)
    return parts


@dataclass
class Judge:
    """validate and sign."""

    conninfo: str
    key: SigningKey
    registry_every_s: float
    keys: Mapping[bytes, EdgeKey] = field(default_factory=dict)  # the registry, as last read
    _read_at_s: float = -1e9
    _seen: dict[Lane, Seen] = field(default_factory=dict)  # as of the last lot that is with the broker
    _next: dict[Lane, Seen] = field(default_factory=dict)

    async def refresh(self) -> None:
        """Read the registry again; while the store is away the last one read goes on to hold."""
        try:
            keys = await asyncio.to_thread(self._edge_keys)
        except StoreError as error:
            _log.warning("registry not read", error=type(error).__name__)
            return
        self.keys = {
            k.key_id: EdgeKey(k.edge.bytes, k.public_der, k.valid_from_us, k.valid_until_us, k.revoked) for k in keys
        }
        self._read_at_s = time.monotonic()

    def _edge_keys(self) -> list[registry.KeyRow]:
        with open_store(self.conninfo) as conn:
            return registry.edge_keys(conn)

    async def keep_fresh(self) -> None:
        """Background."""
        while True:
            await self.refresh()
            await asyncio.sleep(self.registry_every_s)

    async def validate(self, lane: Lane, lot: Sequence[Message]) -> list[Output]:
        """Sealed batches to blocks, a partition at a time."""
        while self._read_at_s < 0:
            await self.refresh()
            if self._read_at_s < 0:
                raise TimeoutError("the registry has not been read yet")
        if self._stale() and any(validate.is_unknown(m.value, self.keys) for m in lot):
            await self.refresh()
        memory = Memory(self.keys, dict(self._seen.get(lane, {})))
        out: list[Output] = []
        for partition, messages in by_partition(lot).items():
            for item in validate.validate(topics.raw(lane), messages, memory, now_us()):
                if isinstance(item, Quarantine):
                    _quarantined.labels(item.reason).inc()
                out.append(Output(topics.valid(lane), item.encode(), partition))
        self._next[lane] = memory.last_batch_no
        return out

    def validated(self, lane: Lane) -> None:
        """What the last lot of a lane said of its streams is remembered: its blocks are with the broker."""
        if lane in self._next:
            self._seen[lane] = self._next.pop(lane)

    def _stale(self) -> bool:
        return time.monotonic() - self._read_at_s > UNKNOWN_EDGE_WAIT_S

    async def sign(self, lane: Lane, lot: Sequence[Message]) -> list[Output]:
        """Blocks to signed blocks."""
        return [
            Output(topics.signed(lane), sign.sign(m.value, self.key.key_id, self.key.sign, now_us()), m.partition)
            for m in lot
        ]

    async def quarantine(self, lane: Lane, message: Message, reason: str) -> list[Output]:
        """A message that broke a stage travels on as bytes."""
        item = Quarantine(reason, message.topic, False, message.value)
        return [Output(topics.signed(lane), item.encode(), message.partition)]


@dataclass
class Alert:
    """Limits on live blocks; the open episodes are what the topic `alerts` says."""

    limits: Sequence[alert.Limit]
    episodes: dict[alert.Key, alert.Episode]
    _next: dict[alert.Key, alert.Episode] | None = None

    async def evaluate(self, lot: Sequence[Message]) -> list[Output]:
        """Blocks to transitions, which are the same when a lot is worked again: their ids follow from their cause."""
        blocks = [b for m in lot if (b := _block(m.value)) is not None]
        self._next = dict(self.episodes)
        transitions = alert.evaluate(blocks, self.limits, self._next)
        return [Output(topics.ALERTS, msgspec.json.encode(t), key=t.device.encode()) for t in transitions]

    def said(self) -> None:
        """The transitions of the last lot are with the broker: their episodes are as they say."""
        if self._next is not None:
            self.episodes, self._next = self._next, None

    async def skip(self, message: Message, reason: str) -> list[Output]:
        """A block that breaks the alerts is counted by the stage; store keeps it all the same."""
        return []


def _block(message: bytes) -> Block | None:
    return None if message.startswith(QUARANTINE_MAGIC) else read_block(message)


class Store:
    """A lane's writers, each with a connection and, while it works, a thread.

    The rows of one are built while the database takes those of the other. A stream keeps to one partition, and that to
    one writer, which is never given two lots at once.
    """

    def __init__(self, conninfo: str, key: SigningKey, committed: Callable[[], None]) -> None:
        self._conninfo, self._key, self._committed = conninfo, key, committed
        self._writers: dict[int, Writer] = {}

    async def store(self, lot: Sequence[Message]) -> list[Output]:
        """A lot of one writer's partitions into one transaction."""
        await asyncio.to_thread(self._store, lot)
        self._committed()
        return []

    async def poison(self, message: Message, reason: str) -> list[Output]:
        """Of a block that the database refuses each batch alone: what is refused even then is kept as bytes."""
        await asyncio.to_thread(self._one_by_one, message, reason)
        self._committed()
        return []

    def _store(self, lot: Sequence[Message]) -> None:
        blocks, quarantined = store.sort_messages([m.value for m in lot], lot[0].topic, self._key.public_der)
        self._write(lot[0].partition % WRITERS, blocks, quarantined)

    def _one_by_one(self, message: Message, reason: str) -> None:
        writer = message.partition % WRITERS
        try:
            signed = store.open_message(message.value, self._key.public_der)
        except LayoutError:
            signed = Quarantine(reason, message.topic, False, message.value)
        if isinstance(signed, Quarantine):
            return self._write(writer, [], [signed])
        for block in store.apart(signed):
            sealed = sign.sign(block.encode(), self._key.key_id, self._key.sign, now_us())
            alone, _ = store.sort_messages([sealed], message.topic, self._key.public_der)
            try:
                self._write(writer, alone, [])
            except Exception as error:
                if isinstance(error, StoreError) and not is_poison(error):
                    raise
                reason, topic = f"store:{type(error).__name__}", topics.raw(alone[0].headers[0].lane)
                self._write(writer, [], [Quarantine(reason, topic, True, block.batches[0])])
        return None

    def _write(self, writer: int, blocks: Sequence[SignedBlock], quarantined: Sequence[Quarantine]) -> None:
        """One transaction; a connection that broke is opened again by the next."""
        try:
            if writer not in self._writers:
                self._writers[writer] = Writer(open_store(self._conninfo), self._key.key_id, self._key.sign)
            written = self._writers[writer].store(blocks, quarantined, now_us())
        except StoreError:
            self._close(writer)
            raise
        for what, n in (("reports", written.reports), ("values", written.values), ("batches", written.batches)):
            _written.labels(what).inc(n)
        for ident in written.conflicts:
            _log.error("two batches with one number, both kept", batch=ident.hex())

    def _close(self, writer: int) -> None:
        if (gone := self._writers.pop(writer, None)) is not None:
            gone.close()

    def close(self) -> None:
        """Let the connections go."""
        for writer in list(self._writers):
            self._close(writer)


async def file_alerts(conninfo: str, lot: Sequence[Message]) -> list[Output]:
    """Transitions into the store: from the topic, never the other way round."""
    transitions = []
    for message in lot:
        try:
            transitions.append(msgspec.json.decode(message.value, type=Transition))
        except msgspec.MsgspecError as error:
            raise LayoutError("transition", str(error)) from None
    conn = await open_store_async(conninfo)
    async with conn:
        await alerts.file(conn, transitions)
    return []


async def deliver_receipts(
    conninfo: str, committed: asyncio.Event, send: Callable[[Sequence[Output]], Awaitable[None]]
) -> None:
    """Background: the outbox to the topic `receipts`, after each COMMIT and every second."""
    while True:
        try:
            conn = await open_store_async(conninfo)
            async with conn:
                while True:
                    found = await outbox.waiting(conn)
                    await send(
                        [
                            Output(topics.RECEIPTS, receipt, topics.receipt_partition(edge), edge)
                            for _, edge, receipt in found
                        ]
                    )
                    if found:
                        await outbox.delivered(conn, [i for i, _, _ in found])
                    if len(found) < outbox.LOT:
                        await _either(committed, 1.0)
        except Exception as error:  # noqa: BLE001  a background task that ends is a feed that stops
            _log.warning("receipts wait", error=type(error).__name__)
            await asyncio.sleep(1.0)


async def _either(event: asyncio.Event, timeout_s: float) -> None:
    try:
        await asyncio.wait_for(event.wait(), timeout_s)
    except TimeoutError:
        return
    event.clear()


async def summarise(conninfo: str) -> None:
    """Background: the devices' own counts, and the minutes that are closed, every five seconds."""

    async def all_closed(conn: Any) -> None:
        await sequences.fold(conn)
        while await minutes.summarise(conn):
            pass

    await _every(5.0, conninfo, "summaries", all_closed)


async def drop_old(conninfo: str, keep: Keep) -> None:
    """Background: what is kept no longer, every hour."""

    async def all_old(conn: Any) -> None:
        for part in await retention.drop_old(conn, keep):
            _log.info("dropped", **part._asdict())

    await _every(3600.0, conninfo, "old rows", all_old)


async def _every(seconds: float, conninfo: str, what: str, work: Callable[[Any], Awaitable[None]]) -> None:
    while True:
        try:
            conn = await open_store_async(conninfo)
            async with conn:
                await work(conn)
        except Exception as error:  # noqa: BLE001  as above
            _log.warning(f"{what} wait", error=type(error).__name__)
        await asyncio.sleep(seconds)
