"""Boxes that ask to be let in: whose key it is said to be, from where, and what a person decides of it."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import msgspec
from starlette.requests import Request
from starlette.routing import Route

from emr_store import invitations
from emr_store.acts import Author
from emr_store.invitations import CODE_LASTS, REQUEST_LASTS, InvitationRefusedError, InvitationRow
from gateway.access.viewer import Target
from gateway.access.words import Action, DataClass
from gateway.answers import Answers
from gateway.asking import Asking, asking_of
from gateway.pages.frame import Page
from gateway.pages.moments import milliseconds, milliseconds_or_none
from gateway.permission import require
from gateway.posting import OF_A_REASON, RefusedError, by_clerk, posting
from runtime.keys import fingerprint

PAGE = Page("boxes", "/boxes")
WHY_CHARS_MAX = 500
_BOXES = Target(DataClass.BOXES)


class AgreeWish(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`key`: the id of the key whose fingerprint the page showed, in hexadecimal."""

    invitation: UUID
    key: str


class RefuseWish(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Of a box that waits, or of a code that nobody has used."""

    invitation: UUID
    why: str


def box_routes(answers: Answers, clerk_conninfo: str) -> list[Route]:
    """What the page asks and does."""
    return [
        Route("/boxes/undecided", answers.json(lambda conn, request: boxes(conn, asking_of(request)))),
        Route(
            "/boxes/agree", posting(by_clerk(clerk_conninfo, _agree), AgreeWish, limit=OF_A_REASON), methods=["POST"]
        ),
        Route(
            "/boxes/refuse", posting(by_clerk(clerk_conninfo, _refuse), RefuseWish, limit=OF_A_REASON), methods=["POST"]
        ),
    ]


def boxes(conn: Any, asking: Asking) -> dict[str, Any]:
    """Those on which somebody can decide. Raises AccessRefusedError and StoreError."""
    require(asking, Action.SEE, _BOXES)
    may_decide = asking.may(Action.MANAGE, _BOXES).is_allowed
    return {
        "now": asking.at_us // 1000, "may_decide": may_decide, "code_lasts_min": CODE_LASTS.total_seconds() // 60,
        "request_lasts_h": REQUEST_LASTS.total_seconds() // 3600,
        "boxes": [_box(row) for row in invitations.undecided(conn)],
    }  # fmt: skip


def _box(row: InvitationRow) -> dict[str, Any]:
    """`fingerprint` "": no box has shown the code yet."""
    ends = row.open_until if row.asked_at is None else row.asked_at + REQUEST_LASTS
    return {
        "invitation": str(row.invitation), "label": row.label, "by": row.invited_by.removeprefix("staff:"),
        "fingerprint": "" if row.public_der is None else fingerprint(row.public_der),
        "key": "" if row.key_id is None else row.key_id.hex(), "address": row.address,
        "invited": milliseconds(row.invited_at), "since": milliseconds_or_none(row.asked_at),
        "until": milliseconds(ends),
    }  # fmt: skip


def _agree(conn: Any, request: Request, wish: AgreeWish) -> None:
    asking = asking_of(request)
    require(asking, Action.MANAGE, _BOXES)
    try:
        compared = bytes.fromhex(wish.key)
    except ValueError:
        raise RefusedError("unreadable") from None
    try:
        invitations.agree(conn, wish.invitation, compared, Author(f"staff:{asking.viewer.id}"))
    except InvitationRefusedError as error:
        raise RefusedError(error.refusal) from None


def _refuse(conn: Any, request: Request, wish: RefuseWish) -> None:
    asking = asking_of(request)
    require(asking, Action.MANAGE, _BOXES)
    why = wish.why.strip()
    if not why:
        raise RefusedError("no_reason")
    if len(why) > WHY_CHARS_MAX:
        raise RefusedError("reason_too_long")
    try:
        invitations.refuse(conn, wish.invitation, Author(f"staff:{asking.viewer.id}", why))
    except InvitationRefusedError as error:
        raise RefusedError(error.refusal) from None
