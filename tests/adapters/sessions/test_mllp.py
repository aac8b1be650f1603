import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.driver import Piece
from adapters.formats.mllp import MllpFramer, wrap

# Bytes in which frames, broken frames and noise are likely.
_streams = st.lists(st.sampled_from([b"\x0b", b"\x1c", b"\r", b"\x1c\r", b"\n", b" ", b"a", b"MSH|", b"x" * 9])).map(
    b"".join
)


def _all(stream: bytes, sizes: list[int], limit: int = 8) -> list[Piece]:
    framer, pieces = MllpFramer(limit), []
    while stream:
        size = sizes.pop() if sizes else len(stream)
        pieces += framer.feed(stream[:size])
        stream = stream[size:]
    rest = framer.close()
    assert not framer.pending
    return pieces + ([rest] if rest else [])


def test_what_is_wrapped_comes_out_again() -> None:
    payloads = [b"MSH|one\r", b"", "张三".encode("gb18030"), b"x" * 100_000]
    assert MllpFramer().feed(b"".join(map(wrap, payloads))) == [Piece(p) for p in payloads]


@pytest.mark.parametrize(
    ("stream", "expected"),
    [
        (b"\x0bone\x1c\r\n\r \x0btwo\x1c\r", [Piece(b"one"), Piece(b"two")]),
        (b"MSH|\x1c\r\x0btwo\x1c\r", [Piece(b"MSH|", "no-start-block"), Piece(b"two")]),
        (b"noise\x0btwo\x1c\r", [Piece(b"noise", "no-start-block"), Piece(b"two")]),
        (b"\x1c\r\x0btwo\x1c\r", [Piece(b"\x1c", "no-start-block"), Piece(b"two")]),
        (b"\x0bone\r\x0btwo\x1c\r", [Piece(b"one\r", "nested-start-block"), Piece(b"two")]),
        (b"\x0bone\x1c\x0btwo\x1c\r", [Piece(b"one", "end-block-without-cr"), Piece(b"two")]),
        (b"\x0bone\x1cabc\x0btwo\x1c\r",
         [Piece(b"one", "end-block-without-cr"), Piece(b"abc", "no-start-block"), Piece(b"two")]),
        (b"\x0bone\x1c\x1c\r", [Piece(b"one", "end-block-without-cr"), Piece(b"\x1c", "no-start-block")]),
        (b"\x0bone", [Piece(b"one", "no-end-block")]),
        (b"\x0bone\x1c", [Piece(b"one", "end-block-without-cr")]),
        (b"one", [Piece(b"one", "no-start-block")]),
        (b"\r\n  \n", []),
        (b"\x0b12345678\x1c\r", [Piece(b"12345678")]),
        (b"\x0b123456789\x1c\r\x0btwo\x1c\r", [Piece(b"12345678", "too-long"), Piece(b"two")]),
        (b"\x0b123456789\x0btwo\x1c\r", [Piece(b"12345678", "too-long"), Piece(b"two")]),
        (b"123456789 much more\x0btwo\x1c\r", [Piece(b"12345678", "no-start-block"), Piece(b"two")]),
    ],
)  # fmt: skip
def test_each_malformation_is_named_kept_and_left_behind(stream: bytes, expected: list[Piece]) -> None:
    assert _all(stream, []) == expected
    assert _all(stream, [1] * len(stream)) == expected


@given(_streams | st.binary(), st.lists(st.integers(1, 9)))
def test_any_chunking_gives_the_same_pieces(stream: bytes, sizes: list[int]) -> None:
    assert _all(stream, sizes) == _all(stream, [])


@given(_streams | st.binary())
def test_no_byte_of_a_payload_is_lost_unseen(stream: bytes) -> None:
    kept = b"".join(piece.data for piece in _all(stream, [], limit=1000))
    framing = b"\x0b\x1c \t\r\n"
    assert kept.translate(None, framing) == stream.translate(None, framing)


def test_pending_says_that_an_end_block_is_due() -> None:
    framer = MllpFramer()
    for data, pending in (
        (b"\r\n", False),
        (b"\x0b", True),
        (b"MSH|", True),
        (b"\x1c", True),
        (b"\r", False),
        (b"x", True),
    ):
        framer.feed(data)
        assert framer.pending is pending
    assert framer.close() == Piece(b"x", "no-start-block")
    assert framer.close() is None


def test_memory_is_bounded_and_a_flood_is_reported_once() -> None:
    framer = MllpFramer()
    pieces = framer.feed(b"\x0b")
    for _ in range(40):
        pieces += framer.feed(b"x" * 65_536)
    assert [(len(p.data), p.reason) for p in pieces] == [(256 * 1024, "too-long")]
    assert len(framer._buffer) == 0
    assert framer.feed(b"\x1c\r" + wrap(b"next")) == [Piece(b"next")]
