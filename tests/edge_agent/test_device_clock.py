"""Clocks that are off, drift and are set, behind links that delay and queue: what is stated must hold."""

from __future__ import annotations

import pytest

from edge_agent.device_clock import DeviceClock, DeviceClocks, offset_words, step_words
from schemas.report import ClockQuality, Kind, Lane, Record, Report
from simulators.clocks import BEGAN_US, SECOND_US, DeviceWithClock

MINUTE_US, HOUR_US = 60_000_000, 3_600_000_000
CLAIM = "site:acme:7"


def report(device_at_us: int, received_at_us: int, open_us: int = SECOND_US, kind: Kind = Kind.METRIC) -> Report:
    return Report(
        kind, CLAIM, device_at_us, received_at_us, ClockQuality.DEVICE, (Record(150456, 262688, mantissa=97),),
        device_at_us, open_us // 1000, own_time=True,
    )  # fmt: skip


def heard(clocks: DeviceClocks, device_at_us: int, received_at_us: int) -> tuple[Report, list[str]]:
    """The report as corrected, and the events that came with it."""
    reports, events = clocks.correct([report(device_at_us, received_at_us)], received_at_us)
    return reports[0], [said.records[0].as_sent.code for said in events if said.records[0].as_sent]


@pytest.mark.parametrize("offset_s", [0, 182.4, -3600, 0.3, -20 * 365 * 86400])
@pytest.mark.parametrize("drift_ppm", [0, 60, -60])
def test_the_true_moment_is_within_what_is_stated(offset_s: float, drift_ppm: float) -> None:
    device = DeviceWithClock(int(offset_s * SECOND_US), drift_ppm)
    clocks = DeviceClocks(max_delay_s=1.0, limit_s=60.0)
    largest_ms = 0
    for true_us, device_at_us, received_at_us in device.frames(0, 2 * 3600):
        corrected, _ = heard(clocks, device_at_us, received_at_us)
        if received_at_us - BEGAN_US < 2 * MINUTE_US:
            continue
        assert abs(corrected.observed_at_us - true_us) <= corrected.uncertainty_ms * 1000
        assert corrected.device_at_us == device_at_us
        largest_ms = max(largest_ms, corrected.uncertainty_ms)
    assert largest_ms <= 2000


def test_each_moment_of_troubled_hours_is_within_what_is_stated() -> None:
    """Of a thousand hours: `python -m benchmarks device_clock_right_share`."""
    for seed in range(12):
        device, clock = DeviceWithClock.of_seed(seed), DeviceClock(max_delay_s=1.0)
        for hour in range(2):
            for true_us, device_at_us, received_at_us in device.troubled_hour(hour):
                clock.hear(device_at_us, received_at_us, device.open_us)
                corrected = clock.correct(device_at_us, received_at_us, device.open_us)
                if corrected is not None:
                    assert abs(corrected.observed_at_us - true_us) <= corrected.uncertainty_us


def test_without_a_declared_delay_nothing_is_corrected() -> None:
    clocks = DeviceClocks(max_delay_s=None, limit_s=60.0)
    device = DeviceWithClock(182 * SECOND_US)
    said = []
    for _, device_at_us, received_at_us in device.frames(0, 300):
        corrected, events = heard(clocks, device_at_us, received_at_us)
        assert corrected.observed_at_us == device_at_us
        said += events
    assert said == ["device-clock-off"]  # ahead by more than its limit, whatever the delay
    assert list(clocks.offsets_us()) == [CLAIM]


@pytest.mark.parametrize("step_s", [3600, -3600, 45, -45])
def test_a_clock_that_is_set_is_an_event_once(step_s: int) -> None:
    device, clocks = DeviceWithClock(5 * SECOND_US), DeviceClocks(max_delay_s=1.0, limit_s=600.0)
    said = []
    for begin_s in (0, 600):
        for true_us, device_at_us, received_at_us in device.frames(begin_s, begin_s + 600):
            corrected, events = heard(clocks, device_at_us, received_at_us)
            said += events
            if received_at_us - BEGAN_US > 2 * MINUTE_US:
                assert abs(corrected.observed_at_us - true_us) <= corrected.uncertainty_ms * 1000
        device.offset_us += step_s * SECOND_US
    assert [code for code in said if code == "device-clock-step"] == ["device-clock-step"]


def test_a_queue_that_is_emptied_is_no_step() -> None:
    device, clocks = DeviceWithClock(), DeviceClocks(max_delay_s=1.0, limit_s=60.0)
    said = []
    for _, device_at_us, received_at_us in device.frames(0, 1200):
        if BEGAN_US + 600 * SECOND_US < received_at_us < BEGAN_US + 900 * SECOND_US:
            received_at_us = BEGAN_US + 900 * SECOND_US
        _, events = heard(clocks, device_at_us, received_at_us)
        said += events
    assert said == []


