"""The slots of a policy: at which moments a site's day asks for a value."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from math import gcd
from zoneinfo import ZoneInfo

from clinical.chart_policy import DUE_AFTER_MIN, At, Every, Policy

MINUTE_US = 60_000_000
ZONE_STEP_MIN = 15  # no zone's offset is a part of it
_DAY = timedelta(days=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, order=True)
class Slot:
    """What was measured in [from, at) may stand at `at`; from `due` on it is chosen."""

    at_us: int
    from_us: int

    @property
    def due_at_us(self) -> int:
        """When most of what is late has come."""
        return self.at_us + DUE_AFTER_MIN * MINUTE_US


def slots(policy: Policy, zone: ZoneInfo, after_us: int, until_us: int) -> list[Slot]:
    """Those that end in (after, until], in order; of `each` and `on demand` there are none.

    Where the zone's clock goes back an hour, slots by minutes come twice as often, for that hour is twice as long, and
    a time of day counts at its first coming; where it goes forward, a time that is left out counts at the jump.
    """
    window_us = policy.window_min * MINUTE_US
    ends = sorted(set(_ends_us(policy, zone, after_us, until_us)))
    return [Slot(at_us, at_us - window_us) for at_us in ends if after_us < at_us <= until_us]


def _ends_us(policy: Policy, zone: ZoneInfo, after_us: int, until_us: int) -> Iterator[int]:
    match policy.when:
        case Every(minutes):
            yield from _every(minutes, zone, after_us, until_us)
        case At(times):
            for day in _days(zone, after_us, until_us):
                yield from (_moment_us(datetime.combine(day, at, zone)) for at in times)


def _every(minutes: int, zone: ZoneInfo, after_us: int, until_us: int) -> Iterator[int]:
    step_us = gcd(minutes, ZONE_STEP_MIN) * MINUTE_US
    for at_us in range(after_us // step_us * step_us, until_us + 1, step_us):
        local = _local(at_us, zone)
        if (local.hour * 60 + local.minute) % minutes == 0:
            yield at_us


def _days(zone: ZoneInfo, after_us: int, until_us: int) -> Iterator[date]:
    """Of the site's calendar, one more at each end: the moment that a clock leaves out belongs to the day before."""
    day = _local(after_us, zone).date() - _DAY
    last = _local(until_us, zone).date() + _DAY
    while day <= last:
        yield day
        day += _DAY


def _local(at_us: int, zone: ZoneInfo) -> datetime:
    return (_EPOCH + timedelta(microseconds=at_us)).astimezone(zone)


def _moment_us(at: datetime) -> int:
    return (at.astimezone(UTC) - _EPOCH) // timedelta(microseconds=1)
