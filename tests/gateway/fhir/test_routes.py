"""What is refused, and how: never with a number of a patient, and never but as an OperationOutcome."""

from __future__ import annotations

import logging
from urllib.parse import urlencode

import pytest

from emr_store.connect import open_store
from gateway.fhir.parameters import OBSERVATION, REPEATS_MAX
from gateway.fhir.routes import BODY_BYTES_MAX, FIELDS_MAX, URL_CHARS_MAX
from tests.gateway.chart_ward import NUMBER, ChartWard
from tests.gateway.fhir.asking import Answer, Api, serving
from tests.gateway.fhir.test_observations import PATIENT, STAY, ids
from tests.gateway.ward import Ward as PlainWard

FORM = "application/x-www-form-urlencoded"


def code_of(answer: Answer) -> tuple[int, str]:
    assert answer.headers["content-type"].startswith("application/fhir+json"), answer
    assert answer.json["resourceType"] == "OperationOutcome"
    return answer.status, answer.json["issue"][0]["code"]


@pytest.mark.parametrize(("name", "value"), [
    ("nonsense", "1"), ("patient.name", "x"), ("patient:identifier", "x"), ("code:not", "x"), ("subject:Group", "x"),
    ("date", "yesterday"), ("date", "ge2026,lt2027"), ("date", ""), ("code", ""), ("code", "a,,b"), ("code", "a|b|c"),
    ("code", "a\x00b"), ("patient", "Device/x"), ("patient", "http://elsewhere/Patient/x"), ("_id", "a b"),
    ("_count", "-1"), ("_count", "ten"), ("_count", "١"), ("_count", ""), ("_sort", "value"), ("_sort", "date,code"),
    ("_total", "all"), ("_summary", "true"), ("_cursor", "x"), ("_cursor", ""), ("_cursor", "x" * 1000),
    ("_lastUpdated", "x"), ("encounter", "Encounter/"),
])  # fmt: skip
def test_a_search_that_cannot_be_answered_names_its_parameter(api: Api, name: str, value: str) -> None:
    assert api.refused("Observation", (name, value), ("subject", PATIENT)) == name


