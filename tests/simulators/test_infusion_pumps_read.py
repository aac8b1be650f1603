"""What a simulated Orchestra rack and Alaris pump say over a conversation, session and driver read value by value."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import pytest

from adapters.devices import alaris, orchestra
from adapters.driver import DeviceDriver, Source
from adapters.session import Moment, Step
from schemas.errors import FrameError
from schemas.report import AlarmState, Kind, Report, Validity
from simulators import alaris as alaris_pump
from simulators import orchestra as orchestra_rack
from simulators.infusion import Infusion

BEGAN_US = 1_790_000_000_000_000
STEP_S = 0.05
RATE, VOLUME = 157784, 157864


@dataclass
class Conversation:
    """Both ends of a line without a clock of their own."""

    driver: DeviceDriver[Any]
    hear: Callable[[bytes, float], list[bytes]]  # the device: what it sends upon these bytes, and by itself
    settings: Any
    spoil: Callable[[bytes], bytes] = bytes
    reports: list[tuple[float, Report]] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    counts: list[str] = field(default_factory=list)
    t_s: float = 0.0

    def __post_init__(self) -> None:
        self.source = Source("icu", self.settings, peer="port")
        assert self.driver.session is not None
        self.session = self.driver.session(self.settings)
        self._unheard = b""
        self._take(self.session.opened(self._moment()))

    def _moment(self) -> Moment:
        return Moment(self.t_s, BEGAN_US + round(self.t_s * 1e6))

    def _take(self, step: Step) -> None:
        self._step = step
        self.counts += step.counts
        self._unheard += step.send
        self.source.received_at_us = self._moment().utc_us
        for piece in step.pieces:
            if piece.reason:
                self.refused.append(piece.reason)
                continue
            try:
                self.reports += [(self.t_s, report) for report in self.driver.read(piece.data, self.source)]
            except FrameError as error:
                self.refused.append(error.reason)

    def run(self, seconds: float) -> None:
        for _ in range(round(seconds / STEP_S)):
            self.t_s = round(self.t_s + STEP_S, 6)
            if self._step.wake_at_s is not None and self._step.wake_at_s <= self.t_s:
                self._take(self.session.tick(self._moment()))
            for _ in range(20):  # what answers make us send is heard at once
                sent, self._unheard = self._unheard, b""
                said = b"".join(self.spoil(each) for each in self.hear(sent, self.t_s) if each)
                if not said:
                    break
                self._take(self.session.feed(said, self._moment()))

    def end(self) -> None:
        self._take(self.session.closed(False, self._moment()))
        self.hear(self._unheard, self.t_s)

    def of(self, kind: Kind, claim: str = "") -> list[tuple[float, Report]]:
        return [(t_s, r) for t_s, r in self.reports if r.kind is kind and r.claim.endswith(claim)]


def rack(
    given: orchestra_rack.Rack, spoil: Callable[[bytes], bytes] = bytes, *, base: bool = True
) -> Conversation:  # fmt: skip
    def hear(data: bytes, t_s: float) -> list[bytes]:
        return [given.heard(data, t_s), *given.speak(t_s)]

    return Conversation(orchestra.DRIVER, hear, orchestra.OrchestraSettings(base=base), spoil)


def pump(given: alaris_pump.SyringePump, spoil: Callable[[bytes], bytes] = bytes) -> Conversation:
    return Conversation(alaris.DRIVER, lambda data, t_s: [given.heard(data, t_s)], alaris.AlarisSettings(), spoil)


def number(report: Report, code: int) -> Decimal | None:
    found = [each for each in report.records if each.code == code]
    if not found or found[0].validity is Validity.NOT_AVAILABLE:
        return None
    return Decimal(found[0].mantissa).scaleb(found[0].exponent)


def alarms(found: Conversation, claim: str = "") -> list[tuple[float, str, AlarmState]]:
    return [
        (t_s, record.alarm.condition, record.alarm.state)
        for t_s, report in found.of(Kind.ALARM, claim)
        for record in report.records
        if record.alarm
    ]


# --- Orchestra --------------------------------------------------------------------------------------------------------


def test_pumps_of_a_rack() -> None:
    device = orchestra_rack.filled(5)
    found = rack(device)
    found.run(130)
    assert found.refused == found.counts == []
    assert not device.control_commands
    assert device.unconfirmed == 0
    assert device.kept_alive == device.enquiries > 10
    for address, module in device.modules.items():
        metrics = found.of(Kind.METRIC, f"/module={address}")
        assert len(metrics) > 55
        for t_s, report in metrics:
            assert number(report, RATE) == Decimal(f"{module.infusion.rate_ml_h(t_s):.1f}")
            volume = number(report, VOLUME)
            assert volume is not None
            assert abs(float(volume) - module.infusion.volume_ml(t_s)) <= 0.00051
        begun, ended = alarms(found, f"/module={address}")
        assert (begun[1:], ended[1:]) == (("a 0", AlarmState.ACTIVE), ("a 0", AlarmState.INACTIVE))
        assert 100 <= begun[0] < 103
        assert 115 <= ended[0] < 118
    found.end()
    assert device.base_open_at_s is None
    assert not any(module.is_open for module in device.modules.values())


def test_a_pump_by_itself() -> None:
    device = orchestra_rack.Rack({"": orchestra_rack.Pump(Infusion(7))})
    found = rack(device, base=False)
    found.run(10)
    assert found.refused == found.counts == []
    t_s, report = found.of(Kind.METRIC)[-1]
    assert report.claim == "icu/connection=port"
    assert number(report, RATE) == Decimal(f"{Infusion(7).rate_ml_h(t_s):.1f}")


def test_modules_that_come_and_go() -> None:
    device = orchestra_rack.filled(5)
    found = rack(device)
    found.run(105)
    gone = device.modules.pop("2")
    found.run(12)
    assert found.of(Kind.METRIC, "/module=2")[-1][0] <= 105
    assert alarms(found, "/module=2")[-1][2] is AlarmState.INACTIVE
    device.modules["2"] = orchestra_rack.Pump(gone.infusion)
    found.run(15)
    assert found.of(Kind.METRIC, "/module=2")[-1][0] > 125


def test_a_base_that_was_switched_off_and_on() -> None:
    device = orchestra_rack.filled(5)
    found = rack(device)
    found.run(10)
    device.base_open_at_s = None
    for module in device.modules.values():
        module.is_open = False
    found.run(30)
    assert found.of(Kind.METRIC)[-1][0] > 35


def test_silence_is_outlived() -> None:
    found = rack(orchestra_rack.filled(5, is_silent=lambda t_s: 20 <= t_s < 40))
    found.run(60)
    assert "no-answer" in found.counts
    assert found.of(Kind.METRIC)[-1][0] > 55


@pytest.mark.parametrize("kind", [*orchestra_rack.FAULTS])
def test_a_poor_line_to_a_rack_gives_true_values_or_none(kind: str) -> None:
    device = orchestra_rack.filled(5)
    spoiler = orchestra_rack.Spoiler((kind,), 0.1, 3)
    found = rack(device, spoiler.sent)
    found.run(90)
    assert found.refused or found.counts
    for address, module in device.modules.items():
        metrics = found.of(Kind.METRIC, f"/module={address}")
        assert metrics
        for t_s, report in metrics:
            true = {Decimal(f"{module.infusion.rate_ml_h(t_s - back_s):.1f}") for back_s in (0, 1, 2)}
            assert number(report, RATE) in true
    assert not device.control_commands
    found.spoil = bytes
    found.run(15)
    assert found.of(Kind.METRIC)[-1][0] > 100


# --- Alaris -----------------------------------------------------------------------------------------------------------


def test_an_alaris_pump() -> None:
    device = alaris_pump.SyringePump(Infusion(5, is_ever_occluded=False))
    found = pump(device)
    found.run(70)
    assert found.refused == found.counts == []
    assert not device.control_commands
    assert not device.unanswered
    metrics = [(t_s, report) for t_s, report in found.of(Kind.METRIC) if number(report, RATE) is not None]
    assert len(metrics) > 30
    for t_s, report in metrics:
        assert report.claim == f"icu/serial={device.serial_number}"
        assert number(report, RATE) == Decimal(f"{device.infusion.rate_ml_h(t_s):.2f}")
        assert number(report, VOLUME) == Decimal(f"{device.infusion.volume_ml(t_s):.3f}")
    assert len(found.of(Kind.SETTING)) == 5  # each once


def test_its_alarm_begins_and_ends() -> None:
    device = alaris_pump.SyringePump(Infusion(5))
    found = pump(device)
    found.run(10)
    device.alarm = "AL_OCCLUSION"
    found.run(10)
    device.alarm = ""
    found.run(10)
    begun, ended = alarms(found)
    assert begun[1:] == ("AL_OCCLUSION", AlarmState.ACTIVE)
    assert ended[1:] == ("AL_OCCLUSION", AlarmState.INACTIVE)
    assert 10 <= begun[0] < 13
    assert 20 <= ended[0] < 23


def test_a_silent_alaris_pump_is_asked_again() -> None:
    found = pump(alaris_pump.SyringePump(Infusion(5), is_silent=lambda t_s: 20 <= t_s < 40))
    found.run(80)
    assert "no-answer" in found.counts
    assert found.of(Kind.METRIC)[-1][0] > 78


@pytest.mark.parametrize("kind", [*alaris_pump.FAULTS])
def test_a_poor_line_to_an_alaris_pump_gives_true_values_or_none(kind: str) -> None:
    device = alaris_pump.SyringePump(Infusion(5, is_ever_occluded=False))
    spoiler = alaris_pump.Spoiler((kind,), 0.2, 3)
    found = pump(device, spoiler.sent)
    found.run(90)
    assert bool(found.refused or found.counts) is (kind != "no_end")
    for t_s, report in found.of(Kind.METRIC):
        if (rate := number(report, RATE)) is not None:
            assert rate == Decimal(f"{device.infusion.rate_ml_h(t_s):.2f}")
    assert not device.control_commands
    assert found.of(Kind.METRIC)
