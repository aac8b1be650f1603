"""The 重症护理记录单: what its rows are made of, and the lines of text that each of its cells gets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from clinical.sheet.content import Entered, Patient, Pressure
from clinical.sheet.days import local
from clinical.sheet.glyphs import wrap
from clinical.sheet.style import HOURLY_KEYS, Style
from clinical.sheet.words import celsius_text, number_text

PADDING_MM = 0.7
# Columns with columns of their own, and their shares of the width.
PARTS: Mapping[str, tuple[tuple[str, float], ...]] = {
    "intake_items": (("item", 0.68), ("ml", 0.32)),
    "output_items": (("item", 0.44), ("ml", 0.28), ("colour", 0.28)),
}
WRAPPED = ("consciousness", "oxygen", "tubes", "skin", "course", "signature", "item", "colour")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fluid:
    """An item of intake or output; `colour` is what it looked like; `ml` None: not measured."""

    item: str
    ml: float | None = None
    colour: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class HourlyRow(Entered):
    """What was noted at a moment. `signed`: who signed it, "": nobody, and the paper says so.

    `late`: when it was written, where that was after the fact. `struck`: who corrected it and when; the row
    stays legible under double lines, and the one that is right follows.
    """

    at: datetime
    consciousness: str = ""
    temperature: float | None = None
    pulse: float | None = None
    heart_rate: float | None = None
    breaths: float | None = None
    pressure: Pressure | None = None
    spo2: float | None = None
    oxygen: str = ""
    intake: tuple[Fluid, ...] = ()
    output: tuple[Fluid, ...] = ()
    tubes: str = ""
    skin: str = ""
    course: str = ""
    signed: str = ""
    late: datetime | None = None
    struck: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals(Entered):
    """Sums from one moment to another, after the rows before `until`; the paper says where they are not `complete`."""

    since: datetime
    until: datetime
    intake_ml: float
    output_ml: float
    complete: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class HourlyData:
    """All that the record shows; `version` counts prints."""

    patient: Patient
    rows: tuple[HourlyRow, ...] = ()
    totals: tuple[Totals, ...] = ()
    diagnosis: str = ""
    printed_at: datetime | None = None
    version: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """A column, or a part of one, on the page."""

    key: str
    left: float
    width: float
    group: str = ""  # the column that it is a part of

    @property
    def middle(self) -> float:
        """Half its width."""
        return self.left + self.width / 2


def cells(style: Style, left: float) -> list[Cell]:
    """All of a row, from `left`."""
    found = []
    for column in style.hourly.columns:
        begin = left
        for key, share in PARTS.get(column.key, ((column.key, 1.0),)):
            group = column.key if column.key in PARTS else ""
            found.append(Cell(key=key, group=group, left=begin, width=column.width_mm * share))
            begin += column.width_mm * share
        left += column.width_mm
    return found


def cell_lines(row: HourlyRow, cell: Cell, style: Style) -> list[str]:
    """The text of a cell, broken to its width."""
    limit, size = cell.width - 2 * PADDING_MM, style.hourly.text_mm
    if cell.group:
        fluids = row.intake if cell.group == "intake_items" else row.output
        return [
            _part_of_line(fluid, index, cell, style) for fluid in fluids for index in range(_lines(fluid, cell, style))
        ]
    text = _text(row, cell.key, style)
    if not text:
        return []
    return wrap(text, size, limit) if cell.key in WRAPPED else [text]


def _lines(fluid: Fluid, cell: Cell, style: Style) -> int:
    """How many lines an item takes: as many as its longest part."""
    size = style.hourly.text_mm
    width = cell.width / dict(PARTS[cell.group])[cell.key]
    longest = 1
    for key, share in PARTS[cell.group]:
        text = {"item": fluid.item, "colour": fluid.colour}.get(key, "")
        longest = max(longest, len(wrap(text, size, width * share - 2 * PADDING_MM)))
    return longest


def _part_of_line(fluid: Fluid, index: int, cell: Cell, style: Style) -> str:
    ml = "" if fluid.ml is None else number_text(fluid.ml)
    text = {"item": fluid.item, "colour": fluid.colour, "ml": ml}[cell.key]
    lines = wrap(text, style.hourly.text_mm, cell.width - 2 * PADDING_MM) if cell.key != "ml" else [text]
    return lines[index] if index < len(lines) else ""


def _text(row: HourlyRow, key: str, style: Style) -> str:
    if key == "vital_temperature":
        return "" if row.temperature is None else celsius_text(row.temperature)
    numbers = {"vital_breaths": row.breaths, "vital_spo2": row.spo2}
    if key in numbers:
        value = numbers[key]
        return "" if value is None else number_text(value)
    if key == "day_time":
        return f"{local(row.at, style):%m-%d %H:%M}"
    if key == "vital_pulse":
        return pulse_text(row)
    if key == "vital_pressure":
        return "" if row.pressure is None else f"{row.pressure.systolic}/{row.pressure.diastolic}"
    if key == "course":
        late = style.word("late").format(at=f"{local(row.late, style):%m-%d %H:%M}") if row.late else ""
        return "\n".join(part for part in (late, row.course) if part)
    if key == "signature":
        struck = [style.word("struck").format(by=row.struck)] if row.struck else []
        return "\n".join([row.signed or style.word("unsigned"), *struck])
    texts = {"consciousness": row.consciousness, "oxygen": row.oxygen, "tubes": row.tubes, "skin": row.skin}
    return texts[key]


def pulse_text(row: HourlyRow) -> str:
    """88, with a heart rate 88/118, and –/118 where only that is known."""
    pulse = "" if row.pulse is None else number_text(row.pulse)
    heart = "" if row.heart_rate is None else number_text(row.heart_rate)
    return f"{pulse or '–'}/{heart}" if heart else pulse


def totals_text(totals: Totals, style: Style) -> str:
    """From, to, both sums, and whether they are complete."""
    key = "totals_complete" if totals.complete else "totals_incomplete"
    return style.word(key).format(
        since=f"{local(totals.since, style):%m-%d %H:%M}", until=f"{local(totals.until, style):%m-%d %H:%M}",
        intake=number_text(totals.intake_ml), output=number_text(totals.output_ml),
    )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A row, or a part of one that is higher than a page, or a line of totals."""

    entry: HourlyRow | Totals
    lines: tuple[tuple[str, ...], ...]  # by cell; of totals one
    height: float
    continued: bool = False


