"""Alarm episodes of PCD-04: what joins messages, and what later ones may leave out."""

from __future__ import annotations

from itertools import count

import pytest

from adapters.devices.hl7_oru import Hl7Settings
from adapters.driver import Source
from adapters.formats.hl7_ack import read_head
from adapters.formats.hl7_episodes import episode_id
from adapters.formats.hl7v2 import Hl7Message
from adapters.session import Outcome
from schemas.report import AlarmPriority, AlarmState, Kind, Record
from tests.adapters.formats.test_hl7_alarms import EVENT, LOW, R40, alarm_message, event, facet
from tests.hl7 import PV1, RECEIVED_AT_US, frame, obx, records, source

PHASE, STATE = ("68481", "MDC_ATTR_EVENT_PHASE"), ("68482", "MDC_ATTR_ALARM_STATE")


def of_episode(own: str, parent: str, *segments: str) -> bytes:
    """A message of PCD-04 with OBR-3 and OBR-29."""
    obr = f"OBR|1||{own}|X|||20260921141319+0000" + "|" * 22 + parent
    return frame(PV1, obr, *segments, msh=R40)


def alarms(data: bytes, of: Source[Hl7Settings]) -> list[Record]:
    return [record for record in records(data, of, Kind.ALARM) if record.alarm is not None]


def test_the_obr_of_these_tests_has_its_29th_field() -> None:
    obr = Hl7Message(of_episode("a2^M", "^a1&M")).first("OBR")
    assert obr is not None
    assert (obr.field(3), obr.field(29)) == ("a2^M", "^a1&M")


@pytest.mark.parametrize(
    ("own", "parent", "expected"),
    [
        ("a1^M", "", "a1^M"),
        ("a2^M", "^a1&M", "a1^M"),  # an EIP: placer and filler
        ("a2^M", "p1&P^a1&M", "a1^M"),
        ("a2^M", "a1&M", "a1^M"),
        ("a2^M^^", '""', "a2^M"),
        ("", "", ""),
    ],
)
def test_an_episode_is_known_by_its_first_event(own: str, parent: str, expected: str) -> None:
    obr = Hl7Message(of_episode(own, parent)).first("OBR")
    assert obr is not None
    assert episode_id(obr) == expected


def test_an_end_without_its_event_ends_the_alarm() -> None:
    of = source()
    (begun,) = alarms(of_episode("a1^M", "", event("L~PH~SP"), obx("82"), facet(*PHASE, "start")), of)
    (ended,) = alarms(of_episode("a2^M", "^a1&M", facet(*PHASE, "end")), of)
    assert (
        (begun.code, begun.mantissa, begun.unit) == (ended.code, ended.mantissa, ended.unit) == (150456, 196670, 262688)
    )
    assert begun.alarm is not None
    assert ended.alarm is not None
    assert ended.alarm.condition == "MDC_EVT_LO"
    assert ended.alarm.priority is AlarmPriority.HIGH
    assert ended.alarm.since_us == begun.alarm.since_us is not None
    assert (begun.alarm.state, ended.alarm.state) == (AlarmState.ACTIVE, AlarmState.INACTIVE)
    assert alarms(of_episode("a3^M", "^a1&M", facet(*PHASE, "continue")), of) == []  # it is over


def test_without_its_own_number_nothing_is_joined() -> None:
    of = source()
    alarms(of_episode("", "", event(), facet(*PHASE, "start")), of)
    assert alarms(of_episode("", "", facet(*PHASE, "end")), of) == []


def test_two_beds_may_number_their_alarms_alike() -> None:
    of = source()
    alarms(of_episode("a1", "", event(), obx("82"), facet(*PHASE, "start")), of)
    other = of_episode("a1", "", facet(*PHASE, "end")).replace(b"ICU^^07", b"ICU^^08")
    assert alarms(other, of) == []


def test_an_alarm_that_goes_on_as_another_condition_ends_as_the_one_before() -> None:
    of = source()
    alarms(of_episode("a1", "", event("PM"), obx("82"), facet(*PHASE, "start")), of)
    severe = event("PH", value="196674^MDC_EVT_LO_VAL_LT_LIM^MDC")
    found = alarms(of_episode("a2", "^a1", severe, facet(*PHASE, "escalate")), of)
    assert [(r.mantissa, r.alarm.state.name, r.alarm.priority.name) for r in found if r.alarm] == [
        (196670, "INACTIVE", "MEDIUM"), (196674, "ACTIVE", "HIGH"),
    ]  # fmt: skip


def test_it_outlives_the_connection() -> None:
    of = source()
    alarms(of_episode("a1", "", event("PM"), obx("82"), facet(*PHASE, "start")), of)
    next_connection = source()
    next_connection.lasting = of.lasting
    (found,) = alarms(of_episode("a2", "^a1", facet(*STATE, "inactive")), next_connection)
    assert (found.code, found.mantissa) == (150456, 196670)


def test_what_could_not_be_kept_is_retracted() -> None:
    of = source()
    alarms(of_episode("a1", "", event("PM"), obx("82"), facet(*PHASE, "start")), of)
    of.take_emitted()
    end = of_episode("a2", "^a1", facet(*PHASE, "end"))
    assert len(alarms(end, of)) == 1
    of.retract(of.take_emitted())
    assert len(alarms(end, of)) == 1  # the frame is sent again


def test_an_acknowledgement_by_a_person_stays_a_text() -> None:
    message = alarm_message(event(), facet("68483", "MDC_ATTR_ALARM_INACTIVATION_STATE", "alert-acknowledged"))
    texts = [record.text for record in records(message, None, Kind.ALARM)]
    assert texts == [None, "alert-acknowledged"]


@pytest.mark.parametrize(("value", "condition"), [(LOW, "MDC_EVT_LO"), ("LOW SAT", "LOW SAT")])
def test_a_message_alone_is_what_it_says(value: str, condition: str) -> None:
    (found,) = alarms(of_episode("a9", "^a1", event(value=value, names=EVENT), facet(*PHASE, "continue")), source())
    assert found.alarm is not None
    assert found.alarm.condition == condition


def test_an_alarm_is_acknowledged_as_its_profile_asks() -> None:
    """IHE PCD-04 asks by MSH-15 AL and MSH-16 NE: an accept acknowledgement, of the same trigger."""
    (answer,) = read_head(alarm_message(event())).answers(Outcome.KEPT, RECEIVED_AT_US, count(1))
    acknowledgement = Hl7Message(answer)
    assert acknowledgement.field("MSH", 9) == "ACK^R40^ACK"
    assert (acknowledgement.field("MSA", 1), acknowledgement.field("MSA", 2)) == ("CA", "42")
