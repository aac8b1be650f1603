from __future__ import annotations

from benchmarks import fhir


def test_both_write_the_same_and_ours_in_less_time() -> None:
    assert fhir.ratios(0.05)["fhir_vs_fhir_resources"] > 1


def test_pressures_of_a_minute_are_one_observation() -> None:
    assert len(fhir.made()) == fhir.MINUTES * 5
