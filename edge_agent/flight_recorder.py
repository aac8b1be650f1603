"""The flight recorder: a ring of the last hours of each source's bytes on the disk, in the spool's folder.

A ring is a folder of short recordings (docs/recording.md), each whole in itself; the oldest are deleted. What it holds
stays within its part of the spool's quota. Whoever reads and answers never waits for it: what the disk is too slow for
is dropped from the ring, and counted there.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from threading import Lock

from adapters.formats.recording import BEFORE, Direction, Entry, Heading, heading_of, peer_of, read, write
from edge_agent.config import EdgeConfig
from edge_agent.recording import Recorder, Tap
from runtime.clock import now_us
from schemas.errors import ConfigError

FOLDER = "recorder"  # in the spool's
SUFFIX = ".rec"
SEGMENTS = 12  # of a ring, about: what is deleted at one time is one of them
WRITE_EVERY_S = 0.5
RETRY_S = 30.0  # after a disk that failed
QUEUE_BYTES_MAX = 1024 * 1024  # of one source that wait for the disk
SLUG_CHARS_MAX = 40


@dataclass(frozen=True)
class RecorderPlan:
    """How much of which source is kept; `spool_bytes_max` is what the quota leaves for the spool itself."""

    hours_by_source: dict[str, float]
    ring_bytes_max: int
    spool_bytes_max: int


def plan_of(config: EdgeConfig) -> RecorderPlan:
    """The rings share their part of the quota evenly; without any the spool has all of it."""
    hours = {
        source.name: config.recorder_h if source.recorder_h is None else source.recorder_h for source in config.source
    }
    hours = {name: value for name, value in hours.items() if value > 0}
    if not hours:
        return RecorderPlan({}, 0, config.spool_bytes_max)
    together = int(config.spool_bytes_max * config.recorder_share)
    return RecorderPlan(hours, together // len(hours), config.spool_bytes_max - together)


def ring_folder(spool: Path, source: str) -> Path:
    """Where the ring of a source lies, whatever the source is called."""
    slug = re.sub(r"[^A-Za-z0-9_-]+", "-", source)[:SLUG_CHARS_MAX].strip("-")
    return spool / FOLDER / f"{slug}-{sha256(source.encode('utf-8', 'replace')).hexdigest()[:8]}"


def delete_others(spool: Path, sources: Iterable[str]) -> None:
    """Delete the rings of sources that are not recorded any more: nobody would. Raises OSError."""
    kept = {ring_folder(spool, name) for name in sources}
    with suppress(FileNotFoundError):
        for path in (spool / FOLDER).iterdir():
            if path not in kept:
                shutil.rmtree(path)


class Ring:
    """The files of one source, and how they follow each other. `write` raises OSError."""

    def __init__(
        self, folder: Path, heading: Heading, *, hours: float, bytes_max: int, now_us: Callable[[], int] = now_us
    ) -> None:  # fmt: skip
        self._folder, self._heading, self._now_us = folder, heading, now_us
        self._hours_us, self._bytes_max = int(hours * 3600e6), bytes_max
        self._segment_bytes = bytes_max // SEGMENTS
        self._path: Path | None = None
        self._size = self._begun_us = self._begun_at_us = 0
        self._peers: dict[int, str] = {}  # by connection, of those that stand
        self._lock = Lock()

    def write(self, entries: Sequence[Entry], at_us: int) -> None:
        """Write entries whose times count from the recorder's beginning; by that `at_us` is now."""
        with self._lock:  # at the agent's end a write may still be at work
            self._write(entries, at_us)

    def _write(self, entries: Sequence[Entry], at_us: int) -> None:
        lines: list[str] = []
        for entry in entries:
            if self._is_full:
                self._append(lines)
                lines = []
                self._begin(entry.at_us, self._now_us() - (at_us - entry.at_us))
            self._note_peer(entry)
            line = write(replace(entry, at_us=max(entry.at_us - self._begun_at_us, 0)))
            lines.append(line)
            self._size += len(line)
        self._append(lines)
        self._evict()

    @property
    def _is_full(self) -> bool:
        """Whether a new segment is to begin before more is written; so it is at first."""
        age_us = self._now_us() - self._begun_us
        is_old = not 0 <= age_us < self._hours_us // SEGMENTS  # below 0: the clock was set back
        return self._path is None or is_old or self._size >= self._segment_bytes

    def _begin(self, begun_at_us: int, begun_us: int) -> None:
        """Begin a segment with the connections that stand."""
        self._folder.mkdir(0o700, parents=True, exist_ok=True)
        # By number, not by the clock, which may be set back: the order in which they were written.
        last = max((number_of(path) for path in segments(self._folder)), default=0)
        self._path, self._size = self._folder / f"{last + 1:012}{SUFFIX}", 0
        self._begun_at_us, self._begun_us = begun_at_us, begun_us
        lines = [replace(self._heading, begun_us=begun_us).text()]
        for connection, peer in self._peers.items():
            lines.append(write(Entry(0, connection, Direction.NOTE, note=f"opened {peer}{BEFORE}")))
        self._size = sum(map(len, lines))
        self._append(lines)
        self._evict()

    def _note_peer(self, entry: Entry) -> None:
        if entry.direction is not Direction.NOTE:
            return
        peer = peer_of(entry.note)
        if peer is not None:
            self._peers[entry.connection] = peer
        elif entry.note == "closed":
            self._peers.pop(entry.connection, None)

    def _append(self, lines: Sequence[str]) -> None:
        if lines and self._path is not None:
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
            with open(os.open(self._path, flags, 0o600), "a", encoding="utf-8") as out:
                out.writelines(lines)

    def _evict(self) -> None:
        """The oldest segments: those that ended before the hours, and others until the rest is within its bytes."""
        paths = segments(self._folder)
        stats = [path.stat() for path in paths]
        oldest_us = self._now_us() - self._hours_us
        total = sum(stat.st_size for stat in stats)
        for path, stat in zip(paths[:-1], stats[:-1], strict=True):
            if total <= self._bytes_max and stat.st_mtime_ns // 1000 >= oldest_us:
                break
            path.unlink()
            total -= stat.st_size


