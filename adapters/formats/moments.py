"""When something was measured: the first of several levels (value, group, message) whose time can be read.

A level that is empty says nothing, and the next one counts. A time that is there and cannot be read, or cannot be
(zeros, 31 February, a year before 1900), makes the moment doubtful: it is filed under the next level that can be read,
and is no time of the frame's own. Where none can be read and a clock that lost its time said one, the report keeps that
as the device's own. A time without an offset is in the zone of the nearest level above it that states one, the last of
which is the source's; the zone is never guessed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import tzinfo
from functools import lru_cache
from typing import NamedTuple

from msgspec.structs import replace

from adapters.formats.instants import DTM_CHARS_MAX, Instant, parse_dtm, reset_instant
from adapters.formats.values import printable
from schemas.report import ClockQuality, Kind, Lane, Record, Report

_NOTE_CHARS_MAX = 80  # of a time that cannot be read
_TO_THE_SECOND = re.compile(r"[0-9]{14}")

_Parse = Callable[[str, "tzinfo | None"], "Instant | None"]
Level = tuple[str, str]  # a field's name, and its text as sent: "" where it says nothing


class StatedMoment(NamedTuple):
    """When it was, how that is known, and what could not be read of it ("" for nothing).

    `reset_at_us` is what a clock said that lost its time, None for any other: no time of a value, and kept.
    """

    at_us: int
    received_at_us: int
    device_at_us: int | None
    uncertainty_ms: int
    quality: ClockQuality
    own_time: bool
    unread: str = ""
    reset_at_us: int | None = None

    def report(self, kind: Kind, claim: str, records: Sequence[Record], lane: Lane = Lane.LIVE) -> Report:
        """What a device said at this moment."""
        device_at_us = self.reset_at_us if self.device_at_us is None else self.device_at_us
        return Report(
            kind, claim, self.at_us, self.received_at_us, self.quality, tuple(records), device_at_us,
            self.uncertainty_ms, self.own_time, None, lane,
        )  # fmt: skip

    def noted(self, records: Sequence[Record]) -> tuple[Record, ...]:
        """Measurements of this moment: what could not be read of it is noted on the first."""
        if not self.unread or not records:
            return tuple(records)
        first = records[0]
        note = self.unread if first.note is None else f"{first.note}\n{self.unread}"
        return replace(first, note=note), *records[1:]


def received(received_at_us: int, unread: str = "", reset_at_us: int | None = None) -> StatedMoment:
    """The moment of what carries no time that can be read: that of its receipt; `reset_at_us` as in `StatedMoment`."""
    quality = ClockQuality.DOUBTFUL if unread else ClockQuality.RECEIVED
    return StatedMoment(received_at_us, received_at_us, None, 0, quality, False, unread, reset_at_us)


def unread_time(field: str, sent: str) -> str:
    """The note on a time that is there and cannot be read."""
    return f"{field} as sent: {printable(sent[:_NOTE_CHARS_MAX])}"


class _Dated(NamedTuple):
    """What the levels say, whenever they were received."""

    instant: Instant | None
    own_time: bool
    unread: str
    reset_at_us: int | None


def moment_of(levels: tuple[Level, ...], zone: tzinfo | None, received_at_us: int) -> StatedMoment:
    """The moment of a value by its levels, from its own to that of the whole message; `zone` is the source's."""
    is_short = all(len(sent) <= DTM_CHARS_MAX for _, sent in levels)  # bounds the cache's memory
    dated = _dated(levels, zone) if is_short else _dated.__wrapped__(levels, zone)
    instant, own_time, unread, reset_at_us = dated
    if instant is None:
        return received(received_at_us, unread, reset_at_us)
    quality = ClockQuality.DOUBTFUL if unread else ClockQuality.DEVICE
    return StatedMoment(instant.us, received_at_us, instant.us, instant.uncertainty_ms, quality, own_time, unread)


def instant_us(sent: str, above: Sequence[str], zone: tzinfo | None) -> int | None:
    """The instant of one time by itself, whose zone `above` may state, the nearest first; None where it cannot be read.

    `zone` is the source's.
    """
    found = _instant([("", text) for text in (sent, *above)], 0, zone)
    return None if found is None else found.us


@lru_cache(1024)  # a ward's monitors have one time, and so have the values of a message
def _dated(levels: tuple[Level, ...], zone: tzinfo | None) -> _Dated:
    unread, reset_at_us = "", None
    for place, (field, sent) in enumerate(levels):
        if not sent:
            continue
        instant = _instant(levels, place, zone)
        if instant is None:
            unread = unread or unread_time(field, sent)
            reset = _instant(levels, place, zone, reset_instant) if reset_at_us is None else None
            reset_at_us = reset_at_us if reset is None else reset.us
            continue
        own_time = not unread and (_TO_THE_SECOND.match(sent) is not None or _is_timed(levels, zone))
        return _Dated(instant, own_time, unread, None)
    return _Dated(None, own_time=False, unread=unread, reset_at_us=reset_at_us)


def _is_timed(levels: Sequence[Level], zone: tzinfo | None) -> bool:
    """Whether the message states its own time to the second."""
    last = len(levels) - 1
    return _TO_THE_SECOND.match(levels[last][1]) is not None and _instant(levels, last, zone) is not None


def _instant(levels: Sequence[Level], place: int, zone: tzinfo | None, parse: _Parse = parse_dtm) -> Instant | None:
    """The instant of one level; None if it has none."""
    sent = levels[place][1]
    if not sent or len(sent) > DTM_CHARS_MAX:
        return None
    if sent[-5:-4] in ("+", "-"):
        return parse(sent, None)
    for _, above in levels[place + 1 :]:
        stated = parse_dtm(above, None) if above[-5:-4] in ("+", "-") and len(above) <= DTM_CHARS_MAX else None
        if stated is not None:
            return parse(sent, stated.offset)
    return parse(sent, zone)
