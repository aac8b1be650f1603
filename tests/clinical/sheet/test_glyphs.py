from __future__ import annotations

from io import BytesIO

from fontTools.ttLib import TTFont
from hypothesis import given
from hypothesis import strategies as st

from clinical.sheet.fonts import font_data
from clinical.sheet.glyphs import ADVANCES, OTHERS, SIZE_MIN_MM, fit, is_measured, length_mm, wrap


def test_the_table_is_the_font() -> None:
    font = TTFont(BytesIO(font_data()), lazy=True)
    names, widths = font.getBestCmap(), font["hmtx"]
    assert tuple(widths[names[code]][0] for code in range(32, 127)) == ADVANCES
    assert {letter: widths[names[ord(letter)]][0] for letter in OTHERS} == OTHERS
    chinese = [code for code in names if code >= 0x3400 and code < 0xA000]
    assert len(chinese) > 20_000
    assert {widths[names[code]][0] for code in chinese} == {1000}


def test_a_text_that_is_too_long_shrinks_and_then_is_cut() -> None:
    assert fit("体温", 3.0, 6.0) == ("体温", 3.0)
    assert fit("体温", 3.0, 4.0) == ("体温", 2.0)
    cut, size = fit("体温体温体温", 3.0, 6.0)
    assert (cut, size) == ("体温体…", SIZE_MIN_MM)


texts = st.text(st.sampled_from("体温单，。 ab12/%é\n℃"), max_size=60)


@given(texts, st.floats(4.0, 40.0))
def test_wrapped_lines_fit_and_keep_every_letter(text: str, room: float) -> None:
    lines = wrap(text, 2.5, room)
    assert "".join(lines).replace(" ", "") == text.replace("\n", "").replace(" ", "")
    assert all(length_mm(line, 2.5) <= room + 1e-9 for line in lines)


@given(texts, st.floats(2.0, 40.0))
def test_fitted_texts_fit(text: str, room: float) -> None:
    found, size = fit(text, 3.0, room)
    assert length_mm(found, size) <= room + 1e-9


def test_words_and_their_punctuation_stay_together() -> None:
    assert wrap("呼吸 SIMV，FiO2 50%。", 2.0, 14.0) == ["呼吸 SIMV，", "FiO2 50%。"]
    assert wrap("深 23 cm，尿管", 2.0, 8.6) == ["深 23", "cm，尿", "管"]


def test_what_is_only_bounded_is_known_as_such() -> None:
    assert is_measured("36.8 ℃") is False  # below the Chinese characters, and not in a table
    assert is_measured("36.8° 体温")
