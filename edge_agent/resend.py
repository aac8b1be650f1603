"""When a batch is sent again: a state machine without I/O and without a clock of its own (DESIGN, "What must hold" 5).

Sending is certain only when the receipt has come: a broker may lose everything that it has acknowledged. What was cut a
moment ago goes by its lane's own topic; everything else is a resend, goes by the topic of backfill, and has a budget of
its own: after a restore the store wants a day of batches again, and new ones wait for none of them.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass

OVERTAKEN_S = 5.0  # what was sent later by the same topic has its receipt, this one has not
RESEND_MIN_S, RESEND_MAX_S = 60.0, 600.0  # no receipt at all: the store may be down for long
REFUSED_RETRY_S = 300.0  # at least; the hospital may have renewed the key by then
DOUBLINGS_MAX = 10
YIELDS_AFTER = 3  # doublings: a resend that nobody answers makes room for the others for a while
IN_FLIGHT_BATCHES_MAX = 512
# Of a stream, in flight for another time. The store takes what arrives together in one transaction, in which it holds
# the stream's row of the ledger: new batches of the stream wait for it.
RESEND_BYTES_MAX, RESEND_BATCHES_MAX = 1 << 20, 128
NUMBER_MAX = 2**63 - 1  # SQLite's
NEVER = math.inf


@dataclass
class _Sent:
    size: int
    doublings: int  # of the wait
    due: float  # when to send it again
    is_resend: bool
    order: int  # of sending


class ResendStream:
    """What was sent of one stream and has no receipt; instants in seconds of any steady clock.

    Resends are found by going back through the spool, for what a store has lost it lost last: `before` is the number
    down to which that is done, `behind` says that it is not at its end. What is in flight stays within `bytes_max` and
    IN_FLIGHT_BATCHES_MAX for new batches, RESEND_BYTES_MAX and RESEND_BATCHES_MAX for resends: never a storm. A batch
    that was refused is in neither: it is tried again, slowly.
    """

    def __init__(self, bytes_max: int, jitter: Callable[[], float] = random.random) -> None:
        self._bytes_max, self._jitter = bytes_max, jitter
        self._in_flight: dict[int, _Sent] = {}
        self._order = 0
        self._retry_at = NEVER  # the spool is gone through once more
        self.before, self.behind = NUMBER_MAX, True

    @property
    def capacity(self) -> int:
        """Bytes of new batches that may be sent now; 0: receipts must come first. One always may, however large."""
        return self._left(self._bytes_max, IN_FLIGHT_BATCHES_MAX, is_resend=False)

    @property
    def resend_capacity(self) -> int:
        """The same of resends."""
        return self._left(RESEND_BYTES_MAX, RESEND_BATCHES_MAX, is_resend=True)

    def is_in_flight(self, number: int) -> bool:
        """Whether it was sent, and neither a receipt nor the time to send it again has come."""
        return number in self._in_flight

    def sent(self, number: int, size: int, now: float, *, is_resend: bool) -> None:
        """A batch was given to the broker's client."""
        before = self._in_flight.get(number)
        doublings = min(before.doublings + 1, DOUBLINGS_MAX) if before else 0
        wait = min(RESEND_MIN_S * 2**doublings * (1 + self._jitter()), RESEND_MAX_S)
        self._order += 1
        self._in_flight[number] = _Sent(size, doublings, now + wait, is_resend, self._order)

    def receipt(self, number: int, now: float) -> None:
        """A batch's receipt has come; those sent before it by the same topic should have theirs within OVERTAKEN_S."""
        settled = self._in_flight.pop(number, None)
        if settled is None:
            return
        for earlier, out in self._in_flight.items():
            if out.is_resend == settled.is_resend and out.order < settled.order:
                self.schedule_resend(earlier, now)

    def refused(self, number: int, now: float) -> None:
        """The hospital does not take this batch now: it is kept, and tried again without haste."""
        self.forget(number)
        self._retry(now + REFUSED_RETRY_S * (1 + self._jitter()))

    def schedule_resend(self, number: int, now: float) -> None:
        """Something says that the batch did not arrive: it is sent again soon, and each time less soon."""
        if out := self._in_flight.get(number):
            out.due = min(out.due, now + min(OVERTAKEN_S * 2**out.doublings, RESEND_MAX_S))

    def due(self, now: float) -> list[int]:
        """The batches to send again now, in order, as far as the budget of resends allows.

        A resend that nobody answered for long is none of them: it is found again when the spool is gone through anew.
        """
        over = sorted(number for number, out in self._in_flight.items() if out.due <= now)
        chosen = []
        left = self.resend_capacity
        for number in over:
            out = self._in_flight[number]
            if out.is_resend and out.doublings >= YIELDS_AFTER:
                self.forget(number)
                self._retry(now + RESEND_MAX_S * (1 + self._jitter()))
            elif out.is_resend:
                chosen.append(number)
            elif left > 0:
                left -= out.size
                chosen.append(number)
        if not self.behind and self._retry_at <= now:
            self.before, self.behind, self._retry_at = NUMBER_MAX, True, NEVER
        return chosen

    def forget(self, number: int) -> None:
        """The batch need not be sent again."""
        self._in_flight.pop(number, None)

    def resend_all(self) -> None:
        """Nothing that was sent counts any more: another broker, a wiped one, or another store."""
        self.before, self.behind, self._retry_at = NUMBER_MAX, True, NEVER
        self._in_flight.clear()

    def _left(self, bytes_max: int, batches_max: int, *, is_resend: bool) -> int:
        sizes = [out.size for out in self._in_flight.values() if out.is_resend is is_resend]
        if not sizes:
            return bytes_max
        return max(bytes_max - sum(sizes), 0) if len(sizes) < batches_max else 0

    def _retry(self, at: float) -> None:
        self._retry_at = min(self._retry_at, at)
