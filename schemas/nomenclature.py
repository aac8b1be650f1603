"""What can be measured, and in which unit: terms of ISO/IEEE 11073-10101 (MDC) beside UCUM and LOINC.

A code is a CF_CODE10: partition x 65536 + term. 2 holds metrics, 258 their settings, 1 objects and attributes, 4 units;
1024 holds private codes, here those of this project: metrics that LOINC alone names, and units without an MDC code.
Every code was found in at least one public table or message, named in its row and described in `SOURCES`; public tables
contradict each other, so what is disputed, and what was left out for it, stands in docs/nomenclature.md.
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import NamedTuple

VERSION = "6"


class Unit(NamedTuple):
    """A unit: value in the dimension's base unit = value x factor + offset."""

    reference_id: str
    code: int
    ucum: str
    dimension: str
    factor: float
    offset: float


class AlternateUnit(NamedTuple):
    """Another canonical unit of a metric, in another dimension: its reference id, and what is possible in it."""

    unit: str
    low: float
    high: float


class Metric(NamedTuple):
    """A thing that is measured; `unit` is the reference id of its canonical unit.

    `low` to `high` is what is physically possible or a device can say, in the canonical unit; never an alarm range.
    `short` is what a monitor's screen calls it. `loinc` is None where no public mapping was found.
    `also`: what is sent in one of these dimensions is stored in that unit, because nothing in the message converts it
    (a gas in per cent needs the barometer, glucose in mg/dL its molar mass, ST in mm the gain). See `canonical_unit`.
    """

    reference_id: str
    code: int
    unit: str
    loinc: str | None
    low: float
    high: float
    short: str
    en: str
    zh: str
    source: str
    also: tuple[AlternateUnit, ...] = ()


SOURCES: dict[str, str] = {
    "B. Braun": "B. Braun SpacePlus, IHE PCD-01 and PCD-10 messages and two public receivers of them",
    "DICOM": "DICOM PS3.16, ECG context groups (2:term is a term of partition 2)",
    "DK Core": "HL7 Denmark, DK Core, value sets IEEEBasicObservation and LoincBasicObservation",
    "eCQM": "eCQM value sets of laboratory tests (VSAC), each LOINC code with its long name",
    "FHIR": "HL7 FHIR R4, example observation with sampled ECG data",
    "GECCO": "German Corona Consensus Dataset and NAPKON GECCO+: LOINC value sets of laboratory tests, blood gas"
    " examples",
    "GE": "GE Healthcare, B40/B20 HL7 Reference Manual 2062665-001 G, PCD-01 sample messages",
    "HL7 samples": "HL7 v2 and IHE PCD-01 sample messages in public receivers and collections of national formats",
    "MII ICU": "German medical informatics initiative and gematik ISiK, intensive care: LOINC beside MDC in FSH"
    " profiles",
    "MII survey": "MII lung function module: survey of ISO/IEEE 11073-10101 (2024-12-05), each code looked up at a"
    " server",
    "MIMIC": "MIMIC-III laboratory items (category blood gas) mapped to LOINC, in public code",
    "Mindray": "Mindray gateway, HL7 2.6 (PCD-01) parameter and waveform tables and messages in public receivers",
    "PHD": "IEEE 11073-20601 personal health devices: nomenclature headers (Antidote), HL7 PHD guide",
    "Philips": "Philips IntelliVue Data Export Interface, NOM_ identifiers in public readers (term of MDC_ in"
    " partition 2, 4)",
    "RTM 2011": "infusion status specification of 2013 against the Rosetta Terminology Mapping of 2011, in public code",
    "RTMMS": "NIST RTMMS export: rosetta_terms.xml, unit_terms.xml",
}

# Base units: 1, /min, m, m2, L, g, s, L/min, L/min/m2, Pa, Cel, mV, Ohm, mL/cm[H2O], cm[H2O].s/L, kg/m2, [pH], mmol/L,
# meq/L, g/L, g/min, g/kg/min, [iU], [iU]/mL, [iU]/min, [iU]/kg/min, mol, mmol/h.
# Codes: Philips, PHD and RTMMS. UCUM of counted things is without annotation, as FHIR's vital signs ask for it.
# fmt: off
UNITS: tuple[Unit, ...] = (
    Unit("MDC_DIM_DIMLESS", 262656, "1", "ratio", 1.0, 0.0),
    Unit("MDC_DIM_PERCENT", 262688, "%", "ratio", 0.01, 0.0),
    Unit("MDC_DIM_PARTS_PER_10_TO_MINUS_3", 262720, "[ppth]", "ratio", 1e-3, 0.0),
    Unit("MDC_DIM_PARTS_PER_10_TO_MINUS_6", 262752, "[ppm]", "ratio", 1e-6, 0.0),
    Unit("MDC_DIM_PER_MIN", 264672, "/min", "frequency", 1.0, 0.0),
    Unit("MDC_DIM_BEAT_PER_MIN", 264864, "/min", "frequency", 1.0, 0.0),
    Unit("MDC_DIM_PULS_PER_MIN", 264896, "/min", "frequency", 1.0, 0.0),
    Unit("MDC_DIM_RESP_PER_MIN", 264928, "/min", "frequency", 1.0, 0.0),
    Unit("MDC_DIM_PER_HR", 264704, "/h", "frequency", 0.016666666666666666, 0.0),
    Unit("MDC_DIM_HZ", 264640, "Hz", "frequency", 60.0, 0.0),
    Unit("MDC_DIM_X_M", 263424, "m", "length", 1.0, 0.0),
    Unit("MDC_DIM_CENTI_M", 263441, "cm", "length", 0.01, 0.0),
    Unit("MDC_DIM_MILLI_M", 263442, "mm", "length", 0.001, 0.0),
    Unit("MDC_DIM_X_INCH", 263520, "[in_i]", "length", 0.0254, 0.0),
    Unit("MDC_DIM_SQ_X_M", 263616, "m2", "area", 1.0, 0.0),
    Unit("MDC_DIM_X_L", 263744, "L", "volume", 1.0, 0.0),
    Unit("MDC_DIM_MILLI_L", 263762, "mL", "volume", 0.001, 0.0),
    Unit("MDC_DIM_X_G", 263872, "g", "mass", 1.0, 0.0),
    Unit("MDC_DIM_KILO_G", 263875, "kg", "mass", 1000.0, 0.0),
    Unit("MDC_DIM_MILLI_G", 263890, "mg", "mass", 1e-3, 0.0),
    Unit("MDC_DIM_MICRO_G", 263891, "ug", "mass", 1e-6, 0.0),
    Unit("MDC_DIM_NANO_G", 263892, "ng", "mass", 1e-9, 0.0),
    Unit("MDC_DIM_X_LB", 263904, "[lb_av]", "mass", 453.59237, 0.0),
    Unit("MDC_DIM_SEC", 264320, "s", "time", 1.0, 0.0),
    Unit("MDC_DIM_MILLI_SEC", 264338, "ms", "time", 1e-3, 0.0),
    Unit("MDC_DIM_MICRO_SEC", 264339, "us", "time", 1e-6, 0.0),
    Unit("MDC_DIM_MIN", 264352, "min", "time", 60.0, 0.0),
    Unit("MDC_DIM_HR", 264384, "h", "time", 3600.0, 0.0),
    Unit("MDC_DIM_DAY", 264416, "d", "time", 86400.0, 0.0),
    Unit("MDC_DIM_X_L_PER_MIN", 265216, "L/min", "volume flow", 1.0, 0.0),
    Unit("MDC_DIM_X_L_PER_SEC", 265184, "L/s", "volume flow", 60.0, 0.0),
    Unit("MDC_DIM_MILLI_L_PER_MIN", 265234, "mL/min", "volume flow", 0.001, 0.0),
    Unit("MDC_DIM_X_L_PER_HR", 265248, "L/h", "volume flow", 0.016666666666666666, 0.0),
    Unit("MDC_DIM_MILLI_L_PER_HR", 265266, "mL/h", "volume flow", 1.6666666666666667e-05, 0.0),
    Unit("MDC_DIM_X_L_PER_DAY", 265280, "L/d", "volume flow", 0.0006944444444444445, 0.0),
    Unit("MDC_DIM_MILLI_L_PER_DAY", 265298, "mL/d", "volume flow", 6.944444444444445e-07, 0.0),
    Unit("MDC_DIM_X_L_PER_MIN_PER_M_SQ", 264992, "L/min/m2", "flow index", 1.0, 0.0),
    Unit("MDC_DIM_MILLI_L_PER_MIN_PER_M_SQ", 265010, "mL/min/m2", "flow index", 0.001, 0.0),
    Unit("MDC_DIM_X_PASCAL", 265984, "Pa", "pressure", 1.0, 0.0),
    Unit("MDC_DIM_HECTO_PASCAL", 265986, "hPa", "pressure", 100.0, 0.0),
    Unit("MDC_DIM_KILO_PASCAL", 265987, "kPa", "pressure", 1000.0, 0.0),
    Unit("MDC_DIM_MMHG", 266016, "mm[Hg]", "pressure", 133.322387415, 0.0),
    Unit("MDC_DIM_CM_H2O", 266048, "cm[H2O]", "pressure", 98.0665, 0.0),
    Unit("MDC_DIM_MILLI_BAR", 266098, "mbar", "pressure", 100.0, 0.0),
    Unit("MDC_DIM_DEGC", 268192, "Cel", "temperature", 1.0, 0.0),
    Unit("MDC_DIM_FAHR", 266560, "[degF]", "temperature", 0.5555555555555556, -17.77777777777778),
    Unit("MDC_DIM_KELVIN", 266528, "K", "temperature", 1.0, -273.15),
    Unit("MDC_DIM_MILLI_VOLT", 266418, "mV", "electric potential", 1.0, 0.0),
    Unit("MDC_DIM_MICRO_VOLT", 266419, "uV", "electric potential", 0.001, 0.0),
    Unit("MDC_DIM_X_VOLT", 266400, "V", "electric potential", 1000.0, 0.0),
    Unit("MDC_DIM_X_OHM", 266432, "Ohm", "electric resistance", 1.0, 0.0),
    Unit("MDC_DIM_MILLI_L_PER_CM_H2O", 268050, "mL/cm[H2O]", "compliance", 1.0, 0.0),
    Unit("MDC_DIM_CM_H2O_PER_L_PER_SEC", 268064, "cm[H2O].s/L", "airway resistance", 1.0, 0.0),
    Unit("MDC_DIM_KG_PER_M_SQ", 264096, "kg/m2", "mass per area", 1.0, 0.0),
    # Laboratory: what a blood gas analyser and a glucose meter say
    Unit("MDC_DIM_PH", 263136, "[pH]", "acidity", 1.0, 0.0),
    Unit("MDC_DIM_MILLI_MOLE_PER_L", 266866, "mmol/L", "substance concentration", 1.0, 0.0),
    Unit("MDC_DIM_MICRO_MOLE_PER_L", 266867, "umol/L", "substance concentration", 0.001, 0.0),
    Unit("VITALWIRE_DIM_NANO_MOLE_PER_L", 67141633, "nmol/L", "substance concentration", 1e-06, 0.0),
    Unit("MDC_DIM_MILLI_EQUIV_PER_L", 266994, "meq/L", "equivalent concentration", 1.0, 0.0),
    Unit("MDC_DIM_X_G_PER_L", 264192, "g/L", "mass concentration", 1.0, 0.0),
    Unit("MDC_DIM_MILLI_G_PER_L", 264210, "mg/L", "mass concentration", 0.001, 0.0),
    Unit("MDC_DIM_MICRO_G_PER_L", 264211, "ug/L", "mass concentration", 1e-06, 0.0),
    Unit("MDC_DIM_NANO_G_PER_L", 264212, "ng/L", "mass concentration", 1e-09, 0.0),
    Unit("MDC_DIM_X_G_PER_DL", 264256, "g/dL", "mass concentration", 10.0, 0.0),
    Unit("MDC_DIM_MILLI_G_PER_DL", 264274, "mg/dL", "mass concentration", 0.01, 0.0),
    Unit("MDC_DIM_MICRO_G_PER_DL", 264275, "ug/dL", "mass concentration", 1e-05, 0.0),
    Unit("MDC_DIM_X_G_PER_ML", 264288, "g/mL", "mass concentration", 1000.0, 0.0),
    Unit("MDC_DIM_MILLI_G_PER_ML", 264306, "mg/mL", "mass concentration", 1.0, 0.0),
    Unit("MDC_DIM_MICRO_G_PER_ML", 264307, "ug/mL", "mass concentration", 0.001, 0.0),
    Unit("MDC_DIM_NANO_G_PER_ML", 264308, "ng/mL", "mass concentration", 1e-06, 0.0),
    Unit("MDC_DIM_PICO_G_PER_ML", 264309, "pg/mL", "mass concentration", 1e-09, 0.0),
    # Doses of a pump: by time, by weight; in grams, international units or moles
    Unit("MDC_DIM_X_G_PER_MIN", 265472, "g/min", "mass rate", 1.0, 0.0),
    Unit("MDC_DIM_MILLI_G_PER_MIN", 265490, "mg/min", "mass rate", 0.001, 0.0),
    Unit("MDC_DIM_MICRO_G_PER_MIN", 265491, "ug/min", "mass rate", 1e-06, 0.0),
    Unit("MDC_DIM_NANO_G_PER_MIN", 265492, "ng/min", "mass rate", 1e-09, 0.0),
    Unit("MDC_DIM_X_G_PER_HR", 265504, "g/h", "mass rate", 0.016666666666666666, 0.0),
    Unit("MDC_DIM_MILLI_G_PER_HR", 265522, "mg/h", "mass rate", 1.6666666666666667e-05, 0.0),
    Unit("MDC_DIM_MICRO_G_PER_HR", 265523, "ug/h", "mass rate", 1.6666666666666667e-08, 0.0),
    Unit("MDC_DIM_NANO_G_PER_HR", 265524, "ng/h", "mass rate", 1.6666666666666667e-11, 0.0),
    Unit("MDC_DIM_X_G_PER_KG_PER_MIN", 265600, "g/kg/min", "mass rate per weight", 1.0, 0.0),
    Unit("MDC_DIM_MILLI_G_PER_KG_PER_MIN", 265618, "mg/kg/min", "mass rate per weight", 0.001, 0.0),
    Unit("MDC_DIM_MICRO_G_PER_KG_PER_MIN", 265619, "ug/kg/min", "mass rate per weight", 1e-06, 0.0),
    Unit("MDC_DIM_NANO_G_PER_KG_PER_MIN", 265620, "ng/kg/min", "mass rate per weight", 1e-09, 0.0),
    Unit("MDC_DIM_X_G_PER_KG_PER_HR", 265632, "g/kg/h", "mass rate per weight", 0.016666666666666666, 0.0),
    Unit("MDC_DIM_MILLI_G_PER_KG_PER_HR", 265650, "mg/kg/h", "mass rate per weight", 1.6666666666666667e-05, 0.0),
    Unit("MDC_DIM_MICRO_G_PER_KG_PER_HR", 265651, "ug/kg/h", "mass rate per weight", 1.6666666666666667e-08, 0.0),
    Unit("MDC_DIM_NANO_G_PER_KG_PER_HR", 265652, "ng/kg/h", "mass rate per weight", 1.6666666666666667e-11, 0.0),
    Unit("MDC_DIM_X_INTL_UNIT", 267616, "[iU]", "international units", 1.0, 0.0),
    Unit("MDC_DIM_MILLI_INTL_UNIT", 267634, "m[iU]", "international units", 0.001, 0.0),
    Unit("MDC_DIM_X_INTL_UNIT_PER_ML", 267744, "[iU]/mL", "international unit concentration", 1.0, 0.0),
    Unit("MDC_DIM_MILLI_INTL_UNIT_PER_ML", 267762, "m[iU]/mL", "international unit concentration", 0.001, 0.0),
    Unit("MDC_DIM_X_INTL_UNIT_PER_MIN", 267808, "[iU]/min", "international unit rate", 1.0, 0.0),
    Unit("MDC_DIM_MILLI_INTL_UNIT_PER_MIN", 267826, "m[iU]/min", "international unit rate", 0.001, 0.0),
    Unit("MDC_DIM_X_INTL_UNIT_PER_HR", 267840, "[iU]/h", "international unit rate", 0.016666666666666666, 0.0),
    Unit("MDC_DIM_MILLI_INTL_UNIT_PER_HR", 267858, "m[iU]/h", "international unit rate", 1.6666666666666667e-05, 0.0),
    Unit("MDC_DIM_X_INTL_UNIT_PER_KG_PER_MIN", 267936, "[iU]/kg/min", "international unit rate per weight", 1.0, 0.0),
    Unit("MDC_DIM_MILLI_INTL_UNIT_PER_KG_PER_MIN", 267954, "m[iU]/kg/min", "international unit rate per weight", 0.001,
        0.0),
    Unit("MDC_DIM_X_INTL_UNIT_PER_KG_PER_HR", 267968, "[iU]/kg/h", "international unit rate per weight",
        0.016666666666666666, 0.0),
    Unit("MDC_DIM_MILLI_INTL_UNIT_PER_KG_PER_HR", 267986, "m[iU]/kg/h", "international unit rate per weight",
        1.6666666666666667e-05, 0.0),
    Unit("MDC_DIM_X_MOLE", 266688, "mol", "amount of substance", 1.0, 0.0),
    Unit("MDC_DIM_MILLI_MOLE", 266706, "mmol", "amount of substance", 0.001, 0.0),
    Unit("VITALWIRE_DIM_MILLI_MOLE_PER_HR", 67141634, "mmol/h", "substance rate", 1.0, 0.0),
    # Ventilators that measure in millibar
    Unit("VITALWIRE_DIM_MILLI_L_PER_MILLI_BAR", 67141635, "mL/mbar", "compliance", 0.980665, 0.0),
    Unit("VITALWIRE_DIM_MILLI_BAR_PER_L_PER_SEC", 67141636, "mbar.s/L", "airway resistance", 1.0197162129779282, 0.0),
)

