"""The printed sheets in Debian's Chromium, and as PDF; VITALWIRE_SCREENSHOTS=docs makes the pictures anew."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.gateway.chart_ward import ChartWard, a_week
from tests.gateway.test_app import connect
from tests.gateway.test_page import CONTRASTS, SMALL, chromium, expect, screenshot
from tests.gateway.ward import Page

pytestmark = pytest.mark.integration
__all__ = ["chromium"]  # a fixture
POINTS_A_MM = 72 / 25.4


@pytest.fixture
def stay(database: str) -> ChartWard:
    return a_week(database)


@pytest.fixture
def tab(stay: ChartWard, page: Page, chromium: Any) -> Iterator[Any]:
    printed: list[str] = []
    context = chromium.new_context(viewport={"width": 1280, "height": 1300}, timezone_id="Asia/Shanghai")
    context.add_cookies([page.browser_cookie])  # type: ignore[list-item]
    opened = context.new_page()
    opened.on("pageerror", lambda e: printed.append(str(e)))
    opened.on("console", lambda m: printed.append(m.text) if m.type == "error" else None)
    yield opened
    context.close()
    assert printed == []


@pytest.mark.parametrize(
    ("kind", "zh", "en", "size"),
    [("sheet", "体温单", "Temperature chart", (210, 297)), ("hourly", "重症护理记录单", "Hourly record", (297, 210))],
)
def test_a_sheet_in_its_page(tab: Any, page: Page, kind: str, zh: str, en: str, size: tuple[int, int]) -> None:
    for language, title in (("zh", zh), ("en", en)):
        tab.goto(f"{page.url}/{kind}/V1#{language}")
        expect(tab.locator("#title")).to_have_text(f"{title} · V1")
        image = tab.locator("#sheets img").first
        expect(image).to_have_attribute("src", re.compile(f"/{language}/1/"))
        image.evaluate("image => image.decode()")
        box = image.bounding_box()
        assert [round(box[side] / 96 * 25.4) for side in ("width", "height")] == list(size)
        assert [c for c in tab.evaluate(CONTRASTS) if c[0] < 4.5] == []
        assert tab.evaluate(SMALL) == []
        screenshot(tab, f"{kind}-page.png" if language == "zh" else f"{kind}-page-en.png")
    tab.locator("#language").click()
    expect(tab.locator("#title")).to_have_text(f"{zh} · V1")
    expect(tab.locator("#sheets img").first).to_have_attribute("src", re.compile("/zh/1/"))


@pytest.mark.parametrize(("kind", "size"), [("sheet", (210, 297)), ("hourly", (297, 210))])
def test_what_is_printed_is_paper_alone_and_as_many_pages(
    tab: Any, page: Page, kind: str, size: tuple[int, int]
) -> None:  # fmt: skip
    tab.goto(f"{page.url}/{kind}/V1#zh")
    tab.locator("#sheets img").first.evaluate("image => image.decode()")
    count = tab.locator("#sheets img").count()
    printed = tab.pdf(prefer_css_page_size=True)
    boxes = re.findall(rb"/MediaBox \[([\d. ]+)\]", printed)
    assert len(boxes) == count
    for box in boxes:
        _, _, width, height = map(float, box.split())
        assert (round(width / POINTS_A_MM), round(height / POINTS_A_MM)) == size


def test_the_pdf_is_a_document_and_what_is_not_there_is_not(tab: Any, page: Page) -> None:
    answer = connect(page, "/sheet/V1.pdf?language=zh")
    assert (answer.status, answer.headers["Content-Type"]) == (200, "application/pdf")
    assert answer.read().startswith(b"%PDF-")
    for path in ("/sheet/V9.pdf", "/sheet-page/sheet/zh/9/V1", "/sheet-pages/sheet/fr/V1", "/sheet-page/other/zh/1/V1"):
        assert connect(page, path).status == 404
