"""A scan as it travels."""

from __future__ import annotations

import msgspec
import pytest

from schemas.adt import Identifier
from schemas.scan import Scan, ScanAction, WristbandNumber, decode_scan, encode_scan


def test_a_scan_comes_back_as_it_went_and_what_is_empty_is_left_out() -> None:
    scan = Scan(
        action=ScanAction.ASSOCIATE, device="d", digest=b"\x01" * 32, wristband=Identifier(value="0007"),
        number_of=WristbandNumber.VISIT, at_us=1,
    )  # fmt: skip
    assert decode_scan(encode_scan(scan)) == scan
    assert "scanner" not in encode_scan(scan)


def test_what_a_newer_program_says_is_not_taken_for_less() -> None:
    with pytest.raises(msgspec.ValidationError):
        decode_scan('{"action":"associate","device":"d","digest":"","until_us":1}')
