"""What a simulated ventilator says over a conversation, session and driver read value by value."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from adapters.devices.medibus import DRIVER, MedibusSettings
from adapters.driver import Source
from adapters.formats.medibus_tables import FAMILY_BY_NAME
from adapters.session import Moment, Piece, Step
from schemas.errors import FrameError
from schemas.report import AlarmState, ClockQuality, Kind, Record, Report, Samples, Validity
from simulators import medibus
from simulators.medibus import Spoiler, Ventilator
from simulators.medibus_values import MODELS, Curve, Model, filled, measured
from simulators.patient import Patient

BEGAN_US = 1_790_000_000_000_000  # the simulator's clock at its start, 2026-09-21 14:13:20
STEP_S = 0.02
FAMILY = {"evita_xl": "evita", "savina": "savina", "primus": "anesthesia", "v500": "medibus_x"}
CURVE_CODE = {151792: "00", 151764: "01", 150452: "02", 151700: "06", 0: "03"}


@dataclass
class Conversation:
    """Both ends of a line without a clock of their own."""

    device: Ventilator
    settings: MedibusSettings
    spoiler: Spoiler = field(default_factory=Spoiler)
    source: Source[MedibusSettings] = field(init=False)
    pieces: list[Piece] = field(default_factory=list)
    reports: list[tuple[float, Report]] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    counts: list[str] = field(default_factory=list)
    t_s: float = 0.0

    def __post_init__(self) -> None:
        self.source = Source("icu", self.settings, time_zone=ZoneInfo("UTC"), peer="port")
        assert DRIVER.session is not None
        self._session = DRIVER.session(self.settings)
        self._step: Step = self._session.opened(self._moment())
        self._take(self._step)

    def _moment(self) -> Moment:
        return Moment(self.t_s, BEGAN_US + round(self.t_s * 1e6))

    def _take(self, step: Step) -> None:
        self._step = step
        self.counts += step.counts
        self.pieces += step.pieces
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
        """As time goes by."""
        for _ in range(round(seconds / STEP_S)):
            self.t_s = round(self.t_s + STEP_S, 6)
            if self._step.wake_at_s is not None and self._step.wake_at_s <= self.t_s:
                self._take(self._session.tick(self._moment()))
            said = self.spoiler.sent(self.device.speak(self.t_s))
            if said:
                self._take(self._session.feed(said, self._moment()))

    def of(self, kind: Kind) -> Iterator[tuple[float, Report]]:
        return ((t_s, report) for t_s, report in self.reports if report.kind is kind)


def conversation(
    name: str = "evita_xl", scenario: str = "healthy", spoiler: Spoiler | None = None, **settings: object
) -> Conversation:
    device = Ventilator(Patient(3, scenario), MODELS[name], embeds=name == "savina", weaves=name != "primus")
    made = MedibusSettings(device="site:draeger:1", **settings)  # type: ignore[arg-type]
    return Conversation(device, made, spoiler or Spoiler())


def text_of(record: Record) -> str | None:
    if record.validity is Validity.NOT_AVAILABLE:
        return None
    return str(Decimal(record.mantissa).scaleb(record.exponent))


def sent_values(model: Model, page: int, patient: Patient, t_s: float) -> dict[str, str]:
    """Each code's value as the simulator writes it in its mask, without blanks."""
    values = measured(patient, t_s)
    data = model.data if page == 1 else model.data_2
    found = {}
    for each in data:
        value = values[each.name]
        if value is not None and each.least <= value < each.below:
            found[each.code] = filled(each.mask, value, 4).replace(" ", "")
    return found


def read_values(report: Report, family: str, page: int, sent: dict[str, str]) -> dict[str, str | None]:
    """A report's values under the codes that the device sends them with."""
    table = FAMILY_BY_NAME[family].data[page]
    found: dict[str, str | None] = {}
    for record in report.records:
        if record.as_sent is not None:
            code = record.as_sent.code[:2]
        else:
            same = [c for c, row in table.items() if (row.code, row.mdc_unit) == (record.code, record.unit)]
            code = next((c for c in same if c in sent), same[0])
        found[code] = text_of(record)
    return found


