"""What simulated oximeters say, their drivers read: values, no reading, alarms that begin and end, the pleth.

The cases: Masimo's lines and Nellcor's rows are written in the form of lines that public receivers recorded of a Rad-8,
two Radical-7 and an N-560; those of the N-200 and of Nonin's formats are put together by a script that shares nothing
with the drivers, and hold the frames that were worked out by hand (DF7: pleth 1234h; DF13: 2026-03-09, HR 72, SpO2 97).
Drivers and simulators of these families were written by the same reader of the documents.
"""

from __future__ import annotations

from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import numpy as np
import pytest

from adapters.devices.registry import DRIVER_BY_NAME
from adapters.driver import Source
from adapters.session import Moment
from schemas.report import AlarmState, Kind, Report, Validity
from simulators import masimo, nellcor, nonin_bluetooth
from simulators.oximeters import n200
from simulators.patient import Patient

AT_US = 1_790_000_000_000_000
SPO2, PULSE_RATE, PLETH = 150456, 149530, 150452
OFF = Patient(3, "finger_off")  # from 20 to 35 s
MINUTE = range(60)


def source(name: str) -> Source[Any]:
    settings = msgspec.convert({}, DRIVER_BY_NAME[name].settings)
    return Source("bed", settings, time_zone=ZoneInfo("Asia/Shanghai"), peer="here", received_at_us=AT_US)


def reports_of(name: str, stream: bytes) -> list[Report]:
    """What the driver says of the stream behind noise, of which it can make nothing."""
    driver = DRIVER_BY_NAME[name]
    at = source(name)
    assert driver.session is not None
    pieces = driver.session(at.settings).feed(stream, Moment(0, AT_US)).pieces
    assert {piece.reason for piece in pieces} == {""}
    return [report for piece in pieces for report in driver.read(piece.data, at)]


def numbers(reports: list[Report], code: int) -> list[int | None]:
    return [
        None if record.validity is Validity.NOT_AVAILABLE else record.mantissa
        for report in reports
        if report.kind is Kind.METRIC
        for record in report.records
        if record.code == code
    ]


def alarms(reports: list[Report]) -> list[tuple[str, AlarmState]]:
    found = [record.alarm for report in reports if report.kind is Kind.ALARM for record in report.records]
    return [(alarm.condition, alarm.state) for alarm in found if alarm]


def _int(text: str | None) -> int | None:
    return None if text is None else int(text)


@pytest.mark.parametrize("model", masimo.MODELS)
def test_masimo(model: str) -> None:
    device = masimo.Oximeter(OFF, model)
    reports = reports_of("masimo", b"".join(device.line(t) for t in MINUTE))
    assert numbers(reports, SPO2) == [_int(device.shown(t)["SPO2"]) for t in MINUTE]
    assert numbers(reports, PULSE_RATE) == [_int(device.shown(t)["BPM"]) for t in MINUTE]
    assert alarms(reports) == [("EXC 20", AlarmState.ACTIVE), ("EXC 20", AlarmState.INACTIVE)]
    times = [report.device_at_us for report in reports if report.kind is Kind.METRIC]
    began_us = round(device.began_at.timestamp() * 1e6) - 8 * 3_600_000_000  # its clock shows Shanghai's time
    assert times == [began_us + t * 1_000_000 for t in MINUTE]
    assert {report.claim for report in reports} == {"bed/SN=0000000003"}


def test_nellcor_rows() -> None:
    device = nellcor.N595(OFF)
    rows = range(30)
    reports = reports_of("nellcor_n595", b"".join(device.row(number) for number in rows))
    assert numbers(reports, SPO2) == [nellcor.shown(OFF, 2.0 * number)["spo2"] for number in rows]
    assert numbers(reports, PULSE_RATE) == [nellcor.shown(OFF, 2.0 * number)["rate"] for number in rows]
    assert alarms(reports) == [("SO", AlarmState.ACTIVE), ("SO", AlarmState.INACTIVE)]
    assert [report.kind for report in reports].count(Kind.SETTING) == 2  # limits and modes, once each


