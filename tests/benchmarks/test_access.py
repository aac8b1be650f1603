"""The figures of access are taken, of answers that are right."""

from __future__ import annotations

import pytest

from benchmarks import access
from benchmarks.goals import GOALS
from gateway.access.words import Role

NOW_US = 1_790_000_000_000_000


def test_a_small_hospital_is_measured(database: str) -> None:
    hospital = access.make_hospital(300, 80, NOW_US)
    assert {person.role for person in hospital.people} >= {Role.NURSE, Role.RECORD_OFFICE, Role.MACHINE}
    figures = access.measure_sets(database, hospital, 20)
    figures["may_decisions_per_s"] = access.decisions_per_s(hospital, 2_000)
    assert figures.keys() <= GOALS.keys()
    assert all(value > 0 for value in figures.values())


def test_a_set_that_is_too_small_is_no_figure(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access, "visible_stays", lambda *_: {})
    with pytest.raises(RuntimeError, match="0 stays of"):
        access.measure_sets(database, access.make_hospital(50, 80, NOW_US), 1)
