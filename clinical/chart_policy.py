"""When what is charted, and what spoils it: a site's `chart.toml`, by ward and metric."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import time
from enum import StrEnum
from zoneinfo import ZoneInfo

import msgspec

from clinical.beds import normalise
from clinical.chart import GapReason
from schemas.errors import ConfigError
from schemas.nomenclature import METRICS

DAY_MIN = 24 * 60
DUE_AFTER_MIN = 5  # after a slot's end: what comes later is charted anew
MEDIAN_MIN = 1
_METRICS = {metric.reference_id for metric in METRICS}
_EVERY = re.compile(r"every ([1-9][0-9]{0,3}) min")


class PolicyError(ConfigError):
    """A `chart.toml` that cannot be used; the message begins with the line."""


@dataclass(frozen=True)
class Each:
    """An entry for each value, at once; no slots."""


@dataclass(frozen=True)
class Every:
    """A slot each so many minutes of the site's day."""

    minutes: int


@dataclass(frozen=True)
class At:
    """A slot at each of these times of the site's day."""

    times: tuple[time, ...]


@dataclass(frozen=True)
class OnDemand:
    """Only when a person asks for it."""


When = Each | Every | At | OnDemand


class Choice(StrEnum):
    """Which of a window's values is charted."""

    MEDIAN_OF_LAST_MINUTE = "median of the last minute"
    LAST_VALID = "last valid"
    EACH = "each"


class Spoiler(StrEnum):
    """What keeps a value out of the chart."""

    DOUBTFUL = "doubtful"
    AMBIGUOUS = "ambiguous"
    STALE = "stale"  # older than stands_min
    SETTING = "setting"
    TRAINING = "training"
    GAP = "gap"  # the last minute has a stretch of more than 30 s without a value
    CONFLICT = "conflict"
    FOREIGN_EDGE = "foreign edge"


# What nobody may allow: such a value is not known to be this patient's, or is none.
ALWAYS = frozenset({Spoiler.STALE, Spoiler.CONFLICT, Spoiler.FOREIGN_EDGE, Spoiler.SETTING, Spoiler.TRAINING})
REASON = {
    Spoiler.DOUBTFUL: GapReason.DOUBTFUL,
    Spoiler.AMBIGUOUS: GapReason.AMBIGUOUS,
    Spoiler.STALE: GapReason.STALE,
    Spoiler.SETTING: GapReason.SETTING,
    Spoiler.TRAINING: GapReason.TRAINING,
    Spoiler.GAP: GapReason.STALE,
    Spoiler.CONFLICT: GapReason.CONFLICT,
    Spoiler.FOREIGN_EDGE: GapReason.FOREIGN_EDGE,
}


@dataclass(frozen=True, kw_only=True)
class Policy:
    """Of one ward ("": each that has none of its own) and metric (a reference id of IEEE 11073-10101)."""

    ward: str
    metric: str
    when: When
    choice: Choice
    window_min: int  # how long before a slot's end a value may have been measured
    spoiled_by: frozenset[Spoiler]
    auto_final_after_min: int | None  # None: nothing becomes final by time


@dataclass(frozen=True)
class Policies:
    """All of a site. `zone` is where its day begins."""

    zone: ZoneInfo
    by_ward_and_metric: dict[tuple[str, str], Policy] = field(default_factory=dict)

    def of(self, ward: str, metric: str) -> Policy | None:
        """That of this ward, else that of all wards; None: it is not charted."""
        named = self.by_ward_and_metric.get((normalise(ward), metric))
        return named or self.by_ward_and_metric.get(("", metric))

    def __iter__(self) -> Iterator[Policy]:
        return iter(self.by_ward_and_metric.values())

    def each_metrics(self) -> frozenset[str]:
        """Those that are charted at once, in some ward."""
        return frozenset(policy.metric for policy in self if isinstance(policy.when, Each))


class _Row(msgspec.Struct, forbid_unknown_fields=True):
    metrics: list[str]
    when: str | list[str]
    value: str
    ward: str = ""
    stands_min: int | None = None
    spoiled_by: list[str] | None = None
    auto_final_after_min: int | None = None


class _File(msgspec.Struct, forbid_unknown_fields=True):
    zone: str
    policy: list[_Row] = []


def read_policies(text: str) -> Policies:
    """Of a `chart.toml`. Raises PolicyError with line and reason for what contradicts itself."""
    try:
        file = msgspec.convert(tomllib.loads(text), _File)
    except tomllib.TOMLDecodeError as error:
        raise PolicyError(f"this is no TOML: {error}") from error
    except msgspec.ValidationError as error:
        raise PolicyError(_with_line(text, str(error))) from error
    found = Policies(_zone(text, file.zone))
    for index, row in enumerate(file.policy):
        for policy in _policies(_Place(text, index), row):
            key = policy.ward, policy.metric
            if key in found.by_ward_and_metric:
                where = f"ward {row.ward!r}" if row.ward else "all wards"
                raise _Place(text, index).error("metrics", f"{policy.metric} has a policy for {where} already")
            found.by_ward_and_metric[key] = policy
    return found


