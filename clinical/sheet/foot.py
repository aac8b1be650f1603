"""Below the table: what the symbols mean, what could not be drawn, page and print; and the watermark."""

from __future__ import annotations

from datetime import datetime

from clinical.sheet.arrange import Page
from clinical.sheet.curves import symbol
from clinical.sheet.days import clock_steps, local
from clinical.sheet.drawing import BLUE, RED, Text
from clinical.sheet.frame import PAGE_HEIGHT_MM
from clinical.sheet.glyphs import length_mm, wrap, written
from clinical.sheet.style import Style

TEXT_MM, NOTES_LINES = 2.4, 2
WATERMARK_COLOUR = "#f7dcdc"


def draw_foot(page: Page) -> None:
    """From the table's end down to the margin."""
    top = page.frame.bottom
    _draw_legend(page, top + 3.2)
    _draw_notes(page, top + 6.8)
    frame, style = page.frame, page.style
    y = PAGE_HEIGHT_MM - 8.5
    word = style.word("week").format(page=page.number)
    pages = style.word("page").format(page=page.number, pages=page.pages)
    page.add(written(f"{word}   {pages}", ((frame.left + frame.right) / 2, y), 3.0, "page number"))
    text = print_text(page.data.printed_at, page.data.version, style)
    if text:
        page.add(written(text, (frame.right, y), TEXT_MM, "print", anchor="end", limit_mm=62))


def print_text(printed_at: datetime | None, version: int, style: Style) -> str:
    """When it was printed; of a reprint which version it is. The empty text: not on paper."""
    if printed_at is None:
        return "" if version == 1 else style.word("version").format(version=version, at="").rstrip("， 于")
    at = f"{local(printed_at, style):%Y-%m-%d %H:%M}"
    return style.word("printed" if version == 1 else "version").format(version=version, at=at)


def _draw_legend(page: Page, y: float) -> None:
    style, x = page.style, page.frame.left
    marks = [(f"legend_{route}", kind, BLUE) for route, kind in style.temperature.symbols.items()]
    marks += [("legend_cooled", "circle", RED), ("pulse", "dot", RED), ("heart_rate", "circle", RED)]
    for key, kind, colour in marks:
        text = style.word(key)
        page.add(*symbol(kind, (x + 1.3, y), colour))
        page.add(written(text, (x + 3.1, y), TEXT_MM, "legend", anchor="start"))
        x += 3.1 + length_mm(text, TEXT_MM) + 4.0


def _draw_notes(page: Page, y: float) -> None:
    """What is not drawn and why, as far as two lines hold; and steps of the clock."""
    style, limit = page.style, page.frame.right - page.frame.left
    notes = [
        style.word("clock_step").format(at=f"{local(step.at, style):%m-%d %H:%M}", minutes=f"{step.step_s / 60:+g}")
        for step in clock_steps(page.data, page.days, style)
    ]
    reasons = [undrawn.reason for undrawn in page.undrawn]
    if not notes and not reasons:
        return
    for kept in range(len(reasons), -1, -1):
        parts = list(reasons[:kept])
        if kept < len(reasons):
            parts.append(style.word("more").format(count=len(reasons) - kept))
        explained = style.word("notes") + style.word("next_note").join(parts) if parts else ""
        lines = wrap("　".join([*notes, *([explained] if explained else [])]), TEXT_MM, limit)
        if len(lines) <= NOTES_LINES:
            break
    for index, line in enumerate(lines[:NOTES_LINES]):
        page.add(written(line, (page.frame.left, y + 3.3 * index), TEXT_MM, "notes", anchor="start", limit_mm=limit))


def draw_watermark(page: Page, *, unconfirmed: bool) -> None:
    """Under everything, across the grid, where a value stands that no person confirmed."""
    if unconfirmed:
        grid = page.frame.grid
        middle = ((page.frame.first + page.frame.right) / 2, (grid.top + grid.bottom) / 2)
        page.items.insert(0, watermark(page.style, middle, 150.0))


def watermark(style: Style, middle: tuple[float, float], length: float) -> Text:
    """Rising to the right."""
    text = style.word("unconfirmed")
    size = min(length / length_mm(text, 1.0), 46.0)
    return Text(
        role="watermark", at=(middle[0] + size * 0.2, middle[1] + size * 0.33), text=text, size_mm=size,
        length_mm=length_mm(text, size), colour=WATERMARK_COLOUR, turned_deg=28,
    )  # fmt: skip
