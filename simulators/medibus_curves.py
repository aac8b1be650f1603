"""Real-time curves of MEDIBUS: which are configured and enabled, and the bytes of their records.

"RS 232 MEDIBUS Protocol Definition" 9028258, revision 4.03, pages 16-23:

    1101ssss              sync: which of the streams 1 to 4 have a value in this record
    1100cccc 1100aaaa     a sync command: C0 C0 end, C1 C2 C3 enable 1-4, 5-8, 9-12 (the host's), C4 C5 streams 5-8,
                          9-12 now transmitted, C6 begin of inspiration or expiration, CF C0 this record is corrupt
    10llllll 10hhhhhh     a value, its low six bits first

Curves with a code that the device does not have are not configured, and then none is: no document tells.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from simulators.medibus_values import Curve, is_inspiration
from simulators.patient import Patient

STREAMS_MAX, STREAMS_OF_SYNC = 12, 4


def value_bytes(number: int) -> bytes:
    """A value of a curve: the low six bits first."""
    return bytes([0x80 | number & 0x3F, 0x80 | number >> 6])


@dataclass
class _Stream:
    """A configured curve: a value each `every` intervals of the device."""

    curve: Curve
    every: int
    is_enabled: bool = False


class Realtime:
    """The curves of one device; `corrupt_records` is how many records to come it declares corrupt."""

    def __init__(self, patient: Patient, curves: tuple[Curve, ...], *, tells_phases: bool) -> None:
        self._patient, self._curves, self._tells_phases = patient, curves, tells_phases
        self.corrupt_records = 0
        self._streams: list[_Stream] = []
        self._sync = bytearray()
        self._next_tick = 0
        self._transmitted: dict[int, int] = {}
        self._was_inspiration: bool | None = None

    def clear(self) -> None:
        """Nothing is configured."""
        self._streams.clear()
        self._transmitted.clear()

    def configure(self, argument: bytes) -> None:
        """Codes with multipliers, two characters each."""
        text = argument.decode("ascii", "replace")
        by_code = {curve.code: curve for curve in self._curves}
        asked = [(text[at : at + 2], text[at + 2 : at + 4]) for at in range(0, len(text), 4)]
        base_us = self._base_us
        self.clear()
        if len(asked) > STREAMS_MAX or any(code not in by_code for code, _ in asked):
            return
        for code, multiplier in asked:
            curve = by_code[code]
            self._streams.append(_Stream(curve, max(1, int(multiplier, 16)) * curve.interval_us // base_us))

    @property
    def _base_us(self) -> int:
        return min(curve.interval_us for curve in self._curves) if self._curves else 8000

    def take_sync(self, byte: int) -> None:
        """The host's sync commands: `1100cccc 1100aaaa`, behind a sync byte, up to C0 C0."""
        if byte & 0xF0 == 0xD0:
            self._sync.clear()
        elif byte & 0xF0 == 0xC0:
            self._sync.append(byte & 0x0F)
            if len(self._sync) % 2 == 0:
                self._take_sync_command(self._sync[-2], self._sync[-1])

    def _take_sync_command(self, code: int, argument: int) -> None:
        if code not in (1, 2, 3):
            return
        first = (code - 1) * STREAMS_OF_SYNC
        for place, stream in enumerate(self._streams[first : first + STREAMS_OF_SYNC]):
            is_enabled = bool(argument >> place & 1)
            stream.is_enabled = is_enabled

    def records(self, t_s: float) -> list[bytes]:
        """The records that are due by now; without an enabled curve, none."""
        base_s = self._base_us / 1e6
        end = int(t_s / base_s)
        found = []
        if any(stream.is_enabled for stream in self._streams):
            found = [self._record(tick, tick * base_s) for tick in range(self._next_tick, end)]
        self._next_tick = max(end, self._next_tick)
        return [record for record in found if record]

    def _record(self, tick: int, t_s: float) -> bytes:
        """A sync byte, sync commands, and the values of the streams that are due."""
        due = [n for n, s in enumerate(self._streams) if s.is_enabled and tick % s.every == 0]
        commands = self._phase_command(t_s)
        bits = [0, 0, 0]
        for n in due:
            bits[n // STREAMS_OF_SYNC] |= 1 << n % STREAMS_OF_SYNC
        for group, code in ((1, 4), (2, 5)):
            if bits[group] != self._transmitted.get(code, 0):
                self._transmitted[code] = bits[group]
                commands += bytes([0xC0 | code, 0xC0 | bits[group]])
        if self.corrupt_records:
            self.corrupt_records -= 1
            commands += b"\xcf\xc0"
        if not due and not commands:
            return b""
        head = bytes([0xD0 | bits[0]]) + commands
        if not due:
            return head + b"\xc0\xc0"
        numbers = (self._streams[n].curve.binned(self._patient, np.array([t_s]))[0] for n in due)
        return head + b"".join(value_bytes(int(number)) for number in numbers)

    def _phase_command(self, t_s: float) -> bytes:
        is_inspiration_now = is_inspiration(self._patient, t_s)
        was, self._was_inspiration = self._was_inspiration, is_inspiration_now
        if not self._tells_phases or was is None or was is is_inspiration_now:
            return b""
        return b"\xc6\xc0" if is_inspiration_now else b"\xc6\xc1"
