"""Where devices stand, and through which edges they are believed: bitemporal, each change with its act.

`valid` is when something was so in the ward, `recorded` is when it was believed. A change closes what was believed and
says the new: nothing is lost, and what was charted yesterday can be read as it was read yesterday.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, LiteralString, NamedTuple
from uuid import UUID

import psycopg

from emr_store import acts
from emr_store.acts import Author
from emr_store.registry import find_device
from schemas.errors import VitalwireError


@dataclass(frozen=True)
class Placed:
    """What an act made of a device; `bed` None: it stands nowhere. `replaced` is what was believed of later."""

    uuid: UUID
    name: str | None
    claim: str | None
    bed: str | None
    since: datetime
    replaced: tuple[Stay, ...] = ()


class Stay(NamedTuple):
    """A device on a bed; None where it has no beginning or no end."""

    bed: str
    since: datetime | None
    until: datetime | None


class _Registered(NamedTuple):
    number: int
    uuid: UUID
    at: datetime  # of the act, later than all that is recorded of this device


def assign(
    conn: psycopg.Connection, device: str, bed: str, *, name: str = "", since: datetime | None = None,
    edge: UUID | None = None, author: Author | None = None,
) -> Placed:  # fmt: skip
    """Put a device that is on no bed on one, and register it where nobody has yet; "" leaves its name.

    `device` is its id, the beginning of it, or its claim. `since` None: from now on. `edge` is the one that it belongs
    to, needed only for a new device that several edges speak of. Raises VitalwireError where none or several fit, where
    it is on a bed at that time, for an edge of one that is registered already, and for a name of blanks.
    """
    label = bed.strip()
    if not label:
        raise VitalwireError("--bed is empty: give the label that stands at the bed, e.g. --bed 'ICU-07'")
    if name and not name.strip():
        raise VitalwireError("--name is blank: give what stands on the device, e.g. --name '监护仪7', or leave it out")
    name = name.strip()
    with conn.transaction():
        uuid = find_device(conn, device)
        registered = _locked(conn, uuid)
        if registered is not None and edge is not None:
            raise VitalwireError(
                "it is registered already, so that --edge would change nothing: leave it out; `vitalwire devices agree`"
                " believes it through another edge"
            )
        home = _home(conn, uuid, edge) if registered is None else None
        at = acts.now(conn) if registered is None else registered.at
        moment = _moment(since, at)
        if registered is not None and (stay := _stay_at(conn, registered, moment)):
            raise VitalwireError(
                f"it is on {stay.bed} at that time: `vitalwire devices move` takes it to another bed, and"
                " `vitalwire devices release` from it"
            )
        details: dict[str, Any] = {"device": str(uuid), "bed": label, "since": moment.isoformat()}
        details |= {"name": name} if name else {}
        details |= {"edge": str(home.edge)} if home else {}
        act_id = acts.record(conn, acts.act("device.assign", author, at, **details))
        if home is not None:
            registered = _register(conn, uuid, home, at, act_id)
        assert registered is not None
        if name:
            conn.execute("UPDATE registered_device SET name = %s WHERE uuid = %s", (name, uuid))
        replaced = _write_stay(conn, registered, label, moment, act_id)
        return _placed(conn, uuid, label, moment, replaced)


def move(
    conn: psycopg.Connection, device: str, bed: str, *, since: datetime | None = None, author: Author | None = None
) -> Placed:
    """Take a device to another bed; what it said before stays where it was said.

    What is believed of the time after `since` is replaced. Raises VitalwireError where it is on no bed at that time.
    """
    label = bed.strip()
    if not label:
        raise VitalwireError("--bed is empty: give the label that stands at the bed, e.g. --bed 'ICU-08'")
    with conn.transaction():
        registered = _must_be_registered(conn, device)
        moment = _moment(since, registered.at)
        stay = _must_stay(conn, registered, moment)
        if stay.bed == label:
            raise VitalwireError(f"it is on {label} already at that time: nothing to move")
        act_id = acts.record(conn, acts.act(
            "device.move", author, registered.at,
            device=str(registered.uuid), bed=label, since=moment.isoformat(), **{"from": stay.bed},
        ))  # fmt: skip
        replaced = _write_stay(conn, registered, label, moment, act_id)
        return _placed(conn, registered.uuid, label, moment, replaced)


def release(
    conn: psycopg.Connection, device: str, *, since: datetime | None = None, author: Author | None = None
) -> Placed:
    """Take a device from its bed. Raises VitalwireError where it is on no bed at that time."""
    with conn.transaction():
        registered = _must_be_registered(conn, device)
        moment = _moment(since, registered.at)
        stay = _must_stay(conn, registered, moment)
        act_id = acts.record(conn, acts.act(
            "device.release", author, registered.at,
            device=str(registered.uuid), since=moment.isoformat(), **{"from": stay.bed},
        ))  # fmt: skip
        replaced = _write_stay(conn, registered, None, moment, act_id)
        return _placed(conn, registered.uuid, None, moment, replaced)


def rename(conn: psycopg.Connection, device: str, name: str, *, author: Author | None = None) -> UUID:
    """Call a registered device so; its id. Raises VitalwireError for an empty name."""
    if not name.strip():
        raise VitalwireError("the name is empty: give what stands on the device, e.g. '监护仪7'")
    with conn.transaction():
        registered = _must_be_registered(conn, device)
        conn.execute(
            "UPDATE registered_device SET name = %s WHERE registered_device = %s", (name.strip(), registered.number)
        )
        acts.record(conn, acts.act(
            "device.rename", author, registered.at, device=str(registered.uuid), name=name.strip()
        ))  # fmt: skip
        return registered.uuid


def agree(
    conn: psycopg.Connection, device: str, edge: UUID, *, since: datetime | None = None, author: Author | None = None
) -> UUID:
    """Believe a registered device also through this edge, from `since` on (None: all that it ever said through it).

    Raises VitalwireError where this edge has never spoken of it, or is agreed to already.
    """
    with conn.transaction():
        registered = _must_be_registered(conn, device)
        row = conn.execute(
            "SELECT device FROM device WHERE uuid = %s AND edge = %s", (registered.uuid, edge)
        ).fetchone()
        if row is None:
            raise VitalwireError(f"{edge} has never spoken of it: see `vitalwire devices list` for the edges that have")
        since = None if since is None else _moment(since, registered.at)
        begins_later = "lower(valid) > coalesce(%s::timestamptz, '-infinity')"
        known = conn.execute(
            f"SELECT {begins_later} FROM device_edge WHERE device = %s AND upper_inf(recorded)".encode(),
            (since, row[0]),
        ).fetchone()
        if known is not None and not known[0]:
            raise VitalwireError(f"it is believed through {edge} already: nothing to agree to")
        act_id = acts.record(conn, acts.act(
            "device.agree", author, registered.at, device=str(registered.uuid), edge=str(edge),
            since=since and since.isoformat(),
        ))  # fmt: skip
        _close_edge(conn, row[0], registered.at)
        _believe_edge(conn, row[0], since, registered.at, act_id)
        return registered.uuid


def stays(conn: psycopg.Connection, device: UUID) -> list[Stay]:
    """Where a device has stood, as believed now, oldest first."""
    rows = conn.execute(
        "SELECT bed, lower(valid), upper(valid) FROM device_bed JOIN registered_device USING (registered_device)"
        " WHERE uuid = %s AND upper_inf(recorded) ORDER BY valid",
        (device,),
    )
    return [Stay(*row) for row in rows]


def lock_stays(conn: psycopg.Connection, device: UUID) -> list[Stay]:
    """The same; no other act changes where it stands before this transaction ends, where it is registered."""
    _locked(conn, device)
    return stays(conn, device)


def believed_edges(conn: psycopg.Connection) -> dict[bytes, frozenset[bytes]]:
    """Through which edges each registered device is believed now; ids of 16 bytes."""
    rows = conn.execute(
        "SELECT uuid, edge FROM registered_device JOIN device USING (uuid) JOIN device_edge_believed USING (device)"
        " WHERE valid @> clock_timestamp()"
    ).fetchall()
    found: dict[bytes, set[bytes]] = {}
    for uuid, edge in rows:
        found.setdefault(uuid.bytes, set()).add(edge.bytes)
    return {uuid: frozenset(edges) for uuid, edges in found.items()}


# --- one device, locked ----------------------------------------------------------------------------------------------


class _Home(NamedTuple):
    device: int
    edge: UUID


def _home(conn: psycopg.Connection, uuid: UUID, edge: UUID | None) -> _Home:
    """The device as heard through the edge that it will belong to."""
    # Two people who register one device at once: the second waits, and finds it registered.
    conn.execute("SELECT pg_advisory_xact_lock(%s, hashtext(%s))", (_REGISTER_LOCK, str(uuid)))
    rows = conn.execute("SELECT device, edge FROM device WHERE uuid = %s ORDER BY device", (uuid,)).fetchall()
    fit = [_Home(*row) for row in rows if edge in (None, row[1])]
    if len(fit) == 1:
        return fit[0]
    if not fit:
        raise VitalwireError(f"{edge} has never spoken of it: see `vitalwire devices list` for the edges that have")
    edges = ", ".join(str(home.edge) for home in fit)
    raise VitalwireError(f"several edges speak of it ({edges}): say with --edge which one it is connected to")


_REGISTER_LOCK = 0x76_77_64_65


def _register(conn: psycopg.Connection, uuid: UUID, home: _Home, at: datetime, act_id: bytes) -> _Registered:
    row = conn.execute(
        "INSERT INTO registered_device (uuid, registered_at, act_id) VALUES (%s, %s, %s)"
        " ON CONFLICT (uuid) DO NOTHING RETURNING registered_device",
        (uuid, at, act_id),
    ).fetchone()
    if row is None:
        raise VitalwireError("somebody else registered it a moment ago: see `vitalwire devices list`")
    _believe_edge(conn, home.device, None, at, act_id)
    return _Registered(row[0], uuid, at)


def _must_be_registered(conn: psycopg.Connection, device: str) -> _Registered:
    registered = _locked(conn, find_device(conn, device))
    if registered is None:
        raise VitalwireError(f"nobody has registered {device!r}: `vitalwire devices assign` does, with a bed")
    return registered


def _locked(conn: psycopg.Connection, uuid: UUID) -> _Registered | None:
    """None where it is not registered. Locked: acts on one device come one after the other."""
    row = conn.execute(
        "SELECT registered_device, uuid FROM registered_device WHERE uuid = %s FOR UPDATE", (uuid,)
    ).fetchone()
    if row is None:
        return None
    # A clock that was set back must not make a range that ends before it begins.
    moment = conn.execute(_ACT_MOMENT_SQL, {"number": row[0], "uuid": uuid}).fetchone()
    assert moment is not None
    return _Registered(row[0], row[1], moment[0])


_ACT_MOMENT_SQL = """
SELECT greatest(clock_timestamp(), max(lower(recorded)) + interval '1 microsecond') FROM (
    SELECT recorded FROM device_bed WHERE registered_device = %(number)s
    UNION ALL SELECT recorded FROM device_edge JOIN device USING (device) WHERE uuid = %(uuid)s) AS known
