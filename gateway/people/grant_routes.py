"""Over HTTP: break the glass, give and end grants, declare a ward, restrict a record; what I may see and why.

An act is done (204) or refused in a word. Of what is denied and of what is not there only the status is told.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from enum import StrEnum
from typing import Any, TypeVar
from uuid import UUID

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from clinical.ward_names import UnknownWardError, find_ward, ward_name
from emr_store import grants, restricted
from emr_store.connect import StoreError, is_forbidden, open_store
from emr_store.grants import GrantRefusedError, GrantRow, Refusal
from emr_store.instants import moment
from emr_store.visible_stays import stay_facts
from gateway.access.decision import Decision
from gateway.access.targets import patient_targets, stay_target
from gateway.access.viewer import Target
from gateway.access.words import Action, Answer, DataClass
from gateway.answers import HEADERS
from gateway.asking import REFUSED_BODY, Asking, asking_of
from gateway.looks import Seen
from gateway.pages.moments import milliseconds, milliseconds_or_none
from gateway.people.sessions import Sessions
from gateway.same_origin import is_own

BODY_BYTES_MAX = 8192
_JSON = "application/json"
_STATUS = {
    Refusal.NOT_THERE: 404, Refusal.ENDED_ALREADY: 409, Refusal.RESTRICTED_ALREADY: 409, Refusal.NOT_RESTRICTED: 409
}  # fmt: skip
_MOMENT_MS_MAX = 253_370_764_800_000  # the year 9999
Deed = Callable[[Any, Asking, bytes], None]  # with a connection; raises GrantRefusedError, _NoAccessError
Question = Callable[[Any, Asking, Request], dict[str, Any]]
Endpoint = Callable[[Request], Awaitable[Response]]


class _NoAccessError(Exception):
    """The table says no, or there is no such stay."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class _Glass(msgspec.Struct, forbid_unknown_fields=True):
    encounter: str
    reason: str
    hours: float


class _Given(msgspec.Struct, forbid_unknown_fields=True):
    staff: str
    relation: str
    encounter: str
    until_ms: int
    reason: str


class _GrantEnd(msgspec.Struct, forbid_unknown_fields=True):
    grant: UUID
    reason: str


class _Ward(msgspec.Struct, forbid_unknown_fields=True):
    ward: str
    hours: float


class _Restriction(msgspec.Struct, forbid_unknown_fields=True):
    patient: str
    reason: str


def grant_routes(clerk_conninfo: str, sessions: Sessions) -> list[Route]:
    """`sessions`: whoever changes what he may see sees it at once."""

    def post(path: str, deed: Deed) -> Route:
        return Route(path, _acting(clerk_conninfo, sessions, deed), methods=["POST"])

    return [
        post("/break-glass", _break_glass),
        post("/grant", _give),
        post("/grant-end", _end),
        post("/ward", _declare_ward),
        post("/restrict", _restrict),
        post("/restrict-end", _lift),
        Route("/grants/{encounter:path}", _answering(clerk_conninfo, _grants_of)),
        Route("/my-access", _answering(clerk_conninfo, _my_access)),
    ]


def _break_glass(conn: Any, asking: Asking, body: bytes) -> None:
    wish = _read(body, _Glass)
    # Asked for a reason is who gives one here.
    _check(_asked(conn, asking, Action.BREAK_GLASS, wish.encounter), asked_too=True)
    until = moment(asking.at_us) + _span(wish.hours)
    grants.break_glass(conn, asking.viewer.id, wish.encounter, until=until, reason=wish.reason)


def _give(conn: Any, asking: Asking, body: bytes) -> None:
    wish = _read(body, _Given)
    _check(_asked(conn, asking, Action.GRANT, wish.encounter))
    if not 0 < wish.until_ms < _MOMENT_MS_MAX:
        raise GrantRefusedError(Refusal.ENDS_TOO_LATE if wish.until_ms > 0 else Refusal.ENDS_TOO_EARLY)
    grants.give(
        conn, wish.relation, wish.staff, wish.encounter, until=moment(wish.until_ms * 1000), by=asking.viewer.id,
        reason=wish.reason,
    )  # fmt: skip


