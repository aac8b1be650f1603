"""The S/5 driver and its session against the simulated monitor, whose author had not seen them.

The bytes of the driver's cases were put together from 8005313 (pages 3-69) by a script of `struct` alone, which shares
nothing with the driver.
"""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.devices.datex_dri import DRIVER, DatexDriSettings, read
from adapters.driver import Source
from adapters.formats.dri_groups import CLASSES as GROUPS
from adapters.formats.dri_record import framed, unescaped
from adapters.session import Moment
from schemas.batch import encode_report
from schemas.errors import FrameError
from schemas.report import AlarmState, Kind, Record, RecordKind, Report, Validity
from simulators import datex_values
from simulators.datex_dri import FAULTS, Monitor, Spoiler, bad_checksum
from simulators.patient import Patient

BEGAN_US = 1_790_000_000_000_000
STEP_S = 0.25
HR, SPO2, PR, ART_SYS, CVP_MEAN, NIBP_SYS, ESOPHAGUS = 147842, 150456, 149530, 150033, 150087, 150021, 150372
ECG_II, PLETH, ART_WAVE = 131330, 150452, 150032


class Line:
    """A monitor and its driver on one line, second by second; `spoil` is what becomes of the monitor's frames."""

    def __init__(self, monitor: Monitor, **settings: object) -> None:
        self.monitor = monitor
        self.source = Source("bed", DatexDriSettings(device="site:ge:1", **settings), peer="/dev/bed")  # type: ignore[arg-type]
        assert DRIVER.session is not None
        self.session = DRIVER.session(self.source.settings)
        self.now_s = 0.0
        self.reports: list[Report] = []
        self.errors: list[str] = []
        self.spoiled_at_s: set[float] = set()
        self.spoiler = Spoiler()
        self._step = self.session.opened(self._now())
        monitor.hear(self._step.send, 0.0)

    def run(self, until_s: float) -> None:
        while self.now_s < until_s:
            self.now_s += STEP_S
            if self._step.wake_at_s is not None and self.now_s >= self._step.wake_at_s:
                self._step = self.session.tick(self._now())
                self.monitor.hear(self._step.send, self.now_s)
            for frame in self.monitor.speak(self.now_s):
                spoiled = self.now_s in self.spoiled_at_s
                sent = bad_checksum(frame, Random(1)) if spoiled else self.spoiler.sent(frame)
                self._step = self.session.feed(sent, self._now())
                for piece in self._step.pieces:
                    if piece.reason:
                        self.errors.append(piece.reason)
                    else:
                        self._read(piece.data)

    def _now(self) -> Moment:
        return Moment(self.now_s, BEGAN_US + round(self.now_s * 1e6))

    def _read(self, data: bytes) -> None:
        self.source.received_at_us = self._now().utc_us
        try:
            self.reports += read(data, self.source)
        except FrameError as error:
            self.errors.append(error.reason)
        self.source.take_emitted()

    def of(self, kind: Kind) -> list[Report]:
        return [report for report in self.reports if report.kind is kind]

    def numbers(self, code: int) -> list[tuple[float, Record]]:
        return [
            ((report.received_at_us - BEGAN_US) / 1e6, record)
            for report in self.of(Kind.METRIC)
            for record in report.records
            if record.code == code
        ]

    def samples(self, code: int) -> list[Record]:
        return [r for report in self.of(Kind.WAVEFORM) for r in report.records if r.code == code]


def value(record: Record) -> float | None:
    if record.validity is Validity.NOT_AVAILABLE:
        return None
    return float(Decimal(record.mantissa).scaleb(record.exponent))


@pytest.mark.parametrize(
    ("code", "name", "digits"),
    [
        (HR, "hr", 0), (SPO2, "spo2", 2), (PR, "pr", 0), (ART_SYS, "abp_sys", 2), (CVP_MEAN, "cvp", 2),
        (ESOPHAGUS, "temp_c", 2),
    ],
)  # fmt: skip
def test_values_are_the_patients(code: int, name: str, digits: int) -> None:
    patient = Patient(3, "finger_off")
    line = Line(Monitor(patient))
    line.run(60)
    found = [value(record) for _, record in line.numbers(code)]
    due_s = [5.0 * n for n in range(13)]  # the first comes at once
    shown = [patient.numbers(t)[name] for t in due_s]
    assert len(found) == 13
    assert found == [None if v is None else pytest.approx(v, abs=10**-digits) for v in shown]
    assert (None in found) is (name in ("spo2", "pr"))


