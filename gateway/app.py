"""One page: what each bed shows now, and how old it is; the ledger beside it. Loopback and read-only.

Of a patient a tile shows a part; the whole is sent to who asks for it. No name is in an address: those are logged.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from importlib.resources import files
from typing import Any

import msgspec
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from emr_store.connect import StoreError, open_store
from gateway.access import ANYONE
from gateway.feed import Feed
from gateway.pages import detail
from schemas.nomenclature import METRICS, UNIT_BY_REFERENCE_ID

# Its own scripts and styles, nothing from anywhere else.
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self';"
    " img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store, no-transform",
    "X-Accel-Buffering": "no",
}
# Who else gives a name to this address gets nothing (DNS rebinding).
_HOSTS = ["127.0.0.1", "localhost"]
_KINDS = {"html": "text/html", "mjs": "text/javascript", "css": "text/css"}


def create(conninfo: str, feed: Feed) -> Starlette:
    """The page's application."""
    static = {f.name: f.read_bytes() for f in (files("gateway") / "static").iterdir()}
    hello = _hello(static)

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
            Route("/", file("index.html")),
            *(Route(f"/{name}", file(name)) for name in static),
            Route("/events", events),
            Route("/batch/{batch_id}", answered(lambda conn, r: detail.batch(conn, r.path_params["batch_id"]))),
            Route("/values/{uuid:uuid}", answered(lambda conn, r: detail.values(conn, ANYONE, r.path_params["uuid"]))),
            Route("/whose/{uuid:uuid}", answered(lambda conn, r: detail.whose(conn, ANYONE, r.path_params["uuid"]))),
            Route("/alarms/{uuid:uuid}", answered(
                lambda conn, r: detail.device_alarms(conn, ANYONE, r.path_params["uuid"]))),
        ],
        middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=_HOSTS)],
        lifespan=lambda app: feed.running(),
    )  # fmt: skip


def _hello(static: dict[str, bytes]) -> bytes:
    """What a page is told once: what metrics are called, and by `build` whether it is older than its server."""
    metrics = {
        m.code: {"short": m.short, "en": m.en, "zh": m.zh, "unit": UNIT_BY_REFERENCE_ID[m.unit].ucum,
                 "reference": m.reference_id, "loinc": m.loinc} for m in METRICS
    }  # fmt: skip
    build = sha256(b"".join(static[name] for name in sorted(static))).hexdigest()
    return msgspec.json.encode({"build": build, "metrics": metrics})
