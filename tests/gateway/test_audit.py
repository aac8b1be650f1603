"""The auditor's page over HTTP: who may read it, what it says, and the row that reading it leaves."""

from __future__ import annotations

import http.client
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from emr_store import looks, reviews
from emr_store.connect import open_store
from emr_store.looks import Look
from emr_store.reviews import Review, ReviewKind
from gateway.access.words import Role
from tests.adt import visit_of
from tests.gateway.hospital import NUMBER, admit, open_hospital
from tests.gateway.looking import kept
from tests.gateway.signing_in import hire, sign_in
from tests.gateway.test_app import PATIENCE_S, connect
from tests.gateway.ward import Page, Ward

NOW = datetime.now(UTC)
LOOK = Look(
    look=UUID(int=1), person="N1", role="nurse", action="see", page="patient", encounters=(visit_of("V1"),),
    patients=(), stays=1, detail="", relation="own_ward", restricted=False, session="s1", address="10.0.0.1",
    reason="", from_at=NOW - timedelta(hours=2), until_at=NOW - timedelta(hours=1, minutes=45),
)  # fmt: skip
REVIEW = Review(UUID(int=1), ReviewKind.BULK, "N1", "nurse", None, None, None, "stays=50", NOW)
OWN = replace(REVIEW, review=UUID(int=2), person="A1", role="auditor")


def be(page: Page, staff: str) -> None:
    page.cookie = sign_in(page.database, staff)


def fill(page: Page) -> None:
    """A nurse who looked, two auditors, a review of the nurse and one of an auditor."""
    hospital = open_hospital(page.database)
    admit(hospital)
    for staff, role in (("N1", Role.NURSE), ("A1", Role.AUDITOR), ("A2", Role.SECOND_AUDITOR)):
        hire(page.database, staff, role, name=f"name {staff}")
    with open_store(page.database) as conn:
        looks.write(conn, LOOK)
        looks.write(conn, replace(LOOK, look=UUID(int=2), from_at=NOW - timedelta(days=3)))
        for each in (REVIEW, OWN):
            reviews.open_review(conn, each)


@pytest.fixture
def filled(page: Page) -> Page:
    fill(page)
    be(page, "A1")
    return page


def asked(page: Page, path: str) -> Any:
    answer = connect(page, path)
    assert answer.status == 200, answer.read()
    return json.load(answer)


def close(page: Page, review: UUID, body: bytes) -> tuple[int, str]:
    own = {"Origin": page.url, "Content-Type": "application/json", "Cookie": page.cookie}
    connection = http.client.HTTPConnection("127.0.0.1", page.port, timeout=PATIENCE_S)
    connection.request("POST", f"/audit/reviews/{review}/close", body, own)
    answer = connection.getresponse()
    text = answer.read()
    return answer.status, json.loads(text)["refused"] if text else ""


def test_an_auditor_sees_who_saw_a_patient(filled: Page) -> None:
    found = asked(filled, f"/audit/patient/{NUMBER}?within=24h")
    (trace,) = found["traces"]
    assert (trace["person"], trace["name"], trace["page"], trace["where"]) == (
        "N1", "name N1", "patient", "10.0.0.1 s1"
    )  # fmt: skip
    assert trace["until"] - trace["at"] == 900_000
    assert len(asked(filled, f"/audit/patient/{NUMBER}?within=7d")["traces"]) == 2
    assert len(asked(filled, "/audit/person/N1?within=all")["traces"]) == 2
    assert asked(filled, "/audit/person/nobody?within=x")["traces"] == []


def test_nobody_else_does_and_learns_nothing(filled: Page) -> None:
    paths = [f"/audit/patient/{NUMBER}", "/audit/person/N1", "/audit/reviews", "/audit/readings"]
    for staff in ("N1", "D1"):
        be(filled, staff)
        answers = [connect(filled, path) for path in paths]
        assert {(answer.status, answer.read()) for answer in answers} == {(403, b'{"refused":"no_access"}')}
        assert close(filled, REVIEW.review, b'{"word":"nothing"}') == (403, "not_allowed")
    assert kept(filled.database, "SELECT count(*) FROM look WHERE page = 'audit'") == [0]


def test_nothing_is_told_that_cannot_be_noted(filled: Page, ward: Ward) -> None:
    assert connect(filled, "/audit/reviews").status == 200
    with ward.away():
        answer = connect(filled, "/audit/person/N1")
        assert (answer.status, answer.read()) == (503, b"{}")


def test_reading_the_audit_is_a_row_that_the_second_auditor_sees(filled: Page) -> None:
    asked(filled, f"/audit/patient/{NUMBER}?within=7d")
    asked(filled, "/audit/person/N1")
    asked(filled, "/audit/reviews")
    asked(filled, "/audit/reviews")
    assert connect(filled, "/audit/readings").status == 403
    assert asked(filled, "/audit/person/A1?within=all")["traces"] == []
    be(filled, "A2")
    assert asked(filled, "/audit/reviews")["second"]
    found = [each for each in asked(filled, "/audit/readings")["traces"] if each["person"] == "A1"]
    assert [(each["detail"], each["patients"]) for each in found] == [
        ("who-saw 7d", [NUMBER]), ("what-did 24h person=N1", []), ("", []), ("what-did all person=A1", [])
    ]  # fmt: skip


def test_a_review_is_closed_with_a_word_and_never_by_whom_it_is_about(filled: Page) -> None:
    found = asked(filled, "/audit/reviews")["reviews"]
    assert {(each["person"], each["may_close"]) for each in found} == {("N1", True), ("A1", False)}
    assert close(filled, OWN.review, b'{"word":"it was nothing"}')[1] == "own_review"
    assert close(filled, REVIEW.review, b'{"word":" "}') == (400, "no_reason")
    assert close(filled, REVIEW.review, b'{"word":"%s"}' % (b"x" * 501)) == (400, "reason_too_long")
    assert close(filled, REVIEW.review, b"{}") == (400, "unreadable")
    assert close(filled, REVIEW.review, b'{"word":"a round"}') == (204, "")
    assert close(filled, REVIEW.review, b'{"word":"again"}') == (409, "not_open")
    assert close(filled, UUID(int=77), b'{"word":"again"}') == (409, "not_open")
    assert [each["person"] for each in asked(filled, "/audit/reviews")["reviews"]] == ["A1"]
    closed = asked(filled, "/audit/reviews?closed=true")["reviews"]
    assert [(each["closed_by"], each["word"]) for each in closed if each["person"] == "N1"] == [
        ("staff:A1", "a round")
    ]  # fmt: skip
    be(filled, "A2")
    assert close(filled, OWN.review, b'{"word":"asked"}') == (204, "")
