"""The queue: frames that wait for a commit, in the order in which they came; bounded in bytes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from threading import Event, Lock

from edge_agent.delivery import Delivery
from edge_agent.duplicates import Sending
from schemas.report import Report

QUEUE_BYTES_MAX = 32 * 1024 * 1024  # beyond it frames are refused
GROUP_FRAMES = 64  # are enough for a commit: it waits for no more
GROUP_FRAMES_MAX = 1_000  # in one commit: what other frames may have to wait for is bounded
PROOFS_MAX = 1_000  # wait for the next frame, and no longer than until there are so many
REPORT_BYTES, RECORD_BYTES = 300, 150  # about what they take in memory


class Kept(Enum):
    """What became of a frame."""

    KEPT = "kept"
    DUPLICATE = "duplicate"  # kept before
    FULL = "full"  # cannot be kept now; it must not be acknowledged


Done = Callable[[Kept], object]


@dataclass(slots=True)
class Frame:
    """What a frame says, and who is to be told what became of it."""

    reports: Sequence[Report]
    delivery: Delivery | None  # None: the edge's own words
    done: Done
    once: bytes | None = None  # what tells a rejected frame that is read again: it is kept once
    sending: Sending | None = None  # set by the spool's thread, where it could be a duplicate

    @property
    def size(self) -> int:
        """About what it takes in memory, in bytes."""
        size = len(self.delivery.frame) if self.delivery else 0
        for report in self.reports:
            size += REPORT_BYTES + RECORD_BYTES * len(report.records)
            if report.frame is not None:
                size += len(report.frame)
        return size


@dataclass(frozen=True, slots=True)
class Proof:
    """The answers to these tokens of a connection are known to have arrived."""

    connection: int
    tokens: range


class Queue:
    """Frames and proofs in their order. `schedule` has `take` called soon; it raises RuntimeError once that ended."""

    def __init__(self, schedule: Callable[[], object]) -> None:
        self._schedule, self._lock = schedule, Lock()
        self._entries: list[Frame | Proof] = []
        self._bytes, self._scheduled = 0, False
        self._is_enough = Event()

    def __len__(self) -> int:
        return len(self._entries)

    def put(self, frame: Frame) -> bool:
        """False: it is full or has ended."""
        size = frame.size
        with self._lock:
            if self._bytes + size > QUEUE_BYTES_MAX or not self._is_scheduled():
                return False
            self._entries.append(frame)
            self._bytes += size
            if len(self._entries) == GROUP_FRAMES:
                self._is_enough.set()
        return True

    def wait(self, timeout_s: float) -> None:
        """Until there are enough for a commit, or for so long."""
        self._is_enough.wait(timeout_s)

    def prove(self, proof: Proof) -> None:
        """A proof is not worth a commit of its own: it goes with the next frame."""
        with self._lock:
            if len(self._entries) < PROOFS_MAX or self._is_scheduled():
                self._entries.append(proof)

    def take(self) -> list[Frame | Proof]:
        """What waits, GROUP_FRAMES_MAX at the most; the rest is taken soon."""
        with self._lock:
            taken, self._entries = self._entries[:GROUP_FRAMES_MAX], self._entries[GROUP_FRAMES_MAX:]
            self._bytes = sum(entry.size for entry in self._entries if isinstance(entry, Frame))
            self._scheduled = False
            if len(self._entries) < GROUP_FRAMES:
                self._is_enough.clear()
            if self._entries:
                self._is_scheduled()
        return taken

    def _is_scheduled(self) -> bool:
        if not self._scheduled:
            try:
                self._schedule()
            except RuntimeError:
                return False
            self._scheduled = True
        return True
