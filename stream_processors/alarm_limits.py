"""Alarms: limits per metric on live blocks; one open episode per device, channel and side, opened and resolved.

Pure: signed blocks and the open episodes in, transitions out. A transition goes to the topic `alerts` before it goes
into the database, and its id follows from what caused it: emitted twice, it is the same transition.

What is old does not ring. A value's age is how long its batch was not made after the report had come (by the edge's
clock alone) and how long it is since the broker appended that batch (by ours alone): an edge whose clock is wrong is
neither silenced nor believed to be fresh. What is older than LATE_AFTER_US opens as late; the first fresh value that is
beyond the limit too confirms it.

What comes on `backfill` was sent again, to a broker that appended it anew: its age is also how far the moments at which
its batch was made and appended lie apart, by two clocks; one that is wrong makes it late. Only batches that were once
live are looked at there. A value that is late or was sent again, and older than one that is known of its condition,
changes nothing.

Nothing opens or ends in the future: a value of an edge whose clock is ahead is of the moment at which the broker
appended its batch. What comes after the clock was put right would else be from before the episode and never end it.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterator, Mapping, MutableMapping, Sequence
from functools import lru_cache
from types import MappingProxyType
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray
from prometheus_client import Counter

from emr_store.alarms import EndedByAct
from emr_store.signed_block import SignedBlock
from schemas.batch import Table
from schemas.block import Block, ReportFlag, ValidationResult
from schemas.nomenclature import METRIC_BY_CODE, comparable_units
from schemas.report import COMPARATOR_BITS, COMPARATORS, Lane, Mark, RecordKind
from schemas.transition import Condition, ConditionKind, Episode, Side, Transition, TransitionKind
from stream_processors.device_edges import BelievedEdges, alarming_devices

_NAMESPACE = uuid.UUID("4f6f1f1c-5d6b-5a0e-8f0b-616c65727473")
DEVICES_MAX = 10_000  # that have an open episode
EPISODES_PER_DEVICE_MAX = 100  # so that a device's whole set fits a message of `alerts.open`
LATE_AFTER_US = 60 * 1_000_000
_UNBELIEVED = int(ReportFlag.LATE | ReportFlag.FUTURE)
CHANNEL_KEY_BYTES = 20  # of a device and one of its channels
_SIGNS = {int(marks): sign for sign, marks in COMPARATORS.items()}
_Array = NDArray[Any]
_not_opened = Counter("vitalwire_episodes_not_opened", "Values beyond a limit while too many episodes were open")


_compared = lru_cache(comparable_units)


class Limit(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An alarm limit of one metric, in its canonical unit; None on a side is "no limit on that side".

    A value that is stored in another canonical unit of the metric (EtCO2 in per cent) is not compared with it.
    """

    code: int
    low: float | None = None
    high: float | None = None
    priority: str = "medium"


OpenEpisodes = dict[bytes, dict[Condition, Episode]]  # by device


class DeviceCondition(NamedTuple):
    """What an episode is of."""

    device: bytes
    condition: Condition


# The moment, by its own clock, of the newest value that was compared while an episode was open, or that ended one.
NewestCompared = MutableMapping[DeviceCondition, int]


class LimitSide(NamedTuple):
    """One side of a limit; `sign` turns it so that beyond is above."""

    limit: Limit
    side: Side
    bound: float
    sign: int

    def condition(self, channel: int) -> Condition:
        """What an episode of this channel is about."""
        return Condition(ConditionKind.LIMIT, self.limit.code, channel, self.side)

    def concerns(self, condition: Condition) -> bool:
        """Whether an episode of this condition is of this side of this limit."""
        return condition.code == self.limit.code and condition.side == self.side


def sides(limits: Sequence[Limit]) -> Iterator[LimitSide]:
    """Each side on which a limit is set."""
    for limit in limits:
        for side, bound, sign in ((Side.LOW, limit.low, -1), (Side.HIGH, limit.high, 1)):
            if bound is not None:
                yield LimitSide(limit, side, bound, sign)


