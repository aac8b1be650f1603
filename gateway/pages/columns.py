"""The channels of a channel set as the page shows them: unit, digits, and the number that stands for a value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emr_store.latest import ChannelSet
from gateway.display_digits import AS_SENT_DIGITS, display_digits
from schemas.nomenclature import canonical_unit

NOTHING = np.iinfo(np.int64).min  # no number is shown
_SHOWN_MAX = 2**53 - 1  # what a script's number holds
# A binary fraction may lie a hair below the half that was sent: 0.285 x 100 = 28.499999999999996.
_HAIR = 1e-6


@dataclass(frozen=True)
class Columns:
    """Channels with a code, in the order of a line's values; `place` is where each stands in its channel set."""

    place: NDArray[np.int64]
    channels: list[tuple[int, int]]
    structure: list[tuple[int, int, str | None, int | None]]  # code, channel, unit (UCUM), digits or None: as sent
    scale: NDArray[np.float64]

    def shown(self, value: NDArray[np.float64]) -> NDArray[np.int64]:
        """The numbers on a screen without their point, a line a row; NOTHING where a script's number cannot hold it."""
        scaled = value * self.scale
        fits = np.abs(scaled) <= _SHOWN_MAX  # NaN does not
        scaled[~fits] = 0
        rounded = np.copysign(np.floor(np.abs(scaled) + 0.5 + _HAIR), scaled).astype(np.int64)
        return np.where(fits, rounded, NOTHING)


def columns_of(channel_set: ChannelSet) -> Columns:
    """How the page shows these channels; of two that are alike the first."""
    places: dict[tuple[int, int], int] = {}
    for place, key in enumerate(zip(channel_set.code, channel_set.channel, strict=True)):
        if key[0]:
            places.setdefault(key, place)
    structure: list[tuple[Any, ...]] = []
    for (code, channel), place in places.items():
        stored = canonical_unit(code, channel_set.unit[place])
        structure.append((code, channel, stored and stored.ucum, display_digits(code, stored)))
    digits = [AS_SENT_DIGITS if of[3] is None else of[3] for of in structure]
    return Columns(np.array(list(places.values()), np.int64), list(places), structure, 10.0 ** np.array(digits, float))
