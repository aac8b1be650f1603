"""The simulated EMR over HTTP: FHIR's conditional interactions, its refusals, each fault, and the page for people."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any

import aiohttp
import pytest

from simulators.emr import Emr, EmrPlan, running_emr
from simulators.emr_fhir import dumps, loads

ENTRY = "0190aaaa-0000-7000-8000-000000000001"
SYSTEM = "urn:vitalwire:chart-entry"
Scene = Callable[[Emr, aiohttp.ClientSession], Awaitable[None]]
Json = dict[str, Any]


def with_emr(scene: Scene, plan: EmrPlan | None = None) -> None:
    async def play() -> None:
        async with running_emr(plan or EmrPlan()) as emr, aiohttp.ClientSession(emr.fhir_url) as http:
            await scene(emr, http)

    asyncio.run(play())


def observation(value: str = "97", status: str = "final", entry: str = ENTRY, **members: Any) -> Json:
    return {
        "resourceType": "Observation", "identifier": [{"system": SYSTEM, "value": entry}], "status": status,
        "category": [{"coding": [{"code": "vital-signs"}]}],
        "code": {"coding": [
            {"system": "urn:iso:std:iso:11073:10101", "code": "150456"},
            {"system": "http://loinc.org", "code": "59408-5", "display": "SpO2"},
        ]},
        "subject": {"reference": "urn:uuid:p"}, "encounter": {"reference": "urn:uuid:e"},
        "effectiveDateTime": "2026-09-21T22:13:10+08:00",
        "valueQuantity": {"value": Decimal(value), "unit": "%", "system": "http://unitsofmeasure.org", "code": "%"},
    } | members  # fmt: skip


def created(kind: str, key: str, system: str, value: str, **members: Any) -> Json:
    identifier = [{"system": system, "value": value}]
    return {
        "fullUrl": f"urn:uuid:{key}",
        "resource": {"resourceType": kind, "identifier": identifier, **members},
        "request": {"method": "POST", "url": kind, "ifNoneExist": f"identifier={system}%7C{value}"},
    }


def bundle(resource: Json | None = None, **request: str) -> Json:
    asked = request or {"method": "POST", "url": "Observation", "ifNoneExist": f"identifier={SYSTEM}%7C{ENTRY}"}
    return {
        "resourceType": "Bundle", "type": "transaction",
        "entry": [
            {"fullUrl": "urn:uuid:o", "resource": resource or observation(), "request": asked},
            created("Patient", "p", "urn:h", "4711"),
            created("Location", "l", "urn:b", "icu^1", name="ICU bed 1"),
            created("Encounter", "e", "urn:v", "V1", location=[{"location": {"reference": "urn:uuid:l"}}]),
        ],
    }  # fmt: skip


async def post(http: aiohttp.ClientSession, resource: Json, path: str = "/", **headers: str) -> tuple[int, Json]:
    async with http.post(path, data=dumps(resource), headers=headers) as response:
        return response.status, loads(await response.text())


def shown(emr: Emr) -> list[tuple[str, str, int]]:
    return [(row.value, row.status, row.version) for row in emr.table.rows()]


def test_a_transaction_files_once_however_often_it_is_sent() -> None:
    async def scene(emr: Emr, http: aiohttp.ClientSession) -> None:
        status, first = await post(http, bundle(observation("36.50")))
        assert status == 200
        assert [entry["response"]["status"] for entry in first["entry"]] == ["201 Created"] * 4
        _, second = await post(http, bundle(observation("36.50")))
        assert [entry["response"]["status"] for entry in second["entry"]] == ["200 OK"] * 4
        assert [e["response"]["location"] for e in first["entry"]] == [
            e["response"]["location"] for e in second["entry"]
        ]
        (row,) = emr.table.rows()
        assert (row.identity, row.patient, row.encounter, row.place) == (ENTRY, "4711", "V1", "ICU bed 1")
        assert (row.code, row.value, row.unit, row.status, row.way) == ("59408-5", "36.50", "%", "final", "fhir")
        async with http.get(f"/{row.message_id.partition('/_history')[0]}") as response:
            kept = loads(await response.text())
            assert response.headers["ETag"] == 'W/"1"'
        assert kept["valueQuantity"]["value"] == Decimal("36.50")
        assert str(kept["valueQuantity"]["value"]) == "36.50"
        assert kept["subject"]["reference"].startswith("Patient/")

    with_emr(scene)


def test_a_later_version_replaces_the_one_that_it_was_made_of_and_no_other() -> None:
    async def scene(emr: Emr, http: aiohttp.ClientSession) -> None:
        _, first = await post(http, bundle())
        url = first["entry"][0]["response"]["location"].partition("/_history")[0]
        later = observation("98", "amended", id=url.partition("/")[2])
        request = {"method": "PUT", "url": url, "ifMatch": 'W/"1"'}
        status, answer = await post(http, bundle(later, **request))
        assert (status, answer["entry"][0]["response"]["etag"]) == (200, 'W/"2"')
        status, answer = await post(http, bundle(later, **request))
        assert (status, answer["issue"][0]["code"]) == (412, "conflict")
        assert shown(emr) == [("98", "amended", 2)]
        assert [each["value"] for each in emr.table.versions(1)] == ["97", "98"]

    with_emr(scene)


def test_a_conditional_update_creates_or_replaces() -> None:
    async def scene(emr: Emr, http: aiohttp.ClientSession) -> None:
        request = {"method": "PUT", "url": f"Observation?identifier={SYSTEM}|{ENTRY}"}
        for value in ("97", "98"):
            status, _ = await post(http, bundle(observation(value), **request))
            assert status == 200
        assert shown(emr) == [("98", "final", 2)]

    with_emr(scene)


def test_single_resources_are_created_read_found_and_replaced() -> None:
    async def scene(emr: Emr, http: aiohttp.ClientSession) -> None:
        clause = f"identifier={SYSTEM}|{ENTRY}"
        status, made = await post(http, observation(), "/Observation", **{"If-None-Exist": clause})
        assert status == 201
        status, same = await post(http, observation(), "/Observation", **{"If-None-Exist": clause})
        assert (status, same["id"]) == (200, made["id"])
        async with http.get("/Observation", params={"identifier": f"{SYSTEM}|{ENTRY}"}) as response:
            found = await response.json(content_type=None)
        assert (found["total"], found["entry"][0]["resource"]["id"]) == (1, made["id"])
        body = dumps({**observation("98"), "id": made["id"]})
        for etag, expected in (('W/"7"', 412), ('W/"1"', 200)):
            async with http.put(f"/Observation/{made['id']}", data=body, headers={"If-Match": etag}) as response:
                assert response.status == expected
        assert shown(emr) == [("98", "final", 2)]

    with_emr(scene)


def test_each_component_of_a_panel_is_a_row() -> None:
    def member(code: str, value: int) -> Json:
        coding = [{"system": "http://loinc.org", "code": code}]
        return {"code": {"coding": coding}, "valueQuantity": {"value": value, "code": "mm[Hg]"}}

    async def scene(emr: Emr, http: aiohttp.ClientSession) -> None:
        panel = observation(component=[member("8480-6", 120), member("8462-4", 80)])
        del panel["valueQuantity"]
        await post(http, bundle(panel))
        assert [(row.code, row.value) for row in emr.table.rows()] == [("8480-6", "120"), ("8462-4", "80")]

    with_emr(scene)


@pytest.mark.parametrize(
    ("wrong", "status", "code"),
    [
        ({"status": "bogus"}, 422, "code-invalid"),
        ({"code": {}}, 422, "required"),
        ({"subject": None}, 422, "required"),
        ({"effectiveDateTime": "2026-09-21"}, 422, "value"),
        ({"dataAbsentReason": {"text": "unknown"}}, 422, "invariant"),
        ({"valueQuantity": {"value": "97"}}, 422, "value"),
        ({"resourceType": "Observations"}, 400, "invalid"),
    ],
)
def test_what_is_wrong_is_refused_whole_with_an_operation_outcome(wrong: Json, status: int, code: str) -> None:
    async def scene(emr: Emr, http: aiohttp.ClientSession) -> None:
        got, answer = await post(http, bundle(observation(**wrong)))
        assert (got, answer["resourceType"], answer["issue"][0]["code"]) == (status, "OperationOutcome", code)
        async with http.get("/Patient", params={"identifier": "urn:h|4711"}) as response:
            assert (await response.json(content_type=None))["total"] == 0

    with_emr(scene)


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/Observation/none", "", 404), ("GET", "/Observation?code=1", "", 400),
        ("DELETE", "/Observation/1", "", 405),
        ("GET", "/a/b/c", "", 404), ("POST", "/", "{", 400), ("POST", "/", "[]", 400),
        ("POST", "/", '{"resourceType":"Bundle","type":"batch"}', 400),
        ("POST", "/", '{"resourceType":"Bundle","type":"transaction","entry":[{}]}', 400),
        ("PUT", "/Observation/1", '{"resourceType":"Observation","id":"2"}', 400),
        ("POST", "/Observation", '{"resourceType":"Observation","status":"final","code":[]}', 422),
        ("POST", "/Observation", '{"resourceType":"Observation","status":"final","code":["x"]}', 400),
    ],
)  # fmt: skip
def test_every_refusal_is_an_operation_outcome(method: str, path: str, body: str, status: int) -> None:
    async def scene(emr: Emr, http: aiohttp.ClientSession) -> None:
        async with http.request(method, path, data=body) as response:
            assert response.status == status
            assert (await response.json(content_type=None))["resourceType"] == "OperationOutcome"

    with_emr(scene)


@pytest.mark.parametrize(
    ("fault", "status", "filed"),
    [("ae=1", 422, 0), ("ar=1", 503, 0), ("error_inside=1", 200, 0), ("slow=0.01", 200, 1), ("late=0.01", 200, 1)],
)
def test_a_fault_is_seen_in_the_answer_and_then_over(fault: str, status: int, filed: int) -> None:
    async def scene(emr: Emr, http: aiohttp.ClientSession) -> None:
        await emr.set_faults(fault)
        got, answer = await post(http, bundle())
        assert (got, len(shown(emr))) == (status, filed)
        assert (answer["resourceType"] == "Bundle") == bool(filed)
        got, answer = await post(http, bundle())
        assert (got, answer["resourceType"], shown(emr)) == (200, "Bundle", [("97", "final", 1)])

    with_emr(scene)


def test_a_lost_answer_is_a_connection_that_ends_and_the_resend_finds_it_filed() -> None:
    async def scene(emr: Emr, http: aiohttp.ClientSession) -> None:
        await emr.set_faults("lost=1")
        with pytest.raises(aiohttp.ClientError):
            await post(http, bundle())
        assert len(shown(emr)) == 1
        await post(http, bundle())
        assert len(shown(emr)) == 1

    with_emr(scene)


def test_an_answer_for_another_message_has_another_location() -> None:
    async def scene(emr: Emr, http: aiohttp.ClientSession) -> None:
        await emr.set_faults("other=1")
        _, answer = await post(http, bundle())
        assert {entry["response"]["location"] for entry in answer["entry"]} == {"Basic/other/_history/1"}

    with_emr(scene)


def test_one_that_lets_duplicates_through_files_the_resend_again() -> None:
    async def scene(emr: Emr, http: aiohttp.ClientSession) -> None:
        await post(http, bundle())
        await post(http, bundle())
        assert shown(emr) == [("97", "final", 1), ("97", "final", 1)]

    with_emr(scene, EmrPlan(faults="duplicates"))


def test_one_that_is_down_refuses_and_its_page_brings_it_back_at_the_same_port() -> None:
    async def scene(emr: Emr, http: aiohttp.ClientSession) -> None:
        async with aiohttp.ClientSession(emr.page_url) as page:
            async with page.put("/faults", data="down") as response:
                assert await response.json() == {"faults": "down", "happened": {}}
            with pytest.raises(aiohttp.ClientError):
                await post(http, bundle())
            async with page.put("/faults", data="none") as response:
                assert response.status == 200
        assert (await post(http, bundle()))[0] == 200

    with_emr(scene)


def test_people_see_the_table_and_a_wrong_word_is_told() -> None:
    async def scene(emr: Emr, http: aiohttp.ClientSession) -> None:
        words = observation(valueString="<script>")
        del words["valueQuantity"]
        await post(http, bundle(words))
        async with aiohttp.ClientSession(emr.page_url) as page:
            async with page.get("/table") as response:
                (row,) = json.loads(await response.text())["results"]
            async with page.get("/table.txt") as response:
                text = await response.text()
            async with page.get("/") as response:
                html = await response.text()
            async with page.put("/faults", data="broken") as response:
                assert response.status == 400
                assert (await response.text()).startswith("no fault 'broken': none or slow")
        assert (row["patient"], row["versions"][0]["version"]) == ("4711", 1)
        assert "4711" in text.splitlines()[1]
        assert "<td>4711<td>" in html
        assert "<script>" not in html

    with_emr(scene)