def test_each_cuff_measurement_is_told_once() -> None:
    patient = Patient(3)
    line = Line(Monitor(patient))
    line.run(400)
    told = [(t, value(record)) for t, record in line.numbers(NIBP_SYS) if record.validity is Validity.VALID]
    cuffs = {cuff.number: cuff for t in range(400) if (cuff := patient.cuff(t))}
    assert [systolic for _, systolic in told] == [float(cuff.values["nibp_sys"]) for cuff in cuffs.values()]
    assert all(0 <= t - cuff.at_s <= 6 for (t, _), cuff in zip(told, cuffs.values(), strict=True))


def test_waves_are_the_monitors_without_a_hole() -> None:
    patient = Patient(3)
    line = Line(Monitor(patient))
    line.run(30)
    for code, kind, rate_hz in ((ECG_II, 1, 300), (PLETH, 8, 100), (ART_WAVE, 4, 100)):
        records = line.samples(code)
        stretches = [record.samples for record in records if record.samples]
        assert {stretch.rate_numerator for stretch in stretches} == {rate_hz}
        places = [stretch.first_sample for stretch in stretches]
        assert places == list(np.cumsum([places[0], *[stretch.count for stretch in stretches[:-1]]]))
        for stretch in stretches:
            t = np.arange(stretch.first_sample, stretch.first_sample + stretch.count) / rate_hz
            expected = datex_values.samples(patient, kind, t)
            assert np.frombuffer(stretch.raw, "<i2").tolist() == expected.tolist()


def test_a_damaged_record_of_waves_shows_as_lost() -> None:
    line = Line(Monitor(Patient(3)))
    line.run(10)
    line.spoiled_at_s = {10.5, 11.0}
    line.run(20)
    assert set(line.errors) == {"checksum"}
    for code, rate_hz in ((ECG_II, 300), (PLETH, 100)):
        stretches = [record.samples for record in line.samples(code) if record.samples]
        ends = [stretch.first_sample + stretch.count for stretch in stretches]
        lost = [s.first_sample - end for s, end in zip(stretches[1:], ends[:-1], strict=True)]
        assert sum(lost) == rate_hz  # two records of half a second
        assert sum(1 for n in lost if n) == 1


@pytest.mark.parametrize("kind", FAULTS)
def test_a_faulty_line_gives_true_values_or_none(kind: str) -> None:
    patient = Patient(3)
    line = Line(Monitor(patient))
    line.spoiler = Spoiler([kind], share=0.3, seed=7)
    line.run(300)
    assert set(line.errors) <= {"checksum", "length", "framing", "escape", "too-long", "offsets"}
    assert (line.errors == []) is (kind == "silent")
    found = line.numbers(HR)
    assert 20 < len(found) < 55 or kind == "noise"  # noise costs no frame
    assert all(value(record) == pytest.approx(patient.numbers(5.0 * round(t / 5))["hr"], abs=2) for t, record in found)
    for code in (ECG_II, PLETH):
        stretches = [record.samples for record in line.samples(code) if record.samples]
        ends = [stretch.first_sample + stretch.count for stretch in stretches]
        assert all(s.first_sample >= end for s, end in zip(stretches[1:], ends[:-1], strict=True))


def test_a_sensor_that_is_off_is_no_measurement() -> None:
    line = Line(Monitor(Patient(3, "finger_off")))
    line.run(60)
    invalid = sum(end - begin for r in line.samples(PLETH) if r.samples for begin, end in r.samples.invalid)
    assert invalid == 15 * 100


def test_alarms_begin_and_end() -> None:
    line = Line(Monitor(Patient(3, "finger_off")))
    line.run(60)
    alarms = [record.alarm for report in line.of(Kind.ALARM) for record in report.records if record.alarm]
    assert [(alarm.text, alarm.state, alarm.priority.name) for alarm in alarms] == [
        ("SpO2 probe off", AlarmState.ACTIVE, "LOW"),
        ("SpO2 probe off", AlarmState.INACTIVE, "LOW"),
    ]


def test_a_monitor_that_was_silent_is_asked_again_and_the_hole_is_as_long_as_it_was() -> None:
    line = Line(Monitor(Patient(3, "silence")))  # from 20 to 40 s
    line.run(60)
    assert line.errors == []
    stretches = [record.samples for record in line.samples(PLETH) if record.samples]
    last = stretches[-1]
    assert last.first_sample + last.count == pytest.approx(60 * 100, abs=150)


