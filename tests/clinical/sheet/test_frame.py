from __future__ import annotations

from itertools import pairwise

import msgspec
import pytest

from clinical.sheet.frame import MARGIN_MM, PAGE_WIDTH_MM, frame, free_height_mm, free_width_mm, row_keys
from clinical.sheet.style import Rows, Style
from clinical.sheet.style_file import SHIPPED, shipped_style


@pytest.mark.parametrize("name", SHIPPED)
def test_rows_follow_each_other_without_a_gap_and_fit_the_page(name: str) -> None:
    style = shipped_style(name)
    found = frame(style)
    bands = (*found.head, found.grid, *found.rows)
    assert all(above.bottom == pytest.approx(below.top) for above, below in pairwise(bands))
    assert [band.key for band in found.rows] == list(row_keys(style))
    assert MARGIN_MM <= found.left < found.right <= PAGE_WIDTH_MM - MARGIN_MM
    assert found.left - MARGIN_MM == pytest.approx(PAGE_WIDTH_MM - MARGIN_MM - found.right)  # centred
    assert free_height_mm(style) >= 0


def test_both_axes_share_their_cells() -> None:
    found = frame(Style())
    assert found.temperature_y(34) == found.pulse_y(20) == found.grid.bottom
    assert found.temperature_y(42) == found.pulse_y(180) == pytest.approx(found.grid.top)
    assert found.temperature_y(37) == found.pulse_y(80)


def test_what_does_not_fit_is_negative() -> None:
    grid = msgspec.structs.replace(Style().grid, slot_width_mm=5.0, cell_height_mm=6.0)
    style = msgspec.structs.replace(Style(), grid=grid)
    assert free_width_mm(style) == pytest.approx(192 - 22 - 210)
    assert free_height_mm(style) < 0


def test_a_table_without_rows_ends_with_the_grid() -> None:
    found = frame(msgspec.structs.replace(Style(), rows=Rows(order=(), about_yesterday=(), free=0)))
    assert found.bottom == found.grid.bottom
