"""The wall clock, and its steps, seen by comparing it with the monotonic one."""

from __future__ import annotations

import time
from collections.abc import Callable

STEP_MS = 500  # a clock that is slewed moves by far less between two looks
LOOK_S = 0.1  # a look that was interrupted for longer says nothing


def now_us() -> int:
    """The wall clock: microseconds since 1970 UTC."""
    return time.time_ns() // 1000


class ClockWatch:
    """Looks at both clocks; a difference that changes by more than half a second is a step."""

    def __init__(
        self, wall_s: Callable[[], float] = time.time, monotonic_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._wall_s, self._monotonic_s = wall_s, monotonic_s
        self._difference_s = wall_s() - monotonic_s()

    def step_ms(self) -> int:
        """By how much the wall clock stepped since the last look; 0 where it did not."""
        before_s, wall_s = self._monotonic_s(), self._wall_s()
        if self._monotonic_s() - before_s > LOOK_S:
            return 0  # the next look sees it
        step_ms = round((wall_s - before_s - self._difference_s) * 1000)
        self._difference_s = wall_s - before_s
        return step_ms if abs(step_ms) > STEP_MS else 0
