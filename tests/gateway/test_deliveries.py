"""Deliveries over HTTP: what went where, in words and without names, and who may decide what becomes of them."""

from __future__ import annotations

import http.client
import json
from typing import Any

import pytest

from emr_store import acts, deliver_acts, roles
from emr_store.connect import open_store
from gateway.access.words import Role
from gateway.asking import REFUSED_BODY
from gateway.pages import deliveries
from gateway.posting import RefusedError
from tests.attributing import Hospital
from tests.gateway.asking import asking
from tests.gateway.delivered import BUSY, REFUSED, Deliveries
from tests.gateway.hospital import NUMBER
from tests.gateway.test_app import PATIENCE_S, connect
from tests.gateway.ward import Page


@pytest.fixture
def database(admitted_database: str) -> str:
    return admitted_database


@pytest.fixture
def page(page: Page) -> Page:
    """A biomedical engineer looks on."""
    page.sign_in("B1", Role.BIOMEDICAL_ENGINEER)
    return page


@pytest.fixture
def sent(page: Page, admitted: Hospital) -> Deliveries:
    return Deliveries(admitted)


def listed(page: Page, state: str, query: str = "") -> Any:
    answer = connect(page, f"/delivery-list/{state}?{query}")
    assert answer.status == 200
    return json.load(answer)


def post(page: Page, wish: Any, **headers: str) -> tuple[int, str]:
    """Status and the word of a refusal, as a page of ours would send it."""
    own = {"Origin": page.url, "Content-Type": "application/json", **page.session_headers} | headers
    connection = http.client.HTTPConnection("127.0.0.1", page.port, timeout=PATIENCE_S)
    connection.request("POST", "/delivery-act", wish if isinstance(wish, bytes) else json.dumps(wish).encode(), own)
    answer = connection.getresponse()
    text = answer.read()
    return answer.status, json.loads(text)["refused"] if text else ""


def test_each_destination_says_what_it_has_and_what_waits(page: Page, sent: Deliveries) -> None:
    fhir, hl7 = listed(page, "parked")["destinations"]
    assert (hl7["name"], hl7["accepted"], hl7["waiting"], hl7["parked"]) == ("hl7", 1, 1, 2)
    assert hl7["last_accepted"] >= hl7["began"]
    assert (hl7["paused"], hl7["away"]) == (None, None)
    assert (fhir["name"], fhir["accepted"], fhir["waiting"], fhir["parked"]) == ("fhir", 0, 4, 0)
    assert fhir["last_accepted"] is None
    assert (fhir["away"]["en"], fhir["away"]["zh"]) == ("it refuses connections", "拒绝连接")
    now = listed(page, "parked")["now"]
    assert fhir["oldest"] is not None
    assert fhir["oldest"] <= now


def test_why_something_is_parked_stands_in_both_languages_and_names_nobody(page: Page, sent: Deliveries) -> None:
    found = listed(page, "parked")
    behind, parked = found["deliveries"]
    assert (parked["delivery"], parked["en"], parked["code"]) == (sent.parked, REFUSED, "AE")
    assert parked["zh"] == "AE：缺少必填字段 (101) 位于 PID-3"
    assert (parked["name"], parked["number"], parked["chart"]) == ("", "", "")
    assert (behind["behind"], behind["zh"]) == (sent.parked, "同一记录的前一条消息已搁置")
    assert "张" not in json.dumps(found, ensure_ascii=False)
    assert NUMBER[-4:] not in json.dumps(found)
    (waiting,) = listed(page, "waiting", "destination=hl7")["deliveries"]
    assert waiting["en"] == BUSY
    assert waiting["next"] > found["now"]
    assert [row["delivery"] for row in listed(page, "accepted")["deliveries"]] == [sent.accepted]


def test_a_list_goes_on_where_the_last_one_ended(page: Page, sent: Deliveries, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deliveries, "SHOWN_MAX", 2)
    first = listed(page, "waiting", "destination=fhir")
    second = listed(page, "waiting", f"destination=fhir&before={first['next']}")
    numbers = [row["delivery"] for row in (*first["deliveries"], *second["deliveries"])]
    assert numbers == sorted(set(numbers), reverse=True)
    assert len(numbers) == 4
    assert second["next"] is None
    assert listed(page, "waiting", "before=x&destination=nobody")["deliveries"] == []
    assert connect(page, "/delivery-list/lost").status == 404


