"""How fast a line may be, judged by bytes that came at another rate; it only orders what is listened to next.

A UART at a faster rate than the sender's samples each bit several times: with a ratio of 3 levels change only after 3,
6, 9 of its own bits. At a ratio above 9 a whole byte of it lies within one bit of the sender's.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from itertools import pairwise

from vitalwire.doctor.port.line_settings import Sample

BYTES_MIN = 6
FITTING_SHARE = 0.85  # of the bytes, where a rate explains them
_FRAME_BITS = 9  # places of a frame, after the start bit, at which the level may change: 8 data bits and the stop bit


def slower_rate(sample: Sample, rates: Sequence[int]) -> int | None:
    """The slowest rate that explains the bytes; the sample's own: it is that, or faster. None: too little came."""
    own = sample.settings.baud
    if len(sample.data) < BYTES_MIN or sample.settings.parity != "N":
        return None
    slower = sorted(rate for rate in rates if rate <= own)
    far = [rate for rate in slower if own / rate > _FRAME_BITS]
    tells = any(sample.errors)  # else nothing is known of stop bits
    came = [(byte, bool(wrong)) for byte, wrong in zip(sample.data, sample.errors, strict=True)]
    # After an error some UARTs take a stop bit for a start bit: what follows does not begin with a change of level.
    fresh = [each for before, each in pairwise([(0, False), *came]) if not before[1]]
    judged = fresh if len(fresh) >= BYTES_MIN else came
    stops = [(byte, not wrong if tells else None) for byte, wrong in judged]
    for rate in [*far[-1:], *slower[len(far) :]]:
        if sum(_fits(byte, stop, own / rate) for byte, stop in stops) >= FITTING_SHARE * len(stops):
            return rate
    return own


@cache
def _fits(byte: int, stop: bool | None, ratio: float) -> bool:
    """Whether its levels change only where those of a sender do that is so much slower; `stop` None: unknown."""
    places = {int(bit * ratio + 0.5) for bit in range(_FRAME_BITS + 1)}
    levels = [0, *(byte >> place & 1 for place in range(8))]
    if stop is not None:
        levels.append(int(stop))
    return all(place in places for place in range(1, len(levels)) if levels[place] != levels[place - 1])
