"""What is cut when, and in which lane."""

from __future__ import annotations

from collections.abc import Callable

from edge_agent.spool import Spool
from evidence.seal import open_sealed
from schemas import layout
from schemas.report import Lane, Record
from tests.edge_agent.spool.keeping import MIB, SEAL, SECOND_US, cut_all, in_lane, put, sequences
from tests.making import T0_US, report


def test_lanes_by_kind_and_by_how_long_a_report_waited(make: Callable[..., Spool]) -> None:
    spool = make()
    now_us = T0_US + 60 * SECOND_US
    put(spool, report("old", now_us - 11 * SECOND_US), report("new", now_us - 2 * SECOND_US))
    put(spool, in_lane(Lane.WAVEFORM, "wave", now_us - 20 * SECOND_US))
    cut_all(spool, now_us)
    for lane, claim in ((Lane.LIVE, "new"), (Lane.BACKFILL, "old"), (Lane.WAVEFORM, "wave")):
        assert list(sequences(spool.unreceipted(lane, 0, MIB))) == [report(claim).device.bytes]


def test_a_batch_is_cut_when_its_oldest_has_waited_or_it_is_large(make: Callable[..., Spool]) -> None:
    spool = make(bytes_max=10 * MIB)
    put(spool, r := report())
    assert not spool.cut(Lane.LIVE, SEAL, r.received_at_us + 399_999)
    assert not spool.cut(Lane.BACKFILL, SEAL, r.received_at_us + 399_999)
    assert spool.cut(Lane.LIVE, SEAL, r.received_at_us + 400_000)
    put(spool, r)
    assert spool.cut(
        Lane.LIVE, SEAL, r.received_at_us - 1
    )  # the clock was set back: not left lying until it catches up
    large = report(records=[Record(150456, mantissa=1)] * 5000)
    for _ in range(7):
        put(spool, large)
    assert spool.cut(Lane.LIVE, SEAL, r.received_at_us)
    header, _ = open_sealed(spool.unreceipted(Lane.LIVE, 2, MIB)[0][1])
    assert header.report_count == 5
    assert layout.CUT_BYTES <= header.plain_bytes <= layout.PLAIN_BYTES_MAX
    assert not spool.cut(Lane.LIVE, SEAL, r.received_at_us)
