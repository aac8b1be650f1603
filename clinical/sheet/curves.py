"""The curves of the grid: temperature by route, pulse and heart rate, the deficit between them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from clinical.sheet.arrange import Absences, Page, by_column, describe, event_column, explain, of_metric, ward_at
from clinical.sheet.content import Reading
from clinical.sheet.days import slot_of
from clinical.sheet.drawing import BLUE, RED, Circle, Item, Line, Point, Polygon
from clinical.sheet.glyphs import written
from clinical.sheet.hatch import hatch
from clinical.sheet.words import number_text

RADIUS_MM, RING_MM, INNER_MM = 0.95, 1.45, 0.55
STROKE_MM, NUMBER_MM = 0.3, 2.3
OVERLAP_MM = 0.6  # closer than this, two marks cannot be told apart


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """A value at its place; `true_y` is where it would stand if the axis reached it."""

    reading: Reading
    at: Point
    true_y: float
    symbol: str = "dot"


@dataclass(frozen=True, slots=True, kw_only=True)
class Temperatures:
    """What the page has of them, by column."""

    marks: Mapping[int, Placed]
    not_rising: Mapping[int, Reading]
    cooled: tuple[tuple[int, Placed, Placed], ...]  # column, after, before
    core: Mapping[int, Reading]

    @property
    def columns(self) -> set[int]:
        """Where a temperature was measured, of whatever kind."""
        return {*self.marks, *self.not_rising, *self.core}


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """Pulse and heart rate of a column; `deficit`: by a nurse's two values the heart beats more often."""

    pulse: Placed | None
    heart: Placed | None
    deficit: bool

    def low(self) -> Point:
        """Where the pulse's curve goes through: the heart rate where there is no pulse."""
        placed = self.pulse or self.heart
        assert placed is not None
        return placed.at

    def high(self) -> Point:
        """Where the heart rate's curve goes through."""
        return self.heart.at if self.deficit and self.heart else self.low()


def place_temperatures(page: Page) -> Temperatures:
    """Route by route; without a route and a default, a value is explained instead."""
    kind, frame = page.style.temperature, page.frame
    readings = of_metric(page, "temperature")
    routes = {r.id: page.style.route_of(r.route, ward_at(page.data, r.observed_at)) for r in readings}
    surface, core, cooled = [], [], []
    for reading in readings:
        route = routes[reading.id]
        if reading.cooled_from:
            cooled.append(reading)
        elif reading.value is None or route in kind.symbols:
            surface.append(reading)
        elif route in kind.core_routes:
            core.append(reading)
        else:
            explain(page, reading, "no_symbol" if route else "no_route")
    marks: dict[int, Placed] = {}
    not_rising: dict[int, Reading] = {}
    for column, reading in by_column(page, surface).items():
        value = reading.value
        if value is None or _is_not_rising(page, value):
            not_rising[column] = reading
            continue
        marks[column] = _placed(page, column, reading, frame.temperature_y(value), kind.symbols[routes[reading.id]])
    return Temperatures(
        marks=marks, not_rising=not_rising, cooled=_place_cooled(page, cooled, marks), core=_core_row(page, core)
    )


def _core_row(page: Page, core: list[Reading]) -> dict[int, Reading]:
    chosen = by_column(page, core)
    if "core_temperature" in page.style.rows.order:
        return chosen
    for reading in chosen.values():
        explain(page, reading, "row_missing")
    return {}


def _is_not_rising(page: Page, celsius: float) -> bool:
    kind = page.style.temperature
    return celsius < kind.not_rising_limit or (kind.not_rising_includes_limit and celsius == kind.not_rising_limit)


def _placed(page: Page, column: int, reading: Reading, true_y: float, symbol: str = "dot") -> Placed:
    """Beyond the axis: in the middle of its first or last row."""
    grid, half, y = page.frame.grid, page.frame.cell / 2, true_y
    if true_y < grid.top:
        y = grid.top + half
    elif true_y > grid.bottom:
        y = grid.bottom - half
    return Placed(reading=reading, at=(page.frame.column_middle(column), y), true_y=true_y, symbol=symbol)


