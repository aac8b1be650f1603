"""The letters of the paper: what a document needs of Noto Sans SC (SIL OFL 1.1), as a TrueType font to embed.

The wheel has the font with cubic outlines (CFF), which the PDF library does not read: the few glyphs that a document
needs are turned into quadratic ones.
"""

from __future__ import annotations

import hashlib
from functools import cache, lru_cache
from importlib.resources import files
from io import BytesIO
from typing import Any

from fontTools import subset
from fontTools.pens.cu2quPen import Cu2QuPen
from fontTools.pens.ttGlyphPen import TTGlyphPen
from fontTools.ttLib import TTFont, newTable

PACKAGE, FILE = "pylopdf_fonts_zh_cn", "NotoSansSC-Regular.otf"
ERROR_EM = 0.5  # thousandths of an em by which a quadratic outline may differ
POSTSCRIPT_NAME = 6
NAMES = [0, 1, 2, 3, 4, 5, 6, 13, 14]  # copyright and licence stay inside
NEEDED_TABLES = {"head", "hhea", "maxp", "OS/2", "name", "cmap", "post", "CFF ", "hmtx"}


@cache
def font_data() -> bytes:
    """The whole font as its wheel has it."""
    return (files(PACKAGE) / FILE).read_bytes()


@lru_cache(maxsize=16)
def subset_font(characters: str) -> bytes:
    """A TrueType font with these characters alone."""
    font = TTFont(BytesIO(font_data()), lazy=True, recalcTimestamp=False)  # the same letters are the same bytes
    for table in set(font.reader.tables) - NEEDED_TABLES:
        del font[table]  # or subsetting would read them first
    options = subset.Options(
        layout_features=[], name_IDs=NAMES, notdef_outline=True, hinting=False, glyph_names=False, recalc_bounds=True
    )
    subsetter = subset.Subsetter(options)
    subsetter.populate(text=characters)
    subsetter.subset(font)
    _to_quadratic(font)
    # The PDF library takes two fonts of one name for the same.
    name = f"NotoSansSC-{hashlib.sha256(characters.encode()).hexdigest()[:8]}"
    for record in font["name"].names:
        if record.nameID == POSTSCRIPT_NAME:
            record.string = name
    saved = BytesIO()
    font.save(saved)
    return saved.getvalue()


def missing_letters(characters: str) -> str:
    """Those of them that the font has no glyph for, such as of rare family names."""
    known = _known_letters()
    return "".join(sorted({letter for letter in characters if ord(letter) not in known}))


@cache
def _known_letters() -> frozenset[int]:
    return frozenset(TTFont(BytesIO(font_data()), lazy=True).getBestCmap())


def _to_quadratic(font: Any) -> None:
    """In place: glyf for CFF."""
    glyphs, order = font.getGlyphSet(), font.getGlyphOrder()
    outlines = {}
    for name in order:
        pen = TTGlyphPen(glyphs)
        glyphs[name].draw(Cu2QuPen(pen, ERROR_EM, reverse_direction=True))
        outlines[name] = pen.glyph()
    glyf = newTable("glyf")
    glyf.glyphOrder, glyf.glyphs = order, outlines
    font["loca"], font["glyf"] = newTable("loca"), glyf
    del font["CFF "]
    glyf.compile(font)
    for name in order:
        width, _ = font["hmtx"][name]
        font["hmtx"][name] = (width, getattr(outlines[name], "xMin", 0))
    font["maxp"].tableVersion = 0x00010000
    for limit in ("maxZones", "maxTwilightPoints", "maxStorage", "maxFunctionDefs", "maxInstructionDefs",
                  "maxStackElements", "maxSizeOfInstructions"):  # fmt: skip
        setattr(font["maxp"], limit, 1 if limit == "maxZones" else 0)
    font["post"].formatType = 3.0
    font.sfntVersion = "\x00\x01\x00\x00"
