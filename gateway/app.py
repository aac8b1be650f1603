"""The pages: what each bed shows now, and how old it is, the ledger beside it; the worklist. Loopback.

Of a patient a tile shows a part; the whole is sent to who asks for it. No name is in an address: those are logged.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from functools import cache
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
from gateway.answers import HEADERS, Answers
from gateway.asking import asking_of
from gateway.chart_routes import chart_routes, pdf_routes
from gateway.command_routes import command_routes
from gateway.detail_routes import detail_routes
from gateway.emr_rest import emr_routes
from gateway.enrolment import enrolment_routes
from gateway.feed import Feed
from gateway.feed_viewer import FeedViewer
from gateway.fhir.routes import fhir_routes
from gateway.look_journal import LookJournal
from gateway.looks import Looks
from gateway.opening import opening
from gateway.pages import (
    audit,
    boxes,
    chart,
    command_line,
    deliveries,
    devices,
    fleet,
    grants,
    mapping,
    patient,
    people,
    sheets,
    ward,
    worklist,
)
from gateway.people.attempts import SignInAttempts
from gateway.people.command_line_routes import command_line_routes
from gateway.people.cookies import session_secret
from gateway.people.grant_routes import grant_routes
from gateway.people.key_routes import key_routes
from gateway.people.machine_routes import OPEN_PATHS, MachineBearer, machine_routes
from gateway.people.machines import Machines, token_key
from gateway.people.session_routes import session_routes
from gateway.people.sessions import Sessions
from gateway.people.sign_in import sign_in_routes
from gateway.people.sign_in_required import SIGN_IN, SignInRequired
from gateway.people.sign_in_settings import SignInSettings
from gateway.posting import OF_A_REASON, by_clerk, posting
from gateway.refusal_log import RefusalLog
from gateway.reminder_routes import reminder_routes
from gateway.security_headers import SecurityHeaders, failed_answer
from gateway.static_files import KEPT, StaticFiles, shipped_files
from gateway.ward_routes import ward_routes
from schemas import enrolment
from schemas.nomenclature import METRICS, UNIT_BY_REFERENCE_ID

Endpoint = Callable[[Request], Awaitable[Response]]
_NUMBER = re.compile(r"[0-9]{1,18}")  # of a delivery
PAGES = (
    ward.PAGE, patient.PAGE, worklist.PAGE, deliveries.PAGE, chart.PAGE, sheets.SHEET, sheets.HOURLY, audit.PAGE,
    people.PAGE, grants.PAGE, grants.OF_STAY, devices.PAGE, boxes.PAGE, fleet.PAGE, command_line.PAGE,
    mapping.PAGE,
)  # fmt: skip


def create(
    conninfo: str, feed: Feed, clerk_conninfo: str, sheet_style: Style | None = None,
    settings: SignInSettings | None = None, look_journal: LookJournal | None = None,
) -> Starlette:  # fmt: skip
    """The pages' application; what people do on them goes through `clerk_conninfo` alone.

    `sheet_style`: a site's habits for printed sheets; None: those that are shipped as standard. `settings`: how people
    sign in; None: as on loopback, without a provider. `look_journal`: where looks are kept while the store is away;
    None: nothing is seen then.
    """
    static = shipped_files()
    sessions, looks = Sessions(conninfo, clerk_conninfo), Looks(clerk_conninfo, look_journal)
    settings = settings or SignInSettings()
    machines = Machines(conninfo, clerk_conninfo, looks, token_key(settings.token_key))
    hello = _hello(static.build)
    attempts = SignInAttempts(clerk_conninfo)
    printer = sheets.Printer(sheet_style or shipped_style("standard"))
    answers = Answers(conninfo)

    ward_html = ward.PAGE.html(static)

    def viewer(request: Request) -> FeedViewer:
        return FeedViewer(asking_of(request), sessions, session_secret(request))

    async def opened_ward(request: Request) -> Response:
        parts = opening(ward_html, hello, feed, viewer(request))
        return StreamingResponse(parts, media_type="text/html; charset=utf-8", headers=HEADERS)

    async def events(request: Request) -> Response:
        return StreamingResponse(feed.events(hello, viewer(request)), media_type="text/event-stream", headers=HEADERS)

    app = Starlette(
        routes=[
            *pdf_routes(answers, printer),
            Route(ward.PAGE.path, opened_ward),
            Route("/events", events),
            *_file_routes(static),
            *_question_routes(answers, clerk_conninfo),
            *detail_routes(answers),
            *devices.device_routes(answers, clerk_conninfo),
            *fleet.fleet_routes(answers), *mapping.mapping_routes(answers),
            *ward_routes(feed),
            *chart_routes(answers, clerk_conninfo, printer),
            *machine_routes(machines, settings.public_origin, attempts),
            *fhir_routes(lambda: open_store(conninfo)),
            *emr_routes(conninfo),
            *grant_routes(clerk_conninfo, sessions),
            *key_routes(conninfo, clerk_conninfo, sessions, settings, static, attempts),
            *session_routes(conninfo, clerk_conninfo, sessions, settings),
            *sign_in_routes(conninfo, clerk_conninfo, sessions, settings, static, attempts),
            *command_line_routes(sessions, attempts),
            *reminder_routes(),
            *command_routes(answers),
            *audit.audit_routes(conninfo, clerk_conninfo),
            *boxes.box_routes(answers, clerk_conninfo),
            *enrolment_routes(clerk_conninfo, attempts, settings.pki),
        ],
        middleware=[
            Middleware(SecurityHeaders, is_https=settings.public_origin.is_https),
            Middleware(TrustedHostMiddleware, allowed_hosts=settings.public_origin.allowed_hosts),
            Middleware(RefusalLog),
            Middleware(MachineBearer, machines=machines, public_origin=settings.public_origin),
            Middleware(SignInRequired, sessions=sessions, looks=looks, is_open=_is_open,
                       public_origin=settings.public_origin),
        ],
        exception_handlers={Exception: failed_answer(is_https=settings.public_origin.is_https)},
        lifespan=lambda app: feed.running(),
    )  # fmt: skip
    app.state.looks = looks  # who serves it closes them
    return app


@cache
def _file_routes(static: StaticFiles) -> list[Route]:
    """The pages but that of the ward, and what all are made of."""
    return [
        *(Route(page.path, _unchanging(page.html(static), "text/html")) for page in PAGES if page is not ward.PAGE),
        *(Route(address, _unchanging(*file, KEPT)) for address, file in static.served().items()),
        Route("/uplot.js", _uplot("uPlot.iife.js", "text/javascript")),
        Route("/uplot.css", _uplot("uPlot.min.css", "text/css")),
    ]


def _question_routes(answers: Answers, clerk_conninfo: str) -> list[Route]:
    """What the pages of patients, of the worklist and of deliveries ask and do."""
    answered = answers.json
    return [
        Route("/patient-history/{key:path}", answered(_history)),
        Route("/patient-trend/{hours:int}/{key:path}", answered(_trend)),
        Route("/worklist/items", answered(lambda conn, r: worklist.items(conn, asking_of(r), bed_names(conn)))),
        Route(
            "/worklist/{item:int}/resolve",
            posting(by_clerk(clerk_conninfo, _resolve), worklist.Wish, limit=OF_A_REASON),
            methods=["POST"],
        ),
        Route("/delivery-list/{state}", answered(_deliveries)),
        Route(
            "/delivery-act",
            posting(by_clerk(clerk_conninfo, _decide), deliveries.Wish, limit=OF_A_REASON),
            methods=["POST"],
        ),
    ]


def _is_open(path: str) -> bool:
    """What is for everybody: how to sign in, what pages are made of, what the API is, where boxes ask to be let in."""
    return (
        path in OPEN_PATHS
        or path in (SIGN_IN, enrolment.PATH, "/fhir/metadata", "/uplot.js", "/uplot.css")
        or path.startswith(("/static/", f"{SIGN_IN}/"))
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


def _resolve(conn: Any, request: Request, wish: worklist.Wish) -> None:
    worklist.resolve(conn, asking_of(request), request.path_params["item"], wish)


def _deliveries(conn: Any, request: Request) -> deliveries.Answered:
    before = request.query_params.get("before", "")
    return deliveries.deliveries(
        conn, asking_of(request), request.query_params.get("destination", ""), request.path_params["state"],
        int(before) if _NUMBER.fullmatch(before) else None,
    )  # fmt: skip


def _decide(conn: Any, request: Request, wish: deliveries.Wish) -> None:
    deliveries.act(conn, asking_of(request), wish)


@cache
def _hello(build: str) -> bytes:
    """What a page is told once: what metrics are called, and by `build` whether it is older than its server."""
    metrics = {
        m.code: {"short": m.short, "en": m.en, "zh": m.zh, "unit": UNIT_BY_REFERENCE_ID[m.unit].ucum,
                 "reference": m.reference_id, "loinc": m.loinc} for m in METRICS
    }  # fmt: skip
    return msgspec.json.encode({"build": build, "metrics": metrics})