def _end(conn: Any, asking: Asking, body: bytes) -> None:
    """By who has it, who gave it, or who might give one like it."""
    wish = _read(body, _GrantEnd)
    found = grants.find(conn, wish.grant)
    if found is None:
        raise _NoAccessError(404)
    decision = _asked(conn, asking, Action.GRANT, found.encounter)
    is_own_grant = asking.viewer.id in (found.staff, found.by) and not asking.viewer.locked
    if not is_own_grant:
        _check(decision)
    grants.end(conn, wish.grant, by=asking.viewer.id, reason=wish.reason)


def _declare_ward(conn: Any, asking: Asking, body: bytes) -> None:
    """Of no stay: within one's pool it is one's own word."""
    wish = _read(body, _Ward)
    _check_unlocked(asking)
    try:
        ward = find_ward(wish.ward, grants.pool_of(conn, asking.viewer.id))
    except UnknownWardError:
        raise GrantRefusedError(Refusal.NOT_IN_POOL) from None
    grants.declare_ward(conn, asking.viewer.id, ward, until=moment(asking.at_us) + _span(wish.hours))


def _restrict(conn: Any, asking: Asking, body: bytes) -> None:
    wish = _read(body, _Restriction)
    _check_restricting(conn, asking, wish.patient)
    restricted.restrict(conn, wish.patient, by=asking.viewer.id, reason=wish.reason)


def _lift(conn: Any, asking: Asking, body: bytes) -> None:
    wish = _read(body, _Restriction)
    _check_restricting(conn, asking, wish.patient)
    restricted.lift(conn, wish.patient, by=asking.viewer.id, reason=wish.reason)


def _grants_of(conn: Any, asking: Asking, request: Request) -> dict[str, Any]:
    encounter = request.path_params["encounter"]
    target = _target(conn, asking, encounter)
    decision = asking.may(Action.SEE, target)
    _check(decision)
    at = moment(asking.at_us)
    facts = stay_facts(conn, [encounter], at, timedelta(0))[encounter]
    patients = [facts.patient] if facts.patient is not None else []
    asking.note(Action.SEE, decision, Seen("grants", [encounter], patients, restricted=target.restricted))
    return {
        "encounter": encounter,
        "may_grant": asking.may(Action.GRANT, target).is_allowed,
        "grants": [_shown(grant) for grant in grants.of_encounter(conn, encounter)],
    }


def _my_access(conn: Any, asking: Asking, request: Request) -> dict[str, Any]:
    """What ties who asks to wards and stays now: of stays their keys, nothing of who lies there."""
    _check_unlocked(asking)
    viewer, at = asking.viewer, moment(asking.at_us)
    return {
        "staff": viewer.id,
        "name": viewer.name,
        "role": viewer.role,
        "licence": viewer.licence,
        "wards": [_ward(ward) for ward in sorted(viewer.wards)],
        "pool": [_ward(ward) for ward in grants.pool_of(conn, viewer.id)],
        "shifts": [
            _ward(shift.ward) | {"since_ms": milliseconds(shift.since), "until_ms": milliseconds(shift.until)}
            for shift in grants.shifts_of(conn, viewer.id, at)
        ],
        "grants": [_shown(grant) for grant in grants.of_staff(conn, viewer.id, at)],
        "trainees": [
            {"staff": trainee.staff, "name": trainee.name, "until_ms": milliseconds(trainee.until)}
            for trainee in grants.trainees_of(conn, viewer.id, at)
        ],
    }


def _ward(ward: str) -> dict[str, Any]:
    return {"ward": ward, "name": ward_name(ward)}


def _shown(grant: GrantRow) -> dict[str, Any]:
    return {
        "grant": str(grant.grant), "relation": grant.relation, "staff": grant.staff, "name": grant.name,
        "encounter": grant.encounter, "by": grant.by, "reason": grant.reason, "since_ms": milliseconds(grant.since),
        "until_ms": milliseconds(grant.until), "ended_ms": milliseconds_or_none(grant.ended_at),
    }  # fmt: skip


