from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from clinical.sheet.hatch import SPACING_MM, hatch

heights = st.floats(60, 160)


@given(heights, heights, st.floats(0, 40), st.floats(0, 40), st.sampled_from(["slanted", "vertical"]))
def test_strokes_stay_between_the_curves(first: float, last: float, begin: float, end: float, fill: str) -> None:
    area = ((30.0, first), (34.0, last), (34.0, last + end), (30.0, first + begin))
    for line in hatch(area, fill, "deficit"):
        for x, y in (line.start, line.end):
            share = (x - 30.0) / 4.0
            top = first + share * (last - first)
            bottom = first + begin + share * (last + end - first - begin)
            assert 30.0 - 1e-3 <= x <= 34.0 + 1e-3
            assert top - 0.02 <= y <= bottom + 0.02


def test_strokes_are_as_far_apart_as_they_should_and_of_the_pages_grid() -> None:
    area = ((30.0, 100.0), (34.0, 100.0), (34.0, 110.0), (30.0, 110.0))
    lines = hatch(area, "vertical", "deficit")
    assert [round(line.start[0] / SPACING_MM, 3) for line in lines] == [34, 35, 36, 37]
    assert all((line.start[1], line.end[1]) == (100.0, 110.0) for line in lines)
    assert hatch(area, "none", "deficit") == []
