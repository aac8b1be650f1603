"""A Masimo oximeter on its serial port: ASCII 1, a line a second.

Rad-87 manual 7-4 (9600 baud, 8N1, no handshake), the line as mdpnp's reader describes it, bits of EXC as the Rad-8
manual 4-24 has them for its trends. Not known, and so left out: bits of ALARM (a test may set any, they mean nothing
here), bits of EXC above 800, ASCII 2.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from simulators.patient import Patient
from simulators.sensor import Sensor, Span, conditions_at, sensor_at

BEGAN_AT = datetime(2026, 3, 9, 14, 5, 9, tzinfo=UTC)  # what its clock says; no zone is ever sent
# rad87: no rainbow parameter licensed. rainbow: all of them, and keys of later models. rad8: zeros for no reading.
MODELS = ("rad87", "rad8", "rainbow")
EXCEPTIONS = {
    "no sensor": 0x001,
    "defective sensor": 0x002,
    "low perfusion": 0x004,
    "pulse search": 0x008,
    "interference": 0x010,
    "sensor off": 0x020,
    "ambient light": 0x040,
    "unrecognised sensor": 0x080,
    "low signal IQ": 0x400,
}
SET_ACTIVE = 0x800  # as usual, no exception
WITHOUT_READING = frozenset(("no sensor", "defective sensor", "pulse search", "sensor off", "unrecognised sensor"))
# Of each key: how it is written, and how where there is none.
_WRITTEN = {
    "SPO2": ("{:03.0f}%", "---%"),
    "BPM": ("{:03.0f}", "---"),
    "PI": ("{:05.2f}%", "--.--%"),
    "SPCO": ("{:02.0f}%", "--%"),
    "SPMET": ("{:02.0f}%", "--%"),
    "DESAT": ("{:02.0f}", "--"),
    "PIDELTA": ("{:+03.0f}", "+--"),
    "PVI": ("{:03.0f}", "---"),
    "SPHB": ("{:04.1f}", "--.-"),
    "SPOC": ("{:03.0f}", "---"),
}
_KEYS = {
    "rad87": ("SPO2", "BPM", "PI", "SPCO", "SPMET", "DESAT", "PIDELTA", "PVI"),
    "rad8": ("SPO2", "BPM", "PI", "DESAT", "PIDELTA"),
    "rainbow": tuple(_WRITTEN),
}
_ZERO_OF_RAD8 = ("SPO2", "BPM")


class Oximeter:
    """One device: pure, of seconds since it was switched on. `script` has conditions of EXCEPTIONS."""

    def __init__(
        self,
        patient: Patient,
        model: str = "rad87",
        began_at: datetime = BEGAN_AT,
        script: Sequence[Span] = (),
        alarm_bits: int = 0,
    ) -> None:
        if model not in MODELS:
            raise ValueError(f"no model {model!r}: one of {', '.join(MODELS)}")
        self.patient, self.model, self.began_at = patient, model, began_at
        self._script, self._alarm_bits = script, alarm_bits

    def exceptions(self, t_s: float) -> frozenset[str]:
        """Names of the bits of EXC that are set."""
        own = {Sensor.OFF: ["sensor off"], Sensor.SEARCHING: ["pulse search"], Sensor.MEASURING: []}
        return frozenset((*own[sensor_at(self.patient, t_s)], *conditions_at(self._script, t_s)))

    def shown(self, t_s: float) -> dict[str, str | None]:
        """The value of each key as an exact number, None where there is none."""
        numbers = self.patient.numbers(t_s)
        has_reading = not self.exceptions(t_s) & WITHOUT_READING
        values = {"SPO2": numbers["spo2"], "BPM": numbers["pr"], "PI": numbers["pi"]}
        if self.model == "rainbow":
            seed = self.patient.seed
            values |= {"SPCO": seed % 5, "SPMET": 1, "DESAT": 0, "PIDELTA": -seed % 7 - 3, "PVI": 8 + seed % 12}
            values |= {"SPHB": 11.5 + seed % 40 / 10, "SPOC": 17}
        found: dict[str, str | None] = {}
        for key in _KEYS[self.model]:
            value = values.get(key)
            pattern = _WRITTEN[key][0].replace("%", "")
            found[key] = pattern.format(value) if has_reading and value is not None else None
        return found

    def line(self, t_s: float) -> bytes:
        """The line of one second."""
        exceptions = self.exceptions(t_s)
        exc = sum(EXCEPTIONS[name] for name in exceptions)
        if not exceptions & WITHOUT_READING:
            exc |= SET_ACTIVE
        at = self.began_at + timedelta(seconds=t_s + self.patient.clock_offset_s(t_s))
        words = [f"{at:%m/%d/%y %H:%M:%S} SN={self.patient.seed % 10**10:010}"]
        words += [f"{key}={self._field(key, text)}" for key, text in self.shown(t_s).items()]
        words.append(f"ALARM={self._alarm_bits:04X} EXC={exc:06X}")
        return (" ".join(words) + "\r\n").encode("ascii")

    def _field(self, key: str, text: str | None) -> str:
        pattern, none = _WRITTEN[key]
        if text is not None:
            return text + ("%" if pattern.endswith("%") else "")
        if self.model == "rad8" and key in _ZERO_OF_RAD8:
            return pattern.format(0)
        return none
