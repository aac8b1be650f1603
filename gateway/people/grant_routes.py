"""Over HTTP: break the glass, give and end grants, declare a ward, reopen a chart, restrict a record; what I may see.

An act is done (204) or refused in a word. Of what is denied and of what is not there only the status is told.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from clinical.ward_names import UnknownWardError, find_ward, ward_name
from emr_store import archive, custody, grants, restricted, second_person
from emr_store.acts import Author
from emr_store.connect import StoreError, open_store
from emr_store.grants import GrantRefusedError, GrantRow, Refusal
from emr_store.instants import moment
from emr_store.patients import find_encounter, find_patient, patient_of
from emr_store.second_person import SecondPersonError
from gateway.access.decision import Decision
from gateway.access.targets import patient_targets, stay_target
from gateway.access.viewer import Target
from gateway.access.words import Action, Answer, DataClass, Relation
from gateway.answers import as_json
from gateway.asking import Asking, asking_of
from gateway.looks import Seen
from gateway.pages.grants import grant_shown, part_shown, record_shown, request_shown, visit_shown
from gateway.pages.moments import milliseconds, milliseconds_or_none
from gateway.people.sessions import Sessions
from gateway.permission import AccessRefusedError, glass_until_ms, note_stay, require
from gateway.posting import OF_A_REASON, Endpoint, RefusedError, StoreDeed, Wish, by_clerk, posting
from gateway.posting import Deed as Act
from schemas.errors import VitalwireError

_MOMENT_MS_MAX = 253_370_764_800_000  # the year 9999
Deed = Callable[[Any, Asking, Wish], None]  # with a connection; raises what `_refusing` knows, and RefusedError
Question = Callable[[Any, Asking, Request], dict[str, Any]]


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


class _Reopening(msgspec.Struct, forbid_unknown_fields=True):
    encounter: str
    hours: float
    reason: str


class _Restriction(msgspec.Struct, forbid_unknown_fields=True):
    patient: str
    reason: str


class _Answer(msgspec.Struct, forbid_unknown_fields=True):
    """To what waits for a second person; `why` may be empty."""

    request: UUID
    why: str = ""


def grant_routes(clerk_conninfo: str, sessions: Sessions) -> list[Route]:
    """`sessions`: whoever changes what he may see sees it at once."""

    def post(path: str, deed: Deed[Wish], wish: type[Wish]) -> Route:
        act = _changing_sight(sessions, by_clerk(clerk_conninfo, _refusing(deed)))
        return Route(path, posting(act, wish, limit=OF_A_REASON), methods=["POST"])

    return [
        post("/break-glass", _break_glass, _Glass),
        post("/grant", _give, _Given),
        post("/grant-end", _end, _GrantEnd),
        post("/ward", _declare_ward, _Ward),
        post("/reopen", _reopen, _Reopening),
        post("/restrict", _restrict, _Restriction),
        post("/restrict-end", _lift, _Restriction),
        post("/second-person/agree", _agree, _Answer),
        post("/second-person/decline", _decline, _Answer),
        Route("/grants-of/{encounter:path}", _answering(clerk_conninfo, _grants_of)),
        Route("/custody-copies/{encounter:path}", _answering(clerk_conninfo, _custody_copies)),
        Route("/restricted-records", _answering(clerk_conninfo, _restricted_records)),
        Route("/second-person", _answering(clerk_conninfo, _second_person)),
        Route("/my-access", _answering(clerk_conninfo, _my_access)),
    ]


def _break_glass(conn: Any, asking: Asking, wish: _Glass) -> None:
    # Asked for a reason is who gives one here.
    _check(_asked(conn, asking, Action.BREAK_GLASS, wish.encounter), asked_too=True)
    until = moment(asking.at_us) + _span(wish.hours)
    grants.break_glass(conn, asking.viewer.id, wish.encounter, until=until, reason=wish.reason)


def _give(conn: Any, asking: Asking, wish: _Given) -> None:
    _check(_asked(conn, asking, Action.GRANT, wish.encounter))
    if not 0 < wish.until_ms < _MOMENT_MS_MAX:
        raise GrantRefusedError(Refusal.ENDS_TOO_LATE if wish.until_ms > 0 else Refusal.ENDS_TOO_EARLY)
    grants.give(
        conn, wish.relation, wish.staff, wish.encounter, until=moment(wish.until_ms * 1000), by=asking.viewer.id,
        reason=wish.reason,
    )  # fmt: skip


def _end(conn: Any, asking: Asking, wish: _GrantEnd) -> None:
    """By who has it, who gave it, or who might give one like it."""
    found = grants.find(conn, wish.grant)
    if found is None:
        raise RefusedError("no_access", 404)
    decision = _asked(conn, asking, Action.GRANT, found.encounter)
    is_own_grant = asking.viewer.id in (found.staff, found.by) and not asking.viewer.locked
    if not is_own_grant:
        _check(decision)
    grants.end(conn, wish.grant, by=asking.viewer.id, reason=wish.reason)


def _declare_ward(conn: Any, asking: Asking, wish: _Ward) -> None:
    """Of no stay: within one's pool it is one's own word."""
    _check_unlocked(asking)
    try:
        ward = find_ward(wish.ward, grants.pool_of(conn, asking.viewer.id))
    except UnknownWardError:
        raise GrantRefusedError(Refusal.NOT_IN_POOL) from None
    grants.declare_ward(conn, asking.viewer.id, ward, until=moment(asking.at_us) + _span(wish.hours))


def _reopen(conn: Any, asking: Asking, wish: _Reopening) -> None:
    """The chart of an archived stay; of one that is not archived yet, so that it is not closed meanwhile."""
    _check(asking.may(Action.REOPEN, _target(conn, asking, wish.encounter, DataClass.CHART)))
    author = Author(f"staff:{asking.viewer.id}", wish.reason)
    archive.reopen(conn, wish.encounter, moment(asking.at_us) + _span(wish.hours), author)


def _restrict(conn: Any, asking: Asking, wish: _Restriction) -> None:
    patient = _patient_of(conn, wish.patient)
    _check_restricting(conn, asking, patient)
    restricted.restrict(conn, patient, by=asking.viewer.id, reason=wish.reason)


def _lift(conn: Any, asking: Asking, wish: _Restriction) -> None:
    patient = _patient_of(conn, wish.patient)
    _check_restricting(conn, asking, patient)
    restricted.lift(conn, patient, by=asking.viewer.id, reason=wish.reason)


def _agree(conn: Any, asking: Asking, wish: _Answer) -> None:
    request = second_person.request_of(conn, wish.request)
    if request is None:
        raise RefusedError("no_access", 404)
    if request.kind not in _answerable(asking):
        raise RefusedError("no_access")
    second_person.agree(conn, wish.request, _author(asking, wish.why))


def _decline(conn: Any, asking: Asking, wish: _Answer) -> None:
    """By who might agree; who asked takes it back."""
    request = second_person.request_of(conn, wish.request)
    if request is None:
        raise RefusedError("no_access", 404)
    author = _author(asking, wish.why)
    is_own_request = request.by == author.by and not asking.viewer.locked
    if not is_own_request and request.kind not in _answerable(asking):
        raise RefusedError("no_access")
    second_person.decline(conn, wish.request, author)


def _author(asking: Asking, why: str) -> Author:
    reason = why.strip()
    if len(reason) > grants.REASON_CHARS_MAX:
        raise GrantRefusedError(Refusal.REASON_TOO_LONG)
    return Author(f"staff:{asking.viewer.id}", reason)


def _answerable(asking: Asking) -> frozenset[str]:
    """The kinds of request to which this viewer may be the second person: those of his own work."""
    kinds: set[str] = set()
    if asking.may(Action.MANAGE, Target(DataClass.PEOPLE)).is_allowed:
        kinds |= {second_person.Kind.STAFF_FILE, second_person.Kind.ACCESS_TABLE}
    if asking.sight(Action.SEAL_COPY, DataClass.CHART).everything:
        kinds.add(second_person.Kind.CUSTODY_COPY)
    if asking.sight(Action.EXPORT, DataClass.CHART).everything:
        kinds.add(second_person.Kind.BULK_EXPORT)
    return frozenset(kinds)


def _may_restrict(asking: Asking) -> bool:
    return asking.sight(Action.RESTRICT, DataClass.IDENTITY).everything


def _second_person(conn: Any, asking: Asking, request: Request) -> dict[str, Any]:
    """What waits for somebody like who asks, and what he asked himself."""
    _check_unlocked(asking)
    kinds, own = _answerable(asking), f"staff:{asking.viewer.id}"
    found = [each for each in second_person.asked(conn) if each.kind in kinds or each.by == own]
    return {
        "may_answer": bool(kinds),
        "requests": [request_shown(each, own=own, may_answer=each.kind in kinds) for each in found],
    }


def _restricted_records(conn: Any, asking: Asking, request: Request) -> dict[str, Any]:
    if not _may_restrict(asking):
        raise RefusedError("no_access")
    records = restricted.restricted_records(conn)
    seen = Seen("restricted", patients=[record.patient for record in records], stays=len(records))
    asking.note(Action.SEE, Decision(Answer.ALLOWED, Relation.NONE), seen)
    return {"records": [record_shown(record) for record in records]}


def _custody_copies(conn: Any, asking: Asking, request: Request) -> dict[str, Any]:
    """Their lists alone: what is in a copy is on media of its own."""
    target = _target(conn, asking, _stay_of(conn, request), DataClass.CHART)
    decision = require(asking, Action.SEAL_COPY, target)
    note_stay(conn, asking, Action.SEE, decision, "custody", target)
    return {"parts": [part_shown(part) for part in custody.parts(conn, encounter=target.encounter)]}


def _grants_of(conn: Any, asking: Asking, request: Request) -> dict[str, Any]:
    encounter = _stay_of(conn, request)
    target = _target(conn, asking, encounter)
    decision = require(asking, Action.SEE, target)
    note_stay(conn, asking, Action.SEE, decision, "grants", target)
    may_grant = asking.may(Action.GRANT, target).is_allowed
    of_chart = replace(target, data_class=DataClass.CHART)
    copying = asking.may(Action.SEAL_COPY, of_chart)
    reopened = archive.reopened_until(conn, encounter, moment(asking.at_us))
    return {
        "now_ms": asking.at_us // 1000, "encounter": encounter, "visit": visit_shown(encounter),
        "patient": patient_of(conn, encounter), "restricted": target.restricted,
        "glass_until": glass_until_ms(asking, [encounter]),
        "may_grant": may_grant, "may_see_copies": copying.answer is not Answer.DENIED,
        "archived": target.archived, "may_reopen": asking.may(Action.REOPEN, of_chart).is_allowed,
        "reopened_until_ms": milliseconds_or_none(reopened),
        "grants": [_shown(asking, grant, may_grant=may_grant) for grant in grants.of_encounter(conn, encounter)],
    }  # fmt: skip


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
        "grants": [_shown(asking, grant, may_grant=False) for grant in grants.of_staff(conn, viewer.id, at)],
        "trainees": [
            {"staff": trainee.staff, "name": trainee.name, "until_ms": milliseconds(trainee.until)}
            for trainee in grants.trainees_of(conn, viewer.id, at)
        ],
        "may_restrict": _may_restrict(asking),
    }


def _ward(ward: str) -> dict[str, Any]:
    return {"ward": ward, "name": ward_name(ward)}


def _shown(asking: Asking, grant: GrantRow, *, may_grant: bool) -> dict[str, Any]:
    is_own = asking.viewer.id in (grant.staff, grant.by)
    return grant_shown(grant, moment(asking.at_us), may_end=is_own or may_grant)


def _stay_of(conn: Any, request: Request) -> str:
    """By the key or the visit's number in the address."""
    text = request.path_params["encounter"]
    try:
        return find_encounter(conn, _text(text))
    except VitalwireError:
        raise RefusedError("no_access", 404) from None


