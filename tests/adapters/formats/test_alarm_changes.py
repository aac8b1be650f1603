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
    assert changed_alarms({}, source, "bed") == []
    assert changed_alarms({"SL": LOW}, source, "bed") == [("SL", LOW)]
    assert changed_alarms({"SL": LOW}, source, "bed") == []
    assert changed_alarms({"SL": SILENT, "SO": OFF}, source, "bed") == [("SL", SILENT), ("SO", OFF)]
    assert changed_alarms({"SL": LOW}, source, "bed") == [("SL", LOW), ("SO", over(OFF))]
    assert changed_alarms({}, source, "bed") == [("SL", over(LOW))]


def test_what_ended_while_the_line_was_gone_is_over_on_the_next_connection() -> None:
    first = Source("bed", NoSettings())
    changed_alarms({"SO": OFF}, first, "bed")
    later = Source("bed", NoSettings(), lasting=first.lasting)
    assert changed_alarms({}, later, "bed") == [("SO", over(OFF))]


def test_what_was_not_kept_is_told_again() -> None:
    source = Source("bed", NoSettings())
    changed_alarms({"SL": LOW}, source, "bed")
    source.retract(source.take_emitted())
    assert changed_alarms({"SL": LOW}, source, "bed") == [("SL", LOW)]


def test_devices_of_one_source_do_not_end_each_others_alarms() -> None:
    source = Source("ward", NoSettings())
    assert changed_alarms({"SL": LOW}, source, "ward/a") == [("SL", LOW)]
    assert changed_alarms({}, source, "ward/b") == []
    assert changed_alarms({}, source, "ward/a") == [("SL", over(LOW))]
