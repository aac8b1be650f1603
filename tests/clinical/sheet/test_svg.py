from __future__ import annotations

from dataclasses import replace
from xml.etree import ElementTree

import pytest

from clinical.sheet.drawing import Circle, Line, Polygon, Text
from clinical.sheet.layout import lay_out
from clinical.sheet.style_file import shipped_style
from clinical.sheet.svg import draw, number, svg
from tests import paper

STANDARD = shipped_style("standard")
SVG = "{http://www.w3.org/2000/svg}"


def test_its_unit_is_the_millimetre() -> None:
    root = ElementTree.fromstring(draw(paper.stay_sheet(), STANDARD, 1))
    assert (root.get("width"), root.get("height"), root.get("viewBox")) == ("210mm", "297mm", "0 0 210 297")


@pytest.mark.parametrize("page", [1, 2])
def test_it_has_every_mark_of_the_drawing_at_its_place(page: int) -> None:
    drawing = lay_out(paper.hard_sheet(), STANDARD, page)
    root = ElementTree.fromstring(svg(drawing))
    tags = {Line: "line", Circle: "circle", Polygon: "polygon", Text: "text"}
    elements = [element for element in root if element.get("class")]
    assert len(elements) == len(drawing.items)
    for item, element in zip(drawing.items, elements, strict=True):
        assert element.tag == SVG + tags[type(item)]
        assert element.get("class") == item.role.replace(" ", "-")
        assert (element.get("data-about") or "") == item.about
        if isinstance(item, Text):
            assert element.text == item.text
            assert (element.get("x"), element.get("y")) == (number(item.at[0]), number(item.at[1]))
        if isinstance(item, Line):
            assert element.get("x2") == number(item.end[0])
        if isinstance(item, Circle):
            assert element.get("r") == number(item.radius_mm)


def test_a_text_takes_the_length_that_it_was_given_in_whichever_font() -> None:
    root = ElementTree.fromstring(draw(paper.stay_sheet(), STANDARD, 1))
    (volume,) = [element for element in root.iter(SVG + "text") if element.text == "1680 (15:30–07:00)"]
    assert 0 < float(volume.get("textLength") or 0) <= STANDARD.grid.slot_width_mm * 6
    assert volume.get("lengthAdjust") == "spacingAndGlyphs"


def test_what_people_typed_cannot_leave_its_text() -> None:
    patient = replace(paper.PATIENT, name='</text><script>alert("1")</script>&')
    source = draw(replace(paper.stay_sheet(), patient=patient), STANDARD, 1)
    assert "<script" not in source
    root = ElementTree.fromstring(source)
    assert patient.name in "".join(root.itertext())
    reading = replace(paper.stay_sheet().readings[0], id='"onclick="x')
    quoted = draw(replace(paper.stay_sheet(), readings=(reading,)), STANDARD, 1)
    assert [e.get("data-about") for e in ElementTree.fromstring(quoted).iter() if e.get("onclick")] == []
    assert any(e.get("data-about") == '"onclick="x' for e in ElementTree.fromstring(quoted).iter())


def test_letters_that_xml_forbids_are_marked() -> None:
    patient = replace(paper.PATIENT, name="王\x0b\x00国")
    root = ElementTree.fromstring(draw(replace(paper.stay_sheet(), patient=patient), STANDARD, 1))
    assert "王��国" in "".join(root.itertext())
