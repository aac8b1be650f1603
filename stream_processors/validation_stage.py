"""The stage of validation: what validation needs around it: the last registry, the platform's key, the streams' last
numbers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import structlog
from prometheus_client import Counter

from emr_store import registry
from emr_store.connect import StoreError, open_store
from runtime.clock import now_us
from runtime.keys import SigningKey
from schemas import layout, topics
from schemas.identity import EdgeId
from schemas.report import Lane
from stream_processors import signed_validation, validation
from stream_processors.signed_validation import RawMessage
from stream_processors.stage import Message, Output
from stream_processors.validation import EdgeKey, Memory, Seen

UNKNOWN_EDGE_WAIT_S = 1.0  # an edge that a person registers now is known this soon
_log = structlog.get_logger("validation")
_not_validated = Counter("vitalwire_quarantined_batches", "Batches that were not validated", ["reason"])


@dataclass
class Validator:
    """The one stage between `<lane>.raw` and `<lane>.signed`."""

    conninfo: str
    key: SigningKey
    registry_every_s: float
    batch_layout: int = layout.LAYOUT
    clock_us: Callable[[], int] = now_us
    keys: Mapping[bytes, EdgeKey] = field(default_factory=dict)  # the registry, as last read
    _read_at_s: float = -1e9
    _seen: dict[Lane, Seen] = field(default_factory=dict)  # as of the last chunk that is with the broker
    _next: dict[Lane, Seen] = field(default_factory=dict)

    async def refresh(self) -> None:
        """Read the registry again; while the store is away the last one read goes on to hold."""
        try:
            keys = await asyncio.to_thread(self._edge_keys)
        except StoreError as error:
            _log.warning("registry not read", error=type(error).__name__)
            return
        self.keys = {
            k.key_id: EdgeKey(EdgeId(k.edge.bytes), k.public_der, k.valid_from_us, k.valid_until_us, k.revoked)
            for k in keys
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

    async def validate_and_sign(self, lane: Lane, chunk: Sequence[Message]) -> list[Output]:
        """Sealed batches to signed blocks and dead letters, a partition at a time."""
        while self._read_at_s < 0:
            await self.refresh()
            if self._read_at_s < 0:
                raise TimeoutError("the registry has not been read yet")
        if self._stale() and any(validation.is_unknown(m.value, self.keys) for m in chunk):
            await self.refresh()
        memory = Memory(self.keys, dict(self._seen.get(lane, {})), self.batch_layout)
        now, out = self.clock_us(), []
        for partition, messages in by_partition(chunk).items():
            signed = signed_validation.validate_and_sign(
                topics.raw(lane),
                [RawMessage(m.value, now if m.appended_at_us is None else m.appended_at_us) for m in messages],
                memory,
                key_id=self.key.key_id,
                sign=self.key.sign,
                now_us=now,
            )
            for message in signed:
                if message.reason:
                    _not_validated.labels(message.reason).inc()
                out.append(Output(topics.signed(lane), message.value, partition))
        self._next[lane] = memory.last_batch_no
        return out

    def sent(self, lane: Lane) -> None:
        """What the last chunk of a lane said of its streams is remembered: its blocks are with the broker."""
        if lane in self._next:
            self._seen[lane] = self._next.pop(lane)

    def _stale(self) -> bool:
        return time.monotonic() - self._read_at_s > UNKNOWN_EDGE_WAIT_S

    async def dead_letter(self, lane: Lane, message: Message, reason: str) -> list[Output]:
        """A message that broke the stage travels on as bytes."""
        memory = Memory(self.keys, batch_layout=self.batch_layout)
        letter = signed_validation.dead_letter(message.topic, message.value, reason, memory, self.clock_us())
        _not_validated.labels(reason).inc()
        return [Output(topics.signed(lane), letter.encode(self.key.key_id, self.key.sign), message.partition)]


def by_partition(chunk: Sequence[Message]) -> dict[int, list[Message]]:
    """A chunk's messages by partition: a stream's order holds from topic to topic."""
    partitions: dict[int, list[Message]] = {}
    for message in chunk:
        partitions.setdefault(message.partition, []).append(message)
    return partitions
