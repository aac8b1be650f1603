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

from emr_store.audit_trail import AUDIT_PAGE
from emr_store.connect import StoreError, limit_statements, took_too_long
from gateway.access.words import DataClass
from gateway.answers import HEADERS
from gateway.api_looks import note_stays
from gateway.asking import Asking, asking_of
from gateway.fhir import audit_events, directory, observations, provenances
from gateway.fhir.capability import capability_statement
from gateway.fhir.cursor import encode_cursor
from gateway.fhir.parameters import TYPES, ResourceType, Search, parse_search
from gateway.fhir.refusals import MEDIA_TYPE, Issue, IssueType, RequestError, bad_parameter, outcome
from gateway.fhir.resource import Found, Resource
from gateway.fhir.values import parse_id
from gateway.people.machines import MachineAsking
from gateway.people.scopes import READ, SEARCH
from schemas.errors import VitalwireError

URL_CHARS_MAX = 4096
BODY_BYTES_MAX = 16_384
FIELDS_MAX = 100
STATEMENT_S = 10.0
PAGE = "fhir"  # what a look calls it
DETAIL_CHARS_MAX = 300
_CODES = frozenset({"code", "combo-code", "category", "status", "_tag"})  # whose values are no person's
FORM = "application/x-www-form-urlencoded"
_JSON = frozenset({"json", "application/json", "application/fhir+json", "text/json"})
_ACCEPTED = _JSON | {"*/*", "application/*", "text/*"}
_METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
_Answer = TypeVar("_Answer", Resource, bytes)
Connect = Callable[[], AbstractContextManager[Any]]  # raises StoreError
Endpoint = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True)
class Answering:
    """How a type is read and searched; both raise RequestError. `data_class` None: it is about no patient."""

    type: str
    read: Callable[[Any, Asking, str], Resource]
    search: Callable[[Any, Asking, Search], Found]
    data_class: DataClass | None
    page: str = PAGE


ANSWERING = {
    "Observation": Answering("Observation", observations.read, observations.search, DataClass.CHART),
    "Patient": Answering("Patient", directory.patient, directory.search_patients, DataClass.IDENTITY),
    "Encounter": Answering("Encounter", directory.encounter, directory.search_encounters, DataClass.IDENTITY),
    "Location": Answering("Location", directory.location, directory.search_locations, None),
    "Device": Answering("Device", directory.device, directory.search_devices, None),
    "Provenance": Answering("Provenance", provenances.provenance, provenances.search_provenances, DataClass.CHART),
    "AuditEvent": Answering(
        "AuditEvent", audit_events.audit_event, audit_events.search_audit_events, DataClass.AUDIT, AUDIT_PAGE
    ),
}


def fhir_routes(connect: Connect) -> list[Route]:
    """`connect` opens the store for one request. What is none of these is refused by the last one."""
    routes = [Route("/fhir/metadata", _guarded(_metadata), methods=["GET"])]
    for kind in TYPES.values():
        path = f"/fhir/{kind.name}"
        routes += [
            Route(path, _guarded(_searching(connect, kind)), methods=["GET"]),
            Route(f"{path}/_search", _guarded(_searching(connect, kind)), methods=["POST"]),
            Route(f"{path}/{{id}}", _guarded(_reading(connect, kind)), methods=["GET"]),
        ]
        if kind.has_versions:
            versioned = _guarded(_reading_version(connect))
            routes.append(Route(f"{path}/{{id}}/_history/{{version}}", versioned, methods=["GET"]))
    return [*routes, Route("/fhir", _guarded(_refuse), methods=_METHODS),
            Route("/fhir/{rest:path}", _guarded(_refuse), methods=_METHODS)]  # fmt: skip


# --- what is asked ---------------------------------------------------------------------------------------------------


async def _metadata(request: Request) -> Response:
    return _json(capability_statement(_base(request)))


def _searching(connect: Connect, kind: ResourceType) -> Endpoint:
    answering = ANSWERING[kind.name]

    async def answer(request: Request) -> Response:
        pairs = _pairs(request.url.query)
        if request.method == "POST":
            pairs += _pairs(await _form(request))
        lenient = "handling=lenient" in request.headers.get("prefer", "").replace(" ", "").lower()
        base, asking = _base(request), _scoped(request, kind.name, SEARCH)
        search = parse_search(kind, pairs, base, lenient)

        def ask(conn: Any) -> bytes:
            found = answering.search(conn, asking, search)
            body = bundle(search, found, base)
            if answering.data_class is not None:
                seen = [encounter for each in found.resources for encounter in each.encounters]
                note_stays(conn, asking, answering.page, answering.data_class, seen, detail_of(search))
            return body

        body = await run_in_threadpool(_with_store, connect, ask)
        return Response(body, media_type=MEDIA_TYPE, headers=HEADERS)

    return answer


def detail_of(search: Search) -> str:
    """What a look says of a search: names of parameters, and of codes their values; no id, number or name."""
    said = []
    for name, value in search.said:
        parameter = search.type.parameter(name.partition(":")[0])
        is_code = parameter is not None and parameter.name in _CODES
        said.append(f"{name}={value}" if is_code else name)
    return f"{search.type.name}?{'&'.join(said)}"[:DETAIL_CHARS_MAX]


def _reading(connect: Connect, kind: ResourceType) -> Endpoint:
    answering = ANSWERING[kind.name]
    return _reading_one(connect, lambda conn, asking, request: answering.read(conn, asking, _id(request)), answering)


def _reading_version(connect: Connect) -> Endpoint:
    def read(conn: Any, asking: Asking, request: Request) -> Resource:
        return observations.read_version(conn, asking, _id(request), request.path_params["version"])

    return _reading_one(connect, read, ANSWERING["Observation"])


def _reading_one(
    connect: Connect, read: Callable[[Any, Asking, Request], Resource], answering: Answering
) -> Endpoint:  # fmt: skip
    async def answer(request: Request) -> Response:
        _id(request)
        _only_format(request)
        asking = _scoped(request, answering.type, READ)

        def ask(conn: Any) -> Resource:
            found = read(conn, asking, request)
            if answering.data_class is not None:
                note_stays(conn, asking, answering.page, answering.data_class, found.encounters)
            return found

        return _one(request, await run_in_threadpool(_with_store, connect, ask))

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


def _scoped(request: Request, kind: str, how: str) -> Asking:
    """Who asks; raises RequestError for a machine that has no scope for this type (RFC 6750, section 3.1)."""
    asking = asking_of(request)
    if isinstance(asking, MachineAsking) and not asking.opens(kind, how):
        needs = f'Bearer realm="vitalwire", error="insufficient_scope", scope="system/{kind}.{how}"'
        raise RequestError(
            403, IssueType.FORBIDDEN, "the token has no scope for this", headers={"WWW-Authenticate": needs}
        )
    return asking


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
