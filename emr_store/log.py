"""The log of the store: seals and acts become leaves of one append-only Merkle log (RFC 9162) an incarnation.

What is to become a leaf is written into `unlogged` in the transaction of what it names. `seal_unlogged`, of which one
works at a time, takes it from there. No writer waits for it, and nothing is signed in a writer's transaction.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol

import psycopg

from emr_store.connect import current_incarnation
from evidence.act import Act, LogHead, begin_log, sign_act
from evidence.checkpoint import Checkpoint, log_origin, sign_checkpoint
from evidence.log import Frontier
from evidence.tree import leaf_hash
from schemas.errors import VitalwireError

_LOCK = 0x76_77_6C_67  # one sealer at a time
CHUNK_LEAVES = 2000  # appended in one transaction
_BY = "vitalwire:store"  # who begins a log: no person does


class LogKey(Protocol):
    """The platform's key; `sign` gives r || s."""

    key_id: bytes
    public_der: bytes

    def sign(self, message: bytes) -> bytes:
        """The signature over these bytes."""


# --- by the writers --------------------------------------------------------------------------------------------------


class Sealed(Protocol):
    """A seal (the signed statement), the leaves that its root is over, and when it was signed."""

    @property
    def seal(self) -> bytes: ...
    @property
    def leaves(self) -> Sequence[bytes]: ...
    @property
    def signed_at_us(self) -> int: ...


def put_seals(conn: psycopg.Connection, blocks: Sequence[Sealed]) -> list[int]:
    """Keep the seals of these blocks, to be logged; their numbers. Inside the caller's transaction."""
    cursor = conn.execute(_PUT_SEALS_SQL, [
        [b.seal for b in blocks], [b"".join(b.leaves) for b in blocks], [b.signed_at_us for b in blocks]
    ])  # fmt: skip
    return sorted(row[0] for row in cursor.fetchall())  # numbered in the order they were given in


# --- by the sealer ---------------------------------------------------------------------------------------------------


@dataclass
class _Log:
    """The log that is appended to, as its row says."""

    incarnation: bytes
    origin: str
    frontier: Frontier


def seal_unlogged(conn: psycopg.Connection, *, site: str, key: LogKey, now_us: int) -> int:
    """Append what waits, at most CHUNK_LEAVES, and sign a checkpoint where there is none of the log's size; how many.

    A new incarnation of the store begins a new log, whose first leaf names the log before. Does nothing while another
    sealer works. The connection is in autocommit mode.
    """
    row = conn.execute("SELECT pg_try_advisory_lock(%s)", [_LOCK]).fetchone()
    if not (row and row[0]):
        return 0
    try:
        with conn.transaction():
            log, begun = _open_log(conn, site, key, now_us)
            appended = begun + _append_unlogged(conn, log, key)
            if appended:
                conn.execute(
                    "UPDATE log SET size = %s, frontier = %s WHERE incarnation = %s",
                    [log.frontier.size, log.frontier.to_bytes(), log.incarnation],
                )
        _sign_checkpoint(conn, log, key, now_us)
    finally:
        if not conn.closed:
            conn.execute("SELECT pg_advisory_unlock(%s)", [_LOCK])
    return appended


def _open_log(conn: psycopg.Connection, site: str, key: LogKey, now_us: int) -> tuple[_Log, int]:
    """The log of this incarnation, and how many leaves were appended to begin it."""
    incarnation = current_incarnation(conn)
    rows = conn.execute("SELECT incarnation, origin, frontier FROM log ORDER BY log DESC").fetchall()
    newest = rows[0] if rows else None
    for at, (known, origin, frontier) in enumerate(rows):
        if bytes(known) == incarnation:
            if at:  # a copy of the database went to another server and came back: go on with the log of this one
                conn.execute("UPDATE log SET log = DEFAULT WHERE incarnation = %s", [incarnation])
            return _Log(incarnation, origin, Frontier.from_bytes(bytes(frontier))), 0
    log = _Log(incarnation, log_origin(site, incarnation), Frontier())
    conn.execute(
        "INSERT INTO log (incarnation, origin, began_at, size, frontier) VALUES (%s, %s, %s, 0, %s)",
        [incarnation, log.origin, _moment(now_us), log.frontier.to_bytes()],
    )
    predecessor = None
    if newest is not None:
        before = Frontier.from_bytes(bytes(newest[2]))
        predecessor = LogHead(bytes(newest[0]), before.size, before.root())
    act = begin_log(incarnation=incarnation, predecessor=predecessor, by=_BY, at_us=now_us)
    _append_begin(conn, log, act, key)
    return log, 1