def _target(conn: Any, asking: Asking, encounter: str) -> Target:
    has_nul = "\0" in encounter  # no text of PostgreSQL has one
    target = None if has_nul else stay_target(conn, DataClass.IDENTITY, encounter, asking.at_us)
    if target is None:
        raise _NoAccessError(404)
    return target


def _asked(conn: Any, asking: Asking, action: Action, encounter: str) -> Decision:
    return asking.may(action, _target(conn, asking, encounter))


def _check(decision: Decision, *, asked_too: bool = False) -> None:
    if not (decision.is_allowed or (asked_too and decision.answer is Answer.ASK_REASON)):
        raise _NoAccessError(403)


def _check_restricting(conn: Any, asking: Asking, patient: str) -> None:
    """By one of the patient's stays; that the record is restricted already asks for the reason that is given here."""
    targets = patient_targets(conn, DataClass.IDENTITY, patient, asking.at_us)
    if not targets:
        raise _NoAccessError(404)
    answers = {asking.may(Action.RESTRICT, target).answer for target in targets.values()}
    if not answers & {Answer.ALLOWED, Answer.ASK_REASON}:
        raise _NoAccessError(403)


def _check_unlocked(asking: Asking) -> None:
    if asking.viewer.locked:
        raise _NoAccessError(403)


def _span(hours: float) -> timedelta:
    """Longer than any limit where it is no span at all."""
    return timedelta(hours=min(max(hours, -1.0), 10_000.0))


class _UnreadableError(Exception):
    """The body is not what the act takes."""


_Wish = TypeVar("_Wish", bound=msgspec.Struct)


def _read(body: bytes, kind: type[_Wish]) -> _Wish:
    """Of what PostgreSQL can keep: its text has no NUL."""
    try:
        wish = msgspec.json.decode(body, type=kind)
    except msgspec.MsgspecError:
        raise _UnreadableError from None
    if any("\0" in value for value in msgspec.structs.astuple(wish) if isinstance(value, str)):
        raise _UnreadableError
    return wish


def _acting(clerk_conninfo: str, sessions: Sessions, deed: Deed) -> Endpoint:
    """As gateway/acting.py: 204, or `refused` says in a word why not."""

    def do(asking: Asking, body: bytes) -> Response:
        try:
            with open_store(clerk_conninfo) as conn:
                deed(conn, asking, body)
        except _UnreadableError:
            return _refused("unreadable", 400)
        except _NoAccessError as error:
            return Response(REFUSED_BODY, error.status, media_type=_JSON, headers=HEADERS)
        except GrantRefusedError as error:
            return _refused(error.refusal, _STATUS.get(error.refusal, 400))
        except StoreError as error:
            return _refused("no_right", 403) if is_forbidden(error) else _refused("store_away", 503)
        return Response(status_code=204, headers=HEADERS)

    async def answer(request: Request) -> Response:
        if not is_own(request):
            return _refused("not_own", 403)
        body = b""
        async for part in request.stream():
            body += part
            if len(body) > BODY_BYTES_MAX:
                return _refused(Refusal.REASON_TOO_LONG, 413)
        done = await run_in_threadpool(do, asking_of(request), body)
        sessions.forget(request.state.signed_in.row.session)
        return done

    return answer


def _answering(clerk_conninfo: str, question: Question) -> Endpoint:
    def find(request: Request) -> Response:
        try:
            with open_store(clerk_conninfo) as conn:
                found = question(conn, asking_of(request), request)
        except _NoAccessError as error:
            return Response(REFUSED_BODY, error.status, media_type=_JSON, headers=HEADERS)
        except StoreError:
            return Response(b"{}", 503, media_type=_JSON, headers=HEADERS)
        return Response(msgspec.json.encode(found), media_type=_JSON, headers=HEADERS)

    async def answer(request: Request) -> Response:
        return await run_in_threadpool(find, request)

    return answer


def _refused(word: StrEnum | str, status: int) -> Response:
    return Response(msgspec.json.encode({"refused": word}), status, media_type=_JSON, headers=HEADERS)