@pytest.mark.parametrize("name", MODELS)
def test_measured_data(name: str) -> None:
    on = conversation(name, "finger_off", curves=())
    on.run(45)
    compared = {1: 0, 2: 0}
    no_reading = set()
    for t_s, report in on.of(Kind.METRIC):
        # Which of the pages it is shows in what it says; their codes are apart by their systems.
        is_second = any(r.as_sent is not None and r.as_sent.system == "MEDIBUS CP2" for r in report.records)
        page = 2 if is_second else 1
        sent = sent_values(on.device.model, page, on.device.patient, t_s)
        found = read_values(report, FAMILY[name], page, sent)
        assert {code: value for code, value in found.items() if value is not None} == {
            code: str(Decimal(value)) for code, value in sent.items()
        }
        no_reading |= {code for code, value in found.items() if value is None}
        compared[page] += 1
    assert compared[1] >= 40
    assert (compared[2] > 0) is bool(on.device.model.data_2)
    assert no_reading >= ({"E1", "EB"} if name in ("evita_xl", "v500") else set())
    assert on.refused == []
    assert set(on.counts) <= {"answer-not-asked"}


@pytest.mark.parametrize("name", MODELS)
def test_alarms_settings_texts_limits_and_the_device(name: str) -> None:
    on = conversation(name, "finger_off", curves=())
    on.run(75)
    alarms = [
        (r.alarm.condition, r.alarm.state, r.alarm.text)
        for _, report in on.of(Kind.ALARM)
        for r in report.records
        if r.alarm is not None
    ]
    if name != "primus":
        assert ("CP1 35", AlarmState.ACTIVE, "SPO2SEN DISC") in alarms
        assert ("CP2 98", AlarmState.ACTIVE, "NEBULIZER ON") in alarms
        for condition in ("CP1 35", "CP2 98"):
            states = [state for each, state, _ in alarms if each == condition]
            assert states[:2] == [AlarmState.ACTIVE, AlarmState.INACTIVE]
    model = on.device.model
    settings = {
        r.as_sent.system + " " + r.as_sent.code[:2] if r.as_sent else str(r.code): text_of(r)
        for _, report in on.of(Kind.SETTING)
        for r in report.records
    }
    for setting in model.settings:
        value = filled(setting.mask, setting.value, 5).replace(" ", "")
        mdc = {"04": "16929196", "05": "16929632"}.get(setting.code, f"MEDIBUS setting {setting.code}")
        assert settings[mdc] == str(Decimal(value))
    for datum in model.data:
        for side, limit in (("low", datum.low), ("high", datum.high)):
            if limit is not None:
                assert Decimal(settings[f"MEDIBUS {side} limit CP1 {datum.code}"] or "") == Decimal(str(limit))
    words = {r.text for kind in (Kind.SETTING, Kind.EVENT) for _, report in on.of(kind) for r in report.records}
    assert {text for _, text in model.texts} <= words
    assert any(isinstance(word, str) and word.startswith(f"{model.name} (number {model.number}") for word in words)


def test_an_alarm_has_the_devices_limit() -> None:
    on = conversation("evita_xl", "desaturation", curves=())
    on.run(125)
    (low, *_) = [r for _, report in on.of(Kind.ALARM) for r in report.records if r.alarm and r.alarm.text == "SPO2 LOW"]
    assert low.alarm is not None
    assert (low.code, low.alarm.low, low.note) == (150456, (90, 0), "priority 28 of 31")


def test_the_clock_is_the_devices() -> None:
    on = conversation("savina", "clock_jump", curves=())
    on.run(45)
    clocks = [report for _, report in on.of(Kind.EVENT) if report.device_at_us is not None]
    assert all(report.clock_quality is ClockQuality.DEVICE for report in clocks)
    ahead_s = [((report.device_at_us or 0) - report.received_at_us) / 1e6 for report in clocks]
    assert ahead_s[0] == pytest.approx(0, abs=1)
    assert ahead_s[-1] == pytest.approx(300, abs=1)  # told by 49, asked for at once


