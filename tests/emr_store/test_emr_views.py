"""The views that a hospital's own system reads."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from psycopg.rows import dict_row

from clinical.chart_policy import read_policies
from emr_store import chart_acts, patient_acts
from emr_store.bed_names import keep_bed_names
from emr_store.instants import moment
from schemas.adt import Merge, Person
from schemas.nomenclature import METRIC_BY_REFERENCE_ID
from schemas.report import Record, Report
from tests.adt import group, key, number, patient_of, us, visit_of
from tests.charting import CLAIM, POLICIES, PULSE_ID, SLOT, SPO2_ID, V1, V2, Ward, pulse, spo2
from tests.conftest import Databases
from tests.emr_store.test_charted import NURSE
from tests.making import report

DOCUMENT = (Path(__file__).parents[2] / "docs" / "emr-views.md").read_text("utf-8")
TEMP_CODE, CEL = 150344, 268192
TEMPERATURES = '\n[[policy]]\nmetrics = ["MDC_TEMP"]\nwhen = "each"\nvalue = "each"\n'


def temperature(at: float, hundredths: int) -> Report:
    return report(CLAIM, us(at), [Record(TEMP_CODE, CEL, mantissa=hundredths, exponent=-2)])


@pytest.fixture(scope="module")
def made_once(module_database: str) -> Ward:
    made = Ward(module_database, read_policies(POLICIES + TEMPERATURES))
    made.place()
    made.hospital.emit(group("A01", 0), person=Person(family="张", given="三", birth_date="19570311", sex="M"))
    made.emit(spo2(50, 97), temperature(60, 3650))
    made.chart()
    made.store.hang_up()
    return made


@pytest.fixture
def database(databases: Databases, made_once: Ward) -> Iterator[str]:
    yield from databases.copy_of(made_once.store.address)


@pytest.fixture
def ward(made_once: Ward, database: str) -> Ward:
    return made_once.in_copy(database)


def rows(ward: Ward, view: str = "emr_vital_sign", where: str = "true", *parameters: object) -> list[dict[str, Any]]:
    with ward.store.open() as conn:
        sql = f"SELECT * FROM {view} WHERE {where} ORDER BY slot, item, recorded_at"
        return conn.cursor(row_factory=dict_row).execute(sql.encode(), parameters).fetchall()


def test_a_row_says_all_of_an_entry(ward: Ward) -> None:
    with ward.store.open() as conn:
        keep_bed_names(conn, {key("1"): "重症1床"})
    (entry,) = [entry for entry in ward.entries() if entry.key.item == "MDC_TEMP"]
    (row,) = rows(ward, "emr_vital_sign", "item = 'MDC_TEMP'")
    assert row == {
        "patient_number": "P1", "patient_authority": "HOSP", "patient_number_type": "MR", "patient_name": "张 三",
        "visit_number": "V1", "entry": row["entry"], "version": 1, "status": "preliminary", "encounter": V1,
        "bed": "重症1床", "item": "MDC_TEMP", "name_zh": "体温", "name_en": "Temperature, site not stated",
        "loinc": "8310-5", "mdc_id": "MDC_TEMP", "mdc_code": TEMP_CODE, "data_element": "DE04.10.186.00",
        "data_element_name": "体温", "value": 36.5, "value_text": "36.50", "unit": "Cel", "unit_zh": "℃",
        "observed_at": moment(us(60)), "slot": moment(us(60)), "recorded_at": moment(entry.now.recorded_at_us),
        "origin": "device", "by_time": False, "confirmed_by": None,
    }  # fmt: skip
    assert str(row["entry"]) == entry.entry
    (row,) = rows(ward, "emr_vital_sign", "data_element = 'DE04.50.149.00'")
    assert (row["item"], row["value_text"], row["unit_zh"]) == (SPO2_ID, "97", "%")


def test_what_a_person_wrote_and_confirmed(ward: Ward) -> None:
    with ward.store.open() as conn:
        chart_acts.enter(conn, "V1", "acvpu", None, "A", moment(us(200)), NURSE)
        chart_acts.enter(conn, "V1", "pain", 3, "", moment(us(200)), NURSE)
        for entry in ward.entries():
            if entry.key.item == SPO2_ID:
                chart_acts.confirm(conn, entry.entry, NURSE)
    found = {row["item"]: row for row in rows(ward)}
    said = {
        item: tuple(row[name] for name in ("value", "value_text", "unit_zh", "status", "version", "confirmed_by"))
        for item, row in found.items()
    }
    assert said == {
        "MDC_TEMP": (36.5, "36.50", "℃", "preliminary", 1, None),
        SPO2_ID: (97, "97", "%", "final", 2, "李娜"),
        "acvpu": (None, "A", "", "final", 1, "李娜"),
        "pain": (3, "3", "分", "final", 1, "李娜"),
    }
    assert (found["pain"]["origin"], found["pain"]["bed"], found["pain"]["mdc_id"]) == ("hand", "icu 1", None)
    acvpu = found["acvpu"]
    assert (acvpu["name_zh"], acvpu["data_element"], acvpu["loinc"]) == ("意识", None, "80288-4")


def test_codes_are_of_the_unit_and_no_number_of_our_own_is_a_standard_s(ward: Ward) -> None:
    with ward.store.open() as conn:
        for minute, (item, unit) in enumerate(
            (("MDC_CONC_AWAY_CO2_ET", "mm[Hg]"), ("MDC_CONC_AWAY_CO2_ET", "%"), ("VITALWIRE_SAT_O2_BLD", "%"))
        ):
            chart_acts.enter(conn, "V1", item, 5, "", moment(us(200 + 60 * minute)), NURSE)
            with conn.transaction():
                conn.execute("ALTER TABLE chart_entry DISABLE TRIGGER USER")
                conn.execute("UPDATE chart_entry SET unit = %s WHERE slot = %s", (unit, moment(us(200 + 60 * minute))))
                conn.execute("ALTER TABLE chart_entry ENABLE TRIGGER USER")
    found = [(row["unit"], row["loinc"], row["mdc_id"], row["mdc_code"]) for row in rows(ward)[2:]]
    etco2 = METRIC_BY_REFERENCE_ID["MDC_CONC_AWAY_CO2_ET"]
    assert found == [
        ("mm[Hg]", etco2.loinc, etco2.reference_id, etco2.code), ("%", None, etco2.reference_id, etco2.code),
        ("%", "20564-1", None, None),
    ]  # fmt: skip


def test_what_was_entered_in_error_shows_no_value_and_is_not_the_latest(ward: Ward) -> None:
    ward.emit(spo2(350, 90))
    ward.chart()
    with ward.store.open() as conn:
        newest = [entry for entry in ward.entries() if entry.key.item == SPO2_ID][-1]
        chart_acts.withdraw(conn, newest.entry, NURSE)
    found = rows(ward, "emr_vital_sign", "item = %s", SPO2_ID)
    shown = [(row["status"], row["value"], row["value_text"]) for row in found]
    assert shown == [("preliminary", 97, "97"), ("entered-in-error", None, None)]
    (latest,) = rows(ward, "emr_vital_sign_latest", "item = %s", SPO2_ID)
    assert (latest["value"], latest["slot"]) == (97, moment(us(SLOT)))


def test_the_latest_is_the_last_row_of_each_item_and_encounter(ward: Ward) -> None:
    ward.place("adt/PV1-3=ICU^^2", "ICU-2")
    ward.hospital.emit_records([group("A01", 0, visit="V2", patient="P2", bed="2")])
    ward.emit(spo2(350, 90), pulse(370, 80), pulse(380, 81), spo2(350, 88, "adt/PV1-3=ICU^^2"))
    ward.chart()
    with ward.store.open() as conn:  # amended: the newest version of the newest slot
        newest = [entry for entry in ward.entries() if entry.key.item == SPO2_ID][-1]
        chart_acts.correct(conn, newest.entry, 91, "", NURSE)
    latest = rows(ward, "emr_vital_sign_latest")
    assert {(row["visit_number"], row["item"], row["value"], row["version"]) for row in latest} == {
        ("V1", "MDC_TEMP", 36.5, 1), ("V1", SPO2_ID, 91, 2), ("V1", PULSE_ID, 81, 1), ("V2", SPO2_ID, 88, 1),
    }  # fmt: skip
    everything = rows(ward)
    assert all(row in everything for row in latest)
    for where, value in (("encounter = %s", V2), ("visit_number = %s", "V2"), ("patient_number = %s", "P2")):
        for view in ("emr_vital_sign", "emr_vital_sign_latest"):
            assert [row["value"] for row in rows(ward, view, where, value)] == [88]
    assert rows(ward, "emr_vital_sign_latest", "encounter = %s", visit_of("V3")) == []


def test_the_patient_is_the_survivor_and_of_an_erased_one_there_is_no_name(ward: Ward) -> None:
    merge = group("A40", 400, visit="", patient="P9", bed="", patient_class="N", merges=(Merge((number("P1"),)),))
    ward.hospital.emit(merge, person=Person(name="李四"))
    ward.hospital.attribute()
    assert {(row["patient_number"], row["patient_name"]) for row in rows(ward)} == {("P9", "李四")}
    with ward.store.open() as conn:
        patient_acts.erase(conn, patient_of("P9"))
    for view in ("emr_vital_sign", "emr_vital_sign_latest"):
        found = rows(ward, view)
        assert {(row["patient_number"], row["patient_name"]) for row in found} == {("P9", None)}
        assert "李四" not in str(found)


def test_of_an_encounter_that_never_was_nothing_stands(ward: Ward) -> None:
    ward.hospital.emit_records([group("A11", 400)])
    ward.chart()
    found = rows(ward)
    assert {(row["patient_number"], row["status"], row["value"]) for row in found} == {(None, "entered-in-error", None)}
    assert rows(ward, "emr_vital_sign_latest") == []


def test_the_bed_is_that_of_the_moment_of_measurement(ward: Ward) -> None:
    ward.hospital.emit_records([group("A02", 55, bed="2")])
    ward.chart()
    assert {row["item"]: row["bed"] for row in rows(ward)}[SPO2_ID] == "icu 1"


def test_both_views_have_the_same_columns(ward: Ward) -> None:
    (row, *_), (latest, *_) = rows(ward), rows(ward, "emr_vital_sign_latest")
    assert list(row) == list(latest)


def test_the_document_names_the_columns_there_are(ward: Ward) -> None:
    (row, *_) = rows(ward)
    table = DOCUMENT.split("## Columns")[1].split("## Data elements")[0]
    first_cells = re.findall(r"^\| (`[^|]*) \|", table, re.MULTILINE)
    named = [name for cell in first_cells for name in re.findall(r"`(\w+)`", cell)]
    assert named == list(row)


def test_the_queries_of_the_document_find_something(ward: Ward) -> None:
    queries = [query for block in re.findall(r"```sql\n(.*?)```", DOCUMENT, re.DOTALL) for query in block.split(";")]
    with ward.store.open() as conn:
        for entry in ward.entries():
            chart_acts.confirm(conn, entry.entry, NURSE)
        # This test's patient is another one, and of another day; "now" is when the value was measured.
        for old, new in (
            ("'00012345'", "'P1'"), ("'2026-11-29 00:00+08'", "'2026-09-21 00:00+08'"),
            ("'2026-11-30 00:00+08'", "'2026-09-22 00:00+08'"), ("now()", "timestamptz '2026-09-21 14:14+00'"),
        ):  # fmt: skip
            queries = [query.replace(old, new) for query in queries]
        found = [conn.execute(query.encode()).fetchall() for query in queries if query.strip()]
    assert [len(each) for each in found] == [2, 2, 2, 1, 2]
