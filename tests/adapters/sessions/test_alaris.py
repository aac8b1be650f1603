"""The dialogue with an Alaris pump that is played by hand."""

from __future__ import annotations

from adapters.formats.alaris_frames import crc_ccitt_false, query
from adapters.session import Moment, Piece, Step
from adapters.sessions.alaris import FRAME_BYTES_MAX, AlarisSession


def at(steady_s: float) -> Moment:
    return Moment(steady_s, 1_790_000_000_000_000 + round(steady_s * 1e6))


def reply(text: str) -> bytes:
    return b"!" + text.encode() + b"|%04X\r" % crc_ccitt_false(text.encode())


class Line:
    """Both ends; a pump that answers what is in `answers`."""

    def __init__(self, **answers: str) -> None:
        self.answers = {"INST_SERIALNO": "8002-1", "COMMS_PROTOCOL": "1", "COMMS_RESPONSE_MAX": "4000"} | answers
        self.session, self.now_s = AlarisSession(poll_s=2.0), 10.0
        self.asked: list[tuple[float, str]] = []
        self.pieces: list[Piece] = []
        self.counts: list[str] = []
        self.step = Step()
        self.take(self.session.opened(at(self.now_s)))

    def take(self, step: Step) -> None:
        self.step = step
        self.pieces += step.pieces
        self.counts += step.counts
        if step.send:
            name = step.send[1:].partition(b"|")[0].decode()
            assert step.send == query(name)
            self.asked.append((round(self.now_s, 3), name))
            if name in self.answers:
                self.take(self.session.feed(reply(f"{name}^{self.answers[name]}"), at(self.now_s)))

    def run(self, seconds: float) -> None:
        until_s = self.now_s + seconds
        while self.step.wake_at_s is not None and self.step.wake_at_s <= until_s:
            self.now_s = self.step.wake_at_s
            self.take(self.session.tick(at(self.now_s)))
        self.now_s = until_s

    def names(self) -> list[str]:
        return [name for _, name in self.asked]


def test_who_it_is_and_then_its_values_in_turn() -> None:
    line = Line(ALARM="AL_NOALM^ ^ ", INF="x", INF_VTBI="1^ml", SYRINGE_STATUS="BD^50^CONF", INF_RATE_MAX_SYRINGE="1")
    line.run(5)
    assert line.names()[:8] == [
        "INST_SERIALNO", "COMMS_PROTOCOL", "COMMS_RESPONSE_MAX", "ALARM", "INF", "INF_VTBI", "SYRINGE_STATUS",
        "INF_RATE_MAX_SYRINGE",
    ]  # fmt: skip
    assert line.names()[8:11] == ["ALARM", "INF", "INF_VTBI"]
    rounds = [t_s for t_s, name in line.asked if name == "ALARM"]
    assert round(rounds[1] - rounds[0], 3) == 2.0
    assert [piece.data for piece in line.pieces[:2]] == [
        reply("INST_SERIALNO^8002-1")[:-1],
        reply("COMMS_PROTOCOL^1")[:-1],
    ]
    assert line.counts == []


def test_a_query_is_repeated_once_and_rate_and_volume_stand_in_for_inf() -> None:
    line = Line(ALARM="AL_NOALM^ ^ ", INF_RATE="1^ml/h", INF_VI="2^ml", INF_VTBI="3^ml")
    line.run(12)
    assert [t_s for t_s, name in line.asked if name == "INF"][:2] == [10.4, 14.4]
    assert line.names()[5:10] == ["INF", "INF_RATE", "INF_VI", "INF_VTBI", "SYRINGE_STATUS"]
    assert line.counts == ["no-answer"]


def test_an_answer_without_its_end_or_in_pieces() -> None:
    line = Line()
    line.run(0.35)
    assert line.names()[-1] == "ALARM"
    whole = reply("ALARM^AL_NOALM^ ^ ")[:-1]
    for byte in whole:
        line.take(line.session.feed(bytes([byte]), at(line.now_s)))
    assert line.pieces[-1] == Piece(whole)
    line.run(0.1)
    assert line.names()[-1] == "INF"


def test_what_is_damaged_is_kept_and_asked_for_again() -> None:
    line = Line()
    line.run(0.35)
    line.take(line.session.feed(reply("ALARM^AL_NOALM^ ^ ").replace(b"NOALM", b"NOALX"), at(line.now_s)))
    assert line.pieces[-1].reason == "checksum"
    assert line.names()[-2:] == ["ALARM", "ALARM"]
    line.take(line.session.feed(b"xy!ALA\x1b!" + b"A" * FRAME_BYTES_MAX, at(line.now_s)))
    assert [(piece.data[:5], piece.reason) for piece in line.pieces[-3:]] == [
        (b"xy", "framing"), (b"!ALA\x1b", "framing"), (b"!AAAA", "too-long"),
    ]  # fmt: skip


def test_what_is_left_when_the_link_is_gone() -> None:
    line = Line()
    line.take(line.session.feed(b"!INF^8", at(line.now_s)))
    step = line.session.closed(False, at(line.now_s))
    assert (step.pieces, step.send, step.wake_at_s) == ((Piece(b"!INF^8", "cut-off"),), b"", None)
    assert line.session.tick(at(99.0)).send == b""
