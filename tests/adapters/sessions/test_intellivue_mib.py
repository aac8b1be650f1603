"""Frames of the MIB/RS-232 port, against the worked example and whatever a line makes of them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from adapters.session import Moment, Piece
from adapters.sessions.intellivue import IntellivueSession
from adapters.sessions.intellivue_mib import MibSession, check_of, framed
from tests.adapters.intellivue_bytes import RELEASE_REQUEST, SPO2_97, accept, mds_create

NOW = Moment(0, 0)
# The worked example: a release request; note the C1 that is sent as 7D E1.
RELEASE_FRAME = bytes.fromhex(
    "C0 11 01 00 1A 09 18 7D E1 16 61 80 30 80 02 01 01 A0 80 62 80 80 01 00 00 00 00 00 00 00 00 00 41 08 C1"
)
KEEP_ALIVE = bytes.fromhex("E10000020001001C00C0000700160021000000000000 00000C160008007D000100360811".replace(" ", ""))


def session() -> MibSession:
    made = MibSession(IntellivueSession())
    made.opened(NOW)
    return made


def pieces_of(*chunks: bytes) -> list[Piece]:
    made = session()
    found = [piece for chunk in chunks for piece in made.feed(chunk, NOW).pieces]
    return [*found, *made.closed(True, NOW).pieces]


def test_the_worked_frames() -> None:
    assert check_of(b"123456789") == 0x906E
    assert framed(RELEASE_REQUEST) == RELEASE_FRAME
    assert framed(KEEP_ALIVE)[-3:-1] == bytes.fromhex("C229")  # low byte first
    assert pieces_of(RELEASE_FRAME) == [Piece(RELEASE_REQUEST)]


def test_the_dialogue_is_the_lans_in_frames() -> None:
    made = MibSession(IntellivueSession())
    assert made.opened(NOW).send[:6] == bytes.fromhex("C0110100EE0D")
    step = made.feed(framed(accept(0x8C000000)) + framed(mds_create({})), Moment(1, 0))
    assert step.send[:6] == bytes.fromhex("C01101001CE1")
    assert step.phase == "polling"
    assert step.wake_at_s is not None
    assert made.tick(Moment(step.wake_at_s, 0)).send[0] == 0xC0
    assert made.closed(False, NOW).send == RELEASE_FRAME


def test_what_is_no_frame_has_its_reason() -> None:
    frame = framed(SPO2_97)
    cases = {
        "noise": b"junk",
        "checksum": frame[:20] + bytes([frame[20] ^ 1]) + frame[21:],
        "framing": framed(SPO2_97).replace(b"\x11\x01", b"\x11\x02"),
        "aborted": frame[:20] + b"\x7d\xc1",
    }
    for reason, sent in cases.items():
        assert pieces_of(sent + frame) == [Piece(sent, reason), Piece(SPO2_97)]
    assert pieces_of(frame[:30]) == [Piece(frame[:30], "cut-off")]


def test_two_frames_that_a_lost_end_made_one_are_told_apart() -> None:
    frame = framed(SPO2_97)
    assert pieces_of(frame[:-1] + frame) == [Piece(frame[:-1], "framing"), Piece(SPO2_97)]
    # And where the begin of the second is lost too, by the length.
    assert pieces_of(frame[:-1] + frame[1:]) == [Piece(frame[:-1] + frame[1:], "framing")]


@given(st.binary(max_size=300))
def test_every_message_comes_through(message: bytes) -> None:
    frame = framed(message)
    assert {0xC0, 0xC1}.isdisjoint(frame[1:-1])
    assert [piece for piece in pieces_of(frame) if piece.reason] == []
    assert pieces_of(frame) == ([Piece(message)] if message else [])


@given(
    st.lists(
        st.one_of(
            st.binary(max_size=40),
            st.just(framed(SPO2_97)),
            st.sampled_from([b"\xc0", b"\xc1", b"\x7d", framed(SPO2_97)[:40]]),
        ),
        max_size=8,
    ),
    st.lists(st.integers(1, 30), min_size=1, max_size=20),
)
def test_any_chunking_gives_the_same_pieces_and_no_byte_is_lost(parts: list[bytes], sizes: list[int]) -> None:
    stream = b"".join(parts)
    whole = pieces_of(stream)
    chunks, at = [], 0
    while at < len(stream):
        size = sizes[len(chunks) % len(sizes)]
        chunks.append(stream[at : at + size])
        at += size
    assert pieces_of(*chunks) == whole
    assert b"".join(piece.data if piece.reason else framed(piece.data) for piece in whole) == stream