# One millimetre of paper is 0.1 mV at the usual gain alone.
_ST_MM = (AlternateUnit("MDC_DIM_MILLI_M", -100.0, 100.0),)
_GAS_PERCENT = (AlternateUnit("MDC_DIM_PERCENT", 0.0, 100.0),)
_GAS_MMHG = (AlternateUnit("MDC_DIM_MMHG", 0.0, 760.0),)
_GLUCOSE_MASS = (AlternateUnit("MDC_DIM_MILLI_G_PER_DL", 0.0, 2700.0),)
_LACTATE_MASS = (AlternateUnit("MDC_DIM_MILLI_G_PER_DL", 0.0, 540.0),)
_CREATININE_MASS = (AlternateUnit("MDC_DIM_MILLI_G_PER_DL", 0.0, 115.0),)
_UREA_MASS = (AlternateUnit("MDC_DIM_MILLI_G_PER_DL", 0.0, 1200.0),)
_HEMOGLOBIN_MOLES = (AlternateUnit("MDC_DIM_MILLI_MOLE_PER_L", 0.0, 25.0),)
# How many moles an equivalent is depends on the ion.
_EQUIVALENTS = (AlternateUnit("MDC_DIM_MILLI_EQUIV_PER_L", 0.0, 300.0),)
_BASE_EXCESS_MEQ = (AlternateUnit("MDC_DIM_MILLI_EQUIV_PER_L", -60.0, 60.0),)
_CALCIUM = (AlternateUnit("MDC_DIM_MILLI_EQUIV_PER_L", 0.0, 40.0), AlternateUnit("MDC_DIM_MILLI_G_PER_DL", 0.0, 80.0))
_DOSES = (AlternateUnit("MDC_DIM_X_INTL_UNIT", 0.0, 1e9), AlternateUnit("MDC_DIM_MILLI_MOLE", 0.0, 1e6))
_DOSE_RATES = (
    AlternateUnit("MDC_DIM_MILLI_G_PER_HR", 0.0, 1e6), AlternateUnit("MDC_DIM_X_INTL_UNIT_PER_HR", 0.0, 1e9),
    AlternateUnit("MDC_DIM_X_INTL_UNIT_PER_KG_PER_HR", 0.0, 1e8),
    AlternateUnit("VITALWIRE_DIM_MILLI_MOLE_PER_HR", 0.0, 1e5),
)
_DRUG_CONCENTRATIONS = (AlternateUnit("MDC_DIM_X_INTL_UNIT_PER_ML", 0.0, 1e9),
    AlternateUnit("MDC_DIM_MILLI_MOLE_PER_L", 0.0, 1e5))

