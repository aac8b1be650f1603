"""The worklist: what only a person can decide, in words, with the facts behind it; and what a person says of it."""

from __future__ import annotations

import time
from enum import StrEnum
from typing import Any
from uuid import UUID

import msgspec

from clinical.person_names import masked_name, masked_number
from clinical.worklist import ItemKind, words
from emr_store import acts, evidence_words, patient_acts, registry
from emr_store.patient_acts import About, Question
from emr_store.registry import DeviceRow
from gateway.access import Viewer, may_resolve, may_see_worklist
from gateway.pages.beds import bed_of
from gateway.pages.moments import milliseconds
from schemas.errors import VitalwireError

SHOWN_MAX = 200
WHY_CHARS_MAX = 500
ADT_IS_RIGHT = "ADT is right until the number on the monitor changes"
Answer = dict[str, Any] | None  # None: not found


class Refusal(StrEnum):
    """Why nothing was done; the page has the words."""

    NOT_ALLOWED = "not_allowed"
    UNREADABLE = "unreadable"
    NO_REASON = "no_reason"
    REASON_TOO_LONG = "reason_too_long"
    NOT_OPEN = "not_open"  # it ceased, or somebody was faster
    NO_MONITOR = "no_monitor"  # "ADT is right" of a question that is about none


class Wish(msgspec.Struct, forbid_unknown_fields=True):
    """What a page sends to resolve an item."""

    why: str = ""
    adt_is_right: bool = False


def items(conn: Any, viewer: Viewer) -> Answer:
    """What is asked now, the newest first; raises StoreError."""
    if not may_see_worklist(viewer):
        return None
    asked = sorted(patient_acts.questions(conn), key=lambda q: (q.since, q.item), reverse=True)
    shown = asked[:SHOWN_MAX]
    facts = evidence_words.facts_behind(conn, [bytes(fact) for q in shown for fact in q.facts])
    behind = {fact.fact: fact for fact in facts}
    about = patient_acts.about(conn, {q.subject for q in shown})
    devices = {str(device.uuid): device for device in registry.devices(conn) if not device.foreign_edge}
    return {
        "now": int(time.time() * 1000), "open": len(asked),
        "items": [{
            "item": q.item, "kind": q.kind, "en": words(q.as_item, "en"), "zh": words(q.as_item, "zh"),
            "since": milliseconds(q.since), "about": _about(q, about.get(q.subject), devices.get(q.subject)),
            "monitor": q.kind == ItemKind.BED_AND_MONITOR_DISAGREE,
            "facts": [_fact(behind[bytes(fact).hex()]) for fact in q.facts],
        } for q in shown],
    }  # fmt: skip


def resolve(conn: Any, viewer: Viewer, item: int, body: bytes) -> Refusal | None:
    """Do as a page wishes; None: done. Raises StoreError, also where the login lacks the right."""
    if not may_resolve(viewer):
        return Refusal.NOT_ALLOWED
    try:
        wish = msgspec.json.decode(body, type=Wish)
    except (msgspec.MsgspecError, ValueError):
        return Refusal.UNREADABLE
    why = wish.why.strip() or (ADT_IS_RIGHT if wish.adt_is_right else "")
    if not why:
        return Refusal.NO_REASON
    if len(why) > WHY_CHARS_MAX:
        return Refusal.REASON_TOO_LONG
    try:
        asked = patient_acts.question(conn, item)
        if wish.adt_is_right and asked.kind != ItemKind.BED_AND_MONITOR_DISAGREE:
            return Refusal.NO_MONITOR
        author = acts.page_author(why)
        patient_acts.resolve(conn, item, adt_is_right=wish.adt_is_right, author=author)
    except VitalwireError:
        return Refusal.NOT_OPEN
    return None


def _about(question: Question, person: About | None, device: DeviceRow | None) -> dict[str, Any]:
    """`bed` is a label, `device` a name; a patient in part; else the subject as it is."""
    if device is not None:
        bed = bed_of(UUID(question.subject), device)
        return {"bed": bed.label if bed.assigned else "", "device": device.name or device.claim or question.subject}
    if person is not None:
        name = masked_name(family=person.family, given=person.given, name=person.name)
        return {"name": name, "number": masked_number(person.patient or ""), "subject": question.subject}
    return {"subject": question.subject}


def _fact(fact: evidence_words.Behind) -> dict[str, Any]:
    return {"at": fact.at and milliseconds(fact.at), "en": fact.words, "zh": fact.words_zh}