def _patient_of(conn: Any, text: str) -> str:
    """By the key or the number."""
    try:
        return find_patient(conn, text)
    except VitalwireError:
        raise RefusedError("no_access", 404) from None


def _text(text: str) -> str:
    if "\0" in text:  # no text of PostgreSQL has one
        raise RefusedError("no_access", 404)
    return text


def _target(conn: Any, asking: Asking, encounter: str, data_class: DataClass = DataClass.IDENTITY) -> Target:
    target = stay_target(conn, data_class, _text(encounter), asking.at_us)
    if target is None:
        raise RefusedError("no_access", 404)
    return target


def _asked(conn: Any, asking: Asking, action: Action, encounter: str) -> Decision:
    return asking.may(action, _target(conn, asking, encounter))


def _check(decision: Decision, *, asked_too: bool = False) -> None:
    if not (decision.is_allowed or (asked_too and decision.answer is Answer.ASK_REASON)):
        raise RefusedError("no_access")


def _check_restricting(conn: Any, asking: Asking, patient: str) -> None:
    """By one of the patient's stays; that the record is restricted already asks for the reason that is given here."""
    targets = patient_targets(conn, DataClass.IDENTITY, patient, asking.at_us)
    if not targets:
        raise RefusedError("no_access", 404)
    answers = {asking.may(Action.RESTRICT, target).answer for target in targets.values()}
    if not answers & {Answer.ALLOWED, Answer.ASK_REASON}:
        raise RefusedError("no_access")


