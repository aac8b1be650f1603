"""A GE/Datex-Ohmeda S/5 monitor on its serial port, as a host sees it: it speaks when asked, and goes on.

Documents: "S/5 Computer Interface Specification" M1017617, 12th edition (C); "S/5 System Interface, Datex-Ohmeda Record
Specification" 8005313, 12th edition (D). Frames C 3-4, requests C 6-11, header D 4-6, physiological data D 13-60,
waveforms D 65-69, alarms D 61-63.

Not told there, and so chosen here: the first record of an interval comes at once, a displayed interval below 5 s is not
served, a text of an alarm is padded with 00, labels of waveforms are 0. Left out for what is not told: more than eight
waveforms (the layout of their record), ECG12 (which difference is the high byte), resp_100 (its rate).
"""

from __future__ import annotations

import asyncio
import struct
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from simulators import datex_values, faults
from simulators.astm import PtyWire, pty_wire, turns
from simulators.patient import Patient

FLAG, ESCAPE = 0x7E, 0x7D
PHDB, WAVE, ALARM = 0, 1, 4  # r_maintype
DISPLAYED, TREND_10S, TREND_60S, AUX = 1, 2, 3, 4  # types of a PHDB subrecord
HEADER_BYTES, DATA_BYTES_MAX = 40, 1450
DESCRIPTORS, END_OF_LIST = 8, 0xFF
INTERVAL_MIN_S = 5
TREND_S = {TREND_10S: 10, TREND_60S: 60}
ALARM_LEVEL = 10  # dri_level from which alarms come over the serial port
ALARM_PAUSE_S = 2.0  # between two of them
SAMPLES_A_SECOND_MAX = 600
RECORD_S = (1.0, 0.5, 0.25, 0.2, 1 / 6, 0.125)  # of a waveform record
GAP, RESERVED_BITS = 0x0001, 0x0100  # of a waveform's status; reserved ones are not zero in practice
ALARM_TEXT_BYTES, ALARMS_SHOWN = 80, 5
POLL_S = 0.02
_SPARE = struct.Struct("<12x").pack()
# Samples a second by type: ECG, pressures, pleth, gases, airway, EEG, volume, tonometry, entropy, BIS.
RATES: dict[int, int] = {
    **dict.fromkeys((1, 2, 3), 300), **dict.fromkeys((4, 5, 6, 7, 16, 17, 36, 37, 8, 38), 100),
    **dict.fromkeys((9, 10, 11, 12, 13, 14, 15, 23, 24, 29), 25), **dict.fromkeys((18, 19, 20, 21, 32), 100), 35: 300,
}  # fmt: skip


def checksum(record: bytes) -> int:
    """The sum of the bytes before they are escaped, modulo 256 (C 4)."""
    return sum(record) & 0xFF


def framed(record: bytes, sum_: int | None = None) -> bytes:
    """Between two flags, escaped, with its checksum or with another (C 3-4)."""
    body = record + bytes([checksum(record) if sum_ is None else sum_])
    escaped = body.replace(b"\x7d", b"\x7d\x5d").replace(b"\x7e", b"\x7d\x5e")
    return bytes([FLAG]) + escaped + bytes([FLAG])


def unframed(body: bytes) -> bytes | None:
    """The record between two flags; None where its checksum is wrong."""
    plain = bytearray()
    is_escaped = False
    for byte in body:
        if byte == ESCAPE:
            is_escaped = True
        else:
            plain.append(byte | 0x20 if is_escaped else byte)
            is_escaped = False
    record = bytes(plain[:-1])
    return record if len(plain) > HEADER_BYTES and checksum(record) == plain[-1] else None


class Request(NamedTuple):
    """What a host asks for: r_maintype, and the data after the header."""

    main: int
    data: bytes


def read_request(record: bytes) -> Request | None:
    """A request, whose length must be as it says; None for what is none."""
    length, main = struct.unpack_from("<h12xh", record)
    offset, kind = struct.unpack_from("<hB", record, 16)
    if length != len(record) or kind != 0 or not 0 <= offset < length - HEADER_BYTES:
        return None
    return Request(main, record[HEADER_BYTES + offset :])


@dataclass
class _Interval:
    """A running request of physiological data."""

    period_s: float
    classes: int
    next_s: float


@dataclass
class _Waves:
    """The running request of waveforms."""

    types: tuple[int, ...]
    begin_s: float
    record_s: float
    records: int = 0

    @property
    def next_s(self) -> float:
        return self.begin_s + (self.records + 1) * self.record_s