def _append_begin(conn: psycopg.Connection, log: _Log, act: Act, key: LogKey) -> None:
    statement = act.encode(key.key_id, key.sign)
    conn.execute(
        "INSERT INTO act (act_id, kind, body, statement, at) VALUES (%s, %s, %s, %s, %s)",
        [act.act_id, act.kind, act.body, statement, _moment(act.at_us)],
    )
    _append(conn, log, [_Leaf(None, act.act_id, statement)])


@dataclass(frozen=True)
class _Leaf:
    """A leaf to be, and what it is of: a seal or an act."""

    seal: int | None
    act_id: bytes | None
    data: bytes


def _append_unlogged(conn: psycopg.Connection, log: _Log, key: LogKey) -> int:
    """Append what can be seen to wait; how many.

    Transactions commit in another order than their rows were numbered in: each row is taken where it is seen, by its
    own number, and never "all up to here".
    """
    rows = conn.execute(_UNLOGGED_SQL, [CHUNK_LEAVES]).fetchall()
    if not rows:
        return 0
    leaves: list[_Leaf] = []
    signed: dict[bytes, bytes] = {}
    for number, seal, statement, act_id, body in rows:
        if seal is not None and statement is not None:
            leaves.append(_Leaf(seal, None, bytes(statement)))
        elif act_id is not None and body is not None:
            signed[bytes(act_id)] = sign_act(bytes(body), key.key_id, key.sign)
            leaves.append(_Leaf(None, bytes(act_id), signed[bytes(act_id)]))
        else:
            raise VitalwireError(
                f"row {number} of `unlogged` names a seal or act that is not in the store: somebody deleted it; restore"
                " it from a backup, or delete the row and keep a note of who did"
            )
    if signed:
        conn.execute(_SIGN_ACTS_SQL, [list(signed), list(signed.values())])
    _append(conn, log, leaves)
    taken = conn.execute("DELETE FROM unlogged WHERE id = ANY(%s)", [[row[0] for row in rows]]).rowcount
    if taken != len(rows):
        raise VitalwireError("rows of `unlogged` went while they were logged: only the sealer may delete them")
    return len(leaves)


def _append(conn: psycopg.Connection, log: _Log, leaves: Sequence[_Leaf]) -> None:
    first = log.frontier.size
    hashes = [leaf_hash(leaf.data) for leaf in leaves]
    for each in hashes:
        log.frontier.append(each)
    conn.execute(_APPEND_SQL, [
        log.incarnation, list(range(first, log.frontier.size)), [leaf.seal for leaf in leaves],
        [leaf.act_id for leaf in leaves], hashes,
    ])  # fmt: skip


def _sign_checkpoint(conn: psycopg.Connection, log: _Log, key: LogKey, now_us: int) -> None:
    """After COMMIT: what a checkpoint speaks of is on disk. One that a crash prevented is signed by the next call."""
    row = conn.execute("SELECT max(size) FROM checkpoint WHERE incarnation = %s", [log.incarnation]).fetchone()
    before = row[0] if row else None
    if before == log.frontier.size:
        return
    checkpoint = Checkpoint(log.origin, log.frontier.size, log.frontier.root())
    note = sign_checkpoint(checkpoint, key.public_der, key.sign)
    at = _moment(now_us)
    with conn.transaction():
        conn.execute("INSERT INTO checkpoint VALUES (%s, %s, %s, %s)", [log.incarnation, checkpoint.size, note, at])
        # Of each minute the last one stays: half a million a year.
        conn.execute(_THIN_SQL, [log.incarnation, before])


