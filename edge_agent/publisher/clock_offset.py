"""The edge's clock against the broker's, from what the broker says of the batches that it was sent."""

from __future__ import annotations

from collections import deque

SAMPLES = 8  # remembered; the one with the shortest way to and fro says most


class ClockOffset:
    """How far the edge's clock is ahead; a sample is wrong by half its round trip at the most."""

    def __init__(self) -> None:
        self._samples: deque[tuple[int, float]] = deque(maxlen=SAMPLES)  # round trip, offset

    def add(self, sent_us: int, delivered_us: int, appended_ms: int) -> None:
        """Both ends by the edge's clock, and when the broker appended the batch by its own."""
        round_trip_us = delivered_us - sent_us
        if round_trip_us >= 0:  # the edge's clock was set back meanwhile
            middle_ms = (sent_us + round_trip_us / 2) / 1000
            # The broker cuts off parts of a millisecond.
            self._samples.append((round_trip_us, middle_ms - (appended_ms + 0.5)))

    @property
    def ms(self) -> float | None:
        """Edge minus broker; None while nothing is known."""
        return round(min(self._samples)[1], 1) if self._samples else None
