"""Which stays somebody may see, as a set that questions are joined with before they count, sort or page."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, LiteralString
from uuid import UUID

import psycopg


@dataclass(frozen=True)
class Sight:
    """What somebody's relations open at a moment: gateway/access/sight.py makes it of the access table.

    `everything`: each stay, of restricted records only where `restricted_too`. `wards`: what is theirs, or left them
    less than `own_ward_after` ago. `encounters`: by grants.
    """

    everything: bool
    wards: frozenset[str]
    encounters: frozenset[str]
    at: datetime
    own_ward_after: timedelta
    restricted_too: bool = False

    @property
    def parameters(self) -> Mapping[str, Any]:
        """Of VISIBLE_SQL."""
        return {
            "sight_everything": self.everything, "sight_restricted_too": self.restricted_too,
            "sight_wards": list(self.wards), "sight_encounters": list(self.encounters), "sight_at": self.at,
            "sight_left_at": self.at - self.own_ward_after,
        }  # fmt: skip


# Of a question that is not about what somebody may see of a patient: who looked at whom is the auditor's.
EVERY_STAY = Sight(
    everything=True, wards=frozenset(), encounters=frozenset(), at=datetime.fromtimestamp(0, UTC),
    own_ward_after=timedelta(0), restricted_too=True,
)  # fmt: skip


@dataclass(frozen=True)
class StayFacts:
    """What a decision about a stay is made of."""

    encounter: str
    patient: str | None
    wards: frozenset[str]  # that it belongs to
    restricted: bool


# A query of (encounter, patient): stands in the FROM or behind IN, and takes the parameters of a Sight by name.
# It is one SELECT, so that it becomes part of the question it stands in; and what is open by a ward or a grant is one
# array, so that few stays are found by their index.
VISIBLE_SQL: LiteralString = """
SELECT e.encounter, e.patient FROM encounter e
WHERE upper_inf(e.recorded) AND (
    %(sight_everything)s AND (%(sight_restricted_too)s OR coalesce(e.patient, '') NOT IN (
        SELECT r.patient FROM restricted_record r WHERE r.valid @> %(sight_at)s::timestamptz))
    OR e.encounter = ANY(%(sight_encounters)s::text[] || ARRAY(
        SELECT b.encounter FROM encounter_bed b
        WHERE upper_inf(b.recorded) AND b.bed <> '' AND ward_of_bed(b.bed) = ANY(%(sight_wards)s::text[])
            AND lower(b.valid) <= %(sight_at)s
            AND (upper(b.valid) IS NULL OR upper(b.valid) > %(sight_left_at)s))))
"""


def visible_stays(conn: psycopg.Connection, sight: Sight) -> dict[str, str | None]:
    """The patient of each stay that may be seen, by encounter."""
    return dict(conn.execute(VISIBLE_SQL, sight.parameters).fetchall())


def stay_facts(
    conn: psycopg.Connection, encounters: Collection[str], at: datetime, own_ward_after: timedelta
) -> dict[str, StayFacts]:
    """Of those of these stays that are believed."""
    rows = conn.execute(
        _FACTS_SQL, {"encounters": list(encounters), "at": at, "left_at": at - own_ward_after}
    ).fetchall()
    return {row[0]: StayFacts(row[0], row[1], frozenset(row[2]), row[3]) for row in rows}


_FACTS_SQL = """
SELECT e.encounter, e.patient,
    ARRAY(
        SELECT DISTINCT ward_of_bed(b.bed) FROM encounter_bed b
        WHERE b.encounter = e.encounter AND upper_inf(b.recorded) AND b.bed <> ''
            AND lower(b.valid) <= %(at)s AND (upper(b.valid) IS NULL OR upper(b.valid) > %(left_at)s)),
    EXISTS (SELECT FROM restricted_record r WHERE r.patient = e.patient AND r.valid @> %(at)s::timestamptz)
FROM encounter e WHERE upper_inf(e.recorded) AND e.encounter = ANY(%(encounters)s)
"""


def stays_of_patient(conn: psycopg.Connection, patient: str) -> list[str]:
    """All that are believed."""
    rows = conn.execute("SELECT encounter FROM encounter WHERE patient = %s AND upper_inf(recorded)", (patient,))
    return [row[0] for row in rows]


@dataclass(frozen=True)
class DevicePlace:
    """Whose the values of a device are, and on which ward it stands. `ward` "": on none that is known."""

    encounter: str | None
    ward: str


def device_place(conn: psycopg.Connection, device: UUID, at: datetime) -> DevicePlace:
    """At a moment, as believed now."""
    row = conn.execute(_DEVICE_SQL, {"device": device, "at": at}).fetchone()
    assert row is not None
    return DevicePlace(row[0], row[1] or "")


_DEVICE_SQL = """
SELECT
    (SELECT encounter FROM whose w WHERE w.device = %(device)s AND upper_inf(w.recorded)
        AND w.valid @> %(at)s::timestamptz),
    (SELECT ward_of_bed(n.bed) FROM device_bed b JOIN registered_device r USING (registered_device)
        JOIN bed_name n ON n.label = b.bed
     WHERE r.uuid = %(device)s AND upper_inf(b.recorded) AND b.valid @> %(at)s::timestamptz LIMIT 1)
"""
