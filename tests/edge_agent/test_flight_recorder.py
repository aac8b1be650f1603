"""The flight recorder: a ring bounded in bytes and hours, which is one recording when it is read."""

from __future__ import annotations

import asyncio
import os
import stat
from pathlib import Path

import pytest

from adapters.formats.recording import Direction, Entry, Heading
from edge_agent import flight_recorder
from edge_agent.config import EdgeConfig, SerialLink, SourceConfig
from edge_agent.flight_recorder import FlightRecorder, Ring, delete_others, plan_of, read_ring, ring_folder, segments
from edge_agent.recording import RejectedNote, Tap
from tests.edge_agent.links.scene import LIMIT_S, eventually

T0_US = 1_790_000_000_000_000
HEADING = Heading("tcp", "hl7_oru")
MINUTE_US = 60_000_000


class Clock:
    def __init__(self) -> None:
        self.now_us = T0_US

    def __call__(self) -> int:
        return self.now_us


def ring_of(spool: Path, clock: Clock, *, hours: float = 1.0, bytes_max: int = 1_000_000) -> Ring:
    return Ring(ring_folder(spool, "bed 7"), HEADING, hours=hours, bytes_max=bytes_max, now_us=clock)


def write(ring: Ring, clock: Clock, entry: Entry) -> None:
    """As if it came at its own time, from T0 on."""
    clock.now_us = T0_US + entry.at_us
    for path in segments(ring._folder)[-1:]:
        os.utime(path, ns=(clock.now_us * 1000, clock.now_us * 1000))
    ring.write([entry], entry.at_us)
    for path in segments(ring._folder)[-1:]:
        os.utime(path, ns=(clock.now_us * 1000, clock.now_us * 1000))


def test_what_is_read_is_what_was_written_over_all_segments(tmp_path: Path) -> None:
    clock = Clock()
    ring = ring_of(tmp_path, clock)
    entries = [Entry(0, 3, Direction.NOTE, note="opened 10.0.0.7")]
    entries += [Entry(n * MINUTE_US, 3, Direction.IN, bytes([n]) * 5000) for n in range(1, 30)]
    entries += [Entry(30 * MINUTE_US, 3, Direction.NOTE, note="closed")]
    for entry in entries:
        write(ring, clock, entry)
    assert len(segments(ring_folder(tmp_path, "bed 7"))) > 5
    found = read_ring(tmp_path, "bed 7")
    assert found is not None
    assert found.heading == Heading("tcp", "hl7_oru", T0_US)
    split = [e for e in found.entries if e.direction is Direction.NOTE]
    assert [e.note for e in split] == ["opened 10.0.0.7", "closed"]
    joined: dict[int, bytes] = {}
    for entry in found.entries:
        joined[entry.at_us] = joined.get(entry.at_us, b"") + entry.data
    assert {at: data for at, data in joined.items() if data} == {e.at_us: e.data for e in entries if e.data}


def test_it_holds_no_more_than_its_hours(tmp_path: Path) -> None:
    clock = Clock()
    ring = ring_of(tmp_path, clock)
    for minute in range(180):
        write(ring, clock, Entry(minute * MINUTE_US, 1, Direction.IN, b"x"))
    found = read_ring(tmp_path, "bed 7")
    assert found is not None
    assert found.heading.begun_us is not None
    held_min = (clock.now_us - found.heading.begun_us) / MINUTE_US
    assert 60 <= held_min <= 60 + 60 / flight_recorder.SEGMENTS + 1


