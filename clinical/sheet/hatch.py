"""Fills an area with parallel strokes: as geometry, so that SVG and PDF show the very same lines."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from clinical.sheet.drawing import RED, Line, Point

SPACING_MM, STROKE_MM = 0.9, 0.18


def hatch(area: Sequence[Point], fill: str, role: str) -> list[Line]:
    """Strokes inside a convex area: slanted, vertical or none. The grid of strokes is the page's, not the area's."""
    if fill == "none":
        return []
    slope = 1.0 if fill == "slanted" else 0.0  # strokes are x + slope * y = a multiple of the spacing
    levels = [x + slope * y for x, y in area]
    first, last = int(min(levels) / SPACING_MM) + 1, int(max(levels) / SPACING_MM)
    found = []
    for index in range(first, last + 1):
        ends = _crossings(area, slope, index * SPACING_MM)
        if len(ends) >= 2 and ends[0] != ends[-1]:
            found.append(Line(role=role, start=ends[0], end=ends[-1], width_mm=STROKE_MM, colour=RED))
    return found


def _crossings(area: Sequence[Point], slope: float, level: float) -> list[Point]:
    """Where the outline crosses a stroke, from the top down."""
    found = set()
    for (x1, y1), (x2, y2) in pairwise([*area, area[0]]):
        a, b = x1 + slope * y1 - level, x2 + slope * y2 - level
        if (a < 0) != (b < 0):
            share = a / (a - b)
            found.add((round(x1 + share * (x2 - x1), 4), round(y1 + share * (y2 - y1), 4)))
    return sorted(found, key=lambda point: (point[1], point[0]))
