"""The screens of wards: rows of `station_display`. One is listed and revoked as a device is."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID, uuid4

import psycopg
from psycopg.rows import class_row

from emr_store import acts
from emr_store.acts import Author

LINK_LASTS = timedelta(minutes=15)
PRINCIPAL = "display:"


class DisplayRow(NamedTuple):
    """A screen as kept; `open_until`: of its link."""

    display: UUID
    ward: str
    label: str
    open_until: datetime
    enrolled_at: datetime | None
    revoked_at: datetime | None

    @property
    def principal(self) -> str:
        """Of its sessions."""
        return f"{PRINCIPAL}{self.display}"


_COLUMNS = "display, ward, label, open_until, enrolled_at, revoked_at"


def add(conn: psycopg.Connection, ward: str, label: str, author: Author, code_sha256: bytes) -> DisplayRow:
    """It is there as soon as a browser has opened the link of this code."""
    with conn.transaction():
        at, display = acts.now(conn), uuid4()
        act_id = acts.record(conn, acts.act("display.add", author, at, display=str(display), ward=ward, label=label))
        cursor = conn.cursor(row_factory=class_row(DisplayRow))
        row = cursor.execute(
            "INSERT INTO station_display (display, ward, label, code_sha256, open_until, act_id)"
            f" VALUES (%s, %s, %s, %s, %s, %s) RETURNING {_COLUMNS}".encode(),
            (display, ward, label, code_sha256, at + LINK_LASTS, act_id),
        ).fetchone()
        assert row is not None
        return row


def enrol(conn: psycopg.Connection, code_sha256: bytes, address: str) -> DisplayRow | None:
    """A browser opened the link: once, and in time; None: it does not open."""
    with conn.transaction():
        at, cursor = acts.now(conn), conn.cursor(row_factory=class_row(DisplayRow))
        found = cursor.execute(
            f"SELECT {_COLUMNS} FROM station_display WHERE code_sha256 = %s AND enrolled_at IS NULL"
            " AND revoked_at IS NULL AND open_until > %s FOR UPDATE".encode(),
            (code_sha256, at),
        ).fetchone()
        if found is None:
            return None
        author = Author(found.principal)
        act_id = acts.record(conn, acts.act("display.enrol", author, at, display=str(found.display), address=address))
        return cursor.execute(
            "UPDATE station_display SET enrolled_at = %s, act_id = %s WHERE display = %s"
            f" RETURNING {_COLUMNS}".encode(),
            (at, act_id, found.display),
        ).fetchone()


def revoke(conn: psycopg.Connection, display: UUID, author: Author) -> bool:
    """It shows nothing any more: its sessions end; False: there is none that is not revoked."""
    with conn.transaction():
        at = acts.now(conn)
        found = find(conn, display)
        if found is None or found.revoked_at is not None:
            return False
        act_id = acts.record(conn, acts.act("display.revoke", author, at, display=str(display)))
        conn.execute(
            "UPDATE station_display SET revoked_at = %s, act_id = %s WHERE display = %s", (at, act_id, display)
        )
        conn.execute(
            "UPDATE login_session SET ended_at = %s, ended_by = %s, end_reason = 'display revoked'"
            " WHERE principal = %s AND ended_at IS NULL",
            (at, author.by, found.principal),
        )
        return True


def find(conn: psycopg.Connection, display: UUID) -> DisplayRow | None:
    """Of this id, revoked ones too."""
    cursor = conn.cursor(row_factory=class_row(DisplayRow))
    sql = f"SELECT {_COLUMNS} FROM station_display WHERE display = %s"
    return cursor.execute(sql.encode(), (display,)).fetchone()


def displays(conn: psycopg.Connection) -> list[DisplayRow]:
    """All, revoked ones too, by ward."""
    cursor = conn.cursor(row_factory=class_row(DisplayRow))
    return cursor.execute(f"SELECT {_COLUMNS} FROM station_display ORDER BY ward, label, display".encode()).fetchall()


def wards(conn: psycopg.Connection) -> list[str]:
    """Those that have beds (clinical/wards.py)."""
    rows = conn.execute("SELECT DISTINCT ward_of_bed(bed) AS ward FROM bed_name WHERE bed <> '' ORDER BY ward")
    return [ward for (ward,) in rows]
