"""Looks: who saw what, from when until when at the latest. A row is written before the first byte goes out."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import psycopg


@dataclass(frozen=True)
class Look:
    """One interval of one viewer. `stays`: how many were seen, where they are too many to be listed."""

    look: UUID
    person: str
    role: str
    action: str
    page: str
    encounters: tuple[str, ...]
    patients: tuple[str, ...]
    stays: int
    detail: str
    relation: str
    restricted: bool
    session: str
    address: str
    reason: str
    from_at: datetime
    until_at: datetime


def write(conn: psycopg.Connection, look: Look) -> None:
    """Committed when it returns."""
    conn.execute(
        "INSERT INTO look (look, person, role, action, page, encounters, patients, stays, detail, relation, restricted,"
        " session, address, reason, from_at, until_at)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
        (look.look, look.person, look.role, look.action, look.page, list(look.encounters), list(look.patients),
         look.stays, look.detail, look.relation, look.restricted, look.session, look.address, look.reason,
         look.from_at, look.until_at),
    )  # fmt: skip
