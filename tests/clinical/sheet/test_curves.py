from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import msgspec
import pytest

from clinical.sheet.content import Absence, Event, Reading, SheetData
from clinical.sheet.drawing import BLUE, RED, Circle, Drawing, Item, Line, Polygon, Text
from clinical.sheet.frame import frame
from clinical.sheet.layout import lay_out
from clinical.sheet.style import Style
from clinical.sheet.style_file import shipped_style
from tests import paper

STANDARD, GUIZHOU, EARLY = map(shipped_style, ("standard", "guizhou", "early-hours"))
FRAME = frame(STANDARD)


def temperature(id: str, day: int, hour: int, value: float | None, **more: object) -> Reading:
    more.setdefault("route", "axillary")
    return with_more(
        Reading(id=id, metric="temperature", observed_at=paper.at(day, hour, 4), value=value, confirmed=True), more
    )


def pulse(id: str, day: int, hour: int, value: float, **more: object) -> Reading:
    more.setdefault("by_hand", True)
    return with_more(
        Reading(id=id, metric="pulse", observed_at=paper.at(day, hour, 4), value=value, confirmed=True), more
    )


def with_more(reading: Reading, more: dict[str, object]) -> Reading:
    return replace(reading, **more)


def draw(readings: Sequence[Reading], style: Style = STANDARD, **more: object) -> Drawing:
    return lay_out(replace(SheetData(patient=paper.PATIENT, readings=tuple(readings)), **more), style, 1)


def marks(drawing: Drawing, id: str) -> list[Item]:
    return [item for item in drawing.items if id in item.about.split()]


def lines(drawing: Drawing, role: str) -> list[tuple[float, float]]:
    """From column to column."""
    return [
        ((item.start[0] - FRAME.first) / FRAME.slot - 0.5, (item.end[0] - FRAME.first) / FRAME.slot - 0.5)
        for item in drawing.items
        if isinstance(item, Line) and item.role == role
    ]


def reasons(drawing: Drawing) -> dict[str, str]:
    return {undrawn.about: undrawn.reason for undrawn in drawing.undrawn}


def test_the_route_gives_the_symbol_at_the_true_height() -> None:
    routes = {"oral": Circle, "axillary": Line, "rectal": Circle, "ear": Polygon}
    readings = [
        temperature(route, 2, hour, 37.2, route=route) for route, hour in zip(routes, (2, 6, 10, 14), strict=True)
    ]
    drawing = draw(readings)
    for column, (route, kind) in enumerate(routes.items(), 6):
        (mark,) = marks(drawing, route)
        assert isinstance(mark, kind)
        assert getattr(mark, "colour", "") == BLUE
        if isinstance(mark, Circle):
            assert mark.centre == (FRAME.column_middle(column), FRAME.temperature_y(37.2))
            assert (mark.fill == BLUE) == (route == "oral")
    # One small cell is 0.2 ℃ and 4 per minute.
    assert FRAME.temperature_y(37.0) - FRAME.temperature_y(37.2) == pytest.approx(FRAME.cell)
    assert FRAME.pulse_y(80) - FRAME.pulse_y(84) == pytest.approx(FRAME.cell)


def test_without_a_route_the_default_of_the_ward_or_nothing() -> None:
    reading = temperature("t", 2, 6, 36.8, route="")
    assert reasons(draw([reading])) == {"t": "06-28 06:04 体温 36.8（未注明测温部位）"}
    kind = msgspec.structs.replace(STANDARD.temperature, default_route_of_ward={"心内科": "oral", "ICU": "rectal"})
    style = msgspec.structs.replace(STANDARD, temperature=kind)
    (mark,) = marks(draw([reading], style), "t")
    assert isinstance(mark, Circle)
    assert mark.fill == BLUE


def test_probes_in_the_bladder_have_a_row_and_no_mark() -> None:
    (mark,) = marks(draw([temperature("t", 2, 6, 38.2, route="bladder")]), "t")
    assert isinstance(mark, Text)
    (band,) = [band for band in FRAME.rows if band.key == "core_temperature"]
    assert (mark.text, band.top < mark.at[1] < band.bottom) == ("38.2", True)


def test_values_are_joined_over_empty_slots_and_not_over_an_absence() -> None:
    readings = [temperature("a", 2, 2, 36.8), temperature("b", 2, 10, 36.9), temperature("c", 2, 22, 37.0)]
    assert lines(draw(readings), "temperature line") == [(6, 8), (8, 11)]
    refused = Absence(id="r", kind="refused", since=paper.at(2, 14, 4), confirmed=True)
    assert lines(draw(readings, absences=(refused,)), "temperature line") == [(6, 8)]


