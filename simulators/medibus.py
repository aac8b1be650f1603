"""A Dräger ventilator or anaesthesia machine on its serial port, as a host sees it: MEDIBUS.

Documents: "RS 232 MEDIBUS Protocol Definition" 9028258, revision 4.03 (P): dialogue and time-outs P 5, 24-27, 34-37.
"MEDIBUS for Intensive Care Devices" 9028329 (I): commands I 26, 38, device specific I 13-14, 35-36. Frames and fields
are in `medibus_frames`, real-time data in `medibus_curves`, what the devices say in `medibus_values`.

Not told there, and so chosen here: requests are answered from the moment on at which the link stands, identified or
not; after STOP nothing is sent until an ICC comes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import TypeVar

from simulators import faults
from simulators.astm import PtyWire, pty_wire, turns
from simulators.medibus_curves import Realtime
from simulators.medibus_frames import (
    ABORT,
    ALARMS,
    CLOCK_CHANGED,
    CONFIGURE,
    CONFIGURE_CURVES,
    CR,
    CURVES_CHANGED,
    DATA,
    DATA_2,
    ESC,
    ICC,
    IDENTIFY,
    LOW,
    NAK,
    NOP,
    RESUME,
    SETTINGS,
    SOH,
    STOP,
    SUSPEND,
    TEXTS,
    Frames,
    alarm_text,
    checksum,
    clock_text,
    command,
    curve_field,
    response,
    text_field,
)
from simulators.medibus_values import EVITA_XL, MODELS, Datum, Model, Setting, Values, filled, measured
from simulators.patient import Patient

HOST = b"0161"  # the ID number of a PC
ICC_EVERY_S, ICC_EVERY_WITH_BYTES_S = 3.0, 10.0
ANSWER_S, REPEATS_MAX = 10.0, 3
SILENCE_S, NOP_AFTER_S = 3.0, 2.0
SUSPENDED_MAX_S = 3.0
CONFIGURABLE_AFTER_S = 0.2  # from the answer to the ID request on
WOVEN_BYTES = 7  # of a frame, between two records of real-time data
SOFTWARE = "02.00"
POLL_S = 0.01


Listed = TypeVar("Listed", Datum, Setting)


@dataclass
class _Sent:
    """A command of the device that waits for its answer."""

    code: int
    at_s: float
    repeats: int = 0


@dataclass
class Ventilator:
    """One device: pure, all times are seconds since it was switched on.

    `began_at` is its clock then; it sends no zone. `answer_s` is how long it thinks. `embeds`: the ID request stands in
    the answer to ICC. `weaves`: real-time data come in the middle of frames.
    """

    patient: Patient
    model: Model = EVITA_XL
    began_at: datetime = datetime(2026, 9, 21, 14, 13, 20, tzinfo=UTC)
    answer_s: float = 0.0
    embeds: bool = False
    weaves: bool = True
    _frames: Frames = field(default_factory=Frames)
    _slow: bytearray = field(default_factory=bytearray)
    _is_linked: bool = False
    _is_stopped: bool = False
    _icc_s: float = -ICC_EVERY_S
    _heard_s: float = 0.0
    _has_bytes: bool = False  # since the last ICC
    _active_s: float = 0.0
    _waits: _Sent | None = None
    _answer: tuple[float, bytes] | None = None
    _identified_s: float | None = None
    _suspended_s: float | None = None
    _codes: dict[int, list[str]] = field(default_factory=dict)
    _clock_offset_s: float = 0.0

    def __post_init__(self) -> None:
        self.realtime = Realtime(self.patient, self.model.curves, tells_phases=self.model.tells_phases)

    # --- hearing ------------------------------------------------------------------------------------------------------

    def hear(self, data: bytes, t_s: float) -> None:
        """Bytes of the host: slow ones and real-time ones by bit 7."""
        for byte in data:
            if byte & 0x80:
                self.realtime.take_sync(byte)
            elif byte == SUSPEND:
                self._suspended_s = t_s
            elif byte == RESUME:
                self._resume(t_s)
            elif byte == ABORT:
                self._slow.clear()
                self._answer = None
            else:
                self._heard_s, self._has_bytes = t_s, True
                frame = self._frames.take(byte)
                if frame is not None and len(frame) >= 4:
                    self._take_frame(frame, t_s)

    def _resume(self, t_s: float) -> None:
        suspended_s, self._suspended_s = self._suspended_s, None
        if suspended_s is not None and t_s - suspended_s > SUSPENDED_MAX_S:
            self._begin_anew(t_s)

    def _take_frame(self, frame: bytes, t_s: float) -> None:
        body, sent = frame[:-2], frame[-2:]
        is_right = checksum(body) == sent
        code, rest = body[1], body[2:]
        if body[0] == ESC and not is_right:
            self._say(response(NAK), t_s)
        elif body[0] == ESC:
            self._take_command(code, rest, t_s)
        elif is_right:
            self._take_response(code, rest, t_s)

    def _take_response(self, code: int, data: bytes, t_s: float) -> None:
        waits = self._waits
        if waits is None or waits.code != code:
            if waits is not None and self._is_linked:
                self._tell(waits.code, t_s, waits.repeats + 1)  # a wrong answer: again at once
            return
        if code == IDENTIFY and not data.startswith(HOST):
            return
        self._waits = None
        self._active_s = t_s
        if code == ICC:
            self._link(t_s)
        elif code == IDENTIFY:
            self._identified_s = t_s

    def _take_command(self, code: int, argument: bytes, t_s: float) -> None:
        if code == ICC:
            self._forget()
            if self.embeds:
                inner = command(IDENTIFY)
                self._slow += bytes([SOH, ICC]) + inner + checksum(bytes([SOH, ICC])) + bytes([CR])
                self._link(t_s)
                self._waits = _Sent(IDENTIFY, t_s)
            else:
                self._slow += response(ICC)
                self._link(t_s)
            self._active_s = t_s
            return
        if not self._is_linked:
            return
        if code == STOP:
            self._slow += response(STOP)
            self._forget()
            self._is_linked, self._is_stopped = False, True
            return
        if code == CONFIGURE:
            self._configure(argument, t_s)
        elif code == CONFIGURE_CURVES:
            self.realtime.configure(argument)
        self._say(response(code, self._data(code, argument, t_s)), t_s)

    def _say(self, answer: bytes, t_s: float) -> None:
        """A command before the answer to the one before cancels that."""
        self._answer = (t_s + self.answer_s, answer)
        if not self.answer_s:
            self._end_answer(t_s)

    def _end_answer(self, t_s: float) -> None:
        if self._answer is not None and t_s >= self._answer[0]:
            self._slow += self._answer[1]
            self._answer = None
            self._active_s = t_s

    # --- the link -----------------------------------------------------------------------------------------------------

    def speak(self, t_s: float) -> bytes:
        """What is due by now; nothing while the host has suspended it."""
        self._end_answer(t_s)
        if not self._is_linked and not self._is_stopped and t_s >= self._icc_due_s:
            self._ask_for_link(t_s)
        if self._is_linked:
            self._keep_link(t_s)
        records = self.realtime.records(t_s)
        if self.patient.is_silent(t_s):
            self._slow.clear()
            return b""
        return b"" if self._suspended_s is not None else self._woven(records)

    @property
    def _icc_due_s(self) -> float:
        return self._icc_s + (ICC_EVERY_WITH_BYTES_S if self._has_bytes else ICC_EVERY_S)

    def _ask_for_link(self, t_s: float) -> None:
        self._slow += command(ICC)
        self._waits = _Sent(ICC, t_s)
        self._icc_s = t_s
        self._has_bytes = False

    def _keep_link(self, t_s: float) -> None:
        waits = self._waits
        if t_s - self._heard_s > SILENCE_S:
            self._begin_anew(t_s)
        elif waits is not None and t_s - waits.at_s >= ANSWER_S:
            if waits.repeats >= REPEATS_MAX:
                self._begin_anew(t_s)
            else:
                self._tell(waits.code, t_s, waits.repeats + 1)
        elif waits is None and self._identified_s is None:
            self._tell(IDENTIFY, t_s)
        elif waits is None and t_s - max(self._active_s, self._heard_s) >= NOP_AFTER_S:
            self._tell(NOP, t_s)
        elif waits is None and self.model.tells_clock:
            self._tell_clock(t_s)

    def _tell_clock(self, t_s: float) -> None:
        offset_s = self.patient.clock_offset_s(t_s)
        if offset_s != self._clock_offset_s:
            self._clock_offset_s = offset_s
            self._tell(CLOCK_CHANGED, t_s)

    def change_curves(self, t_s: float) -> None:
        """The device's curves are others now: the host is told to ask for them again."""
        self.realtime.clear()
        self._tell(CURVES_CHANGED, t_s)

    def _tell(self, code: int, t_s: float, repeats: int = 0) -> None:
        if repeats > REPEATS_MAX:
            self._begin_anew(t_s)
            return
        self._slow += command(code)
        self._waits = _Sent(code, t_s, repeats)
        self._active_s = t_s

    def _link(self, t_s: float) -> None:
        self._is_linked, self._is_stopped = True, False
        self._waits = None
        self._heard_s = self._active_s = t_s

    def _begin_anew(self, t_s: float) -> None:
        """The link is broken: ICC."""
        self._forget()
        self._is_linked = False
        self._ask_for_link(t_s)

    def _forget(self) -> None:
        """ICC clears everything."""
        self._codes.clear()
        self.realtime.clear()
        self._waits = self._answer = self._identified_s = None

    # --- answers ------------------------------------------------------------------------------------------------------

    def _data(self, code: int, argument: bytes, t_s: float) -> bytes:
        """What follows the echo; nothing where the model does not answer this command."""
        if code not in self.model.answers:
            return b""
        values = measured(self.patient, t_s)
        match code:
            case 0x24 | 0x25 | 0x26:
                return b"".join(_datum(each, code, values) for each in self._asked(DATA, self.model.data))
            case 0x2B | 0x2C | 0x2D:
                return b"".join(_datum(each, code - 7, values) for each in self._asked(DATA_2, self.model.data_2))
            case 0x27 | 0x2E:
                make = self.model.alarms if code == ALARMS else self.model.alarms_2
                shown = make(self.patient, t_s)
                asked = self._codes.get(code)
                return b"".join(alarm_text(alarm) for alarm in shown if asked is None or alarm.code in asked)
            case 0x28:
                seconds = t_s + self.patient.clock_offset_s(t_s)
                return clock_text(self.began_at + timedelta(seconds=seconds))
            case 0x29:
                settings = self._asked(SETTINGS, self.model.settings)
                return b"".join((s.code + filled(s.mask, s.value, 5)).encode("ascii") for s in settings)
            case 0x2A:
                asked = self._codes.get(TEXTS)
                return b"".join(text_field(c, t) for c, t in self.model.texts if asked is None or c in asked)
            case 0x52:
                return f"{self.model.number}'{self.model.name}'{SOFTWARE}:{self.model.level}".encode("ascii")
            case 0x53:
                return b"".join(curve_field(curve) for curve in self.model.curves)
            case _:
                return _specific(argument)

    def _asked(self, kind: int, listed: tuple[Listed, ...]) -> list[Listed]:
        codes = self._codes.get(kind)
        return [each for each in listed if codes is None or each.code in codes]

    def _configure(self, argument: bytes, t_s: float) -> None:
        """Which codes an answer holds; dropped until the device has digested the host's identity."""
        if self._identified_s is None or t_s - self._identified_s < CONFIGURABLE_AFTER_S or not argument:
            return
        kind, codes = argument[0], argument[1:].decode("ascii", "replace")
        if codes:
            self._codes[kind] = [codes[at : at + 2] for at in range(0, len(codes), 2)]
        else:
            self._codes.pop(kind, None)

    def _woven(self, records: list[bytes]) -> bytes:
        """Frames and real-time data; where it weaves, a record stands within a frame."""
        slow, self._slow = bytes(self._slow), bytearray()
        if not self.weaves:
            return slow + b"".join(records)
        woven = bytearray()
        for place, record in enumerate(records):
            woven += slow[place * WOVEN_BYTES : (place + 1) * WOVEN_BYTES] + record
        return bytes(woven) + slow[len(records) * WOVEN_BYTES :]