def test_a_queue_at_the_beginning_is_no_clock_that_is_slow() -> None:
    device, clocks = DeviceWithClock(), DeviceClocks(max_delay_s=1.0, limit_s=60.0)
    for true_us, device_at_us, received_at_us in device.frames(0, 1200):
        late_us = max(received_at_us, BEGAN_US + 600 * SECOND_US + (received_at_us - BEGAN_US) // 20)
        corrected, events = heard(clocks, device_at_us, late_us)
        assert events == []
        if late_us == received_at_us and true_us > BEGAN_US + 800 * SECOND_US:
            assert abs(corrected.observed_at_us - true_us) <= corrected.uncertainty_ms * 1000


def test_a_clock_that_was_never_set_is_said_once() -> None:
    device, clocks = DeviceWithClock(-BEGAN_US), DeviceClocks(max_delay_s=1.0, limit_s=60.0)
    said = []
    for _, device_at_us, received_at_us in device.frames(0, 120):
        said += heard(clocks, device_at_us, received_at_us)[1]
    assert said == ["device-clock-unset", "device-clock-off"]


def test_a_clock_that_lost_its_time_is_told_once_until_it_is_set() -> None:
    clocks = DeviceClocks(max_delay_s=1.0, limit_s=60.0)
    reset = Report(Kind.METRIC, CLAIM, BEGAN_US, BEGAN_US, ClockQuality.DOUBTFUL, (), 12_000_000)
    right = Report(Kind.METRIC, CLAIM, BEGAN_US, BEGAN_US, ClockQuality.DEVICE, (), BEGAN_US)
    told = [clocks.correct([report], BEGAN_US)[1] for report in (reset, reset, right, reset)]
    assert [len(events) for events in told] == [1, 0, 0, 1]
    assert clocks.correct([reset], BEGAN_US)[0] == [reset]  # it stays where it was received


def test_corrected_moments_of_a_device_keep_their_order() -> None:
    device, clocks = (
        DeviceWithClock(30 * SECOND_US, drift_ppm=80, open_us=0),
        DeviceClocks(max_delay_s=1.0, limit_s=60.0),
    )
    before_us = 0
    for true_us, device_at_us, received_at_us in device.frames(0, 3 * 3600):
        corrected, _ = heard(clocks, device_at_us, received_at_us)
        if true_us - BEGAN_US > 2 * MINUTE_US:
            assert corrected.observed_at_us > before_us
            before_us = corrected.observed_at_us


def test_what_has_no_time_or_comes_from_the_admission_office_stays_as_it_is() -> None:
    clocks = DeviceClocks(max_delay_s=1.0, limit_s=60.0)
    plain = Report(Kind.METRIC, CLAIM, BEGAN_US, BEGAN_US, ClockQuality.RECEIVED, ())
    adt = Report(Kind.CONTEXT, CLAIM, 5, BEGAN_US, ClockQuality.DEVICE, (), 5, lane=Lane.ADT)
    for _ in range(200):
        assert clocks.correct([plain, adt], BEGAN_US) == ([plain, adt], [])


def test_the_edges_own_step_is_none_of_its_devices() -> None:
    device, clocks = DeviceWithClock(10 * SECOND_US), DeviceClocks(max_delay_s=1.0, limit_s=60.0)
    said = []
    for _, device_at_us, received_at_us in device.frames(0, 300):
        said += heard(clocks, device_at_us, received_at_us)[1]
    clocks.clock_stepped(3_600_000)
    for true_us, device_at_us, received_at_us in device.frames(300, 600):
        corrected, events = heard(clocks, device_at_us, received_at_us + HOUR_US)
        said += [code for code in events if code == "device-clock-step"]
        assert abs(corrected.observed_at_us - true_us - HOUR_US) <= corrected.uncertainty_ms * 1000
    assert said == []


def test_drift_is_told_after_an_hour() -> None:
    device, clock = DeviceWithClock(drift_ppm=50), DeviceClock(max_delay_s=1.0)
    for _, device_at_us, received_at_us in device.frames(0, 5 * 3600):
        clock.hear(device_at_us, received_at_us, SECOND_US)
    drift_ppm = clock.drift_ppm
    assert drift_ppm is not None
    assert drift_ppm == pytest.approx(50, abs=20)


def test_words() -> None:
    assert step_words(HOUR_US) == "its clock was set forward by 1 h: summer time?"
    assert step_words(-182 * SECOND_US) == "its clock was set back by 3 min 2 s"
    assert offset_words((182 * SECOND_US, 184 * SECOND_US)) == "its clock is 3 min 3 s ahead of this box's"
    assert offset_words((-62 * SECOND_US, -60 * SECOND_US)).startswith("its times are 1 min 1 s behind")