def test_an_absence_covers_the_slots_whose_label_lies_in_it() -> None:
    out = Absence(id="out", kind="out", since=paper.at(2, 5), until=paper.at(2, 18), confirmed=True)
    columns = [
        (mark.at[0] - FRAME.first) / FRAME.slot - 0.5
        for mark in marks(draw([], absences=(out,)), "out")
        if isinstance(mark, Text)
    ]
    assert columns == [7, 8, 9]
    short = replace(out, since=paper.at(2, 11), until=paper.at(2, 11, 30))
    (mark,) = marks(draw([], absences=(short,)), "out")
    assert isinstance(mark, Text)
    assert (mark.at[0] - FRAME.first) / FRAME.slot - 0.5 == 8


def test_where_a_value_stands_there_is_no_absence() -> None:
    out = Absence(id="out", kind="out", since=paper.at(2, 6, 10), confirmed=True)
    assert reasons(draw([temperature("t", 2, 6, 36.8)], absences=(out,))) == {
        "out": "06-28 06:10 外出（同一时段另有数值）"
    }


@pytest.mark.parametrize(
    ("style", "value", "rises"),
    [(STANDARD, 35.0, False), (STANDARD, 35.1, True), (EARLY, 35.0, True), (EARLY, 34.9, False)],
)
def test_what_does_not_rise_is_a_word_by_the_limit_of_the_site(style: Style, value: float, rises: bool) -> None:
    drawing = draw([temperature("t", 2, 6, value), temperature("a", 2, 2, 36.0), temperature("b", 2, 10, 36.0)], style)
    words = [item for item in drawing.items if isinstance(item, Text) and item.role == "not rising"]
    assert [word.text for word in words] == ([] if rises else ["不", "升"])
    if not rises:
        assert {word.colour for word in words} == {RED if style is STANDARD else BLUE}
        assert lines(drawing, "temperature line") == []


def test_a_thermometer_that_did_not_rise_needs_no_number() -> None:
    (mark,) = marks(draw([temperature("t", 2, 6, None)]), "t")
    assert isinstance(mark, Text)
    assert mark.text == "不"
    assert mark.at[1] > FRAME.temperature_y(35)


@pytest.mark.parametrize("after", [37.4, 39.6])
def test_cooling_stands_in_the_column_before_also_when_it_is_higher(after: float) -> None:
    readings = [
        temperature("hot", 2, 14, 39.2), temperature("next", 2, 18, 38.0),
        replace(temperature("cooled", 2, 16, after), cooled_from="hot"),
    ]  # fmt: skip
    drawing = draw(readings)
    (mark,) = marks(drawing, "cooled")
    assert isinstance(mark, Circle)
    assert (mark.centre, mark.colour, mark.fill) == (
        (FRAME.column_middle(9), FRAME.temperature_y(after)),
        RED,
        "#ffffff",
    )
    (dashed,) = [item for item in drawing.items if isinstance(item, Line) and item.role == "cooling line"]
    assert (dashed.dash_mm > 0, dashed.colour, {dashed.start[1], dashed.end[1]}) == (
        True, RED, {FRAME.temperature_y(39.2), FRAME.temperature_y(after)},
    )  # fmt: skip
    assert lines(drawing, "temperature line") == [(9, 10)]  # the next one joins the one before cooling


def test_cooling_twice_and_cooling_of_what_is_not_there() -> None:
    hot = temperature("hot", 2, 14, 39.2)
    once = replace(temperature("once", 2, 15, 38.8), cooled_from="hot")
    twice = replace(temperature("twice", 2, 16, 38.2), cooled_from="once")
    drawing = draw([hot, once, twice])
    assert [len(marks(drawing, id)) for id in ("hot", "once", "twice")] == [1, 1, 1]
    assert "无降温前的体温" in reasons(draw([twice]))["twice"]
    circle = [replace(once, cooled_from="twice"), twice]
    assert reasons(draw(circle)).keys() == {"once", "twice"}


def test_recheck_is_her_mark_alone() -> None:
    jump = [temperature("a", 2, 2, 36.5), temperature("b", 2, 6, 39.5)]
    assert [item for item in draw(jump).items if item.role == "recheck"] == []
    (mark,) = [item for item in draw([jump[0], replace(jump[1], rechecked=True)]).items if item.role == "recheck"]
    assert isinstance(mark, Text)
    assert (mark.text, mark.colour) == ("v", RED)


@pytest.mark.parametrize(
    ("route", "radius_is_larger", "fill"), [("axillary", True, ""), ("oral", True, ""), ("rectal", False, RED)]
)
def test_a_pulse_upon_a_temperature(route: str, radius_is_larger: bool, fill: str) -> None:
    drawing = draw([temperature("t", 2, 6, 37.0, route=route), pulse("p", 2, 6, 80)])
    (mark,) = marks(drawing, "p")
    assert isinstance(mark, Circle)
    assert (mark.centre, mark.fill, mark.colour) == ((FRAME.column_middle(7), FRAME.temperature_y(37)), fill, RED)
    assert (mark.radius_mm > 0.95) == radius_is_larger
    assert len(marks(drawing, "t")) == 1


