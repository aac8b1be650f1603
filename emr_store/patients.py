"""Questions about patients: whose, where, since when. Each can be asked of what was believed at another time."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any, LiteralString, NamedTuple
from uuid import UUID

import msgspec
import psycopg
from psycopg.rows import class_row
from psycopg.types.multirange import Multirange

from clinical.attribution import Whose
from clinical.encounter import Encounter
from emr_store.instants import moment
from emr_store.whose import WHOSE_COLUMNS, whose_of
from schemas.errors import VitalwireError

_body = msgspec.json.Decoder(Encounter)


class Believed(NamedTuple):
    """Whose a device's values are at a moment, and when we believed that; until None: still do."""

    whose: Whose
    believed_from: datetime
    believed_until: datetime | None


class Stay(NamedTuple):
    """In a bed during [since, until), by these facts; in hexadecimal."""

    encounter: str
    bed: str
    since: datetime
    until: datetime | None
    from_fact: str
    until_fact: str | None
    planned_end: bool


class EncounterRow(NamedTuple):
    """An encounter of a patient: when it was open, and when the patient was away."""

    encounter: str
    patient: str | None
    numbers: list[str]
    periods: list[Span]
    absences: list[Span]
    admitted_at: datetime | None
    discharged_at: datetime | None
    classes: list[ClassRow]  # PV1-2, by time


class Span(NamedTuple):
    """[since, until); None: without a bound there."""

    since: datetime | None
    until: datetime | None


class ClassRow(NamedTuple):
    """An encounter was of this class (I, O, E, ...) during [since, until)."""

    patient_class: str
    since: datetime
    until: datetime | None


class InBed(NamedTuple):
    """Who is in a bed; two rows where two are in it. Names are "" where none is known or kept."""

    bed: str
    patient: str | None
    encounter: str
    since: datetime
    family: str
    given: str
    name: str
    last_adt_at: datetime


def believed(believed_at: datetime | None, column: LiteralString = "recorded") -> LiteralString:
    """What was believed at %(believed_at)s; None: what is now, which has indexes of its own."""
    return f"upper_inf({column})" if believed_at is None else f"{column} @> %(believed_at)s::timestamptz"


def whose_at(
    conn: psycopg.Connection, device: UUID, at: datetime, believed_at: datetime | None = None
) -> Believed | None:
    """Whose the values are that this device measures at that moment; None: nothing is known of it at all then.

    `believed_at`: what we believed at that time; None: now.
    """
    sql = (
        f"SELECT {WHOSE_COLUMNS}, lower(recorded), upper(recorded) FROM whose WHERE device = %(device)s"
        f" AND lower(valid) <= %(at)s AND valid @> %(at)s::timestamptz AND {believed(believed_at)}"
        " ORDER BY lower(valid) DESC LIMIT 1"
    )
    row = conn.execute(sql, {"device": device, "at": at, "believed_at": believed_at}).fetchone()
    return None if row is None else Believed(whose_of(row[:9]), row[9], row[10])


def find_patient(conn: psycopg.Connection, text: str) -> str:
    """The patient of this key, number, or visit (its key or number); the survivor of merges.

    Raises VitalwireError where none or several fit.
    """
    found = conn.execute(_FIND_SQL, {"text": text}).fetchall()
    keys = sorted({row[0] for row in found})
    if len(keys) == 1:
        key: str = keys[0]
        return key
    if not keys:
        raise VitalwireError(
            "no patient and no visit has this number: `vitalwire patients list` has those that are here"
        )
    raise VitalwireError(
        f"{len(keys)} patients have this number: write it with its authority, one of {', '.join(keys)}"
    )


def patient_of(conn: psycopg.Connection, encounter: str) -> str | None:
    """Whose stay it is, as believed now; None: nobody's that is known, or there is no such stay."""
    row = conn.execute(
        "SELECT patient FROM encounter WHERE encounter = %s AND upper_inf(recorded)", (encounter,)
    ).fetchone()
    return None if row is None else row[0]


def patients_of(conn: psycopg.Connection, encounters: Collection[str]) -> dict[str, str]:
    """Whose stays these are, as believed now; those of whom nobody knows are left out."""
    rows = conn.execute(
        "SELECT encounter, patient FROM encounter"
        " WHERE encounter = ANY(%s) AND upper_inf(recorded) AND patient IS NOT NULL",
        (list(encounters),),
    )
    return dict(rows.fetchall())


_FIND_SQL = """
SELECT DISTINCT coalesce(e.patient, f.patient) FROM (
    SELECT patient, encounter FROM adt_fact WHERE patients @> ARRAY[%(text)s] AND live
    UNION SELECT patient, encounter FROM adt_fact WHERE encounter = %(text)s AND live
    UNION SELECT patient, encounter FROM adt_fact WHERE split_part(patient, '^', 1) = %(text)s AND live
    UNION SELECT patient, encounter FROM adt_fact
        WHERE split_part(split_part(encounter, ':', 2), '^', 1) = %(text)s AND live) AS f
LEFT JOIN encounter e ON e.encounter = f.encounter AND upper_inf(e.recorded)
WHERE f.patient IS NOT NULL LIMIT 20
"""


