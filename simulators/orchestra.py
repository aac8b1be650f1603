"""A Fresenius Orchestra Base with Module DPS pumps, or one pump by itself, which answers reads and obeys nothing.

Document: infupy, `infupy/backends/fresenius.py`: 19200 7E1; STX, the address' digit (none at a pump by itself), body,
two digits of FF less the sum of address and body, ETX. Every good frame is acknowledged, a bad one answered with NAK
and one character; ENQ asks the host for a DC4. Replies are origin, status (C, I, E or M) and `;` before each field.

Not told there, and so chosen here: how often ENQ comes, the texts of LP and LN and that each is one field, four digits
for the base's values, 01 as the answer to what is refused, and one alarm bit. What an unanswered ENQ does is not told:
it is counted.
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

STX, ETX, ENQ, ACK, DC4, NAK = 0x02, 0x03, 0x05, 0x06, 0x14, 0x15
BASE, PLACES = "0", 5  # the base's address, and how many modules it holds
CONTROL = frozenset((
    "MO", "RZ", "OF", "SI", "EP", "AP", "EN", "DM", "AM", "PR", "PO", "PB", "PF", "PV", "RV", "PP", "PS",
))  # fmt: skip
BAD_CHARACTER, BAD_CHECKSUM, BAD_ADDRESS, TIMED_OUT, NOT_READY, BAD_LENGTH = b"124567"
UNKNOWN, SYNTAX, BASE_NOT_OPEN, NO_MODULE, MODULE_NOT_OPEN = "01", "04", "0D", "0E", "1E"
ANSWER_S, REPEATS_MAX = 1.0, 1
READY_AFTER_S = 1.0  # from the opening of the base on
ENQ_EVERY_S = 2.0
FRAME_BYTES_MAX = 128
OCCLUSION = 0x1
DEVICE_TYPE, DRUG = "DPS", "PROPOFOL"
POLL_S = 0.01


def checksum(data: bytes) -> bytes:
    """FF less the sum of address and body."""
    return b"%02X" % (0xFF - sum(data) % 256)


def framed(text: str) -> bytes:
    """Address and body between their frame's bytes."""
    data = text.encode("ascii")
    return bytes((STX,)) + data + checksum(data) + bytes((ETX,))


def bad_checksum(frame: bytes, rng: Random) -> bytes:
    """The last digit of a frame is another, also behind an ACK; what holds no frame stays."""
    at = frame.rfind(bytes((ETX,))) - 1
    if at < 0:
        return frame
    wrong = rng.choice([digit for digit in b"0123456789ABCDEF" if digit != frame[at]])
    return frame[:at] + bytes([wrong]) + frame[at + 1 :]


def half_frame(frame: bytes, rng: Random) -> bytes:
    """It breaks off; a control byte is lost."""
    return frame[: rng.randrange(1, len(frame))] if len(frame) > 1 else b""


FAULTS: dict[str, Callable[[bytes, Random], bytes]] = {
    **faults.FAULTS, "bad_checksum": bad_checksum, "half_frame": half_frame,
}  # fmt: skip


@dataclass
class Pump:
    """One module's state: is its session open, and which of its values are reported as they change."""

    infusion: Infusion
    is_open: bool = False
    reported: str = ""  # ids of DE
    last: dict[str, str] = field(default_factory=dict)  # of the reported values
    drug: str = DRUG
    alarm_bits: int = OCCLUSION
    bolus_ml_h: float = 0.0
    bolus_ml: float = 0.0

    def value(self, name: str, t_s: float) -> str | None:
        """A variable's digits; None where there is no such one."""
        values = {
            "d": f"{round(self.infusion.rate_ml_h(t_s) * 10):04X}",
            "r": f"{round(self.infusion.volume_ml(t_s) * 1000):08X}",
            "k": f"{round(self.bolus_ml_h * 10):04X}",
            "s": f"{round(self.bolus_ml * 1000):08X}",
            "m": "0000",
            "a": f"{self.alarm_bits if self.infusion.is_occluded(t_s) else 0:04X}",
            "e": "0000",
        }
        return values.get(name)


@dataclass
class _Sent:
    """A frame that waits for its ACK."""

    frame: bytes
    at_s: float
    repeats: int = 0


