from __future__ import annotations

import re

import pytest

from clinical.sheet.style import Style, StyleError, shipped_text, shipped_words
from clinical.sheet.style_file import SHIPPED, line_of, read_style, shipped_style


@pytest.mark.parametrize("name", SHIPPED)
def test_what_is_shipped_can_be_used(name: str) -> None:
    assert shipped_style(name).title == "体温单"


def test_shipped_styles_are_three_different_habits() -> None:
    standard, guizhou, early = map(shipped_style, SHIPPED)
    assert standard.slots.hours == guizhou.slots.hours == (2, 6, 10, 14, 18, 22)
    assert early.slots.hours == (3, 7, 11, 15, 19, 23)
    assert standard.slots.ends != guizhou.slots.ends
    assert {style.grid.temperature_low for style in (standard, guizhou, early)} == {33, 34, 35}
    assert {style.days.post_op_days for style in (standard, guizhou, early)} == {7, 10, 14}
    assert {style.absence.band for style in (standard, guizhou, early)} == {"under", "over"}


def test_an_empty_file_is_the_defaults() -> None:
    assert read_style("", "site.toml") == Style()


def refusal(text: str) -> str:
    with pytest.raises(StyleError) as refused:
        read_style(text, "site.toml")
    return str(refused.value)


# What is wrong in the standard file: what stands there, what stands there instead, what the refusal says.
CONTRADICTIONS = [
    ('zone = "Asia/Shanghai"', 'zone = "Beijing"', "zone: 'Beijing' is no time zone"),
    ("hours = [2, 6, 10, 14, 18, 22]", "hours = [2, 6, 10, 14, 18]", "slots.hours: 6 hours"),
    ("hours = [2, 6, 10, 14, 18, 22]", "hours = [2, 6, 10, 14, 22, 18]", "slots.hours: 6 hours"),
    ("hours = [2, 6, 10, 14, 18, 22]", "hours = [2, 6, 10, 14, 18, 24]", "slots.hours: an hour of the day"),
    ('ends = ["03:59", ', 'ends = ["01:59", ', "slots.ends: the bucket of 02:00 would not hold 02:00"),
    ('ends = ["03:59", ', 'ends = ["06:00", ', "slots.ends: the bucket of 06:00 would not hold 06:00"),
    ('ends = ["03:59", ', 'ends = ["3 am", ', "slots.ends: '3 am' is no time"),
    ('ends = ["03:59", ', "ends = [", "slots.ends: 6 times"),
    ("pulse_low = 20", "pulse_low = 40", "grid.pulse_low: 8 ℃ are as high as 160 beats"),
    ("temperature_low = 34", "temperature_low = 36", "grid.temperature_low: the axis must begin"),
    ("temperature_low = 34", "temperature_low = 34.5", "grid.temperature_low: Expected `int`, got `float`"),
    ("not_rising_limit = 35.0", "not_rising_limit = 41.0", "temperature.not_rising_limit: must be on the axis"),
    ('"bladder", "core"', '"bladder", "ear"', "temperature.core_routes: ear has a symbol and a row"),
    ('default_route = ""', 'default_route = "nose"', "temperature.default_route: nose has neither"),
    ('# "EICU" = "axillary"', '"EICU" = "nose"', "temperature.default_route_of_ward.EICU: nose has neither"),
    ('order = ["breaths", ', 'order = ["pressure", "breaths", ', "rows.order: pressure stands twice"),
    ('order = ["breaths", ', 'order = ["breaths", "mood", ', "rows.order: mood has no word"),
    ('about_yesterday = ["intake"', 'about_yesterday = ["pain", "intake"', "rows.about_yesterday: pain is in no row"),
    (
        'about_yesterday = ["intake"',
        'about_yesterday = ["breaths", "intake"',
        "rows.about_yesterday: breaths has its own",
    ),
    ("free = 2", "free = 7", "rows.free: 0 to 6"),
    ('kinds = ["refused"', 'kinds = ["asleep", "refused"', "absence.kinds: asleep has no word"),
    ("# Any word of the sheet", 'mood = "心情"\n# Any word', "words.mood: the sheet has no such word"),
    ('without_time = ["operation"]', 'without_time = ["nap"]', "events.without_time: nap is not among events.shown"),
    ("break_at = []", 'break_at = ["nap"]', "lines.break_at: nap is not among events.shown"),
    ("slot_width_mm = 4.0", "slot_width_mm = 4.5", "grid.slot_width_mm: the page is too narrow by 19.0 mm"),
    ("cell_height_mm = 3.4", "cell_height_mm = 5.0", "grid.cell_height_mm: grid and rows are higher than the page"),
    ("cell_height_mm = 3.4", "cell_height_mm = 1.0", "grid.cell_height_mm: cells of at least 2 mm"),
    ("post_op_days = 14", "post_op_days = 9", "days.post_op_days: Invalid enum value 9"),
    ('band = "under"', 'band = "beside"', "absence.band: Invalid enum value 'beside'"),
    ("recheck_mark", "recheck_sign", "temperature.recheck_sign: no such setting"),
    ('title = "体温单"', "title = 体温单", "not TOML"),
]


