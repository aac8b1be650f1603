"""IHE PCD-04: the facets of an alarm as one record, in whichever numbers they come."""

from __future__ import annotations

import pytest

from schemas.report import Alarm, AlarmKind, AlarmPriority, AlarmState, Kind, Mark, RecordKind
from tests.hl7 import MSH, OBR, PERCENT, PV1, RECEIVED_AT_US, SPO2, frame, measured, obx, records, reports, source

R40 = MSH.replace("R01^ORU_R01", "R40^ORU_R40")
EVENT = "196616^MDC_EVT_ALARM^MDC"
LOW = "196670^MDC_EVT_LO^MDC"
TEMP = "150344^MDC_TEMP^MDC"


def alarm_message(*segments: str) -> bytes:
    return frame(PV1, OBR, *segments, msh=R40)


def facet(code: str, name: str, value: str) -> str:
    return obx(value, f"{code}^{name}^MDC", "", kind="ST", status="R")


def alarm(*segments: str) -> Alarm:
    found = [r.alarm for r in records(alarm_message(*segments), None, Kind.ALARM) if r.alarm is not None]
    assert len(found) == 1
    return found[0]


def event(flags: str = "", value: str = LOW, names: str = EVENT) -> str:
    return obx(value, names, "", kind="CWE", flags=flags, status="R")


@pytest.mark.parametrize("offset", [0, -316])  # the supplement's numbers, and Draeger's
def test_the_facets_of_an_alarm(offset: int) -> None:
    numbers = [str(68481 + n + (offset if offset else 0)) for n in range(4)]
    found = alarm(
        event(), facet(numbers[0], "", "start"), facet(numbers[1], "", "latched"),
        facet(numbers[2], "", "enabled~audio-off"), facet(numbers[3], "", "PM"),
        facet("68485", "MDC_ATTR_ALERT_TYPE", "ST"), facet("68546", "MDC_ATTR_ALERT_TEXT", "low !"),
    )  # fmt: skip
    assert found == Alarm(
        condition="MDC_EVT_LO",
        state=AlarmState.ACTIVE,
        priority=AlarmPriority.MEDIUM,
        kind=AlarmKind.TECHNICAL,
        since_us=RECEIVED_AT_US - 1_000_000,
        latched=True,
        audio_paused=True,
        text="low !",
    )


@pytest.mark.parametrize(
    ("flags", "priority", "kind"),
    [("L~PM~SP", AlarmPriority.MEDIUM, AlarmKind.PHYSIOLOGICAL), ("A~PL~ST", AlarmPriority.LOW, AlarmKind.TECHNICAL),
     ("L~SP", AlarmPriority.UNKNOWN, AlarmKind.PHYSIOLOGICAL), ("ph^x", AlarmPriority.HIGH, AlarmKind.UNKNOWN),
     ("SA~PN", AlarmPriority.UNKNOWN, AlarmKind.ADVISORY), ("", AlarmPriority.UNKNOWN, AlarmKind.UNKNOWN)],
)  # fmt: skip
def test_obx_8_in_any_number_and_order(flags: str, priority: AlarmPriority, kind: AlarmKind) -> None:
    found = alarm(event(flags))
    assert (found.priority, found.kind) == (priority, kind)


@pytest.mark.parametrize(
    ("phase", "state", "expected"),
    [("start", "active", AlarmState.ACTIVE), ("end", "inactive", AlarmState.INACTIVE), ("end", "", AlarmState.INACTIVE),
     ("continue", "", AlarmState.ACTIVE), ("", "", AlarmState.ACTIVE), ("update", "off", AlarmState.INACTIVE),
     ("end", "latched", AlarmState.ACTIVE)],
)  # fmt: skip
def test_the_state_is_what_the_device_says(phase: str, state: str, expected: AlarmState) -> None:
    found = alarm(event(), facet("68481", "x", phase), facet("", "MDC_ATTR_ALARM_STATE", state))
    assert found.state is expected
    assert (found.since_us is not None) == (phase == "start")


@pytest.mark.parametrize(
    ("limits", "low", "high"),
    [("90-100", (90, 0), (100, 0)), ("90-", (90, 0), None), ("-100", None, (100, 0)), ("<100", None, (100, 0)),
     (">= 90.5", (905, -1), None), ("", None, None), ("normal", None, None), ("36.0 - 38.5", (360, -1), (385, -1))],
)  # fmt: skip
def test_limits_are_those_of_the_source(limits: str, low: tuple[int, int] | None, high: tuple[int, int] | None) -> None:
    found = records(alarm_message(event(), obx("82", limits=limits)), None, Kind.ALARM)
    assert [r.kind for r in found] == [RecordKind.ALARM, RecordKind.NUMERIC]
    assert found[0].alarm is not None
    assert (found[0].alarm.low, found[0].alarm.high) == (low, high)
    assert (found[0].code, found[0].unit, found[0].mantissa) == (150456, 262688, 196670)
    assert found[1].mantissa == 82


