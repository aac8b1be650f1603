"""The patient's numbers agree with each other and with the waveform."""

from __future__ import annotations

import numpy as np
import pytest

from simulators.patient import CUFF_EVERY_S, SCENARIOS, Patient, Scenario

RATE_HZ = 75


def systoles(patient: Patient, start_s: float, end_s: float) -> np.ndarray:
    """Times of the tall peaks, found without knowing how the wave is made."""
    t = np.arange(start_s, end_s, 1 / RATE_HZ)
    wave = patient.pleth(t)
    peaks = (wave[1:-1] > wave[:-2]) & (wave[1:-1] >= wave[2:]) & (wave[1:-1] > 0.6)
    return t[1:-1][peaks]


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("scenario", ["healthy", "desaturation"])
def test_beats_of_the_pleth_are_the_pulse_rate(seed: int, scenario: Scenario) -> None:
    patient = Patient(seed, scenario)
    for end_s in (60.0, 123.0, 7_200.0):
        beats = systoles(patient, end_s - 30, end_s)
        from_wave = 60 * (len(beats) - 1) / (beats[-1] - beats[0])
        shown = [patient.vitals(t)["pr"] for t in np.arange(end_s - 26, end_s, 0.5)]
        assert from_wave == pytest.approx(np.mean([rate for rate in shown if rate is not None]), abs=1.0)


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_pure_function_of_seed_and_time(scenario: Scenario) -> None:
    times = np.arange(0.0, 240.0, 7.0)
    one, other = Patient(3, scenario), Patient(3, scenario)
    assert [one.vitals(t) for t in times] == [other.vitals(t) for t in reversed(times)][::-1]
    assert Patient(4, scenario).vitals(0.0) != one.vitals(0.0)


@pytest.mark.parametrize("seed", range(20))
def test_a_healthy_patient_is_healthy(seed: int) -> None:
    for t in np.arange(0.0, 900.0, 3.0):
        v = Patient(seed).vitals(t)
        assert all(value is not None for value in v.values())
        known = {name: value or 0.0 for name, value in v.items()}
        assert 50 <= known["hr"] <= 100
        assert abs(known["hr"] - known["pr"]) < 1
        assert 95 <= known["spo2"] <= 100
        assert 9 <= known["rr"] <= 20
        assert known["art_dia"] < known["art_mean"] < known["art_sys"] < 150
        assert abs(known["nibp_mean"] - known["art_mean"]) < 20
        assert 36 <= known["temp"] <= 37.6


def test_saturation_falls_and_the_heart_answers() -> None:
    lowest, start = Patient(1, "desaturation").vitals(60.0), Patient(1, "desaturation").vitals(120.0)
    assert (lowest["spo2"] or 0) < (start["spo2"] or 0) - 10
    assert (lowest["hr"] or 0) > (start["hr"] or 0) + 8


def test_finger_off_takes_the_oximeters_values_only() -> None:
    patient = Patient(1, "finger_off")
    v = patient.vitals(40.0)
    assert {name for name, value in v.items() if value is None} == {"pr", "spo2", "pi"}
    assert not patient.pleth(np.array([35.0, 45.0])).any()
    assert patient.vitals(70.0)["spo2"] is not None


def test_the_cuff_measures_every_five_minutes() -> None:
    patient = Patient(1)
    shown = [patient.vitals(t)["nibp_sys"] for t in np.arange(0.0, 4 * CUFF_EVERY_S, 10.0)]
    assert len(set(shown)) == 4
    assert shown[0] == shown[29] != shown[30]


def test_silence_and_clock() -> None:
    assert [Patient(1, "silence").silent(t) for t in (0.0, 50.0, 100.0, 170.0)] == [False, True, False, True]
    assert [Patient(1, "clock_jump").clock_error_s(t) for t in (0.0, 70.0, 100.0)] == [0, 3600, 0]
    assert not Patient(1).silent(50.0)
