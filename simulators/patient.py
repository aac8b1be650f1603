"""A patient whose numbers and waveforms agree: a pure function of (seed, time), without a clock of its own.

Rates wander as sums of sines, so that beats and breaths are their exact integrals: what is counted on the waveform is
what the numbers say. The pleth is a sum of Gaussians (systolic wave, dicrotic wave) over the phase of the beat, and the
arterial mean follows from that shape.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

Times = NDArray[np.float64]  # seconds since the patient's beginning
Time = TypeVar("Time", float, Times)

SCENARIOS = ("healthy", "desaturation", "finger_off", "silence", "clock_jump")
DESATURATION_S = 240.0  # down and up again
DESATURATION_DEPTH, TACHYCARDIA = 16.0, 22.0  # % at its lowest, and what the heart adds then, 1/min
MINUTE_S = 60.0
FINGER_OFF_S = (20.0, 35.0)  # of each minute
SILENCE_S = (20.0, 40.0)
CLOCK_JUMPS_AT_S, CLOCK_JUMP_S = 30.0, 300.0
CUFF_FIRST_S, CUFF_EVERY_S = 20.0, 180.0  # first when a ward that just began has its patients
PULSE_RATE_OVER_S = 8.0  # a pulse rate is counted over so long

# Channels with their decimals, in the order in which a report that holds fewer leaves them out.
CHANNELS = {
    "hr": 0, "pr": 0, "spo2": 0, "rr": 0, "temp_c": 1, "abp_sys": 0, "abp_dia": 0, "abp_mean": 0,
    "etco2": 0, "pi": 1, "pvc": 0, "cvp": 0,
}  # fmt: skip
OF_THE_FINGER = frozenset(("pr", "spo2", "pi"))
# Position in the beat, width (both as its parts) and height of the systolic and the dicrotic wave.
_WAVES = ((0.22, 0.085, 1.0), (0.52, 0.11, 0.42))


def _raw_shape(phase: Times) -> Times:
    beat = phase % 1.0
    total = np.zeros_like(beat)
    for centre, width, height in _WAVES:
        away = np.abs(beat - centre)
        total += height * np.exp(-0.5 * (np.minimum(away, 1.0 - away) / width) ** 2)
    return total


_ONE_BEAT = _raw_shape(np.linspace(0.0, 1.0, 1000, endpoint=False))
_LOW, _HIGH = float(_ONE_BEAT.min()), float(_ONE_BEAT.max())
MEAN_OF_SHAPE = (float(_ONE_BEAT.mean()) - _LOW) / (_HIGH - _LOW)


def shape(phase: Times) -> Times:
    """The pulse wave over the phase in beats: 0 in diastole, 1 at the systolic peak."""
    return (_raw_shape(phase) - _LOW) / (_HIGH - _LOW)


@dataclass(frozen=True)
class Wander:
    """A value that wanders about `base`; `terms` are (amplitude, period in s, phase)."""

    base: float
    terms: tuple[tuple[float, float, float], ...] = ()

    def at(self, t_s: float) -> float:
        """The value."""
        return self.base + sum(a * math.sin(2 * math.pi * t_s / p + phi) for a, p, phi in self.terms)

    def total(self, t: Time) -> Time:
        """Its exact integral from 0 to each time."""
        total = self.base * t
        for a, p, phi in self.terms:
            total = total + a * p / (2 * np.pi) * (np.cos(phi) - np.cos(2 * np.pi * t / p + phi))
        return total


class Cuff(NamedTuple):
    """A cuff measurement and when it was taken, in s."""

    number: int
    at_s: float
    values: dict[str, str]  # nibp_sys, nibp_dia, nibp_mean in mmHg


@dataclass(frozen=True)
class Patient:
    """One patient; the same seed is the same patient, to the last sample."""

    seed: int
    scenario: str = "healthy"

    def __post_init__(self) -> None:
        if self.scenario not in SCENARIOS:
            raise ValueError(f"no scenario {self.scenario!r}: one of {', '.join(SCENARIOS)}")

    @cached_property
    def _course(self) -> dict[str, Wander]:
        """How each independent value goes: its middle, and how far it wanders how slowly."""
        rng = np.random.default_rng(self.seed)

        def wander(low: float, high: float, *swings: tuple[float, float]) -> Wander:
            terms = tuple((a, p * rng.uniform(0.8, 1.2), rng.uniform(0, 2 * np.pi)) for a, p in swings)
            return Wander(rng.uniform(low, high), terms)

        course = {
            "hr": wander(60, 88, (2.5, 47), (2.0, 310)),
            "rr": wander(12, 18, (1.2, 97)),
            "spo2": wander(96, 98.5, (0.5, 130)),
            "temp_c": wander(36.4, 37.3, (0.1, 1800)),
            "abp_sys": wander(108, 138, (3, 61), (4, 400)),
            "abp_dia": wander(62, 82, (2, 61), (2, 400)),
            "etco2": wander(35, 41, (1, 83)),
            "pi": wander(1.5, 4, (0.3, 120)),
            "pvc": wander(0.2, 0.9, (0.6, 200)),
            "cvp": wander(5, 9, (1, 70)),
        }
        if self.scenario == "desaturation":  # a raised cosine, so that it too has an exact integral
            for name, depth in (("spo2", -DESATURATION_DEPTH), ("hr", TACHYCARDIA)):
                w = course[name]
                dip = (depth / 2, DESATURATION_S, -np.pi / 2)
                course[name] = Wander(w.base + depth / 2, (*w.terms, dip))
        return course

    def beats(self, t: Time) -> Time:
        """Heart beats since the beginning, fractions too: the phase of the pulse wave."""
        return self._course["hr"].total(t) / 60.0

    def breaths(self, t: Time) -> Time:
        """Breaths since the beginning, fractions too."""
        return self._course["rr"].total(t) / 60.0

    def has_finger(self, t_s: float) -> bool:
        """Whether the sensor is on the finger."""
        return self.scenario != "finger_off" or not FINGER_OFF_S[0] <= t_s % MINUTE_S < FINGER_OFF_S[1]

    def is_silent(self, t_s: float) -> bool:
        """Whether the devices say nothing."""
        return self.scenario == "silence" and SILENCE_S[0] <= t_s % MINUTE_S < SILENCE_S[1]

    def clock_offset_s(self, t_s: float) -> float:
        """How far the devices' clocks are ahead of the true time."""
        return CLOCK_JUMP_S if self.scenario == "clock_jump" and t_s >= CLOCK_JUMPS_AT_S else 0.0

    def pleth(self, t: Times) -> Times:
        """The plethysmogram, 0 to 1; breathing moves its height a little. Flat where the finger is out."""
        breath = 0.06 * np.sin(2 * np.pi * self.breaths(t))
        on = np.array([self.has_finger(float(x)) for x in t])
        return np.where(on, (0.9 + breath) * shape(self.beats(t)), 0.5)

    def ecg_mv(self, t: Times) -> Times | None:
        """A recorded ECG in millivolts; None where a simulator is to draw it over `beats`."""
        del t
        return None

    def numbers(self, t_s: float) -> dict[str, float | None]:
        """Every channel at one time, None where there is no reading: 1/min, %, °C, mmHg."""
        found: dict[str, float | None] = {name: w.at(t_s) for name, w in self._course.items()}
        beats = self.beats(t_s) - self.beats(t_s - PULSE_RATE_OVER_S)
        found["pr"] = float(beats * 60.0 / PULSE_RATE_OVER_S)
        found["spo2"] = min(found["spo2"] or 0.0, 100.0)
        found["pvc"] = max(found["pvc"] or 0.0, 0.0)
        found["abp_mean"] = _mean(found["abp_sys"] or 0.0, found["abp_dia"] or 0.0)
        if not self.has_finger(t_s):
            found.update(dict.fromkeys(OF_THE_FINGER))
        return found

    def report(self, t_s: float, count: int = len(CHANNELS)) -> dict[str, str | None]:
        """`count` values as a screen shows them; beyond the channels that there are, each again as `hr_2`, `hr_3`."""
        found = self.numbers(t_s)
        shown = {n: None if (v := found[n]) is None else f"{v:.{decimals}f}" for n, decimals in CHANNELS.items()}
        names = list(CHANNELS)
        return {
            f"{name}_{turn + 1}" if turn else name: shown[name]
            for turn, name in ((i // len(names), names[i % len(names)]) for i in range(count))
        }

    def cuff(self, t_s: float) -> Cuff | None:
        """The latest cuff measurement; None before the first."""
        first = CUFF_FIRST_S + self.seed % 10
        if t_s < first:
            return None
        number = int((t_s - first) // CUFF_EVERY_S)
        at = first + number * CUFF_EVERY_S
        sys, dia = (round(self._course[n].at(at)) for n in ("abp_sys", "abp_dia"))
        values = {"nibp_sys": f"{sys}", "nibp_dia": f"{dia}", "nibp_mean": f"{_mean(sys, dia):.0f}"}
        return Cuff(number, at, values)


def _mean(sys: float, dia: float) -> float:
    return dia + (sys - dia) * MEAN_OF_SHAPE
