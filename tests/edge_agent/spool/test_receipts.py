"""What a receipt releases, and what another store has everything sent again for."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import replace

import pytest

from edge_agent.spool import ReceiptsTaken, Spool
from evidence.receipt import ReceiptedBatch, ReceiptOutcome
from evidence.seal import batch_id
from schemas.errors import VitalwireError
from schemas.report import Lane
from tests.edge_agent.spool.keeping import MIB, SEAL, SECOND_US, Clock, cut_all, put, receipt
from tests.making import T0_US, report

FULL = 2  # of SQLite's PRAGMA synchronous


def test_receipts_release_and_are_held_until_their_time(make: Callable[..., Spool], clock: Clock) -> None:
    spool = make(hold_s=100)
    for i in range(3):
        put(spool, report(at_us=T0_US + i))
        spool.cut(Lane.LIVE, SEAL, T0_US + SECOND_US)
    batches = dict(spool.unreceipted(Lane.LIVE, 0, MIB))
    good = receipt(spool, Lane.LIVE, 2, batches[2])
    third = ReceiptedBatch(3, batch_id(batches[3]))
    other_spool = replace(good, spool=b"X" * 16, batches=(third,))
    other_bytes = replace(good, batches=(ReceiptedBatch(3, batch_id(batches[2])),))
    taken = spool.receipted([good, other_spool, other_bytes, good])
    assert [(each.lane, each.batch_no) for each in taken.batches] == [(Lane.LIVE, 2), (Lane.LIVE, 2)]
    assert (taken.unmatched, taken.store_changed) == (2, False)
    assert [n for n, _ in spool.unreceipted(Lane.LIVE, 0, MIB)] == [1, 3]
    assert spool.unreceipted_before(Lane.LIVE, 2**63 - 1, MIB) == [(3, batches[3]), (1, batches[1])]
    assert spool.unreceipted_before(Lane.LIVE, 3, 0) == [(1, batches[1])]
    assert (spool.figures.open_batches, spool.figures.held_bytes) == (2, len(batches[2]))
    assert spool.unreceipted_by_lane() == {Lane.LIVE: 2, Lane.BACKFILL: 0, Lane.WAVEFORM: 0, Lane.ADT: 0}
    clock.us += 99 * SECOND_US
    put(spool, report())
    assert spool.figures.held_bytes
    clock.us += 20 * SECOND_US
    put(spool, report())
    assert not spool.figures.held_bytes
    assert [n for n, _ in spool.unreceipted(Lane.LIVE, 0, MIB)] == [1, 3]


def test_another_store_wants_all_that_is_held(make: Callable[..., Spool]) -> None:
    spool = make()
    for i in range(3):
        put(spool, report(at_us=T0_US + i))
        spool.cut(Lane.LIVE, SEAL, T0_US + SECOND_US)
    batches = dict(spool.unreceipted(Lane.LIVE, 0, MIB))

    def receipted(number: int, store: bytes, at_us: int) -> ReceiptsTaken:
        return spool.receipted([receipt(spool, Lane.LIVE, number, batches[number], store, at_us)])

    def unreceipted() -> list[int]:
        return [n for n, _ in spool.unreceipted(Lane.LIVE, 0, MIB)]

    receipted(1, b"A" * 16, 100), receipted(2, b"A" * 16, 110)
    assert unreceipted() == [3]
    taken = receipted(3, b"B" * 16, 120)
    assert (len(taken.batches), taken.store_changed, unreceipted()) == (1, True, [1, 2])
    # What the store before it said late, or again, settles nothing and changes nothing back.
    assert receipted(2, b"A" * 16, 110) == receipted(3, b"A" * 16, 90) == ReceiptsTaken(unmatched=1)
    assert unreceipted() == [1, 2]
    spool.close()
    spool = make()
    assert not receipted(1, b"B" * 16, 130).store_changed
    assert unreceipted() == [2]


def test_a_receipt_names_many_batches_of_its_stream(make: Callable[..., Spool]) -> None:
    spool = make()
    for i in range(3):
        put(spool, report(at_us=T0_US + i))
        spool.cut(Lane.LIVE, SEAL, T0_US + SECOND_US)
    batches = spool.unreceipted(Lane.LIVE, 0, MIB)
    named = tuple(ReceiptedBatch(number, batch_id(sealed)) for number, sealed in batches)
    taken = spool.receipted([replace(receipt(spool, Lane.LIVE, *batches[0]), batches=named)])
    assert [each.batch_no for each in taken.batches] == [1, 2, 3]
    assert (spool.figures.open_batches, spool.figures.open_bytes) == (0, 0)


def test_what_is_refused_is_never_released(make: Callable[..., Spool], clock: Clock) -> None:
    spool = make(hold_s=1)
    put(spool, report())
    spool.cut(Lane.LIVE, SEAL, T0_US + SECOND_US)
    batch = spool.unreceipted(Lane.LIVE, 0, MIB)
    before = spool.figures
    refused = replace(receipt(spool, Lane.LIVE, *batch[0], outcome=ReceiptOutcome.REFUSED), reason="expired-key")
    (refusal,) = spool.receipted([refused]).batches
    assert (refusal.batch_no, refusal.outcome, refusal.reason) == (1, ReceiptOutcome.REFUSED, "expired-key")
    clock.us += 1000 * SECOND_US
    put(spool, report(at_us=T0_US + 1))
    assert spool.unreceipted(Lane.LIVE, 0, MIB) == batch
    assert (spool.figures.open_batches, spool.figures.held_bytes) == (before.open_batches, 0)
    spool.receipted([receipt(spool, Lane.LIVE, *batch[0])])
    assert spool.receipted([refused]).batches == []  # it came late: the batch was taken after all
    assert spool.unreceipted(Lane.LIVE, 0, MIB) == []


def test_receipts_wait_for_no_disk_and_whatever_comes_after_does(make: Callable[..., Spool]) -> None:
    spool = make()
    put(spool, report())
    cut_all(spool, T0_US + SECOND_US)
    ((number, sealed),) = spool.unreceipted(Lane.LIVE, 0, MIB)
    statements: list[str] = []
    assert spool._db is not None
    spool._db.set_trace_callback(statements.append)
    spool.receipted([receipt(spool, Lane.LIVE, number, sealed)])
    put(spool, report(at_us=T0_US + 1))
    receipted = [s for s in statements if s == "COMMIT" or s.startswith("PRAGMA")]
    assert receipted == ["PRAGMA synchronous = NORMAL", "COMMIT", "PRAGMA synchronous = FULL", "COMMIT"]

    def refuse_updates(action: int, *_: str | None) -> int:
        return sqlite3.SQLITE_DENY if action == sqlite3.SQLITE_UPDATE else sqlite3.SQLITE_OK

    spool._db.set_authorizer(refuse_updates)
    with pytest.raises(VitalwireError):
        spool.receipted([receipt(spool, Lane.LIVE, number, sealed, store=b"B" * 16)])
    spool._db.set_authorizer(None)
    assert spool._db.execute("PRAGMA synchronous").fetchone() == (FULL,)
