"""Reads a site's TOML and refuses one that contradicts itself, with the line and the reason."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterator
from datetime import time
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from clinical.sheet.frame import free_height_mm, free_width_mm
from clinical.sheet.style import (
    EVENTS_FROM,
    HOURLY_KEYS,
    NOT_RISING_AT,
    PULSE_A_DEGREE,
    SLOT_ROWS,
    SLOTS,
    Style,
    StyleError,
    shipped_text,
    shipped_words,
)

SHIPPED = ("standard", "guizhou", "early-hours")
HOURLY_WIDTH_MM = 277.0  # of A4 landscape, between the margins

Problem = tuple[str, str]  # the key with its table, the reason


def read_style(text: str, source: str) -> Style:
    """The style that a file says. Raises StyleError: source, line, reason."""
    try:
        values: dict[str, Any] = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        found = re.search(r"line (\d+)", str(error))
        raise StyleError(f"{source}:{found[1] if found else 1}: not TOML: {error}") from None
    try:
        style = msgspec.convert(values, Style)
    except msgspec.ValidationError as error:
        where, reason = _place(str(error))
        raise StyleError(f"{source}:{line_of(text, where)}: {'.'.join(where) or 'the file'}: {reason}") from None
    for key, reason in _problems(style):
        raise StyleError(f"{source}:{line_of(text, tuple(key.split('.')))}: {key}: {reason}")
    return style


@cache
def shipped_style(name: str) -> Style:
    """One of SHIPPED."""
    return read_style(shipped_text(name), f"{name}.toml")


def line_of(text: str, place: tuple[str, ...]) -> int:
    """The line on which a key begins; of the nearest table around it where the file leaves it out, else 1."""
    table, best, depth = "", 1, 0
    for number, line in enumerate(text.splitlines(), 1):
        head = re.match(r"\s*\[+\s*([\w.\-\"]+)\s*\]+", line)
        key = re.match(r"\s*([\w\-]+|\"[^\"]+\")\s*=", line)
        if head:
            table = head[1].replace('"', "")
            path = table.split(".")
        elif key:
            path = [*(table.split(".") if table else []), key[1].strip('"')]
        else:
            continue
        if len(path) > depth and tuple(path) == place[: len(path)]:
            best, depth = number, len(path)
    return best


def _place(message: str) -> tuple[tuple[str, ...], str]:
    """Where a ValidationError is and what it says."""
    reason, _, path = message.partition(" - at `$")
    steps = [step for step in re.split(r"\.|\[[^\]]*\]", path.rstrip("`")) if step]
    unknown = re.search(r"unknown field `([^`]+)`", reason)
    if unknown:
        return (*steps, unknown[1]), "no such setting: see docs/sheet.md for those that there are"
    return tuple(steps), reason


def _problems(style: Style) -> Iterator[Problem]:
    """The first one is the refusal; each check may rely on those before it."""
    checks: tuple[Callable[[Style], Iterator[Problem]], ...] = (
        _zone_problems, _slot_problems, _grid_problems, _temperature_problems, _row_problems, _word_problems,
        _event_problems, _room_problems, _hourly_problems,
    )  # fmt: skip
    for check in checks:
        yield from check(style)


def _zone_problems(style: Style) -> Iterator[Problem]:
    try:
        ZoneInfo(style.zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        yield "zone", f"{style.zone!r} is no time zone: write one such as Asia/Shanghai"


def _slot_problems(style: Style) -> Iterator[Problem]:
    slots = style.slots
    if len(slots.hours) != SLOTS or list(slots.hours) != sorted(set(slots.hours)) or not 0 <= slots.hours[0] <= 23:
        yield "slots.hours", f"{SLOTS} hours of the day are needed, each later than the one before"
        return
    if slots.hours[-1] > 23:
        yield "slots.hours", "an hour of the day is at most 23"
        return
    if len(slots.ends) != SLOTS:
        yield "slots.ends", f"{SLOTS} times are needed, one a slot"
        return
    for end in slots.ends:
        try:
            time.fromisoformat(end)
        except ValueError:
            yield "slots.ends", f"{end!r} is no time: write HH:MM"
            return
    ends = slots.end_minutes()
    begins = (ends[-1] - 1440, *ends[:-1])  # the minute before each bucket
    for hour, begin, last in zip(slots.hours, begins, ends, strict=True):
        if not begin < hour * 60 <= last:
            yield "slots.ends", f"the bucket of {hour:02}:00 would not hold {hour:02}:00"
            return


def _grid_problems(style: Style) -> Iterator[Problem]:
    grid = style.grid
    if not 30 <= grid.temperature_low <= NOT_RISING_AT or not EVENTS_FROM + 1 <= grid.temperature_high <= 44:
        yield "grid.temperature_low", "the axis must begin at 30 to 35 ℃ and end at 41 to 44 ℃"
        return
    degrees = grid.temperature_high - grid.temperature_low
    if grid.pulse_high - grid.pulse_low != degrees * PULSE_A_DEGREE:
        yield (
            "grid.pulse_low",
            (
                f"{degrees} ℃ are as high as {degrees * PULSE_A_DEGREE} beats, but the axis from {grid.pulse_low} to "
                f"{grid.pulse_high} has {grid.pulse_high - grid.pulse_low}: {PULSE_A_DEGREE} beats a ℃"
            ),
        )
    if style.absence.band == "under" and grid.temperature_low >= NOT_RISING_AT:
        yield "absence.band", f"nothing is under {NOT_RISING_AT} ℃ on an axis that begins there: write over"


def _temperature_problems(style: Style) -> Iterator[Problem]:
    kind, grid = style.temperature, style.grid
    if not grid.temperature_low <= kind.not_rising_limit < EVENTS_FROM:
        yield "temperature.not_rising_limit", f"must be on the axis and below {EVENTS_FROM} ℃"
    for route in kind.core_routes:
        if route in kind.symbols:
            yield "temperature.core_routes", f"{route} has a symbol and a row: take it out of one of both"
    defaults = {"temperature.default_route": kind.default_route}
    for ward, route in kind.default_route_of_ward.items():
        defaults[f"temperature.default_route_of_ward.{ward}"] = route
    for key, route in defaults.items():
        if route and route not in kind.symbols and route not in kind.core_routes:
            yield key, f"{route} has neither a symbol nor a row"


def _row_problems(style: Style) -> Iterator[Problem]:
    rows = style.rows
    for row in rows.order:
        if rows.order.count(row) > 1:
            yield "rows.order", f"{row} stands twice"
            return
    for row in rows.about_yesterday:
        if row not in rows.order:
            yield "rows.about_yesterday", f"{row} is in no row"
        elif row in SLOT_ROWS:
            yield "rows.about_yesterday", f"{row} has its own times and is not about a day"
    if not 0 <= rows.free <= 6:
        yield "rows.free", "0 to 6"
    if style.hourly.text_mm < 1.8 or style.hourly.row_height_mm < style.hourly.text_mm * 1.4:
        yield "hourly.row_height_mm", "a row must be 1.4 times as high as its text, and the text 1.8 mm"


def _word_problems(style: Style) -> Iterator[Problem]:
    known = shipped_words()[style.language].keys()
    named = {*style.absence.kinds, *style.events.shown, *style.rows.order}
    named |= {f"legend_{route}" for route in style.temperature.symbols}
    for key in style.words:
        if key not in known and key not in named:
            yield f"words.{key}", "the sheet has no such word"
    tables = {"absence.kinds": style.absence.kinds, "events.shown": style.events.shown, "rows.order": style.rows.order}
    for place, keys in tables.items():
        for key in keys:
            if key not in known and key not in style.words:
                yield place, f"{key} has no word: add it under [words]"


def _event_problems(style: Style) -> Iterator[Problem]:
    for key, kinds in {
        "events.without_time": style.events.without_time,
        "lines.break_at": style.lines.break_at,
    }.items():
        for kind in kinds:
            if kind not in style.events.shown:
                yield key, f"{kind} is not among events.shown"


def _room_problems(style: Style) -> Iterator[Problem]:
    if free_width_mm(style) < 0:
        yield "grid.slot_width_mm", f"the page is too narrow by {-free_width_mm(style):.1f} mm"
    if free_height_mm(style) < 0:
        yield "grid.cell_height_mm", f"grid and rows are higher than the page by {-free_height_mm(style):.1f} mm"
    if style.grid.cell_height_mm < 2 or style.grid.slot_width_mm < 3 or style.rows.height_mm < 3.5:
        yield "grid.cell_height_mm", "cells of at least 2 mm by 3 mm and rows of 3.5 mm are needed to be legible"


def _hourly_problems(style: Style) -> Iterator[Problem]:
    keys = [column.key for column in style.hourly.columns]
    for key in keys:
        if key not in HOURLY_KEYS or keys.count(key) > 1:
            yield "hourly.columns", f"{key} is no column, or stands twice"
    if "day_time" not in keys:
        yield "hourly.columns", "day_time is needed"
    total = sum(column.width_mm for column in style.hourly.columns)
    if total > HOURLY_WIDTH_MM or any(column.width_mm < 6 for column in style.hourly.columns):
        yield "hourly.columns", f"{total:g} mm: at most {HOURLY_WIDTH_MM:g} mm, each column 6 mm or more"
