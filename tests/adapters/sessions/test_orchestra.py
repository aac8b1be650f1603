"""The dialogue with an Orchestra Base that is played by hand."""

from __future__ import annotations

import re

from adapters.formats.orchestra_frames import framed
from adapters.session import Moment, Piece, Step
from adapters.sessions.orchestra import OrchestraSession

ACK, NAK, ENQ, DC4 = b"\x06", b"\x15", b"\x05", b"\x14"


def at(steady_s: float) -> Moment:
    return Moment(steady_s, 1_790_000_000_000_000 + round(steady_s * 1e6))


class Line:
    """Both ends; a base that answers what is in `answers`, by its command."""

    def __init__(self, answers: dict[str, str] | None = None, *, is_base: bool = True) -> None:
        self.answers = {"0DC": "0C", "0LE;b": "0C;b05"} | (answers or {})
        self.session, self.now_s = OrchestraSession(is_base=is_base), 10.0
        self.asked: list[tuple[float, str]] = []
        self.sent = bytearray()
        self.pieces: list[Piece] = []
        self.counts: list[str] = []
        self.step = Step()
        self.take(self.session.opened(at(self.now_s)))

    def take(self, step: Step) -> None:
        self.step = step
        self.pieces += step.pieces
        self.counts += step.counts
        self.sent += step.send
        for body in re.findall(rb"\x02([^\x03]*)..\x03", step.send):
            self.asked.append((round(self.now_s, 3), body.decode()))
            answer = self.answers.get(body.decode())
            if answer:
                self.hear(ACK + framed("", answer))

    def hear(self, data: bytes) -> None:
        self.take(self.session.feed(data, at(self.now_s)))

    def run(self, seconds: float) -> None:
        until_s = self.now_s + seconds
        while self.step.wake_at_s is not None and self.step.wake_at_s <= until_s:
            self.now_s = self.step.wake_at_s
            self.take(self.session.tick(at(self.now_s)))
        self.now_s = until_s

    def commands(self) -> list[str]:
        return [body for _, body in self.asked]


READ = "LE;drksmae"
MODULES = {"1DC": "1C", "3DC": "3C", "1LF;b": "1C;b07", "3LF;b": "3C;b07", f"1{READ}": "1C;d0078", f"3{READ}": "3C;d0"}


def test_base_then_modules_then_values() -> None:
    line = Line(MODULES)
    line.run(0.9)
    assert line.asked == [(10.0, "0DC")]
    line.run(0.2)
    assert line.asked[1] == (11.0, "0LE;b")
    line.run(4)
    assert line.commands()[:6] == ["0DC", "0LE;b", "1DC", "3DC", "1LF;b", "3LF;b"]
    assert line.commands()[6:] == [f"1{READ}", f"3{READ}"] * 3
    assert line.counts == []
    assert Piece(framed("1", "C;d0078")) in line.pieces
    step = line.session.closed(False, at(line.now_s))
    assert step.send == framed("3", "FC") + framed("1", "FC") + framed("0", "FC")


def test_a_pump_that_stands_alone_has_no_address() -> None:
    line = Line({"DC": "C", "LF;b": "C;b01", READ: "C;d0078"}, is_base=False)
    line.run(4)
    assert line.commands()[:3] == ["DC", "LF;b", READ]
    assert line.session.closed(True, at(line.now_s)).send == framed("", "FC")


def test_what_is_not_answered_is_repeated_once_and_then_begun_anew() -> None:
    line = Line({"0DC": ""})
    line.run(6.5)
    assert line.asked == [(10.0, "0DC"), (11.0, "0DC"), (15.0, "0DC"), (16.0, "0DC")]
    assert line.counts == ["no-answer"]


def test_a_module_that_is_not_open_is_connected_to_again() -> None:
    line = Line(MODULES)
    line.run(1.2)
    line.answers[f"1{READ}"] = "1I;1E"
    line.run(2.5)
    at_error = line.commands().index(f"1{READ}")
    line.run(2)
    later = line.commands()[at_error + 1 :]
    assert "1DC" in later
    assert "refused" in line.counts


def test_a_module_that_is_silent_leaves_the_others_alone() -> None:
    line = Line({name: text for name, text in MODULES.items() if name[0] == "3"})
    line.run(10)
    assert line.commands().count(f"3{READ}") >= 2
    assert line.commands().count("1DC") >= 2
    assert f"1{READ}" not in line.commands()


def test_single_bytes_and_what_comes_by_itself() -> None:
    line = Line({"0DC": ""})
    line.sent.clear()
    line.hear(ENQ)
    assert line.sent == DC4
    line.sent.clear()
    line.hear(b"\x021E" + ENQ + framed("1", "E")[3:])
    assert line.sent == DC4 + ACK + framed("1", "E")
    line.sent.clear()
    line.hear(framed("1", "C;d0078")[:-2] + b"0\x03")
    assert line.sent == NAK + b"2"
    assert line.pieces[-1].reason == "checksum"


def test_a_command_that_is_not_acknowledged_is_repeated() -> None:
    line = Line({"0DC": ""})
    line.hear(NAK + b"2")
    assert line.commands() == ["0DC", "0DC"]
    assert line.counts == ["not-acknowledged"]


def test_noise_and_what_is_left() -> None:
    line = Line({"0DC": ""})
    line.hear(b"xy\x021C;d\x021C")
    assert line.pieces == [Piece(b"xy", "framing"), Piece(b"\x021C;d", "framing")]
    assert line.session.closed(False, at(11.0)).pieces == (Piece(b"\x021C", "cut-off"),)


def test_a_base_that_refuses_is_asked_again_after_a_pause() -> None:
    line = Line({"0DC": "0I;0D"})
    line.run(7)
    assert line.asked == [(10.0, "0DC"), (13.0, "0DC"), (16.0, "0DC")]
    assert line.counts == ["refused"] * 3
