from __future__ import annotations

from io import BytesIO

from fontTools.pens.areaPen import AreaPen
from fontTools.ttLib import TTFont

from clinical.sheet.fonts import font_data, missing_letters, subset_font

LETTERS = "体温单0A ℃"


def test_a_subset_has_its_letters_alone_as_truetype() -> None:
    font = TTFont(BytesIO(subset_font(LETTERS)))
    assert "".join(map(chr, font.getBestCmap())) == "".join(sorted(LETTERS))
    assert "glyf" in font
    assert "CFF " not in font
    assert font["head"].unitsPerEm == 1000


def test_quadratic_outlines_are_the_cubic_ones() -> None:
    ours, whole = TTFont(BytesIO(subset_font(LETTERS))), TTFont(BytesIO(font_data()), lazy=True)
    for letter in "体温单0A":
        areas = []
        for font in (ours, whole):
            pen = AreaPen()
            font.getGlyphSet()[font.getBestCmap()[ord(letter)]].draw(pen)
            areas.append(abs(pen.value))
        assert abs(areas[0] - areas[1]) < 0.002 * areas[1]
        assert ours["hmtx"][ours.getBestCmap()[ord(letter)]][0] == whole["hmtx"][whole.getBestCmap()[ord(letter)]][0]


def test_the_licence_goes_with_the_letters() -> None:
    names = {record.nameID: str(record) for record in TTFont(BytesIO(subset_font(LETTERS)))["name"].names}
    assert "SIL Open Font License" in names[13]


def test_which_letters_the_font_does_not_have() -> None:
    assert missing_letters("王建国36.8℃") == ""
    assert missing_letters("a\u0e01b\x00") == "\x00\u0e01"


def test_the_same_letters_are_the_same_bytes() -> None:
    subset_font.cache_clear()
    first = subset_font(LETTERS)
    subset_font.cache_clear()
    assert subset_font(LETTERS) == first