@dataclass
class Rack:
    """From the host's bytes and times to what the rack sends; `modules` by their address, "" a pump by itself.

    `control_commands` counts by name what was asked that changes an infusion or the rack. `confirmed` counts the events
    that the host confirmed, by origin; `enquiries` the ENQ sent, `kept_alive` the DC4 that came.
    """

    modules: dict[str, Pump]
    serial_number: int = 0
    is_silent: Callable[[float], bool] = lambda t_s: False
    control_commands: Counter[str] = field(default_factory=Counter)
    confirmed: Counter[str] = field(default_factory=Counter)
    enquiries: int = 0
    kept_alive: int = 0
    unconfirmed: int = 0  # frames that were given up after their repeat
    base_open_at_s: float | None = None
    _frame: bytearray | None = None
    _frame_at_s: float = 0.0
    _is_nak_code_next: bool = False
    _sent: list[_Sent] = field(default_factory=list)  # the first waits for its ACK, the others for the first
    _enq_at_s: float | None = None

    @property
    def has_base(self) -> bool:
        """Whether frames have an address."""
        return "" not in self.modules

    def heard(self, data: bytes, now_s: float) -> bytes:
        """Take the host's bytes; gives what is sent at once."""
        answer = b"".join(self._take(byte, now_s) for byte in data)
        return b"" if self.is_silent(now_s) else answer

    def speak(self, now_s: float) -> list[bytes]:
        """What is due by the clock: repeats, ENQ, events."""
        out: list[bytes] = []
        if self._frame is not None and now_s - self._frame_at_s >= ANSWER_S:
            self._frame = None
            out.append(bytes((NAK, TIMED_OUT)))
        if self._sent and now_s - self._sent[0].at_s >= ANSWER_S:
            out.append(self._repeat(now_s))
        is_open = self.base_open_at_s is not None or any(pump.is_open for pump in self.modules.values())
        if is_open and (self._enq_at_s is None or now_s - self._enq_at_s >= ENQ_EVERY_S):
            self._enq_at_s = now_s
            self.enquiries += 1
            out.append(bytes((ENQ,)))
        for address, pump in self.modules.items():
            out.append(self._event(address, pump, now_s))
        return [] if self.is_silent(now_s) else [each for each in out if each]

    # --- bytes --------------------------------------------------------------------------------------------------------

    def _take(self, byte: int, now_s: float) -> bytes:
        if self._is_nak_code_next:
            self._is_nak_code_next = False
            return self._repeat(now_s)
        if byte == STX:
            self._frame, self._frame_at_s = bytearray(), now_s
        elif self._frame is not None and byte == ETX:
            frame, self._frame = bytes(self._frame), None
            return self._read(frame, now_s)
        elif byte == ACK:
            return self._next(now_s)
        elif byte == NAK:
            self._is_nak_code_next = True
        elif byte == DC4:
            self.kept_alive += 1
        elif self._frame is not None:
            self._frame.append(byte)
            if len(self._frame) > FRAME_BYTES_MAX:
                self._frame = None
                return bytes((NAK, BAD_LENGTH))
        return b""

    def _read(self, frame: bytes, now_s: float) -> bytes:
        """One character tells what is wrong with a frame; a good one is acknowledged, and answered."""
        data, sent_checksum = frame[:-2], frame[-2:]
        if not data or sent_checksum != checksum(data):
            return bytes((NAK, BAD_CHECKSUM))
        if not (data.isascii() and data.decode("ascii").isprintable()):
            return bytes((NAK, BAD_CHARACTER))
        text = data.decode("ascii")
        address = text[0] if self.has_base else ""
        if self.has_base and not (address.isdigit() and int(address) <= PLACES):
            return bytes((NAK, BAD_ADDRESS))
        body = text[len(address) :]
        if body in ("E", "M"):
            self.confirmed[address] += 1
            return bytes((ACK,))
        if len(body) < 2:
            return bytes((NAK, BAD_LENGTH))
        opened_s = self.base_open_at_s
        if address not in ("", BASE) and opened_s is not None and now_s - opened_s < READY_AFTER_S:
            return bytes((NAK, NOT_READY))
        return bytes((ACK,)) + self._queue(f"{address}{self._answer(address, body, now_s)}", now_s)

    def _queue(self, text: str, now_s: float) -> bytes:
        """Send it, or let it wait until the frame before it is acknowledged."""
        self._sent.append(_Sent(framed(text), now_s))
        return self._sent[0].frame if len(self._sent) == 1 else b""

    def _next(self, now_s: float) -> bytes:
        """The host has the first; give the next."""
        self._sent = self._sent[1:]
        if not self._sent:
            return b""
        self._sent[0].at_s = now_s
        return self._sent[0].frame

    def _repeat(self, now_s: float) -> bytes:
        """Once more, or given up."""
        if not self._sent:
            return b""
        if self._sent[0].repeats >= REPEATS_MAX:
            self.unconfirmed += 1
            return self._next(now_s)
        self._sent[0].repeats += 1
        self._sent[0].at_s = now_s
        return self._sent[0].frame

    # --- commands -----------------------------------------------------------------------------------------------------

    def _answer(self, address: str, body: str, now_s: float) -> str:
        command, *arguments = body.split(";")
        if command in CONTROL:
            self.control_commands[command] += 1
            return f"I;{UNKNOWN}"
        if address == BASE and self.has_base:
            return self._base(command, "".join(arguments), now_s)
        if self.has_base and self.base_open_at_s is None:
            return f"I;{BASE_NOT_OPEN}"
        if address not in self.modules:
            return f"I;{NO_MODULE}"
        return self._module(self.modules[address], command, "".join(arguments), now_s)

    def _base(self, command: str, ids: str, now_s: float) -> str:
        if command == "DC":
            self.base_open_at_s = now_s
            return "C"
        if self.base_open_at_s is None:
            return f"I;{BASE_NOT_OPEN}"
        if command == "FC":
            self.base_open_at_s = None
            for pump in self.modules.values():
                pump.is_open = False
            return "C"
        places = sum(1 << int(address) - 1 for address in self.modules)
        return _values(ids, {"i": f"{self.serial_number:04X}", "b": f"{places:04X}"}.get) if command == "LE" else (
            f"I;{UNKNOWN}"
        )  # fmt: skip

    def _module(self, pump: Pump, command: str, ids: str, now_s: float) -> str:
        if command == "DC":
            pump.is_open = True
            return "C"
        if not pump.is_open:
            return f"I;{MODULE_NOT_OPEN}"
        if command == "FC":
            pump.is_open, pump.reported = False, ""
            return "C"
        if command in ("DE", "AE"):
            return self._set_reported(pump, ids if command == "DE" else "", now_s)
        if command == "LE":
            return _values(ids, lambda name: pump.value(name, now_s))
        if command == "LF":
            return _values(ids, {"b": DEVICE_TYPE}.get)
        if command == "LM":  # no id of an adjustable value is told
            return f"I;{SYNTAX}"
        texts = {"LP": pump.drug, "LN": f"{pump.infusion.seed:08}"}
        return f"C;{texts[command]}" if command in texts else f"I;{UNKNOWN}"

    @staticmethod
    def _set_reported(pump: Pump, ids: str, now_s: float) -> str:
        values = {name: pump.value(name, now_s) for name in ids}
        if None in values.values():
            return f"I;{SYNTAX}"
        pump.reported = ids
        pump.last = {name: value for name, value in values.items() if value is not None}
        return "C"

    def _event(self, address: str, pump: Pump, now_s: float) -> bytes:
        """What has changed of what is reported; the next waits until this one is acknowledged."""
        if not pump.is_open or not pump.reported or self._sent:
            return b""
        now = {name: pump.value(name, now_s) or "" for name in pump.reported}
        changed = "".join(f";{name}{value}" for name, value in now.items() if pump.last[name] != value)
        pump.last = now
        return self._queue(f"{address}E{changed}", now_s) if changed else b""


