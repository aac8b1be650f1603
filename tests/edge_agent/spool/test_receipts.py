"""What a receipt releases, and what another store has everything sent again for."""

from __future__ import annotations

from collections.abc import Callable

from edge_agent.spool import Spool
from evidence.seal import batch_id
from evidence.statements import Receipt
from schemas.report import Lane
from tests.edge_agent.spool.keeping import MIB, SEAL, SECOND_US, Clock, put, receipt
from tests.making import T0_US, report


def test_receipts_release_and_are_held_until_their_time(make: Callable[..., Spool], clock: Clock) -> None:
    spool = make(hold_s=100)
    for i in range(3):
        put(spool, report(at_us=T0_US + i))
        spool.cut(Lane.LIVE, SEAL, T0_US + SECOND_US)
    batches = dict(spool.unreceipted(Lane.LIVE, 0, MIB))
    good = receipt(spool, Lane.LIVE, 2, batches[2])
    other_spool = Receipt(**{**good.__dict__, "spool": b"X" * 16, "batch_no": 3, "batch_id": batch_id(batches[3])})
    other_bytes = Receipt(**{**good.__dict__, "batch_no": 3})
    assert spool.receipted([good, other_spool, other_bytes, good]) == ([good, good], False)
    assert [n for n, _ in spool.unreceipted(Lane.LIVE, 0, MIB)] == [1, 3]
    assert (spool.figures.open_batches, spool.figures.held_bytes) == (2, len(batches[2]))
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

    def told(number: int, store: bytes, at_us: int) -> tuple[list[Receipt], bool]:
        return spool.receipted([receipt(spool, Lane.LIVE, number, batches[number], store, at_us)])

    def wanted() -> list[int]:
        return [n for n, _ in spool.unreceipted(Lane.LIVE, 0, MIB)]

    told(1, b"A" * 16, 100), told(2, b"A" * 16, 110)
    assert wanted() == [3]
    settled, changed = told(3, b"B" * 16, 120)
    assert (len(settled), changed, wanted()) == (1, True, [1, 2])
    # What the store before it said late, or again, settles nothing and changes nothing back.
    assert told(2, b"A" * 16, 110) == ([], False)
    assert told(3, b"A" * 16, 90) == ([], False)
    assert wanted() == [1, 2]
    spool.close()
    spool = make()
    assert told(1, b"B" * 16, 130)[1] is False
    assert wanted() == [2]
