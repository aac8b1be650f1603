"""Points in time as devices write them: HL7's DTM (2.5.1 §2.A.22, first component of the older TS), and ISO 8601.

A local time that comes twice when summer time ends is uncertain by the hour between the two; so is one that is left out
when it begins (a clock that is not set yet shows it).

What lies before 2001 is no instant: no device was in use then that is read here, and clocks that lost their time begin
again in 1970, 1980 or 2000. Taken for the time of a value, such a time would make every start's values repeats. What
such a clock says is `reset_instant`.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from functools import lru_cache
from typing import NamedTuple

YEAR_MIN, YEAR_MAX = 2001, 2200  # in local time; beyond them nobody meant it: a clock that was never set, zeros
RESET_YEAR_MIN = 1970  # where clocks begin that lost their time
DTM_CHARS_MAX = 32  # callers cut a longer text, which is none: bounds the cache's memory
# YYYY[MM[DD[HH[MM[SS[.S[S[S[S]]]]]]]]][+/-ZZZZ]; Mindray's gateway writes milliseconds without the point.
_DTM = re.compile(
    r"(\d{4})(?:(\d\d)(?:(\d\d)(?:(\d\d)(?:(\d\d)(?:(\d\d)((?:\.\d{1,6}|\d{3})?))?)?)?)?)?"
    r"([+-](?:0\d|1[0-4])[0-5]\d)?",
    re.ASCII,
)
_EPOCH, _US = datetime(1970, 1, 1, tzinfo=UTC), timedelta(microseconds=1)
# A date, T or a blank, and a time: Python reads any character between them, and so a long number as a date.
_ISO = re.compile(r"[\dW-]+[Tt ](\d\d):?(\d\d)?:?(\d\d)?(?:[.,]\d+)?(?:[Zz]|[+-][\d:.]+)?", re.ASCII)
# What a text leaves open that ends with the year, month, ..., second; a year is more than fits a report's u32.
_LEFT_OPEN_MS = (2**32 - 1, 31 * 86_400_000, 86_400_000, 3_600_000, 60_000, 1_000)


class Instant(NamedTuple):
    """The earliest moment meant (µs since 1970 UTC), how much later it may be, and the offset that the text states."""

    us: int
    uncertainty_ms: int = 0
    offset: tzinfo | None = None


@lru_cache(1024)  # the values of a message mostly have one time
def parse_dtm(text: str, zone: tzinfo | None) -> Instant | None:
    """The instant of a DTM; None if it is none (no such day, a year that nobody means), and where its zone is known to
    nobody.

    `zone` counts where the text states no offset; None: it is not known.
    """
    return _dtm(text, zone, YEAR_MIN, YEAR_MAX)


def reset_instant(text: str, zone: tzinfo | None) -> Instant | None:
    """The instant of a DTM as a clock says it that lost its time and was not set since; None if it is another."""
    return _dtm(text, zone, RESET_YEAR_MIN, YEAR_MIN - 1)


def _dtm(text: str, zone: tzinfo | None, year_min: int, year_max: int) -> Instant | None:
    match = _DTM.fullmatch(text)
    if match is None:
        return None
    *parts, fraction, offset = match.groups("")
    numbers, fraction = [int(part) for part in parts if part], fraction.lstrip(".")
    uncertainty_ms = 1_000 // 10 ** len(fraction) if fraction else _LEFT_OPEN_MS[len(numbers) - 1]
    year, month, day, hour, minute, second = numbers + [0, 1, 1, 0, 0, 0][len(numbers) :]
    stated = _offset(offset) if offset else None
    try:
        local = datetime(year, month, day, hour, minute, second, int(fraction.ljust(6, "0")), stated or zone)
    except ValueError:
        return None
    return _instant(local, uncertainty_ms, stated, year_min, year_max)


def parse_iso(text: str, zone: tzinfo | None) -> Instant | None:
    """The instant of a date with a time in ISO 8601, as `parse_dtm`; a date alone is no moment."""
    return _iso(text, zone, YEAR_MIN, YEAR_MAX)


def reset_instant_iso(text: str, zone: tzinfo | None) -> Instant | None:
    """As `reset_instant`, of a time in ISO 8601."""
    return _iso(text, zone, RESET_YEAR_MIN, YEAR_MIN - 1)


def _iso(text: str, zone: tzinfo | None, year_min: int, year_max: int) -> Instant | None:
    match = _ISO.fullmatch(text)
    if match is None:
        return None
    try:
        local = datetime.fromisoformat(text)
    except ValueError:
        return None
    stated = local.tzinfo
    _, minute, second = match.groups()
    uncertainty_ms = 0 if second else _LEFT_OPEN_MS[4 if minute else 3]
    return _instant(local if stated else local.replace(tzinfo=zone), uncertainty_ms, stated, year_min, year_max)


def states_second(text: str) -> bool:
    """Whether a time in ISO 8601 is exact to the second: two moments have one time otherwise."""
    match = _ISO.fullmatch(text)
    return match is not None and match[3] is not None


def _instant(
    local: datetime, uncertainty_ms: int, stated: tzinfo | None, year_min: int = YEAR_MIN, year_max: int = YEAR_MAX
) -> Instant | None:  # fmt: skip
    if local.tzinfo is None or not year_min <= local.year <= year_max:
        return None
    us = (local - _EPOCH) // _US
    if stated:
        return Instant(us, uncertainty_ms, stated)
    other_us = (local.replace(fold=1) - _EPOCH) // _US  # where a local time comes twice
    return Instant(min(us, other_us), max(uncertainty_ms, abs(other_us - us) // 1000))


@lru_cache(64)
def _offset(text: str) -> timezone:
    return timezone(int(text[0] + "1") * timedelta(hours=int(text[1:3]), minutes=int(text[3:])))
