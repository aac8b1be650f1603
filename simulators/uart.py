"""A serial line as it is on the wire: a transmitter turns bytes into levels, a UART at the other end samples them.

A pseudo-terminal hands bytes on whatever both ends are set to; here a wrong rate, parity or number of bits gives what
it gives on copper: other bytes, parity errors and framing errors. Time is the model's own: nothing waits.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from random import Random
from typing import Protocol


@dataclass(frozen=True)
class UartSettings:
    """Of one end. `parity` is N, E or O."""

    baud: int = 9600
    data_bits: int = 8
    parity: str = "N"
    stop_bits: float = 1


@lru_cache(maxsize=4096)
def frame_levels(byte: int, settings: UartSettings) -> tuple[int, ...]:
    """Start bit, data bits from the lowest on, parity bit; the stop bit is the line at rest."""
    data = [byte >> i & 1 for i in range(settings.data_bits)]
    parity = {"N": [], "E": [sum(data) & 1], "O": [sum(data) & 1 ^ 1]}[settings.parity]
    return (0, *data, *parity)


class Wire:
    """One direction of a line: the moments at which its level changes. It rests high, so each even one is a fall."""

    def __init__(self) -> None:
        self.changes: list[float] = []
        self.free_at_s = 0.0

    def send(self, data: bytes, at_s: float, settings: UartSettings, speed: float = 1.0) -> None:
        """Put bytes on the line, after those before. `speed`: how far the transmitter's clock is off (1.01: 1 %)."""
        bit_s = 1 / (settings.baud * speed)
        begin_s = max(at_s, self.free_at_s)
        level = 1
        for byte in data:
            levels = frame_levels(byte, settings)
            for place, bit in enumerate((*levels, 1)):
                if bit != level:
                    self.changes.append(begin_s + place * bit_s)
                    level = bit
            begin_s += (len(levels) + settings.stop_bits) * bit_s
        self.free_at_s = begin_s

    def level(self, at_s: float) -> int:
        """0 or 1."""
        return 1 - (bisect_right(self.changes, at_s) & 1)


class Receiver:
    """A UART from the moment on at which it was set: what came out of it, and which bytes it reports as errors.

    `flip_share`: how many of the samples are read wrong. `restarts`: a low stop bit is taken as the next start bit (as
    a 16550 does); else it waits for the next fall (as most others do).
    """

    def __init__(
        self, settings: UartSettings, since_s: float, *, flip_share: float = 0.0, rng: Random | None = None,
        restarts: bool = False,
    ) -> None:  # fmt: skip
        self._settings, self._at_s, self._restarts = settings, since_s, restarts
        self._flip_share, self._rng = flip_share, rng or Random(0)
        self._until_flip = self._next_flip()
        self._start_s: float | None = None  # of a frame whose start bit was a low stop bit

    def _next_flip(self) -> float:
        if not self._flip_share:
            return math.inf
        return math.floor(math.log(1 - self._rng.random()) / math.log(1 - self._flip_share))

    def _sampled(self, wire: Wire, at_s: float) -> int:
        level = wire.level(at_s)
        if self._until_flip <= 0:
            self._until_flip = self._next_flip()
            return 1 - level
        self._until_flip -= 1
        return level

    def received(self, wire: Wire, until_s: float) -> Iterator[tuple[int, bool]]:
        """Each byte that is whole by then, and whether the UART reports an error with it."""
        settings = self._settings
        bit_s = 1 / settings.baud
        has_parity = settings.parity != "N"
        stop_at = settings.data_bits + has_parity + 1
        while True:
            start_s = self._start_s
            if start_s is None:
                fall = bisect_left(wire.changes, self._at_s)
                fall += fall & 1
                if fall >= len(wire.changes):
                    return
                start_s = wire.changes[fall]
            end_s = start_s + (stop_at + 0.5) * bit_s
            if end_s > until_s:
                return
            if self._start_s is None and wire.level(start_s + 0.5 * bit_s):  # too short for a start bit
                self._at_s = start_s + 0.5 * bit_s
                continue
            self._start_s = None
            bits = [self._sampled(wire, start_s + (place + 1.5) * bit_s) for place in range(stop_at)]
            *data, stop = bits
            is_wrong = not stop
            if has_parity:
                odd = settings.parity == "O"
                is_wrong = is_wrong or (sum(data) & 1) != odd
                data.pop()
            byte = sum(bit << place for place, bit in enumerate(data))
            self._at_s = end_s
            if not stop and any(bits) and self._restarts:
                self._start_s = end_s - 0.5 * bit_s
            yield byte, is_wrong


