"""Dialogues of ASTM E1381 / CLSI LIS01-A2, as its sections describe them."""

from __future__ import annotations

import pytest

from adapters.session import Outcome
from adapters.sessions.astm import ACK, ENQ, EOT, ETB, ETX, NAK, STX, AstmSession
from tests.adapters.sessions.astm_line import MESSAGE, OTHER, Line, at, frame, frames


def test_each_frame_is_answered_and_the_last_when_the_message_is_kept() -> None:
    line = Line()
    assert line.hear(ENQ) == ACK
    *earlier, last = frames(MESSAGE)
    assert [line.hear(sent) for sent in earlier] == [ACK] * len(earlier)
    assert line.pieces == []
    assert line.hear(last) == b""
    assert line.messages == [MESSAGE]
    assert line.last.phase == "keeping"
    assert line.keep() == ACK
    assert line.hear(EOT) == b""
    assert (line.last.phase, line.last.wake_at_s, line.rejected) == ("waiting", None, [])


@pytest.mark.parametrize("outcome", [Outcome.MALFORMED, Outcome.UNSUPPORTED])
def test_what_is_kept_as_rejected_is_acknowledged(outcome: Outcome) -> None:
    line = Line()
    line.hear(ENQ, *frames(MESSAGE))
    assert line.keep(outcome) == ACK


def test_what_cannot_be_kept_is_refused_and_taken_when_it_comes_again() -> None:
    line = Line()
    *_, last = frames(MESSAGE)
    line.hear(ENQ, *frames(MESSAGE))
    assert line.keep(Outcome.CANNOT_KEEP) == NAK
    assert line.hear(last) == b""
    assert line.keep() == ACK
    assert line.hear(EOT) == b""
    assert line.messages == [MESSAGE, MESSAGE]
    assert line.proven == [1]


@pytest.mark.parametrize("size", [1, 7, 40, 240, 100_000])
def test_records_may_be_split_over_frames(size: int) -> None:
    line = Line()
    parts = [MESSAGE[start : start + size] for start in range(0, len(MESSAGE), size)]
    line.hear(ENQ)
    for number, part in enumerate(parts, 1):
        line.hear(frame(number, part, ETX if number == len(parts) else ETB))
    assert line.messages == [MESSAGE]
    assert line.rejected == []


def test_etx_ends_a_record_that_lacks_its_cr() -> None:
    line = Line()
    line.hear(ENQ, *(frame(n, record) for n, record in enumerate(MESSAGE.split(b"\r")[:-1], 1)))
    assert line.messages == [MESSAGE]


def test_messages_of_one_transfer_are_pieces_of_their_own() -> None:
    line = Line()
    line.hear(ENQ, *frames(MESSAGE))
    assert line.keep() == ACK
    line.hear(*frames(OTHER, 1 + len(frames(MESSAGE))))
    assert line.proven == [0]
    assert line.pieces[-1].answered == range(1)
    assert line.keep() == ACK
    line.hear(EOT)
    assert line.messages == [MESSAGE, OTHER]
    assert line.proven == [0, 1]


def test_a_frame_of_several_messages_is_answered_when_all_are_kept() -> None:
    line = Line()
    assert line.hear(ENQ, frame(1, MESSAGE + OTHER)) == ACK
    assert line.messages == [MESSAGE, OTHER]
    assert line.session.kept(1, Outcome.KEPT, "", at(101)).send == b""
    assert line.session.kept(0, Outcome.CANNOT_KEEP, "", at(101)).send == NAK
    assert line.hear(frame(1, MESSAGE + OTHER)) == b""
    assert line.messages == [MESSAGE, OTHER, MESSAGE]  # the other is kept
    assert line.keep() == ACK
    line.hear(EOT)
    assert line.proven == [1, 2]


