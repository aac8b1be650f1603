"""What a simulated S/5 monitor measures of its patient, as the bytes of its records ("S/5 System Interface,
Datex-Ohmeda Record Specification" 8005313, 12th edition: values D 19, basic class D 20-40, ext1 D 40-45, ext2 D 45-53,
ext3 D 53-60, auxiliary D 14, waveforms D 65-69, alarms D 61-63).

On the patient: ECG, arterial line at P1, CVP at P2, cuff, one temperature, oximeter, gas and spirometry, a cardiac
output. Their modules without a sensor: T2 and NMT. Everything else has no module.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from simulators.patient import Patient, Times, shape

CLASS_BYTES = 270
INVALID, NOT_UPDATED = -32767, -32766
EXISTS, ACTIVE = 0x1, 0x2
ON = EXISTS | ACTIVE
ECG_IS_HR_SOURCE = 1 << 3
ARRHYTHMIA_EXTENDED, TACHYCARDIA_BIT = 2 << 15, 1 << 28
LEADS = 2 << 8 | 7 << 4 | 1  # II, V and I on channels 1 to 3
ART, CVP, ESOPHAGUS, SEVOFLURANE, CARBON_DIOXIDE, CONTINUOUS = 1, 2, 1, 6, 1, 2 << 2
NIBP_AUTO, NIBP_IS_OLD, OLD_S = 1 << 3, 1 << 8, 60
AMBIENT_TENTHS_MMHG = 7600
TACHYCARDIA_ABOVE, SPO2_LOW_BELOW = 100, 90
WHITE, YELLOW, RED = 1, 2, 3
# A beat's P, Q, R, S and T: place in the beat, width, height in µV at lead II.
_ECG = ((0.10, 0.025, 120), (0.205, 0.008, -90), (0.22, 0.011, 1100), (0.238, 0.009, -240), (0.45, 0.045, 280))
_LEAD = {1: 1.0, 2: 0.8, 3: 0.55}  # how large each channel shows it

Samples = NDArray[np.int16]


class ShownAlarm(NamedTuple):
    """A line of the monitor's screen: colour 1 white, 2 yellow, 3 red."""

    text: str = ""
    colour: int = 0


NO_ALARM = ShownAlarm()


def group(status: int, label: int, *values: float | None) -> bytes:
    """A parameter group; None is no reading."""
    numbers = [INVALID if value is None else round(value) for value in values]
    return struct.pack(f"<IH{len(numbers)}h", status, label, *numbers)


def without(count: int, status: int = 0) -> bytes:
    """A group whose module is not there, or measures nothing."""
    return group(status, 0, *[None] * count)


def _hundredths(value: float | None) -> float | None:
    return None if value is None else 100 * value


def basic(patient: Patient, t_s: float) -> bytes:
    """The basic class."""
    found = patient.numbers(t_s)
    hr, rr, cvp = found["hr"], found["rr"], found["cvp"]
    pressure = [_hundredths(found[name]) for name in ("abp_sys", "abp_dia", "abp_mean")]
    et_co2 = (found["etco2"] or 0) * 1e5 / AMBIENT_TENTHS_MMHG
    tidal_ml = 450 + 5 * (patient.seed % 10)
    data = b"".join((
        group(ON | ECG_IS_HR_SOURCE, LEADS, hr, 12, -4, 0, rr),
        group(ON, ART, *pressure, found["pr"]),
        group(ON, CVP, None, None, _hundredths(cvp), None),
        without(4), without(4),
        _cuff(patient, t_s),
        group(ON, ESOPHAGUS, _hundredths(found["temp_c"])),
        without(1, EXISTS), without(1), without(1),
        group(ON, 0, _hundredths(found["spo2"]), found["pr"], _hundredths(found["pi"]), None),
        group(ON, CARBON_DIOXIDE, et_co2, 0, rr, AMBIENT_TENTHS_MMHG),
        group(ON, 0, 3560, 4020),  # O2
        group(ON, 0, 0, 0),  # N2O
        group(ON, SEVOFLURANE, 180, 210, 95),
        group(ON, 0, rr, 1820, 500, 1510, 10 * tidal_ml, 10 * (tidal_ml - 8), 4480, tidal_ml * (rr or 0) / 10),
        group(ON, CONTINUOUS, 5230, 3702, None, None),
        without(3, EXISTS),  # NMT
        struct.pack("<3h", *[round(value or 0) for value in (hr, (hr or 0) + 1, (hr or 0) - 1)]),
        without(1),  # SvO2
        without(4), without(4),  # P5, P6
    ))  # fmt: skip
    return data.ljust(CLASS_BYTES, b"\0")


def _cuff(patient: Patient, t_s: float) -> bytes:
    cuff = patient.cuff(t_s)
    if cuff is None:
        return group(ON, NIBP_AUTO, *[NOT_UPDATED] * 4)
    values = [100 * int(cuff.values[name]) for name in ("nibp_sys", "nibp_dia", "nibp_mean")]
    label = NIBP_AUTO | (NIBP_IS_OLD if t_s - cuff.at_s > OLD_S else 0)
    return group(ON, label, *values, patient.numbers(cuff.at_s)["pr"])