METRICS: tuple[Metric, ...] = (
    # Heart and pulse
    Metric("MDC_ECG_HEART_RATE", 147842, "MDC_DIM_BEAT_PER_MIN", "8867-4", 0.0, 400.0, "HR", "Heart rate", "心率",
        "DK Core; GE; MII ICU; Mindray"),
    Metric("MDC_ECG_V_P_C_RATE", 148066, "MDC_DIM_BEAT_PER_MIN", None, 0.0, 400.0, "PVC",
        "Premature ventricular contractions per minute", "室性早搏频率", "GE; Mindray; Philips"),
    Metric("MDC_ECG_V_P_C_CNT", 148065, "MDC_DIM_BEAT_PER_MIN", None, 0.0, 400.0, "PVC count",
        "Premature ventricular contractions, counted over a minute", "室性早搏计数", "Philips"),
    Metric("MDC_PULS_RATE", 149514, "MDC_DIM_BEAT_PER_MIN", None, 0.0, 400.0, "Pulse", "Pulse rate", "脉搏",
        "DK Core; MII ICU; Philips"),
    Metric("MDC_BLD_PULS_RATE_INV", 149522, "MDC_DIM_BEAT_PER_MIN", None, 0.0, 400.0, "PR-IBP",
        "Pulse rate, invasive blood pressure", "有创血压脉率", "DK Core; GE"),
    Metric("MDC_PULS_OXIM_PULS_RATE", 149530, "MDC_DIM_BEAT_PER_MIN", "8889-8", 0.0, 400.0, "PR",
        "Pulse rate, pulse oximetry", "血氧脉率", "DK Core; Mindray"),
    Metric("MDC_PULS_RATE_NON_INV", 149546, "MDC_DIM_BEAT_PER_MIN", None, 0.0, 400.0, "PR-NIBP",
        "Pulse rate, noninvasive blood pressure", "无创血压脉率", "DK Core; Mindray"),
    Metric("MDC_ECG_TIME_PD_QRS_GL", 147228, "MDC_DIM_MILLI_SEC", "8633-0", 0.0, 1000.0, "QRS", "QRS duration", "QRS时限",
        "DICOM; Mindray"),
    Metric("MDC_ECG_TIME_PD_QT_GL", 147232, "MDC_DIM_MILLI_SEC", "8634-8", 0.0, 2000.0, "QT", "QT interval", "QT间期",
        "DICOM; Mindray; Philips"),
    # ST segments
    Metric("MDC_ECG_AMPL_ST_I", 131841, "MDC_DIM_MILLI_VOLT", None, -10.0, 10.0, "ST-I", "ST amplitude, lead I",
        "I导联ST段", "Mindray; Philips", also=_ST_MM),
    Metric("MDC_ECG_AMPL_ST_II", 131842, "MDC_DIM_MILLI_VOLT", None, -10.0, 10.0, "ST-II", "ST amplitude, lead II",
        "II导联ST段", "Mindray; Philips", also=_ST_MM),
    Metric("MDC_ECG_AMPL_ST_III", 131901, "MDC_DIM_MILLI_VOLT", None, -10.0, 10.0, "ST-III", "ST amplitude, lead III",
        "III导联ST段", "Mindray; Philips", also=_ST_MM),
    Metric("MDC_ECG_AMPL_ST_AVR", 131902, "MDC_DIM_MILLI_VOLT", None, -10.0, 10.0, "ST-aVR", "ST amplitude, lead aVR",
        "aVR导联ST段", "Mindray; Philips", also=_ST_MM),
    Metric("MDC_ECG_AMPL_ST_AVL", 131903, "MDC_DIM_MILLI_VOLT", None, -10.0, 10.0, "ST-aVL", "ST amplitude, lead aVL",
        "aVL导联ST段", "Mindray; Philips", also=_ST_MM),
    Metric("MDC_ECG_AMPL_ST_AVF", 131904, "MDC_DIM_MILLI_VOLT", None, -10.0, 10.0, "ST-aVF", "ST amplitude, lead aVF",
        "aVF导联ST段", "Mindray; Philips", also=_ST_MM),
    Metric("MDC_ECG_AMPL_ST_V1", 131843, "MDC_DIM_MILLI_VOLT", None, -10.0, 10.0, "ST-V1", "ST amplitude, lead V1",
        "V1导联ST段", "Mindray; Philips", also=_ST_MM),
    Metric("MDC_ECG_AMPL_ST_V2", 131844, "MDC_DIM_MILLI_VOLT", None, -10.0, 10.0, "ST-V2", "ST amplitude, lead V2",
        "V2导联ST段", "Mindray; Philips", also=_ST_MM),
    Metric("MDC_ECG_AMPL_ST_V3", 131845, "MDC_DIM_MILLI_VOLT", None, -10.0, 10.0, "ST-V3", "ST amplitude, lead V3",
        "V3导联ST段", "Mindray; Philips", also=_ST_MM),
    Metric("MDC_ECG_AMPL_ST_V4", 131846, "MDC_DIM_MILLI_VOLT", None, -10.0, 10.0, "ST-V4", "ST amplitude, lead V4",
        "V4导联ST段", "Mindray; Philips", also=_ST_MM),
    Metric("MDC_ECG_AMPL_ST_V5", 131847, "MDC_DIM_MILLI_VOLT", None, -10.0, 10.0, "ST-V5", "ST amplitude, lead V5",
        "V5导联ST段", "Mindray; Philips", also=_ST_MM),
    Metric("MDC_ECG_AMPL_ST_V6", 131848, "MDC_DIM_MILLI_VOLT", None, -10.0, 10.0, "ST-V6", "ST amplitude, lead V6",
        "V6导联ST段", "Mindray; Philips", also=_ST_MM),
    # ECG waves; the range leaves room for an electrode's offset (IEC 60601-2-27: 300 mV)
    Metric("MDC_ECG_ELEC_POTL", 131328, "MDC_DIM_MILLI_VOLT", None, -400.0, 400.0, "ECG", "ECG, lead not stated", "心电",
        "FHIR; Philips"),
    Metric("MDC_ECG_ELEC_POTL_I", 131329, "MDC_DIM_MILLI_VOLT", None, -400.0, 400.0, "I", "ECG, lead I", "心电I导联",
        "FHIR; Mindray; Philips"),
    Metric("MDC_ECG_ELEC_POTL_II", 131330, "MDC_DIM_MILLI_VOLT", None, -400.0, 400.0, "II", "ECG, lead II", "心电II导联",
        "FHIR; Mindray; Philips"),
    Metric("MDC_ECG_ELEC_POTL_III", 131389, "MDC_DIM_MILLI_VOLT", None, -400.0, 400.0, "III", "ECG, lead III",
        "心电III导联", "FHIR; Mindray; Philips"),
    Metric("MDC_ECG_ELEC_POTL_AVR", 131390, "MDC_DIM_MILLI_VOLT", None, -400.0, 400.0, "aVR", "ECG, lead aVR",
        "心电aVR导联", "Mindray; Philips"),
    Metric("MDC_ECG_ELEC_POTL_AVL", 131391, "MDC_DIM_MILLI_VOLT", None, -400.0, 400.0, "aVL", "ECG, lead aVL",
        "心电aVL导联", "Mindray; Philips"),
    Metric("MDC_ECG_ELEC_POTL_AVF", 131392, "MDC_DIM_MILLI_VOLT", None, -400.0, 400.0, "aVF", "ECG, lead aVF",
        "心电aVF导联", "Mindray; Philips"),
    Metric("MDC_ECG_ELEC_POTL_V", 131395, "MDC_DIM_MILLI_VOLT", None, -400.0, 400.0, "V", "ECG, chest lead V", "心电V导联",
        "Mindray; Philips"),
    Metric("MDC_ECG_ELEC_POTL_V1", 131331, "MDC_DIM_MILLI_VOLT", None, -400.0, 400.0, "V1", "ECG, lead V1", "心电V1导联",
        "Mindray; Philips"),
    Metric("MDC_ECG_ELEC_POTL_V2", 131332, "MDC_DIM_MILLI_VOLT", None, -400.0, 400.0, "V2", "ECG, lead V2", "心电V2导联",
        "Mindray; Philips"),
    Metric("MDC_ECG_ELEC_POTL_V3", 131333, "MDC_DIM_MILLI_VOLT", None, -400.0, 400.0, "V3", "ECG, lead V3", "心电V3导联",
        "Mindray; Philips"),
    Metric("MDC_ECG_ELEC_POTL_V4", 131334, "MDC_DIM_MILLI_VOLT", None, -400.0, 400.0, "V4", "ECG, lead V4", "心电V4导联",
        "Mindray; Philips"),
    Metric("MDC_ECG_ELEC_POTL_V5", 131335, "MDC_DIM_MILLI_VOLT", None, -400.0, 400.0, "V5", "ECG, lead V5", "心电V5导联",
        "Mindray; Philips"),
    Metric("MDC_ECG_ELEC_POTL_V6", 131336, "MDC_DIM_MILLI_VOLT", None, -400.0, 400.0, "V6", "ECG, lead V6", "心电V6导联",
        "Mindray; Philips"),
    # Oxygen saturation: 150324 is of a blood sample or catheter, and is not SpO2, whatever some tables say
    Metric("MDC_PULS_OXIM_SAT_O2", 150456, "MDC_DIM_PERCENT", "59408-5", 0.0, 100.0, "SpO2",
        "Oxygen saturation, pulse oximetry", "血氧饱和度", "DK Core; GE; MII ICU; Mindray; Philips"),
    Metric("MDC_SAT_O2_ART", 150324, "MDC_DIM_PERCENT", "2708-6", 0.0, 100.0, "SaO2",
        "Oxygen saturation, arterial blood", "动脉血氧饱和度", "DK Core; Mindray; Philips"),
    Metric("MDC_SAT_O2_VEN", 150332, "MDC_DIM_PERCENT", None, 0.0, 100.0, "SvO2",
        "Oxygen saturation, mixed venous blood", "混合静脉血氧饱和度", "Mindray; Philips"),
    Metric("MDC_PULS_OXIM_PERF_REL", 150448, "MDC_DIM_PERCENT", "61006-3", 0.0, 100.0, "Perf",
        "Relative perfusion, pulse oximetry", "相对灌注", "PHD; Philips"),
    Metric("MDC_BLD_PERF_INDEX", 150488, "MDC_DIM_PERCENT", "61006-3", 0.0, 100.0, "PI", "Perfusion index", "灌注指数",
        "Mindray"),
    Metric("MDC_PULS_OXIM_PLETH", 150452, "MDC_DIM_DIMLESS", None, -32768.0, 32767.0, "Pleth", "Plethysmogram", "容积脉搏波",
        "Mindray; PHD; Philips"),
    # Blood pressure, noninvasive
    Metric("MDC_PRESS_BLD_NONINV_SYS", 150021, "MDC_DIM_MMHG", "8480-6", 0.0, 350.0, "NIBP-S",
        "Systolic blood pressure, noninvasive", "无创收缩压", "DK Core; Philips"),
    Metric("MDC_PRESS_BLD_NONINV_DIA", 150022, "MDC_DIM_MMHG", "8462-4", 0.0, 350.0, "NIBP-D",
        "Diastolic blood pressure, noninvasive", "无创舒张压", "DK Core; Philips"),
    Metric("MDC_PRESS_BLD_NONINV_MEAN", 150023, "MDC_DIM_MMHG", "8478-0", 0.0, 350.0, "NIBP-M",
        "Mean blood pressure, noninvasive", "无创平均压", "DK Core; Philips"),
    Metric("MDC_PRESS_CUFF", 150300, "MDC_DIM_MMHG", None, 0.0, 350.0, "Cuff", "Cuff pressure", "袖带压", "Mindray"),
    Metric("MDC_PRESS_CUFF_SYS", 150301, "MDC_DIM_MMHG", "8480-6", 0.0, 350.0, "NIBP-S",
        "Systolic blood pressure, cuff", "袖带收缩压", "Mindray"),
    Metric("MDC_PRESS_CUFF_DIA", 150302, "MDC_DIM_MMHG", "8462-4", 0.0, 350.0, "NIBP-D",
        "Diastolic blood pressure, cuff", "袖带舒张压", "Mindray"),
    Metric("MDC_PRESS_CUFF_MEAN", 150303, "MDC_DIM_MMHG", "8478-0", 0.0, 350.0, "NIBP-M", "Mean blood pressure, cuff",
        "袖带平均压", "Mindray"),
    # Blood pressure, invasive: the first of each four is the wave
    Metric("MDC_PRESS_BLD", 150016, "MDC_DIM_MMHG", None, -50.0, 400.0, "P", "Blood pressure, site not stated", "有创血压",
        "Mindray; Philips"),
    Metric("MDC_PRESS_BLD_SYS", 150017, "MDC_DIM_MMHG", None, -50.0, 400.0, "P-S", "Systolic pressure, site not stated",
        "有创收缩压", "Mindray; Philips"),
    Metric("MDC_PRESS_BLD_DIA", 150018, "MDC_DIM_MMHG", None, -50.0, 400.0, "P-D",
        "Diastolic pressure, site not stated", "有创舒张压", "Mindray; Philips"),
    Metric("MDC_PRESS_BLD_MEAN", 150019, "MDC_DIM_MMHG", None, -50.0, 400.0, "P-M", "Mean pressure, site not stated",
        "有创平均压", "Mindray; Philips"),
    Metric("MDC_PRESS_BLD_ART", 150032, "MDC_DIM_MMHG", None, -50.0, 400.0, "ART", "Arterial blood pressure", "动脉压",
        "Mindray; Philips"),
    Metric("MDC_PRESS_BLD_ART_SYS", 150033, "MDC_DIM_MMHG", "76215-3", -50.0, 400.0, "ART-S",
        "Systolic arterial pressure", "动脉收缩压", "GE; Philips"),
    Metric("MDC_PRESS_BLD_ART_DIA", 150034, "MDC_DIM_MMHG", "76213-8", -50.0, 400.0, "ART-D",
        "Diastolic arterial pressure", "动脉舒张压", "GE; Philips"),
    Metric("MDC_PRESS_BLD_ART_MEAN", 150035, "MDC_DIM_MMHG", "76214-6", -50.0, 400.0, "ART-M", "Mean arterial pressure",
        "动脉平均压", "GE; Philips"),
    Metric("MDC_PRESS_BLD_ART_ABP", 150036, "MDC_DIM_MMHG", None, -50.0, 400.0, "ABP", "Arterial blood pressure (ABP)",
        "动脉血压", "Philips"),
    Metric("MDC_PRESS_BLD_ART_ABP_SYS", 150037, "MDC_DIM_MMHG", "76215-3", -50.0, 400.0, "ABP-S",
        "Systolic arterial blood pressure (ABP)", "动脉血压收缩压", "Mindray; Philips"),
    Metric("MDC_PRESS_BLD_ART_ABP_DIA", 150038, "MDC_DIM_MMHG", "76213-8", -50.0, 400.0, "ABP-D",
        "Diastolic arterial blood pressure (ABP)", "动脉血压舒张压", "Mindray; Philips"),
    Metric("MDC_PRESS_BLD_ART_ABP_MEAN", 150039, "MDC_DIM_MMHG", "76214-6", -50.0, 400.0, "ABP-M",
        "Mean arterial blood pressure (ABP)", "动脉血压平均压", "Mindray; Philips"),
    Metric("MDC_PRESS_BLD_ART_PULM", 150044, "MDC_DIM_MMHG", None, -50.0, 400.0, "PAP", "Pulmonary artery pressure",
        "肺动脉压", "MII ICU; Mindray; Philips"),
    Metric("MDC_PRESS_BLD_ART_PULM_SYS", 150045, "MDC_DIM_MMHG", "8440-0", -50.0, 400.0, "PAP-S",
        "Systolic pulmonary artery pressure", "肺动脉收缩压", "MII ICU; Philips"),
    Metric("MDC_PRESS_BLD_ART_PULM_DIA", 150046, "MDC_DIM_MMHG", "8385-7", -50.0, 400.0, "PAP-D",
        "Diastolic pulmonary artery pressure", "肺动脉舒张压", "MII ICU; Philips"),
    Metric("MDC_PRESS_BLD_ART_PULM_MEAN", 150047, "MDC_DIM_MMHG", "8414-5", -50.0, 400.0, "PAP-M",
        "Mean pulmonary artery pressure", "肺动脉平均压", "MII ICU; Philips"),
    Metric("MDC_PRESS_BLD_ART_PULM_WEDGE", 150052, "MDC_DIM_MMHG", "75994-4", -50.0, 400.0, "PAWP",
        "Pulmonary artery wedge pressure", "肺动脉楔压", "MII ICU; Mindray; Philips"),
    Metric("MDC_PRESS_BLD_ATR_LEFT", 150064, "MDC_DIM_MMHG", "60988-3", -50.0, 400.0, "LAP", "Left atrial pressure",
        "左房压", "MII ICU; Mindray; Philips"),
    Metric("MDC_PRESS_BLD_ATR_LEFT_MEAN", 150067, "MDC_DIM_MMHG", None, -50.0, 400.0, "LAP-M",
        "Mean left atrial pressure", "左房平均压", "MII ICU; Philips"),
    Metric("MDC_PRESS_BLD_ATR_RIGHT", 150068, "MDC_DIM_MMHG", "60996-6", -50.0, 400.0, "RAP", "Right atrial pressure",
        "右房压", "MII ICU; Mindray; Philips"),
    Metric("MDC_PRESS_BLD_ATR_RIGHT_MEAN", 150071, "MDC_DIM_MMHG", None, -50.0, 400.0, "RAP-M",
        "Mean right atrial pressure", "右房平均压", "MII ICU; Philips"),
    Metric("MDC_PRESS_BLD_VEN_CENT", 150084, "MDC_DIM_MMHG", "60985-9", -50.0, 400.0, "CVP", "Central venous pressure",
        "中心静脉压", "MII ICU; Mindray; Philips"),
    Metric("MDC_PRESS_BLD_VEN_CENT_MEAN", 150087, "MDC_DIM_MMHG", None, -50.0, 400.0, "CVP-M",
        "Mean central venous pressure", "中心静脉平均压", "Philips"),
    Metric("MDC_PRESS_CEREB_PERF", 153604, "MDC_DIM_MMHG", None, -100.0, 400.0, "CPP", "Cerebral perfusion pressure",
        "脑灌注压", "Mindray; Philips"),
    Metric("MDC_PRESS_INTRA_CRAN", 153608, "MDC_DIM_MMHG", "60956-0", -50.0, 400.0, "ICP", "Intracranial pressure",
        "颅内压", "MII ICU; Mindray; Philips"),
    Metric("MDC_PRESS_INTRA_CRAN_MEAN", 153611, "MDC_DIM_MMHG", None, -50.0, 400.0, "ICP-M",
        "Mean intracranial pressure", "平均颅内压", "Philips"),
    # Cardiac output
    Metric("MDC_OUTPUT_CARD", 150276, "MDC_DIM_X_L_PER_MIN", "8741-1", 0.0, 50.0, "CO", "Cardiac output", "心输出量",
        "MII ICU; Philips"),
    Metric("MDC_OUTPUT_CARD_INDEX", 149772, "MDC_DIM_X_L_PER_MIN_PER_M_SQ", None, 0.0, 30.0, "CI", "Cardiac index",
        "心指数", "MII ICU; Philips"),
    Metric("MDC_VOL_BLD_STROKE", 150404, "MDC_DIM_MILLI_L", None, 0.0, 500.0, "SV", "Stroke volume", "每搏量", "Philips"),
    # Temperature; the range is what probes measure, a cold or feverish patient lies well inside
    Metric("MDC_TEMP", 150344, "MDC_DIM_DEGC", "8310-5", 0.0, 50.0, "T", "Temperature, site not stated", "体温",
        "GE; Mindray; Philips"),
    Metric("MDC_TEMP_BODY", 150364, "MDC_DIM_DEGC", "8310-5", 0.0, 50.0, "Tbody", "Body temperature", "身体温度",
        "DK Core; MII ICU; PHD"),
    Metric("MDC_TEMP_CORE", 150368, "MDC_DIM_DEGC", "8329-5", 0.0, 50.0, "Tcore", "Core temperature", "核心温度",
        "DK Core; Mindray; Philips"),
    Metric("MDC_TEMP_SKIN", 150388, "MDC_DIM_DEGC", None, 0.0, 50.0, "Tskin", "Skin temperature", "皮肤温度",
        "DK Core; Mindray; Philips"),
    Metric("MDC_TEMP_TYMP", 150392, "MDC_DIM_DEGC", "8333-7", 0.0, 50.0, "Ttymp", "Tympanic temperature", "鼓膜温度",
        "DK Core; MII ICU; Mindray; Philips"),
    Metric("MDC_TEMP_EAR", 188428, "MDC_DIM_DEGC", None, 0.0, 50.0, "Tear", "Ear temperature", "耳温",
        "DK Core; Mindray"),
    Metric("MDC_TEMP_ORAL", 188424, "MDC_DIM_DEGC", "8331-1", 0.0, 50.0, "Toral", "Oral temperature", "口腔温度",
        "DK Core; MII ICU; Mindray; PHD"),
    Metric("MDC_TEMP_RECT", 188420, "MDC_DIM_DEGC", "8332-9", 0.0, 50.0, "Trect", "Rectal temperature", "直肠温度",
        "DK Core; MII ICU; Mindray; Philips"),
    Metric("MDC_TEMP_AXILLA", 188452, "MDC_DIM_DEGC", "8328-7", 0.0, 50.0, "Taxil", "Axillary temperature", "腋温",
        "DK Core"),
    Metric("MDC_TEMP_AXIL", 188496, "MDC_DIM_DEGC", "8328-7", 0.0, 50.0, "Taxil", "Axillary temperature (monitor)",
        "腋下体温", "Mindray"),
    Metric("MDC_TEMP_ESOPH", 150372, "MDC_DIM_DEGC", "60836-4", 0.0, 50.0, "Tesoph", "Esophageal temperature", "食管温度",
        "MII ICU; Mindray; Philips"),
    Metric("MDC_TEMP_NASOPH", 150380, "MDC_DIM_DEGC", "60838-0", 0.0, 50.0, "Tnaso", "Nasopharyngeal temperature",
        "鼻咽温度", "MII ICU; Mindray; Philips"),
    Metric("MDC_TEMP_FOLEY", 150348, "MDC_DIM_DEGC", "8334-5", 0.0, 50.0, "Tblad", "Urinary bladder temperature",
        "膀胱温度", "Mindray"),
    Metric("MDC_TEMP_BLD", 188436, "MDC_DIM_DEGC", "60834-9", 0.0, 50.0, "Tblood", "Blood temperature", "血温",
        "MII ICU; Mindray; Philips"),
    Metric("MDC_TEMP_AWAY", 150356, "MDC_DIM_DEGC", "60955-2", 0.0, 60.0, "Tairway", "Airway temperature", "气道温度",
        "MII ICU; Mindray; Philips"),
    # Breathing; the patient's own rates share the LOINC code that FHIR's vital signs ask for
    Metric("MDC_RESP_RATE", 151562, "MDC_DIM_RESP_PER_MIN", "9279-1", 0.0, 200.0, "RR", "Respiratory rate", "呼吸率",
        "DK Core; GE; Philips"),
    Metric("MDC_AWAY_RESP_RATE", 151570, "MDC_DIM_RESP_PER_MIN", "9279-1", 0.0, 200.0, "awRR",
        "Respiratory rate, airway flow", "气道呼吸率", "DK Core; Philips"),
    Metric("MDC_TTHOR_RESP_RATE", 151578, "MDC_DIM_RESP_PER_MIN", "9279-1", 0.0, 200.0, "RR-imp",
        "Respiratory rate, thoracic impedance", "胸阻抗呼吸率", "DK Core; Mindray"),
    Metric("MDC_CO2_RESP_RATE", 151594, "MDC_DIM_RESP_PER_MIN", "9279-1", 0.0, 200.0, "RR-CO2",
        "Respiratory rate, carbon dioxide", "二氧化碳呼吸率", "DK Core; Mindray"),
    Metric("MDC_ACOUSTIC_RESP_RATE", 151650, "MDC_DIM_RESP_PER_MIN", "9279-1", 0.0, 200.0, "RRa",
        "Respiratory rate, acoustic", "声学呼吸率", "DK Core"),
    Metric("MDC_PULS_OXIM_PLETH_RESP_RATE", 151658, "MDC_DIM_RESP_PER_MIN", "9279-1", 0.0, 200.0, "RRp",
        "Respiratory rate, plethysmogram", "脉搏波呼吸率", "DK Core"),
    Metric("MDC_IMPED_TTHOR", 151780, "MDC_DIM_X_OHM", None, -10000.0, 10000.0, "Resp", "Thoracic impedance", "胸阻抗呼吸波",
        "Mindray; Philips"),
    Metric("MDC_TIME_PD_APNEA", 151856, "MDC_DIM_SEC", None, 0.0, 3600.0, "Apnea", "Apnea time", "窒息时间", "Philips"),
    # Airway gas; a partial pressure and a concentration need the barometer between them: not converted, stored as sent
    Metric("MDC_CONC_AWAY_CO2", 151700, "MDC_DIM_MMHG", None, 0.0, 760.0, "CO2", "Airway carbon dioxide", "气道二氧化碳",
        "Mindray; Philips", also=_GAS_PERCENT),
    Metric("MDC_CONC_AWAY_CO2_ET", 151708, "MDC_DIM_MMHG", "19891-1", 0.0, 760.0, "EtCO2", "End-tidal carbon dioxide",
        "呼气末二氧化碳", "MII ICU; MII survey; Mindray; Philips", also=_GAS_PERCENT),
    Metric("MDC_CONC_AWAY_CO2_EXP", 151712, "MDC_DIM_MMHG", None, 0.0, 760.0, "EtCO2", "Expired carbon dioxide",
        "呼出二氧化碳", "GE", also=_GAS_PERCENT),
    Metric("MDC_CONC_AWAY_CO2_INSP", 151716, "MDC_DIM_MMHG", None, 0.0, 760.0, "FiCO2", "Inspired carbon dioxide",
        "吸入二氧化碳", "Mindray", also=_GAS_PERCENT),
    Metric("MDC_AWAY_CO2", 151724, "MDC_DIM_MMHG", None, 0.0, 760.0, "CO2", "Airway carbon dioxide, partial pressure",
        "气道二氧化碳分压", "Philips"),
    Metric("MDC_AWAY_CO2_ET", 151728, "MDC_DIM_MMHG", "19891-1", 0.0, 760.0, "EtCO2",
        "End-tidal carbon dioxide, partial pressure", "呼气末二氧化碳分压", "Philips"),
    Metric("MDC_AWAY_CO2_INSP_MIN", 151738, "MDC_DIM_MMHG", None, 0.0, 760.0, "imCO2",
        "Minimum inspired carbon dioxide", "最低吸入二氧化碳分压", "Philips"),
    Metric("MDC_CONC_AWAY_O2", 151908, "MDC_DIM_PERCENT", None, 0.0, 100.0, "O2", "Airway oxygen", "气道氧浓度", "Philips",
        also=_GAS_MMHG),
    Metric("MDC_CONC_AWAY_O2_INSP", 152196, "MDC_DIM_PERCENT", "71835-3", 0.0, 100.0, "FiO2", "Inspired oxygen",
        "吸入氧浓度", "MII survey; Mindray; Philips", also=_GAS_MMHG),
    Metric("MDC_CONC_GASDLV_O2_INSP", 153144, "MDC_DIM_PERCENT", None, 0.0, 100.0, "FiO2",
        "Inspired oxygen, breathing circuit", "回路吸入氧浓度", "MII survey", also=_GAS_MMHG),
    Metric("MDC_CONC_AWAY_O2_ET", 152440, "MDC_DIM_PERCENT", None, 0.0, 100.0, "EtO2", "End-tidal oxygen", "呼气末氧浓度",
        "Mindray; Philips", also=_GAS_MMHG),
    Metric("MDC_CONC_AWAY_N2O_INSP", 152192, "MDC_DIM_PERCENT", None, 0.0, 100.0, "FiN2O", "Inspired nitrous oxide",
        "吸入笑气浓度", "Mindray; Philips", also=_GAS_MMHG),
    Metric("MDC_CONC_AWAY_N2O_ET", 152108, "MDC_DIM_PERCENT", None, 0.0, 100.0, "EtN2O", "End-tidal nitrous oxide",
        "呼气末笑气浓度", "Mindray; Philips", also=_GAS_MMHG),
    Metric("MDC_CONC_AWAY_AGENT_INSP", 152464, "MDC_DIM_PERCENT", None, 0.0, 100.0, "FiAA", "Inspired anesthetic agent",
        "吸入麻醉剂浓度", "Mindray; Philips", also=_GAS_MMHG),
    Metric("MDC_CONC_AWAY_AGENT_ET", 152460, "MDC_DIM_PERCENT", None, 0.0, 100.0, "EtAA", "End-tidal anesthetic agent",
        "呼气末麻醉剂浓度", "Mindray; Philips", also=_GAS_MMHG),
    Metric("MDC_CONC_AWAY_SEVOFL_INSP", 152180, "MDC_DIM_PERCENT", None, 0.0, 100.0, "FiSev", "Inspired sevoflurane",
        "吸入七氟烷浓度", "Philips", also=_GAS_MMHG),
    Metric("MDC_CONC_AWAY_SEVOFL_ET", 152096, "MDC_DIM_PERCENT", None, 0.0, 100.0, "EtSev", "End-tidal sevoflurane",
        "呼气末七氟烷浓度", "Philips", also=_GAS_MMHG),
    Metric("MDC_CONC_AWAY_DESFL_INSP", 152168, "MDC_DIM_PERCENT", None, 0.0, 100.0, "FiDes", "Inspired desflurane",
        "吸入地氟烷浓度", "Philips", also=_GAS_MMHG),
    Metric("MDC_CONC_AWAY_DESFL_ET", 152084, "MDC_DIM_PERCENT", None, 0.0, 100.0, "EtDes", "End-tidal desflurane",
        "呼气末地氟烷浓度", "Philips", also=_GAS_MMHG),
    Metric("MDC_CONC_AWAY_ISOFL_INSP", 152184, "MDC_DIM_PERCENT", None, 0.0, 100.0, "FiIso", "Inspired isoflurane",
        "吸入异氟烷浓度", "Philips", also=_GAS_MMHG),
    Metric("MDC_CONC_AWAY_ISOFL_ET", 152100, "MDC_DIM_PERCENT", None, 0.0, 100.0, "EtIso", "End-tidal isoflurane",
        "呼气末异氟烷浓度", "Philips", also=_GAS_MMHG),
    Metric("MDC_CO2_TCUT", 151756, "MDC_DIM_MMHG", None, 0.0, 760.0, "tcpCO2", "Transcutaneous carbon dioxide",
        "经皮二氧化碳分压", "Philips"),
    Metric("MDC_O2_TCUT", 151760, "MDC_DIM_MMHG", None, 0.0, 760.0, "tcpO2", "Transcutaneous oxygen", "经皮氧分压",
        "Philips"),
    # Ventilator: pressures
    Metric("MDC_PRESS_AWAY", 151792, "MDC_DIM_CM_H2O", None, -100.0, 200.0, "Paw", "Airway pressure", "气道压", "Philips"),
    Metric("MDC_PRESS_AWAY_INSP_MAX", 151817, "MDC_DIM_CM_H2O", None, -100.0, 200.0, "PIP", "Peak inspiratory pressure",
        "吸气峰压", "Philips"),
    Metric("MDC_PRESS_AWAY_INSP_MEAN", 151819, "MDC_DIM_CM_H2O", None, -100.0, 200.0, "Pmean",
        "Mean inspiratory airway pressure", "吸气平均气道压", "Mindray"),
    Metric("MDC_VENT_PRESS_MAX", 151957, "MDC_DIM_CM_H2O", None, -100.0, 200.0, "Ppeak", "Peak airway pressure", "气道峰压",
        "Mindray"),
    Metric("MDC_VENT_PRESS_AWAY_MAX", 151973, "MDC_DIM_CM_H2O", "76531-3", -100.0, 200.0, "Pmax",
        "Maximum airway pressure on ventilator", "最大气道压", "MII ICU; MII survey"),
    Metric("MDC_VENT_PRESS_AWAY_MEAN", 151975, "MDC_DIM_CM_H2O", "76530-5", -100.0, 200.0, "Pmean",
        "Mean airway pressure on ventilator", "平均气道压", "MII ICU; MII survey"),
    Metric("MDC_VENT_PRESS_AWAY_END_EXP_POS", 151976, "MDC_DIM_CM_H2O", "76248-4", -100.0, 200.0, "PEEP",
        "Positive end-expiratory pressure", "呼气末正压", "MII ICU; MII survey; Philips"),
    Metric("MDC_PRESS_AWAY_END_EXP_POS_INTRINSIC", 151808, "MDC_DIM_CM_H2O", None, -100.0, 200.0, "PEEPi",
        "Intrinsic positive end-expiratory pressure", "内源性呼气末正压", "MII survey; Philips"),
    Metric("MDC_PRESS_AWAY_END_EXP_POS_TOTAL", 152788, "MDC_DIM_CM_H2O", None, -100.0, 200.0, "PEEPtot",
        "Total positive end-expiratory pressure", "总呼气末正压", "MII survey"),
    Metric("MDC_PRESS_RESP_PLAT", 151784, "MDC_DIM_CM_H2O", None, -100.0, 200.0, "Pplat", "Plateau pressure", "平台压",
        "Mindray; Philips"),
    Metric("MDC_VENT_PRESS_RESP_PLAT", 152424, "MDC_DIM_CM_H2O", None, -100.0, 200.0, "Pplat",
        "Plateau pressure on ventilator", "机械通气平台压", "MII survey; Philips"),
    Metric("MDC_VENT_PRESS_AWAY_DELTA", 152720, "MDC_DIM_CM_H2O", None, -100.0, 200.0, "ΔP",
        "Inspiratory pressure above PEEP", "吸气压力差", "MII survey"),
    # Ventilator: flow, volume, rate, time
    Metric("MDC_FLOW_AWAY", 151764, "MDC_DIM_X_L_PER_MIN", None, -500.0, 500.0, "Flow", "Airway flow", "气道流速",
        "Philips"),
    Metric("MDC_VENT_FLOW_INSP", 151948, "MDC_DIM_X_L_PER_MIN", "60794-5", 0.0, 500.0, "InspFlow",
        "Inspiratory flow on ventilator", "吸气流速", "MII ICU; MII survey; Philips"),
    Metric("MDC_VENT_FLOW_EXP", 151944, "MDC_DIM_X_L_PER_MIN", "60792-9", 0.0, 500.0, "ExpFlow",
        "Expiratory flow on ventilator", "呼气流速", "MII ICU; MII survey"),
    Metric("MDC_VOL_AWAY_TIDAL", 151868, "MDC_DIM_MILLI_L", None, 0.0, 10000.0, "TV", "Tidal volume", "潮气量",
        "MII survey; Philips"),
    Metric("MDC_VOL_AWAY_TIDAL_INSP", 152660, "MDC_DIM_MILLI_L", None, 0.0, 10000.0, "TVi", "Inspiratory tidal volume",
        "吸入潮气量", "MII survey"),
    Metric("MDC_VOL_AWAY_TIDAL_EXP", 152664, "MDC_DIM_MILLI_L", None, 0.0, 10000.0, "TVe", "Expiratory tidal volume",
        "呼出潮气量", "MII survey"),
    Metric("MDC_VENT_VOL_TIDAL", 151980, "MDC_DIM_MILLI_L", "76222-9", 0.0, 10000.0, "VT", "Tidal volume on ventilator",
        "机械通气潮气量", "MII ICU; MII survey"),
    Metric("MDC_VENT_VOL_TIDAL_SETTING", 16929196, "MDC_DIM_MILLI_L", "20112-9", 0.0, 10000.0, "sVT",
        "Tidal volume, setting", "潮气量设置", "MII ICU; MII survey"),
    Metric("MDC_VOL_MINUTE_AWAY", 151880, "MDC_DIM_X_L_PER_MIN", None, 0.0, 200.0, "MV", "Minute volume", "分钟通气量",
        "MII survey; Mindray; Philips"),
    Metric("MDC_VENT_VOL_MINUTE", 151996, "MDC_DIM_X_L_PER_MIN", None, 0.0, 200.0, "MV", "Minute volume on ventilator",
        "机械分钟通气量", "MII survey"),
    Metric("MDC_VENT_VOL_MINUTE_INSP", 152004, "MDC_DIM_X_L_PER_MIN", "76009-0", 0.0, 200.0, "MVi",
        "Inspired minute volume", "吸入分钟通气量", "MII ICU; MII survey"),
    Metric("MDC_VENT_VOL_MINUTE_EXP", 152000, "MDC_DIM_X_L_PER_MIN", None, 0.0, 200.0, "MVe", "Expired minute volume",
        "呼出分钟通气量", "MII survey"),
    Metric("MDC_VENT_VOL_LEAK_PERCENT", 153224, "MDC_DIM_PERCENT", None, 0.0, 100.0, "Leak", "Leakage", "漏气百分比",
        "MII survey"),
    Metric("MDC_VENT_RESP_RATE", 151586, "MDC_DIM_RESP_PER_MIN", "33438-3", 0.0, 2000.0, "f", "Ventilation rate",
        "机械通气频率", "MII ICU; MII survey"),
    Metric("MDC_VENT_RESP_BTSD_PSAZC_RATE", 152490, "MDC_DIM_RESP_PER_MIN", "19840-8", 0.0, 2000.0, "ftot",
        "Total breath rate on ventilator", "总呼吸频率", "MII ICU; MII survey"),
    Metric("MDC_VENT_RESP_BTSD_P_RATE", 152498, "MDC_DIM_RESP_PER_MIN", None, 0.0, 200.0, "fspn",
        "Spontaneous breath rate on ventilator", "自主呼吸频率", "MII ICU; MII survey"),
    Metric("MDC_RATIO_IE", 151832, "MDC_DIM_DIMLESS", "75931-6", 0.0, 100.0, "I:E",
        "Inspiration to expiration time ratio", "吸呼比", "MII ICU; MII survey; Philips"),
    Metric("MDC_VENT_TIME_PD_INSP_SETTING", 16929632, "MDC_DIM_SEC", "76334-2", 0.0, 100.0, "sTinsp",
        "Inspiratory time, setting", "吸气时间设置", "MII ICU"),
    # Ventilator: mechanics of the lung
    Metric("MDC_COMPL_LUNG", 151688, "MDC_DIM_MILLI_L_PER_CM_H2O", None, 0.0, 1000.0, "C",
        "Compliance of the respiratory system", "呼吸系统顺应性", "MII survey; Philips"),
    Metric("MDC_COMPL_LUNG_STATIC", 151696, "MDC_DIM_MILLI_L_PER_CM_H2O", None, 0.0, 1000.0, "Cstat",
        "Static compliance", "静态顺应性", "MII survey; Philips"),
    Metric("MDC_COMPL_LUNG_DYNAMIC", 152600, "MDC_DIM_MILLI_L_PER_CM_H2O", None, 0.0, 1000.0, "Cdyn",
        "Dynamic compliance", "动态顺应性", "MII survey"),
    Metric("MDC_RES_AWAY", 151840, "MDC_DIM_CM_H2O_PER_L_PER_SEC", None, 0.0, 1000.0, "Raw", "Airway resistance",
        "气道阻力", "MII survey; Philips"),
    Metric("MDC_RES_AWAY_EXP", 151844, "MDC_DIM_CM_H2O_PER_L_PER_SEC", None, 0.0, 1000.0, "Rexp",
        "Expiratory airway resistance", "呼气阻力", "MII survey; Philips"),
    Metric("MDC_RES_AWAY_INSP", 151848, "MDC_DIM_CM_H2O_PER_L_PER_SEC", None, 0.0, 1000.0, "Rinsp",
        "Inspiratory airway resistance", "吸气阻力", "MII survey; Philips"),
    # Infusion pump
    Metric("MDC_FLOW_FLUID_PUMP", 157784, "MDC_DIM_MILLI_L_PER_HR", None, 0.0, 10000.0, "Rate",
        "Infusion rate, programmed", "输注速度", "B. Braun; RTM 2011"),
    Metric("MDC_FLOW_FLUID_PUMP_CURRENT", 158014, "MDC_DIM_MILLI_L_PER_HR", None, 0.0, 10000.0, "Rate now",
        "Infusion rate, current", "当前输注速度", "B. Braun"),
    Metric("MDC_VOL_FLUID_TBI", 157884, "MDC_DIM_MILLI_L", None, 0.0, 100000.0, "VTBI", "Volume to be infused", "预置输液量",
        "B. Braun; RTM 2011"),
    Metric("MDC_VOL_FLUID_TBI_REMAIN", 157872, "MDC_DIM_MILLI_L", None, 0.0, 100000.0, "VTBI left",
        "Volume to be infused, remaining", "剩余输液量", "B. Braun; RTM 2011"),
    Metric("MDC_VOL_FLUID_DELIV", 157864, "MDC_DIM_MILLI_L", None, 0.0, 100000.0, "Vol", "Volume infused", "已输液量",
        "RTM 2011"),
    Metric("MDC_VOL_FLUID_DELIV_SEGMENT", 157992, "MDC_DIM_MILLI_L", None, 0.0, 100000.0, "Vol seg",
        "Volume infused, segment", "本段已输液量", "B. Braun"),
    Metric("MDC_VOL_FLUID_DELIV_TOTAL", 157993, "MDC_DIM_MILLI_L", None, 0.0, 100000.0, "Vol tot",
        "Volume infused, total", "累计输液量", "B. Braun"),
    Metric("MDC_TIME_PD_PROG", 157996, "MDC_DIM_MIN", None, 0.0, 100000.0, "Time", "Infusion time, programmed",
        "预置输注时间", "B. Braun"),
    Metric("MDC_TIME_PD_REMAIN", 157916, "MDC_DIM_MIN", None, 0.0, 100000.0, "Time left", "Infusion time, remaining",
        "剩余输注时间", "B. Braun"),
    Metric("MDC_VOL_SYRINGE", 157880, "MDC_DIM_MILLI_L", None, 0.0, 1000.0, "Syringe", "Syringe size", "注射器规格",
        "B. Braun"),
    Metric("MDC_VOL_SYRINGE_ACTUAL", 157984, "MDC_DIM_MILLI_L", None, 0.0, 1000.0, "Syr vol", "Volume in syringe",
        "注射器余量", "B. Braun"),
    Metric("MDC_RATE_DOSE", 157924, "MDC_DIM_MICRO_G_PER_KG_PER_MIN", None, 0.0, 1e6, "Dose rate", "Drug dose rate",
        "给药剂量速率", "HL7 samples", also=_DOSE_RATES),
    Metric("MDC_CONC_DRUG", 157760, "MDC_DIM_MILLI_G_PER_ML", None, 0.0, 10000.0, "Drug conc", "Drug concentration",
        "药物浓度", "B. Braun; HL7 samples; RTM 2011", also=_DRUG_CONCENTRATIONS),
    Metric("MDC_DOSE_DRUG_TBI", 157999, "MDC_DIM_MILLI_G", None, 0.0, 1e6, "DTBI", "Drug dose to be infused", "预置给药剂量",
        "B. Braun", also=_DOSES),
    Metric("MDC_DOSE_DRUG_TBI_REMAIN", 158000, "MDC_DIM_MILLI_G", None, 0.0, 1e6, "DTBI left",
        "Drug dose to be infused, remaining", "剩余给药剂量", "B. Braun", also=_DOSES),
    Metric("MDC_DOSE_DRUG_DELIV_SEGMENT", 158003, "MDC_DIM_MILLI_G", None, 0.0, 1e6, "Dose seg",
        "Drug dose infused, segment", "本段已给剂量", "B. Braun", also=_DOSES),
    Metric("MDC_DOSE_DRUG_DELIV_TOTAL", 158001, "MDC_DIM_MILLI_G", None, 0.0, 1e6, "Dose tot",
        "Drug dose infused, total", "累计已给剂量", "B. Braun", also=_DOSES),
    # Blood gas, electrolytes, co-oximetry: Philips' monitors show an analyser's results under these codes
    Metric("MDC_CONC_PH_ART", 159748, "MDC_DIM_PH", "2744-1", 6.0, 9.0, "pHa", "pH, arterial blood", "动脉血液酸碱度",
        "DICOM; Philips"),
    Metric("MDC_CONC_PCO2_ART", 159752, "MDC_DIM_MMHG", "2019-8", 0.0, 760.0, "PaCO2",
        "Carbon dioxide partial pressure, arterial blood", "动脉血液二氧化碳分压", "DICOM; Philips"),
    Metric("MDC_CONC_PO2_ART", 159756, "MDC_DIM_MMHG", "2703-7", 0.0, 2500.0, "PaO2",
        "Oxygen partial pressure, arterial blood", "动脉血液氧分压", "DICOM; Philips"),
    Metric("MDC_CONC_PH_VEN", 159796, "MDC_DIM_PH", "2746-6", 6.0, 9.0, "pHv", "pH, venous blood", "静脉血液酸碱度",
        "DICOM; Philips"),
    Metric("MDC_CONC_PCO2_VEN", 159800, "MDC_DIM_MMHG", "2021-4", 0.0, 760.0, "PvCO2",
        "Carbon dioxide partial pressure, venous blood", "静脉血液二氧化碳分压", "DICOM; Philips"),
    Metric("MDC_CONC_PO2_VEN", 159804, "MDC_DIM_MMHG", "2705-2", 0.0, 2500.0, "PvO2",
        "Oxygen partial pressure, venous blood", "静脉血液氧分压", "DICOM; Philips"),
    Metric("MDC_CONC_PH_GEN", 160004, "MDC_DIM_PH", "11558-4", 6.0, 9.0, "pH", "pH, blood", "血液酸碱度", "DICOM; Philips"),
    Metric("MDC_CONC_PCO2_GEN", 160064, "MDC_DIM_MMHG", "11557-6", 0.0, 760.0, "pCO2",
        "Carbon dioxide partial pressure, blood", "血液二氧化碳分压", "DICOM; Philips"),
    Metric("MDC_CONC_PO2_GEN", 160116, "MDC_DIM_MMHG", "11556-8", 0.0, 2500.0, "pO2", "Oxygen partial pressure, blood",
        "血液氧分压", "DICOM; Philips"),
    Metric("MDC_CONC_HCO3_GEN", 160008, "MDC_DIM_MILLI_MOLE_PER_L", "1959-6", 0.0, 100.0, "HCO3", "Bicarbonate, blood",
        "血碳酸氢根", "MIMIC; Philips", also=_EQUIVALENTS),
    Metric("MDC_BASE_EXCESS_BLD_ART", 160108, "MDC_DIM_MILLI_MOLE_PER_L", "1925-7", -60.0, 60.0, "BEa",
        "Base excess, arterial blood", "动脉血碱剩余", "DICOM; Philips", also=_BASE_EXCESS_MEQ),
    Metric("MDC_CONC_NA_GEN", 160012, "MDC_DIM_MILLI_MOLE_PER_L", "2947-0", 0.0, 300.0, "Na", "Sodium, blood", "血钠",
        "MIMIC; Philips", also=_EQUIVALENTS),
    Metric("MDC_CONC_K_GEN", 160016, "MDC_DIM_MILLI_MOLE_PER_L", "6298-4", 0.0, 50.0, "K", "Potassium, blood", "血钾",
        "MIMIC; Philips", also=_EQUIVALENTS),
    Metric("MDC_CONC_CHLORIDE_GEN", 160104, "MDC_DIM_MILLI_MOLE_PER_L", "2069-3", 0.0, 300.0, "Cl", "Chloride, blood",
        "血氯", "MIMIC; Philips", also=_EQUIVALENTS),
    Metric("MDC_CONC_CA_GEN", 160024, "MDC_DIM_MILLI_MOLE_PER_L", "1994-3", 0.0, 20.0, "iCa", "Ionized calcium, blood",
        "血离子钙", "MIMIC; Philips", also=_CALCIUM),
    Metric("MDC_CONC_HB_ART", 159764, "MDC_DIM_X_G_PER_DL", "30313-1", 0.0, 40.0, "Hba", "Hemoglobin, arterial blood",
        "动脉血血红蛋白", "eCQM; Mindray; Philips", also=_HEMOGLOBIN_MOLES),
    Metric("MDC_CONC_HCT_GEN", 160132, "MDC_DIM_PERCENT", "20570-8", 0.0, 100.0, "Hct", "Hematocrit, blood", "红细胞压积",
        "MIMIC; Mindray; Philips"),
    Metric("MDC_CONC_HB_MET_GEN", 160124, "MDC_DIM_PERCENT", "2614-6", -5.0, 100.0, "MetHb",
        "Methemoglobin fraction, blood", "高铁血红蛋白比例", "MIMIC; Philips"),
    Metric("MDC_CONC_HB_CO_GEN", 160128, "MDC_DIM_PERCENT", "20563-3", -5.0, 100.0, "COHb",
        "Carboxyhemoglobin fraction, blood", "碳氧血红蛋白比例", "MIMIC; Philips"),
    # Glucose, by what it was measured in; a control solution's (MDC_CONC_GLU_CONTROL) is nobody's value and has no row
    Metric("MDC_CONC_GLU_GEN", 160020, "MDC_DIM_MILLI_MOLE_PER_L", "2339-0", 0.0, 150.0, "Glu", "Glucose, blood", "血糖",
        "PHD; Philips", also=_GLUCOSE_MASS),
    Metric("MDC_CONC_GLU_CAPILLARY_WHOLEBLOOD", 160184, "MDC_DIM_MILLI_MOLE_PER_L", "32016-8", 0.0, 150.0, "Glu",
        "Glucose, capillary whole blood", "毛细血管全血葡萄糖", "eCQM; PHD", also=_GLUCOSE_MASS),
    Metric("MDC_CONC_GLU_CAPILLARY_PLASMA", 160188, "MDC_DIM_MILLI_MOLE_PER_L", None, 0.0, 150.0, "Glu",
        "Glucose, capillary plasma", "毛细血管血浆葡萄糖", "PHD", also=_GLUCOSE_MASS),
    Metric("MDC_CONC_GLU_VENOUS_WHOLEBLOOD", 160192, "MDC_DIM_MILLI_MOLE_PER_L", "41652-9", 0.0, 150.0, "Glu",
        "Glucose, venous whole blood", "静脉全血葡萄糖", "eCQM; PHD", also=_GLUCOSE_MASS),
    Metric("MDC_CONC_GLU_VENOUS_PLASMA", 160196, "MDC_DIM_MILLI_MOLE_PER_L", None, 0.0, 150.0, "Glu",
        "Glucose, venous plasma", "静脉血浆葡萄糖", "PHD", also=_GLUCOSE_MASS),
    Metric("MDC_CONC_GLU_ARTERIAL_WHOLEBLOOD", 160200, "MDC_DIM_MILLI_MOLE_PER_L", "41651-1", 0.0, 150.0, "Glu",
        "Glucose, arterial whole blood", "动脉全血葡萄糖", "eCQM; PHD", also=_GLUCOSE_MASS),
    Metric("MDC_CONC_GLU_ARTERIAL_PLASMA", 160204, "MDC_DIM_MILLI_MOLE_PER_L", None, 0.0, 150.0, "Glu",
        "Glucose, arterial plasma", "动脉血浆葡萄糖", "PHD", also=_GLUCOSE_MASS),
    Metric("MDC_CONC_GLU_UNDETERMINED_WHOLEBLOOD", 160364, "MDC_DIM_MILLI_MOLE_PER_L", None, 0.0, 150.0, "Glu",
        "Glucose, whole blood, site not stated", "全血葡萄糖", "PHD", also=_GLUCOSE_MASS),
    Metric("MDC_CONC_GLU_UNDETERMINED_PLASMA", 160368, "MDC_DIM_MILLI_MOLE_PER_L", "2345-7", 0.0, 150.0, "Glu",
        "Glucose, plasma, site not stated", "血浆葡萄糖", "eCQM; PHD", also=_GLUCOSE_MASS),
    Metric("MDC_CONC_GLU_ISF", 160212, "MDC_DIM_MILLI_MOLE_PER_L", "99504-3", 0.0, 150.0, "Glu",
        "Glucose, interstitial fluid", "组织间液葡萄糖", "eCQM; PHD", also=_GLUCOSE_MASS),
    # By LOINC alone: no public MDC code was found; ours, in partition 1024, a number is never given twice
    Metric("VITALWIRE_CONC_HB_BLD", 67108865, "MDC_DIM_X_G_PER_DL", "718-7", 0.0, 40.0, "tHb", "Hemoglobin, blood",
        "血红蛋白", "MIMIC", also=_HEMOGLOBIN_MOLES),
    Metric("VITALWIRE_CONC_LACTATE_BLD", 67108866, "MDC_DIM_MILLI_MOLE_PER_L", "32693-4", 0.0, 60.0, "Lac",
        "Lactate, blood", "血乳酸", "MIMIC", also=_LACTATE_MASS),
    Metric("VITALWIRE_CONC_LACTATE_ART", 67108867, "MDC_DIM_MILLI_MOLE_PER_L", "2518-9", 0.0, 60.0, "Lac a",
        "Lactate, arterial blood", "动脉血乳酸", "GECCO", also=_LACTATE_MASS),
    Metric("VITALWIRE_BASE_EXCESS_BLD", 67108868, "MDC_DIM_MILLI_MOLE_PER_L", "11555-0", -60.0, 60.0, "BE",
        "Base excess, blood", "血碱剩余", "DICOM; MIMIC", also=_BASE_EXCESS_MEQ),
    Metric("VITALWIRE_SAT_O2_BLD", 67108869, "MDC_DIM_PERCENT", "20564-1", 0.0, 100.0, "sO2",
        "Oxygen saturation, blood", "血样氧饱和度", "DICOM; MIMIC"),
    Metric("VITALWIRE_CONC_CREATININE_BLD", 67108870, "MDC_DIM_MICRO_MOLE_PER_L", "38483-4", 0.0, 10000.0, "Crea",
        "Creatinine, blood", "血肌酐", "eCQM; GECCO", also=_CREATININE_MASS),
    Metric("VITALWIRE_CONC_UREA_BLD", 67108871, "MDC_DIM_MILLI_MOLE_PER_L", "72903-8", 0.0, 200.0, "Urea",
        "Urea, blood", "血尿素", "GECCO", also=_UREA_MASS),
    Metric("VITALWIRE_CONC_UREA_NITROGEN_BLD", 67108872, "MDC_DIM_MILLI_G_PER_DL", "6299-2", 0.0, 600.0, "BUN",
        "Urea nitrogen, blood", "血尿素氮", "HL7 samples"),
    # Body measures and the device's battery
    Metric("MDC_MASS_BODY_ACTUAL", 188736, "MDC_DIM_KILO_G", "29463-7", 0.0, 700.0, "Weight", "Body weight", "体重",
        "DK Core; Mindray; PHD"),
    Metric("MDC_ATTR_PT_WEIGHT", 68063, "MDC_DIM_KILO_G", "29463-7", 0.0, 700.0, "Weight", "Patient weight as entered",
        "录入体重", "B. Braun; RTM 2011"),
    Metric("MDC_LEN_BODY_ACTUAL", 188740, "MDC_DIM_CENTI_M", "8302-2", 0.0, 300.0, "Height", "Body height", "身高",
        "DK Core; Mindray; PHD"),
    Metric("MDC_CIRCUM_HEAD", 153856, "MDC_DIM_CENTI_M", "9843-4", 0.0, 150.0, "HC", "Head circumference", "头围",
        "DK Core; Philips"),
    Metric("MDC_RATIO_MASS_BODY_LEN_SQ", 188752, "MDC_DIM_KG_PER_M_SQ", "39156-5", 0.0, 250.0, "BMI", "Body mass index",
        "体重指数", "DK Core; PHD"),
    Metric("MDC_AREA_BODY_SURF_ACTUAL", 188744, "MDC_DIM_SQ_X_M", None, 0.0, 6.0, "BSA", "Body surface area", "体表面积",
        "RTM 2011"),
    Metric("MDC_ATTR_VAL_BATT_CHARGE", 67996, "MDC_DIM_PERCENT", None, 0.0, 100.0, "Batt", "Battery charge", "电池电量",
        "B. Braun; PHD"),
    Metric("MDC_ATTR_TIME_BATT_REMAIN", 67976, "MDC_DIM_MIN", None, 0.0, 100000.0, "Batt left",
        "Battery time remaining", "电池剩余时间", "B. Braun; PHD"),
    # Ventilator: what intensive care ventilators and anaesthesia machines measure besides
    Metric("MDC_PRESS_AWAY_MIN", 151794, "MDC_DIM_CM_H2O", None, -100.0, 200.0, "Pmin", "Minimum airway pressure",
        "最低气道压", "Philips"),
    Metric("MDC_PRESS_AWAY_NEG_MAX", 151801, "MDC_DIM_CM_H2O", None, -200.0, 100.0, "NIF",
        "Maximum negative airway pressure", "最大气道负压", "Philips"),
    Metric("MDC_VENT_PRESS_OCCL", 151964, "MDC_DIM_CM_H2O", None, -100.0, 100.0, "P0.1", "Occlusion pressure",
        "口腔闭合压", "Philips"),
    Metric("MDC_FLOW_CO2_PROD_RESP", 151776, "MDC_DIM_MILLI_L_PER_MIN", None, 0.0, 5000.0, "VCO2",
        "Carbon dioxide production", "二氧化碳产量", "Philips"),
    Metric("MDC_VENT_VOL_AWAY_DEADSP", 151984, "MDC_DIM_MILLI_L", None, 0.0, 10000.0, "Vd", "Dead space volume", "死腔容积",
        "Philips"),
    Metric("MDC_VENT_VOL_AWAY_DEADSP_REL", 151988, "MDC_DIM_PERCENT", None, 0.0, 100.0, "Vd/VT", "Relative dead space",
        "相对死腔", "Philips"),
    Metric("MDC_VENT_VOL_LUNG_TRAPD", 151992, "MDC_DIM_MILLI_L", None, 0.0, 10000.0, "Vtrap", "Trapped lung volume",
        "陷闭肺容积", "Philips"),
    Metric("MDC_CONC_AWAY_HALOTH_INSP", 152176, "MDC_DIM_PERCENT", None, 0.0, 100.0, "FiHal", "Inspired halothane",
        "吸入氟烷浓度", "Philips", also=_GAS_MMHG),
    Metric("MDC_CONC_AWAY_HALOTH_ET", 152092, "MDC_DIM_PERCENT", None, 0.0, 100.0, "EtHal", "End-tidal halothane",
        "呼气末氟烷浓度", "Philips", also=_GAS_MMHG),
    Metric("MDC_CONC_AWAY_ENFL_INSP", 152172, "MDC_DIM_PERCENT", None, 0.0, 100.0, "FiEnf", "Inspired enflurane",
        "吸入安氟烷浓度", "Philips", also=_GAS_MMHG),
    Metric("MDC_CONC_AWAY_ENFL_ET", 152088, "MDC_DIM_PERCENT", None, 0.0, 100.0, "EtEnf", "End-tidal enflurane",
        "呼气末安氟烷浓度", "Philips", also=_GAS_MMHG),
    # Invasive pressures of which a monitor shows more than the mean
    Metric("MDC_PRESS_BLD_ATR_LEFT_SYS", 150065, "MDC_DIM_MMHG", None, -50.0, 400.0, "LAP-S",
        "Systolic left atrial pressure", "左心房收缩压", "Philips"),
    Metric("MDC_PRESS_BLD_ATR_LEFT_DIA", 150066, "MDC_DIM_MMHG", None, -50.0, 400.0, "LAP-D",
        "Diastolic left atrial pressure", "左心房舒张压", "Philips"),
    Metric("MDC_PRESS_BLD_ATR_RIGHT_SYS", 150069, "MDC_DIM_MMHG", None, -50.0, 400.0, "RAP-S",
        "Systolic right atrial pressure", "右心房收缩压", "Philips"),
    Metric("MDC_PRESS_BLD_ATR_RIGHT_DIA", 150070, "MDC_DIM_MMHG", None, -50.0, 400.0, "RAP-D",
        "Diastolic right atrial pressure", "右心房舒张压", "Philips"),
    Metric("MDC_PRESS_BLD_VEN_CENT_SYS", 150085, "MDC_DIM_MMHG", None, -50.0, 400.0, "CVP-S",
        "Systolic central venous pressure", "中心静脉收缩压", "Philips"),
    Metric("MDC_PRESS_BLD_VEN_CENT_DIA", 150086, "MDC_DIM_MMHG", None, -50.0, 400.0, "CVP-D",
        "Diastolic central venous pressure", "中心静脉舒张压", "Philips"),
    Metric("MDC_PRESS_INTRA_CRAN_SYS", 153609, "MDC_DIM_MMHG", None, -50.0, 400.0, "ICP-S",
        "Systolic intracranial pressure", "颅内收缩压", "Philips"),
    Metric("MDC_PRESS_INTRA_CRAN_DIA", 153610, "MDC_DIM_MMHG", None, -50.0, 400.0, "ICP-D",
        "Diastolic intracranial pressure", "颅内舒张压", "Philips"),
    Metric("MDC_PRESS_BLD_ART_UMB", 150056, "MDC_DIM_MMHG", None, -50.0, 400.0, "UAP",
        "Umbilical artery pressure", "脐动脉压", "Philips"),
    Metric("MDC_PRESS_BLD_ART_UMB_SYS", 150057, "MDC_DIM_MMHG", None, -50.0, 400.0, "UAP-S",
        "Systolic umbilical artery pressure", "脐动脉收缩压", "Philips"),
    Metric("MDC_PRESS_BLD_ART_UMB_DIA", 150058, "MDC_DIM_MMHG", None, -50.0, 400.0, "UAP-D",
        "Diastolic umbilical artery pressure", "脐动脉舒张压", "Philips"),
    Metric("MDC_PRESS_BLD_ART_UMB_MEAN", 150059, "MDC_DIM_MMHG", None, -50.0, 400.0, "UAP-M",
        "Mean umbilical artery pressure", "脐动脉平均压", "Philips"),
    Metric("MDC_PRESS_BLD_VEN_UMB", 150088, "MDC_DIM_MMHG", None, -50.0, 400.0, "UVP",
        "Umbilical venous pressure", "脐静脉压", "Philips"),
    Metric("MDC_PRESS_BLD_VEN_UMB_SYS", 150089, "MDC_DIM_MMHG", None, -50.0, 400.0, "UVP-S",
        "Systolic umbilical venous pressure", "脐静脉收缩压", "Philips"),
    Metric("MDC_PRESS_BLD_VEN_UMB_DIA", 150090, "MDC_DIM_MMHG", None, -50.0, 400.0, "UVP-D",
        "Diastolic umbilical venous pressure", "脐静脉舒张压", "Philips"),
    Metric("MDC_PRESS_BLD_VEN_UMB_MEAN", 150091, "MDC_DIM_MMHG", None, -50.0, 400.0, "UVP-M",
        "Mean umbilical venous pressure", "脐静脉平均压", "Philips"),
)

