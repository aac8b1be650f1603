from __future__ import annotations

import numpy as np
import pytest

from simulators.patient import CHANNELS, CUFF_EVERY_S, SCENARIOS, Patient

SAMPLE_HZ = 75


@pytest.mark.parametrize("scenario", ["healthy", "desaturation"])
@pytest.mark.parametrize("seed", [1, 7, 1004])
def test_beats_counted_on_the_pleth_are_the_pulse_rate(seed: int, scenario: str) -> None:
    patient = Patient(seed, scenario)
    t = np.arange(0, 240, 1 / SAMPLE_HZ)
    wave = patient.pleth(t)
    assert -1e-6 < wave.min() < 0.05
    assert 0.8 < wave.max() <= 1
    # A beat is a systolic peak: higher than all within 0.25 s, which the dicrotic wave is not.
    near = SAMPLE_HZ // 4
    peaks = [i for i in range(near, len(t) - near) if wave[i] > 0.6 and wave[i] == wave[i - near : i + near + 1].max()]
    for start_s in (20, 100, 180):
        within = [t[i] for i in peaks if start_s <= t[i] < start_s + 40]
        counted = 60 * (len(within) - 1) / (within[-1] - within[0])
        shown = np.mean([patient.numbers(float(s))["pr"] or 0 for s in np.arange(start_s + 4, start_s + 44)])
        assert counted == pytest.approx(shown, abs=1)


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_the_same_seed_is_the_same_patient_in_any_order(scenario: str) -> None:
    times = [0.0, 31.5, 4000.25]
    one, other = Patient(5, scenario), Patient(5, scenario)
    assert [one.numbers(t) for t in times] == [other.numbers(t) for t in reversed(times)][::-1]
    assert (one.pleth(np.array(times)) == other.pleth(np.array(times))).all()
    assert Patient(6, scenario).numbers(0.0) != one.numbers(0.0)


@pytest.mark.parametrize("seed", range(30))
def test_numbers_are_those_of_the_living_and_agree(seed: int) -> None:
    patient = Patient(seed)
    for t in range(0, 3600, 97):
        n = {name: value or 0.0 for name, value in patient.numbers(t).items()}
        assert set(n) == set(CHANNELS)
        assert n["abp_dia"] + 5 < n["abp_mean"] < n["abp_sys"] - 10
        assert 50 < n["hr"] < 100
        assert abs(n["hr"] - n["pr"]) < 3
        assert 94 < n["spo2"] <= 100
        assert 9 < n["rr"] < 21
        assert 36 < n["temp_c"] < 38


def test_desaturation_goes_down_with_a_faster_heart_and_comes_back() -> None:
    patient = Patient(3, "desaturation")
    (start, low, end) = (patient.numbers(t) for t in (0.0, 120.0, 240.0))
    assert (low["spo2"] or 0) < 85 < 93 < min(start["spo2"] or 0, end["spo2"] or 0)
    assert (low["hr"] or 0) > (start["hr"] or 0) + 10


def test_finger_off_is_no_reading_and_a_flat_line_never_zero() -> None:
    patient = Patient(3, "finger_off")
    off = patient.report(25.0)
    assert {name for name, text in off.items() if text is None} == {"pr", "spo2", "pi"}
    assert np.ptp(patient.pleth(np.arange(20.0, 34.9, 0.01))) == 0
    assert None not in patient.report(40.0).values()


def test_silence_and_the_clock() -> None:
    assert [Patient(1, "silence").is_silent(t) for t in (10, 30, 50, 90)] == [False, True, False, True]
    assert not Patient(1).is_silent(30)
    assert [Patient(1, "clock_jump").clock_offset_s(t) for t in (29, 30)] == [0, 300]


def test_the_cuff_measures_now_and_then() -> None:
    patient = Patient(42)
    assert patient.cuff(0.0) is None
    first, second = patient.cuff(60.0), patient.cuff(60.0 + CUFF_EVERY_S)
    assert first == patient.cuff(61.0)
    assert first is not None
    assert second is not None
    assert second.at_s - first.at_s == CUFF_EVERY_S
    dia, mean, sys = (int(first.values[f"nibp_{name}"]) for name in ("dia", "mean", "sys"))
    assert dia < mean < sys


def test_more_values_are_the_channels_again() -> None:
    report = Patient(1).report(5.0, 200)
    assert len(report) == 200
    assert report["hr_2"] == report["hr"]
    assert list(Patient(1).report(5.0, 3)) == ["hr", "pr", "spo2"]


def test_an_unknown_scenario_is_refused() -> None:
    with pytest.raises(ValueError, match="no scenario 'ill'"):
        Patient(1, "ill")