@pytest.mark.parametrize(
    ("spoilt", "reason"),
    [
        (STX + b"1H|\\^&\r" + ETX + b"00\r\n", "checksum"),
        (STX + b"1H|\\^&\r" + ETX + b"\r\n", "checksum"),
        (STX + b"1H|\\^&\r" + ETX + b"_E\r\n", "checksum"),
        (frame(2, b"H|\\^&\r"), "frame-number"),
        (frame(0, b"H|\\^&\r"), "frame-number"),
        (STX + ETX + b"03\r\n", "frame-number"),
    ],
)
def test_a_defective_frame_is_kept_and_refused(spoilt: bytes, reason: str) -> None:
    line = Line()
    assert line.hear(ENQ, spoilt) == ACK + NAK
    assert line.rejected == [(spoilt[1:], reason)]
    assert line.hear(*frames(MESSAGE)) == ACK * 4
    assert line.messages == [MESSAGE]


def test_a_checksum_may_be_in_lower_case() -> None:
    line = Line()
    sent = frame(1, b"H|\\^&|||x\r")
    assert sent[-4:-2].lower() != sent[-4:-2]
    assert line.hear(ENQ, sent[:-4], sent[-4:].lower()) == ACK + ACK


def test_a_frame_whose_ack_was_lost_is_acknowledged_again() -> None:
    line = Line()
    first, *rest = frames(MESSAGE)
    assert line.hear(ENQ, first, first) == ACK * 3
    line.hear(*rest)
    assert line.hear(rest[-1]) == b""  # its one answer comes when it is kept
    assert line.keep() == ACK
    assert line.hear(rest[-1]) == ACK
    assert line.messages == [MESSAGE]
    assert line.counts == ["frame-sent-again"] * 3


def test_one_number_with_another_text_is_not_the_same_frame() -> None:
    line = Line()
    line.hear(ENQ, frame(1, b"H|\\^&\r"))
    assert line.hear(frame(1, b"P|1\r")) == NAK
    assert [reason for _, reason in line.rejected] == ["frame-number"]


def test_numbers_go_round_modulo_8() -> None:
    line = Line()
    results = b"".join(b"R|%d|^^^pH|7.4\r" % n for n in range(20))
    message = b"H|\\^&\r" + results + b"L|1\r"
    line.hear(ENQ, *frames(message))
    assert line.messages == [message]


@pytest.mark.parametrize("gone_on", [EOT, ENQ, EOT + ENQ])
def test_who_goes_on_gets_no_late_answer(gone_on: bytes) -> None:
    line = Line()
    line.hear(ENQ, *frames(MESSAGE))
    line.now_s += 15
    line.hear(gone_on)
    assert "not-waited-for-answer" in line.counts
    assert line.keep() == b""
    assert line.hear(EOT) == b""
    assert line.proven == []


def test_a_message_whose_ack_may_be_lost_is_the_same_when_it_comes_again() -> None:
    line = Line()
    line.hear(ENQ, *frames(MESSAGE))
    assert line.keep() == ACK
    line.wait(15)
    assert line.hear(EOT, ENQ, *frames(MESSAGE)) == ACK * 6
    assert line.counts == ["message-sent-again"]
    assert line.hear(EOT, ENQ, *frames(MESSAGE)) == ACK * 5  # now that has arrived: another message
    assert line.messages == [MESSAGE, MESSAGE]
    assert line.proven == [0]


def test_a_message_that_comes_again_before_it_is_kept_waits_for_the_same_commit() -> None:
    line = Line()
    line.hear(ENQ, *frames(MESSAGE))
    line.now_s += 15
    assert line.hear(EOT, ENQ, *frames(MESSAGE)) == ACK * 5
    assert line.messages == [MESSAGE]
    assert line.keep() == ACK


def test_what_comes_again_after_an_hour_is_another_message() -> None:
    line = Line()
    line.hear(ENQ, *frames(MESSAGE))
    line.keep()
    line.wait(3601)
    line.hear(EOT, ENQ, *frames(MESSAGE))
    assert line.messages == [MESSAGE, MESSAGE]


