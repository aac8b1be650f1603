"""The MEDIBUS dialogue of Dräger's ventilators and anaesthesia machines.

"RS 232 MEDIBUS Protocol Definition", revision 4.03, 9028258 (P), "MEDIBUS for Intensive Care Devices", 9028329 (I).

    both       ICC, repeated after 3 s of silence, or 10 s where bytes came; an ICC or its answer is the link (P5)
    device     asks who we are, and gets an identification with number 0161: then it asks for no data (P34)
    we         one request at a time; a NOP when nothing was sent for 2 s; ICC again after 3 s without a byte (P24)

A command may stand inside a response, a real-time byte (80 to FF) inside anything; each frame has its own bytes alone
(P37). A piece is a response with data, or a second of real-time bytes from a sync byte on. Real-time bytes are no sign
of life (P16). DC1 asks for silence until DC3, at most 3 s; CAN ends what is being transmitted (P6).

Nothing is sent that is not in `REQUESTS`; 4A (which data a response has) is not sent, for the default serves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from adapters.formats import medibus_frames as medibus
from adapters.formats.medibus_frames import Curve
from adapters.quality import Request
from adapters.session import Moment, Outcome, Piece, Step
from schemas.errors import FrameError

SILENCE_S, NOISE_S, ANSWER_S, IDLE_S = 3.0, 10.0, 10.0, 2.0
SUSPENDED_S, ENABLE_EVERY_S = 3.0, 3.0
REPEATS_MAX = 3
SETTINGS_EVERY_S, LIMITS_EVERY_S, TIME_EVERY_S = 5.0, 15.0, 60.0
EMPTY_FACTOR = 4  # what has always been empty is asked for so much less often
NOISE_BYTES_MAX = 1024
DC1, DC3, CAN = 0x11, 0x13, 0x18
IDENTITY = b"0161'VITALWIRE'01.00:04.03"
_P = "RS 232 MEDIBUS Protocol Definition 4.03, page"

REQUESTS: tuple[Request, ...] = (
    Request("measured data, code page 1", b"\x24", f"{_P} 8"),
    Request("low alarm limits, code page 1", b"\x25", f"{_P} 8"),
    Request("high alarm limits, code page 1", b"\x26", f"{_P} 8"),
    Request("alarms, code page 1", b"\x27", f"{_P} 8"),
    Request("date and time", b"\x28", f"{_P} 8"),
    Request("device settings", b"\x29", f"{_P} 8"),
    Request("text messages", b"\x2a", f"{_P} 8"),
    Request("measured data, code page 2", b"\x2b", f"{_P} 8"),
    Request("low alarm limits, code page 2", b"\x2c", f"{_P} 8"),
    Request("high alarm limits, code page 2", b"\x2d", f"{_P} 8"),
    Request("alarms, code page 2", b"\x2e", f"{_P} 8"),
    Request("no operation", b"\x30", f"{_P} 24: keeps the link alive"),
    Request("initialize communication", b"\x51", f"{_P} 5: of the link alone"),
    Request("device identification", b"\x52", f"{_P} 8"),
    Request("offered real-time curves", b"\x53", f"{_P} 18"),
    Request("configure real-time curves", b"\x54", f"{_P} 18: of the link alone"),
    Request("enable real-time curves", b"\xd0\xc1", f"{_P} 20: of the link alone"),
    Request("keys that are active, and kind of patient", b"\x6a", "MEDIBUS for Intensive Care Devices, page 13"),
    Request("our identification, asked for", b"\x01\x52", f"{_P} 34"),
)

_WITH_DATA = frozenset({
    medibus.DATA_1, medibus.LOW_1, medibus.HIGH_1, medibus.ALARMS_1, medibus.TIME, medibus.SETTINGS, medibus.TEXTS,
    medibus.DATA_2, medibus.LOW_2, medibus.HIGH_2, medibus.ALARMS_2, medibus.IDENTIFICATION, medibus.CURVES,
    medibus.DEVICE_SPECIFIC,
})  # fmt: skip
# Whose answers to 6A are told: Evita 2, Evita, Evita 2 dura, Evita 4, Savina, EvitaXL.
_WITH_KEYS = frozenset({b"8200", b"8210", b"8230", b"8240", b"8250", b"8260"})
# What rarely changes, and is asked for less often while the device has none of it.
_MAY_BE_RARE = frozenset({
    medibus.LOW_1, medibus.HIGH_1, medibus.TIME, medibus.SETTINGS, medibus.TEXTS, medibus.DATA_2, medibus.LOW_2,
    medibus.HIGH_2,
})  # fmt: skip


class _Query(NamedTuple):
    """What is asked for."""

    code: int
    argument: bytes = b""


@dataclass
class _Pending:
    """A request that waits for its answer."""

    query: _Query
    sent_at_s: float
    repeats: int = 0


class MedibusSession:
    """Asks for everything in turn; `curves` are the codes of the real-time curves that are wanted."""

    def __init__(
        self, curves: Sequence[str] = (), *, curve_interval_us: int = 16_000, poll_s: float = 1.0, curves_max: int = 12
    ) -> None:
        self._wanted, self._curve_interval_us, self._curves_max = tuple(curves), curve_interval_us, curves_max
        self._period_s = _periods(poll_s)
        self._open: list[bytearray] = []  # frames that are not complete; the last is inside the one before
        self._noise = bytearray()
        self._stream = bytearray()  # real-time bytes from a sync byte on
        self._stream_records = 0
        self._curves: tuple[Curve, ...] = ()
        self._is_streaming = False
        self._enabled_at_s = 0.0
        self._is_linked = False
        self._pending: _Pending | None = None
        self._due_s: dict[_Query, float] = {}
        self._had_data: set[int] = set()
        self._icc_at_s = self._heard_at_s = self._sent_at_s = self._now_s = 0.0
        self._has_heard = False  # a byte since the last ICC
        self._suspended_at_s: float | None = None
        self._unsent = bytearray()  # while suspended
        self._pieces: list[Piece] = []
        self._send = bytearray()
        self._counts: list[str] = []

    def opened(self, now: Moment) -> Step:
        """Ask for the link."""
        self._now_s = self._heard_at_s = now.steady_s
        self._initialize()
        return self._step()

    def feed(self, data: bytes, now: Moment) -> Step:
        """The responses and real-time records that are whole with these bytes, and what they let us ask next."""
        self._now_s = now.steady_s
        for byte in data:
            if byte >= medibus.HALF_VALUE:
                self._take_real_time(byte)
            else:
                self._heard_at_s, self._has_heard = self._now_s, True
                self._take_slow(byte)
        return self._step()

    def tick(self, now: Moment) -> Step:
        """Something was not answered, or is due."""
        self._now_s = now.steady_s
        if self._suspended_at_s is not None:
            if self._now_s >= self._suspended_at_s + SUSPENDED_S:
                self._counts.append("not-resumed")
                self._initialize()
        elif not self._is_linked:
            if self._now_s >= self._link_due_s:
                self._initialize()
        elif self._now_s >= self._heard_at_s + SILENCE_S:
            self._counts.append("silent")
            self._initialize()
        else:
            if self._pending is not None and self._now_s >= self._pending.sent_at_s + ANSWER_S:
                self._counts.append("no-answer")
                self._repeat()
            self._go_on()
        return self._step()

    def kept(self, token: int, outcome: Outcome, reason: str, now: Moment) -> Step:
        """No frame is answered."""
        return self._step()

    def closed(self, orderly: bool, now: Moment) -> Step:
        """What was left; the next connection begins anew."""
        self._break_off()
        self._is_linked, self._pending, self._suspended_at_s = False, None, None
        self._due_s.clear()
        self._unsent.clear()
        self._send.clear()
        return Step(self._taken_pieces(), phase="closed")

    # --- bytes --------------------------------------------------------------------------------------------------------

    def _take_slow(self, byte: int) -> None:
        if byte == DC1:
            self._suspended_at_s = self._now_s
        elif byte == DC3:
            self._resume()
        elif byte == CAN:
            self._break_off_frames("cut-off")
            self._counts.append("cancelled")
            self._repeat()
        elif byte in (medibus.ESC, medibus.SOH):
            self._begin(byte)
        elif not self._open:
            self._take_noise(byte)
        else:
            frame = self._open[-1]
            frame.append(byte)
            if byte == medibus.CR:
                self._open.pop()
                self._take_frame(bytes(frame))
            elif len(frame) >= medibus.FRAME_BYTES_MAX:
                self._break_off_frames("too-long")

    def _begin(self, byte: int) -> None:
        """A frame begins: a command may stand inside of a response, nothing else inside of anything."""
        self._end_noise()
        while self._open and not (byte == medibus.ESC and self._open[-1][0] == medibus.SOH):
            self._pieces.append(Piece(bytes(self._open.pop()), "framing"))
        self._open.append(bytearray((byte,)))

    def _take_frame(self, frame: bytes) -> None:
        problem = medibus.frame_problem(frame)
        if problem:
            self._pieces.append(Piece(frame, problem))
            if frame[0] == medibus.SOH:
                self._repeat()
            elif problem == "checksum":
                self._write(medibus.response(medibus.NAK))
        elif frame[0] == medibus.ESC:
            self._take_command(frame[1])
        else:
            self._take_response(frame)

    def _take_command(self, code: int) -> None:
        """The device asks: what it asks of us is answered with an echo, but for who we are."""
        if code == medibus.ICC:
            self._write(medibus.response(code))
            self._link()
        elif code == medibus.IDENTIFICATION:
            self._write(medibus.response(code, IDENTITY))
        else:
            self._write(medibus.response(code))
            if code == medibus.TIME_CHANGED:
                self._due_s[_Query(medibus.TIME)] = self._now_s
            elif code == medibus.CURVES_CHANGED:
                self._stop_curves()
                self._due_s[_Query(medibus.CURVES)] = self._now_s
        self._go_on()

    def _take_response(self, frame: bytes) -> None:
        code, data = medibus.read_response(frame)
        if code in _WITH_DATA:
            self._pieces.append(Piece(frame))
        if code == medibus.ICC and not self._is_linked:
            self._link()
        pending = self._pending
        if code == medibus.NAK:
            self._counts.append("refused")
            self._repeat()
        elif pending is not None and pending.query.code == code:
            self._pending = None
            self._answered(pending.query, data)
        elif code not in (medibus.ICC, medibus.NOP):
            self._counts.append("answer-not-asked")
        self._go_on()

    def _take_real_time(self, byte: int) -> None:
        """A real-time byte; those that nobody asked for are noise."""
        if not self._is_streaming or not (self._stream or byte & 0xF0 == medibus.SYNC):
            self._take_noise(byte)
            return
        if byte & 0xF0 == medibus.SYNC:
            if self._stream_records == medibus.records_a_second(self._curves):
                self._end_stream()
            self._stream_records += 1
        self._stream.append(byte)
        if len(self._stream) >= medibus.FRAME_BYTES_MAX:
            self._end_stream()

    def _end_stream(self) -> None:
        if self._stream:
            self._pieces.append(Piece(bytes(self._stream)))
        self._stream.clear()
        self._stream_records = 0

    def _take_noise(self, byte: int) -> None:
        self._noise.append(byte)
        if len(self._noise) >= NOISE_BYTES_MAX:
            self._end_noise()

    def _end_noise(self) -> None:
        if self._noise:
            self._pieces.append(Piece(bytes(self._noise), "framing"))
        self._noise.clear()

    def _break_off_frames(self, reason: str) -> None:
        self._end_noise()
        while self._open:
            self._pieces.append(Piece(bytes(self._open.pop()), reason))

    def _break_off(self) -> None:
        self._break_off_frames("cut-off")
        self._end_stream()
        self._curves, self._is_streaming = (), False

    # --- dialogue -----------------------------------------------------------------------------------------------------

    @property
    def _link_due_s(self) -> float:
        return self._icc_at_s + (NOISE_S if self._has_heard else SILENCE_S)

    def _initialize(self) -> None:
        """From the start: what was configured on the other side is forgotten there (P5)."""
        self._break_off()
        self._is_linked, self._has_heard, self._pending, self._suspended_at_s = False, False, None, None
        self._due_s.clear()
        self._unsent.clear()
        self._icc_at_s = self._now_s
        self._write(medibus.command(medibus.ICC))

    def _link(self) -> None:
        """The link stands: who is there?"""
        self._end_stream()
        self._curves, self._is_streaming = (), False
        self._is_linked, self._pending = True, None
        self._had_data.clear()
        self._due_s = {_Query(medibus.IDENTIFICATION): self._now_s}

    def _answered(self, query: _Query, data: bytes) -> None:
        code = query.code
        if code == medibus.IDENTIFICATION:
            self._due_s = {each: self._now_s for each in self._period_s if each.code != medibus.DEVICE_SPECIFIC}
            if data[:4] in _WITH_KEYS:
                self._due_s |= dict.fromkeys(_DEVICE_SPECIFIC, self._now_s)
            if self._wanted:
                self._due_s[_Query(medibus.CURVES)] = self._now_s
        elif code == medibus.CURVES:
            self._configure(data)
        elif code == medibus.CONFIGURE_CURVES:
            self._is_streaming = True
            self._enable_curves()
        elif query in self._period_s:
            if data:
                self._had_data.add(code)
            is_rare = code in _MAY_BE_RARE and code not in self._had_data
            self._due_s[query] = self._now_s + self._period_s[query] * (EMPTY_FACTOR if is_rare else 1)

    def _configure(self, data: bytes) -> None:
        try:
            offered = medibus.offered_curves(data)
        except FrameError:  # the driver reads it too, and says so
            offered = []
        self._curves = medibus.chosen_curves(offered, self._wanted, self._curve_interval_us, self._curves_max)
        if self._curves:
            self._request(_Query(medibus.CONFIGURE_CURVES, medibus.configuration(self._curves)))

    def _enable_curves(self) -> None:
        self._enabled_at_s = self._now_s
        self._write(medibus.enabling(len(self._curves), len(self._curves)))

    def _stop_curves(self) -> None:
        """Before they are configured anew they are disabled."""
        if self._is_streaming:
            self._write(medibus.enabling(0, len(self._curves)))
        self._end_stream()
        self._curves, self._is_streaming = (), False

    def _request(self, query: _Query) -> None:
        self._pending = _Pending(query, self._now_s)
        self._write(medibus.command(query.code, query.argument))

    def _repeat(self) -> None:
        """The request again, at most three times; then the link anew."""
        pending = self._pending
        if pending is None:
            return
        if pending.repeats == REPEATS_MAX:
            self._initialize()
            return
        pending.repeats += 1
        pending.sent_at_s = self._now_s
        self._write(medibus.command(pending.query.code, pending.query.argument))

    def _go_on(self) -> None:
        """Send what is due, one request at a time."""
        if not self._is_linked or self._suspended_at_s is not None:
            return
        if self._is_streaming and self._now_s >= self._enabled_at_s + ENABLE_EVERY_S:
            self._enable_curves()  # nothing acknowledges it (P20)
        if self._pending is not None:
            return
        due = [query for query, due_s in self._due_s.items() if due_s <= self._now_s]
        if due:
            query = min(due, key=lambda each: self._due_s[each])
            if query not in self._period_s:
                del self._due_s[query]
            self._request(query)
        elif self._now_s >= self._sent_at_s + IDLE_S:
            self._request(_Query(medibus.NOP))

    def _resume(self) -> None:
        if self._suspended_at_s is not None:
            self._suspended_at_s = None
            unsent = bytes(self._unsent)
            self._unsent.clear()
            if unsent:
                self._write(unsent)
            self._go_on()

    def _write(self, data: bytes) -> None:
        if self._suspended_at_s is not None:
            self._unsent += data
        else:
            self._send += data
        self._sent_at_s = self._now_s

    def _wake_at_s(self) -> float:
        if self._suspended_at_s is not None:
            return self._suspended_at_s + SUSPENDED_S
        if not self._is_linked:
            return self._link_due_s
        times_s = [self._heard_at_s + SILENCE_S]
        if self._pending is not None:
            times_s.append(self._pending.sent_at_s + ANSWER_S)
        else:
            times_s += [self._sent_at_s + IDLE_S, *self._due_s.values()]
        if self._is_streaming:
            times_s.append(self._enabled_at_s + ENABLE_EVERY_S)
        return min(times_s)

    def _taken_pieces(self) -> tuple[Piece, ...]:
        pieces = tuple(self._pieces)
        self._pieces.clear()
        return pieces

    def _step(self) -> Step:
        phase = "suspended" if self._suspended_at_s is not None else "polling" if self._is_linked else "initializing"
        step = Step(self._taken_pieces(), bytes(self._send), self._wake_at_s(), phase, counts=tuple(self._counts))
        self._send.clear()
        self._counts.clear()
        return step


_DEVICE_SPECIFIC = (_Query(medibus.DEVICE_SPECIFIC, medibus.KEYS), _Query(medibus.DEVICE_SPECIFIC, medibus.PATIENT))


def _periods(poll_s: float) -> dict[_Query, float]:
    """How often each is asked for, in the order in which they are when all are due."""
    by_code = {
        medibus.ALARMS_1: poll_s, medibus.ALARMS_2: poll_s, medibus.DATA_1: poll_s, medibus.DATA_2: poll_s,
        medibus.LOW_1: LIMITS_EVERY_S, medibus.HIGH_1: LIMITS_EVERY_S, medibus.LOW_2: LIMITS_EVERY_S,
        medibus.HIGH_2: LIMITS_EVERY_S, medibus.SETTINGS: SETTINGS_EVERY_S, medibus.TEXTS: SETTINGS_EVERY_S,
        medibus.TIME: TIME_EVERY_S,
    }  # fmt: skip
    periods = {_Query(code): period_s for code, period_s in by_code.items()}
    return periods | dict.fromkeys(_DEVICE_SPECIFIC, SETTINGS_EVERY_S)
