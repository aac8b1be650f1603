"""The BCC dialogue, as its specification has it, against a SpaceCom that is played by hand."""

from __future__ import annotations

from adapters.formats import bcc_frames as bcc
from adapters.session import Moment, Piece, Step
from adapters.sessions.bbraun_bcc import REQUESTS, BccSession
from schemas.layout import FRAME_BYTES_MAX

ACK, NAK = b"\x06", b"\x15"


def at(steady_s: float) -> Moment:
    return Moment(steady_s, 1_790_000_000_000_000 + round(steady_s * 1e6))


def ask(text: str, bed_id: str = "ICU7") -> bytes:
    return bcc.request(bed_id, text, is_stuffed=True)


def block(text: str, *, is_last: bool = True, bed_id: str = "ICU7") -> bytes:
    """As the SpaceCom sends it; its sum is that of its own end."""
    plain = bcc.request(bed_id, text, is_stuffed=False)
    end = b"\x03" if is_last else b"\x17"
    begin = plain[:-7] + end
    return bcc.stuffed(begin + b"%05d\x04" % (sum(begin) % 256))


class Line:
    """Both ends."""

    def __init__(self, session: BccSession) -> None:
        self.session, self.now_s = session, 50.0
        self.pieces: list[Piece] = []
        self.counts: list[str] = []
        self.last = Step()
        self.first = self._take(session.opened(at(self.now_s)))

    def _take(self, step: Step) -> bytes:
        self.last = step
        self.pieces += step.pieces
        self.counts += step.counts
        return step.send

    def hear(self, data: bytes) -> bytes:
        return self._take(self.session.feed(data, at(self.now_s)))

    def wait(self, seconds: float) -> bytes:
        """What is sent meanwhile."""
        sent, end_s = b"", self.now_s + seconds
        while self.last.wake_at_s is not None and self.last.wake_at_s <= end_s:
            self.now_s = max(self.now_s, self.last.wake_at_s)
            sent += self._take(self.session.tick(at(self.now_s)))
        self.now_s = end_s
        return sent

    def answer(self, data: bytes) -> bytes:
        """What is sent upon an answer: the ACK, and the next request after its pause."""
        assert self.hear(data) == b""
        assert self.wait(0.09) == b""
        assert self.wait(0.02) == ACK
        return self.wait(0.5)


def test_who_is_there_which_version_and_all_pumps_block_by_block() -> None:
    on = Line(BccSession(poll_s=2.0))
    assert on.first == ask("ADMIN:ALIVE", "1")
    assert on.last.phase == "initializing"
    assert on.answer(block("12,50100,GNACK,0")) == ask("ADMIN:VERSION")
    assert on.answer(block("12,50100,V3.36")) == ask("MEM:GET")
    assert on.last.phase == "polling"
    first = block("12,50112,INRT,2.50", is_last=False)
    assert on.answer(first) == b""
    last = block("12,50113,INRT,3.00")
    assert on.answer(last) == b""
    assert on.wait(0.5) == b""
    assert on.wait(0.6) == ask("MEM:GET")  # two seconds after the one before
    assert [piece.data for piece in on.pieces[2:]] == [first, last]
    assert not any(piece.reason for piece in on.pieces)


def test_an_error_tells_the_bed_id_too() -> None:
    on = Line(BccSession())
    assert on.answer(block("12,50100,GNERR,11", bed_id="OR_2")) == ask("ADMIN:VERSION", "OR_2")


def test_a_damaged_block_is_asked_for_again_three_times_and_then_all_anew() -> None:
    on = Line(BccSession())
    on.answer(block("12,50100,GNACK,0"))
    bad = block("12,50100,V3.36").replace(b"V3.36", b"V3.37")
    sent = []
    for _ in range(4):
        sent.append(on.hear(bad) + on.wait(0.2))
    assert sent == [NAK, NAK, NAK, ask("ADMIN:ALIVE", "1")]
    assert [piece.reason for piece in on.pieces[1:]] == ["checksum"] * 4


def test_after_silence_it_is_asked_who_is_there() -> None:
    on = Line(BccSession())
    on.answer(block("12,50100,GNACK,0"))
    on.hear(b"\x0100060\x02ICU7")
    assert on.wait(5.1) == ask("ADMIN:ALIVE", "1")
    assert on.counts == ["no-answer"]
    assert [(piece.data, piece.reason) for piece in on.pieces[1:]] == [(b"\x0100060\x02ICU7", "cut-off")]


def test_in_cyclic_mode_each_block_is_acknowledged_and_nothing_else_is_sent() -> None:
    on = Line(BccSession(is_cyclic=True))
    assert on.first == ACK
    for is_last in (True, False, True):
        assert on.answer(block("12,50112,INRT,2.50", is_last=is_last)) == b""
    assert on.wait(15.0) == ACK  # the last may be lost: the SpaceCom would wait for ever


def test_without_stuffing_as_the_spacecom_is_set() -> None:
    on = Line(BccSession(is_stuffed=False))
    assert on.first == bcc.request("1", "ADMIN:ALIVE", is_stuffed=False)
    on.hear(bcc.request("ICU7", "12,50100,GNERR,68", is_stuffed=False))
    assert [piece.reason for piece in on.pieces] == [""]


def test_noise_and_what_is_cut_off_are_kept() -> None:
    on = Line(BccSession())
    on.hear(b"noise" + ACK)
    on.hear(b"\x01000\x01000")
    step = on.session.closed(False, at(60))
    assert [(piece.data, piece.reason) for piece in (*on.pieces, *step.pieces)] == [
        (b"noise" + ACK, "framing"),
        (b"\x01000", "framing"),
        (b"\x01000", "cut-off"),
    ]
    on = Line(BccSession())
    on.hear(b"\x01" + b"x" * FRAME_BYTES_MAX)
    assert on.pieces[0].reason == "too-long"


def test_what_is_sent_is_listed() -> None:
    assert {request.code for request in REQUESTS} == {b"ADMIN:ALIVE", b"ADMIN:VERSION", b"MEM:GET"}
