"""What is asked on a silent line, and what never is. The family here speaks only when it is asked."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import pytest

from adapters.devices import nonin
from adapters.driver import DeviceDriver, SerialSettings, Source
from adapters.quality import Request
from adapters.session import Moment, Piece, Step
from adapters.sessions.one_way import OneWaySession
from benchmarks.doctor import Dialogue, ModelLine, dialogues
from schemas.errors import FrameError
from schemas.report import Report
from simulators.uart import ModelPort, UartSettings
from vitalwire.doctor.port.conclusion import conclude
from vitalwire.doctor.port.examination import Examination
from vitalwire.doctor.port.line_settings import LineSettings
from vitalwire.doctor.port.probing import may_be_sent, probe, probes

QUERY = b"?DATA\r"
TIME_LIMIT_S = 120.0
FAMILIES = {"datex_dri": ("19200 8E1", "115200 8E1"), "medibus": ("9600 8E1", "19200 8N1"),
            "intellivue_mib": ("115200 8N1", "19200 8N1")}  # fmt: skip


class AskingSession(OneWaySession):
    """Asks when the link stands and after each answer, which is a line; it also thanks for each."""

    def _take(self) -> list[Piece]:
        *lines, self._buffer = self._buffer.split(b"\r\n")
        return [Piece(line) for line in lines]

    def opened(self, now: Moment) -> Step:
        return Step(send=QUERY, wake_at_s=now.steady_s + 2.0)

    def feed(self, data: bytes, now: Moment) -> Step:
        step = super().feed(data, now)
        if not step.pieces:
            return step
        return Step(step.pieces, send=QUERY if len(step.pieces) == 1 else b"THANKS\r")

    def tick(self, now: Moment) -> Step:
        return Step(send=b"STOP\r")


def read(frame: bytes, source: Source[nonin.NoninSettings]) -> Sequence[Report]:
    if not frame.startswith(b"SPO2="):
        raise FrameError("not-a-reading", "")
    return nonin.read_ascii(frame, source)


ASKING = replace(
    nonin.ASCII, name="asking", title="A family that is asked", read=read, session=lambda settings: AskingSession(),
    serial=SerialSettings(19200, 8, "E"), requests=(Request("data", b"?DATA", "the test"),),
)  # fmt: skip


class Answering:
    """The device at the far end: a line for each query; `heard_all` is what its UART received."""

    def __init__(self) -> None:
        self.heard_all = b""
        self._answered = 0
        self._due: list[tuple[float, bytes]] = []

    def sent(self, until_s: float) -> Iterable[tuple[float, bytes]]:
        due, self._due = self._due, []
        return due

    def heard(self, data: bytes, at_s: float) -> None:
        self.heard_all += data
        asked = self.heard_all.count(QUERY)
        self._due += [(at_s, b"SPO2=097 HR=072\r\n")] * (asked - self._answered)
        self._answered = asked


def asked(true: LineSettings, drivers: tuple[DeviceDriver[nonin.NoninSettings], ...]) -> tuple[Examination, Answering]:
    device = Answering()
    port = ModelPort(device, UartSettings(true.baud, true.data_bits, true.parity))
    examination = Examination(drivers)
    probe(ModelLine(port), examination, lambda: port.now_s, TIME_LIMIT_S)
    return examination, device


@pytest.mark.parametrize("true", ["19200 8E1", "9600 8E1", "38400 8N1"])
def test_a_device_that_is_asked_at_its_own_setting_answers_and_is_named(true: str) -> None:
    baud, framing = true.split()
    examination, device = asked(LineSettings(int(baud), int(framing[0]), framing[1]), (nonin.DF2, ASKING))
    answer = conclude(examination, "model")
    assert (answer.slug, answer.driver, answer.settings) == ("certain", "asking", true)
    assert b"STOP" not in device.heard_all
    assert b"THANKS" not in device.heard_all


@pytest.mark.parametrize(
    "dialogue",
    [each for each in dialogues() if not each.noise and str(each.true) in FAMILIES[each.driver]],
    ids=lambda dialogue: f"{dialogue.driver} {dialogue.true}",
)
def test_a_real_family_is_found_as_its_document_sets_it(dialogue: Dialogue) -> None:
    answer, device = dialogue.concluded()
    assert dialogue.is_right(answer)
    if dialogue.driver == "medibus":  # it asks by itself: the line is not silent
        assert answer.slug == "asks"
        assert device.heard_all == b""
    else:
        assert answer.slug == "certain"


def test_where_nothing_answers_that_is_said() -> None:
    examination, _ = asked(LineSettings(300), (ASKING,))
    answer = conclude(examination, "model")
    assert (answer.slug, answer.asked) == ("silent", ("A family that is asked",))


def test_only_what_stands_among_the_requests_may_be_sent() -> None:
    assert may_be_sent(ASKING, QUERY)
    assert not may_be_sent(ASKING, b"STOP\r")
    assert not may_be_sent(nonin.DF2, b"anything")


def test_every_family_is_asked_at_its_own_setting_first_and_each_setting_once() -> None:
    found = list(probes((nonin.ASCII, ASKING), (9600, 19200)))
    assert found[0] == (ASKING, LineSettings(19200, 8, "E"))
    assert len(found) == len(set(map(str, (settings for _, settings in found)))) == 6
