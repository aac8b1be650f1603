"""The ASTM session under any bytes, in any chunks, and with senders over lines that spoil, lose and delay."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from adapters.session import Outcome, Piece
from adapters.sessions.astm import ACK, ENQ, EOT, ETB, ETX, STX, AstmSession
from tests.adapters.sessions.astm_line import MESSAGE, OTHER, Line, at, frame, frames

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
    st.tuples(st.just("feed"), _streams.filter(lambda stream: b"4712" not in stream) | st.binary(max_size=50)),
    st.tuples(st.just("tick"), st.none()),
    st.tuples(st.just("kept"), st.tuples(st.integers(0, 5), st.sampled_from(Outcome))),
    st.tuples(st.just("closed"), st.booleans()),
)


@given(st.lists(st.tuples(_calls, st.floats(0, 40))))
def test_whatever_comes_it_goes_on(calls: list[tuple[tuple[str, object], float]]) -> None:
    line = Line()
    line.emitted(line.session.opened(at(line.now_s)))
    for (name, given_), seconds in calls:
        line.now_s += seconds
        if isinstance(given_, bytes):
            line.hear(given_)
        elif isinstance(given_, tuple):
            line.emitted(line.session.kept(given_[0], given_[1], "", at(line.now_s)))
        elif name == "tick":
            line.emitted(line.session.tick(at(line.now_s)))
            assert line.last.wake_at_s is None or line.last.wake_at_s > line.now_s
        else:
            line.emitted(line.session.closed(bool(given_), at(line.now_s)))
    assert [piece.token for piece in line.pieces if piece.token is not None] == list(range(len(line.messages)))
    line.wait(60)
    line.hear(EOT, ENQ, *frames(OTHER))
    assert line.messages[-1] == OTHER
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
        self.kept: list[bytes] = []

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
                answer += self.line.emitted(self.line.session.kept(token, outcome, "", at(self.line.now_s)))
            else:
                self.line.hear(EOT)
                assert self.line.emitted(self.line.session.kept(token, outcome, "", at(self.line.now_s))) == b""
            if outcome is Outcome.KEPT:
                self.kept.append(self.line.messages[token])
        if not answer or fault == "answer lost":
            answer = self.line.wait(max(0.0, 15 - waited_s))
        return b"" if fault == "answer lost" else answer[-1:]


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
    assert sender.kept == [MESSAGE, OTHER]
