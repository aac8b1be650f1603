"""Scans as rows: whose a device is by them, what they ask, and what changes when more is known."""

from __future__ import annotations

import hashlib
import random
from dataclasses import replace
from typing import Any

import pytest

from emr_store import evidence_words, patient_acts, patients
from schemas.adt import Identifier, Merge
from schemas.report import ClockQuality, Kind, Lane, Report
from schemas.scan import SCAN_CODE, Scan, ScanAction, WristbandNumber, encode_scan
from tests.adt import SOURCE, group, number, us, visit_of
from tests.attributing import SITE, Hospital, adt_report, text_of
from tests.emr_store.test_whose import CLAIM, DEVICE, NOBODY, V1, V2, at, context, place, whose
from tests.storing import Store, event

EITHER, PATIENT, VISIT = WristbandNumber.EITHER, WristbandNumber.PATIENT, WristbandNumber.VISIT


@pytest.fixture
def hospital(database: str) -> Hospital:
    made = Hospital(Store(database), replace(SITE, sources={SOURCE.name: SOURCE}))
    made.store.emit(event(CLAIM, "identity", CLAIM, us(0)))
    return made


def scan(
    second: float | None, wristband: str = "", *, device: str = CLAIM, number_of: WristbandNumber = EITHER,
    retained: bool = False, authority: str = "",
) -> Report:  # fmt: skip
    """As the driver scan_json makes it; without a wristband an end."""
    said = Scan(
        action=ScanAction.ASSOCIATE if wristband else ScanAction.DISASSOCIATE, device=device,
        digest=hashlib.sha256(f"{second} {wristband} {device}".encode()).digest(),
        wristband=Identifier(value=wristband, authority=authority) if wristband else None, number_of=number_of,
        at_us=None if second is None else us(second), scanner="APP-4",
    )  # fmt: skip
    records = [text_of("vitalwire", SCAN_CODE, encode_scan(said))]
    records += [text_of("MQTT", "retain", "retained")] if retained else []
    at_us = us(second or 0)
    return Report(
        Kind.CONTEXT, "scan:scans", at_us, at_us, ClockQuality.DEVICE, tuple(records), own_time=True, lane=Lane.ADT
    )


def emit(hospital: Hospital, *reports: Report) -> None:
    hospital.store.emit(*reports, lane=Lane.ADT)
    hospital.attribute()


def asked(hospital: Hospital) -> list[tuple[str, str]]:
    with hospital.store.open() as conn:
        return [(q.kind, q.detail) for q in patient_acts.questions(conn) if q.kind.startswith("scan")]


def admitted(hospital: Hospital) -> None:
    """V1 in bed 1, V2 in bed 2; the device stands at bed 1."""
    place(hospital)
    hospital.emit_records([group("A01", 0), group("A01", 1, visit="V2", patient="P2", bed="2")])


@pytest.mark.parametrize(("wristband", "number_of"), [("V2", EITHER), ("V2", VISIT), ("P2", EITHER), ("P2", PATIENT)])
def test_a_scan_says_whose_the_device_is_by_either_number(
    hospital: Hospital, wristband: str, number_of: WristbandNumber
) -> None:
    admitted(hospital)
    emit(hospital, scan(10, wristband, number_of=number_of))
    assert whose(hospital)[-1] == (10, None, "attributed", "scan", V2)
    assert asked(hospital) == [("scan_contradicted", "")]  # the bed says another


def test_the_facts_behind_it_are_the_scan(hospital: Hospital) -> None:
    admitted(hospital)
    emit(hospital, scan(10, "V1"))
    with hospital.store.open() as conn:
        found = patients.whose_at(conn, DEVICE, at(20))
        assert found is not None
        (behind,) = evidence_words.facts_behind(conn, found.whose.facts)
    assert (behind.kind, behind.at) == ("scan", at(10))
    assert behind.words == f"a scan of the wristband V1 and the device {CLAIM}, by APP-4"
    assert asked(hospital) == []


def test_it_lasts_until_the_patient_changes_place_the_next_scan_or_its_end(hospital: Hospital) -> None:
    admitted(hospital)
    emit(hospital, scan(10, "V2"), scan(20, "V1"), scan(30, ""), scan(40, "P2"))
    hospital.emit_records([group("A02", 50, visit="V2", patient="P2", bed="3")])
    assert whose(hospital)[-5:] == [
        (10, 20, "attributed", "scan", V2), (20, 30, "attributed", "scan", V1), (30, 40, "attributed", "bed", V1),
        (40, 50, "attributed", "scan", V2), (50, None, "attributed", "bed", V1),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        (scan(None, "V2"), "scan_without_time"),
        (scan(10, "V2", retained=True), "scan_retained"),
        (scan(10, "V3"), "scan_of_unknown_wristband"),
        (scan(10, "P2", number_of=VISIT), "scan_of_unknown_wristband"),
        (scan(10, "V2", authority="OTHER"), "scan_of_unknown_wristband"),
        (scan(-10, "V2"), "scan_of_unknown_wristband"),  # before the admission
        (scan(10, "V2", device="his/PV1-3=nowhere"), "scan_of_unknown_device"),
    ],
)
def test_what_is_not_clear_is_asked_and_changes_nothing(hospital: Hospital, said: Report, kind: str) -> None:
    admitted(hospital)
    before = whose(hospital)
    emit(hospital, said)
    assert whose(hospital) == before
    assert [found for found, _ in asked(hospital)] == [kind]
    assert hospital.store.rows("SELECT FROM device_encounter") == []


