"""What was ever believed of a patient: beds and devices, with the facts behind each, and when we believed it."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any, LiteralString, NamedTuple
from uuid import UUID

import psycopg
from psycopg.rows import class_row

ROWS_MAX = 300  # the newest of each kind


class BedBelief(NamedTuple):
    """In a bed during [since, until); believed until None: still is."""

    encounter: str
    bed: str  # key
    bed_as_sent: str  # by a message of this visit; "": none that is kept names the bed so
    since: datetime
    until: datetime | None
    believed_from: datetime
    believed_until: datetime | None
    planned_end: bool
    facts: list[bytes]


class StayHeader(NamedTuple):
    """What stands above a stay, as believed now. `patient` None: its messages name two; `bed` "": none is known."""

    patient: str | None
    admitted_at: datetime | None
    discharged_at: datetime | None
    bed: str  # key, of the last one
    bed_as_sent: str  # as in BedBelief


class DeviceBelief(NamedTuple):
    """The values of a device are the patient's during [since, until)."""

    device: UUID
    name: str
    since: datetime
    until: datetime | None
    believed_from: datetime
    believed_until: datetime | None
    basis: str
    facts: list[bytes]


class AdtMark(NamedTuple):
    """A message of an admission office about one of the patient's visits."""

    at: datetime
    event: str
    bed: str  # as sent


# Of a row of encounter_bed `b`.
_BED_AS_SENT: LiteralString = """
coalesce(
    (SELECT f.bed_as_sent FROM adt_fact f WHERE f.fact = b.from_fact AND f.bed = b.bed),
    (SELECT f.bed_as_sent FROM adt_fact f WHERE f.encounter = b.encounter AND f.bed = b.bed
     ORDER BY f.received_at DESC LIMIT 1), '')
"""
_BEDS_SQL: LiteralString = f"""
SELECT b.encounter, b.bed, {_BED_AS_SENT} AS bed_as_sent,
    lower(b.valid) AS since, upper(b.valid) AS until, lower(b.recorded) AS believed_from,
    upper(b.recorded) AS believed_until, b.until_planned AS planned_end,
    array_remove(ARRAY[b.from_fact, b.until_fact], NULL) AS facts
FROM encounter e JOIN encounter_bed b USING (encounter)
WHERE e.patient = %(patient)s AND upper_inf(e.recorded)
    AND (%(stays)s::text[] IS NULL OR e.encounter = ANY(%(stays)s))
ORDER BY lower(b.valid) DESC, lower(b.recorded) DESC LIMIT %(most)s
"""
_HEADER_SQL: LiteralString = f"""
SELECT e.patient, e.admitted_at, e.discharged_at, coalesce(last.bed, ''), coalesce(last.bed_as_sent, '')
FROM encounter e LEFT JOIN LATERAL (
    SELECT b.bed, {_BED_AS_SENT} AS bed_as_sent FROM encounter_bed b
    WHERE b.encounter = e.encounter AND upper_inf(b.recorded) ORDER BY lower(b.valid) DESC LIMIT 1) AS last ON true
WHERE e.encounter = %s AND upper_inf(e.recorded)
"""
_DEVICES_SQL = """
SELECT w.device, coalesce(g.name, d.claim, w.device::text) AS name, lower(w.valid) AS since, upper(w.valid) AS until,
    lower(w.recorded) AS believed_from, upper(w.recorded) AS believed_until, w.basis, w.facts
FROM whose w LEFT JOIN registered_device g ON g.uuid = w.device
LEFT JOIN LATERAL (SELECT claim FROM device d WHERE d.uuid = w.device ORDER BY d.device LIMIT 1) AS d ON true
WHERE w.patient = %(patient)s AND (%(stays)s::text[] IS NULL OR w.encounter = ANY(%(stays)s))
ORDER BY lower(w.valid) DESC, lower(w.recorded) DESC LIMIT %(most)s
"""
_ADT_SQL = """
SELECT f.happened_at AS at, f.event, f.bed_as_sent AS bed
FROM encounter e JOIN adt_fact f USING (encounter)
WHERE e.patient = %(patient)s AND upper_inf(e.recorded) AND f.live AND f.happened_at >= %(since)s
    AND f.happened_at < %(until)s AND e.encounter = ANY(%(stays)s)
ORDER BY f.happened_at, f.event
"""


def stay_header(conn: psycopg.Connection, encounter: str) -> StayHeader | None:
    """Of this stay; None: there is none of this key."""
    row = conn.execute(_HEADER_SQL, (encounter,)).fetchone()
    return None if row is None else StayHeader(*row)


def bed_beliefs(conn: psycopg.Connection, patient: str, stays: Collection[str] | None = None) -> list[BedBelief]:
    """The newest first, also what is not believed any more. `patient`: the survivor of merges; `stays` None: of all."""
    return conn.cursor(row_factory=class_row(BedBelief)).execute(_BEDS_SQL, _asked(patient, stays)).fetchall()


def device_beliefs(conn: psycopg.Connection, patient: str, stays: Collection[str] | None = None) -> list[DeviceBelief]:
    """Likewise, whose devices' values are."""
    return conn.cursor(row_factory=class_row(DeviceBelief)).execute(_DEVICES_SQL, _asked(patient, stays)).fetchall()


def adt_marks(
    conn: psycopg.Connection, patient: str, stays: Collection[str], since: datetime, until: datetime
) -> list[AdtMark]:
    """What admission offices said of these stays between two moments, by time."""
    asked = {"patient": patient, "stays": list(stays), "since": since, "until": until}
    return conn.cursor(row_factory=class_row(AdtMark)).execute(_ADT_SQL, asked).fetchall()


def _asked(patient: str, stays: Collection[str] | None) -> dict[str, Any]:
    return {"patient": patient, "stays": None if stays is None else list(stays), "most": ROWS_MAX}
