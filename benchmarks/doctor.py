"""The port doctor over every simulator that speaks by itself, each setting of its line and three kinds of copper.

Ten seconds of a line's own time for each, at six rates. Right is: family and setting are named, as certain or as
likely. Wrong is: another one is named as certain.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from itertools import count, islice
from random import Random

from adapters.devices.registry import DRIVERS
from simulators import astm, datex_dri, intellivue, intellivue_bytes, medibus, nellcor, nonin, oximeters
from simulators.patient import Patient
from simulators.uart import ModelPort, Reciter, UartSettings
from vitalwire.doctor.port.conclusion import Conclusion, conclude
from vitalwire.doctor.port.examination import Examination
from vitalwire.doctor.port.line_settings import LineSettings
from vitalwire.doctor.port.listening import listen
from vitalwire.doctor.port.probing import probe

LIMIT_S = 10.0
DIALOGUE_LISTENS_S, PROBES_S = 40.0, 300.0
SIX_RATES = (4800, 9600, 19200, 38400, 57600, 115200)
FRAMINGS = ((8, "N"), (7, "E"), (7, "O"), (8, "E"), (8, "O"))
NOISE = (0.0, 0.00003, 0.0001)  # of the bits sampled, those that are read wrong
CLOCK_OFF = 0.015  # at most, of the device's rate
SERIAL_DRIVERS = tuple(driver for driver in DRIVERS if driver.serial is not None)
_AT_US = 1_700_000_000_000_000
_BEGAN_AT = datetime(2026, 9, 21, 14, 13, 20, tzinfo=UTC)
_PATIENT, _METER = Patient(7), astm.Analyser(4, astm.GLUCOSE)


class ModelLine:
    """A model's port as the doctor has a port."""

    def __init__(self, port: ModelPort) -> None:
        self._port = port

    def set(self, settings: LineSettings) -> None:
        """As in `Line`."""
        self._port.set(UartSettings(settings.baud, settings.data_bits, settings.parity))

    def read(self, limit_s: float) -> tuple[bytes, bytes]:
        """As in `Line`."""
        return self._port.read(limit_s)

    def write(self, data: bytes) -> None:
        """As in `Line`."""
        self._port.write(data)


def _astm_transfer(number: int) -> bytes:
    """As it is heard beside a host that answers: the sender's side of it."""
    message = _METER.message(number, _AT_US + number * 1_000_000).text
    return astm.ENQ + b"".join(astm.frames(message)) + astm.EOT


@dataclass(frozen=True)
class Speaker:
    """A simulator on a line, and the driver that reads it. `least_baud`: what it says in a second fits that rate."""

    name: str
    driver: str
    utterances: Callable[[], Iterator[tuple[float, bytes]]]
    has_bytes_above_127: bool = False
    least_baud: int = 0
    every_s: float = 1.0  # how often it speaks at least

    def message(self, number: int) -> bytes:
        """What it says for the n-th time."""
        return next(islice(self.utterances(), number, None))[1]


def _every(every_s: float, message: Callable[[int], bytes]) -> Callable[[], Iterator[tuple[float, bytes]]]:
    return lambda: ((number * every_s, message(number)) for number in count())


def _oximeter(kind: str) -> Callable[[], Iterator[tuple[float, bytes]]]:
    return lambda: oximeters.KINDS[kind](_PATIENT, _BEGAN_AT).due


SPEAKERS = (
    Speaker("nonin_ascii", "nonin_ascii", _every(1.0, lambda number: nonin.ascii_line(_PATIENT, number))),
    Speaker(
        "nonin_df2", "nonin_df2", _every(1 / nonin.PACKETS_A_SECOND, partial(nonin.df2_packet, _PATIENT)),
        has_bytes_above_127=True,
    ),
    Speaker("astm", "astm", _every(1.0, _astm_transfer)),
    Speaker("masimo", "masimo", _oximeter("masimo")),
    Speaker("masimo-rad8", "masimo", _oximeter("masimo-rad8")),
    Speaker("nellcor_n595", "nellcor_n595", _oximeter("nellcor_n595"), every_s=nellcor.ROW_S),
    Speaker("nonin_df7", "nonin_df7", _oximeter("nonin_df7"), has_bytes_above_127=True, least_baud=9600),
)  # fmt: skip


@dataclass(frozen=True)
class Case:
    """One line: who speaks on it, how it is set, what the copper and the UART at our end are like."""

    speaker: Speaker
    true: LineSettings
    noise: float = 0.0
    restarts: bool = False
    seed: int = 1
    reports_errors: bool = True

    def port(self) -> ModelPort:
        """The model's port, the device beginning somewhere in its second."""
        rng = Random(f"{self.seed}{self.speaker.name}{self.true}{self.noise}{self.restarts}")
        device = Reciter(self.speaker.utterances(), first_s=rng.random())
        settings = UartSettings(self.true.baud, self.true.data_bits, self.true.parity)
        return ModelPort(
            device, settings, flip_share=self.noise, seed=self.seed, restarts=self.restarts,
            reports_errors=self.reports_errors, speed=1 + rng.uniform(-CLOCK_OFF, CLOCK_OFF),
        )  # fmt: skip

    def concluded(self, limit_s: float | None = None) -> Conclusion:
        """What the doctor says of it; None: after ten seconds, longer in proportion where it speaks more rarely."""
        port = self.port()
        examination = Examination(SERIAL_DRIVERS, SIX_RATES)
        limit_s = limit_s or LIMIT_S * self.speaker.every_s
        listen(ModelLine(port), examination, lambda: port.now_s, limit_s)
        return conclude(examination, "model")

    def is_right(self, answer: Conclusion) -> bool:
        """Whether family and setting are named."""
        return (answer.driver, answer.settings) == (self.speaker.driver, str(self.true))


