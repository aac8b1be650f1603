"""FHIR's side of the receiver over HTTP: its routes, and what the faults make of its answers."""

from __future__ import annotations

import asyncio

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from simulators.emr_faults import Faults
from simulators.emr_fhir import FhirStore, RefusedError, Resource, Stored, dumps, loads, outcome

BODY_BYTES_MAX = 16_000_000
FHIR_JSON = "application/fhir+json"


def fhir_app(store: FhirStore, faults: Faults) -> web.Application:
    """POST at the base, and POST, GET and PUT of resources by kind and id; anything else is refused."""
    routes = _Routes(store)
    app = web.Application(client_max_size=BODY_BYTES_MAX, middlewares=[_with_faults(faults), _refusing])
    app.add_routes([
        web.post("/", routes.transaction), web.get("/metadata", routes.metadata),
        web.post("/{kind}", routes.create), web.get("/{kind}", routes.search), web.put("/{kind}", routes.update_where),
        web.get("/{kind}/{id}", routes.read), web.put("/{kind}/{id}", routes.update),
    ])  # fmt: skip
    return app


def answer(resource: Resource | str, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    """A resource as JSON."""
    text = resource if isinstance(resource, str) else dumps(resource)
    return web.Response(text=text, status=status, content_type=FHIR_JSON, headers=headers)


class _Routes:
    def __init__(self, store: FhirStore) -> None:
        self._store = store

    async def transaction(self, request: web.Request) -> web.Response:
        return answer(self._store.transaction(loads(await request.text())))

    async def create(self, request: web.Request) -> web.Response:
        clause = request.headers.get("If-None-Exist", "")
        return _stored(self._store.create(request.match_info["kind"], loads(await request.text()), clause))

    async def read(self, request: web.Request) -> web.Response:
        return _stored(self._store.read(request.match_info["kind"], request.match_info["id"]))

    async def update(self, request: web.Request) -> web.Response:
        kind, id_ = request.match_info["kind"], request.match_info["id"]
        resource = loads(await request.text())
        return _stored(self._store.update(kind, id_, resource, request.headers.get("If-Match", "")))

    async def update_where(self, request: web.Request) -> web.Response:
        resource = loads(await request.text())
        return _stored(self._store.update_where(request.match_info["kind"], request.rel_url.raw_query_string, resource))

    async def search(self, request: web.Request) -> web.Response:
        found = self._store.search(request.match_info["kind"], request.rel_url.raw_query_string)
        entries = [{"resource": loads(each.json), "search": {"mode": "match"}} for each in found]
        return answer({"resourceType": "Bundle", "type": "searchset", "total": len(found), "entry": entries})

    async def metadata(self, request: web.Request) -> web.Response:
        interactions = [{"code": code} for code in ("read", "create", "update", "search-type")]
        kinds = ("Observation", "Patient", "Encounter", "Device", "Location")
        return answer({
            "resourceType": "CapabilityStatement", "status": "active", "date": "2026-11-29", "kind": "instance",
            "implementation": {"description": "A simulated EMR"}, "fhirVersion": "4.0.1", "format": ["json"],
            "rest": [{
                "mode": "server", "interaction": [{"code": "transaction"}],
                "resource": [{"type": kind, "interaction": interactions, "conditionalCreate": True,
                              "conditionalUpdate": True, "versioning": "versioned-update"} for kind in kinds],
            }],
        })  # fmt: skip


def _stored(stored: Stored) -> web.Response:
    return answer(stored.json, stored.status, {"ETag": stored.etag, "Location": stored.location})


@web.middleware
async def _refusing(request: web.Request, handler: Handler) -> web.StreamResponse:
    """An OperationOutcome for each refusal."""
    try:
        return await handler(request)
    except RefusedError as refused:
        return answer(outcome(refused.code, refused.text), refused.status)
    except web.HTTPException as error:
        return answer(outcome("not-supported", error.reason), error.status)


def _with_faults(faults: Faults) -> Middleware:
    @web.middleware
    async def spoil(request: web.Request, handler: Handler) -> web.StreamResponse:
        await asyncio.sleep(faults.seconds("slow"))
        if request.method == "GET":
            return await handler(request)
        if faults.happens("ar"):
            return answer(outcome("transient", "later"), 503)
        if faults.happens("ae"):
            return answer(outcome("business-rule", "a fault that was asked for"), 422)
        if faults.happens("error_inside"):
            return answer(outcome("exception", "not filed"))
        response = await handler(request)
        if faults.happens("lost") and request.transport is not None:
            request.transport.abort()
        await asyncio.sleep(faults.seconds("late"))
        return _of_another(response) if faults.happens("other") else response

    return spoil


def _of_another(response: web.StreamResponse) -> web.StreamResponse:
    """The same answer with every location one of a Basic resource that nobody sent."""
    if not isinstance(response, web.Response) or not response.text or "Location" in response.headers:
        response.headers["Location"] = "Basic/other/_history/1"
        return response
    bundle = loads(response.text)
    for entry in bundle.get("entry") or []:
        entry["response"]["location"] = "Basic/other/_history/1"
    return answer(bundle, response.status)
