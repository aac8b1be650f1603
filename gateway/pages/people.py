"""People and sessions: where I am in, my keys; for an administrator everybody's, staff, and the screens of wards."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from emr_store import security_keys, staff_list, station_displays, workstations
from emr_store.login_sessions import SessionRow
from emr_store.security_keys import EnrolmentRow, KeyRow
from emr_store.station_displays import DisplayRow
from gateway.access.words import Action, Role
from gateway.asking import Asking
from gateway.looks import Seen
from gateway.pages.frame import Page
from gateway.pages.moments import milliseconds, milliseconds_or_none
from gateway.people.principals import PEOPLE, manages

PAGE = Page("people", "/people")
SHOWN_MAX = 200
Answer = dict[str, Any] | None  # None: not found


def people(conn: Any, asking: Asking, session: bytes, staff: str) -> Answer:
    """What somebody may know of sign-ins; None for a display and where nobody sits. Raises StoreError.

    `session`: the one that asks; `staff`: whose sessions and keys an administrator looks at, "" for everybody's.
    """
    viewer, now = asking.viewer, datetime.now(UTC)
    if viewer.locked or viewer.role in (Role.STATION_DISPLAY, Role.MACHINE):
        return None
    mine = workstations.open_sessions(conn, viewer.id, now)
    found: dict[str, Any] = {
        "now": milliseconds(now), "me": viewer.id, "manages": manages(asking),
        "sessions": [_session(row, session) for row in mine],
        "keys": [_key(key) for key in security_keys.keys_of(conn, viewer.id)],
    }  # fmt: skip
    if manages(asking):
        found["all"] = _everybody(conn, session, staff, now)
        asking.note(Action.SEE, asking.may(Action.SEE, PEOPLE), Seen("people", detail=f"people {staff}".strip()))
    return found


def news(conn: Any, asking: Asking) -> Answer:
    """What others did with the keys of whoever signed in. Raises StoreError."""
    viewer = asking.viewer
    if viewer.locked:
        return {"news": []}
    return {"news": [_key(key) for key in security_keys.keys_of(conn, viewer.id) if key.untold]}


def _everybody(conn: Any, session: bytes, staff: str, now: datetime) -> dict[str, Any]:
    sessions = workstations.open_sessions(conn, staff or None, now)
    people_here = staff_list.staff_list(conn, staff, SHOWN_MAX + 1)
    return {
        "sessions": [_session(row, session) for row in sessions[:SHOWN_MAX]], "sessions_in_all": len(sessions),
        "staff": [{
            "staff": row.staff, "name": row.name, "role": row.role, "licence": row.licence, "wards": row.wards,
            "ended": milliseconds_or_none(row.ended_at), "keys": row.keys,
        } for row in people_here[:SHOWN_MAX]],
        "more_staff": len(people_here) > SHOWN_MAX,
        "keys": [_key(key) for key in security_keys.keys_of(conn, staff)] if staff else [],
        "displays": [_display(row) for row in station_displays.displays(conn)],
        "wards": station_displays.wards(conn),
        "enrolments": [_enrolment(row) for row in security_keys.enrolments(conn, now)],
    }  # fmt: skip


def _session(row: SessionRow, mine: bytes) -> dict[str, Any]:
    """`id` says which to end; it opens nothing."""
    return {
        "id": row.session.hex(), "who": row.principal, "factor": row.factor, "address": row.address,
        "agent": row.agent, "began": milliseconds(row.began_at), "seen": milliseconds(row.seen_at),
        "locked": row.locked_at is not None, "this": row.session == mine,
    }  # fmt: skip


def _key(key: KeyRow) -> dict[str, Any]:
    return {
        "id": key.credential.hex(), "label": key.label, "enrolled": milliseconds(key.enrolled_at),
        "used": milliseconds_or_none(key.used_at), "revoked": milliseconds_or_none(key.revoked_at),
        "by": key.revoked_by or "", "why": key.revoke_reason or "",
    }  # fmt: skip


def _display(row: DisplayRow) -> dict[str, Any]:
    return {
        "id": str(row.display), "ward": row.ward, "label": row.label, "until": milliseconds(row.open_until),
        "enrolled": milliseconds_or_none(row.enrolled_at), "revoked": milliseconds_or_none(row.revoked_at),
    }  # fmt: skip


def _enrolment(row: EnrolmentRow) -> dict[str, Any]:
    return {
        "id": str(row.enrolment), "staff": row.staff, "waits": row.replaces and row.agreed_by is None,
        "by": row.opened_by, "why": row.reason, "until": milliseconds(row.open_until),
    }  # fmt: skip
