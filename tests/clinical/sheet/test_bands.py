from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import msgspec
import pytest

from clinical.sheet.content import Absence, Event, Reading, SheetData
from clinical.sheet.drawing import RED, Circle, Drawing, Text
from clinical.sheet.frame import frame
from clinical.sheet.layout import lay_out
from clinical.sheet.style import Style
from clinical.sheet.style_file import shipped_style
from tests import paper

STANDARD, GUIZHOU, EARLY = map(shipped_style, ("standard", "guizhou", "early-hours"))


def event(kind: str, day: int, hour: int, minute: int = 0) -> Event:
    return Event(id=f"{kind}-{day}-{hour}-{minute}", kind=kind, at=paper.at(day, hour, minute), confirmed=True)


def draw(events: Sequence[Event], style: Style = STANDARD, **more: object) -> Drawing:
    return lay_out(replace(SheetData(patient=paper.PATIENT, events=tuple(events)), **more), style, 1)


def columns(drawing: Drawing, style: Style, role: str = "event") -> dict[int, str]:
    """What stands in each column, from the top down."""
    bounds = frame(style)
    found: dict[int, list[Text]] = {}
    for item in drawing.items:
        if isinstance(item, Text) and item.role == role:
            assert bounds.grid.top < item.at[1] < bounds.grid.bottom
            found.setdefault(int((item.at[0] - bounds.first) / bounds.slot), []).append(item)
    return {
        column: "".join(text.text for text in sorted(texts, key=lambda text: text.at[1]))
        for column, texts in found.items()
    }


def test_an_event_stands_in_its_slot_a_character_below_the_other_above_40() -> None:
    drawing = draw([event("admission", 1, 15, 30)])
    assert columns(drawing, STANDARD) == {3: "入院十五时三十分"}
    texts = [item for item in drawing.items if isinstance(item, Text) and item.role == "event"]
    assert {text.colour for text in texts} == {RED}
    assert max(text.at[1] for text in texts) < frame(STANDARD).events_bottom
    steps = {round(after.at[1] - before.at[1], 6) for before, after in pairwise(texts)}
    assert steps == {STANDARD.grid.cell_height_mm, 2 * STANDARD.grid.cell_height_mm}  # the bar has a cell too


def test_more_characters_than_cells_stand_closer() -> None:
    drawing = draw([event("discharge", 2, 23, 55)])
    assert columns(drawing, STANDARD) == {11: "出院二十三时五十五分"}
    last = max(item.at[1] for item in drawing.items if item.role == "event" and isinstance(item, Text))
    assert last < frame(STANDARD).events_bottom


def test_two_events_of_a_slot_stand_side_by_side() -> None:
    drawing = draw([event("transfer_in", 2, 9, 40), event("operation", 2, 11), event("birth", 2, 10, 30)])
    assert {column: text[:2] for column, text in columns(drawing, STANDARD).items()} == {
        8: "转入",
        9: "分娩",
        10: "手术",
    }


def test_in_the_last_column_the_next_free_one_is_to_the_left() -> None:
    drawing = draw([event("operation", 7, 21), event("death", 7, 23)])
    assert {column: text[:2] for column, text in columns(drawing, STANDARD).items()} == {41: "手术", 40: "死亡"}


def test_an_event_keeps_clear_of_marks() -> None:
    pulse = Reading(id="p", metric="pulse", observed_at=paper.at(2, 10), value=160, by_hand=True, confirmed=True)
    drawing = draw([event("transfer_in", 2, 10)], readings=(pulse,))
    (mark,) = [item for item in drawing.items if item.about == "p"]
    assert isinstance(mark, Circle)
    assert columns(drawing, STANDARD) == {8: "转入十时"}
    for item in drawing.items:
        if isinstance(item, Text) and item.role == "event":
            middle = item.at[1] - 0.37 * item.size_mm
            assert abs(middle - mark.centre[1]) > mark.radius_mm + item.size_mm * 0.4


def test_a_word_for_an_absence_stands_below_an_event_of_its_column() -> None:
    absence = Absence(id="a", kind="leave", since=paper.at(2, 10), confirmed=True)
    drawing = draw([event("transfer_in", 2, 9)], GUIZHOU, absences=(absence,))
    assert columns(drawing, GUIZHOU) == {8: "转入于09:00"}
    assert columns(drawing, GUIZHOU, "absence") == {8: "请假"}
    tops = {
        role: [item.at[1] for item in drawing.items if isinstance(item, Text) and item.role == role]
        for role in ("event", "absence")
    }
    assert max(tops["event"]) < min(tops["absence"]) <= frame(GUIZHOU).events_bottom


@pytest.mark.parametrize(("style", "above"), [(STANDARD, False), (GUIZHOU, True)])
def test_absences_stand_in_the_band_of_the_site(style: Style, above: bool) -> None:
    drawing = draw([], style, absences=(Absence(id="a", kind="refused", since=paper.at(2, 10), confirmed=True),))
    (first, _) = [item for item in drawing.items if isinstance(item, Text) and item.role == "absence"]
    assert columns(drawing, style, "absence") == {8: "拒测"}
    assert (first.at[1] < frame(style).events_bottom) == above
    assert (first.at[1] > frame(style).temperature_y(35)) == (not above)


def test_what_the_site_does_not_write_is_explained() -> None:
    events = msgspec.structs.replace(STANDARD.events, shown=("admission",), without_time=())
    style = msgspec.structs.replace(STANDARD, events=events)
    (undrawn,) = draw([event("birth", 2, 10)], style).undrawn
    assert undrawn.reason == "06-28 10:00 分娩（本单不写此事件）"


def test_more_events_than_columns_are_explained() -> None:
    many = [event("operation", 1 + index % 7, index % 24, index) for index in range(45)]
    drawing = draw(many)
    assert len(columns(drawing, STANDARD)) == 42
    assert [undrawn.reason[-12:] for undrawn in drawing.undrawn] == ["40–42 ℃ 间已无空列）"[-12:]] * 3


def test_turned_events_lie_on_their_side_in_the_band() -> None:
    events = msgspec.structs.replace(STANDARD.events, orientation="turned", numerals="digits")
    style = msgspec.structs.replace(STANDARD, events=events)
    (text,) = [item for item in draw([event("admission", 1, 15, 30)], style).items if item.role == "event"]
    assert isinstance(text, Text)
    assert (text.text, text.turned_deg) == ("入院—15:30", 90)
    assert text.at[1] - text.length_mm >= frame(style).grid.top
