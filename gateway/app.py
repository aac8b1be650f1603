"""The pages: what each bed shows now, and how old it is, the ledger beside it; the worklist. Loopback.

Of a patient a tile shows a part; the whole is sent to who asks for it. No name is in an address: those are logged.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from enum import StrEnum
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import msgspec
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from clinical.sheet.style import Style
from clinical.sheet.style_file import shipped_style
from emr_store.bed_names import bed_names
from emr_store.connect import open_store
from gateway.acting import acting
from gateway.answers import HEADERS, Answers
from gateway.asking import asking_of
from gateway.chart_routes import chart_routes, pdf_routes
from gateway.detail_routes import detail_routes
from gateway.emr_rest import emr_routes
from gateway.feed import Feed
from gateway.feed_viewer import FeedViewer
from gateway.fhir.routes import fhir_routes
from gateway.looks import Looks
from gateway.opening import opening
from gateway.pages import chart, deliveries, patient, sheets, ward, worklist
from gateway.pages.frame import Page
from gateway.people.sessions import COOKIE, Sessions
from gateway.people.sign_in_required import SIGN_IN, SignInRequired
from gateway.static_files import KEPT, shipped_files
from gateway.ward_routes import ward_routes
from schemas.nomenclature import METRICS, UNIT_BY_REFERENCE_ID

# Who else gives a name to this address gets nothing (DNS rebinding).
_HOSTS = ["127.0.0.1", "localhost"]
Endpoint = Callable[[Request], Awaitable[Response]]
_NUMBER = re.compile(r"[0-9]{1,18}")  # of a delivery
PAGES = (ward.PAGE, patient.PAGE, worklist.PAGE, deliveries.PAGE, chart.PAGE, sheets.SHEET, sheets.HOURLY)


def create(
    conninfo: str, feed: Feed, clerk_conninfo: str, sheet_style: Style | None = None,
) -> Starlette:  # fmt: skip
    """The pages' application; what people do on them goes through `clerk_conninfo` alone.

    `sheet_style`: a site's habits for printed sheets; None: those that are shipped as standard.
    """
    static = shipped_files()
    sessions, looks = Sessions(conninfo, clerk_conninfo), Looks(clerk_conninfo)
    hello = _hello(static.build)
    printer = sheets.Printer(sheet_style or shipped_style("standard"))
    answers = Answers(conninfo)
    answered = answers.json

    def whole(page: Page) -> Endpoint:
        return _unchanging(page.html(static), "text/html")

    ward_html = ward.PAGE.html(static)

    def viewer(request: Request) -> FeedViewer:
        return FeedViewer(asking_of(request), sessions, request.cookies.get(COOKIE, ""))

    async def opened_ward(request: Request) -> Response:
        parts = opening(ward_html, hello, feed, viewer(request))
        return StreamingResponse(parts, media_type="text/html; charset=utf-8", headers=HEADERS)

    async def events(request: Request) -> Response:
        return StreamingResponse(feed.events(hello, viewer(request)), media_type="text/event-stream", headers=HEADERS)

    return Starlette(
        routes=[
            *pdf_routes(answers, printer),
            Route(ward.PAGE.path, opened_ward),
            *(Route(page.path, whole(page)) for page in PAGES if page is not ward.PAGE),
            *(Route(address, _unchanging(*file, KEPT)) for address, file in static.served().items()),
            Route("/uplot.js", _uplot("uPlot.iife.js", "text/javascript")),
            Route("/uplot.css", _uplot("uPlot.min.css", "text/css")),
            Route("/patient-history/{key:path}", answered(_history)),
            Route("/patient-trend/{hours:int}/{key:path}", answered(_trend)),
            Route("/worklist/items", answered(lambda conn, r: worklist.items(conn, asking_of(r), bed_names(conn)))),
            Route("/worklist/{item:int}/resolve", acting(clerk_conninfo, _resolve, HEADERS), methods=["POST"]),
            Route("/delivery-list/{state}", answered(_deliveries)),
            Route("/delivery-act", acting(clerk_conninfo, _decide, HEADERS), methods=["POST"]),
            *chart_routes(answers, clerk_conninfo, printer),
            *fhir_routes(lambda: open_store(conninfo)),
            *emr_routes(conninfo),
            Route("/events", events),
            *detail_routes(answers),
            *ward_routes(feed),
            Route("/me", _me),  # behind all others: that of sign-in comes before it
        ],
        middleware=[
            Middleware(TrustedHostMiddleware, allowed_hosts=_HOSTS),
            Middleware(SignInRequired, sessions=sessions, looks=looks, is_open=_is_open),
        ],
        lifespan=lambda app: feed.running(),
    )  # fmt: skip


async def _me(request: Request) -> Response:
    viewer = asking_of(request).viewer
    me = {"id": viewer.id, "name": viewer.name, "role": viewer.role, "wards": sorted(viewer.wards), "csrf": ""}
    return Response(msgspec.json.encode(me), media_type="application/json", headers=HEADERS)


def _is_open(path: str) -> bool:
    """What is for everybody: how to sign in, what pages are made of, what the API is."""
    return path in (SIGN_IN, "/fhir/metadata", "/uplot.js", "/uplot.css") or path.startswith(
        ("/static/", f"{SIGN_IN}/")
    )


def _unchanging(content: bytes, kind: str, headers: Mapping[str, str] = HEADERS) -> Endpoint:
    """Answered by the loop itself: a thread for each of a page's files would cost more than they do."""
    response = Response(content, media_type=f"{kind}; charset=utf-8", headers=headers)

    async def answer(request: Request) -> Response:
        return response

    return answer


def _uplot(name: str, kind: str) -> Endpoint:
    """A file of uPlot, out of the wheel that ships it; the wheel's own modules are not imported."""
    path = Path(str(distribution("uplot-python").locate_file(f"uplot/static/{name}")))
    return _unchanging(path.read_bytes(), kind)


def _history(conn: Any, request: Request) -> patient.Answer:
    return patient.history(conn, asking_of(request), request.path_params["key"], bed_names(conn))


def _trend(conn: Any, request: Request) -> patient.Answer:
    return patient.trend(conn, asking_of(request), request.path_params["key"], request.path_params["hours"])


def _resolve(conn: Any, request: Request, body: bytes) -> StrEnum | None:
    return worklist.resolve(conn, asking_of(request), request.path_params["item"], body)


def _deliveries(conn: Any, request: Request) -> deliveries.Answered:
    before = request.query_params.get("before", "")
    return deliveries.deliveries(
        conn, asking_of(request), request.query_params.get("destination", ""), request.path_params["state"],
        int(before) if _NUMBER.fullmatch(before) else None,
    )  # fmt: skip


def _decide(conn: Any, request: Request, body: bytes) -> StrEnum | None:
    return deliveries.act(conn, asking_of(request), body)


def _hello(build: str) -> bytes:
    """What a page is told once: what metrics are called, and by `build` whether it is older than its server."""
    metrics = {
        m.code: {"short": m.short, "en": m.en, "zh": m.zh, "unit": UNIT_BY_REFERENCE_ID[m.unit].ucum,
                 "reference": m.reference_id, "loinc": m.loinc} for m in METRICS
    }  # fmt: skip
    return msgspec.json.encode({"build": build, "metrics": metrics})
