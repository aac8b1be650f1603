from __future__ import annotations

from dataclasses import replace
from datetime import datetime

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clinical.sheet.content import Stay
from clinical.sheet.drawing import RED, Drawing, Line, Text
from clinical.sheet.hourly import Fluid, HourlyData, HourlyRow, blocks, cells, paginate, pulse_text, totals_text
from clinical.sheet.hourly_layout import BODY_BOTTOM_MM, BODY_MM, BODY_TOP_MM, lay_out_hourly
from clinical.sheet.style import Column, Hourly
from clinical.sheet.style_file import shipped_style
from tests import paper

STANDARD = shipped_style("standard")
RECORD = paper.hourly_record()


def texts(drawing: Drawing, role: str) -> list[str]:
    return [item.text for item in drawing.items if isinstance(item, Text) and item.role == role]


def record(*rows: HourlyRow, **more: object) -> HourlyData:
    return replace(HourlyData(patient=paper.PATIENT, rows=rows), **more)


def row(id: str = "r", **more: object) -> HourlyRow:
    return replace(HourlyRow(id=id, at=paper.at(3, 14)), **more)


def only(data: HourlyData) -> Drawing:
    (drawing,) = lay_out_hourly(data, STANDARD)
    return drawing


@settings(max_examples=20, deadline=None)
@given(st.lists(st.text(st.sampled_from("术后 安静入睡，ab1。"), max_size=300), max_size=30))
def test_every_row_stands_on_one_page_or_goes_on_and_all_inside(courses: list[str]) -> None:
    rows = tuple(
        row(f"r{index}", course=course, at=paper.at(3, index % 24, index)) for index, course in enumerate(courses)
    )
    drawings = lay_out_hourly(record(*rows), STANDARD)
    told = [id for drawing in drawings for item in drawing.items for id in item.about.split()]
    assert sorted(told) == sorted(value.id for value in rows)
    for drawing in drawings:
        for item in drawing.items:
            if isinstance(item, Text) and item.role == "hourly":
                assert BODY_TOP_MM < item.at[1] < BODY_BOTTOM_MM
                left = item.at[0] - {"start": 0, "middle": item.length_mm / 2, "end": item.length_mm}[item.anchor]
                cell = next(c for c in cells(STANDARD, 10.0) if c.left <= item.at[0] < c.left + c.width)
                assert cell.left <= left
                assert left + item.length_mm <= cell.left + cell.width + 0.02


def test_a_row_that_is_higher_than_a_page_goes_on_without_losing_a_letter() -> None:
    course = "病情平稳，继续观察。" * 260
    drawings = lay_out_hourly(record(row(course=course)), STANDARD)
    assert len(drawings) > 1
    shown = [text for drawing in drawings for text in texts(drawing, "hourly")]
    assert "".join(text for text in shown if text not in ("未签名", "06-29 14:00")) == course


def test_pages_hold_whole_rows() -> None:
    found = blocks(RECORD, STANDARD, BODY_MM)
    pages = paginate(found, BODY_MM)
    assert [block for page in pages for block in page] == found
    assert all(sum(block.height for block in page) <= BODY_MM + 1e-6 for page in pages)
    assert paginate([], BODY_MM) == [[]]


def test_each_page_has_header_head_and_number() -> None:
    for number, drawing in enumerate(lay_out_hourly(RECORD, STANDARD), 1):
        assert texts(drawing, "title") == ["重症护理记录单"]
        assert {"意识", "T", "P/HR", "BP", "SpO2", "病情观察及措施", "签名", "性状"} <= set(texts(drawing, "label"))
        assert {"王建国", "ICU", "03", "20260627015"} <= set(texts(drawing, "header"))
        assert texts(drawing, "page number") == [f"第 {number} 页 共 2 页"]


def test_what_nobody_signed_says_so_in_red_and_what_nobody_confirmed_has_the_watermark() -> None:
    unsigned = only(record(row(confirmed=True)))
    (word,) = [item for item in unsigned.items if isinstance(item, Text) and item.text == "未签名"]
    assert word.colour == RED
    assert texts(unsigned, "watermark") == []
    signed = only(record(row(signed="李敏")))
    assert "未签名" not in texts(signed, "hourly")
    assert texts(signed, "watermark") == ["未确认"]


def test_a_corrected_row_stays_legible_under_double_lines() -> None:
    drawing = only(record(row(struck="李敏 06-29 18:20", signed="王芳", course="误记", pulse=88)))
    struck = [item for item in drawing.items if isinstance(item, Line) and item.role == "struck"]
    assert len(struck) == 2 * len({"06-29 14:00", "88", "误记"})
    assert {"误记", "88", "王芳", "更正 李敏", "06-29 18:20"} <= set(texts(drawing, "hourly"))


