"""Receipts: which batches the store has still to send one for, and what is held after it came."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from edge_agent.spool.quota import Figures
from evidence.statements import Receipt
from schemas.report import Lane

_UNRECEIPTED = (
    "SELECT batch_no, bytes FROM batch JOIN sealed USING (id)"
    " WHERE unreceipted AND lane = ? AND batch_no > ? ORDER BY batch_no"
)
_NAMED = "SELECT id, size, receipted_at IS NULL FROM batch WHERE lane = ? AND batch_no = ? AND batch_id = ?"
_RECEIPTED = "UPDATE batch SET unreceipted = ?, receipted_at = ?, incarnation = ?, chain_position = ? WHERE id = ?"
_HELD = (
    "SELECT id, size, receipted_at FROM batch"
    " WHERE lane = ? AND receipted_at IS NOT NULL AND receipted_at < ? ORDER BY receipted_at LIMIT ?"
)


def unreceipted(db: sqlite3.Connection, lane: Lane, after: int, bytes_max: int) -> list[tuple[int, bytes]]:
    """Numbers and bytes of the batches after `after` that have no receipt, in order: see `Spool.unreceipted`."""
    found: list[tuple[int, bytes]] = []
    size = 0
    for number, sealed in db.execute(_UNRECEIPTED, (lane, after)):
        size += len(sealed)
        if found and size > bytes_max:
            break
        found.append((number, sealed))
    return found


def receipted(
    db: sqlite3.Connection, figures: Figures, spool_id: bytes, receipts: Sequence[Receipt], now_us: int
) -> tuple[list[Receipt], bool]:
    """Take receipts: see `Spool.receipted`."""
    settled, changed = [], False
    current, since_us = db.execute("SELECT incarnation, incarnation_at FROM meta").fetchone()
    for receipt in receipts:
        # Receipts come in any order: only a younger one may speak of a new store.
        if receipt.incarnation != current and receipt.stored_at_us > since_us:
            changed |= current is not None
            db.execute("UPDATE batch SET unreceipted = 1 WHERE incarnation IS NOT ?", (receipt.incarnation,))
            current = receipt.incarnation
        since_us = max(since_us, receipt.stored_at_us)
        if receipt.spool == spool_id and _settle(db, figures, receipt, current, now_us):
            settled.append(receipt)
    db.execute("UPDATE meta SET incarnation = ?, incarnation_at = ?", (current, since_us))
    return settled, changed


def _settle(db: sqlite3.Connection, figures: Figures, receipt: Receipt, current: bytes | None, now_us: int) -> bool:
    """Whether it is for one of our batches, and from the store that there is now."""
    row = db.execute(_NAMED, (receipt.lane, receipt.batch_no, receipt.batch_id)).fetchone()
    if row is None:
        return False
    ident, size, is_first = row
    settles = receipt.incarnation == current
    if settles or is_first:
        db.execute(_RECEIPTED, (not settles, now_us, receipt.incarnation, receipt.chain_position, ident))
    if is_first:
        figures.open_batches -= 1
        figures.open_bytes -= size
        figures.held_bytes += size
        if receipt.lane == Lane.WAVEFORM:
            figures.wave_bytes -= size
    return settles


def evict(db: sqlite3.Connection, figures: Figures, before_us: int, count: int, lanes: Sequence[Lane]) -> int:
    """Delete the oldest batches of these lanes whose receipt came before; how many there were."""
    held = [row for lane in lanes for row in db.execute(_HELD, (lane, before_us, count))]
    held.sort(key=lambda row: int(row[2]))
    del held[count:]
    for ident, size, _ in held:
        db.execute("DELETE FROM batch WHERE id = ?", (ident,))
        db.execute("DELETE FROM sealed WHERE id = ?", (ident,))
        figures.held_bytes -= size
    return len(held)