@pytest.mark.parametrize(("seconds", "proven"), [(0.0, [0]), (14.0, [0]), (15.0, []), (29.0, [])])
def test_eot_proves_the_ack_unless_the_sender_may_have_given_up(seconds: float, proven: list[int]) -> None:
    line = Line()
    line.hear(ENQ, *frames(MESSAGE))
    line.keep()
    line.wait(seconds)
    line.hear(EOT)
    assert line.proven == proven


def test_eot_after_a_nak_proves_nothing() -> None:
    line = Line()
    *_, last = frames(MESSAGE)
    line.hear(ENQ, *frames(MESSAGE))
    line.keep()
    assert line.hear(STX, b"6" + last[2:]) == NAK  # the ACK was lost, and now the frame is spoilt
    assert line.hear(EOT, ENQ, *frames(MESSAGE)) == ACK * 6
    assert (line.messages, line.proven) == ([MESSAGE], [])


@pytest.mark.parametrize(("orderly", "proven"), [(True, [0]), (False, [])])
def test_an_orderly_end_of_the_connection_proves_the_ack(orderly: bool, proven: list[int]) -> None:
    line = Line()
    line.hear(ENQ, *frames(MESSAGE))
    line.keep()
    line.emitted(line.session.closed(orderly, at(line.now_s)))
    assert (line.proven, line.rejected) == (proven, [])


def test_a_message_without_its_terminator_is_kept_as_such() -> None:
    line = Line()
    *unfinished, _ = frames(MESSAGE)
    line.hear(ENQ, *unfinished, *frames(OTHER, 1 + len(unfinished)))
    line.keep()
    line.hear(EOT, ENQ, *unfinished, EOT)
    whole = MESSAGE.removesuffix(b"L|1|N\r")
    assert line.rejected == [(whole, "no-terminator")] * 2
    assert line.messages == [OTHER]


def test_a_stall_ends_the_transfer_after_30_s_of_silence() -> None:
    line = Line()
    line.hear(ENQ, frames(MESSAGE)[0])
    line.wait(29)
    line.hear(STX, b"2P|1")
    line.wait(29.9)
    assert line.pieces == []
    assert line.wait(0.2) == b""
    assert line.rejected == [(b"H|\\^&|||ABG^1\r2P|1", "cut-off")]
    assert (line.last.phase, line.last.wake_at_s) == ("waiting", None)
    line.hear(ENQ, *frames(OTHER))
    assert line.messages == [OTHER]


@pytest.mark.parametrize("ended_by", ["enquiry", "connection", "eot inside a frame"])
def test_what_is_cut_off_is_kept(ended_by: str) -> None:
    line = Line()
    line.hear(ENQ, frames(MESSAGE)[0])
    if ended_by == "enquiry":
        line.hear(ENQ)
    elif ended_by == "connection":
        line.emitted(line.session.closed(False, at(line.now_s)))
    else:
        line.hear(STX, EOT)
    assert line.rejected == [(b"H|\\^&|||ABG^1\r", "cut-off")]


def test_a_spoilt_byte_that_looks_like_an_enquiry_acknowledges_nothing() -> None:
    line = Line()
    good = frames(MESSAGE)[0]
    assert line.hear(ENQ, good[:4], ENQ, good[5:]) == ACK + NAK
    assert line.hear(good) == ACK


def test_an_enquiry_within_a_transfer_ends_it_and_is_not_answered() -> None:
    line = Line()
    *earlier, last = frames(MESSAGE)
    line.hear(ENQ, *earlier)
    assert line.hear(ENQ) == b""  # the sender waits for an answer to its last frame, not to this
    assert line.hear(last) == b""
    assert line.counts == ["enquiry-in-transfer"]
    assert line.hear(EOT, ENQ) == ACK


