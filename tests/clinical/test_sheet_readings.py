from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace

from clinical import sheet_hours, sheet_readings
from clinical.chart import Entry, EntryKey, Origin, Status, Version
from clinical.sheet.content import Event, Pressure, Stool, Volume
from clinical.sheet.style_file import shipped_style

STYLE = shipped_style("standard")
DAY = datetime(2026, 11, 24, tzinfo=STYLE.local_zone())
SYSTOLIC, DIASTOLIC = "MDC_PRESS_BLD_NONINV_SYS", "MDC_PRESS_BLD_NONINV_DIA"
ACT = b"a" * 32


def us(hour: float) -> int:
    return int((DAY + timedelta(hours=hour)).timestamp() * 1e6)


def entry(
    item: str, hour: float, value: float | None = None, text: str = "", *, hand: bool = True,
    status: Status = Status.FINAL, name: str = "",
) -> Entry:  # fmt: skip
    version = Version(
        number=1, status=status, origin=Origin.HAND if hand else Origin.DEVICE, value=value, text=text, unit="",
        decimals=1, observed_at_us=us(hour), sources=(), reason="", act_id=ACT if hand else None, by_time=False,
        recorded_at_us=us(hour),
    )  # fmt: skip
    return Entry(entry=name or f"{item}@{hour}", key=EntryKey("V1", item, us(hour)), versions=(version,))


def device(item: str, hour: float, value: float, status: Status = Status.PRELIMINARY) -> Entry:
    return entry(item, hour, value, hand=False, status=status)


def amended(first: Entry, value: float) -> Entry:
    now = replace(first.now, number=2, status=Status.AMENDED, value=value, recorded_at_us=us(20))
    return replace(first, versions=(*first.versions, now))


def test_a_route_and_a_mark_beside_a_temperature_are_its_own() -> None:
    found = sheet_readings.readings(
        [
            entry("MDC_TEMP", 6, 39.0), entry("temperature-route", 6, text="axillary"),
            entry("MDC_TEMP", 6.5, 38.1), entry("temperature-mark", 6.5, text="cooled"),
            entry("MDC_TEMP_RECT", 10, 37.0), entry("temperature-mark", 10, text="repeated"),
            entry("MDC_TEMP", 14, 36.9),
            entry("temperature-mark", 18, text="low"),
        ],
        STYLE,
    )  # fmt: skip
    shown = [(r.value, r.route, r.cooled_from, r.rechecked) for r in found]
    assert shown == [
        (39.0, "axillary", "", False), (38.1, "", "MDC_TEMP@6", False), (37.0, "rectal", "", True),
        (36.9, "", "", False), (None, "", "", False),
    ]  # fmt: skip


def test_of_devices_one_a_slot_is_shown_confirmed_before_near() -> None:
    near, far = device("MDC_PULS_OXIM_PULS_RATE", 10, 80), device("MDC_PULS_OXIM_PULS_RATE", 9, 90, Status.FINAL)
    assert [r.value for r in sheet_readings.readings([far, near], STYLE)] == [90]
    early = device("MDC_PULS_OXIM_PULS_RATE", 9, 90)
    assert [r.value for r in sheet_readings.readings([early, near], STYLE)] == [80]
    by_hand = [entry("MDC_PULS_RATE", 8.5, 70), entry("MDC_PULS_RATE", 9.5, 72)]
    assert [r.value for r in sheet_readings.readings([*by_hand, near], STYLE)] == [70, 72]


def test_a_rate_of_the_ecg_makes_no_deficit_but_a_nurse_s_does() -> None:
    pulse, ecg = device("MDC_PULS_OXIM_PULS_RATE", 10, 80), device("MDC_ECG_HEART_RATE", 10, 96)
    assert [r.metric for r in sheet_readings.readings([pulse, ecg], STYLE)] == ["pulse"]
    assert [r.metric for r in sheet_readings.readings([ecg], STYLE)] == ["heart_rate"]
    both = [entry("MDC_ECG_HEART_RATE", 10, 96), entry("MDC_PULS_RATE", 10, 80)]
    assert sorted((r.metric, r.by_hand) for r in sheet_readings.readings(both, STYLE)) == [
        ("heart_rate", True), ("pulse", True),
    ]  # fmt: skip


def test_breaths_are_a_ventilator_s_until_another_way_of_oxygen() -> None:
    found = sheet_readings.readings(
        [
            entry("MDC_RESP_RATE", 2, 20), entry("oxygen-route", 5, text="ventilator"), entry("MDC_RESP_RATE", 6, 14),
            entry("oxygen-route", 9, text="mask"), entry("MDC_RESP_RATE", 10, 18),
        ],
        STYLE,
    )  # fmt: skip
    assert [r.ventilated for r in found] == [False, True, False]


def test_a_nurse_s_word_stands_for_that_of_adt() -> None:
    derived = [
        Event(id="a", confirmed=True, kind="admission", at=DAY + timedelta(hours=8)),
        Event(id="t1", confirmed=True, kind="transfer_in", at=DAY + timedelta(hours=9)),
        Event(id="t2", confirmed=True, kind="transfer_in", at=DAY + timedelta(hours=20)),
    ]
    written = [entry("event", 8.25, text="admitted", name="mine"), entry("event", 19, text="transferred", name="late")]
    assert [e.id for e in sheet_readings.events(written, derived)] == ["mine", "t1", "late"]


