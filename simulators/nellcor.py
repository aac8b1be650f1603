"""Nellcor pulse oximeters on a pseudo-terminal: the rows of an N-595, and the packets of an N-200.

- Rows ("Data Port Protocol", NPB-290/295 and N-395 manuals): one each 2 s, a heading of three lines first and then
  every 25 rows; status SO sensor off, SL saturation below its limit, PS pulse search. The columns are those of rows
  that were recorded of an N-560.
- N-200 (manual, pages 52 and 56): every 10 s and on change. What T, Q and the check byte are is told nowhere: T and Q
  are 0 here, and the check byte is any.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import Random

from simulators.patient import Patient

ROW_S, ROWS_OF_HEADING = 2.0, 25
SPO2_LOW, RATE_LOW, RATE_HIGH = 90, 50, 120
MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
SEARCH_S = 4.0  # after the finger is back
N200_S = 10.0
LOCKED, ATTACHED, AUDIO_ON, WITHOUT_ECG = 0x01, 0x02, 0x04, 0x08
HIGH_RATE, LOW_RATE, LOW_SATURATION = 0x01, 0x02, 0x04
MODEL = "N-595    VERSION 1.56.00    CRC:XXXX"


def is_searching(patient: Patient, t_s: float) -> bool:
    """Whether the finger is back and no pulse is found yet."""
    return patient.has_finger(t_s) and not patient.has_finger(t_s - SEARCH_S)


def shown(patient: Patient, t_s: float) -> dict[str, int | None]:
    """What the display says; None for dashes."""
    found = patient.numbers(t_s)
    has_pulse = patient.has_finger(t_s) and not is_searching(patient, t_s)
    spo2, rate, index = found["spo2"], found["pr"], found["pi"]
    if not has_pulse or spo2 is None or rate is None or index is None:
        return {"spo2": None, "rate": None, "amplitude": None}
    return {"spo2": round(spo2), "rate": round(rate), "amplitude": round(20 * index)}


@dataclass(frozen=True)
class N595:
    """An oximeter of rows; `began_at` is its clock at the patient's beginning, of which it sends no zone."""

    patient: Patient
    began_at: datetime = datetime(2026, 3, 9, 14, 5, 9, tzinfo=UTC)

    def heading(self) -> bytes:
        """Model and limits, modes, names of the columns."""
        limits = f"{MODEL}  SpO2 Limit: {SPO2_LOW}-100%    PR Limit: {RATE_LOW}-{RATE_HIGH}BPM"
        modes = f"{'':29}ADULT            0SAT-S   SPO2 RESP MODE: NORMAL"
        columns = "TIME                 %SpO2   BPM     PA     Status"
        return "".join(f"{line}\r\n" for line in (limits, modes, columns)).encode("ascii")

    def row(self, number: int) -> bytes:
        """Row `number`, with the heading before it where one is due."""
        t_s = number * ROW_S
        at = self.began_at + timedelta(seconds=t_s + self.patient.clock_offset_s(t_s))
        found = shown(self.patient, t_s)
        codes = self._codes(t_s, found["spo2"])
        is_zero = "PS" in codes
        spo2 = "0" if is_zero else "---" if found["spo2"] is None else str(found["spo2"])
        rate = "0" if is_zero else "---" if found["rate"] is None else str(found["rate"])
        amplitude = "---" if found["amplitude"] is None else str(found["amplitude"])
        star = "*" if "SL" in codes else " "
        time = f"{at:%d}-{MONTHS[at.month - 1]}-{at:%y} {at:%H:%M:%S}"
        line = f"{time} {spo2:>5}{star} {rate:>6}  {amplitude:>6}    {' '.join(codes):17}\r\n"
        heading = self.heading() if number % ROWS_OF_HEADING == 0 else b""
        return heading + line.encode("ascii")

    def _codes(self, t_s: float, spo2: int | None) -> list[str]:
        if not self.patient.has_finger(t_s):
            return ["SO"]
        if is_searching(self.patient, t_s):
            return ["PS"]
        return ["SL"] if spo2 is not None and spo2 < SPO2_LOW else []


@dataclass(frozen=True)
class N200:
    """An N-200; `is_up` is its rear switch 2."""

    patient: Patient
    is_up: bool = True

    def state(self, t_s: float) -> tuple[int, int]:
        """Alarms and status, whose change is sent at once."""
        found = shown(self.patient, t_s)
        spo2, rate = found["spo2"], found["rate"]
        alarms = LOW_SATURATION if spo2 is not None and spo2 < SPO2_LOW else 0
        alarms |= HIGH_RATE if rate is not None and rate > RATE_HIGH else 0
        alarms |= LOW_RATE if rate is not None and rate < RATE_LOW else 0
        status = AUDIO_ON | WITHOUT_ECG | (LOCKED if spo2 is not None else 0)
        return alarms, status | (ATTACHED if self.patient.has_finger(t_s) else 0)

    def packet(self, t_s: float) -> bytes:
        """What it sends at this moment."""
        found = shown(self.patient, t_s)
        alarms, status = self.state(t_s)
        numbers = (
            ("R", found["rate"] or 0), ("S", found["spo2"] or 0), ("P", found["amplitude"] or 0), ("L", RATE_LOW),
            ("H", RATE_HIGH), ("O", SPO2_LOW), ("A", alarms), ("M", status),
        )  # fmt: skip
        text = "".join(f"{letter}{number:03}" for letter, number in numbers) + "T000000Q000"
        check = Random(f"{self.patient.seed}.{t_s}").randrange(256)
        return b"\x02" + text.encode("ascii") + b"\r\n" + (b"\x03" if self.is_up else b"") + bytes([check, 0x03])