def _place_cooled(
    page: Page, cooled: list[Reading], marks: Mapping[int, Placed]
) -> tuple[tuple[int, Placed, Placed], ...]:
    """Each in the column of the temperature before cooling, wherever its own time would put it."""
    before = {placed.reading.id: (column, placed) for column, placed in marks.items()}
    readings = {reading.id: reading for reading in page.data.readings}
    found = []
    for reading in cooled:
        origin = _before_cooling(reading, readings)
        if origin is None:
            explain(page, reading, "cooled_from_missing")
        elif origin.id in before and reading.value is not None:
            column, placed = before[origin.id]
            found.append((column, _placed(page, column, reading, page.frame.temperature_y(reading.value)), placed))
        elif page.belongs(page.column(slot_of(origin.observed_at, page.style))):
            page.leave_out(reading.id, describe(reading, page.style), "cooled_from_missing")
    return tuple(found)


def _before_cooling(reading: Reading, readings: Mapping[str, Reading]) -> Reading | None:
    """The first of a chain, where a patient was cooled more than once; None: it is missing, or there is no first."""
    seen = {reading.id}
    origin = readings.get(reading.cooled_from)
    while origin and origin.cooled_from and origin.id not in seen:
        seen.add(origin.id)
        origin = readings.get(origin.cooled_from)
    return None if origin is None or origin.cooled_from else origin


def place_rates(page: Page) -> dict[int, Rate]:
    """Pulse and heart rate; both only where a nurse counted both: an ECG's rate against a probe's is no deficit."""
    pulses, hearts = by_column(page, of_metric(page, "pulse")), by_column(page, of_metric(page, "heart_rate"))
    rates = {}
    for column in sorted({*pulses, *hearts}):
        pulse, heart = pulses.get(column), hearts.get(column)
        if pulse and heart and not (pulse.by_hand and heart.by_hand):
            explain(page, heart, "deficit_by_device")
            heart = None
        low, high = _placed_rate(page, column, pulse), _placed_rate(page, column, heart)
        deficit = low is not None and high is not None and high.at[1] < low.at[1]
        if low or high:
            rates[column] = Rate(pulse=low, heart=high, deficit=deficit)
    return rates


def _placed_rate(page: Page, column: int, reading: Reading | None) -> Placed | None:
    if reading is None or reading.value is None:
        return None
    return _placed(page, column, reading, page.frame.pulse_y(reading.value))


def _segments(page: Page, columns: Iterator[int], absences: Absences) -> Iterator[tuple[int, int]]:
    """Neighbours that a line joins: over slots without a value, not over an absence or an event that ends a curve."""
    breaks = [event_column(page, event) for event in page.data.events if event.kind in page.style.lines.break_at]
    for first, last in pairwise(columns):
        if not absences.between(first, last) and not any(first < column <= last for column in breaks):
            yield first, last


def draw_temperature_lines(page: Page, temperatures: Temperatures, absences: Absences) -> None:
    """Blue, under the marks; the next one joins the temperature before cooling; 不升 is not joined."""
    marks = temperatures.marks
    for first, last in _segments(page, iter(sorted(marks)), absences):
        if not any(first < column < last for column in temperatures.not_rising):
            page.add(_stroke("temperature line", marks[first].at, marks[last].at, BLUE))
    for _, after, before in temperatures.cooled:
        if after.at != before.at:
            line = Line(role="cooling line", start=before.at, end=after.at, width_mm=STROKE_MM, colour=RED, dash_mm=0.7)
            page.add(line)


def draw_rate_lines(page: Page, rates: Mapping[int, Rate], absences: Absences) -> None:
    """Both curves, and the hatch between them; a deficit that no line leads to is a single stroke."""
    joined = set()
    for first, last in _segments(page, iter(sorted(rates)), absences):
        begin, end = rates[first], rates[last]
        page.add(_stroke("pulse line", begin.low(), end.low(), RED))
        if begin.deficit or end.deficit:
            joined |= {first, last}
            page.add(_stroke("heart rate line", begin.high(), end.high(), RED))
            area = (begin.high(), end.high(), end.low(), begin.low())
            page.add(*hatch(area, page.style.pulse.deficit_fill, "deficit"))
    for column, rate in rates.items():
        if rate.deficit and column not in joined:
            page.add(_stroke("deficit", rate.high(), rate.low(), RED))


def _stroke(role: str, start: Point, end: Point, colour: str) -> Line:
    return Line(role=role, start=start, end=end, width_mm=STROKE_MM, colour=colour)


def taken_by_marks(page: Page, temperatures: Temperatures, rates: Mapping[int, Rate]) -> dict[int, list[Point]]:
    """From and to, downward, by column: where marks and their numbers stand."""
    found: dict[int, list[Point]] = {}
    reach = RING_MM + 0.1
    placed = [*temperatures.marks.items(), *((column, after) for column, after, _ in temperatures.cooled)]
    for column, rate in rates.items():
        placed += [(column, mark) for mark in (rate.pulse, rate.heart) if mark]
    for column, mark in placed:
        above = mark.true_y < page.frame.grid.top
        found.setdefault(column, []).append((mark.at[1] - reach, mark.at[1] + (NUMBER_MM + 1.2 if above else reach)))
    return found


