"""A Masimo pulse oximeter on a pseudo-terminal: ASCII 1, a line a second, 9600 8N1.

Operator's manuals Rad-87 (7-4) and Rad-8 (4-24: exceptions 20 sensor off, 800 Masimo SET active). A Radical-7 dashes
what it does not measure; a Rad-8 has fewer fields, and here says 000 without a finger as its trend lines do. Bits of
ALARM are told nowhere: it stays 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from simulators.patient import Patient

MODELS = ("radical7", "rad8")
SENSOR_OFF, SET_ACTIVE = 0x020, 0x800


@dataclass(frozen=True)
class Oximeter:
    """One device; `began_at` is its clock at the patient's beginning, of which it sends no zone."""

    patient: Patient
    model: str = "radical7"
    began_at: datetime = datetime(2026, 3, 9, 14, 5, 9, tzinfo=UTC)

    @property
    def serial(self) -> str:
        """Ten digits."""
        return f"{self.patient.seed:010}"

    def shown(self, t_s: float) -> dict[str, str | None]:
        """What the display says; None for dashes."""
        found = self.patient.numbers(t_s)
        spo2, rate, index = found["spo2"], found["pr"], found["pi"]
        return {
            "SPO2": None if spo2 is None else f"{spo2:03.0f}",
            "BPM": None if rate is None else f"{rate:03.0f}",
            "PI": None if index is None else f"{index:05.2f}",
        }

    def line(self, t_s: float) -> bytes:
        """The line of one second, with its end."""
        shown = self.shown(t_s)
        at = self.began_at + timedelta(seconds=t_s + self.patient.clock_offset_s(t_s))
        exceptions = SET_ACTIVE if self.patient.has_finger(t_s) else SENSOR_OFF
        head = f"{at:%m/%d/%y %H:%M:%S} SN={self.serial}"
        tail = f"ALARM=0000 EXC={exceptions:06X}"
        if self.model == "rad8":
            spo2, rate = shown["SPO2"] or "000", shown["BPM"] or "000"
            body = f"SPO2={spo2}% BPM={rate}% DESAT=-- PIDELTA=+--"
        else:
            spo2, rate, index = shown["SPO2"] or "---", shown["BPM"] or "---", shown["PI"] or "--.--"
            body = f"SPO2={spo2}% BPM={rate} PI={index}% SPCO=--% SPMET=--% DESAT=-- PIDELTA=+-- PVI=---"
        return f"{head} {body} {tail}\r\n".encode("ascii")
