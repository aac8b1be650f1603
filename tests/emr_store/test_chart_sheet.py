from __future__ import annotations

from datetime import timedelta

import pytest

from clinical.sheet.hourly_layout import lay_out_hourly
from clinical.sheet.style_file import shipped_style
from clinical.sheet.svg import svg
from emr_store import chart_acts, chart_entries, chart_sheet
from emr_store.acts import Author
from emr_store.chart_acts import Person as Writer
from emr_store.instants import moment
from schemas.errors import VitalwireError
from tests.adt import group
from tests.gateway.chart_ward import ENCOUNTER, NUMBER, ChartWard

STYLE = shipped_style("standard")


@pytest.fixture
def stay(database: str) -> ChartWard:
    return ChartWard(database, hours=6)


def test_the_header_and_what_adt_says(stay: ChartWard) -> None:
    away, moved = stay.second(stay.since_us) + 3600, stay.second(stay.since_us) + 10_800
    stay.hospital.emit_records([
        group("A09", away, patient=NUMBER), group("A10", away + 1800, patient=NUMBER),
        group("A02", moved, patient=NUMBER, bed="2"), group("A03", moved + 3600, patient=NUMBER, bed="2"),
    ])  # fmt: skip
    with stay.store.open() as conn:
        data = chart_sheet.sheet_data(conn, "V1", STYLE)
    patient = data.patient
    assert (patient.name, patient.sex, patient.age, patient.number) == ("张三", "男", "69", "V1")
    assert patient.admitted_at == moment(stay.since_us)
    assert [(s.ward, s.bed) for s in patient.stays] == [("ICU", "1"), ("ICU", "2")]
    assert [(e.kind, e.confirmed) for e in data.events] == [("admission", True)]
    assert [(a.kind, a.until and a.until - a.since) for a in data.absences] == [("out", timedelta(minutes=30))]
    assert data.version == 1


def test_the_admission_is_where_a_nurse_puts_it(stay: ChartWard) -> None:
    stay.enter("event", None, "admitted", 0.5)
    with stay.store.open() as conn:
        data = chart_sheet.sheet_data(conn, "V1", STYLE)
        hourly = chart_sheet.hourly_data(conn, "V1", STYLE)
    at = moment(stay.since_us) + timedelta(minutes=30)
    assert (data.patient.admitted_at, [e.at for e in data.events]) == (at, [at])
    assert [(row.course, row.confirmed) for row in hourly.rows] == [("入院", True)]


def test_an_admission_that_was_withdrawn_is_adt_s_again(stay: ChartWard) -> None:
    stay.enter("event", None, "admitted", 0.5)
    written = next(e for e in stay.entries() if e.key.item == "event")
    with stay.store.open() as conn:
        chart_acts.withdraw(conn, written.entry, Writer(Author("os:nurse@ward", "other time"), "李娜"))
        data = chart_sheet.sheet_data(conn, "V1", STYLE)
    assert (data.patient.admitted_at, data.version) == (moment(stay.since_us), 2)
    stay.enter("event", None, "admitted", 0.25)
    with stay.store.open() as conn:
        data = chart_sheet.sheet_data(conn, "V1", STYLE)
    assert data.patient.admitted_at == moment(stay.since_us) + timedelta(minutes=15)


def test_the_last_diagnosis_stands_above_the_hourly_record_alone(stay: ChartWard) -> None:
    with stay.store.open() as conn:
        assert chart_sheet.hourly_data(conn, "V1", STYLE).diagnosis == ""
    stay.enter("diagnosis", None, "重症肺炎", 0.5)
    stay.enter("diagnosis", None, "重症肺炎\n呼吸衰竭", 1)
    stay.enter("pain", 3, "", 2)
    with stay.store.open() as conn:
        since = moment(stay.since_us) + timedelta(minutes=90)
        hourly = chart_sheet.hourly_data(conn, "V1", STYLE, since=since)
    assert hourly.diagnosis == "重症肺炎 呼吸衰竭"
    assert [row.course for row in hourly.rows] == ["疼痛评分 3"]
    assert "重症肺炎 呼吸衰竭" in svg(lay_out_hourly(hourly, STYLE)[0])
    stay.enter("diagnosis", None, "脓毒症", 3)
    with stay.store.open() as conn:
        hourly = chart_sheet.hourly_data(conn, "V1", STYLE)
    assert (hourly.diagnosis, len(hourly.rows)) == ("脓毒症", 1)


def test_of_each_hour_the_first_is_read_and_all_that_a_person_did(stay: ChartWard) -> None:
    stay.monitor()
    stay.chart()
    third = [e for e in stay.entries() if e.key.item == "MDC_PULS_OXIM_SAT_O2"][2]
    stay.confirm(third)
    with stay.store.open() as conn:
        first = next(e for e in stay.entries() if e.key.item == "MDC_TEMP")
        chart_acts.withdraw(conn, first.entry, Writer(Author("os:nurse@ward", "of the next bed"), "李娜"))
        since = moment(stay.since_us)
        found = chart_entries.hours(conn, ENCOUNTER, since, since + timedelta(hours=2))
    shown = {
        item: [round((e.key.at_us - stay.since_us) / 60e6) for e in found if e.key.item == item]
        for item in ("MDC_PULS_OXIM_SAT_O2", "MDC_TEMP")
    }
    assert shown == {"MDC_PULS_OXIM_SAT_O2": [5, 15, 60], "MDC_TEMP": [5, 10, 60]}


def test_a_stay_that_never_was_is_refused_in_words(stay: ChartWard) -> None:
    with stay.store.open() as conn, pytest.raises(VitalwireError, match="no encounter has the number 'V9'"):
        chart_sheet.sheet_data(conn, "V9", STYLE)