def ext1(patient: Patient, t_s: float) -> bytes:
    """Arrhythmia, ST of twelve leads; no P7, P8, second oximeter, T5 and T6."""
    found = patient.numbers(t_s)
    hr = round(found["hr"] or 0)
    bits = TACHYCARDIA_BIT if hr > TACHYCARDIA_ABOVE else 0
    values = struct.pack("<hhhI", hr, round(60_000 / hr), round(found["pvc"] or 0), bits)
    arrhythmia = struct.pack("<IH", ON | ARRHYTHMIA_EXTENDED, 0) + values + bytes(32)
    st = group(ON, LEADS, 8, 12, 4, 6, -10, 8, 2, 5, 9, 7, 3, 0)
    data = arrhythmia + st + without(4) + without(4) + without(4) + without(1) + without(1)
    return data.ljust(CLASS_BYTES, b"\0")


def ext2(patient: Patient, t_s: float) -> bytes:
    """NMT2, EEG, BIS, entropy, EEG2 and SPI: none of the modules is there."""
    before_eeg2 = without(9) + without(33) + without(5) + without(11)
    return (before_eeg2.ljust(230, b"\0") + without(5)).ljust(CLASS_BYTES, b"\0")


def ext3(patient: Patient, t_s: float) -> bytes:
    """Gas exchange, spirometry, balance gas, tonometry and so on up to PiCCO: none of the modules is there."""
    # gasex 4 values; flow_vol2 20; balance gas 2; tono 8; aa2 9 shorts; delp 2; cpp 1; cpp2 1; picco 24.
    data = b"".join(without(count) for count in (4, 20, 2, 8, 9, 2, 1, 1, 24))
    return data.ljust(CLASS_BYTES, b"\0")


CLASSES: tuple[Callable[[Patient, float], bytes], ...] = (basic, ext1, ext2, ext3)


def auxiliary(patient: Patient, t_s: float, began_s: int) -> bytes:
    """When what is measured now and then was measured, 0 where it was not; the body surface in 1/100 m²."""
    cuff = patient.cuff(t_s)
    at_s = began_s + int(cuff.at_s) if cuff else 0
    return struct.pack("<IhIIh98x", at_s, 0, 0, 0, 185)


def samples(patient: Patient, kind: int, t: Times) -> Samples:
    """A waveform at these times; of what is not measured the code for no reading."""
    make = _WAVES.get(kind)
    if make is None:
        return np.full(len(t), INVALID, np.int16)
    return np.rint(make(patient, t)).astype(np.int16)


def _ecg(channel: int) -> Callable[[Patient, Times], Times]:
    def make(patient: Patient, t: Times) -> Times:
        recorded_mv = patient.ecg_mv(t)
        if recorded_mv is not None:
            return recorded_mv * 1000  # in microvolts
        phase = patient.beats(t) % 1.0
        waves = [height * np.exp(-0.5 * ((phase - at) / width) ** 2) for at, width, height in _ECG]
        return np.asarray(_LEAD[channel] * np.sum(waves, axis=0))

    return make


def _art(patient: Patient, t: Times) -> Times:
    low, high = (patient.numbers(float(t[0]))[name] or 0 for name in ("abp_dia", "abp_sys"))
    return 100 * (low + (high - low) * shape(patient.beats(t)))


def _cvp(patient: Patient, t: Times) -> Times:
    return 100 * ((patient.numbers(float(t[0]))["cvp"] or 0) + np.sin(2 * np.pi * patient.breaths(t)))


def _pleth(patient: Patient, t: Times) -> Times:
    amplitude = 100 * (patient.numbers(float(t[0]))["pi"] or 0)
    on = np.array([patient.has_finger(float(x)) for x in t])
    return np.where(on, amplitude * (patient.pleth(t) - 0.5), INVALID)


def _co2(patient: Patient, t: Times) -> Times:
    high = (patient.numbers(float(t[0]))["etco2"] or 0) * 1e5 / AMBIENT_TENTHS_MMHG
    breath = patient.breaths(t) % 1.0  # inspiration first
    return high * np.clip((breath - 0.4) / 0.08, 0, 1)


def _airway(patient: Patient, t: Times) -> Times:
    breath = patient.breaths(t) % 1.0
    return 50 + 132 * np.where(breath < 0.4, breath / 0.4, np.exp(-(breath - 0.4) / 0.06))


def _flow(patient: Patient, t: Times) -> Times:
    breath = patient.breaths(t) % 1.0
    return np.where(breath < 0.4, 300, -450 * np.exp(-(breath - 0.4) / 0.12))


_WAVES: dict[int, Callable[[Patient, Times], Times]] = {
    1: _ecg(1), 2: _ecg(2), 3: _ecg(3), 4: _art, 5: _cvp, 8: _pleth, 9: _co2, 13: _airway, 14: _flow,
}  # fmt: skip


def alarms(patient: Patient, t_s: float) -> tuple[ShownAlarm, ...]:
    """What the screen shows, the gravest first. The documents name no texts: these are the simulator's own."""
    found = patient.numbers(t_s)
    shown = []
    if not patient.has_finger(t_s):
        shown.append(ShownAlarm("SpO2 probe off", WHITE))
    if (found["hr"] or 0) > TACHYCARDIA_ABOVE:
        shown.append(ShownAlarm("HR high", YELLOW))
    spo2 = found["spo2"]
    if spo2 is not None and spo2 < SPO2_LOW_BELOW:
        shown.append(ShownAlarm("SpO2 low", RED))
    return tuple(sorted(shown, key=lambda alarm: -alarm.colour))
