from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.formats.hl7v2 import Hl7Message
from adapters.session import Moment, Outcome, Piece, Step
from adapters.sessions.mllp import CR_WAIT_S, STALL_S, MllpSession, wrap

NOW_US = 1_777_601_700_000_000
# Bytes in which frames, broken frames and noise are likely.
_streams = st.lists(st.sampled_from([b"\x0b", b"\x1c", b"\r", b"\x1c\r", b"\n", b" ", b"a", b"MSH|", b"x" * 9])).map(
    b"".join
)


def at(steady_s: float) -> Moment:
    return Moment(steady_s, NOW_US)


def message(control_id: str, kind: str = "ORU^R01", accept: str = "", application: str = "") -> bytes:
    return rf"MSH|^~\&|MON||||1||{kind}|{control_id}|P|2.6|||{accept}|{application}".encode() + b"\rPID|1\r"


def cut(pieces: Iterable[Piece]) -> list[tuple[bytes, str]]:
    return [(piece.data, piece.reason) for piece in pieces]


def _all(stream: bytes, sizes: list[int], limit: int = 8) -> list[Piece]:
    session, pieces = MllpSession(max_frame_bytes=limit), list[Piece]()
    while stream:
        size = sizes.pop() if sizes else len(stream)
        pieces += session.feed(stream[:size], at(0)).pieces
        stream = stream[size:]
    pieces += session.closed(True, at(1)).pieces
    return pieces


def msa(step: Step) -> list[tuple[str, str]]:
    """MSA-1 and MSA-2 of what is sent."""
    answers = [Hl7Message(frame[:-2]) for frame in step.send.split(b"\x0b")[1:]]
    return [(answer.field("MSA", 1), answer.field("MSA", 2)) for answer in answers]


def test_what_is_wrapped_comes_out_again() -> None:
    payloads = [b"MSH|one\r", b"", "张三".encode("gb18030"), b"x" * 100_000]
    assert cut(MllpSession().feed(b"".join(map(wrap, payloads)), at(0)).pieces) == [(p, "") for p in payloads]


@pytest.mark.parametrize(
    ("stream", "expected"),
    [
        (b"\x0bone\x1c\r\n\r \x0btwo\x1c\r", [(b"one", ""), (b"two", "")]),
        (b"MSH|\x1c\r\x0btwo\x1c\r", [(b"MSH|", "no-start-block"), (b"two", "")]),
        (b"noise\x0btwo\x1c\r", [(b"noise", "no-start-block"), (b"two", "")]),
        (b"\x1c\r\x0btwo\x1c\r", [(b"\x1c", "no-start-block"), (b"two", "")]),
        (b"\x0bone\r\x0btwo\x1c\r", [(b"one\r", "nested-start-block"), (b"two", "")]),
        (b"\x0bone\x1c\x0btwo\x1c\r", [(b"one", ""), (b"two", "")]),
        (b"\x0bone\x1cabc\x0btwo\x1c\r", [(b"one", ""), (b"abc", "no-start-block"), (b"two", "")]),
        (b"\x0bone\x1c\x1c\r", [(b"one", ""), (b"\x1c", "no-start-block")]),
        (b"\x0bone", [(b"one", "no-end-block")]),
        (b"\x0bone\x1c", [(b"one", "")]),
        (b"one", [(b"one", "no-start-block")]),
        (b"\r\n  \n", []),
        (b"\x0b12345678\x1c\r", [(b"12345678", "")]),
        (b"\x0b123456789\x1c\r\x0btwo\x1c\r", [(b"12345678", "too-long"), (b"two", "")]),
        (b"\x0b123456789\x0btwo\x1c\r", [(b"12345678", "too-long"), (b"two", "")]),
        (b"123456789 much more\x0btwo\x1c\r", [(b"12345678", "no-start-block"), (b"two", "")]),
    ],
)  # fmt: skip
def test_each_malformation_is_named_kept_and_left_behind(stream: bytes, expected: list[tuple[bytes, str]]) -> None:
    assert cut(_all(stream, [])) == expected
    assert cut(_all(stream, [1] * len(stream))) == expected


@given(_streams | st.binary(), st.lists(st.integers(1, 9)))
def test_any_chunking_gives_the_same_pieces(stream: bytes, sizes: list[int]) -> None:
    assert _all(stream, sizes) == _all(stream, [])


@given(_streams | st.binary())
def test_no_byte_of_a_payload_is_lost_unseen(stream: bytes) -> None:
    kept = b"".join(piece.data for piece in _all(stream, [], limit=1000))
    framing = b"\x0b\x1c \t\r\n"
    assert kept.translate(None, framing) == stream.translate(None, framing)


def test_memory_is_bounded_and_a_flood_is_reported_once() -> None:
    session = MllpSession()
    pieces = list(session.feed(b"\x0b", at(0)).pieces)
    for _ in range(40):
        pieces += session.feed(b"x" * 65_536, at(0)).pieces
    assert [(len(p.data), p.reason) for p in pieces] == [(256 * 1024, "too-long")]
    assert len(session._framing._buffer) == 0
    step = session.feed(b"\x1c\r" + wrap(b"next"), at(0))
    assert cut(step.pieces) == [(b"next", "")]
    assert step.wake_at_s is None


