"""One value, one unit, one row of the site's mapping: the same whichever driver carries it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from adapters.devices.registry import DRIVER_BY_NAME
from adapters.driver import Source
from adapters.site import read_site
from schemas.report import Kind, Mark, Record, RecordKind, Report, Validity
from tests.hl7 import RECEIVED_AT_US, measured, obx

HR, TEMP = 147842, 150344


def _astm(value: str, unit: str, text: str) -> bytes:
    lines = (r"H|\^&|||ABG-7|||||||P|LIS2-A2|20260921141319+0000", f"R|1|^^^x^{text}|{value}|{unit}", "L|1|N")
    return "".join(f"{line}\r" for line in lines).encode()


FRAMES: dict[str, Callable[[str, str, str], bytes]] = {
    "hl7_oru": lambda value, unit, text: measured(obx(value, f"x^{text}^L", unit)),
    "astm": _astm,
    "mqtt_json": lambda value, unit, text: json.dumps({"x": value}).encode(),
}
each_driver = pytest.mark.parametrize("driver", FRAMES)
each_with_texts = pytest.mark.parametrize("driver", ["hl7_oru", "astm"])


def source(driver: str, *more: str, metric: str = "MDC_TEMP") -> Source[Any]:
    mapping = "\n".join(["[[mapping]]", 'code = "x"', f'metric = "{metric}"', *more])
    made = Source("test", DRIVER_BY_NAME[driver].settings(), read_site(mapping, "here")[""], peer="10.0.0.7")
    made.received_at_us = RECEIVED_AT_US
    return made


def read(driver: str, of: Source[Any], value: str, unit: str = "", text: str = "") -> list[Report]:
    return list(DRIVER_BY_NAME[driver].read(FRAMES[driver](value, unit, text), of))


def record(driver: str, of: Source[Any], value: str, unit: str = "", text: str = "") -> Record:
    (found,) = [
        r for report in read(driver, of, value, unit, text) if report.kind is Kind.METRIC for r in report.records
    ]
    return found


@each_driver
@pytest.mark.parametrize(
    ("sent", "kind", "mantissa", "exponent", "marks"),
    [("36.5", RecordKind.NUMERIC, 365, -1, 0), ("<70", RecordKind.BOUND, 70, 0, Mark.LESS),
     (">= 41.0", RecordKind.BOUND, 410, -1, Mark.GREATER | Mark.OR_EQUAL),
     ("≤70", RecordKind.BOUND, 70, 0, Mark.LESS | Mark.OR_EQUAL)],
)  # fmt: skip
def test_a_number_or_a_bound(
    driver: str, sent: str, kind: RecordKind, mantissa: int, exponent: int, marks: int
) -> None:
    found = record(driver, source(driver), sent)
    assert (found.code, found.kind, found.validity, found.text) == (TEMP, kind, Validity.VALID, None)
    assert (found.mantissa, found.exponent, found.marks) == (mantissa, exponent, marks)


@each_driver
@pytest.mark.parametrize("sent", ["36,5", "high", "<<70", "70 mmHg", "1e999"])
def test_what_is_neither_keeps_its_text(driver: str, sent: str) -> None:
    found = record(driver, source(driver), sent)
    assert (found.code, found.kind, found.validity, found.text) == (TEMP, RecordKind.TEXT, Validity.VALID, sent)


@each_driver
@pytest.mark.parametrize("sent", ["", "---", "--.-", "–", "NaN", "none", "N/A", "no reading", "-1"])
def test_no_reading(driver: str, sent: str) -> None:
    found = record(driver, source(driver, 'missing = [" -1 "]'), sent)
    assert (found.kind, found.validity) == (RecordKind.NUMERIC, Validity.NOT_AVAILABLE)
    assert (found.mantissa, found.text) == (0, sent or None)


@each_driver
def test_a_decimal_comma_and_a_shift_as_the_row_says(driver: str) -> None:
    of = source(driver, "decimal_comma = true", "power_of_ten = -1")
    for _ in range(3):  # the third JSON payload is read by its plan
        number, bound = record(driver, of, "365,5"), record(driver, of, "<365,5")
        assert (number.kind, number.mantissa, number.exponent) == (RecordKind.NUMERIC, 3655, -2)
        assert (bound.kind, bound.mantissa, bound.exponent) == (RecordKind.BOUND, 3655, -2)
    assert record(driver, of, "1,000.5").kind is RecordKind.TEXT


@each_with_texts
def test_a_unit_that_contradicts_the_row_is_none_and_is_kept_as_sent(driver: str) -> None:
    of = source(driver, 'unit = "mmHg"', metric="MDC_PRESS_BLD_NONINV_SYS")
    assert record(driver, of, "16.5", "mmHg").as_sent is None
    found = record(driver, of, "16.5", "kPa")
    assert found.unit == 0
    assert found.as_sent is not None
    assert found.as_sent.unit == "kPa"


@each_with_texts
def test_a_unit_that_is_the_rows_by_another_name_is_the_senders(driver: str) -> None:
    of = source(driver, 'unit = "/min"', metric="MDC_ECG_HEART_RATE")
    sent, rows = record(driver, of, "70", "bpm").unit, record(driver, of, "70").unit
    assert (sent, rows) == (264864, 264672)


@each_with_texts
def test_a_row_that_is_ambiguous_is_reported_once_and_again_where_it_was_not_kept(driver: str) -> None:
    of = source(driver)

    def events(text: str, on: Source[Any]) -> list[Report]:
        return [report for report in read(driver, on, "36.5", "Cel", text) if report.kind is Kind.EVENT]

    assert events("core", of) == []
    (event,) = events("skin", of)
    (ambiguity,) = event.records
    assert ambiguity.as_sent is not None
    assert (ambiguity.as_sent.system, ambiguity.as_sent.code) == ("vitalwire", "mapping-ambiguous")
    assert ambiguity.text == (
        "mapping 1 (code 'x') is not applied: it came as 'core' and as 'skin'; give each a row with its text"
    )
    of.retract(of.take_emitted())
    assert len(events("core", of)) == 1
    of.take_emitted()
    assert events("skin", of) == []
    other = source(driver)
    other.site, other.lasting = of.site, of.lasting  # another connection of the same source
    assert events("core", other) == []
    assert record(driver, other, "36.5", "Cel", "core").code == 0
