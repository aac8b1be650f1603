"""What simulated oximeters say, their drivers read: values, no reading, alarms that begin and end, the pleth.

The cases: Masimo's lines and Nellcor's rows are written in the form of lines that public receivers recorded of a Rad-8,
two Radical-7 and an N-560; those of the N-200 and of Nonin's formats are put together by a script that shares nothing
with the drivers, and hold the frames that were worked out by hand (DF7: pleth 1234h; DF13: 2026-03-09, HR 72, SpO2 97).
The simulators were written from the facts alone, by somebody who had not read the drivers.
"""

from __future__ import annotations

from decimal import Decimal
from itertools import takewhile
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import numpy as np
import pytest

from adapters.devices.registry import DRIVER_BY_NAME
from adapters.driver import Source
from adapters.session import Moment
from schemas.errors import FrameError
from schemas.report import AlarmState, Kind, RecordKind, Report, Validity
from simulators import masimo, nellcor, nonin_bluetooth
from simulators.faults import FAULTS, FaultyWire
from simulators.patient import Patient
from simulators.sensor import Span

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


def validities(reports: list[Report]) -> list[Validity]:
    return [record.validity for report in reports if report.kind is Kind.METRIC for record in report.records]


def changes(reports: list[Report], condition: str) -> list[tuple[int, AlarmState]]:
    """At which reading a condition began and ended."""
    found, readings = [], -1
    for report in reports:
        readings += report.kind is Kind.METRIC
        for record in report.records:
            if record.alarm and record.alarm.condition == condition:
                found.append((readings, record.alarm.state))
    return found


def words(reports: list[Report], code: str) -> list[str]:
    """Texts that the device has, by its own name of them."""
    return [
        record.text
        for report in reports
        for record in report.records
        if record.kind is RecordKind.TEXT and record.as_sent and record.as_sent.code == code
        if isinstance(record.text, str)
    ]


def begins_and_ends(first: int, behind: int) -> list[tuple[int, AlarmState]]:
    return [(first, AlarmState.ACTIVE), (behind, AlarmState.INACTIVE)]


def by_name(report: Report) -> dict[str, str | None]:
    """Every value of a report, exactly, by the device's own name or that of its channel."""
    names = {SPO2: "SPO2", PULSE_RATE: "BPM", 150488: "PI"}
    return {
        record.as_sent.code if record.as_sent else names[record.code]: None
        if record.validity is Validity.NOT_AVAILABLE
        else str(Decimal(record.mantissa).scaleb(record.exponent))
        for record in report.records
    }


@pytest.mark.parametrize("model", masimo.MODELS)
def test_masimo(model: str) -> None:
    device = masimo.Oximeter(OFF, model)
    reports = reports_of("masimo", b"".join(device.line(t) for t in MINUTE))
    readings = [report for report in reports if report.kind is Kind.METRIC]
    for t, report in zip(MINUTE, readings, strict=True):
        shown = {key: None if text is None else str(Decimal(text)) for key, text in device.shown(t).items()}
        assert by_name(report) == shown
    assert changes(reports, "EXC 20") == begins_and_ends(20, 35)
    assert changes(reports, "EXC 8") == begins_and_ends(35, 39)
    assert len(alarms(reports)) == 4
    began_us = round(device.began_at.timestamp() * 1e6) - 8 * 3_600_000_000  # its clock shows Shanghai's time
    assert [report.device_at_us for report in readings] == [began_us + t * 1_000_000 for t in MINUTE]
    assert {report.claim for report in reports} == {"bed/SN=0000000003"}


@pytest.mark.parametrize(("name", "bit"), masimo.EXCEPTIONS.items())
def test_each_exception_of_a_masimo_begins_and_ends(name: str, bit: int) -> None:
    device = masimo.Oximeter(Patient(3), script=[Span(name, 5, 10)])
    reports = reports_of("masimo", b"".join(device.line(t) for t in range(15)))
    assert changes(reports, f"EXC {bit:X}") == begins_and_ends(5, 10)
    assert len(alarms(reports)) == 2
    spo2 = numbers(reports, SPO2)
    assert [value is None for value in spo2] == [name in masimo.WITHOUT_READING and 5 <= t < 10 for t in range(15)]
    within = [report for report in reports if report.kind is Kind.METRIC][7]
    assert within.records[0].validity is (
        Validity.NOT_AVAILABLE if name in masimo.WITHOUT_READING else Validity.QUESTIONABLE
    )


