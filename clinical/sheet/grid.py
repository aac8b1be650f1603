"""The lines of the table and the two axes."""

from __future__ import annotations

from clinical.sheet.arrange import COLUMNS, Page
from clinical.sheet.drawing import BLACK, RED, Line
from clinical.sheet.glyphs import written
from clinical.sheet.header import draw_label
from clinical.sheet.style import CELLS_A_DEGREE, DAYS, PULSE_A_DEGREE, SLOT_ROWS, SLOTS

THIN_MM, MIDDLE_MM, THICK_MM = 0.09, 0.2, 0.4
FAINT, NORMAL = "#a8a8a8", 37  # ℃ whose line is red


def draw_grid(page: Page) -> None:
    """Cells, then degrees, then days, so that the heavier line lies on top."""
    frame = page.frame
    slots_bottom = frame.grid.bottom
    for cell in range(1, page.style.grid.cells):
        if cell % CELLS_A_DEGREE:
            _horizontal(page, frame.first, frame.grid.top + cell * frame.cell, THIN_MM, FAINT)
    slotted = [band for band in frame.rows if band.key in SLOT_ROWS]
    for column in range(COLUMNS + 1):
        if column % SLOTS:
            x = frame.column_left(column)
            _vertical(page, x, frame.head[-1].top, slots_bottom, THIN_MM, FAINT)
            for band in slotted:
                _vertical(page, x, band.top, band.bottom, THIN_MM, FAINT)
    for celsius in range(frame.low + 1, frame.high):
        normal = celsius == NORMAL
        width, colour = (0.35, RED) if normal else (MIDDLE_MM, BLACK)
        _horizontal(page, frame.first, frame.temperature_y(celsius), width, colour)
    for band in (*frame.head, frame.grid, *frame.rows):
        _horizontal(page, frame.left, band.bottom, MIDDLE_MM, BLACK)
    for day in range(1, DAYS):
        _vertical(page, frame.column_left(day * SLOTS), frame.head[0].top, frame.bottom, 0.3, RED)
    _vertical(page, frame.first, frame.head[0].top, frame.bottom, MIDDLE_MM, BLACK)
    for x in (frame.left, frame.right):
        _vertical(page, x, frame.head[0].top, frame.bottom, THICK_MM, BLACK)
    for y in (frame.head[0].top, frame.bottom):
        _horizontal(page, frame.left, y, THICK_MM, BLACK)


def draw_axes(page: Page) -> None:
    """Pulse to the left in red, temperature to the right in black, with their words between the two upper degrees."""
    frame, style = page.frame, page.style
    half = (frame.first - frame.left) / 2
    middle = frame.left + half
    _vertical(page, middle, frame.grid.top, frame.grid.bottom, THIN_MM, BLACK)
    degree = CELLS_A_DEGREE * frame.cell
    columns = (
        (frame.left + half / 2, RED, style.word("pulse"), f"({style.word('pulse_unit')})"),
        (middle + half / 2, BLACK, style.word("temperature"), "(℃)"),
    )
    for x, colour, name, unit in columns:
        page.add(
            written(name, (x, frame.grid.top + degree * 0.42), 2.7, "axis", limit_mm=half - 0.8, colour=colour),
            written(unit, (x, frame.grid.top + degree * 0.68), 2.4, "axis", limit_mm=half - 0.8, colour=colour),
        )
    for celsius in range(frame.low, frame.high + 1):
        y = frame.temperature_y(celsius)
        # The outermost numbers stand inside the table.
        y += 1.7 if celsius == frame.high else -1.7 if celsius == frame.low else 0.0
        beats = frame.pulse_low + (celsius - frame.low) * PULSE_A_DEGREE
        page.add(
            written(str(beats), (frame.left + half / 2, y), 2.7, "axis", colour=RED),
            written(f"{celsius}°", (middle + half / 2, y), 2.7, "axis"),
        )
    for band in frame.rows:
        if not band.key.startswith("free "):
            draw_label(page, band.key, band.middle)


def _horizontal(page: Page, left: float, y: float, width_mm: float, colour: str) -> None:
    page.add(Line(role="grid", start=(left, y), end=(page.frame.right, y), width_mm=width_mm, colour=colour))


def _vertical(page: Page, x: float, top: float, bottom: float, width_mm: float, colour: str) -> None:
    page.add(Line(role="grid", start=(x, top), end=(x, bottom), width_mm=width_mm, colour=colour))
