"""The log held against the checkpoints that were signed over it, and against the seals and acts that it is made of."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import psycopg
from psycopg.rows import class_row

from emr_store.verification import OnProgress, Verification
from evidence.act import LOG_BEGIN, Act, LogHead, parse_act, predecessor_of, read_act
from evidence.checkpoint import Checkpoint
from evidence.log import Frontier
from evidence.tree import leaf_hash
from evidence.verification import KeyRing, LogReplay, OutsideCheckpoint, RootClaim, check_checkpoints
from schemas.errors import LayoutError, LayoutReason

_FETCH = 10_000


class Log(NamedTuple):
    """A log as its row has it."""

    incarnation: bytes
    origin: str
    size: int
    frontier: bytes


class OpenedCheckpoint(NamedTuple):
    """A checkpoint from outside whose signature holds."""

    name: str
    checkpoint: Checkpoint


def logs(conn: psycopg.Connection) -> list[Log]:
    """Every log of this store, the oldest first."""
    return conn.cursor(row_factory=class_row(Log)).execute(
        "SELECT incarnation, origin, size, frontier FROM log ORDER BY began_at, log"
    ).fetchall()  # fmt: skip


def check_kept_checkpoints(
    conn: psycopg.Connection, keys: KeyRing, result: Verification
) -> dict[bytes, list[RootClaim]]:
    """Step 1: every checkpoint that is kept; what they say of the root of each log (by incarnation)."""
    claims: dict[bytes, list[RootClaim]] = {}
    for log in logs(conn):
        rows = conn.execute(
            "SELECT size, note FROM checkpoint WHERE incarnation = %s ORDER BY size", (log.incarnation,)
        ).fetchall()
        notes = [(size, bytes(note)) for size, note in rows]
        checked = check_checkpoints(notes, log.origin, keys)
        result.findings += checked.findings
        result.counts["checkpoints"] += len(notes)
        claims[log.incarnation] = [
            RootClaim(f"checkpoint at size {signed.size} of {log.origin}", signed.size, signed.root)
            for signed in checked.signed
        ]
        largest = max((claim.size for claim in claims[log.incarnation]), default=0)
        if log.size > largest:
            result.not_proved.append(
                f"the last {log.size - largest} entries of the log {log.origin}: no checkpoint is signed over them yet"
            )
    orphans = conn.execute(
        "SELECT DISTINCT incarnation FROM checkpoint c WHERE NOT EXISTS"
        " (SELECT FROM log WHERE log.incarnation = c.incarnation)"
    ).fetchall()
    for (incarnation,) in orphans:
        result.add(f"log {bytes(incarnation).hex()}", "checkpoints are kept of it, and the log itself is gone")
    return claims


def open_outside(outside: tuple[OutsideCheckpoint, ...], keys: KeyRing, result: Verification) -> list[OpenedCheckpoint]:
    """The checkpoints from outside that the platform's key signed; the rest are findings."""
    opened = []
    for each in outside:
        try:
            opened.append(OpenedCheckpoint(each.name, keys.open_checkpoint(each.note)))
        except LayoutError as error:
            result.add(f"checkpoint file {each.name}", f"the platform's key did not sign it ({error})")
    return opened


def check_logs(
    conn: psycopg.Connection, claims: dict[bytes, list[RootClaim]], outside: list[OpenedCheckpoint],
    result: Verification, on_progress: OnProgress,
) -> None:  # fmt: skip
    """Step 2: each log's root from its entries, at every size that somebody signed."""
    known = logs(conn)
    origins = {log.origin for log in known}
    for each in outside:
        if each.checkpoint.origin not in origins:
            result.add(
                f"checkpoint file {each.name}",
                f"it speaks of the log {each.checkpoint.origin}, which this database does not have: it was put back to"
                " before that log began, or is another site's",
            )
    for incarnation, head in _predecessors(conn, known, result):
        where = f"the log {incarnation.hex()}, which names its predecessor"
        if head.incarnation not in claims:
            result.add(where, f"its predecessor {head.incarnation.hex()} is gone from this database")
            continue
        claims[head.incarnation].append(RootClaim(where, head.size, head.root))
    for log in known:
        replay = LogReplay(Frontier())
        for claim in claims[log.incarnation]:
            replay.expect(claim)
        for each in outside:
            if each.checkpoint.origin == log.origin:
                replay.expect(RootClaim(f"checkpoint file {each.name}", each.checkpoint.size, each.checkpoint.root))
        _replay(conn, log, replay, result, on_progress)
    result.counts["outside checkpoints"] += len(outside)


