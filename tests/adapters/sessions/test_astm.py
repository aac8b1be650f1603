"""Dialogues of ASTM E1381 / CLSI LIS01-A2, as its sections describe them, and senders over bad lines."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.session import Moment, Outcome, Piece, Step
from adapters.sessions.astm import ACK, ENQ, EOT, ETB, ETX, NAK, STX, AstmSession

MESSAGE = b"H|\\^&|||ABG^1\rP|1||4711\rO|1|S-9\rR|1|^^^pH|7.412|pH||N||F\rL|1|N\r"
OTHER = b"H|\\^&|||ABG^1\rP|1||4712\rO|1|S-10\rR|1|^^^pH|7.31|pH||L||F\rL|1|N\r"


def frame(number: int, text: bytes, end: bytes = ETX, line_end: bytes = b"\r\n") -> bytes:
    summed = b"%d" % (number % 8) + text + end
    return STX + summed + b"%02X" % (sum(summed) % 256) + line_end


def frames(message: bytes, first: int = 1) -> list[bytes]:
    """A record a frame."""
    records = message.split(b"\r")[:-1]
    return [frame(number, record + b"\r") for number, record in enumerate(records, first)]


def at(seconds: float) -> Moment:
    return Moment(seconds, int(seconds * 1e6))


@dataclass
class Line:
    """A session and what it has said."""

    session: AstmSession = field(default_factory=AstmSession)
    now_s: float = 100.0
    pieces: list[Piece] = field(default_factory=list)
    proven: list[int] = field(default_factory=list)
    counts: list[str] = field(default_factory=list)
    last: Step = field(default_factory=Step)

    def said(self, step: Step) -> bytes:
        self.last = step
        self.pieces += step.pieces
        self.proven += step.proven
        self.counts += step.counts
        return step.send

    def hear(self, *data: bytes) -> bytes:
        return self.said(self.session.feed(b"".join(data), at(self.now_s)))

    def keep(self, outcome: Outcome = Outcome.KEPT) -> bytes:
        (token,) = [piece.token for piece in self.pieces[-1:] if piece.token is not None]
        return self.said(self.session.kept(token, outcome, "", at(self.now_s)))

    def wait(self, seconds: float) -> bytes:
        """Time passes; the session is woken when it asked for it."""
        end_s, sent = self.now_s + seconds, b""
        while self.last.wake_at_s is not None and self.last.wake_at_s <= end_s:
            self.now_s = self.last.wake_at_s
            sent += self.said(self.session.tick(at(self.now_s)))
        self.now_s = end_s
        return sent

    @property
    def messages(self) -> list[bytes]:
        return [piece.data for piece in self.pieces if not piece.reason]

    @property
    def rejected(self) -> list[tuple[bytes, str]]:
        return [(piece.data, piece.reason) for piece in self.pieces if piece.reason]


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
    assert [piece.token for piece in line.pieces] == [0, 1, 2, 3]


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


@pytest.mark.parametrize(("seconds", "proven"), [(0.0, [0]), (14.0, [0]), (15.0, []), (29.0, [])])
def test_eot_proves_the_ack_unless_the_sender_may_have_given_up(seconds: float, proven: list[int]) -> None:
    line = Line()
    line.hear(ENQ, *frames(MESSAGE))
    line.keep()
    line.wait(seconds)
    line.hear(EOT)
    assert line.proven == proven


@pytest.mark.parametrize(("orderly", "proven"), [(True, [0]), (False, [])])
def test_an_orderly_end_of_the_connection_proves_the_ack(orderly: bool, proven: list[int]) -> None:
    line = Line()
    line.hear(ENQ, *frames(MESSAGE))
    line.keep()
    line.said(line.session.closed(orderly, at(line.now_s)))
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
        line.said(line.session.closed(False, at(line.now_s)))
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


# Bytes in which frames, broken frames and noise are likely.
_sent = st.one_of(
    st.sampled_from([ENQ, EOT, STX, ETX, ETB, ACK, b"\r", b"\n", b"x", b"x" * 2000, b"1", b"H|\\^&\r", b"L|1\r"]),
    st.builds(
        frame,
        st.integers(0, 7),
        st.sampled_from([b"H|\\^&|x\r", b"P|x\r", b"L|1\r", b"x", MESSAGE, MESSAGE + OTHER]),
        st.sampled_from([ETX, ETB]),
        st.sampled_from([b"\r\n", b"\n", b"\r", b""]),
    ),
    st.sampled_from([ENQ + b"".join(frames(MESSAGE)) + EOT, ENQ + frames(OTHER)[0]]),
    st.binary(max_size=5),
)
_streams = st.lists(_sent, max_size=12).map(b"".join)


def cut(stream: bytes, sizes: list[int], limit: int) -> tuple[list[Piece], bytes, list[str]]:
    session = AstmSession(limit)
    steps = []
    while stream:
        size = sizes.pop() if sizes else len(stream)
        steps.append(session.feed(stream[:size], at(0)))
        stream = stream[size:]
    steps.append(session.closed(True, at(0)))
    pieces = [piece for step in steps for piece in step.pieces]
    return pieces, b"".join(step.send for step in steps), [count for step in steps for count in step.counts]


@given(_streams, st.lists(st.integers(1, 9)), st.sampled_from([40, 100_000]))
def test_any_chunking_gives_the_same_pieces_and_answers(stream: bytes, sizes: list[int], limit: int) -> None:
    assert cut(stream, sizes, limit) == cut(stream, [], limit)


@given(_streams)
def test_no_text_is_lost_unless_it_came_before(stream: bytes) -> None:
    pieces, _, counts = cut(stream, [], 100_000)
    if "frame-sent-again" not in counts:
        assert sum(piece.data.count(b"x") for piece in pieces) == stream.count(b"x")


_calls = st.one_of(
    st.tuples(st.just("feed"), _streams | st.binary(max_size=50)),
    st.tuples(st.just("tick"), st.none()),
    st.tuples(st.just("kept"), st.tuples(st.integers(0, 5), st.sampled_from(Outcome))),
    st.tuples(st.just("closed"), st.booleans()),
)


@given(st.lists(st.tuples(_calls, st.floats(0, 40))))
def test_whatever_comes_it_goes_on(calls: list[tuple[tuple[str, object], float]]) -> None:
    line = Line()
    line.said(line.session.opened(at(line.now_s)))
    for (name, given_), seconds in calls:
        line.now_s += seconds
        if isinstance(given_, bytes):
            line.hear(given_)
        elif isinstance(given_, tuple):
            line.said(line.session.kept(given_[0], given_[1], "", at(line.now_s)))
        elif name == "tick":
            line.said(line.session.tick(at(line.now_s)))
            assert line.last.wake_at_s is None or line.last.wake_at_s > line.now_s
        else:
            line.said(line.session.closed(bool(given_), at(line.now_s)))
    assert [piece.token for piece in line.pieces if piece.token is not None] == list(range(len(line.messages)))
    line.wait(60)
    line.hear(EOT, ENQ, *frames(MESSAGE))
    assert line.messages[-1] == MESSAGE
    assert line.keep() == ACK


class BadLine:
    """A sender by LIS01-A2 (15 s for an answer, six NAK, then EOT and from the start) over a line that spoils things.

    `faults` are what happens to each thing it sends, in turn; after them all goes well. `gives_up` is as the standard
    has it: a frame that is not answered is not sent again alone.
    """

    def __init__(self, faults: list[tuple[str, int, int]], gives_up: bool) -> None:
        self.line = Line()
        self._gives_up = gives_up
        self._faults = list(reversed(faults))
        self._kept: list[tuple[bytes, int]] = []

    def send(self, message: bytes) -> None:
        """Return when it is acknowledged, as often as it takes."""
        for _ in range(1000):
            if self._exchange(ENQ) == ACK and all(self._send_frame(sent) for sent in frames(message)):
                self._exchange(EOT)
                return
            self._exchange(EOT)
            self.line.wait(10)
        raise AssertionError("never delivered")

    def _send_frame(self, sent: bytes) -> bool:
        for _ in range(6):
            answer = self._exchange(sent)
            if answer == ACK:
                return True
            if answer == b"" and self._gives_up:
                return False
        return False

    def _exchange(self, sent: bytes) -> bytes:
        """What answer arrives within 15 s; one that came late is not it, for a sender empties its input first."""
        fault, place, byte = self._faults.pop() if self._faults else ("", 0, 0)
        if fault == "lost":
            sent = b""
        elif fault == "noise":
            sent = bytes([byte]) * (1 + place % 3) + sent
        elif fault == "spoilt":
            place %= len(sent)
            sent = sent[:place] + bytes([byte]) + sent[place + 1 :]
        token_count = len(self.line.messages)
        answer = self.line.hear(sent)
        new_tokens = range(token_count, len(self.line.messages))
        waited_s = 0.0
        if fault == "slow disk":
            answer += self.line.wait(place % 40)
            waited_s = place % 40
        for token in new_tokens:
            outcome = Outcome.CANNOT_KEEP if fault == "full disk" else Outcome.KEPT
            if waited_s < 15:
                answer += self.line.said(self.line.session.kept(token, outcome, "", at(self.line.now_s)))
            else:
                self.line.hear(EOT)
                assert self.line.said(self.line.session.kept(token, outcome, "", at(self.line.now_s))) == b""
            if outcome is Outcome.KEPT:
                self._kept.append((self.line.messages[token], token))
        if not answer or fault == "answer lost":
            answer = self.line.wait(max(0.0, 15 - waited_s))
        return b"" if fault == "answer lost" else answer[-1:]

    def delivered(self) -> list[bytes]:
        """What was kept, without what came again before its first answer was known to have arrived."""
        found: list[tuple[bytes, int]] = []
        for message, token in self._kept:
            if not any(message == earlier and known not in self.line.proven for earlier, known in found):
                found.append((message, token))
        return [message for message, _ in found]


_fault = st.tuples(
    st.sampled_from(["", "", "lost", "spoilt", "noise", "answer lost", "full disk", "slow disk"]),
    st.integers(0, 100),
    st.integers(0, 255),
)


@given(st.lists(_fault, max_size=25), st.booleans())
def test_an_honest_sender_is_heard_exactly_once_over_any_line(
    faults: list[tuple[str, int, int]], gives_up: bool
) -> None:
    sender = BadLine(faults, gives_up)
    sender.send(MESSAGE)
    sender.send(OTHER)
    assert sender.delivered() == [MESSAGE, OTHER]