def test_a_nellcor_alarm_has_the_limits_of_the_heading() -> None:
    device = nellcor.N595(Patient(7, "desaturation"))
    reports = reports_of("nellcor_n595", b"".join(device.row(number) for number in range(120)))
    found = [record.alarm for report in reports if report.kind is Kind.ALARM for record in report.records]
    low = [alarm for alarm in found if alarm and alarm.condition == "SL"]
    assert [alarm.state for alarm in low] == [AlarmState.ACTIVE, AlarmState.INACTIVE]
    assert {(alarm.low, alarm.high) for alarm in low} == {((90, 0), (100, 0))}


@pytest.mark.parametrize("is_up", [True, False])
def test_nellcor_n200(is_up: bool) -> None:
    device = nellcor.N200(Patient(7, "desaturation"), is_up)
    packets = [device.packet(float(t)) for t in range(0, 240, 10)]
    reports = reports_of("nellcor_n200", b"".join(packets) + device.packet(240.0))
    shown = [nellcor.shown(device.patient, float(t)) for t in range(0, 250, 10)]
    assert numbers(reports, SPO2) == [each["spo2"] for each in shown]
    assert numbers(reports, PULSE_RATE) == [each["rate"] for each in shown]
    assert alarms(reports) == [("low saturation", AlarmState.ACTIVE), ("low saturation", AlarmState.INACTIVE)]


def test_an_n200_without_a_pulse_has_no_reading() -> None:
    packets = [(due_s, packet) for due_s, packet in zip_until(n200(OFF), 60)]
    reports = reports_of("nellcor_n200", b"".join(packet for _, packet in packets))
    assert numbers(reports, SPO2) == [nellcor.shown(OFF, due_s)["spo2"] for due_s, _ in packets]
    assert None in numbers(reports, SPO2)


def zip_until(utterances: Any, end_s: float) -> list[tuple[float, bytes]]:
    found = []
    for due_s, data in utterances:
        if due_s > end_s:
            break
        found.append((due_s, data))
    return found


def test_nonin_format_7() -> None:
    stream = b"".join(nonin_bluetooth.df7_packet(OFF, number) for number in range(180))
    reports = reports_of("nonin_df7", stream)
    assert numbers(reports, SPO2) == [nonin_bluetooth.shown(OFF, t)["SPO2"] for t in MINUTE]
    assert numbers(reports, PULSE_RATE) == [nonin_bluetooth.shown(OFF, t)["HR"] for t in MINUTE]
    assert alarms(reports) == [("SNSA", AlarmState.ACTIVE), ("SNSA", AlarmState.INACTIVE)]
    found = [r.samples for report in reports if report.kind is Kind.WAVEFORM for r in report.records if r.samples]
    wave = np.concatenate(
        [np.frombuffer(samples.raw, "<i2").astype(int) + samples.offset_mantissa for samples in found]
    )
    expected = np.concatenate([nonin_bluetooth.pleth(OFF, number) for number in range(180)])
    assert wave.tolist() == expected.tolist()
    assert [samples.first_sample for samples in found] == list(range(0, 60 * 75, 75))
    assert sum(end - begin for samples in found for begin, end in samples.invalid) == 15 * 75


def test_nonin_format_13() -> None:
    device = nonin_bluetooth.SpotCheck(OFF)
    times = [0.0, 25.0, 50.0]
    reports = reports_of("nonin_df13", b"".join(device.message(t) for t in times))
    assert numbers(reports, SPO2) == [nonin_bluetooth.shown(OFF, t)["SPO2"] for t in times]
    began_us = round(device.began_at.timestamp() * 1e6) - 8 * 3_600_000_000
    assert [report.device_at_us for report in reports] == [began_us + round(t * 1e6) for t in times]
    assert all(report.own_time for report in reports)
