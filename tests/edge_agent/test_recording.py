"""Listening to a source's bytes: nothing is held up, and what is dropped is counted."""

from __future__ import annotations

import asyncio

import pytest

from adapters.formats.recording import Direction, Entry
from edge_agent import recording
from edge_agent.recording import Tap


def test_a_recording_begins_with_the_connections_that_stand_and_ends_with_its_recorder() -> None:
    async def run() -> None:
        tap = Tap()
        tap.opened(7, "10.0.0.7")
        tap.opened(8, "10.0.0.8")
        tap.closed(8)
        assert not tap.is_used
        recorder, other = tap.attach(), tap.attach()
        assert tap.is_used
        tap.incoming(7, b"ab")
        tap.outgoing(7, b"c")
        tap.closed(7)
        tap.closed(7)
        entries = await recorder.take()
        assert [(e.connection, e.direction, e.data or e.note) for e in entries] == [
            (7, Direction.NOTE, "opened 10.0.0.7 (before the recording)"),
            (7, Direction.IN, b"ab"),
            (7, Direction.OUT, b"c"),
            (7, Direction.NOTE, "closed"),
        ]
        tap.detach(recorder)
        assert tap.is_used
        tap.detach(other)
        assert not tap.is_used
        tap.incoming(7, b"x")
        assert len(await other.take()) == 4

    asyncio.run(run())


def test_who_writes_too_slowly_loses_the_newest_and_is_told_how_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recording, "QUEUE_BYTES_MAX", 1000)

    async def run() -> None:
        tap = Tap()
        recorder = tap.attach()
        for n in range(20):
            tap.incoming(1, bytes((n,)) * 100)
        entries = await recorder.take()
        assert [e.data[0] for e in entries[:-1]] == list(range(5))
        assert entries[-1] == Entry(entries[-1].at_us, 0, Direction.NOTE, note="dropped 15")
        tap.incoming(1, b"next")
        assert [e.data for e in await recorder.take()] == [b"next"]

    asyncio.run(run())
