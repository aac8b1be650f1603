"""A patient's page: who, where since when, by which way, what was believed before; trends of what is the patient's."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from clinical.key_words import bed_words, visit_words
from clinical.person_names import number_of, whole_name
from emr_store import evidence_words, patient_history, patients, trends
from emr_store.instants import moment
from emr_store.patient_history import BedBelief, DeviceBelief
from emr_store.patients import EncounterRow
from emr_store.trends import Span, Trend
from gateway.access import Viewer, may_see_patient
from gateway.pages.frame import Page
from gateway.pages.moments import milliseconds
from schemas.errors import VitalwireError
from schemas.nomenclature import METRICS, UNIT_BY_REFERENCE_ID

PAGE = Page("patient", "/patient/{key:path}", libraries=("uplot",))
HOURS = (1, 4, 12, 24)  # of a trend; 0: the whole stay
BUCKETS_MAX = 360  # of a trend: about what a screen can show
_WIDTHS = [timedelta(minutes=minutes) for minutes in (1, 2, 5, 10, 15, 30, 60, 120, 240, 720, 1440)]
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MARKS_MAX = 500
_NAMES = {
    m.code: {"short": m.short, "en": m.en, "zh": m.zh, "unit": UNIT_BY_REFERENCE_ID[m.unit].ucum} for m in METRICS
}
_UNKNOWN = {"short": "?", "en": "", "zh": "", "unit": ""}
Answer = dict[str, Any] | None  # None: not found


def history(conn: Any, viewer: Viewer, key: str, bed_names: Mapping[str, str]) -> Answer:
    """Who it is, and everything that was believed of beds and devices; raises StoreError.

    `bed_names`: what the site calls its beds, by their keys.
    """
    patient = _seen(conn, viewer, key)
    if patient is None:
        return None
    family, given, name, birth_date, sex = patients.name_of(conn, patient) or ("", "", "", "", "")
    beds = patient_history.bed_beliefs(conn, patient)
    devices = patient_history.device_beliefs(conn, patient)
    facts = [bytes(fact) for of in (beds, devices) for belief in of for fact in belief.facts]
    behind = {fact.fact: fact for fact in evidence_words.facts_behind(conn, facts, bed_names)}
    encounters = patients.encounters_of(conn, patient)
    return {
        "now": int(time.time() * 1000), "key": patient, "number": number_of(patient),
        "name": whole_name(family=family, given=given, name=name), "birth_date": birth_date, "sex": sex,
        "encounters": [_encounter(e) for e in encounters],
        "beds": [{"bed": bed_words(b.bed, bed_names, b.bed_as_sent), "planned_end": b.planned_end, **_belief(b, behind)}
                 for b in beds],
        "devices": [{"device": d.name, "basis": d.basis, **_belief(d, behind)} for d in devices],
    }  # fmt: skip


def trend(conn: Any, viewer: Viewer, key: str, hours: int) -> Answer:
    """Of the last `hours`, one of HOURS; 0: of the last stay, from its first bed on. Raises StoreError."""
    patient = _seen(conn, viewer, key)
    if patient is None or hours not in (0, *HOURS):
        return None
    now = datetime.now(UTC)
    since, until = (now - timedelta(hours=hours), now) if hours else _last_stay(conn, patient, now)
    spans = [
        Span(UUID(whose.device), max(moment(whose.from_us), since), min(moment(whose.until_us) or until, until))
        for whose in patients.intervals_of(conn, patient, since, until)
    ]
    spans = [span for span in spans if span.since < span.until]
    width = _width(until - since)
    since -= (since - _EPOCH) % width
    found = trends.trends(conn, spans, since, until, width, now)
    alarms = trends.alarm_marks(conn, spans)
    adt = patient_history.adt_marks(conn, patient, since, until)
    return {
        "since": milliseconds(since), "width": int(width.total_seconds() * 1000),
        "buckets": -((since - until) // width), "series": [_series(each) for each in found],
        "alarms": [{"at": milliseconds(a.opened_at), "until": _ms(a.resolved_at), "priority": a.priority,
                    "message": a.message} for a in alarms[-MARKS_MAX:]],
        "adt": [{"at": milliseconds(a.at), "event": a.event, "bed": a.bed} for a in adt[-MARKS_MAX:]],
    }  # fmt: skip


def _last_stay(conn: Any, patient: str, now: datetime) -> tuple[datetime, datetime]:
    """From the first to the last moment in a bed, of the encounter that came last; an hour where there is none."""
    stays = [stay for stay in patients.patient_stays(conn, patient) if stay.since < now]
    if not stays:
        return now - timedelta(hours=1), now
    last = max(stays, key=lambda stay: stay.since).encounter
    of_last = [stay for stay in stays if stay.encounter == last]
    return min(stay.since for stay in of_last), max(min(stay.until or now, now) for stay in of_last)


def _seen(conn: Any, viewer: Viewer, key: str) -> str | None:
    """The patient of this key or number; None: there is none, or not for this viewer."""
    try:
        patient = patients.find_patient(conn, key)
    except VitalwireError:
        return None
    return patient if may_see_patient(viewer, patient) else None


def _width(duration: timedelta) -> timedelta:
    return next((width for width in _WIDTHS if duration <= width * BUCKETS_MAX), _WIDTHS[-1])


def _series(trend: Trend) -> dict[str, Any]:
    """Columns, by the number of the bucket; what is not there is a gap."""
    numbers = sorted(trend.buckets)
    rows = [trend.buckets[number] for number in numbers]
    return {
        "code": trend.code, "channel": trend.channel, "bucket": numbers, **_NAMES.get(trend.code, _UNKNOWN),
        **{name: [round(row[i], 3) for row in rows] for i, name in enumerate(("low", "high", "mean", "count"))},
    }  # fmt: skip


def _encounter(encounter: EncounterRow) -> dict[str, Any]:
    visit = visit_words(encounter.encounter)
    return {
        "key": encounter.encounter, "en": visit.en, "zh": visit.zh, "admitted": _ms(encounter.admitted_at),
        "discharged": _ms(encounter.discharged_at),
    }  # fmt: skip


def _belief(belief: BedBelief | DeviceBelief, behind: Mapping[str, evidence_words.Behind]) -> dict[str, Any]:
    return {
        "since": milliseconds(belief.since), "until": _ms(belief.until),
        "believed_from": milliseconds(belief.believed_from), "believed_until": _ms(belief.believed_until),
        "facts": [_fact(behind[bytes(fact).hex()]) for fact in belief.facts],
    }  # fmt: skip


def _fact(fact: evidence_words.Behind) -> dict[str, Any]:
    return {"at": _ms(fact.at), "known_at": _ms(fact.known_at), "en": fact.words, "zh": fact.words_zh}


def _ms(at: datetime | None) -> int | None:
    return None if at is None else milliseconds(at)
