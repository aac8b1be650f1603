"""Whether bytes are a FHIR resource: what fhir.resources checks, and what it lets through.

Its R4B models take any status, `code={}`, a value beside dataAbsentReason, a transaction's entry without request and a
reference to a resource of another kind. (FHIR R4, each resource's page; that R4 and R4B are equal in what we use: the
validator of tests/integration/fhir_validator is R4.)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Protocol, cast

import msgspec
from pydantic import ValidationError

from schemas.errors import VitalwireError

RESOURCE_MAX_BYTES = 4_000_000
_NESTING_MAX = 20

Json = dict[str, object]

# Resources that we know, and where fhir.resources has them.
_MODELS: dict[str, str] = {
    "AuditEvent": "auditevent",
    "Bundle": "bundle",
    "CapabilityStatement": "capabilitystatement",
    "Device": "device",
    "Encounter": "encounter",
    "Location": "location",
    "Observation": "observation",
    "OperationOutcome": "operationoutcome",
    "Patient": "patient",
    "Provenance": "provenance",
}
# Required bindings of code elements: (resource, element) to what may stand there.
_CODES: dict[tuple[str, str], frozenset[str]] = {
    ("Observation", "status"): frozenset({
        "registered", "preliminary", "final", "amended", "corrected", "cancelled", "entered-in-error", "unknown",
    }),
    ("AuditEvent", "action"): frozenset({"C", "R", "U", "D", "E"}),
    ("AuditEvent", "outcome"): frozenset({"0", "4", "8", "12"}),
    ("Encounter", "status"): frozenset({
        "planned", "arrived", "triaged", "in-progress", "onleave", "finished", "cancelled", "entered-in-error",
        "unknown",
    }),
    ("Patient", "gender"): frozenset({"male", "female", "other", "unknown"}),
    ("Location", "status"): frozenset({"active", "suspended", "inactive"}),
    ("Location", "mode"): frozenset({"instance", "kind"}),
    ("Device", "status"): frozenset({"active", "inactive", "entered-in-error", "unknown"}),
    ("Bundle", "type"): frozenset({
        "document", "message", "transaction", "transaction-response", "batch", "batch-response", "history",
        "searchset", "collection",
    }),
    ("CapabilityStatement", "status"): frozenset({"draft", "active", "retired", "unknown"}),
    ("CapabilityStatement", "kind"): frozenset({"instance", "capability", "requirements"}),
}  # fmt: skip
_SEVERITIES = frozenset({"fatal", "error", "warning", "information"})
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "PATCH"})
_ENTITY_ROLES = frozenset({"derivation", "revision", "quotation", "source", "removal"})
# (resource, element) to the kinds that it may refer to.
_TARGETS: dict[tuple[str, str], frozenset[str]] = {
    ("Observation", "subject"): frozenset({"Patient", "Group", "Device", "Location"}),
    ("Observation", "encounter"): frozenset({"Encounter"}),
    ("Observation", "device"): frozenset({"Device", "DeviceMetric"}),
    ("Observation", "performer"): frozenset({
        "Practitioner", "PractitionerRole", "Organization", "CareTeam", "Patient", "RelatedPerson",
    }),
    ("Encounter", "subject"): frozenset({"Patient", "Group"}),
    ("Encounter", "location.location"): frozenset({"Location"}),
    ("Location", "partOf"): frozenset({"Location"}),
    ("Device", "patient"): frozenset({"Patient"}),
    ("Device", "location"): frozenset({"Location"}),
    ("Device", "parent"): frozenset({"Device"}),
    ("Provenance", "agent.who"): frozenset({
        "Practitioner", "PractitionerRole", "RelatedPerson", "Patient", "Device", "Organization",
    }),
}  # fmt: skip
# Narrower than FHIR: what our profile (vital signs) allows.
_VITAL_SUBJECTS = frozenset({"Patient"})


class _Model(Protocol):
    def model_validate(self, obj: object) -> object: ...


def check_resource(resource: bytes) -> None:
    """Raises VitalwireError, with the element and never with what stands in it, for what is no resource of FHIR R4."""
    if len(resource) > RESOURCE_MAX_BYTES:
        raise VitalwireError(f"FHIR: a resource of {len(resource)} bytes; at most {RESOURCE_MAX_BYTES}")
    try:
        decoded = msgspec.json.decode(resource)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        raise VitalwireError("FHIR: not JSON in UTF-8") from None
    if not isinstance(decoded, dict):
        raise VitalwireError("FHIR: a resource is a JSON object with resourceType")
    _check(decoded, str(decoded.get("resourceType")), {})


def _check(resource: Json, path: str, kinds: Mapping[str, str]) -> None:
    """`kinds`: of a bundle's entries, fullUrl to resourceType."""
    kind = resource.get("resourceType")
    if not isinstance(kind, str) or kind not in _MODELS:
        raise VitalwireError(f"FHIR: {path}: resourceType must be one of {', '.join(_MODELS)}")
    _check_model(resource, kind, path)
    for (of, element), allowed in _CODES.items():
        if of == kind and element in resource:
            _check_code(resource[element], allowed, f"{path}.{element}")
    for (of, element), targets in _TARGETS.items():
        if of == kind:
            for reference in _at(resource, element.split(".")):
                _check_reference(reference, targets, kinds, f"{path}.{element}")
    match kind:
        case "Observation":
            _check_observation(resource, kinds, path)
        case "Bundle":
            _check_bundle(resource, path)
        case "Provenance":
            for entity in _at(resource, ["entity"]):
                _check_code(entity.get("role"), _ENTITY_ROLES, f"{path}.entity.role")
        case "OperationOutcome":
            for issue in _at(resource, ["issue"]):
                _check_code(issue.get("severity"), _SEVERITIES, f"{path}.issue.severity")
        case _:
            pass