"""


def _moment(since: datetime | None, now: datetime) -> datetime:
    if since is None:
        return now
    if since > now:
        raise VitalwireError(f"--since {since.isoformat()} lies ahead: say it when it has happened")
    return since


def _must_stay(conn: psycopg.Connection, registered: _Registered, moment: datetime) -> Stay:
    stay = _stay_at(conn, registered, moment)
    if stay is None:
        raise VitalwireError(
            f"it is on no bed at {moment.isoformat()}: `vitalwire devices assign` puts it on one, and"
            " `vitalwire devices list` shows where it is"
        )
    return stay


def _stay_at(conn: psycopg.Connection, registered: _Registered, moment: datetime) -> Stay | None:
    rows = _stays(conn, "valid @> %s::timestamptz", registered.number, moment)
    return rows[0] if rows else None


def _stays(conn: psycopg.Connection, where: LiteralString, number: int, moment: datetime) -> list[Stay]:
    sql = (
        "SELECT bed, lower(valid), upper(valid) FROM device_bed"
        f" WHERE registered_device = %s AND upper_inf(recorded) AND {where} ORDER BY valid"
    )
    return [Stay(*row) for row in conn.execute(sql, (number, moment))]


def _write_stay(
    conn: psycopg.Connection, registered: _Registered, bed: str | None, moment: datetime, act_id: bytes
) -> tuple[Stay, ...]:
    """Say where it is from this moment on; what was believed of later, which is no longer."""
    later = _stays(conn, "lower(valid) > %s::timestamptz", registered.number, moment)
    named = {"number": registered.number, "at": registered.at, "since": moment, "act_id": act_id, "bed": bed}
    conn.execute(_CLOSE_STAYS_SQL, named)
    if bed is not None:
        conn.execute(
            "INSERT INTO device_bed VALUES (%(number)s, %(bed)s, tstzrange(%(since)s, NULL),"
            " tstzrange(%(at)s, NULL), %(act_id)s)",
            named,
        )
    return tuple(later)


# What of a stay lies before the moment is believed on, by the act that says how it ended.
_CLOSE_STAYS_SQL = """
WITH closed AS (
    UPDATE device_bed SET recorded = tstzrange(lower(recorded), %(at)s)
    WHERE registered_device = %(number)s AND upper_inf(recorded) AND valid && tstzrange(%(since)s, NULL)
    RETURNING bed, valid)
