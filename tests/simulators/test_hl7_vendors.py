"""What monitors of other makers say: what is peculiar of each, and that the driver reads each value and sample."""

from __future__ import annotations

import re
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from adapters.devices.hl7_oru import Hl7Settings, read
from adapters.driver import Source
from schemas.report import Kind, Report
from simulators.hl7_vendors import NO_SAMPLE, VENDORS, WAVE_HZ, VendorMonitor
from simulators.patient import Patient
from tests.simulators.test_read_by_drivers import AT_US, MINUTE, agree, metrics

each_vendor = pytest.mark.parametrize("name", VENDORS)


def source(name: str) -> Source[Hl7Settings]:
    return Source(
        "ward",
        Hl7Settings(dialect=name),
        time_zone=ZoneInfo("Asia/Shanghai"),
        peer="here",
        received_at_us=AT_US + 50_000,
    )


def said(name: str, scenario: str, seconds: range, seed: int = 1007) -> list[tuple[float, list[Report]]]:
    """The reports of each second."""
    monitor, of = VendorMonitor(name, "bed-07", Patient(seed, scenario)), source(name)
    return [
        (t, [report for message in monitor.messages(t, AT_US + t * 1_000_000) for report in read(message.payload, of)])
        for t in seconds
    ]


@each_vendor
def test_every_value_is_read(name: str) -> None:
    monitor, of, cuffs = VendorMonitor(name, "bed-07", Patient(1007, "finger_off")), source(name), 0
    for t in MINUTE:
        for message in monitor.messages(t, AT_US + t * 1_000_000):
            found = metrics(read(message.payload, of))
            agree(found, message.sent)
            assert not any(record.code == 0 for report in found for record in report.records)
            cuffs += sum("nibp_sys" in sent.values for sent in message.sent)
    assert cuffs == 1


@pytest.mark.parametrize("name", ["mindray-egateway", "philips-pic"])
def test_an_alarm_begins_and_ends_once(name: str) -> None:
    states = [
        record.alarm.state.name
        for _, reports in said(name, "desaturation", range(0, 240, 4))
        for report in reports
        for record in report.records
        if record.alarm
    ]
    assert states[0] == "ACTIVE"
    assert states[-1] == "INACTIVE"
    assert states.count("INACTIVE") == 1


def test_efficia_tells_that_an_alarm_begins_and_never_its_end() -> None:
    alarms = [
        record.alarm
        for _, reports in said("philips-efficia", "desaturation", range(0, 240, 4))
        for report in reports
        for record in report.records
        if record.alarm
    ]
    assert [(alarm.condition, alarm.state.name) for alarm in alarms] == [("** SpO2 LOW", "ACTIVE")]


def test_the_wave_of_a_minute_is_whole() -> None:
    reports = [r for _, reports in said("mindray-egateway", "finger_off", MINUTE) for r in reports]
    waves = [record.samples for r in reports if r.kind is Kind.WAVEFORM for record in r.records if record.samples]
    assert [wave.first_sample for wave in waves] == [WAVE_HZ * second for second in MINUTE]
    patient = Patient(1007, "finger_off")
    for second, wave in zip(MINUTE, waves, strict=True):
        t = second + np.arange(WAVE_HZ) / WAVE_HZ
        raw = np.frombuffer(wave.raw, "<i2")
        if wave.invalid:
            assert wave.invalid == ((0, WAVE_HZ),)
            assert (raw == NO_SAMPLE).all()
        else:
            assert (raw == np.rint(patient.pleth(t) * 1000)).all()
    assert [second for second, wave in zip(MINUTE, waves, strict=True) if wave.invalid] == [*range(20, 35)]


def test_messages_of_nihon_kohden_count_within_a_day() -> None:
    monitor = VendorMonitor("nihon-kohden", "bed-07", Patient(1))
    ids = [message.id for t in range(3) for message in monitor.messages(t, AT_US + t * 1_000_000)]
    assert [re.sub(r"^\d{8}", "", id_) for id_ in ids] == ["000001", "000002", "000003"]


@each_vendor
def test_the_same_patient_says_the_same(name: str) -> None:
    first, second = (VendorMonitor(name, "bed-07", Patient(4)).messages(25.0, AT_US) for _ in range(2))
    assert first == second
    assert all(message.payload.isascii() for message in first)


def test_an_unknown_maker_is_refused() -> None:
    with pytest.raises(ValueError, match="ge-b40"):
        VendorMonitor("acme", "bed-07", Patient(1))
