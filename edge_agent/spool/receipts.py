"""Receipts: which batches the store has still to send one for, and what is held after it came."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from edge_agent.spool.new_id import earlier_number, is_of_a_copy
from edge_agent.spool.quota import Figures
from evidence.receipt import Receipt, ReceiptedBatch, ReceiptOutcome
from schemas.identity import SpoolId
from schemas.report import Lane

_UNRECEIPTED = (
    "SELECT batch_no, bytes FROM batch JOIN sealed USING (id)"
    " WHERE unreceipted AND lane = ? AND batch_no > ? ORDER BY batch_no"
)
_UNRECEIPTED_BEFORE = (
    "SELECT batch_no, bytes FROM batch JOIN sealed USING (id)"
    " WHERE unreceipted AND lane = ? AND batch_no < ? ORDER BY batch_no DESC"
)
_NAMED = (
    "SELECT id, size, receipted_at IS NULL, unreceipted FROM batch WHERE lane = ? AND batch_no = ? AND batch_id = ?"
)
_RECEIPTED = "UPDATE batch SET unreceipted = ?, receipted_at = ?, incarnation = ? WHERE id = ?"
_HELD = (
    "SELECT id, size, receipted_at FROM batch"
    " WHERE lane = ? AND receipted_at IS NOT NULL AND receipted_at < ? ORDER BY receipted_at LIMIT ?"
)


@dataclass(frozen=True)
class Receipted:
    """What a receipt says of a batch of ours."""

    lane: Lane
    batch_no: int
    outcome: ReceiptOutcome
    reason: str


@dataclass
class ReceiptsTaken:
    """What receipts changed. `store_changed`: everything that is held lost the receipt that it had from another store.

    `unmatched` counts the batches named that are not ours, or not from the store that there is now. `is_copied`: one
    of them was kept under this spool's id, and this spool never cut it.
    """

    batches: list[Receipted] = field(default_factory=list)
    unmatched: int = 0
    store_changed: bool = False
    is_copied: bool = False


def unreceipted(db: sqlite3.Connection, lane: Lane, after: int, bytes_max: int) -> list[tuple[int, bytes]]:
    """Numbers and bytes of the batches after `after` that have no receipt, in order: see `Spool.unreceipted`."""
    return _up_to(db.execute(_UNRECEIPTED, (lane, after)), bytes_max)


def unreceipted_before(db: sqlite3.Connection, lane: Lane, before: int, bytes_max: int) -> list[tuple[int, bytes]]:
    """The same of those before `before`, the newest first."""
    return _up_to(db.execute(_UNRECEIPTED_BEFORE, (lane, before)), bytes_max)


def _up_to(rows: Iterable[tuple[int, bytes]], bytes_max: int) -> list[tuple[int, bytes]]:
    """One if there is any, and more as long as they have so few bytes together."""
    found: list[tuple[int, bytes]] = []
    size = 0
    for number, sealed in rows:
        size += len(sealed)
        if found and size > bytes_max:
            break
        found.append((number, sealed))
    return found


def unreceipted_by_lane(db: sqlite3.Connection) -> dict[Lane, int]:
    """How many batches of each lane have no receipt."""
    counted = dict.fromkeys(Lane, 0)
    for lane, count in db.execute("SELECT lane, count(*) FROM batch WHERE unreceipted GROUP BY lane"):
        counted[Lane(lane)] = count
    return counted


def receipted(
    db: sqlite3.Connection, figures: Figures, spool_id: SpoolId, receipts: Sequence[Receipt], now_us: int
) -> ReceiptsTaken:
    """Take receipts: see `Spool.receipted`."""
    taken = ReceiptsTaken()
    current, since_us = db.execute("SELECT incarnation, incarnation_at FROM meta").fetchone()
    for receipt in receipts:
        # Receipts come in any order: only a younger one may speak of a new store.
        if receipt.incarnation != current and receipt.stored_at_us > since_us:
            taken.store_changed |= current is not None
            db.execute("UPDATE batch SET unreceipted = 1 WHERE incarnation IS NOT ?", (receipt.incarnation,))
            current = receipt.incarnation
        since_us = max(since_us, receipt.stored_at_us)
        taken.is_copied |= is_of_a_copy(db, spool_id, receipt)
        for batch in receipt.batches:
            number: int | None = batch.batch_no
            if receipt.spool != spool_id:
                number = earlier_number(db, receipt.lane, batch.batch_id)
            if number is not None and _take(db, figures, receipt, batch._replace(batch_no=number), current, now_us):
                taken.batches.append(Receipted(Lane(receipt.lane), number, receipt.outcome, receipt.reason))
            else:
                taken.unmatched += 1
    db.execute("UPDATE meta SET incarnation = ?, incarnation_at = ?", (current, since_us))
    return taken


def _take(
    db: sqlite3.Connection, figures: Figures, receipt: Receipt, batch: ReceiptedBatch, current: bytes | None,
    now_us: int,
) -> bool:  # fmt: skip
    """Whether it is for one of our batches, and from the store that there is now; what is refused is not released."""
    row = db.execute(_NAMED, (receipt.lane, batch.batch_no, batch.batch_id)).fetchone()
    if row is None:
        return False
    ident, size, is_first, is_unreceipted = row
    is_current = receipt.incarnation == current
    if receipt.outcome is ReceiptOutcome.REFUSED:
        return is_current and bool(is_unreceipted)  # it may have been taken since
    if is_current or is_first:
        db.execute(_RECEIPTED, (not is_current, now_us, receipt.incarnation, ident))
    if is_first:
        figures.open_batches -= 1
        figures.open_bytes -= size
        figures.held_bytes += size
        if receipt.lane == Lane.WAVEFORM:
            figures.wave_bytes -= size
    return is_current


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