def evaluate(
    blocks: Sequence[SignedBlock], limits: Sequence[Limit], open_episodes: OpenEpisodes, now_us: int,
    believed_edges: BelievedEdges = MappingProxyType({}), *, newest: NewestCompared | None = None,
    resent: bool = False,
) -> list[Transition]:  # fmt: skip
    """Transitions that these blocks cause, in order; `open_episodes` and `newest` are kept up to date.

    `newest` None: nothing is known. `resent`: the blocks came on `backfill`.

    What an edge says that is not believed of a device opens and ends episodes of its own (`device_edges`).
    """
    out: list[Transition] = []
    known = {} if newest is None else newest
    for signed in blocks if limits else ():
        table, block = Table.join(signed.tables), signed.block
        accepted = (block.validation_results == ValidationResult.ACCEPTED) | (
            block.validation_results == ValidationResult.ACCEPTED_BOUND
        )
        believed = (((block.flags & _UNBELIEVED) == 0) & _was_live(signed))[table.report_of_record] & accepted
        if not believed.any():
            continue
        of_block = _Reports(
            device=alarming_devices(signed, table, believed_edges),
            at_us=_at_us(signed, table),
            age_us=_age_us(signed, table, now_us, resent=resent),
            resent=resent,
        )
        for side in sides(limits):
            code = side.limit.code
            compared = believed & (table.code == code) & np.isin(table.unit, _compared(code))
            out += _transitions(table, block, np.flatnonzero(compared), side, open_episodes, of_block, known)
    return out


class _Reports(NamedTuple):
    """What is known of a block's reports beside their values: the device that each alarms of, when, and its age."""

    device: _Array
    at_us: _Array
    age_us: _Array
    resent: bool


def _was_live(signed: SignedBlock) -> _Array:
    """bool, a report each: whether its batch was cut for the live lane."""
    lanes = [header.lane == Lane.LIVE for header in signed.headers]
    return np.repeat(np.array(lanes, bool), [header.report_count for header in signed.headers])


def _at_us(signed: SignedBlock, table: Table) -> _Array:
    """When each report was measured, and no later than the broker appended its batch."""
    counts = [header.report_count for header in signed.headers]
    at_us: _Array = np.minimum(table.observed_at_us, np.repeat(signed.block.appended_at_us, counts))
    return at_us


def _age_us(signed: SignedBlock, table: Table, now_us: int, *, resent: bool) -> _Array:
    """How old each report is; a clock that stepped back meanwhile makes nothing younger than its other part says."""
    counts = [header.report_count for header in signed.headers]
    created_at_us = np.repeat([header.created_at_us for header in signed.headers], counts)
    since_appended_us = np.repeat(now_us - signed.block.appended_at_us, counts)
    age: _Array = np.maximum(created_at_us - table.received_at_us, 0) + np.maximum(since_appended_us, 0)
    if resent:
        age = age + np.abs(signed.block.appended_at_us - created_at_us)
    return age


def _beyond_and_within(table: Table, values: _Array, records: _Array, side: LimitSide) -> tuple[_Array, _Array]:
    """Whether each value is surely beyond this side of the limit, and whether it is surely within.

    "Below 70" is beyond a low limit of 70 or more and within a high limit of 70 or more; of others it says nothing.
    """
    turned, limit = values * side.sign, side.bound * side.sign
    beyond = turned > limit
    within = ~beyond
    bounds = table.record_kind[records] == RecordKind.BOUND
    if bounds.any():
        marks = table.marks[records]
        outward = (marks & (Mark.GREATER if side.sign > 0 else Mark.LESS)) != 0
        sure = np.where(marks & Mark.OR_EQUAL, beyond, turned >= limit)
        beyond = np.where(bounds, outward & sure, beyond)
        within = np.where(bounds, ~outward & (turned <= limit), within)
    return beyond, within


