"""Which values a page shows and in which column: one a slot, and a reason for each that finds no place."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import get_args

from clinical.sheet.content import Absence, Event, Metric, Reading, SheetData, check_identities
from clinical.sheet.days import (
    Slot,
    distance_s,
    local,
    page_count,
    page_days,
    slot_of,
)
from clinical.sheet.drawing import Item, Undrawn
from clinical.sheet.frame import Frame, frame
from clinical.sheet.style import DAYS, SLOTS, Style
from clinical.sheet.words import celsius_text, number_text

COLUMNS = DAYS * SLOTS
METRICS: tuple[str, ...] = get_args(Metric)


@dataclass(slots=True, kw_only=True)
class Page:
    """One page while it is drawn: what it is about, and what it has so far."""

    data: SheetData
    style: Style
    number: int
    days: tuple[date, ...]
    frame: Frame
    items: list[Item] = field(default_factory=list)
    undrawn: list[Undrawn] = field(default_factory=list)

    @property
    def pages(self) -> int:
        """How many there are."""
        return page_count(self.data, self.style)

    def add(self, *items: Item) -> None:
        """On top of what is there."""
        self.items += items

    def leave_out(self, about: str, what: str, reason: str) -> None:
        """Explain why a value is not drawn, by the reason's word."""
        text = self.style.word("reason").format(what=what, why=self.style.word(reason))
        self.undrawn.append(Undrawn(about=about, reason=text))

    def column(self, slot: Slot) -> int:
        """Outside 0 to COLUMNS - 1: on another page."""
        return (slot.day - self.days[0]).days * SLOTS + slot.index

    def belongs(self, column: int) -> bool:
        """Whether this page has to show or to explain it: what no page has is explained on the first or the last."""
        before_all = self.number == 1 and column < 0
        after_all = self.number == self.pages and column >= COLUMNS
        return 0 <= column < COLUMNS or before_all or after_all

    def labels(self) -> list[datetime]:
        """Each slot's label on the wall clock, as if that were UTC: for comparing, not for showing."""
        return [
            datetime(day.year, day.month, day.day, hour, tzinfo=UTC)
            for day in self.days
            for hour in self.style.slots.hours
        ]


def begin_page(data: SheetData, style: Style, number: int) -> Page:
    """An empty one. Raises ValueError for a page that there is not, and for identities that are not unique."""
    _check(data)
    return Page(data=data, style=style, number=number, days=page_days(data, style, number), frame=frame(style))


def _check(data: SheetData) -> None:
    check_identities((*data.readings, *data.events, *data.absences, *data.entries))
    for reading in data.readings:
        if reading.metric not in METRICS:
            raise ValueError(f"{reading.metric!r} is no metric of the sheet: one of {', '.join(METRICS)}")
        if reading.value is not None and not math.isfinite(reading.value):
            raise ValueError(f"{reading.id}: {reading.value} is no number that can be drawn: leave the value out")


def describe(reading: Reading, style: Style) -> str:
    """07-03 14:05 体温 36.8"""
    text = celsius_text if reading.metric == "temperature" else number_text
    value = "" if reading.value is None else f" {text(reading.value)}"
    return f"{local(reading.observed_at, style):%m-%d %H:%M} {style.word(reading.metric)}{value}"


def explain(page: Page, reading: Reading, reason: str) -> None:
    """Why it is not drawn, on the page that would have shown it."""
    if page.belongs(page.column(slot_of(reading.observed_at, page.style))):
        page.leave_out(reading.id, describe(reading, page.style), reason)


def ward_at(data: SheetData, moment: datetime) -> str:
    """Where the patient lay then, "": nowhere."""
    return next((stay.ward for stay in reversed(data.patient.stays) if stay.since <= moment), "")


