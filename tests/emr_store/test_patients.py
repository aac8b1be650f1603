"""Questions about patients, and that they are quick where many have come and gone."""

from __future__ import annotations

import time
from datetime import timedelta
from uuid import UUID

import pytest

from emr_store import patients
from emr_store.instants import EPOCH, moment, us_of
from schemas.adt import Identifier
from schemas.errors import VitalwireError
from tests.adt import group, key, us, visit_of
from tests.attributing import Hospital
from tests.storing import Store

DAY = EPOCH + timedelta(days=20_000)
PLACES = 50_000  # changes of place of 200 devices and as many beds


@pytest.fixture
def hospital(database: str) -> Hospital:
    return Hospital(Store(database))


def test_moments_are_exact_to_the_microsecond() -> None:
    for at_us in (0, 1, -1, us(0) + 1, 253_402_300_799_999_999):
        assert us_of(moment(at_us)) == at_us
    assert moment(None) is None
    assert us_of(None) is None


def test_where_a_patient_was_and_who_is_where(hospital: Hospital) -> None:
    hospital.emit_records([group("A01", 0), group("A02", 60, bed="2")])
    with hospital.store.open() as conn:
        patient = patients.find_patient(conn, "V1")
        assert patient == patients.find_patient(conn, "P1") == patients.find_patient(conn, "P1^HOSP^MR")
        assert [(s.bed, s.since, s.until) for s in patients.patient_stays(conn, patient)] == [
            (key("1"), moment(us(0)), moment(us(60))), (key("2"), moment(us(60)), None)
        ]  # fmt: skip
        assert [e.encounter for e in patients.encounters_of(conn, patient)] == [visit_of("V1")]
        assert [(b.bed, b.patient) for b in patients.beds_now(conn)] == [(key("2"), patient)]
        assert [b.bed for b in patients.beds_now(conn, moment(us(30)))] == [key("1")]
        assert patients.find_encounter(conn, "V1") == visit_of("V1")


def test_a_question_may_be_of_what_was_believed_at_another_time(hospital: Hospital) -> None:
    hospital.emit_records([group("A01", 0)])
    with hospital.store.open() as conn:
        row = conn.execute("SELECT recorded_at FROM attribution").fetchone()
        assert row is not None
        hospital.emit_records([group("A11", 90)])
        patient = "P1^HOSP^MR"
        for ask in (patients.patient_stays, patients.encounters_of):
            assert ask(conn, patient) == []
            assert len(ask(conn, patient, row[0])) == 1
        assert patients.beds_now(conn) == []
        assert len(patients.beds_now(conn, None, row[0])) == 1
        assert len(patients.beds_now(conn, moment(us(10)), row[0])) == 1


def test_a_number_that_two_patients_have_is_not_guessed_at(hospital: Hospital) -> None:

    other = (Identifier(value="P1", authority="OTHER", type="MR"),)
    hospital.emit_records([group("A01", 0), group("A01", 0, visit="V2", bed="2", patients=other)])
    with hospital.store.open() as conn:
        with pytest.raises(VitalwireError, match=r"2 patients .* P1\^HOSP\^MR, P1\^OTHER\^MR"):
            patients.find_patient(conn, "P1")
        with pytest.raises(VitalwireError, match="no patient and no visit"):
            patients.find_patient(conn, "4711")
        with pytest.raises(VitalwireError, match="no encounter has"):
            patients.find_encounter(conn, "4711")


def test_answers_are_quick_where_many_have_come_and_gone(hospital: Hospital) -> None:
    with hospital.store.open() as conn:
        # An hour a patient, from one device to the next: a patient's day has some twenty handovers.
        conn.execute("ALTER TABLE whose DROP CONSTRAINT whose_one_at_a_time")
        conn.execute(
            "INSERT INTO whose SELECT md5((n %% 200)::text)::uuid, tstzrange(%(day)s + n / 200 * interval '1 hour',"
            " %(day)s + (n / 200 + 1) * interval '1 hour'), tstzrange(%(day)s, NULL), 'attributed',"
            " 'v' || n / 4000 || '-' || n %% 200, 'p' || n / 4000 || '-' || n %% 200, 'bed', NULL, '{}'"
            " FROM generate_series(0, %(n)s - 1) AS n",
            {"day": DAY, "n": PLACES},
        )
        conn.execute("ANALYZE whose")
        device = conn.execute("SELECT md5('7')::uuid").fetchone()
        assert device is not None
        uuid: UUID = device[0]
        found = patients.whose_at(conn, uuid, DAY + timedelta(hours=50.5))
        assert found is not None
        assert found.whose.patient == "p2-7"
        taken_s = []
        for _ in range(20):
            began = time.monotonic()
            patients.whose_at(conn, uuid, DAY + timedelta(hours=50.5))
            intervals = patients.intervals_of(conn, "p2-7", DAY + timedelta(days=1), DAY + timedelta(days=3))
            taken_s.append(time.monotonic() - began)
        assert len(intervals) == 20
        assert min(taken_s) < 0.05  # others use the machine too: the one that they disturbed least
