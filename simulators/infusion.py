"""What a pump has infused: a pure function of (seed, time), so that the volume is the exact integral of the rate."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from random import Random

STEP_S = 60.0  # after which somebody sets another rate
RATES_ML_H = (0.5, 40.0)
OCCLUDED_S, OCCLUSION_EVERY_S = (100.0, 115.0), 180.0  # of each three minutes: the line is closed and nothing flows
PRESSURE_MMHG, OCCLUSION_MMHG = 35.0, 400.0
_S_AN_HOUR = 3600.0


@dataclass(frozen=True)
class Infusion:
    """An infusion with a rate that is set each minute, and a line that is occluded now and then."""

    seed: int
    is_ever_occluded: bool = True

    @cached_property
    def rates_ml_h(self) -> tuple[float, ...]:
        """The rates that are set in turn, in tenths of 1 mL/h."""
        rng = Random(f"infusion {self.seed}")
        return tuple(round(rng.uniform(*RATES_ML_H), 1) for _ in range(7))

    def is_occluded(self, t_s: float) -> bool:
        """Whether the pump stands in its occlusion alarm."""
        begin_s, end_s = OCCLUDED_S
        return self.is_ever_occluded and begin_s <= t_s % OCCLUSION_EVERY_S < end_s

    def rate_ml_h(self, t_s: float) -> float:
        """What flows; 0 while it is occluded."""
        return 0.0 if self.is_occluded(t_s) else self._set_rate_ml_h(t_s)

    def volume_ml(self, t_s: float) -> float:
        """What has flowed since the beginning."""
        total_ml, at_s = 0.0, 0.0
        while at_s < t_s:
            until_s = min(t_s, self._next_change_s(at_s))
            total_ml += self.rate_ml_h(at_s) * (until_s - at_s) / _S_AN_HOUR
            at_s = until_s
        return total_ml

    def pressure_mmhg(self, t_s: float) -> float:
        """In the line."""
        return OCCLUSION_MMHG if self.is_occluded(t_s) else PRESSURE_MMHG

    def _set_rate_ml_h(self, t_s: float) -> float:
        return self.rates_ml_h[int(t_s // STEP_S) % len(self.rates_ml_h)]

    @staticmethod
    def _next_change_s(t_s: float) -> float:
        round_s = t_s // OCCLUSION_EVERY_S * OCCLUSION_EVERY_S
        changes_s = (t_s // STEP_S * STEP_S + STEP_S, *(round_s + edge_s for edge_s in OCCLUDED_S))
        return min(change_s for change_s in changes_s if change_s > t_s)