def _datum(datum: Datum, code: int, values: Values) -> bytes:
    """A measured value or its limit; nothing where there is none, which is how none is said."""
    if code == DATA:
        value = values[datum.name]
        if value is None or not datum.least <= value < datum.below:
            return b""
    else:
        value = datum.low if code == LOW else datum.high
        if value is None:
            return b""
    return (datum.code + filled(datum.mask, value, 4)).encode("ascii")


def _specific(argument: bytes) -> bytes:
    """Device specific: no key is pressed, software, patient, port (I 13-14)."""
    answers = {b"2": b"2", b"3": b"3" + SOFTWARE.encode("ascii"), b"4": b"4Adult", b"5": b"50"}
    return answers.get(argument, b"")


# --- faults -----------------------------------------------------------------------------------------------------------


def bad_checksum(data: bytes, rng: Random) -> bytes:
    """The last digit of a sum is another; where no frame ends, the last byte is."""
    at = data.rfind(bytes([CR])) - 1
    if at < 0:
        return faults.bad_checksum(data, rng)
    wrong = rng.choice([digit for digit in b"0123456789ABCDEF" if digit != data[at]])
    return data[:at] + bytes([wrong]) + data[at + 1 :]


FAULTS: Mapping[str, Callable[[bytes, Random], bytes]] = {
    **faults.FAULTS, "bad_checksum": bad_checksum, "silent": faults.silent,
}  # fmt: skip


class Spoiler(faults.Spoiler):
    """With the faults of this format."""

    known = FAULTS


async def speak(device: Ventilator, wire: PtyWire, spoiler: Spoiler, stop: asyncio.Event) -> None:
    """Converse on this line until `stop`."""
    async for heard, now_s in turns(wire, POLL_S, stop):
        device.hear(heard, now_s)
        await wire.write(spoiler.sent(device.speak(now_s)))


async def run(link: Path, patient: Patient, stop: asyncio.Event, model: str = "evita_xl") -> None:
    """A device at a pseudo-terminal of this name, until `stop`; its clock is this machine's."""
    began_at = datetime.now().astimezone().replace(microsecond=0)
    async with pty_wire(link) as wire:
        await speak(Ventilator(patient, MODELS[model], began_at), wire, Spoiler(), stop)
