"""The worklist over HTTP: what is asked, in words, and who may say that it is dealt with."""

from __future__ import annotations

import http.client
import json
from typing import Any

import pytest

from emr_store import patient_acts, roles
from emr_store.bed_names import keep_bed_names
from emr_store.connect import open_store
from gateway.access.words import Role
from gateway.pages import worklist
from tests.adt import group, key
from tests.attributing import Hospital
from tests.gateway.asking import asking, name_beds
from tests.gateway.hospital import DEVICE, NUMBER, disagree
from tests.gateway.test_app import PATIENCE_S, connect, events, next_picture
from tests.gateway.ward import Page


@pytest.fixture
def database(admitted_database: str) -> str:
    return admitted_database


@pytest.fixture
def hospital(page: Page, admitted: Hospital) -> Hospital:
    return admitted


def listed(page: Page) -> Any:
    answer = connect(page, "/worklist/items")
    assert answer.status == 200
    return json.load(answer)


def post(page: Page, item: int, wish: Any, **headers: str) -> tuple[int, str]:
    """Status and the word of a refusal, as a page of ours would send it; `headers` by Python's names, "" for none."""
    own = {"Origin": page.url, "Content-Type": "application/json", **page.session_headers}
    sent = own | {name.replace("_", "-").title(): value for name, value in headers.items()}
    connection = http.client.HTTPConnection("127.0.0.1", page.port, timeout=PATIENCE_S)
    body = wish if isinstance(wish, bytes) else json.dumps(wish).encode()
    connection.request(
        "POST", f"/worklist/{item}/resolve", body, {name: value for name, value in sent.items() if value}
    )
    answer = connection.getresponse()
    text = answer.read()
    return answer.status, json.loads(text)["refused"] if text else ""


def test_a_question_has_its_words_in_both_languages_and_the_facts_behind_it(page: Page, hospital: Hospital) -> None:
    assert listed(page)["items"] == []
    page.sign_in("R1", Role.RECORD_OFFICE)  # who is on no ward that is known is nobody else's
    disagree(hospital)
    hospital.emit_records([group("A02", 30, visit="V2", patient="P2", bed="?")])
    found = listed(page)
    assert found["open"] == len(found["items"]) >= 2
    assert [item["since"] for item in found["items"]] == sorted((i["since"] for i in found["items"]), reverse=True)
    (monitor,) = [item for item in found["items"] if item["kind"] == "bed_and_monitor_disagree"]
    assert monitor["en"].startswith("The bed and the patient number on the monitor")
    assert "患者号" in monitor["zh"]
    assert (monitor["monitor"], monitor["about"]) == (True, {"bed": "ICU-1", "device": "监护仪1"})
    words = " ".join(fact["en"] for fact in monitor["facts"])
    assert "P2 (HOSP)" in words
    assert "A01" in words
    assert "将设备监护仪1放置于床位 ICU-1" in monitor["facts"][0]["zh"]
    assert "A01（入院）" in monitor["facts"][1]["zh"]
    (unknown,) = [item for item in found["items"] if item["kind"] == "unknown_bed"]
    assert unknown["monitor"] is False
    assert (unknown["about"]["name"], unknown["about"]["number"]) == ("李**", "P2")
    assert (unknown["about"]["en"], unknown["about"]["zh"]) == ("visit V2", "就诊 V2")


def test_beds_are_called_by_the_site_s_names(hospital: Hospital) -> None:
    hospital.emit_records([group("A02", 30, visit="V2", patient="P2", bed="1")])
    with hospital.store.open() as conn:
        found = worklist.items(conn, asking(hospital.store.address), {key("1"): "ICU-1"})
    assert found is not None
    (two,) = [item for item in found["items"] if item["kind"] == "two_in_one_bed"]
    assert two["about"] == {"bed": "ICU-1"}
    assert any("to bed ICU-1, message" in fact["en"] for fact in two["facts"])


def test_adt_is_right_until_the_number_changes(page: Page, hospital: Hospital) -> None:
    disagree(hospital)
    (item,) = (item["item"] for item in listed(page)["items"])
    assert post(page, item, {"adt_is_right": True}) == (204, "")
    assert listed(page)["items"] == []
    hospital.attribute()
    sql = "SELECT state, basis FROM whose WHERE device = %s AND upper_inf(valid) AND upper_inf(recorded)"
    assert hospital.store.rows(sql, DEVICE) == [("attributed", "bed")]
    ((by, why),) = hospital.store.rows(
        "SELECT convert_from(body, 'UTF8')::json ->> 'by', convert_from(body, 'UTF8')::json ->> 'why' FROM act"
        " WHERE kind = 'worklist.resolve'"
    )
    assert by == "staff:D1"
    assert why == "ADT is right until the number on the monitor changes"


