from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import msgspec
import pytest

from clinical.sheet.content import ClockStep, Event, Reading, SheetData
from clinical.sheet.days import (
    Slot,
    clock_steps,
    date_texts,
    distance_s,
    operation_days,
    page_count,
    page_days,
    post_op_text,
    slot_of,
)
from clinical.sheet.style import Days, Style
from clinical.sheet.style_file import shipped_style
from tests import paper

STANDARD, GUIZHOU, EARLY = map(shipped_style, ("standard", "guizhou", "early-hours"))
DAY = date(2026, 6, 29)
BERLIN = msgspec.structs.replace(STANDARD, zone="Europe/Berlin")


@pytest.mark.parametrize(
    ("style", "clock", "slot"),
    [
        (STANDARD, "00:00", Slot(DAY, 0)), (STANDARD, "03:59", Slot(DAY, 0)), (STANDARD, "04:00", Slot(DAY, 1)),
        (STANDARD, "23:59", Slot(DAY, 5)),
        (GUIZHOU, "00:00", Slot(date(2026, 6, 28), 5)), (GUIZHOU, "00:01", Slot(DAY, 0)),
        (GUIZHOU, "04:00", Slot(DAY, 0)), (GUIZHOU, "04:01", Slot(DAY, 1)),
        (EARLY, "00:59", Slot(date(2026, 6, 28), 5)), (EARLY, "01:00", Slot(DAY, 0)), (EARLY, "20:59", Slot(DAY, 4)),
    ],
)  # fmt: skip
def test_buckets_end_where_the_site_says(style: Style, clock: str, slot: Slot) -> None:
    hour, minute = map(int, clock.split(":"))
    assert slot_of(datetime(2026, 6, 29, hour, minute, 59, tzinfo=paper.ZONE), style) == slot


def test_a_last_bucket_that_ends_before_midnight_leaves_the_rest_to_tomorrow() -> None:
    slots = msgspec.structs.replace(STANDARD.slots, ends=("03:00", "07:00", "11:00", "15:00", "19:00", "23:00"))
    style = msgspec.structs.replace(STANDARD, slots=slots)
    assert slot_of(datetime(2026, 6, 29, 23, 30, tzinfo=paper.ZONE), style) == Slot(date(2026, 6, 30), 0)


def test_the_wall_clock_of_the_site_decides_wherever_the_time_was_written() -> None:
    moment = datetime(2026, 6, 28, 18, 30, tzinfo=UTC)
    assert slot_of(moment, STANDARD) == Slot(DAY, 0)
    assert slot_of(moment, BERLIN) == Slot(date(2026, 6, 28), 5)


def test_an_hour_that_the_clock_repeats_falls_into_one_slot_twice() -> None:
    before = datetime(2026, 10, 25, 0, 30, tzinfo=UTC)  # 02:30 in summer
    after = datetime(2026, 10, 25, 1, 30, tzinfo=UTC)  # 02:30 in winter
    assert slot_of(before, BERLIN) == slot_of(after, BERLIN) == Slot(date(2026, 10, 25), 0)
    assert distance_s(before, slot_of(before, BERLIN), BERLIN) == 1800


def test_an_hour_that_the_clock_skips_moves_later_values_on() -> None:
    begin = datetime(2026, 3, 29, 0, 0, tzinfo=UTC)  # 01:00; at 02:00 it becomes 03:00
    slots = [slot_of(begin + timedelta(minutes=30 * step), BERLIN).index for step in range(6)]
    assert slots == [0, 0, 0, 0, 1, 1]


def test_steps_of_the_clock_are_found_in_the_zone_and_in_what_the_site_said() -> None:
    days = [date(2026, 10, 23) + timedelta(days=index) for index in range(7)]
    said = ClockStep(at=datetime(2026, 10, 27, 9, 0, tzinfo=UTC), step_s=90.0)
    elsewhere = ClockStep(at=datetime(2026, 11, 27, 9, 0, tzinfo=UTC), step_s=90.0)
    data = SheetData(patient=paper.PATIENT, clock_steps=(elsewhere, said))
    assert clock_steps(data, days, BERLIN) == [
        ClockStep(at=datetime(2026, 10, 25, 1, 0, tzinfo=UTC), step_s=-3600.0),
        said,
    ]
    assert clock_steps(data, days, STANDARD) == [said]