INSERT INTO device_bed
SELECT %(number)s, bed, valid * tstzrange(NULL, %(since)s), tstzrange(%(at)s, NULL), %(act_id)s
FROM closed WHERE NOT isempty(valid * tstzrange(NULL, %(since)s))
"""


def _close_edge(conn: psycopg.Connection, device: int, at: datetime) -> None:
    conn.execute(
        "UPDATE device_edge SET recorded = tstzrange(lower(recorded), %s) WHERE device = %s AND upper_inf(recorded)",
        (at, device),
    )


def _believe_edge(
    conn: psycopg.Connection, device: int, since: datetime | None, at: datetime, act_id: bytes
) -> None:  # fmt: skip
    conn.execute(
        "INSERT INTO device_edge VALUES (%s, tstzrange(%s, NULL), tstzrange(%s, NULL), %s)",
        (device, since, at, act_id),
    )


def _placed(
    conn: psycopg.Connection, uuid: UUID, bed: str | None, since: datetime, replaced: tuple[Stay, ...]
) -> Placed:
    row = conn.execute(
        "SELECT g.name, (SELECT min(claim) FROM device d WHERE d.uuid = g.uuid) FROM registered_device g"
        " WHERE uuid = %s",
        (uuid,),
    ).fetchone()
    assert row is not None
    return Placed(uuid, row[0], row[1], bed, since, replaced)
