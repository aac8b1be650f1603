"""How many digits after the point a bedside monitor shows of a value; what was sent stands in the detail.

By what Philips', Mindray's, GE's and Dräger's screens show. What a person sets (rates and doses of a pump) is shown as
it was sent: 0.25 mL/h is not 0.3.
"""

from __future__ import annotations

from schemas.nomenclature import METRIC_BY_CODE, Unit

AS_SENT_DIGITS = 6  # at most, without zeros at the end

# By the unit that the value is stored in (UCUM).
BY_UNIT: dict[str, int] = {
    "/min": 0,
    "%": 0,
    "mm[Hg]": 0,
    "cm[H2O]": 0,
    "Cel": 1,
    "mV": 2,
    "mm": 1,
    "ms": 0,
    "s": 1,
    "min": 0,
    "mL": 0,
    "L/min": 1,
    "L/min/m2": 1,
    "mL/cm[H2O]": 0,
    "cm[H2O].s/L": 0,
    "[pH]": 2,
    "mmol/L": 1,
    "meq/L": 1,
    "g/dL": 1,
    "umol/L": 0,
    "mg/dL": 0,
    "cm": 1,
    "kg/m2": 1,
    "m2": 2,
    "mL/min": 0,
}
AS_SENT: frozenset[str] = frozenset({
    "1", "Ohm", "kg", "mL/h", "ug/kg/min", "mg/mL", "mg", "mg/h", "[iU]", "[iU]/h", "[iU]/kg/h", "[iU]/mL", "mmol",
    "mmol/h",
})  # fmt: skip
# Metrics that differ from others in their unit, by reference id and unit; None: as sent.
BY_METRIC: dict[tuple[str, str], int | None] = {
    ("MDC_BLD_PERF_INDEX", "%"): 2,
    ("MDC_PULS_OXIM_PERF_REL", "%"): 2,
    ("MDC_SAT_O2_ART", "%"): 1,
    ("VITALWIRE_SAT_O2_BLD", "%"): 1,
    ("MDC_CONC_AWAY_AGENT_INSP", "%"): 1,
    ("MDC_CONC_AWAY_AGENT_ET", "%"): 1,
    ("MDC_CONC_AWAY_SEVOFL_INSP", "%"): 1,
    ("MDC_CONC_AWAY_SEVOFL_ET", "%"): 1,
    ("MDC_CONC_AWAY_DESFL_INSP", "%"): 1,
    ("MDC_CONC_AWAY_DESFL_ET", "%"): 1,
    ("MDC_CONC_AWAY_ISOFL_INSP", "%"): 1,
    ("MDC_CONC_AWAY_ISOFL_ET", "%"): 1,
    ("MDC_CONC_AWAY_CO2_ET", "%"): 1,
    ("MDC_CONC_AWAY_CO2_EXP", "%"): 1,
    ("MDC_CONC_AWAY_CO2_INSP", "%"): 1,
    ("MDC_CONC_AWAY_CO2", "%"): 1,
    ("MDC_CONC_HB_MET_GEN", "%"): 1,
    ("MDC_CONC_HB_CO_GEN", "%"): 1,
    ("MDC_CONC_PCO2_ART", "mm[Hg]"): 1,
    ("MDC_CONC_PO2_ART", "mm[Hg]"): 1,
    ("MDC_CONC_PCO2_VEN", "mm[Hg]"): 1,
    ("MDC_CONC_PO2_VEN", "mm[Hg]"): 1,
    ("MDC_CONC_PCO2_GEN", "mm[Hg]"): 1,
    ("MDC_CONC_PO2_GEN", "mm[Hg]"): 1,
    ("MDC_CONC_CA_GEN", "mmol/L"): 2,
    ("MDC_CONC_CA_GEN", "meq/L"): 2,
    ("MDC_CONC_CA_GEN", "mg/dL"): 1,
    ("VITALWIRE_CONC_CREATININE_BLD", "mg/dL"): 2,
    ("VITALWIRE_CONC_LACTATE_BLD", "mg/dL"): 1,
    ("VITALWIRE_CONC_LACTATE_ART", "mg/dL"): 1,
    ("MDC_VENT_TIME_PD_INSP_SETTING", "s"): 2,
    ("MDC_TIME_PD_APNEA", "s"): 0,
    ("MDC_VOL_FLUID_TBI", "mL"): None,
    ("MDC_VOL_FLUID_TBI_REMAIN", "mL"): None,
    ("MDC_VOL_FLUID_DELIV", "mL"): None,
    ("MDC_VOL_FLUID_DELIV_SEGMENT", "mL"): None,
    ("MDC_VOL_FLUID_DELIV_TOTAL", "mL"): None,
    ("MDC_VOL_SYRINGE", "mL"): None,
    ("MDC_VOL_SYRINGE_ACTUAL", "mL"): None,
    ("MDC_VENT_PRESS_OCCL", "cm[H2O]"): 1,
    ("MDC_CONC_AWAY_HALOTH_INSP", "%"): 1,
    ("MDC_CONC_AWAY_HALOTH_ET", "%"): 1,
    ("MDC_CONC_AWAY_ENFL_INSP", "%"): 1,
    ("MDC_CONC_AWAY_ENFL_ET", "%"): 1,
}


def display_digits(code: int, stored: Unit | None) -> int | None:
    """How many a monitor shows of this metric in the unit it is stored in; None: as sent.

    `stored` is `nomenclature.canonical_unit`: None where that is unknown or not the metric's, and so is then what a
    monitor would show.
    """
    metric = METRIC_BY_CODE.get(code)
    if metric is None or stored is None:
        return None
    name = (metric.reference_id, stored.ucum)
    return BY_METRIC[name] if name in BY_METRIC else BY_UNIT.get(stored.ucum)
