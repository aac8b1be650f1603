from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace
from datetime import timedelta

import msgspec
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from clinical.sheet.content import Absence, Event, Patient, Pressure, Reading, SheetData, Stay
from clinical.sheet.days import page_count
from clinical.sheet.drawing import Circle, Drawing, Item, Line, Point, Polygon, Text
from clinical.sheet.frame import frame
from clinical.sheet.glyphs import SIZE_MIN_MM
from clinical.sheet.layout import lay_out, lay_out_all
from clinical.sheet.style import Style
from clinical.sheet.style_file import SHIPPED, shipped_style
from tests import paper

STANDARD = shipped_style("standard")


def corners(item: Item) -> list[Point]:
    """What it covers."""
    if isinstance(item, Line):
        return [item.start, item.end]
    if isinstance(item, Circle):
        (x, y), r = item.centre, item.radius_mm
        return [(x - r, y - r), (x + r, y + r)]
    if isinstance(item, Polygon):
        return list(item.points)
    begin = {"start": 0.0, "middle": -item.length_mm / 2, "end": -item.length_mm}[item.anchor]
    boxes = [(begin, -0.8 * item.size_mm), (begin + item.length_mm, 0.12 * item.size_mm)]
    turn = math.radians(-item.turned_deg)
    return [
        (
            item.at[0] + dx * math.cos(turn) - dy * math.sin(turn),
            item.at[1] + dx * math.sin(turn) + dy * math.cos(turn),
        )
        for dx, dy in boxes
    ]


def assert_inside(drawing: Drawing, style: Style) -> None:
    bounds = frame(style)
    for item in drawing.items:
        for x, y in corners(item):
            assert 5 <= x <= drawing.width_mm - 5, item
            assert 5 <= y <= drawing.height_mm - 5, item
            if item.about:
                assert bounds.first <= x <= bounds.right, item
                assert bounds.grid.top - 1.5 <= y <= bounds.bottom, item


moments = st.integers(0, 60 * 24 * 16).map(lambda minute: paper.ADMITTED + timedelta(minutes=minute))
metrics = st.sampled_from(["temperature", "pulse", "heart_rate", "breaths", "pain", "spo2"])


@st.composite
def sheets(draw: st.DrawFn) -> SheetData:
    count = draw(st.integers(0, 40))
    readings = []
    for index in range(count):
        metric = draw(metrics)
        low, high = {"temperature": (33.0, 44.0), "pulse": (0.0, 250.0), "heart_rate": (0.0, 250.0)}.get(
            metric, (0.0, 99.0)
        )
        readings.append(
            Reading(
                id=f"r{index}", metric=metric, observed_at=draw(moments),
                value=draw(st.one_of(st.none(), st.floats(low, high).map(lambda value: round(value, 1)))),
                route=draw(st.sampled_from(["", "oral", "axillary", "rectal", "ear", "bladder", "nose"])),
                by_hand=draw(st.booleans()), rechecked=draw(st.booleans()), ventilated=draw(st.booleans()),
                cooled_from=draw(st.sampled_from(["", "", "", f"r{draw(st.integers(0, count))}"])),
                confirmed=draw(st.booleans()),
            )
        )  # fmt: skip
    kinds = st.sampled_from(["admission", "transfer_in", "operation", "birth", "discharge", "death", "escape"])
    events = [Event(id=f"e{index}", kind=draw(kinds), at=draw(moments)) for index in range(draw(st.integers(0, 9)))]
    absences = []
    for index in range(draw(st.integers(0, 4))):
        since = draw(moments)
        until = draw(
            st.one_of(
                st.none(), st.integers(0, 4000).map(lambda minutes, since=since: since + timedelta(minutes=minutes))
            )
        )
        absences.append(
            Absence(id=f"a{index}", kind=draw(st.sampled_from(["refused", "out"])), since=since, until=until)
        )
    entries = tuple(entry for entry in paper.day_entries() if draw(st.booleans()))
    return SheetData(
        patient=paper.PATIENT, readings=tuple(readings), events=tuple(events), absences=tuple(absences), entries=entries
    )  # fmt: skip


