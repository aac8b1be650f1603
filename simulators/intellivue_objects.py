"""What a simulated IntelliVue monitor measures: its objects' attributes at a time of the patient.

Physiological identifiers, units and attributes: Data Export Interface Programming Guide rev. G.0, p. 77-188 and 286.
What its public readers leave open is not sent: the layout of the model, of the alarm condition and of internal numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np

from simulators import intellivue_bytes as wire
from simulators.patient import Patient, Times, shape

MDS, NUMERIC, WAVE, ENUMERATION, DEMOGRAPHICS, ALARMS = 0x21, 0x06, 0x09, 0x05, 0x2A, 0x36
ALL, OBSERVED, DYNAMIC, STATIC = 0, 0x0803, 0x0810, 0x0811
CONTEXT = 1  # of everything that belongs to the patient
WAVE_PERIOD_S = 0.256
INVALID = 0x8000  # measurement state, p. 77
SPO2_LOW, RATE_HIGH = 90, 100
_NUMERIC_VALUE, _COMPOUND_VALUE, _WAVE_VALUE, _WAVE_SPECIFICATION = 0x0950, 0x094B, 0x096E, 0x096D
_SAMPLE_PERIOD, _SCALE, _TIME_STAMP = 0x098D, 0x096F, 0x0990
_BEATS, _BREATHS, _PERCENT, _MMHG, _CELSIUS = 0x0AA0, 0x0AE0, 0x0220, 0x0F20, 0x17A0
_PATIENT_LIST, _TECHNICAL_LIST = 0x0902, 0x0904
_PATIENT_MEDIUM, _PATIENT_LOW, _TECHNICAL_LOW = 0x0200, 0x0100, 0x0001
# Terms of the partition of events (IEEE 11073-10101): above and below a limit, a lead that is off.
_EVENT_HIGH, _EVENT_LOW, _EVENT_LEAD_OFF = 40, 62, 72
_INFO_WITH_TEXT = 0x0204
_BEDSIDE_AUDIBLE = 0x4000


@dataclass(frozen=True)
class Numeric:
    """One numeric object; several `parts` make a compound value."""

    handle: int
    unit: int
    parts: tuple[tuple[str, int], ...]  # the patient's channel, the physiological identifier


NUMERICS = (
    Numeric(0x0101, _BEATS, (("hr", 0x4182),)),
    Numeric(0x0102, _PERCENT, (("spo2", 0x4BB8),)),
    Numeric(0x0103, _BEATS, (("pr", 0x4822),)),
    Numeric(0x0104, _BREATHS, (("rr", 0x500A),)),
    Numeric(0x0105, _MMHG, (("abp_sys", 0x4A15), ("abp_dia", 0x4A16), ("abp_mean", 0x4A17))),
    Numeric(0x0106, _CELSIUS, (("temp_c", 0x4B48),)),
    Numeric(0x0107, _MMHG, (("etco2", 0x50B0),)),
    Numeric(0x0108, _BEATS, (("pvc", 0x4261),)),
    Numeric(0x0109, _MMHG, (("cvp", 0x4A47),)),
    Numeric(0x010A, _MMHG, (("nibp_sys", 0x4A05), ("nibp_dia", 0x4A06), ("nibp_mean", 0x4A07))),
)


def _ecg(patient: Patient, t: Times) -> Times:
    """A P wave, a QRS complex and a T wave over the phase of the beat."""
    phase = patient.beats(t) % 1.0
    waves = ((0.10, 0.025, 0.12), (0.19, 0.010, -0.15), (0.21, 0.012, 1.0), (0.23, 0.010, -0.22), (0.45, 0.05, 0.28))
    total = np.zeros_like(phase)
    for centre, width, height_mv in waves:
        total += height_mv * np.exp(-0.5 * ((phase - centre) / width) ** 2)
    return total


def _pressure(patient: Patient, t: Times) -> Times:
    numbers = patient.numbers(float(t[0]))
    low, high = numbers["abp_dia"] or 0.0, numbers["abp_sys"] or 0.0
    return low + (high - low) * shape(patient.beats(t))


@dataclass(frozen=True)
class Wave:
    """One wave object; `raw` is what the samples `low` to `high` of the scale stand for."""

    handle: int
    physio: int
    samples: int  # in 256 ms
    period: int  # of a sample, 1/8 ms
    significant_bits: int
    values: Callable[[Patient, Times], Times]
    scale: tuple[str | None, str | None, int, int]  # its values have no absolute meaning where the first two are None
    span: tuple[float, float]  # of `values`, at the ends of the scale
    needs_finger: bool = False


WAVES = (
    Wave(0x0201, 0x0102, 128, 16, 14, _ecg, ("-2.00", "2.00", 4192, 12192), (-2.0, 2.0)),
    Wave(0x0202, 0x4BB4, 32, 64, 12, Patient.pleth, (None, None, 0, 4095), (0.0, 1.0), needs_finger=True),
    Wave(0x0203, 0x4A14, 32, 64, 14, _pressure, ("0", "300", 1000, 7000), (0.0, 300.0)),
)


def numeric(row: Numeric, group: int, patient: Patient, t_s: float, at: Callable[[float], datetime]) -> bytes | None:
    """The attributes of a numeric; None before its first measurement."""
    if group not in (ALL, OBSERVED, DYNAMIC):
        return wire.counted(())
    cuff = patient.cuff(t_s) if row.parts[0][0].startswith("nibp") else None
    if row.parts[0][0].startswith("nibp") and cuff is None:
        return None
    shown = cuff.values if cuff else patient.report(t_s)
    values = []
    for channel, physio in row.parts:
        text = shown[channel]
        state = 0 if text is not None else INVALID
        values.append(wire.u16(physio, state, row.unit) + wire.float_type(text))
    value = wire.ava(_NUMERIC_VALUE, values[0]) if len(values) == 1 else wire.ava(_COMPOUND_VALUE, wire.counted(values))
    stamps = (wire.ava(_TIME_STAMP, wire.absolute_time(at(cuff.at_s))),) if cuff else ()
    return wire.counted((value, *stamps))


def samples(row: Wave, patient: Patient, block: int) -> list[int]:
    """The raw samples of one block of 256 ms since the monitor's beginning."""
    t: Times = (block * row.samples + np.arange(row.samples, dtype=np.float64)) * (row.period / 8000)
    (low, high), (_, _, raw_low, raw_high) = row.span, row.scale
    raw = raw_low + (row.values(patient, t) - low) * (raw_high - raw_low) / (high - low)
    return [int(value) for value in np.clip(np.rint(raw), 0, 2**row.significant_bits - 1)]