def test_the_bits_of_a_masimo_alarm_are_alarms() -> None:
    lines = [masimo.Oximeter(Patient(3), alarm_bits=bits).line(t) for t, bits in enumerate((0, 0x8001, 0x8000, 0))]
    reports = reports_of("masimo", b"".join(lines))
    assert changes(reports, "ALARM 1") == begins_and_ends(1, 2)
    assert changes(reports, "ALARM 8000") == begins_and_ends(1, 3)


@pytest.mark.parametrize("model", nellcor.MODELS)
def test_nellcor_rows(model: str) -> None:
    device = nellcor.N595(OFF, model)
    rows = range(60)
    reports = reports_of("nellcor_n595", b"".join(device.row(number) for number in rows))
    assert numbers(reports, SPO2) == [device.shown(number)["spo2"] for number in rows]
    assert numbers(reports, PULSE_RATE) == [device.shown(number)["rate"] for number in rows]
    amplitudes = [by_name(report)["PA"] for report in reports if report.kind is Kind.METRIC]
    shown = [device.shown(number)["amplitude"] for number in rows]
    assert amplitudes == [None if value is None else str(value) for value in shown]
    assert changes(reports, "SO") == [*begins_and_ends(10, 18), *begins_and_ends(40, 48)]
    assert len(alarms(reports)) == 4
    assert words(reports, "status") == ["pulse search", "none", "pulse search", "none"]
    has_modes = model == "N-595"
    assert [report.kind for report in reports].count(Kind.SETTING) == 1 + has_modes  # limits and modes, once each
    began_us = round(device.began_at.timestamp() * 1e6) - 8 * 3_600_000_000
    times = [report.device_at_us for report in reports if report.kind is Kind.METRIC]
    assert times == [began_us + number * 2_000_000 for number in rows]


@pytest.mark.parametrize("code", nellcor.CODES)
def test_each_status_of_a_nellcor_begins_and_ends(code: str) -> None:
    device = nellcor.N595(Patient(3), script=[Span(code, 10, 20)])  # s: rows 5 to 9
    reports = reports_of("nellcor_n595", b"".join(device.row(number) for number in range(12)))
    assert numbers(reports, SPO2) == [device.shown(number)["spo2"] for number in range(12)]
    is_alarm = code not in ("AO", "AS", "BU", "MO", "PS")
    assert changes(reports, code) == (begins_and_ends(5, 10) if is_alarm else [])
    assert len(words(reports, "status")) == (0 if is_alarm else 2)
    within = {Validity.NOT_AVAILABLE} if device.shown(5)["spo2"] is None else {Validity.VALID}
    if code in ("MO", "LM"):
        within = {Validity.QUESTIONABLE}
    assert set(validities(reports)[15:30]) == within


def test_a_nellcor_alarm_has_the_limits_of_the_heading() -> None:
    limits = {60: nellcor.Limits(spo2_low=93), 61: nellcor.Limits(spo2_low=85)}
    device = nellcor.N595(Patient(7, "desaturation"), limits_from=limits)
    reports = reports_of("nellcor_n595", b"".join(device.row(number) for number in range(120)))
    found = [record.alarm for report in reports if report.kind is Kind.ALARM for record in report.records]
    low = [alarm for alarm in found if alarm and alarm.condition == "SL"]
    assert low[0].state is AlarmState.ACTIVE
    assert (low[0].low, low[0].high) == ((90, 0), (100, 0))
    in_alarm = [number for number in range(120) if "SL" in device.codes(number)]
    runs = [number for number in in_alarm if number - 1 not in in_alarm]
    assert [at for at, state in changes(reports, "SL") if state is AlarmState.INACTIVE] == [
        number + 1 for number in in_alarm if number + 1 not in in_alarm
    ]
    assert {at for at, state in changes(reports, "SL") if state is AlarmState.ACTIVE} >= set(runs)
    assert (93, 0) in [alarm.low for alarm in low]


@pytest.mark.parametrize("is_up", [True, False])
def test_nellcor_n200(is_up: bool) -> None:
    device = nellcor.N200(Patient(7, "desaturation"), is_up)
    packets = list(takewhile(lambda packet: packet[0] <= 250, device.packets()))
    reports = reports_of("nellcor_n200", b"".join(data for _, data in packets) + b"\x02")
    shown = [nellcor.shown(device.patient, second) for second, _ in packets]
    assert numbers(reports, SPO2) == [each["spo2"] for each in shown]
    assert numbers(reports, PULSE_RATE) == [each["rate"] for each in shown]
    low = [place for place, (second, _) in enumerate(packets) if device.alarms(second) == 4]
    assert {device.alarms(second) for second, _ in packets} == {0, 4}
    assert changes(reports, "low saturation") == begins_and_ends(low[0], low[-1] + 1)


