"""Alarms: limits on live blocks, the open episodes, and their transitions filed in the record."""

from __future__ import annotations

import asyncio
import uuid
from collections import ChainMap
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import structlog
from prometheus_client import Counter

from emr_store import alarms, places
from emr_store.alarms import EndedByAct
from emr_store.connect import open_store, open_store_async
from emr_store.signed_block import SignedBlock
from evidence.alarm import read_open_set, read_transition, sign_open_set, sign_transition
from runtime.clock import now_us
from runtime.keys import SigningKey
from schemas import topics
from schemas.errors import LayoutError
from schemas.report import Lane
from schemas.transition import OpenSet, Transition, TransitionKind
from stream_processors import alarm_limits
from stream_processors.alarm_limits import DeviceCondition, OpenEpisodes, StoredEpisode
from stream_processors.device_edges import BelievedEdges, separately_believed
from stream_processors.signed_message import open_message
from stream_processors.stage import Message, Output, Send, error_name

RECONCILE_EVERY_S = 30.0
RECONCILE_RETRY_S = 1.0  # while the store or the broker is away
RESOLVED_HERE_MAX = 10_000
NEWEST_MAX = 100_000
_log = structlog.get_logger("alarms")
_forged = Counter("vitalwire_alarms_forged_messages", "Messages that the platform did not sign, passed over", ["topic"])
_late = Counter("vitalwire_alarms_late", "Episodes that opened late, and did not ring")


@dataclass(frozen=True)
class _Pending:
    """What a topic's chunk changes, once the broker has it."""

    transitions: Sequence[Transition]
    newest: dict[DeviceCondition, int]


class Alarms:
    """The open episodes: as the topic `alarms.open` says when partitions are assigned, then as blocks change them.

    The blocks come from several topics, each with its own chunks in turn; what one of them is about to change the
    others see already, so that a condition has one episode.
    """

    def __init__(
        self,
        limits: Sequence[alarm_limits.Limit],
        key: SigningKey,
        load: Callable[[], Awaitable[OpenEpisodes]],
        clock_us: Callable[[], int] = now_us,
    ) -> None:
        self._limits, self._key, self._load, self._clock_us = limits, key, load, clock_us
        self.episodes: OpenEpisodes = {}
        self._believed: BelievedEdges = {}  # as the registry said when episodes were last compared
        self._loaded = False
        self._loading = asyncio.Lock()
        self._uncompared = asyncio.Event()  # with the database, since they were loaded
        self._pending: dict[str, _Pending] = {}  # by the topic that the chunk is of
        self._newest: dict[DeviceCondition, int] = {}  # alarm.NewestCompared
        self._resolved_here: dict[str, None] = {}  # the newest ids: the database may not have them yet

    def assigned(self) -> None:
        """Partitions were assigned: another worker may have changed their devices' episodes."""
        self._loaded = False

    async def loaded(self) -> None:
        """Have the open episodes as the topic says; raises while the broker is away."""
        async with self._loading:
            if not self._loaded:
                self.episodes = await self._load()
                self._loaded = True
                self._uncompared.set()

    async def evaluate(self, chunk: Sequence[Message]) -> list[Output]:
        """Signed blocks of one topic to transitions, which are the same when a chunk is worked again: their ids follow
        from their cause. Of each device whose set changed, the whole set."""
        await self.loaded()
        if not chunk:
            return []
        topic = chunk[0].topic
        blocks = [block for message in chunk if (block := self._block(message)) is not None]
        following = {device: dict(episodes) for device, episodes in self.episodes.items()}
        others = [pending for of, pending in self._pending.items() if of != topic]
        for pending in others:
            for transition in pending.transitions:
                alarm_limits.apply(transition, following)
        newest: dict[DeviceCondition, int] = {}
        transitions = alarm_limits.evaluate(
            blocks,
            self._limits,
            following,
            self._clock_us(),
            self._believed,
            newest=ChainMap(newest, *(pending.newest for pending in others), self._newest),
            resent=topic == topics.signed(Lane.BACKFILL),
        )
        self._pending[topic] = _Pending(transitions, newest)
        return self._outputs(transitions, following)

    def sent(self, topic: str = topics.signed(Lane.LIVE)) -> None:
        """The transitions of this topic's last chunk are with the broker: the episodes are as they say."""
        pending = self._pending.pop(topic, None)
        if pending is None:
            return
        self._note(pending.transitions)
        for of, at_us in pending.newest.items():
            self._newest.pop(of, None)  # so that it stands last: the first one is the longest unchanged
            self._newest[of] = at_us
        while len(self._newest) > NEWEST_MAX:
            del self._newest[next(iter(self._newest))]

    async def skip(self, message: Message, reason: str) -> list[Output]:
        """A block that breaks the alarms is counted by the stage; store keeps it all the same."""
        self._pending.pop(message.topic, None)
        return []

    async def reconcile(self, conninfo: str, send: Send) -> None:
        """Compare the open episodes with the database's once. Raises while the store or the broker is away."""
        await self.loaded()
        known = [episode.id for episodes in self.episodes.values() for episode in episodes.values()]
        found = await asyncio.to_thread(_stored, conninfo, known)
        self._believed = found.believed
        transitions = alarm_limits.reconcile(
            self.episodes,
            found.open,
            found.resolved,
            self._limits,
            self._resolved_here,
            self._clock_us(),
            separately_believed(self._believed),
            found.ended_by_act,
        )
        await send(self._outputs(transitions, self.episodes))
        self._note(transitions)

    async def keep_reconciled(self, conninfo: str, send: Send) -> None:
        """Background: whenever the open episodes were loaded, and now and again."""
        while True:
            try:
                self._uncompared.clear()
                await self.reconcile(conninfo, send)
            except Exception as error:  # noqa: BLE001  a background task that ends is a comparison that stops
                _log.warning("open episodes not compared", error=error_name(error))
                await asyncio.sleep(RECONCILE_RETRY_S)
                continue
            with suppress(TimeoutError):
                await asyncio.wait_for(self._uncompared.wait(), RECONCILE_EVERY_S)

    def _note(self, transitions: Sequence[Transition]) -> None:
        for transition in transitions:
            alarm_limits.apply(transition, self.episodes)
            if transition.kind == TransitionKind.RESOLVED:
                self._resolved_here[transition.episode] = None
            elif transition.kind == TransitionKind.OPENED and transition.late:
                _late.inc()
        while len(self._resolved_here) > RESOLVED_HERE_MAX:
            del self._resolved_here[next(iter(self._resolved_here))]

    def _outputs(self, transitions: Sequence[Transition], episodes: OpenEpisodes) -> list[Output]:
        key_id, sign = self._key.key_id, self._key.sign
        out = [
            Output(topics.ALERTS, sign_transition(t, key_id, sign), key=t.device.encode()) for t in transitions
        ]  # fmt: skip
        for device in dict.fromkeys(t.device for t in transitions):
            of_device = episodes.get(uuid.UUID(device).bytes, {})
            open_set = OpenSet(device, tuple(of_device.values()))
            out.append(Output(topics.ALERTS_OPEN, sign_open_set(open_set, key_id, sign), key=device.encode()))
        return out

    def _block(self, message: Message) -> SignedBlock | None:
        """None: a dead letter, or what the platform did not sign."""
        try:
            opened = open_message(message.value, self._key.public_der)
        except LayoutError as error:
            _forged.labels(message.topic).inc()
            _log.error("not signed by the platform", topic=message.topic, reason=error.reason)
            return None
        return opened if isinstance(opened, SignedBlock) else None


