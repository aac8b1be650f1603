"""The alert monitor's lists: what begins, changes and ends."""

from __future__ import annotations

from msgspec.structs import replace

from adapters.formats.intellivue_alarms import MonitorAlarm, alarms_of, changes
from schemas.report import AlarmKind, AlarmPriority, AlarmState, Mark
from tests.adapters.intellivue_bytes import alarm, listed


def of_list(*entries: bytes, attribute: int = 0x0902) -> dict[str, MonitorAlarm]:
    ((number, found),) = alarms_of({attribute: listed(*entries)})
    assert number == attribute
    return found


def test_a_patient_alarm_with_its_text() -> None:
    (found,) = of_list(alarm(0x4BB8, 0x0A01, 0x0200, words="** SpO2 LOW")).values()
    assert (found.physio, found.note) == (0x4BB8, "text 00024BB8, priority 50")
    assert (found.alarm.kind, found.alarm.priority) == (AlarmKind.PHYSIOLOGICAL, AlarmPriority.MEDIUM)
    assert (found.alarm.state, found.alarm.text) == (AlarmState.ACTIVE, "** SpO2 LOW")
    assert (found.alarm.latched, found.alarm.audio_paused, found.marks) == (False, False, Mark(0))


def test_priorities_of_both_lists() -> None:
    levels = {0x0001: 1, 0x0002: 2, 0x0004: 3, 0x0100: 1, 0x0200: 2, 0x0400: 3, 0: 0}
    for level, priority in levels.items():
        (found,) = of_list(alarm(0x4BB8, 1, level, words=None), attribute=0x0904).values()
        assert found.alarm.priority is AlarmPriority(priority)
        assert found.alarm.kind is AlarmKind.TECHNICAL


def test_the_bits_of_its_state() -> None:
    fields = {0x2000: "latched", 0x1000: "silent", 0x8000: "silent", 0x4000: "silent", 0x100: "demo", 0x400: "demo"}
    for state, field in fields.items():
        (found,) = of_list(alarm(0x4BB8, 1, 0x0100, state=state)).values()
        assert found.alarm.latched == (field == "latched")
        assert found.alarm.audio_paused == (field == "silent")
        assert (found.marks == Mark.TRAINING) == (field == "demo")


def test_a_list_is_compared_with_the_one_before() -> None:
    low, high = alarm(0x4BB8, 1, 0x0200), alarm(0x4182, 2, 0x0200)
    begun = changes({}, of_list(low, high))
    assert [each.alarm.state for each in begun] == [AlarmState.ACTIVE] * 2
    assert changes(of_list(low, high), of_list(high, low)) == []
    (escalated,) = changes(of_list(low), of_list(alarm(0x4BB8, 1, 0x0400)))
    assert escalated.alarm.priority is AlarmPriority.HIGH
    (ended,) = changes(of_list(low, high), of_list(high))
    assert ended.alarm == replace(begun[0].alarm, state=AlarmState.INACTIVE)


def test_what_is_new_alone_changes_nothing() -> None:
    assert changes(of_list(alarm(0x4BB8, 1, 0x0200, state=8)), of_list(alarm(0x4BB8, 1, 0x0200))) == []


def test_the_same_condition_of_two_objects_is_two() -> None:
    assert len(of_list(alarm(0x4BB8, 1, 0x0200, handle=7), alarm(0x4BB8, 1, 0x0200, handle=8))) == 2
