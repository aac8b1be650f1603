"""HL7's point in time: DTM (2.5.1 §2.A.22), which is the first component of the older TS.

YYYY[MM[DD[HH[MM[SS[.S[S[S[S]]]]]]]]][+/-ZZZZ]
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from functools import lru_cache
from typing import NamedTuple

from schemas.errors import FrameError

_DTM = re.compile(
    r"(\d{4})(?:(\d\d)(?:(\d\d)(?:(\d\d)(?:(\d\d)(?:(\d\d)(?:\.(\d{1,6}))?)?)?)?)?)?([+-](?:0\d|1[0-4])[0-5]\d)?",
    re.ASCII,
)
_EPOCH, _US, _MS = datetime(1970, 1, 1, tzinfo=UTC), timedelta(microseconds=1), timedelta(milliseconds=1)
# What a text leaves open that ends with the year, month, ..., second; a year is more than fits a report's u32.
_LEFT_OPEN_MS = (2**32 - 1, 31 * 86_400_000, 86_400_000, 3_600_000, 60_000, 1_000)


class Instant(NamedTuple):
    """The earliest moment meant (µs since 1970 UTC), whether the text states its zone, how much later it may be."""

    us: int
    had_zone: bool
    uncertainty_ms: int


@lru_cache(64)  # the values of a message mostly have one time
def parse_dtm(text: str, zone: tzinfo | None) -> Instant | None:
    """The instant of a DTM; None if it is none. `zone` counts where the text has no offset.

    With neither, raises FrameError("no-time-zone"). A local time that comes twice when summer time ends is uncertain by
    the hour between the two; so is one that is left out when it begins (a clock that is not set yet shows it).
    """
    match = _DTM.fullmatch(text)
    if match is None:
        return None
    *parts, fraction, offset = match.groups()
    numbers = [int(part) for part in parts if part]
    uncertainty_ms = 1_000 // 10 ** len(fraction) if fraction else _LEFT_OPEN_MS[len(numbers) - 1]
    year, month, day, hour, minute, second = numbers + [0, 1, 1, 0, 0, 0][len(numbers) :]
    us, known = int((fraction or "").ljust(6, "0")), _zone(offset) if offset else zone
    try:
        local = datetime(year, month, day, hour, minute, second, us, known or UTC)
    except ValueError:
        return None
    if known is None:
        raise FrameError("no-time-zone", "neither in the message nor in the source's settings")
    first, last = sorted((local - _EPOCH, local.replace(fold=1) - _EPOCH))
    return Instant(first // _US, bool(offset), max(uncertainty_ms, (last - first) // _MS))


def offset_of(text: str) -> timezone | None:
    """The offset that a DTM states, if any: MSH-7's counts for those times of its message that state none."""
    match = _DTM.fullmatch(text)
    return _zone(match[8]) if match and match[8] else None


@lru_cache(64)
def _zone(offset: str) -> timezone:
    return timezone(int(offset[0] + "1") * timedelta(hours=int(offset[1:3]), minutes=int(offset[3:])))
