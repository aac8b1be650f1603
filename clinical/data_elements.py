"""What Chinese hospitals call what is charted: data elements of WS 363, units as WS/T 500 documents write them.

Codes as the templates of C0020 (生命体征测量记录) and C0017 have them. C0020 has neither 血氧饱和度 nor 心率: there
DE04.10.206.00 is 起搏器心率, the heart rate of a pacemaker; in other documents it is the patient's. What has no code of
its own there has none here.
"""

from __future__ import annotations

from dataclasses import dataclass

OID = "2.16.156.10011.2.2.1"  # of the code system


@dataclass(frozen=True)
class DataElement:
    """`name` is the standard's."""

    code: str
    name: str


_TEMPERATURE = DataElement("DE04.10.186.00", "体温")
_PULSE_RATE = DataElement("DE04.10.118.00", "脉率")
_RESPIRATORY_RATE = DataElement("DE04.10.081.00", "呼吸频率")
_SYSTOLIC = DataElement("DE04.10.174.00", "收缩压")
_DIASTOLIC = DataElement("DE04.10.176.00", "舒张压")
_WEIGHT = DataElement("DE04.10.188.00", "体重")
_HEIGHT = DataElement("DE04.10.167.00", "身高")

# By item: a metric's reference id, or a key of clinical/chart_items.py. Temperatures of the body by any route, but not
# of the skin and of the airway; pressures where the site is known to be an artery.
DATA_ELEMENTS: dict[str, DataElement] = {
    "MDC_TEMP": _TEMPERATURE,
    "MDC_TEMP_BODY": _TEMPERATURE,
    "MDC_TEMP_CORE": _TEMPERATURE,
    "MDC_TEMP_TYMP": _TEMPERATURE,
    "MDC_TEMP_EAR": _TEMPERATURE,
    "MDC_TEMP_ORAL": _TEMPERATURE,
    "MDC_TEMP_RECT": _TEMPERATURE,
    "MDC_TEMP_AXILLA": _TEMPERATURE,
    "MDC_TEMP_AXIL": _TEMPERATURE,
    "MDC_TEMP_ESOPH": _TEMPERATURE,
    "MDC_TEMP_NASOPH": _TEMPERATURE,
    "MDC_TEMP_FOLEY": _TEMPERATURE,
    "MDC_TEMP_BLD": _TEMPERATURE,
    "MDC_PULS_RATE": _PULSE_RATE,
    "MDC_BLD_PULS_RATE_INV": _PULSE_RATE,
    "MDC_PULS_OXIM_PULS_RATE": _PULSE_RATE,
    "MDC_PULS_RATE_NON_INV": _PULSE_RATE,
    "MDC_ECG_HEART_RATE": DataElement("DE04.10.206.00", "心率"),
    "MDC_RESP_RATE": _RESPIRATORY_RATE,
    "MDC_AWAY_RESP_RATE": _RESPIRATORY_RATE,
    "MDC_TTHOR_RESP_RATE": _RESPIRATORY_RATE,
    "MDC_CO2_RESP_RATE": _RESPIRATORY_RATE,
    "MDC_ACOUSTIC_RESP_RATE": _RESPIRATORY_RATE,
    "MDC_PULS_OXIM_PLETH_RESP_RATE": _RESPIRATORY_RATE,
    "MDC_PRESS_BLD_NONINV_SYS": _SYSTOLIC,
    "MDC_PRESS_BLD_NONINV_DIA": _DIASTOLIC,
    "MDC_PRESS_BLD_ART_SYS": _SYSTOLIC,
    "MDC_PRESS_BLD_ART_DIA": _DIASTOLIC,
    "MDC_PRESS_BLD_ART_ABP_SYS": _SYSTOLIC,
    "MDC_PRESS_BLD_ART_ABP_DIA": _DIASTOLIC,
    "MDC_PULS_OXIM_SAT_O2": DataElement("DE04.50.149.00", "血氧饱和度"),
    "MDC_MASS_BODY_ACTUAL": _WEIGHT,
    "MDC_LEN_BODY_ACTUAL": _HEIGHT,
    "weight": _WEIGHT,
    "height": _HEIGHT,
}
# By UCUM; of all others the UCUM code stands for itself.
UNITS_ZH: dict[str, str] = {
    "/min": "次/min",
    "Cel": "℃",
    "mm[Hg]": "mmHg",
    "cm[H2O]": "cmH₂O",
    "{score}": "分",
}
