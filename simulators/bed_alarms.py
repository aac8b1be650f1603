"""What a monitor raises of its patient: the same alarms for every maker, each of which writes them in its own way."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

from simulators.patient import Patient

SPO2_LOW, SPO2_VERY_LOW = 90, 85  # %: yellow below the first, red below the second
HR_HIGH = 95  # 1/min
CONTINUE_EVERY_S = 20.0
SILENCED_AFTER_S = 30.0  # by whoever has heard it; an alarm that gets graver sounds as before


@dataclass(frozen=True)
class BedAlarm:
    """One alarm as it stands. `priority` is high, medium or low; `channel` is of patient.CHANNELS."""

    name: str
    text: str
    channel: str
    priority: str
    is_technical: bool = False
    value: str = ""
    low: int | None = None
    high: int | None = None
    is_silenced: bool = False


class Transition(NamedTuple):
    """What happened to an alarm: start, continue, update (silenced), escalate, de-escalate or end.

    `instance` counts episodes.
    """

    phase: str
    alarm: BedAlarm
    instance: int


def present_alarms(patient: Patient, t_s: float) -> dict[str, BedAlarm]:
    """The alarms of a time, by their names."""
    values = patient.report(t_s)
    spo2, rate = values["spo2"], values["hr"]
    found = []
    if spo2 is None:
        found.append(BedAlarm("spo2 sensor", "SpO2 SENSOR OFF", "spo2", "low", is_technical=True))
    elif int(spo2) < SPO2_LOW:
        priority = "high" if int(spo2) < SPO2_VERY_LOW else "medium"
        found.append(BedAlarm("spo2 low", "SpO2 LOW", "spo2", priority, value=spo2, low=SPO2_LOW, high=100))
    if rate is not None and int(rate) > HR_HIGH:
        found.append(BedAlarm("hr high", "HR HIGH", "hr", "medium", value=rate, low=50, high=HR_HIGH))
    return {alarm.name: alarm for alarm in found}


@dataclass
class _Open:
    alarm: BedAlarm
    instance: int
    told_at_s: float
    sounds_since_s: float


_RANK = {"low": 0, "medium": 1, "high": 2}


class AlarmCourse:
    """From time to time to what has changed."""

    def __init__(self, patient: Patient) -> None:
        self._patient = patient
        self._open: dict[str, _Open] = {}
        self._instances = 0

    def step(self, t_s: float) -> list[Transition]:
        """What is to be told at a time, later than the one before."""
        now = present_alarms(self._patient, t_s)
        found = []
        for name in [name for name in self._open if name not in now]:
            ended = self._open.pop(name)
            found.append(Transition("end", ended.alarm, ended.instance))
        for name, alarm in now.items():
            phase = self._phase(name, alarm, t_s)
            if phase == "start":
                self._instances += 1
                self._open[name] = _Open(alarm, self._instances, t_s, t_s)
            is_open = self._open[name]
            if phase == "escalate":
                is_open.sounds_since_s = t_s
            if phase:
                silenced = t_s - is_open.sounds_since_s >= SILENCED_AFTER_S
                is_open.alarm, is_open.told_at_s = replace(alarm, is_silenced=silenced), t_s
                found.append(Transition(phase, is_open.alarm, is_open.instance))
        return found

    def _phase(self, name: str, alarm: BedAlarm, t_s: float) -> str:
        is_open = self._open.get(name)
        if is_open is None:
            return "start"
        before = _RANK[is_open.alarm.priority]
        if _RANK[alarm.priority] != before:
            return "escalate" if _RANK[alarm.priority] > before else "de-escalate"
        if not is_open.alarm.is_silenced and t_s - is_open.sounds_since_s >= SILENCED_AFTER_S:
            return "update"
        return "continue" if t_s - is_open.told_at_s >= CONTINUE_EVERY_S else ""
