"""Reports as leaves."""

from __future__ import annotations

from collections.abc import Callable

from edge_agent.spool import Kept, Spool
from evidence.seal import open_sealed
from schemas import layout
from schemas.batch import TailKind
from schemas.report import Kind, Lane, Record
from tests.edge_agent.spool.keeping import MIB, SEAL, SECOND_US, put
from tests.making import T0_US, report


def test_what_does_not_fit_the_layout_is_kept_as_rejected(make: Callable[..., Spool]) -> None:
    spool = make()
    bad = [
        report("good"),
        report("many", records=[Record()] * 10_001),
        report("wide", records=[Record(code=2**40)]),
        report("\ud800", records=[Record(mantissa=2**70)]),
    ]
    assert put(spool, *bad, frame=b"the bytes") is Kept.KEPT
    spool.cut(Lane.LIVE, SEAL, T0_US + SECOND_US)
    _, table = open_sealed(spool.unreceipted(Lane.LIVE, 0, MIB)[0][1])
    assert table.kind.tolist() == [Kind.METRIC, Kind.REJECTED]
    tail = table.tail(1)
    assert (layout.REPORT_LEVEL, TailKind.FRAME, b"the bytes") in tail
    assert (0, TailKind.AS_SENT, b"vitalwire\x1ftoo-many-records\x1f") in tail
