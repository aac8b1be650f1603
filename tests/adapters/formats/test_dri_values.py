"""Groups of the two classes, byte by byte as 8005313 (pages 13-45) has them."""

from __future__ import annotations

import struct

import pytest

from adapters.formats.dri_groups import BASIC, CLASSES, PRESSURE_LABELS, TEMPERATURE_LABELS, StatusField
from adapters.formats.dri_values import read_class
from schemas.nomenclature import METRIC_BY_CODE, canonical_unit
from schemas.report import Validity

ON = 0x3


def data(at: int, status: int, label: int, *values: int) -> bytes:
    group = struct.pack(f"<IH{len(values)}h", status, label, *values)
    return bytes(at) + group + bytes(270 - at - len(group))


@pytest.mark.parametrize(
    ("label", "names"),
    [
        (1, ["MDC_PRESS_BLD_ART_SYS", "MDC_PRESS_BLD_ART_DIA", "MDC_PRESS_BLD_ART_MEAN"]),
        (2, ["MDC_PRESS_BLD_VEN_CENT_SYS", "MDC_PRESS_BLD_VEN_CENT_DIA", "MDC_PRESS_BLD_VEN_CENT_MEAN"]),
        (3, ["MDC_PRESS_BLD_ART_PULM_SYS", "MDC_PRESS_BLD_ART_PULM_DIA", "MDC_PRESS_BLD_ART_PULM_MEAN"]),
        (6, ["MDC_PRESS_BLD_ATR_LEFT_SYS", "MDC_PRESS_BLD_ATR_LEFT_DIA", "MDC_PRESS_BLD_ATR_LEFT_MEAN"]),
        (7, ["MDC_PRESS_INTRA_CRAN_SYS", "MDC_PRESS_INTRA_CRAN_DIA", "MDC_PRESS_INTRA_CRAN_MEAN"]),
        (17, ["MDC_PRESS_BLD_ART_UMB_SYS", "MDC_PRESS_BLD_ART_UMB_DIA", "MDC_PRESS_BLD_ART_UMB_MEAN"]),
        (18, ["MDC_PRESS_BLD_VEN_UMB_SYS", "MDC_PRESS_BLD_VEN_UMB_DIA", "MDC_PRESS_BLD_VEN_UMB_MEAN"]),
        (9, ["MDC_PRESS_BLD_SYS", "MDC_PRESS_BLD_DIA", "MDC_PRESS_BLD_MEAN"]),
    ],
)
def test_a_pressure_is_what_its_label_says(label: int, names: list[str]) -> None:
    (group,) = read_class(0, data(16, ON, label, 1000, 500, 700, 60), 10)
    assert [METRIC_BY_CODE[record.code].reference_id for record in group.records[:3]] == names
    assert [record.mantissa for record in group.records] == [1000, 500, 700, 60]


@pytest.mark.parametrize(("label", "word"), [(5, "RVP"), (16, "FEM"), (22, "FEMV"), (99, "99")])
def test_a_pressure_without_a_code_has_the_monitors_word(label: int, word: str) -> None:
    (group,) = read_class(0, data(16, ON, label, 1000, 500, 700, 60), 10)
    sent = [record.as_sent for record in group.records[:3]]
    assert [each.code for each in sent if each] == [f"{word} sys", f"{word} dia", f"{word} mean"]


@pytest.mark.parametrize("label", range(len(PRESSURE_LABELS)))
def test_every_pressure_has_a_code_of_its_dimension_or_a_word(label: int) -> None:
    (group,) = read_class(0, data(254, ON, label, 1000, 500, 700, 60), 10)
    for record in group.records:
        assert canonical_unit(record.code, record.unit) if record.code else record.as_sent


@pytest.mark.parametrize("label", range(len(TEMPERATURE_LABELS)))
def test_every_temperature_has_a_code_of_its_dimension_or_a_word(label: int) -> None:
    (group,) = read_class(0, data(110, ON, label, 3701), 10)
    (record,) = group.records
    assert (record.mantissa, record.exponent) == (3701, -2)
    assert canonical_unit(record.code, record.unit) if record.code else record.as_sent


@pytest.mark.parametrize(
    ("label", "code", "note"), [(2, 152092, None), (3, 152088, None), (6, 152096, None), (0, 152460, "unknown")]
)
def test_an_agent_is_what_its_label_says(label: int, code: int, note: str | None) -> None:
    (group,) = read_class(0, data(166, ON, label, 180, 210, 95), 10)
    assert (group.records[0].code, group.records[0].note) == (code, note)


def test_a_module_that_is_not_there_says_nothing_and_an_inactive_one_no_reading() -> None:
    assert read_class(0, data(118, 0, 0, 9700, 70, 100, 0), 10) == []
    (group,) = read_class(0, data(118, 1, 0, 9700, 70, 100, 0), 10)
    assert {record.validity for record in group.records} == {Validity.NOT_AVAILABLE}
    assert {record.mantissa for record in group.records} == {0}
    assert group.words == "not active"


@pytest.mark.parametrize(
    ("raw", "note"), [(-32767, None), (-32766, "not updated"), (-32764, "under range"), (-32762, "not calibrated")]
)
def test_words_in_place_of_a_value_are_no_reading(raw: int, note: str | None) -> None:
    (group,) = read_class(0, data(118, ON, 0, raw, 70, 100, 0), 10)
    first = group.records[0]
    assert (first.validity, first.mantissa, first.note) == (Validity.NOT_AVAILABLE, 0, note)


def test_the_least_value_is_one() -> None:
    (group,) = read_class(0, data(16, ON, 1, -32000, -32001, 700, 60), 10)
    assert [record.validity for record in group.records[:2]] == [Validity.VALID, Validity.NOT_AVAILABLE]


@pytest.mark.parametrize(("raw", "count"), [(-31000, 3), (-31001, 0)])
def test_nmts_packed_value_has_a_bound_of_its_own(raw: int, count: int) -> None:
    (group,) = read_class(0, data(214, ON, 0, 982, 950, raw), 10)
    packed = group.records[2:]
    assert len(packed) == 3
    assert sum(1 for record in packed if record.validity is Validity.VALID) in (count, count - 1)


@pytest.mark.parametrize(("level", "code"), [(7, 151562), (8, 151594)])
def test_the_breaths_of_a_co2_module_are_its_own_from_level_8_on(level: int, code: int) -> None:
    (group,) = read_class(0, data(132, ON, 2, 512, 5, 15, 7600), level)
    assert group.records[2].code == code


def test_a_class_that_is_not_read_is_nothing() -> None:
    assert read_class(3, bytes([ON]) * 270, 10) == []


def test_a_field_says_its_word_or_its_number() -> None:
    field = StatusField("mode", 2, ("", "bolus", "continuous", "", ""))
    assert [field.word(number << 2) for number in (0, 1, 2, 3, 7)] == [
        "",
        "mode bolus",
        "mode continuous",
        "",
        "mode 7",
    ]


def test_names_of_groups_and_values_are_unique() -> None:
    for groups in CLASSES.values():
        assert len({group.name for group in groups}) == len(groups)
    assert {value.name for group in BASIC for value in group.values if group.name == "NMT"} == {"t1", "tratio", "ptc"}