class Device(Protocol):
    """What is at the far end of the cable."""

    def sent(self, until_s: float) -> Iterable[tuple[float, bytes]]:
        """What it sends from the last call on until this moment, each with its moment."""
        ...

    def heard(self, data: bytes, at_s: float) -> None:
        """What its own UART received."""
        ...


@dataclass
class Talker:
    """A device that speaks every `every_s` and hears nothing; `message` makes the bytes of a number."""

    message: Callable[[int], bytes]
    every_s: float = 1.0
    first_s: float = 0.0
    _next: int = 0

    def sent(self, until_s: float) -> Iterator[tuple[float, bytes]]:
        """As in `Device`."""
        while (at_s := self.first_s + self._next * self.every_s) <= until_s:
            yield at_s, self.message(self._next)
            self._next += 1

    def heard(self, data: bytes, at_s: float) -> None:
        """Nothing."""


@dataclass
class Reciter:
    """A device that says what is given, at those moments since `first_s`, and hears nothing."""

    utterances: Iterator[tuple[float, bytes]]
    first_s: float = 0.0
    _next: tuple[float, bytes] | None = None

    def sent(self, until_s: float) -> Iterator[tuple[float, bytes]]:
        """As in `Device`."""
        while True:
            at_s, data = self._next or next(self.utterances)
            self._next = at_s, data
            if self.first_s + at_s > until_s:
                return
            yield self.first_s + at_s, data
            self._next = None

    def heard(self, data: bytes, at_s: float) -> None:
        """Nothing."""


class ModelPort:
    """The near end of a line with a device at the far one: it is set, read and written in the model's own time.

    `reports_errors`: what it gives beside the bytes (one byte each, 1: parity or framing was wrong); an adapter that
    reports none gives zeros. `speed`: how far the device's clock is off.
    """

    def __init__(
        self, device: Device, true: UartSettings, *, flip_share: float = 0.0, seed: int = 1, restarts: bool = False,
        reports_errors: bool = True, speed: float = 1.0,
    ) -> None:  # fmt: skip
        self._device, self._true, self._speed = device, true, speed
        self._rng, self._flip_share, self._restarts = Random(seed), flip_share, restarts
        self._reports_errors = reports_errors
        self._incoming, self._outgoing = Wire(), Wire()
        self._hearing = Receiver(true, 0.0)
        self._settings = UartSettings()
        self.now_s = 0.0
        self._receiver = self._new_receiver()

    def _new_receiver(self) -> Receiver:
        return Receiver(self._settings, self.now_s, flip_share=self._flip_share, rng=self._rng, restarts=self._restarts)

    def set(self, settings: UartSettings) -> None:
        """What is on its way in is received as the new setting has it."""
        self._settings = settings
        self._receiver = self._new_receiver()

    def write(self, data: bytes) -> None:
        """Send as this end is set."""
        self._outgoing.send(data, self.now_s, self._settings)

    def read(self, limit_s: float) -> tuple[bytes, bytes]:
        """What comes within this time, and the errors reported with it."""
        self.now_s += limit_s
        heard = bytes(byte for byte, is_wrong in self._hearing.received(self._outgoing, self.now_s) if not is_wrong)
        if heard:
            self._device.heard(heard, self.now_s)
        for at_s, data in self._device.sent(self.now_s):
            self._incoming.send(data, at_s, self._true, self._speed)
        got = list(self._receiver.received(self._incoming, self.now_s))
        errors = bytes(is_wrong and self._reports_errors for _, is_wrong in got)
        return bytes(byte for byte, _ in got), errors
