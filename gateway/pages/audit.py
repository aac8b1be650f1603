"""The auditor's page: who saw what, what somebody did, the reviews. No value is on it; who reads it leaves a row."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from emr_store import audit_trail, reviews
from emr_store.acts import Author
from emr_store.audit_trail import AUDIT_PAGE, Span, Trace
from emr_store.connect import StoreError, open_store
from emr_store.instants import moment
from emr_store.reviews import (
    WORD_CHARS_MAX,
    ClosedReviewError,
    OwnReviewError,
    ReviewRow,
    UnknownReviewError,
)
from gateway.access.viewer import Target
from gateway.access.words import Action, DataClass, Role
from gateway.answers import HEADERS
from gateway.asking import REFUSED_BODY, Asking, asking_of
from gateway.looks import Seen
from gateway.pages.frame import Page
from gateway.pages.moments import milliseconds, milliseconds_or_none
from gateway.posting import OF_A_REASON, RefusedError, by_clerk, posting

PAGE = Page("audit", "/audit")
SHOWN_MAX = 500
HOURS = {"24h": 24, "7d": 7 * 24, "30d": 30 * 24, "all": None}
_AUDIT = Target(DataClass.AUDIT)


class Refusal(StrEnum):
    """Why a review stays open; the page has the words."""

    NOT_ALLOWED = "not_allowed"
    NO_REASON = "no_reason"
    REASON_TOO_LONG = "reason_too_long"
    OWN_REVIEW = "own_review"
    NOT_OPEN = "not_open"


class Wish(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a page sends to close a review."""

    word: str


Reading = Callable[[Any, Asking, Request], dict[str, Any]]


def audit_routes(conninfo: str, clerk_conninfo: str) -> list[Route]:
    """Who may not see the audit learns nothing from them."""

    def reading(read: Reading, what: str) -> Callable[[Request], Response]:
        return lambda request: _answer(conninfo, request, read, what)

    return [
        Route("/audit/patient/{number:path}", reading(_patient, "who-saw")),
        Route("/audit/person/{number:path}", reading(_person, "what-did")),
        Route("/audit/readings", reading(_readings, "readings")),
        Route("/audit/reviews", reading(_reviews, "reviews")),
        Route(
            "/audit/reviews/{review:uuid}/close",
            posting(by_clerk(clerk_conninfo, _close), Wish, limit=OF_A_REASON),
            methods=["POST"],
        ),
    ]


def _answer(conninfo: str, request: Request, read: Reading, what: str) -> Response:
    asking = asking_of(request)
    decision = asking.may(Action.SEE, _AUDIT)
    is_for_second = what == "readings" and asking.viewer.role is not Role.SECOND_AUDITOR
    if not decision.is_allowed or is_for_second:
        return Response(REFUSED_BODY, 403, media_type="application/json", headers=HEADERS)
    number = request.path_params.get("number", "")
    seen = Seen(AUDIT_PAGE, patients=(number,) if what == "who-saw" else (), detail=_detail(request, what, number))
    try:
        asking.note(Action.SEE, decision, seen)
        with open_store(conninfo) as conn:
            found = read(conn, asking, request)
    except StoreError:
        return Response(b"{}", 503, media_type="application/json", headers=HEADERS)
    return Response(msgspec.json.encode(found), media_type="application/json", headers=HEADERS)


def _detail(request: Request, what: str, number: str) -> str:
    """The list of reviews is open for a while and asked for again and again: one look that lasts."""
    if what == "reviews":
        return ""
    return f"{what} {_hours(request)} person={number}" if what == "what-did" else f"{what} {_hours(request)}"


def _hours(request: Request) -> str:
    """One of HOURS."""
    asked = request.query_params.get("within", "")
    return asked if asked in HOURS else "24h"


def _span(asking: Asking, request: Request) -> Span:
    hours = HOURS[_hours(request)]
    return Span(_ago(asking, hours) if hours is not None else None)


def _ago(asking: Asking, hours: int) -> datetime:
    return moment(asking.at_us) - timedelta(hours=hours)


def _patient(conn: Any, asking: Asking, request: Request) -> dict[str, Any]:
    hide_audit = asking.viewer.role is not Role.SECOND_AUDITOR
    return _traces(asking, audit_trail.who_saw(
        conn, request.path_params["number"], _span(asking, request), hide_audit=hide_audit, limit=SHOWN_MAX
    ))  # fmt: skip


def _person(conn: Any, asking: Asking, request: Request) -> dict[str, Any]:
    hide_audit = asking.viewer.role is not Role.SECOND_AUDITOR
    return _traces(asking, audit_trail.what_did(
        conn, request.path_params["number"], _span(asking, request), hide_audit=hide_audit, limit=SHOWN_MAX
    ))  # fmt: skip


def _readings(conn: Any, asking: Asking, request: Request) -> dict[str, Any]:
    return _traces(asking, audit_trail.who_read_the_audit(conn, _span(asking, request), limit=SHOWN_MAX))


def _traces(asking: Asking, found: list[Trace]) -> dict[str, Any]:
    return {
        "now": asking.at_us // 1000, "whole": len(found) < SHOWN_MAX, "traces": [_trace(trace) for trace in found],
    }  # fmt: skip


def _trace(trace: Trace) -> dict[str, Any]:
    return trace._asdict() | {"at": milliseconds(trace.at), "until": milliseconds_or_none(trace.until)}


def _reviews(conn: Any, asking: Asking, request: Request) -> dict[str, Any]:
    closed_too = request.query_params.get("closed", "") == "true"
    found = reviews.reviews(conn, closed_too=closed_too, limit=SHOWN_MAX)
    may_close = asking.may(Action.CLOSE_REVIEW, _AUDIT).is_allowed
    return {
        "now": asking.at_us // 1000,
        "second": asking.viewer.role is Role.SECOND_AUDITOR,
        "reviews": [_review(row, may_close=may_close and row.person != asking.viewer.id) for row in found],
    }


def _review(row: ReviewRow, *, may_close: bool) -> dict[str, Any]:
    return vars(row) | {
        "opened_at": milliseconds(row.opened_at), "closed_at": milliseconds_or_none(row.closed_at),
        "may_close": may_close and row.closed_at is None,
    }  # fmt: skip


def _close(conn: Any, request: Request, wish: Wish) -> None:
    asking = asking_of(request)
    if not asking.may(Action.CLOSE_REVIEW, _AUDIT).is_allowed:
        raise RefusedError(Refusal.NOT_ALLOWED)
    word = wish.word.strip()
    if not word:
        raise RefusedError(Refusal.NO_REASON)
    if len(word) > WORD_CHARS_MAX:
        raise RefusedError(Refusal.REASON_TOO_LONG)
    try:
        reviews.close_review(conn, request.path_params["review"], Author(f"staff:{asking.viewer.id}", word))
    except OwnReviewError:
        raise RefusedError(Refusal.OWN_REVIEW) from None
    except (ClosedReviewError, UnknownReviewError):
        raise RefusedError(Refusal.NOT_OPEN) from None
