"""Deliveries to the hospital's other systems: what went where, what waits, what is parked and why; what people do."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Any, Literal

import msgspec

from clinical.delivery_words import reason_words
from clinical.person_names import masked_name, masked_number
from emr_store import deliver_acts, deliver_status, patient_acts
from emr_store.acts import Author
from emr_store.deliver_status import STATES, DeliveryRow, DestinationRow
from emr_store.patient_acts import About
from gateway.access.targets import stay_targets
from gateway.access.viewer import Target
from gateway.access.words import Action, Answer, DataClass
from gateway.asking import Asking
from gateway.looks import Seen
from gateway.pages.frame import Page
from gateway.pages.moments import milliseconds, milliseconds_or_none
from gateway.permission import require
from gateway.posting import RefusedError
from schemas.errors import VitalwireError

PAGE = Page("deliveries", "/deliveries")
SHOWN_MAX = 50
WHY_CHARS_MAX = 500
Answered = dict[str, Any] | None  # None: not found


class Refusal(StrEnum):
    """Why nothing was done; the page has the words."""

    NO_REASON = "no_reason"  # of skip
    REASON_TOO_LONG = "reason_too_long"
    CHANGED = "changed"  # it is not any more what the page showed


class Wish(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a page sends. `destination`: of pause and resume; `delivery`: of the others.

    `retry-anew`: its bytes are made from what is known now.
    """

    act: Literal["pause", "resume", "retry", "retry-anew", "skip"]
    destination: str = ""
    delivery: int = 0
    why: str = ""


def deliveries(conn: Any, asking: Asking, destination: str, state: str, before: int | None) -> Answered:
    """Every destination, and the newest messages in this state, of one destination or ("") of all.

    `before`: those with lower numbers, for the next page. Raises StoreError, AccessRefusedError.
    """
    require(asking, Action.SEE, Target(DataClass.DELIVERIES))
    if state not in STATES:
        return None
    found = deliver_status.deliveries(
        conn, destination=destination, states=[state], before=before, limit=SHOWN_MAX + 1
    )  # fmt: skip
    shown = found[:SHOWN_MAX]
    stays = {row.encounter for row in shown}
    about = _named(conn, asking, stays)
    charts = {
        encounter
        for encounter, target in stay_targets(conn, DataClass.CHART, stays, asking.at_us).items()
        if asking.may(Action.SEE, target).answer is not Answer.DENIED
    }
    return {
        "now": time.time_ns() // 1_000_000,
        "destinations": [_destination(row) for row in deliver_status.destinations(conn)],
        "deliveries": [_delivery(row, about.get(row.encounter), row.encounter in charts) for row in shown],
        "next": shown[-1].delivery if len(found) > SHOWN_MAX else None,
    }  # fmt: skip


def _named(conn: Any, asking: Asking, stays: set[str]) -> dict[str, About]:
    """Of those stays whose patient may be named to who asks."""
    allowed = {}
    for encounter, target in stay_targets(conn, DataClass.IDENTITY, stays, asking.at_us).items():
        decision = asking.may(Action.SEE, target)
        if decision.is_allowed:
            allowed[encounter] = decision
    if not allowed:
        return {}
    about = patient_acts.about(conn, allowed)
    patients = sorted({each.patient for each in about.values() if each.patient})
    asking.note(Action.SEE, next(iter(allowed.values())), Seen(PAGE.noun, sorted(allowed), patients))
    return about


def fates_of(entry: str, rows: Iterable[DeliveryRow]) -> list[dict[str, Any]]:
    """Where the versions of an entry went, by messages that say it: as its dialog is told."""
    return [{**_fate(row), "version": row.versions[row.entries.index(entry)]} for row in rows]


def act(conn: Any, asking: Asking, wish: Wish) -> None:
    """Do as a page wishes.

    Raises RefusedError, StoreError, also where the login lacks the right, and AccessRefusedError.
    """
    require(asking, Action.DELIVER, Target(DataClass.DELIVERIES))
    why = wish.why.strip()
    if wish.act == "skip" and not why:
        raise RefusedError(Refusal.NO_REASON)
    if len(why) > WHY_CHARS_MAX:
        raise RefusedError(Refusal.REASON_TOO_LONG)
    author = Author(f"staff:{asking.viewer.id}", why)
    try:
        if wish.act == "pause":
            deliver_acts.pause(conn, wish.destination, author)
        elif wish.act == "resume":
            deliver_acts.resume(conn, wish.destination, author)
        elif wish.act == "skip":
            deliver_acts.skip(conn, wish.delivery, author)
        else:
            deliver_acts.retry(conn, wish.delivery, author, anew=wish.act == "retry-anew")
    except VitalwireError:
        raise RefusedError(Refusal.CHANGED) from None


def _destination(row: DestinationRow) -> dict[str, Any]:
    """`waiting` counts versions that no message was made of yet among the messages that wait."""
    away = row.away_since is not None
    return {
        "name": row.name, "began": milliseconds(row.began_at), "paused": milliseconds_or_none(row.paused_at),
        "away": {"since": milliseconds_or_none(row.away_since), **_words(row.away_reason)} if away else None,
        "accepted": row.accepted, "last_accepted": milliseconds_or_none(row.last_accepted_at),
        "waiting": row.waiting + row.behind, "oldest": milliseconds_or_none(row.oldest_waiting),
        "parked": row.parked + row.parked_behind,
    }  # fmt: skip


def _delivery(row: DeliveryRow, person: About | None, is_chart_open: bool) -> dict[str, Any]:
    """Whose it is stands in part; `chart`: the key of the chart that it leads to, "" where it may not be read."""
    return {
        **_fate(row), "slot": milliseconds(row.slot), "recorded": milliseconds(row.recorded_at),
        "entries": len(row.entries), "attempts": row.attempts,
        "name": masked_name(family=person.family, given=person.given, name=person.name) if person else "",
        "number": masked_number(person.patient or "") if person else "",
        "chart": row.encounter if is_chart_open else "",
    }  # fmt: skip


def _fate(row: DeliveryRow) -> dict[str, Any]:
    """What became of a message; `next`: where it waits, when it is sent again at the earliest."""
    return {
        "delivery": row.delivery, "destination": row.destination, "state": row.state, "message": row.control_id,
        "settled": milliseconds_or_none(row.settled_at), "next": milliseconds_or_none(row.next_at),
        "behind": row.behind, "code": row.code, **_words(row.reason),
    }  # fmt: skip


def _words(reason: str) -> Mapping[str, str]:
    words = reason_words(reason)
    return {"en": words.en, "zh": words.zh}
