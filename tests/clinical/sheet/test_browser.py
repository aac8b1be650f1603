"""The SVG in Debian's Chromium, which has other letters than the PDF."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING

import pdfplumber
import pytest

from clinical.sheet.frame import frame
from clinical.sheet.hourly_layout import lay_out_hourly
from clinical.sheet.layout import lay_out
from clinical.sheet.style_file import shipped_style
from clinical.sheet.svg import svg
from tests import paper
from tests.gateway.test_page import chromium

if TYPE_CHECKING:
    from playwright.sync_api import Browser as Chromium

__all__ = ["chromium"]  # a fixture
STANDARD = shipped_style("standard")
PIXELS_A_MM = 96 / 25.4
# Of every text: left, right, top and bottom in millimetres of the page, and the length that it was given.
MEASURE = """() => [...document.querySelectorAll('svg text')].map(text => {
  const box = text.getBoundingClientRect(), page = document.querySelector('svg').getBoundingClientRect();
  const mm = 25.4 / 96;
  const given = Number(text.getAttribute('textLength')) || null;
  return {text: text.textContent, role: text.getAttribute('class'), given,
    turned: text.hasAttribute('transform'), width: box.width * mm,
    left: (box.left - page.left) * mm, right: (box.right - page.left) * mm,
    top: (box.top - page.top) * mm, bottom: (box.bottom - page.top) * mm};
})"""


def content(source: str) -> str:
    return f"<!doctype html><style>body {{ margin: 0 }} svg {{ display: block }}</style>{source}"


@pytest.mark.parametrize("language", ["zh", "en"])
def test_no_text_leaves_the_page_or_its_length(chromium: Chromium, language: str) -> None:
    style = STANDARD.in_language("en" if language == "en" else "zh")
    drawings = (
        lay_out(paper.stay_sheet(), style, 1),
        lay_out(paper.hard_sheet(), style, 2),
        lay_out_hourly(paper.hourly_record(), style)[0],
    )
    tab = chromium.new_page()
    try:
        for drawing in drawings:
            tab.set_content(content(svg(drawing)))
            texts = tab.evaluate(MEASURE)
            assert len(texts) > 100
            for text in texts:
                assert text["left"] >= 0, text
                assert text["right"] <= drawing.width_mm, text
                assert text["top"] >= 0, text
                assert text["bottom"] <= drawing.height_mm, text
                if text["given"] and not text["turned"]:
                    assert text["width"] == pytest.approx(text["given"], abs=1 / PIXELS_A_MM), text
    finally:
        tab.close()


def test_a_browser_prints_true_millimetres(chromium: Chromium) -> None:
    tab = chromium.new_page()
    try:
        tab.set_content(content(svg(lay_out(paper.stay_sheet(), STANDARD, 1))))
        box = tab.locator("svg").bounding_box()
        assert box is not None
        assert (box["width"], box["height"]) == pytest.approx((210 * PIXELS_A_MM, 297 * PIXELS_A_MM), abs=0.1)
        printed = tab.pdf(width="210mm", height="297mm", print_background=True)
    finally:
        tab.close()
    bounds = frame(STANDARD)
    with pdfplumber.open(BytesIO(printed)) as document:
        lines = [*document.pages[0].lines, *document.pages[0].rects, *document.pages[0].curves]
        level = [(line["top"] + line["bottom"]) / 2 * 25.4 / 72 for line in lines if line["width"] > 100]
    for celsius in range(34, 43):
        assert min(abs(y - bounds.temperature_y(celsius)) for y in level) < 0.1, celsius
