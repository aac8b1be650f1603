"""Rejected frames read again: as of then, on backfill, marked, once; and nothing rings."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from adapters.driver import DeviceDriver, NoSettings, Source
from adapters.formats.recording import Direction, Entry, Heading
from edge_agent import reread
from edge_agent.agent import Chain
from edge_agent.config import SourceConfig, TcpLink
from edge_agent.delivery import Delivery
from edge_agent.events import EventEmitter
from edge_agent.flight_recorder import Ring, ring_folder
from edge_agent.recording import RejectedNote
from edge_agent.reread import NOTE, Reread, RereadTotals
from edge_agent.sources import SourcePlan
from edge_agent.spool import Spool
from emr_store import device_state
from evidence.seal import open_sealed
from schemas.batch import Table
from schemas.errors import FrameError, VitalwireError
from schemas.report import Alarm, AlarmPriority, Kind, Lane, Record, RecordKind, Report, Samples
from stream_processors import alarm_limits
from stream_processors.alarm_limits import Limit
from stream_processors.signed_message import open_message
from stream_processors.signed_validation import RawMessage, validate_and_sign
from stream_processors.validation import EdgeKey, Memory
from tests.edge_agent.spool.keeping import EDGE, KEY, MIB, SECOND_US, Clock, cut_all, release_all
from tests.making import PERCENT, SPO2, T0_US, Key

PLATFORM = Key()
NOW_US = T0_US + 3600 * SECOND_US
AT_US = T0_US + 1800 * SECOND_US


class Mendable:
    """A driver that reads nothing until it is mended; then a value beyond its limit, an alarm and a wave."""

    def __init__(self) -> None:
        self.is_mended = False
        self.driver: DeviceDriver[Any] = DeviceDriver("test", "", "", NoSettings, self.read, session=None)

    def read(self, frame: bytes, source: Source[Any]) -> list[Report]:
        if not self.is_mended or frame == b"hopeless":
            raise FrameError("charset", "not known")
        low = Record(SPO2, PERCENT, mantissa=70)
        alarm = Record(SPO2, kind=RecordKind.ALARM, alarm=Alarm("LOW", priority=AlarmPriority.HIGH))
        wave = Record(SPO2, PERCENT, kind=RecordKind.SAMPLES, samples=Samples(75, 1, 1, 0, 0, b"\1\0\2\0"))
        claim = source.claim()
        return [source.report(kind, [record], claim=claim) for kind, record in (
            (Kind.METRIC, low), (Kind.ALARM, alarm), (Kind.WAVEFORM, wave))]  # fmt: skip


class Box:
    """A spool, a source's chain before it, and time that stands."""

    def __init__(self, folder: Path) -> None:
        self.clock, self.folder, self.mendable = Clock(), folder, Mendable()
        self.clock.us = NOW_US
        self.spool = Spool(folder, bytes_max=8 * MIB, receipt_hold_s=1e9, now_us=self.clock)
        self.plan = SourcePlan(SourceConfig("bed 7", "test", TcpLink()), self.mendable.driver, NoSettings())

    def receive(self, frame: bytes, at_us: int = AT_US, reason: str = "", peer: str = "10.0.0.7") -> None:
        chain = Chain(self.plan, self.spool, EventEmitter("edge:1", self.clock), lambda _: None)
        settled: list[str] = []
        chain.carry(Delivery(frame, self.plan.source(peer), at_us, reason), lambda _, why: settled.append(why))
        while not settled:
            self.spool.unreceipted_by_lane()  # waits for the spool's thread

    def reread(self, since_us: int = T0_US) -> RereadTotals:
        return asyncio.run(Reread(self.plan, self.spool, self.folder).run(since_us))

    def batches(self, lane: Lane) -> list[bytes]:
        cut_all(self.spool, self.clock.us)
        return [sealed for _, sealed in self.spool.unreceipted(lane, 0, 100 * MIB)]

    def table(self, lane: Lane) -> Table:
        return Table.join([open_sealed(sealed)[1] for sealed in self.batches(lane)])


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Box]:
    made = Box(tmp_path / "spool")
    yield made
    made.spool.close()


