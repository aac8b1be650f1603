"""Messages that were not validated, kept as bytes: put there by the transaction, looked at and replayed by people."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from hashlib import sha256
from typing import NamedTuple

import psycopg
from psycopg.rows import class_row

from emr_store import acts
from emr_store.acts import Author
from emr_store.ledger import Ledger
from emr_store.outbox import BatchOutcome
from evidence.dead_letter import DeadLetter
from evidence.receipt import ReceiptOutcome
from evidence.seal import batch_id
from schemas.batch import Header, read_any_header
from schemas.errors import LayoutError
from schemas.identity import BatchId

# What no edge lets go of for it (unsigned, or refused) is kept for inspection, but nobody may fill the store with it:
# of more than these the oldest go, which is counted.
EVICTABLE_MAX = 1000


class DeadLetterKept(NamedTuple):
    """What became of a dead letter: what its edge is told, if anything, and how many older ones were evicted for it."""

    outcomes: list[BatchOutcome]
    evicted: int


def headers(letters: Sequence[DeadLetter]) -> list[Header]:
    """The headers of the batches that these hold, as far as their edges are told anything."""
    found = [_header_or_none(letter.message) for letter in letters if letter.outcome is not None]
    return [header for header in found if header is not None]


def keep(conn: psycopg.Connection, ledger: Ledger, letter: DeadLetter) -> DeadLetterKept:
    """Keep a message that could not be validated, and let the ledger count its reports; in the caller's transaction.

    A batch is counted once, for however many reasons and in however many damaged copies it comes. One that is stored
    all the same is told so: its edge need not hold what the record has.
    """
    header = _header_or_none(letter.message)
    ident = None if header is None else batch_id(letter.message)
    counted = letter.outcome is ReceiptOutcome.QUARANTINED and _is_quarantined(conn, ident)
    conn.execute(_KEEP_SQL, [
        letter.reason, letter.topic, letter.outcome, ident, sha256(letter.message).digest(), letter.message
    ])  # fmt: skip
    evicted = 0
    if letter.outcome is not ReceiptOutcome.QUARANTINED:
        evicted = conn.execute(_EVICT_SQL, [EVICTABLE_MAX]).rowcount
    if letter.outcome is None or header is None or ident is None:
        return DeadLetterKept([], evicted)
    if ledger.is_stored(header, ident):
        return DeadLetterKept([BatchOutcome(header, ident, ReceiptOutcome.STORED)], evicted)
    if letter.outcome is ReceiptOutcome.QUARANTINED and not counted:
        ledger.count_quarantined(header)
    return DeadLetterKept([BatchOutcome(header, ident, letter.outcome, letter.reason)], evicted)


def _is_quarantined(conn: psycopg.Connection, ident: BatchId | None) -> bool:
    found = conn.execute(
        "SELECT EXISTS (SELECT FROM dead_letter WHERE batch_id = %s AND outcome = 2)", [ident]
    ).fetchone()
    return bool(found and found[0])


def _header_or_none(message: bytes) -> Header | None:
    try:
        return read_any_header(message)
    except LayoutError:
        return None


_KEEP_SQL = """
INSERT INTO dead_letter (reason, topic, outcome, batch_id, digest, message) VALUES (%s, %s, %s, %s, %s, %s)
ON CONFLICT (digest, reason) DO NOTHING
"""
_EVICT_SQL = """
DELETE FROM dead_letter WHERE outcome IS DISTINCT FROM 2
    AND id <= (SELECT id FROM dead_letter WHERE outcome IS DISTINCT FROM 2 ORDER BY id DESC OFFSET %s LIMIT 1)
"""


# --- looked at -------------------------------------------------------------------------------------------------------


class StoredDeadLetter(NamedTuple):
    """A message that was not validated."""

    id: int
    at: datetime
    reason: str
    topic: str
    receipted: bool
    size: int
    replayed_at: datetime | None


def newest(conn: psycopg.Connection, limit: int = 100) -> list[StoredDeadLetter]:
    """The newest messages that were not validated."""
    sql = (
        "SELECT id, at, reason, topic, receipted, length(message) AS size, replayed_at FROM dead_letter"
        " ORDER BY id DESC LIMIT %s"
    )
    return conn.cursor(row_factory=class_row(StoredDeadLetter)).execute(sql, (limit,)).fetchall()


def find(conn: psycopg.Connection, number: int) -> tuple[StoredDeadLetter, bytes] | None:
    """One of them with its bytes; None where there is none of this number."""
    row = conn.execute(
        "SELECT id, at, reason, topic, receipted, length(message), replayed_at, message FROM dead_letter WHERE id = %s",
        (number,),
    ).fetchone()
    return (StoredDeadLetter(*row[:7]), bytes(row[7])) if row else None


def mark_replayed(conn: psycopg.Connection, number: int, *, author: Author | None = None) -> None:
    """It was given to the processors again: an act."""
    with conn.transaction():
        row = conn.execute(
            "UPDATE dead_letter SET replayed_at = now() WHERE id = %s RETURNING digest, reason, topic", (number,)
        ).fetchone()
        if row is not None:
            digest, reason, topic = row
            acts.record(conn, acts.act(
                "dead_letter.replay", author, acts.now(conn), sha256=bytes(digest).hex(), reason=reason, topic=topic
            ))  # fmt: skip
