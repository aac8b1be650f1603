"""Listening to a source's bytes while it works, without holding them up."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256

from adapters.formats.recording import BEFORE, RETAINED, Direction, Entry

QUEUE_BYTES_MAX = 4 * 1024 * 1024  # of one recording that wait to be written; beyond it they are dropped and counted
REJECTED = "rejected"
ENTRY_BYTES = 100  # what an entry takes beside its bytes


@dataclass(frozen=True)
class RejectedNote:
    """In a recording: a frame that the driver could not read, so that it is found again among the bytes.

    `frame_hash` is the beginning of its SHA-256, in hex.
    """

    reason: str
    frame_hash: str
    received_at_us: int

    @staticmethod
    def of(frame: bytes, reason: str, received_at_us: int) -> RejectedNote:
        """Of the frame's bytes."""
        return RejectedNote(reason, sha256(frame).hexdigest()[:32], received_at_us)

    def text(self) -> str:
        """As it stands in a recording."""
        return f"{REJECTED} {self.reason} {self.frame_hash} {self.received_at_us}"

    @staticmethod
    def read(note: str) -> RejectedNote | None:
        """None of another note."""
        words = note.split()
        if len(words) != 4 or words[0] != REJECTED or not words[3].isdecimal():
            return None
        return RejectedNote(words[1], words[2], int(words[3]))


class Recorder:
    """One recording: takes what a tap gives, for whoever writes it."""

    def __init__(
        self, now_s: Callable[[], float] = time.monotonic, queue_bytes_max: int | None = None
    ) -> None:  # fmt: skip
        self._now_s, self._began_s = now_s, now_s()
        self._queue_bytes_max = queue_bytes_max or QUEUE_BYTES_MAX
        self._entries: deque[Entry] = deque()
        self._bytes = self._dropped = 0
        self._more = asyncio.Event()

    def add(self, connection: int, direction: Direction, data: bytes = b"", note: str = "") -> None:
        """Take something, or count it as dropped where the writer is too far behind."""
        size = ENTRY_BYTES + len(data)
        if self._bytes + size > self._queue_bytes_max:
            self._dropped += 1
            return
        self._entries.append(Entry(self.at_us(), connection, direction, data, note))
        self._bytes += size
        self._more.set()

    async def take(self) -> list[Entry]:
        """What came since the last time, as soon as there is any; what was dropped is the last of it."""
        await self._more.wait()
        return self.take_now()

    def take_now(self) -> list[Entry]:
        """The same without waiting: nothing where nothing came."""
        self._more.clear()
        taken, self._entries, self._bytes = list(self._entries), deque(), 0
        if self._dropped:
            taken.append(Entry(self.at_us(), 0, Direction.NOTE, note=f"dropped {self._dropped}"))
            self._dropped = 0
        return taken

    def at_us(self) -> int:
        """How long it has been at work."""
        return round((self._now_s() - self._began_s) * 1e6)


class Tap:
    """Where recordings of one source are attached. `is_used`: there is one, so that bytes are worth handing over."""

    def __init__(self) -> None:
        self.is_used = False
        self._recorders: list[Recorder] = []
        self._peers: dict[int, str] = {}  # by connection, of those that stand

    def attach(self, recorder: Recorder | None = None) -> Recorder:
        """Begin a recording; the connections that stand are its first entries."""
        recorder = recorder or Recorder()
        self._recorders.append(recorder)
        self.is_used = True
        for connection, peer in self._peers.items():
            recorder.add(connection, Direction.NOTE, note=f"opened {peer}{BEFORE}")
        return recorder

    def detach(self, recorder: Recorder) -> None:
        """End a recording."""
        self._recorders.remove(recorder)
        self.is_used = bool(self._recorders)

    def opened(self, connection: int, peer: str) -> None:
        """A connection stands."""
        self._peers[connection] = peer
        self._note(connection, f"opened {peer}")

    def closed(self, connection: int) -> None:
        """A connection is over."""
        if self._peers.pop(connection, None) is not None:
            self._note(connection, "closed")

    def incoming(self, connection: int, data: bytes) -> None:
        """Bytes came."""
        for recorder in self._recorders:
            recorder.add(connection, Direction.IN, data)

    def retained(self, connection: int) -> None:
        """The message that comes next is what a broker kept from earlier."""
        self._note(connection, RETAINED)

    def rejected(self, connection: int, note: RejectedNote) -> None:
        """A frame of this connection could not be read."""
        self._note(connection, note.text())

    def outgoing(self, connection: int, data: bytes) -> None:
        """Bytes go out."""
        for recorder in self._recorders:
            recorder.add(connection, Direction.OUT, data)

    def _note(self, connection: int, note: str) -> None:
        for recorder in self._recorders:
            recorder.add(connection, Direction.NOTE, note=note)
