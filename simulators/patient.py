"""A patient who does not exist: numbers and waveforms that agree, as a pure function of (seed, scenario, seconds).

Every rhythm is a sum of sines, so the number of beats until any moment is a closed integral: the rate a device shows
and the beats in its waveform come from the same function and cannot drift apart.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

Scenario = Literal["healthy", "desaturation", "finger_off", "silence", "clock_jump"]
SCENARIOS: tuple[Scenario, ...] = get_args(Scenario)

CYCLE_S = 120.0  # each scenario repeats with this period
FINGER_OFF_S = (30.0, 60.0)  # within a cycle
SILENT_S = (45.0, 90.0)
CLOCK_AHEAD_S = (60.0, 90.0)
CLOCK_JUMP_S = 3600.0  # one summer time too many
SHOWN_OVER_S = 4.0  # rates are shown as the mean of the last four seconds
TRANSIT_S = 0.2  # from the heart to the finger
CUFF_EVERY_S = 300.0
# Systolic peak and dicrotic wave: (centre in parts of a beat, width in parts of a beat, height).
PULSE_SHAPE = ((0.25, 0.09, 1.0), (0.58, 0.11, 0.38))

# What one person differs in from the next, drawn evenly between two bounds.
USUAL: dict[str, tuple[float, float]] = {
    "hr": (58, 88),
    "spo2": (96, 98.5),
    "rr": (11, 18),
    "sys": (108, 138),
    "pulse_pressure": (38, 52),
    "cuff_bias": (-4, 4),
    "temp": (36.3, 37.3),
    "pi": (1.5, 6),
    "phase": (0, 2 * math.pi),
}
DECIMALS = {"temp": 1, "pi": 2}  # the others are shown whole

Vitals = dict[str, float | None]


@dataclass(frozen=True)
class Patient:
    """One patient; all methods take seconds since the scenario began."""

    seed: int
    scenario: Scenario = "healthy"

    @cached_property
    def _base(self) -> dict[str, float]:
        draw = random.Random(self.seed).uniform
        return {name: draw(low, high) for name, (low, high) in USUAL.items()}

    def _sway(self, t: float, period_s: float) -> float:
        return math.sin(2 * math.pi * t / period_s + self._base["phase"] + period_s)

    def _within(self, t: float, scenario: Scenario, window: tuple[float, float]) -> bool:
        return self.scenario == scenario and window[0] <= t % CYCLE_S < window[1]

    def beats(self, t: NDArray[np.float64] | float) -> NDArray[np.float64]:
        """Beats of the heart until `t`, fractional: the integral of the instantaneous rate."""
        times, phase = np.asarray(t, np.float64), self._base["phase"]
        per_s, done = self._base["hr"] / 60, np.zeros_like(np.asarray(t, np.float64))
        for amplitude_bpm, period_s in ((3.0, 97.0), (1.5, 23.0)):
            w = 2 * math.pi / period_s
            done = done - amplitude_bpm / 60 / w * np.cos(w * times + phase)
        if self.scenario == "desaturation":  # 18 beats a minute more where saturation is lowest
            w = 2 * math.pi / CYCLE_S
            done = done + 18 / 60 / 2 * (times - np.sin(w * times) / w)
        return np.asarray(per_s * times + done)

    def beat_rate(self, t: float) -> float:
        """Beats a minute as shown: the mean over the last seconds."""
        then, now = self.beats(np.array((t - SHOWN_OVER_S, t)))
        return float(now - then) * 60 / SHOWN_OVER_S

    def vitals(self, t: float) -> Vitals:
        """What a monitor knows at `t`: rates a minute, percent, mmHg, degrees Celsius; None is no reading."""
        base, off = self._base, self.finger_off(t)
        depth = (1 - math.cos(2 * math.pi * t / CYCLE_S)) / 2 if self.scenario == "desaturation" else 0.0
        systolic, diastolic = self._pressure(t)
        cuff_systolic, cuff_diastolic = (part + base["cuff_bias"] for part in self._pressure(self.cuff_at(t)))
        return {
            "hr": self.beat_rate(t),
            "pr": None if off else self.beat_rate(t - TRANSIT_S),
            "spo2": None if off else min(100.0, base["spo2"] + 0.7 * self._sway(t, 71) - 16 * depth),
            "rr": base["rr"] + 1.2 * self._sway(t, 53) + 6 * depth,
            "nibp_sys": cuff_systolic,
            "nibp_dia": cuff_diastolic,
            "nibp_mean": _mean(cuff_systolic, cuff_diastolic),
            "art_sys": systolic,
            "art_dia": diastolic,
            "art_mean": _mean(systolic, diastolic),
            "temp": base["temp"] + 0.15 * self._sway(t, 3600),
            "pi": None if off else base["pi"] * (1 + 0.15 * self._sway(t, 41)),
        }

    def _pressure(self, t: float) -> tuple[float, float]:
        systolic = self._base["sys"] + 5 * self._sway(t, 83)
        return systolic, systolic - self._base["pulse_pressure"] - 2 * self._sway(t, 37)

    def cuff_at(self, t: float) -> float:
        """When the cuff last measured."""
        return math.floor(t / CUFF_EVERY_S) * CUFF_EVERY_S

    def pleth(self, t: NDArray[np.float64]) -> NDArray[np.float64]:
        """The pulse wave at the finger, 0 to 1; flat where the finger is out."""
        phase = self.beats(t - TRANSIT_S) % 1.0
        wave = sum(height * np.exp(-(((phase - at) / width) ** 2) / 2) for at, width, height in PULSE_SHAPE)
        breath = 0.9 + 0.08 * np.sin(2 * math.pi * self._base["rr"] / 60 * t)
        gone = (self.scenario == "finger_off") & (t % CYCLE_S >= FINGER_OFF_S[0]) & (t % CYCLE_S < FINGER_OFF_S[1])
        return np.where(gone, 0.0, wave * breath)

    def finger_off(self, t: float) -> bool:
        """Whether the oximeter's sensor is off the finger."""
        return self._within(t, "finger_off", FINGER_OFF_S)

    def silent(self, t: float) -> bool:
        """Whether the device says nothing at all."""
        return self._within(t, "silence", SILENT_S)

    def clock_error_s(self, t: float) -> float:
        """How far the device's clock is ahead of the true time."""
        return CLOCK_JUMP_S if self._within(t, "clock_jump", CLOCK_AHEAD_S) else 0.0


def _mean(systolic: float, diastolic: float) -> float:
    return diastolic + (systolic - diastolic) / 3


def shown(vitals: Vitals) -> dict[str, str | None]:
    """The numbers as a screen shows them, which is also what goes over the wire."""
    return {name: None if value is None else f"{value:.{DECIMALS.get(name, 0)}f}" for name, value in vitals.items()}
