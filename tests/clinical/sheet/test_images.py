from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from clinical.sheet.drawing import Circle
from clinical.sheet.pdf import pdf
from tests import paper

IMAGES = Path(__file__).with_name("images")
# The expected images have few colours, which is the mean; a dot that moved by one cell is 60 pixels of another colour.
MEAN_MAX, CHANGED_MAX = 2.5, 20
DRAWINGS = paper.drawings()


def difference(one: Image.Image, other: Image.Image) -> tuple[float, int]:
    """Mean difference of 0 to 255, and how many pixels are of another colour."""
    assert one.size == other.size
    apart = np.abs(np.asarray(one, np.int16) - np.asarray(other, np.int16)).max(axis=2)
    return float(apart.mean()), int((apart > 96).sum())


@pytest.mark.parametrize("name", DRAWINGS)
def test_the_page_looks_as_it_did(name: str, tmp_path: Path) -> None:
    found = paper.render(pdf([DRAWINGS[name]]))
    found.save(tmp_path / f"{name}.png")
    with Image.open(IMAGES / f"{name}.png") as image:
        mean, changed = difference(found, image.convert("RGB"))
    assert (mean < MEAN_MAX, changed < CHANGED_MAX) == (True, True), f"{mean:.2f}, {changed}: see {tmp_path}"


def test_a_dot_at_another_place_would_be_seen() -> None:
    drawing = DRAWINGS["sheet"]
    moved = []
    for item in drawing.items:
        if isinstance(item, Circle) and item.about == "p-d4-2":
            x, y = item.centre
            item = replace(item, centre=(x, y + 3.4))
        moved.append(item)
    _, changed = difference(paper.render(pdf([drawing])), paper.render(pdf([replace(drawing, items=tuple(moved))])))
    assert changed > CHANGED_MAX