def test_rows_of_days() -> None:
    found = sheet_readings.day_entries(
        [
            entry(SYSTOLIC, 6, 120), entry(DIASTOLIC, 6, 80), device(SYSTOLIC, 7, 110), device(DIASTOLIC, 7, 70),
            device(SYSTOLIC, 15, 130), device(DIASTOLIC, 15, 90), device(SYSTOLIC, 16, 99),
            entry("stool", 18, text="1 2/E"), entry("weight", 8, 62.5), *(entry("urine", h, 50) for h in range(1, 25)),
        ],
        STYLE,
    )  # fmt: skip
    rows = {(e.row, e.day.day, e.value if not isinstance(e.value, Volume) else e.value.ml): e.confirmed for e in found}
    assert rows == {
        ("pressure", 24, Pressure(120, 80)): True, ("pressure", 24, Pressure(130, 90)): False,
        ("stool", 23, Stool(own=1, enemas=1, after_enema=2)): True, ("weight", 24, "62.5"): True,
        ("urine", 24, 1200.0): True,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "shown"),
    [("2", Stool(own=2)), ("0/E", Stool(enemas=1)), ("3/2E", Stool(enemas=2, after_enema=3)),
     ("※", Stool(incontinent=True)), ("☆", Stool(stoma=True)), ("稀便", "稀便")],
)  # fmt: skip
def test_stool_is_read_as_it_is_written(text: str, shown: object) -> None:
    (found,) = sheet_readings.day_entries([entry("stool", 18, text=text)], STYLE)
    assert found.value == shown


def test_volumes_that_leave_a_stretch_out_say_so_and_a_day_that_runs_is_not_summed() -> None:
    volumes = [entry("urine", 10, 50), entry("urine", 11, 60)]
    (found,) = sheet_readings.day_entries(volumes, STYLE)
    assert found.value == Volume(110, incomplete=("09:00", "11:00"))
    assert sheet_readings.day_entries(volumes, STYLE, DAY + timedelta(hours=12)) == ()


def test_an_edition_counts_what_changed_after_somebody_confirmed_it() -> None:
    first = entry("MDC_TEMP", 6, 39.0)
    assert sheet_readings.edition([first, device("MDC_TEMP", 7, 38)]) == 1
    assert sheet_readings.edition([amended(first, 38.0)]) == 2


def test_what_was_entered_in_error_is_on_no_paper() -> None:
    gone = entry("MDC_TEMP", 6, 39.0, status=Status.ENTERED_IN_ERROR)
    assert sheet_readings.standing([gone]) == []


def test_an_hour_has_a_row_and_what_was_corrected_stays_legible() -> None:
    rows = sheet_hours.hourly_rows(
        [
            amended(entry("MDC_PULS_OXIM_SAT_O2", 8, 91), 95), entry("acvpu", 8.5, text="A"), entry("urine", 8, 60),
            entry("oxygen-flow", 8, 3), entry("oxygen-route", 8, text="cannula"), entry("pain", 9, 3),
        ],
        {ACT: "李娜"}, STYLE,
    )  # fmt: skip
    assert [(row.spo2, row.struck[:2], row.consciousness, row.oxygen) for row in rows] == [
        (91, "李娜", "", ""), (95, "", "清醒", "3 L/min 鼻导管"), (None, "", "", ""),
    ]  # fmt: skip
    assert [(f.item, f.ml) for f in rows[1].output] == [("尿量", 60)]
    assert rows[2].course == "疼痛评分 3"
    assert len({row.id for row in rows}) == 3


def test_what_nobody_confirmed_is_marked_in_its_hour() -> None:
    (row,) = sheet_hours.hourly_rows([device("MDC_TEMP", 8.25, 37), entry("pain", 8.5, 1)], {}, STYLE)
    assert not row.confirmed
    assert row.at == (DAY + timedelta(hours=8.25)).astimezone(UTC)


def test_sums_run_from_the_hand_over_to_the_next() -> None:
    entries = [entry("urine", hour, 50) for hour in range(8, 33)] + [entry("intake", hour, 40) for hour in range(8, 33)]
    first, second = sheet_hours.daily_totals(entries, us(7), us(32), STYLE)
    assert (first.intake_ml, first.output_ml, first.complete) == (960, 1200, True)
    (output_alone,) = sheet_hours.daily_totals(
        [entry("urine", hour, 50) for hour in range(8, 32)], us(7), us(31), STYLE
    )
    assert (output_alone.output_ml, output_alone.complete) == (1200, False)
    assert second.since == (DAY + timedelta(hours=31)).astimezone(UTC)


def test_a_diagnosis_is_cut_where_the_header_ends_and_says_so() -> None:
    assert sheet_hours.diagnosis([]) == ""
    fits, more = "肺" * sheet_hours.DIAGNOSIS_CHARS_MAX, "肺" * (sheet_hours.DIAGNOSIS_CHARS_MAX + 1)
    assert sheet_hours.diagnosis([entry("diagnosis", 1, text=more), entry("diagnosis", 2, text=fits)]) == fits
    assert sheet_hours.diagnosis([entry("diagnosis", 1, text=more)]) == f"{fits[1:]}…"
    assert sheet_hours.hourly_rows([entry("diagnosis", 1, text=fits)], {}, STYLE) == ()
