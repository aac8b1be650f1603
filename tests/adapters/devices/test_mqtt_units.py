"""A unit that a JSON payload states beside a value: it is the sender's, as OBX-6 is."""

from __future__ import annotations

import json
from typing import Any

import pytest

from adapters.devices.mqtt_json import MqttJsonSettings, read
from adapters.driver import Source
from adapters.site import read_site
from schemas.nomenclature import unit_from_text
from schemas.report import AsSent, Record

TEMP = '[[mapping]]\ncode = "temp.value"\nmetric = "MDC_TEMP"\n'


def source(mapping: str) -> Source[MqttJsonSettings]:
    return Source("gw", MqttJsonSettings(), read_site(mapping, "test")[""], peer="ward/7", received_at_us=1)


def first(payload: dict[str, Any], of: Source[MqttJsonSettings]) -> Record:
    return read(json.dumps(payload).encode(), of)[0].records[0]


def temp(unit: Any, name: str = "unit") -> dict[str, Any]:
    return {"temp": {"value": 98.6, name: unit}}


def code_of(unit: str) -> int:
    known = unit_from_text(unit)
    assert known is not None
    return known.code


@pytest.mark.parametrize("name", ["unit", "units"])
def test_the_senders_unit_counts_where_the_row_has_none(name: str) -> None:
    record = first(temp("degF", name), source(TEMP))
    assert (record.unit, record.mantissa, record.exponent, record.as_sent) == (code_of("degF"), 986, -1, None)


@pytest.mark.parametrize("unit", ["Cel", "furlong", "", None, 7, True, "x" * 41])
def test_what_confirms_the_row_or_is_no_known_unit_changes_nothing(unit: Any) -> None:
    assert first(temp(unit), source(f'{TEMP}unit = "Cel"\n')).unit == code_of("Cel")


def test_a_unit_that_contradicts_the_row_makes_it_doubtful() -> None:
    record = first(temp("degF"), source(f'{TEMP}unit = "Cel"\n'))
    assert (record.unit, record.mantissa, record.as_sent) == (0, 986, AsSent("JSON", "temp.value", "degF"))
    assert first(temp("degF"), source(f'{TEMP}unit = "Cel"\nunit_is_wrong = true\n')).unit == code_of("Cel")


def test_two_units_that_contradict_each_other_are_none() -> None:
    record = first({"temp": {"value": 98.6, "unit": "degF", "units": "Cel"}}, source(TEMP))
    assert (record.unit, record.as_sent) == (0, AsSent("JSON", "temp.value", "degF^Cel"))


def test_at_the_top_a_unit_is_a_wards_but_beside_value() -> None:
    row = '[[mapping]]\ncode = "{}"\nmetric = "MDC_TEMP"\nunit = "degF"\n'
    assert first({"hr": 98.6, "unit": "Cel"}, source(row.format("hr"))).unit == code_of("degF")
    assert first({"value": 98.6, "unit": "Cel"}, source(row.format("value"))).unit == 0


def test_a_text_in_place_of_a_value_stays_one() -> None:
    record = first({"temp": {"value": "<35", "unit": "degF"}}, source(f'{TEMP}unit = "Cel"\n'))
    assert (record.mantissa, record.unit) == (35, 0)


def test_a_plan_is_of_payloads_with_its_units_alone() -> None:
    of = source(TEMP)
    for unit in ("degF", "degF", "degF", "Cel", "Cel", "Cel", None, None, None, "degF", 7, "furlong", "Cel"):
        assert first(temp(unit), of) == first(temp(unit), source(TEMP))
    assert len(of.lasting["plans"].by_text) == 3


def test_a_text_too_long_for_a_unit_is_not_repeated_with_each_value() -> None:
    assert first(temp("x" * 41), source(TEMP)).as_sent is None
