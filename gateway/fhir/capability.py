"""The CapabilityStatement: what can be asked, out of the table that routes and parsers are made of."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

from gateway.fhir.parameters import COUNT_MAX, TYPES, Parameter, ParameterKind, ResourceType

FHIR_VERSION = "4.0.1"
PUBLISHED = "2026-11-29"  # when what is stated here changed last
_SECURITY = {
    "service": [
        {
            "coding": [
                {"system": "http://terminology.hl7.org/CodeSystem/restful-security-service", "code": "SMART-on-FHIR"}
            ]
        }
    ],
    "description": "A person's session, or SMART Backend Services: .well-known/smart-configuration",
}
_DEFINITIONS = "http://hl7.org/fhir/SearchParameter/"


def capability_statement(base: str) -> dict[str, Any]:
    """As http://hl7.org/fhir/R4/capabilitystatement.html has it; `base`: the address of this API."""
    return {
        "resourceType": "CapabilityStatement",
        "status": "active",
        "date": PUBLISHED,
        "kind": "instance",
        "software": {"name": "vitalwire", "version": version("vitalwire")},
        "implementation": {"description": "What vitalwire has charted, for programs that ask", "url": base},
        "fhirVersion": FHIR_VERSION,
        "format": ["json", "application/fhir+json"],
        "rest": [
            {
                "mode": "server",
                "documentation": "To read and to search. An unknown search parameter is refused, with its name; with"
                " `Prefer: handling=lenient` it is ignored, with a warning. Moments without a zone are UTC.",
                "security": _SECURITY,
                "resource": [_resource(each) for each in TYPES.values()],
            }
        ],
    }


def interactions(kind: ResourceType) -> list[str]:
    """http://hl7.org/fhir/restful-interaction."""
    return ["read", "vread", "search-type"] if kind.has_versions else ["read", "search-type"]


def result_parameters(kind: ResourceType) -> list[Parameter]:
    """How what is found is given."""
    found = [_result("_count", ParameterKind.NUMBER, f"How many in a page; at most {COUNT_MAX}.")]
    if kind.sorts:
        found.append(_result("_sort", ParameterKind.STRING, f"One of {', '.join(kind.sorts)}."))
    if kind.counts_all:
        found.append(
            _result("_total", ParameterKind.TOKEN, "none, estimate or accurate, where the search can be counted.")
        )
        found.append(_result("_summary", ParameterKind.TOKEN, "false, or count where the search can be counted."))
    return found


def _result(name: str, kind: ParameterKind, about: str) -> Parameter:
    return Parameter(name=name, kind=kind, about=about)


def _resource(kind: ResourceType) -> dict[str, Any]:
    needs = f" A search needs one of {', '.join(kind.needs)}." if kind.needs else ""
    return {
        "type": kind.name,
        "documentation": kind.about + needs,
        "interaction": [{"code": code} for code in interactions(kind)],
        "versioning": "versioned" if kind.has_versions else "no-version",
        "readHistory": kind.has_versions,
        "conditionalRead": "not-match",
        "searchParam": [_parameter(each) for each in (*kind.parameters, *result_parameters(kind))],
    }


def _parameter(parameter: Parameter) -> dict[str, Any]:
    said: dict[str, Any] = {"name": parameter.name}
    if parameter.definition:
        said["definition"] = _DEFINITIONS + parameter.definition
    return said | {"type": parameter.kind.value, "documentation": parameter.about}
