"""The flowsheet: an encounter's entries by system and time, an entry with all that it said, why a slot is empty."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from functools import cache, lru_cache
from typing import Any
from uuid import UUID

import msgspec

from clinical.chart import Entry, EntryKey, EntrySummary, Gap, Origin, Status, Version, VersionSummary
from clinical.chart_items import ITEMS, Item, item_of
from clinical.chart_policy import Each, OnDemand, Policies, read_policies
from clinical.chart_systems import BY_HAND, in_order, system_of
from clinical.chart_versions import Proposal
from clinical.chart_words import GAPS, NOTHING_IN_IT, ON_DEMAND, evidence_words, rule_words
from clinical.key_words import bed_words, visit_number, visit_words
from clinical.worklist import Words
from emr_store import (
    chart_disputes,
    chart_entries,
    chart_gaps,
    chart_persons,
    chart_policies,
    chart_proposals,
    deliver_status,
    patient_history,
    patients,
    registry,
)
from emr_store.chart_persons import Acted
from emr_store.chart_windows import ward_during, wards_of
from emr_store.instants import moment, us_of
from gateway.access.targets import stay_target
from gateway.access.viewer import Target
from gateway.access.words import Action, DataClass
from gateway.asking import Asking
from gateway.display_digits import display_digits
from gateway.pages.deliveries import fates_of
from gateway.pages.frame import Page
from gateway.pages.moments import milliseconds_or_none
from gateway.pages.person import whole_person
from gateway.permission import glass_until_ms, note_stay, require
from schemas.errors import VitalwireError
from schemas.nomenclature import METRIC_BY_REFERENCE_ID, UNIT_BY_REFERENCE_ID

PAGE = Page("chart", "/chart/{key:path}")
STEPS_MIN = (5, 15, 30, 60)
HOURS = (12, 24)
MINUTE_US = 60_000_000
STAFF = "staff:"  # before the number of who acts
Answer = dict[str, Any] | None  # None: not found


def encounter_of(conn: Any, asking: Asking, key: str, action: Action = Action.SEE, page: str = "chart") -> str | None:
    """The encounter of this key or visit number, as `stay_of` finds it."""
    target = stay_of(conn, asking, key, action, page)
    return None if target is None else target.encounter


def stay_of(conn: Any, asking: Asking, key: str, action: Action = Action.SEE, page: str = "chart") -> Target | None:
    """The stay of this key or visit number, whose chart may be seen, or printed: the look is noted.

    None: there is none. Raises StoreError, AccessRefusedError.
    """
    try:
        encounter = patients.find_encounter(conn, key)
    except VitalwireError:
        return None
    target = stay_target(conn, DataClass.CHART, encounter, asking.at_us)
    if target is None:
        return None
    note_stay(conn, asking, action, require(asking, action, target), page, target)
    return target


# --- the sheet of a window -------------------------------------------------------------------------------------------


def flowsheet(
    conn: Any, asking: Asking, key: str, step_min: int, hours: int, until_ms: int, bed_names: Mapping[str, str]
) -> Answer:
    """What stands in columns of `step_min`, of the `hours` before `until_ms` (0: now); raises StoreError.

    A column has what is charted from its label on until the next: of each item what comes first, and how much more.
    """
    stay = stay_of(conn, asking, key)
    if stay is None or step_min not in STEPS_MIN or hours not in HOURS:
        return None
    encounter = stay.encounter
    step_us = step_min * MINUTE_US
    now_us = time.time_ns() // 1000
    last_us = (until_ms * 1000 or now_us) // step_us * step_us
    columns = [last_us - step_us * (count - 1 - n) for count in [hours * 60 // step_min] for n in range(count)]
    since, until = moment(columns[0]), moment(last_us + step_us)
    entries = chart_entries.summaries(conn, encounter, since, until)
    # What is not a person's word is computed anew: nothing is proposed beside it.
    of_people = [(entry.entry, entry.act_id) for entry in entries if entry.act_id is not None]
    proposals = chart_proposals.proposals_of(conn, [entry for entry, _ in of_people])
    disputed = chart_disputes.disputed_entries(conn, encounter)
    acted = chart_persons.persons(conn, {act_id for _, act_id in of_people})
    policies = noted_policies(conn)
    asked = _asked_items(conn, policies, encounter, columns[0], now_us)
    cells = _by_row(entries, columns[0], step_us, proposals, disputed, acted)
    drawn = [{**_row(item, item in asked), "cells": cells.get(item, {})} for item in in_order({*asked, *cells})]
    return {
        "now": now_us // 1000, "encounter": encounter, **_who(conn, encounter, bed_names),
        "step_min": step_min, "hours": hours, "columns": [at_us // 1000 for at_us in columns], "rows": drawn,
        "is_charted": policies is not None, "disputed": len(disputed),
        "archived": stay.archived, "glass_until": glass_until_ms(asking, [encounter]),
    }  # fmt: skip


def noted_policies(conn: Any) -> Policies | None:
    """By which the processors chart; None: they chart nothing."""
    text = chart_policies.noted_policies(conn)
    return _read_policies(text) if text else None


_read_policies = lru_cache(4)(read_policies)  # they change once in months


def is_on_demand(conn: Any, policies: Policies, encounter: str, item: str, at_us: int) -> bool:
    """Whether the policy of the patient's ward charts it only when a person takes it."""
    policy = policies.of(ward_during(wards_of(conn, [encounter])[encounter], at_us, at_us + 1), item)
    return policy is not None and isinstance(policy.when, OnDemand)


