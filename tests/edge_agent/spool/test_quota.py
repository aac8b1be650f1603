"""The quota: what may be kept, and what goes first."""

from __future__ import annotations

from collections.abc import Callable

from edge_agent.spool import LEVELS, Kept, Spool
from schemas.report import Lane
from tests.edge_agent.spool.keeping import MIB, SEAL, SECOND_US, put, receipt
from tests.making import T0_US, report


def test_at_quota_batches_with_a_receipt_go_first_and_nothing_else(
    make: Callable[..., Spool], events: list[str]
) -> None:
    spool = make(bytes_max=40_000)
    for i in range(20):
        assert put(spool, report(at_us=T0_US + i)) is Kept.KEPT
    spool.cut(Lane.LIVE, SEAL, T0_US + SECOND_US)
    number, sealed = spool.unreceipted(Lane.LIVE, 0, MIB)[0]
    assert spool.receipted([receipt(spool, Lane.LIVE, number, sealed)])[0]
    assert spool.figures.held_bytes == len(sealed)
    kept = 0
    while put(spool, report(at_us=T0_US + kept)) is Kept.KEPT:
        kept += 1
    assert spool.figures.held_bytes == 0
    assert kept == spool.figures.reports == 40_000 // 156
    assert events == ["spool-level"] * len(LEVELS) + ["spool-full"]
    spool.cut(Lane.LIVE, SEAL, T0_US + SECOND_US)
    number, sealed = spool.unreceipted(Lane.LIVE, 0, MIB)[0]
    assert number == 2  # nothing was overwritten
    spool.receipted([receipt(spool, Lane.LIVE, number, sealed)])
    assert put(spool, report()) is Kept.KEPT
    assert events[-1] == "spool-keeps-again"