# A second name of the same code, as it occurs in messages.
_SYNONYMS: dict[str, int] = {
    "MDC_ECG_CARD_BEAT_RATE": 147842,
    "MDC_PRESS_BLD_ART_PULM_OCCL": 150052,
}

# What UCUM allows beside the form in UNITS: annotations, l for L, parentheses.
_UCUM_FORMS: dict[str, str] = {
    "{ratio}": "MDC_DIM_DIMLESS", "{unitless}": "MDC_DIM_DIMLESS",
    "1/min": "MDC_DIM_PER_MIN", "{beat}/min": "MDC_DIM_BEAT_PER_MIN", "{beats}/min": "MDC_DIM_BEAT_PER_MIN",
    "{pulse}/min": "MDC_DIM_PULS_PER_MIN", "{breath}/min": "MDC_DIM_RESP_PER_MIN",
    "{breaths}/min": "MDC_DIM_RESP_PER_MIN", "{resp}/min": "MDC_DIM_RESP_PER_MIN",
    "l": "MDC_DIM_X_L", "ml": "MDC_DIM_MILLI_L", "cm3": "MDC_DIM_MILLI_L",
    "l/min": "MDC_DIM_X_L_PER_MIN", "l/s": "MDC_DIM_X_L_PER_SEC", "ml/min": "MDC_DIM_MILLI_L_PER_MIN",
    "l/h": "MDC_DIM_X_L_PER_HR", "ml/h": "MDC_DIM_MILLI_L_PER_HR", "l/d": "MDC_DIM_X_L_PER_DAY",
    "ml/d": "MDC_DIM_MILLI_L_PER_DAY",
    "L/(min.m2)": "MDC_DIM_X_L_PER_MIN_PER_M_SQ", "l/min/m2": "MDC_DIM_X_L_PER_MIN_PER_M_SQ",
    "l/(min.m2)": "MDC_DIM_X_L_PER_MIN_PER_M_SQ",
    "mL/(min.m2)": "MDC_DIM_MILLI_L_PER_MIN_PER_M_SQ", "ml/(min.m2)": "MDC_DIM_MILLI_L_PER_MIN_PER_M_SQ",
    "ml/cm[H2O]": "MDC_DIM_MILLI_L_PER_CM_H2O", "cm[H2O]/(L/s)": "MDC_DIM_CM_H2O_PER_L_PER_SEC",
    "mmol/l": "MDC_DIM_MILLI_MOLE_PER_L", "umol/l": "MDC_DIM_MICRO_MOLE_PER_L",
    "nmol/l": "VITALWIRE_DIM_NANO_MOLE_PER_L", "meq/l": "MDC_DIM_MILLI_EQUIV_PER_L",
    "g/l": "MDC_DIM_X_G_PER_L", "mg/l": "MDC_DIM_MILLI_G_PER_L", "ug/l": "MDC_DIM_MICRO_G_PER_L",
    "ng/l": "MDC_DIM_NANO_G_PER_L",
    "g/dl": "MDC_DIM_X_G_PER_DL", "mg/dl": "MDC_DIM_MILLI_G_PER_DL", "ug/dl": "MDC_DIM_MICRO_G_PER_DL",
    "g/ml": "MDC_DIM_X_G_PER_ML", "mg/ml": "MDC_DIM_MILLI_G_PER_ML", "ug/ml": "MDC_DIM_MICRO_G_PER_ML",
    "ng/ml": "MDC_DIM_NANO_G_PER_ML", "pg/ml": "MDC_DIM_PICO_G_PER_ML",
    "g/(kg.min)": "MDC_DIM_X_G_PER_KG_PER_MIN", "mg/(kg.min)": "MDC_DIM_MILLI_G_PER_KG_PER_MIN",
    "ug/(kg.min)": "MDC_DIM_MICRO_G_PER_KG_PER_MIN", "ng/(kg.min)": "MDC_DIM_NANO_G_PER_KG_PER_MIN",
    "g/(kg.h)": "MDC_DIM_X_G_PER_KG_PER_HR", "mg/(kg.h)": "MDC_DIM_MILLI_G_PER_KG_PER_HR",
    "ug/(kg.h)": "MDC_DIM_MICRO_G_PER_KG_PER_HR", "ng/(kg.h)": "MDC_DIM_NANO_G_PER_KG_PER_HR",
    "[IU]": "MDC_DIM_X_INTL_UNIT", "[IU]/mL": "MDC_DIM_X_INTL_UNIT_PER_ML", "[IU]/min": "MDC_DIM_X_INTL_UNIT_PER_MIN",
    "[IU]/h": "MDC_DIM_X_INTL_UNIT_PER_HR",
    "[iU]/(kg.min)": "MDC_DIM_X_INTL_UNIT_PER_KG_PER_MIN", "m[iU]/(kg.min)": "MDC_DIM_MILLI_INTL_UNIT_PER_KG_PER_MIN",
    "[iU]/(kg.h)": "MDC_DIM_X_INTL_UNIT_PER_KG_PER_HR", "m[iU]/(kg.h)": "MDC_DIM_MILLI_INTL_UNIT_PER_KG_PER_HR",
}