def test_noise_outside_of_a_transfer_is_kept_in_chunks() -> None:
    line = Line()
    assert line.hear(EOT, b"\r\n\x00", EOT) == b""
    assert line.pieces == []
    assert line.hear(b"x" * 2500) == b""
    assert [len(data) for data, _ in line.rejected] == [1024, 1024]
    assert line.hear(ENQ) == ACK
    assert [(len(data), reason) for data, reason in line.rejected] == [
        (1024, "no-enquiry"),
        (1024, "no-enquiry"),
        (452, "no-enquiry"),
    ]
    line.hear(EOT, STX, b"1H|\\^&\r", ETX)
    line.wait(30)
    assert line.rejected[3:] == [(STX + b"1H|\\^&\r" + ETX, "no-enquiry")]


def test_a_frame_without_its_line_end_is_answered_after_2_s() -> None:
    line = Line()
    assert line.hear(ENQ, frame(1, b"H|\\^&\r", line_end=b"")) == ACK
    assert line.wait(1.9) == b""
    assert line.wait(0.2) == ACK
    assert line.hear(frame(2, b"P|1\r", line_end=b"\r")) == b""
    assert line.wait(2.1) == ACK
    assert line.counts == ["no-line-end"] * 2
    assert line.hear(b"\r\n", frame(3, b"O|1\r", line_end=b"\n")) == ACK


def test_a_frame_whose_stx_is_lost_is_refused_after_2_s() -> None:
    line = Line()
    assert line.hear(ENQ, frames(MESSAGE)[0][1:]) == ACK
    assert line.wait(2.1) == NAK
    assert [reason for _, reason in line.rejected] == ["framing"]
    assert line.hear(*frames(MESSAGE)) == ACK * 4


def test_a_frame_with_an_etx_too_many_is_refused_once() -> None:
    line = Line()
    good = frames(MESSAGE)[0]
    assert line.hear(ENQ, good[:6], ETX, good[6:]) == ACK
    assert line.wait(2.1) == NAK
    assert b"".join(data for data, _ in line.rejected) == good[1:6] + ETX + good[6:]
    assert line.hear(good) == ACK


def test_a_frame_begun_again_is_the_new_one() -> None:
    line = Line()
    sent = frames(MESSAGE)[0]
    assert line.hear(ENQ, sent[:5], sent) == ACK + ACK
    assert line.rejected == [(sent[1:5], "framing")]


def test_a_message_over_the_limit_is_refused_to_its_end_and_kept_up_to_the_limit() -> None:
    line = Line(AstmSession(max_message_bytes=60))
    message = b"H|\\^&\r" + b"C|" + b"x" * 100 + b"\rL|1\r"
    assert line.hear(ENQ, frame(1, message)) == ACK + NAK
    assert line.hear(frame(1, message)) == NAK
    assert line.hear(EOT, ENQ) == ACK
    answers = [line.hear(sent) for sent in (frame(1, b"H|\\^&\r"), frame(2, b"C|" + b"x" * 50, ETB))]
    assert answers == [ACK, ACK]
    assert line.hear(frame(3, b"x" * 20 + b"\r")) == NAK
    assert line.hear(frame(3, b"\r")) == NAK
    assert line.hear(EOT, ENQ, *frames(b"H|\\^&\rL|1\r")) == ACK + ACK
    assert line.rejected == [(message[:60], "too-long"), (b"H|\\^&\rC|" + b"x" * 52, "too-long")]
    assert line.messages == [b"H|\\^&\rL|1\r"]


def test_memory_is_bounded_whatever_comes() -> None:
    session = AstmSession()
    session.feed(ENQ + STX, at(0))
    for _ in range(40):
        session.feed(b"x" * 100_000, at(0))
    assert len(session._frame) <= 256 * 1024 + 1
    session.feed(ETX, at(0))
    for _ in range(40):
        session.feed(b"x" * 100_000, at(0))
    assert len(session._checksum) <= 4
    assert len(session._noise) <= 1024
