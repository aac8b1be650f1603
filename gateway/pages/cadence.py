"""How often each channel speaks: by what was seen of it, until then as its minutes say."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gateway.pages.grown import grown

GAPS = 5  # of a channel, that its expected interval is the median of
UNKNOWN = -1
_NONE = np.iinfo(np.int64).max  # sorts behind every gap
_Array = NDArray[Any]


class Cadence:
    """Expected intervals in ms by the channel's number; its arrays grow with the numbers."""

    def __init__(self) -> None:
        self._last_ms = np.zeros(0, np.int64)
        self._gaps_ms = np.zeros((0, GAPS), np.int64)
        self._count = np.zeros(0, np.int64)
        self._known_ms = np.zeros(0, np.int64)

    def know(self, number: int, every_ms: int) -> None:
        """What is believed of a channel until two values of it have come."""
        self._grow(number + 1)
        self._known_ms[number] = every_ms

    def note(self, numbers: _Array, observed_ms: _Array) -> _Array:
        """These channels, each once, have spoken of these moments: their expected intervals, or UNKNOWN.

        A moment that is not newer than the newest of its channel changes nothing.
        """
        if len(numbers):
            self._grow(int(numbers.max()) + 1)
        last_ms = self._last_ms[numbers]
        later = observed_ms > last_ms
        of = numbers[later & (last_ms != UNKNOWN)]
        self._gaps_ms[of, :-1] = self._gaps_ms[of, 1:]
        self._gaps_ms[of, -1] = (observed_ms - last_ms)[later & (last_ms != UNKNOWN)]
        self._count[of] = np.minimum(self._count[of] + 1, GAPS)
        self._last_ms[numbers[later]] = observed_ms[later]
        count, line = self._count[numbers], np.arange(len(numbers))
        ordered = np.sort(self._gaps_ms[numbers], axis=1)
        low, high = ordered[line, np.maximum(count - 1, 0) // 2], ordered[line, count // 2]
        median_ms = low + (high - low) // 2
        return np.where(count > 0, median_ms, self._known_ms[numbers])

    def _grow(self, size: int) -> None:
        self._last_ms = grown(self._last_ms, size, UNKNOWN)
        self._gaps_ms = grown(self._gaps_ms, size, _NONE)
        self._count = grown(self._count, size, 0)
        self._known_ms = grown(self._known_ms, size, UNKNOWN)