@pytest.mark.parametrize(
    ("condition", "limits"),
    [
        ("high rate", nellcor.Limits(rate_high=40)),
        ("low rate", nellcor.Limits(rate_low=180)),
        ("low saturation", nellcor.Limits(spo2_low=101)),
        ("high saturation", nellcor.Limits(spo2_high=80)),
    ],
)
def test_each_alarm_of_an_n200_begins_and_ends(condition: str, limits: nellcor.Limits) -> None:
    device = nellcor.N200(Patient(3), limits_from={15.0: limits, 35.0: nellcor.Limits()})
    packets = list(takewhile(lambda packet: packet[0] <= 60, device.packets()))
    reports = reports_of("nellcor_n200", b"".join(data for _, data in packets))
    assert [second for second, _ in packets][:6] == [0, 10, 15, 20, 30, 35]
    assert changes(reports, condition) == begins_and_ends(2, 5)
    assert len(alarms(reports)) == 2
    has_its_limit_told = condition != "high saturation"
    assert [report.kind for report in reports].count(Kind.SETTING) == (3 if has_its_limit_told else 1)


def test_an_n200_without_a_pulse_has_no_reading() -> None:
    device = nellcor.N200(OFF)
    packets = list(takewhile(lambda packet: packet[0] <= 60, device.packets()))
    reports = reports_of("nellcor_n200", b"".join(packet for _, packet in packets))
    assert numbers(reports, SPO2) == [nellcor.shown(OFF, due_s)["spo2"] for due_s, _ in packets]
    assert None in numbers(reports, SPO2)
    assert words(reports, "status") == [
        "pulse locked, sensor attached, audio on",
        "pulse search, no sensor, audio on",
        "pulse search, sensor attached, audio on",
        "pulse locked, sensor attached, audio on",
    ]


def test_nonin_format_7() -> None:
    stream = b"".join(nonin_bluetooth.df7_packet(OFF, number) for number in range(180))
    reports = reports_of("nonin_df7", stream)
    assert numbers(reports, SPO2) == [nonin_bluetooth.shown(OFF, t)["SPO2"] for t in MINUTE]
    assert numbers(reports, PULSE_RATE) == [nonin_bluetooth.shown(OFF, t)["HR"] for t in MINUTE]
    assert changes(reports, "SNSA") == begins_and_ends(20, 35)
    assert len(alarms(reports)) == 2
    assert words(reports, "firmware") == [str(nonin_bluetooth.FIRMWARE)]
    found = [r.samples for report in reports if report.kind is Kind.WAVEFORM for r in report.records if r.samples]
    wave = np.concatenate(
        [np.frombuffer(samples.raw, "<i2").astype(int) + samples.offset_mantissa for samples in found]
    )
    expected = np.concatenate([nonin_bluetooth.pleth(OFF, number) for number in range(180)])
    assert wave.tolist() == expected.tolist()
    assert [samples.first_sample for samples in found] == list(range(0, 60 * 75, 75))
    assert sum(end - begin for samples in found for begin, end in samples.invalid) == 15 * 75


def test_what_format_7_says_of_its_quality() -> None:
    script = [Span("artifact", 2, 3), Span("out of track", 4, 5), Span("red", 6, 8), Span("yellow", 9, 11)]
    script.append(Span("low battery", 12, 14))
    stream = b"".join(nonin_bluetooth.df7_packet(Patient(3), number, script) for number in range(45))
    reports = reports_of("nonin_df7", stream)
    spo2 = [report.records[0].validity for report in reports if report.kind is Kind.METRIC]
    doubtful = [t for t, validity in enumerate(spo2) if validity is Validity.QUESTIONABLE]
    assert doubtful == [2, 4, 6, 7]
    assert set(spo2) == {Validity.VALID, Validity.QUESTIONABLE}
    assert changes(reports, "low battery") == begins_and_ends(12, 14)


