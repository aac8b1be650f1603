"""Pages of the 重症护理记录单: A4 across, the header and the table's head on each."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby, pairwise

from clinical.sheet.content import Patient, check_identities
from clinical.sheet.days import local
from clinical.sheet.drawing import BLACK, RED, Anchor, Drawing, Item, Line, Text, Undrawn
from clinical.sheet.foot import print_text, watermark
from clinical.sheet.glyphs import written
from clinical.sheet.header import field_line, stays_text
from clinical.sheet.hourly import (
    PADDING_MM,
    WRAPPED,
    Block,
    Cell,
    HourlyData,
    HourlyRow,
    Totals,
    blocks,
    cells,
    line_mm,
    paginate,
    without_column,
)
from clinical.sheet.style import Style

WIDTH_MM, HEIGHT_MM = 297.0, 210.0
HEAD_TOP_MM, HEAD_ROW_MM = 30.0, 5.2  # two levels
BODY_TOP_MM = HEAD_TOP_MM + 2 * HEAD_ROW_MM
BODY_BOTTOM_MM = HEIGHT_MM - 14.0
BODY_MM = BODY_BOTTOM_MM - BODY_TOP_MM
THIN_MM, NORMAL_MM, THICK_MM = 0.12, 0.2, 0.4
LEFT_ALIGNED = ("oxygen", "tubes", "skin", "course", "item")


def lay_out_hourly(data: HourlyData, style: Style) -> list[Drawing]:
    """Every page. Raises ValueError for times without a zone, and for identities that are not unique."""
    check_identities((*data.rows, *data.totals))
    pages = paginate(blocks(data, style, BODY_MM), BODY_MM)
    return [_page(data, style, found, number, len(pages)) for number, found in enumerate(pages, 1)]


def _page(data: HourlyData, style: Style, found: Sequence[Block], number: int, pages: int) -> Drawing:
    width = sum(column.width_mm for column in style.hourly.columns)
    left = (WIDTH_MM - width) / 2
    right, columns = left + width, cells(style, left)
    items: list[Item] = []
    if any(not block.entry.confirmed for block in found):
        items.append(watermark(style, (WIDTH_MM / 2, (BODY_TOP_MM + BODY_BOTTOM_MM) / 2), 170.0))
    items += _heading(data, style, found, left, right)
    items += _table_head(columns, style, left, right)
    y = BODY_TOP_MM
    for block in found:
        items += _totals(block, style, left, right, y) if isinstance(block.entry, Totals) else []
        items += _row(block, block.entry, columns, style, y) if isinstance(block.entry, HourlyRow) else []
        y += block.height
        items.append(_line((left, y), (right, y), THIN_MM))
    items += _frame(found, columns, left, right)
    y = HEIGHT_MM - 8.5
    text = style.word("page").format(page=number, pages=pages)
    items.append(written(text, (WIDTH_MM / 2, y), 3.0, "page number"))
    printed = print_text(data.printed_at, data.version, style)
    if printed:
        items.append(written(printed, (right, y), 2.4, "print", anchor="end", limit_mm=80))
    undrawn = [missing for block in found for missing in without_column(block, style)]
    if undrawn:
        names = dict.fromkeys(style.word(missing.column) for missing in undrawn)
        text = style.word("reason").format(what=", ".join(names), why=style.word("no_column"))
        note = written(style.word("notes") + text, (left, y), 2.4, "notes", anchor="start", limit_mm=105)
        items.append(note)
    title = f"{style.word('hourly_title')} {data.patient.name} {data.patient.number} {number}/{pages}"
    explained = tuple(Undrawn(about=missing.about, reason=missing.reason) for missing in undrawn)
    return Drawing(title=title, width_mm=WIDTH_MM, height_mm=HEIGHT_MM, items=tuple(items), undrawn=explained)


def _line(start: tuple[float, float], end: tuple[float, float], width_mm: float, colour: str = BLACK) -> Line:
    return Line(role="grid", start=start, end=end, width_mm=width_mm, colour=colour)


def _heading(data: HourlyData, style: Style, found: Sequence[Block], left: float, right: float) -> list[Item]:
    items: list[Item] = []
    middle = (left + right) / 2
    if style.hospital:
        items.append(written(style.hospital, (middle, 8.6), 3.8, "title", limit_mm=right - left))
    items.append(written(style.word("hourly_title"), (middle, 15.2), 5.4, "title", limit_mm=right - left))
    patient = data.patient
    wards, beds = _stays_of_page(patient, found)
    word = style.word
    admitted = local(patient.admitted_at, style).date().isoformat()
    fields = [
        (word("name"), patient.name), (word("sex"), patient.sex), (word("age"), patient.age), (word("ward"), wards),
        (word("bed"), beds), (word("number"), patient.number), (word("admitted"), admitted),
    ]  # fmt: skip
    if data.diagnosis:
        fields.append((word("diagnosis"), data.diagnosis))
    return items + field_line(fields, left, right, 24.2, word("colon"))


def _stays_of_page(patient: Patient, found: Sequence[Block]) -> tuple[str, str]:
    """The stays that the page's rows have seen; of an empty page the last one."""
    moments = [block.entry.at if isinstance(block.entry, HourlyRow) else block.entry.since for block in found]
    moments += [block.entry.until for block in found if isinstance(block.entry, Totals)]
    if moments:
        return stays_text(patient, min(moments), max(moments))
    last = max(patient.stays, key=lambda stay: stay.since, default=None)
    return (last.ward, last.bed) if last else ("", "")


