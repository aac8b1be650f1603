"""Nonin's wireless oximeters (Onyx II 9560, WristOx2 3150) over Bluetooth SPP: Data Formats 7 and 13.

9560 OEM specification 6470-000-01. Format 7: 75 frames a second, 25 to a packet. Format 13: a message a measurement;
what is stored comes first, as on a new connection. Which format it speaks is in the device's memory, here a parameter;
what would change it, or its clock, is not answered: only the time is told when asked for.
What the fraction of the second counts is not known: it is 00.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from random import Random

import numpy as np
from numpy.typing import NDArray

from simulators.patient import Patient
from simulators.sensor import SEARCH_S, Sensor, Span, conditions_at, sensor_at

BEGAN_AT = datetime(2026, 3, 9, 14, 5, 9, tzinfo=UTC)  # what its clock says; no zone is ever sent
FRAMES, SAMPLE_HZ = 25, 75  # frames of a packet, and a second
PACKETS_A_SECOND = SAMPLE_HZ // FRAMES
HELD_S = 10  # values of a display (-D) after the finger has gone
PERFUSION_FRAMES = 12  # colour of the pulse, from a beat on
HR_MISSING, SPO2_MISSING = 511, 127
FIRMWARE = 31
STATUS = {"artifact": 0x20, "out of track": 0x10, "sensor alarm": 0x08}
ALWAYS, RED, GREEN, SYNC = 0x80, 0x04, 0x02, 0x01
SMARTPOINT, LOW_BATTERY = 0x20, 0x01  # of STAT2
# Of format 13: the high and the low byte of the status.
SMARTPOINT_13, NO_MEASUREMENT_13 = 0x02, 0x01
FROM_MEMORY_13, LOW_BATTERY_13 = 0x10, 0x01
GET_TIME = bytes.fromhex("02 72 00 03")
MEASURED_WITHIN_S, MEASUREMENT_EVERY_S = 40.0, 30.0
ACK = 0x06
_PLETH_LOW, _PLETH_SPAN = 0x1000, 0xC000


def shown(patient: Patient, t_s: float) -> dict[str, int | None]:
    """SpO2 and HR, None without a pulse."""
    numbers = patient.numbers(t_s)
    is_on = sensor_at(patient, t_s) is Sensor.MEASURING
    pairs = (("SPO2", numbers["spo2"]), ("HR", numbers["pr"]))
    return {name: round(value) if is_on and value is not None else None for name, value in pairs}


def displayed(patient: Patient, t_s: int) -> dict[str, int | None]:
    """The values for a display: the last, until they are 10 s old."""
    for age_s in range(HELD_S):
        values = shown(patient, t_s - age_s)
        if values["HR"] is not None:
            return values
    return shown(patient, t_s)


def _heart_rate(value: int | None) -> tuple[int, int]:
    rate = HR_MISSING if value is None else value
    return rate >> 7 & 0x03, rate & 0x7F


def pleth(patient: Patient, number: int) -> NDArray[np.int64]:
    """The samples of a packet, 16 bit."""
    t = (number * FRAMES + np.arange(FRAMES)) / SAMPLE_HZ
    return np.rint(_PLETH_LOW + _PLETH_SPAN * patient.pleth(t)).astype(np.int64)


def df7_floats(patient: Patient, number: int, script: Sequence[Span] = ()) -> list[int]:
    """The fourth byte of each of the 25 frames. A reserved one may be anything."""
    second = number // PACKETS_A_SECOND
    now, display = shown(patient, second), displayed(patient, second)
    spo2 = SPO2_MISSING if now["SPO2"] is None else now["SPO2"]
    spo2_display = SPO2_MISSING if display["SPO2"] is None else display["SPO2"]
    stat2 = SMARTPOINT if now["SPO2"] is not None else 0
    stat2 |= LOW_BATTERY if "low battery" in conditions_at(script, second) else 0
    by_frame = dict.fromkeys((3, 10, 11, 16), spo2) | dict.fromkeys((9, 17), spo2_display)
    by_frame |= {4: FIRMWARE, 6: number >> 7 & 0x7F, 7: number & 0x7F, 8: stat2}
    for first, values in ((1, now), (14, now), (20, display), (22, display)):
        by_frame[first], by_frame[first + 1] = _heart_rate(values["HR"])
    rng = Random(f"{patient.seed}.{number}")
    return [by_frame[frame] if frame in by_frame else rng.randrange(256) for frame in range(1, FRAMES + 1)]


def df7_packet(patient: Patient, number: int, script: Sequence[Span] = ()) -> bytes:
    """The packet `number` since power-up: a third of a second.

    `script` may have the conditions of STATUS, "low battery", and "red" or "yellow" for the colour of the pulse.
    """
    t = (number * FRAMES + np.arange(FRAMES)) / SAMPLE_HZ
    is_beat = np.floor(patient.beats(t)) > np.floor(patient.beats(t - PERFUSION_FRAMES / SAMPLE_HZ))
    samples, floats = pleth(patient, number), df7_floats(patient, number, script)
    packet = bytearray()
    for i in range(FRAMES):
        conditions = set(conditions_at(script, float(t[i])))
        if not patient.has_finger(float(t[i])):
            conditions |= {"out of track", "sensor alarm"}
        status = ALWAYS | (SYNC if i == 0 else 0) | sum(bit for name, bit in STATUS.items() if name in conditions)
        if is_beat[i] and "sensor alarm" not in conditions:
            status |= RED if "red" in conditions else RED | GREEN if "yellow" in conditions else GREEN
        frame = (status, int(samples[i]) >> 8, int(samples[i]) & 0xFF, floats[i])
        packet += bytes((*frame, sum(frame) & 0xFF))
    return bytes(packet)


def _bcd(value: int) -> int:
    return value // 10 << 4 | value % 10


def df13(
    at: datetime, status_high: int, status_low: int, rate: int | None, spo2: int | None, further: bytes = b""
) -> bytes:
    """A message of format 13; `further` bytes of data make it longer, as the format may become."""
    stamp = (at.year // 100, at.year % 100, at.month, at.day, at.hour, at.minute, at.second, 0)
    heart_rate = HR_MISSING if rate is None else rate
    saturation = SPO2_MISSING if spo2 is None else spo2
    data = bytes(_bcd(part) for part in stamp)
    data += bytes((status_high, status_low, heart_rate >> 8, heart_rate & 0xFF, 0, saturation)) + further
    return b"\x00\x02\x00\x0d" + len(data).to_bytes(2, "big") + data + bytes((sum(data) & 0xFF, 0x03))


def time_answer(at: datetime) -> bytes:
    """The clock, in plain binary."""
    return bytes((0x02, 0xF2, 6, at.year % 100, at.month, at.day, at.hour, at.minute, at.second, 0x03))


class SpotCheck:
    """An oximeter in format 13. `stored` are the times, in s before it is connected, of readings that it has kept."""

    def __init__(
        self,
        patient: Patient,
        began_at: datetime = BEGAN_AT,
        stored: Sequence[float] = (),
        is_battery_low: bool = False,
        further: bytes = b"",
    ) -> None:
        self.patient, self.began_at, self.stored = patient, began_at, tuple(sorted(stored, reverse=True))
        self._is_battery_low, self._further = is_battery_low, further
        self.acknowledged = 0
        self._heard = b""

    def at(self, t_s: float) -> datetime:
        """Its clock, whole seconds."""
        at = self.began_at + timedelta(seconds=t_s + self.patient.clock_offset_s(t_s))
        return at.replace(microsecond=0)

    def message(self, t_s: float, is_stored: bool = False) -> bytes:
        """What it measured at a time, sent at once or kept."""
        values = shown(self.patient, t_s)
        high = SMARTPOINT_13 if values["SPO2"] is not None else NO_MEASUREMENT_13
        low = FROM_MEMORY_13 if is_stored else 0
        low |= LOW_BATTERY_13 if self._is_battery_low else 0
        return df13(self.at(t_s), high, low, values["HR"], values["SPO2"], self._further)

    def greeting(self) -> list[bytes]:
        """What a new connection begins with: all that is stored, the oldest first."""
        return [self.message(-before_s, is_stored=True) for before_s in self.stored]

    def messages(self) -> Iterator[tuple[float, bytes]]:
        """Every message with its time in s: what is stored, then a measurement each half minute."""
        for message in self.greeting():
            yield 0.0, message
        t_s = SEARCH_S
        while True:
            yield t_s, self.message(t_s)
            t_s += MEASUREMENT_EVERY_S

    def hear(self, data: bytes, t_s: float) -> bytes:
        """Its answer to what the host sends."""
        self._heard = (self._heard + data)[-64:]
        if self._heard.endswith(GET_TIME):
            self._heard = b""
            return time_answer(self.at(t_s))
        if self._heard.endswith(bytes([ACK])):
            self._heard = b""
            self.acknowledged += 1
        return b""
