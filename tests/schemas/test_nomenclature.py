import hashlib
import json
from collections import Counter

import pytest
from ucumvert import PintUcumRegistry

from schemas.nomenclature import (
    _LOINC_CHOICES,
    _LOINC_SYNONYMS,
    _LOINC_UNSURE,
    METRIC_BY_CODE,
    METRIC_BY_LOINC,
    METRIC_BY_REFERENCE_ID,
    METRICS,
    NOMENCLATURE_HASH,
    SOURCES,
    UNIT_BY_CODE,
    UNIT_BY_REFERENCE_ID,
    UNIT_BY_UCUM,
    UNITS,
    VERSION,
    Unit,
    canonical_unit,
    comparable_units,
    conversion,
    storage,
)

PREFIXES = {"HECTO": (2, 1e2), "KILO": (3, 1e3), "CENTI": (17, 1e-2), "MILLI": (18, 1e-3), "MICRO": (19, 1e-6)}
PREFIXES |= {"NANO": (20, 1e-9), "PICO": (21, 1e-12)}


@pytest.fixture(scope="module")
def ucum():
    return PintUcumRegistry()


def test_there_are_at_least_80_metrics_each_code_and_name_once():
    assert len(METRICS) >= 80
    for table in (METRICS, UNITS):
        for field in ("code", "reference_id"):
            counts = Counter(getattr(row, field) for row in table)
            assert not [value for value, n in counts.items() if n > 1], field
    # On a screen or in a form two metrics must never read alike.
    for field in ("en", "zh"):
        assert Counter(getattr(m, field) for m in METRICS).most_common(1)[0][1] == 1


@pytest.mark.parametrize("m", METRICS, ids=lambda m: m.reference_id)
def test_each_metric_is_whole(m):
    assert m.unit in {u.reference_id for u in UNITS}
    assert m.low < m.high
    for other in m.also:
        assert other.low < other.high
    # A value must be stored in one unit: no two canonical units of a metric are of one dimension.
    dimensions = [UNIT_BY_REFERENCE_ID[name].dimension for name in (m.unit, *(other.unit for other in m.also))]
    assert len(set(dimensions)) == len(dimensions)
    assert m.short
    assert m.en.isascii()
    assert any("\u4e00" <= c <= "\u9fff" for c in m.zh)
    assert m.source.split("; ") == sorted(set(m.source.split("; ")), key=str.casefold)
    assert set(m.source.split("; ")) <= set(SOURCES)


def test_every_source_is_used():
    assert set(SOURCES) - {"RTMMS"} == {s for m in METRICS for s in m.source.split("; ")}


@pytest.mark.parametrize("m", METRICS, ids=lambda m: m.reference_id)
def test_a_metrics_code_lies_in_the_partition_of_its_name(m):
    partition, term = divmod(m.code, 65536)
    if m.reference_id.endswith("_SETTING"):
        measured = METRIC_BY_REFERENCE_ID.get(m.reference_id.removesuffix("_SETTING"))
        assert partition == 256 + 2
        assert measured is None or term == measured.code % 65536
    elif m.reference_id.startswith("VITALWIRE_"):
        assert partition == 1024
        assert term < 0x8000
        assert m.loinc  # a private row is keyed by it
    else:
        assert partition == (1 if m.reference_id.startswith("MDC_ATTR_") else 2)
    assert term


def test_the_parts_of_a_pulsatile_pressure_follow_its_wave():
    # IEEE 11073-10101 A.7: base, then systolic, diastolic, mean (and maximum) in the two low bits.
    checked = 0
    for m in METRICS:
        for suffix, step in (("_SYS", 1), ("_DIA", 2), ("_MEAN", 3)):
            if m.reference_id.startswith("MDC_PRESS_") and m.reference_id.endswith(suffix):
                assert m.code % 4 == step, m.reference_id
                base = METRIC_BY_REFERENCE_ID.get(m.reference_id.removesuffix(suffix))
                assert base is None or base.code == m.code - step
                checked += 1
    assert checked > 20


