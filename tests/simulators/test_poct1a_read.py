"""What a simulated analyser says over a conversation, session and driver read value by value.

The messages of the driver's cases are put together by the simulator's functions.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest

from adapters.devices.poct1a import DRIVER, Poct1Settings
from adapters.driver import Source
from adapters.session import Moment, Outcome, Step
from schemas.errors import FrameError
from schemas.report import ClockQuality, Kind, Mark, Report
from simulators.patient import Patient
from simulators.poct1a import FAULTS, MODELS, Analyser, Spoiler

BEGAN_US = 1_790_000_000_000_000  # the simulator's clock at its start, 2026-09-21 14:13:20 +08:00 is 6:13:20 UTC
CLOCK_US = 1_789_971_200_000_000
STEP_S = 0.1


@dataclass
class Conversation:
    """Both ends of connections without a clock of their own; what is read is kept at once, unless `keeps` is False."""

    device: Analyser
    spoiler: Spoiler = field(default_factory=Spoiler)
    keeps: bool = True
    reports: list[Report] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    t_s: float = 0.0
    connections: int = 0

    def __post_init__(self) -> None:
        self.source = Source("poct", Poct1Settings(), time_zone=ZoneInfo("Asia/Shanghai"), peer="10.0.0.9")

    def connect(self, seconds: float) -> None:
        """One conversation, until either side ends it or the time is over."""
        assert DRIVER.session is not None
        self.connections += 1
        self.source.memory.clear()
        self._session = DRIVER.session(self.source.settings)
        self._is_open = True
        self.device.opened(self.t_s)
        self._take(self._session.opened(self._moment()))
        until_s = self.t_s + seconds
        while self._is_open and self.t_s < until_s:
            said = self.spoiler.sent(self.device.speak(self.t_s))
            if said:
                self._take(self._session.feed(said, self._moment()))
            if self.device.has_closed:
                self._is_open = False
            if self._step.wake_at_s is not None and self._step.wake_at_s <= self.t_s:
                self._take(self._session.tick(self._moment()))
            self.t_s = round(self.t_s + STEP_S, 6)
        self._take(self._session.closed(self.device.has_closed, self._moment()))

    def _moment(self) -> Moment:
        return Moment(self.t_s, BEGAN_US + round(self.t_s * 1e6))

    def _take(self, step: Step) -> None:
        self._step = step
        if step.send:
            self.device.hear(step.send, self.t_s)
        if step.close:
            self._is_open = False
        self.source.received_at_us = self._moment().utc_us
        for piece in step.pieces:
            reason, outcome = piece.reason, Outcome.KEPT if self.keeps else Outcome.CANNOT_KEEP
            if not reason:
                try:
                    found = list(DRIVER.read(piece.data, self.source))
                    emitted = self.source.take_emitted()
                    if self.keeps:
                        self.reports += found
                    else:
                        self.source.retract(emitted)
                except FrameError as error:
                    reason, outcome = error.reason, Outcome.MALFORMED
            if reason:
                self.refused.append(reason)
            if piece.token is not None:
                self._take(self._session.kept(piece.token, outcome, reason, self._moment()))

    def of(self, kind: Kind) -> list[Report]:
        return [report for report in self.reports if report.kind is kind]


@pytest.mark.parametrize("acks_requests", [False, True])
@pytest.mark.parametrize("name", MODELS)
def test_results_of_a_conversation(name: str, acks_requests: bool) -> None:
    device = Analyser(Patient(5), MODELS[name], acks_requests=acks_requests)
    found = Conversation(device)
    found.t_s = 85.0  # five samples wait, the last of them of a control
    found.connect(30)
    assert found.refused == device.directives == []
    assert device.has_closed
    assert not device.waiting
    metrics = found.of(Kind.METRIC)
    assert len(metrics) == len(device.taken) == 5
    for report, sample in zip(metrics, device.taken, strict=True):
        assert report.claim == f"poct/HEL={MODELS[name].vendor}/{MODELS[name].model}/SN20417"
        assert (report.device_at_us, report.clock_quality) == (
            CLOCK_US + round(sample.at_s * 1e6), ClockQuality.DEVICE,
        )  # fmt: skip
        numbers = {key: value or 0.0 for key, value in device.patient.numbers(sample.at_s).items()}
        sent = [Decimal(f"{analyte.of(numbers):.{analyte.decimals}f}") for analyte in MODELS[name].analytes]
        assert [Decimal(record.mantissa).scaleb(record.exponent) for record in report.records] == sent
        is_training = {bool(Mark(record.marks) & Mark.TRAINING) for record in report.records}
        assert is_training == {sample.level is not None}
    (context,) = found.of(Kind.CONTEXT)
    assert context.records[0].text == "000005"


def test_blood_gases_are_known_by_their_loinc() -> None:
    found = Conversation(Analyser(Patient(5), MODELS["nova"]))
    found.connect(30)
    (report,) = found.of(Kind.METRIC)
    for record, analyte in zip(report.records, MODELS["nova"].analytes, strict=True):
        assert record.code or (record.as_sent and record.as_sent.code == analyte.code)
    assert sum(record.code > 0 for record in report.records) >= 5


def test_what_cannot_be_kept_is_told_on_the_next_connection() -> None:
    device = Analyser(Patient(5), MODELS["nova"], sample_every_s=1000.0)
    found = Conversation(device, keeps=False)
    found.connect(10)
    assert found.reports == []
    assert len(device.waiting) == 1
    found.keeps = True
    found.connect(10)
    assert len(found.of(Kind.METRIC)) == 1
    assert not device.waiting


def test_silence_ends_a_conversation_and_the_next_has_all() -> None:
    device = Analyser(Patient(5, "silence"), MODELS["nova"], sample_every_s=10.0)
    found = Conversation(device)
    found.t_s = 19.8  # silent from 20 to 40
    found.connect(100)
    assert not device.taken
    found.t_s = 105.0
    found.connect(10)
    assert len(found.of(Kind.METRIC)) == len(device.taken)
    assert device.taken


@pytest.mark.parametrize("kind", [*FAULTS])
@pytest.mark.parametrize("name", MODELS)
def test_a_poor_line_loses_nothing_that_was_measured(name: str, kind: str) -> None:
    device = Analyser(Patient(5), MODELS[name], sample_every_s=10.0)
    found = Conversation(device, Spoiler((kind,), 0.15, 5))
    for _ in range(6):
        found.connect(130)
    found.spoiler = Spoiler()
    found.connect(130)
    numbers = [sample.number for sample in device.taken]
    assert numbers == sorted(set(numbers))
    assert len(found.of(Kind.METRIC)) == len(device.taken)