def find_encounter(conn: psycopg.Connection, text: str) -> str:
    """The encounter of this key or visit number; raises VitalwireError where none or several fit."""
    rows = conn.execute(
        "SELECT DISTINCT encounter FROM encounter WHERE upper_inf(recorded)"
        " AND (encounter = %(text)s OR split_part(split_part(encounter, ':', 2), '^', 1) = %(text)s) LIMIT 5",
        {"text": text},
    ).fetchall()
    if len(rows) != 1:
        found = "no encounter has" if not rows else "several encounters have"
        raise VitalwireError(f"{found} the number {text!r}: `vitalwire patients list --json` has their keys")
    key: str = rows[0][0]
    return key


def patient_stays(conn: psycopg.Connection, patient: str, believed_at: datetime | None = None) -> list[Stay]:
    """In which beds, by time. `patient`: the survivor of merges."""
    sql = (
        "SELECT b.encounter, b.bed, lower(b.valid) AS since, upper(b.valid) AS until, encode(b.from_fact, 'hex')"
        " AS from_fact, encode(b.until_fact, 'hex') AS until_fact, b.until_planned AS planned_end"
        " FROM encounter e JOIN encounter_bed b USING (encounter)"
        f" WHERE e.patient = %(patient)s AND {believed(believed_at, 'e.recorded')}"
        f" AND {believed(believed_at, 'b.recorded')} ORDER BY b.valid"
    )
    return _rows(conn, Stay, sql, {"patient": patient, "believed_at": believed_at})


def encounters_of(conn: psycopg.Connection, patient: str, believed_at: datetime | None = None) -> list[EncounterRow]:
    """All that this patient has, by the beginning. `patient`: the survivor of merges."""
    sql = (
        "SELECT encounter, patient, patients AS numbers, open, absent, admitted_at, discharged_at,"
        f" body FROM encounter WHERE patient = %(patient)s AND {believed(believed_at)}"
        " ORDER BY lower(open), encounter"
    )
    rows = conn.execute(sql, {"patient": patient, "believed_at": believed_at})
    return [
        EncounterRow(
            key, survivor, numbers, _spans(periods), _spans(absences), admitted_at, discharged_at, _classes(body)
        )
        for key, survivor, numbers, periods, absences, admitted_at, discharged_at, body in rows
    ]


def _spans(moments: Multirange[datetime]) -> list[Span]:
    return [Span(each.lower, each.upper) for each in moments]


def _classes(body: str) -> list[ClassRow]:
    periods = _body.decode(body).classes
    return [ClassRow(each.patient_class, moment(each.from_us), moment(each.until_us)) for each in periods]


def beds_now(conn: psycopg.Connection, at: datetime | None = None, believed_at: datetime | None = None) -> list[InBed]:
    """Who is in which bed; `at` None: of those stays that have no end."""
    there: LiteralString = "upper_inf(b.valid)" if at is None else "b.valid @> %(at)s::timestamptz"
    sql = (
        "SELECT b.bed, e.patient, b.encounter, lower(b.valid) AS since, coalesce(p.family, '') AS family,"
        " coalesce(p.given, '') AS given, coalesce(p.name, '') AS name, (SELECT max(received_at) FROM adt_fact f"
        " WHERE f.encounter = b.encounter) AS last_adt_at"
        " FROM encounter_bed b JOIN encounter e USING (encounter) LEFT JOIN patient_person p ON p.patient = e.patient"
        f" WHERE {believed(believed_at, 'b.recorded')} AND {believed(believed_at, 'e.recorded')}"
        f" AND {there}"
        " ORDER BY b.bed, b.valid"
    )
    return _rows(conn, InBed, sql, {"at": at, "believed_at": believed_at})


def intervals_of(
    conn: psycopg.Connection, patient: str, since: datetime, until: datetime, believed_at: datetime | None = None
) -> list[Whose]:
    """From which devices this patient has values between two moments, by time: a day of a patient."""
    sql = (
        f"SELECT {WHOSE_COLUMNS} FROM whose WHERE patient = %(patient)s AND lower(valid) < %(until)s"
        f" AND valid && tstzrange(%(since)s, %(until)s) AND {believed(believed_at)} ORDER BY valid, device"
    )
    asked = {"patient": patient, "since": since, "until": until, "believed_at": believed_at}
    return [whose_of(row) for row in conn.execute(sql, asked)]


def name_of(conn: psycopg.Connection, patient: str) -> tuple[str, str, str, str, str] | None:
    """family, given, name, birth date, sex; None: not known, or erased."""
    return conn.execute(
        "SELECT family, given, name, birth_date, sex FROM patient_person WHERE patient = %s", (patient,)
    ).fetchone()


def _rows(conn: psycopg.Connection, kind: type[Any], sql: LiteralString, asked: dict[str, Any]) -> list[Any]:
    return conn.cursor(row_factory=class_row(kind)).execute(sql, asked).fetchall()
