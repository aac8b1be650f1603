"""Proposals: by name and unit, with their reasons; and nothing where nothing is said."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters import mapping_proposal
from adapters.mapping_proposal import proposals
from schemas.nomenclature import METRIC_BY_REFERENCE_ID, METRICS, canonical_unit, unit_from_text


@pytest.mark.parametrize(
    ("code", "text", "unit", "metric"),
    [
        ("101", "HR", "bpm", "MDC_ECG_HEART_RATE"),
        ("vitals.heart_rate", "", "", "MDC_ECG_HEART_RATE"),
        ("7", "SpO2", "%", "MDC_PULS_OXIM_SAT_O2"),
        ("NIBP-SYS", "", "mmHg", "MDC_PRESS_BLD_NONINV_SYS"),
        ("art_mean", "", "mmHg", "MDC_PRESS_BLD_ART_MEAN"),
        ("x", "Respiratory rate", "", "MDC_RESP_RATE"),
        ("147842", "", "", "MDC_ECG_HEART_RATE"),
        ("MDC_TEMP", "", "Cel", "MDC_TEMP"),
        ("9", "EtCO2", "mmHg", "MDC_CONC_AWAY_CO2_ET"),
        ("T1", "", "Cel", "MDC_TEMP"),
        ("CVP", "", "mm[Hg]", "MDC_PRESS_BLD_VEN_CENT"),
    ],
)
def test_what_monitors_call_so_is_proposed_first(code: str, text: str, unit: str, metric: str) -> None:
    found = proposals("99X", code, text, unit)
    assert found[0].metric == metric
    assert found[0].reasons
    assert 0 < found[0].score <= 1


def test_a_unit_that_fits_makes_it_likelier_and_one_that_does_not_impossible() -> None:
    with_unit, without = proposals("", "HR", "", "bpm"), proposals("", "HR", "", "")
    assert with_unit[0].score > without[0].score
    assert with_unit[0].unit == ""
    assert without[0].unit == "MDC_DIM_BEAT_PER_MIN"
    assert "no unit is stated" in without[0].reasons[1].en
    assert proposals("", "HR", "", "mmHg") == []
    assert "is not known" in proposals("", "HR", "", "blips")[0].reasons[1].en


def test_values_that_cannot_be_it_make_it_less_likely_and_are_said() -> None:
    (likely, *_), (unlikely, *_) = proposals("", "SpO2", "", "%", [97, 96]), proposals("", "SpO2", "", "%", [970])
    assert likely.score > unlikely.score
    assert "97, 96 can be SpO2" in likely.reasons[-1].en
    assert "but 970 cannot" in unlikely.reasons[-1].en


def test_a_loinc_code_is_as_good_as_sure() -> None:
    (found, *_) = proposals("LN", "8867-4", "", "/min")
    assert (found.metric, found.score) == ("MDC_ECG_HEART_RATE", 1.0)
    assert found.reasons[0].en == "8867-4 is its LOINC code"


@pytest.mark.parametrize("name", ["", "x17", "POS", "foo bar", "%"])
def test_of_what_says_nothing_nothing_is_proposed(name: str) -> None:
    assert proposals("", name, "", "") == []


def test_every_alias_is_a_metric_and_is_folded() -> None:
    for alias, reference_id in mapping_proposal._ALIASES.items():
        assert reference_id in METRIC_BY_REFERENCE_ID, alias
        assert mapping_proposal._folded(alias) == alias


def test_every_short_name_leads_to_its_metric_with_its_unit() -> None:
    for metric in METRICS:
        found = proposals("", metric.short, "", metric.unit)
        of_short = [m for m in METRICS if mapping_proposal._folded(m.short) == mapping_proposal._folded(metric.short)]
        if len(of_short) == 1 and mapping_proposal._folded(metric.short):
            assert metric.reference_id in [p.metric for p in found], metric.short


@given(st.text(max_size=40), st.text(max_size=40), st.text(max_size=20), st.lists(st.floats(), max_size=3))
def test_whatever_a_sender_writes_each_proposal_is_one_that_its_unit_allows(
    code: str, text: str, unit: str, samples: list[float]
) -> None:
    stated = unit_from_text(unit)
    for each in proposals("", code, text, unit, samples):
        metric = METRIC_BY_REFERENCE_ID[each.metric]
        assert stated is None or canonical_unit(metric.code, stated.code) is not None
