"""F12 at the bedside: monitors whose clocks are off, were never set, or live through the end of summer time.

Each driver reads what its simulated device, or a message from the guide's drawing, says; `DeviceClocks` corrects it.
"""

from __future__ import annotations

import calendar
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from adapters.devices import datex_dri, intellivue, medibus
from adapters.driver import DeviceDriver, Source
from adapters.session import Moment
from edge_agent.device_clock import DeviceClocks
from schemas.filed_at import filed_at_us
from schemas.report import ClockQuality, Report
from simulators.datex_dri import Monitor
from simulators.medibus_frames import clock_text, response
from simulators.patient import Patient
from tests.adapters.intellivue_bytes import mds_create, number, poll_result, real, u32

BEGAN = datetime(2026, 9, 21, 14, 0, tzinfo=UTC)
SETTLED_S = 180.0  # from the beginning: three answers to a question a minute
DURATION_S = 600.0
BERLIN = ZoneInfo("Europe/Berlin")
Shown = Callable[[float], datetime]  # what the device's clock shows, by the true seconds since the beginning
Frames = Iterator[tuple[float, bytes]]


def datex_frames(shown: Shown, duration_s: float) -> Frames:
    """A value every five seconds."""
    monitor = Monitor(Patient(1))
    session = datex_dri.DRIVER.session
    assert session is not None
    monitor.hear(session(datex_dri.DatexDriSettings(waves=(), alarms=False)).opened(Moment(0, 0)).send, 0.0)
    for t_s in range(int(duration_s)):
        monitor.began_s = calendar.timegm(shown(t_s).timetuple()) - t_s
        for frame in monitor.speak(float(t_s)):
            yield float(t_s), frame[1:-1]


def medibus_frames(shown: Shown, duration_s: float) -> Frames:
    """The answer to a question a minute."""
    for t_s in range(0, int(duration_s), 60):
        yield float(t_s), response(0x28, clock_text(shown(t_s)))


def intellivue_frames(shown: Shown, duration_s: float) -> Frames:
    """A pulse rate every five seconds, by ticks; the local time beside them each minute."""

    def local(t_s: float) -> bytes:
        return bytes.fromhex(f"{shown(t_s):%Y%m%d%H%M%S}00")

    yield 0.0, mds_create({0x0987: local(0.0), 0x098F: u32(0)}, ticks=0)
    for t_s in range(5, int(duration_s), 5):
        ticks = t_s * 8000
        if t_s % 60 == 0:
            yield float(t_s), poll_result(0x36, {}, absolute=local(t_s), ticks=ticks)
        pulse = {1: {0x0950: number(0x4182, real(60), 0x0AA0)}}
        yield float(t_s), poll_result(6, pulse, sequence=1, ticks=ticks)


class Device(NamedTuple):
    """A driver, its settings, and a device with a clock."""

    driver: DeviceDriver[Any]
    settings: Any
    frames: Callable[[Shown, float], Frames]


DEVICES = {
    "datex_dri": Device(
        datex_dri.DRIVER, datex_dri.DatexDriSettings(clock="local", waves=(), alarms=False), datex_frames
    ),
    "medibus": Device(medibus.DRIVER, medibus.MedibusSettings(), medibus_frames),
    "intellivue": Device(intellivue.LAN, intellivue.IntellivueSettings(), intellivue_frames),
}
each_device = pytest.mark.parametrize("device", DEVICES.values(), ids=DEVICES.keys())


class Said(NamedTuple):
    """A report as it was kept, when it was said by the edge's clock, and the codes of its events."""

    t_s: float
    report: Report


def through(
    device: Device, shown: Shown, *, zone: ZoneInfo, began: datetime = BEGAN, duration_s: float = DURATION_S,
    max_delay_s: float | None = 1.0,
) -> tuple[list[Said], Counter[str], list[str]]:  # fmt: skip
    """What is kept of a device whose clock shows this; the events' codes, and their words."""
    source = Source[Any]("bed", device.settings, time_zone=zone, peer="10.0.0.7")
    clocks = DeviceClocks(max_delay_s, 60.0)
    said: list[Said] = []
    codes: Counter[str] = Counter()
    words: list[str] = []
    began_us = int(began.timestamp()) * 1_000_000
    for count, (t_s, frame) in enumerate(device.frames(shown, duration_s)):
        source.received_at_us = began_us + round((t_s + 0.1 + count % 5 / 10) * 1e6)
        reports, events = clocks.correct(device.driver.read(frame, source), source.received_at_us)
        said += [Said(t_s, report) for report in reports]
        for event in events:
            assert event.records[0].as_sent is not None
            codes[event.records[0].as_sent.code] += 1
            words.append(str(event.records[0].text))
    return said, codes, words


def ahead_by(offset: timedelta) -> Shown:
    return lambda t_s: (BEGAN + timedelta(seconds=t_s) + offset).replace(tzinfo=None)


