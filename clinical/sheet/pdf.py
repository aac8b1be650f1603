"""Drawings as PDF: the same marks at the same millimetres, with the letters that they need embedded."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO

from reportlab.lib.colors import HexColor
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.pdfgen.canvas import Canvas

from clinical.sheet.drawing import Circle, Drawing, Item, Line, Text
from clinical.sheet.fonts import missing_letters, subset_font

POINTS_A_MM = 72 / 25.4


NUMBERS = itertools.count()
GETA = "〓"  # what printers put for a letter that they do not have


@dataclass(frozen=True, slots=True)
class Letters:
    """The document's font by name, and what stands for letters that it does not have."""

    font: str
    gaps: dict[int, str]


def unprintable(drawings: Sequence[Drawing]) -> str:
    """Letters that stand as 〓 in the PDF, for whoever prints it to write by hand."""
    return missing_letters("".join(_letters(drawings)))


def pdf(drawings: Sequence[Drawing]) -> bytes:
    """One document, a page a drawing. The same drawings give the same bytes; see `unprintable`.

    Raises ValueError where there is no page.
    """
    if not drawings:
        raise ValueError("a document needs a page")
    gaps = str.maketrans(dict.fromkeys(unprintable(drawings), GETA))
    name = _embed(drawings)
    saved = BytesIO()
    canvas = Canvas(saved, pageCompression=1, invariant=1)
    canvas.setTitle(drawings[0].title)
    canvas.setCreator("vitalwire")
    for drawing in drawings:
        canvas.setPageSize((drawing.width_mm * POINTS_A_MM, drawing.height_mm * POINTS_A_MM))
        canvas.setLineCap(0)
        for item in drawing.items:
            _draw(canvas, item, drawing.height_mm, Letters(name, gaps))
        canvas.showPage()
    canvas.save()
    _forget(name)
    return saved.getvalue()


def _letters(drawings: Sequence[Drawing]) -> set[str]:
    return {letter for drawing in drawings for item in drawing.items if isinstance(item, Text) for letter in item.text}


def _embed(drawings: Sequence[Drawing]) -> str:
    """The name under which the letters of these drawings are known to the library."""
    data = subset_font("".join(sorted(_letters(drawings) | {" ", GETA})))
    name = f"paper-{next(NUMBERS)}"  # of its own, so that no other thread forgets it
    pdfmetrics.registerFont(TTFont(name, BytesIO(data)))
    return name


def _forget(name: str) -> None:
    # The library keeps every font for the life of the process, and these are of one document.
    font = pdfmetrics._fonts.pop(name, None)
    if font is not None:
        pdfmetrics._dynFaceNames.pop(font.face.name, None)


def _draw(canvas: Canvas, item: Item, height_mm: float, letters: Letters) -> None:
    canvas.setStrokeColor(HexColor(item.colour))
    if isinstance(item, Text):
        _draw_text(canvas, item, height_mm, letters)
        return
    canvas.setLineWidth(item.width_mm * POINTS_A_MM)
    if isinstance(item, Line):
        canvas.setDash([item.dash_mm * POINTS_A_MM] * 2 if item.dash_mm else [])
        canvas.line(*_point(item.start, height_mm), *_point(item.end, height_mm))
        canvas.setDash()
        return
    if item.fill:
        canvas.setFillColor(HexColor(item.fill))
    if isinstance(item, Circle):
        canvas.circle(
            *_point(item.centre, height_mm), item.radius_mm * POINTS_A_MM, stroke=1, fill=int(bool(item.fill))
        )
        return
    path = canvas.beginPath()
    path.moveTo(*_point(item.points[0], height_mm))
    for point in item.points[1:]:
        path.lineTo(*_point(point, height_mm))
    path.close()
    canvas.drawPath(path, stroke=1, fill=int(bool(item.fill)))


def _draw_text(canvas: Canvas, item: Text, height_mm: float, letters: Letters) -> None:
    canvas.setFillColor(HexColor(item.colour))
    canvas.setFont(letters.font, item.size_mm * POINTS_A_MM)
    canvas.saveState()
    canvas.translate(*_point(item.at, height_mm))
    if item.turned_deg:
        canvas.rotate(item.turned_deg)
    put = {"start": canvas.drawString, "middle": canvas.drawCentredString, "end": canvas.drawRightString}[item.anchor]
    put(0, 0, item.text.translate(letters.gaps))
    canvas.restoreState()


def _point(point: tuple[float, float], height_mm: float) -> tuple[float, float]:
    return point[0] * POINTS_A_MM, (height_mm - point[1]) * POINTS_A_MM
