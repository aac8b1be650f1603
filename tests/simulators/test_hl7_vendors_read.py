"""What monitors of other makers say, driver and session read: values, alarms from start to end, waves, settings."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from adapters.devices.hl7_oru import DRIVER, Hl7Settings, read
from adapters.driver import Source
from adapters.session import Moment, Outcome, Step
from schemas.report import Alarm, AlarmKind, AlarmPriority, AlarmState, Kind, Record, RecordKind, Report, Validity
from simulators.acked_log import SentReport
from simulators.bed_alarms import AlarmCourse, BedAlarm, present_alarms
from simulators.hl7_mindray import ECG_HZ, NO_SAMPLE, PLETH_HZ, PatientDataShare, ecg_samples, pleth_samples
from simulators.hl7_philips import BEGINNINGS, alarm_text
from simulators.hl7_vendors import VENDORS, VendorMonitor
from simulators.patient import Patient

AT_US = 1_790_000_000_123_000
MINUTE = range(60)  # the finger is out from 20 to 35
# The channel of each code that a dialect may send it with.
NAMES = {
    147842: "hr", 148066: "pvc", 150456: "spo2", 149530: "pr", 149514: "pr", 151562: "rr", 150344: "temp_c",
    150368: "temp_c", 188420: "temp_c", 150033: "abp_sys", 150034: "abp_dia", 150035: "abp_mean", 150037: "abp_sys",
    150038: "abp_dia", 150039: "abp_mean", 150021: "nibp_sys", 150022: "nibp_dia", 150023: "nibp_mean",
    150301: "nibp_sys", 150302: "nibp_dia", 150303: "nibp_mean", 151728: "etco2", 150448: "pi", 148065: "pvc",
}  # fmt: skip
PRIORITIES = {"high": AlarmPriority.HIGH, "medium": AlarmPriority.MEDIUM, "low": AlarmPriority.LOW}
NK_REPEAT = "072007^VITAL rPR(spo2)"
each_vendor = pytest.mark.parametrize("name", VENDORS)
each_scenario = pytest.mark.parametrize("scenario", ["healthy", "finger_off", "desaturation"])


def source(dialect: str, **settings: bool) -> Source[Hl7Settings]:
    made = Hl7Settings(dialect=dialect, **settings)  # type: ignore[arg-type]
    zone = ZoneInfo("Asia/Shanghai")
    return Source("ward", made, time_zone=zone, peer="here", received_at_us=AT_US + 50_000)


def said(name: str, scenario: str, seconds: range) -> Iterator[tuple[int, list[Report], tuple[SentReport, ...]]]:
    """The reports of each message, with the second and what it is to say."""
    monitor, of = VendorMonitor(name, "bed-07", Patient(1007, scenario)), source(name)
    for t in seconds:
        for message in monitor.messages(t, AT_US + t * 1_000_000):
            yield t, list(read(message.payload, of)), message.sent


def value_of(record: Record) -> str | None:
    if record.validity is Validity.NOT_AVAILABLE:
        return None
    assert record.validity is Validity.VALID
    return str(Decimal(record.mantissa).scaleb(record.exponent))


def numbers(report: Report) -> dict[str, list[str | None]]:
    """Every value of a report by its channel; the repeated pulse rate of Nihon Kohden is no second one."""
    found: dict[str, list[str | None]] = {}
    for record in report.records:
        if record.kind is RecordKind.NUMERIC:
            is_repeat = record.as_sent is not None and record.as_sent.code == NK_REPEAT
            found.setdefault("repeat" if is_repeat else NAMES[record.code], []).append(value_of(record))
    return found


@each_vendor
@each_scenario
def test_every_value_is_read(name: str, scenario: str) -> None:
    cuffs = 0
    for _, reports, sent in said(name, scenario, MINUTE):
        values = [report for report in reports if report.kind is Kind.METRIC]
        assert [report.device_at_us for report in values] == [one.at_us for one in sent]
        for report, one in zip(values, sent, strict=True):
            assert report.claim in (f"eui64:{one.device}", f"ward/PV1-3={one.device}", f"ward/OBX-18={one.device}")
            found = numbers(report)
            repeated = found.pop("repeat", [one.values.get("pr")])
            assert repeated == [one.values.get("pr")]
            twice = {"rr", "temp_c"} if name == "ge-b40" else set()
            assert found == {each: [text] * (1 + (each in twice)) for each, text in one.values.items()}
            channels = {(r.code, r.as_sent, r.channel) for r in report.records if r.kind is RecordKind.NUMERIC}
            assert len(channels) == sum(r.kind is RecordKind.NUMERIC for r in report.records)
            cuffs += "nibp_sys" in one.values
    assert cuffs == 1


@each_vendor
def test_a_channel_is_the_same_while_others_come_and_go(name: str) -> None:
    found: dict[int, set[int]] = {}
    for _, reports, _ in said(name, "finger_off", MINUTE):
        for report in reports:
            for record in report.records if report.kind is Kind.METRIC else ():
                found.setdefault(record.code, set()).add(record.channel)
    twice = {151562, 150344} if name == "ge-b40" else set()
    assert {code for code, channels in found.items() if len(channels) > 1} == twice


@dataclass
class Told:
    """One episode of an alarm as it was read: from the first report that it is active to the one of its end."""

    first_s: int
    last_s: int | None = None
    alarms: list[Alarm] = field(default_factory=list)
    values: list[str | None] = field(default_factory=list)  # what stands beside them


def episodes(name: str, scenario: str, seconds: range) -> list[Told]:
    open_: dict[str, Told] = {}
    found = []
    now = Told(0)
    for t, reports, _ in said(name, scenario, seconds):
        for record in (record for report in reports if report.kind is Kind.ALARM for record in report.records):
            alarm = record.alarm
            if alarm is None:
                now.values.append(value_of(record))
                continue
            if alarm.state is AlarmState.INACTIVE:
                now = open_.pop(alarm.condition + str(record.code))
                now.last_s = t
                continue
            key = alarm.condition + str(record.code)
            if key not in open_:
                open_[key] = Told(t)
                found.append(open_[key])
            now = open_[key]
            now.alarms.append(alarm)
    return found


@dataclass
class Raised:
    """The same as the monitor has it, with the seconds in which it is told of."""

    first_s: int
    last_s: int | None
    alarms: list[BedAlarm]
    values: list[str]


def raised(scenario: str, seconds: range) -> list[Raised]:
    course, found = AlarmCourse(Patient(1007, scenario)), dict[int, Raised]()
    for t in seconds:
        for change in course.step(t):
            if change.phase == "start":
                found[change.instance] = Raised(t, None, [], [])
            if change.phase == "end":
                found[change.instance].last_s = t
            else:
                found[change.instance].alarms.append(change.alarm)
            if not change.alarm.is_technical:
                found[change.instance].values.append(change.alarm.value)
    return list(found.values())


@pytest.mark.parametrize("scenario", ["finger_off", "desaturation"])
def test_an_egateway_alarm_is_read_from_start_to_end(scenario: str) -> None:
    seconds = range(0, 240, 2)
    expected, found = raised(scenario, seconds), episodes("mindray-egateway", scenario, seconds)
    assert [(told.first_s, told.last_s) for told in found] == [(each.first_s, each.last_s) for each in expected]
    assert expected
    assert any(alarm.is_silenced for each in expected for alarm in each.alarms) is (scenario == "desaturation")
    for told, each in zip(found, expected, strict=True):
        assert [(alarm.priority, alarm.text, alarm.audio_paused) for alarm in told.alarms] == [
            (PRIORITIES[alarm.priority], alarm.text, alarm.is_silenced) for alarm in each.alarms
        ]
        assert [(alarm.low, alarm.high) for alarm in told.alarms] == [
            (None if alarm.low is None else (alarm.low, 0), None if alarm.high is None else (alarm.high, 0))
            for alarm in each.alarms
        ]
        assert told.values == each.values
        kinds = {AlarmKind.TECHNICAL if alarm.is_technical else AlarmKind.PHYSIOLOGICAL for alarm in each.alarms}
        assert {alarm.kind for alarm in told.alarms} == kinds


def test_an_alarm_that_is_first_heard_of_as_it_goes_on_has_its_end() -> None:
    """As after the connection was new: the reporter says `continue` or `update` of what began before."""
    monitor = VendorMonitor("mindray-egateway", "bed-07", Patient(1007, "desaturation"))
    expected = max(raised("desaturation", range(0, 240, 2)), key=lambda each: len(each.alarms))
    assert expected.last_s is not None
    of, found = source("mindray-egateway"), list[tuple[int, AlarmState]]()
    for t in range(0, 240, 2):
        for message in monitor.messages(t, AT_US + t * 1_000_000):
            for report in read(message.payload, of) if t > expected.first_s else ():
                for record in report.records:
                    if record.alarm and record.code == 150456 and t <= expected.last_s:
                        found.append((t, record.alarm.state))
    assert [state for _, state in found] == [AlarmState.ACTIVE] * (len(expected.alarms) - 1) + [AlarmState.INACTIVE]
    assert found[-1][0] == expected.last_s


@pytest.mark.parametrize("name", ["philips-efficia", "philips-pic"])
def test_some_sites_spell_philips_codes_otherwise(name: str) -> None:
    monitor, usual, other = VendorMonitor(name, "bed-07", Patient(1007)), source(name), source(name)
    (message,) = monitor.messages(1.0, AT_US)
    spelt = message.payload.replace(b"^MDIL|", b"^MDILL|")
    assert spelt != message.payload
    found = [[numbers(r) for r in read(data, of) if r.kind is Kind.METRIC] for data, of in
             ((message.payload, usual), (spelt, other))]  # fmt: skip
    assert found[0] == found[1] == [{each: [text] for each, text in message.sent[0].values.items()}]


def philips_runs(scenario: str, seconds: range) -> list[tuple[str, int, int | None]]:
    """Each alarm of an Information Center by its words, from when to when it is listed."""
    patient, open_ = Patient(1007, scenario), dict[str, int]()
    found: list[tuple[str, int, int | None]] = []
    for t in seconds:
        listed = {alarm_text(alarm) for alarm in present_alarms(patient, t).values()}
        for text in [text for text in open_ if text not in listed]:
            found.append((text, open_.pop(text), t))
        for text in listed:
            open_.setdefault(text, t)
    return sorted([*found, *((text, first, None) for text, first in open_.items())], key=lambda run: (run[1], run[0]))


@pytest.mark.parametrize("scenario", ["finger_off", "desaturation"])
def test_an_alarm_of_an_information_center_ends_when_it_is_not_listed(scenario: str) -> None:
    seconds = range(0, 240, 2)
    found = episodes("philips-pic", scenario, seconds)
    runs = [(told.alarms[0].condition, told.first_s, told.last_s) for told in found]
    assert sorted(runs, key=lambda run: (run[1], run[0])) == philips_runs(scenario, seconds)
    for told in found:
        stars = told.alarms[0].text.count("*")
        by_stars = {3: AlarmPriority.HIGH, 2: AlarmPriority.MEDIUM, 0: AlarmPriority.UNKNOWN}  # an inop has none
        assert told.alarms[0].priority is by_stars[stars]
        assert told.alarms[0].kind is (AlarmKind.PHYSIOLOGICAL if stars else AlarmKind.TECHNICAL)


def test_an_efficia_tells_what_begins_and_gets_graver_but_no_end() -> None:
    seconds = range(0, 240, 2)
    found = [
        (t, record.alarm.condition, record.alarm.priority)
        for t, reports, _ in said("philips-efficia", "desaturation", seconds)
        for report in reports
        if report.kind is Kind.ALARM
        for record in report.records
        if record.alarm and record.alarm.state is AlarmState.ACTIVE
    ]
    course = AlarmCourse(Patient(1007, "desaturation"))
    changes = [(t, change) for t in seconds for change in course.step(t) if change.phase in BEGINNINGS]
    assert found == [(t, alarm_text(change.alarm), PRIORITIES[change.alarm.priority]) for t, change in changes]
    assert AlarmPriority.HIGH in [priority for _, _, priority in found]


def test_the_waves_of_a_gateway_are_whole() -> None:
    patient = Patient(1007, "finger_off")
    monitor, of = VendorMonitor("mindray-egateway", "bed-07", patient), source("mindray-egateway")
    moments = [second * 1.013 for second in range(1, 60)]  # so that no message has as many samples as the rate
    found: dict[int, list[tuple[int, list[int]]]] = {131329: [], 150452: []}
    invalid = 0
    for t in moments:
        for message in monitor.messages(t, AT_US + round(t * 1e6)):
            for report in read(message.payload, of):
                for record in report.records if report.kind is Kind.WAVEFORM else ():
                    samples = record.samples
                    assert samples is not None
                    assert (samples.rate_numerator, samples.rate_denominator) in ((ECG_HZ, 1), (PLETH_HZ, 1))
                    step = Decimal(samples.scale_mantissa).scaleb(samples.exponent)
                    assert step == (Decimal("0.01") if record.code == 131329 else 1)
                    raw = np.frombuffer(samples.raw, "<i2")
                    assert all((raw[first:behind] == NO_SAMPLE).all() for first, behind in samples.invalid)
                    invalid += sum(behind - first for first, behind in samples.invalid)
                    found[record.code].append((samples.first_sample, raw.tolist()))
    starts = [moments[0] - 1.0, moments[-1]]
    for code, expected in ((131329, ecg_samples(patient, *starts)), (150452, pleth_samples(patient, *starts))):
        assert [sample for _, raw in found[code] for sample in raw] == expected
        lengths = [len(raw) for _, raw in found[code]]
        assert [first for first, _ in found[code]] == [sum(lengths[:place]) for place in range(len(lengths))]
    assert invalid == pleth_samples(patient, *starts).count(NO_SAMPLE) == 15 * PLETH_HZ


def test_the_limits_and_settings_of_an_information_center() -> None:
    settings = {
        (record.as_sent.system, record.as_sent.code): value_of(record)
        for _, reports, _ in said("philips-pic", "healthy", range(3))
        for report in reports
        if report.kind is Kind.SETTING
        for record in report.records
        if record.as_sent
    }
    assert settings == {
        ("MDIL", "0402-4182^HR High"): "95",
        ("OBX-7 low limit", "0002-4182^HR"): "50",
        ("OBX-7 high limit", "0002-4182^HR"): "95",
        ("OBX-7 low limit", "0002-4bb8^SpO2"): "90",
        ("OBX-7 high limit", "0002-4bb8^SpO2"): "100",
    }


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("ge-b40", "AA"),
        ("mindray-egateway", "CA"),
        ("nihon-kohden", "AA"),
        ("philips-efficia", "AA"),
        ("philips-pic", "AA"),
    ],
)
def test_each_message_is_answered_as_its_header_asks(name: str, code: str) -> None:
    of = source(name)
    assert DRIVER.session is not None
    session = DRIVER.session(of.settings)
    session.opened(Moment(0.0, AT_US))
    for t in range(20, 23):
        for message in VendorMonitor(name, "bed-07", Patient(1007, "finger_off")).messages(t, AT_US + t * 1_000_000):
            now = Moment(float(t), AT_US + t * 1_000_000)
            (piece,) = session.feed(b"\x0b" + message.payload + b"\x1c\r", now).pieces
            assert piece.token is not None
            answer = session.kept(piece.token, Outcome.KEPT, "", now).send
            assert answer.endswith(b"\x1c\r")
            assert f"\rMSA|{code}|{message.id}" in answer.decode("latin-1")


@dataclass
class Conversation:
    """A monitor that shares its data and who has dialled it, without a clock of their own."""

    device: PatientDataShare
    reports: list[tuple[int, Report]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.source = source("mindray-pds", query=True)
        assert DRIVER.session is not None
        self._session = DRIVER.session(self.source.settings)
        self._step = Step()

    def run(self, seconds: range) -> None:
        self._take(self._session.opened(Moment(0.0, AT_US)), 0)
        for data in self.device.greeting():
            self._take(self._session.feed(data, Moment(0.0, AT_US)), 0)
        for t in seconds:
            now = Moment(float(t), AT_US + t * 1_000_000)
            if self._step.wake_at_s is not None and self._step.wake_at_s <= t:
                self._take(self._session.tick(now), t)
            for data in self.device.speak(float(t)):
                self._take(self._session.feed(data, now), t)

    def _take(self, step: Step, t: int) -> None:
        self._step = step
        if step.send:
            self.device.hear(step.send)
        for piece in step.pieces:
            assert piece.reason == ""
            self.reports += [(t, report) for report in read(piece.data, self.source)]


def test_a_mindray_monitor_is_asked_and_read() -> None:
    device = PatientDataShare("bed-07", Patient(1007, "finger_off"))
    on = Conversation(device)
    on.run(MINUTE)
    assert device.heard[0] == "1203"
    assert device.heard.count("1203") == 1
    assert device.heard.count("106") == 19
    values = [(t, report) for t, report in on.reports if report.kind is Kind.METRIC and numbers(report)]
    assert [t for t, _ in values] == list(range(2, 60))
    assert on.source.counts["segment:ZMW"] == 2 * 58  # beside the values and by itself: neither is an error
    for t, report in values:
        assert numbers(report) == {name: [text] for name, text in device.shown(t).items()}
        assert report.device_at_us is None
        assert report.claim == "ward/PV1-3=^^ICU&bed-07&3232237756&4601&&1"


def test_the_levels_of_a_mindray_monitor_are_settings_by_parameter() -> None:
    on = Conversation(PatientDataShare("bed-07", Patient(1007, "finger_off")))
    on.run(range(25))
    levels = [report for _, report in on.reports if report.kind is Kind.SETTING]
    assert [record.text for record in levels[-1].records].count("3^") == 1  # the level of the sensor's alarm
    assert len({record.channel for record in levels[-1].records}) == len(levels[-1].records) == 11
