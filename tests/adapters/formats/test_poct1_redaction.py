"""Redaction of POCT1-A: patient, operator, order and remarks are gone; it is XML still, its values the same."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.devices.poct1a import DRIVER, Poct1Settings
from adapters.driver import Source
from adapters.formats.poct1_redaction import redact_poct1
from adapters.formats.poct1_xml import read_message
from adapters.formats.redaction import Redaction
from schemas.report import Kind, Record

KEY = b"k" * 32
FRAME = (
    b'<?xml version="1.0" encoding="utf-8"?><OBS.R01><HDR><HDR.control_id V="2"/><HDR.version_id V="POCT1"/>'
    b'<HDR.creation_dttm V="2026-03-09T14:06:00+00:00"/></HDR><SVC><SVC.role_cd V="OBS"/>'
    b'<SVC.observation_dttm V="2026-03-09T14:05:09+00:00"/><SVC.sequence_nbr V="12"/>'
    b'<PT><PT.patient_id V="MRN88421"/><PT.name V="Zhang Wei"><GIV V="Wei"/><FAM V=\'Zh&#228;ng&amp;L\'/></PT.name>'
    b'<PT.birth_date V="1962-03-17"/><PT.gender_cd V="M"/>'
    b'<OBS><OBS.observation_id V="2339-0" SN="LN"/><OBS.value V="7.4" U="mmol/L"/><OBS.method_cd V="M"/>'
    b'<OBS.interpretation_cd V="H"/><OBS.normal_lo-hi_limit V="[3.9;5.8]"/></OBS>'
    b'<OBS><OBS.observation_id V="6298-4" SN="LN"/><OBS.value V="4.10" U="mmol/L"/>'
    b'<NTE><NTE.text V="told Dr Okafor"/></NTE></OBS></PT>'
    b'<OPR><OPR.operator_id V="NURSE77"/><OPR.name V="Bell, Ann"/></OPR>'
    b'<ORD><ORD.universal_service_id V="GLU"/><ORD.ordering_provider_id V="Okafor"/>'
    b'<ORD.order_id V="PLACER7777"/></ORD>'
    b'<RGT><RGT.name V="Glucose"/><RGT.lot_number V="L7"/></RGT></SVC><!-- for Zhang -->Zhang</OBS.R01>'
)
NAMES = [
    b"88421",
    b"Zhang",
    b"Wei",
    b"Zh&#228;ng",
    b"1962-03-17",
    b"NURSE77",
    b"Bell",
    b"Ann",
    b"Okafor",
    b"PLACER7777",
]


def values(frame: bytes) -> list[Record]:
    source = Source("ward", Poct1Settings(), peer="p", received_at_us=1_790_000_000_000_000)
    return [record for report in DRIVER.read(frame, source) if report.kind is not Kind.CONTEXT
            for record in report.records]  # fmt: skip


def without_remark(records: list[Record]) -> list[tuple[int, int, int | None, int | None]]:
    return [(record.code, record.unit, record.mantissa, record.exponent) for record in records]


def test_the_persons_are_gone_and_the_values_are_as_before() -> None:
    redaction = Redaction(KEY)
    clean = redact_poct1(FRAME, redaction)
    assert len(clean) == len(FRAME)
    assert [name for name in NAMES if name in clean] == []
    read_message(clean)
    assert without_remark(values(clean)) == without_remark(values(FRAME)) != []
    assert values(clean)[0] == values(FRAME)[0]
    assert dict(redaction.removed) == {
        "PT.patient_id": 1, "PT.name": 1, "GIV": 1, "FAM": 1, "PT.birth_date": 1, "NTE.text": 1, "OPR.operator_id": 1,
        "OPR.name": 1, "ORD.universal_service_id": 1, "ORD.ordering_provider_id": 1, "ORD.order_id": 1,
        "between tags": 2,
    }  # fmt: skip
    for kept in (b'PT.gender_cd V="M"', b'RGT.lot_number V="L7"', b'HDR.control_id V="2"'):
        assert kept in clean


def test_equal_patients_stay_equal_wherever_they_stand() -> None:
    clean = redact_poct1(b'<PT><PT.patient_id V="4711"/></PT><PT><PT.patient_id V="4711"/></PT>', Redaction(KEY))
    assert len(set(clean.split(b"</PT>")[:2])) == 1
    assert b"4711" not in clean


@pytest.mark.parametrize("cut", [(FRAME.index(b"RN88421"), None), (0, FRAME.index(b"421") + 3), (0, len(FRAME) - 12)])
def test_what_was_cut_names_nobody(cut: tuple[int, int | None]) -> None:
    piece = FRAME[cut[0] : cut[1]]
    clean = redact_poct1(piece, Redaction(KEY))
    assert len(clean) == len(piece)
    assert [name for name in NAMES if name in clean] == []


def test_what_a_device_says_of_itself_and_our_answers_stay() -> None:
    hello = (
        b'\x0b<HEL.R01><HDR><HDR.control_id V="1"/></HDR><DEV><DEV.device_id V="D-1"/><DEV.serial_id V="S0815"/></DEV>'
        b'<DCP><DCP.application_timeout V="30"/></DCP></HEL.R01>\x1c\r'
        b'<ACK.R01><HDR><HDR.control_id V="7"/></HDR><ACK><ACK.type_cd V="AA"/></ACK></ACK.R01>\n'
        b'<EVS.R01><HDR/><EVT><EVT.description V="door open"/></EVT></EVS.R01>'
    )
    redaction = Redaction(KEY)
    assert redact_poct1(hello, redaction) == hello
    assert not redaction.removed


def test_another_encoding_of_a_message_names_nobody() -> None:
    clean = redact_poct1(FRAME.decode().encode("utf-16-le"), Redaction(KEY))
    assert "Zhang".encode("utf-16-le") not in clean
    assert "88421".encode("utf-16-le") not in clean


@given(value=st.text(st.characters(codec="utf-8", exclude_characters='<"&', min_codepoint=0x20), max_size=40))
def test_any_identifier_leaves_a_message_that_is_read(value: str) -> None:
    frame = FRAME.replace(b"MRN88421", value.encode())
    clean = redact_poct1(frame, Redaction(KEY))
    assert len(clean) == len(frame)
    assert without_remark(values(clean)) == without_remark(values(FRAME))
