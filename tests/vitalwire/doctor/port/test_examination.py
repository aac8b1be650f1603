"""The doctor over modelled lines: the whole matrix runs in `python -m benchmarks doctor`."""

from __future__ import annotations

from random import Random

import pytest

from benchmarks.doctor import FRAMINGS, SERIAL_DRIVERS, SIX_RATES, SPEAKERS, Case, ModelLine
from simulators.uart import ModelPort, Talker, UartSettings
from vitalwire.doctor.port.conclusion import Conclusion, conclude
from vitalwire.doctor.port.examination import Examination
from vitalwire.doctor.port.line_settings import RATES, LineSettings
from vitalwire.doctor.port.listening import listen

SPEAKER = {speaker.name: speaker for speaker in SPEAKERS}
LINES = [
    Case(speaker, LineSettings(baud, data_bits, parity), noise, restarts)
    for speaker in SPEAKERS
    for number, baud in enumerate(SIX_RATES)
    for data_bits, parity in [FRAMINGS[(number + shift) % 5] for shift in (0, 2)]
    for noise, restarts in [((0.0, 0.00003)[number % 2], number % 3 == 0)]
    if (data_bits == 8 or not speaker.has_bytes_above_127) and baud >= speaker.least_baud
]


class Fixed(ModelLine):
    """A port that stays at 9600 8N1, however it is set."""

    def set(self, settings: LineSettings) -> None:
        super().set(LineSettings(9600))


def heard(port: ModelPort, limit_s: float = 30.0) -> Conclusion:
    examination = Examination(SERIAL_DRIVERS, RATES)
    listen(ModelLine(port), examination, lambda: port.now_s, limit_s)
    return conclude(examination, "model")


@pytest.mark.parametrize("case", LINES, ids=lambda case: f"{case.speaker.name} {case.true}")
def test_family_and_setting_are_found_within_ten_seconds(case: Case) -> None:
    answer = case.concluded()
    assert case.is_right(answer)
    assert answer.slug == "certain" or answer.why == ("damaged",)


@pytest.mark.parametrize("true", ["9600 8N1", "19200 8E1", "19200 8O1", "38400 7E1"])
@pytest.mark.parametrize("restarts", [False, True])
def test_a_port_that_reports_no_errors_gives_no_wrong_answer(true: str, restarts: bool) -> None:
    baud, framing = true.split()
    settings = LineSettings(int(baud), int(framing[0]), framing[1])
    answer = Case(SPEAKER["astm"], settings, restarts=restarts, reports_errors=False).concluded(30.0)
    assert answer.driver == "astm"
    assert true == answer.settings or (answer.slug == "likely" and true in answer.alternatives)


def test_odd_and_even_are_one_on_a_port_that_reports_no_errors_and_that_is_said() -> None:
    answer = Case(SPEAKER["nonin_df2"], LineSettings(19200, 8, "O"), reports_errors=False).concluded(30.0)
    assert answer.slug == "likely"
    assert answer.why == ("framing",)
    assert {answer.settings, *answer.alternatives} >= {"19200 8E1", "19200 8O1"}


def test_a_silent_line_is_listened_to_at_every_rate() -> None:
    port = ModelPort(Talker(lambda number: b"", 1.0), UartSettings())
    examination = Examination(SERIAL_DRIVERS)
    listen(ModelLine(port), examination, lambda: port.now_s, 15.0)
    assert {sample.settings.baud for sample in examination.samples} == set(RATES)
    assert conclude(examination, "model").slug == "silent"


@pytest.mark.parametrize("seed", range(4))
def test_random_bytes_are_nobody_s(seed: int) -> None:
    rng = Random(seed)
    answer = heard(ModelPort(Talker(lambda number: rng.randbytes(60), 0.5), UartSettings(SIX_RATES[seed])), 20.0)
    assert answer.slug in ("unknown", "likely")
    assert answer.slug == "unknown" or answer.score < 0.2


def test_an_unknown_text_is_shown_as_its_parity_has_it() -> None:
    port = ModelPort(Talker(lambda number: b"MODEL X 12.5 MMHG 0031\r\n", 0.5), UartSettings(4800, 7, "E"))
    answer = heard(port, 20.0)
    assert (answer.slug, answer.settings) == ("unknown", "4800 7E1")
    assert answer.head.startswith(b"MODEL X 12.5") or b"MODEL X 12.5" in answer.head


def test_a_wrong_parity_of_a_terminal_server_is_named() -> None:
    port = ModelPort(Talker(SPEAKER["nonin_ascii"].message, 1.0), UartSettings(9600, 7, "E"))
    examination = Examination(SERIAL_DRIVERS, knows_rate=False)
    listen(Fixed(port), examination, lambda: port.now_s, 30.0)
    answer = conclude(examination, "model")
    assert (answer.slug, answer.driver, answer.data_bits, answer.parity) == ("parity", "nonin_ascii", 7, "E")


def test_a_port_without_a_rate_reads_the_same_at_each_and_that_is_said() -> None:
    port = ModelPort(Talker(SPEAKER["nonin_ascii"].message, 1.0), UartSettings(9600))
    examination = Examination(SERIAL_DRIVERS)
    listen(Fixed(port), examination, lambda: port.now_s, 30.0)
    answer = conclude(examination, "model")
    assert (answer.slug, answer.settings) == ("likely", "9600 8N1")
    assert "rate" in answer.why


def test_an_instrument_that_asks_to_send_is_likely_and_gets_no_answer() -> None:
    port = ModelPort(Talker(lambda number: b"\x05", 15.0, first_s=0.3), UartSettings(9600))
    written: list[bytes] = []
    line = ModelLine(port)
    line.write = written.append  # type: ignore[method-assign]
    examination = Examination(SERIAL_DRIVERS)
    listen(line, examination, lambda: port.now_s, 6.0)
    answer = conclude(examination, "model")
    assert (answer.slug, answer.driver, answer.settings) == ("asks", "astm", "9600 8N1")
    assert written == []


def test_a_line_of_which_little_is_whole_is_likely_and_said_to_be_damaged() -> None:
    answer = Case(SPEAKER["nonin_df2"], LineSettings(9600), noise=0.0005).concluded(60.0)
    assert answer.driver in ("nonin_df2", "")
    assert answer.slug in ("likely", "unknown")