def _values(ids: str, value: Callable[[str], str | None]) -> str:
    """The reply to a read: each id with its value; an id that is unknown refuses all."""
    found = {name: value(name) for name in ids}
    if not found or None in found.values():
        return f"I;{SYNTAX}"
    return "C" + "".join(f";{name}{digits}" for name, digits in found.items())


class Spoiler(faults.Spoiler):
    """With the faults of this format."""

    known = FAULTS


async def speak(rack: Rack, wire: PtyWire, spoiler: Spoiler, stop: asyncio.Event) -> None:
    """Answer on this line until `stop`."""
    async for data, now_s in turns(wire, POLL_S, stop):
        answer = rack.heard(data, now_s)
        for each in ([answer] if answer else []) + rack.speak(now_s):
            if sent := spoiler.sent(each):
                await wire.write(sent)


def filled(seed: int, count: int = 2, is_silent: Callable[[float], bool] = lambda t_s: False) -> Rack:
    """A base with this many pumps, each with an infusion of its own."""
    modules = {str(n): Pump(Infusion(seed * 10 + n)) for n in range(1, count + 1)}
    return Rack(modules, serial_number=seed % 0x10000, is_silent=is_silent)


async def run(link: Path, patient: Patient, stop: asyncio.Event) -> None:
    """A base with two pumps at a pseudo-terminal of this name, until `stop`."""
    async with pty_wire(link) as wire:
        await speak(filled(patient.seed, is_silent=patient.is_silent), wire, Spoiler(), stop)