def test_a_mended_frame_is_kept_as_of_then_on_backfill_and_marked(box: Box) -> None:
    box.receive(b"frame")
    release_all_after_cut(box)
    box.mendable.is_mended = True
    totals = box.reread()
    assert (totals.found, totals.read, totals.known, totals.reports) == (1, 1, 0, 3)
    assert box.batches(Lane.LIVE) == []
    table = box.table(Lane.BACKFILL)
    assert table.kind.tolist() == [Kind.EVENT, Kind.METRIC, Kind.CONTEXT]
    assert set(table.received_at_us.tolist()) == {AT_US}
    assert set(table.observed_at_us.tolist()) == {AT_US}
    for report in (1, 2):
        assert NOTE.encode() in [data for _, _, data in table.tail(report)]
    assert any(b"reread" in data for _, _, data in table.tail(0))
    waves = box.table(Lane.WAVEFORM)
    assert waves.received_at_us.tolist() == [AT_US]
    assert NOTE.encode() in [data for _, _, data in waves.tail(0)]
    claims = {data for _, _, data in table.tail(0) if data.startswith(b"bed 7/")}
    assert claims == {b"bed 7/connection=10.0.0.7"}


def release_all_after_cut(box: Box) -> None:
    """The hospital has the rejected report; the box holds on to it after its receipt."""
    cut_all(box.spool, box.clock.us)
    release_all(box.spool)


@pytest.mark.parametrize("cut", [False, True])
def test_each_frame_is_read_again_once_even_after_a_restart(box: Box, cut: bool) -> None:
    for n in range(40):
        box.receive(b"frame %d" % n, AT_US + n)
    box.receive(b"frame 0", AT_US + 100)  # the same bytes, another time: a measurement of its own
    if cut:
        release_all_after_cut(box)
    box.mendable.is_mended = True
    assert box.reread().read == 41
    again = box.reread()
    assert (again.found, again.read, again.known, again.reports) == (41, 0, 41, 0)
    box.spool.close()
    box.spool = Spool(box.folder, bytes_max=8 * MIB, receipt_hold_s=1e9, now_us=box.clock)
    assert box.reread().known == 41
    kinds = box.table(Lane.BACKFILL).kind.tolist()
    assert kinds.count(Kind.METRIC) == 41


def test_what_cannot_be_read_still_stays_for_the_next_time(box: Box) -> None:
    box.receive(b"hopeless")
    box.receive(b"frame")
    assert box.reread().still_rejected == {"charset": 2}
    box.mendable.is_mended = True
    totals = box.reread()
    assert (totals.read, totals.still_rejected) == (1, {"charset": 1})


def test_what_was_no_frame_what_came_before_and_what_is_anothers_is_left_alone(box: Box) -> None:
    box.receive(b"\x01\x02 noise", reason="checksum")
    box.receive(b"early", T0_US + SECOND_US)
    box.receive(b"frame")
    other = SourcePlan(SourceConfig("bed 8", "test", TcpLink()), box.mendable.driver, NoSettings())
    box.mendable.is_mended = True
    totals = box.reread(since_us=T0_US + 2 * SECOND_US)
    assert (totals.found, totals.read) == (1, 1)
    assert asyncio.run(Reread(other, box.spool, box.folder).run(0)).found == 0


def test_of_what_the_spool_holds_no_more_the_flight_recorder_has_the_bytes(box: Box) -> None:
    ring = Ring(ring_folder(box.folder, "bed 7"), Heading("tcp", "test"), hours=2, bytes_max=MIB, now_us=lambda: AT_US)
    notes = [RejectedNote.of(frame, "charset", AT_US) for frame in (b"frame", b"gone")]
    entries = [Entry(0, 1, Direction.NOTE, note="opened 10.0.0.9"), Entry(1, 1, Direction.IN, b"frame")]
    entries += [Entry(n, 1, Direction.NOTE, note=note.text()) for n, note in enumerate(notes, 2)]
    ring.write(entries, 4)
    box.receive(b"held", AT_US + 5)
    box.mendable.is_mended = True
    totals = box.reread()
    assert (totals.found, totals.read, totals.from_recorder, totals.lost) == (2, 2, 1, 1)
    assert box.reread().known == 2
    (first, *_) = [i for i, kind in enumerate(box.table(Lane.BACKFILL).kind.tolist()) if kind == Kind.EVENT]
    assert b"bed 7/connection=10.0.0.9" in [data for _, _, data in box.table(Lane.BACKFILL).tail(first)]


