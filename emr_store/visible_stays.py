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
    less than `own_ward_after` ago. `encounters`: by grants. `archived_before`: nothing discharged until then and not
    reopened; None: that too.
    """

    everything: bool
    wards: frozenset[str]
    encounters: frozenset[str]
    at: datetime
    own_ward_after: timedelta
    restricted_too: bool = False
    archived_before: datetime | None = None

    @property
    def parameters(self) -> Mapping[str, Any]:
        """Of VISIBLE_SQL."""
        return {
            "sight_everything": self.everything, "sight_restricted_too": self.restricted_too,
            "sight_wards": list(self.wards), "sight_encounters": list(self.encounters), "sight_at": self.at,
            "sight_left_at": self.at - self.own_ward_after, "sight_archived_before": self.archived_before,
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
    archived: bool


# Whose record is restricted at a moment, under every number of that person: a merge, before or after the restriction,
# changes nothing. A link is followed unless a later one undid it; links in a circle end.
_LINKED: LiteralString = """
    UNION
    SELECT CASE l.retired WHEN n.patient THEN l.survivor ELSE l.retired END
    FROM number n JOIN patient_link l ON l.retired = n.patient OR l.survivor = n.patient
    WHERE upper_inf(l.recorded) AND l.kind <> 'unlink' AND NOT EXISTS (
        SELECT FROM patient_link u WHERE u.kind = 'unlink' AND l.kind = 'link' AND upper_inf(u.recorded)
            AND (u.retired, u.survivor) IN ((l.retired, l.survivor), (l.survivor, l.retired))
            AND lower(u.recorded) >= lower(l.recorded))
"""
_RESTRICTED_NUMBERS: LiteralString = f"""
WITH RECURSIVE number (patient) AS (
    SELECT r.patient FROM restricted_record r WHERE r.valid @> %(sight_at)s::timestamptz {_LINKED})
SELECT patient FROM number
"""
# Of an encounter `e`: nearly all have one number, which is found in a hash; the others are compared one by one.
_IS_RESTRICTED: LiteralString = f"""
CASE WHEN e.patient = e.patients[1] AND cardinality(e.patients) = 1 THEN e.patient IN ({_RESTRICTED_NUMBERS})
    ELSE e.patients || e.patient && ARRAY({_RESTRICTED_NUMBERS}) END
"""

# Discharged so long ago that the chart is closed, and not reopened. By the admission office's time, else when it ended.
_IS_ARCHIVED: LiteralString = """
coalesce(coalesce(e.discharged_at, upper(e.open)) <= %(sight_archived_before)s::timestamptz, false) AND NOT EXISTS (
    SELECT FROM archive_reopening a WHERE a.encounter = e.encounter AND a.valid @> %(sight_at)s::timestamptz)
"""

# A query of (encounter, patient): stands in the FROM or behind IN, and takes the parameters of a Sight by name.
# It is one SELECT, so that it becomes part of the question it stands in; and what is open by a ward or a grant is one
# array, so that few stays are found by their index.
VISIBLE_SQL: LiteralString = f"""
SELECT e.encounter, e.patient FROM encounter e
WHERE upper_inf(e.recorded) AND (%(sight_archived_before)s::timestamptz IS NULL OR NOT ({_IS_ARCHIVED})) AND (
    %(sight_everything)s AND (%(sight_restricted_too)s OR NOT {_IS_RESTRICTED})
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
    conn: psycopg.Connection,
    encounters: Collection[str],
    at: datetime,
    own_ward_after: timedelta,
    archived_after: timedelta | None = None,
) -> dict[str, StayFacts]:
    """Of those of these stays that are believed. `archived_after` their discharge; None: none is."""
    rows = conn.execute(
        _FACTS_SQL,
        {
            "encounters": list(encounters),
            "sight_at": at,
            "sight_left_at": at - own_ward_after,
            "sight_archived_before": None if archived_after is None else at - archived_after,
        },
    ).fetchall()
    return {row[0]: StayFacts(row[0], row[1], frozenset(row[2]), row[3], row[4]) for row in rows}


_FACTS_SQL: LiteralString = f"""
SELECT e.encounter, e.patient,
    ARRAY(
        SELECT DISTINCT ward_of_bed(b.bed) FROM encounter_bed b
        WHERE b.encounter = e.encounter AND upper_inf(b.recorded) AND b.bed <> ''
            AND lower(b.valid) <= %(sight_at)s AND (upper(b.valid) IS NULL OR upper(b.valid) > %(sight_left_at)s)),
    {_IS_RESTRICTED},
    {_IS_ARCHIVED}
FROM encounter e WHERE upper_inf(e.recorded) AND e.encounter = ANY(%(encounters)s)
"""


def stays_of_patient(conn: psycopg.Connection, patient: str) -> list[str]:
    """All that are believed."""
    rows = conn.execute("SELECT encounter FROM encounter WHERE patient = %s AND upper_inf(recorded)", (patient,))
    return [row[0] for row in rows]


def restrictions_of(conn: psycopg.Connection, patient: str) -> list[str]:
    """The numbers of this person, by merges and links, whose restriction has no end."""
    sql = f"""
WITH RECURSIVE number (patient) AS (SELECT %s::text {_LINKED})
SELECT r.patient FROM restricted_record r JOIN number USING (patient) WHERE upper_inf(r.valid) ORDER BY 1
"""
    return [row[0] for row in conn.execute(sql.encode(), (patient,))]


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