# ISO+, the default of OBX-6 (HL7 2.5.1 chapter 7, ISO derived units and ISO+ extensions; lower case): what is not UCUM
# too.
_ISO_PLUS: dict[str, str] = {
    "(ppth)": "MDC_DIM_PARTS_PER_10_TO_MINUS_3", "(ppm)": "MDC_DIM_PARTS_PER_10_TO_MINUS_6", "(ph)": "MDC_DIM_PH",
    "/hr": "MDC_DIM_PER_HR", "in": "MDC_DIM_X_INCH", "hr": "MDC_DIM_HR", "sec": "MDC_DIM_SEC",
    "l/hr": "MDC_DIM_X_L_PER_HR", "ml/hr": "MDC_DIM_MILLI_L_PER_HR",
    "mm(hg)": "MDC_DIM_MMHG", "cm(h2o)": "MDC_DIM_CM_H2O", "cm_h2o": "MDC_DIM_CM_H2O", "pal": "MDC_DIM_X_PASCAL",
    "ml/cm_h2o": "MDC_DIM_MILLI_L_PER_CM_H2O", "cm_h2o.s/l": "MDC_DIM_CM_H2O_PER_L_PER_SEC",
    "cm_h2o/(l.s)": "MDC_DIM_CM_H2O_PER_L_PER_SEC",
    "g/hr": "MDC_DIM_X_G_PER_HR", "mg/hr": "MDC_DIM_MILLI_G_PER_HR", "ug/hr": "MDC_DIM_MICRO_G_PER_HR",
    "ng/hr": "MDC_DIM_NANO_G_PER_HR",
    "g/(kg.hr)": "MDC_DIM_X_G_PER_KG_PER_HR", "mg/(kg.hr)": "MDC_DIM_MILLI_G_PER_KG_PER_HR",
    "ug/(kg.hr)": "MDC_DIM_MICRO_G_PER_KG_PER_HR", "ng/(kg.hr)": "MDC_DIM_NANO_G_PER_KG_PER_HR",
    "iu": "MDC_DIM_X_INTL_UNIT", "iu/hr": "MDC_DIM_X_INTL_UNIT_PER_HR", "iu/min": "MDC_DIM_X_INTL_UNIT_PER_MIN",
    "iu/ml": "MDC_DIM_X_INTL_UNIT_PER_ML",
    "mmol/hr": "VITALWIRE_DIM_MILLI_MOLE_PER_HR",
}

