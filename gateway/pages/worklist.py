"""The worklist: what only a person can decide, in words, with the facts behind it; and what a person says of it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from enum import StrEnum
from typing import Any
from uuid import UUID

import msgspec

from clinical.key_words import bed_words, visit_words
from clinical.person_names import masked_name, masked_number
from clinical.question_words import is_bed, question_words, subject_words
from clinical.worklist import ItemKind
from emr_store import acts, evidence_words, patient_acts, registry
from emr_store.patient_acts import About, Question
from emr_store.registry import DeviceRow
from gateway.access.anyone import may_resolve, may_see_worklist
from gateway.access.viewer import Viewer
from gateway.pages.beds import bed_of
from gateway.pages.frame import Page
from gateway.pages.moments import milliseconds
from gateway.pages.person import fact_shown
from schemas.errors import VitalwireError

PAGE = Page("worklist", "/worklist")
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


def items(conn: Any, viewer: Viewer, bed_names: Mapping[str, str]) -> Answer:
    """What is asked now, the newest first; raises StoreError.

    `bed_names`: what the site calls its beds, by their keys.
    """
    if not may_see_worklist(viewer):
        return None
    asked = sorted(patient_acts.questions(conn), key=lambda q: (q.since, q.item), reverse=True)
    shown = asked[:SHOWN_MAX]
    facts = evidence_words.facts_behind(conn, [bytes(fact) for q in shown for fact in q.facts], bed_names)
    behind = {fact.fact: fact for fact in facts}
    about = patient_acts.about(conn, {q.subject for q in shown})
    devices = {str(device.uuid): device for device in registry.devices(conn) if not device.foreign_edge}
    return {
        "now": int(time.time() * 1000), "open": len(asked),
        "items": [{
            "item": q.item, "kind": q.kind, **_asked(q, bed_names),
            "since": milliseconds(q.since), "about": _about(q, about.get(q.subject), devices.get(q.subject), bed_names),
            "monitor": q.kind == ItemKind.BED_AND_MONITOR_DISAGREE,
            "facts": [fact_shown(behind[bytes(fact).hex()]) for fact in q.facts],
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


def _asked(question: Question, bed_names: Mapping[str, str]) -> dict[str, str]:
    words = question_words(question.as_item, bed_names)
    return {"en": words.en, "zh": words.zh}


def _about(
    question: Question, person: About | None, device: DeviceRow | None, bed_names: Mapping[str, str]
) -> dict[str, Any]:
    """`bed` is what a bed is called, `device` a name; a patient in part, with the visit in words; else the subject."""
    subject = question.subject
    if device is not None:
        bed = bed_of(UUID(subject), device)
        return {"bed": bed.label if bed.assigned else "", "device": device.name or device.claim or subject}
    if person is not None:
        name = masked_name(family=person.family, given=person.given, name=person.name)
        number = masked_number(person.patient or "")
        if subject == person.patient:
            return {"name": name, "number": number, "subject": subject}
        visit = visit_words(subject)
        return {"name": name, "number": number, "subject": subject, "en": visit.en, "zh": visit.zh}
    if is_bed(subject):
        return {"bed": bed_words(subject, bed_names)}
    words = subject_words(subject, bed_names)
    return {"en": words.en, "zh": words.zh}