def _asked_items(conn: Any, policies: Policies | None, encounter: str, since_us: int, until_us: int) -> set[str]:
    """The metrics that the ward's policies ask for."""
    if policies is None:
        return set()
    ward = ward_during(wards_of(conn, [encounter])[encounter], since_us, until_us)
    return {policy.metric for policy in policies if policies.of(ward, policy.metric) is policy}


def _who(conn: Any, encounter: str, bed_names: Mapping[str, str]) -> dict[str, Any]:
    """Whose it is, in whole: this is the patient's own page."""
    header = patient_history.stay_header(conn, encounter)
    patient = header.patient if header is not None else None
    if header is None or patient is None:  # of whom its messages disagree, or there is no such stay any more
        patient = patients.find_patient(conn, encounter)
    bed = bed_words(header.bed, bed_names, header.bed_as_sent) if header is not None and header.bed else ""
    bed = " ".join(part for part in bed.split("^") if part)
    visit = visit_words(encounter)
    return {
        "patient": patient, **{of: text for of, text in whole_person(conn, patient).items() if of != "key"},
        "bed": bed, "visit": visit_number(encounter), "en": visit.en,
        "zh": visit.zh, "admitted": milliseconds_or_none(header.admitted_at) if header else None,
        "discharged": milliseconds_or_none(header.discharged_at) if header else None,
    }  # fmt: skip


def _row(item: str, is_asked: bool) -> dict[str, Any]:
    """What a row is called, in both languages; `asked`: a policy asks for it, so that an empty slot has a reason."""
    kind, metric, system = item_of(item), METRIC_BY_REFERENCE_ID.get(item), system_of(item)
    return {
        "item": item, "asked": is_asked, "short": metric.short if metric else "", "en": kind.en, "zh": kind.zh,
        "unit": unit_text(kind.unit), "by_hand": item in ITEMS,
        "system": {"key": system.key, "en": system.en, "zh": system.zh},
    }  # fmt: skip


def unit_text(ucum: str) -> str:
    """As people write a unit of UCUM."""
    return "" if ucum.startswith("{") else ucum.replace("Cel", "℃").replace("[", "").replace("]", "")