def test_a_time_without_a_zone_says_no_moment() -> None:
    with pytest.raises(ValueError, match="no time zone"):
        slot_of(datetime(2026, 6, 29, 10), STANDARD)  # noqa: DTZ001


def test_dates_say_a_new_month_and_a_new_year() -> None:
    def week(year: int, month: int, day: int) -> list[date]:
        return [date(year, month, day) + timedelta(days=index) for index in range(7)]

    assert date_texts(week(2026, 6, 27), STANDARD) == ["2026-06-27", "28", "29", "30", "07-01", "2", "3"]
    assert date_texts(week(2026, 6, 27), GUIZHOU)[:3] == ["2026-06-27", "06-28", "06-29"]
    assert date_texts(week(2026, 12, 30), STANDARD)[1:4] == ["31", "2027-01-01", "2"]


def post_op(day: int, operations: list[int], **habits: object) -> str:
    style = msgspec.structs.replace(STANDARD, days=msgspec.structs.replace(Days(), **habits))
    return post_op_text(paper.on(day), [paper.on(operation) for operation in operations], style)


@pytest.mark.parametrize(
    ("day", "operations", "habits", "text"),
    [
        (3, [3], {}, ""), (4, [3], {}, "1"), (17, [3], {}, "14"), (18, [3], {}, ""),
        (10, [3], {"post_op_days": 7}, "7"), (11, [3], {"post_op_days": 7}, ""), (13, [3], {"post_op_days": 10}, "10"),
        (6, [3, 6], {}, "3"), (7, [3, 6], {}, "1/4"), (18, [3, 6], {}, "12"),  # the first one's window is over
        (20, [3, 19], {}, "1"),  # a second one after it begins anew
        (7, [3, 6], {"post_op_notation": "roman"}, "Ⅱ-1"), (4, [3], {"post_op_notation": "roman"}, "1"),
        (9, [3, 6, 8], {}, "1/3"), (9, [3, 6, 8], {"post_op_shown": "all"}, "1/3/6"),
        (9, [3, 6, 8], {"post_op_shown": "last"}, "1"),
        (3, [3], {"operation_day": "zero"}, "0"), (6, [3, 6], {"operation_day": "zero"}, "0/3"),
        (6, [3, 6], {"operation_day": "count"}, "3(2)"), (3, [3], {"operation_day": "count"}, "(1)"),
        (4, [3, 3], {}, "1"), (2, [3], {}, ""),
    ],
)  # fmt: skip
def test_days_after_operations(day: int, operations: list[int], habits: dict[str, object], text: str) -> None:
    assert post_op(day, operations, **habits) == text


def test_births_count_like_operations_and_nothing_else_does() -> None:
    events = [
        Event(id="b", kind="birth", at=paper.at(4, 9)),
        Event(id="o", kind="operation", at=paper.at(2, 9)),
        Event(id="t", kind="transfer_in", at=paper.at(3, 9)),
    ]
    assert operation_days(events, STANDARD) == [paper.on(2), paper.on(4)]


def test_pages_are_weeks_from_the_admission_on() -> None:
    data = SheetData(patient=paper.PATIENT, until=paper.at(7, 23))
    assert page_count(data, STANDARD) == 1
    assert page_count(replace(data, until=paper.at(8, 0)), STANDARD) == 2
    assert page_days(replace(data, until=paper.at(8, 0)), STANDARD, 2)[0] == paper.on(8)
    late = Reading(id="x", metric="pulse", observed_at=paper.at(15, 6), value=80)
    assert page_count(replace(data, until=None, readings=(late,)), STANDARD) == 3


def test_an_admission_shortly_after_midnight_is_that_day() -> None:
    patient = replace(paper.PATIENT, admitted_at=datetime(2026, 6, 27, 0, 10, tzinfo=ZoneInfo("Asia/Shanghai")))
    assert page_days(SheetData(patient=patient), EARLY, 1)[0] == date(2026, 6, 27)
