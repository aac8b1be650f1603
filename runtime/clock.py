"""Steps of the wall clock, seen by comparing it with the monotonic one."""

from __future__ import annotations

import time
from collections.abc import Callable

STEP_MS = 500  # a slewing clock moves by less between two looks


class ClockWatch:
    """Looks at both clocks; a difference that changes by more than half a second is a step."""

    def __init__(
        self, wall_s: Callable[[], float] = time.time, monotonic_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._wall_s, self._monotonic_s = wall_s, monotonic_s
        self._apart_s = wall_s() - monotonic_s()

    def step_ms(self) -> int:
        """By how much the wall clock stepped since the last look; 0 where it did not."""
        apart_s = self._wall_s() - self._monotonic_s()
        step_ms = round((apart_s - self._apart_s) * 1000)
        self._apart_s = apart_s
        return step_ms if abs(step_ms) > STEP_MS else 0