# What devices write in OBX-6 and on their screens. bpm is beats: one a minute is one a minute, whatever is counted.
# U of a pump is a drug's international unit, not UCUM's U (of enzyme activity).
_SPELLINGS: dict[str, str] = {
    "percent": "MDC_DIM_PERCENT", "pct": "MDC_DIM_PERCENT", "vol%": "MDC_DIM_PERCENT", "%O2": "MDC_DIM_PERCENT",
    "％": "MDC_DIM_PERCENT", "ppm": "MDC_DIM_PARTS_PER_10_TO_MINUS_6",
    "bpm": "MDC_DIM_BEAT_PER_MIN", "beats/min": "MDC_DIM_BEAT_PER_MIN", "rpm": "MDC_DIM_RESP_PER_MIN",
    "brpm": "MDC_DIM_RESP_PER_MIN", "breaths/min": "MDC_DIM_RESP_PER_MIN", "次/分": "MDC_DIM_PER_MIN",
    "次/min": "MDC_DIM_PER_MIN",
    "inch": "MDC_DIM_X_INCH", "m²": "MDC_DIM_SQ_X_M", "cc": "MDC_DIM_MILLI_L",
    "mcg": "MDC_DIM_MICRO_G", "µg": "MDC_DIM_MICRO_G", "μg": "MDC_DIM_MICRO_G", "lb": "MDC_DIM_X_LB",
    "lbs": "MDC_DIM_X_LB",
    "msec": "MDC_DIM_MILLI_SEC", "µs": "MDC_DIM_MICRO_SEC", "μs": "MDC_DIM_MICRO_SEC", "mins": "MDC_DIM_MIN",
    "hrs": "MDC_DIM_HR", "day": "MDC_DIM_DAY", "days": "MDC_DIM_DAY",
    "lpm": "MDC_DIM_X_L_PER_MIN", "L/sec": "MDC_DIM_X_L_PER_SEC", "L/hr": "MDC_DIM_X_L_PER_HR",
    "mL/hr": "MDC_DIM_MILLI_L_PER_HR", "cc/hr": "MDC_DIM_MILLI_L_PER_HR", "mL/day": "MDC_DIM_MILLI_L_PER_DAY",
    "L/min/m²": "MDC_DIM_X_L_PER_MIN_PER_M_SQ",
    "mmHg": "MDC_DIM_MMHG", "MmHg": "MDC_DIM_MMHG", "mm Hg": "MDC_DIM_MMHG", "Torr": "MDC_DIM_MMHG",
    "cmH2O": "MDC_DIM_CM_H2O", "cm H2O": "MDC_DIM_CM_H2O", "cmH₂O": "MDC_DIM_CM_H2O",
    "C": "MDC_DIM_DEGC", "degC": "MDC_DIM_DEGC", "deg C": "MDC_DIM_DEGC", "°C": "MDC_DIM_DEGC", "ºC": "MDC_DIM_DEGC",
    "℃": "MDC_DIM_DEGC", "Celsius": "MDC_DIM_DEGC",
    "F": "MDC_DIM_FAHR", "degF": "MDC_DIM_FAHR", "deg F": "MDC_DIM_FAHR", "°F": "MDC_DIM_FAHR", "ºF": "MDC_DIM_FAHR",
    "℉": "MDC_DIM_FAHR", "Fahrenheit": "MDC_DIM_FAHR",
    "µV": "MDC_DIM_MICRO_VOLT", "μV": "MDC_DIM_MICRO_VOLT", "Ω": "MDC_DIM_X_OHM",
    "mL/cmH2O": "MDC_DIM_MILLI_L_PER_CM_H2O", "cmH2O/L/s": "MDC_DIM_CM_H2O_PER_L_PER_SEC",
    "cm[H2O]/L/s": "MDC_DIM_CM_H2O_PER_L_PER_SEC", "kg/m²": "MDC_DIM_KG_PER_M_SQ",
    "pH": "MDC_DIM_PH", "mEq/L": "MDC_DIM_MILLI_EQUIV_PER_L",
    "µmol/L": "MDC_DIM_MICRO_MOLE_PER_L", "μmol/L": "MDC_DIM_MICRO_MOLE_PER_L", "mcmol/L": "MDC_DIM_MICRO_MOLE_PER_L",
    "mcg/L": "MDC_DIM_MICRO_G_PER_L", "µg/L": "MDC_DIM_MICRO_G_PER_L", "μg/L": "MDC_DIM_MICRO_G_PER_L",
    "mcg/dL": "MDC_DIM_MICRO_G_PER_DL", "µg/dL": "MDC_DIM_MICRO_G_PER_DL", "μg/dL": "MDC_DIM_MICRO_G_PER_DL",
    "mcg/mL": "MDC_DIM_MICRO_G_PER_ML", "µg/mL": "MDC_DIM_MICRO_G_PER_ML", "μg/mL": "MDC_DIM_MICRO_G_PER_ML",
    "mcg/min": "MDC_DIM_MICRO_G_PER_MIN", "µg/min": "MDC_DIM_MICRO_G_PER_MIN", "μg/min": "MDC_DIM_MICRO_G_PER_MIN",
    "mcg/h": "MDC_DIM_MICRO_G_PER_HR", "mcg/hr": "MDC_DIM_MICRO_G_PER_HR", "µg/h": "MDC_DIM_MICRO_G_PER_HR",
    "μg/h": "MDC_DIM_MICRO_G_PER_HR",
    "mcg/kg/min": "MDC_DIM_MICRO_G_PER_KG_PER_MIN", "µg/kg/min": "MDC_DIM_MICRO_G_PER_KG_PER_MIN",
    "μg/kg/min": "MDC_DIM_MICRO_G_PER_KG_PER_MIN",
    "mcg/kg/h": "MDC_DIM_MICRO_G_PER_KG_PER_HR", "mcg/kg/hr": "MDC_DIM_MICRO_G_PER_KG_PER_HR",
    "µg/kg/h": "MDC_DIM_MICRO_G_PER_KG_PER_HR", "μg/kg/h": "MDC_DIM_MICRO_G_PER_KG_PER_HR",
    "ug/kg/hr": "MDC_DIM_MICRO_G_PER_KG_PER_HR", "mg/kg/hr": "MDC_DIM_MILLI_G_PER_KG_PER_HR",
    "IU/mL": "MDC_DIM_X_INTL_UNIT_PER_ML", "IU/h": "MDC_DIM_X_INTL_UNIT_PER_HR", "U/h": "MDC_DIM_X_INTL_UNIT_PER_HR",
    "U/hr": "MDC_DIM_X_INTL_UNIT_PER_HR", "units/h": "MDC_DIM_X_INTL_UNIT_PER_HR",
    "units/hr": "MDC_DIM_X_INTL_UNIT_PER_HR",
    "U/min": "MDC_DIM_X_INTL_UNIT_PER_MIN", "units/min": "MDC_DIM_X_INTL_UNIT_PER_MIN",
    "mU/min": "MDC_DIM_MILLI_INTL_UNIT_PER_MIN", "mU/kg/min": "MDC_DIM_MILLI_INTL_UNIT_PER_KG_PER_MIN",
    "U/kg/h": "MDC_DIM_X_INTL_UNIT_PER_KG_PER_HR", "U/kg/hr": "MDC_DIM_X_INTL_UNIT_PER_KG_PER_HR",
    "units/kg/h": "MDC_DIM_X_INTL_UNIT_PER_KG_PER_HR", "units/kg/hr": "MDC_DIM_X_INTL_UNIT_PER_KG_PER_HR",
    "U/mL": "MDC_DIM_X_INTL_UNIT_PER_ML", "units/mL": "MDC_DIM_X_INTL_UNIT_PER_ML", "units": "MDC_DIM_X_INTL_UNIT",
}