def cases(seeds: int) -> Iterator[Case]:
    """Every simulator × setting × noise × kind of UART that can be."""
    for speaker in SPEAKERS:
        for baud in SIX_RATES:
            for data_bits, parity in FRAMINGS:
                if (speaker.has_bytes_above_127 and data_bits == 7) or baud < speaker.least_baud:
                    continue
                for noise in NOISE:
                    for restarts in (False, True):
                        for seed in range(1, seeds + 1):
                            yield Case(speaker, LineSettings(baud, data_bits, parity), noise, restarts, seed)


@dataclass
class Answerer:
    """A device that answers: what it hears goes to `hear`, what it has to say comes out of `speak`."""

    hear: Callable[[bytes, float], object]
    speak: Callable[[float], Iterable[bytes]]
    heard_all: bytes = b""

    def heard(self, data: bytes, at_s: float) -> None:
        """As in `simulators.uart.Device`."""
        self.heard_all += data
        self.hear(data, at_s)

    def sent(self, until_s: float) -> list[tuple[float, bytes]]:
        """As in `simulators.uart.Device`."""
        return [(until_s, data) for data in self.speak(until_s) if data]


def _datex() -> Answerer:
    monitor = datex_dri.Monitor(_PATIENT)
    return Answerer(monitor.hear, monitor.speak)


def _medibus() -> Answerer:
    ventilator = medibus.Ventilator(_PATIENT)
    return Answerer(ventilator.hear, lambda t_s: [ventilator.speak(t_s)])


def _intellivue() -> Answerer:
    monitor, reader = intellivue.Monitor(_PATIENT, "ICU-07", _BEGAN_AT), intellivue_bytes.MibReader()
    answers: list[bytes] = []

    def hear(data: bytes, t_s: float) -> None:
        for payload in reader.feed(data):
            answers.extend(message for _, message in monitor.receive(payload, "line", t_s))

    def speak(t_s: float) -> list[bytes]:
        answers.extend(message for _, message in monitor.tick(t_s))
        due = [intellivue_bytes.mib_frame(message) for message in answers]
        answers.clear()
        return due

    return Answerer(hear, speak)


@dataclass(frozen=True)
class Dialogue:
    """A device that speaks when it is asked, or asks first and waits; then nothing is sent to it."""

    driver: str
    device: Callable[[], Answerer]
    true: LineSettings
    noise: float = 0.0

    def concluded(self) -> tuple[Conclusion, Answerer]:
        """What the doctor says after listening, and asking where nothing came."""
        device = self.device()
        settings = UartSettings(self.true.baud, self.true.data_bits, self.true.parity)
        port = ModelPort(device, settings, flip_share=self.noise)
        examination, line = Examination(SERIAL_DRIVERS, SIX_RATES), ModelLine(port)
        listen(line, examination, lambda: port.now_s, DIALOGUE_LISTENS_S)
        if not examination.bytes:
            probe(line, examination, lambda: port.now_s, PROBES_S)
        return conclude(examination, "model"), device

    def is_right(self, answer: Conclusion) -> bool:
        """Whether family and setting are named."""
        return (answer.driver, answer.settings) == (self.driver, str(self.true))


def dialogues() -> Iterator[Dialogue]:
    """Each at the six rates, as far as its document names any so fast, and the framings of eight bits."""
    for driver, device, fastest in (
        ("datex_dri", _datex, 115200), ("medibus", _medibus, 38400), ("intellivue_mib", _intellivue, 115200),
    ):  # fmt: skip
        for baud in [rate for rate in SIX_RATES if rate <= fastest]:
            for parity in "NEO":
                for noise in NOISE:
                    yield Dialogue(driver, device, LineSettings(baud, 8, parity), noise)


def measure(quick: bool) -> dict[str, float]:
    """The share of right answers, and how many wrong ones were stated as certain."""
    right = wrong = asked = 0
    for case in cases(1 if quick else 3):
        answer = case.concluded()
        asked += 1
        right += case.is_right(answer)
        wrong += answer.slug == "certain" and not case.is_right(answer)
    for dialogue in islice(dialogues(), 0, None, 6 if quick else 1):
        answer, _ = dialogue.concluded()
        asked += 1
        right += dialogue.is_right(answer)
        wrong += answer.slug == "certain" and not dialogue.is_right(answer)
    return {"doctor_right_share": right / asked, "doctor_wrong_certain": float(wrong)}
