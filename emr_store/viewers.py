"""What ties a member of staff to wards, stays and trainees at a moment, in one question."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime

import psycopg
from psycopg.rows import class_row


@dataclass(frozen=True)
class GrantRow:
    """A relation to a stay, [from, until)."""

    encounter: str
    relation: str
    since: datetime
    until: datetime


@dataclass(frozen=True)
class StaffFacts:
    """Who somebody is by the newest staff file. `wards`: of the shift that was declared, else of the file."""

    staff: str
    name: str
    role: str
    licence: str
    licence_until: date | None
    wards: list[str]
    trainees: list[str]
    works: bool  # at the moment that was asked for


_STAFF_SQL = """
SELECT staff, name, role, licence, licence_until,
    coalesce(
        (SELECT array_agg(DISTINCT ward) FROM ward_shift w WHERE w.staff = s.staff AND w.valid @> %(at)s::timestamptz),
        s.wards) AS wards,
    ARRAY(SELECT trainee FROM supervision u
        WHERE u.supervisor = s.staff AND u.valid @> %(at)s::timestamptz) AS trainees,
    s.valid @> %(at)s::timestamptz AND (s.ended_at IS NULL OR s.ended_at > %(at)s) AS works
FROM staff s WHERE staff = %(staff)s
"""


def staff_facts(conn: psycopg.Connection, staff: str, at: datetime) -> StaffFacts | None:
    """Of this number; None: no staff file ever had it."""
    cursor = conn.cursor(row_factory=class_row(StaffFacts))
    return cursor.execute(_STAFF_SQL, {"staff": staff, "at": at}).fetchone()


def grants_of(conn: psycopg.Connection, staff: str, at: datetime) -> list[GrantRow]:
    """Those that hold at this moment or will; an end before its time counts."""
    cursor = conn.cursor(row_factory=class_row(GrantRow))
    return cursor.execute(
        "SELECT encounter, relation, lower(valid) AS since, least(upper(valid), ended_at) AS until"
        " FROM access_grant LEFT JOIN access_grant_end USING (grant_id)"
        " WHERE staff = %(staff)s AND least(upper(valid), ended_at) > %(at)s",
        {"staff": staff, "at": at},
    ).fetchall()
