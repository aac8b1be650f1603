"""A rack of B. Braun infusion pumps with its SpaceCom, on a serial line or TCP: BCC, the server's side.

Document: "Technical Interface Specification BCC" I0022_000030, version 4.0 (B): frame B 8-9, dialogue B 8-15, cyclic
mode B 46, information field B 10-11. What the pumps say is in `bbraun_pumps`.

Not told there, and so chosen here: a request with another bed id than the own is answered with GNERR 68, and so is one
that is not known; in cyclic mode each pump's package is one frame that ends with ETX; words of bits are decimal, or hex
where `hexadecimal`. What a host that is too quick meets is not told either: it is noted in `too_early`.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Protocol

from simulators import faults
from simulators.astm import pty_wire
from simulators.bbraun_pumps import PUMPS, TRIGGERS, Pump
from simulators.patient import Patient

SOH, STX, ETX, EOT, ACK, NAK, ETB = 0x01, 0x02, 0x03, 0x04, 0x06, 0x15, 0x17
RECORD_SEPARATOR = "\x1e"
SYSTEM = "50100"
DEFAULT_BED_ID = "1"
ADDRESS_SUFFIX = "/1/1>"
AROUND_BYTES = 14  # of a frame: all that is neither bed id, address nor information
NO_MORE_DATA, REMOVED, SYNTAX, BAD_ADDRESS = 11, 39, 68, 811
ACK_AFTER_S, NEXT_GET_AFTER_S = 0.1, 0.5
ROUNDING_S = 1e-6
TRIGGER_EVERY_S = 1.0
POLL_S = 0.01
FRAME_MAX_BYTES = 4096  # of a request; a longer one is none

_STUFFED = {ord("D"): b"EX", ord("E"): b"EE", ord("d"): b"ex", ord("e"): b"ee"}
_UNSTUFFED = {stuffed: bytes([plain]) for plain, stuffed in _STUFFED.items()}
_PAIR = re.compile(rb"EX|EE|ex|ee")


def frame(bed_id: str, information: str, *, is_last: bool = True) -> bytes:
    """A frame as its length and its sum see it, before the stuffing."""
    inner = f"{bed_id}{ADDRESS_SUFFIX}{information}".encode()
    summed = b"\x01%05d\x02" % (len(inner) + AROUND_BYTES) + inner + bytes([ETX if is_last else ETB])
    return summed + b"%05d" % (sum(summed) % 256) + bytes([EOT])


def stuffed(data: bytes) -> bytes:
    """Each D, E, d and e is two bytes on the wire."""
    return b"".join(_STUFFED.get(byte, bytes([byte])) for byte in data)


def unstuffed(data: bytes) -> bytes:
    """From left to right in one pass."""
    return _PAIR.sub(lambda pair: _UNSTUFFED[pair.group()], data)


def quadruple(time_s: int, address: str, parameter: str, value: str) -> str:
    """One value of the information field."""
    return f"{time_s},{address},{parameter},{value}"


def request_of(data: bytes) -> tuple[str, str] | None:
    """Bed id and command of an unstuffed frame; None where its length, its sum or its form is wrong."""
    match = re.fullmatch(rb"\x01(\d{5})\x02([/-9A-z]{1,15})/1/1>([^\x03]*)\x03(\d{5})\x04", data)
    if match is None or int(match[1]) != len(data) or int(match[4]) != sum(data[:-6]) % 256:
        return None
    return match[2].decode("ascii"), match[3].decode("utf-8", "replace")


@dataclass
class SpaceCom:
    """The server: pure, all times are seconds since it was switched on.

    `newer`: the 3.3x set of parameters, else 3.2x. `cyclic_s`: it speaks by itself this often. A patient whose finger
    is off the sensor loses the last pump too.
    """

    patient: Patient
    pumps: Sequence[Pump] = PUMPS
    bed_id: str = "ICU7"
    version: str = "V3.36"
    newer: bool = True
    is_stuffed: bool = True
    hexadecimal: bool = False
    cyclic_s: float | None = None
    began_at: datetime = datetime(2026, 9, 21, 14, 13, 20, tzinfo=UTC)
    too_early: list[str] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)  # all that was asked
    _heard: bytearray = field(default_factory=bytearray)
    _out: bytearray = field(default_factory=bytearray)
    _blocks: list[str] = field(default_factory=list)  # of the answer, those still to be sent
    _last: bytes = b""
    _last_s: float = -ACK_AFTER_S
    _done_s: float = -NEXT_GET_AFTER_S
    _known: set[str] = field(default_factory=set)  # pumps whose GNNEW was sent
    _waits_for_ack: bool = False
    _period_s: float = 0.0
    _checked_s: float = 0.0
    _queue: list[Pump] = field(default_factory=list)
    _triggers: dict[str, dict[str, str]] = field(default_factory=dict)

    # --- hearing ------------------------------------------------------------------------------------------------------

    def connected(self) -> None:
        """The port was opened anew: nothing of the answer before is left."""
        self._heard.clear()
        self._out.clear()
        self._blocks.clear()
        self._waits_for_ack = False

    def hear(self, data: bytes, t_s: float) -> None:
        """Bytes of the host."""
        for byte in data:
            if not self._heard and byte == ACK:
                self._acked(t_s)
            elif not self._heard and byte == NAK:
                self._emit(self._last, t_s)
            elif byte == SOH or self._heard:
                self._heard.append(byte)
                if byte == EOT or len(self._heard) > FRAME_MAX_BYTES:
                    self._take_frame(bytes(self._heard), t_s)
                    self._heard.clear()

    def _acked(self, t_s: float) -> None:
        if t_s - self._last_s < ACK_AFTER_S - ROUNDING_S:
            self.too_early.append(f"ACK after {t_s - self._last_s:.3f} s")
        self._waits_for_ack = False
        if self._blocks:
            self._send_block(t_s)

    def _take_frame(self, data: bytes, t_s: float) -> None:
        request = request_of(unstuffed(data) if self.is_stuffed else data)
        self._blocks.clear()
        bed_id, command = request or ("", "")
        self.commands.append(command)
        if command == "ADMIN:ALIVE" and bed_id in (DEFAULT_BED_ID, self.bed_id):
            self._answer([quadruple(int(t_s), SYSTEM, "GNACK", "0")], t_s)
        elif request is None or bed_id != self.bed_id:
            self._answer([_error(t_s, SYSTEM, SYNTAX)], t_s)
        elif command == "ADMIN:VERSION":
            self._answer([f"{int(t_s)},{SYSTEM},{self.version}"], t_s)
        elif command == "MEM:GET":
            if t_s - self._done_s < NEXT_GET_AFTER_S - ROUNDING_S:
                self.too_early.append(f"MEM:GET after {t_s - self._done_s:.3f} s")
            self._answer(self._of_all(t_s), t_s)
        elif slot := re.fullmatch(r"MEM:GETSLOT#([1-3][1-9A-O])", command):
            self._answer(self._of_slot(f"501{slot[1]}", t_s), t_s)
        elif command.startswith("MEM:GETSLOT"):
            self._answer([_error(t_s, SYSTEM, BAD_ADDRESS)], t_s)
        else:
            self._answer([_error(t_s, SYSTEM, SYNTAX)], t_s)

    # --- speaking -----------------------------------------------------------------------------------------------------

    def speak(self, t_s: float) -> bytes:
        """What is due by now."""
        if self.cyclic_s is not None:
            self._run_cycle(t_s, self.cyclic_s)
        data = bytes(self._out)
        self._out.clear()
        return b"" if self.patient.is_silent(t_s) else data

    def _answer(self, blocks: list[str], t_s: float) -> None:
        self._blocks = blocks
        self._send_block(t_s)

    def _send_block(self, t_s: float) -> None:
        block = self._blocks.pop(0)
        sent = frame(self.bed_id, block, is_last=not self._blocks)
        self._emit(stuffed(sent) if self.is_stuffed else sent, t_s)
        if not self._blocks:
            self._done_s = t_s

    def _emit(self, data: bytes, t_s: float) -> None:
        self._last, self._last_s = data, t_s
        self._out += data

    def _run_cycle(self, t_s: float, period_s: float) -> None:
        """All pumps each period; each second those whose triggers have changed. Nothing without the host's ACK."""
        if t_s >= self._period_s:
            self._period_s = t_s + period_s
            self._queue = list(self._present(t_s))
        if t_s - self._checked_s >= TRIGGER_EVERY_S:
            self._checked_s = t_s
            changed = [pump for pump in self._present(t_s) if self._has_changed(pump, t_s)]
            self._queue = changed + [pump for pump in self._queue if pump not in changed]
        if self._queue and not self._waits_for_ack:
            pump = self._queue.pop(0)
            self._waits_for_ack = True
            self._answer([RECORD_SEPARATOR.join(self._values(pump, t_s))], t_s)

    def _has_changed(self, pump: Pump, t_s: float) -> bool:
        values = self._parameters(pump, t_s)
        triggers = {name: value for name, value in values.items() if name in TRIGGERS}
        before = self._triggers.get(pump.address)
        self._triggers[pump.address] = triggers
        return before is not None and before != triggers

    # --- the pumps ----------------------------------------------------------------------------------------------------

    def _present(self, t_s: float) -> Sequence[Pump]:
        return self.pumps if self.patient.has_finger(t_s) else self.pumps[:-1]

    def _of_all(self, t_s: float) -> list[str]:
        present = self._present(t_s)
        blocks = [self._values(pump, t_s) for pump in present]
        gone = self._known - {pump.address for pump in present}
        self._known -= gone
        blocks += [[_error(t_s, address, REMOVED)] for address in sorted(gone)]
        if not blocks:
            return [_error(t_s, SYSTEM, NO_MORE_DATA)]
        blocks[0] = [*self._general(t_s), *blocks[0]]
        return [RECORD_SEPARATOR.join(block) for block in blocks]

    def _of_slot(self, address: str, t_s: float) -> list[str]:
        for pump in self._present(t_s):
            if pump.address == address:
                return [RECORD_SEPARATOR.join(self._values(pump, t_s))]
        return [_error(t_s, address, REMOVED)]

    def _general(self, t_s: float) -> list[str]:
        pillars = {pump.address[3] for pump in self._present(t_s)}
        values = {"FMNOR": f"{len(pillars)}", "FMSTAT": "00051", "FMDONGLE": "T", "FMBANY": "_NV"}
        if self.newer:
            values |= {"COMSERIALNO": "10287", "COMSWVERSION": "012G000007"}
        return [quadruple(int(t_s), SYSTEM, name, value) for name, value in values.items()]

    def _values(self, pump: Pump, t_s: float) -> list[str]:
        is_new = pump.address not in self._known
        self._known.add(pump.address)
        values = {"GNNEW" if is_new else "GNMODEL": f"{pump.model}\r"} | self._parameters(pump, t_s)
        return [quadruple(int(t_s), pump.address, name, value) for name, value in values.items()]

    def _parameters(self, pump: Pump, t_s: float) -> dict[str, str]:
        state = pump.state(t_s)
        if not self.newer:
            return state.older()
        clock = self.began_at + timedelta(seconds=t_s + self.patient.clock_offset_s(t_s))
        return state.newer(clock, hexadecimal=self.hexadecimal)


