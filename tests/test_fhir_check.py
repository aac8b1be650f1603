from __future__ import annotations

from contextlib import suppress
from copy import deepcopy
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.errors import VitalwireError
from tests.fhir_check import RESOURCE_MAX_BYTES, check_resource
from tests.fhir_resources import RESOURCES

Json = dict[str, Any]


def decoded(resource: bytes) -> Json:
    made: Json = msgspec.json.decode(resource)
    return made


@pytest.mark.parametrize("name", RESOURCES)
def test_what_leaves_is_accepted(name: str) -> None:
    check_resource(RESOURCES[name])


def refused(resource: Json, says: str) -> None:
    with pytest.raises(VitalwireError, match=says) as caught:
        check_resource(msgspec.json.encode(resource))
    assert "王" not in str(caught.value)


def change(resource: bytes, *path: str | int, to: Any) -> Json:
    changed = decoded(resource)
    at: Any = changed
    for name in path[:-1]:
        at = at[name]
    at[path[-1]] = to
    return changed


OBSERVATION, PANEL = RESOURCES["Observation-status-final"], RESOURCES["Observation-panel"]
PROVENANCE, PATIENT = RESOURCES["Provenance-status-final"], RESOURCES["Patient"]
ENCOUNTER, LOCATION = RESOURCES["Encounter-I"], RESOURCES["Location-1"]
ABSENT = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/data-absent-reason", "code": "unknown"}]}


@pytest.mark.parametrize(
    ("resource", "says"),
    [
        (change(OBSERVATION, "status", to="bogus"), r"Observation\.status: must be one of"),
        (change(OBSERVATION, "status", to=None), "Observation"),
        (change(OBSERVATION, "code", to={}), r"Observation\.code: needs"),
        (change(OBSERVATION, "code", to=None), "Observation"),
        (change(OBSERVATION, "code", to={"coding": [{"display": "x"}]}), r"Observation\.code: needs"),
        (change(OBSERVATION, "dataAbsentReason", to=ABSENT), r"no valueQuantity \(obs-6\)"),
        (change(PANEL, "component", 1, "dataAbsentReason", to=ABSENT), r"component\.1: dataAbsentReason"),
        (change(PANEL, "component", 0, "code", to={}), r"component\.0\.code: needs"),
        (change(OBSERVATION, "subject", to={"reference": "Device/1"}), r"subject: must refer to Patient"),
        (change(OBSERVATION, "subject", to={"type": "Group"}), r"subject"),
        (change(OBSERVATION, "device", to={"reference": "Patient/1"}), r"device: must refer to Device"),
        (change(OBSERVATION, "encounter", to={"reference": "Patient/1"}), r"encounter: must refer to Encounter"),
        (change(OBSERVATION, "encounter", to={"reference": "https://emr/Patient/1/_history/2"}), r"refer to Encounter"),
        (change(OBSERVATION, "encounter", to={"reference": "Encounter"}), r"must end in Kind/id"),
        (change(OBSERVATION, "encounter", to={}), r"encounter"),
        (change(OBSERVATION, "performer", to=[{"reference": "Device/1"}]), r"performer: must refer to"),
        (change(OBSERVATION, "value", to=1), "extra_forbidden"),
        (change(OBSERVATION, "valueString", to="x"), "Observation"),
        (change(OBSERVATION, "effectiveDateTime", to="2026-05-01T10:15"), "effectiveDateTime"),
        (change(OBSERVATION, "resourceType", to="Medication"), "resourceType must be one of"),
        (change(PATIENT, "gender", to="F"), r"Patient\.gender"),
        (change(ENCOUNTER, "status", to="open"), r"Encounter\.status"),
        (change(ENCOUNTER, "subject", to={"reference": "Device/1"}), r"Encounter\.subject"),
        (change(ENCOUNTER, "location", 0, "location", to={"reference": "Patient/1"}), r"location\.location"),
        (change(LOCATION, "partOf", to={"reference": "Patient/1"}), r"Location\.partOf"),
        (change(LOCATION, "mode", to="real"), r"Location\.mode"),
        (change(PROVENANCE, "entity", 0, "role", to="sauce"), r"Provenance\.entity\.role"),
        (change(PROVENANCE, "agent", 0, "who", to={"reference": "Location/1"}), r"Provenance\.agent\.who"),
    ],
)
def test_what_the_library_lets_through_is_refused(resource: Json, says: str) -> None:
    refused(resource, says)


