"""The registry: edges and their keys, the platform's own, devices and beds."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

import psycopg
from psycopg.rows import class_row

from emr_store import acts
from emr_store.acts import Author
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


class Renewal(NamedTuple):
    """What a further key of an edge did to its older ones.

    Those that are valid are so until `older_valid_until` at the longest; `expired_key` had expired, and ends with the
    renewal now (None: there was none).
    """

    older_valid_until: datetime
    expired_key: bytes | None


class EdgeRow(NamedTuple):
    """A registered edge with one of its keys."""

    edge: UUID
    label: str
    key_id: bytes
    valid_from: datetime
    valid_until: str
    revoked_at: datetime | None


class DeviceRow(NamedTuple):
    """A device as heard through one edge.

    `bed` is where it stands now, since when; None: nowhere. `registered_at` None: nobody has registered it yet.
    `foreign_edge`: it is registered, belongs to another edge, and nobody agreed that this one speaks for it.
    `shown_as` tells this row on a screen from those of other edges; it is `uuid` for the edge that spoke of it first.
    """

    uuid: UUID
    claim: str | None
    name: str | None
    bed: str | None
    since: datetime | None
    registered_at: datetime | None
    first_seen_at: datetime
    edge: UUID
    edge_label: str | None
    foreign_edge: bool
    shown_as: UUID


def edge_keys(conn: psycopg.Connection) -> list[KeyRow]:
    """All keys, revoked ones too: what `validate` caches."""
    rows = conn.execute(
        "SELECT key_id, edge, public_der, (extract(epoch FROM valid_from) * 1000000)::int8,"
        " CASE WHEN valid_until = 'infinity' THEN 9223372036854775807"
        " ELSE (extract(epoch FROM valid_until) * 1000000)::int8 END, revoked_at IS NOT NULL FROM edge_key"
    )
    return [KeyRow(bytes(r[0]), r[1], bytes(r[2]), *r[3:]) for r in rows]


def add_edge(
    conn: psycopg.Connection, edge: UUID, label: str, public_der: bytes, valid_until: datetime | None = None, *,
    author: Author | None = None,
) -> None:  # fmt: skip
    """Register an edge's key; the edge too where it is new.

    What is registered already stays as it is, and is no act. Raises VitalwireError where the key is another edge's, was
    revoked or has expired: it would not be believed.
    """
    with conn.transaction():
        labelled = conn.execute(
            "INSERT INTO edge AS e (edge, label) VALUES (%s, %s)"
            " ON CONFLICT (edge) DO UPDATE SET label = excluded.label WHERE e.label <> excluded.label",
            (edge, label),
        ).rowcount
        added = _add_key(conn, edge, public_der, valid_until)
        if labelled or added:
            acts.record(conn, acts.act(
                "edge.register", author, acts.now(conn), edge=str(edge), label=label, key_id=key_id(public_der).hex(),
                valid_until=valid_until and valid_until.isoformat(),
            ))  # fmt: skip


def renew_edge(
    conn: psycopg.Connection, edge: UUID, public_der: bytes, overlap: timedelta, valid_until: datetime | None = None, *,
    author: Author | None = None,
) -> Renewal:  # fmt: skip
    """Register a further key of an edge, valid from now; what becomes of its older ones.

    Where the newest of them has expired, its end becomes this moment: what the edge went on sealing with it is then
    admitted for as long as what an expired key had sealed before its end. An older one that another took the place of
    stays expired.

    Raises VitalwireError where the edge is not registered, and where the key is known already.
    """
    with conn.transaction():
        if not conn.execute("SELECT FROM edge WHERE edge = %s FOR UPDATE", (edge,)).rowcount:
            raise VitalwireError(f"no edge {edge} is registered: `vitalwire registry edge add` registers one")
        if not _add_key(conn, edge, public_der, valid_until):
            raise VitalwireError("the edge has this key already: make a new one with `vitalwire edge keygen`")
        at = acts.now(conn)
        ends = at + overlap
        older = conn.execute(
            "UPDATE edge_key SET valid_until = %s WHERE edge = %s AND key_id <> %s AND revoked_at IS NULL"
            " AND valid_until > %s RETURNING key_id",
            (ends, edge, key_id(public_der), ends),
        ).fetchall()
        expired = _extend_expired_key(conn, edge, key_id(public_der), at)
        acts.record(conn, acts.act(
            "key.renew", author, at, edge=str(edge), key_id=key_id(public_der).hex(),
            valid_until=valid_until and valid_until.isoformat(),
            older_keys=sorted(bytes(row[0]).hex() for row in older), older_valid_until=ends.isoformat(),
            expired_key=expired and expired.hex(), expired_valid_until=at.isoformat() if expired else None,
        ))  # fmt: skip
        return Renewal(ends, expired)


def _extend_expired_key(conn: psycopg.Connection, edge: UUID, new_key: bytes, at: datetime) -> bytes | None:
    """Let the newest older key of an edge, where it has expired and is not revoked, end now; which one that was."""
    row = conn.execute(
        "UPDATE edge_key SET valid_until = %(at)s WHERE valid_until <= %(at)s AND key_id ="
        " (SELECT key_id FROM edge_key WHERE edge = %(edge)s AND key_id <> %(new)s AND revoked_at IS NULL"
        " ORDER BY valid_from DESC, key_id LIMIT 1) RETURNING key_id",
        {"at": at, "edge": edge, "new": new_key},
    ).fetchone()
    return None if row is None else bytes(row[0])


def _add_key(conn: psycopg.Connection, edge: UUID, public_der: bytes, valid_until: datetime | None) -> bool:
    """Whether the key is new; raises VitalwireError where it is another edge's, or known and no longer valid."""
    ident = key_id(public_der)
    added = conn.execute(
        "INSERT INTO edge_key (key_id, edge, public_der, valid_until)"
        " VALUES (%s, %s, %s, coalesce(%s::timestamptz, 'infinity')) ON CONFLICT (key_id) DO NOTHING",
        (ident, edge, public_der, valid_until),
    ).rowcount
    row = conn.execute(
        "SELECT edge, revoked_at IS NOT NULL, valid_until <= clock_timestamp() FROM edge_key WHERE key_id = %s",
        (ident,),
    ).fetchone()
    if row is None or row[0] != edge:
        raise VitalwireError("this key is registered for another edge: make a new one with `vitalwire edge keygen`")
    _, revoked, expired = row
    if revoked:
        raise VitalwireError("this key was revoked: make a new one with `vitalwire edge keygen`")
    if expired and not added:
        raise VitalwireError("this key has expired: `vitalwire registry edge renew` gives the edge a new one")
    return added > 0


