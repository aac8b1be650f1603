"""Stays and encounters as rows: what is believed, and what is written where it was computed anew."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import msgspec
import psycopg
from psycopg.types.multirange import TimestamptzMultirange
from psycopg.types.range import TimestamptzRange

from clinical.differences import differences
from clinical.encounter import Encounter, Stay
from clinical.identity import Links
from clinical.stays import Stays
from emr_store.instants import moment, us_of

_body = msgspec.json.Decoder(Encounter)


class BelievedEncounter(msgspec.Struct, frozen=True):
    """An encounter, and whose it is by the links that are known."""

    encounter: Encounter
    patient: str | None


@dataclass
class Changed:
    """What a recomputation changed."""

    beds: set[str] = field(default_factory=set)
    encounters: set[str] = field(default_factory=set)
    rows: int = 0


def write(
    conn: psycopg.Connection, stays: Stays, patients: Links, touched: Collection[str], recorded_at: datetime
) -> Changed:
    """Write only what differs from what is believed of the encounters that were touched, by their raw keys."""
    changed = Changed()
    encounters = [
        BelievedEncounter(encounter, patient_of(encounter, patients)) for encounter in stays.encounters.values()
    ]
    _write_stays(conn, stays.stays, touched, recorded_at, changed)
    _write_encounters(conn, encounters, touched, recorded_at, changed)
    # Whose the devices there are follows from the encounter too: a merge changes the patient and no bed.
    changed.beds |= {stay.bed for stay in stays.stays if stay.encounter in changed.encounters}
    return changed


def patient_of(encounter: Encounter, patients: Links) -> str | None:
    """The survivor; None: its messages name two that no merge made one, or none."""
    found = {patients.find(patient) for patient in encounter.patients}
    return found.pop() if len(found) == 1 else None


def _write_stays(
    conn: psycopg.Connection, stays: Iterable[Stay], touched: Collection[str], recorded_at: datetime, changed: Changed
) -> None:
    changes = differences(stays_of_encounters(conn, touched), stays)
    with conn.cursor() as cursor:
        cursor.executemany(
            "UPDATE encounter_bed SET recorded = tstzrange(lower(recorded), %s)"
            " WHERE encounter = %s AND lower(valid) = %s AND upper_inf(recorded)",
            [(recorded_at, stay.encounter, moment(stay.from_us)) for stay in changes.to_end],
        )
        cursor.executemany(
            "INSERT INTO encounter_bed VALUES (%s, %s, %s, tstzrange(%s, NULL), %s, %s, %s)",
            [
                (s.encounter, s.bed, valid(s.from_us, s.until_us), recorded_at, s.from_fact, s.until_fact,
                 s.until_planned) for s in changes.to_begin
            ],
        )  # fmt: skip
    for stay in (*changes.to_end, *changes.to_begin):
        changed.beds.add(stay.bed)
        changed.encounters.add(stay.encounter)
        changed.rows += 1


def _write_encounters(
    conn: psycopg.Connection, encounters: Iterable[BelievedEncounter], touched: Collection[str],
    recorded_at: datetime, changed: Changed,
) -> None:  # fmt: skip
    changes = differences(believed_encounters(conn, keys=touched), encounters)
    with conn.cursor() as cursor:
        cursor.executemany(
            "UPDATE encounter SET recorded = tstzrange(lower(recorded), %s) WHERE encounter = %s"
            " AND upper_inf(recorded)",
            [(recorded_at, believed.encounter.key) for believed in changes.to_end],
        )
        cursor.executemany(
            "INSERT INTO encounter VALUES (%s, %s, %s, %s, %s, %s, %s, %s, tstzrange(%s, NULL))",
            [(*_encounter_row(believed), recorded_at) for believed in changes.to_begin],
        )
    for believed in (*changes.to_end, *changes.to_begin):
        changed.encounters.add(believed.encounter.key)
        changed.rows += 1


def _encounter_row(believed: BelievedEncounter) -> tuple[Any, ...]:
    encounter = believed.encounter
    return (
        encounter.key, believed.patient, list(encounter.patients), _multirange(encounter.periods),
        _multirange(encounter.absences), moment(encounter.admitted_at_us), moment(encounter.discharged_at_us),
        msgspec.json.encode(encounter).decode(),
    )  # fmt: skip


def valid(from_us: int, until_us: int | None) -> TimestamptzRange:
    """[from, until) as PostgreSQL has it."""
    return TimestamptzRange(moment(from_us), moment(until_us))


def _multirange(spans: Iterable[Any]) -> TimestamptzMultirange:
    return TimestamptzMultirange([valid(span.from_us, span.until_us) for span in spans])


# --- reading ---------------------------------------------------------------------------------------------------------

_STAY_COLUMNS = "encounter, bed, lower(valid), upper(valid), from_fact, until_fact, until_planned"


def stays_of_encounters(conn: psycopg.Connection, encounters: Collection[str]) -> list[Stay]:
    """As believed now."""
    sql = f"SELECT {_STAY_COLUMNS} FROM encounter_bed WHERE encounter = ANY(%s) AND upper_inf(recorded)"
    return [_stay(row) for row in conn.execute(sql.encode(), (list(encounters),))]


def stays_in_beds(conn: psycopg.Connection, beds: Collection[str]) -> list[Stay]:
    """As believed now, by their begin."""
    sql = f"SELECT {_STAY_COLUMNS} FROM encounter_bed WHERE bed = ANY(%s) AND upper_inf(recorded) ORDER BY lower(valid)"
    return [_stay(row) for row in conn.execute(sql.encode(), (list(beds),))]


def _stay(row: tuple[Any, ...]) -> Stay:
    encounter, bed, from_at, until_at, from_fact, until_fact, planned = row
    return Stay(
        encounter=encounter,
        bed=bed,
        from_us=us_of(from_at),
        until_us=us_of(until_at),
        from_fact=bytes(from_fact),
        until_fact=None if until_fact is None else bytes(until_fact),
        until_planned=planned,
    )


def believed_encounters(
    conn: psycopg.Connection, *, keys: Collection[str] = (), patients: Collection[str] = ()
) -> list[BelievedEncounter]:
    """Those of these keys, and those of these patients, as believed now."""
    rows = conn.execute(
        "SELECT body, patient FROM encounter WHERE encounter = ANY(%s) AND upper_inf(recorded)"
        " UNION SELECT body, patient FROM encounter WHERE patient = ANY(%s) AND upper_inf(recorded)",
        (list(keys), list(patients)),
    )
    return [BelievedEncounter(_body.decode(body), patient) for body, patient in rows]