def test_what_is_dealt_with_needs_a_reason_and_is_not_dealt_with_twice(page: Page, hospital: Hospital) -> None:
    disagree(hospital)
    (item,) = (item["item"] for item in listed(page)["items"])
    assert post(page, item, {"why": "  "}) == (400, "no_reason")
    assert post(page, item, {"why": "x" * 501}) == (400, "reason_too_long")
    assert post(page, item, {"why": "x" * 9000}) == (413, "reason_too_long")
    assert post(page, item, b"{") == (400, "unreadable")
    assert post(page, item, {"why": "x", "more": 1}) == (400, "unreadable")
    assert post(page, item + 1000, {"why": "x"}) == (409, "not_open")
    assert post(page, item, {"why": "asked the ward"}) == (204, "")
    assert post(page, item, {"why": "asked the ward"}) == (409, "not_open")


def test_adt_is_right_says_nothing_of_what_is_about_no_monitor(page: Page, hospital: Hospital) -> None:
    page.sign_in("R1", Role.RECORD_OFFICE)
    hospital.emit_records([group("A02", 30, visit="V2", patient="P2", bed="?")])
    (item,) = (i["item"] for i in listed(page)["items"] if i["kind"] == "unknown_bed")
    assert post(page, item, {"adt_is_right": True}) == (400, "no_monitor")


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://elsewhere.example"},
        {"origin": "null"},
        {"origin": ""},
        {"sec_fetch_site": "cross-site"},
        {"content_type": "text/plain"},
        {"content_type": "application/x-www-form-urlencoded"},
    ],
)
def test_a_page_of_another_site_changes_nothing(page: Page, hospital: Hospital, headers: dict[str, str]) -> None:
    disagree(hospital)
    (item,) = (item["item"] for item in listed(page)["items"])
    assert post(page, item, {"adt_is_right": True}, **headers) == (403, "not_own")
    assert len(listed(page)["items"]) == 1


def test_another_ward_s_questions_are_neither_counted_nor_resolved(page: Page, hospital: Hospital) -> None:
    disagree(hospital)
    (item,) = (item["item"] for item in listed(page)["items"])
    name_beds(page.database)
    page.sign_in("N2", Role.NURSE, ["h^w5"])
    assert (listed(page)["open"], listed(page)["items"]) == (0, [])
    assert post(page, item, {"why": "x"}) == (403, "no_access")
    page.sign_in("A1", Role.AUDITOR)
    assert connect(page, "/worklist/items").status == 403


def test_reading_resolves_nothing(page: Page, hospital: Hospital) -> None:
    assert connect(page, "/worklist/1/resolve").status == 405


def test_resolving_goes_through_the_clerk_alone(hospital: Hospital, monkeypatch: pytest.MonkeyPatch) -> None:
    """A login that only reads is told so; nothing is done."""
    page = Page(hospital.store.address)
    monkeypatch.setattr("vitalwire.page.CLERK", roles.READER)
    page.start()
    try:
        disagree(hospital)
        (item,) = (item["item"] for item in listed(page)["items"])
        assert post(page, item, {"adt_is_right": True}) == (403, "no_right")
    finally:
        page.stop()
    with open_store(hospital.store.address) as conn:
        assert patient_acts.open_questions(conn) == 1


def test_the_page_is_there(page: Page) -> None:
    answer = connect(page, "/worklist")
    assert b"/worklist-page.mjs" in answer.read()
    assert "script-src 'self'" in answer.headers["Content-Security-Policy"]


def test_the_ward_says_how_much_is_asked(page: Page, hospital: Hospital) -> None:
    disagree(hospital)
    stream = events(page)
    asked = next_picture(stream)["asked"]
    while asked != 1:  # it is counted every few seconds
        asked = next_picture(stream).get("asked", asked)
    assert asked == 1


def test_a_patient_has_a_page_with_charts_of_this_server_alone(page: Page, hospital: Hospital) -> None:
    assert b"/uplot.js" in connect(page, "/patient/00012345%5EHOSP%5EMR").read()
    script = connect(page, "/uplot.js")
    assert script.headers["Content-Type"].startswith("text/javascript")
    assert b"MIT Licensed" in script.read()
    assert connect(page, "/uplot.css").status == 200
    assert json.load(connect(page, "/patient-history/00012345%5EHOSP%5EMR"))["name"] == "张三"
    assert json.load(connect(page, "/patient-trend/4/00012345"))["series"] == []
    assert connect(page, "/patient-history/nobody").status == 404


def test_beds_are_called_as_the_processors_had_them_last(page: Page, hospital: Hospital) -> None:
    def beds() -> list[str]:
        return [bed["bed"] for bed in json.load(connect(page, f"/patient-history/{NUMBER}"))["beds"]]

    assert beds() == ["ICU^^1"]
    for name in ("三床", "四床"):
        with open_store(hospital.store.address) as conn:
            keep_bed_names(conn, {key("1"): name})
        assert beds() == [name]
