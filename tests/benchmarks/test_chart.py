"""The figures of the chart are taken, of answers that are right."""

from __future__ import annotations

from benchmarks.chart import core_fraction_on, flowsheet_on
from benchmarks.goals import GOALS


def test_a_small_ward_is_measured(database: str) -> None:
    figures = core_fraction_on(database, 3)
    assert figures.keys() == {"chart_core_fraction_1000"}
    assert figures.keys() <= GOALS.keys()
    assert all(value > 0 for value in figures.values())


def test_a_small_day_is_measured(database: str) -> None:
    figures = flowsheet_on(database, 2, 3)
    assert figures.keys() == {"flowsheet_day_p95_ms"}
    assert figures.keys() <= GOALS.keys()
