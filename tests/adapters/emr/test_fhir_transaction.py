from __future__ import annotations

import re
from itertools import permutations
from typing import Any

import msgspec
import pytest

from adapters.emr.answer import Outcome
from adapters.emr.fhir_transaction import FhirAnswer, read_transaction_response, transaction
from adapters.emr.observation import ChartedObservation, observations
from clinical.chart import Status
from clinical.charted import Place
from schemas.adt import Identifier
from schemas.errors import VitalwireError
from tests.charted_versions import (
    DIASTOLIC,
    HEART_RATE,
    MONITOR,
    PERSON,
    SPO2,
    SYSTOLIC,
    T0_US,
    by_hand,
    charted,
)
from tests.fhir_check import check_resource

Json = dict[str, Any]
ENTRIES = [charted(SPO2), charted(SYSTOLIC, 120.0), charted(DIASTOLIC, 80.0), by_hand("pain", 3.0)]
SLOT = observations(ENTRIES)
(PULSE_OXIMETRY,) = observations([charted(SPO2)])
(AMENDED,) = observations([charted(SPO2, 96.0, number=2, status=Status.AMENDED)])
KNOWN = 'Observation/42 W/"7"'


def entries_of(bundle: bytes) -> list[Json]:
    check_resource(bundle)
    decoded: Json = msgspec.json.decode(bundle)
    assert (decoded["resourceType"], decoded["type"]) == ("Bundle", "transaction")
    found: list[Json] = decoded["entry"]
    return found


def of_kind(bundle: bytes, kind: str) -> list[Json]:
    return [entry for entry in entries_of(bundle) if entry["resource"]["resourceType"] == kind]


def test_a_transaction_holds_all_that_its_observations_refer_to_once() -> None:
    entries = entries_of(transaction(SLOT, {}))
    kinds = [entry["resource"]["resourceType"] for entry in entries]
    assert kinds == ["Patient", "Location", "Location", "Location", "Device", "Encounter", *["Observation"] * 3]
    urls = [entry["fullUrl"] for entry in entries]
    assert len(set(urls)) == len(urls)
    kind_of = dict(zip(urls, kinds, strict=True))
    for entry in entries[6:]:
        resource = entry["resource"]
        assert kind_of[resource["subject"]["reference"]] == "Patient"
        assert kind_of[resource["encounter"]["reference"]] == "Encounter"
    assert kind_of[entries[5]["resource"]["location"][0]["location"]["reference"]] == "Location"
    # Not ours to say of a resource that the receiver keeps.
    assert not [entry for entry in entries if "id" in entry["resource"]]
    assert not [entry for entry in entries if "versionId" in entry["resource"].get("meta", {})]


def test_what_is_the_receivers_own_is_created_only_where_it_is_missing() -> None:
    requests = [entry["request"] for entry in entries_of(transaction(SLOT, {}))[:6]]
    assert requests == [
        {"method": "POST", "url": "Patient", "ifNoneExist": "identifier=urn:vitalwire:authority:HOSPITAL|1001"},
        {"method": "POST", "url": "Location", "ifNoneExist": "identifier=urn:vitalwire:location|main%5Eicu"},
        {"method": "POST", "url": "Location", "ifNoneExist": "identifier=urn:vitalwire:location|main%5Eicu%5E2"},
        {"method": "POST", "url": "Location", "ifNoneExist": "identifier=urn:vitalwire:location|main%5Eicu%5E2%5E07"},
        {"method": "POST", "url": "Device", "ifNoneExist": f"identifier=urn:vitalwire:device|{MONITOR.uuid}"},
        {"method": "POST", "url": "Encounter", "ifNoneExist": "identifier=urn:vitalwire:authority:HOSPITAL|V1"},
    ]


def test_a_site_says_how_the_receiver_calls_an_authority() -> None:
    bundle = transaction(SLOT, {}, {"HOSPITAL": "https://emr/mrn"})
    (patient,), (encounter,) = of_kind(bundle, "Patient"), of_kind(bundle, "Encounter")
    assert patient["resource"]["identifier"][0]["system"] == "https://emr/mrn"
    assert patient["request"]["ifNoneExist"] == "identifier=https://emr/mrn|1001"
    assert encounter["request"]["ifNoneExist"] == "identifier=https://emr/mrn|V1"


def test_what_has_a_meaning_in_a_search_is_escaped() -> None:
    number = Identifier(value="a,b|c$d\\e f&王", authority="H", type="MR")
    person = msgspec.structs.replace(PERSON, identifiers=(number,))
    made = observations([msgspec.structs.replace(charted(), person=person)])
    (patient,) = of_kind(transaction(made, {}), "Patient")
    assert patient["request"]["ifNoneExist"] == (
        "identifier=urn:vitalwire:authority:H|a%5C%2Cb%5C%7Cc%5C%24d%5C%5Ce%20f%26%E7%8E%8B"
    )
    assert patient["resource"]["identifier"][0]["value"] == number.value


