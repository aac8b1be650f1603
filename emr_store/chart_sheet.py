"""What the printed sheets of an encounter are drawn from, out of the store: entries, stays, absences, who it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import groupby

import psycopg

from clinical import sheet_hours, sheet_readings
from clinical.chart import Entry
from clinical.encounter import AbsenceKind, Encounter
from clinical.key_words import NO_BED_NAMES, bed_words, visit_number
from clinical.person_names import number_of, whole_name
from clinical.sheet.content import Absence, Event, Patient, SheetData, Stay
from clinical.sheet.days import local
from clinical.sheet.hourly import HourlyData
from clinical.sheet.style import Style
from emr_store import chart_entries, chart_persons, patient_history, patients, stays
from emr_store.chart_clocks import clock_steps
from emr_store.instants import moment, us_of
from emr_store.patients import find_encounter
from schemas.errors import VitalwireError

HOURLY_DAYS = 7  # of the hourly record: the last of a stay
_ABSENCES = {AbsenceKind.AWAY: "out", AbsenceKind.LEAVE: "leave"}
_SEXES = {"zh": {"M": "男", "F": "女"}, "en": {"M": "male", "F": "female"}}


def sheet_data(
    conn: psycopg.Connection, encounter: str, style: Style, bed_names: Mapping[str, str] = NO_BED_NAMES
) -> SheetData:
    """Of the 体温单. `encounter`: its key or visit number; raises VitalwireError where there is none.

    What ADT says (beds, absences, 入院, 转入, 出院) needs no confirmation; every value does.
    """
    key = find_encounter(conn, encounter)
    now = datetime.now(UTC)
    all_entries = _entries(conn, key, now)
    found = _encounter(conn, key)
    entries = sheet_readings.standing(all_entries)
    there = _stays(conn, key, found, bed_names)
    events = sheet_readings.events(entries, _adt_events(there, found))
    patient = _patient(conn, found, there, events, style)
    until = moment(found.discharged_at_us)
    return SheetData(
        patient=patient,
        readings=sheet_readings.readings(entries, style),
        events=events,
        absences=(*sheet_readings.absences(entries), *_adt_absences(found)),
        entries=sheet_readings.day_entries(entries, style, None if until is not None else now),
        clock_steps=clock_steps(conn, key, patient.admitted_at, until or now),
        until=until or now,
        printed_at=now,
        version=sheet_readings.edition(all_entries),
    )


def hourly_data(
    conn: psycopg.Connection, encounter: str, style: Style, bed_names: Mapping[str, str] = NO_BED_NAMES,
    since: datetime | None = None,
) -> HourlyData:  # fmt: skip
    """Of the 重症护理记录单, from `since` on (None: the last HOURLY_DAYS); raises VitalwireError likewise."""
    key = find_encounter(conn, encounter)
    now = datetime.now(UTC)
    found = _encounter(conn, key)
    end = moment(found.discharged_at_us) or now
    begin = since or end - timedelta(days=HOURLY_DAYS)
    all_entries = [
        entry for entry in _entries(conn, key, now)
        if entry.key.at_us >= us_of(begin) or entry.key.item == sheet_hours.DIAGNOSIS
    ]  # fmt: skip
    entries = sheet_readings.standing(all_entries)
    there = _stays(conn, key, found, bed_names)
    acts = {version.act_id for entry in entries for version in entry.versions if version.act_id is not None}
    names = {act: person.name for act, person in chart_persons.persons(conn, acts).items()}
    first_us = max(us_of(begin), us_of(there[0].since) if there else 0)
    return HourlyData(
        patient=_patient(conn, found, there, sheet_readings.events(entries, _adt_events(there, found)), style),
        rows=sheet_hours.hourly_rows(entries, names, style),
        totals=sheet_hours.daily_totals(entries, first_us, us_of(min(end, now)), style),
        diagnosis=sheet_hours.diagnosis(entries),
        printed_at=now,
        version=sheet_readings.edition(all_entries),
    )


def _entries(conn: psycopg.Connection, encounter: str, now: datetime) -> list[Entry]:
    return chart_entries.hours(conn, encounter, datetime(1970, 1, 1, tzinfo=UTC), now + timedelta(days=1))


def _encounter(conn: psycopg.Connection, key: str) -> Encounter:
    believed = stays.believed_encounters(conn, keys=[key])
    if not believed:
        raise VitalwireError(f"no encounter has the number {key!r}: `vitalwire patients list --json` has their keys")
    return believed[0].encounter


def _stays(
    conn: psycopg.Connection, key: str, found: Encounter, bed_names: Mapping[str, str]
) -> tuple[Stay, ...]:  # fmt: skip
    """The beds, by time, as the site calls them; the ward is the second part of a bed's key."""
    beliefs = patient_history.bed_beliefs(conn, patients.find_patient(conn, key))
    held = [belief for belief in beliefs if belief.encounter == key and belief.believed_until is None]
    there = (
        Stay(ward=_ward(each.bed, each.bed_as_sent), bed=_bed(bed_words(each.bed, bed_names, each.bed_as_sent)),
             since=each.since)
        for each in sorted(held, key=lambda belief: belief.since)
    )  # fmt: skip
    # An absence parts a stay in a bed: on paper it is one.
    return tuple(next(of_bed) for _, of_bed in groupby(there, key=lambda stay: (stay.ward, stay.bed)))


