"""Checks of Alaris queries against those of public readers."""

from __future__ import annotations

import pytest

from adapters.formats.alaris_frames import crc_ccitt_false, query, read_reply
from schemas.errors import FrameError


def test_the_check_is_ccitt_false() -> None:
    assert crc_ccitt_false(b"123456789") == 0x29B1


@pytest.mark.parametrize(
    ("name", "check"),
    [
        ("INF_RATE", b"8E6D"), ("INF_VI", b"B42C"), ("ALARM", b"50B2"), ("SYRINGE_STATUS", b"4102"),
        ("COMMS_RESPONSE_MAX", b"7E29"), ("INF_RATE_MAX_SYRINGE", b"8F30"),
    ],
)  # fmt: skip
def test_queries(name: str, check: bytes) -> None:
    assert query(name) == b"!" + name.encode() + b"|" + check + b"\r"


def test_a_reply_is_its_name_and_fields() -> None:
    name, fields = read_reply(b"!INF^8002-12345^-^SET^7.50^ml/h^^12.345^ml^35.0^mmHg^1:10^EVENT^42|4A1A\r")
    assert name == "INF"
    assert fields[:5] == ["8002-12345", "-", "SET", "7.50", "ml/h"]
    assert len(fields) == 13


@pytest.mark.parametrize(
    ("frame", "reason"),
    [(b"!ALARM|50B3", "checksum"), (b"!ALARM|50b2", "framing"), (b"ALARM|50B2", "framing"), (b"!|FFFF", "framing")],
)
def test_what_is_none_is_refused(frame: bytes, reason: str) -> None:
    with pytest.raises(FrameError) as refused:
        read_reply(frame)
    assert refused.value.reason == reason