def wave(row: Wave, group: int, patient: Patient, block: int, *, context: bool) -> bytes:
    """The attributes of a wave; `context` (how samples are to be read) only where the group or its turn asks."""
    found = []
    if group in (ALL, OBSERVED):
        on = not row.needs_finger or patient.has_finger(block * WAVE_PERIOD_S)
        data = wire.u16(*samples(row, patient, block))
        found.append(wire.ava(_WAVE_VALUE, wire.u16(row.physio, 0 if on else INVALID) + wire.variable(data)))
    if context and group in (ALL, STATIC):
        specification = wire.u16(row.samples) + bytes((16, row.significant_bits)) + wire.u16(0)
        found += [wire.ava(_WAVE_SPECIFICATION, specification), wire.ava(_SAMPLE_PERIOD, wire.u32(row.period))]
    if context and group in (ALL, DYNAMIC):
        low, high, raw_low, raw_high = row.scale
        found.append(wire.ava(_SCALE, wire.float_type(low) + wire.float_type(high) + wire.u16(raw_low, raw_high)))
    return wire.counted(found)


@dataclass(frozen=True)
class Alarm:
    """One that sounds now. `kind` is its type: whose it is, and how high."""

    source: int
    event: int
    kind: int
    handle: int
    text: str


def alarms(patient: Patient, t_s: float) -> list[Alarm]:
    """What the patient's numbers set off: saturation low, heart rate high, and a sensor that is off."""
    shown, found = patient.report(t_s), []
    if shown["spo2"] is None:
        found.append(Alarm(0x4BB8, _EVENT_LEAD_OFF, _TECHNICAL_LOW, 0x0301, "SpO2 NO SENSOR"))
    elif int(shown["spo2"]) < SPO2_LOW:
        found.append(Alarm(0x4BB8, _EVENT_LOW, _PATIENT_MEDIUM, 0x0302, f"** SpO2 {shown['spo2']}<{SPO2_LOW}"))
    if (rate := shown["hr"]) is not None and int(rate) > RATE_HIGH:
        found.append(Alarm(0x4182, _EVENT_HIGH, _PATIENT_LOW, 0x0303, f"* HR {rate}>{RATE_HIGH}"))
    return found


