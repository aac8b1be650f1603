"""The quota: what may be kept, by class, and when people are told how full it is.

Waves are the one thing that may be lost (DESIGN, "What must hold" 3): they have a share of their own, and numbers have
the rest of the quota and whatever waves do not use.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import msgspec

LEVELS = (0.70, 0.85, 0.95)  # of the quota, by what has no receipt; each is reported when it is reached
LEVEL_REST = 0.05  # and again only after the share has fallen so far below it


class Figures(msgspec.Struct):
    """What the spool holds, as of its last transaction; bytes are plain while reports wait, then sealed."""

    reports: int = 0  # wait to be cut
    report_bytes: int = 0
    oldest_received_us: int | None = None  # of those that wait
    open_batches: int = 0  # cut, without a receipt
    open_bytes: int = 0
    held_bytes: int = 0  # with a receipt, kept for `receipt_hold`
    wave_bytes: int = 0  # of `report_bytes` and `open_bytes`, those of waves
    waves_lost: int = 0  # reports, since the spool began

    @property
    def unreceipted_bytes(self) -> int:
        """What must not be lost."""
        return self.report_bytes + self.open_bytes


FIGURES = Figures.__struct_fields__


@dataclass(frozen=True)
class Quota:
    """Bytes of a spool, and the part of them that waves may fill."""

    bytes_max: int
    wave_share: float

    def has_capacity(self, figures: Figures, size: int) -> bool:
        """Whether numbers of this size may be kept."""
        return figures.unreceipted_bytes + size <= self.bytes_max

    def has_wave_capacity(self, figures: Figures, size: int, wave_size: int) -> bool:
        """Whether a frame's waves may be kept, beside `size` bytes of numbers."""
        within_share = figures.wave_bytes + wave_size <= self.wave_share * self.bytes_max
        return within_share and self.has_capacity(figures, size + wave_size)

    def is_low_on_waves(self, figures: Figures) -> bool:
        """Whether waves that were lost are likely to be kept again for a while."""
        is_low = figures.wave_bytes <= (1 - LEVEL_REST) * self.wave_share * self.bytes_max
        return is_low and self.has_capacity(figures, int(LEVEL_REST * self.bytes_max))

    def is_exceeded(self, figures: Figures, size: int) -> bool:
        """Whether batches with a receipt must go before so many bytes are kept."""
        return figures.unreceipted_bytes + figures.held_bytes + size > self.bytes_max


class LevelWatch:
    """Says each level once, when it is reached."""

    def __init__(self) -> None:
        self._reached = 0

    def reached(self, share: float) -> Iterator[float]:
        """The levels that this share of the quota newly reaches."""
        while self._reached < len(LEVELS) and share >= LEVELS[self._reached]:
            yield LEVELS[self._reached]
            self._reached += 1
        while self._reached and share < LEVELS[self._reached - 1] - LEVEL_REST:
            self._reached -= 1
