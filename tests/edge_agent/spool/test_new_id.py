"""A spool goes on under a new id: nothing that it holds is lost, and its streams begin again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from edge_agent.spool import Spool
from evidence.receipt import ReceiptedBatch, ReceiptOutcome
from evidence.seal import FIRST_PREVIOUS, batch_id
from schemas.batch import read_header
from schemas.report import Lane
from tests.edge_agent.spool.keeping import MIB, SEAL, SECOND_US, Clock, cut_all, put, receipt, sequences
from tests.making import T0_US, report

EVERY = -(2**62)  # before all numbers


def cut_one(spool: Spool, at_us: int, claim: str = "demo:nonin:1") -> bytes:
    put(spool, report(claim, at_us), frame=at_us.to_bytes(8))
    cut = spool.cut(Lane.LIVE, SEAL, at_us + SECOND_US)
    assert cut is not None
    return cut[1]


def test_what_was_cut_keeps_its_id_and_what_waits_begins_the_new_streams(make: Callable[..., Spool]) -> None:
    spool = make()
    old_id, old = spool.spool_id, [cut_one(spool, T0_US + i) for i in range(3)]
    put(spool, report("demo:nonin:1", T0_US + 9), report("demo:nonin:2", T0_US + 9), report("demo:nonin:1", T0_US + 10))
    spool.renew_id()
    assert spool.spool_id != old_id
    old.append(cut_one(spool, T0_US + 20))  # the first of the new streams
    spool.renew_id()
    unreceipted = spool.unreceipted(Lane.LIVE, EVERY, MIB)
    assert [sealed for _, sealed in unreceipted] == old
    assert all(number <= 0 for number, _ in unreceipted)
    for sealed in old:
        header = read_header(sealed)
        of_old = replace(receipt(spool, Lane.LIVE, header.batch_no, sealed), spool=header.spool)
        taken = spool.receipted([of_old])
        assert (len(taken.batches), taken.unmatched, taken.is_copied) == (1, 0, False)
    assert spool.unreceipted(Lane.LIVE, EVERY, MIB) == []
    assert (spool.figures.open_batches, spool.figures.open_bytes) == (0, 0)
    assert {read_header(sealed).spool for sealed in old[:3]} == {old_id}


def test_reports_that_wait_are_numbered_anew(make: Callable[..., Spool]) -> None:
    spool = make()
    for i in range(3):
        cut_one(spool, T0_US + i)
    put(spool, report("demo:nonin:1", T0_US + 9), report("demo:nonin:2", T0_US + 9), report("demo:nonin:1", T0_US + 10))
    spool.renew_id()
    put(spool, report("demo:nonin:2", T0_US + 11), frame=b"later")
    cut_all(spool, T0_US + SECOND_US)
    (fresh,) = spool.unreceipted(Lane.LIVE, 0, MIB)
    header = read_header(fresh[1])
    assert (fresh[0], header.batch_no, header.previous, header.spool) == (1, 1, FIRST_PREVIOUS, spool.spool_id)
    assert sorted(sequences([fresh]).values()) == [[1, 2], [1, 2]]


def test_the_new_id_is_kept(make: Callable[..., Spool], clock: Clock) -> None:
    spool = make()
    cut_one(spool, T0_US)
    spool.renew_id()
    renewed = spool.spool_id
    spool.close()
    assert make().spool_id == renewed


@pytest.mark.parametrize(("number", "outcome", "is_copied"), [
    (1, ReceiptOutcome.STORED, True),  # this number is another batch here
    (2, ReceiptOutcome.STORED, True),  # not cut here yet
    (2, ReceiptOutcome.REFUSED, False),  # anybody can have a batch refused
    (2, ReceiptOutcome.QUARANTINED, False),
])  # fmt: skip
def test_a_stored_batch_that_was_not_cut_here_says_that_there_is_a_copy(
    make: Callable[..., Spool], number: int, outcome: ReceiptOutcome, is_copied: bool
) -> None:
    spool, other = make(), make("other")
    ours, theirs = cut_one(spool, T0_US), cut_one(other, T0_US)
    taken = spool.receipted([receipt(spool, Lane.LIVE, number, theirs, outcome=outcome)])
    assert (taken.is_copied, taken.batches) == (is_copied, [])
    of_another_spool = replace(receipt(other, Lane.LIVE, 9, theirs), batches=(ReceiptedBatch(9, batch_id(theirs)),))
    assert not spool.receipted([of_another_spool, receipt(spool, Lane.LIVE, 1, ours)]).is_copied
