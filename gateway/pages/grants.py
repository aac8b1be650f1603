"""The page of access: what ties somebody to wards and stays, who is tied to a stay and by whom; what two people decide.

Its questions and acts are in gateway/people/grant_routes.py.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from clinical.key_words import visit_words
from emr_store.custody import SIDES, Part
from emr_store.grants import GrantRow
from emr_store.restricted import RestrictedRecord
from emr_store.second_person import Request, person_of
from gateway.pages.frame import Page
from gateway.pages.moments import milliseconds, milliseconds_or_none

PAGE = Page("grants", "/grants")
OF_STAY = Page("grants", "/grants/{encounter:path}")


def visit_shown(encounter: str) -> dict[str, str]:
    """Which visit it is, in both languages."""
    words = visit_words(encounter)
    return {"en": words.en, "zh": words.zh}


def grant_shown(grant: GrantRow, at: datetime, *, may_end: bool) -> dict[str, Any]:
    """`may_end`: whether who asks might; of one that is over nobody may."""
    holds = grant.ended_at is None and grant.until > at
    return {
        "grant": str(grant.grant), "relation": grant.relation, "staff": grant.staff, "name": grant.name,
        "encounter": grant.encounter, "visit": visit_shown(grant.encounter), "by": grant.by,
        "reason": grant.reason, "since_ms": milliseconds(grant.since), "until_ms": milliseconds(grant.until),
        "ended_ms": milliseconds_or_none(grant.ended_at), "holds": holds, "may_end": holds and may_end,
    }  # fmt: skip


def record_shown(record: RestrictedRecord) -> dict[str, Any]:
    """Of a patient his key: names are on the patient's own page."""
    return {
        "patient": record.patient, "since_ms": milliseconds(record.since), "by": record.by.removeprefix("staff:"),
        "reason": record.reason,
    }  # fmt: skip


def part_shown(part: Part) -> dict[str, Any]:
    """A part of a custody copy, and which side confirmed its list."""
    return {
        "copy": str(part.copy), "part": part.part, "since_ms": milliseconds_or_none(part.since),
        "until_ms": milliseconds(part.until), "versions": part.versions, "list_sha256": part.list_sha256,
        "made_ms": milliseconds(part.made_at), "confirmed": {side: side in part.confirmed_by for side in SIDES},
    }  # fmt: skip


def request_shown(request: Request, *, own: str, may_answer: bool) -> dict[str, Any]:
    """`own`: who asks, as acts name him: he takes back what he asked, and agrees to nothing of his own."""
    waits = request.agrees is None
    is_own = person_of(request.by) == person_of(own)
    return {
        "request": str(request.request), "kind": request.kind,
        "details": {name: str(value) for name, value in request.details.items()},
        "by": request.by.removeprefix("staff:"), "why": request.why, "at_ms": milliseconds(request.at),
        "expires_ms": milliseconds(request.expires_at), "own": is_own,
        "agreed_by": (request.answered_by or "").removeprefix("staff:"),
        "may_agree": waits and may_answer and not is_own,
        "may_decline": waits and (may_answer or request.by == own),
    }  # fmt: skip