def request_of(observation: ChartedObservation, known: dict[str, str]) -> tuple[Json, Json]:
    (entry,) = of_kind(transaction([observation], known), "Observation")
    return entry["request"], entry["resource"]


def test_the_first_version_is_created_unless_it_is_there() -> None:
    request, resource = request_of(PULSE_OXIMETRY, {})
    search = f"identifier=urn:vitalwire:chart-entry|{PULSE_OXIMETRY.id}"
    assert request == {"method": "POST", "url": "Observation", "ifNoneExist": search}
    assert resource["identifier"][0]["value"] == PULSE_OXIMETRY.id


def test_a_later_version_replaces_the_one_that_the_receiver_told_of() -> None:
    request, resource = request_of(AMENDED, {AMENDED.id: KNOWN})
    assert request == {"method": "PUT", "url": "Observation/42", "ifMatch": 'W/"7"'}
    assert (resource["id"], resource["status"]) == ("42", "amended")
    assert resource["identifier"][0]["value"] == AMENDED.id


def test_a_receiver_without_versions_is_addressed_by_its_id_alone() -> None:
    request, _ = request_of(AMENDED, {AMENDED.id: "Observation/42"})
    assert request == {"method": "PUT", "url": "Observation/42"}


def test_a_later_version_that_the_receiver_never_told_of_replaces_by_identifier() -> None:
    """As for a destination that takes final entries only, or whose answer was lost."""
    request, resource = request_of(AMENDED, {"another": KNOWN})
    assert request == {
        "method": "PUT", "url": f"Observation?identifier=urn:vitalwire:chart-entry|{AMENDED.id}",
    }  # fmt: skip
    assert "id" not in resource


def test_a_pressure_that_joins_a_panel_which_was_sent_is_not_ignored_as_a_duplicate() -> None:
    (panel,) = observations(ENTRIES[1:3])
    request, _ = request_of(panel, {})
    assert request["method"] == "PUT"


def test_known_versions_of_another_shape_are_refused() -> None:
    with pytest.raises(ValueError, match="known_versions"):
        transaction([AMENDED], {AMENDED.id: "Patient/42"})


def test_the_bytes_depend_on_the_input_alone() -> None:
    bundles = {transaction(given, {AMENDED.id: KNOWN}) for given in permutations(SLOT)}
    assert len(bundles) == 1


def test_devices_and_places_are_those_of_the_values() -> None:
    other = msgspec.structs.replace(MONITOR, uuid="00000000-0000-4000-8000-000000000001")
    bed = Place(key="main^icu^^08", name="")
    moved = msgspec.structs.replace(charted(HEART_RATE, observed_at_us=T0_US + 1), device=other, place=bed)
    bundle = transaction(observations([charted(SPO2), moved]), {})
    assert len(of_kind(bundle, "Device")) == 2
    locations = of_kind(bundle, "Location")
    assert [location["resource"]["name"] for location in locations] == ["icu", "2", "ICU-07", "08"]
    (encounter,) = of_kind(bundle, "Encounter")
    assert encounter["resource"]["location"][0]["location"]["reference"] == locations[3]["fullUrl"]


def test_without_a_place_and_a_device_there_is_none() -> None:
    made = observations([msgspec.structs.replace(by_hand("pain", 3.0), place=None)])
    kinds = [entry["resource"]["resourceType"] for entry in entries_of(transaction(made, {}))]
    assert kinds == ["Patient", "Encounter", "Observation"]


@pytest.mark.parametrize(
    ("person", "says"), [(None, "nobody knows"), (msgspec.structs.replace(PERSON, erased=True), "erased")]
)
def test_of_nobody_or_an_erased_person_nothing_leaves(person: object, says: str) -> None:
    with pytest.raises(VitalwireError, match=says):
        transaction(observations([msgspec.structs.replace(charted(), person=person)]), {})


@pytest.mark.parametrize(
    "change",
    [{"slot_us": T0_US + 1}, {"person": msgspec.structs.replace(PERSON, key="other")}],
)
def test_a_transaction_is_of_one_slot_and_person(change: Json) -> None:
    other = msgspec.structs.replace(charted(HEART_RATE), **change)
    with pytest.raises(ValueError, match="a transaction is of one"):
        transaction(observations([charted(SPO2), other]), {})
    with pytest.raises(ValueError, match="a transaction is of one"):
        transaction([], {})


# What receivers answer.

SENT = transaction([PULSE_OXIMETRY], {})
KINDS = [entry["resource"]["resourceType"] for entry in entries_of(SENT)]


def response(*, kind: str = "transaction-response", change: Json | None = None, at: int = -1) -> bytes:
    entries: list[Json] = [
        {"response": {"status": "201 Created", "location": f"{name}/{n}/_history/1", "etag": 'W/"1"'}}
        for n, name in enumerate(KINDS)
    ]
    entries[at]["response"] |= change or {}
    return msgspec.json.encode({"resourceType": "Bundle", "type": kind, "entry": entries})