def filed_us(report: Report) -> int:
    """Where the store files it."""
    return int(filed_at_us(np.array([report.observed_at_us]), np.array([report.received_at_us]))[0])


IN_2099 = datetime(2099, 1, 1, tzinfo=UTC) - BEGAN


@each_device
@pytest.mark.parametrize("offset", [timedelta(minutes=5), timedelta(hours=-1), IN_2099], ids=["5 min", "-1 h", "2099"])
def test_a_clock_that_is_off_is_corrected_and_both_times_are_kept(device: Device, offset: timedelta) -> None:
    offset_us = offset // timedelta(microseconds=1)
    said, codes, _ = through(device, ahead_by(offset), zone=ZoneInfo("UTC"))
    timed = [each for each in said if each.report.device_at_us is not None]
    assert len(timed) >= DURATION_S / 60
    corrected = 0
    for t_s, report in timed:
        assert report.clock_quality is ClockQuality.DEVICE
        assert report.device_at_us is not None
        true_us = report.device_at_us - offset_us
        assert abs(true_us - report.received_at_us) < 5_000_000  # what the device said is kept as it was
        if t_s >= SETTLED_S:
            corrected += 1
            assert abs(report.observed_at_us - true_us) <= report.uncertainty_ms * 1000 <= 3_000_000
    assert corrected
    assert codes["device-clock-off"] == 1
    assert codes["device-clock-step"] == codes["device-clock-unset"] == 0


@each_device
def test_an_absurd_time_is_filed_under_its_receipt(device: Device) -> None:
    said, _, _ = through(device, ahead_by(IN_2099), zone=ZoneInfo("UTC"), max_delay_s=None)
    timed = [each.report for each in said if each.report.device_at_us is not None]
    assert timed
    for report in timed:
        assert report.observed_at_us == report.device_at_us
        assert filed_us(report) == report.received_at_us


@each_device
def test_a_clock_that_was_never_set_is_told_and_what_it_says_is_noted(device: Device) -> None:
    def shown(t_s: float) -> datetime:
        return datetime(1970, 1, 1) + timedelta(seconds=t_s + 1)  # noqa: DTZ001 - a clock shows no zone

    said, codes, _ = through(device, shown, zone=ZoneInfo("UTC"))
    if device.driver.name == "medibus":  # its years have two digits: 70 is 2070
        assert codes["device-clock-off"] == 1
        return
    doubtful = [each.report for each in said if each.report.clock_quality is ClockQuality.DOUBTFUL]
    assert doubtful
    for report in doubtful:
        assert report.observed_at_us == report.received_at_us
        assert not report.own_time
    assert any(report.device_at_us is not None and report.device_at_us < 10**9 for report in doubtful)  # both times
    notes = [record.note or "" for report in doubtful for record in report.records]
    assert any("19700101" in note for note in notes)
    assert codes == {"device-clock-unset": 1}


def following(began: datetime) -> Shown:
    """A clock that changes when the zone does."""
    return lambda t_s: (began + timedelta(seconds=t_s)).astimezone(BERLIN).replace(tzinfo=None)


@each_device
@pytest.mark.parametrize(
    "began", [datetime(2026, 10, 24, 23, 50, tzinfo=UTC), datetime(2026, 3, 29, 0, 30, tzinfo=UTC)]
)
def test_a_clock_that_follows_summer_time_is_no_step(device: Device, began: datetime) -> None:
    said, codes, _ = through(device, following(began), zone=BERLIN, began=began, duration_s=8400.0)
    uncertain = 0
    for t_s, report in said:
        if report.device_at_us is None or t_s < SETTLED_S:
            continue
        true_us = int((began + timedelta(seconds=t_s)).timestamp()) * 1_000_000
        assert abs(report.observed_at_us - true_us) <= report.uncertainty_ms * 1000 + 5_000_000
        uncertain += report.uncertainty_ms >= 3_600_000
    assert (uncertain > 0) == (began.month == 10)  # the hour that comes twice
    assert codes["device-clock-step"] == codes["device-clock-off"] == 0


@each_device
def test_a_clock_that_somebody_sets_for_summer_time_is_told(device: Device) -> None:
    began = datetime(2026, 3, 29, 2, 0, tzinfo=UTC)  # summer time since an hour; its clock still shows winter's

    def shown(t_s: float) -> datetime:
        behind = timedelta(hours=1 if t_s < 900 else 0)
        return following(began)(t_s) - behind

    said, codes, words = through(device, shown, zone=BERLIN, began=began, duration_s=1800.0)
    assert codes["device-clock-off"] == codes["device-clock-step"] == codes["device-clock-right"] == 1
    assert any(text.startswith("its clock was set forward by") and text.endswith(": summer time?") for text in words)
    for t_s, report in said:
        if report.device_at_us is not None and t_s >= SETTLED_S:
            true_us = int((began + timedelta(seconds=t_s)).timestamp()) * 1_000_000
            assert abs(report.observed_at_us - true_us) <= report.uncertainty_ms * 1000 + 5_000_000