@dataclass
class Monitor:
    """One monitor: pure, all times are seconds since it was switched on.

    `began_s` is its clock then, in seconds since 1970. `level` is its dri_level. `samples_max` None: a CARESCAPE with
    software 3 or later, which knows no limit.
    """

    patient: Patient
    began_s: int = 1_790_000_000
    level: int = 10
    plug_id: int = 0x1234
    samples_max: int | None = SAMPLES_A_SECOND_MAX
    is_case_started: bool = True  # trends are sent then only
    _buffer: bytearray = field(default_factory=bytearray)
    _intervals: dict[int, _Interval] = field(default_factory=dict)
    _single: list[tuple[int, int]] = field(default_factory=list)
    _last_single_s: dict[int, float] = field(default_factory=dict)
    _waves: _Waves | None = None
    _is_alarm_asked: bool = False
    _is_differential: bool = False
    _last_alarms: tuple[datex_values.ShownAlarm, ...] | None = None
    _last_alarm_s: float = -ALARM_PAUSE_S
    _number: int = 0

    def hear(self, data: bytes, t_s: float) -> None:
        """Bytes of the host. A bad frame is not answered."""
        self._buffer += data
        *bodies, rest = bytes(self._buffer).split(bytes([FLAG]))
        self._buffer = bytearray(rest[-4 * DATA_BYTES_MAX :])
        for body in bodies:
            record = unframed(body)
            request = read_request(record) if record else None
            if request is not None:
                self._take(request, t_s)

    def speak(self, t_s: float) -> list[bytes]:
        """The frames that are due by now, oldest first within a kind."""
        records = [*self._alarm_records(t_s), *self._phdb_records(t_s), *self._wave_records(t_s)]
        return [framed(record) for record in records] if not self.patient.is_silent(t_s) else []

    def _take(self, request: Request, t_s: float) -> None:
        if request.main == PHDB and len(request.data) >= 9:
            kind, interval_s, classes = struct.unpack_from("<BhI", request.data)
            self._take_phdb(kind, interval_s, classes, t_s)
        elif request.main == WAVE and len(request.data) >= 12:
            self._take_waves(request.data, t_s)
        elif request.main == ALARM and len(request.data) >= 2 and self.level >= ALARM_LEVEL:
            (command,) = struct.unpack_from("<h", request.data)
            if command == 0:
                self._is_alarm_asked = True
            elif command == 2:
                self._is_differential, self._last_alarms = True, None
            elif command == 3:
                self._is_differential = False

    def _take_phdb(self, kind: int, interval_s: int, classes: int, t_s: float) -> None:
        if kind not in (DISPLAYED, TREND_10S, TREND_60S, AUX):
            return
        if interval_s == -1:
            last_s = self._last_single_s.get(kind)
            if last_s is None or t_s - last_s >= INTERVAL_MIN_S:
                self._last_single_s[kind] = t_s
                self._single.append((kind, classes))
        elif interval_s == 0:
            self._intervals.pop(kind, None)
        elif kind in TREND_S:
            if interval_s > 0:
                self._intervals[kind] = _Interval(TREND_S[kind], classes, t_s + TREND_S[kind])
        elif interval_s >= INTERVAL_MIN_S:
            self._intervals[kind] = _Interval(interval_s, classes, t_s)

    def _take_waves(self, data: bytes, t_s: float) -> None:
        (command,) = struct.unpack_from("<h", data)
        if command == 1:
            self._waves = None
            return
        if command != 0:
            return
        types: list[int] = []
        samples_a_second = 0
        for kind in data[4:28]:
            if kind == END_OF_LIST:
                break
            if kind not in RATES or kind in types:
                continue
            samples_a_second += RATES[kind]
            is_over = self.samples_max is not None and samples_a_second > self.samples_max
            if is_over or len(types) == DESCRIPTORS:
                break
            types.append(kind)
        self._waves = _Waves(tuple(types), t_s, _record_s(types)) if types else None

    def _phdb_records(self, t_s: float) -> list[bytes]:
        records = [self._phdb(kind, classes, t_s) for kind, classes in self._single]
        self._single.clear()
        are_trends_sent = self.is_case_started and DISPLAYED in self._intervals
        for kind, interval in sorted(self._intervals.items()):
            while interval.next_s <= t_s:
                if kind not in TREND_S or are_trends_sent:
                    records.append(self._phdb(kind, interval.classes, interval.next_s))
                interval.next_s += interval.period_s
        return records

    def _phdb(self, kind: int, classes: int, t_s: float) -> bytes:
        if kind == AUX:
            return self._record(PHDB, [(AUX, datex_values.auxiliary(self.patient, t_s, self.began_s))], t_s)
        # A basic class is left out where its bit is set, the others are sent where theirs is.
        asked = [number for number in range(4) if bool(classes >> number & 1) is (number > 0)]
        subrecords = []
        for number in asked:
            data = datex_values.CLASSES[number](self.patient, t_s)
            subrecords.append((kind, struct.pack("<I", self._clock_s(t_s)) + data + struct.pack("<xxH", number << 8)))
        return self._record(PHDB, subrecords, t_s)

    def _wave_records(self, t_s: float) -> list[bytes]:
        waves, records = self._waves, []
        while waves is not None and waves.next_s <= t_s:
            subrecords = [(kind, self._samples(waves, kind)) for kind in waves.types]
            records.append(self._record(WAVE, subrecords, waves.next_s))
            waves.records += 1
        return records

    def _samples(self, waves: _Waves, kind: int) -> bytes:
        """A stretch of one waveform; where 25 a second do not come out even, stretches differ by one sample."""
        begin, end = (round(RATES[kind] * n * waves.record_s) for n in (waves.records, waves.records + 1))
        t = waves.begin_s + np.arange(begin, end) / RATES[kind]
        status = RESERVED_BITS | (GAP if waves.records == 0 else 0)
        samples: NDArray[np.int16] = datex_values.samples(self.patient, kind, t)
        return struct.pack("<hHH", len(samples), status, 0) + samples.astype("<i2").tobytes()

    def _alarm_records(self, t_s: float) -> list[bytes]:
        shown = datex_values.alarms(self.patient, t_s)
        is_changed = self._is_differential and shown != self._last_alarms
        is_due = is_changed and t_s - self._last_alarm_s >= ALARM_PAUSE_S
        if not is_due and not self._is_alarm_asked:
            return []
        data = alarm_data(shown, self._last_alarms or ())
        self._is_alarm_asked = False
        self._last_alarms, self._last_alarm_s = shown, t_s
        return [self._record(ALARM, [(1, data)], t_s)]

    def _record(self, main: int, subrecords: list[tuple[int, bytes]], t_s: float) -> bytes:
        record = header(main, subrecords, self._number, self.level, self.plug_id, self._clock_s(t_s))
        self._number = (self._number + 1) % 256
        return record + b"".join(data for _, data in subrecords)

    def _clock_s(self, t_s: float) -> int:
        return self.began_s + int(t_s + self.patient.clock_offset_s(t_s))