@settings(max_examples=30, deadline=None, phases=(Phase.explicit, Phase.generate))
@given(sheets(), st.sampled_from(SHIPPED))
def test_every_value_is_drawn_once_or_explained_once_and_inside_the_frame(data: SheetData, name: str) -> None:
    style = shipped_style(name)
    drawings = lay_out_all(data, style)
    drawn, explained = Counter[str](), Counter[str]()
    for drawing in drawings:
        assert_inside(drawing, style)
        drawn.update(value for item in drawing.items for value in item.about.split())
        explained.update(undrawn.about for undrawn in drawing.undrawn)
    for value in (*data.readings, *data.events, *data.entries):
        assert (drawn[value.id], explained[value.id]) in {(1, 0), (0, 1)}, value
    for absence in data.absences:
        assert drawn[absence.id] or explained[absence.id], absence
    assert drawn.keys() | explained.keys() == {
        value.id for value in (*data.readings, *data.events, *data.entries, *data.absences)
    }


@settings(max_examples=15, deadline=None)
@given(sheets())
def test_lines_only_go_forward(data: SheetData) -> None:
    for drawing in lay_out_all(data, STANDARD):
        for item in drawing.items:
            if isinstance(item, Line) and item.role in ("temperature line", "pulse line", "heart rate line"):
                assert item.start[0] < item.end[0]
            if isinstance(item, Line) and item.role == "cooling line":
                assert item.start[0] == item.end[0]


@pytest.mark.parametrize("name", SHIPPED)
@pytest.mark.parametrize("language", ["zh", "en"])
def test_text_fits_its_cell(name: str, language: str) -> None:
    style = shipped_style(name).in_language("zh" if language == "zh" else "en")
    bounds = frame(style)
    for drawing in (*lay_out_all(paper.stay_sheet(), style), lay_out(paper.hard_sheet(), style, 2)):
        assert_inside(drawing, style)
        for item in drawing.items:
            if isinstance(item, Text):
                assert item.size_mm >= SIZE_MIN_MM or len(item.text) == 1, item
            if isinstance(item, Text) and item.role == "label":
                assert item.length_mm <= bounds.first - bounds.left, item
            if isinstance(item, Text) and item.role in ("time", "breaths", "over scale"):
                assert item.length_mm <= bounds.slot, item


def test_a_long_name_shrinks_and_is_cut_inside_the_page() -> None:
    patient = replace(paper.PATIENT, name="王" * 60)
    drawing = lay_out(replace(paper.stay_sheet(), patient=patient), STANDARD, 1)
    assert_inside(drawing, STANDARD)


def watermarks(drawing: Drawing) -> list[str]:
    return [item.text for item in drawing.items if isinstance(item, Text) and item.role == "watermark"]


def test_a_watermark_unless_a_person_confirmed_every_value_that_is_shown() -> None:
    assert watermarks(lay_out(paper.stay_sheet(), STANDARD, 1)) == []
    data = paper.stay_sheet()
    first = replace(data.readings[0], confirmed=False)
    unconfirmed = replace(data, readings=(first, *data.readings[1:]))
    assert watermarks(lay_out(unconfirmed, STANDARD, 1)) == ["未确认"]
    assert lay_out(unconfirmed, STANDARD, 1).items[0].role == "watermark"  # below all that is to be read


def test_what_another_page_shows_needs_no_watermark_here() -> None:
    data = paper.hard_sheet()  # an unconfirmed value on day 9
    assert watermarks(lay_out(data, STANDARD, 1)) == []
    assert watermarks(lay_out(data, STANDARD, 2)) == ["未确认"]


def texts(drawing: Drawing, role: str) -> list[str]:
    return [item.text for item in drawing.items if isinstance(item, Text) and item.role == role]


def test_pages_are_numbered_and_a_reprint_says_its_version() -> None:
    drawing = lay_out(paper.hard_sheet(), STANDARD, 2)
    assert texts(drawing, "page number") == ["第 2 周   第 2 页 共 2 页"]
    assert texts(drawing, "print") == ["第 3 版，重打于 2026-07-06 09:00"]
    assert texts(lay_out(paper.stay_sheet(), STANDARD, 1), "print") == ["打印于 2026-07-04 07:30"]


def test_a_page_that_there_is_not() -> None:
    with pytest.raises(ValueError, match="there is no page 2: 1 to 1"):
        lay_out(paper.stay_sheet(), STANDARD, 2)


