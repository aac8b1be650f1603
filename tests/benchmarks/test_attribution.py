"""The figures of attribution are taken, of answers that are right."""

from __future__ import annotations

from benchmarks.attribution import measure_on
from benchmarks.goals import GOALS


def test_a_small_hospital_is_measured(database: str) -> None:
    figures = measure_on(database, 20)
    assert figures.keys() == {"adt_messages_per_s", "reattribute_12h_s"}
    assert figures.keys() <= GOALS.keys()
    assert all(value > 0 for value in figures.values())
