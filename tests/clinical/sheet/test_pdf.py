from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from io import BytesIO
from typing import Any

import pdfplumber
import pytest
from pdfminer.pdftypes import resolve1

from clinical.sheet.drawing import Circle, Drawing, Line, Text
from clinical.sheet.frame import frame
from clinical.sheet.hourly_layout import lay_out_hourly
from clinical.sheet.layout import lay_out, lay_out_all
from clinical.sheet.pdf import GETA, pdf, unprintable
from clinical.sheet.style_file import SHIPPED, shipped_style
from tests import paper

STANDARD = shipped_style("standard")
MM = 25.4 / 72
TRUE_MM = 0.01  # a hundredth of a millimetre


def opened(document: bytes) -> Any:
    return pdfplumber.open(BytesIO(document))


@pytest.mark.parametrize("name", SHIPPED)
def test_a_ruler_upon_the_paper_finds_true_millimetres(name: str) -> None:
    style = shipped_style(name)
    bounds = frame(style)
    with opened(pdf([lay_out(paper.stay_sheet(), style, 1)])) as document:
        (page,) = document.pages
        assert (page.width * MM, page.height * MM) == pytest.approx((210, 297), abs=TRUE_MM)
        level = sorted({round(line["top"] * MM, 3) for line in page.lines if line["top"] == line["bottom"]})
        upright = sorted({round(line["x0"] * MM, 3) for line in page.lines if line["x0"] == line["x1"]})
    for cell in range(style.grid.cells + 1):
        y = bounds.grid.top + cell * style.grid.cell_height_mm
        assert min(abs(found - y) for found in level) < TRUE_MM, cell
    for column in range(43):
        x = bounds.first + column * style.grid.slot_width_mm
        assert min(abs(found - x) for found in upright) < TRUE_MM, column


def test_every_mark_is_where_the_drawing_has_it() -> None:
    drawing = lay_out(paper.hard_sheet(), STANDARD, 2)
    with opened(pdf([drawing])) as document:
        (page,) = document.pages
        lines = Counter(
            tuple(round(value * MM, 1) for point in line["pts"] for value in point) for line in page.lines
        )  # fmt: skip
        rings = Counter(
            (round((c["x0"] + c["x1"]) / 2 * MM, 1), round((c["top"] + c["bottom"]) / 2 * MM, 1)) for c in page.curves
        )
    drawn = Counter(
        tuple(round(value, 1) for value in (*item.start, *item.end)) for item in drawing.items if isinstance(item, Line)
    )
    assert sum(lines.values()) == sum(drawn.values())
    assert sum((lines & drawn).values()) >= 0.97 * sum(drawn.values())  # the rest is rounded otherwise
    for item in drawing.items:
        if isinstance(item, Circle):
            assert any(abs(x - item.centre[0]) <= 0.11 and abs(y - item.centre[1]) <= 0.11 for x, y in rings)


def letters(drawing: Drawing) -> Counter[str]:
    return Counter(letter for item in drawing.items if isinstance(item, Text) for letter in item.text if letter != " ")


def test_the_text_can_be_read_and_searched_and_stands_where_it_should() -> None:
    drawing = lay_out(paper.stay_sheet(), STANDARD, 1)
    with opened(pdf([drawing])) as document:
        (page,) = document.pages
        assert Counter(char["text"] for char in page.chars if char["text"] != " ") == letters(drawing)
        assert "王建国" in page.extract_text()
        assert all(char["x0"] >= 0 and char["x1"] <= page.width for char in page.chars)
    title = next(item for item in drawing.items if isinstance(item, Text) and item.role == "title")
    with opened(pdf([drawing])) as document:
        largest = [char for char in document.pages[0].chars if char["size"] == pytest.approx(6.0 / MM, abs=0.01)]
        assert "".join(char["text"] for char in largest) == "体温单"
        left, right = (largest[0]["x0"] * MM, largest[-1]["x1"] * MM)
        assert (left + right) / 2 == pytest.approx(title.at[0], abs=0.05)
        assert right - left == pytest.approx(title.length_mm, abs=0.05)


def fonts(document: bytes) -> list[tuple[str, int]]:
    """Names of the fonts and the bytes of the font files inside."""
    found = []
    with opened(document) as read:
        for page in read.pages:
            for reference in resolve1(resolve1(page.page_obj.resources)["Font"]).values():
                font = resolve1(reference)
                descriptor = resolve1(font.get("FontDescriptor"))
                file = resolve1(descriptor["FontFile2"]) if descriptor else None
                found.append((font["BaseFont"].name, len(file.get_data()) if file else 0))
    return found


def test_every_font_is_embedded_and_a_subset() -> None:
    found = fonts(pdf(lay_out_all(paper.hard_sheet(), STANDARD)))
    ours = {name: size for name, size in found if "NotoSansSC" in name}
    assert ours
    for name, size in ours.items():
        assert name[6] == "+", name
        assert 0 < size < 150_000  # the whole font is 8 MB
    with opened(pdf([lay_out(paper.hard_sheet(), STANDARD, 2)])) as document:
        assert {char["fontname"][6:17] for char in document.pages[0].chars} == {"+NotoSansSC"}


def test_the_same_drawing_is_the_same_document() -> None:
    drawing = lay_out(paper.stay_sheet(), STANDARD, 1)
    assert pdf([drawing]) == pdf([drawing])


def test_documents_of_one_process_do_not_borrow_each_others_letters() -> None:
    first = lay_out(paper.stay_sheet(), STANDARD, 1)
    second = lay_out(paper.stay_sheet(), shipped_style("early-hours"), 1)
    pdf([first])
    after, alone = pdf([second]), pdf([second])
    assert after == alone
    with opened(after) as document:
        glyphs = [char for char in document.pages[0].chars if char["text"] == "评"]
    assert glyphs
    assert paper.render(after).tobytes() == paper.render(alone).tobytes()


def test_a_letter_that_the_font_does_not_have_is_a_geta_and_is_told() -> None:
    patient = replace(paper.PATIENT, name="王\U00031350")  # of an extension that the font does not cover
    drawing = lay_out(replace(paper.stay_sheet(), patient=patient), STANDARD, 1)
    assert unprintable([drawing]) == "\U00031350"
    with opened(pdf([drawing])) as document:
        assert f"王{GETA}" in document.pages[0].extract_text()
    assert unprintable([lay_out(paper.stay_sheet(), STANDARD, 1)]) == ""


def test_no_drawing_is_no_document() -> None:
    with pytest.raises(ValueError, match="a document needs a page"):
        pdf([])


def test_the_hourly_record_lies_across_and_has_its_pages() -> None:
    drawings = lay_out_hourly(paper.hourly_record(), STANDARD)
    with opened(pdf(drawings)) as document:
        assert len(document.pages) == len(drawings) == 2
        for page in document.pages:
            assert (page.width * MM, page.height * MM) == pytest.approx((297, 210), abs=TRUE_MM)
            assert "重症护理记录单" in page.extract_text()
            assert "王建国" in page.extract_text()


def test_documents_may_be_written_at_the_same_time() -> None:
    drawing = lay_out(paper.stay_sheet(), STANDARD, 1)
    with ThreadPoolExecutor(4) as pool:
        documents = set(pool.map(pdf, [[drawing]] * 8))
    assert documents == {pdf([drawing])}