class Cell(msgspec.Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """What a page draws of an entry: a day has thousands, so that the page is sent no more than says something."""

    entry: str
    version: int
    at: int  # in milliseconds
    status: Status
    en: str
    zh: str
    also: list[str]  # ids of the other entries of the column
    key: str = ""  # of a choice
    hand: bool = False
    confirmed: bool = False
    by_time: bool = False
    by: str = ""
    pending: bool = False  # somebody without a licence stands behind it
    proposed: bool = False
    disputed: bool = False
    also_by_people: int = 0


def _by_row(
    entries: Iterable[EntrySummary],
    since_us: int,
    step_us: int,
    proposals: Mapping[str, Proposal],
    disputed: Collection[str],
    acted: Mapping[bytes, Acted],
) -> dict[str, dict[int, Cell]]:
    """The cells of each item by their column. What the charter alone wrote, most of a day, is drawn at once."""
    rows: dict[str, dict[int, EntrySummary]] = {}
    several: dict[tuple[str, int], list[EntrySummary]] = {}
    for entry in entries:
        column = (entry.at_us - since_us) // step_us
        row = rows.setdefault(entry.item, {})
        first = row.setdefault(column, entry)
        if first is not entry:
            several.setdefault((entry.item, column), [first]).append(entry)
    cells: dict[str, dict[int, Cell]] = {}
    for item, row in rows.items():
        cells[item] = {
            column: _charted_cell(entry, entry.value)
            if entry.act_id is None and entry.value is not None and entry.entry not in disputed
            else _cell([entry], proposals, disputed, acted)
            for column, entry in row.items()
        }
    for (item, column), there in several.items():
        cells[item][column] = _cell(there, proposals, disputed, acted)
    return cells


def _cell(
    there: Sequence[EntrySummary],
    proposals: Mapping[str, Proposal],
    disputed: Collection[str],
    acted: Mapping[bytes, Acted],
) -> Cell:
    """The first entry that stands, else the last that was entered in error."""
    entry = there[0]
    others: Sequence[EntrySummary] = ()
    if len(there) > 1:
        standing = [each for each in there if each.status is not Status.ENTERED_IN_ERROR]
        entry = standing[0] if standing else there[-1]
        others = [other for other in there if other is not entry]
    by_people = sum(other.act_id is not None for other in others) if others else 0
    person = acted.get(entry.act_id) if entry.act_id is not None else None
    en, zh = _words(entry.item, entry)
    return Cell(
        entry=entry.entry,
        version=entry.number,
        at=entry.at_us // 1000,
        status=entry.status,
        en=en,
        zh=zh,
        also=[other.entry for other in others] if others else [],
        key=entry.text,
        hand=entry.origin is Origin.HAND,
        confirmed=entry.confirmed,
        by_time=entry.by_time,
        by=person.name if person else "",
        pending=person is not None and person.pending,
        proposed=entry.entry in proposals,
        disputed=entry.entry in disputed,
        also_by_people=by_people,
    )


def _charted_cell(entry: EntrySummary, value: float) -> Cell:
    """Of an entry by itself that the charter wrote: most cells are one, and say little."""
    text = value_text(entry.item, value, entry.decimals)
    return Cell(
        entry=entry.entry,
        version=entry.number,
        at=entry.at_us // 1000,
        status=entry.status,
        en=text,
        zh=text,
        also=[],
        confirmed=entry.status is not Status.PRELIMINARY and entry.confirmed,
        by_time=entry.by_time,
    )


def shown(item: str, version: VersionSummary) -> dict[str, Any]:
    """A value with its metric's digits, a choice in both languages, words as they are."""
    en, zh = _words(item, version)
    return {"en": en, "zh": zh} if version.value is not None else {"en": en, "zh": zh, "key": version.text}


def _words(item: str, version: VersionSummary) -> tuple[str, str]:
    if version.value is not None:
        text = value_text(item, version.value, version.decimals)
        return text, text
    return (item_of(item).choices or {}).get(version.text, (version.text, version.text))


@lru_cache(10_000)  # a day says few numbers, many times each
def value_text(item: str, value: float, decimals: int) -> str:
    """As a bedside monitor shows it; what a monitor shows as sent, and what is no metric, with its own digits."""
    digits = _digits(item)
    return f"{value:.{decimals if digits is None else digits}f}"


@cache
def _digits(item: str) -> int | None:
    """None: as sent."""
    metric = METRIC_BY_REFERENCE_ID.get(item)
    return display_digits(metric.code, UNIT_BY_REFERENCE_ID[metric.unit]) if metric else None


# --- one entry -------------------------------------------------------------------------------------------------------


def entry(conn: Any, asking: Asking, ids: Iterable[UUID]) -> Answer:
    """Entries with all that they said, who and why, what is proposed, and the way back; raises StoreError."""
    found = []
    for each in ids:
        try:
            kept = chart_entries.entry_with_id(conn, each).entry
        except VitalwireError:
            return None
        found.append(kept)
    acted = chart_persons.persons(conn, {v.act_id for kept in found for v in kept.versions if v.act_id is not None})
    for kept in found:
        target = entry_target(conn, kept, acted, asking.at_us)
        note_stay(conn, asking, Action.SEE, require(asking, Action.SEE, target), "chart", target)
    proposals = chart_proposals.proposals_of(conn, [kept.entry for kept in found])
    return {"entries": [_whole(conn, kept, proposals.get(kept.entry), acted) for kept in found]}


def entry_target(conn: Any, kept: Entry, acted: Mapping[bytes, Acted], at_us: int) -> Target:
    """With those who wrote it: who supervises one of them may see it."""
    target = stay_target(conn, DataClass.CHART, kept.key.encounter, at_us)
    by = [acted[version.act_id].by for version in kept.versions if version.act_id and version.act_id in acted]
    authors = frozenset(each.removeprefix(STAFF) for each in by if each.startswith(STAFF))
    return replace(target or Target(DataClass.CHART, kept.key.encounter), authors=authors)


def _whole(conn: Any, kept: Entry, proposal: Proposal | None, acted: Mapping[bytes, Acted]) -> dict[str, Any]:
    disputed = kept.entry in chart_disputes.disputed_entries(conn, kept.key.encounter)
    return {
        "entry": kept.entry, "at": kept.key.at_us // 1000, **_row(kept.key.item, False), "form": form(kept.key.item),
        "versions": [_version(kept.key, version, acted.get(version.act_id or b"")) for version in kept.versions],
        "disputed": disputed, "proposed": _proposed(kept.key.item, proposal),
        "deliveries": _deliveries(conn, kept),
    }  # fmt: skip


def _deliveries(conn: Any, kept: Entry) -> list[dict[str, Any]]:
    rows = deliver_status.of_entry(conn, kept.entry, kept.key.encounter, moment(kept.key.at_us))
    return fates_of(kept.entry, rows)


def _version(key: EntryKey, version: Version, person: Acted | None) -> dict[str, Any]:
    rule = rule_words(version.reason)
    return {
        "number": version.number, "status": version.status, **shown(key.item, version),
        "hand": version.origin is Origin.HAND, "confirmed": version.confirmed, "by_time": version.by_time,
        "observed": version.observed_at_us // 1000, "recorded": version.recorded_at_us // 1000,
        "by": person.name if person else "", "pending": person is not None and person.pending,
        "reason": {"en": rule.en, "zh": rule.zh},
        "sources": _sources(version.sources),
    }  # fmt: skip


def _sources(sources: Iterable[Any]) -> list[dict[str, Any]]:
    return [{"batch": source.batch_id.hex(), "leaf": source.leaf, "record": source.record} for source in sources]


def _proposed(item: str, proposal: Proposal | None) -> dict[str, Any] | None:
    if proposal is None:
        return None
    chosen = proposal.chosen
    if chosen is None or chosen.value is None:
        return {"value": None, "sources": []}
    rule = rule_words(chosen.reason)
    return {
        "value": value_text(item, chosen.value, chosen.decimals), "reason": {"en": rule.en, "zh": rule.zh},
        "observed": chosen.observed_at_us // 1000, "sources": _sources(chosen.sources),
    }  # fmt: skip


# --- writing by hand -------------------------------------------------------------------------------------------------


def form(item: str) -> dict[str, Any]:
    """How a value of it is written: number, choice or text, and what is possible."""
    kind = item_of(item)
    choices = [{"key": key, "en": en, "zh": zh} for key, (en, zh) in (kind.choices or {}).items()]
    return {"kind": kind.form, "low": _bound(kind.low), "high": _bound(kind.high), "choices": choices}


def _bound(value: float) -> float | None:
    return value if abs(value) != float("inf") else None


def items() -> dict[str, Any]:
    """What can be written by hand."""
    return {"items": [{**_row(item, False), "form": form(item)} for item in BY_HAND]}


def possible(kind: Item, value: float | None, text: str) -> bool:
    """Whether it can be written of this item."""
    try:
        kind.check(value, text)
    except VitalwireError:
        return False
    return True


# --- why a slot is empty ---------------------------------------------------------------------------------------------


def gap(conn: Any, asking: Asking, key: str, item: str, at_ms: int, step_min: int) -> Answer:
    """Why nothing stands of this item in a column, with what shows it; raises StoreError.

    `take`, of what is charted on demand: at which moment it would be taken (0: now).
    """
    encounter = encounter_of(conn, asking, key)
    if encounter is None or step_min not in STEPS_MIN:
        return None
    try:
        item_of(item)
    except VitalwireError:
        return None
    policies = noted_policies(conn)
    now_us = time.time_ns() // 1000
    if policies is None:
        return {**_row(item, False), "at": at_ms, "gaps": []}
    at_us = at_ms * 1000
    if at_us <= now_us and is_on_demand(conn, policies, encounter, item, at_us):
        column = (at_us, at_us + step_min * MINUTE_US)
        take_at_ms = 0 if now_us < column[1] else at_ms
        return {**_row(item, False), "at": at_ms, "gaps": [_gap_frame(*column, ON_DEMAND)], "take": {"at": take_at_ms}}
    policy = policies.of(ward_during(wards_of(conn, [encounter])[encounter], at_us, at_us + 1), item)
    found = chart_gaps.explain_slot(conn, policies, encounter, item, moment(at_us), now_us)
    if policy is None or not isinstance(policy.when, Each):
        # The first slot of the column may be later than its label.
        until = moment(at_us) + timedelta(minutes=step_min)
        of_column = chart_gaps.gaps(conn, policies, encounter, moment(at_us), until, now_us, [item])
        found = of_column[0].gaps if of_column else found
    names = {str(device.uuid): device.name or device.claim or "" for device in registry.devices(conn)}
    gaps = [_gap(each, names) for each in found]
    if policy is not None and isinstance(policy.when, Each) and us_of(moment(at_us)) <= now_us:
        gaps = [_gap_frame(at_us, at_us + step_min * MINUTE_US, NOTHING_IN_IT)]
    return {**_row(item, False), "at": at_ms, "gaps": gaps}


def _gap_frame(from_us: int, until_us: int, words: Words) -> dict[str, Any]:
    return {
        "reason": "each" if words is NOTHING_IN_IT else "on demand", "en": words.en, "zh": words.zh,
        "from": from_us // 1000, "until": until_us // 1000, "device": "", "evidence": [],
    }  # fmt: skip


def _gap(found: Gap, names: Mapping[str, str]) -> dict[str, Any]:
    words = GAPS[found.reason]
    return {
        "reason": found.reason, "en": words.en, "zh": words.zh, "from": found.from_us // 1000,
        "until": found.until_us // 1000, "device": names.get(found.device or "", found.device or ""),
        "evidence": [_evidence(kind, reference) for kind, reference in found.evidence],
    }  # fmt: skip


def _evidence(kind: str, reference: str) -> dict[str, Any]:
    """With the batch where there is one, so that a page can lead to it."""
    batch, _, leaf = reference.partition(":") if kind == "report" else ("", "", "")
    said = f"{batch[:12]}… · {leaf}" if batch else reference
    words = evidence_words(kind, visit_number(reference) if kind == "encounter" else said)
    return {"en": words.en, "zh": words.zh, "batch": batch or None}
