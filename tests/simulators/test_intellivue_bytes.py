"""Worked examples of the wire: computed by hand from the guide's layouts, the FCS by the catalogue's check value."""

from __future__ import annotations

from random import Random

import pytest

from simulators import intellivue_bytes as wire


@pytest.mark.parametrize(("text", "sent"), [
    ("36.5", "FF00016D"), ("-1.2", "FFFFFFF4"), ("12.05", "FE0004B5"), ("0", "00000000"), ("97", "00000061"),
    (None, "007FFFFF"),
])  # fmt: skip
def test_float(text: str | None, sent: str) -> None:
    assert wire.float_type(text) == bytes.fromhex(sent)


def test_the_fcs_is_crc_16_x_25() -> None:
    assert wire.fcs(b"123456789") == 0x906E


RELEASE_REQUEST = bytes.fromhex("0918C11661803080020101A0806280800100") + bytes(8)


def test_a_frame_of_the_serial_port() -> None:
    assert wire.mib_frame(RELEASE_REQUEST).hex(" ").upper() == (
        "C0 11 01 00 1A 09 18 7D E1 16 61 80 30 80 02 01 01 A0 80 62 80 80 01 00 00 00 00 00 00 00 00 00 41 08 C1"
    )  # the FCS is 0841, its low byte first


def test_frames_are_found_in_any_pieces_and_wrong_ones_are_none() -> None:
    rng = Random(1)
    payloads = [rng.randbytes(rng.randrange(1, 400)) + b"\xc0\xc1\x7d" for _ in range(50)]
    frames = [wire.mib_frame(payload) for payload in payloads]
    wrong = bytearray(frames[0])
    wrong[9] ^= 1 if wrong[9] ^ 1 not in (0xC0, 0xC1, 0x7D) else 2
    stream = bytes(wrong) + b"noise" + frames[1][:7] + b"\x7d\xc1" + b"".join(frames)
    reader, found = wire.MibReader(), []
    while stream:
        count = rng.randrange(1, 40)
        found += reader.feed(stream[:count])
        stream = stream[count:]
    assert found == payloads


def test_release_and_abort_are_as_long_as_they_say() -> None:
    assert len(wire.RELEASE_RESPONSE_BYTES) == 26
    assert len(wire.ABORT_BYTES) == 48
    for sent in (wire.RELEASE_RESPONSE_BYTES, wire.ABORT_BYTES, wire.REFUSE_BYTES):
        assert sent[1] == len(sent) - 2


@pytest.mark.parametrize("length", [48, 72, 200])
def test_the_lengths_of_an_answer_hold(length: int) -> None:
    info = bytes(range(length))
    reader = wire.Reader(wire.accept(info))
    assert reader.take(1) == bytes([wire.ACCEPT])
    assert reader.li() == reader.left
    assert reader.take(14).hex() == "0508130100160102800014020002"
    assert reader.take(1) == b"\xc1"
    assert reader.li() == reader.left
    reader.take(101)
    assert reader.asn_length() == length
    assert reader.take(length) == info
    assert reader.take(reader.left) == bytes(16)
    assert wire.user_info_of(wire.accept(info)) == info


def test_what_ends_early_is_noticed() -> None:
    with pytest.raises(wire.ShortError):
        wire.Reader(b"\x00\x01\x00\x08\x00").attributes()
    with pytest.raises(wire.ShortError):
        wire.user_info_of(bytes(100))
