from __future__ import annotations

from dataclasses import replace

import pytest

from clinical.sheet.content import DayValue, Event, Pressure, Stool, Volume
from clinical.sheet.style_file import shipped_style
from clinical.sheet.words import celsius_text, chinese_time, day_text, event_text, number_text
from tests import paper

STANDARD, GUIZHOU, EARLY = map(shipped_style, ("standard", "guizhou", "early-hours"))


@pytest.mark.parametrize(
    ("hour", "minute", "text"),
    [(0, 0, "零时"), (9, 5, "九时零五分"), (10, 10, "十时十分"), (11, 0, "十一时"), (20, 30, "二十时三十分"),
     (23, 59, "二十三时五十九分")],
)  # fmt: skip
def test_times_in_chinese(hour: int, minute: int, text: str) -> None:
    assert chinese_time(paper.at(1, hour, minute)) == text


def test_events_have_a_time_as_the_site_writes_it() -> None:
    moved = Event(id="e", kind="transfer_in", at=paper.at(3, 9, 40))
    operated = replace(moved, kind="operation")
    assert [event_text(moved, style) for style in (STANDARD, GUIZHOU)] == ["转入|九时四十分", "转入于09:40"]
    assert [event_text(operated, style) for style in (STANDARD, EARLY)] == ["手术", "手术|九时四十分"]
    assert event_text(moved, STANDARD.in_language("en")) == "Moved in|09:40"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Stool(), "0"), (Stool(own=2), "2"), (Stool(enemas=1, after_enema=1), "1/E"), (Stool(enemas=1), "0/E"),
        (Stool(own=1, enemas=1, after_enema=2), "1 2/E"), (Stool(enemas=2, after_enema=3), "3/2E"),
        (Stool(incontinent=True), "※"), (Stool(stoma=True), "☆"),
        (Volume(1800), "1800"), (Volume(1800, catheter=True), "1800/C"), (Volume(62.5), "62.5"),
        (Volume(900, incomplete=("08:00", "20:00")), "900 (08:00–20:00)"),
        (Pressure(120, 80), "120/80"), (Pressure(150, 80, legs=True), "150/80(下肢)"), ("平车", "平车"),
    ],
)  # fmt: skip
def test_day_values_are_written_as_wards_write_them(value: DayValue, text: str) -> None:
    assert day_text(value, STANDARD) == text


def test_numbers() -> None:
    assert [number_text(value) for value in (120.0, 62.5, 0.25, 100.0)] == ["120", "62.5", "0.25", "100"]
    assert celsius_text(37) == "37.0"