def _ward(bed: str, as_sent: str) -> str:
    """As it was sent, else out of the key, where it is folded."""
    return as_sent.split("^")[0] or bed.split("^")[1].upper()


def _bed(words: str) -> str:
    """Of a bed as it was sent (ward^room^bed) its own part."""
    parts = [part for part in words.split("^")[1:3] if part]
    return " ".join(parts) if "^" in words else words


def _adt_events(there: Sequence[Stay], found: Encounter) -> list[Event]:
    """入院 at the moment of entering the first ward, 转入 of each other one, 出院."""
    made = []
    for number, stay in enumerate(there):
        if number and stay.ward == there[number - 1].ward:
            continue
        kind = "transfer_in" if number else "admission"
        made.append(Event(id=f"{kind}:{us_of(stay.since)}", confirmed=True, kind=kind, at=stay.since))
    ended = moment(found.discharged_at_us)
    if ended is not None:
        made.append(Event(id=f"discharge:{us_of(ended)}", confirmed=True, kind="discharge", at=ended))
    return made


def _adt_absences(found: Encounter) -> list[Absence]:
    return [
        Absence(id=f"absence:{each.from_us}", confirmed=True, kind=_ABSENCES[each.kind], since=moment(each.from_us),
                until=moment(each.until_us))
        for each in found.absences
    ]  # fmt: skip


def _patient(
    conn: psycopg.Connection, found: Encounter, there: Sequence[Stay], events: Sequence[Event], style: Style
) -> Patient:
    admissions = [event.at for event in events if event.kind == "admission"]
    begun = [period.from_us for period in found.periods]
    admitted_at = (admissions or [stay.since for stay in there] or [moment(begun[0]) if begun else datetime.now(UTC)])[
        0
    ]
    key = patients.find_patient(conn, found.key)
    family, given, name, birth_date, sex = patients.name_of(conn, key) or ("", "", "", "", "")
    return Patient(
        name=whole_name(family=family, given=given, name=name),
        sex=_SEXES[style.language].get(sex, ""),
        age=_age(birth_date, local(admitted_at, style)),
        number=visit_number(found.key) or number_of(key),
        admitted_at=admitted_at,
        stays=tuple(there),
    )


def _age(birth_date: str, at: datetime) -> str:
    """Whole years, of YYYYMMDD; "" where it is not known."""
    if len(birth_date) < len("YYYYMMDD") or not birth_date[:8].isdigit():
        return ""
    year, month, day = int(birth_date[:4]), int(birth_date[4:6]), int(birth_date[6:8])
    return str(at.year - year - ((at.month, at.day) < (month, day)))