def test_more_than_anybody_asks(api: Api) -> None:
    many = [("code", "x")] * (REPEATS_MAX + 1)
    assert api.refused("Observation", *many, patient=PATIENT) == "code"
    assert api.refused("Observation", ("_count", "1"), ("_count", "2"), patient=PATIENT) == "_count"
    assert code_of(api.get("Observation?" + "a=1&" * FIELDS_MAX + "b=1")) == (400, "too-long")
    assert code_of(api.get("Observation?patient=%FF")) == (400, "invalid")
    long = urlencode([("patient", PATIENT), ("code", "x" * URL_CHARS_MAX)])
    assert code_of(api.get(f"Observation?{long}")) == (414, "too-long")
    assert code_of(api.get("Observation/" + "x" * URL_CHARS_MAX)) == (414, "too-long")
    body = b"patient=x&" * (BODY_BYTES_MAX // 10 + 1)
    assert code_of(api.request("POST", "Observation/_search", body, Content_Type=FORM)) == (413, "too-long")


def test_only_a_search_for_what_is_cheap_is_counted_and_sorted(api: Api) -> None:
    assert api.refused("Observation", patient=PATIENT, status="final", _total="accurate") == "_total"
    assert api.refused("Observation", patient=PATIENT, status="final", _summary="count") == "_summary"
    assert api.refused("Observation", _lastUpdated="ge2020", _sort="date") == "_sort"
    assert api.refused("Patient", _id=PATIENT, _sort="date") == "_sort"
    assert api.refused("Observation", code="8867-4") == OBSERVATION.needs[-1]


def test_a_cursor_belongs_to_its_search(api: Api) -> None:
    following = api.search("Observation", patient=PATIENT, code="8867-4", _count="2").next
    assert following is not None
    assert len(api.get(following).resources) == 2
    assert len(api.get(following.replace("_count=2", "_count=5")).resources) == 5
    for changed in (
        following.replace("8867-4", "59408-5"),
        following[:-2] + "AA",
        following.replace("Observation", "Device"),
    ):
        assert api.get(changed).status == 400


def test_a_search_by_post_is_the_same(api: Api) -> None:
    pairs = urlencode([("patient", PATIENT), ("code", "8867-4"), ("_count", "1000")])
    posted = api.request("POST", "Observation/_search", pairs.encode(), Content_Type=FORM)
    assert posted.status == 200
    assert ids(posted.resources) == ids(api.get(f"Observation?{pairs}").resources) != set()
    mixed = api.request("POST", "Observation/_search?code=8867-4", f"patient={PATIENT}".encode(), Content_Type=FORM)
    assert len(mixed.resources) == 50
    assert code_of(api.request("POST", "Observation/_search", b"{}", Content_Type="application/json"))[0] == 415
    assert code_of(api.request("POST", "Observation/_search", "张".encode(), Content_Type=FORM)) == (400, "invalid")


def test_lenient_ignores_what_is_not_known_and_says_so(api: Api) -> None:
    found = api.get(f"Observation?patient={PATIENT}&nonsense=1&_count=2", Prefer="handling=lenient")
    *matched, warned = found.json["entry"]
    assert [each["search"]["mode"] for each in matched] == ["match", "match"]
    assert warned["search"]["mode"] == "outcome"
    assert warned["fullUrl"].startswith("urn:uuid:")
    (issue,) = warned["resource"]["issue"]
    assert (issue["severity"], issue["expression"]) == ("warning", ["http.nonsense"])
    assert "nonsense" not in str(found.json["link"])
    assert api.get(f"Observation?patient={PATIENT}&nonsense=1", Prefer="handling=strict").status == 400


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_nothing_is_written(api: Api, method: str) -> None:
    paths = ["Observation", "Observation/x", "Patient/x", "Observation/x/_history/1", "metadata"]
    for path in paths:
        answer = api.request(method, path, b"{}")
        assert code_of(answer) == (405, "not-supported"), path
        assert "GET" in answer.headers["allow"]
    assert code_of(api.request(method, "Medication", b"{}")) == (404, "not-supported")
    assert code_of(api.request(method, "", b"{}")) == (404, "not-supported")
    if method != "POST":
        assert api.request(method, "Patient/_search").headers["allow"] == "POST"


@pytest.mark.parametrize("path", ["", "Medication", "Medication/1", "observation", "Observation/x/_history",
    "Observation/x/y", "Observation/$lastn", "Patient/x/_history/1", "Observation/"])  # fmt: skip
def test_what_is_no_route_is_404(api: Api, path: str) -> None:
    assert code_of(api.get(path))[0] == 404


@pytest.mark.parametrize(("path", "accept", "status"), [
    ("metadata", "application/fhir+json", 200), ("metadata", "application/json;q=0.5, text/html", 200),
    ("metadata", "*/*", 200), ("metadata", "", 200), ("metadata?_format=json", "application/xml", 200),
    ("metadata?_format=application/fhir%2Bjson", "", 200), ("metadata?_format=application/fhir+json", "", 200),
    ("metadata", "application/fhir+xml;q=1.0, application/fhir+json;q=1.0", 200),
    ("metadata", "application/fhir+xml", 406), ("metadata", "application/json;q=0", 406),
    ("metadata", "text/html", 406),
    ("metadata?_format=xml", "application/json", 406), ("metadata?_format=json&_format=ttl", "", 406),
    (f"Patient/{PATIENT}?_format=xml", "", 406), ("Location?_format=json", "", 200), ("Location?_format=xml", "", 406),
    (f"Patient/{PATIENT}?_format=json", "", 200), (f"Patient/{PATIENT}?_elements=name", "", 400),
])  # fmt: skip
def test_json_alone_is_written(api: Api, path: str, accept: str, status: int) -> None:
    found = api.get(path, **({"Accept": accept} if accept else {}))
    assert found.status == status
    assert found.headers["content-type"].startswith("application/fhir+json")


def test_links_lead_to_this_server(api: Api) -> None:
    found = api.search("Encounter", patient=PATIENT)
    assert found.json["link"] == [{"relation": "self", "url": f"{api.base}/Encounter?patient={PATIENT}"}]
    assert found.json["entry"][0]["fullUrl"] == f"{api.base}/Encounter/{STAY}"
    assert api.get("metadata", Host="elsewhere.example").status == 400


def test_the_store_is_away(database: str) -> None:
    ward = PlainWard(database)
    with serving(database) as api:
        assert api.get("Device").status == 200  # who is in stays in
        with ward.away():
            for path in (f"Patient/{PATIENT}", f"Observation?patient={PATIENT}", "Device"):
                answer = api.get(path)
                assert code_of(answer) == (503, "transient"), path
                assert answer.headers["retry-after"]
            assert api.get("metadata").status == 200
        assert api.search("Device").resources == []


def test_a_search_that_takes_too_long_is_given_up(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    PlainWard(database)
    monkeypatch.setattr("gateway.fhir.routes.STATEMENT_S", 0.2)
    with serving(database) as api, open_store(database) as conn, conn.transaction():
        conn.execute("LOCK TABLE device")
        assert code_of(api.get("Device")) == (400, "too-costly")


def test_no_line_of_a_log_has_a_number_of_a_patient(day: ChartWard, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with serving(day.store.address) as api:
        assert api.search("Patient", identifier=NUMBER).resources
        assert NUMBER not in api.get(f"Patient?identifier=a|b|{NUMBER}").body.decode()
        assert api.get(f"Observation?patient={NUMBER}/{NUMBER}").status == 400
        assert api.get(f"Patient/{NUMBER}").status == 404
        assert api.get(f"{NUMBER}").status == 404
    assert NUMBER not in caplog.text
