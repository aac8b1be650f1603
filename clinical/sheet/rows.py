"""The rows below the grid."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta

from clinical.sheet.arrange import Page, by_column, explain, of_metric
from clinical.sheet.content import DayEntry, Pressure, Reading
from clinical.sheet.days import local
from clinical.sheet.drawing import BLUE, RED, Circle, Line, Point
from clinical.sheet.frame import Band
from clinical.sheet.glyphs import fit, written
from clinical.sheet.style import DAYS, SLOT_ROWS, SLOTS
from clinical.sheet.words import celsius_text, day_text, number_text

TEXT_MM, PADDING_MM, SLOT_PADDING_MM, READABLE_MM = 2.7, 0.8, 0.4, 2.1
TWO_LINES_MM = 4.8


def draw_rows(page: Page, core: Mapping[int, Reading]) -> None:
    """Values of slots and of days; a row that the style does not have is explained."""
    bands = {band.key: band for band in page.frame.rows}
    for metric in ("breaths", "pain", "spo2"):
        readings = of_metric(page, metric)
        if metric not in bands:
            for reading in readings:
                explain(page, reading, "row_missing")
        elif metric == "breaths":
            _draw_breaths(page, bands[metric], by_column(page, readings))
        else:
            _draw_slots(page, bands[metric], by_column(page, readings))
    if "core_temperature" in bands:
        _draw_slots(page, bands["core_temperature"], core)
    for row, entries in _entries_by_row(page).items():
        if row in bands and row not in SLOT_ROWS:
            _draw_days(page, bands[row], entries)
        else:
            for _, entry in entries:
                page.leave_out(entry.id, _describe(page, entry), "row_missing")


def _draw_slots(page: Page, band: Band, readings: Mapping[int, Reading]) -> None:
    for column, reading in readings.items():
        value_text = celsius_text if reading.metric == "temperature" else number_text
        text = "" if reading.value is None else value_text(reading.value)
        at = (page.frame.column_middle(column), band.middle)
        page.add(
            written(text, at, TEXT_MM, "row", limit_mm=page.frame.slot - SLOT_PADDING_MM, about=reading.id, colour=BLUE)
        )


def _draw_breaths(page: Page, band: Band, readings: Mapping[int, Reading]) -> None:
    """Numbers by turns up and down, the page's first one up; a ventilator is an encircled R without a number."""
    up = True
    for column, reading in readings.items():
        x = page.frame.column_middle(column)
        y = band.top + band.height * (0.27 if up else 0.73)
        if reading.ventilated:
            y = band.top + band.height * 0.27
            page.add(
                Circle(role="ventilator", centre=(x, y), radius_mm=1.5, width_mm=0.25, colour=RED),
                written(page.style.word("ventilator"), (x, y), 2.2, "breaths", about=reading.id, colour=RED),
            )
            continue
        text = "" if reading.value is None else number_text(reading.value)
        limit = page.frame.slot - SLOT_PADDING_MM
        page.add(written(text, (x, y), TEXT_MM, "breaths", limit_mm=limit, about=reading.id, colour=RED))
        up = not up


def _entries_by_row(page: Page) -> dict[str, list[tuple[int, DayEntry]]]:
    """With the day's index on the page: a total of yesterday stands under today, where the site does so."""
    found: dict[str, list[tuple[int, DayEntry]]] = {}
    for entry in sorted(
        page.data.entries, key=lambda entry: (entry.day, entry.at.timestamp() if entry.at else 0.0, entry.id)
    ):
        later = timedelta(days=1) if entry.row in page.style.rows.about_yesterday else timedelta(0)
        index = (entry.day + later - page.days[0]).days
        if 0 <= index < DAYS and not day_text(entry.value, page.style).strip():
            page.leave_out(entry.id, _describe(page, entry), "no_value")
        elif 0 <= index < DAYS:
            found.setdefault(entry.row, []).append((index, entry))
        elif page.belongs(index * SLOTS):
            page.leave_out(entry.id, _describe(page, entry), "no_slot")
    return found


def _describe(page: Page, entry: DayEntry) -> str:
    return f"{entry.day:%m-%d} {page.style.word(entry.row)} {day_text(entry.value, page.style)}"


def _draw_days(page: Page, band: Band, entries: Sequence[tuple[int, DayEntry]]) -> None:
    parts = page.style.rows.pressures_per_day if band.key == "pressure" else 1
    taken: dict[tuple[int, int], DayEntry] = {}
    for index in range(DAYS):
        of_day = [entry for day, entry in entries if day == index]
        for entry in of_day[parts:]:
            page.leave_out(entry.id, _describe(page, entry), "cell_full")
        for order, entry in enumerate(of_day[:parts]):
            full = len(of_day) >= parts
            part = order if full else _free_part(page, entry, parts, {p for day, p in taken if day == index})
            taken[index, part] = entry
    width = page.frame.slot * SLOTS / parts
    for (index, part), entry in taken.items():
        left = page.frame.column_left(index * SLOTS) + part * width
        at = (left + width / 2, band.middle)
        text = day_text(entry.value, page.style)
        _draw_day(page, text, at, (width - 2 * PADDING_MM, band.height), entry.id)
    if parts > 1:
        for index in range(DAYS):
            for part in range(1, parts):
                x = page.frame.column_left(index * SLOTS) + part * width
                page.add(Line(role="grid", start=(x, band.top), end=(x, band.bottom), width_mm=0.1))


def _draw_day(page: Page, text: str, at: Point, space: tuple[float, float], about: str) -> None:
    """In one line, or what is in brackets below the rest where one line would be too small to read."""
    limit, height = space
    head, bracket, tail = text.partition("(")
    if bracket and head and height >= TWO_LINES_MM and fit(text, TEXT_MM, limit)[1] < READABLE_MM:
        x, y = at
        page.add(
            written(head.strip(), (x, y - 1.15), READABLE_MM, "row", limit_mm=limit, about=about, colour=BLUE),
            written(bracket + tail, (x, y + 1.15), READABLE_MM, "row", limit_mm=limit, colour=BLUE),
        )
    else:
        page.add(written(text, at, TEXT_MM, "row", limit_mm=limit, about=about, colour=BLUE))


def _free_part(page: Page, entry: DayEntry, parts: int, taken: set[int]) -> int:
    """Of the day's parts the one that the hour is in, else the next free one."""
    preferred = 0
    if entry.at is not None and isinstance(entry.value, Pressure):
        preferred = local(entry.at, page.style).hour * parts // 24
    free: list[int] = [part for part in (*range(preferred, parts), *range(preferred)) if part not in taken]
    return free[0]