@pytest.mark.parametrize("u", UNITS, ids=lambda u: u.reference_id)
def test_a_units_code_and_factor_follow_its_prefix(u: Unit):
    partition, term = divmod(u.code, 65536)
    if u.reference_id.startswith("VITALWIRE_DIM_"):
        assert partition == 1024
        assert term > 0x8000
        return
    name = u.reference_id.removeprefix("MDC_DIM_")
    prefix, _, rest = name.partition("_")
    step, size = PREFIXES.get(prefix, (0, 1.0))
    assert partition == 4
    assert term % 32 == step
    base = UNIT_BY_REFERENCE_ID.get(f"MDC_DIM_X_{rest}") if step else None
    if base is not None:
        assert u.code - step == base.code
        assert (u.dimension, u.factor) == (base.dimension, pytest.approx(base.factor * size))


@pytest.mark.parametrize(
    "loinc", sorted({m.loinc for m in METRICS if m.loinc} | {*_LOINC_SYNONYMS, *_LOINC_CHOICES, *_LOINC_UNSURE})
)
def test_loinc_check_digit(loinc):
    # Mod 10 (LOINC Users' Guide, appendix C): from the right, every other digit doubled, digits added up.
    number, _, check = loinc.partition("-")
    doubled = [int(d) * (2 if i % 2 == 0 else 1) for i, d in enumerate(reversed(number))]
    assert int(check) == -sum(d // 10 + d % 10 for d in doubled) % 10


def test_each_dimension_has_a_base_unit_of_one_size():
    for dimension in {u.dimension for u in UNITS}:
        assert [u for u in UNITS if u.dimension == dimension and (u.factor, u.offset) == (1.0, 0.0)], dimension


# Of the acidity of a solution there is one unit, a logarithm, which ucumvert does not have.
NOT_IN_UCUMVERT = "[pH]"


@pytest.mark.parametrize("u", [u for u in UNITS if u.ucum != NOT_IN_UCUMVERT], ids=lambda u: u.reference_id)
def test_factor_and_offset_are_ucums(u: Unit, ucum):
    base = next(b for b in UNITS if b.dimension == u.dimension and (b.factor, b.offset) == (1.0, 0.0))
    mine, theirs = (ucum.from_ucum(x.ucum).units for x in (u, base))
    for value in (0.0, 100.0):
        expected = ucum.Quantity(value, mine).to(theirs).magnitude
        assert value * u.factor + u.offset == pytest.approx(expected, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize(
    "text", [t for t in sorted(UNIT_BY_UCUM) if t != NOT_IN_UCUMVERT and (not t.startswith("{") or "/" in t)]
)
def test_each_ucum_form_is_ucum(text, ucum):
    unit = UNIT_BY_UCUM[text]
    mine, canonical = ucum.from_ucum(text), ucum.from_ucum(unit.ucum)
    assert ucum.Quantity(1.0, mine.units).to(canonical.units).magnitude == pytest.approx(1.0)


def test_conversion_there_and_back_and_never_between_dimensions():
    for a in UNITS:
        for b in UNITS:
            there, back = conversion(a.code, b.code), conversion(b.code, a.code)
            assert (there is None) == (a.dimension != b.dimension)
            if there and back:
                value = 37.5 * there[0] + there[1]
                assert value * back[0] + back[1] == pytest.approx(37.5)
        # What is in its unit already must not change in its last digit.
        assert conversion(a.code, a.code) == (1.0, 0.0)
    assert conversion(0, UNITS[0].code) is None
    assert conversion(UNITS[0].code, 1) is None


@pytest.mark.parametrize(
    ("value", "start", "end", "expected"),
    [
        (98.6, "MDC_DIM_FAHR", "MDC_DIM_DEGC", 37.0),
        (310.15, "MDC_DIM_KELVIN", "MDC_DIM_DEGC", 37.0),
        (37.0, "MDC_DIM_DEGC", "MDC_DIM_FAHR", 98.6),
        (16.0, "MDC_DIM_KILO_PASCAL", "MDC_DIM_MMHG", 120.0098687),
        (10.0, "MDC_DIM_MILLI_BAR", "MDC_DIM_CM_H2O", 10.19716213),
        (0.4, "MDC_DIM_DIMLESS", "MDC_DIM_PERCENT", 40.0),
        (1.5, "MDC_DIM_MILLI_L_PER_MIN", "MDC_DIM_MILLI_L_PER_HR", 90.0),
        (5400.0, "MDC_DIM_SEC", "MDC_DIM_MIN", 90.0),
        (72.0, "MDC_DIM_PER_MIN", "MDC_DIM_BEAT_PER_MIN", 72.0),
    ],
)
def test_conversion_of_values_known_by_heart(value, start, end, expected):
    pair = conversion(UNIT_BY_REFERENCE_ID[start].code, UNIT_BY_REFERENCE_ID[end].code)
    assert pair is not None
    assert value * pair[0] + pair[1] == pytest.approx(expected)


# Typed a second time, from the term numbers of other documents: (reference id, partition, term, unit).
FACTS = [
    ("MDC_PULS_OXIM_SAT_O2", 2, 19384, "MDC_DIM_PERCENT"),  # 0x4BB8, IEEE 11073-10404
    ("MDC_SAT_O2_ART", 2, 19252, "MDC_DIM_PERCENT"),
    ("MDC_PULS_OXIM_PULS_RATE", 2, 18458, "MDC_DIM_BEAT_PER_MIN"),  # 0x481A, IEEE 11073-10404
    ("MDC_PULS_OXIM_PLETH", 2, 19380, "MDC_DIM_DIMLESS"),
    ("MDC_ECG_HEART_RATE", 2, 16770, "MDC_DIM_BEAT_PER_MIN"),
    ("MDC_PRESS_BLD_NONINV_SYS", 2, 18949, "MDC_DIM_MMHG"),
    ("MDC_TEMP_BODY", 2, 19292, "MDC_DIM_DEGC"),
    ("MDC_TEMP_ORAL", 2, 57352, "MDC_DIM_DEGC"),  # 0xE008
    ("MDC_RESP_RATE", 2, 20490, "MDC_DIM_RESP_PER_MIN"),
    ("MDC_CONC_AWAY_CO2_ET", 2, 20636, "MDC_DIM_MMHG"),
    ("MDC_AWAY_CO2_ET", 2, 20656, "MDC_DIM_MMHG"),
    ("MDC_VENT_PRESS_AWAY_END_EXP_POS", 2, 20904, "MDC_DIM_CM_H2O"),  # 0x51A8
    ("MDC_MASS_BODY_ACTUAL", 2, 57664, "MDC_DIM_KILO_G"),
    ("MDC_ATTR_VAL_BATT_CHARGE", 1, 2460, "MDC_DIM_PERCENT"),
    ("MDC_CONC_AWAY_CO2_EXP", 2, 20640, "MDC_DIM_MMHG"),
    ("MDC_PRESS_AWAY_INSP_MEAN", 2, 20747, "MDC_DIM_CM_H2O"),
    ("MDC_CONC_PH_ART", 2, 0x7004, "MDC_DIM_PH"),
    ("MDC_CONC_PCO2_ART", 2, 0x7008, "MDC_DIM_MMHG"),
    ("MDC_CONC_PO2_ART", 2, 0x700C, "MDC_DIM_MMHG"),
    ("MDC_CONC_HB_ART", 2, 0x7014, "MDC_DIM_X_G_PER_DL"),
    ("MDC_CONC_PH_VEN", 2, 0x7034, "MDC_DIM_PH"),
    ("MDC_CONC_PCO2_VEN", 2, 0x7038, "MDC_DIM_MMHG"),
    ("MDC_CONC_PO2_VEN", 2, 0x703C, "MDC_DIM_MMHG"),
    ("MDC_CONC_PH_GEN", 2, 0x7104, "MDC_DIM_PH"),
    ("MDC_CONC_HCO3_GEN", 2, 0x7108, "MDC_DIM_MILLI_MOLE_PER_L"),
    ("MDC_CONC_NA_GEN", 2, 0x710C, "MDC_DIM_MILLI_MOLE_PER_L"),
    ("MDC_CONC_K_GEN", 2, 0x7110, "MDC_DIM_MILLI_MOLE_PER_L"),
    ("MDC_CONC_GLU_GEN", 2, 0x7114, "MDC_DIM_MILLI_MOLE_PER_L"),
    ("MDC_CONC_CA_GEN", 2, 0x7118, "MDC_DIM_MILLI_MOLE_PER_L"),
    ("MDC_CONC_PCO2_GEN", 2, 0x7140, "MDC_DIM_MMHG"),
    ("MDC_CONC_CHLORIDE_GEN", 2, 0x7168, "MDC_DIM_MILLI_MOLE_PER_L"),
    ("MDC_BASE_EXCESS_BLD_ART", 2, 0x716C, "MDC_DIM_MILLI_MOLE_PER_L"),
    ("MDC_CONC_PO2_GEN", 2, 0x7174, "MDC_DIM_MMHG"),
    ("MDC_CONC_HB_MET_GEN", 2, 0x717C, "MDC_DIM_PERCENT"),
    ("MDC_CONC_HB_CO_GEN", 2, 0x7180, "MDC_DIM_PERCENT"),
    ("MDC_CONC_HCT_GEN", 2, 0x7184, "MDC_DIM_PERCENT"),
    ("MDC_CONC_GLU_CAPILLARY_WHOLEBLOOD", 2, 0x71B8, "MDC_DIM_MILLI_MOLE_PER_L"),  # IEEE 11073-10417
    ("MDC_CONC_GLU_UNDETERMINED_PLASMA", 2, 29296, "MDC_DIM_MILLI_MOLE_PER_L"),
    ("MDC_RATE_DOSE", 2, 26852, "MDC_DIM_MICRO_G_PER_KG_PER_MIN"),
]


@pytest.mark.parametrize(("name", "partition", "term", "unit"), FACTS)
def test_known_terms(name, partition, term, unit):
    metric = METRIC_BY_REFERENCE_ID[name]
    assert metric.code == partition * 65536 + term
    assert METRIC_BY_CODE[metric.code] is metric
    assert metric.unit == unit


@pytest.mark.parametrize(
    ("name", "term"),
    [
        ("MDC_DIM_DIMLESS", 512),
        ("MDC_DIM_PERCENT", 544),
        ("MDC_DIM_BEAT_PER_MIN", 2720),
        ("MDC_DIM_RESP_PER_MIN", 2784),
        ("MDC_DIM_MMHG", 3872),
        ("MDC_DIM_CM_H2O", 3904),
        ("MDC_DIM_FAHR", 4416),
        ("MDC_DIM_DEGC", 6048),
        ("MDC_DIM_MILLI_L_PER_HR", 3122),
        ("MDC_DIM_PH", 0x03E0),
        ("MDC_DIM_X_G_PER_L", 0x0800),
        ("MDC_DIM_X_G_PER_DL", 0x0840),
        ("MDC_DIM_MILLI_G_PER_DL", 2130),  # IEEE 11073-10417
        ("MDC_DIM_MILLI_G_PER_ML", 0x0872),
        ("MDC_DIM_NANO_G_PER_ML", 0x0874),
        ("MDC_DIM_MICRO_G_PER_MIN", 0x0D13),
        ("MDC_DIM_MILLI_G_PER_HR", 3378),
        ("MDC_DIM_MICRO_G_PER_KG_PER_MIN", 0x0D93),
        ("MDC_DIM_MILLI_G_PER_KG_PER_HR", 0x0DB2),
        ("MDC_DIM_MILLI_MOLE", 0x11D2),
        ("MDC_DIM_MILLI_MOLE_PER_L", 4722),  # IEEE 11073-10417
        ("MDC_DIM_MICRO_MOLE_PER_L", 0x1273),
        ("MDC_DIM_MILLI_EQUIV_PER_L", 0x12F2),
        ("MDC_DIM_X_INTL_UNIT", 5472),
        ("MDC_DIM_X_INTL_UNIT_PER_ML", 0x15E0),
        ("MDC_DIM_MILLI_INTL_UNIT_PER_MIN", 0x1632),
        ("MDC_DIM_X_INTL_UNIT_PER_HR", 5696),
        ("MDC_DIM_MILLI_INTL_UNIT_PER_KG_PER_MIN", 0x16B2),
        ("MDC_DIM_X_INTL_UNIT_PER_KG_PER_HR", 0x16C0),
        ("MDC_DIM_KG_PER_M_SQ", 1952),  # 0x07A0, IEEE 11073-10415: its name has no prefix
    ],
)
def test_known_units(name, term):
    assert UNIT_BY_REFERENCE_ID[name] is UNIT_BY_CODE[4 * 65536 + term]


def test_what_a_ward_sends_is_known():
    # The MDC vital signs and units of Simulated Hospital's ORU messages.
    for name in ("NONINV_DIA", "NONINV_SYS"):
        assert f"MDC_PRESS_BLD_{name}" in METRIC_BY_REFERENCE_ID
    for name in ("MDC_PULS_OXIM_SAT_O2", "MDC_PULS_RATE_NON_INV", "MDC_RESP_RATE", "MDC_TEMP"):
        assert name in METRIC_BY_REFERENCE_ID
    for name in ("BEAT_PER_MIN", "DEGC", "MMHG", "PERCENT", "X_L_PER_MIN"):
        assert f"MDC_DIM_{name}" in UNIT_BY_REFERENCE_ID
    assert METRIC_BY_REFERENCE_ID["MDC_PRESS_BLD_ART_PULM_OCCL"].reference_id == "MDC_PRESS_BLD_ART_PULM_WEDGE"


def test_ranges_hold_the_sick_and_not_the_impossible():
    def holds(name: str, value: float) -> bool:
        metric = METRIC_BY_REFERENCE_ID[name]
        return metric.low <= value <= metric.high

    assert holds("MDC_ECG_HEART_RATE", 0)  # asystole is a value
    assert holds("MDC_ECG_HEART_RATE", 300)
    assert holds("MDC_TEMP", 13.7)  # lowest survived accidental hypothermia
    assert not holds("MDC_TEMP", 98.6)  # Fahrenheit under the wrong unit
    assert not holds("MDC_PULS_OXIM_SAT_O2", 127)  # Nonin's "no reading"
    assert holds("MDC_PRESS_BLD_VEN_CENT", -5)
    assert holds("MDC_CONC_PH_ART", 6.8)
    assert not holds("MDC_CONC_PH_ART", 40)  # a pCO2 in its place
    assert holds("MDC_CONC_GLU_GEN", 60)
    assert not holds("MDC_CONC_GLU_GEN", 180)  # mg/dL under the wrong unit


# A metric, the unit as sent, 1 in it as it is stored, and in which unit.
STORED = [
    ("MDC_CONC_AWAY_CO2_ET", "mm[Hg]", 1.0, "mm[Hg]"),
    ("MDC_CONC_AWAY_CO2_ET", "kPa", 7.50061683, "mm[Hg]"),
    ("MDC_CONC_AWAY_CO2_ET", "%", 1.0, "%"),
    ("MDC_CONC_AWAY_O2_INSP", "kPa", 7.50061683, "mm[Hg]"),
    ("MDC_AWAY_CO2_ET", "%", None, None),  # a partial pressure by its name
    ("MDC_ECG_AMPL_ST_II", "uV", 0.001, "mV"),
    ("MDC_ECG_AMPL_ST_II", "mm", 1.0, "mm"),
    ("MDC_CONC_GLU_GEN", "mmol/L", 1.0, "mmol/L"),
    ("MDC_CONC_GLU_GEN", "umol/L", 0.001, "mmol/L"),
    ("MDC_CONC_GLU_GEN", "mg/dL", 1.0, "mg/dL"),
    ("MDC_CONC_GLU_GEN", "g/L", 100.0, "mg/dL"),
    ("MDC_CONC_HB_ART", "g/L", 0.1, "g/dL"),
    ("MDC_CONC_HB_ART", "mmol/L", 1.0, "mmol/L"),
    ("MDC_CONC_CA_GEN", "meq/L", 1.0, "meq/L"),  # half a mmol/L
    ("MDC_CONC_PCO2_ART", "kPa", 7.50061683, "mm[Hg]"),
    ("MDC_RATE_DOSE", "mg/kg/h", 16.6666667, "ug/kg/min"),
    ("MDC_RATE_DOSE", "ug/min", 0.06, "mg/h"),
    ("MDC_RATE_DOSE", "[iU]/h", 1.0, "[iU]/h"),
    ("MDC_RATE_DOSE", "mL/h", None, None),
    ("VITALWIRE_CONC_CREATININE_BLD", "mmol/L", 1000.0, "umol/L"),
    ("MDC_PULS_OXIM_SAT_O2", "mm[Hg]", None, None),
]


@pytest.mark.parametrize(("metric", "sent", "value", "unit"), STORED)
def test_a_value_is_stored_in_the_canonical_unit_of_its_dimension(metric, sent, value, unit):
    code, unit_code = METRIC_BY_REFERENCE_ID[metric].code, UNIT_BY_UCUM[sent].code
    stored, canonical = storage(code, unit_code), canonical_unit(code, unit_code)
    if value is None:
        assert stored is canonical is None
    else:
        assert stored.factor + stored.offset == pytest.approx(value)
        assert stored.unit is canonical
        assert canonical.ucum == unit


def test_each_canonical_unit_has_its_own_range():
    glucose = METRIC_BY_REFERENCE_ID["MDC_CONC_GLU_GEN"].code
    assert storage(glucose, UNIT_BY_UCUM["mg/dL"].code).high == 2700.0
    assert storage(glucose, UNIT_BY_UCUM["mmol/L"].code).high == 150.0


def test_a_ph_is_written_without_a_unit_and_nothing_else_is():
    for m in METRICS:
        assert (canonical_unit(m.code, 0) is not None) == (m.unit == "MDC_DIM_PH")
    ph = METRIC_BY_REFERENCE_ID["MDC_CONC_PH_ART"].code
    for none_stated in (0, UNIT_BY_REFERENCE_ID["MDC_DIM_DIMLESS"].code, UNIT_BY_REFERENCE_ID["MDC_DIM_PH"].code):
        assert canonical_unit(ph, none_stated).ucum == "[pH]"
    assert canonical_unit(ph, UNIT_BY_UCUM["%"].code) is None


def test_unknown_metrics_and_units_are_stored_as_sent():
    assert canonical_unit(0, UNIT_BY_UCUM["%"].code) is None
    assert canonical_unit(METRICS[0].code, 1) is None


def test_comparable_units_are_those_of_the_first_canonical_unit():
    etco2 = METRIC_BY_REFERENCE_ID["MDC_CONC_AWAY_CO2_ET"].code
    assert set(comparable_units(etco2)) == {u.code for u in UNITS if u.dimension == "pressure"}
    assert 0 in comparable_units(METRIC_BY_REFERENCE_ID["MDC_CONC_PH_ART"].code)


def test_a_bare_loinc_code_means_one_metric_or_none():
    for loinc, name in {
        "8867-4": "MDC_ECG_HEART_RATE",
        "59408-5": "MDC_PULS_OXIM_SAT_O2",
        "9279-1": "MDC_RESP_RATE",
        "8310-5": "MDC_TEMP_BODY",
        "2744-1": "MDC_CONC_PH_ART",
        "2339-0": "MDC_CONC_GLU_GEN",
        "15074-8": "MDC_CONC_GLU_GEN",
        "41653-7": "MDC_CONC_GLU_CAPILLARY_WHOLEBLOOD",
        "718-7": "VITALWIRE_CONC_HB_BLD",
        "32693-4": "VITALWIRE_CONC_LACTATE_BLD",
    }.items():
        assert METRIC_BY_LOINC[loinc].reference_id == name
    # Cuff or catheter, finger or sample: the code does not say.
    for loinc in ("8480-6", "8462-4", "8478-0", "2708-6", "76215-3", "61006-3"):
        assert loinc not in METRIC_BY_LOINC


def test_each_loinc_code_that_rows_share_is_chosen_for_or_left_out():
    counts = Counter(m.loinc for m in METRICS if m.loinc)
    for loinc, n in counts.items():
        assert (loinc in METRIC_BY_LOINC) == (loinc in _LOINC_CHOICES or (n == 1 and loinc not in _LOINC_UNSURE))
    for loinc, name in _LOINC_CHOICES.items():
        assert counts[loinc] > 1
        assert METRIC_BY_REFERENCE_ID[name].loinc == loinc
    assert not set(_LOINC_SYNONYMS) & set(counts)


def test_hash_is_over_both_tables_and_pinned_to_the_version():
    rows = [[list(row) for row in table] for table in (UNITS, METRICS)]
    assert hashlib.sha256(json.dumps(rows, separators=(",", ":")).encode()).digest() == NOMENCLATURE_HASH
    # A changed table is a new version: seals name this hash.
    assert (VERSION, NOMENCLATURE_HASH.hex()[:16]) == ("6", "555149d08f170793")
