"""Alert: limits per metric on live blocks; one open episode per device and condition, opened and resolved.

Pure: blocks and the open episodes in, transitions out. A transition goes to the topic `alerts` before it goes into the
database, and its id follows from what caused it: said twice, it is the same transition.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from evidence.seal import open_body
from schemas.batch import Table
from schemas.block import Block, ReportFlag, Verdict
from schemas.nomenclature import METRIC_BY_CODE, comparable_units
from schemas.transition import Transition

_NAMESPACE = uuid.UUID("4f6f1f1c-5d6b-5a0e-8f0b-616c65727473")
EPISODES_MAX = 100_000
_UNBELIEVED = int(ReportFlag.LATE | ReportFlag.FUTURE)


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


Key = tuple[bytes, str]  # device, condition


def evaluate(blocks: Sequence[Block], limits: Sequence[Limit], open_episodes: dict[Key, Episode]) -> list[Transition]:
    """Transitions that these blocks cause, in order; `open_episodes` (device, condition) is kept up to date."""
    out: list[Transition] = []
    for block in blocks if limits else ():
        table = Table.join([open_body(b)[1] for b in block.batches])
        believed = ((block.flags & _UNBELIEVED) == 0)[table.report_of_record] & (block.verdicts == Verdict.ACCEPTED)
        for limit in limits:
            compared = believed & (table.code == limit.code) & np.isin(table.unit, comparable_units(limit.code))
            for side, bound, sign in (("low", limit.low, -1), ("high", limit.high, 1)):
                if bound is None:
                    continue
                records = np.flatnonzero(compared)
                out += _transitions(table, block, records, limit, f"{limit.code}-{side}", bound, sign, open_episodes)
    return out


def _transitions(
    table: Table, block: Block, records: NDArray[Any], limit: Limit, condition: str, bound: float, sign: int,
    open_episodes: dict[Key, Episode],
) -> list[Transition]:  # fmt: skip
    """One condition over one block: values are looked at singly only where a limit is crossed or an episode open."""
    values = block.values[records]
    beyond = values * sign > bound * sign
    waiting = [device for device, name in open_episodes if name == condition]
    if not beyond.any() and not waiting:
        return []
    devices = table.device[table.report_of_record[records]]
    concerned = np.isin(devices, np.concatenate([devices[beyond], np.array(waiting, "V16")]))
    moments = table.observed_at_us[table.report_of_record[records]]
    out: list[Transition] = []
    for i in np.flatnonzero(concerned)[np.argsort(moments[concerned], kind="stable")].tolist():
        key = (devices[i].tobytes(), condition)
        episode = open_episodes.get(key)
        if bool(beyond[i]) == (episode is not None):
            continue
        at_us, device = int(moments[i]), uuid.UUID(bytes=key[0])
        if episode is None:
            if len(open_episodes) >= EPISODES_MAX:
                continue
            episode = Episode(str(uuid.uuid5(_NAMESPACE, f"{device}/{condition}/{at_us}")), at_us)
            open_episodes[key] = episode
        elif at_us < episode.opened_at_us:
            continue  # a value from before the episode does not end it
        else:
            del open_episodes[key]
        opened = bool(beyond[i])
        short = METRIC_BY_CODE[limit.code].short
        text = f"{short} {values[i]:g} {'>' if sign > 0 else '<'} {bound:g}" if opened else f"{short} back in limits"
        out.append(
            Transition(
                str(uuid.uuid5(_NAMESPACE, f"{episode.id}/{opened}/{at_us}")), episode.id, str(device), condition,
                limit.priority, opened, at_us, episode.opened_at_us, text,
            )
        )  # fmt: skip
    return out


def replay(transitions: Sequence[Transition], open_episodes: dict[Key, Episode]) -> None:
    """Bring the open episodes to where these transitions left them: after a restart, from the topic `alerts`."""
    for t in transitions:
        key = (uuid.UUID(t.device).bytes, t.condition)
        if t.opened:
            open_episodes[key] = Episode(t.episode, t.opened_at_us)
        elif key in open_episodes and open_episodes[key].id == t.episode:
            del open_episodes[key]
