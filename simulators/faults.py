"""Faults of a wire: pure transformers of bytes, the same for the same seed."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from random import Random
from typing import ClassVar

NOISE_BYTES = (8, 64)


def bad_checksum(data: bytes, rng: Random) -> bytes:
    """The last byte is another: a check sum, a line end or an end block, as the format has it."""
    return data[:-1] + bytes([data[-1] ^ 1 << rng.randrange(8)])


def half_frame(data: bytes, rng: Random) -> bytes:
    """It breaks off."""
    return data[: rng.randrange(1, len(data))]


def noise(data: bytes, rng: Random) -> bytes:
    """Random bytes come first."""
    return rng.randbytes(rng.randint(*NOISE_BYTES)) + data


def burst(data: bytes, rng: Random) -> bytes:
    """A run of bytes in the middle, up to a quarter, is destroyed."""
    length = rng.randint(1, max(1, len(data) // 4))
    start = rng.randrange(len(data) - length + 1)
    return data[:start] + rng.randbytes(length) + data[start + length :]


def silent(data: bytes, rng: Random) -> bytes:
    """It is not sent at all."""
    del data, rng
    return b""


Fault = Callable[[bytes, Random], bytes]
FAULTS: dict[str, Fault] = {
    "bad_checksum": bad_checksum, "half_frame": half_frame, "noise": noise, "burst": burst,
}  # fmt: skip
# Those that a reader notices where the format has no check sum (HL7, JSON): a burst there is another true value.
NOTICED = ("bad_checksum", "half_frame", "noise")


class FaultyWire:
    """Spoils a share of what is sent over it."""

    def __init__(self, kinds: Collection[str], share: float, seed: int) -> None:
        self._faults = [FAULTS[kind] for kind in kinds]
        self._share, self._rng = share, Random(seed)

    def spoilt(self, data: bytes) -> bytes | None:
        """What arrives in place of `data`; None where it arrives as it is."""
        if not self._faults or self._rng.random() >= self._share:
            return None
        return self._rng.choice(self._faults)(data, self._rng)


class Spoiler:
    """Spoils a share of what a device sends, the same for the same seed; a device has faults of its own format."""

    known: ClassVar[Mapping[str, Fault]] = FAULTS

    def __init__(self, kinds: Collection[str] = (), share: float = 0.0, seed: int = 1) -> None:
        self._faults = [self.known[kind] for kind in kinds]
        self._share, self._rng = share, Random(seed)

    def sent(self, data: bytes) -> bytes:
        """What arrives in place of it."""
        if not data or not self._faults or self._rng.random() >= self._share:
            return data
        return self._rng.choice(self._faults)(data, self._rng)