def outcome(severity: str = "error", code: str = "invalid") -> Json:
    issue = {"severity": severity, "code": code, "diagnostics": "Patient 王芳 unknown"}
    return {"resourceType": "OperationOutcome", "issue": [issue]}


def read(status: int, body: bytes) -> FhirAnswer:
    answered = read_transaction_response(status, body, SENT)
    assert answered.answer.code == str(status)
    assert "王" not in answered.answer.reason
    assert (answered.answer.reason == "") == (answered.answer.outcome is Outcome.ACCEPTED)
    return answered


@pytest.mark.parametrize(
    ("change", "known"),
    [
        ({}, 'Observation/6 W/"1"'),
        ({"status": "200 OK"}, 'Observation/6 W/"1"'),
        ({"location": "https://emr/fhir/Observation/a.b-9/_history/3", "etag": 'W/"3"'}, 'Observation/a.b-9 W/"3"'),
        ({"etag": None}, 'Observation/6 W/"1"'),
        ({"etag": '"8"'}, 'Observation/6 W/"8"'),
        ({"etag": None, "location": "Observation/6"}, "Observation/6"),
        ({"outcome": outcome("information", "informational")}, 'Observation/6 W/"1"'),
    ],
)
def test_what_was_filed_is_known_from_then_on(change: Json, known: str) -> None:
    answered = read(200, response(change=change))
    assert answered.answer.outcome is Outcome.ACCEPTED
    assert answered.versions == {PULSE_OXIMETRY.id: known}
    # And it is what a later version is sent with.
    request, _ = request_of(AMENDED, answered.versions)
    assert request["url"].startswith("Observation/")


def test_a_receiver_that_tells_no_location_is_believed_and_nothing_is_known() -> None:
    answered = read(200, response(change={"location": None}))
    assert (answered.answer.outcome, answered.versions) == (Outcome.ACCEPTED, {})


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_a_receiver_that_could_not_now_is_tried_again(status: int) -> None:
    for body in (b"", b"<html>", msgspec.json.encode(outcome(code="timeout"))):
        assert read(status, body).answer.outcome is Outcome.RETRY


@pytest.mark.parametrize("status", [400, 401, 404, 409, 410, 412, 422, 201, 202, 204, 302])
def test_a_receiver_that_will_not_have_it_parks_it(status: int) -> None:
    for body in (b"", b"<html>", msgspec.json.encode(outcome())):
        assert read(status, body).answer.outcome is Outcome.PARK


def test_the_reason_has_the_codes_of_the_outcome_and_no_more() -> None:
    reason = read(422, msgspec.json.encode(outcome(code="business-rule"))).answer.reason
    assert reason == "the receiver refuses it: HTTP 422 (business-rule)"
    assert "(unknown)" in read(422, msgspec.json.encode(outcome(code="王芳"))).answer.reason


def test_412_says_that_somebody_else_changed_it() -> None:
    assert read(412, b"").answer.reason.startswith("somebody else changed it there")


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (msgspec.json.encode(outcome()), r"OperationOutcome instead of a Bundle \(invalid\)"),
        (b"", "cannot be read"),
        (b"[1]", "cannot be read"),
        (b"[" * 100_000, "cannot be read"),
        (b"\xff{}", "cannot be read"),
        (b"{}", "without a Bundle"),
        (response(kind="searchset"), "without a Bundle"),
        (msgspec.json.encode({"resourceType": "Bundle", "type": "transaction-response"}), "answers 0 entries of 7"),
        (response(change={"status": "422 Unprocessable"}), r"entry 6 \(Observation\): status 422"),
        (response(change={"status": "500"}, at=0), r"entry 0 \(Patient\): status 500"),
        (response(change={"status": None}), "no status"),
        (response(change={"status": "OK"}), "no status"),
        (response(change={"outcome": outcome("fatal", "exception")}), r"an error inside \(exception\)"),
        (response(change={"location": "Patient/6/_history/1"}), "none of its kind"),
        (response(change={"location": 6}), "none of its kind"),
    ],
)
def test_200_with_an_error_inside_is_parked(body: bytes, says: str) -> None:
    answered = read(200, body)
    assert re.search(says, answered.answer.reason)
    assert (answered.answer.outcome, answered.versions) == (Outcome.PARK, {})


def test_an_answer_about_another_resource_is_parked() -> None:
    sent = transaction([AMENDED], {AMENDED.id: KNOWN})
    right = response(change={"location": "Observation/42/_history/8", "etag": 'W/"8"'})
    answered = read_transaction_response(200, right, sent)
    assert answered.versions == {AMENDED.id: 'Observation/42 W/"8"'}
    lied = read_transaction_response(200, response(), sent)
    assert lied.answer.outcome is Outcome.PARK
    assert "another one" in lied.answer.reason
