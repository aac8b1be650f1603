"""One page: what each bed shows now, and how old it is; the ledger beside it. Loopback and read-only.

A feed reads the store once a second, however many look on, and sends the whole picture to each as a server-sent event:
a page that missed one is right again with the next.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from importlib.resources import files
from typing import Any

import msgspec
import structlog
from schemas.nomenclature import METRIC_BY_CODE, METRICS, UNIT_BY_REFERENCE_ID
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response, StreamingResponse
from starlette.routing import Route

from emr_store import alerts, read
from emr_store.connect import StoreError, open_store
from schemas.block import Verdict

EVERY_S = 1.0
LOOKERS_MAX = 100
_log = structlog.get_logger("page")
# Its own scripts and styles, nothing from anywhere else.
_SECURITY = {
    "Content-Security-Policy": "default-src 'self'; frame-ancestors 'none'; base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}


def picture(conninfo: str) -> bytes:
    """Everything the page shows, as JSON; raises StoreError."""
    with open_store(conninfo) as conn:
        devices: dict[str, dict[str, Any]] = {}
        for v in read.latest(conn):
            device = devices.setdefault(
                str(v.device),
                {
                    "id": str(v.device),
                    "claim": v.claim,
                    "name": v.name,
                    "bed": v.bed,
                    "adopted": v.adopted,
                    "values": [],
                },
            )
            metric = METRIC_BY_CODE.get(v.code)
            device["values"].append(
                {
                    "code": v.code, "instance": v.instance, "known": metric is not None, "value": v.value,
                    "decimals": max(0, -v.decimals), "validity": v.validity, "verdict": Verdict(v.verdict).name.lower(),
                    "flags": v.flags, "observed": _ms(v.observed_at), "received": _ms(v.received_at),
                    "stored": _ms(v.stored_at), "batch": v.batch, "leaf": v.leaf,
                }
            )  # fmt: skip
        return msgspec.json.encode(
            {
                "now": time.time_ns() // 1_000_000,
                "devices": list(devices.values()),
                "alerts": [{**a._asdict(), "opened_at": _ms(a.opened_at)} for a in alerts.open_now(conn)],
                "ledger": conservation(conn),
            }
        )


def conservation(conn: Any) -> dict[str, int]:
    """The two equations in numbers (docs/glossary.md, "ledger")."""
    streams, said = read.streams(conn), read.sequences(conn)
    return {
        "said": sum(s.last for s in said),
        "stored": sum(s.stored for s in said),
        "quarantined": sum(s.quarantined_reports for s in streams),
        **{name: sum(getattr(s, name) for s in streams) for name in ("charted", "doubtful", "unmapped", "missing")},
    }


def _ms(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


class Feed:
    """The one reader of the store; those who look on wait for its next picture."""

    def __init__(self, conninfo: str) -> None:
        self._conninfo = conninfo
        self._next = asyncio.Condition()
        self.lookers = 0
        self._current = b""

    async def run(self) -> None:
        """For ever; while the store is away no picture is sent, and every page covers itself."""
        while True:
            await asyncio.sleep(EVERY_S)
            if not self.lookers:
                continue
            try:
                self._current = await asyncio.to_thread(picture, self._conninfo)
            except StoreError as error:
                _log.warning("store not read", error=type(error).__name__)
                continue
            async with self._next:
                self._next.notify_all()

    async def pictures(self) -> AsyncIterator[bytes]:
        """Server-sent events, one a picture."""
        self.lookers += 1
        try:
            yield b"retry: 1000\n\n"
            while True:
                async with self._next:
                    await self._next.wait()
                yield b"data: " + self._current + b"\n\n"
        finally:
            self.lookers -= 1


def create(conninfo: str) -> Starlette:
    """The page's application."""
    feed = Feed(conninfo)
    static = files("gateway") / "static"

    def page(name: str, kind: str) -> Callable[[Request], Response]:
        content = (static / name).read_bytes()
        return lambda request: Response(content, media_type=kind, headers=_SECURITY)

    async def events(request: Request) -> Response:
        if feed.lookers >= LOOKERS_MAX:
            return HTMLResponse("too many pages are open", 503)
        return StreamingResponse(feed.pictures(), media_type="text/event-stream", headers=_SECURITY)

    def metrics(request: Request) -> Response:
        table = {
            m.code: {"short": m.short, "en": m.en, "zh": m.zh, "unit": UNIT_BY_REFERENCE_ID[m.unit].ucum,
                     "reference": m.reference_id, "loinc": m.loinc} for m in METRICS
        }  # fmt: skip
        return Response(msgspec.json.encode(table), media_type="application/json", headers=_SECURITY)

    def value(request: Request) -> Response:
        batch, leaf = request.path_params["batch"], request.path_params["leaf"]
        with open_store(conninfo) as conn:
            found = read.origin(conn, batch)
        body = msgspec.json.encode({**found, "leaf": leaf} if found else {})
        return Response(body, 200 if found else 404, media_type="application/json", headers=_SECURITY)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        task = asyncio.create_task(feed.run())
        yield
        task.cancel()

    return Starlette(
        routes=[
            Route("/", page("index.html", "text/html; charset=utf-8")),
            Route("/page.mjs", page("page.mjs", "text/javascript; charset=utf-8")),
            Route("/style.css", page("style.css", "text/css; charset=utf-8")),
            Route("/events", events),
            Route("/metrics.json", metrics),
            Route("/value/{batch:int}/{leaf:int}", value),
        ],
        lifespan=lifespan,
    )
