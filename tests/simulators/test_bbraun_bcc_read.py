"""What a simulated rack of pumps says over a conversation, session and driver read value by value.

The frames of the driver's cases are the simulator's, `worked_example` is the document's rule worked out by hand.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest

from adapters.devices.bbraun_bcc import DRIVER, BccSettings
from adapters.driver import Source
from adapters.session import Moment, Step
from schemas.errors import FrameError
from schemas.report import AlarmState, ClockQuality, Kind, Report, Validity
from simulators.bbraun_bcc import SpaceCom, Spoiler
from simulators.bbraun_pumps import PUMPS
from simulators.patient import Patient

BEGAN_US = 1_790_000_000_000_000  # the simulator's clock at its start, 2026-09-21 14:13:20
STEP_S = 0.05
RATE, VOLUME_INFUSED, DOSE_RATE = 157784, 157864, 157924
CLAIM = {pump.address: f"icu/INNR={pump.number}" for pump in PUMPS}


@dataclass
class Conversation:
    """Both ends of a line without a clock of their own."""

    device: SpaceCom
    settings: BccSettings
    spoiler: Spoiler = field(default_factory=Spoiler)
    reports: list[tuple[float, Report]] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    counts: list[str] = field(default_factory=list)
    t_s: float = 0.0

    def __post_init__(self) -> None:
        self.source = Source("icu", self.settings, time_zone=ZoneInfo("UTC"), peer="port")
        assert DRIVER.session is not None
        self._session = DRIVER.session(self.settings)
        self._take(self._session.opened(self._moment()))

    def _moment(self) -> Moment:
        return Moment(self.t_s, BEGAN_US + round(self.t_s * 1e6))

    def _take(self, step: Step) -> None:
        self._step = step
        self.counts += step.counts
        self.source.received_at_us = self._moment().utc_us
        for piece in step.pieces:
            if piece.reason:
                self.refused.append(piece.reason)
                continue
            try:
                self.reports += [(self.t_s, report) for report in DRIVER.read(piece.data, self.source)]
            except FrameError as error:
                self.refused.append(error.reason)
        if step.send:
            self.device.hear(step.send, self.t_s)

    def run(self, seconds: float) -> None:
        for _ in range(round(seconds / STEP_S)):
            self.t_s = round(self.t_s + STEP_S, 6)
            if self._step.wake_at_s is not None and self._step.wake_at_s <= self.t_s:
                self._take(self._session.tick(self._moment()))
            said = self.spoiler.sent(self.device.speak(self.t_s))
            if said:
                self._take(self._session.feed(said, self._moment()))

    def of(self, kind: Kind, address: str = "") -> list[tuple[float, Report]]:
        return [
            (t_s, report)
            for t_s, report in self.reports
            if report.kind is kind and (not address or report.claim == CLAIM[address])
        ]


def conversation(scenario: str = "healthy", settings: BccSettings | None = None, **given: object) -> Conversation:
    device = SpaceCom(Patient(3, scenario), **given)  # type: ignore[arg-type]
    return Conversation(device, settings or BccSettings())


def number(report: Report, code: int) -> Decimal | None:
    (record,) = [each for each in report.records if each.code == code]
    return None if record.validity is Validity.NOT_AVAILABLE else Decimal(record.mantissa).scaleb(record.exponent)


@pytest.mark.parametrize("newer", [True, False])
@pytest.mark.parametrize("is_stuffed", [True, False])
def test_values_of_all_pumps(newer: bool, is_stuffed: bool) -> None:
    found = conversation(settings=BccSettings(stuffing=is_stuffed), newer=newer, is_stuffed=is_stuffed)
    found.run(20)
    assert found.refused == found.counts == found.device.too_early == []
    assert set(found.device.commands) == {"ADMIN:ALIVE", "ADMIN:VERSION", "MEM:GET"}
    for pump in PUMPS:
        metrics = found.of(Kind.METRIC, pump.address)
        assert len(metrics) >= 6
        for t_s, report in metrics:
            state = pump.state(t_s - STEP_S)
            assert number(report, RATE) == Decimal(f"{state.rate_ml_h:.2f}")
            infused = number(report, VOLUME_INFUSED)
            assert infused is not None
            assert abs(float(infused) - state.infused_ml) < 0.2


@pytest.mark.parametrize("hexadecimal", [True, False])
@pytest.mark.parametrize("newer", [True, False])
def test_alarms_begin_and_end(newer: bool, hexadecimal: bool) -> None:
    found = conversation(newer=newer, hexadecimal=hexadecimal)
    found.run(220)
    changes = [
        (address, round(t_s, -1), record.alarm.text, record.alarm.state)
        for address in ("50113", "50121")
        for t_s, report in found.of(Kind.ALARM, address)
        for record in report.records
        if record.alarm
    ]
    empty = [(t_s, state) for address, t_s, text, state in changes if address == "50113" and "empty" in text]
    assert [state for _, state in empty[:1] + empty[-1:]] == [AlarmState.ACTIVE, AlarmState.INACTIVE]
    occluded = [(t_s, state) for address, t_s, text, state in changes if address == "50121"]
    assert [state for _, state in occluded[:2]] == [AlarmState.ACTIVE, AlarmState.INACTIVE]
    assert [t_s for t_s, _ in occluded[:2]] in ([60, 70], [60, 80])
    assert found.refused == []


def test_drug_with_its_dose_and_no_value_where_there_is_none() -> None:
    found = conversation()
    found.run(10)
    _, settings = found.of(Kind.SETTING, "50113")[0]
    assert "Propofol 2%, forte" in {record.text for record in settings.records}
    _, metrics = found.of(Kind.METRIC, "50113")[0]
    assert number(metrics, DOSE_RATE) == Decimal("8.28")
    _, bag = found.of(Kind.METRIC, "50112")[0]
    assert any(record.validity is Validity.NOT_AVAILABLE for record in bag.records)
    assert len(found.of(Kind.SETTING, "50113")) == 1


def test_the_pumps_clock_is_its_own() -> None:
    found = conversation("clock_jump")
    found.run(40)
    for t_s, report in found.of(Kind.METRIC, "50111"):
        assert report.clock_quality is ClockQuality.DEVICE
        ahead_s = 300 if t_s - STEP_S >= 30 else 0
        assert report.device_at_us is not None
        assert abs(report.device_at_us - BEGAN_US - (t_s + ahead_s) * 1e6) < 1.2e6
    older = conversation(newer=False)
    older.run(10)
    assert {report.clock_quality for _, report in older.of(Kind.METRIC)} == {ClockQuality.RECEIVED}


def test_a_pump_that_is_taken_out_and_put_back() -> None:
    found = conversation("finger_off")
    found.run(50)
    gone = [
        t_s
        for t_s, report in found.of(Kind.EVENT, "50122")
        for record in report.records
        if record.as_sent and record.as_sent.code == "GNERR"
    ]
    assert len(gone) == 1
    assert 20 <= gone[0] <= 24
    times = [t_s for t_s, _ in found.of(Kind.METRIC, "50122")]
    assert not [t_s for t_s in times if 23 < t_s < 35]
    assert max(times) > 36


def test_after_silence_it_begins_anew() -> None:
    found = conversation("silence")
    found.run(50)
    assert "no-answer" in found.counts
    assert found.device.commands.count("ADMIN:ALIVE") >= 3
    assert found.of(Kind.METRIC)[-1][0] > 41


@pytest.mark.parametrize("kind", ["bad_checksum", "half_frame", "noise", "burst", "silent"])
def test_a_poor_line_loses_blocks_and_no_more(kind: str) -> None:
    found = conversation()
    found.spoiler = Spoiler((kind,), 0.2, 7)
    found.run(120)
    assert found.refused or found.counts
    assert all(record.code != RATE or record.mantissa >= 0 for _, r in found.of(Kind.METRIC) for record in r.records)
    assert all(report.claim in CLAIM.values() for _, report in found.of(Kind.METRIC))
    spoilt_until_s, found.spoiler = found.t_s, Spoiler()
    found.run(20)
    assert found.of(Kind.METRIC)[-1][0] > spoilt_until_s


def test_cyclic_mode_is_listened_to_and_acknowledged() -> None:
    found = conversation(settings=BccSettings(mode="cyclic"), cyclic_s=5.0)
    found.run(30)
    assert found.refused == found.device.too_early == found.device.commands == []
    assert {report.claim for _, report in found.of(Kind.METRIC)} == set(CLAIM.values())
    assert len(found.of(Kind.METRIC, "50111")) >= 5
