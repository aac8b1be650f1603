"""Alert: limits per metric on live blocks; one open episode per device, channel and side, opened and resolved.

Pure: blocks and the open episodes in, transitions out. A transition goes to the topic `alerts` before it goes into the
database, and its id follows from what caused it: said twice, it is the same transition.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from evidence.seal import open_body
from schemas.batch import Table
from schemas.block import Block, ReportFlag, Verdict
from schemas.nomenclature import METRIC_BY_CODE, comparable_units
from schemas.report import COMPARATOR_BITS, COMPARATORS, Mark, RecordKind
from schemas.transition import Transition

_NAMESPACE = uuid.UUID("4f6f1f1c-5d6b-5a0e-8f0b-616c65727473")
EPISODES_MAX = 100_000
_UNBELIEVED = int(ReportFlag.LATE | ReportFlag.FUTURE)
NAME_BYTES = 20  # of a device and one of its channels
_SIGNS = {int(marks): sign for sign, marks in COMPARATORS.items()}
_Array = NDArray[Any]


_compared = lru_cache(comparable_units)


class Limit(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An alarm limit of one metric, in its canonical unit; None on a side is "no limit on that side".

    A value that is stored in another canonical unit of the metric (EtCO2 in per cent) is not compared with it.
    """

    code: int
    low: float | None = None
    high: float | None = None
    priority: str = "medium"


class Episode(msgspec.Struct, frozen=True):
    """An open episode: its id, and since when."""

    id: str
    opened_at_us: int


Key = tuple[bytes, str]  # device, condition: code-channel-side


class Side(NamedTuple):
    """One side of a limit; `sign` turns it so that beyond is above."""

    limit: Limit
    name: str
    bound: float
    sign: int

    def condition(self, channel: int) -> str:
        """What an episode of this channel is called: `150456-0-low`."""
        return f"{self.limit.code}-{channel}-{self.name}"

    def channel(self, condition: str) -> int | None:
        """The channel of such an episode; None where it is of another side or limit."""
        code, _, rest = condition.partition("-")
        channel, _, name = rest.partition("-")
        return int(channel) if (code, name) == (str(self.limit.code), self.name) and channel.isdecimal() else None


def evaluate(blocks: Sequence[Block], limits: Sequence[Limit], open_episodes: dict[Key, Episode]) -> list[Transition]:
    """Transitions that these blocks cause, in order; `open_episodes` (device, condition) is kept up to date."""
    out: list[Transition] = []
    for block in blocks if limits else ():
        table = Table.join([open_body(b)[1] for b in block.batches])
        accepted = (block.verdicts == Verdict.ACCEPTED) | (block.verdicts == Verdict.ACCEPTED_BOUND)
        believed = ((block.flags & _UNBELIEVED) == 0)[table.report_of_record] & accepted
        for limit in limits:
            compared = believed & (table.code == limit.code) & np.isin(table.unit, _compared(limit.code))
            for name, bound, sign in (("low", limit.low, -1), ("high", limit.high, 1)):
                if bound is not None:
                    side = Side(limit, name, bound, sign)
                    out += _transitions(table, block, np.flatnonzero(compared), side, open_episodes)
    return out


def _beyond_and_within(table: Table, values: NDArray[Any], records: NDArray[Any], side: Side) -> tuple[_Array, _Array]:
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
    table: Table, block: Block, records: NDArray[Any], side: Side, open_episodes: dict[Key, Episode]
) -> list[Transition]:
    """One side over one block: values are looked at singly only where the limit is crossed or an episode open."""
    values = block.values[records]
    beyond, within = _beyond_and_within(table, values, records, side)
    waiting = [(device, channel) for device, name in open_episodes if (channel := side.channel(name)) is not None]
    if not beyond.any() and not waiting:
        return []
    reports = table.report_of_record[records]
    names = np.concatenate([_octets(table.device[reports], 16), _octets(table.channel[records], 4)], axis=1)
    names, moments = names.view(f"V{NAME_BYTES}")[:, 0], table.observed_at_us[reports]
    open_now = [device + channel.to_bytes(4, "little") for device, channel in waiting]
    wanted = np.concatenate([names[beyond], np.frombuffer(b"".join(open_now), names.dtype)])
    concerned = np.isin(names, wanted) & (beyond | within)
    out: list[Transition] = []
    for i in np.flatnonzero(concerned)[np.argsort(moments[concerned], kind="stable")].tolist():
        device, condition = table.device[reports[i]].tobytes(), side.condition(int(table.channel[records[i]]))
        crossing = _cross(open_episodes, (device, condition), bool(beyond[i]), int(moments[i]))
        if crossing is not None:
            said = _said(table, records[i], float(values[i]), side, crossing.opened)
            out.append(_transition(crossing, side.limit.priority, said))
    return out


def _octets(column: _Array, width: int) -> _Array:
    return np.ascontiguousarray(column).view(np.uint8).reshape(-1, width)


class _Crossing(NamedTuple):
    """An episode that opens or ends."""

    device: uuid.UUID
    condition: str
    episode: Episode
    opened: bool
    at_us: int


def _cross(open_episodes: dict[Key, Episode], key: Key, beyond: bool, at_us: int) -> _Crossing | None:
    """What a value beyond its limit or within it changes; None: nothing."""
    episode = open_episodes.get(key)
    device = uuid.UUID(bytes=key[0])
    if beyond == (episode is not None):
        return None
    if episode is None:
        if len(open_episodes) >= EPISODES_MAX:
            return None
        episode = Episode(str(uuid.uuid5(_NAMESPACE, f"{device}/{key[1]}/{at_us}")), at_us)
        open_episodes[key] = episode
    elif at_us < episode.opened_at_us:
        return None  # a value from before the episode does not end it
    else:
        del open_episodes[key]
    return _Crossing(device, key[1], episode, beyond, at_us)


def _said(table: Table, record: int, value: float, side: Side, opened: bool) -> str:
    short = METRIC_BY_CODE[side.limit.code].short
    sign = _SIGNS.get(int(table.marks[record] & COMPARATOR_BITS), "")
    beyond = ">" if side.sign > 0 else "<"
    return f"{short} {sign}{value:g} {beyond} {side.bound:g}" if opened else f"{short} back in limits"


def _transition(crossing: _Crossing, priority: str, message: str) -> Transition:
    _, condition, episode, opened, at_us = crossing
    return Transition(
        str(uuid.uuid5(_NAMESPACE, f"{episode.id}/{opened}/{at_us}")), episode.id, str(crossing.device), condition,
        priority, opened, at_us, episode.opened_at_us, message,
    )  # fmt: skip


def replay(transitions: Sequence[Transition], open_episodes: dict[Key, Episode]) -> None:
    """Bring the open episodes to where these transitions left them: after a restart, from the topic `alerts`."""
    for t in transitions:
        key = (uuid.UUID(t.device).bytes, t.condition)
        if t.opened:
            open_episodes[key] = Episode(t.episode, t.opened_at_us)
        elif key in open_episodes and open_episodes[key].id == t.episode:
            del open_episodes[key]