# --- read ------------------------------------------------------------------------------------------------------------


def newest_checkpoint(conn: psycopg.Connection) -> bytes:
    """The newest checkpoint of this incarnation's log, a signed note; empty while there is none."""
    row = conn.execute(
        "SELECT note FROM checkpoint WHERE incarnation = %s ORDER BY size DESC LIMIT 1", [current_incarnation(conn)]
    ).fetchone()
    return bytes(row[0]) if row else b""


def entries(conn: psycopg.Connection, incarnation: bytes | None = None) -> tuple[bytes, Iterator[bytes]]:
    """The newest checkpoint of a log (None: the newest log) and the data of each leaf that it is over, in order.

    Read it in one transaction, or as the log grows: what is before the checkpoint never changes. Raises VitalwireError
    where there is no such log, or no checkpoint of it yet.
    """
    row = conn.execute(_NEWEST_SQL, [incarnation, incarnation]).fetchone()
    if row is None:
        raise VitalwireError(
            "this store has no such log, or no checkpoint of it yet: the processors sign it each second"
        )
    known, size, note = row
    return bytes(note), _leaves(conn, bytes(known), size)


def _leaves(conn: psycopg.Connection, incarnation: bytes, size: int) -> Iterator[bytes]:
    for first in range(0, size, CHUNK_LEAVES):
        after = min(first + CHUNK_LEAVES, size)
        found = conn.execute(_LEAVES_SQL, [incarnation, first, after]).fetchall()
        for expected, (position, data) in zip(range(first, after), found, strict=False):
            if position != expected or data is None:
                raise VitalwireError(f"leaf {expected} of the log is gone from the store: see `vitalwire verify`")
            yield bytes(data)
        if len(found) != after - first:
            raise VitalwireError(f"leaf {first + len(found)} of the log is gone from the store: see `vitalwire verify`")


def _moment(us: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=us)


_PUT_SEALS_SQL = """
WITH s AS (
    INSERT INTO seal (statement, leaves, signed_at)
    SELECT s, l, timestamptz '1970-01-01Z' + at * interval '1 microsecond'
    FROM unnest(%b::bytea[], %b::bytea[], %b::int8[]) WITH ORDINALITY AS u(s, l, at, i) ORDER BY i
    RETURNING seal)
INSERT INTO unlogged (seal) SELECT seal FROM s ORDER BY seal RETURNING seal
"""
_UNLOGGED_SQL = """
SELECT u.id, u.seal, s.statement, u.act, a.body FROM (SELECT * FROM unlogged ORDER BY id LIMIT %s) AS u
LEFT JOIN seal s ON s.seal = u.seal LEFT JOIN act a ON a.act_id = u.act ORDER BY u.id
"""
_SIGN_ACTS_SQL = """
UPDATE act SET statement = u.s FROM unnest(%s::bytea[], %s::bytea[]) AS u(i, s) WHERE act_id = u.i
"""
_APPEND_SQL = """
INSERT INTO log_entry (incarnation, position, seal, act_id, leaf_hash)
SELECT %b, p, s, a, h FROM unnest(%b::int8[], %b::int8[], %b::bytea[], %b::bytea[]) AS u(p, s, a, h)
"""
_THIN_SQL = "SELECT thin_checkpoint(%s, %s)"
_NEWEST_SQL = """
SELECT c.incarnation, c.size, c.note FROM checkpoint c JOIN log l USING (incarnation)
WHERE %s::bytea IS NULL OR incarnation = %s ORDER BY l.log DESC, c.size DESC LIMIT 1
"""
_LEAVES_SQL = """
SELECT e.position, coalesce(s.statement, a.statement)
FROM log_entry e LEFT JOIN seal s ON s.seal = e.seal LEFT JOIN act a ON a.act_id = e.act_id
WHERE e.incarnation = %s AND e.position >= %s AND e.position < %s ORDER BY e.position
"""
