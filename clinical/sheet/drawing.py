"""What a page is made of: marks in millimetres from the page's upper left corner. SVG and PDF both draw this list."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

Anchor: TypeAlias = Literal["start", "middle", "end"]
Point: TypeAlias = tuple[float, float]  # x, y

BLACK, RED, BLUE, GREY = "#000000", "#d00000", "#0033a0", "#808080"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """What every mark has: its role, for whoever looks for it, and the id of the value that it shows, "": none."""

    role: str
    about: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line(Mark):
    """A straight stroke; `dash_mm` is the length of dashes and of the gaps between, 0: none."""

    start: Point
    end: Point
    width_mm: float
    colour: str = BLACK
    dash_mm: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Circle(Mark):
    """A ring of `colour`, filled with `fill`, "": hollow."""

    centre: Point
    radius_mm: float
    width_mm: float
    colour: str = BLACK
    fill: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Polygon(Mark):
    """A closed outline of `colour`, filled with `fill`, "": hollow."""

    points: tuple[Point, ...]
    width_mm: float
    colour: str = BLACK
    fill: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Text(Mark):
    """Text on a baseline that begins, is centred or ends at `at`: `length_mm` long at `size_mm`, the height of an em.

    `turned_deg` turns it about `at`, counter-clockwise.
    """

    at: Point
    text: str
    size_mm: float
    length_mm: float
    anchor: Anchor = "middle"
    colour: str = BLACK
    turned_deg: float = 0.0


Item: TypeAlias = Line | Circle | Polygon | Text


@dataclass(frozen=True, slots=True, kw_only=True)
class Undrawn:
    """A value that the page does not show, and why."""

    about: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawing:
    """One page, bottom mark first, and what it could not show."""

    title: str
    width_mm: float
    height_mm: float
    items: tuple[Item, ...]
    undrawn: tuple[Undrawn, ...] = ()