# LOINC codes of a row's quantity beside the row's own: the same in moles or by mass, or with the meter named.
_LOINC_SYNONYMS: dict[str, str] = {
    "15074-8": "MDC_CONC_GLU_GEN",
    "41653-7": "MDC_CONC_GLU_CAPILLARY_WHOLEBLOOD", "14743-9": "MDC_CONC_GLU_CAPILLARY_WHOLEBLOOD",
    "51596-5": "MDC_CONC_GLU_CAPILLARY_WHOLEBLOOD",
    "39480-9": "MDC_CONC_GLU_VENOUS_WHOLEBLOOD", "39481-7": "MDC_CONC_GLU_ARTERIAL_WHOLEBLOOD",
    "14749-6": "MDC_CONC_GLU_UNDETERMINED_PLASMA",
    "59826-8": "VITALWIRE_CONC_CREATININE_BLD", "20977-5": "VITALWIRE_CONC_UREA_BLD",
}
# Of LOINC codes that several rows share, the row that a bare code means; one that is not here means none of them.
_LOINC_CHOICES: dict[str, str] = {
    "8310-5": "MDC_TEMP_BODY", "8328-7": "MDC_TEMP_AXILLA", "9279-1": "MDC_RESP_RATE",
    "19891-1": "MDC_CONC_AWAY_CO2_ET", "29463-7": "MDC_MASS_BODY_ACTUAL",
}
# Of a blood sample by its name, but monitors send SpO2 under it (FHIR's vital signs asked for that): without a site's
# row it is neither.
_LOINC_UNSURE: frozenset[str] = frozenset({"2708-6"})
# fmt: on