def test_what_people_do_is_done_and_stands_in_the_record(page: Page, sent: Deliveries) -> None:
    assert post(page, {"act": "skip", "delivery": sent.parked, "why": " "}) == (400, "no_reason")
    assert post(page, {"act": "pause", "destination": "hl7", "why": "upgrade"}) == (204, "")
    assert listed(page, "parked")["destinations"][1]["paused"] is not None
    assert post(page, {"act": "pause", "destination": "hl7"}) == (409, "changed")
    assert post(page, {"act": "resume", "destination": "hl7"}) == (204, "")
    assert post(page, {"act": "retry", "delivery": sent.parked, "why": "mended"}) == (204, "")
    assert sent.states(sent.hl7) == ["accepted", "waiting", "waiting", "waiting"]
    assert post(page, {"act": "skip", "delivery": sent.parked, "why": "by hand"}) == (409, "changed")
    with open_store(page.database) as conn:
        done = [(act.kind, act.why, act.by.partition(":")[0]) for act in acts.acts(conn) if "deliver" in act.kind]
    assert done == [
        ("deliver.pause", "upgrade", "staff"), ("deliver.resume", "", "staff"), ("deliver.retry", "mended", "staff"),
    ]  # fmt: skip


def test_a_message_is_made_anew_or_skipped(page: Page, sent: Deliveries) -> None:
    assert post(page, {"act": "retry-anew", "delivery": sent.parked}) == (204, "")
    with open_store(page.database) as conn:
        body = conn.execute("SELECT body FROM delivery WHERE delivery = %s", (sent.parked,)).fetchone()
        conn.execute("UPDATE delivery SET state = 'parked', settled_at = now() WHERE delivery = %s", (sent.parked,))
    assert body == (None,)
    assert post(page, {"act": "skip", "delivery": sent.parked, "why": "written by hand"}) == (204, "")
    assert [row["delivery"] for row in listed(page, "skipped")["deliveries"]] == [sent.parked]


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"act": "send"}', b'{"act": "retry", "delivery": "1"}', b"\xff"])
def test_what_cannot_be_read_is_refused(page: Page, sent: Deliveries, body: bytes) -> None:
    assert post(page, body) == (400, "unreadable")
    assert post(page, {"act": "retry", "delivery": sent.parked, "why": "x" * 501}) == (400, "reason_too_long")
    assert post(page, {"act": "retry", "delivery": sent.parked}, Origin="http://evil.example") == (403, "not_own")
    assert sent.states(sent.hl7) == ["accepted", "parked", "waiting", "parked"]


@pytest.mark.parametrize("role", [Role.NURSE, Role.PHYSICIAN, Role.AUDITOR, Role.RECORD_OFFICE])
def test_who_may_not_sees_and_does_nothing(page: Page, sent: Deliveries, role: Role) -> None:
    page.sign_in("other", role)
    answer = connect(page, "/delivery-list/parked")
    assert (answer.status, answer.read()) == (403, REFUSED_BODY)
    assert post(page, {"act": "pause", "destination": "hl7"}) == (403, "no_access")
    assert sent.states(sent.hl7) == ["accepted", "parked", "waiting", "parked"]


def test_deciding_goes_through_the_clerk_alone(sent: Deliveries, page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    """A login that only reads is told so; nothing is done."""
    monkeypatch.setattr("vitalwire.page.CLERK", roles.READER)
    served = Page(page.database)
    served.sign_in("B1", Role.BIOMEDICAL_ENGINEER)
    served.start()
    try:
        assert listed(served, "parked")["deliveries"]
        assert post(served, {"act": "pause", "destination": "hl7"}) == (403, "no_right")
    finally:
        served.stop()


def test_what_somebody_else_did_meanwhile_is_not_done_twice(page: Page, sent: Deliveries) -> None:
    who = asking(page.database, "B1", Role.BIOMEDICAL_ENGINEER)
    with open_store(page.database) as conn:
        deliver_acts.retry(conn, sent.parked)
        with pytest.raises(RefusedError, match="changed"):
            deliveries.act(conn, who, deliveries.Wish(act="retry", delivery=sent.parked))
