from __future__ import annotations

import re

import pytest

from clinical.chart_items import item_of
from clinical.data_elements import DATA_ELEMENTS, UNITS_ZH

UNIT_OF = {
    "DE04.10.186.00": "Cel", "DE04.10.118.00": "/min", "DE04.10.206.00": "/min", "DE04.10.081.00": "/min",
    "DE04.10.174.00": "mm[Hg]", "DE04.10.176.00": "mm[Hg]", "DE04.50.149.00": "%", "DE04.10.188.00": "kg",
    "DE04.10.167.00": "cm",
}  # fmt: skip


@pytest.mark.parametrize("item", DATA_ELEMENTS)
def test_each_is_an_item_in_the_unit_that_the_standard_has(item: str) -> None:
    element = DATA_ELEMENTS[item]
    assert re.fullmatch(r"DE\d{2}\.\d{2}\.\d{3}\.\d{2}", element.code)
    assert item_of(item).unit == UNIT_OF[element.code]


def test_what_is_no_body_temperature_and_no_arterial_pressure_has_no_code() -> None:
    for item in ("MDC_TEMP_SKIN", "MDC_TEMP_AWAY", "MDC_PRESS_BLD_VEN_CENT", "MDC_PRESS_BLD_SYS", "MDC_VENT_RESP_RATE"):
        item_of(item)
        assert item not in DATA_ELEMENTS


def test_units_of_what_is_charted_are_written_as_in_chinese_documents() -> None:
    assert UNITS_ZH[item_of("MDC_ECG_HEART_RATE").unit] == "次/min"
    assert UNITS_ZH[item_of("MDC_TEMP").unit] == "℃"
    assert UNITS_ZH[item_of("MDC_PRESS_BLD_NONINV_SYS").unit] == "mmHg"
    assert "%" not in UNITS_ZH
