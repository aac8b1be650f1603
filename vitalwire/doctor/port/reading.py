"""A driver over bytes: its own session and its own `read`, as in the agent, and what came of it.

No protocol is described here: what a frame is, and whether it holds, the drivers say.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any
from zoneinfo import ZoneInfo

from adapters.driver import DeviceDriver, Source
from adapters.session import Moment, Piece
from schemas.errors import FrameError
from schemas.report import Report
from vitalwire.doctor.port.line_settings import LineSettings, Sample

DAMAGED_COPIES = 24
DAMAGED_BYTES_MAX = 1600
_BEGIN = Moment(1.0, 1_700_000_000_000_000)  # what is read is told by no clock
CUT_OFF = "cut-off"


@dataclass
class Reading:
    """What a driver made of what came at one setting. What a listening began or ended in the middle of is not counted.

    `answers`: bytes that the session would send upon what came. `errors`: bytes reported as wrong.
    """

    driver: DeviceDriver[Any]
    settings: LineSettings
    valid: int = 0
    invalid: int = 0
    valid_bytes: int = 0
    invalid_bytes: int = 0
    bytes: int = 0
    errors: int = 0
    answers: int = 0
    answered: int = 0  # listenings in which it would
    reports: list[Report] = field(default_factory=list)

    @property
    def share(self) -> float:
        """Of the frames, those that are valid."""
        return self.valid / (self.valid + self.invalid) if self.valid else 0.0

    @property
    def score(self) -> float:
        """0 to 1: how much of what came stands in valid frames, but for line ends, escapes and checksums."""
        if not self.valid:
            return 0.0
        held = self.valid_bytes / (self.valid_bytes + self.invalid_bytes)
        return held * min(1.0, self.valid_bytes / (0.6 * max(1, self.bytes)))

    @property
    def error_share(self) -> float:
        """Of the bytes, those reported as wrong."""
        return self.errors / self.bytes if self.bytes else 0.0

    def __iadd__(self, other: Reading) -> Reading:
        self.valid += other.valid
        self.invalid += other.invalid
        self.valid_bytes += other.valid_bytes
        self.invalid_bytes += other.invalid_bytes
        self.bytes += other.bytes
        self.errors += other.errors
        self.answers += other.answers
        self.answered += other.answered
        self.reports += other.reports
        return self


REPORTS_MAX = 4  # that are kept, to show what came


def read_sample(driver: DeviceDriver[Any], sample: Sample) -> Reading:
    """What the driver makes of it, from a connection's beginning on."""
    reading = Reading(driver, sample.settings, bytes=len(sample.data), errors=sum(sample.errors))
    if not sample.data or driver.session is None:
        return reading
    session = driver.session(driver.settings())
    session.opened(_BEGIN)
    step = session.feed(sample.data, _BEGIN)
    reading.answers, reading.answered = len(step.send), int(bool(step.send))
    left = session.closed(False, _BEGIN)
    count_pieces(reading, [*step.pieces, *left.pieces], reader_of(driver))
    return reading


Read = Callable[[bytes], Sequence[Report]]


def reader_of(driver: DeviceDriver[Any]) -> Read:
    """`driver.read` for the frames of one connection; raises FrameError."""
    source: Source[Any] = Source("doctor", driver.settings(), time_zone=ZoneInfo("UTC"), peer="doctor")

    def read(frame: bytes) -> Sequence[Report]:
        source.received_at_us = _BEGIN.utc_us
        reports = driver.read(frame, source)
        source.take_emitted()
        return reports

    return read


def count_pieces(reading: Reading, pieces: Iterable[Piece], read: Read, *, is_from_start: bool = False) -> None:
    """Add the pieces of one listening. `is_from_start`: it did not begin in the middle of something."""
    for place, piece in enumerate(pieces):
        reason = piece.reason
        if not reason:
            try:
                found = read(piece.data)
            except FrameError as error:
                reason = error.reason
            except Exception:  # noqa: BLE001 - a driver's bug is no frame of its family
                reason = "driver-error"
            else:
                reading.valid += 1
                reading.valid_bytes += len(piece.data)
                if len(reading.reports) < REPORTS_MAX:
                    reading.reports += found
        if reason and (reason == CUT_OFF or (place == 0 and not is_from_start)):
            reading.bytes = max(reading.valid_bytes, reading.bytes - len(piece.data))
        elif reason:
            reading.invalid += 1
            reading.invalid_bytes += len(piece.data)


def noticed_share(driver: DeviceDriver[Any], sample: Sample) -> float:
    """Of copies of what came with one bit wrong, those in which the driver reads fewer frames than in the original.

    It says how much it means that a driver reads something: one whose frames have a checksum notices nearly all.
    """
    data = sample.data[:DAMAGED_BYTES_MAX]
    whole = Sample(sample.settings, data, bytes(len(data)))
    valid = read_sample(driver, whole).valid
    if not valid:
        return 0.0
    noticed = 0
    for copy in range(DAMAGED_COPIES):
        damaged = bytearray(data)
        damaged[(2 * copy + 1) * len(data) // (2 * DAMAGED_COPIES)] ^= 1 << (copy * 3) % 7
        noticed += read_sample(driver, Sample(sample.settings, bytes(damaged), bytes(len(data)))).valid < valid
    return noticed / DAMAGED_COPIES
