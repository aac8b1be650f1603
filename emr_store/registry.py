"""The registry: edges and their keys, the platform's own, devices and beds."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import psycopg

from evidence.signature import key_id
from schemas.errors import VitalwireError

ID_CHARS_MIN = 4  # of an id that is not written out: fewer are a slip of the finger


class KeyRow(NamedTuple):
    """A key of a registered edge; instants in microseconds."""

    key_id: bytes
    edge: UUID
    public_der: bytes
    valid_from_us: int
    valid_until_us: int
    revoked: bool


class EdgeRow(NamedTuple):
    """A registered edge with one of its keys."""

    edge: UUID
    label: str
    key_id: bytes
    valid_from: datetime
    valid_until: str
    revoked_at: datetime | None


class DeviceRow(NamedTuple):
    """A device that has spoken, or that a person has adopted."""

    uuid: UUID
    claim: str | None
    name: str | None
    bed: str | None
    adopted_at: datetime | None
    first_seen_at: datetime
    edge: UUID


def edge_keys(conn: psycopg.Connection) -> list[KeyRow]:
    """All keys, revoked ones too: what `validate` caches."""
    rows = conn.execute(
        "SELECT key_id, edge, public_der, (extract(epoch FROM valid_from) * 1000000)::int8,"
        " CASE WHEN valid_until = 'infinity' THEN 9223372036854775807"
        " ELSE (extract(epoch FROM valid_until) * 1000000)::int8 END, revoked_at IS NOT NULL FROM edge_key"
    )
    return [KeyRow(bytes(r[0]), r[1], bytes(r[2]), *r[3:]) for r in rows]


def add_edge(
    conn: psycopg.Connection, edge: UUID, label: str, public_der: bytes, valid_until: datetime | None = None
) -> None:
    """Register an edge's key; the edge too where it is new. Raises VitalwireError where the key is another edge's."""
    with conn.transaction():
        conn.execute(
            "INSERT INTO edge (edge, label) VALUES (%s, %s) ON CONFLICT (edge) DO UPDATE SET label = excluded.label",
            (edge, label),
        )
        conn.execute(
            "INSERT INTO edge_key (key_id, edge, public_der, valid_until)"
            " VALUES (%s, %s, %s, coalesce(%s::timestamptz, 'infinity')) ON CONFLICT (key_id) DO NOTHING",
            (key_id(public_der), edge, public_der, valid_until),
        )
        row = conn.execute("SELECT edge FROM edge_key WHERE key_id = %s", (key_id(public_der),)).fetchone()
        if row is None or row[0] != edge:
            raise VitalwireError("this key is registered for another edge: make a new one with `vitalwire edge keygen`")


def edges(conn: psycopg.Connection) -> list[EdgeRow]:
    """Every registered edge, a row a key."""
    rows = conn.execute(
        "SELECT edge, label, key_id, valid_from, valid_until::text, revoked_at FROM edge JOIN edge_key USING (edge)"
        " ORDER BY label, valid_from"
    )
    return [EdgeRow(r[0], r[1], bytes(r[2]), *r[3:]) for r in rows]


def revoke_edge(conn: psycopg.Connection, edge: UUID) -> int:
    """Revoke all keys of an edge; how many."""
    return conn.execute(
        "UPDATE edge_key SET revoked_at = now() WHERE edge = %s AND revoked_at IS NULL", (edge,)
    ).rowcount


def note_platform_key(conn: psycopg.Connection, public_der: bytes) -> None:
    """Keep the public half of the platform's key: `verify` needs it as long as what it signed."""
    conn.execute(
        "INSERT INTO platform_key (key_id, public_der) VALUES (%s, %s) ON CONFLICT DO NOTHING",
        (key_id(public_der), public_der),
    )


def devices(conn: psycopg.Connection) -> list[DeviceRow]:
    """Every device, those that nobody has adopted first."""
    rows = conn.execute(
        "SELECT uuid, claim, name, bed, adopted_at, first_seen_at, edge FROM device"
        " ORDER BY adopted_at IS NOT NULL, bed, claim, uuid"
    )
    return [DeviceRow(*r) for r in rows]


def adopt(conn: psycopg.Connection, device: str, bed: str, name: str) -> DeviceRow:
    """Give a device its bed and name ("" leaves the name); `device` is its id, the beginning of it, or its claim.

    Raises VitalwireError where none or several fit.
    """
    uuid = find_device(conn, device)
    conn.execute(
        "UPDATE device SET bed = %s, name = coalesce(nullif(%s, ''), name), adopted_at = now() WHERE uuid = %s",
        (bed, name, uuid),
    )
    return next(d for d in devices(conn) if d.uuid == uuid)


def find_device(conn: psycopg.Connection, device: str) -> UUID:
    """The device of this id, beginning of an id, or claim; raises VitalwireError where none or several fit."""
    beginning = device.lower() if len(device) >= ID_CHARS_MIN else None
    rows = conn.execute(
        "SELECT uuid FROM device WHERE starts_with(uuid::text, %s) OR claim = %s LIMIT 2", (beginning, device)
    ).fetchall()
    if len(rows) != 1:
        found = "no device" if not rows else "several devices"
        raise VitalwireError(f"{found} named {device!r}: see `vitalwire devices list` for ids")
    uuid: UUID = rows[0][0]
    return uuid


def label_channel(conn: psycopg.Connection, device: str, channel: int, label: str) -> int:
    """Call a channel of a device so ("": as its sender does); how many rows of it there are.

    Raises VitalwireError where no or several devices fit.
    """
    return conn.execute(
        "UPDATE channel c SET label = nullif(%s, '') FROM device d"
        " WHERE d.device = c.device AND d.uuid = %s AND c.channel = %s",
        (label, find_device(conn, device), channel),
    ).rowcount