def test_a_deficit_is_a_nurses_two_values() -> None:
    by_hand = [
        *(pulse(f"p{hour}", 2, hour, 80) for hour in (2, 6, 10, 14)),
        *(pulse(f"h{hour}", 2, hour, 110, metric="heart_rate") for hour in (6, 10)),
    ]
    drawing = draw(by_hand)
    assert [len(marks(drawing, f"h{hour}")) for hour in (6, 10)] == [1, 1]
    assert lines(drawing, "heart rate line") == [(6, 7), (7, 8), (8, 9)]
    assert lines(drawing, "pulse line") == [(6, 7), (7, 8), (8, 9)]
    hatched = [item for item in drawing.items if item.role == "deficit"]
    assert len(hatched) > 20
    device = [replace(reading, by_hand=reading.metric == "pulse") for reading in by_hand]
    undrawn = draw(device)
    assert [item for item in undrawn.items if item.role == "deficit"] == []
    assert reasons(undrawn) == {
        f"h{hour}": f"06-28 {hour:02}:04 心率 110（短绌只据护士两次测得值）" for hour in (6, 10)
    }  # fmt: skip


def test_a_lonely_deficit_is_a_stroke_between_its_marks() -> None:
    drawing = draw([pulse("p", 2, 6, 80), pulse("h", 2, 6, 110, metric="heart_rate")])
    (stroke,) = [item for item in drawing.items if isinstance(item, Line) and item.role == "deficit"]
    assert {stroke.start, stroke.end} == {(FRAME.column_middle(7), FRAME.pulse_y(beats)) for beats in (80, 110)}


def test_equal_rates_are_one_dot_and_a_heart_rate_alone_is_a_ring() -> None:
    equal = draw([pulse("p", 2, 6, 80), pulse("h", 2, 6, 80, metric="heart_rate")])
    assert marks(equal, "p") == marks(equal, "h")
    (mark,) = marks(equal, "h")
    assert isinstance(mark, Circle)
    assert mark.fill == RED
    (alone,) = marks(draw([pulse("h", 2, 6, 80, metric="heart_rate", by_hand=False)]), "h")
    assert isinstance(alone, Circle)
    assert alone.fill == "#ffffff"


@pytest.mark.parametrize(("style", "text"), [(STANDARD, "190"), (EARLY, "过快")])
def test_over_the_scale_a_mark_in_the_top_row_says_how_much(style: Style, text: str) -> None:
    drawing = draw([pulse("p", 2, 6, 190)], style)
    bounds = frame(style)
    (mark,) = marks(drawing, "p")
    assert isinstance(mark, Circle)
    assert mark.centre[1] == pytest.approx(bounds.grid.top + bounds.cell / 2)
    (word,) = [item for item in drawing.items if isinstance(item, Text) and item.role == "over scale"]
    assert (word.text, word.colour) == (text, RED)
    assert bounds.grid.top < word.at[1] < bounds.grid.top + 2 * bounds.cell


def test_on_the_axis_nothing_is_said() -> None:
    drawing = draw([pulse("p", 2, 6, 180), pulse("q", 2, 10, 20)])
    assert [item for item in drawing.items if item.role == "over scale"] == []


def test_an_event_may_end_the_curves_by_habit() -> None:
    readings = [temperature("a", 2, 3, 36.8), temperature("b", 2, 15, 36.9)]
    moved = Event(id="m", kind="transfer_in", at=paper.at(2, 9), confirmed=True)
    assert len([i for i in draw(readings, STANDARD, events=(moved,)).items if i.role == "temperature line"]) == 1
    assert len([i for i in draw(readings, EARLY, events=(moved,)).items if i.role == "temperature line"]) == 0


def test_of_two_values_in_a_slot_the_site_chooses() -> None:
    early, near, late = (
        replace(temperature(id, 2, 6, 37), observed_at=paper.at(2, *clock))
        for id, clock in (("early", (4, 30)), ("near", (6, 10)), ("late", (7, 30)))
    )
    for style, chosen in ((STANDARD, "near"), (GUIZHOU, "late")):
        drawing = draw([late, early, near], style)
        assert len(marks(drawing, chosen)) == 1
        assert reasons(drawing).keys() == {"early", "near", "late"} - {chosen}


def test_a_value_without_a_number_is_explained() -> None:
    empty = Reading(id="p", metric="pulse", observed_at=paper.at(2, 6), value=None)
    assert reasons(draw([empty])) == {"p": "06-28 06:00 脉搏（无数值）"}


def test_an_absence_that_the_site_has_no_word_for_is_explained() -> None:
    unknown = Absence(id="a", kind="asleep", since=paper.at(2, 6), confirmed=True)
    assert reasons(draw([], absences=(unknown,))) == {"a": "06-28 06:00 asleep（本单无此词）"}


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_no_number_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match="no number that can be drawn"):
        draw([pulse("p", 2, 6, value)])


def test_what_is_no_metric_is_refused() -> None:
    with pytest.raises(ValueError, match="'mood' is no metric of the sheet"):
        draw([pulse("p", 2, 6, 80, metric="mood")])
