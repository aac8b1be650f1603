"""What an oximeter's sensor is at, and what a test has happen to it: shared by the simulated oximeters."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import NamedTuple

from simulators.patient import Patient

SEARCH_S = 4.0  # from the finger's return to the first pulse


class Sensor(Enum):
    """State of the sensor."""

    MEASURING = "measuring"
    SEARCHING = "searching"
    OFF = "off"


class Span(NamedTuple):
    """A condition, by the name that its device's module gives it, from one second until before another."""

    condition: str
    from_s: float
    until_s: float


def sensor_at(patient: Patient, t_s: float) -> Sensor:
    """Whether there is a finger, and a pulse since."""
    if not patient.has_finger(t_s):
        return Sensor.OFF
    return Sensor.MEASURING if patient.has_finger(t_s - SEARCH_S) else Sensor.SEARCHING


def conditions_at(script: Sequence[Span], t_s: float) -> list[str]:
    """Those of a script that hold now, in its order."""
    return [span.condition for span in script if span.from_s <= t_s < span.until_s]
