"""Listens to a line, a setting after the other, until it is sure or its time is over. The line and the clock are given.

Nothing is sent here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from vitalwire.doctor.port.examination import Examination, Window
from vitalwire.doctor.port.line_settings import LineSettings, Sample

READ_S = 0.05
REST_S = 0.45  # silence after which what was sent at once is over; an oximeter's packets are 0.33 s apart
BUSY_S = 0.06  # bytes sooner than this belong to something that had begun before
GARBLED_BYTES, GARBLED_SHARE = 48, (0.3, 0.8)  # where so many have errors more says nothing new; all: see 8O1
GARBLED_S = 0.7  # of a line that was busy at the beginning


class Line(Protocol):
    """A port that is open; see serial_line.py, and the model of one in simulators/uart.py."""

    def set(self, settings: LineSettings) -> None:
        """From now on."""
        ...

    def read(self, limit_s: float) -> tuple[bytes, bytes]:
        """What comes within this time, and a byte for each: 1 where the port reports it as wrong. Raises OSError."""
        ...

    def write(self, data: bytes) -> None:
        """Send."""
        ...


@dataclass(frozen=True)
class Listened:
    """For whoever shows it: how the port is set, and what came there so far."""

    settings: LineSettings
    bytes: int


Progress = Callable[[Listened], object]


def listen(
    line: Line, examination: Examination, now_s: Callable[[], float], limit_s: float,
    progress: Progress = lambda _: None,
) -> None:  # fmt: skip
    """Fill the examination; it ends when that is settled, or after `limit_s`."""
    ends_s = now_s() + limit_s
    while now_s() < ends_s and not examination.is_settled():
        window = examination.next_window()
        line.set(window.settings)
        examination.add(_heard_in(window, line, now_s, ends_s, progress))


@dataclass
class _Heard:
    """What came in one listening. A burst is what comes without a rest.

    Of one that had begun before, the UART may have found no start: it is left out as soon as another comes.
    """

    began_s: float
    data: bytearray = field(default_factory=bytearray)
    errors: bytearray = field(default_factory=bytearray)
    last_s: float = 0.0
    bursts: int = 0  # that ended
    awaited: int = 1
    is_in_burst: bool = False

    def take(self, data: bytes, errors: bytes, at_s: float) -> None:
        """What came until this moment."""
        if data:
            if not self.data and at_s - self.began_s <= BUSY_S:
                self.awaited = 2
            if not self.is_in_burst and self.bursts == 1:
                self.data.clear()
                self.errors.clear()
            self.data += data
            self.errors += errors
            self.last_s, self.is_in_burst = at_s, True
        elif self.is_in_burst and at_s - self.last_s >= REST_S:
            self.is_in_burst = False
            self.bursts += 1

    def is_over(self, window: Window, at_s: float) -> bool:
        """Whether more would say nothing new."""
        low, high = GARBLED_SHARE
        has_start = self.awaited == 1 or self.bursts > 0 or at_s - self.began_s > GARBLED_S
        is_garbled = has_start and len(self.data) >= GARBLED_BYTES and low <= sum(self.errors) / len(self.data) <= high
        waits_s = at_s - max(self.last_s, self.began_s)
        return (
            is_garbled
            or self.bursts >= self.awaited
            or (not self.is_in_burst and waits_s >= window.silent_s)
            or (bool(self.data) and at_s - self.began_s >= window.most_s)
        )


def _heard_in(window: Window, line: Line, now_s: Callable[[], float], ends_s: float, progress: Progress) -> Sample:
    heard = _Heard(now_s())
    while now_s() < ends_s and not heard.is_over(window, now_s()):
        progress(Listened(window.settings, len(heard.data)))
        data, errors = line.read(READ_S)
        heard.take(data, errors, now_s())
    return Sample(window.settings, bytes(heard.data), bytes(heard.errors), now_s() - heard.began_s)
