"""Nellcor oximeters on their serial ports: the N-595 family's rows for people, and the N-200's packets.

- N-595, N-395, N-295, N-290: service manuals NPB-290/295/395, "Data Port Protocol": 9600 baud, 8N1, XON/XOFF; a row
  each 2 s, a heading every 25 rows and when a value of it has changed. How wide its columns are is not certain.
- N-200: its manual, pages 52 and 56: `02 R… Q… 0D 0A CHK 03`, with a further 03 before CHK where the switch is up. How
  CHK is computed and what T and Q mean is not known: T and Q are zeros, CHK is any byte, 03 too. How often the other
  form comes is not known either: here as often. Trends and events are left out: their bytes are not known.

What is typed at an N-595 opens its menu: nothing is known of that, so whatever comes is kept in `typed`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random
from typing import NamedTuple

from simulators.patient import Patient
from simulators.sensor import Sensor, Span, conditions_at, sensor_at

BEGAN_AT = datetime(2026, 3, 9, 14, 5, 9, tzinfo=UTC)  # what its clock says; no zone is ever sent
ROW_S = 2.0
HEADING_EVERY = 25
XON, XOFF = 0x11, 0x13
MODELS = ("N-595", "N-395", "NPB-295", "NPB-290")
CODES = ("AO", "AS", "BU", "LB", "LM", "LP", "MO", "PH", "PL", "PS", "SH", "SL", "SD", "SO")
# Without a pulse the last numbers may stand there; without a sensor there are dashes.
STALE_CODES, DASH_CODES = frozenset(("LP",)), frozenset(("SO", "SD", "PS"))
_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_STARRED = {"spo2": ("SL", "SH"), "rate": ("PL", "PH")}
N200_EVERY_S = 10.0


class Limits(NamedTuple):
    """Alarm limits: % and 1/min."""

    spo2_low: int = 90
    spo2_high: int = 100
    rate_low: int = 50
    rate_high: int = 120


def shown(patient: Patient, t_s: float) -> dict[str, int | None]:
    """SpO2, pulse rate and amplitude as both devices show them; None without a pulse."""
    numbers = patient.numbers(t_s)
    found: dict[str, int | None] = {}
    for name, value in (("spo2", numbers["spo2"]), ("rate", numbers["pr"]), ("amplitude", numbers["pi"])):
        measured = sensor_at(patient, t_s) is Sensor.MEASURING and value is not None
        found[name] = round((value or 0.0) * (20 if name == "amplitude" else 1)) if measured else None
    return found


@dataclass
class N595:
    """One device of the family. `script` has conditions of CODES; `limits_from` limits from a row on."""

    patient: Patient
    model: str = "N-595"
    began_at: datetime = BEGAN_AT
    script: Sequence[Span] = ()
    limits_from: dict[int, Limits] = field(default_factory=dict)
    is_neonatal: bool = False
    typed: bytes = b""
    is_paused: bool = False

    def __post_init__(self) -> None:
        if self.model not in MODELS:
            raise ValueError(f"no model {self.model!r}: one of {', '.join(MODELS)}")

    def limits(self, number: int) -> Limits:
        """Those of a row."""
        since = [row for row in self.limits_from if row <= number]
        return self.limits_from[max(since)] if since else Limits()

    def codes(self, number: int) -> list[str]:
        """The status of a row."""
        t_s = number * ROW_S
        limits, values = self.limits(number), shown(self.patient, t_s)
        found = []
        sensor = sensor_at(self.patient, t_s)
        if sensor is not Sensor.MEASURING:
            found.append("SO" if sensor is Sensor.OFF else "PS")
        scripted = conditions_at(self.script, t_s)
        if not DASH_CODES.intersection((*found, *scripted)):
            spo2, rate = values["spo2"], values["rate"]
            if spo2 is not None and not limits.spo2_low <= spo2 <= limits.spo2_high:
                found.append("SL" if spo2 < limits.spo2_low else "SH")
            if rate is not None and not limits.rate_low <= rate <= limits.rate_high:
                found.append("PL" if rate < limits.rate_low else "PH")
        return found + [code for code in scripted if code not in found]

    def shown(self, number: int) -> dict[str, int | None]:
        """What a reader takes from a row: None where its status says that numbers are nothing."""
        values = shown(self.patient, number * ROW_S)
        if (STALE_CODES | DASH_CODES).intersection(self.codes(number)):
            return dict.fromkeys(values)
        return values

    def heading(self, number: int) -> bytes:
        """The heading that stands before a row."""
        limits = self.limits(number)
        lines = [
            f"{self.model}    VERSION 1.56.00.02    CRC:5A3C  SpO2 Limit: {limits.spo2_low}-{limits.spo2_high}%"
            f"    PR Limit: {limits.rate_low}-{limits.rate_high}BPM"
        ]
        if self.model == "N-595":
            lines.append(f"{'NEO' if self.is_neonatal else 'ADULT'}    0SAT-S    SPO2 RESP MODE: NORMAL")
        lines.append("TIME               %SpO2  BPM   PA   Status")
        return "".join(f"{line}\r\n" for line in lines).encode("ascii")

    def line(self, number: int) -> bytes:
        """A row by itself."""
        values, codes, t_s = shown(self.patient, number * ROW_S), self.codes(number), number * ROW_S
        if DASH_CODES.intersection(codes):
            values = dict.fromkeys(values)
        texts = {name: "---" if value is None else str(value) for name, value in values.items()}
        stars = {name: "*" if set(codes) & set(of) else " " for name, of in _STARRED.items()}
        at = self.began_at + timedelta(seconds=t_s + self.patient.clock_offset_s(t_s))
        return row_text(at, texts, stars, codes)

    def row(self, number: int) -> bytes:
        """A row, with the heading where one is due."""
        is_due = number % HEADING_EVERY == 0 or self.limits(number) != self.limits(number - 1)
        return (self.heading(number) if is_due else b"") + self.line(number)

    def hear(self, data: bytes) -> None:
        """What the host sends: XOFF stops the rows, XON lets them go on."""
        for byte in data:
            if byte in (XON, XOFF):
                self.is_paused = byte == XOFF
            else:
                self.typed += bytes([byte])


def row_text(at: datetime, texts: dict[str, str], stars: dict[str, str], codes: Sequence[str]) -> bytes:
    """A row of these columns."""
    spo2, rate = (f"{texts[name]:>3}{stars[name]}" for name in ("spo2", "rate"))
    stamp = f"{at:%d}-{_MONTHS[at.month - 1]}-{at:%y %H:%M:%S}"
    words = f"{stamp}  {spo2}  {rate}  {texts['amplitude']:>3}   {' '.join(codes)}"
    return words.rstrip().encode("ascii") + b"\r\n"


@dataclass
class N200:
    """One N-200. `limits_from` has limits from a second on; `is_up` is the rear switch of section 2."""

    patient: Patient
    is_up: bool = True
    limits_from: dict[float, Limits] = field(default_factory=dict)
    has_audio: bool = True

    def limits(self, t_s: float) -> Limits:
        """Those at a time."""
        since = [second for second in self.limits_from if second <= t_s]
        return self.limits_from[max(since)] if since else Limits()

    def alarms(self, t_s: float) -> int:
        """The bits of A: 0 high rate, 1 low rate, 2 low saturation, 3 high saturation."""
        limits, values = self.limits(t_s), shown(self.patient, t_s)
        spo2, rate = values["spo2"], values["rate"]
        if spo2 is None or rate is None:
            return 0
        return (
            (rate > limits.rate_high)
            | (rate < limits.rate_low) << 1
            | (spo2 < limits.spo2_low) << 2
            | (spo2 > limits.spo2_high) << 3
        )

    def modes(self, t_s: float) -> int:
        """The bits of M: 0 pulse locked, 1 sensor attached, 2 audio on, 3 ECG not in use."""
        sensor = sensor_at(self.patient, t_s)
        return (sensor is Sensor.MEASURING) | (sensor is not Sensor.OFF) << 1 | self.has_audio << 2 | 1 << 3

    def packet(self, t_s: float) -> bytes:
        """The packet of a time."""
        values, limits = shown(self.patient, t_s), self.limits(t_s)
        fields = (
            f"R{values['rate'] or 0:03}S{values['spo2'] or 0:03}P{values['amplitude'] or 0:03}"
            f"L{limits.rate_low:03}H{limits.rate_high:03}O{limits.spo2_low:03}"
            f"A{self.alarms(t_s):03}M{self.modes(t_s):03}T000000Q000"
        )
        rng = Random(f"{self.patient.seed}.{t_s}")
        chk = 0x03 if rng.random() < 0.2 else rng.randrange(256)
        end = bytes((0x03, chk, 0x03) if self.is_up else (chk, 0x03))
        return b"\x02" + fields.encode("ascii") + b"\r\n" + end

    def packets(self) -> Iterator[tuple[float, bytes]]:
        """Every packet with its time in s: each 10 s, and in the second of a change of alarm, mode or limit."""
        before: tuple[object, ...] = ()
        second = 0.0
        while True:
            now = self.alarms(second), self.modes(second), self.limits(second)
            if second % N200_EVERY_S == 0 or now != before:
                yield second, self.packet(second)
            before = now
            second += 1.0
