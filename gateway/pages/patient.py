"""A patient's page: who, where since when, by which way, what was believed before; trends of what is the patient's."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from clinical.key_words import bed_words, visit_words
from emr_store import evidence_words, patient_history, patients, trends
from emr_store.instants import moment
from emr_store.patient_history import BedBelief, DeviceBelief
from emr_store.patients import EncounterRow
from emr_store.trends import Span, Trend
from gateway.access.targets import patient_targets
from gateway.access.words import Action, DataClass
from gateway.asking import Asking
from gateway.looks import Seen
from gateway.pages import worklist
from gateway.pages.frame import Page
from gateway.pages.moments import milliseconds, milliseconds_or_none
from gateway.pages.person import fact_shown, whole_person
from gateway.permission import glass_until_ms, require_one_of
from schemas.errors import VitalwireError
from schemas.nomenclature import METRICS, UNIT_BY_REFERENCE_ID

PAGE = Page("patient", "/patient/{key:path}", libraries=("uplot",))
HOURS = (1, 4, 12, 24)  # of a trend; 0: the whole stay
BUCKETS_MAX = 360  # of a trend: about what a screen can show
_WIDTHS = [timedelta(minutes=minutes) for minutes in (1, 2, 5, 10, 15, 30, 60, 120, 240, 720, 1440)]
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MARKS_MAX = 500
DECIMALS = 3
_NAMES = {
    m.code: {"short": m.short, "en": m.en, "zh": m.zh, "unit": UNIT_BY_REFERENCE_ID[m.unit].ucum} for m in METRICS
}
_UNKNOWN = {"short": "?", "en": "", "zh": "", "unit": ""}
Answer = dict[str, Any] | None  # None: not found


@dataclass(frozen=True)
class SeenStays:
    """A patient, and those of his stays that may be seen."""

    patient: str
    stays: frozenset[str]


def history(conn: Any, asking: Asking, key: str, bed_names: Mapping[str, str]) -> Answer:
    """Who it is, and everything that was believed of beds and devices, of the stays that may be seen.

    `bed_names`: what the site calls its beds, by their keys. Raises StoreError, AccessRefusedError.
    """
    seen = seen_stays(conn, asking, key, [DataClass.IDENTITY])
    if seen is None:
        return None
    patient = seen.patient
    beds = patient_history.bed_beliefs(conn, patient, seen.stays)
    devices = patient_history.device_beliefs(conn, patient, seen.stays)
    beliefs: list[BedBelief | DeviceBelief] = [*beds, *devices]
    facts = [bytes(fact) for belief in beliefs for fact in belief.facts]
    behind = {fact.fact: fact for fact in evidence_words.facts_behind(conn, facts, bed_names)}
    return {
        "now": int(time.time() * 1000),
        "asked": worklist.open_count(conn, asking), "glass_until": glass_until_ms(asking, seen.stays),
        **whole_person(conn, patient),
        "encounters": [
            _encounter(encounter) for encounter in patients.encounters_of(conn, patient)
            if encounter.encounter in seen.stays
        ],
        "beds": [
            {"bed": bed_words(bed.bed, bed_names, bed.bed_as_sent), "planned_end": bed.planned_end,
             **_belief(bed, behind)}
            for bed in beds
        ],
        "devices": [
            {"device": device.name, "basis": device.basis, **_belief(device, behind)} for device in devices
        ],
    }  # fmt: skip


def trend(conn: Any, asking: Asking, key: str, hours: int, now: datetime | None = None) -> Answer:
    """Of the last `hours`, one of HOURS; 0: of the last stay, from its first bed on; `now` None: the clock's.

    Of the stays that may be seen. Raises StoreError, AccessRefusedError.
    """
    seen = seen_stays(conn, asking, key, [DataClass.IDENTITY, DataClass.VITALS])  # they stand under a name
    if seen is None or hours not in (0, *HOURS):
        return None
    now = now or datetime.now(UTC)
    since, until = (now - timedelta(hours=hours), now) if hours else _last_stay(conn, seen, now)
    spans = _spans(conn, seen, since, until)
    width = _width(until - since)
    first_bucket = since - (since - _EPOCH) % width
    found = trends.trends(conn, spans, first_bucket, until, width, now)
    alarms = trends.alarm_marks(conn, spans)
    adt = patient_history.adt_marks(conn, seen.patient, seen.stays, first_bucket, until)
    return {
        "since": milliseconds(first_bucket),
        "width": int(width.total_seconds() * 1000),
        "buckets": -((first_bucket - until) // width),  # rounded up
        "series": [_series(each) for each in found],
        "alarms": [
            {"at": milliseconds(alarm.opened_at), "until": milliseconds_or_none(alarm.resolved_at),
             "priority": alarm.priority, "message": alarm.message}
            for alarm in alarms[-MARKS_MAX:]
        ],
        "adt": [{"at": milliseconds(mark.at), "event": mark.event, "bed": mark.bed} for mark in adt[-MARKS_MAX:]],
    }  # fmt: skip


def _spans(conn: Any, seen: SeenStays, since: datetime, until: datetime) -> list[Span]:
    """When which devices' values are the patient's, cut at both moments."""
    spans = []
    for whose in patients.intervals_of(conn, seen.patient, since, until):
        if whose.encounter not in seen.stays:
            continue
        ends = moment(whose.until_us) or until
        span = Span(device=UUID(whose.device), since=max(moment(whose.from_us), since), until=min(ends, until))
        if span.since < span.until:
            spans.append(span)
    return spans


def _last_stay(conn: Any, seen: SeenStays, now: datetime) -> tuple[datetime, datetime]:
    """From the first to the last moment in a bed, of the encounter that came last; an hour where there is none."""
    known = patients.patient_stays(conn, seen.patient)
    stays = [stay for stay in known if stay.encounter in seen.stays and stay.since < now]
    if not stays:
        return now - timedelta(hours=1), now
    last = max(stays, key=lambda stay: stay.since).encounter
    of_last = [stay for stay in stays if stay.encounter == last]
    return min(stay.since for stay in of_last), max(min(stay.until or now, now) for stay in of_last)


def seen_stays(conn: Any, asking: Asking, key: str, data_classes: Sequence[DataClass]) -> SeenStays | None:
    """The patient of this key or number, and the stays of which all of these may be seen; None: there is none.

    The look is noted. Raises AccessRefusedError.
    """
    try:
        patient = patients.find_patient(conn, key)
    except VitalwireError:
        return None
    targets = list(patient_targets(conn, data_classes[0], patient, asking.at_us).values())
    for data_class in data_classes:
        targets = [replace(target, data_class=data_class) for target in targets]
        targets, decision = require_one_of(asking, Action.SEE, data_class, targets)
    stays = sorted(target.encounter for target in targets)
    restricted = any(target.restricted for target in targets)
    asking.note(Action.SEE, decision, Seen(PAGE.noun, stays, [patient], restricted=restricted))
    return SeenStays(patient, frozenset(stays))


def _width(duration: timedelta) -> timedelta:
    return next((width for width in _WIDTHS if duration <= width * BUCKETS_MAX), _WIDTHS[-1])


def _series(trend: Trend) -> dict[str, Any]:
    """Columns, by the number of the bucket; what is not there is a gap."""
    numbers = sorted(trend.buckets)
    buckets = [trend.buckets[number] for number in numbers]
    return {
        "code": trend.code, "channel": trend.channel, **_NAMES.get(trend.code, _UNKNOWN),
        "bucket": numbers,
        "low": [round(bucket.low, DECIMALS) for bucket in buckets],
        "high": [round(bucket.high, DECIMALS) for bucket in buckets],
        "mean": [round(bucket.mean, DECIMALS) for bucket in buckets],
        "count": [bucket.values for bucket in buckets],
    }  # fmt: skip


def _encounter(encounter: EncounterRow) -> dict[str, Any]:
    visit = visit_words(encounter.encounter)
    return {
        "key": encounter.encounter, "en": visit.en, "zh": visit.zh,
        "admitted": milliseconds_or_none(encounter.admitted_at),
        "discharged": milliseconds_or_none(encounter.discharged_at),
    }  # fmt: skip


def _belief(belief: BedBelief | DeviceBelief, behind: Mapping[str, evidence_words.Behind]) -> dict[str, Any]:
    return {
        "since": milliseconds(belief.since), "until": milliseconds_or_none(belief.until),
        "believed_from": milliseconds(belief.believed_from),
        "believed_until": milliseconds_or_none(belief.believed_until),
        "facts": [fact_shown(behind[bytes(fact).hex()]) for fact in belief.facts],
    }  # fmt: skip
