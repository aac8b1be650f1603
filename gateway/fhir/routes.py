"""The routes of `/fhir`, one by one out of the table of types, and how each request is answered or refused."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from email.utils import formatdate
from typing import Any, TypeVar
from urllib.parse import parse_qsl, urlencode
from uuid import uuid4

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from emr_store.connect import StoreError, limit_statements, took_too_long
from gateway.access.anyone import ANYONE
from gateway.access.viewer import Viewer
from gateway.answers import HEADERS
from gateway.fhir import audit_events, directory, observations, provenances
from gateway.fhir.capability import capability_statement
from gateway.fhir.cursor import encode_cursor
from gateway.fhir.parameters import TYPES, ResourceType, Search, parse_search
from gateway.fhir.refusals import Issue, IssueType, RequestError, bad_parameter, outcome
from gateway.fhir.resource import Found, Resource
from gateway.fhir.values import parse_id
from schemas.errors import VitalwireError

URL_CHARS_MAX = 4096
BODY_BYTES_MAX = 16_384
FIELDS_MAX = 100
STATEMENT_S = 10.0
MEDIA_TYPE = "application/fhir+json; charset=utf-8"
FORM = "application/x-www-form-urlencoded"
_JSON = frozenset({"json", "application/json", "application/fhir+json", "text/json"})
_ACCEPTED = _JSON | {"*/*", "application/*", "text/*"}
_METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
_Answer = TypeVar("_Answer", Resource, Found)
Connect = Callable[[], AbstractContextManager[Any]]  # raises StoreError
Endpoint = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True)
class Answering:
    """How a type is read and searched; both raise RequestError."""

    read: Callable[[Any, Viewer, str], Resource]
    search: Callable[[Any, Viewer, Search], Found]


ANSWERING = {
    "Observation": Answering(observations.read, observations.search),
    "Patient": Answering(directory.patient, directory.search_patients),
    "Encounter": Answering(directory.encounter, directory.search_encounters),
    "Location": Answering(directory.location, directory.search_locations),
    "Device": Answering(directory.device, directory.search_devices),
    "Provenance": Answering(provenances.provenance, provenances.search_provenances),
    "AuditEvent": Answering(audit_events.audit_event, audit_events.search_audit_events),
}


def fhir_routes(connect: Connect, viewer: Viewer = ANYONE) -> list[Route]:
    """`connect` opens the store for one request. What is none of these is refused by the last one."""
    routes = [Route("/fhir/metadata", _guarded(_metadata), methods=["GET"])]
    for kind in TYPES.values():
        path = f"/fhir/{kind.name}"
        routes += [
            Route(path, _guarded(_searching(connect, viewer, kind)), methods=["GET"]),
            Route(f"{path}/_search", _guarded(_searching(connect, viewer, kind)), methods=["POST"]),
            Route(f"{path}/{{id}}", _guarded(_reading(connect, viewer, kind)), methods=["GET"]),
        ]
        if kind.has_versions:
            versioned = _guarded(_reading_version(connect, viewer))
            routes.append(Route(f"{path}/{{id}}/_history/{{version}}", versioned, methods=["GET"]))
    return [*routes, Route("/fhir", _guarded(_refuse), methods=_METHODS),
            Route("/fhir/{rest:path}", _guarded(_refuse), methods=_METHODS)]  # fmt: skip


# --- what is asked ---------------------------------------------------------------------------------------------------


async def _metadata(request: Request) -> Response:
    return _json(capability_statement(_base(request)))


def _searching(connect: Connect, viewer: Viewer, kind: ResourceType) -> Endpoint:
    async def answer(request: Request) -> Response:
        pairs = _pairs(request.url.query)
        if request.method == "POST":
            pairs += _pairs(await _form(request))
        lenient = "handling=lenient" in request.headers.get("prefer", "").replace(" ", "").lower()
        base = _base(request)
        search = parse_search(kind, pairs, base, lenient)
        found = await run_in_threadpool(
            _with_store, connect, lambda conn: ANSWERING[kind.name].search(conn, viewer, search)
        )
        return Response(bundle(search, found, base), media_type=MEDIA_TYPE, headers=HEADERS)

    return answer


def _reading(connect: Connect, viewer: Viewer, kind: ResourceType) -> Endpoint:
    async def answer(request: Request) -> Response:
        identity = _id(request)
        _only_format(request)
        found = await run_in_threadpool(
            _with_store, connect, lambda conn: ANSWERING[kind.name].read(conn, viewer, identity)
        )
        return _one(request, found)

    return answer


def _reading_version(connect: Connect, viewer: Viewer) -> Endpoint:
    async def answer(request: Request) -> Response:
        identity, version = _id(request), request.path_params["version"]
        _only_format(request)
        found = await run_in_threadpool(
            _with_store, connect, lambda conn: observations.read_version(conn, viewer, identity, version)
        )
        return _one(request, found)

    return answer


def _with_store(connect: Connect, ask: Callable[[Any], _Answer]) -> _Answer:
    with connect() as conn:
        limit_statements(conn, STATEMENT_S)
        return ask(conn)


async def _refuse(request: Request) -> Response:
    """What no route is for: an unknown type, or what cannot be done with a known one."""
    kind, _, rest = request.path_params.get("rest", "").partition("/")
    if kind != "metadata" and kind not in TYPES:
        raise RequestError(404, IssueType.NOT_SUPPORTED, "no such type here: /fhir/metadata lists those that are")
    possible = "GET, POST" if rest == "_search" else "GET"
    if request.method not in ("GET", "HEAD") or rest == "_search":
        raise RequestError(
            405, IssueType.NOT_SUPPORTED, "this API is read with GET, and searched with GET or POST _search",
            headers={"Allow": "POST" if rest == "_search" else possible},
        )  # fmt: skip
    raise RequestError(404, IssueType.NOT_SUPPORTED, "no such interaction here: /fhir/metadata lists those that are")


# --- the request -----------------------------------------------------------------------------------------------------


def _guarded(endpoint: Endpoint) -> Endpoint:
    """What is refused comes out as an OperationOutcome, whatever it is."""

    async def answer(request: Request) -> Response:
        try:
            _check(request)
            return await endpoint(request)
        except RequestError as refused:
            return _json(outcome([refused.issue]), refused.status, refused.headers)
        except StoreError as error:
            if took_too_long(error):
                return _json(outcome([_TOO_COSTLY]), 400)
            issue = Issue(code=IssueType.TRANSIENT, diagnostics="the store is away: try again in a few seconds")
            return _json(outcome([issue]), 503, {"Retry-After": "5"})
        except VitalwireError:
            issue = Issue(
                code=IssueType.PROCESSING, diagnostics="it cannot be written as FHIR: `vitalwire verify` says why"
            )
            return _json(outcome([issue]), 500)

    return answer


_TOO_COSTLY = Issue(
    code=IssueType.TOO_COSTLY, diagnostics="it would be searched for too long: name a patient, or less time"
)


def _check(request: Request) -> None:
    """Raises RequestError for what no endpoint takes."""
    if len(request.scope["raw_path"]) + len(request.scope["query_string"]) > URL_CHARS_MAX:
        raise RequestError(
            414, IssueType.TOO_LONG, f"the address is longer than {URL_CHARS_MAX} characters: search with POST _search"
        )
    stated = [text for name, text in _pairs(request.url.query) if name == "_format"]
    if any(_media(text) not in _JSON for text in stated):
        raise RequestError(406, IssueType.NOT_SUPPORTED, "_format: JSON alone is written here", "_format")
    accept = request.headers.get("accept", "").strip()
    if not stated and accept and not any(_is_json(each) for each in accept.split(",")):
        raise RequestError(406, IssueType.NOT_SUPPORTED, "Accept: application/fhir+json alone is written here")


def _media(text: str) -> str:
    """A media type without its parameters; "+" arrives as a space where nobody escaped it."""
    return text.partition(";")[0].strip().lower().replace(" ", "+")


def _is_json(accepted: str) -> bool:
    weights = [part.strip() for part in accepted.split(";")[1:] if part.strip().startswith("q=")]
    return _media(accepted) in _ACCEPTED and not any(weight.strip("q=0.") == "" for weight in weights)


def _pairs(query: str) -> list[tuple[str, str]]:
    try:
        return parse_qsl(query, keep_blank_values=True, errors="strict", max_num_fields=FIELDS_MAX)
    except UnicodeDecodeError:
        raise RequestError(400, IssueType.INVALID, "the parameters are not UTF-8") from None
    except ValueError:
        raise RequestError(400, IssueType.TOO_LONG, f"more than {FIELDS_MAX} parameters") from None


async def _form(request: Request) -> str:
    if _media(request.headers.get("content-type", FORM)) != FORM:
        raise RequestError(415, IssueType.NOT_SUPPORTED, f"_search takes {FORM}")
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > BODY_BYTES_MAX:
            raise RequestError(413, IssueType.TOO_LONG, f"the body is longer than {BODY_BYTES_MAX} bytes")
    try:
        return body.decode("ascii")
    except UnicodeDecodeError:
        raise RequestError(400, IssueType.INVALID, "the body is not percent-encoded") from None


def _id(request: Request) -> str:
    try:
        return parse_id(request.path_params["id"])
    except ValueError:
        raise observations.not_found() from None


def _only_format(request: Request) -> None:
    for name, _ in _pairs(request.url.query):
        if name != "_format":
            raise bad_parameter("_format", "is the only parameter of a read", IssueType.NOT_SUPPORTED)


def _base(request: Request) -> str:
    return f"{request.base_url}fhir"


# --- the answer ------------------------------------------------------------------------------------------------------


def bundle(search: Search, found: Found, base: str) -> bytes:
    """A searchset, with the address of this page and of the next one."""
    own = f"{base}/{search.type.name}"
    links = [{"relation": "self", "url": _address(own, list(search.said))}]
    if found.next is not None:
        cursor = encode_cursor(found.next, search.digest)
        links.append({"relation": "next", "url": _address(own, [*search.said, ("_cursor", cursor)])})
    said: dict[str, Any] = {"resourceType": "Bundle", "type": "searchset"}
    if found.total is not None:
        said["total"] = found.total
    entries: list[dict[str, Any]] = [
        {"fullUrl": f"{base}/{each.kind}/{each.id}", "resource": msgspec.Raw(each.body), "search": {"mode": "match"}}
        for each in found.resources
    ]
    if search.warnings:
        warned = {"fullUrl": uuid4().urn, "resource": outcome(search.warnings), "search": {"mode": "outcome"}}
        entries.append(warned)
    said["link"] = links
    if entries:
        said["entry"] = entries
    return msgspec.json.encode(said)


def _address(own: str, pairs: list[tuple[str, str]]) -> str:
    return f"{own}?{urlencode(pairs)}" if pairs else own


def _one(request: Request, found: Resource) -> Response:
    headers = {**HEADERS, "ETag": found.etag}
    if found.updated_us is not None:
        headers["Last-Modified"] = formatdate(found.updated_us // 1_000_000, usegmt=True)
    known = {each.strip().removeprefix("W/") for each in request.headers.get("if-none-match", "").split(",")}
    if known & {found.etag.removeprefix("W/"), "*"}:
        return Response(status_code=304, headers=headers)
    return Response(found.body, media_type=MEDIA_TYPE, headers=headers)


def _json(said: dict[str, Any], status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(msgspec.json.encode(said), status, media_type=MEDIA_TYPE, headers={**HEADERS, **(headers or {})})
