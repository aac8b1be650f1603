"""Frames against worked examples, whose lengths and sums were made by hand from the document's rules."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.formats import bcc_frames as bcc
from adapters.formats.bcc_frames import Value
from adapters.formats.bcc_parameters import UNIT_BY_CODE
from schemas.errors import FrameError

GET = b"\x0100030\x02ICU7/1/1>MEM:GET\x0300008\x04"
VERSION = b"\x0100036\x02ICU7/1/1>ADMIN:VERSION\x0300222\x04"
ANSWER = b"\x0100039\x02ICU7/1/1>12,50100,GNACK,0\x0300137\x04"
BLOCK = b"\x0100060\x02ICU7/1/1>12,50113,INRT,2.50\x1e12,50113,INSOL,_NV\x1700144\x04"
ERROR = b"\x0100040\x02ICU7/1/1>12,50100,GNERR,68\x0300217\x04"


def test_requests_are_the_documents_plain_and_stuffed() -> None:
    assert bcc.request("ICU7", "MEM:GET", is_stuffed=False) == GET
    assert bcc.request("ICU7", "MEM:GET", is_stuffed=True) == GET.replace(b"MEM:GET", b"MEEM:GEET")
    assert len(bcc.request("ICU7", "MEM:GET", is_stuffed=True)) == 32
    stuffed = bcc.request("ICU7", "ADMIN:VERSION", is_stuffed=True)
    assert stuffed == VERSION.replace(b"ADMIN:VERSION", b"AEXMIN:VEERSION")
    assert len(stuffed) == 38


def test_blocks_are_the_documents() -> None:
    answer = bcc.read_block(ANSWER, is_stuffed=False)
    assert answer == bcc.Block("ICU7", True, (Value(12, "50100", "GNACK", "0"),))
    block = bcc.read_block(BLOCK, is_stuffed=False)
    assert (block.is_last, [value.value for value in block.values]) == (False, ["2.50", "_NV"])
    stuffed = bcc.stuffed(ERROR)
    assert (len(stuffed), b"GNEERR" in stuffed) == (41, True)
    assert bcc.read_block(stuffed, is_stuffed=True).values == (Value(12, "50100", "GNERR", "68"),)


@given(data=st.binary(max_size=60))
def test_stuffing_is_undone(data: bytes) -> None:
    assert bcc.unstuffed(bcc.stuffed(data)) == data


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        (b"", "framing"),
        (ANSWER[:-1], "framing"),
        (ANSWER.replace(b"00137", b"00138"), "checksum"),
        (ANSWER.replace(b"00039", b"00040"), "length"),
        (ANSWER.replace(b"/1/1>", b"/1/2>"), "framing"),
    ],
)
def test_what_is_no_block_says_why(frame: bytes, reason: str) -> None:
    with pytest.raises(FrameError) as error:
        bcc.read_block(frame, is_stuffed=False)
    assert error.value.reason == reason


@pytest.mark.parametrize("text", ["x,50112,INRT,1", "12,50200,INRT,1", "12,50112", "12,50112,", "12,5011P,INRT,1"])
def test_quadruples_that_cannot_be_are_refused(text: str) -> None:
    with pytest.raises(FrameError, match="quadruple"):
        bcc.read_block(bcc.request("ICU7", text, is_stuffed=False), is_stuffed=False)


def test_a_lone_e_is_no_stuffing() -> None:
    with pytest.raises(FrameError, match="stuffing"):
        bcc.unstuffed(b"GNERR")
    assert bcc.unstuffed(b"EEX") == b"EX"


def test_a_value_may_have_commas_and_a_cr_at_its_end() -> None:
    (value,) = bcc.read_block(
        bcc.request("A", "7,5011O,GNMODEL,688H, x\r", is_stuffed=True), is_stuffed=True
    ).values  # fmt: skip
    assert value == Value(7, "5011O", "GNMODEL", "688H, x")


def test_unit_codes_are_the_documents() -> None:
    expected = {
        44: "ng/min", 49: "mg/d", 50: "ug/min", 57: "mmol/h", 61: "meq/d", 63: "[iU]/h", 71: "ug/kg/min",
        85: "[iU]/kg/d", 98: "ng/m2/min", 104: "ug/m2/d", 113: "[iU]/m2", 116: "[iU]/m2/d", 122: "m[iU]/h",
        126: "m[iU]/kg/d", 127: "m[iU]/m2/min", 145: "meq/m2/min", 147: "meq/m2/d",
    }  # fmt: skip
    assert {code: UNIT_BY_CODE[code] for code in expected} == expected