def test_nothing_rings(box: Box) -> None:
    """The value is far beyond the limit, and the device said an alarm; read again within a second, by a clock that
    was set back, and sent again."""
    memory = Memory({KEY.key_id: EdgeKey(EDGE, KEY.public_der, 0, 2**62, False)})
    box.receive(b"frame", NOW_US)
    box.mendable.is_mended = True
    box.clock.us = NOW_US - SECOND_US
    assert box.reread().read == 1
    assert box.batches(Lane.LIVE) == [] or Kind.METRIC not in box.table(Lane.LIVE).kind.tolist()
    backfill = box.batches(Lane.BACKFILL)
    assert device_state.alarms(box.table(Lane.BACKFILL)) == []
    for topic in ("live.raw", "backfill.raw"):
        (message,) = validate_and_sign(
            topic, [RawMessage(sealed, NOW_US) for sealed in backfill], memory,
            key_id=PLATFORM.key_id, sign=PLATFORM.sign, now_us=NOW_US,
        )  # fmt: skip
        block: Any = open_message(message.value, PLATFORM.public_der)
        for resent in (False, True):
            assert alarm_limits.evaluate([block], [Limit(SPO2, low=90.0)], {}, NOW_US, resent=resent) == []


def test_as_live_the_same_value_would_ring(box: Box) -> None:
    """The test above can fail."""
    memory = Memory({KEY.key_id: EdgeKey(EDGE, KEY.public_der, 0, 2**62, False)})
    box.mendable.is_mended = True
    box.receive(b"frame", NOW_US)
    box.clock.us += SECOND_US
    (message,) = validate_and_sign(
        "live.raw", [RawMessage(sealed, NOW_US) for sealed in box.batches(Lane.LIVE)], memory,
        key_id=PLATFORM.key_id, sign=PLATFORM.sign, now_us=NOW_US,
    )  # fmt: skip
    block: Any = open_message(message.value, PLATFORM.public_der)
    assert len(alarm_limits.evaluate([block], [Limit(SPO2, low=90.0)], {}, NOW_US)) == 1
    assert len(device_state.alarms(box.table(Lane.LIVE))) == 1


def test_what_the_spool_does_not_take_is_said_and_read_the_next_time(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    box.receive(b"frame")
    box.mendable.is_mended = True
    quota = box.spool._quota
    monkeypatch.setattr(box.spool, "_quota", msgspec_free(quota))
    assert box.reread().is_full
    monkeypatch.setattr(box.spool, "_quota", quota)
    assert box.reread().read == 1


def msgspec_free(quota: Any) -> Any:
    """The same quota with nothing left of it."""
    return type(quota)(bytes_max=1, wave_share=quota.wave_share)


def test_a_spool_that_is_held_in_its_old_version_says_so(box: Box) -> None:
    box.receive(b"frame")
    box.mendable.is_mended = True
    box.spool.version = 3
    with pytest.raises(VitalwireError, match="held in its old version"):
        box.reread()


@pytest.mark.parametrize(
    ("kind", "lane", "expected"),
    [
        (Kind.METRIC, Lane.LIVE, (Kind.METRIC, Lane.BACKFILL, NOTE)),
        (Kind.DESCRIPTION, Lane.LIVE, (Kind.DESCRIPTION, Lane.BACKFILL, None)),
        (Kind.CONTEXT, Lane.ADT, (Kind.CONTEXT, Lane.ADT, None)),
    ],
)
def test_what_stays_as_it_was_said(kind: Kind, lane: Lane, expected: tuple[Kind, Lane, str | None]) -> None:
    make: Callable[..., Report] = Source("s", NoSettings(), received_at_us=1).report
    given = msgspec.structs.replace(make(kind, [Record(SPO2)], claim="c"), lane=lane)
    found = reread.as_reread(given)
    assert (found.kind, found.lane, found.records[0].note) == expected