def _error(t_s: float, address: str, number: int) -> str:
    return quadruple(int(t_s), address, "GNERR", f"{number}")


# --- faults -----------------------------------------------------------------------------------------------------------


def bad_checksum(data: bytes, rng: Random) -> bytes:
    """The last digit of the sum is another."""
    at = data.rfind(bytes([EOT])) - 1
    if at < 0:
        return faults.bad_checksum(data, rng)
    return data[:at] + bytes([rng.choice([digit for digit in b"0123456789" if digit != data[at]])]) + data[at + 1 :]


FAULTS: Mapping[str, Callable[[bytes, Random], bytes]] = {
    **faults.FAULTS, "bad_checksum": bad_checksum, "silent": faults.silent,
}  # fmt: skip


class Spoiler(faults.Spoiler):
    """With the faults of this format."""

    known = FAULTS


# --- the line ---------------------------------------------------------------------------------------------------------


class Wire(Protocol):
    """A serial line or a connection."""

    async def read(self) -> bytes:
        """What came, at least a byte; EOFError at the end."""
        ...

    async def write(self, data: bytes) -> None:
        """Send it."""
        ...


class _TcpWire:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def read(self) -> bytes:
        data = await self._reader.read(1024)
        if not data:
            raise EOFError
        return data

    async def write(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()


async def converse(device: SpaceCom, wire: Wire, spoiler: Spoiler, stop: asyncio.Event, begin: float) -> None:
    """Until `stop`, or until the other side hangs up (EOFError, OSError); `begin`: when it was switched on."""
    while not stop.is_set():
        try:
            async with asyncio.timeout(POLL_S):
                heard = await wire.read()
        except TimeoutError:
            heard = b""
        now_s = time.monotonic() - begin
        device.hear(heard, now_s)
        sent = spoiler.sent(device.speak(now_s))
        if sent:
            await wire.write(sent)


def rack(patient: Patient, *, newer: bool = True) -> SpaceCom:
    """A SpaceCom that was just switched on; its clock is this machine's."""
    return SpaceCom(patient, newer=newer, began_at=datetime.now().astimezone().replace(microsecond=0))


async def run(link: Path, patient: Patient, stop: asyncio.Event) -> None:
    """At a pseudo-terminal of this name, until `stop`."""
    async with pty_wire(link) as wire:
        await converse(rack(patient), wire, Spoiler(), stop, time.monotonic())


async def serve(device: SpaceCom, host: str, port: int, spoiler: Spoiler, stop: asyncio.Event,
                listens: Callable[[int], None] = lambda port: None) -> None:  # fmt: skip
    """On TCP until `stop`; `listens` is told the port (`port` 0: a free one)."""
    begin = time.monotonic()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        device.connected()
        try:
            await converse(device, _TcpWire(reader, writer), spoiler, stop, begin)
        except (EOFError, OSError):
            pass  # the host hung up; it may come again
        finally:
            writer.close()

    async with await asyncio.start_server(accept, host, port) as server:
        listens(server.sockets[0].getsockname()[1])
        await stop.wait()