def blocks(data: HourlyData, style: Style, body_mm: float) -> list[Block]:
    """In the order of time, totals after the rows that they sum."""
    line, columns = line_mm(style), cells(style, 0.0)
    rows = sorted(data.rows, key=lambda row: (row.at, not row.struck, row.id))
    totals = sorted(data.totals, key=lambda total: (total.until, total.since, total.id))
    entries: list[tuple[datetime, int, HourlyRow | Totals]] = [(row.at, 1, row) for row in rows]
    entries += [(total.until, 0, total) for total in totals]
    found: list[Block] = []
    for _, _, entry in sorted(entries, key=lambda entry: entry[:2]):
        if isinstance(entry, Totals):
            found.append(Block(entry=entry, lines=((totals_text(entry, style),),), height=style.hourly.row_height_mm))
            continue
        lines = [cell_lines(entry, cell, style) for cell in columns]
        count = max(map(len, lines))
        most = max(int((body_mm - 2 * PADDING_MM) / line), 1)
        for begin in range(0, count, most):
            part = tuple(tuple(cell[begin : begin + most]) for cell in lines)
            height = max(style.hourly.row_height_mm, max(map(len, part)) * line + 2 * PADDING_MM)
            found.append(Block(entry=entry, lines=part, height=height, continued=begin > 0))
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Missing:
    """What a row has and the site's paper has no column for."""

    about: str
    column: str
    reason: str


def without_column(block: Block, style: Style) -> list[Missing]:
    """Of the block's row, once for a row that goes on."""
    row, shown = block.entry, {column.key for column in style.hourly.columns}
    if isinstance(row, Totals) or block.continued:
        return []
    # An unsigned row has no signature that the paper could lack.
    filled = {"intake_items": bool(row.intake), "output_items": bool(row.output), "signature": bool(row.signed)}
    found = []
    for key in HOURLY_KEYS:
        has = filled[key] if key in filled else bool(_text(row, key, style))
        if key not in shown and has:
            what = f"{local(row.at, style):%m-%d %H:%M} {style.word(key)}"
            reason = style.word("reason").format(what=what, why=style.word("no_column"))
            found.append(Missing(about=row.id, column=key, reason=reason))
    return found


def line_mm(style: Style) -> float:
    """From one line of text to the next."""
    return style.hourly.text_mm * 1.32


def paginate(found: Sequence[Block], body_mm: float) -> list[list[Block]]:
    """Pages that each hold whole blocks; one empty page where there are none."""
    pages: list[list[Block]] = [[]]
    used = 0.0
    for block in found:
        if pages[-1] and used + block.height > body_mm + 1e-6:
            pages.append([])
            used = 0.0
        pages[-1].append(block)
        used += block.height
    return pages