def _transitions(
    table: Table, block: Block, records: _Array, side: LimitSide, open_episodes: OpenEpisodes,
    of_block: _Reports, newest: NewestCompared,
) -> list[Transition]:  # fmt: skip
    """One side over one block: values are looked at singly only where the limit is crossed or an episode open."""
    values = block.values[records]
    beyond, within = _beyond_and_within(table, values, records, side)
    open_now = [
        device + condition.channel.to_bytes(4, "little")
        for device, episodes in open_episodes.items()
        for condition in episodes
        if side.concerns(condition)
    ]
    if not beyond.any() and not open_now:
        return []
    reports = table.report_of_record[records]
    keys = np.concatenate([_octets(of_block.device[reports], 16), _octets(table.channel[records], 4)], axis=1)
    keys = keys.view(f"V{CHANNEL_KEY_BYTES}")[:, 0]
    observed_at_us, at_us = table.observed_at_us[reports], of_block.at_us[reports]
    concerning = np.concatenate([keys[beyond], np.frombuffer(b"".join(open_now), keys.dtype)])
    concerned = np.isin(keys, concerning) & (beyond | within)
    out: list[Transition] = []
    in_order = np.lexsort((observed_at_us[concerned], at_us[concerned]))
    for i in np.flatnonzero(concerned)[in_order].tolist():
        report, record = int(reports[i]), int(records[i])
        compared = _Compared(
            device=of_block.device[report].tobytes(),
            condition=side.condition(int(table.channel[record])),
            priority=side.limit.priority,
            beyond=bool(beyond[i]),
            at_us=int(at_us[i]),
            observed_at_us=int(observed_at_us[i]),
            age_us=int(of_block.age_us[report]),
            resent=of_block.resent,
            message=_message(table, record, float(values[i]), side, opened=bool(beyond[i])),
        )
        transition = _cross(open_episodes, compared, newest)
        if transition is not None:
            out.append(transition)
    return out


def _octets(column: _Array, width: int) -> _Array:
    return np.ascontiguousarray(column).view(np.uint8).reshape(-1, width)


class _Compared(NamedTuple):
    """A value that is surely beyond its limit, or surely within; `at_us` is never in the future."""

    device: bytes
    condition: Condition
    priority: str
    beyond: bool
    at_us: int
    observed_at_us: int
    age_us: int
    resent: bool
    message: str

    @property
    def late(self) -> bool:
        return self.age_us > LATE_AFTER_US


def _cross(open_episodes: OpenEpisodes, value: _Compared, newest: NewestCompared) -> Transition | None:
    """What a value changes; None: nothing. One from before the episode neither ends nor confirms it.

    One that is late or was sent again, and older than what is known, opens none either: it may have been looked at
    before, in an episode that has ended since.
    """
    episode = open_episodes.get(value.device, {}).get(value.condition)
    if episode is None and not value.beyond:
        return None
    of = DeviceCondition(value.device, value.condition)
    known_us = newest.get(of)
    if known_us is not None and (value.late or value.resent) and value.observed_at_us < known_us:
        return None
    # Not the largest: when a clock that was ahead is put right, what comes then is the newest.
    newest[of] = value.observed_at_us
    if episode is None:
        return _open(open_episodes, value)
    if value.at_us < episode.opened_at_us:
        return None
    if not value.beyond:
        kind, message = TransitionKind.RESOLVED, value.message
    elif episode.late and not value.late:
        kind, message = TransitionKind.CONFIRMED, value.message
    else:
        return None
    transition = transition_of(
        episode, kind, device=value.device, at_us=value.at_us, by="limits", message=message, late=value.late
    )
    apply(transition, open_episodes)
    return transition


def _open(open_episodes: OpenEpisodes, value: _Compared) -> Transition | None:
    of_device = open_episodes.get(value.device)
    full = len(open_episodes) >= DEVICES_MAX if of_device is None else len(of_device) >= EPISODES_PER_DEVICE_MAX
    if full:
        _not_opened.inc()
        return None
    condition = value.condition
    cause = f"{condition.code}-{condition.channel}-{condition.side}/{value.observed_at_us}"
    message = f"{value.message}, {value.age_us // LATE_AFTER_US} min old" if value.late else value.message
    episode = Episode(
        id=str(uuid.uuid5(_NAMESPACE, f"{uuid.UUID(bytes=value.device)}/{cause}")),
        condition=condition,
        priority=value.priority,
        opened_at_us=value.at_us,
        message=message,
        late=value.late,
    )
    transition = transition_of(
        episode, TransitionKind.OPENED, device=value.device, at_us=value.at_us, by="limits", message=message,
        late=value.late,
    )  # fmt: skip
    apply(transition, open_episodes)
    return transition


