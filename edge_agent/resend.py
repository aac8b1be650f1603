"""When a batch is sent again: a state machine without I/O and without a clock of its own (DESIGN, "What must hold" 5).

Sending is certain only when the receipt has come: a broker may lose everything that it has acknowledged.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

OVERTAKEN_S = 5.0  # a later batch has its receipt, this one has not
RESEND_MIN_S, RESEND_MAX_S = 60.0, 600.0  # no receipt at all: the store may be down for long
DOUBLINGS_MAX = 10
IN_FLIGHT_BATCHES_MAX = 512


@dataclass
class _Sent:
    size: int
    doublings: int  # of the wait
    due: float  # when to send it again


class Stream:
    """What was sent of one stream and has no receipt; instants in seconds of any steady clock.

    `after` is the number up to which everything was sent since the last `resend_all`; `behind` says that the spool may
    hold more. What is in flight stays within `bytes_max` and IN_FLIGHT_BATCHES_MAX, sent again or not: never a storm.
    """

    def __init__(self, bytes_max: int, jitter: Callable[[], float] = random.random) -> None:
        self._bytes_max, self._jitter = bytes_max, jitter
        self._in_flight: dict[int, _Sent] = {}
        self.after, self.behind = 0, True

    @property
    def capacity(self) -> int:
        """Bytes that may be sent now; 0 when receipts must come first. One batch always may, however large."""
        if not self._in_flight:
            return self._bytes_max
        left = self._bytes_max - sum(out.size for out in self._in_flight.values())
        return max(left, 0) if len(self._in_flight) < IN_FLIGHT_BATCHES_MAX else 0

    def sent(self, number: int, size: int, now: float) -> None:
        """A batch was given to the broker's client, for the first time or again."""
        before = self._in_flight.get(number)
        doublings = min(before.doublings + 1, DOUBLINGS_MAX) if before else 0
        wait = min(RESEND_MIN_S * 2**doublings * (1 + self._jitter()), RESEND_MAX_S)
        self._in_flight[number] = _Sent(size, doublings, now + wait)
        self.after = max(self.after, number)

    def receipt(self, number: int, now: float) -> None:
        """A batch's receipt has come; those before it that are still out should have theirs within OVERTAKEN_S."""
        self.forget(number)
        for earlier in self._in_flight:
            if earlier < number:
                self.schedule_resend(earlier, now)

    def schedule_resend(self, number: int, now: float) -> None:
        """Something says that the batch did not arrive: it is sent again soon, and each time less soon."""
        if out := self._in_flight.get(number):
            out.due = min(out.due, now + min(OVERTAKEN_S * 2**out.doublings, RESEND_MAX_S))

    def due(self, now: float) -> list[int]:
        """The batches to send again now, in order."""
        return sorted(number for number, out in self._in_flight.items() if out.due <= now)

    def forget(self, number: int) -> None:
        """The batch need not be sent again."""
        self._in_flight.pop(number, None)

    def resend_all(self) -> None:
        """Nothing that was sent counts any more: another broker, a wiped one, or another store."""
        self.after, self.behind = 0, True
        self._in_flight.clear()