@dataclass(frozen=True)
class _Place:
    """A `[[policy]]` of the text, for the line of its keys."""

    text: str
    index: int

    def error(self, key: str, reason: str) -> PolicyError:
        """With the line of a key of this policy."""
        return PolicyError(f"line {self.line(key)}: {reason}")

    def line(self, key: str) -> int:
        """Of a key of this policy, else of its head."""
        head, seen = 1, -1
        for number, line in enumerate(self.text.splitlines(), start=1):
            stripped = line.strip()
            if stripped.startswith("["):
                seen += stripped.startswith("[[policy]]")
                head = number if seen == self.index else head
            elif seen == self.index and re.match(rf"\s*{key}\s*=", line):
                return number
        return head


def _with_line(text: str, detail: str) -> str:
    """What msgspec says, with the line that its path (`$.policy[2].when`) means."""
    path = re.search(r"\$\.policy\[(\d+)\](?:\.(\w+))?", detail)
    unknown = re.search(r"unknown field `(\w+)`", detail)
    if path is None:
        return detail
    key = (unknown and unknown[1]) or path[2] or "metrics"
    return f"line {_Place(text, int(path[1])).line(key)}: {detail}"


def _zone(text: str, name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (KeyError, OSError, ValueError):
        line = next((n for n, line in enumerate(text.splitlines(), 1) if re.match(r"\s*zone\s*=", line)), 1)
        raise PolicyError(f"line {line}: there is no time zone {name!r}: write it as Asia/Shanghai") from None


def _policies(place: _Place, row: _Row) -> Iterator[Policy]:
    when, choice = _when(place, row.when), _choice(place, row.value)
    if isinstance(when, Each) != (choice is Choice.EACH):
        raise place.error("value", 'when = "each" and value = "each" go together')
    window_min = _window_min(place, row, when, choice)
    if row.auto_final_after_min is not None and row.auto_final_after_min < DUE_AFTER_MIN:
        reason = f"before {DUE_AFTER_MIN} min a slot is not even chosen"
        raise place.error("auto_final_after_min", reason)
    if not row.metrics:
        raise place.error("metrics", "no metric is named")
    for metric in row.metrics:
        if metric not in _METRICS:
            raise place.error("metrics", f"{metric!r} is no metric: `vitalwire mapping list` and docs/nomenclature.md")
        yield Policy(
            ward=normalise(row.ward),
            metric=metric,
            when=when,
            choice=choice,
            window_min=window_min,
            spoiled_by=_spoilers(place, row.spoiled_by),
            auto_final_after_min=row.auto_final_after_min,
        )


def _when(place: _Place, stated: str | list[str]) -> When:
    match stated:
        case "each":
            return Each()
        case "on demand":
            return OnDemand()
        case "hourly":
            return Every(60)
        case str():
            found = _EVERY.fullmatch(stated)
            if found is None:
                known = '"each", "every 5 min", "hourly", "on demand", or times of day: ["02:00", "06:00"]'
                raise place.error("when", f"{stated!r} is not known: write one of {known}")
            minutes = int(found[1])
            if DAY_MIN % minutes:
                raise place.error("when", f"a day cannot be divided into slots of {minutes} min")
            return Every(minutes)
        case _:
            return At(_times(place, stated))


def _times(place: _Place, stated: list[str]) -> tuple[time, ...]:
    try:
        times = [time.fromisoformat(each) for each in stated]
    except ValueError as error:
        raise place.error("when", f"{error}: write times as 02:00") from None
    if (
        not times
        or sorted(set(times)) != times
        or any(each.tzinfo or each.second or each.microsecond for each in times)
    ):
        raise place.error("when", "times of day stand in order, each once, to the minute")
    return tuple(times)


def _choice(place: _Place, stated: str) -> Choice:
    try:
        return Choice(stated)
    except ValueError:
        known = ", ".join(f'"{each}"' for each in Choice)
        raise place.error("value", f"{stated!r} is not known: write one of {known}") from None


def _window_min(place: _Place, row: _Row, when: When, choice: Choice) -> int:
    """What is not stated is the slot; of times of day, and on demand, it has to be."""
    if isinstance(when, Each):
        if row.stands_min is not None:
            raise place.error("stands_min", 'with when = "each" a value stands for its own moment alone')
        return 0
    stated = row.stands_min
    if stated is None and isinstance(when, Every):
        stated = when.minutes
    if stated is None:
        raise place.error("when", "how long may a value stand? Add stands_min")
    if not 1 <= stated <= DAY_MIN:
        raise place.error("stands_min", f"from 1 to {DAY_MIN} minutes")
    if choice is Choice.MEDIAN_OF_LAST_MINUTE and row.stands_min not in (None, MEDIAN_MIN):
        raise place.error("stands_min", f'"{choice}" looks at {MEDIAN_MIN} min: leave it out')
    return MEDIAN_MIN if choice is Choice.MEDIAN_OF_LAST_MINUTE else stated


def _spoilers(place: _Place, stated: list[str] | None) -> frozenset[Spoiler]:
    if stated is None:
        return frozenset(Spoiler)
    try:
        return ALWAYS | {Spoiler(each) for each in stated}
    except ValueError as error:
        known = ", ".join(f'"{each}"' for each in Spoiler)
        raise place.error("spoiled_by", f"{error}: write some of {known}") from None
