"""A site's habits, one TOML: what differs between hospitals' 体温单 is a setting here and nothing in the code."""

from __future__ import annotations

import tomllib
from datetime import time
from functools import cache
from importlib.resources import files
from typing import Literal
from zoneinfo import ZoneInfo

import msgspec
from msgspec import Struct, field

DAYS, SLOTS = 7, 6
CELLS_A_DEGREE = 5  # 0.2 ℃, or 4 per minute, a small cell
PULSE_A_DEGREE = 20  # per minute that are as high as 1 ℃
SLOT_ROWS = ("breaths", "pain", "spo2", "core_temperature")  # a value in each slot
NOT_RISING_AT, EVENTS_FROM = 35, 40  # ℃: 不升 hangs below one, events stand above the other

Symbol = Literal["dot", "cross", "circle", "triangle"]
Language = Literal["zh", "en"]


class StyleError(ValueError):
    """A style that cannot be used: the file's name, the line, what is wrong and what would be right."""


class _Table(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of the file."""


class Slots(_Table, frozen=True, kw_only=True):
    """Labels in hours and the last minute of each bucket, as separate habits."""

    hours: tuple[int, ...] = (2, 6, 10, 14, 18, 22)
    ends: tuple[str, ...] = ("03:59", "07:59", "11:59", "15:59", "19:59", "23:59")
    choose: Literal["nearest", "first", "last"] = "nearest"

    def end_minutes(self) -> tuple[int, ...]:
        """Last minute of each bucket since midnight; the last one is beyond 1,440 where it passes midnight."""
        minutes = [_minute(end) for end in self.ends]
        if minutes[-1] < self.hours[-1] * 60:
            minutes[-1] += 1440
        return tuple(minutes)


class Grid(_Table, frozen=True, kw_only=True):
    """Both axes and the cells' true sizes."""

    temperature_low: int = 34
    temperature_high: int = 42
    pulse_low: int = 20
    pulse_high: int = 180
    cell_height_mm: float = 3.0
    slot_width_mm: float = 4.0
    over_scale: Literal["number", "word"] = "number"

    @property
    def cells(self) -> int:
        """Small cells from the bottom to the top."""
        return (self.temperature_high - self.temperature_low) * CELLS_A_DEGREE


class Temperature(_Table, frozen=True, kw_only=True):
    """Symbols by route, what is too low for a mark, and which routes have a row instead."""

    symbols: dict[str, Symbol] = field(default_factory=lambda: {"oral": "dot", "axillary": "cross", "rectal": "circle"})
    default_route: str = ""
    default_route_of_ward: dict[str, str] = field(default_factory=dict)
    not_rising_limit: float = 35.0
    not_rising_includes_limit: bool = True
    not_rising_colour: Literal["red", "blue"] = "red"
    core_routes: tuple[str, ...] = ("bladder", "core", "oesophageal")
    recheck_mark: str = "v"


class Pulse(_Table, frozen=True, kw_only=True):
    """How a deficit is filled, and what a pulse upon a temperature looks like."""

    deficit_fill: Literal["slanted", "vertical", "none"] = "slanted"
    overlap: Literal["ring", "both"] = "ring"


class Lines(_Table, frozen=True, kw_only=True):
    """What ends a curve beside absences and 不升."""

    break_at: tuple[str, ...] = ()


class Absence(_Table, frozen=True, kw_only=True):
    """Where the words for what was not measured stand, and which there are."""

    band: Literal["under", "over"] = "under"
    colour: Literal["red", "blue", "black"] = "blue"
    kinds: tuple[str, ...] = ("refused", "out", "leave", "away")


class Events(_Table, frozen=True, kw_only=True):
    """The red words between 40 and 42 ℃."""

    shown: tuple[str, ...] = ("admission", "transfer_in", "operation", "birth", "discharge", "death")
    without_time: tuple[str, ...] = ("operation",)
    separator: Literal["line", "word"] = "line"
    numerals: Literal["chinese", "digits"] = "chinese"
    orientation: Literal["down", "turned"] = "down"


class Days(_Table, frozen=True, kw_only=True):
    """Dates and the days after operations and births."""

    date: Literal["day", "month_day"] = "day"
    post_op_days: Literal[7, 10, 14] = 14
    post_op_notation: Literal["fraction", "roman"] = "fraction"
    post_op_shown: Literal["last", "two", "all"] = "two"
    operation_day: Literal["blank", "zero", "count"] = "blank"


class Rows(_Table, frozen=True, kw_only=True):
    """What stands below the grid, from the top."""

    order: tuple[str, ...] = ("breaths", "pressure", "intake", "output", "urine", "stool", "weight", "core_temperature")
    free: int = 2
    height_mm: float = 5.4
    pressures_per_day: Literal[1, 2, 3] = 2
    stool_separator: str = "/"
    about_yesterday: tuple[str, ...] = ("intake", "output", "urine", "stool")


class Column(_Table, frozen=True, kw_only=True):
    """A column of the hourly record, by its word."""

    key: str
    width_mm: float


HOURLY_KEYS = (
    "day_time", "consciousness", "vital_temperature", "vital_pulse", "vital_breaths", "vital_pressure", "vital_spo2",
    "oxygen", "intake_items", "output_items", "tubes", "skin", "course", "signature",
)  # fmt: skip
HOURLY_WIDTHS_MM = (16, 12, 10, 15, 8, 15, 11, 20, 34, 38, 22, 16, 43, 17)


class Hourly(_Table, frozen=True, kw_only=True):
    """The 重症护理记录单: its columns and sizes."""

    columns: tuple[Column, ...] = tuple(
        Column(key=key, width_mm=width) for key, width in zip(HOURLY_KEYS, HOURLY_WIDTHS_MM, strict=True)
    )
    text_mm: float = 2.5
    row_height_mm: float = 6.0


class Style(_Table, frozen=True, kw_only=True):
    """All of a site's habits."""

    title: str = "体温单"
    hospital: str = ""
    language: Language = "zh"
    zone: str = "Asia/Shanghai"
    slots: Slots = Slots()
    grid: Grid = Grid()
    temperature: Temperature = Temperature()
    pulse: Pulse = Pulse()
    lines: Lines = Lines()
    absence: Absence = Absence()
    events: Events = Events()
    days: Days = Days()
    rows: Rows = Rows()
    hourly: Hourly = Hourly()
    words: dict[str, str] = field(default_factory=dict)

    def word(self, key: str) -> str:
        """What the sheet prints for it: the site's own word, else the language's, else the key."""
        return self.words.get(key) or shipped_words()[self.language].get(key, key)

    def in_language(self, language: Language) -> Style:
        """The same habits in another language; the site's own words are of its own language."""
        if language == self.language:
            return self
        title = self.title if language == "zh" else "Temperature chart"
        return msgspec.structs.replace(self, language=language, words={}, title=title)

    def local_zone(self) -> ZoneInfo:
        """Whose wall clock decides days and slots."""
        return ZoneInfo(self.zone)

    def route_of(self, route: str, ward: str) -> str:
        """The route of a temperature: as given, else the ward's default, else the site's; "": unknown."""
        return route or self.temperature.default_route_of_ward.get(ward, self.temperature.default_route)


@cache
def shipped_words() -> dict[str, dict[str, str]]:
    """By language."""
    return tomllib.loads(shipped_text("words"))


def shipped_text(name: str) -> str:
    """A shipped file, to begin one's own with."""
    return (files("clinical.sheet") / "styles" / f"{name}.toml").read_text("utf-8")


def _minute(clock: str) -> int:
    at = time.fromisoformat(clock)  # ValueError: not a time
    return at.hour * 60 + at.minute
