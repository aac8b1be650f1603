"""Reading rejected frames again, after a mapping, a charset or a driver was mended.

The bytes are those of the `rejected` reports that the spool still holds; what it holds no more comes from the flight
recorder. What they say now is kept as of the moment at which they came, on the lane of backfill and marked, once a
frame. Nothing of it rings: limits are compared with what was live, and alarms of devices are texts of a context.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec

from adapters.driver import Source
from adapters.formats.recording import Direction
from edge_agent.agent import read_frame
from edge_agent.delivery import Delivery
from edge_agent.events import event
from edge_agent.flight_recorder import read_ring
from edge_agent.recorded_frames import read_recording
from edge_agent.recording import RejectedNote
from edge_agent.sources import SourcePlan
from edge_agent.spool import Kept, Spool
from edge_agent.spool.rejected import RejectedFrame, Stretch, in_batch, in_chunk
from schemas.report import AsSent, Kind, Lane, Record, RecordKind, Report

NOTE = "read again"
BATCHES_AT_ONCE = 20  # between them the spool's thread does what else waits
FRAMES_AT_ONCE = 16
PAUSE_S = 0.01  # between these, for the feed that goes on
KEY_BYTES = 16
_VALUES = {Kind.METRIC, Kind.WAVEFORM, Kind.SETTING, Kind.ALARM}


@dataclass
class RereadTotals:
    """Frames, by what became of them; `reports` is what they say. `is_full`: the spool took no more."""

    found: int = 0
    read: int = 0
    known: int = 0  # read again before
    still_rejected: dict[str, int] = field(default_factory=dict)  # by reason
    reports: int = 0
    from_recorder: int = 0  # of `found`: whose bytes only the flight recorder had
    lost: int = 0  # that were rejected, and are nowhere on this disk any more
    is_full: bool = False


def as_reread(report: Report) -> Report:
    """What a report says as of then: on backfill, each value marked, an alarm as a text of a context."""
    lane = Lane.BACKFILL if report.lane is Lane.LIVE else report.lane
    if report.kind not in _VALUES or report.lane is Lane.ADT:
        return msgspec.structs.replace(report, lane=lane)
    kind = Kind.CONTEXT if report.kind is Kind.ALARM else report.kind
    return msgspec.structs.replace(report, lane=lane, kind=kind, records=tuple(map(_marked, report.records)))


def _marked(record: Record) -> Record:
    note = f"{record.note}; {NOTE}" if record.note else NOTE
    if record.alarm is None:
        return msgspec.structs.replace(record, note=note)
    # As a text: what says "alarm" is shown as one that is active, until the device says otherwise.
    return Record(
        code=record.code,
        channel=record.channel,
        kind=RecordKind.TEXT,
        text=msgspec.json.encode(record.alarm).decode(),
        note=note,
        as_sent=record.as_sent or AsSent("vitalwire", "alarm"),
    )


def key_of(rejected: RejectedFrame) -> bytes:
    """What tells a frame: whose it was, when it came, and its bytes."""
    head = f"{rejected.source}\x1f{rejected.received_at_us}\x1f".encode("utf-8", "replace")
    return sha256(head + rejected.frame).digest()[:KEY_BYTES]


class Reread:
    """Reads the rejected frames of one source again. Raises VitalwireError where the spool cannot."""

    def __init__(self, plan: SourcePlan, spool: Spool, folder: Path) -> None:
        # What the source remembers while it works is not touched.
        self._plan = replace(plan, lasting={}, counts=type(plan.counts)())
        self._spool, self._folder = spool, folder
        self._sources: dict[str, Source[Any]] = {}
        self._totals = RereadTotals()

    async def run(self, since_us: int) -> RereadTotals:
        """All that were received since."""
        await asyncio.to_thread(self._spool.forget_reread)
        found = [each async for each in self._in_spool(since_us)]
        found += await asyncio.to_thread(self._in_ring, since_us, found)
        found.sort(key=lambda rejected: rejected.received_at_us)
        self._totals.found = len(found)
        for first in range(0, len(found), FRAMES_AT_ONCE):
            await self._read(found[first : first + FRAMES_AT_ONCE])
            if self._totals.is_full:
                break
            await asyncio.sleep(PAUSE_S)
        return self._totals

    async def _in_spool(self, since_us: int) -> AsyncIterator[RejectedFrame]:
        # First what waits: what is cut meanwhile would be missed the other way round, and is found twice this way.
        seen: set[bytes] = set()
        for next_stretch, read in ((self._waiting, in_chunk), (self._sealed, in_batch)):
            after = 0
            while True:
                stretch = await asyncio.to_thread(next_stretch, after, since_us)
                if not stretch.parts:
                    break
                after = stretch.after
                for rejected in await asyncio.to_thread(_all_of, stretch, read):
                    key = key_of(rejected)
                    is_wanted = rejected.source == self._plan.name and rejected.received_at_us >= since_us
                    if is_wanted and key not in seen:
                        seen.add(key)
                        yield rejected
                await asyncio.sleep(PAUSE_S)

    def _waiting(self, after: int, since_us: int) -> Stretch:
        return self._spool.waiting_after(after, BATCHES_AT_ONCE)

    def _sealed(self, after: int, since_us: int) -> Stretch:
        return self._spool.sealed_after(after, since_us, BATCHES_AT_ONCE)

    def _in_ring(self, since_us: int, found: Sequence[RejectedFrame]) -> list[RejectedFrame]:
        """Those that the flight recorder says were rejected, and that the spool holds no more."""
        recorded = read_ring(self._folder, self._plan.name, since_us)
        if recorded is None:
            return []
        held = {RejectedNote.of(each.frame, each.reason, each.received_at_us) for each in found}
        notes = [
            note
            for entry in recorded.entries
            if entry.direction is Direction.NOTE and (note := RejectedNote.read(entry.note)) is not None
        ]
        wanted = [note for note in notes if note.received_at_us >= since_us and note not in held]
        if not wanted:
            return []
        frames = {
            sha256(frame.data).hexdigest()[:32]: frame
            for frame in read_recording(self._plan, recorded.entries, recorded.heading.begun_us or 0)
            if frame.is_cut
        }
        out = [
            RejectedFrame(
                source=self._plan.name,
                peer=frames[note.frame_hash].peer,
                received_at_us=note.received_at_us,
                reason=note.reason,
                frame=frames[note.frame_hash].data,
            )
            for note in wanted
            if note.frame_hash in frames
        ]
        self._totals.from_recorder = len(out)
        self._totals.lost = len(wanted) - len(out)
        return out

    async def _read(self, chunk: Sequence[RejectedFrame]) -> None:
        """Read some, and wait until what they say is on the disk."""
        loop = asyncio.get_running_loop()
        waiting: list[tuple[asyncio.Future[Kept], int]] = []
        for rejected in chunk:
            reports = self._reports(rejected)
            if not reports:
                continue
            settled: asyncio.Future[Kept] = loop.create_future()
            delivery = Delivery(rejected.frame, self._source(rejected.peer), rejected.received_at_us)
            self._spool.put_once(key_of(rejected), reports, delivery, _settling(loop, settled))
            waiting.append((settled, len(reports)))
        for settled, count in waiting:
            kept = await settled
            if kept is Kept.KEPT:
                self._totals.read += 1
                self._totals.reports += count - 1  # without the event that says so
            elif kept is Kept.DUPLICATE:
                self._totals.known += 1
            else:
                self._totals.is_full = True

    def _reports(self, rejected: RejectedFrame) -> list[Report]:
        source = self._source(rejected.peer)
        delivery = Delivery(rejected.frame, source, rejected.received_at_us)
        _, reason, reports = read_frame(self._plan, delivery)
        source.take_emitted()
        if reason:
            rejected_by_reason = self._totals.still_rejected
            rejected_by_reason[reason] = rejected_by_reason.get(reason, 0) + 1
            return []
        if not reports:  # a heartbeat: nothing to keep, now as then
            return []
        first = reports[0]
        said = event(first.claim, "reread", f"rejected then: {rejected.reason}", rejected.received_at_us)
        said = msgspec.structs.replace(said, lane=Lane.ADT if first.lane is Lane.ADT else Lane.BACKFILL)
        return [said, *map(as_reread, reports)]

    def _source(self, peer: str) -> Source[Any]:
        if peer not in self._sources:
            self._sources[peer] = self._plan.source(peer)
        return self._sources[peer]


def _all_of(stretch: Stretch, read: Callable[[bytes], Iterator[RejectedFrame]]) -> list[RejectedFrame]:
    return [rejected for part in stretch.parts for rejected in read(part)]


def _settling(loop: asyncio.AbstractEventLoop, settled: asyncio.Future[Kept]) -> Callable[[Kept], None]:
    """Told on the loop or on the spool's thread."""

    def done(kept: Kept) -> None:
        loop.call_soon_threadsafe(_set, settled, kept)

    return done


def _set(settled: asyncio.Future[Kept], kept: Kept) -> None:
    if not settled.done():
        settled.set_result(kept)
