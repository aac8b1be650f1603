"""The MEDIBUS dialogue, as its protocol definition has it, against a device that is played by hand."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.formats import medibus_frames as medibus
from adapters.session import Moment, Piece, Step
from adapters.sessions.medibus import CAN, DC1, DC3, IDENTITY, REQUESTS, MedibusSession

ICC, ICC_ECHO = medibus.command(0x51), medibus.response(0x51)
EVITA = b"8240'Evita 4'04.00:04.00"
PAW = b"00    8000-  20  1003C0"
FLOW = b"01    8000- 200  200FFF"
T0_US = 1_790_000_000_000_000


def at(steady_s: float) -> Moment:
    return Moment(steady_s, T0_US + round(steady_s * 1e6))


class Line:
    """Both ends: what the session sent, frame by frame, and its pieces."""

    def __init__(self, session: MedibusSession) -> None:
        self.session, self.now_s = session, 100.0
        self.sent: list[bytes] = []
        self.pieces: list[Piece] = []
        self.counts: list[str] = []
        self.last = Step()
        self._take(session.opened(at(self.now_s)))

    def _take(self, step: Step) -> None:
        self.last = step
        self.pieces += step.pieces
        self.counts += step.counts
        rest = step.send
        while rest:
            is_slow = rest[0] < 0x80
            end = rest.index(b"\r") + 1 if is_slow else len(rest) - len(rest.lstrip(bytes(range(0x80, 0x100))))
            self.sent.append(rest[:end])
            rest = rest[end:]

    def hear(self, *data: bytes) -> list[bytes]:
        """What is sent when these bytes come."""
        self.sent.clear()
        self._take(self.session.feed(b"".join(data), at(self.now_s)))
        return list(self.sent)

    def wait(self, seconds: float) -> list[bytes]:
        """What is sent meanwhile, the session being woken when it wants to be."""
        self.sent.clear()
        end_s = self.now_s + seconds
        while self.last.wake_at_s is not None and self.last.wake_at_s <= end_s:
            self.now_s = max(self.now_s, self.last.wake_at_s)
            self._take(self.session.tick(at(self.now_s)))
        self.now_s = end_s
        return list(self.sent)

    def link(self) -> list[bytes]:
        """The device answers, and says who it is."""
        assert self.hear(ICC_ECHO) == [medibus.command(0x52)]
        return self.hear(medibus.response(0x52, EVITA))

    def answer_all(self, answers: dict[int, bytes], until: bytes = b"") -> list[int]:
        """Answer each request as it comes, an echo to what is not listed, until nothing more is asked now."""
        asked: list[int] = []
        pending = list(self.sent)
        while pending:
            frame = pending.pop(0)
            if frame[0] != medibus.ESC:
                continue
            asked.append(frame[1])
            pending += self.hear(medibus.response(frame[1], answers.get(frame[1], b"")))
        return asked


def line(curves: Sequence[str] = ()) -> Line:
    return Line(MedibusSession(curves))


def test_the_link_is_asked_for_until_it_stands() -> None:
    on = line()
    assert on.sent == [ICC]
    assert on.last.phase == "initializing"
    assert on.wait(2.9) == []
    assert on.wait(6.2) == [ICC] * 3
    on.hear(b"\x01\x51")  # bytes, and no answer that is complete: 10 s
    assert on.wait(8.0) == []
    assert on.wait(3.0) == [ICC]
    assert on.hear(ICC_ECHO) == [medibus.command(0x52)]
    assert on.last.phase == "polling"


def test_the_devices_icc_is_the_link_too() -> None:
    on = line()
    assert on.hear(ICC) == [ICC_ECHO, medibus.command(0x52)]
    assert on.hear(ICC_ECHO) == []  # the answer to ours comes late
    assert on.last.phase == "polling"


def test_everything_is_asked_for_one_by_one_and_the_answers_are_pieces() -> None:
    on = line()
    on.link()
    data = {0x24: b"7D 24 D6 12 ", 0x27: b"N10PAW HIGH    "}
    assert on.answer_all(data) == [0x27, 0x2E, 0x24, 0x2B, 0x25, 0x26, 0x2C, 0x2D, 0x29, 0x2A, 0x28, 0x6A, 0x6A]
    assert [piece.data for piece in on.pieces[:4]] == [
        medibus.response(0x52, EVITA), medibus.response(0x27, data[0x27]), medibus.response(0x2E),
        medibus.response(0x24, data[0x24]),
    ]  # fmt: skip
    assert len(on.pieces) == 14
    assert not any(piece.reason or piece.token is not None for piece in on.pieces)
    on.wait(1.0)
    assert on.answer_all(data) == [0x27, 0x2E, 0x24]  # code page 2 has had no data: later
    asked = []
    for _ in range(29):
        on.wait(1.0)
        asked.append(on.answer_all(data))
    everything = list(itertools.chain(*asked))
    assert everything.count(0x24) == everything.count(0x2E) == 29
    assert everything.count(0x2B) == 7
    assert everything.count(0x29) == 1


def test_keys_are_asked_for_where_the_document_tells_of_them() -> None:
    on = line()
    on.hear(ICC_ECHO)
    on.hear(medibus.response(0x52, b"8056'Primus'01.00:04.03"))
    assert 0x6A not in on.answer_all({})
    on.hear(ICC)
    on.hear(medibus.response(0x52, EVITA))
    assert on.answer_all({})[-2:] == [0x6A, 0x6A]


def test_the_devices_requests_are_answered_and_its_news_asked_for() -> None:
    on = line()
    on.link()
    on.answer_all({})
    assert on.hear(medibus.command(0x30)) == [medibus.response(0x30)]
    assert on.hear(medibus.command(0x52)) == [medibus.response(0x52, IDENTITY)]
    assert on.hear(medibus.command(0x24)) == [medibus.response(0x24)]
    assert on.hear(medibus.command(0x49)) == [medibus.response(0x49), medibus.command(0x28)]
    assert on.hear(b"\x1b\x30\x34\x43\x0d") == [b"\x01\x15\x31\x36\x0d"]  # its checksum is wrong
    assert on.pieces[-1].reason == "checksum"


def test_a_command_may_stand_inside_a_response_and_real_time_bytes_inside_both() -> None:
    on = line(["00"])
    on.link()
    on.answer_all({0x53: PAW})
    on.wait(1.0)
    before = len(on.pieces)
    response, command = medibus.response(0x27, b"N10PAW HIGH    "), medibus.command(0x30)
    on.hear(response[:9], command[:2], b"\xd1\x98\x84", command[2:], b"\xd1\x98", response[9:], b"\x84")
    assert [piece.data for piece in on.pieces[before:]] == [response]
    on.session.feed(b"", at(on.now_s))
    on._take(on.session.closed(True, at(on.now_s)))
    assert on.pieces[-1].data == b"\xd1\x98\x84\xd1\x98\x84"


def test_silence_begins_the_link_anew_and_real_time_bytes_are_no_sign_of_life() -> None:
    on = line(["00"])
    on.link()
    on.answer_all({0x53: PAW})
    sent = []
    for _ in range(6):
        sent += on.wait(0.5) + on.hear(b"\xd1\x98\x84")
    assert ICC in sent
    assert on.counts == ["silent"]
    assert on.last.phase == "initializing"
    assert on.link() == [medibus.command(0x27)]


def test_an_answer_that_is_wrong_is_asked_for_again_three_times_and_then_the_link() -> None:
    on = line()
    on.link()
    request, bad = medibus.command(0x27), medibus.response(0x27)[:-2] + b"?\r"
    assert [on.hear(bad) for _ in range(4)] == [[request], [request], [request], [ICC]]
    assert [piece.reason for piece in on.pieces[1:]] == ["checksum"] * 4
    on.link()
    assert on.hear(medibus.response(medibus.NAK)) == [request]
    assert on.hear(bytes((CAN,))) == [request]
    assert on.hear(medibus.response(0x27)) == [medibus.command(0x2E)]


def test_an_answer_that_is_never_complete_is_asked_for_again() -> None:
    on = line()
    on.link()
    sent = []
    for _ in range(11):
        on.hear(medibus.command(0x30))
        sent += on.wait(1.0)
    assert sent == [medibus.command(0x27)]
    assert on.counts == ["no-answer"]


def test_what_nobody_asked_for_is_kept_and_answers_nothing() -> None:
    on = line()
    on.link()
    assert on.hear(medibus.response(0x24, b"7D 24")) == []
    assert on.pieces[-1].data == medibus.response(0x24, b"7D 24")
    assert on.counts == ["answer-not-asked"]


def test_nothing_is_sent_while_the_device_suspends() -> None:
    on = line()
    on.link()
    assert on.hear(bytes((DC1,)), medibus.command(0x30), medibus.response(0x27)) == []
    assert on.last.phase == "suspended"
    assert on.wait(2.0) == []
    assert on.hear(bytes((DC3,))) == [medibus.response(0x30), medibus.command(0x2E)]
    on.hear(bytes((DC1,)))
    assert on.wait(3.1) == [ICC]
    assert on.counts == ["not-resumed"]


def test_a_slow_poll_is_kept_alive_by_nops() -> None:
    on = Line(MedibusSession(poll_s=10.0))
    on.link()
    on.answer_all({})
    assert on.wait(2.0) == [medibus.command(0x30)]
    assert on.hear(medibus.response(0x30)) == []
    assert on.wait(1.9) == []
    assert on.wait(0.2) == [medibus.command(0x30)]


def test_curves_are_read_configured_and_enabled_again_and_again() -> None:
    on = line(["01", "00", "02"])
    on.link()
    asked = on.answer_all({0x53: PAW + FLOW})
    assert asked[-2:] == [0x53, 0x54]
    assert on.sent[-1] == bytes.fromhex("d0c1c3c0c0")
    configured = medibus.command(0x54, b"01020002")
    on.hear(medibus.command(0x56))
    assert on.sent == [medibus.response(0x56), bytes.fromhex("d0c1c0c0c0"), medibus.command(0x53)]
    assert on.hear(medibus.response(0x53, PAW + FLOW)) == [configured]
    assert on.hear(medibus.response(0x54)) == [bytes.fromhex("d0c1c3c0c0")]
    sent = [frame for _ in range(7) for frame in [*on.hear(medibus.command(0x30)), *on.wait(1.0)]]
    assert sent.count(bytes.fromhex("d0c1c3c0c0")) == 2


def test_a_second_of_a_stream_is_a_piece_and_so_is_what_a_new_link_leaves() -> None:
    on = line(["00"])
    on.link()
    on.answer_all({0x53: PAW})
    before = len(on.pieces)
    record = b"\xd1\x98\x84"
    on.hear(record * 130)
    assert [len(piece.data) for piece in on.pieces[before:]] == [62 * 3, 62 * 3]
    on.hear(ICC)
    assert on.pieces[-1].data == record * 6
    on.hear(record)  # nobody asked for it now
    on.hear(medibus.command(0x30))
    assert (on.pieces[-1].data, on.pieces[-1].reason) == (record, "framing")


def test_curves_that_are_not_offered_are_not_configured() -> None:
    on = line(["02"])
    on.link()
    assert on.answer_all({0x53: PAW})[-1] == 0x53
    assert on.wait(0.5) == []
    broken = line(["00"])
    broken.link()
    assert broken.answer_all({0x53: PAW[:-2]})[-1] == 0x53


def test_what_is_cut_off_is_kept() -> None:
    on = line()
    on.link()
    on.hear(b"noise", medibus.response(0x27, b"N10PAW HIGH    ")[:9])
    step = on.session.closed(False, at(on.now_s))
    assert [(piece.data, piece.reason) for piece in (*on.pieces[1:], *step.pieces)] == [
        (b"noise", "framing"),
        (b"\x01\x27N10PAW ", "cut-off"),
    ]
    assert step.wake_at_s is None


def test_a_response_that_has_no_end_is_too_long() -> None:
    on = line()
    on.hear(b"\x01\x24" + b"x" * 4000)
    assert [len(p.data) for p in on.pieces if p.reason == "too-long"] == [medibus.FRAME_BYTES_MAX]


@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_nothing_is_sent_that_is_not_listed(data: st.DataObject) -> None:
    """Whatever the device says: requests of the table, echoes of the device's own requests, and NAK."""
    on = line(["00", "01"])
    sent = list(on.sent)
    heard: set[int] = set()
    listed = {request.code for request in REQUESTS}
    for _ in range(data.draw(st.integers(1, 25))):
        code = data.draw(st.integers(0x20, 0x7F))
        what = data.draw(st.sampled_from(["answer", "answer", "answer", "command", "wait", "noise"]))
        if what == "answer":
            asked = [frame[1] for frame in sent if frame[0] == medibus.ESC]
            sent += on.hear(medibus.response(asked[-1], data.draw(st.sampled_from([b"", PAW, PAW + FLOW, EVITA]))))
        elif what == "command":
            heard.add(code)
            sent += on.hear(medibus.command(code))
        elif what == "wait":
            sent += on.wait(data.draw(st.floats(0, 12)))
        else:
            sent += on.hear(data.draw(st.binary(max_size=30)))
    for frame in sent:
        if frame[0] == medibus.SOH and frame[2:-3] == b"":
            assert frame[1] in heard | {medibus.NAK}
        else:
            assert (frame[1:2] if frame[0] == medibus.ESC else frame[:2]) in listed