def test_nonin_format_13() -> None:
    device = nonin_bluetooth.SpotCheck(OFF, stored=(86400.0, 3600.0), is_battery_low=True, further=b"\x03\x00")
    messages = list(takewhile(lambda message: message[0] < 60, device.messages()))
    reports = reports_of("nonin_df13", b"".join(message for _, message in messages))
    times = [-86400.0, -3600.0, *(due_s for due_s, _ in messages[2:])]
    assert numbers(reports, SPO2) == [nonin_bluetooth.shown(OFF, t)["SPO2"] for t in times]
    assert numbers(reports, PULSE_RATE) == [nonin_bluetooth.shown(OFF, t)["HR"] for t in times]
    readings = [report for report in reports if report.kind is Kind.METRIC]
    began_us = round(device.began_at.timestamp() * 1e6) - 8 * 3_600_000_000
    assert [report.device_at_us for report in readings] == [began_us + round(t * 1e6) for t in times]
    assert words(reports, "status") == ["from memory", "from memory"]
    assert changes(reports, "low battery") == [(2, AlarmState.ACTIVE)]
    assert all(report.own_time for report in readings)


def test_a_measurement_that_failed_has_no_reading() -> None:
    device = nonin_bluetooth.SpotCheck(OFF)
    reports = reports_of("nonin_df13", b"".join(device.message(t) for t in (0.0, 25.0, 50.0)))
    assert [value is None for value in numbers(reports, SPO2)] == [False, True, False]
    assert [value is None for value in numbers(reports, PULSE_RATE)] == [False, True, False]


DF13_DEVICE = nonin_bluetooth.SpotCheck(OFF)
PIECES = {
    "masimo": [masimo.Oximeter(OFF).line(t) for t in MINUTE],
    "nellcor_n595": [nellcor.N595(OFF).row(number) for number in MINUTE],
    "nellcor_n200": [nellcor.N200(OFF).packet(t * 10.0) for t in MINUTE],
    "nonin_df7": [nonin_bluetooth.df7_packet(OFF, number) for number in range(180)],
    "nonin_df13": [DF13_DEVICE.message(float(t)) for t in MINUTE],
}


def heard(name: str, stream: bytes, chunk_bytes: int) -> tuple[list[Report], int]:
    """What is read of a stream that comes in chunks, and how many pieces of it were refused."""
    driver, at = DRIVER_BY_NAME[name], source(name)
    assert driver.session is not None
    session = driver.session(at.settings)
    chunks = [stream[start : start + chunk_bytes] for start in range(0, len(stream), chunk_bytes)]
    steps = [session.feed(chunk, Moment(0, AT_US)) for chunk in chunks]
    reports: list[Report] = []
    refused = 0
    for piece in (piece for step in (*steps, session.closed(True, Moment(0, AT_US))) for piece in step.pieces):
        try:
            reports += () if piece.reason else driver.read(piece.data, at)
        except FrameError:
            refused += 1
        refused += bool(piece.reason)
    return reports, refused


@pytest.mark.parametrize("name", PIECES)
@pytest.mark.parametrize("chunk_bytes", [1, 7, 4096])
def test_chunks_change_nothing(name: str, chunk_bytes: int) -> None:
    stream = b"".join(PIECES[name])
    assert heard(name, stream, chunk_bytes) == heard(name, stream, len(stream))
    assert heard(name, stream, chunk_bytes)[1] == 0


@pytest.mark.parametrize("name", PIECES)
@pytest.mark.parametrize("fault", FAULTS)
def test_a_faulty_line_costs_what_is_faulty(name: str, fault: str) -> None:
    wire = FaultyWire([fault], 0.15, 5)
    spoilt = [wire.spoilt(piece) for piece in PIECES[name]]
    stream = b"".join(piece if bad is None else bad for piece, bad in zip(PIECES[name], spoilt, strict=True))
    reports, refused = heard(name, stream, 64)
    true_readings = [by_name(report) for report in heard(name, b"".join(PIECES[name]), 64)[0] if is_reading(report)]
    readings = [by_name(report) for report in reports if is_reading(report)]
    # No checksum guards Masimo's lines and Nellcor's rows and packets: what a burst changes into digits is read so.
    wrong = [reading for reading in readings if reading not in true_readings]
    assert len(wrong) <= (spoilt_count(spoilt) if fault == "burst" and not name.startswith("nonin") else 0)
    pieces_of_a_reading = 3 if name == "nonin_df7" else 1
    assert len(readings) >= len(true_readings) - 2 * spoilt_count(spoilt)
    assert len(PIECES[name]) // pieces_of_a_reading == len(true_readings)
    assert refused or fault == "burst"


def spoilt_count(spoilt: list[bytes | None]) -> int:
    return len(spoilt) - spoilt.count(None)


def is_reading(report: Report) -> bool:
    return report.kind is Kind.METRIC
