"""Alarm episodes as messages: a transition (topic `alerts`), and a device's whole set of open ones (`alerts.open`).

Both travel signed: `evidence.alarm`. Instants are microseconds since 1970 UTC.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec


class ConditionKind(StrEnum):
    """What an alarm condition is about."""

    LIMIT = "limit"  # a value beyond a configured limit


class Side(StrEnum):
    """Which side of a limit."""

    LOW = "low"
    HIGH = "high"


class TransitionKind(StrEnum):
    """What happens to an episode."""

    OPENED = "opened"
    CONFIRMED = "confirmed"  # it had opened late; a fresh value is beyond the limit too, so that it rings from now on
    RESOLVED = "resolved"


class Condition(msgspec.Struct, frozen=True, gc=False):
    """An alarm condition of a device: of this metric and channel, on this side."""

    kind: ConditionKind
    code: int
    channel: int
    side: Side


class Episode(msgspec.Struct, frozen=True, gc=False):
    """An open episode. `late`: what opened it was old when it came, and it has not rung."""

    id: str
    condition: Condition
    priority: str
    opened_at_us: int
    message: str
    late: bool = False


class OpenSet(msgspec.Struct, frozen=True):
    """All open episodes of a device; none: nothing is open."""

    device: str
    episodes: tuple[Episode, ...]


class Transition(msgspec.Struct, frozen=True):
    """What happened to an episode. Its id follows from its cause: emitted twice, it is one.

    `by` is who brought it about: `limits` (a value), `configuration` (the limit is no longer there), `platform`
    (another episode of the same condition is open), `act` (a person ended it). `late`: the value was older than a
    minute when it was compared; what opens so does not ring.
    """

    id: str
    episode: str
    kind: TransitionKind
    at_us: int
    by: str
    device: str
    condition: Condition
    priority: str
    opened_at_us: int
    message: str
    late: bool = False
