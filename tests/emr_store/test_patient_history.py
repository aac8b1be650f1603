"""What stands above a stay, as believed now."""

from __future__ import annotations

import pytest

from emr_store import patient_history
from emr_store.patient_history import StayHeader
from schemas.adt import Identifier
from tests.adt import group, key, visit_of
from tests.attributing import Hospital
from tests.storing import Store

PATIENT = "P1^HOSP^MR"


@pytest.fixture
def hospital(database: str) -> Hospital:
    return Hospital(Store(database))


def header(hospital: Hospital, visit: str) -> StayHeader | None:
    with hospital.store.open() as conn:
        return patient_history.stay_header(conn, visit_of(visit))


def test_a_stay_is_headed_by_its_last_bed_as_its_messages_called_it(hospital: Hospital) -> None:
    hospital.emit_records([group("A01", 0)])
    before = header(hospital, "V1")
    assert before is not None
    assert (before.patient, before.bed, before.discharged_at) == (PATIENT, key("1"), None)
    hospital.emit_records([group("A02", 60, bed="2")])
    after = header(hospital, "V1")
    assert after is not None
    assert (after.patient, after.bed) == (PATIENT, key("2"))
    with hospital.store.open() as conn:
        newest, *_ = patient_history.bed_beliefs(conn, PATIENT)
        assert (newest.bed, newest.bed_as_sent) == (after.bed, after.bed_as_sent)
    assert header(hospital, "V2") is None


def test_a_stay_whose_messages_name_two_patients_is_nobodys(hospital: Hospital) -> None:
    other = (Identifier(value="P2", authority="HOSP", type="MR"),)
    hospital.emit_records([group("A01", 0), group("A08", 30, patients=other)])
    found = header(hospital, "V1")
    assert found is not None
    assert found.patient is None
    assert found.bed == key("1")