def test_a_patient_with_two_open_visits_is_asked_for_the_visit(hospital: Hospital) -> None:
    admitted(hospital)
    hospital.emit_records([group("A01", 2, visit="V4", patient="P2", bed="4")])
    emit(hospital, scan(10, "P2"))
    assert [kind for kind, _ in asked(hospital)] == ["scan_of_several_visits"]
    emit(hospital, scan(11, "V4"))
    assert whose(hospital)[-1] == (11, None, "attributed", "scan", visit_of("V4"))


def test_an_admission_that_comes_after_the_scan_gives_it_its_effect(hospital: Hospital) -> None:
    place(hospital)
    emit(hospital, scan(10, "P2"))
    assert [kind for kind, _ in asked(hospital)] == ["scan_of_unknown_wristband"]
    hospital.emit_records([group("A01", 1, visit="V2", patient="P2", bed="2", sent=60)])
    assert whose(hospital)[-1] == (10, None, "attributed", "scan", V2)
    assert asked(hospital) == []
    hospital.emit_records([group("A11", 70, visit="V2", patient="P2", bed="2", happened=1)])  # it was an error
    assert whose(hospital)[-1][2:] == NOBODY
    assert [kind for kind, _ in asked(hospital)] == ["scan_of_unknown_wristband"]
    assert len(hospital.store.rows("SELECT FROM device_encounter")) == 1  # what was believed stays


def test_a_device_that_is_heard_after_the_scan_is_the_patient_s(hospital: Hospital) -> None:
    admitted(hospital)
    late = "adt/PV1-3=ICU^^8"
    emit(hospital, scan(10, "V2", device=late))
    assert [kind for kind, _ in asked(hospital)] == ["scan_of_unknown_device"]
    hospital.store.emit(event(late, "identity", late, us(12)))
    hospital.attribute()
    assert asked(hospital) == []
    assert hospital.store.rows("SELECT encounter, basis FROM whose WHERE encounter = %s", V2) == [(V2, "scan")]


def test_the_same_scan_twice_is_one_and_what_was_retained_of_it_asks_nothing(hospital: Hospital) -> None:
    admitted(hospital)
    emit(hospital, scan(10, "V1"), scan(10, "V1"))
    emit(hospital, scan(10, "V1"), scan(10, "V1", retained=True))
    assert hospital.store.rows("SELECT retained FROM device_scan ORDER BY 1") == [(False,), (True,)]
    assert len(hospital.store.rows("SELECT FROM device_encounter")) == 1
    assert asked(hospital) == []


def test_what_a_person_says_outranks_a_scan_and_a_later_scan_asks(hospital: Hospital) -> None:
    admitted(hospital)
    emit(hospital, scan(10, "V2"))
    with hospital.store.open() as conn:
        patient_acts.associate(conn, CLAIM, V1, since=at(5), until=at(30))
    hospital.attribute()
    held = [row for row in whose(hospital) if row[3] == "act"]
    assert held == [(5, 30, "attributed", "act", V1)]
    with hospital.store.open() as conn:
        assert "act_contradicted" not in {q.kind for q in patient_acts.questions(conn, whole=True)}
    emit(hospital, scan(20, "V2"))
    assert [row for row in whose(hospital) if row[3] == "act"] == held
    with hospital.store.open() as conn:
        kinds = {q.kind for q in patient_acts.questions(conn, whole=True)}
    assert "act_contradicted" in kinds


def test_the_number_beside_the_values_is_outranked_and_asks(hospital: Hospital) -> None:
    admitted(hospital)
    emit(hospital, scan(10, "V2"))
    hospital.store.emit(context(12, "P1"))
    hospital.attribute()
    assert whose(hospital)[-1] == (10, None, "attributed", "scan", V2)


def test_any_order_of_messages_and_scans_comes_to_the_same(database: str) -> None:
    place_of = [group("A01", 0), group("A01", 1, visit="V2", patient="P2", bed="2"), group("A02", 25, bed="3")]
    said: list[Any] = [scan(5, "V2"), scan(15, "P1"), scan(20, ""), scan(30, "V1"), scan(35, "P2")]
    results = set()
    for seed in range(6):
        reports = [adt_report(each) for each in place_of] + said
        random.Random(seed).shuffle(reports)
        hospital = Hospital(Store(database))
        hospital.store.emit(event(CLAIM, "identity", CLAIM, us(0)))
        if not seed:
            place(hospital)
        for report in reports:
            emit(hospital, report)
        results.add(tuple(whose(hospital)))
        with hospital.store.open() as conn:
            conn.execute("TRUNCATE device_encounter, device_scan, adt_fact, encounter, encounter_bed, whose CASCADE")
    (whole,) = results
    assert whole == (
        (-1000, 0, *NOBODY), (0, 5, "attributed", "bed", V1), (5, 15, "attributed", "scan", V2),
        (15, 20, "attributed", "scan", V1), (20, 25, "attributed", "bed", V1), (25, 30, *NOBODY),
        (30, 35, "attributed", "scan", V1), (35, None, "attributed", "scan", V2),
    )  # fmt: skip


def test_a_scan_keeps_its_visit_when_its_patient_is_merged_with_another_who_is_here(hospital: Hospital) -> None:
    """The survivor has two open visits then; the number on the wristband was that of one of them."""
    admitted(hospital)
    emit(hospital, scan(10, "P2"))
    merged = group("A40", 20, visit="", patient="P1", bed="", merges=(Merge(patients=(number("P2"),)),))
    hospital.emit_records([merged])
    assert whose(hospital)[-1] == (10, None, "attributed", "scan", V2)
    assert "scan_of_several_visits" not in {kind for kind, _ in asked(hospital)}
