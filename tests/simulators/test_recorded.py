"""Waves of real patients through simulators, sessions and drivers: what comes out is what was recorded."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pywt.data
from numpy.typing import NDArray

from adapters.devices.registry import DRIVER_BY_NAME
from adapters.driver import Source
from adapters.session import Moment
from schemas.report import Kind, Report, Samples
from simulators.datex_dri import Monitor
from simulators.nonin import PACKETS_A_SECOND, df2_packet
from simulators.recorded import RecordedPatient, normalised, played

RECEIVED_AT_US = 1_790_000_000_000_000
PPG_HZ = 100.0  # heartpy/data/data.csv, as its documentation says
# An ECG of the MIT-BIH Arrhythmia Database, whose signals have 360 samples a second and 200 units a millivolt.
ECG_HZ, UNITS_A_MV = 360.0, 200.0
SECONDS = 12
Wave = NDArray[np.float64]


def of_package(name: str) -> Wave:
    spec = importlib.util.find_spec("heartpy")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    path = Path(spec.submodule_search_locations[0]) / "data" / name
    return np.array([float(line) for line in path.read_text("utf-8").split()])


@pytest.fixture(scope="module")
def patient() -> RecordedPatient:
    ecg = np.asarray(pywt.data.ecg(), np.float64) / UNITS_A_MV
    return RecordedPatient(1, ppg=normalised(of_package("data.csv")), ppg_hz=PPG_HZ, ecg=ecg, ecg_hz=ECG_HZ)


def reports_of(driver_name: str, settings: dict[str, Any], stream: Sequence[bytes]) -> list[Report]:
    """What the agent makes of a stream: session and driver."""
    driver = DRIVER_BY_NAME[driver_name]
    assert driver.session is not None
    decoded = driver.settings(**settings)
    session, source = driver.session(decoded), Source("test", decoded, peer="/dev/ttyUSB0")
    found: list[Report] = []
    now = Moment(0.0, RECEIVED_AT_US)
    session.opened(now)
    for number, data in enumerate(stream, 1):
        now = Moment(float(number), RECEIVED_AT_US + number * 1_000_000)
        for piece in session.feed(data, now).pieces:
            assert not piece.reason
            source.received_at_us = now.utc_us
            found += driver.read(piece.data, source)
    return found


def wave_of(reports: Sequence[Report]) -> tuple[Wave, float]:
    """All samples of the one wave there is, in its unit, and the rate."""
    stretches: list[Samples] = [
        record.samples for report in reports if report.kind is Kind.WAVEFORM
        for record in report.records if record.samples is not None
    ]  # fmt: skip
    first = stretches[0]
    raw = np.concatenate([np.frombuffer(each.raw, "<i2") for each in stretches]).astype(np.float64)
    value = (raw * first.scale_mantissa + first.offset_mantissa) * 10.0**first.exponent
    return value, first.rate_numerator / first.rate_denominator


def peaks(wave: Wave, rate_hz: float, height: float) -> int:
    """Beats: how often it rises over this share of its span, 250 ms apart at the least."""
    level = wave.min() + height * (wave.max() - wave.min())
    rises = np.flatnonzero((wave[1:] >= level) & (wave[:-1] < level))
    return int(1 + np.count_nonzero(np.diff(rises) > 0.25 * rate_hz)) if len(rises) else 0


def test_a_recorded_pulse_wave_comes_out_of_data_format_2_with_its_beats(patient: RecordedPatient) -> None:
    packets = b"".join(df2_packet(patient, number) for number in range(SECONDS * PACKETS_A_SECOND))
    pleth, rate_hz = wave_of(reports_of("nonin_df2", {}, [packets]))
    assert patient.ppg is not None
    expected = played(patient.ppg, PPG_HZ, np.arange(len(pleth)) / rate_hz)
    assert len(pleth) >= (SECONDS - 1) * 75
    assert np.abs((pleth - 20) / 215 - expected).max() <= 0.5 / 215 + 1e-9  # half of the last bit
    beats = peaks(pleth, rate_hz, 0.7)
    assert beats == peaks(expected, rate_hz, 0.7) == 12


def test_a_recorded_ecg_comes_out_of_an_s5_monitor_sample_by_sample(patient: RecordedPatient) -> None:
    driver = DRIVER_BY_NAME["datex_dri"]
    settings: dict[str, Any] = {"waves": ["ecg1"]}
    assert driver.session is not None
    monitor = Monitor(patient)
    monitor.hear(driver.session(driver.settings(**settings)).opened(Moment(0.0, RECEIVED_AT_US)).send, 0.0)
    stream = [b"".join(monitor.speak(quarter / 4)) for quarter in range(4 * SECONDS + 1)]
    ecg_mv, rate_hz = wave_of(reports_of("datex_dri", settings, stream))
    assert rate_hz == 300
    assert patient.ecg is not None
    expected = played(patient.ecg, ECG_HZ, np.arange(len(ecg_mv)) / rate_hz)
    assert len(ecg_mv) == SECONDS * 300
    assert np.abs(ecg_mv - expected).max() <= 0.0005 + 1e-9  # a microvolt is the unit on the wire
    assert peaks(ecg_mv, rate_hz, 0.7) == peaks(expected, rate_hz, 0.7) >= 12