def _message(table: Table, record: int, value: float, side: LimitSide, *, opened: bool) -> str:
    short = METRIC_BY_CODE[side.limit.code].short
    sign = _SIGNS.get(int(table.marks[record] & COMPARATOR_BITS), "")
    beyond = ">" if side.sign > 0 else "<"
    return f"{short} {sign}{value:g} {beyond} {side.bound:g}" if opened else f"{short} back in limits"


def transition_of(
    episode: Episode, kind: TransitionKind, *, device: bytes, at_us: int, by: str, message: str, late: bool = False
) -> Transition:
    """A transition of this episode."""
    return Transition(
        id=str(uuid.uuid5(_NAMESPACE, f"{episode.id}/{kind}/{at_us}")),
        episode=episode.id,
        kind=kind,
        at_us=at_us,
        by=by,
        device=str(uuid.UUID(bytes=device)),
        condition=episode.condition,
        priority=episode.priority,
        opened_at_us=episode.opened_at_us,
        message=message,
        late=late,
    )


def apply(transition: Transition, open_episodes: OpenEpisodes) -> None:
    """Bring the open episodes to where this transition leaves them; one of another episode changes nothing."""
    device = uuid.UUID(transition.device).bytes
    of_device = open_episodes.setdefault(device, {})
    if transition.kind != TransitionKind.RESOLVED:
        of_device[transition.condition] = Episode(
            id=transition.episode,
            condition=transition.condition,
            priority=transition.priority,
            opened_at_us=transition.opened_at_us,
            message=transition.message,
            late=transition.late,
        )
    elif (known := of_device.get(transition.condition)) is not None and known.id == transition.episode:
        del of_device[transition.condition]
    if not of_device:
        del open_episodes[device]


class StoredEpisode(NamedTuple):
    """An episode that is open in the database."""

    device: bytes
    episode: Episode


def reconcile(
    open_episodes: OpenEpisodes, stored_open: Sequence[StoredEpisode], stored_resolved: set[str],
    limits: Sequence[Limit], resolved_here: Mapping[str, object], now_us: int,
    separately_believed: Collection[bytes] = (), ended_by_act: Mapping[str, EndedByAct] = MappingProxyType({}),
) -> list[Transition]:  # fmt: skip
    """Compare what is open here with what the database says; `open_episodes` is kept up to date.

    An episode that the database has as resolved is dropped here, one that is open there and unknown here is resumed
    (but for `resolved_here`: those ids were resolved a moment ago and are not filed yet). The transitions end what
    nobody could end any more: an episode beside another of the same condition, one whose limit is gone, one of
    `separately_believed`, ids by which an edge's words rang before a person agreed to them, and those of
    `ended_by_act`: whatever happened meanwhile, that is one transition.
    """
    for device, episodes in list(open_episodes.items()):
        left = {condition: e for condition, e in episodes.items() if e.id not in stored_resolved}
        if left:
            open_episodes[device] = left
        else:
            del open_episodes[device]
    out: list[Transition] = []
    for device, episode in stored_open:
        known = open_episodes.get(device, {}).get(episode.condition)
        if episode.id in resolved_here or (known is not None and known.id == episode.id):
            continue
        if known is None:
            open_episodes.setdefault(device, {})[episode.condition] = episode
        else:
            message = "goes on as another episode"
            out.append(_ended(device, episode, by="platform", message=message, now_us=now_us))
    limited = list(sides(limits))
    for device, episodes in list(open_episodes.items()):
        for condition, episode in list(episodes.items()):
            transition = None
            act = ended_by_act.get(episode.id)
            if act is not None:
                at_us = max(act.at_us, episode.opened_at_us)
                transition = _ended(device, episode, by="act", message=f"ended by {act.by}", now_us=at_us)
            elif device in separately_believed:
                message = "its edge is believed now"
                transition = _ended(device, episode, by="platform", message=message, now_us=now_us)
            elif not any(side.concerns(condition) for side in limited):
                transition = _ended(device, episode, by="configuration", message="no limit any more", now_us=now_us)
            if transition is not None:
                apply(transition, open_episodes)
                out.append(transition)
    return out


def _ended(device: bytes, episode: Episode, *, by: str, message: str, now_us: int) -> Transition:
    kind = TransitionKind.RESOLVED
    return transition_of(episode, kind, device=device, at_us=now_us, by=by, message=message)
