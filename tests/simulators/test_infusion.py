"""An infusion's volume is the integral of its rate."""

from __future__ import annotations

import pytest

from simulators.infusion import Infusion


@pytest.mark.parametrize("is_ever_occluded", [True, False])
def test_the_volume_is_the_sum_of_the_rates(is_ever_occluded: bool) -> None:
    infusion = Infusion(7, is_ever_occluded)
    step_s, total_ml = 0.5, 0.0
    for n in range(round(600 / step_s)):
        total_ml += infusion.rate_ml_h(n * step_s) * step_s / 3600
    assert infusion.volume_ml(600) == pytest.approx(total_ml)
    assert Infusion(8).rates_ml_h != infusion.rates_ml_h


def test_nothing_flows_while_it_is_occluded() -> None:
    infusion = Infusion(7)
    assert [infusion.is_occluded(t_s) for t_s in (99.9, 100.0, 114.9, 115.0, 280.0)] == [False, True, True, False, True]
    assert infusion.rate_ml_h(105) == 0
    assert infusion.volume_ml(100) == infusion.volume_ml(115)
    assert infusion.pressure_mmhg(105) > infusion.pressure_mmhg(99)