def _check_model(resource: Json, kind: str, path: str) -> None:
    model = cast(_Model, getattr(import_module(f"fhir.resources.R4B.{_MODELS[kind]}"), kind))
    try:
        model.model_validate(resource)
    except ValidationError as error:
        first = error.errors(include_input=False, include_context=False, include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise VitalwireError(f"FHIR: {path}.{where}: {first['type']}") from None
    except RecursionError:
        raise VitalwireError(f"FHIR: {path}: nested too deep") from None


def _check_code(said: object, allowed: frozenset[str], path: str) -> None:
    if said not in allowed:
        raise VitalwireError(f"FHIR: {path}: must be one of {', '.join(sorted(allowed))}")


def _check_observation(resource: Json, kinds: Mapping[str, str], path: str) -> None:
    if resource.get("status") is None:
        raise VitalwireError(f"FHIR: {path}.status: missing")
    if any(coding.get("code") == "vital-signs" for coding in _at(resource, ["category", "coding"])):
        for subject in _at(resource, ["subject"]):
            _check_reference(subject, _VITAL_SUBJECTS, kinds, f"{path}.subject")
    _check_valued(resource, path)
    for number, component in enumerate(_at(resource, ["component"])):
        _check_valued(component, f"{path}.component.{number}")


def _check_valued(element: Json, path: str) -> None:
    """obs-6: dataAbsentReason only where there is no value; and a code that says something."""
    code = element.get("code")
    if not isinstance(code, dict) or not (code.get("text") or _is_coded(code)):
        raise VitalwireError(f"FHIR: {path}.code: needs a coding with system and code, or a text")
    values = [name for name in element if name.startswith("value") and element[name] is not None]
    if values and element.get("dataAbsentReason") is not None:
        raise VitalwireError(f"FHIR: {path}: dataAbsentReason stands only where there is no {values[0]} (obs-6)")


def _is_coded(code: Json) -> bool:
    codings = list(_at(code, ["coding"]))
    return bool(codings) and all(coding.get("system") and coding.get("code") for coding in codings)


def _check_bundle(resource: Json, path: str) -> None:
    entries = list(_at(resource, ["entry"]))
    kinds: dict[str, str] = {}
    for number, entry in enumerate(entries):
        inner = entry.get("resource")
        full_url = entry.get("fullUrl")
        if isinstance(full_url, str) and isinstance(inner, dict):
            if full_url in kinds:
                raise VitalwireError(f"FHIR: {path}.entry.{number}.fullUrl: stands twice (bdl-7)")
            kinds[full_url] = str(inner.get("resourceType"))
    for number, entry in enumerate(entries):
        where = f"{path}.entry.{number}"
        if resource.get("type") in ("transaction", "batch"):
            _check_request(entry, where)
        if resource.get("type") in ("transaction-response", "batch-response") and not isinstance(
            entry.get("response"), dict
        ):
            raise VitalwireError(f"FHIR: {where}.response: missing (bdl-4)")
        inner = entry.get("resource")
        if isinstance(inner, dict):
            if where.count(".entry.") > _NESTING_MAX:
                raise VitalwireError(f"FHIR: {path}: nested too deep")
            _check(inner, f"{where}.resource", kinds)


def _check_request(entry: Json, path: str) -> None:
    request = entry.get("request")
    if not isinstance(request, dict):
        raise VitalwireError(f"FHIR: {path}.request: missing (bdl-3)")
    method, url = request.get("method"), request.get("url")
    _check_code(method, _METHODS, f"{path}.request.method")
    if not isinstance(url, str) or not url:
        raise VitalwireError(f"FHIR: {path}.request.url: missing")
    inner = entry.get("resource")
    if method in ("POST", "PUT"):
        if not isinstance(inner, dict):
            raise VitalwireError(f"FHIR: {path}.resource: missing of a {method}")
        if url.partition("?")[0].partition("/")[0] != inner.get("resourceType"):
            raise VitalwireError(f"FHIR: {path}.request.url: of another kind than the resource")


def _check_reference(reference: Json, targets: frozenset[str], kinds: Mapping[str, str], path: str) -> None:
    """Of a bundle's own entries by their fullUrl; else by the kind that a URL names. A text alone has no kind."""
    said = reference.get("reference")
    stated = reference.get("type")
    found = [stated] if isinstance(stated, str) else []
    if isinstance(said, str):
        if said in kinds:
            found.append(kinds[said])
        elif said.startswith("urn:"):
            if kinds:
                raise VitalwireError(f"FHIR: {path}.reference: names no entry of the bundle")
        elif not said.startswith("#"):
            named = _kind_of_url(said)
            if named is None:
                raise VitalwireError(f"FHIR: {path}.reference: must end in Kind/id")
            found.append(named)
    elif not reference.get("identifier") and not reference.get("display"):
        raise VitalwireError(f"FHIR: {path}: a reference without reference, identifier and display")
    for kind in found:
        if kind not in targets:
            raise VitalwireError(f"FHIR: {path}: must refer to {' or '.join(sorted(targets))}")


def _kind_of_url(url: str) -> str | None:
    """Of Kind/id, Kind/id/_history/version or Kind?search, with or without what stands before."""
    path, query, _ = url.partition("?")
    parts = path.partition("/_history/")[0].split("/")
    if query:
        return parts[-1] or None
    return parts[-2] if len(parts) > 1 and parts[-1] else None


def _at(resource: Json, path: list[str]) -> Iterator[Json]:
    """The objects under a path of names, through lists."""
    found: object = resource.get(path[0])
    for each in found if isinstance(found, list) else [found]:
        if isinstance(each, dict):
            if len(path) == 1:
                yield each
            else:
                yield from _at(each, path[1:])
