"""Which day and slot a moment belongs to, by the site's wall clock, and how many days after an operation it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

from clinical.sheet.content import ClockStep, Event, SheetData
from clinical.sheet.style import DAYS, SLOTS, Style

OPERATIONS = ("operation", "birth")  # what days are counted after
ROMAN = ("", "Ⅰ", "Ⅱ", "Ⅲ", "Ⅳ", "Ⅴ", "Ⅵ", "Ⅶ", "Ⅷ", "Ⅸ", "Ⅹ")


@dataclass(frozen=True, slots=True)
class Slot:
    """A column of a day: the day, and 0 to 5."""

    day: date
    index: int


def local(moment: datetime, style: Style) -> datetime:
    """On the site's wall clock. Raises ValueError for a time without a zone, which says no moment."""
    if moment.tzinfo is None:
        raise ValueError(f"{moment.isoformat()} has no time zone: give one")
    return moment.astimezone(style.local_zone())


def slot_of(moment: datetime, style: Style) -> Slot:
    """By the wall clock: an hour that a clock step repeats falls into one slot twice, one that it skips into none."""
    at = local(moment, style)
    minute, ends = at.hour * 60 + at.minute, style.slots.end_minutes()
    if minute <= ends[-1] - 1440:  # the night before has not ended yet
        return Slot(at.date() - timedelta(days=1), SLOTS - 1)
    for index, end in enumerate(ends):
        if minute <= end:
            return Slot(at.date(), index)
    # After the last bucket's end and before midnight: it is the first bucket of tomorrow.
    return Slot(at.date() + timedelta(days=1), 0)


def distance_s(moment: datetime, slot: Slot, style: Style) -> float:
    """How far from the slot's label, on the wall clock."""
    label = datetime(slot.day.year, slot.day.month, slot.day.day, style.slots.hours[slot.index], tzinfo=UTC)
    wall = local(moment, style).replace(tzinfo=UTC)
    return abs((wall - label).total_seconds())


def admission_day(data: SheetData, style: Style) -> date:
    """Day 1, and the first one of page 1."""
    return local(data.patient.admitted_at, style).date()


def last_day(data: SheetData, style: Style) -> date:
    """Until when sheets are needed."""
    if data.until is not None:
        return max(admission_day(data, style), local(data.until, style).date())
    moments = [reading.observed_at for reading in data.readings] + [event.at for event in data.events]
    moments += [absence.since for absence in data.absences]
    days = [slot_of(moment, style).day for moment in moments] + [entry.day for entry in data.entries]
    return max([admission_day(data, style), *days])


def page_count(data: SheetData, style: Style) -> int:
    """Pages of seven days."""
    return (last_day(data, style) - admission_day(data, style)).days // DAYS + 1


def page_days(data: SheetData, style: Style, page: int) -> tuple[date, ...]:
    """Of a page, counted from 1. Raises ValueError for one that there is not."""
    if not 1 <= page <= page_count(data, style):
        raise ValueError(f"there is no page {page}: 1 to {page_count(data, style)}")
    first = admission_day(data, style) + timedelta(days=DAYS * (page - 1))
    return tuple(first + timedelta(days=index) for index in range(DAYS))


def date_texts(days: Sequence[date], style: Style) -> list[str]:
    """The first in full; then the day, or month and day; a new month and a new year say so."""
    texts = [days[0].isoformat()]
    for before, day in pairwise(days):
        if day.year != before.year:
            texts.append(day.isoformat())
        elif day.month != before.month or style.days.date == "month_day":
            texts.append(f"{day.month:02}-{day.day:02}")
        else:
            texts.append(str(day.day))
    return texts


def operation_days(events: Sequence[Event], style: Style) -> list[date]:
    """Of operations and births, in order."""
    moments = sorted(event.at for event in events if event.kind in OPERATIONS)
    return [local(moment, style).date() for moment in moments]


def post_op_text(day: date, operations: Sequence[date], style: Style) -> str:
    """Days after the operations of the window, newest first; the day after one is 1. On the day itself by habit."""
    window = style.days.post_op_days
    since = [(day - operation).days for operation in operations]
    running = [days for days in since if 0 < days <= window]
    shown = {"last": 1, "two": 2, "all": len(since)}[style.days.post_op_shown]
    counted = sorted(running)[:shown]
    # Several operations of one day are one count.
    counted = list(dict.fromkeys(counted))
    if 0 in since and style.days.operation_day == "zero":
        return "/".join(map(str, [0, *counted][:shown]))
    if 0 in since and style.days.operation_day == "count":
        before = len([days for days in since if 0 <= days <= window])
        return f"{counted[0]}({before})" if counted else f"({before})"
    if style.days.post_op_notation == "roman" and len(running) > 1:
        return f"{ROMAN[min(len(running), len(ROMAN) - 1)]}-{counted[0]}"
    return "/".join(map(str, counted))


def clock_steps(data: SheetData, days: Sequence[date], style: Style) -> list[ClockStep]:
    """Those of the page's days: said ones, and those of the zone's own rules (summer time)."""
    zone = style.local_zone()
    found = [step for step in data.clock_steps if days[0] <= local(step.at, style).date() <= days[-1]]
    return sorted([*found, *_zone_steps(days, zone)], key=lambda step: step.at)


def _zone_steps(days: Sequence[date], zone: ZoneInfo) -> list[ClockStep]:
    begin = datetime(days[0].year, days[0].month, days[0].day, tzinfo=zone).astimezone(UTC)
    quarters = [begin + timedelta(minutes=15 * index) for index in range(len(days) * 96 + 1)]
    offsets = [quarter.astimezone(zone).utcoffset() or timedelta() for quarter in quarters]
    found = []
    for (_, before), (at, after) in pairwise(zip(quarters, offsets, strict=True)):
        if before != after:
            found.append(ClockStep(at=at, step_s=(after - before).total_seconds()))
    return found
