"""The worklist: what only a person can decide, in words, with the facts behind it; and what a person says of it."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Any
from uuid import UUID

import msgspec

from clinical.key_words import bed_words, visit_words
from clinical.person_names import masked_name, masked_number
from clinical.question_words import is_bed, question_words, subject_words
from clinical.wards import ward_of_bed
from clinical.worklist import ItemKind
from emr_store import evidence_words, patient_acts, registry
from emr_store.acts import Author
from emr_store.instants import moment
from emr_store.patient_acts import About, Question
from emr_store.question_places import question_places
from emr_store.registry import DeviceRow
from gateway.access.targets import stay_targets
from gateway.access.viewer import Target
from gateway.access.words import Action, DataClass
from gateway.asking import Asking
from gateway.looks import Seen
from gateway.pages.beds import bed_of
from gateway.pages.frame import Page
from gateway.pages.moments import milliseconds
from gateway.pages.person import fact_shown
from gateway.permission import AccessRefusedError, require_one_of
from gateway.posting import RefusedError
from schemas.errors import VitalwireError

PAGE = Page("worklist", "/worklist")
SHOWN_MAX = 200
WHY_CHARS_MAX = 500
ADT_IS_RIGHT = "ADT is right until the number on the monitor changes"
Answer = dict[str, Any] | None  # None: not found


class Refusal(StrEnum):
    """Why nothing was done; the page has the words."""

    NO_REASON = "no_reason"
    REASON_TOO_LONG = "reason_too_long"
    NOT_OPEN = "not_open"  # it ceased, or somebody was faster
    NO_MONITOR = "no_monitor"  # "ADT is right" of a question that is about none


class Wish(msgspec.Struct, forbid_unknown_fields=True):
    """What a page sends to resolve an item."""

    why: str = ""
    adt_is_right: bool = False


def items(conn: Any, asking: Asking, bed_names: Mapping[str, str]) -> Answer:
    """What is asked now of the stays and wards that may be seen, the newest first.

    `bed_names`: what the site calls its beds, by their keys. Raises StoreError, AccessRefusedError.
    """
    if not sees_any(asking):
        raise AccessRefusedError
    open_now = patient_acts.questions(conn)
    seen = seen_questions(conn, asking, open_now)
    asked = sorted((q for q in open_now if q.item in seen), key=lambda q: (q.since, q.item), reverse=True)
    shown = asked[:SHOWN_MAX]
    facts = evidence_words.facts_behind(conn, [bytes(fact) for q in shown for fact in q.facts], bed_names)
    behind = {fact.fact: fact for fact in facts}
    about = patient_acts.about(conn, {q.subject for q in shown})
    subjects = question_places(conn, {q.subject for q in shown}, moment(asking.at_us))
    encounters = sorted({stay for place in subjects.values() for stay in place.encounters})
    if encounters:
        decision = next(asking.may(Action.SEE, target) for target in seen[shown[0].item])
        patients = sorted({each.patient for each in about.values() if each.patient})
        asking.note(Action.SEE, decision, Seen(PAGE.noun, encounters, patients))
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


def sees_any(asking: Asking) -> bool:
    """Whether a worklist is this viewer's business at all."""
    sight = asking.sight(Action.SEE, DataClass.WORKLIST)
    is_open = sight.everything or sight.wards or sight.encounters
    return bool(is_open) or asking.may(Action.SEE, Target(DataClass.WORKLIST)).is_allowed


def open_count(conn: Any, asking: Asking) -> int | None:
    """How many are asked that may be seen; None: none of it is this viewer's business. Raises StoreError."""
    return len(seen_questions(conn, asking, patient_acts.questions(conn))) if sees_any(asking) else None


def targets_of(conn: Any, asked: Iterable[Question], at_us: int) -> dict[int, list[Target]]:
    """By number, what each question is about: who may see one of them may see it. Raises StoreError."""
    questions = list(asked)
    places = question_places(conn, {question.subject for question in questions}, moment(at_us))
    encounters = {encounter for place in places.values() for encounter in place.encounters}
    stays = stay_targets(conn, DataClass.WORKLIST, encounters, at_us)
    found: dict[int, list[Target]] = {}
    for question in questions:
        place = places.get(question.subject)
        of_stays = [stays[each] for each in place.encounters if each in stays] if place is not None else []
        ward = place.ward if place is not None else ""
        if is_bed(question.subject):
            ward = ward_of_bed(question.subject)
        of_ward = Target(DataClass.WORKLIST, wards=frozenset({ward} if ward else ()))
        found[question.item] = of_stays or [of_ward]
    return found


def seen_questions(conn: Any, asking: Asking, questions: Iterable[Question]) -> dict[int, list[Target]]:
    """Those that may be seen, by number, with the targets by which they may."""
    found = targets_of(conn, questions, asking.at_us)
    allowed = {
        item: [target for target in targets if asking.may(Action.SEE, target).is_allowed]
        for item, targets in found.items()
    }
    return {item: targets for item, targets in allowed.items() if targets}


def resolve(conn: Any, asking: Asking, item: int, wish: Wish) -> None:
    """Do as a page wishes.

    Raises RefusedError, StoreError, also where the login lacks the right, and AccessRefusedError.
    """
    why = wish.why.strip() or (ADT_IS_RIGHT if wish.adt_is_right else "")
    if not why:
        raise RefusedError(Refusal.NO_REASON)
    if len(why) > WHY_CHARS_MAX:
        raise RefusedError(Refusal.REASON_TOO_LONG)
    try:
        asked = patient_acts.question(conn, item)
        targets = targets_of(conn, [asked], asking.at_us)[item]
        require_one_of(asking, Action.RESOLVE, DataClass.WORKLIST, targets)
        if wish.adt_is_right and asked.kind != ItemKind.BED_AND_MONITOR_DISAGREE:
            raise RefusedError(Refusal.NO_MONITOR)
        author = Author(f"staff:{asking.viewer.id}", why)
        patient_acts.resolve(conn, item, adt_is_right=wish.adt_is_right, author=author)
    except VitalwireError:
        raise RefusedError(Refusal.NOT_OPEN) from None


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
