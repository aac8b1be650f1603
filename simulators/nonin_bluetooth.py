"""Nonin's wireless oximeters as the serial port of a Bluetooth adapter shows them, on a pseudo-terminal.

"9560 OEM Specification and Technical Information" 6470-000-01:

- Data Format 7: 75 frames of 5 bytes a second, 25 to a packet: status, pleth high and low, a byte of the packet's
  table, the sum of the four modulo 256.
- Data Format 13: a measurement at a time, with its moment in BCD.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np

from simulators.patient import Patient

FRAMES, SAMPLE_HZ = 25, 75  # frames of a packet, and a second
PACKETS_A_SECOND = SAMPLE_HZ // FRAMES
MEASUREMENT_S = 30.0  # from one of format 13 to the next
_ALWAYS, _OOT, _SNSA, _GREEN, _SYNC = 0x80, 0x10, 0x08, 0x02, 0x01
_PERFUSION_FRAMES = 12
_HR_MISSING, _SPO2_MISSING = 511, 127
_FIRMWARE = 48
_SMART_POINT, _NO_MEASUREMENT = 0x02, 0x01
_PLETH_LOW, _PLETH_SPAN = 2_000, 60_000


def shown(patient: Patient, t_s: float) -> dict[str, int | None]:
    """SpO2 and HR, None where there is none."""
    found = patient.numbers(t_s)
    pairs = (("SPO2", found["spo2"]), ("HR", found["pr"]))
    return {name: None if value is None else round(value) for name, value in pairs}


def _or(value: int | None, missing: int) -> int:
    return missing if value is None else value


def pleth(patient: Patient, number: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """The 25 samples of packet `number` since power-up."""
    t = (number * FRAMES + np.arange(FRAMES)) / SAMPLE_HZ
    return np.rint(_PLETH_LOW + _PLETH_SPAN * patient.pleth(t)).astype(np.int64)


def df7_packet(patient: Patient, number: int) -> bytes:
    """The packet `number` since power-up: a third of a second."""
    display = shown(patient, number // PACKETS_A_SECOND)
    rate, spo2 = _or(display["HR"], _HR_MISSING), _or(display["SPO2"], _SPO2_MISSING)
    hr = [rate >> 7, rate & 0x7F]
    timer = [number >> 7 & 0x7F, number & 0x7F]
    # 1-2 HR, 3 SpO2, 4 firmware, 6-7 timer, 8 STAT2, 9 SpO2-D, 10 fast, 11 beat to beat, 14-15 E-HR, 16 E-SpO2,
    # 17 E-SpO2-D, 20-21 HR-D, 22-23 E-HR-D.
    table = [*hr, spo2, _FIRMWARE, 0, *timer, 0, *[spo2] * 3, 0, 0, *hr, spo2, spo2, 0, 0, *hr, *hr, 0, 0]
    samples = pleth(patient, number)
    t = (number * FRAMES + np.arange(FRAMES)) / SAMPLE_HZ
    beating = np.floor(patient.beats(t)) > np.floor(patient.beats(t - _PERFUSION_FRAMES / SAMPLE_HZ))
    packet = bytearray()
    for i in range(FRAMES):
        status = _ALWAYS | (_SYNC if i == 0 else 0)
        if not patient.has_finger(float(t[i])):
            status |= _SNSA | _OOT
        elif beating[i]:
            status |= _GREEN
        frame = (status, int(samples[i]) >> 8, int(samples[i]) & 0xFF, table[i])
        packet += bytes((*frame, sum(frame) & 0xFF))
    return bytes(packet)


@dataclass(frozen=True)
class SpotCheck:
    """A device of format 13; `began_at` is its clock at the patient's beginning, of which it sends no zone."""

    patient: Patient
    began_at: datetime = datetime(2026, 3, 9, 14, 5, 9, tzinfo=UTC)

    def message(self, t_s: float) -> bytes:
        """The measurement that ends at this moment."""
        at = self.began_at + timedelta(seconds=t_s + self.patient.clock_offset_s(t_s))
        found = shown(self.patient, t_s)
        status = _SMART_POINT if self.patient.has_finger(t_s) else _NO_MEASUREMENT
        rate, spo2 = _or(found["HR"], _HR_MISSING), _or(found["SPO2"], _SPO2_MISSING)
        return df13(at, status, 0, rate, spo2)


def df13(at: datetime, status_high: int, status_low: int, rate: int, spo2: int) -> bytes:
    """A message of format 13."""
    moment = bytes.fromhex(f"{at:%Y%m%d%H%M%S}00")
    data = moment + bytes([status_high, status_low, rate >> 8, rate & 0xFF, 0, spo2])
    return b"\x00\x02\x00\x0d" + len(data).to_bytes(2, "big") + data + bytes([sum(data) & 0xFF, 0x03])