def _table_head(columns: Sequence[Cell], style: Style, left: float, right: float) -> list[Item]:
    """A name over both levels, or a group's name over those of its parts."""
    items: list[Item] = []
    upper, split, both = HEAD_TOP_MM + HEAD_ROW_MM / 2, HEAD_TOP_MM + HEAD_ROW_MM, HEAD_TOP_MM + HEAD_ROW_MM
    for _, group in groupby(columns, key=lambda cell: cell.group or cell.key):
        parts = list(group)
        begin, end = parts[0].left, parts[-1].left + parts[-1].width
        key = parts[0].group or parts[0].key
        y = upper if parts[0].group else both
        limit = end - begin - 2 * PADDING_MM
        items.append(written(style.word(key), ((begin + end) / 2, y), 2.8, "label", limit_mm=limit))
        if parts[0].group:
            items.append(_line((begin, split), (end, split), THIN_MM))
            items += [
                written(
                    style.word(cell.key), (cell.middle, split + HEAD_ROW_MM / 2), 2.6, "label", limit_mm=cell.width - 1
                )
                for cell in parts
            ]
    items.append(_line((left, BODY_TOP_MM), (right, BODY_TOP_MM), NORMAL_MM))
    items.append(_line((left, HEAD_TOP_MM), (right, HEAD_TOP_MM), THICK_MM))
    return items


def _row(block: Block, row: HourlyRow, columns: Sequence[Cell], style: Style, top: float) -> list[Item]:
    """Texts from the top of the row down; a single line stands in its middle."""
    items: list[Item] = []
    line, size, about = line_mm(style), style.hourly.text_mm, row.id
    tallest = max(map(len, block.lines)) * line
    first = top + (block.height - tallest) / 2 + line / 2
    for cell, lines in zip(columns, block.lines, strict=True):
        unsigned = cell.key == "signature" and not row.signed
        for index, text in enumerate(lines):
            if not text:
                continue
            left_aligned = cell.key in LEFT_ALIGNED
            x = cell.left + PADDING_MM if left_aligned else cell.middle
            y = first + index * line
            colour = RED if unsigned else BLACK
            anchor: Anchor = "start" if left_aligned else "middle"
            mark = written(
                text, (x, y), size, "hourly", about=about, colour=colour, anchor=anchor, limit_mm=_room(cell)
            )
            items.append(mark)
            about = ""  # the first text carries it
            if row.struck and cell.key != "signature":
                items += _strike(mark, y)
    return items


def _strike(text: Text, y: float) -> list[Item]:
    """A double line through it, so that it stays legible."""
    left = text.at[0] - (text.length_mm / 2 if text.anchor == "middle" else 0.0) - 0.3
    right = left + text.length_mm + 0.6
    return [
        Line(role="struck", start=(left, y + offset), end=(right, y + offset), width_mm=0.15, colour=RED)
        for offset in (-0.3, 0.3)
    ]


def _room(cell: Cell) -> float:
    # What was broken to the width fits but for the last digit of a sum.
    return cell.width - 2 * PADDING_MM + (0.01 if cell.key in WRAPPED else 0.0)


def _totals(block: Block, style: Style, left: float, right: float, top: float) -> list[Item]:
    """In red between two red lines."""
    y, limit = top + block.height / 2, right - left - 4
    text = f"{style.word('total')}  {block.lines[0][0]}"
    return [
        _line((left, top), (right, top), 0.35, RED),
        _line((left, top + block.height), (right, top + block.height), 0.35, RED),
        written(text, ((left + right) / 2, y), 2.9, "totals", about=block.entry.id, colour=RED, limit_mm=limit),
    ]


def _frame(found: Sequence[Block], columns: Sequence[Cell], left: float, right: float) -> list[Item]:
    """The verticals, not through totals, and the outline."""
    items: list[Item] = []
    inner = [cell.left for cell in columns[1:]]
    parts = {cell.left for before, cell in pairwise(columns) if cell.group and before.group == cell.group}
    for x in inner:
        top = HEAD_TOP_MM + HEAD_ROW_MM if x in parts else HEAD_TOP_MM
        items.append(_line((x, top), (x, BODY_TOP_MM), THIN_MM))
    y = BODY_TOP_MM
    for block in found:
        if isinstance(block.entry, HourlyRow):
            items += [_line((x, y), (x, y + block.height), THIN_MM) for x in inner]
        y += block.height
    for x in (left, right):
        items.append(_line((x, HEAD_TOP_MM), (x, y), THICK_MM))
    items.append(_line((left, y), (right, y), THICK_MM))
    return items
