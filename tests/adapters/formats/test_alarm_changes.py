from __future__ import annotations

from adapters.driver import NoSettings, Source
from adapters.formats.alarm_changes import changed_alarms
from schemas.report import Alarm, AlarmPriority, AlarmState

LOW = Alarm("SL", priority=AlarmPriority.HIGH, text="saturation low")
OFF = Alarm("SO", text="sensor off")
SILENT = Alarm("SL", priority=AlarmPriority.HIGH, audio_paused=True, text="saturation low")


def over(alarm: Alarm) -> Alarm:
    return Alarm(alarm.condition, AlarmState.INACTIVE, alarm.priority, text=alarm.text)


def test_each_change_is_told_once() -> None:
    source = Source("bed", NoSettings())
    assert changed_alarms({}, source) == []
    assert changed_alarms({"SL": LOW}, source) == [("SL", LOW)]
    assert changed_alarms({"SL": LOW}, source) == []
    assert changed_alarms({"SL": SILENT, "SO": OFF}, source) == [("SL", SILENT), ("SO", OFF)]
    assert changed_alarms({"SL": LOW}, source) == [("SL", LOW), ("SO", over(OFF))]
    assert changed_alarms({}, source) == [("SL", over(LOW))]


def test_what_ended_while_the_line_was_gone_is_over_on_the_next_connection() -> None:
    first = Source("bed", NoSettings())
    changed_alarms({"SO": OFF}, first)
    later = Source("bed", NoSettings(), lasting=first.lasting)
    assert changed_alarms({}, later) == [("SO", over(OFF))]


def test_what_was_not_kept_is_told_again() -> None:
    source = Source("bed", NoSettings())
    changed_alarms({"SL": LOW}, source)
    source.retract(source.take_emitted())
    assert changed_alarms({"SL": LOW}, source) == [("SL", LOW)]


def test_lists_of_one_device_stand_beside_each_other() -> None:
    source = Source("bed", NoSettings())
    assert changed_alarms({"SL": LOW}, source, "page 1") == [("SL", LOW)]
    assert changed_alarms({}, source, "page 2") == []