def _check_unlocked(asking: Asking) -> None:
    if asking.viewer.locked:
        raise RefusedError("no_access")


def _span(hours: float) -> timedelta:
    """Longer than any limit where it is no span at all."""
    return timedelta(hours=min(max(hours, -1.0), 10_000.0))


def _refusing(deed: Deed[Wish]) -> StoreDeed[Wish]:
    """The store's refusals as those of all acts."""

    def do(conn: Any, request: Request, wish: Wish) -> None:
        try:
            deed(conn, asking_of(request), wish)
        except GrantRefusedError as error:
            raise RefusedError(error.refusal) from None
        except SecondPersonError as error:
            raise RefusedError(error.refusal or "unreadable", 409) from None

    return do


def _changing_sight(sessions: Sessions, act: Act[Wish]) -> Act[Wish]:
    """Who did it sees at once what he may see now."""

    def do(request: Request, wish: Wish) -> Response:
        try:
            return act(request, wish)
        finally:
            sessions.forget(request.state.signed_in.row.session)

    return do


def _answering(clerk_conninfo: str, question: Question) -> Endpoint:
    def find(request: Request) -> Response:
        try:
            with open_store(clerk_conninfo) as conn:
                found = question(conn, asking_of(request), request)
        except RefusedError as error:
            return error.response
        except AccessRefusedError as refused:
            return refused.response
        except StoreError:
            return as_json({}, 503)
        return as_json(found)

    async def answer(request: Request) -> Response:
        return await run_in_threadpool(find, request)

    return answer
