"""Looks as AuditEvents: found by patient, agent and date, by auditors alone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest

from clinical.charted import resource_id
from emr_store import looks
from emr_store.instants import moment
from emr_store.looks import Look
from gateway.access.viewer import Viewer
from gateway.access.words import Role
from gateway.fhir.audit_events import audit_event, search_audit_events
from gateway.fhir.cursor import encode_cursor
from gateway.fhir.parameters import TYPES, parse_search
from gateway.fhir.refusals import RequestError
from gateway.fhir.resource import Found
from tests.adt import visit_of
from tests.gateway.hospital import NUMBER, admit, open_hospital
from tests.gateway.signing_in import hire

FROM = moment(1_795_000_000_000_000)  # 2026-11-18
PATIENT = resource_id("Patient", f"{NUMBER}^HOSP^MR")
LOOK = Look(
    look=UUID(int=1), person="N1", role="nurse", action="see", page="patient", encounters=(visit_of("V1"),),
    patients=(f"{NUMBER}^HOSP^MR",), stays=1, detail="", relation="own_ward", restricted=False, session="s1",
    address="10.0.0.1", reason="", from_at=FROM, until_at=FROM + timedelta(minutes=15),
)  # fmt: skip
AUDITOR = Viewer("A1", "Zhao", Role.AUDITOR)
SECOND = Viewer("A2", "Qian", Role.SECOND_AUDITOR)
OTHERS = [Viewer(role, role, role) for role in Role if role not in (Role.AUDITOR, Role.SECOND_AUDITOR)]


@pytest.fixture
def conn(database: str) -> Iterator[psycopg.Connection]:
    hospital = open_hospital(database)
    admit(hospital)
    hire(database, "N1", name="王五")
    with hospital.store.open() as opened:
        for number, more in enumerate((
            {}, {"person": "N2", "from_at": FROM + timedelta(days=1), "patients": ()},
            {"person": "N2", "encounters": (visit_of("V2"),), "patients": (), "from_at": FROM + timedelta(days=2)},
            {"person": "A1", "page": "audit", "encounters": (), "from_at": FROM + timedelta(days=3)},
        ), 1):  # fmt: skip
            looks.write(opened, replace(LOOK, look=UUID(int=number), **more))  # type: ignore[arg-type]
        yield opened


def search(conn: Any, viewer: Viewer, *pairs: tuple[str, str]) -> Found:
    return search_audit_events(conn, viewer, parse_search(TYPES["AuditEvent"], pairs, "http://h/fhir"))


def numbers(found: Found) -> list[int]:
    return [UUID(each.id).int for each in found.resources]


def test_an_auditor_finds_looks_by_patient_agent_and_date(conn: psycopg.Connection) -> None:
    for pairs, found in (
        ([("patient", PATIENT)], [2, 1]),  # the second look names the stay alone
        ([("patient", f"Patient/{PATIENT}"), ("agent", "N1")], [1]),
        ([("agent", "N1,Practitioner/N2")], [3, 2, 1]),
        ([("date", "2026-11-19"), ("agent", "N2")], [2]),
        ([("date", "ge2026-11-19"), ("date", "lt2026-11-20")], [2]),
        ([("_id", str(UUID(int=3)))], [3]),
        ([("patient", "nobody")], []),
        ([("agent", "A1")], []),
    ):
        assert numbers(search(conn, AUDITOR, *pairs)) == found, pairs


def test_a_search_goes_on_where_its_page_ended(conn: psycopg.Connection) -> None:
    asked = parse_search(TYPES["AuditEvent"], [("date", "ge2020"), ("_count", "2")], "http://h/fhir")
    first = search_audit_events(conn, AUDITOR, asked)
    assert first.next is not None
    second = search_audit_events(conn, AUDITOR, replace(asked, cursor=encode_cursor(first.next, asked.digest)))
    assert (numbers(first), numbers(second), second.next) == ([3, 2], [1], None)
    with pytest.raises(RequestError):
        search_audit_events(conn, AUDITOR, replace(asked, cursor="x"))


def test_nobody_else_finds_any(conn: psycopg.Connection) -> None:
    for viewer in OTHERS:
        assert search(conn, viewer, ("patient", PATIENT)).resources == ()
        with pytest.raises(RequestError) as refused:
            audit_event(conn, viewer, str(UUID(int=1)))
        with pytest.raises(RequestError) as absent:
            audit_event(conn, AUDITOR, str(UUID(int=99)))
        assert (refused.value.status, refused.value.issue) == (absent.value.status, absent.value.issue)


def test_who_read_the_audit_is_for_the_second_auditor(conn: psycopg.Connection) -> None:
    assert numbers(search(conn, SECOND, ("agent", "A1"))) == [4]
    assert json.loads(audit_event(conn, SECOND, str(UUID(int=4))).body)["type"]["display"] == "Audit Log Used"
    with pytest.raises(RequestError):
        audit_event(conn, AUDITOR, str(UUID(int=4)))


def test_an_event_says_who_what_when_where_and_by_which_relation(conn: psycopg.Connection) -> None:
    said = json.loads(audit_event(conn, AUDITOR, str(UUID(int=1))).body)
    (agent,) = said["agent"]
    assert agent["who"] == {"identifier": {"system": "urn:vitalwire:staff", "value": "N1"}, "display": "王五"}
    assert agent["policy"] == ["urn:vitalwire:relation:own_ward"]
    assert agent["network"]["address"] == "10.0.0.1"
    assert said["period"]["start"] == said["recorded"]
    assert [each["what"]["reference"] for each in said["entity"]] == [
        f"Patient/{PATIENT}", f"Encounter/{resource_id('Encounter', visit_of('V1'))}"
    ]  # fmt: skip
