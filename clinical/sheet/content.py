"""What a 体温单 is drawn from. Every value has the public identity by which the chart knows it, and its version."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from typing import Literal, TypeAlias

Metric = Literal["temperature", "pulse", "heart_rate", "breaths", "pain", "spo2"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Entered:
    """What every value has. `confirmed`: a person confirmed it; `version` is that of the chart's entry."""

    id: str
    confirmed: bool = False
    version: int = 1


def check_identities(values: Iterable[Entered]) -> None:
    """Raises ValueError for one that is not unique, and for one that could not be told from others in a list."""
    seen = set()
    for value in values:
        if not value.id or " " in value.id or value.id in seen:
            raise ValueError(f"{value.id!r} is no identity of a value: each needs its own, without spaces")
        seen.add(value.id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading(Entered):
    """A value with a moment. Times are aware; values are in ℃, per minute, points of pain, or percent.

    `value` None of a temperature: the thermometer did not rise (不升). `route` "": nobody said. `by_hand`: a nurse's
    own value; a deficit needs two of them. `cooled_from`: of a temperature after cooling, the id of the one before.
    `rechecked`: she marked it 复试. `ventilated`: breaths by a ventilator, of which no number is written.
    """

    metric: Metric
    observed_at: datetime
    value: float | None
    route: str = ""
    by_hand: bool = False
    cooled_from: str = ""
    rechecked: bool = False
    ventilated: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Absence(Entered):
    """Why nothing was measured (one of the style's absence.kinds), from a moment until before another.

    `until` None: at that moment only.
    """

    kind: str
    since: datetime
    until: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Event(Entered):
    """A red word between 40 and 42 ℃, by its kind: admission, transfer_in, operation, birth, discharge, death, own."""

    kind: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Pressure:
    """In mmHg; `legs`: measured there."""

    systolic: int
    diastolic: int
    legs: bool = False


@dataclass(frozen=True, slots=True)
class Stool:
    """Stools of a day: `own` before any enema, then `enemas` and how many followed them."""

    own: int = 0
    enemas: int = 0
    after_enema: int = 0
    incontinent: bool = False
    stoma: bool = False


@dataclass(frozen=True, slots=True)
class Volume:
    """Millilitres of a day. Where sums are incomplete, `incomplete` has from and until, such as ("08:00", "20:00")."""

    ml: float
    catheter: bool = False
    incomplete: tuple[str, str] | None = None


DayValue: TypeAlias = Pressure | Stool | Volume | str


@dataclass(frozen=True, slots=True, kw_only=True)
class DayEntry(Entered):
    """A value of a row below the grid: the row's key, the site-local day that it is about, and of pressures the moment.

    Text stands as it is: "62.5", "平车", "青霉素(-)".
    """

    row: str
    day: date
    value: DayValue
    at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Stay:
    """A bed of the encounter, since when."""

    ward: str
    bed: str
    since: datetime

    def __post_init__(self) -> None:
        if self.since.tzinfo is None:
            raise ValueError(f"{self.since.isoformat()} has no time zone: give one")


@dataclass(frozen=True, slots=True, kw_only=True)
class Patient:
    """The header. `admitted_at`: when the ward was entered, which the ward may edit; its day is day 1."""

    name: str
    sex: str
    age: str
    number: str
    admitted_at: datetime
    stays: tuple[Stay, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockStep:
    """The site's clock was set by `step_s` seconds, forward positive, at this moment. Summer time needs none."""

    at: datetime
    step_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SheetData:
    """All that the sheets of an encounter show. `version` counts prints: from 2 on it stands on the paper."""

    patient: Patient
    readings: tuple[Reading, ...] = ()
    events: tuple[Event, ...] = ()
    absences: tuple[Absence, ...] = ()
    entries: tuple[DayEntry, ...] = ()
    clock_steps: tuple[ClockStep, ...] = ()
    until: datetime | None = None  # discharge, or up to when is known; None: the last value
    printed_at: datetime | None = None
    version: int = 1
