"""The pages: what each bed shows now, and how old it is, the ledger beside it; the worklist. Loopback.

Of a patient a tile shows a part; the whole is sent to who asks for it. No name is in an address: those are logged.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum
from hashlib import sha256
from importlib.metadata import distribution
from importlib.resources import files
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from clinical.key_words import NO_BED_NAMES
from clinical.sheet.style import Style
from clinical.sheet.style_file import shipped_style
from emr_store.connect import StoreError, open_store
from gateway.access import ANYONE
from gateway.acting import acting
from gateway.feed import Feed
from gateway.pages import chart, chart_writing, detail, patient, sheets, ward, worklist
from gateway.pages.frame import Page
from schemas.nomenclature import METRICS, UNIT_BY_REFERENCE_ID

# Its own scripts and styles, nothing from anywhere else.
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self';"
    " img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store, no-transform",
    "X-Accel-Buffering": "no",
}
# Who else gives a name to this address gets nothing (DNS rebinding).
_HOSTS = ["127.0.0.1", "localhost"]
# A browser shows a PDF by a document of its own, which those would keep from its styles.
_PDF_HEADERS = {name: text for name, text in _HEADERS.items() if name != "Content-Security-Policy"} | {
    "Content-Security-Policy": "frame-ancestors 'none'",
    "Content-Disposition": "inline",
}
CHART_BYTES_MAX = 32_768  # a column of entries
_KINDS = {"mjs": "text/javascript", "css": "text/css"}
PAGES = (ward.PAGE, patient.PAGE, worklist.PAGE, chart.PAGE, sheets.SHEET, sheets.HOURLY)


def create(
    conninfo: str, feed: Feed, clerk_conninfo: str, bed_names: Mapping[str, str] = NO_BED_NAMES,
    sheet_style: Style | None = None,
) -> Starlette:  # fmt: skip
    """The pages' application; what people do on them goes through `clerk_conninfo` alone.

    `bed_names`: what the site calls its beds, by their keys; others are called as they were sent. `sheet_style`: a
    site's habits for printed sheets; None: those that are shipped as standard.
    """
    static = {f.name: f.read_bytes() for f in (files("gateway") / "static").iterdir()}
    hello = _hello(static)

    printer = sheets.Printer(sheet_style or shipped_style("standard"), bed_names)

    def drawn(
        draw: Callable[[Any, Request], bytes | None], kind: str, headers: dict[str, str]
    ) -> Callable[[Request], Response]:
        """What is printed: 404 for nothing, 503 while the store is away."""

        def answer(request: Request) -> Response:
            try:
                with open_store(conninfo) as conn:
                    found = draw(conn, request)
            except StoreError:
                return Response(status_code=503, headers=_HEADERS)
            if found is None:
                return Response(status_code=404, headers=_HEADERS)
            return Response(found, media_type=kind, headers=headers)

        return answer

    def printed(kind: str) -> Callable[[Request], Response]:
        return drawn(
            lambda conn, r: printer.pdf(conn, ANYONE, kind, r.query_params.get("language", "zh"), r.path_params["key"]),
            "application/pdf",
            _PDF_HEADERS,
        )

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
            # Before the pages, which take any key.
            Route("/sheet/{key:path}.pdf", printed("sheet")),
            Route("/hourly/{key:path}.pdf", printed("hourly")),
            *(Route(page.path, whole(page)) for page in PAGES),
            *(Route(f"/{name}", file(name)) for name in static if name.rsplit(".", 1)[-1] in _KINDS),
            Route("/uplot.js", _uplot("uPlot.iife.js", "text/javascript")),
            Route("/uplot.css", _uplot("uPlot.min.css", "text/css")),
            Route("/patient-history/{key:path}", answered(
                lambda conn, r: patient.history(conn, ANYONE, r.path_params["key"], bed_names))),
            Route("/patient-trend/{hours:int}/{key:path}", answered(
                lambda conn, r: patient.trend(conn, ANYONE, r.path_params["key"], r.path_params["hours"]))),
            Route("/worklist/items", answered(lambda conn, r: worklist.items(conn, ANYONE, bed_names))),
            Route("/worklist/{item:int}/resolve", acting(clerk_conninfo, _resolve, _HEADERS), methods=["POST"]),
            Route("/chart-sheet/{step:int}/{hours:int}/{until:int}/{key:path}", answered(
                lambda conn, r: chart.flowsheet(
                    conn, ANYONE, r.path_params["key"], r.path_params["step"], r.path_params["hours"],
                    r.path_params["until"], bed_names))),
            Route("/chart-entry/{ids}", answered(lambda conn, r: chart.entry(conn, ANYONE, _uuids(r)))),
            Route("/chart-gap/{item}/{at:int}/{step:int}/{key:path}", answered(
                lambda conn, r: chart.gap(conn, ANYONE, r.path_params["key"], r.path_params["item"],
                                          r.path_params["at"], r.path_params["step"]))),
            Route("/sheet-pages/{kind}/{language}/{key:path}", answered(
                lambda conn, r: printer.pages(
                    conn, ANYONE, r.path_params["kind"], r.path_params["language"], r.path_params["key"]))),
            Route("/sheet-page/{kind}/{language}/{page:int}/{key:path}", drawn(
                lambda conn, r: printer.page(
                    conn, ANYONE, r.path_params["kind"], r.path_params["language"], r.path_params["key"],
                    r.path_params["page"]), "image/svg+xml", _HEADERS)),
            Route("/chart-items", answered(lambda conn, r: chart.items())),
            Route("/chart-act", acting(clerk_conninfo, _chart, _HEADERS, CHART_BYTES_MAX), methods=["POST"]),
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


def _resolve(conn: Any, request: Request, body: bytes) -> StrEnum | None:
    return worklist.resolve(conn, ANYONE, request.path_params["item"], body)


def _chart(conn: Any, request: Request, body: bytes) -> StrEnum | None:
    return chart_writing.act(conn, ANYONE, body)


def _uuids(request: Request) -> list[UUID]:
    """Of entries, with commas between; none where one of them is no UUID."""
    try:
        return [UUID(each) for each in request.path_params["ids"].split(",")]
    except ValueError:
        return []


def _hello(static: dict[str, bytes]) -> bytes:
    """What a page is told once: what metrics are called, and by `build` whether it is older than its server."""
    metrics = {
        m.code: {"short": m.short, "en": m.en, "zh": m.zh, "unit": UNIT_BY_REFERENCE_ID[m.unit].ucum,
                 "reference": m.reference_id, "loinc": m.loinc} for m in METRICS
    }  # fmt: skip
    build = sha256(b"".join(static[name] for name in sorted(static))).hexdigest()
    return msgspec.json.encode({"build": build, "metrics": metrics})
