"""The values of search parameters: http://hl7.org/fhir/R4/search.html, sections 3.1.1.5.5 to 3.1.1.5.17.

What cannot be read raises ValueError, with why; the value itself is not in the message.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from emr_store.instants import us_of

OR_MAX = 50  # alternatives in one parameter
# What a datetime can hold, in any zone.
MOMENT_US_MIN, MOMENT_US_MAX = us_of(datetime(1, 1, 2, tzinfo=UTC)), us_of(datetime(9999, 12, 30, tzinfo=UTC))
_SECOND_US = 1_000_000
_MINUTE_US = 60 * _SECOND_US
# A "+" of a zone that nobody escaped arrives as a space.
_DATE = re.compile(
    r"(?P<year>\d{4})(-(?P<month>\d\d)(-(?P<day>\d\d)"
    r"(T(?P<hour>\d\d):(?P<minute>\d\d)(:(?P<second>\d\d)(\.(?P<fraction>\d{1,9}))?)?"
    r"(?P<zone>Z|[+\- ]\d\d:\d\d)?)?)?)?",
    re.ASCII,
)
_PREFIXED = re.compile(r"(?P<prefix>[a-z]{2})?(?P<date>.*)", re.DOTALL)
_ID = re.compile(r"[A-Za-z0-9\-.]{1,64}", re.ASCII)
_ESCAPES = re.compile(r"\\(.)", re.DOTALL)
_OR = re.compile(r"(?<!\\)((?:\\\\)*),")
_BAR = re.compile(r"(?<!\\)((?:\\\\)*)\|")


class Prefix(StrEnum):
    """How a moment stands to the stated one: 3.1.1.4.5."""

    EQ = "eq"
    GT = "gt"
    GE = "ge"
    LT = "lt"
    LE = "le"
    SA = "sa"
    EB = "eb"


PREFIXES = tuple(prefix.value for prefix in Prefix)


@dataclass(frozen=True)
class Span:
    """[from_us, until_us), microseconds since 1970 UTC; None: without a bound there."""

    from_us: int | None = None
    until_us: int | None = None

    def cut(self, other: Span) -> Span:
        """What both have."""
        froms = [each for each in (self.from_us, other.from_us) if each is not None]
        untils = [each for each in (self.until_us, other.until_us) if each is not None]
        return Span(max(froms, default=None), min(untils, default=None))

    def holds(self, at_us: int) -> bool:
        """Whether this moment is in it."""
        begun = self.from_us is None or self.from_us <= at_us
        return begun and (self.until_us is None or at_us < self.until_us)


@dataclass(frozen=True)
class Token:
    """system|code. `system` None: whatever it is; "": none. `code` "": any of the system."""

    system: str | None
    code: str

    def matches(self, system: str, code: str) -> bool:
        """Whether a coding or identifier is meant."""
        return self.system in (None, system) and self.code in ("", code)


def split_or(text: str) -> list[str]:
    """The alternatives between commas, escapes left as they are; raises ValueError for none and for too many."""
    if not text.isprintable():
        raise ValueError("it has characters that no code and no number has")
    parts = _OR.sub("\\1\0", text).split("\0")
    if any(not part for part in parts):
        raise ValueError("a value is empty")
    if len(parts) > OR_MAX:
        raise ValueError(f"{len(parts)} values, at most {OR_MAX} are possible")
    return parts


def unescape(text: str) -> str:
    r"""Without the escapes of 3.1.1.4.13: \, \| \$ \\; raises ValueError for any other."""
    if re.search(r"(?<!\\)(\\\\)*\\([^\\,|$]|$)", text, re.DOTALL):
        raise ValueError("a backslash stands before , | $ or \\ alone")
    return _ESCAPES.sub(r"\1", text)


def parse_token(text: str) -> Token:
    """code, system|code, |code or system|; raises ValueError."""
    if not text.isprintable():
        raise ValueError("it has characters that no code and no number has")
    system, bar, code = _BAR.sub("\\1\0", text, count=1).partition("\0")
    if _BAR.search(code):
        raise ValueError("write it as system|code")
    if not bar:
        if not text:
            raise ValueError("it is empty")
        return Token(None, unescape(system))
    if not system and not code:
        raise ValueError("neither a system nor a code")
    return Token(unescape(system), unescape(code))


def parse_id(text: str) -> str:
    """Raises ValueError."""
    if not _ID.fullmatch(text):
        raise ValueError("an id has 1 to 64 letters, digits, - and .")
    return text


def parse_reference(text: str, kinds: tuple[str, ...], base: str) -> str:
    """The id of `ID`, `TYPE/ID` or `BASE/TYPE/ID`; raises ValueError for another type and for another server."""
    local = text.removeprefix(base.rstrip("/") + "/")
    if "://" in local:
        raise ValueError("it refers to another server")
    kind, slash, identity = local.rpartition("/")
    if slash and kind not in kinds:
        raise ValueError(f"write it as ID or as {' or '.join(kinds)}/ID")
    return parse_id(identity)


def parse_span(text: str) -> Span:
    """The moments that a date with its prefix means; one without a zone is UTC. Raises ValueError."""
    matched = _PREFIXED.fullmatch(text)
    assert matched is not None
    prefix = matched["prefix"] or "eq"
    if prefix not in PREFIXES:
        raise ValueError(f"a prefix is one of {', '.join(PREFIXES)}")
    from_us, until_us = _bounds(matched["date"])
    match Prefix(prefix):
        case Prefix.EQ:
            return Span(from_us, until_us)
        case Prefix.GE:
            return Span(from_us, None)
        case Prefix.GT | Prefix.SA:
            return Span(until_us, None)
        case Prefix.LE:
            return Span(None, until_us)
        case Prefix.LT | Prefix.EB:
            return Span(None, from_us)


def _bounds(text: str) -> tuple[int, int]:
    """Of the year, month, day, minute, second or part of it that a date names."""
    found = _DATE.fullmatch(text)
    if found is None:
        raise ValueError(
            "a date is YYYY, YYYY-MM, YYYY-MM-DD or YYYY-MM-DDThh:mm:ssZ, with eq, ge, gt, le, lt, sa or eb"
        )
    year, month, day = int(found["year"]), int(found["month"] or 1), int(found["day"] or 1)
    try:
        begin = datetime(year, month, day, int(found["hour"] or 0), int(found["minute"] or 0), tzinfo=UTC)
        if found["month"] is None:
            end = begin.replace(year=year + 1)
        elif found["day"] is None:
            end = begin.replace(year=year + month // 12, month=month % 12 + 1)
        else:
            end = begin + timedelta(days=1)
    except (ValueError, OverflowError):
        raise ValueError("there is no such date") from None
    from_us, until_us = us_of(begin), us_of(end)
    if found["hour"] is not None:
        until_us = from_us + _MINUTE_US
        if found["second"] is not None:
            from_us, until_us = _second(from_us, int(found["second"]), found["fraction"] or "")
        offset_us = _offset_us(found["zone"])
        from_us, until_us = from_us - offset_us, until_us - offset_us
    if not MOMENT_US_MIN <= from_us < until_us <= MOMENT_US_MAX:
        raise ValueError("there is no such date")
    return from_us, until_us


def _second(minute_us: int, second: int, fraction: str) -> tuple[int, int]:
    if second > 60:  # 60: a leap second (FHIR's dateTime)
        raise ValueError("there is no such date")
    width_us = max(1, _SECOND_US // 10 ** len(fraction))
    from_us = minute_us + second * _SECOND_US + int(fraction.ljust(6, "0")[:6])
    return from_us, from_us + width_us


def _offset_us(zone: str | None) -> int:
    if zone in (None, "Z"):
        return 0
    hours, minutes = int(zone[1:3]), int(zone[4:6])
    if hours > 14 or minutes > 59:
        raise ValueError("there is no such time zone")
    return (-1 if zone[0] == "-" else 1) * (hours * 60 + minutes) * _MINUTE_US
