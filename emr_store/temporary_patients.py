"""Patients whom nobody can name, by acts of people: facts like those of an admission office, and links later."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from secrets import token_hex

import psycopg

from clinical.facts import make_fact
from clinical.key_words import visit_words
from clinical.temporary_patients import AUTHORITY, NAME, NUMBER_TYPE, SOURCE_NAME, Act, admission, link_groups
from emr_store import acts, adt_facts, attribution, patients
from emr_store.acts import Author
from emr_store.adt_facts import StoredGroup
from emr_store.attribution_site import AttributionSite
from emr_store.instants import us_of
from schemas.adt import AdtGroup, Person
from schemas.errors import VitalwireError


@dataclass(frozen=True)
class Temporary:
    """A temporary patient in a bed; `number` is what people call it by."""

    number: str
    patient: str
    encounter: str
    bed: str
    since: datetime


@dataclass(frozen=True)
class Linked:
    """A temporary patient and who it is; `encounter` is the visit that the temporary one goes on as, None: none yet."""

    number: str
    patient: str
    encounter: str | None


def admit(
    conn: psycopg.Connection, site: AttributionSite, bed_name: str, *, since: datetime | None = None,
    author: Author | None = None,
) -> Temporary:  # fmt: skip
    """Put a patient of a new temporary number into a bed, from `since` (None: now) on.

    Raises VitalwireError for a bed that is not registered, one that somebody is in, and a moment ahead.
    """
    bed = site.bed_by_label.get(bed_name)
    if bed is None:
        raise VitalwireError(f"no [[bed]] has the name {bed_name!r}: it is one of {', '.join(site.bed_by_label)}")
    with conn.transaction():
        at = attribution.begin(conn)
        moment = since or at
        if moment > at:
            raise VitalwireError(f"--since {moment.isoformat()} lies ahead: say it when it has happened")
        there = [visit_words(row.encounter).en for row in patients.beds_now(conn) if row.bed == bed]
        if there:
            raise VitalwireError(
                f"{', '.join(there)} is in {bed_name} by ADT: have its transfer or discharge sent first"
            )
        number = f"T{token_hex(4)}"
        act_id = acts.record(conn, acts.act(
            "patient.temporary", author, acts.now(conn), number=number, bed=bed_name, since=moment.isoformat()
        ))  # fmt: skip
        group = admission(Act(act_id, us_of(at)), number, bed, us_of(moment))
        encounter = f"visit:{number}^{AUTHORITY}"
        _store(conn, site, [group], Person(name=NAME), act_id, at, [encounter])
        return Temporary(number, _key(number), encounter, bed, moment)


def link(
    conn: psycopg.Connection, site: AttributionSite, number: str, patient: str, *, author: Author | None = None
) -> Linked:
    """Say who a temporary patient is: `patient` is a number of it, or of a visit.

    Its open visit, where there is one, goes on from the temporary one. Raises VitalwireError where `number` is no
    temporary patient, and where the patient or the visit is not clear.
    """
    with conn.transaction():
        at = attribution.begin(conn)
        if not conn.execute(
            "SELECT FROM adt_fact WHERE patient = %s AND source = %s", (_key(number), SOURCE_NAME)
        ).rowcount:
            raise VitalwireError(f"{number!r} is no temporary patient: `vitalwire patients list` shows them, as T...")
        key = patients.find_patient(conn, patient)
        if key == _key(number):
            raise VitalwireError(f"{patient!r} is the temporary patient itself: name the patient who it is")
        temporary = f"visit:{number}^{AUTHORITY}"
        visit = _open_visit(conn, key, patient, temporary)
        act_id = acts.record(conn, acts.act(
            "patient.link", author, acts.now(conn), number=number, patient=key, encounter=visit
        ))  # fmt: skip
        groups = link_groups(Act(act_id, us_of(at)), number, key, visit)
        _store(conn, site, groups, None, act_id, at, [temporary, *([visit] if visit else [])])
        return Linked(number, key, visit)


def _open_visit(conn: psycopg.Connection, patient: str, text: str, temporary: str) -> str | None:
    """The one that the text names, else the only one that is open."""
    rows = conn.execute(
        "SELECT encounter FROM encounter WHERE patient = %s AND upper_inf(recorded) AND upper_inf(open)"
        " AND encounter <> %s ORDER BY encounter",
        (patient, temporary),
    )
    visits: list[str] = [row[0] for row in rows]
    named = [visit for visit in visits if text in (visit, visit.partition(":")[2].partition("^")[0])]
    visits = named or visits
    if len(visits) > 1:
        raise VitalwireError(f"{patient} has {len(visits)} open visits: name one of {', '.join(visits)}")
    if visits and not visits[0].startswith("visit:"):
        raise VitalwireError(f"{visits[0]} has no visit number to go on as: have it sent in PV1-19 first")
    return visits[0] if visits else None


def _key(number: str) -> str:
    return f"{number}^{AUTHORITY}^{NUMBER_TYPE}"


def _store(
    conn: psycopg.Connection, site: AttributionSite, groups: Sequence[AdtGroup], person: Person | None, act_id: bytes,
    at: datetime, encounters: Iterable[str],
) -> None:  # fmt: skip
    """As facts of the act, which the attributor takes up."""
    source = site.source_named(SOURCE_NAME)
    stored = [
        StoredGroup(act_id, group.group, source.name, group, person, make_fact(group, source, site.beds, us_of(at)))
        for group in groups
    ]
    adt_facts.write_facts(conn, stored, at)
    with conn.cursor() as cursor:
        cursor.executemany("INSERT INTO attribution_encounter VALUES (%s)", [(key,) for key in encounters])