def edges(conn: psycopg.Connection) -> list[EdgeRow]:
    """Every registered edge, a row a key."""
    rows = conn.execute(
        "SELECT edge, label, key_id, valid_from, valid_until::text, revoked_at FROM edge JOIN edge_key USING (edge)"
        " ORDER BY label, valid_from"
    )
    return [EdgeRow(r[0], r[1], bytes(r[2]), *r[3:]) for r in rows]


def revoke_edge(conn: psycopg.Connection, edge: UUID, *, author: Author | None = None) -> int:
    """Revoke all keys of an edge; how many."""
    with conn.transaction():
        revoked = conn.execute(
            "UPDATE edge_key SET revoked_at = now() WHERE edge = %s AND revoked_at IS NULL RETURNING key_id", (edge,)
        ).fetchall()
        if revoked:
            acts.record(conn, acts.act(
                "key.revoke", author, acts.now(conn), edge=str(edge),
                keys=sorted(bytes(row[0]).hex() for row in revoked),
            ))  # fmt: skip
        return len(revoked)


def note_platform_key(conn: psycopg.Connection, public_der: bytes) -> None:
    """Keep the public half of the platform's key: `verify` needs it as long as what it signed."""
    conn.execute(
        "INSERT INTO platform_key (key_id, public_der) VALUES (%s, %s) ON CONFLICT DO NOTHING",
        (key_id(public_der), public_der),
    )


_DEVICES_SQL = """
SELECT d.uuid, d.claim, g.name, b.bed, lower(b.valid) AS since, g.registered_at, d.first_seen_at, d.edge,
    x.label AS edge_label, g.uuid IS NOT NULL AND e.device IS NULL AS foreign_edge, v.shown_as
FROM device d
JOIN device_shown v USING (device)
LEFT JOIN registered_device g ON g.uuid = d.uuid
LEFT JOIN device_bed_believed b ON b.device = d.device AND b.valid @> clock_timestamp()
LEFT JOIN device_edge_believed e ON e.device = d.device AND e.valid @> clock_timestamp()
LEFT JOIN edge x ON x.edge = d.edge
ORDER BY g.uuid IS NOT NULL, b.bed, d.claim, d.uuid, foreign_edge, d.device
"""


def devices(conn: psycopg.Connection) -> list[DeviceRow]:
    """Every device, a row for each edge that speaks of it; those that nobody has registered first."""
    return conn.cursor(row_factory=class_row(DeviceRow)).execute(_DEVICES_SQL).fetchall()


# Claims of what stands at no bed: edges, their sources, admission offices, scanners.
NO_BEDSIDE = ("edge:", "source:", "adt:", "scan:")


def devices_that_measure(conn: psycopg.Connection) -> list[DeviceRow]:
    """Without what edges say of themselves and their sources, without admission offices and scanners."""
    return [device for device in devices(conn) if not (device.claim or "").startswith(NO_BEDSIDE)]


def find_device(conn: psycopg.Connection, device: str) -> UUID:
    """The device of this id, beginning of an id, or claim, else of this name, else the only one at this bed now.

    Raises VitalwireError where none or several fit.
    """
    beginning = device.lower() if len(device) >= ID_CHARS_MIN else None
    rows = conn.execute(
        "SELECT DISTINCT uuid FROM device WHERE starts_with(uuid::text, %s) OR claim = %s LIMIT 2", (beginning, device)
    ).fetchall()
    for sql in (_NAMED_SQL, _AT_BED_SQL):
        rows = rows or conn.execute(sql, (device,)).fetchall()
    if len(rows) != 1:
        found = "no device" if not rows else "several devices"
        raise VitalwireError(f"{found} named {device!r}: see `vitalwire devices list` for ids")
    uuid: UUID = rows[0][0]
    return uuid


_NAMED_SQL = "SELECT uuid FROM registered_device WHERE name = %s AND name <> '' LIMIT 2"
_AT_BED_SQL = """
SELECT uuid FROM registered_device JOIN device_bed USING (registered_device)
WHERE bed = %s AND upper_inf(recorded) AND valid @> clock_timestamp() LIMIT 2
"""


def label_channel(
    conn: psycopg.Connection, device: str, channel: int, label: str, *, author: Author | None = None
) -> int:
    """Call a channel of a device so ("": as its sender does); how many rows of it there are.

    Raises VitalwireError where no or several devices fit.
    """
    with conn.transaction():
        uuid = find_device(conn, device)
        count = conn.execute(
            "UPDATE channel c SET label = nullif(%s, '') FROM device d"
            " WHERE d.device = c.device AND d.uuid = %s AND c.channel = %s",
            (label, uuid, channel),
        ).rowcount
        if count:
            acts.record(conn, acts.act(
                "channel.label", author, acts.now(conn), device=str(uuid), channel=channel, label=label
            ))  # fmt: skip
        return count