class _Stored(NamedTuple):
    """What the database says: of which episodes are open, and of the known ones those resolved; and the registry."""

    open: list[StoredEpisode]
    resolved: set[str]
    believed: BelievedEdges
    ended_by_act: dict[str, EndedByAct]


def _stored(conninfo: str, known: Sequence[str]) -> _Stored:
    with open_store(conninfo) as conn:
        stored = [
            StoredEpisode(found.device.bytes, alarms.as_episode(found)) for found in alarms.open_now(conn)
        ]  # fmt: skip
        return _Stored(
            open=stored,
            resolved=alarms.resolved_of(conn, known),
            believed=places.believed_edges(conn),
            ended_by_act=alarms.ended_by_act(conn, known),
        )


def open_episodes(messages: Sequence[bytes], public_der: bytes) -> OpenEpisodes:
    """What these messages of `alarms.open` say, oldest first: the newest of a device is the truth."""
    found: OpenEpisodes = {}
    for message in messages:
        try:
            open_set = read_open_set(message, public_der)
            device = uuid.UUID(open_set.device).bytes
        except (LayoutError, ValueError) as error:
            _forged.labels(topics.ALERTS_OPEN).inc()
            _log.error("no set of open episodes", error=str(error))
            continue
        found[device] = {episode.condition: episode for episode in open_set.episodes}
    return {device: episodes for device, episodes in found.items() if episodes}


class AlarmFiling:
    """Transitions into the store: from the topic, never the other way round."""

    def __init__(self, conninfo: str, key: SigningKey) -> None:
        self._conninfo, self._read = conninfo, partial(read_transition, public_der=key.public_der)

    async def file(self, chunk: Sequence[Message]) -> list[Output]:
        """File a chunk; raises LayoutError where the platform did not sign one of them."""
        transitions = [self._read(message.value) for message in chunk]
        async with await open_store_async(self._conninfo) as conn:
            await alarms.file(conn, transitions)
        return []