def test_a_frame_that_stands_still_is_kept_and_never_answered() -> None:
    session = MllpSession()
    half = wrap(message("A1"))[:-2]
    assert session.feed(half[:9], at(0)).wake_at_s == STALL_S
    step = session.feed(half[9:], at(50))
    assert (step.wake_at_s, step.phase) == (50 + STALL_S, "receiving")
    assert session.tick(at(50 + STALL_S - 0.1)) == Step(wake_at_s=50 + STALL_S, phase="receiving")
    step = session.tick(at(50 + STALL_S))
    assert step == Step((Piece(half[1:], "no-end-block"),), phase="waiting", close=True)


def test_a_frame_without_its_last_cr_is_whole_after_five_seconds() -> None:
    session = MllpSession()
    step = session.feed(wrap(message("A1"))[:-1], at(0))
    assert (step.pieces, step.wake_at_s) == ((), CR_WAIT_S)
    step = session.tick(at(CR_WAIT_S))
    assert step == Step(
        (Piece(message("A1"), token=0),), phase="waiting", counts=("end-block-without-cr",)
    )  # fmt: skip
    assert msa(session.kept(0, Outcome.KEPT, "", at(6))) == [("AA", "A1")]
    assert session.feed(b"\r", at(7)) == Step(phase="waiting")  # the CR, late


def test_answers_come_in_the_order_of_kept_and_name_their_messages() -> None:
    session = MllpSession()
    step = session.feed(b"".join(wrap(message(f"A{n}")) for n in range(4)), at(0))
    assert [piece.token for piece in step.pieces] == [0, 1, 2, 3]
    answers = [
        msa(session.kept(2, Outcome.KEPT, "", at(0))),
        msa(session.kept(0, Outcome.CANNOT_KEEP, "spool full", at(0))),
        msa(session.kept(3, Outcome.MALFORMED, "two-messages", at(0))),
        msa(session.kept(1, Outcome.UNSUPPORTED, "unsupported-type", at(0))),
    ]
    assert answers == [[("AA", "A2")], [("AR", "A0")], [("AE", "A3")], [("AR", "A1")]]
    step = session.feed(wrap(message("A4", accept="AL")), at(1))
    assert msa(session.kept(4, Outcome.CANNOT_KEEP, "", at(1))) == [("CE", "A4")]
    assert not step.close


def test_a_frame_proves_the_answers_before_the_first_that_is_due() -> None:
    session = MllpSession()
    assert session.feed(wrap(message("A0")) + wrap(message("A1")), at(0)).pieces[1].answered == range(0)
    session.kept(1, Outcome.KEPT, "", at(0))
    assert session.feed(wrap(message("A2")), at(0)).pieces[0].answered == range(0)
    session.kept(0, Outcome.KEPT, "", at(0))
    assert session.feed(wrap(message("A3")), at(0)).pieces[0].answered == range(2)


@pytest.mark.parametrize(("orderly", "proven"), [(True, range(1)), (False, range(0))])
def test_who_ends_in_order_has_read_its_answers(orderly: bool, proven: range) -> None:
    session = MllpSession()
    session.feed(wrap(message("A0")) + wrap(message("A1")), at(0))
    session.kept(0, Outcome.KEPT, "", at(0))
    assert session.closed(orderly, at(1)).proven == proven
    assert msa(session.kept(1, Outcome.KEPT, "", at(2))) == [("AA", "A1")]  # it may have ended its direction alone


def test_an_acknowledgement_is_counted_and_is_no_piece() -> None:
    session = MllpSession()
    step = session.feed(wrap(message("A0", "ACK^R01^ACK")) + wrap(message("A1")), at(0))
    assert cut(step.pieces) == [(message("A1"), "")]
    assert step.counts == ("acknowledgement",)
    assert session.feed(b"", at(0)).counts == ()
    broken = session.feed(
        b"\x0b" + message("A2", "ACK") + b"\x0b", at(0)
    )  # kept, and no more answered than a whole one
    assert [(p.reason, p.token) for p in broken.pieces] == [("nested-start-block", None)]


def test_noise_is_kept_and_answered_only_where_there_is_a_message_in_it() -> None:
    session = MllpSession()
    step = session.feed(b"\xff" + wrap(message("A1")) + message("A2") + b"\x1c\r" + b"\x0bhello\x1c\r", at(0))
    assert [(piece.reason, piece.token) for piece in step.pieces] == [
        ("no-start-block", None), ("", 0), ("no-start-block", 1), ("", 2),
    ]  # fmt: skip
    assert msa(session.kept(1, Outcome.MALFORMED, "no-start-block", at(0))) == [("AE", "A2")]


def test_a_source_may_ask_for_both_acknowledgements() -> None:
    session = MllpSession("both")
    session.feed(wrap(message("A0", accept="AL", application="AL")), at(0))
    assert msa(session.kept(0, Outcome.KEPT, "", at(0))) == [("CA", "A0"), ("AA", "A0")]


def test_who_wants_no_answer_gets_none() -> None:
    session = MllpSession()
    session.feed(wrap(message("A0", accept="NE", application="NE")), at(0))
    assert session.kept(0, Outcome.KEPT, "", at(0)).send == b""


def test_what_an_ended_connection_left_is_kept() -> None:
    session = MllpSession()
    session.feed(b"\x0bMSH|", at(0))
    assert session.closed(False, at(0)).pieces == (Piece(b"MSH|", "no-end-block"),)
    assert session.closed(False, at(0)).pieces == ()
