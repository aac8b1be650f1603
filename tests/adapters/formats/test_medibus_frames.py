"""Frames against worked examples: their checksums were added up by hand from the document's rules."""

from __future__ import annotations

from decimal import Decimal

import pytest

from adapters.formats import medibus_frames as medibus
from adapters.formats.medibus_frames import Curve
from schemas.errors import FrameError

PAW = b"00    8000-  20  1003C0"  # every 8 ms, -20 to 100 mbar in 960 steps


@pytest.mark.parametrize(
    ("code", "check"), [(0x27, b"42"), (medibus.NOP, b"4B"), (medibus.STOP, b"70"), (0x51, b"6C"), (0x52, b"6D")]
)
def test_a_command_is_the_documents(code: int, check: bytes) -> None:
    assert medibus.command(code) == b"\x1b" + bytes([code]) + check + b"\r"


@pytest.mark.parametrize(
    ("code", "data", "check"),
    [
        (0x30, b"", b"31"), (0x55, b"", b"56"), (0x51, b"", b"52"), (0x15, b"", b"16"),
        (0x24, b"7D 24 D6 12 ", b"63"), (0x27, b"N10PAW HIGH    ", b"7F"), (0x29, b"0B  8.0", b"72"),
        (0x2A, b"0E:Mode BIPAP\x03", b"EE"), (0x28, b"07:05:0909-OKT-26", b"EB"),
        (0x52, b"0161'LAB PC'01.00:04.03", b"09"), (0x53, PAW, b"42"),
    ],
)  # fmt: skip
def test_a_response_is_the_documents(code: int, data: bytes, check: bytes) -> None:
    frame = medibus.response(code, data)
    assert frame == b"\x01" + bytes([code]) + data + check + b"\r"
    assert medibus.read_response(frame) == (code, data)


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        (b"", "framing"),
        (b"\x01\x3031", "framing"),
        (b"\x0130", "framing"),
        (medibus.command(0x30), "framing"),
        (b"\x01\x3032\r", "checksum"),
        (medibus.response(0x24, b"7D 24").replace(b"24", b"25", 1), "checksum"),
        (medibus.response(0x24, b"7D\x0024 "), "framing"),
        (medibus.response(0x24, bytes(3900)), "too-long"),
    ],
)
def test_what_is_no_response_says_why(frame: bytes, reason: str) -> None:
    with pytest.raises(FrameError) as error:
        medibus.read_response(frame)
    assert error.value.reason == reason


def test_curves_are_offered_chosen_and_configured() -> None:
    offered = medibus.offered_curves(PAW + b"01   16000- 200  200FFF")
    assert offered == [
        Curve("00", 8000, Decimal(-20), Decimal(100), 0x3C0),
        Curve("01", 16000, Decimal(-200), Decimal(200), 0xFFF),
    ]
    chosen = medibus.chosen_curves(offered, ("01", "02", "00"), 20_000)
    assert [(curve.code, curve.multiplier, curve.sample_us) for curve in chosen] == [("01", 2, 32000), ("00", 3, 24000)]
    assert medibus.configuration(chosen) == b"01020003"
    assert medibus.records_a_second(chosen) == 42
    assert medibus.chosen_curves(offered, ("00", "01"), 1, 1)[0].code == "00"
    assert medibus.chosen_curves([offered[0]._replace(interval_us=1)], ("00",), 16_000)[0].multiplier == 0xFF


@pytest.mark.parametrize(
    "data",
    [
        PAW[:-1],
        b"00      no-  20  1003C0",
        b"00    8000 100  1003C0",
        b"00    8000-  20  100000",
        b"00       0-  20  1003C0",
        b"00     1E3-  20  1003C0",
        b"00    8000- 1E9  1003C0",
    ],
)
def test_curves_that_cannot_be_are_refused(data: bytes) -> None:
    with pytest.raises(FrameError):
        medibus.offered_curves(data)


def test_curves_are_enabled_by_a_record_of_commands() -> None:
    assert medibus.enabling(3, 3).hex() == "d0c1c7c0c0"
    assert medibus.enabling(0, 3).hex() == "d0c1c0c0c0"
    assert medibus.enabling(6, 6).hex() == "d0c1cfc2c3c0c0"
    assert medibus.enabling(12, 12).hex() == "d0c1cfc2cfc3cfc0c0"
