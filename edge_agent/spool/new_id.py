"""A new id for a spool whose id another box uses too: its disk was copied, put back, or drained elsewhere.

What was cut stays as it is, under the id that its headers name, until its receipts come. What waits to be cut becomes
the beginning of the new spool's streams, numbered from 1 as in any new spool.
"""

from __future__ import annotations

import os
import sqlite3

from edge_agent.spool.chunks import split
from edge_agent.spool.sequences import Sequences
from evidence.receipt import Receipt, ReceiptOutcome
from schemas.batch import set_sequence
from schemas.identity import SpoolId

_DEVICE = slice(0, 16)  # in a leaf
# The file's numbers of batches from before are 0 and below: those of the new streams begin at 1.
_MOVE = """
UPDATE batch SET batch_no = batch_no -
    (SELECT max(batch_no) - min(min(batch_no), 1) + 1 FROM batch AS other WHERE other.lane = ?1)
WHERE lane = ?1
"""
_EARLIER = "SELECT batch_no FROM batch WHERE lane = ? AND batch_no <= 0 AND batch_id = ?"
_OTHER_BATCH = "SELECT 1 FROM batch WHERE lane = ? AND batch_no = ? AND batch_id != ?"
_LAST = "SELECT batch_no FROM stream WHERE lane = ?"


def give_new_id(db: sqlite3.Connection) -> SpoolId:
    """In one transaction with all that the new id changes."""
    spool_id = SpoolId(os.urandom(16))
    for (lane,) in db.execute("SELECT DISTINCT lane FROM batch").fetchall():
        db.execute(_MOVE, (lane,))
    db.execute("DELETE FROM stream")
    db.execute("DELETE FROM device")
    db.execute("DELETE FROM sequence_given")
    db.execute("UPDATE meta SET spool = ?, sequence_floor = 0", (spool_id,))
    sequences = Sequences(db)
    # One by one: the spool may be larger than the memory.
    for (ident,) in db.execute("SELECT id FROM chunk ORDER BY id").fetchall():
        (leaves,) = db.execute("SELECT leaves FROM chunk WHERE id = ?", (ident,)).fetchone()
        db.execute("UPDATE chunk SET leaves = ? WHERE id = ?", (_renumbered(leaves, sequences), ident))
    sequences.write()
    return spool_id


def _renumbered(leaves: bytes, sequences: Sequences) -> bytes:
    renumbered = []
    for leaf in split(leaves):
        content = bytearray(leaf)
        set_sequence(content, sequences.next(leaf[_DEVICE]))
        renumbered.append(content)
    return b"".join(renumbered)


def earlier_number(db: sqlite3.Connection, lane: int, batch_id: bytes) -> int | None:
    """This file's number of a batch that was cut under an earlier id of the spool; None: it is none."""
    row = db.execute(_EARLIER, (lane, batch_id)).fetchone()
    return int(row[0]) if row else None


def is_of_a_copy(db: sqlite3.Connection, spool_id: SpoolId, receipt: Receipt) -> bool:
    """Whether the store kept a batch under this spool's id that this file never cut: another box has the id too.

    Refusals say nothing: whoever may write to the broker can have a batch of any id refused.
    """
    if receipt.spool != spool_id or receipt.outcome is not ReceiptOutcome.STORED:
        return False
    row = db.execute(_LAST, (receipt.lane,)).fetchone()
    last = row[0] if row else 0
    for batch in receipt.batches:
        if batch.batch_no > last:
            return True
        if db.execute(_OTHER_BATCH, (receipt.lane, batch.batch_no, batch.batch_id)).fetchone():
            return True
    return False