@pytest.mark.parametrize(("stands", "instead", "reason"), CONTRADICTIONS, ids=[row[2][:40] for row in CONTRADICTIONS])
def test_a_contradiction_is_refused_with_its_line_and_reason(stands: str, instead: str, reason: str) -> None:
    text = shipped_text("standard")
    assert stands in text
    changed = text.replace(stands, instead, 1)
    line = text[: text.index(stands)].count("\n") + 1
    refused = refusal(changed)
    assert refused.startswith(f"site.toml:{line}: ")
    assert reason in refused


def test_words_under_35_need_an_axis_that_goes_there() -> None:
    text = '[absence]\nband = "under"\n[grid]\ntemperature_low = 35\npulse_low = 40\n'
    assert refusal(text).startswith("site.toml:2: absence.band: nothing is under 35 ℃")


def test_what_the_file_leaves_out_is_told_at_its_table() -> None:
    assert refusal("# a\n[grid]\ntemperature_low = 33\n").startswith("site.toml:2: grid.pulse_low")
    assert refusal('zone = ""\n').startswith("site.toml:1: zone")


def test_hourly_columns_must_fit_the_paper() -> None:
    wide = "[hourly]\ncolumns = [{ key = 'day_time', width_mm = 280 }]\n"
    assert "hourly.columns: 280 mm: at most 277 mm" in refusal(wide)
    assert "mood is no column" in refusal("[hourly]\ncolumns = [{ key = 'mood', width_mm = 20 }]\n")
    assert "day_time is needed" in refusal("[hourly]\ncolumns = [{ key = 'course', width_mm = 20 }]\n")
    assert "hourly.row_height_mm" in refusal("[hourly]\nrow_height_mm = 2.0\n")


def test_a_site_may_add_rows_absences_and_events_with_words_of_its_own() -> None:
    style = read_style(
        '[rows]\norder = ["girth", "mood"]\nabout_yesterday = []\n[absence]\nkinds = ["dialysis"]\n'
        '[words]\nmood = "心情"\ndialysis = "透析"\n',
        "site.toml",
    )
    assert (style.word("mood"), style.word("dialysis"), style.word("girth")) == ("心情", "透析", "腹围(cm)")


def test_another_language_keeps_the_habits_and_not_the_words() -> None:
    style = read_style('[words]\nrefused = "拒绝"\n', "site.toml")
    assert style.word("refused") == "拒绝"
    assert style.in_language("zh") is style
    english = style.in_language("en")
    assert (english.word("refused"), english.title, english.slots) == ("Refused", "Temperature chart", style.slots)


def test_both_languages_have_the_same_words_and_placeholders() -> None:
    words = shipped_words()
    assert words["zh"].keys() == words["en"].keys()
    for key, text in words["zh"].items():
        assert set(re.findall(r"{\w+}", text)) == set(re.findall(r"{\w+}", words["en"][key])), key


def test_lines_are_found_in_nested_and_quoted_tables() -> None:
    text = 'a = 1\n[t]\nb = 2\n[t."内科"]\nc = 3\n'
    assert [line_of(text, place) for place in (("a",), ("t", "b"), ("t", "内科", "c"), ("t", "x"), ("y",))] == [
        1,
        3,
        5,
        2,
        1,
    ]
