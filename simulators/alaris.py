r"""An Alaris or Asena syringe pump (GH, CC, TIVA) on its serial port, which answers queries and obeys nothing.

Documents: infupy, `infupy/backends/alaris.py`, and the mdpnp project, `demo-devices` alaris/Asena.java and `demo-apps`
SingleSimAlaris.java: 38400 8N1; `!`, fields joined by `^`, `|`, four digits of CRC-16/CCITT-FALSE over what stands
between, CR; ESC aborts a frame. A query is a command's name alone; the reply repeats it. Nothing is sent unasked.

Not told there: how a pump answers what it cannot take, so it is silent and counts it; the words of alarms other than
AL_NOALM and of modes other than SET, so `alarm` is what the caller gives; what COMMS_PROTOCOL answers, so the text is
chosen here. A command that would start, stop, clear, bolus, configure or set is refused in the same way.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from simulators import faults
from simulators.astm import PtyWire, pty_wire, turns
from simulators.infusion import Infusion
from simulators.patient import Patient

START, END, CRC_MARK, SEPARATOR, ESC = b"!", b"\r", b"|", b"^", b"\x1b"
CONTROL = frozenset(
    ("REMOTE_CTRL", "REMOTE_CFG", "REMQUERY", "INF_START", "INF_STOP", "INF_BOLUS", "INF_VI_CLEAR")
)  # with or without arguments
NO_ALARM = "AL_NOALM"
FRAME_BYTES_MAX = 256
SYRINGE = ("BD PLASTIPAK", "50", "CONF")
RATE_MAX_ML_H, VOLUME_TO_BE_INFUSED_ML = 1200.0, 50.0
RESPONSE_MAX_MS = 4000
PROTOCOL = "1"
POLL_S = 0.01


def crc(data: bytes) -> bytes:
    """CRC-16/CCITT-FALSE as four digits: polynomial 1021, begun with FFFF, nothing reflected or inverted."""
    value = 0xFFFF
    for byte in data:
        value ^= byte << 8
        for _ in range(8):
            value = (value << 1 ^ 0x1021 if value & 0x8000 else value << 1) & 0xFFFF
    return b"%04X" % value


def framed(*fields: str) -> bytes:
    """A frame with its start, CRC and end."""
    text = "^".join(fields).encode("ascii")
    return START + text + CRC_MARK + crc(text) + END


def bad_crc(frame: bytes, rng: Random) -> bytes:
    """The last digit is another."""
    wrong = rng.choice([digit for digit in b"0123456789ABCDEF" if digit != frame[-2]])
    return frame[:-2] + bytes([wrong]) + frame[-1:]


def no_end(frame: bytes, rng: Random) -> bytes:
    """Without its CR, as SingleSimAlaris.java answers ALARM."""
    return frame[:-1]


FAULTS: dict[str, Callable[[bytes, Random], bytes]] = {**faults.FAULTS, "bad_checksum": bad_crc, "no_end": no_end}


@dataclass
class SyringePump:
    """From the host's bytes and a time to the pump's answer.

    `control_commands` counts by name what was asked that changes an infusion, `unanswered` what else it could not take
    ("crc", "too-long", "unknown"). `alarm` is the word that it reports, "" for none.
    """

    infusion: Infusion
    alarm: str = ""
    is_silent: Callable[[float], bool] = lambda t_s: False
    control_commands: Counter[str] = field(default_factory=Counter)
    unanswered: Counter[str] = field(default_factory=Counter)
    _text: bytearray | None = None  # since the last start; None outside a frame
    log_number: int = 0  # of the last INF reply

    @property
    def serial_number(self) -> str:
        """As INST_SERIALNO and INF tell it."""
        return f"8002-{self.infusion.seed % 100_000:05}"

    def heard(self, data: bytes, now_s: float) -> bytes:
        """What it answers to these bytes."""
        answer = b""
        for byte in data:
            answer += self._take(bytes((byte,)), now_s)
        return answer

    def _take(self, byte: bytes, now_s: float) -> bytes:
        if byte == START:
            self._text = bytearray()
        elif byte == ESC:
            self._text = None
        elif self._text is not None and byte != END:
            self._text += byte
            if len(self._text) > FRAME_BYTES_MAX:
                self.unanswered["too-long"] += 1
                self._text = None
        elif self._text is not None:
            text, self._text = bytes(self._text), None
            return self._answer(text, now_s)
        return b""

    def _answer(self, text: bytes, now_s: float) -> bytes:
        body, _, sent_crc = text.partition(CRC_MARK)
        if sent_crc != crc(body):
            self.unanswered["crc"] += 1
            return b""
        name, *arguments = body.decode("latin-1").split("^")
        if name in CONTROL or arguments:  # INF_RATE and INF_VTBI with an argument set it
            self.control_commands[name] += 1
            return b""
        values = self._values(name, now_s)
        if values is None:
            self.unanswered["unknown"] += 1
            return b""
        return b"" if self.is_silent(now_s) else framed(name, *values)

    def _values(self, name: str, t_s: float) -> tuple[str, ...] | None:
        """The fields of the reply; None where it knows no such query."""
        if name == "INF":
            self.log_number += 1
            return self._infusion_values(t_s)
        answers: dict[str, tuple[str, ...]] = {
            "INF_RATE": (self._rate(t_s), "ml/h"),
            "INF_VI": (f"{self.infusion.volume_ml(t_s):.3f}", "ml"),
            "INF_VTBI": (f"{VOLUME_TO_BE_INFUSED_ML:.1f}", "ml"),
            "INF_RATE_MAX_SYRINGE": (f"{RATE_MAX_ML_H:.1f}", "ml/h"),
            "ALARM": (self.alarm or NO_ALARM, " ", " "),
            "SYRINGE_STATUS": SYRINGE,
            "INST_SERIALNO": (self.serial_number,),
            "COMMS_RESPONSE_MAX": (str(RESPONSE_MAX_MS), "ms"),
            "COMMS_PROTOCOL": (PROTOCOL,),
        }
        return answers.get(name)

    def _rate(self, t_s: float) -> str:
        return f"{self.infusion.rate_ml_h(t_s):.2f}"

    def _infusion_values(self, t_s: float) -> tuple[str, ...]:
        return (
            self.serial_number, self.alarm or "-", "SET", self._rate(t_s), "ml/h", "",
            f"{self.infusion.volume_ml(t_s):.3f}", "ml", f"{self.infusion.pressure_mmhg(t_s):.1f}", "mmHg",
            self._time_left(t_s), "EVENT", str(self.log_number),
        )  # fmt: skip

    def _time_left(self, t_s: float) -> str:
        """Hours and minutes until the volume is infused; "24+" over a day."""
        left_ml, rate_ml_h = VOLUME_TO_BE_INFUSED_ML - self.infusion.volume_ml(t_s), self.infusion.rate_ml_h(t_s)
        if left_ml <= 0:
            return "0:00"
        minutes = round(left_ml / rate_ml_h * 60) if rate_ml_h else 24 * 60
        return "24+" if minutes >= 24 * 60 else f"{minutes // 60}:{minutes % 60:02}"


class Spoiler(faults.Spoiler):
    """With the faults of this format."""

    known = FAULTS


async def speak(pump: SyringePump, wire: PtyWire, spoiler: Spoiler, stop: asyncio.Event) -> None:
    """Answer on this line until `stop`."""
    async for data, now_s in turns(wire, POLL_S, stop):
        answer = pump.heard(data, now_s)
        if answer:
            await wire.write(spoiler.sent(answer))


async def run(link: Path, patient: Patient, stop: asyncio.Event) -> None:
    """A pump at a pseudo-terminal of this name, until `stop`."""
    async with pty_wire(link) as wire:
        pump = SyringePump(Infusion(patient.seed, is_ever_occluded=False), is_silent=patient.is_silent)
        await speak(pump, wire, Spoiler(), stop)