_PRIVATE_PARTITION = 1024
_WRITTEN_WITHOUT_UNIT = "acidity"
_NO_UNIT = (0, 262656)  # not stated; MDC_DIM_DIMLESS
# A penicillin or colistin is prescribed in mega-units: MU and MIU of a device without small letters may be those.
_MEGA_IS_REAL = frozenset({
    "international units", "international unit concentration", "international unit rate",
    "international unit rate per weight",
})  # fmt: skip

UNIT_BY_CODE: dict[int, Unit] = {u.code: u for u in UNITS}
# X stands for "no prefix" and is often left out (MDC_DIM_L_PER_MIN): both name the unit.
UNIT_BY_REFERENCE_ID: dict[str, Unit] = {u.reference_id.replace("_X_", "_"): u for u in UNITS} | {
    u.reference_id: u for u in UNITS
}
# Of units that UCUM writes alike the first in UNITS.
UNIT_BY_UCUM: dict[str, Unit] = {u.ucum: u for u in reversed(UNITS)} | {
    text: UNIT_BY_REFERENCE_ID[name] for text, name in _UCUM_FORMS.items()
}
METRIC_BY_CODE: dict[int, Metric] = {m.code: m for m in METRICS}
METRIC_BY_REFERENCE_ID: dict[str, Metric] = {m.reference_id: m for m in METRICS} | {
    name: METRIC_BY_CODE[code] for name, code in _SYNONYMS.items()
}


def _metric_by_loinc() -> dict[str, Metric]:
    rows_of: dict[str, list[Metric]] = {}
    for metric in METRICS:
        if metric.loinc and metric.loinc not in _LOINC_UNSURE:
            rows_of.setdefault(metric.loinc, []).append(metric)
    alone = {loinc: rows[0] for loinc, rows in rows_of.items() if len(rows) == 1}
    return alone | {loinc: METRIC_BY_REFERENCE_ID[name] for loinc, name in (_LOINC_CHOICES | _LOINC_SYNONYMS).items()}


# What a bare LOINC code means beyond doubt; docs/nomenclature.md tells which codes are left out, and why.
METRIC_BY_LOINC: dict[str, Metric] = _metric_by_loinc()


def is_private(code: int) -> bool:
    """Whether a code is of partition 1024: there another sender's number means another thing than ours."""
    return code >> 16 == _PRIVATE_PARTITION


_UNIT_BY_TEXT: dict[str, Unit] = (
    {str(u.code): u for u in UNITS if not is_private(u.code)}
    | {text: UNIT_BY_REFERENCE_ID[name] for text, name in (_ISO_PLUS | _SPELLINGS).items()}
    | UNIT_BY_UCUM
    | UNIT_BY_REFERENCE_ID
)
# Every text above in any case; of one letter the case is the meaning (m, M; h, H).
_TEXTS_BY_FOLDED: dict[str, list[str]] = {}
for _text in _UNIT_BY_TEXT:
    if len(_text) > 1:
        _TEXTS_BY_FOLDED.setdefault(_text.casefold(), []).append(_text)
_WORD = re.compile(r"[^\W\d_]+")
# Where case tells apart: prefixes (milli, mega; pico, peta), but for words that only begin like one; after a prefix the
# symbols of ampere, gauss, molar, siemens and volt from those of pascal, gram, metre, second.
_CASED_PREFIXES = "mp"
_WITHOUT_PREFIX = frozenset({"mdc", "min", "mins", "percent", "pct", "pulse", "ph"})
_CASED_SYMBOLS = "agmsv"


def unit_from_text(text: str) -> Unit | None:
    """The unit that a device or a mapping names: MDC reference id or code, UCUM, ISO+, or a usual spelling; None if
    none.

    Another case than the known one is read only where it cannot be another prefix or symbol: MMHG, but not Mg.
    """
    text = text.strip()
    known = _UNIT_BY_TEXT.get(text)
    if known is not None:
        return known
    for candidate in _TEXTS_BY_FOLDED.get(text.casefold(), ()):
        if _differs_in_case_alone(text, candidate):
            return _UNIT_BY_TEXT[candidate]
    return None


def _differs_in_case_alone(sent: str, known: str) -> bool:
    """Whether `sent`, which is `known` but for case, means the same unit: docs/nomenclature.md, "Case"."""
    if len(sent) != len(known):
        return False
    if sent.islower():  # ISO+ is written so; a small m or p is milli or pico in every notation
        return True
    if sent.isupper():  # by a device without small letters: nobody measures megalitres at a bed
        return not (sent.startswith("M") and _UNIT_BY_TEXT[known].dimension in _MEGA_IS_REAL)
    return all(map(_same_word, _WORD.findall(sent), _WORD.findall(known)))


def _same_word(sent: str, known: str) -> bool:
    """One word of a text in mixed case: its prefix, and the symbol after it, must be as they are known."""
    if sent == known:
        return True
    if len(known) == 1:
        return False
    if len(known) == 2 and sent[1] != known[1] and known[1].casefold() in _CASED_SYMBOLS:
        return False
    word = known.casefold()
    return word[0] not in _CASED_PREFIXES or word in _WITHOUT_PREFIX or sent[0] == known[0]


def conversion(from_code: int, to_code: int) -> tuple[float, float] | None:
    """Factor and offset with value in `to` = value in `from` x factor + offset; None if they are not of one
    dimension."""
    start, end = UNIT_BY_CODE.get(from_code), UNIT_BY_CODE.get(to_code)
    if start is None or end is None or start.dimension != end.dimension:
        return None
    return start.factor / end.factor, (start.offset - end.offset) / end.factor


class Storage(NamedTuple):
    """How a value is stored that was sent in one unit: as value x factor + offset in `unit`, possible from low to
    high."""

    unit: Unit
    factor: float
    offset: float
    low: float
    high: float


def storage(metric_code: int, unit_code: int) -> Storage | None:
    """How a metric's value in this unit is stored; None where either is unknown, or the unit is none of the metric's.

    A pH is written without a unit (unit code 0, or MDC_DIM_DIMLESS) and is stored as [pH].
    """
    metric = METRIC_BY_CODE.get(metric_code)
    if metric is None:
        return None
    for name, low, high in ((metric.unit, metric.low, metric.high), *metric.also):
        unit = UNIT_BY_REFERENCE_ID[name]
        if unit.dimension == _WRITTEN_WITHOUT_UNIT and unit_code in _NO_UNIT:
            return Storage(unit, 1.0, 0.0, low, high)
        pair = conversion(unit_code, unit.code)
        if pair is not None:
            return Storage(unit, *pair, low, high)
    return None


def canonical_unit(metric_code: int, unit_code: int) -> Unit | None:
    """The unit of the stored value of a metric that was sent in `unit_code`; None where it is stored as it was sent.

    Values of two canonical units of one metric are not comparable: a limit or a mean is of one of them.
    """
    stored = storage(metric_code, unit_code)
    return stored.unit if stored else None


def comparable_units(metric_code: int) -> tuple[int, ...]:
    """Codes of the units (0: none stated) in which a value is stored in the metric's first canonical unit, sorted."""
    first = UNIT_BY_REFERENCE_ID[METRIC_BY_CODE[metric_code].unit]
    return tuple(code for code in sorted({0, *UNIT_BY_CODE}) if canonical_unit(metric_code, code) is first)


# Signed beside validation results: SHA-256 over both tables as JSON in ASCII, rows in order, no blanks, numbers in
# shortest form.
NOMENCLATURE_HASH: bytes = hashlib.sha256(json.dumps([UNITS, METRICS], separators=(",", ":")).encode()).digest()