def header(
    main: int, subrecords: list[tuple[int, bytes]], number: int, level: int, plug_id: int, clock_s: int
) -> bytes:
    """The 40 bytes before the data (D 4-6); a list of eight has no end mark."""
    offset, descriptors = 0, b""
    for kind, data in subrecords:
        descriptors += struct.pack("<hB", offset, kind)
        offset += len(data)
    if len(subrecords) < DESCRIPTORS:
        descriptors += struct.pack("<hB", 0, END_OF_LIST)
    length = HEADER_BYTES + offset
    first = struct.pack("<hBBHIBBHh", length, number, level, plug_id, clock_s, 0, 0, 0, main)
    return first + descriptors.ljust(3 * DESCRIPTORS, b"\0")


def alarm_data(shown: Collection[datex_values.ShownAlarm], before: Collection[datex_values.ShownAlarm]) -> bytes:
    """The five alarms of the screen and what changed of each (D 61-63)."""
    old = (*before, *[datex_values.NO_ALARM] * ALARMS_SHOWN)
    new = (*shown, *[datex_values.NO_ALARM] * ALARMS_SHOWN)
    data = struct.pack("<hhhhh", 0, any(alarm.colour > 1 for alarm in shown), 0, 0, 0)
    for was, now in zip(old[:ALARMS_SHOWN], new[:ALARMS_SHOWN], strict=True):
        text = now.text.encode("ascii").ljust(ALARM_TEXT_BYTES, b"\0")
        data += text + struct.pack("<hhh", now.text != was.text, now.colour, now.colour != was.colour) + _SPARE
    return data + bytes(10)


def _record_s(types: Collection[int]) -> float:
    """The longest stretch whose record holds so many samples."""
    for record_s in RECORD_S:
        if sum(6 + 2 * (int(RATES[kind] * record_s) + 1) for kind in types) <= DATA_BYTES_MAX:
            return record_s
    return RECORD_S[-1]


def bad_checksum(frame: bytes, rng: Random) -> bytes:
    """The checksum is another."""
    record = unframed(frame[1:-1]) or b""
    return framed(record, (checksum(record) + rng.randrange(1, 256)) % 256)


FAULTS: Mapping[str, Callable[[bytes, Random], bytes]] = {
    **faults.FAULTS, "bad_checksum": bad_checksum, "silent": faults.silent,
}  # fmt: skip


class Spoiler(faults.Spoiler):
    """With the faults of this format."""

    known = FAULTS


async def speak(monitor: Monitor, wire: PtyWire, spoiler: Spoiler, stop: asyncio.Event) -> None:
    """Answer on this line until `stop`."""
    async for heard, now_s in turns(wire, POLL_S, stop):
        monitor.hear(heard, now_s)
        for frame in monitor.speak(now_s):
            await wire.write(spoiler.sent(frame))


async def run(link: Path, patient: Patient, stop: asyncio.Event) -> None:
    """A monitor at a pseudo-terminal of this name, until `stop`."""
    async with pty_wire(link) as wire:
        await speak(Monitor(patient, began_s=int(time.time())), wire, Spoiler(), stop)
