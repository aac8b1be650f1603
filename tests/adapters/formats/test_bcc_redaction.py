"""Redaction of BCC: who lies there, who nurses and which order is gone; frame, length, stuffing and values stay."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.devices.bbraun_bcc import DRIVER, BccSettings
from adapters.driver import Source
from adapters.formats.bcc_frames import request, stuffed
from adapters.formats.bcc_redaction import redact_bcc
from adapters.formats.redaction import Redaction
from schemas.report import Kind, Record

KEY = b"k" * 32
VALUES = ("INRT,2.50", "INVI,12.0", "PATW,71.5", "PATAGE,44", "INSOL,Adrenaline", "INNR,4711", "INA3,1", "GNMODEL,P2")
PERSONS = (
    "PATID,DE-88421d", "PATIDBADGE,Okafor Ada", "NURSEID,Bell7", "DRUGORDERNO,ORD-5512", "PATNAME,Zhang Weié",
    "PATIDDRUG,_NV",
)  # fmt: skip
NAMES = [b"88421", b"Okafor", b"Ada", b"Bell7", b"5512", b"Zhang", b"Wei"]


def block(*values: str, is_stuffed: bool, end: bytes = b"\x03", wrong: int = 0) -> bytes:
    information = b"ICU7/1/1>" + "\x1e".join(f"12,50112,{value}" for value in values).encode()
    begin = b"\x01%05d\x02" % (14 + len(information)) + information + end
    frame = begin + b"%05d\x04" % ((sum(begin) + wrong) % 256)
    return stuffed(frame) if is_stuffed else frame


def records(frame: bytes, *, is_stuffed: bool) -> list[Record]:
    source = Source("icu", BccSettings(stuffing=is_stuffed), peer="p", received_at_us=1_790_000_000_000_000)
    reports = DRIVER.read(frame, source)
    return [record for report in reports if report.kind is not Kind.CONTEXT for record in report.records
            if record.as_sent is None or "PATNAME" not in record.as_sent.code]  # fmt: skip


@pytest.mark.parametrize("is_stuffed", [True, False])
def test_the_persons_are_gone_and_the_values_are_as_before(is_stuffed: bool) -> None:
    frame, redaction = block(*VALUES, *PERSONS, is_stuffed=is_stuffed), Redaction(KEY)
    clean = redact_bcc(b"\x06" + frame + frame, redaction)
    assert clean[1:] == clean[1 : 1 + len(frame)] * 2
    assert len(clean) == 1 + 2 * len(frame)
    assert [name for name in NAMES if name in clean] == []
    found = records(clean[1 : 1 + len(frame)], is_stuffed=is_stuffed)
    assert len(found) > len(VALUES) - 2
    assert found == records(frame, is_stuffed=is_stuffed)
    assert dict(redaction.removed) == {
        "PATID": 2, "PATIDBADGE": 2, "NURSEID": 2, "DRUGORDERNO": 2, "PATNAME": 2
    }  # fmt: skip


def test_a_frame_without_a_person_and_a_request_stay_as_they_are() -> None:
    redaction = Redaction(KEY)
    for stream in (
        block(*VALUES, is_stuffed=True, end=b"\x17"), request("1", "ADMIN:ALIVE", is_stuffed=True),
        request("ICU7", "MEM:GET", is_stuffed=False), block("V3.30", is_stuffed=True), b"\x06\x15",
    ):  # fmt: skip
        assert redact_bcc(stream, redaction) == stream
    assert not redaction.removed


def test_a_checksum_that_was_wrong_stays_so() -> None:
    frame = block(*PERSONS, is_stuffed=True, wrong=7)
    clean = redact_bcc(frame, Redaction(KEY))
    assert clean[-6:] == frame[-6:]
    assert [name for name in NAMES if name in clean] == []


def test_a_frame_that_was_cut_names_nobody() -> None:
    frame, redaction = block(*PERSONS, is_stuffed=False), Redaction(KEY)
    for stream in (frame[20:], frame[:-8], frame[:30] + frame):
        clean = redact_bcc(stream, redaction)
        assert len(clean) == len(stream)
        assert [name for name in NAMES if name in clean] == []
    assert redaction.removed["outside of frames"] == 3


@given(value=st.text(st.characters(codec="utf-8", exclude_characters="\x01\x02\x03\x04\x17\x1e"), max_size=40))
def test_any_identifier_leaves_a_frame_that_is_read(value: str) -> None:
    frame = block("INRT,2.50", "PATID," + value, is_stuffed=True)
    clean = redact_bcc(frame, Redaction(KEY))
    assert len(clean) == len(frame)
    assert records(clean, is_stuffed=True) == records(frame, is_stuffed=True)
