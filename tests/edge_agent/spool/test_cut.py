"""What is cut when, and in which lane."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from threading import Event

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_agent.spool import Spool
from evidence.seal import open_sealed
from schemas import layout
from schemas.errors import VitalwireError
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


def test_adt_has_a_stream_of_its_own_and_no_backfill(make: Callable[..., Spool]) -> None:
    spool = make()
    now_us = T0_US + 60 * SECOND_US
    put(spool, in_lane(Lane.ADT, "ward", now_us - 30 * SECOND_US), in_lane(Lane.ADT, "ward", now_us - SECOND_US))
    put(spool, in_lane(Lane.LIVE, "fresh", now_us - SECOND_US))
    cut_all(spool, now_us)
    assert sequences(spool.unreceipted(Lane.ADT, 0, MIB)) == {report("ward").device.bytes: [1, 2]}
    assert list(sequences(spool.unreceipted(Lane.LIVE, 0, MIB))) == [report("fresh").device.bytes]
    assert spool.unreceipted(Lane.BACKFILL, 0, MIB) == spool.unreceipted(Lane.WAVEFORM, 0, MIB) == []
    header, _ = open_sealed(spool.unreceipted(Lane.ADT, 0, MIB)[0][1])
    assert (header.lane, header.batch_no) == (Lane.ADT, 1)


def test_what_was_read_again_is_backfill_however_young_it_is_and_whatever_the_clock_does(
    make: Callable[..., Spool],
) -> None:
    spool = make()
    put(spool, in_lane(Lane.BACKFILL, "reread", T0_US), report("new", T0_US))
    put(spool, report("old", T0_US - 60 * SECOND_US))
    cut_all(spool, T0_US + SECOND_US)
    assert list(sequences(spool.unreceipted(Lane.LIVE, 0, MIB))) == [report("new").device.bytes]
    found = sequences(spool.unreceipted(Lane.BACKFILL, 0, MIB))
    assert set(found) == {report("reread").device.bytes, report("old").device.bytes}
    put(spool, in_lane(Lane.BACKFILL, "reread", T0_US + 3600 * SECOND_US))
    cut_all(spool, T0_US)  # the clock was set back
    assert sequences(spool.unreceipted(Lane.BACKFILL, 0, MIB))[report("reread").device.bytes] == [1, 2]
    assert spool.figures.reports == spool.figures.report_bytes == 0


@settings(max_examples=30, deadline=None)
@given(
    groups=st.lists(
        st.lists(st.tuples(st.integers(0, 2), st.integers(0, 3_000_000), st.integers(1, 9000)), max_size=8), max_size=5
    )
)
def test_whatever_their_sizes_no_batch_is_too_large_and_none_is_lost(
    groups: list[list[tuple[int, int, int]]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    settled = Event()
    spool = Spool(tmp_path_factory.mktemp("spool"), bytes_max=1 << 30, receipt_hold_s=1)
    counts: Counter[str] = Counter()
    for group in groups:
        for device, later_us, records in group:
            many = [Record(150456, mantissa=i) for i in range(records)]
            spool.put([report(str(device), T0_US + later_us, many)])
            counts[str(device)] += 1
        settled.clear()
        spool.put([], done=lambda _: settled.set())
        assert settled.wait(10)
    cut_all(spool, T0_US + 60 * SECOND_US)
    batches = spool.unreceipted(Lane.BACKFILL, 0, 1 << 30)
    assert all(open_sealed(sealed)[0].plain_bytes <= layout.PLAIN_BYTES_MAX for _, sealed in batches)
    found = {device: sorted(numbers) for device, numbers in sequences(batches).items()}
    assert found == {report(claim).device.bytes: list(range(1, n + 1)) for claim, n in counts.items()}
    assert spool.figures.reports == spool.figures.report_bytes == 0
    spool.close()


def test_where_nothing_is_due_the_spools_thread_is_not_asked(make: Callable[..., Spool]) -> None:
    """The publisher asks for each lane twenty times a second."""
    spool = make()
    put(spool, r := report())
    spool._writer.shutdown()
    assert spool.cut(Lane.LIVE, SEAL, r.received_at_us + 1) is None
    with pytest.raises(VitalwireError, match="cannot write"):
        spool.cut(Lane.LIVE, SEAL, r.received_at_us + SECOND_US)