def segments(folder: Path) -> list[Path]:
    """The files of a ring in the order in which they were written; none where there is no ring."""
    return sorted(folder.glob(f"*{SUFFIX}"), key=number_of)


def number_of(path: Path) -> int:
    """Which segment of its ring it is; 0 of a file that is none."""
    return int(path.stem) if path.stem.isdecimal() else 0


class FlightRecorder:
    """Keeps the ring of one source; `emit` gets what hinders it, once for each reason."""

    def __init__(self, name: str, tap: Tap, ring: Ring, emit: Callable[[str, str], object]) -> None:
        self._name, self._tap, self._ring, self._emit = name, tap, ring, emit
        self._why = ""

    async def run(self) -> None:
        """For ever; at the end what came is written."""
        recorder = self._tap.attach(Recorder(queue_bytes_max=QUEUE_BYTES_MAX))
        try:
            while True:
                await self._write(await recorder.take(), recorder.at_us())
                await asyncio.sleep(WRITE_EVERY_S)
        finally:
            self._tap.detach(recorder)
            with suppress(OSError):
                self._ring.write(recorder.take_now(), recorder.at_us())

    async def _write(self, entries: Sequence[Entry], at_us: int) -> None:
        """A disk that fails costs these entries, and is left alone for a while."""
        try:
            await asyncio.to_thread(self._ring.write, entries, at_us)
        except OSError as error:
            why = error.strerror or type(error).__name__
            if why != self._why:
                self._why = why
                self._emit("recorder-trouble", f"{self._name}: the flight recorder cannot write: {why}")
            await asyncio.sleep(RETRY_S)


@dataclass(frozen=True)
class Recorded:
    """What a ring or a file holds; the entries' times count from `heading.begun_us`."""

    heading: Heading
    entries: list[Entry]


def read_file(path: Path) -> Recorded:
    """A recording; raises ConfigError."""
    try:
        text = path.read_text("utf-8")
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path} is no recording: it is not UTF-8") from None
    return Recorded(heading_of(text), read(text, str(path)))


def read_ring(spool: Path, source: str, since_us: int = 0) -> Recorded | None:
    """The ring of a source as one recording, from the segment on in which `since_us` lies; None where there is none.

    A segment that is being written may end within a line, and one that is deleted meanwhile is gone. Raises
    ConfigError.
    """
    found = [recorded for path in segments(ring_folder(spool, source)) if (recorded := _segment(path)) is not None]
    begun = [recorded.heading.begun_us or 0 for recorded in found]
    first = max((i for i, begun_us in enumerate(begun) if begun_us <= since_us), default=0)
    if not found:
        return None
    heading = found[first].heading
    return Recorded(heading, list(_continuous(found[first:], heading.begun_us or 0)))


def _segment(path: Path) -> Recorded | None:
    try:
        text = path.read_text("utf-8", errors="replace")
    except FileNotFoundError:
        return None
    whole = text[: text.rfind("\n") + 1]
    heading = heading_of(whole)
    return None if heading.begun_us is None else Recorded(heading, read(whole, str(path)))


def _continuous(found: Sequence[Recorded], begun_us: int) -> Iterator[Entry]:
    """Entries of all segments by the first one's time: never earlier than the one before, whatever the clock did."""
    open_peers: dict[int, str] = {}
    last_us = 0
    for recorded in found:
        shift_us = (recorded.heading.begun_us or 0) - begun_us
        for entry in recorded.entries:
            peer = peer_of(entry.note) if entry.direction is Direction.NOTE else None
            if peer is not None and entry.note.endswith(BEFORE) and open_peers.get(entry.connection) == peer:
                continue  # it stood in the segment before, too
            if peer is not None:
                open_peers[entry.connection] = peer
            elif entry.note == "closed":
                open_peers.pop(entry.connection, None)
            last_us = max(last_us, entry.at_us + shift_us)
            yield replace(entry, at_us=last_us)