def _replay(
    conn: psycopg.Connection, log: Log, replay: LogReplay, result: Verification, on_progress: OnProgress
) -> None:
    where = f"log {log.origin}"
    expected = 0
    with conn.cursor(name="log_entries", binary=True) as cursor:
        cursor.itersize = _FETCH
        cursor.execute(
            "SELECT position, leaf_hash FROM log_entry WHERE incarnation = %s ORDER BY position", (log.incarnation,)
        )
        for position, hashed in cursor:
            if position != expected:
                result.add(where, f"its entries {expected} to {position - 1} are gone")
                expected = position
            if len(hashed) != 32:
                result.add(f"{where} entry {position}", "its leaf hash is none")
                hashed = bytes(32)
            replay.append(bytes(hashed))
            expected += 1
            if expected % _FETCH == 0:
                on_progress("log entries", expected, log.size)
    replay.finish()
    result.findings += replay.findings
    result.counts["log entries"] += replay.frontier.size
    result.counts["proved roots"] += replay.proved
    if replay.frontier.size != log.size or replay.frontier.to_bytes() != bytes(log.frontier):
        result.add(
            where, f"its row says {log.size} entries and another state than its {replay.frontier.size} entries give"
        )


def _predecessors(conn: psycopg.Connection, known: list[Log], result: Verification) -> Iterator[tuple[bytes, LogHead]]:
    """What the first entry of each log says of the log before; a log that does not begin so is a finding."""
    for index, log in enumerate(known):
        row = conn.execute(
            "SELECT a.statement FROM log_entry e LEFT JOIN act a USING (act_id)"
            " WHERE e.incarnation = %s AND e.position = 0",
            (log.incarnation,),
        ).fetchone()
        if row is None and log.size == 0:
            continue  # it has only begun
        where = f"log {log.origin} entry 0"
        try:
            begin = _act_of(row)
            head = predecessor_of(begin)
        except LayoutError as error:
            result.add(where, f"it is not the act that begins a log ({error})")
            continue
        if begin.details.get("incarnation") != log.incarnation.hex():
            result.add(where, "it begins the log of another incarnation")
        if head is not None:
            yield log.incarnation, head
        elif index > 0:
            result.add(where, f"it names no predecessor, and there is an older log: {known[index - 1].origin}")


def _act_of(row: tuple[bytes | None] | None) -> Act:
    if row is None or row[0] is None:
        raise LayoutError(LayoutReason.TEXT, f"no {LOG_BEGIN}")
    return read_act(bytes(row[0]))[0]


class _KeptAct(NamedTuple):
    act_id: bytes
    kind: str
    body: bytes
    statement: bytes | None
    leaf_hash: bytes | None
    waits: bool


_ACTS_SQL = """
SELECT a.act_id, a.kind, a.body, a.statement, e.leaf_hash,
    EXISTS (SELECT FROM unlogged u WHERE u.act = a.act_id) AS waits
FROM act a LEFT JOIN log_entry e ON e.act_id = a.act_id ORDER BY a.at, a.act_id
"""


def check_acts(conn: psycopg.Connection, keys: KeyRing, result: Verification) -> list[Act]:
    """Step 2, the acts: each is what was signed, and in the log; those that the log, or its waiting list, has.

    The registry is held against them (`emr_store.registry_proof`).
    """
    found: list[Act] = []
    waiting = 0
    for kept in conn.cursor(row_factory=class_row(_KeptAct)).execute(_ACTS_SQL):
        where = f"act {bytes(kept.act_id).hex()[:16]} ({kept.kind})"
        try:
            act = _check_act(kept, keys, where, result)
        except LayoutError as error:
            result.add(where, f"it is damaged ({error})")
            continue
        result.counts["acts"] += 1
        if kept.leaf_hash is not None:
            found.append(act)
        elif kept.waits:
            waiting += 1
            found.append(act)
        else:
            result.add(where, "the log does not have it: it was put there by hand")
    if waiting:
        result.not_proved.append(f"{waiting} acts are not in the log yet: nothing is signed of them")
    gone = conn.execute(
        "SELECT e.position FROM log_entry e WHERE e.act_id IS NOT NULL"
        " AND NOT EXISTS (SELECT FROM act a WHERE a.act_id = e.act_id) ORDER BY 1"
    ).fetchall()
    for (position,) in gone:
        result.add(f"log entry {position}", "the act that it is of is gone")
    return found


def _check_act(kept: _KeptAct, keys: KeyRing, where: str, result: Verification) -> Act:
    act = parse_act(bytes(kept.body))
    if (act.act_id, act.kind) != (bytes(kept.act_id), kept.kind):
        result.add(where, "its text is not what its id and kind say")
    if kept.statement is None:
        if kept.leaf_hash is not None:
            result.add(where, "it is in the log, and its signature is gone")
        return act
    signed, signed_statement = read_act(bytes(kept.statement))
    if signed != act:
        result.add(where, "its text is not what was signed")
    public_der = keys.get(signed_statement.key_id)
    if public_der is None or not signed_statement.is_signed_by(public_der):
        result.add(where, "the platform's key did not sign it")
    if kept.leaf_hash is not None and bytes(kept.leaf_hash) != leaf_hash(bytes(kept.statement)):
        result.add(where, "its entry in the log is of another act")
    return signed
