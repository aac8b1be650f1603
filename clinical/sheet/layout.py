"""A page of the 体温单: everything that stands on it, from the bottom up."""

from __future__ import annotations

from clinical.sheet.arrange import Page, begin_page, place_absences
from clinical.sheet.bands import draw_not_rising, draw_words, place_events
from clinical.sheet.content import SheetData
from clinical.sheet.curves import (
    draw_marks,
    draw_rate_lines,
    draw_temperature_lines,
    place_rates,
    place_temperatures,
    taken_by_marks,
)
from clinical.sheet.drawing import Drawing
from clinical.sheet.foot import draw_foot, draw_watermark
from clinical.sheet.grid import draw_axes, draw_grid
from clinical.sheet.header import draw_head_rows, draw_header, draw_title
from clinical.sheet.rows import draw_rows
from clinical.sheet.style import Style


def lay_out(data: SheetData, style: Style, page: int) -> Drawing:
    """Page `page`, counted from 1. Raises ValueError for one that there is not, and for times without a zone."""
    sheet = begin_page(data, style, page)
    draw_grid(sheet)
    draw_axes(sheet)
    draw_title(sheet)
    draw_header(sheet)
    draw_head_rows(sheet)
    temperatures = place_temperatures(sheet)
    rates = place_rates(sheet)
    absences = place_absences(sheet, temperatures.columns)
    draw_words(sheet, place_events(sheet), absences, taken_by_marks(sheet, temperatures, rates))
    draw_not_rising(sheet, temperatures.not_rising)
    draw_rate_lines(sheet, rates, absences)
    draw_temperature_lines(sheet, temperatures, absences)
    draw_marks(sheet, temperatures, rates)
    draw_rows(sheet, temperatures.core)
    draw_foot(sheet)
    draw_watermark(sheet, unconfirmed=bool(shown_ids(sheet) & unconfirmed_ids(data)))
    title = f"{style.title} {data.patient.name} {data.patient.number} {page}/{sheet.pages}"
    return Drawing(
        title=title, width_mm=210, height_mm=297, items=tuple(sheet.items), undrawn=tuple(sheet.undrawn)
    )  # fmt: skip


def lay_out_all(data: SheetData, style: Style) -> list[Drawing]:
    """Every page of the encounter."""
    first = lay_out(data, style, 1)
    pages = begin_page(data, style, 1).pages
    return [first, *(lay_out(data, style, page) for page in range(2, pages + 1))]


def shown_ids(page: Page) -> set[str]:
    """Of the values that stand on the page."""
    return {value for item in page.items for value in item.about.split()}


def unconfirmed_ids(data: SheetData) -> set[str]:
    """Of the values that no person confirmed."""
    entered = (*data.readings, *data.events, *data.absences, *data.entries)
    return {value.id for value in entered if not value.confirmed}
