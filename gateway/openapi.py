"""The OpenAPI document of what programs ask: /fhir, /emr, /token. Made of the tables that routes are made of.

`python -m gateway.openapi > docs/openapi.json` writes the one that is shipped; a test holds it against this.
"""

from __future__ import annotations

import sys
from importlib.metadata import version
from typing import Any

import msgspec

from gateway.emr_rest import LIMIT_MAX, PATH, SCOPES
from gateway.fhir.capability import interactions, result_parameters
from gateway.fhir.parameters import COUNT_MAX, TYPES, Parameter, ParameterKind, ResourceType
from gateway.people.machine_routes import ASSERTION_TYPE, CONFIGURATION, FORM, TOKEN
from gateway.people.scopes import READABLE

FHIR_JSON = "application/fhir+json"
_OUTCOME = {"$ref": "#/components/schemas/OperationOutcome"}
_ID = "^[A-Za-z0-9.-]{1,64}$"
_ABOUT_STATUS = {
    "304": "It is what If-None-Match names.",
    "400": "A parameter is not taken: `expression` names it.",
    "401": "Nobody is known by what was shown. One body, whatever is wrong.",
    "403": "The token has no scope for this.",
    "404": "It is not there, or may not be seen: one body.",
    "406": "Another format is asked for.",
    "410": "It was about a person who has been erased.",
    "413": "The body is too long.",
    "414": "The address is too long.",
    "415": "The body is no form.",
    "503": "The store is away.",
}
_OF_READS = ("400", "401", "403", "404", "406", "410", "414", "503")
_OF_SEARCHES = ("400", "401", "403", "406", "414", "503")


def document() -> dict[str, Any]:
    """OpenAPI 3.0.3."""
    paths: dict[str, Any] = {"/fhir/metadata": {"get": _metadata()}}
    for kind in TYPES.values():
        paths |= _paths_of(kind)
    paths |= {PATH: {"get": _vital_signs()}, TOKEN: {"post": _token()}, CONFIGURATION: {"get": _configuration()}}
    return {
        "openapi": "3.0.3",
        "info": {
            "title": "vitalwire", "version": version("vitalwire"), "license": {"name": "Apache-2.0"},
            "description": "What programs ask the gateway: docs/fhir-api.md, docs/emr-views.md, docs/machines.md.",
        },
        "paths": paths,
        "components": {
            "securitySchemes": {
                "machine": {
                    "type": "oauth2", "description": "SMART Backend Services: private_key_jwt",
                    "flows": {"clientCredentials": {"tokenUrl": TOKEN, "scopes": {
                        f"system/{name}.rs": f"{name}: read and search" for name in READABLE}}},
                },
            },
            "schemas": {
                "OperationOutcome": _resource("OperationOutcome", "issue"),
                "Bundle": _resource("Bundle", "type", "link"),
                "CapabilityStatement": _resource("CapabilityStatement", "rest"),
                **{kind.name: _resource(kind.name, "id") for kind in TYPES.values()},
                "Error": {"type": "object", "required": ["error"], "properties": {
                    "error": {"type": "string"}, "error_description": {"type": "string"},
                    "parameter": {"type": "string"}}},
                "Refused": {"type": "object", "required": ["refused"], "properties": {"refused": {"type": "string"}}},
            },
        },
    }  # fmt: skip


def _resource(name: str, *required: str) -> dict[str, Any]:
    """What holds of each; the rest is FHIR's."""
    return {
        "type": "object", "required": ["resourceType", *required],
        "properties": {"resourceType": {"type": "string", "enum": [name]}},
    }  # fmt: skip


# --- /fhir -----------------------------------------------------------------------------------------------------------


def _metadata() -> dict[str, Any]:
    return {
        "summary": "What can be asked", "security": [], "parameters": [_format()],
        "responses": {**_found("CapabilityStatement"), **_refusals(("406", "414"))},
    }  # fmt: skip


def _paths_of(kind: ResourceType) -> dict[str, Any]:
    base = f"/fhir/{kind.name}"
    search = [_parameter(each) for each in (*kind.parameters, *result_parameters(kind), _CURSOR)]
    paths = {
        base: {"get": {
            "summary": f"Search {kind.name}", "description": kind.about, "security": _needs(kind.name, "s"),
            "parameters": [*search, _format()],
            "responses": {**_found("Bundle"), **_refusals(_OF_SEARCHES)},
        }},
        f"{base}/_search": {"post": {
            "summary": f"Search {kind.name} by a form", "security": _needs(kind.name, "s"), "parameters": [_format()],
            "requestBody": {"content": {FORM: {"schema": {
                "type": "object", "properties": {each["name"]: each["schema"] for each in search}}}}},
            "responses": {**_found("Bundle"), **_refusals((*_OF_SEARCHES, "413", "415"))},
        }},
        f"{base}/{{id}}": {"get": _read(kind, "Read")},
    }  # fmt: skip
    if "vread" in interactions(kind):
        paths[f"{base}/{{id}}/_history/{{version}}"] = {"get": _read(kind, "Read one version of", "version")}
    return paths