def _alarm_entry(alarm: Alarm) -> bytes:
    # Its number, the text's identifier, the priority (whose scale no source tells), the flags, the text.
    info = wire.u16(1) + wire.u32(0x00020000 | alarm.source) + wire.u16(0, _BEDSIDE_AUDIBLE) + wire.string(alarm.text)
    head = wire.u16(alarm.source, alarm.event, alarm.kind, 0) + wire.managed_object(ALARMS, CONTEXT, alarm.handle)
    return head + wire.u16(_INFO_WITH_TEXT) + wire.variable(info)


def alarm_monitor(patient: Patient, t_s: float) -> bytes:
    """The attributes of the alarm object: both lists, which are empty where nothing sounds."""
    active = alarms(patient, t_s)
    technical = [_alarm_entry(alarm) for alarm in active if alarm.kind & 0x00FF]
    of_patient = [_alarm_entry(alarm) for alarm in active if alarm.kind & 0xFF00]
    return wire.counted(
        (wire.ava(_PATIENT_LIST, wire.counted(of_patient)), wire.ava(_TECHNICAL_LIST, wire.counted(technical)))
    )


@dataclass(frozen=True)
class Admitted:
    """Who is entered on the monitor."""

    identifier: str
    family: str
    given: str
    born: datetime = datetime(1956, 2, 14, tzinfo=UTC)
    sex: int = 1  # 0 unknown, 1 male, 2 female, 9 unspecified


def demographics(person: Admitted | None) -> bytes:
    """The attributes of the patient: state 2 is admitted, with nobody the state is 0 and nothing else is said."""
    if person is None:
        return wire.counted((wire.ava(0x0957, wire.u16(0)),))
    return wire.counted((
        wire.ava(0x0957, wire.u16(2)), wire.ava(0x0962, wire.u16(1)), wire.ava(0x0A1E, wire.u16(0)),
        wire.ava(0x095D, wire.string(person.given)), wire.ava(0x095C, wire.string(person.family)),
        wire.ava(0x095A, wire.string(person.identifier)), wire.ava(0x0961, wire.u16(person.sex)),
        wire.ava(0x0958, wire.absolute_time(person.born)),
    ))  # fmt: skip


def system(bed: str, system_id: bytes, at: datetime, relative: int) -> bytes:
    """The attributes of the monitor: identity, bed, mode (monitoring), status (operating), its two clocks."""
    return wire.counted((
        wire.ava(0x0984, wire.variable(system_id)), wire.ava(0x091E, wire.string(bed)),
        wire.ava(0x0946, wire.u16(0x4000)), wire.ava(0x09A7, wire.u16(6)),
        wire.ava(0x0987, wire.absolute_time(at)), wire.ava(0x098F, wire.u32(relative)),
    ))  # fmt: skip


def clock(began: datetime, patient: Patient) -> Callable[[float], datetime]:
    """The monitor's local time at a second of the patient; it jumps where the scenario says so."""
    return lambda t_s: began + timedelta(seconds=t_s + patient.clock_offset_s(t_s))
