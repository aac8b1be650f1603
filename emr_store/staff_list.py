"""Who works here, as an administrator looks at it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import psycopg
from psycopg.rows import class_row


@dataclass(frozen=True)
class StaffRow:
    """A person of the staff file. `keys`: how many of the person's security keys open; `ended_at` None: works here."""

    staff: str
    name: str
    role: str
    licence: str
    wards: list[str]
    ended_at: datetime | None
    keys: int


def staff_list(conn: psycopg.Connection, staff: str, limit: int) -> list[StaffRow]:
    """Of this number, or ("") all, by number; who ended comes last."""
    cursor = conn.cursor(row_factory=class_row(StaffRow))
    return cursor.execute(
        "SELECT staff, name, role, licence, wards, ended_at,"
        " (SELECT count(*) FROM security_key k WHERE k.staff = s.staff AND revoked_at IS NULL)::int AS keys"
        " FROM staff s WHERE %(staff)s = '' OR staff = %(staff)s ORDER BY ended_at IS NOT NULL, staff LIMIT %(limit)s",
        {"staff": staff, "limit": limit},
    ).fetchall()
