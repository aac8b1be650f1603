"""What the flowsheet and the printed sheets ask for, and where people's acts on a chart come in."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from starlette.requests import Request
from starlette.routing import Route

from emr_store.bed_names import bed_names
from gateway.answers import HEADERS, Answering, Answers
from gateway.asking import asking_of
from gateway.pages import chart, chart_writing
from gateway.pages.sheets import Printer
from gateway.posting import BodyLimit, by_clerk, posting

_OF_ENTRIES = BodyLimit(32_768, "reason_too_long")  # of an act on a column of them
# A browser shows a PDF by a document of its own, which the pages' policy would keep from its styles.
_PDF_HEADERS = HEADERS | {
    "Content-Security-Policy": "base-uri 'none'; frame-ancestors 'none'",
    "Content-Disposition": "inline",
}


def pdf_routes(answers: Answers, printer: Printer) -> list[Route]:
    """They stand before the pages, which take any key."""

    def printed(paper: str) -> Answering:
        def draw(conn: Any, request: Request) -> bytes | None:
            language = request.query_params.get("language", "zh")
            return printer.pdf(conn, asking_of(request), paper, language, request.path_params["key"])

        return answers.file(draw, "application/pdf", _PDF_HEADERS)

    return [
        Route("/sheet/{key:path}.pdf", printed("sheet")),
        Route("/hourly/{key:path}.pdf", printed("hourly")),
    ]


def chart_routes(answers: Answers, clerk_conninfo: str, printer: Printer) -> list[Route]:
    """All others of them."""

    def flowsheet(conn: Any, request: Request) -> chart.Answer:
        asked = request.path_params
        return chart.flowsheet(
            conn, asking_of(request), asked["key"], asked["step"], asked["hours"], asked["until"], bed_names(conn)
        )  # fmt: skip

    def gap(conn: Any, request: Request) -> chart.Answer:
        asked = request.path_params
        return chart.gap(conn, asking_of(request), asked["key"], asked["item"], asked["at"], asked["step"])

    def pages(conn: Any, request: Request) -> chart.Answer:
        asked = request.path_params
        return printer.pages(conn, asking_of(request), asked["paper"], asked["language"], asked["key"])

    def page(conn: Any, request: Request) -> bytes | None:
        asked = request.path_params
        return printer.page(conn, asking_of(request), asked["paper"], asked["language"], asked["key"], asked["page"])

    return [
        Route("/chart-sheet/{step:int}/{hours:int}/{until:int}/{key:path}", answers.json(flowsheet)),
        Route("/chart-entry/{ids}", answers.json(lambda conn, r: chart.entry(conn, asking_of(r), _uuids(r)))),
        Route("/chart-gap/{item}/{at:int}/{step:int}/{key:path}", answers.json(gap)),
        Route("/chart-items", answers.json(lambda conn, r: chart.items())),
        Route(
            "/chart-act",
            posting(by_clerk(clerk_conninfo, _act), chart_writing.Wish, limit=_OF_ENTRIES),
            methods=["POST"],
        ),
        Route("/sheet-pages/{paper}/{language}/{key:path}", answers.json(pages)),
        Route("/sheet-page/{paper}/{language}/{page:int}/{key:path}", answers.file(page, "image/svg+xml")),
    ]


def _act(conn: Any, request: Request, wish: chart_writing.Wish) -> None:
    chart_writing.act(conn, asking_of(request), wish)


def _uuids(request: Request) -> list[UUID]:
    """Of entries, with commas between; none where one of them is no UUID."""
    try:
        return [UUID(each) for each in request.path_params["ids"].split(",")]
    except ValueError:
        return []