def expected_bins(curve: Curve, patient: Patient) -> list[int]:
    """What the device has of a curve, every 8 ms."""
    return [int(curve.binned(patient, np.array([tick * 0.008]))[0]) for tick in range(1500)]


@pytest.mark.parametrize(("name", "count"), [("evita_xl", 5), ("savina", 3), ("primus", 5), ("v500", 5)])
def test_curves(name: str, count: int) -> None:
    wanted = ("paw", "flow", "volume", "co2", "pleth")
    on = conversation(name, curves=wanted, curves_max=12, curve_interval_ms=16)
    on.run(12)
    by_code: dict[str, list[Samples]] = {}
    for _, report in on.of(Kind.WAVEFORM):
        for record in report.records:
            assert record.samples is not None
            assert record.samples.invalid == ()
            by_code.setdefault(CURVE_CODE[record.code], []).append(record.samples)
    assert len(by_code) == count
    for curve in on.device.model.curves:
        samples = by_code[curve.code]
        raw = np.frombuffer(b"".join(each.raw for each in samples), "<i2")
        assert samples[0].rate_numerator / samples[0].rate_denominator == 62.5
        assert [each.first_sample for each in samples] == list(
            np.cumsum([0, *(each.count for each in samples[:-1])])
        )  # none is lost
        # The host has enabled it at some tick of 8 ms; from there on it is each second one.
        all_bins = expected_bins(curve, on.device.patient)
        assert any(all_bins[first::2][: len(raw)] == raw.tolist() for first in range(0, 400, 2))
    assert on.refused == []


def test_curves_that_change_are_configured_anew() -> None:
    on = conversation("evita_xl")
    on.run(6)
    before = sum(1 for _ in on.of(Kind.WAVEFORM))
    on.device.change_curves(on.t_s)
    on.run(6)
    assert before >= 4
    assert sum(1 for _ in on.of(Kind.WAVEFORM)) >= before + 4
    assert on.refused == []


def test_a_corrupt_record_is_invalid_samples() -> None:
    on = conversation("evita_xl")
    on.run(4)
    on.device.realtime.corrupt_records = 3
    on.run(3)
    samples = [r.samples for _, report in on.of(Kind.WAVEFORM) for r in report.records if r.samples]
    invalid = [each.invalid for each in samples if each.invalid]
    assert sum(end - begin for stretches in invalid for begin, end in stretches) in (2, 4)


def test_silence_begins_the_link_anew_and_all_goes_on() -> None:
    on = conversation("evita_xl", "silence")
    on.run(60)
    at_s = [t_s for t_s, _ in on.of(Kind.METRIC)]
    assert not [t_s for t_s in at_s if 20.1 < t_s < 40]
    assert sum(1 for t_s in at_s if t_s > 45) >= 12
    assert "silent" in on.counts
    waves = [r.samples for t_s, report in on.of(Kind.WAVEFORM) if t_s > 45 for r in report.records if r.samples]
    assert waves[0].first_sample > 35 * 62.5  # what the silence has lost is counted


def test_a_slow_device_is_waited_for() -> None:
    on = conversation("evita_xl", curves=())
    on.device.answer_s = 0.9
    on.run(60)
    assert sum(1 for _ in on.of(Kind.METRIC)) >= 8
    assert on.refused == []


@pytest.mark.parametrize("fault", sorted(medibus.FAULTS))
def test_faults_are_refused_and_survived(fault: str) -> None:
    on = conversation("evita_xl", spoiler=Spoiler([fault], 0.01, 7))
    on.run(60)
    assert sum(1 for _ in on.of(Kind.METRIC)) >= 20
    assert on.refused or fault == "silent"
    for t_s, report in on.of(Kind.METRIC):
        sent = sent_values(on.device.model, 1, on.device.patient, t_s)
        found = read_values(report, "evita", 1, sent)
        assert {c: v for c, v in found.items() if v is not None}.items() <= {
            c: str(Decimal(v)) for c, v in sent.items()
        }.items()
