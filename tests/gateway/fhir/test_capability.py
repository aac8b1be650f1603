"""The CapabilityStatement before the routes: each thing that it states is tried, and nothing else is possible."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

import pytest
from starlette.routing import Route

from emr_store.connect import open_store
from gateway.fhir.parameters import COUNT_DEFAULT, COUNT_MAX, TYPES
from gateway.fhir.routes import ANSWERING, fhir_routes
from tests.gateway.chart_ward import DEVICE, ChartWard
from tests.gateway.fhir.asking import Api
from tests.gateway.fhir.test_observations import PATIENT, STAY

INTERACTIONS = {
    "read": ("GET", "/fhir/{type}/{{id}}"),
    "vread": ("GET", "/fhir/{type}/{{id}}/_history/{{version}}"),
    "search-type": ("GET", "/fhir/{type}"),
}
# A value that each kind of parameter takes, and what a search of the type needs beside it.
TRIED = {"token": "x", "date": "ge2020", "reference": "x", "number": "1"}
STRINGS = {"_sort": "date"}
TOKENS = {"_total": "accurate", "_summary": "count"}
NEEDED = {"Observation": ("patient", PATIENT), "Patient": ("_id", PATIENT), "Encounter": ("_id", STAY),
          "Provenance": ("_id", "x"), "Location": None, "Device": None,
          "AuditEvent": ("_id", "x")}  # fmt: skip


@pytest.fixture
def stated(api: Api) -> dict[str, Any]:
    found: dict[str, Any] = api.get("metadata").json
    return found


def resources(stated: dict[str, Any]) -> dict[str, Any]:
    (rest,) = stated["rest"]
    return {each["type"]: each for each in rest["resource"]}


def test_it_says_what_it_is(stated: dict[str, Any], api: Api) -> None:
    assert (stated["resourceType"], stated["kind"], stated["fhirVersion"]) == (
        "CapabilityStatement",
        "instance",
        "4.0.1",
    )
    assert stated["software"] == {"name": "vitalwire", "version": version("vitalwire")}
    assert stated["format"] == ["json", "application/fhir+json"]
    assert stated["implementation"]["url"] == api.base


def test_interactions_are_the_routes(stated: dict[str, Any], day: ChartWard) -> None:
    routes = {
        (method, route.path)
        for route in fhir_routes(lambda: open_store(day.store.address))
        if isinstance(route, Route) and "{rest:path}" not in route.path
        for method in (route.methods or set()) - {"HEAD"}
    }
    promised = {("GET", "/fhir/metadata")}
    for name, each in resources(stated).items():
        for interaction in each["interaction"]:
            method, path = INTERACTIONS[interaction["code"]]
            promised.add((method, path.format(type=name)))
        promised.add(("POST", f"/fhir/{name}/_search"))
    refusals = {("/fhir", method) for method in ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")}
    assert {route for route in routes if (route[1], route[0]) not in refusals} == promised
    assert resources(stated).keys() == TYPES.keys() == ANSWERING.keys()
    assert stated["rest"][0].get("interaction", []) == []


def test_every_parameter_that_is_stated_is_answered(stated: dict[str, Any], api: Api) -> None:
    for name, each in resources(stated).items():
        for parameter in each["searchParam"]:
            value = STRINGS.get(parameter["name"]) or TOKENS.get(parameter["name"]) or TRIED[parameter["type"]]
            pairs = [(parameter["name"], value)]
            if (needed := NEEDED[name]) and needed[0] != parameter["name"]:
                pairs.append(needed)
            if parameter["name"] in TOKENS:  # refused beside what is not counted, answered beside this
                pairs = [pairs[0], ("patient", PATIENT)]
            found = api.search(name, *pairs)
            assert found.json["type"] == "searchset", (name, pairs)


def test_every_parameter_narrows_what_is_found(stated: dict[str, Any], api: Api) -> None:
    """None of those that nobody has is read and then forgotten."""
    for name, each in resources(stated).items():
        whole = api.search(name, *([needed] if (needed := NEEDED[name]) else []))
        assert name in ("Provenance", "AuditEvent") or whole.resources
        for parameter in each["searchParam"]:
            if parameter["name"] in ("_count", "_sort", "_total", "_summary"):
                continue
            value = {"date": "lt1950"}.get(parameter["type"], "nobody-has-this")
            pairs = [(parameter["name"], value), *([needed] if needed else [])]
            assert api.search(name, *pairs).resources == [], (name, parameter["name"])


def test_no_other_parameter_is_answered(stated: dict[str, Any], api: Api) -> None:
    everywhere = {"_format", "_cursor"}
    known = {p["name"] for each in resources(stated).values() for p in each["searchParam"]}
    others = {
        "name",
        "birthdate",
        "value-quantity",
        "_include",
        "_revinclude",
        "_has",
        "_elements",
        "_text",
        "performer",
    }
    for name, each in resources(stated).items():
        own = {parameter["name"] for parameter in each["searchParam"]}
        for parameter in sorted((known | others) - own - everywhere):
            needed = NEEDED[name]
            assert api.refused(name, (parameter, "true"), *([needed] if needed else [])) == parameter, name


def test_what_is_stated_of_needs_counts_and_versions_is_so(stated: dict[str, Any], api: Api, day: ChartWard) -> None:
    for name, each in resources(stated).items():
        assert each["conditionalRead"] == "not-match"
        assert each["versioning"] == ("versioned" if name == "Observation" else "no-version")
        if TYPES[name].needs:
            assert api.refused(name) == TYPES[name].needs[-1]
            for needed in TYPES[name].needs:
                assert needed in each["documentation"]
        else:
            assert api.search(name).resources
    assert len(api.search("Observation", patient=PATIENT).resources) == COUNT_DEFAULT
    assert len(api.search("Observation", patient=PATIENT, _count=str(COUNT_MAX + 1)).resources) > COUNT_DEFAULT
    assert api.get(f"Device/{DEVICE}/_history/1").status == 404
