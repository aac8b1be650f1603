"""Alarms of Philips IntelliVue's Data Export: the alert monitor's two lists ("Programming Guide" rev G.0, chapter 5).

    0902 patient alarms, 0904 technical alarms: list of
    source u16, code u16, type u16, state u16, managed object 6, kind of what follows u16, length u16:
      0201  instance u16, text id u32, priority u16, flags u16
      0204  the same, and a string: the text as the monitor shows it

    type   0001 low, 0002 medium, 0004 high technical; 0100 low, 0200 medium, 0400 high patient
    state  8000 inhibited, 4000 suspended, 2000 latched, 1000 silenced or reset, 0400 test, 0200 standby, 0100 demo,
           0008 new

A list holds the alarms that are, each time whole: one that is in it no more has ended. What the scale of `priority` is,
is not known; it is kept as a note.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from msgspec.structs import replace

from adapters.formats.intellivue import Attributes, Bytes, managed_object
from adapters.formats.intellivue_values import string_of
from schemas.report import Alarm, AlarmKind, AlarmPriority, AlarmState, Mark

LISTS = {0x0902: AlarmKind.PHYSIOLOGICAL, 0x0904: AlarmKind.TECHNICAL}
_INFO, _INFO_WITH_TEXT = 0x0201, 0x0204
_PRIORITIES = (
    (0x0404, AlarmPriority.HIGH),
    (0x0202, AlarmPriority.MEDIUM),
    (0x0101, AlarmPriority.LOW),
)
_INHIBITED, _SUSPENDED, _LATCHED, _SILENCED, _TEST, _DEMO = 0x8000, 0x4000, 0x2000, 0x1000, 0x0400, 0x0100


@dataclass(frozen=True)
class MonitorAlarm:
    """An alarm of a list: what it is about, and the note of what has no field of its own."""

    alarm: Alarm
    physio: int
    marks: Mark
    note: str | None


Alarms = Mapping[str, MonitorAlarm]


def alarms_of(found: Attributes) -> Iterator[tuple[int, dict[str, MonitorAlarm]]]:
    """The lists that an object's attributes hold, each by the alarm's condition."""
    for attribute, kind in LISTS.items():
        if attribute in found:
            listed = (_alarm(each, kind) for each in Bytes(found[attribute]).entries())
            yield attribute, {each.alarm.condition: each for each in listed}


def _alarm(data: Bytes, kind: AlarmKind) -> MonitorAlarm:
    source, code, level, state = data.u16(), data.u16(), data.u16(), data.u16()
    about = managed_object(data)
    info_kind = data.u16()
    info = data.sized()
    text, note, instance = "", None, 0
    if info_kind in (_INFO, _INFO_WITH_TEXT):
        instance, text_id, priority, _ = info.u16(), info.u32(), info.u16(), info.u16()
        note = f"text {text_id:08X}, priority {priority}"
        if info_kind == _INFO_WITH_TEXT:
            text = string_of(info)
    alarm = Alarm(
        condition=f"{source:04X}-{code:04X}-{about.context}.{about.handle}.{instance}",
        priority=next((found for bits, found in _PRIORITIES if level & bits), AlarmPriority.UNKNOWN),
        kind=kind,
        latched=bool(state & _LATCHED),
        audio_paused=bool(state & (_INHIBITED | _SUSPENDED | _SILENCED)),
        text=text,
    )
    return MonitorAlarm(alarm, source, Mark.TRAINING if state & (_TEST | _DEMO) else Mark(0), note)


def changes(before: Alarms, now: Alarms) -> list[MonitorAlarm]:
    """What is to be said of a list: what began or changed, then what has ended, in its last words."""
    said = [each for condition, each in now.items() if before.get(condition) != each]
    for condition, each in before.items():
        if condition not in now:
            over = replace(each.alarm, state=AlarmState.INACTIVE, latched=False, audio_paused=False)
            said.append(MonitorAlarm(over, each.physio, each.marks, each.note))
    return said