def test_an_alarm_that_ended_while_the_line_was_gone_is_over() -> None:
    monitor = Monitor(Patient(3, "finger_off"))
    line = Line(monitor)
    line.run(30)
    later = Source("bed", line.source.settings, peer="/dev/bed", lasting=line.source.lasting)
    line.source, line.reports, line.now_s = later, [], 50.0
    monitor.hear(line.session.opened(Moment(50.0, BEGAN_US + 50_000_000)).send, 50.0)
    line.run(60)
    alarms = [record.alarm for report in line.of(Kind.ALARM) for record in report.records if record.alarm]
    assert [(alarm.text, alarm.state) for alarm in alarms] == [("SpO2 probe off", AlarmState.INACTIVE)]


def test_every_channel_that_needs_a_word_has_it_told_once() -> None:
    line = Line(Monitor(Patient(3)))
    line.run(60)
    described = [(r.code, r.as_sent, r.channel) for report in line.of(Kind.DESCRIPTION) for r in report.records]
    assert len(described) == len(set(described))
    spoken = {
        (r.code, r.as_sent, r.channel)
        for report in line.of(Kind.METRIC) + line.of(Kind.WAVEFORM)
        for r in report.records
        if r.channel
    }
    assert spoken == set(described)


def test_no_two_values_of_a_report_are_taken_for_one() -> None:
    line = Line(Monitor(Patient(3)))
    line.run(10)
    for report in line.of(Kind.METRIC):
        keys = [(r.code or r.as_sent, r.channel) for r in report.records]
        assert len(keys) == len(set(keys))


def test_a_frame_that_was_not_kept_is_told_again() -> None:
    monitor = Monitor(Patient(3, "finger_off"))
    monitor.hear(DRIVER.session(DatexDriSettings()).opened(Moment(22.0, BEGAN_US)).send, 22.0)  # type: ignore[misc]
    (frame, *_) = monitor.speak(22.0)
    source = Source("bed", DatexDriSettings(), peer="/dev/bed", received_at_us=BEGAN_US)
    first = read(frame[1:-1], source)
    assert any(report.kind is Kind.ALARM for report in first)
    source.retract(source.take_emitted())
    assert read(frame[1:-1], source) == first


def test_groups_do_not_overlap() -> None:
    for groups in GROUPS.values():
        taken: set[int] = set()
        for group in groups:
            begin = group.at + (group.values_at if group.name == "PCWP" else 0)
            places = set(range(begin, group.at + group.values_at + 2 * len(group.values)))
            assert not places & taken, group.name
            assert max(places) < 270
            taken |= places


def test_what_a_status_says_is_a_text_when_it_changes() -> None:
    line = Line(Monitor(Patient(3)))
    line.run(60)
    texts = [
        (record.as_sent.code, record.text)
        for report in line.of(Kind.EVENT)
        for record in report.records
        if record.kind is RecordKind.TEXT and record.as_sent
    ]
    assert ("ECG status", "HR source ECG, channel 1 II, channel 2 V, channel 3 I") in texts
    assert ("CO status", "mode continuous") in texts
    assert ("T2 status", "not active") in texts
    assert len(texts) == len(set(texts))


CASES = Path(__file__).parent / "cases" / "datex_dri"
RECORDS = [
    unescaped(bytes.fromhex((CASES / name / "frame.hex").read_text()))
    for name in ("normal", "zero", "waves_before_any_value", "wave_lead_off", "alarms_begin", "trend_is_counted")
]


@given(data=st.data())
def test_a_record_that_is_whole_and_says_anything_gives_reports_or_a_reason(data: st.DataObject) -> None:
    """Behind a checksum that holds: what `test_any_bytes_give_reports_or_a_reason` hardly ever reaches."""
    source = Source("bed", DatexDriSettings(), peer="/dev/bed", received_at_us=BEGAN_US)
    for _ in range(data.draw(st.integers(1, 3))):
        record = bytearray(data.draw(st.sampled_from(RECORDS)))
        for _ in range(data.draw(st.integers(1, 6))):
            at = data.draw(st.integers(0, len(record) - 1))
            record[at : at + 2] = data.draw(st.binary(min_size=0, max_size=3))
        record[0:2] = len(record).to_bytes(2, "little")
        try:
            reports = read(framed(bytes(record))[1:-1], source)
        except FrameError:
            continue
        for report in reports:
            encode_report(report, bytes(16), bytes(32))
        source.received_at_us += data.draw(st.integers(0, 10_000_000))