def test_a_source_may_be_named_alone() -> None:
    (record,) = records(
        alarm_message(event(), obx(SPO2, "68480^MDC_ATTR_ALERT_SOURCE^MDC", "", kind="CWE")), None, Kind.ALARM
    )
    assert (record.code, record.kind) == (150456, RecordKind.ALARM)


def test_the_event_may_be_the_code_of_its_own_obx() -> None:
    found = alarm(obx("SPO2 LOW", "196674^MDC_EVT_LO_VAL_LT_LIM^MDC", "", kind="ST", flags="L~SP"))
    assert (found.condition, found.text, found.kind) == ("MDC_EVT_LO_VAL_LT_LIM", "SPO2 LOW", AlarmKind.PHYSIOLOGICAL)
    found = alarm(event(value="Leads off"))
    assert (found.condition, found.text) == ("Leads off", "Leads off")


def test_what_is_no_facet_is_kept_beside_it() -> None:
    found = records(alarm_message(event(), event(value="2^x^L"), obx("7", "x^y^L", "")), None, Kind.ALARM)
    assert [r.kind for r in found] == [RecordKind.ALARM, RecordKind.TEXT, RecordKind.NUMERIC]


def test_without_an_event_nothing_is_lost() -> None:
    found = records(alarm_message(facet("68481", "x", "start"), obx("82", unit=PERCENT)), None, Kind.ALARM)
    assert [(r.kind, r.text, r.mantissa) for r in found] == [
        (RecordKind.TEXT, "start", 0), (RecordKind.NUMERIC, None, 82),
    ]  # fmt: skip


def test_alarms_of_two_like_channels_are_not_one_alarm() -> None:
    of = source()
    one, two = (obx(v, TEMP, "Cel", sub_id=f"1.1.1.{v}") for v in ("36", "35"))
    records(measured(one, two), of)  # T1 and T2: known as twins from here on

    def channel(value: str) -> tuple[int, Mark]:
        data = alarm_message(event(), obx(value, TEMP, "Cel", sub_id=f"1.1.1.{value}", limits="36-38"))
        record = records(data, of, Kind.ALARM)[0]
        return record.channel, record.marks

    assert channel("36")[0] != channel("35")[0]
    assert channel("36")[1] == channel("35")[1] == Mark.AMBIGUOUS


def test_alarms_of_labelled_channels_carry_them() -> None:
    data = [
        alarm_message(event(), obx("36", f"150344^{label}^MDC", "Cel", limits="36-38")) for label in ("T1", "T2", "T1")
    ]
    one, two, again = (records(message, None, Kind.ALARM)[0] for message in data)
    assert one.channel == again.channel != two.channel
    assert one.marks == two.marks == Mark(0)


def test_two_conditions_of_one_metric_are_no_twins() -> None:
    data = frame(PV1, OBR, event(), obx("82"), OBR, event(value="196680^MDC_EVT_LEAD_OFF^MDC"), obx(""), msh=R40)
    assert [r.marks for r in records(data, None, Kind.ALARM) if r.kind is RecordKind.ALARM] == [Mark(0), Mark(0)]


@pytest.mark.parametrize(
    ("phase", "state", "inactivation", "expected", "silent"),
    [("", "INACTIVE", "AUDIO-PAUSED", AlarmState.INACTIVE, True), ("", "inactive~active", "", AlarmState.ACTIVE, False),
     ("", "active~inactive", "", AlarmState.ACTIVE, False), ("END", "", "Alarm-Off", AlarmState.INACTIVE, True),
     ("end~start", "", "", AlarmState.ACTIVE, False)],
)  # fmt: skip
def test_states_in_any_case_and_number(
    phase: str, state: str, inactivation: str, expected: AlarmState, silent: bool
) -> None:
    found = alarm(event(), facet("68481", "", phase), facet("68482", "", state), facet("68483", "", inactivation))
    assert (found.state, found.audio_paused) == (expected, silent)


def test_an_alarm_without_a_place_is_of_the_one_device_that_its_obr_names() -> None:
    one = obx(LOW, EVENT, "", kind="CWE", status="R", equipment="AAAA000000000001")
    (found,) = reports(alarm_message(one, obx("82")), None, Kind.ALARM)
    assert found.claim == "eui64:aaaa000000000001"
    (found,) = reports(alarm_message(one, obx("82", equipment="AAAA000000000002")), None, Kind.ALARM)
    assert found.claim == "eui64:aaaa000000000002"


@pytest.mark.parametrize(("flags", "is_test"), [("PH~TEST", True), ("demo^x", True), ("PH~SP", False)])
def test_an_alarm_of_a_test_is_training(flags: str, is_test: bool) -> None:
    (record,) = [r for r in records(alarm_message(event(flags)), None, Kind.ALARM) if r.alarm is not None]
    assert bool(record.marks & Mark.TRAINING) == is_test
