"""Drawings as SVG: its unit is the millimetre, so that a browser prints it true to size."""

from __future__ import annotations

import re
from xml.sax.saxutils import escape, quoteattr

from clinical.sheet.content import SheetData
from clinical.sheet.drawing import Circle, Drawing, Item, Line, Polygon, Text
from clinical.sheet.glyphs import is_measured
from clinical.sheet.layout import lay_out
from clinical.sheet.style import Style

ILLEGAL = re.compile("[\\x00-\\x08\\x0b\\x0c\\x0e-\\x1f\\ud800-\\udfff\\ufffe\\uffff]")
# The font of the PDF first, then what systems have; textLength makes any of them fit.
FONTS = (
    "'Noto Sans SC','Noto Sans CJK SC','Source Han Sans SC','Microsoft YaHei','PingFang SC','WenQuanYi Micro Hei',"
    "sans-serif"
)


def draw(data: SheetData, style: Style, page: int) -> str:
    """Page `page` of the 体温单, counted from 1. Raises ValueError for one that there is not."""
    return svg(lay_out(data, style, page))


def svg(drawing: Drawing) -> str:
    """One page. Marks of values carry their public identity as data-about, of several values with spaces between."""
    width, height = number(drawing.width_mm), number(drawing.height_mm)
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}mm" height="{height}mm" viewBox="0 0 {width} {height}" '
        f'font-family="{FONTS}" role="img">\n<title>{escape(legal(drawing.title))}</title>\n'
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>\n'
    )
    return head + "\n".join(map(_element, drawing.items)) + "\n</svg>\n"


def legal(text: str) -> str:
    """Without what no XML may hold: each such letter is a replacement character, so that it is seen."""
    return ILLEGAL.sub("\ufffd", text)


def number(value: float) -> str:
    """In millimetres, to a thousandth."""
    return f"{value:.3f}".rstrip("0").rstrip(".")


def _element(item: Item) -> str:
    attributes = f" class={quoteattr(item.role.replace(' ', '-'))}" + (
        f" data-about={quoteattr(legal(item.about))}" if item.about else ""
    )
    if isinstance(item, Text):
        return _text(item, attributes)
    if isinstance(item, Line):
        (x1, y1), (x2, y2) = item.start, item.end
        dash = f' stroke-dasharray="{number(item.dash_mm)}"' if item.dash_mm else ""
        return (
            f'<line{attributes} x1="{number(x1)}" y1="{number(y1)}" x2="{number(x2)}" y2="{number(y2)}" '
            f'stroke="{item.colour}" stroke-width="{number(item.width_mm)}"{dash}/>'
        )
    paint = f'stroke="{item.colour}" stroke-width="{number(item.width_mm)}" fill="{item.fill or "none"}"'
    if isinstance(item, Circle):
        x, y = item.centre
        return f'<circle{attributes} cx="{number(x)}" cy="{number(y)}" r="{number(item.radius_mm)}" {paint}/>'
    return _polygon(item, attributes, paint)


def _polygon(item: Polygon, attributes: str, paint: str) -> str:
    points = " ".join(f"{number(x)},{number(y)}" for x, y in item.points)
    return f'<polygon{attributes} points="{points}" {paint}/>'


def _text(item: Text, attributes: str) -> str:
    x, y = item.at
    turned = f' transform="rotate({number(-item.turned_deg)} {number(x)} {number(y)})"' if item.turned_deg else ""
    length = (
        f' textLength="{number(item.length_mm)}" lengthAdjust="spacingAndGlyphs"'
        if is_measured(item.text) and len(item.text) > 1
        else ""
    )
    anchor = "" if item.anchor == "start" else f' text-anchor="{item.anchor}"'
    return (
        f'<text{attributes} x="{number(x)}" y="{number(y)}" font-size="{number(item.size_mm)}" fill="{item.colour}"'
        f"{anchor}{length}{turned}>{escape(legal(item.text))}</text>"
    )
