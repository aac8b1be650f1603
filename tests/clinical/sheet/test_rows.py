from __future__ import annotations

from dataclasses import replace

from clinical.sheet.content import DayEntry, Reading, SheetData, Volume
from clinical.sheet.drawing import Circle, Drawing, Text
from clinical.sheet.frame import frame
from clinical.sheet.layout import lay_out
from clinical.sheet.style_file import shipped_style
from tests import paper

STANDARD = shipped_style("standard")
FRAME = frame(STANDARD)
BANDS = {band.key: band for band in FRAME.rows}


def breaths(hour: int, value: float | None, **more: bool) -> Reading:
    return Reading(id=f"b{hour}", metric="breaths", observed_at=paper.at(2, hour), value=value, **more)


def page(number: int = 1, **more: object) -> Drawing:
    return lay_out(replace(SheetData(patient=paper.PATIENT, until=paper.at(9, 1)), **more), STANDARD, number)


def text(drawing: Drawing, id: str) -> Text:
    (found,) = [item for item in drawing.items if item.about == id]
    assert isinstance(found, Text)
    return found


def test_breaths_take_turns_up_and_down_and_a_ventilator_has_no_number() -> None:
    drawing = page(readings=(breaths(2, 18), breaths(6, None, ventilated=True), breaths(10, 20), breaths(22, 22)))
    middle = BANDS["breaths"].middle
    assert [text(drawing, f"b{hour}").at[1] < middle for hour in (2, 10, 22)] == [True, False, True]
    assert [text(drawing, f"b{hour}").text for hour in (2, 6, 10, 22)] == ["18", "R", "20", "22"]
    (ring,) = [item for item in drawing.items if item.role == "ventilator"]
    assert isinstance(ring, Circle)
    assert ring.centre[0] == FRAME.column_middle(7)


def test_what_is_about_yesterday_stands_under_today_also_on_the_next_page() -> None:
    entries = (
        DayEntry(id="urine-2", row="urine", day=paper.on(2), value=Volume(1500)),
        DayEntry(id="urine-7", row="urine", day=paper.on(7), value=Volume(1700)),
        DayEntry(id="weight-2", row="weight", day=paper.on(2), value="68.5"),
    )
    first, second = page(1, entries=entries), page(2, entries=entries)
    day = FRAME.slot * 6
    assert int((text(first, "urine-2").at[0] - FRAME.first) / day) == 2
    assert int((text(first, "weight-2").at[0] - FRAME.first) / day) == 1
    assert int((text(second, "urine-7").at[0] - FRAME.first) / day) == 0
    assert [item for item in first.items if item.about == "urine-7"] == []


def test_a_row_that_the_site_does_not_have_and_a_cell_that_is_full_are_explained() -> None:
    entries = (
        DayEntry(id="girth", row="girth", day=paper.on(2), value="92"),
        DayEntry(id="weight", row="weight", day=paper.on(2), value="68"),
        DayEntry(id="weight-again", row="weight", day=paper.on(2), value="69"),
    )
    reasons = {undrawn.about: undrawn.reason for undrawn in page(entries=entries).undrawn}
    assert reasons == {
        "girth": "06-28 腹围(cm) 92（本单无此行）", "weight-again": "06-28 体重(kg) 69（见护理记录单）",
    }  # fmt: skip


def test_a_single_pressure_stands_in_the_half_of_its_hour() -> None:
    entries = tuple(entry for entry in paper.day_entries() if entry.id in ("bp-1-1", "bp-2-0"))
    drawing = page(entries=entries)
    half = FRAME.slot * 3
    assert [int((text(drawing, id).at[0] - FRAME.first) / half) for id in ("bp-1-1", "bp-2-0")] == [1, 2]


def test_an_empty_text_is_no_value() -> None:
    entry = DayEntry(id="weight", row="weight", day=paper.on(2), value=" ")
    assert [undrawn.reason for undrawn in page(entries=(entry,)).undrawn] == ["06-28 体重(kg)  （无数值）"]
