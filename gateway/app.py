"""The pages: what each bed shows now, and how old it is, the ledger beside it; the worklist. Loopback.

Of a patient a tile shows a part; the whole is sent to who asks for it. No name is in an address: those are logged.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from hashlib import sha256
from importlib.metadata import distribution
from importlib.resources import files
from pathlib import Path
from typing import Any

import msgspec
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from clinical.key_words import NO_BED_NAMES
from emr_store.connect import StoreError, is_forbidden, open_store
from gateway.access import ANYONE
from gateway.feed import Feed
from gateway.pages import detail, patient, ward, worklist
from gateway.pages.frame import Page
from gateway.pages.worklist import Refusal
from gateway.same_origin import is_own
from schemas.nomenclature import METRICS, UNIT_BY_REFERENCE_ID

# Its own scripts and styles, nothing from anywhere else.
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self';"
    " img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store, no-transform",
    "X-Accel-Buffering": "no",
}
# Who else gives a name to this address gets nothing (DNS rebinding).
_HOSTS = ["127.0.0.1", "localhost"]
_BODY_BYTES_MAX = 8192
_KINDS = {"mjs": "text/javascript", "css": "text/css"}
PAGES = (ward.PAGE, patient.PAGE, worklist.PAGE)


def create(conninfo: str, feed: Feed, clerk_conninfo: str, bed_names: Mapping[str, str] = NO_BED_NAMES) -> Starlette:
    """The pages' application; what people do on them goes through `clerk_conninfo` alone.

    `bed_names`: what the site calls its beds, by their keys; others are called as they were sent.
    """
    static = {f.name: f.read_bytes() for f in (files("gateway") / "static").iterdir()}
    hello = _hello(static)

    def whole(page: Page) -> Callable[[Request], Response]:
        html = page.html(static)
        return lambda request: Response(html, media_type="text/html; charset=utf-8", headers=_HEADERS)

    def file(name: str) -> Callable[[Request], Response]:
        kind = _KINDS[name.rsplit(".", 1)[-1]]
        return lambda request: Response(static[name], media_type=f"{kind}; charset=utf-8", headers=_HEADERS)

    async def events(request: Request) -> Response:
        return StreamingResponse(feed.events(hello, ANYONE), media_type="text/event-stream", headers=_HEADERS)

    def answered(ask: Callable[[Any, Request], detail.Answer]) -> Callable[[Request], Response]:
        """What the store says, as JSON: 404 for nothing, 503 while it is away."""

        def answer(request: Request) -> Response:
            try:
                with open_store(conninfo) as conn:
                    found = ask(conn, request)
            except StoreError:
                found, status = None, 503
            else:
                status = 404 if found is None else 200
            return Response(msgspec.json.encode(found or {}), status, media_type="application/json", headers=_HEADERS)

        return answer

    return Starlette(
        routes=[
            *(Route(page.path, whole(page)) for page in PAGES),
            *(Route(f"/{name}", file(name)) for name in static if name.rsplit(".", 1)[-1] in _KINDS),
            Route("/uplot.js", _uplot("uPlot.iife.js", "text/javascript")),
            Route("/uplot.css", _uplot("uPlot.min.css", "text/css")),
            Route("/patient-history/{key:path}", answered(
                lambda conn, r: patient.history(conn, ANYONE, r.path_params["key"], bed_names))),
            Route("/patient-trend/{hours:int}/{key:path}", answered(
                lambda conn, r: patient.trend(conn, ANYONE, r.path_params["key"], r.path_params["hours"]))),
            Route("/worklist/items", answered(lambda conn, r: worklist.items(conn, ANYONE, bed_names))),
            Route("/worklist/{item:int}/resolve", _resolving(clerk_conninfo), methods=["POST"]),
            Route("/events", events),
            Route("/batch/{batch_id}", answered(lambda conn, r: detail.batch(conn, r.path_params["batch_id"]))),
            Route("/values/{uuid:uuid}", answered(lambda conn, r: detail.values(conn, ANYONE, r.path_params["uuid"]))),
            Route("/whose/{uuid:uuid}", answered(
                lambda conn, r: detail.whose(conn, ANYONE, r.path_params["uuid"], bed_names))),
            Route("/alarms/{uuid:uuid}", answered(
                lambda conn, r: detail.device_alarms(conn, ANYONE, r.path_params["uuid"]))),
        ],
        middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=_HOSTS)],
        lifespan=lambda app: feed.running(),
    )  # fmt: skip


def _uplot(name: str, kind: str) -> Callable[[Request], Response]:
    """A file of uPlot, out of the wheel that ships it; the wheel's own modules are not imported."""
    path = Path(str(distribution("uplot-python").locate_file(f"uplot/static/{name}")))
    content = path.read_bytes()
    return lambda request: Response(content, media_type=f"{kind}; charset=utf-8", headers=_HEADERS)


def _resolving(clerk_conninfo: str) -> Callable[[Request], Awaitable[Response]]:
    """An item is dealt with: 204; else `refused` says in a word why not."""

    def refused(why: str, status: int) -> Response:
        answer = msgspec.json.encode({"refused": why})
        return Response(answer, status, media_type="application/json", headers=_HEADERS)

    def resolve(item: int, body: bytes) -> Response:
        try:
            with open_store(clerk_conninfo) as conn:
                refusal = worklist.resolve(conn, ANYONE, item, body)
        except StoreError as error:
            if is_forbidden(error):
                return refused("no_right", 403)
            return refused("store_away", 503)
        if refusal is None:
            return Response(status_code=204, headers=_HEADERS)
        return refused(refusal, 403 if refusal is Refusal.NOT_ALLOWED else 409 if refusal is Refusal.NOT_OPEN else 400)

    async def answer(request: Request) -> Response:
        if not is_own(request):
            return refused("not_own", 403)
        body = b""
        async for part in request.stream():
            body += part
            if len(body) > _BODY_BYTES_MAX:
                return refused(Refusal.REASON_TOO_LONG, 413)
        return await run_in_threadpool(resolve, request.path_params["item"], body)

    return answer


def _hello(static: dict[str, bytes]) -> bytes:
    """What a page is told once: what metrics are called, and by `build` whether it is older than its server."""
    metrics = {
        m.code: {"short": m.short, "en": m.en, "zh": m.zh, "unit": UNIT_BY_REFERENCE_ID[m.unit].ucum,
                 "reference": m.reference_id, "loinc": m.loinc} for m in METRICS
    }  # fmt: skip
    build = sha256(b"".join(static[name] for name in sorted(static))).hexdigest()
    return msgspec.json.encode({"build": build, "metrics": metrics})