def _read(kind: ResourceType, verb: str, *more: str) -> dict[str, Any]:
    in_path = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string", "pattern": _ID}}
        for name in ("id", *more)
    ]
    etag = {"name": "If-None-Match", "in": "header", "schema": {"type": "string", "pattern": '^W/"[0-9a-f]{1,16}"$'}}
    return {
        "summary": f"{verb} {kind.name}", "security": _needs(kind.name, "r"), "parameters": [*in_path, _format(), etag],
        "responses": {
            **_found(kind.name), "304": {"description": _ABOUT_STATUS["304"]}, **_refusals(_OF_READS),
        },
    }  # fmt: skip


_CURSOR = Parameter(name="_cursor", kind=ParameterKind.STRING, about="Where the next page begins: out of its link.")
_SCHEMAS: dict[str, dict[str, Any]] = {
    "_count": {"type": "integer", "minimum": 0, "maximum": COUNT_MAX},
    "_total": {"type": "string", "enum": ["none", "estimate", "accurate"]},
    "_summary": {"type": "string", "enum": ["false", "count"]},
}


def _parameter(parameter: Parameter) -> dict[str, Any]:
    schema = _SCHEMAS.get(parameter.name, {"type": "string", "minLength": 1})
    return {"name": parameter.name, "in": "query", "description": parameter.about, "schema": schema}


def _format() -> dict[str, Any]:
    return {"name": "_format", "in": "query", "schema": {"type": "string", "enum": ["json", FHIR_JSON]}}


def _needs(kind: str, how: str) -> list[dict[str, list[str]]]:
    return [{"machine": [f"system/{kind}.{how}"]}]


def _found(name: str, media_type: str = FHIR_JSON) -> dict[str, Any]:
    schema = {"$ref": f"#/components/schemas/{name}"}
    return {"200": {"description": name, "content": {media_type: {"schema": schema}}}}


def _refusals(statuses: tuple[str, ...]) -> dict[str, Any]:
    return {
        status: {"description": _ABOUT_STATUS[status], "content": {FHIR_JSON: {"schema": _OUTCOME}}}
        for status in statuses
    }


# --- /emr and /token -------------------------------------------------------------------------------------------------


def _json(about: str, name: str = "Error") -> dict[str, Any]:
    schema = {"$ref": f"#/components/schemas/{name}"}
    return {"description": about, "content": {"application/json": {"schema": schema}}}


def _vital_signs() -> dict[str, Any]:
    answer = {"type": "object", "required": ["vital_signs", "next", "more"], "properties": {
        "vital_signs": {"type": "array", "items": {"type": "object"}}, "next": {"type": "string"},
        "more": {"type": "boolean"}}}  # fmt: skip
    return {
        "summary": "Charted values since a cursor", "security": [{"machine": [f"system/{kind}.s" for kind in SCOPES]}],
        "parameters": [
            {"name": "since", "in": "query", "schema": {"type": "string", "pattern": "^([0-9]{1,18}|latest)$"}},
            {"name": "limit", "in": "query", "schema": {"type": "integer", "minimum": 1, "maximum": LIMIT_MAX}},
        ],
        "responses": {
            "200": {"description": "In the order of COMMIT", "content": {"application/json": {"schema": answer}}},
            "400": _json(_ABOUT_STATUS["400"]), "401": _json(_ABOUT_STATUS["401"], "Refused"),
            "403": _json(_ABOUT_STATUS["403"], "Refused"), "414": _json(_ABOUT_STATUS["414"]),
            "503": _json(_ABOUT_STATUS["503"]),
        },
    }  # fmt: skip


def _token() -> dict[str, Any]:
    form = {
        "type": "object", "required": ["grant_type", "client_assertion_type", "client_assertion"],
        "properties": {
            "grant_type": {"type": "string", "enum": ["client_credentials"]},
            "client_assertion_type": {"type": "string", "enum": [ASSERTION_TYPE]},
            "client_assertion": {"type": "string", "minLength": 1}, "scope": {"type": "string"},
        },
    }  # fmt: skip
    granted = {"type": "object", "required": ["access_token", "token_type", "expires_in", "scope"], "properties": {
        "access_token": {"type": "string"}, "token_type": {"type": "string"}, "expires_in": {"type": "integer"},
        "scope": {"type": "string"}}}  # fmt: skip
    return {
        "summary": "A token of five minutes for a machine", "security": [],
        "requestBody": {"required": True, "content": {FORM: {"schema": form}}},
        "responses": {
            "200": {"description": "It opens /fhir and /emr", "content": {"application/json": {"schema": granted}}},
            "400": _json("RFC 6749, section 5.2"), "401": _json("No client is known by this assertion."),
            "429": _json("Too many assertions were refused: wait as Retry-After says."),
            "503": _json(_ABOUT_STATUS["503"]),
        },
    }  # fmt: skip


def _configuration() -> dict[str, Any]:
    schema = {"type": "object", "required": ["token_endpoint"]}
    found = {"description": "SMART App Launch 2.2", "content": {"application/json": {"schema": schema}}}
    return {"summary": "Where tokens are got", "security": [], "responses": {"200": found}}


def encoded() -> bytes:
    """As it is shipped."""
    return msgspec.json.format(msgspec.json.encode(document()), indent=1) + b"\n"


if __name__ == "__main__":
    sys.stdout.buffer.write(encoded())