def test_notes_say_what_is_not_drawn_and_why_and_count_what_has_no_room() -> None:
    drawing = lay_out(paper.hard_sheet(), STANDARD, 2)
    notes = "".join(texts(drawing, "notes"))
    assert "07-06 06:04 体温 36.6（未注明测温部位）" in notes
    assert "07-05 03:00 时钟改变 -3 分钟" in notes
    many = tuple(
        Reading(id=f"n{minute}", metric="temperature", observed_at=paper.at(2, 5, minute), value=36.5, route="nose")
        for minute in range(30)
    )
    crowded = lay_out(SheetData(patient=paper.PATIENT, readings=many), STANDARD, 1)
    assert len(crowded.undrawn) == 30
    lines = texts(crowded, "notes")
    assert len(lines) == 2
    assert "另 " in lines[-1]


def test_identities_must_be_unique() -> None:
    reading = Reading(id="same", metric="pulse", observed_at=paper.at(2, 6), value=80)
    with pytest.raises(ValueError, match="'same' is no identity"):
        lay_out(SheetData(patient=paper.PATIENT, readings=(reading, reading)), STANDARD, 1)


def test_a_patient_of_whom_nothing_is_known_yet_has_one_empty_page() -> None:
    patient = Patient(name="无名氏", sex="", age="", number="", admitted_at=paper.ADMITTED, stays=())
    data = SheetData(patient=patient)
    assert page_count(data, STANDARD) == 1
    assert lay_out(data, STANDARD, 1).undrawn == ()


def test_a_smaller_style_stays_inside_too() -> None:
    grid = msgspec.structs.replace(STANDARD.grid, cell_height_mm=2.2, slot_width_mm=3.1)
    style = msgspec.structs.replace(STANDARD, grid=grid)
    assert_inside(lay_out(paper.stay_sheet(), style, 1), style)


def test_days_that_are_to_come_have_a_date_and_no_count() -> None:
    drawing = lay_out(paper.hard_sheet(), STANDARD, 2)
    assert len(texts(drawing, "date")) == 7
    assert texts(drawing, "stay_day") == ["8", "9", "10"]


def test_pressures_keep_to_their_halves_with_the_legs_below() -> None:
    drawing = lay_out(paper.stay_sheet(), STANDARD, 1)
    bounds = frame(STANDARD)
    half = bounds.slot * 3
    (band,) = [band for band in bounds.rows if band.key == "pressure"]
    day_6 = bounds.column_left(5 * 6)
    in_row = [item for item in drawing.items if isinstance(item, Text) and band.top < item.at[1] < band.bottom]
    found = [item for item in in_row if day_6 + half < item.at[0] < day_6 + 2 * half]
    assert [(item.text, item.about) for item in found] == [("130/76", "bp-6-1"), ("(下肢)", "")]
    assert found[0].at[1] < found[1].at[1]
    for item in found:
        assert day_6 + half <= item.at[0] - item.length_mm / 2
        assert item.at[0] + item.length_mm / 2 <= day_6 + 2 * half


def test_a_third_pressure_is_for_the_nursing_record() -> None:
    (full,) = [undrawn for undrawn in lay_out(paper.hard_sheet(), STANDARD, 2).undrawn if undrawn.about == "bp-8-20"]
    assert full.reason == "07-04 血压(mmHg) 110/50（见护理记录单）"
    assert Pressure(110, 50) == Pressure(110, 50, legs=False)


def test_the_header_has_arrows_for_the_stays_of_its_own_days() -> None:
    wards = [text for text in texts(lay_out(paper.stay_sheet(), STANDARD, 1), "header") if "→" in text]
    assert wards == ["心内科→ICU→心外科", "12→03→21"]
    later = [text for text in texts(lay_out(paper.hard_sheet(), STANDARD, 2), "header") if "→" in text]
    assert later == ["心外科→ICU", "21→05"]


def test_a_move_within_a_ward_names_the_ward_once() -> None:
    stays = (*paper.PATIENT.stays[:1], Stay(ward="心内科", bed="14", since=paper.at(2, 9)))
    data = SheetData(patient=replace(paper.PATIENT, stays=stays), until=paper.at(7, 1))
    assert "12→14" in texts(lay_out(data, STANDARD, 1), "header")
    assert "心内科" in texts(lay_out(data, STANDARD, 1), "header")
