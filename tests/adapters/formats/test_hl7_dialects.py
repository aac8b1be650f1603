"""Dialects as data: their rows hold against the nomenclature, and what they change for a value."""

from __future__ import annotations

import pytest

from adapters.formats.hl7_dialect_codes import MDIL, MINDRAY_PDS, NIHON_KOHDEN
from adapters.formats.hl7_dialects import DIALECTS
from adapters.formats.hl7_observation import reading_of
from adapters.site import read_site
from schemas.nomenclature import METRIC_BY_CODE, canonical_unit
from schemas.report import AlarmKind, AlarmPriority, AlarmState, Kind, Record, Validity
from tests.hl7 import PV1, frame, obx, records, source

NO_SITE = read_site("", "here")[""]
MDIL_SPO2 = "0002-4bb8^SpO2^MDIL"


def one(data: bytes, kind: Kind = Kind.METRIC, **settings: str) -> Record:
    (record,) = records(data, source(**settings), kind)
    return record


def value(names: str, unit: str = "", sent: str = "98", kind: str = "NM", **fields: str) -> bytes:
    return frame(PV1, "OBR|1|||X", obx(sent, names, unit, kind=kind, **fields))


@pytest.mark.parametrize("dialect", DIALECTS.values(), ids=lambda dialect: dialect.name)
def test_its_rows_are_in_the_nomenclature(dialect: object) -> None:
    of = DIALECTS[str(getattr(dialect, "name", ""))]
    assert of.source
    assert reading_of(of, NO_SITE, decimal_comma=False).dialect is of
    for code, row in of.codes.items():
        mapped = row.mapped
        assert mapped is not None or row.is_setting, code
        if mapped is not None and mapped.unit:
            assert canonical_unit(mapped.code, mapped.unit) is not None, code


@pytest.mark.parametrize("code", ["170", "171", "172", "200", "250", "500", "605"])
def test_what_mindrays_monitors_show_in_a_unit_of_choice_has_none(code: str) -> None:
    """Pressures may be kPa, temperatures degrees Fahrenheit: nothing in a message says which."""
    mapped = MINDRAY_PDS[code].mapped
    assert mapped is not None
    assert mapped.unit == 0
    record = one(value(f"{code}^x"), dialect="mindray-pds")
    assert record.code == mapped.code
    assert record.unit == 0
    assert record.as_sent is not None


def test_a_row_of_the_site_says_the_unit() -> None:
    site = '[[mapping]]\ncode = "170"\nmetric = "MDC_PRESS_BLD_NONINV_SYS"\nunit = "kPa"\n'
    (record,) = records(value("170^Sys", sent="16.1"), source(site, dialect="mindray-pds"))
    assert (record.code, record.unit, record.as_sent) == (150021, 265987, None)


def test_a_dialects_codes_are_nobody_elses() -> None:
    assert one(value("160^SpO2")).code == 0
    assert one(value("160^SpO2"), dialect="mindray-pds").code == 150456


@pytest.mark.parametrize("sent", ["-100", "-100.00", "-100.0"])
def test_mindrays_no_reading(sent: str) -> None:
    record = one(value("160^SpO2", sent=sent), dialect="mindray-pds")
    assert (record.validity, record.mantissa) == (Validity.NOT_AVAILABLE, 0)
    assert one(value("160^SpO2", sent=sent), dialect="nihon-kohden").validity is Validity.VALID


def test_nihon_kohdens_repeated_rate_is_no_second_one() -> None:
    assert "072007" not in NIHON_KOHDEN
    assert one(value("072007^VITAL rPR(spo2)", "bpm"), dialect="nihon-kohden").code == 0
    assert one(value("007001^VITAL PR(spo2)", "bpm"), dialect="nihon-kohden").code == 149530


@pytest.mark.parametrize("dialect", ["philips-efficia", "philips-pic"])
@pytest.mark.parametrize(("names", "unit", "code", "unit_code"), [
    (MDIL_SPO2, "0004-0220^%^MDIL", 150456, 262688),
    ("0002-4BB8^SpO2^MDILL", "0004-0220^^MDILL", 150456, 262688),
    ("0002-4822^Pulse^MDIL", "0004-0aa0^bpm^MDIL", 149530, 264864),
    ("0002-5000^Resp^MDIL", "0004-0ae0^rpm^MDIL", 151562, 264928),
    ("0002-500a^RR^MDIL", "0004-0ae0^rpm^MDIL", 151562, 264928),
    ("0002-4a15^ABPs^MDIL", "0004-0f03^kPa^MDIL", 150037, 265987),
    ("0002-f0b7^IC1m^MDIL", "0004-0f20^mmHg^MDIL", 0, 266016),
    ("0002-4bb8^SpO2^OTHER", "0004-0220^%^MDIL", 0, 262688),
])  # fmt: skip
def test_partition_and_term(dialect: str, names: str, unit: str, code: int, unit_code: int) -> None:
    record = one(value(names, unit), dialect=dialect)
    assert (record.code, record.unit) == (code, unit_code)


