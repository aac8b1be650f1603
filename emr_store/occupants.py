"""Who a device's values are now, for a page that shows many: one question for the ward, and a cheap one for changes."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import psycopg
from psycopg.rows import class_row

from clinical.census import SOURCE_PREFIX
from clinical.temporary_patients import SOURCE_NAME


class News(NamedTuple):
    """What differs where `occupants` may have changed; all None or 0 before anything was said of a patient."""

    facts_taken_at: datetime | None  # of any source: a census and people's acts make facts too
    last_adt_at: datetime | None  # when the newest message of an admission office came
    whose_recorded_at: datetime | None
    devices: int
    erased: int


class Occupant(NamedTuple):
    """Whose the values of a device are now.

    `encounter` and the person are those of the visit, else of the one that is proposed: of a patient who is absent, or
    who left. Names are "" where none is known or kept.
    """

    device: UUID
    state: str  # clinical/attribution.py: State
    basis: str  # Basis
    since: datetime
    until: datetime | None  # by a plan; None: nothing is known to end it
    facts: list[bytes]
    encounter: str | None
    proposed: bool
    absence: str | None  # clinical/encounter.py: AbsenceKind
    open: bool
    admitted_at: datetime | None
    patient: str | None
    family: str
    given: str
    name: str


class Person(NamedTuple):
    """Whom a fact put into a bed."""

    fact: bytes
    encounter: str
    patient: str | None
    family: str
    given: str
    name: str


_NEWS_SQL = f"""
SELECT (SELECT max(taken_at) FROM adt_fact) AS facts_taken_at, f.received_at AS last_adt_at,
    w.at AS whose_recorded_at, w.devices,
    (SELECT count(*) FROM patient_erased) AS erased
FROM (SELECT max(lower(recorded)) AS at, count(*) AS devices FROM whose WHERE upper_inf(valid) AND upper_inf(recorded)
    ) AS w
LEFT JOIN LATERAL (
    SELECT received_at FROM adt_fact WHERE source <> '{SOURCE_NAME}' AND NOT starts_with(source, '{SOURCE_PREFIX}')
    ORDER BY taken_at DESC, received_at DESC LIMIT 1) AS f ON true
"""


def news(conn: psycopg.Connection) -> News:
    """Whether it is worth the while to ask for `occupants` again."""
    row = conn.cursor(row_factory=class_row(News)).execute(_NEWS_SQL).fetchone()
    assert row is not None
    return row


# Every device has one row that lasts; before a plan comes about it lies ahead, and another holds now.
_OCCUPANTS_SQL = """
SELECT w.device, w.state, w.basis, lower(w.valid) AS since, upper(w.valid) AS until, w.facts,
    coalesce(w.encounter, w.proposed) AS encounter, w.proposed IS NOT NULL AS proposed,
    (SELECT a ->> 'kind' FROM jsonb_array_elements(e.body::jsonb -> 'absences') AS a
     WHERE w.proposed IS NOT NULL AND e.absent @> now() ORDER BY (a ->> 'from_us')::int8 DESC LIMIT 1) AS absence,
    coalesce(e.open @> now(), false) AS open, coalesce(e.admitted_at, lower(e.open)) AS admitted_at, e.patient,
    coalesce(p.family, '') AS family, coalesce(p.given, '') AS given, coalesce(p.name, '') AS name
FROM (SELECT device FROM whose WHERE upper_inf(valid) AND upper_inf(recorded)) AS lasting
CROSS JOIN LATERAL (
    SELECT * FROM whose i WHERE i.device = lasting.device AND lower(i.valid) <= now() AND i.valid @> now()
        AND upper_inf(i.recorded) ORDER BY lower(i.valid) DESC LIMIT 1) AS w
LEFT JOIN encounter e ON e.encounter = coalesce(w.encounter, w.proposed) AND upper_inf(e.recorded)
LEFT JOIN patient_person p ON p.patient = e.patient
"""


def occupants(conn: psycopg.Connection) -> list[Occupant]:
    """Of every device of which anything is known, as believed now."""
    return conn.cursor(row_factory=class_row(Occupant)).execute(_OCCUPANTS_SQL).fetchall()


_PERSONS_SQL = """
SELECT b.from_fact AS fact, b.encounter, e.patient, coalesce(p.family, '') AS family, coalesce(p.given, '') AS given,
    coalesce(p.name, '') AS name
FROM encounter_bed b JOIN encounter e ON e.encounter = b.encounter AND upper_inf(e.recorded)
LEFT JOIN patient_person p ON p.patient = e.patient
WHERE b.from_fact = ANY(%s) AND b.valid @> now() AND upper_inf(b.recorded)
"""


def persons_of(conn: psycopg.Connection, facts: Collection[bytes]) -> dict[bytes, Person]:
    """Whom these facts put into a bed: of two in one bed nothing else says who they are."""
    found = conn.cursor(row_factory=class_row(Person)).execute(_PERSONS_SQL, (list(facts),))
    return {bytes(person.fact): person for person in found}
