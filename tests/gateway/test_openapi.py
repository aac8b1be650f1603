"""The OpenAPI document that is shipped: it is what the routes are, and what answers keep to. schemathesis asks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import CHECKS
from starlette.routing import Route

from emr_store.connect import open_store
from gateway import openapi
from gateway.fhir.routes import fhir_routes
from tests.gateway.people.machine import Machine

SHIPPED = Path("docs/openapi.json")
NAMES = ("not_a_server_error", "status_code_conformance", "content_type_conformance", "response_schema_conformance")
SCHEMA = schemathesis.openapi.from_dict(openapi.document())
EXAMPLES = 8  # of each operation


def test_the_shipped_document_is_the_generated_one() -> None:
    assert SHIPPED.read_bytes() == openapi.encoded(), "python -m gateway.openapi > docs/openapi.json"


def test_each_route_of_the_api_stands_in_it() -> None:
    routes = {
        (route.path, method.lower())
        for route in fhir_routes(lambda: open_store("postgresql:///nowhere"))
        if isinstance(route, Route) and "{rest:path}" not in route.path and route.path != "/fhir"
        for method in (route.methods or set()) - {"HEAD"}
    }
    stated = {(path, method) for path, item in openapi.document()["paths"].items() for method in item}
    assert {each for each in stated if each[0].startswith("/fhir/")} == routes


@pytest.mark.integration
@SCHEMA.parametrize()
@settings(
    max_examples=EXAMPLES, deadline=None, phases=[Phase.generate], derandomize=True,
    suppress_health_check=list(HealthCheck),
)  # fmt: skip
def test_answers_are_as_the_document_says(case: Any, machine: Machine) -> None:
    token = machine.token()
    answer = case.call(base_url=machine.origin, headers={"Authorization": f"Bearer {token}"})
    case.validate_response(answer, checks=CHECKS.get_by_names(list(NAMES)))