@pytest.mark.parametrize("piece", [1, 100, 4096])
def test_it_holds_no_more_than_its_bytes_and_the_newest_of_them(tmp_path: Path, piece: int) -> None:
    clock = Clock()
    ring = ring_of(tmp_path, clock, bytes_max=200_000)
    for n in range(2_000_000 // (piece * 4 + 40)):
        ring.write([Entry(n, 1, Direction.IN, b"\n" * piece)], n)
    size = sum(path.stat().st_size for path in segments(ring_folder(tmp_path, "bed 7")))
    assert 150_000 < size <= 200_000
    found = read_ring(tmp_path, "bed 7")
    assert found is not None
    assert found.entries[-1].data == b"\n" * piece


def test_a_segment_begins_with_the_connections_that_stand(tmp_path: Path) -> None:
    clock = Clock()
    ring = ring_of(tmp_path, clock)
    write(ring, clock, Entry(0, 3, Direction.NOTE, note="opened 10.0.0.7"))
    write(ring, clock, Entry(1, 4, Direction.NOTE, note="opened 10.0.0.8"))
    write(ring, clock, Entry(2, 4, Direction.NOTE, note="closed"))
    write(ring, clock, Entry(6 * MINUTE_US, 3, Direction.IN, b"x"))
    newest = segments(ring_folder(tmp_path, "bed 7"))[-1].read_text()
    assert "opened 10.0.0.7 (before the recording)" in newest
    assert "10.0.0.8" not in newest
    found = read_ring(tmp_path, "bed 7", since_us=T0_US + 6 * MINUTE_US)
    assert found is not None
    assert [e.note or e.data for e in found.entries] == ["opened 10.0.0.7 (before the recording)", b"x"]


def test_its_files_are_for_the_agents_own_user_and_a_half_written_line_is_left_out(tmp_path: Path) -> None:
    clock = Clock()
    ring = ring_of(tmp_path, clock)
    mask = os.umask(0)
    try:
        ring.write([Entry(0, 1, Direction.IN, b"abc")], 0)
    finally:
        os.umask(mask)
    (path,) = segments(ring_folder(tmp_path, "bed 7"))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    with path.open("a") as out:
        out.write("0.5 1 < 4")
    found = read_ring(tmp_path, "bed 7")
    assert found is not None
    assert [e.data for e in found.entries] == [b"abc"]
    assert read_ring(tmp_path, "bed 8") is None


def test_the_rings_of_sources_that_are_not_recorded_any_more_are_deleted(tmp_path: Path) -> None:
    delete_others(tmp_path, ["a"])
    for name in ("a", "b/../c"):
        Ring(ring_folder(tmp_path, name), HEADING, hours=1, bytes_max=10_000).write(
            [Entry(0, 1, Direction.IN, b"x")], 0
        )
    assert len(list((tmp_path / flight_recorder.FOLDER).iterdir())) == 2
    delete_others(tmp_path, ["a"])
    assert list((tmp_path / flight_recorder.FOLDER).iterdir()) == [ring_folder(tmp_path, "a")]


def test_the_rings_and_the_spool_share_one_quota() -> None:
    def source(name: str, hours: float | None) -> SourceConfig:
        return SourceConfig(name, "nonin_df2", SerialLink("/dev/ttyNONE"), recorder_h=hours)

    sources = (source("a", None), source("b", 3.0), source("c", 0.0))
    config = EdgeConfig(edge="", spool_bytes_max=1_000_000, recorder_h=1.0, recorder_share=0.1, source=sources)
    plan = plan_of(config)
    assert plan.hours_by_source == {"a": 1.0, "b": 3.0}
    assert (plan.ring_bytes_max, plan.spool_bytes_max) == (50_000, 900_000)
    nothing = plan_of(EdgeConfig(edge="", spool_bytes_max=1_000_000, source=(source("a", None),)))
    assert (nothing.hours_by_source, nothing.spool_bytes_max) == ({}, 1_000_000)


def test_it_writes_what_a_tap_gives_and_a_disk_that_fails_is_said_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flight_recorder, "WRITE_EVERY_S", 0.01)
    monkeypatch.setattr(flight_recorder, "RETRY_S", 0.01)
    events: list[tuple[str, str]] = []
    tap = Tap()
    folder = ring_folder(tmp_path, "bed 7")
    folder.parent.parent.mkdir(exist_ok=True)
    folder.parent.write_text("a file where the folder is to be")

    async def run() -> None:
        ring = Ring(folder, HEADING, hours=1, bytes_max=100_000)
        task = asyncio.create_task(FlightRecorder("bed 7", tap, ring, lambda *e: events.append(e)).run())
        await eventually(lambda: tap.is_used)
        tap.opened(1, "10.0.0.7")
        await eventually(lambda: events)
        tap.incoming(1, b"lost")
        await asyncio.sleep(0.1)
        folder.parent.unlink()
        tap.incoming(1, b"kept")
        await eventually(lambda: segments(folder))
        tap.rejected(1, RejectedNote.of(b"kept", "no-code", T0_US))
        tap.closed(1)
        task.cancel()
        async with asyncio.timeout(LIMIT_S):
            await asyncio.gather(task, return_exceptions=True)

    asyncio.run(run())
    assert [code for code, _ in events] == ["recorder-trouble"]
    found = read_ring(tmp_path, "bed 7")
    assert found is not None
    assert found.entries[-1].note == "closed"
    note = RejectedNote.read(found.entries[-2].note)
    assert note == RejectedNote.of(b"kept", "no-code", T0_US)
    assert b"kept" in [e.data for e in found.entries]
    assert not tap.is_used