def test_the_rows_of_mdil_differ_from_what_their_terms_say() -> None:
    for code, row in MDIL.items():
        partition, term = (int(part, 16) for part in code.split("-"))
        mapped = row.mapped
        assert mapped is not None
        assert METRIC_BY_CODE.get(partition << 16 | term) is None or partition << 16 | term != mapped.code


@pytest.mark.parametrize(("number", "priority", "kind"), [
    ("1", AlarmPriority.HIGH, AlarmKind.PHYSIOLOGICAL), ("2", AlarmPriority.MEDIUM, AlarmKind.PHYSIOLOGICAL),
    ("5", AlarmPriority.UNKNOWN, AlarmKind.TECHNICAL), ("4", AlarmPriority.UNKNOWN, AlarmKind.UNKNOWN),
])  # fmt: skip
def test_alarms_of_mdil(number: str, priority: AlarmPriority, kind: AlarmKind) -> None:
    data = value(f"{number}^x^MDIL-ALERT", sent=r"** SpO2 LOW \T\ late", kind="TX")
    record = one(data, Kind.ALARM, dialect="philips-efficia")
    assert record.alarm is not None
    assert (record.alarm.condition, record.alarm.state) == ("** SpO2 LOW & late", AlarmState.ACTIVE)
    assert (record.alarm.priority, record.alarm.kind) == (priority, kind)
    assert one(data).alarm is None  # another dialect's text


def settings_of_pic(*limits: str) -> list[list[tuple[str, str, int | None]]]:
    """The settings of messages with these limits: system, own words, the number (None: none)."""
    of = source(dialect="philips-pic")
    return [
        [
            (r.as_sent.system, r.as_sent.code, r.mantissa if r.validity is Validity.VALID else None)
            for r in records(value(MDIL_SPO2, "0004-0220^%^MDIL", limits=text), of, Kind.SETTING)
            if r.as_sent
        ]
        for text in limits
    ]


def test_limits_beside_a_value_are_settings_when_they_change() -> None:
    words = "0002-4bb8^SpO2"
    low, high = ("OBX-7 low limit", words), ("OBX-7 high limit", words)
    assert settings_of_pic("90-100", "90-100", "", "88-", "off", "off") == [
        [(*low, 90), (*high, 100)],
        [],
        [],
        [(*low, 88), (*high, None)],
        [("OBX-7 limits", words, 0)],  # no numbers: kept as a text
        [],
    ]


def test_elsewhere_that_field_is_the_range_of_what_is_usual() -> None:
    data = value(MDIL_SPO2, "0004-0220^%^MDIL", limits="90-100")
    assert records(data, source(dialect="philips-efficia"), Kind.SETTING) == []


def alarms_of_pic(*messages: bytes) -> list[list[tuple[str, str]]]:
    """Conditions with their states, of each message of one source."""
    of = source(dialect="philips-pic")
    return [
        [(r.alarm.condition, r.alarm.state.name) for r in records(data, of, Kind.ALARM) if r.alarm] for data in messages
    ]


def test_an_alarm_that_is_not_named_any_more_is_over() -> None:
    spo2, cuff = obx("88", MDIL_SPO2, ""), obx("121", "0002-4a05^NBPs^MDIL", "0004-0f20^mmHg^MDIL")
    low, leak = (obx(text, "2^x^MDIL-ALERT", "", kind="TX") for text in ("** SpO2", "** NBP"))

    def said(*segments: str) -> bytes:
        return frame(PV1, "OBR|1|||X", *segments)

    assert alarms_of_pic(
        said(spo2, low), said(cuff), said(spo2, low, leak), said(spo2, leak), said(spo2), said(spo2)
    ) == [
        [("** SpO2", "ACTIVE")],
        [],  # a message of what is measured now and then names no alarms
        [("** SpO2", "ACTIVE"), ("** NBP", "ACTIVE")],
        [("** NBP", "ACTIVE"), ("** SpO2", "INACTIVE")],
        [("** NBP", "INACTIVE")],
        [],
    ]
