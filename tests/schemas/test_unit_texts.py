"""Texts of units: which are read, in which case."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.nomenclature import (
    _ISO_PLUS,
    _MEGA_IS_REAL,
    _TEXTS_BY_FOLDED,
    _UNIT_BY_TEXT,
    UNITS,
    is_private,
    unit_from_text,
)

WRITTEN = {
    "MDC_DIM_DIMLESS": ["1"],
    "MDC_DIM_PERCENT": ["%"],
    "MDC_DIM_PER_MIN": ["/min"],
    "MDC_DIM_BEAT_PER_MIN": ["{beats}/min", "bpm"],
    "MDC_DIM_RESP_PER_MIN": ["rpm"],
    "MDC_DIM_X_M": ["m"],
    "MDC_DIM_HR": ["h"],
    "MDC_DIM_X_L_PER_MIN": ["MDC_DIM_L_PER_MIN", "MDC_DIM_X_L_PER_MIN", "L/min", "l/min"],
    "MDC_DIM_MILLI_L_PER_HR": ["mL/hr", "ml/h"],
    "MDC_DIM_KILO_PASCAL": ["kPa"],
    "MDC_DIM_MMHG": ["MDC_DIM_MMHG", "266016", "mm[Hg]", " mmHg ", "MMHG"],
    "MDC_DIM_CM_H2O": ["cmH2O"],
    "MDC_DIM_DEGC": ["Cel", "°C", "℃", "C"],
    "MDC_DIM_FAHR": ["degF", "F"],
    "MDC_DIM_MILLI_VOLT": ["mV"],
    "MDC_DIM_MICRO_VOLT": ["\u00b5V", "\u03bcV"],  # micro sign, Greek mu
    "MDC_DIM_PH": ["pH", "[pH]", "(ph)"],
    "MDC_DIM_MILLI_MOLE_PER_L": ["mmol/L", "mmol/l", "266866"],
    "MDC_DIM_MILLI_EQUIV_PER_L": ["mEq/L", "meq/l"],
    "MDC_DIM_X_G_PER_DL": ["g/dL", "g/dl"],
    "MDC_DIM_MILLI_G_PER_DL": ["mg/dL", "mg/dl"],
    "MDC_DIM_MICRO_G_PER_KG_PER_MIN": ["mcg/kg/min", "ug/kg/min", "ug/(kg.min)", "\u00b5g/kg/min", "265619"],
    "MDC_DIM_MILLI_G_PER_KG_PER_HR": ["mg/kg/h", "mg/(kg.hr)"],
    "MDC_DIM_X_INTL_UNIT_PER_HR": ["U/h", "units/hr", "[iU]/h", "iu/hr"],
}

# HL7 2.5.1 chapter 7, ISO+; mm(hg) and /min as Draeger's Infinity gateway writes them.
ISO_PLUS = {
    "mm(hg)": "mm[Hg]", "cm_h2o": "cm[H2O]", "/min": "/min", "%": "%", "cel": "Cel", "kpa": "kPa", "mbar": "mbar",
    "mmol/l": "mmol/L", "umol/l": "umol/L", "g/dl": "g/dL", "mg/dl": "mg/dL", "meq/l": "meq/L", "l/min": "L/min",
    "l/(min.m2)": "L/min/m2", "ml/hr": "mL/h", "ml/min": "mL/min", "ml": "mL", "l": "L", "hr": "h", "s": "s",
    "ms": "ms", "mv": "mV", "uv": "uV", "ohm": "Ohm", "mm": "mm", "cm": "cm", "kg": "kg", "mg": "mg",
    "ug": "ug", "in": "[in_i]",
    "mg/hr": "mg/h", "ug/(kg.min)": "ug/kg/min", "mg/(kg.hr)": "mg/kg/h", "iu/hr": "[iU]/h", "(ppm)": "[ppm]",
    "cm_h2o.s/l": "cm[H2O].s/L", "ml/cm_h2o": "mL/cm[H2O]",
}  # fmt: skip


@pytest.mark.parametrize(("text", "ucum"), ISO_PLUS.items())
def test_iso_plus_is_read_and_in_capitals_too(text, ucum):
    # Of one letter the case is the meaning, and a text of L alone is in the table.
    for sent in (text, text.upper()) if len(text) > 1 else (text,):
        unit = unit_from_text(sent)
        assert unit is not None
        assert unit.ucum == ucum


@pytest.mark.parametrize(
    ("sent", "ucum"),
    [
        # A device without small letters, a title, one letter that is no prefix.
        ("MMHG", "mm[Hg]"), ("mmhg", "mm[Hg]"), ("MmHg", "mm[Hg]"), ("BPM", "/min"), ("Bpm", "/min"), ("CEL", "Cel"),
        ("Kpa", "kPa"), ("KPA", "kPa"), ("Kg", "kg"), ("KG", "kg"), ("L/Min", "L/min"), ("Min", "min"), ("DegC", "Cel"),
        ("ML", "mL"), ("ML/HR", "mL/h"), ("mL/HR", "mL/h"), ("MG/DL", "mg/dL"), ("MMOL/L", "mmol/L"),
        ("mMol/L", "mmol/L"), ("MCG/KG/MIN", "ug/kg/min"), ("MS", "ms"), ("MV", "mV"), ("PERCENT", "%"),
        ("Percent", "%"), ("IU", "[iU]"),
        # Another prefix, another symbol: mega, peta; siemens, gauss, molar, ampere; and mega-units of a drug.
        ("Mg", None), ("Ml", None), ("Ml/hr", None), ("ML/min", None), ("Mmol/L", None), ("Mcg/kg/min", None),
        ("Mv", None), ("Ms", None), ("Mm", None), ("Mbar", None), ("Pg/mL", None), ("mS", None),
        ("mG", None), ("kG", None), ("mM", None), ("pA", None), ("MU/MIN", None), ("MIU", None),
        ("M[IU]/H", None), ("g/H", None), ("c", None), ("f", None), ("V/s", None),
    ],
)  # fmt: skip
def test_case_is_read_where_it_is_no_prefix_and_no_symbol(sent, ucum):
    unit = unit_from_text(sent)
    assert (unit.ucum if unit else None) == ucum


@given(st.text() | st.sampled_from(sorted(_UNIT_BY_TEXT)).flatmap(lambda t: st.sampled_from([t.title(), t.swapcase()])))
def test_any_text_is_the_same_unit_but_for_case_or_none(text):
    unit = unit_from_text(text)
    if unit is not None:
        assert any(
            _UNIT_BY_TEXT[known] is unit for known in _TEXTS_BY_FOLDED.get(text.strip().casefold(), [text.strip()])
        )


def test_a_private_number_of_another_sender_is_no_unit_of_ours():
    private = [u for u in UNITS if is_private(u.code)]
    assert private
    for unit in private:
        assert unit_from_text(str(unit.code)) is None
        assert unit_from_text(unit.reference_id) is unit


@pytest.mark.parametrize(("name", "text"), [(name, text) for name, texts in WRITTEN.items() for text in texts])
def test_unit_from_text(name, text):
    unit = unit_from_text(text)
    assert unit is not None
    assert unit.reference_id == name


@pytest.mark.parametrize("text", ["", " ", "M", "H", "furlong", "0", "150456", "MDC_DIM_", "mmHg/min", "²"])
def test_unit_from_text_does_not_guess(text):
    assert unit_from_text(text) is None


def test_in_any_case_a_text_means_one_unit():
    for text, unit in _UNIT_BY_TEXT.items():
        assert unit_from_text(text) is unit
        if len(text) > 1:
            assert {_UNIT_BY_TEXT[t].code for t in _TEXTS_BY_FOLDED[text.casefold()]} == {unit.code}
            assert unit_from_text(text.lower()) is unit
            mega = text.upper().startswith("M") and unit.dimension in _MEGA_IS_REAL and text != text.upper()
            assert unit_from_text(text.upper()) is (None if mega else unit)


def test_no_unit_has_a_prefix_in_capitals():
    # The reading of texts in small letters relies on it.
    assert not [u.ucum for u in UNITS if u.ucum[0] in "MGTP" and u.ucum[:2] != "Pa"]
    assert all(text == text.lower() for text in _ISO_PLUS)
