from __future__ import annotations

from adapters.devices.registry import DRIVERS
from benchmarks import drivers
from benchmarks.goals import GOALS


def test_each_driver_has_its_cost_and_its_lines() -> None:
    figures = drivers.measure(quick=True)
    assert figures.keys() == set(drivers.FIGURES) <= GOALS.keys()
    assert all(figures[drivers.cost_name(driver.name)] > 0 for driver in DRIVERS)
    assert all(figures[drivers.lines_name(driver.name)] > 20 for driver in DRIVERS)
