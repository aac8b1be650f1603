"""Frames against sums that were worked out by hand from M1017617 pages 3-11."""

from __future__ import annotations

import struct

import pytest

from adapters.formats.dri_record import ALARM, HEADER_BYTES, PHDB, Subrecord, framed, read_record, record_of
from schemas.errors import FrameError


def answer(subrecords: list[tuple[int, int]], data: bytes, length: int | None = None) -> bytes:
    """A frame without its flags."""
    r_len = HEADER_BYTES + len(data) if length is None else length
    head = struct.pack("<hBBHIIH", r_len, 5, 11, 0x0203, 1_790_000_000, 0, PHDB)
    for offset, kind in subrecords:
        head += struct.pack("<hB", offset, kind)
    if len(subrecords) < 8:
        head += b"\0\0\xff"
    return framed(head.ljust(HEADER_BYTES, b"\0") + data)[1:-1]


def test_a_request_is_framed_as_worked_out() -> None:
    displayed_once = record_of(PHDB, bytes.fromhex("01 ffff 0e000000 0000"))
    assert framed(displayed_once) == bytes.fromhex(
        "7e 3100 000000000000000000000000 0000 000000 0000ff" + "00" * 18 + "01ffff0e000000 0000 3d 7e"
    )
    assert framed(record_of(ALARM, b"\x02" + bytes(11)))[-2:] == b"\x39\x7e"


def test_a_checksum_that_is_a_flag_is_escaped() -> None:
    every_63_s = record_of(PHDB, bytes.fromhex("01 3f00 0e000000 0000"))
    assert framed(every_63_s)[-3:] == b"\x7d\x5e\x7e"


def test_a_record_is_read_with_its_subrecords() -> None:
    record = read_record(answer([(0, 1), (2, 4)], b"\x7e\x7dabc"))
    assert record.subrecords == (Subrecord(1, b"\x7e\x7d"), Subrecord(4, b"abc"))
    assert (record.number, record.level, record.plug_id, record.time_s) == (5, 11, 0x0203, 1_790_000_000)


def test_eight_subrecords_have_no_end_of_the_list() -> None:
    assert len(read_record(answer([(n, 1) for n in range(8)], b"12345678")).subrecords) == 8


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        (b"", "length"),
        (b"\x7d", "escape"),
        (b"\x7d\x7d\x5d", "escape"),
        (b"a\x7eb", "framing"),
        (bytes(41), "length"),
        (bytes(40) + b"\x01", "checksum"),
        (answer([(0, 1), (9, 1)], b"12345678"), "offsets"),
        (answer([(4, 1), (2, 1)], b"12345678"), "offsets"),
        (answer([(0, 1)], b"12345678", length=47), "length"),
    ],
)
def test_what_is_no_record_has_a_reason(frame: bytes, reason: str) -> None:
    with pytest.raises(FrameError) as caught:
        read_record(frame)
    assert caught.value.reason == reason