def by_column(page: Page, readings: Iterable[Reading]) -> dict[int, Reading]:
    """One a column, by the style's choice; the others are explained."""
    found: dict[int, list[tuple[Slot, Reading]]] = {}
    for reading in sorted(readings, key=lambda reading: (reading.observed_at, reading.id)):
        slot = slot_of(reading.observed_at, page.style)
        column = page.column(slot)
        if 0 <= column < COLUMNS:
            found.setdefault(column, []).append((slot, reading))
        else:
            explain(page, reading, "no_slot")
    chosen: dict[int, Reading] = {}
    for column, candidates in found.items():
        chosen[column] = _choose(candidates, page.style)
        for _, reading in candidates:
            if reading is not chosen[column]:
                explain(page, reading, "slot_taken")
    return chosen


def _choose(candidates: Sequence[tuple[Slot, Reading]], style: Style) -> Reading:
    if style.slots.choose == "first":
        return candidates[0][1]
    if style.slots.choose == "last":
        return candidates[-1][1]
    return min(candidates, key=lambda pair: distance_s(pair[1].observed_at, pair[0], style))[1]


def of_metric(page: Page, metric: Metric) -> list[Reading]:
    """All of the encounter; one without a value is explained, unless that says something."""
    found = []
    for reading in page.data.readings:
        without = metric == "temperature" or (metric == "breaths" and reading.ventilated)
        says_something = reading.value is not None or without
        if reading.metric == metric and says_something:
            found.append(reading)
        elif reading.metric == metric:
            explain(page, reading, "no_value")
    return found


def event_column(page: Page, event: Event) -> int:
    """The first column of all for what happened on day 1 before its first slot."""
    column = page.column(slot_of(event.at, page.style))
    return max(column, 0) if page.number == 1 else column


def absence_columns(page: Page, absence: Absence) -> list[int]:
    """Columns whose label lies in it; of a short one, and of a moment, the column of its beginning."""
    begin = local(absence.since, page.style).replace(tzinfo=UTC)
    own = page.column(slot_of(absence.since, page.style))
    if absence.until is None:
        return [own]
    known = page.data.until or absence.until  # nothing is said about what is to come
    end = local(min(absence.until, max(known, absence.since)), page.style).replace(tzinfo=UTC)
    columns = [column for column, label in enumerate(page.labels()) if begin <= label < end]
    spans_a_label = columns or _spans_a_label(begin, end, page.style)
    return columns if spans_a_label else [own]


def _is_on_no_page(page: Page, absence: Absence) -> bool:
    """Before the first one or after the last one, which then explains it."""
    begin, end = (
        page.column(slot_of(moment, page.style)) for moment in (absence.since, absence.until or absence.since)
    )
    after_all = page.number == page.pages and begin >= COLUMNS
    return after_all or (page.number == 1 and end < 0)


def _spans_a_label(begin: datetime, end: datetime, style: Style) -> bool:
    labels = (
        begin.replace(hour=hour, minute=0, second=0, microsecond=0) + timedelta(days=days)
        for days in (0, 1)
        for hour in style.slots.hours
    )
    return any(begin <= label < end for label in labels)


@dataclass(frozen=True, slots=True, kw_only=True)
class Absences:
    """Absences by column, where nothing else was measured."""

    shown: Mapping[int, Absence]

    def between(self, first: int, last: int) -> bool:
        """Whether a curve must not go from one column to the other."""
        return any(first <= column <= last for column in self.shown)


def place_absences(page: Page, measured: Iterable[int]) -> Absences:
    """Those of the page; one whose every column has a value is explained."""
    taken, shown = set(measured), dict[int, Absence]()
    for absence in sorted(page.data.absences, key=lambda absence: (absence.since, absence.id)):
        columns = absence_columns(page, absence)
        known = absence.kind in page.style.absence.kinds
        here = [column for column in columns if 0 <= column < COLUMNS]
        free = [column for column in here if known and column not in taken and column not in shown]
        shown.update(dict.fromkeys(free, absence))
        what = f"{local(absence.since, page.style):%m-%d %H:%M} {page.style.word(absence.kind)}"
        if here and not free:
            page.leave_out(absence.id, what, "slot_taken" if known else "no_word")
        elif not here and _is_on_no_page(page, absence):
            page.leave_out(absence.id, what, "no_slot")
    return Absences(shown=shown)
