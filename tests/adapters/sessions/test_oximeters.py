"""Packets of Nellcor's N-200 and of Nonin's formats 7 and 13 in a stream that is not clean."""

from __future__ import annotations

import pytest

from adapters.session import Moment, Session
from adapters.sessions.nellcor_n200 import NellcorN200Session
from adapters.sessions.nonin_df7 import NoninDf7Session
from adapters.sessions.nonin_df13 import NoninDf13Session
from simulators import nonin_bluetooth
from simulators.patient import Patient

NOW = Moment(0, 1_790_000_000_000_000)
DOWN = b"\x02R072S098P100L050H120O085A000M015T000000Q000\r\n\x55\x03"
UP = DOWN[:-2] + b"\x03\x55\x03"
SECOND = b"".join(nonin_bluetooth.df7_packet(Patient(3), number) for number in range(3))
MESSAGE = nonin_bluetooth.SpotCheck(Patient(3)).message(0.0)


def cut(session: Session, stream: bytes) -> list[tuple[bytes, str]]:
    steps = [session.feed(stream, NOW), session.closed(True, NOW)]
    return [(piece.data, piece.reason) for step in steps for piece in step.pieces]


def test_both_forms_of_the_n200_are_packets() -> None:
    assert cut(NellcorN200Session(), b"noise" + DOWN + UP + b"xx" + DOWN) == [
        (b"noise", "framing"),
        (DOWN, ""),
        (UP, ""),
        (b"xx", "framing"),
        (DOWN, ""),
    ]


@pytest.mark.parametrize("packet", [DOWN[:-2] + b"\x03\x03", UP[:-2] + b"\x03\x03"])
def test_a_check_byte_may_be_the_end_byte(packet: bytes) -> None:
    assert cut(NellcorN200Session(), packet + packet + DOWN) == [(packet, ""), (packet, ""), (DOWN, "")]


def test_the_short_form_does_not_wait_for_the_next_packet() -> None:
    session = NellcorN200Session()
    assert [piece.data for piece in session.feed(DOWN, NOW).pieces] == [DOWN]


def test_a_cut_packet_of_the_n200_costs_no_other() -> None:
    assert cut(NellcorN200Session(), DOWN[:20] + DOWN + UP) == [(DOWN[:20], "framing"), (DOWN, ""), (UP, "")]


def test_format_7_finds_its_packets_again() -> None:
    damaged = bytearray(SECOND)
    damaged[44] ^= 1  # a checksum: its driver says so
    stream = SECOND[60:] + SECOND + SECOND[:100] + SECOND + bytes(damaged)
    pieces = cut(NoninDf7Session(), stream)
    assert [data for data, reason in pieces if not reason] == [
        SECOND[125:] + SECOND[:125],  # three packets in a row, as good as any
        SECOND,
        bytes(damaged),
    ]
    assert b"".join(data for data, _ in pieces) == stream


def test_a_pleth_that_looks_like_a_status_is_none() -> None:
    pleth = bytes([0x80, 0x81, 0x80, 0x30, 0xB1])
    pieces = cut(NoninDf7Session(), pleth * 5 + SECOND)
    assert pieces[-1] == (SECOND, "")


def test_format_13_is_cut_by_its_length() -> None:
    longer = b"\x00\x02\x00\x0d\x00\x10" + bytes(16) + b"\x00\x03"
    assert cut(NoninDf13Session(), b"noise" + MESSAGE + longer + MESSAGE[:9] + MESSAGE) == [
        (b"noise", "framing"),
        (MESSAGE, ""),
        (longer, ""),
        (MESSAGE[:9], "framing"),
        (MESSAGE, ""),
    ]


def test_a_length_that_no_message_has_is_noise() -> None:
    head = b"\x00\x02\x00\x0d\xff\xff"
    assert cut(NoninDf13Session(), head + MESSAGE) == [(head, "framing"), (MESSAGE, "")]