def draw_marks(page: Page, temperatures: Temperatures, rates: Mapping[int, Rate]) -> None:
    """On top of all lines."""
    for column, placed in temperatures.marks.items():
        rate = rates.get(column)
        upon = (
            [other for other in (rate.pulse, rate.heart) if other and _overlap(page, placed.at[1], other)]
            if rate
            else []
        )
        page.add(*symbol(placed.symbol, placed.at, BLUE, placed.reading.id))
        if upon:
            about = " ".join(other.reading.id for other in upon)
            ring = symbol("dot" if placed.symbol == "circle" else "ring", placed.at, RED, about)
            page.add(*(map(_smaller, ring) if placed.symbol == "circle" else ring))
        if placed.reading.rechecked:
            at = (placed.at[0], placed.at[1] - RING_MM - 0.9)
            page.add(written(page.style.temperature.recheck_mark, at, 2.4, "recheck", colour=RED))
        _beyond(page, placed)
    for _, after, _ in temperatures.cooled:
        page.add(*symbol("circle", after.at, RED, after.reading.id))
        _beyond(page, after)
    for column, rate in rates.items():
        hidden = [placed.at[1] for placed in (temperatures.marks.get(column),) if placed]
        rings = [after.at[1] for place, after, _ in temperatures.cooled if place == column]
        _draw_rate(page, rate, hidden, rings)


def _draw_rate(page: Page, rate: Rate, hidden: Sequence[float], rings: Sequence[float]) -> None:
    """Not where a temperature's mark already stands for it; a smaller dot inside the ring of one after cooling."""
    pulse, heart = rate.pulse, rate.heart
    both = pulse is not None and heart is not None and pulse.at == heart.at  # equal: one dot for both
    for placed, kind in ((pulse, "dot"), (None if both else heart, "circle")):
        if placed is None:
            continue
        about = f"{placed.reading.id} {heart.reading.id}" if both and heart else placed.reading.id
        if not any(_overlap(page, y, placed) for y in hidden):
            mark = symbol(kind, placed.at, RED, about)
            page.add(*(map(_smaller, mark) if any(_overlap(page, y, placed) for y in rings) else mark))
        _beyond(page, placed)


def _overlap(page: Page, y: float, other: Placed) -> bool:
    return page.style.pulse.overlap == "ring" and abs(y - other.at[1]) < OVERLAP_MM


def _smaller(item: Item) -> Item:
    return replace(item, radius_mm=INNER_MM) if isinstance(item, Circle) else item


def _beyond(page: Page, placed: Placed) -> None:
    """The number, or the word, of a value that the axis does not reach, beside its mark."""
    grid = page.frame.grid
    above, below = placed.true_y < grid.top, placed.true_y > grid.bottom
    if not above and not below:
        return
    style = page.style
    if style.grid.over_scale == "word":
        text = style.word("too_high" if above else "too_low")
    else:
        text = number_text(placed.reading.value or 0.0)
    at = (placed.at[0], placed.at[1] + (NUMBER_MM if above else -NUMBER_MM))
    page.add(written(text, at, 2.2, "over scale", limit_mm=page.frame.slot - 0.2, colour=RED))


def symbol(kind: str, at: Point, colour: str, about: str = "") -> list[Item]:
    """A mark: dot, cross, circle, triangle, or the ring around another."""
    x, y = at
    if kind == "cross":
        reach = RADIUS_MM * 0.9
        return [
            Line(role="mark", about=about if sign > 0 else "", start=(x - reach, y - sign * reach),
                 end=(x + reach, y + sign * reach), width_mm=0.35, colour=colour)
            for sign in (1, -1)
        ]  # fmt: skip
    if kind == "triangle":
        points = (
            (x, y - RADIUS_MM * 1.15),
            (x + RADIUS_MM, y + RADIUS_MM * 0.75),
            (x - RADIUS_MM, y + RADIUS_MM * 0.75),
        )
        return [Polygon(role="mark", about=about, points=points, width_mm=0.3, colour=colour, fill="#ffffff")]
    radius = RING_MM if kind == "ring" else RADIUS_MM
    fill = {"dot": colour, "circle": "#ffffff"}.get(kind, "")
    return [Circle(role="mark", about=about, centre=at, radius_mm=radius, width_mm=0.3, colour=colour, fill=fill)]