def test_the_corrected_row_stands_before_the_right_one_and_a_late_one_has_both_times() -> None:
    drawing = only(
        record(row("right", pulse=92), row("wrong", pulse=103, struck="李敏"), row("z", late=paper.at(3, 21, 30)))
    )
    shown = texts(drawing, "hourly")
    assert shown.index("103") < shown.index("92")
    assert "补记 06-29 21:30" in shown


def test_fluids_have_a_line_each_with_their_millilitres_beside() -> None:
    intake = (Fluid(item="复方氨基酸注射液 18AA-Ⅱ 加入微泵", ml=250), Fluid(item="温开水", ml=100))
    drawing = only(record(row(intake=intake, output=(Fluid(item="尿", ml=62.5, colour="淡黄"), Fluid(item="呕吐物")))))
    by_text = {item.text: item for item in drawing.items if isinstance(item, Text) and item.role == "hourly"}
    assert by_text["100"].at[1] == by_text["温开水"].at[1] > by_text["250"].at[1]
    assert by_text["62.5"].at[1] == by_text["淡黄"].at[1] == by_text["尿"].at[1]
    assert "呕吐物" in by_text


def test_totals_come_after_their_rows_and_say_where_they_are_incomplete() -> None:
    drawing = lay_out_hourly(RECORD, STANDARD)[0]
    (text,) = texts(drawing, "totals")
    assert text == "总计  06-29 14:00 至 06-29 19:00 入量 216 ml，出量 530 ml（不完整）"
    heights = {item.text: item.at[1] for item in drawing.items if isinstance(item, Text)}
    assert heights["06-29 18:00"] < heights[text] < heights["06-29 19:00"]
    (total,) = RECORD.totals
    assert totals_text(replace(total, complete=True), STANDARD).endswith("总出量 530 ml")


def test_pulse_and_heart_rate_share_a_column() -> None:
    assert [pulse_text(row(pulse=p, heart_rate=h)) for p, h in ((88, None), (88, 118), (None, 96), (None, None))] == [
        "88", "88/118", "–/96", "",
    ]  # fmt: skip


def test_the_header_follows_the_rows_of_its_page_through_a_move() -> None:
    rows = (row("a", at=paper.at(6, 14)), row("b", at=paper.at(6, 16)))
    assert {"ICU→心外科", "03→21"} <= set(texts(only(record(*rows)), "header"))
    assert {"心外科", "21"} <= set(texts(only(record()), "header"))


def test_a_site_has_the_columns_that_it_wants() -> None:
    columns = (
        Column(key="day_time", width_mm=20),
        Column(key="vital_pulse", width_mm=20),
        Column(key="course", width_mm=100),
    )
    style = msgspec.structs.replace(STANDARD, hourly=Hourly(columns=columns))
    (drawing,) = lay_out_hourly(record(row(pulse=88, course="安静入睡")), style)
    assert texts(drawing, "label") == ["日期时间", "P/HR", "病情观察及措施"]
    assert texts(drawing, "hourly") == ["06-29 14:00", "88", "安静入睡"]
    assert drawing.undrawn == ()


def test_what_the_site_has_no_column_for_is_told_on_the_paper() -> None:
    columns = (Column(key="day_time", width_mm=20), Column(key="course", width_mm=100))
    style = msgspec.structs.replace(STANDARD, hourly=Hourly(columns=columns))
    (drawing,) = lay_out_hourly(record(row(pulse=88, intake=(Fluid(item="水", ml=100),), signed="李敏")), style)
    assert [undrawn.reason for undrawn in drawing.undrawn] == [
        "06-29 14:00 P/HR（本单无此列）", "06-29 14:00 入量（本单无此列）", "06-29 14:00 签名（本单无此列）",
    ]  # fmt: skip
    assert texts(drawing, "notes") == ["未绘：P/HR, 入量, 签名（本单无此列）"]


def test_a_row_at_the_moment_of_a_move_is_of_the_new_ward() -> None:
    assert {"ICU", "03"} <= set(texts(only(record(row(at=paper.at(3, 9, 40)))), "header"))


def test_rows_need_identities_of_their_own() -> None:
    with pytest.raises(ValueError, match="'r' is no identity"):
        lay_out_hourly(record(row(), row()), STANDARD)


def test_a_stay_needs_a_zone() -> None:
    with pytest.raises(ValueError, match="has no time zone"):
        Stay(ward="ICU", bed="3", since=datetime(2026, 6, 29, 9))  # noqa: DTZ001
