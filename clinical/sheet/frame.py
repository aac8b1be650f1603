"""Where everything on a 体温单 stands, in millimetres on A4: functions of the style alone."""

from __future__ import annotations

from dataclasses import dataclass

from clinical.sheet.style import CELLS_A_DEGREE, DAYS, EVENTS_FROM, PULSE_A_DEGREE, SLOTS, Style

PAGE_WIDTH_MM, PAGE_HEIGHT_MM = 210.0, 297.0
MARGIN_MM = 9.0
LABEL_WIDTH_MM = 22.0
TABLE_TOP_MM = 36.0
HEAD_ROW_MM, HEAD_ROWS = 5.0, 4  # date, day of stay, day after an operation, time
BREATHS_ROW_MM = 8.0  # two levels
FOOT_MM = 22.0  # legend, notes, page number, and the margin below


@dataclass(frozen=True, slots=True, kw_only=True)
class Band:
    """A row of the table."""

    key: str
    top: float
    height: float

    @property
    def bottom(self) -> float:
        """Where the next one begins."""
        return self.top + self.height

    @property
    def middle(self) -> float:
        """Half its height."""
        return self.top + self.height / 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """The lines of one page."""

    left: float  # of the labels
    first: float  # where the first day begins
    slot: float
    cell: float
    low: int  # ℃ at the bottom of the grid
    high: int
    pulse_low: int
    head: tuple[Band, ...]
    grid: Band
    rows: tuple[Band, ...]

    @property
    def right(self) -> float:
        """The end of the last day."""
        return self.first + DAYS * SLOTS * self.slot

    @property
    def bottom(self) -> float:
        """The end of the table."""
        return self.rows[-1].bottom if self.rows else self.grid.bottom

    def column_left(self, column: int) -> float:
        """Of a slot, counted through the page from 0."""
        return self.first + column * self.slot

    def column_middle(self, column: int) -> float:
        """Where its marks stand."""
        return self.first + (column + 0.5) * self.slot

    def temperature_y(self, celsius: float) -> float:
        """A height on the page, also beyond the grid."""
        return self.grid.bottom - (celsius - self.low) * CELLS_A_DEGREE * self.cell

    def pulse_y(self, beats: float) -> float:
        """A height on the page, also beyond the grid."""
        return self.grid.bottom - (beats - self.pulse_low) / PULSE_A_DEGREE * CELLS_A_DEGREE * self.cell

    @property
    def events_bottom(self) -> float:
        """The 40 ℃ line."""
        return self.temperature_y(EVENTS_FROM)


def row_keys(style: Style) -> tuple[str, ...]:
    """The rows below the grid with the empty ones, which are "free 1" and so on."""
    return (*style.rows.order, *(f"free {number}" for number in range(1, style.rows.free + 1)))


def row_height_mm(style: Style, key: str) -> float:
    """Breaths alternate up and down, hence two levels."""
    return max(BREATHS_ROW_MM, style.rows.height_mm) if key == "breaths" else style.rows.height_mm


def frame(style: Style) -> Frame:
    """Of a style whose table fits on the page."""
    grid_top = TABLE_TOP_MM + HEAD_ROW_MM * HEAD_ROWS
    keys = ("date", "stay_day", "post_op_day", "time")
    head = [Band(key=key, top=TABLE_TOP_MM + HEAD_ROW_MM * index, height=HEAD_ROW_MM) for index, key in enumerate(keys)]
    grid = Band(key="grid", top=grid_top, height=style.grid.cells * style.grid.cell_height_mm)
    rows: list[Band] = []
    top = grid.bottom
    for key in row_keys(style):
        rows.append(Band(key=key, top=top, height=row_height_mm(style, key)))
        top = rows[-1].bottom
    left = MARGIN_MM + free_width_mm(style) / 2
    return Frame(
        left=left, first=left + LABEL_WIDTH_MM, slot=style.grid.slot_width_mm, cell=style.grid.cell_height_mm,
        low=style.grid.temperature_low, high=style.grid.temperature_high, pulse_low=style.grid.pulse_low,
        head=tuple(head), grid=grid, rows=tuple(rows),
    )  # fmt: skip


def free_width_mm(style: Style) -> float:
    """What the days leave between the margins; negative: they are too wide."""
    return PAGE_WIDTH_MM - 2 * MARGIN_MM - LABEL_WIDTH_MM - DAYS * SLOTS * style.grid.slot_width_mm


def free_height_mm(style: Style) -> float:
    """What grid and rows leave above the foot; negative: they are too high."""
    rows = sum(row_height_mm(style, key) for key in row_keys(style))
    grid = style.grid.cells * style.grid.cell_height_mm
    return PAGE_HEIGHT_MM - FOOT_MM - TABLE_TOP_MM - HEAD_ROW_MM * HEAD_ROWS - grid - rows