def bundle(*entries: Json, kind: str = "transaction") -> Json:
    return {"resourceType": "Bundle", "type": kind, "entry": list(entries)}


def entry(resource: bytes, url: str, method: str = "POST") -> Json:
    return {
        "fullUrl": f"urn:uuid:{url}", "resource": decoded(resource), "request": {"method": method, "url": url},
    }  # fmt: skip


def test_a_transaction_is_accepted() -> None:
    observation = change(OBSERVATION, "subject", to={"reference": "urn:uuid:Patient"})
    made = entry(msgspec.json.encode(observation), "Observation")
    check_resource(msgspec.json.encode(bundle(entry(PATIENT, "Patient"), made)))


def without(entry: Json, *names: str) -> Json:
    return {name: value for name, value in deepcopy(entry).items() if name not in names}


GOOD = entry(PATIENT, "Patient")


@pytest.mark.parametrize(
    ("made", "says"),
    [
        (bundle(without(GOOD, "request")), r"Bundle\.entry\.0\.request: missing"),
        (bundle(without(GOOD, "resource")), r"entry\.0\.resource: missing of a POST"),
        (bundle(GOOD | {"request": {"method": "POST", "url": "Device"}}), r"of another kind"),
        (bundle(GOOD | {"request": {"method": "BREW", "url": "Patient"}}), r"request\.method"),
        (bundle(GOOD, GOOD), r"stands twice"),
        (bundle(GOOD, kind="parcel"), r"Bundle\.type"),
        (bundle(without(GOOD, "request"), kind="transaction-response"), r"response: missing"),
    ],
)
def test_a_broken_bundle_is_refused(made: Json, says: str) -> None:
    refused(made, says)


def test_a_reference_within_a_bundle_is_looked_up() -> None:
    wrong = change(OBSERVATION, "device", to={"reference": "urn:uuid:Patient"})
    refused(bundle(GOOD, entry(msgspec.json.encode(wrong), "Observation")), "device: must refer to Device")
    nowhere = change(OBSERVATION, "device", to={"reference": "urn:uuid:nowhere"})
    refused(bundle(GOOD, entry(msgspec.json.encode(nowhere), "Observation")), "names no entry of the bundle")


@pytest.mark.parametrize(
    "resource",
    [b"", b"[]", b"null", b"{", b'{"resourceType":1}', b"\xff", b"[" * 100_000, b" " * (RESOURCE_MAX_BYTES + 1)],
)
def test_what_is_no_resource_is_refused(resource: bytes) -> None:
    with pytest.raises(VitalwireError, match="FHIR: "):
        check_resource(resource)


NAMES = st.sampled_from(
    ["resourceType", "status", "code", "coding", "entry", "resource", "request", "component", "subject", "reference",
     "agent", "who", "location", "category", "dataAbsentReason", "valueQuantity", "type", "issue"]
)  # fmt: skip
ANY = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from(["", "final", "Patient/1", "urn:uuid:1", "2026"])
    | st.sampled_from(["Observation", "Bundle"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=12,
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.dictionaries(NAMES, ANY, max_size=6),
    st.sampled_from([OBSERVATION, PANEL, PROVENANCE, PATIENT, ENCOUNTER, LOCATION, RESOURCES["Bundle-first"]]),
)
def test_whatever_comes_is_accepted_or_refused_and_nothing_else(changes: Json, resource: bytes) -> None:
    with suppress(VitalwireError):
        check_resource(msgspec.json.encode(decoded(resource) | changes))
