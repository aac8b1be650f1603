from __future__ import annotations

import pytest

from gateway.display_digits import AS_SENT, BY_METRIC, BY_UNIT, display_digits
from schemas.nomenclature import METRIC_BY_CODE, METRICS, UNIT_BY_REFERENCE_ID, UNIT_BY_UCUM

# Every unit that a value can be stored in, with its metric.
STORED = [
    (metric, UNIT_BY_REFERENCE_ID[unit]) for metric in METRICS for unit in (metric.unit, *(a.unit for a in metric.also))
]


def test_every_unit_that_values_are_stored_in_has_its_digits_or_is_shown_as_sent() -> None:
    assert {unit.ucum for _, unit in STORED} == BY_UNIT.keys() | AS_SENT
    assert not BY_UNIT.keys() & AS_SENT


def test_what_differs_is_of_a_metric_in_a_unit_of_its() -> None:
    assert BY_METRIC.keys() <= {(metric.reference_id, unit.ucum) for metric, unit in STORED}
    assert [name for name, digits in BY_METRIC.items() if digits == BY_UNIT.get(name[1])] == []


@pytest.mark.parametrize(
    ("reference_id", "ucum", "digits"),
    [
        ("MDC_ECG_HEART_RATE", "/min", 0),
        ("MDC_PULS_OXIM_SAT_O2", "%", 0),
        ("MDC_TEMP", "Cel", 1),
        ("MDC_PRESS_BLD_NONINV_SYS", "mm[Hg]", 0),
        ("MDC_CONC_AWAY_CO2_ET", "mm[Hg]", 0),
        ("MDC_CONC_AWAY_CO2_ET", "%", 1),
        ("MDC_ECG_AMPL_ST_II", "mV", 2),
        ("MDC_BLD_PERF_INDEX", "%", 2),
        ("MDC_CONC_PH_ART", "[pH]", 2),
        ("MDC_FLOW_FLUID_PUMP", "mL/h", None),
        ("MDC_VOL_FLUID_TBI", "mL", None),
        ("MDC_VOL_AWAY_TIDAL", "mL", 0),
    ],
)
def test_the_digits_of_a_monitor(reference_id: str, ucum: str, digits: int | None) -> None:
    code = next(code for code, metric in METRIC_BY_CODE.items() if metric.reference_id == reference_id)
    assert display_digits(code, UNIT_BY_UCUM[ucum]) == digits


def test_what_has_no_unit_of_its_metric_is_shown_as_sent() -> None:
    assert display_digits(150344, None) is None
    assert display_digits(1, UNIT_BY_UCUM["%"]) is None
