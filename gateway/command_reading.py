"""What commands about patients show, as they send and take it: read of the store, whoever asks.

Who may see it is decided before, by gateway/command_routes.py; an operator's command reads it with a login of its own.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec

from clinical.chart import Entry
from clinical.chart_policy import Policies
from clinical.chart_versions import Proposal
from clinical.person_names import masked_name
from clinical.question_words import subject_words
from emr_store import (
    chart_entries,
    chart_gaps,
    chart_proposals,
    evidence_words,
    latest,
    patient_acts,
    patients,
    registry,
)
from emr_store.bed_names import bed_names
from emr_store.chart_gaps import SlotGap
from emr_store.evidence_words import Behind
from emr_store.instants import us_of
from emr_store.latest import LatestValue
from emr_store.patient_acts import Question
from emr_store.patients import Believed, EncounterRow, InBed, Stay

# Where commands ask (gateway/command_routes.py).
BEDS, PATIENT, WHOSE = "/commands/beds", "/commands/patient", "/commands/whose"
CHART, ENTRY, GAPS = "/commands/chart", "/commands/chart-entry", "/commands/chart-gaps"
QUESTIONS, QUESTION = "/commands/questions", "/commands/question"
LATEST = "/commands/latest"


class BedsShown(msgspec.Struct, frozen=True, kw_only=True):
    """Who is in which bed; `names`: what the site calls its beds, by their keys, as in the others."""

    beds: list[InBed]
    names: dict[str, str]


class PatientShown(msgspec.Struct, frozen=True, kw_only=True):
    """`person`: family, given, name, birth date, sex; None: not known. `words`: by fact, in hexadecimal."""

    patient: str
    person: tuple[str, str, str, str, str] | None
    encounters: list[EncounterRow]
    stays: list[Stay]
    words: dict[str, str]
    names: dict[str, str]


class WhoseShown(msgspec.Struct, frozen=True, kw_only=True):
    """Whose values they are, the facts behind it, and the name; None: nothing is known of the device."""

    found: Believed | None
    behind: list[Behind]
    person: str


class ChartShown(msgspec.Struct, frozen=True, kw_only=True):
    """Entries of an encounter, and what is proposed beside them, by entry."""

    encounter: str
    entries: list[Entry]
    proposals: dict[str, Proposal]


class GapsShown(msgspec.Struct, frozen=True, kw_only=True):
    """Empty slots of an encounter."""

    encounter: str
    slots: list[SlotGap]


class QuestionsShown(msgspec.Struct, frozen=True, kw_only=True):
    """Questions, and what each subject is called; `behind`: the facts, where one question was asked for."""

    questions: list[Question]
    about: dict[str, str]
    behind: list[Behind]
    names: dict[str, str]


class LatestShown(msgspec.Struct, frozen=True, kw_only=True):
    """The newest value of each channel, and what channels are called: (device, code, number, label)."""

    values: list[LatestValue]
    labels: list[tuple[UUID, int, int, str]]


def read_latest(conn: Any) -> LatestShown:
    """Of all devices."""
    labels = [(*channel, label) for channel, label in latest.channel_labels(conn).items()]
    return LatestShown(values=latest.latest(conn), labels=labels)


def read_beds(conn: Any, at: datetime | None, believed_at: datetime | None) -> BedsShown:
    """At a moment, or (None) now; as was believed at one, or (None) is now."""
    return BedsShown(beds=patients.beds_now(conn, at, believed_at), names=bed_names(conn))


def read_patient(conn: Any, patient: str, believed_at: datetime | None, only: Collection[str] | None) -> PatientShown:
    """Of this key; `only`: of these stays, None: of all."""
    encounters = [
        each for each in patients.encounters_of(conn, patient, believed_at) if only is None or each.encounter in only
    ]
    stays = [
        each for each in patients.patient_stays(conn, patient, believed_at) if only is None or each.encounter in only
    ]
    names = bed_names(conn)
    facts = [bytes.fromhex(fact) for stay in stays for fact in (stay.from_fact, stay.until_fact) if fact]
    return PatientShown(
        patient=patient,
        person=patients.name_of(conn, patient),
        encounters=encounters,
        stays=stays,
        words={behind.fact: behind.words for behind in evidence_words.facts_behind(conn, facts, names)},
        names=names,
    )


def read_whose(conn: Any, device: UUID, at: datetime, believed_at: datetime | None) -> WhoseShown:
    """What this device measures at that moment."""
    found = patients.whose_at(conn, device, at, believed_at)
    behind = evidence_words.facts_behind(conn, found.whose.facts, bed_names(conn)) if found else []
    return WhoseShown(found=found, behind=behind, person=_name(conn, found))


def _name(conn: Any, found: Believed | None) -> str:
    named = patients.name_of(conn, found.whose.patient) if found and found.whose.patient else None
    if named is None:
        return ""
    family, given, name, _, _ = named
    return name or f"{family} {given}".strip()


def read_chart(conn: Any, encounter: str, since: datetime, until: datetime) -> ChartShown:
    """What stands in [since, until]."""
    entries = chart_entries.flowsheet(conn, encounter, since, until + timedelta(microseconds=1))
    return chart_shown(conn, encounter, entries)


def chart_shown(conn: Any, encounter: str, entries: list[Entry]) -> ChartShown:
    """Of these entries."""
    proposals = chart_proposals.proposals_of(conn, [entry.entry for entry in entries])
    return ChartShown(encounter=encounter, entries=entries, proposals=dict(proposals))


def read_gaps(
    conn: Any, policies: Policies, encounter: str, since: datetime, until: datetime, items: Collection[str]
) -> GapsShown:
    """Of these metrics; none: of all that a policy asks for."""
    now_us = us_of(datetime.now(UTC))
    slots = chart_gaps.gaps(conn, policies, encounter, since, until, now_us, items)
    return GapsShown(encounter=encounter, slots=slots)


def questions_shown(conn: Any, questions: list[Question], language: str, *, with_facts: bool) -> QuestionsShown:
    """In "en" or "zh"."""
    names = bed_names(conn)
    facts = [bytes(fact) for question in questions for fact in question.facts] if with_facts else []
    return QuestionsShown(
        questions=questions,
        about=subjects(conn, [question.subject for question in questions], names, language),
        behind=evidence_words.facts_behind(conn, facts, names),
        names=names,
    )


def subjects(conn: Any, keys: Sequence[str], names: Mapping[str, str], language: str) -> dict[str, str]:
    """What each is called: a device with its bed, a visit or a patient with the name in part, a bed."""
    devices = {str(device.uuid): device for device in registry.devices(conn) if not device.foreign_edge}
    people = patient_acts.about(conn, keys)
    called = {}
    for key in keys:
        words = subject_words(key, names)
        called[key] = words.zh if language == "zh" else words.en
        if key in devices:
            device = devices[key]
            called[key] = " ".join(part for part in (device.bed, device.name or device.claim, key[:8]) if part)
        elif key in people:
            person = people[key]
            name = masked_name(family=person.family, given=person.given, name=person.name)
            called[key] = " ".join(part for part in (called[key], name) if part)
    return called
