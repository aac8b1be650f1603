"""The dialogue with Fresenius' Orchestra Base and its modules, or a Module DPS alone, as infupy (fresenius.py) has it.

    we      DC to the base     1 s later LE: which modules    DC to each module    LE: its values, in turn
    they    ACK, C             ACK, C with bits               ACK, C               ACK, C with values

Every good frame of the other side is acknowledged; one whose check is wrong gets NAK 2. What it says by itself (E, M)
is answered with its status too. ENQ is answered with DC4. A command has 1 s and is repeated once; then the base is
connected to again, or the module is, as they are after the errors 0D and 1E. A link that ends is left with FC, for
whether a pump shows that it is connected is not told.

Not told, and so chosen: the base's bits of its modules are read with LE. Nothing is sent that is not in `REQUESTS`: no
mode, no programming, no start or stop.
"""

from __future__ import annotations

from dataclasses import dataclass

from adapters.formats import orchestra_frames as orchestra
from adapters.formats.orchestra_frames import BASE, Answer
from adapters.quality import Request
from adapters.session import Moment, Outcome, Piece, Step
from schemas.errors import FrameError

OPENING_S, ANSWER_S, REPEATS_MAX = 1.0, 1.0, 1
RETRY_S = 3.0  # after a base or a pump that is not there
POLL_MIN_S, MODULES_EVERY_S, FIXED_EVERY_S = 0.5, 10.0, 60.0
FRAME_BYTES_MAX, NOISE_BYTES_MAX = 512, 512
MODULES_MAX = 5
VALUES = "drksmae"
CONNECT, DISCONNECT, MODULES, READ, FIXED = "DC", "FC", "LE;b", f"LE;{VALUES}", "LF;b"
BASE_NOT_OPEN, MODULE_NOT_OPEN = "0D", "1E"
_INFUPY = "Orchestra Base and Module DPS, as infupy (fresenius.py) has it"

REQUESTS: tuple[Request, ...] = (
    Request("connect", b"DC", f"{_INFUPY}: opens a session, of the link alone"),
    Request("disconnect", b"FC", f"{_INFUPY}: ends it"),
    Request("variable data", b"LE;", f"{_INFUPY}: rate, volume, mode, alarm, and the base's modules"),
    Request("fixed data", b"LF;", f"{_INFUPY}: kind of device"),
)
_ADDRESSES = "0123456789"


@dataclass
class _Pending:
    """A command that waits for its answer."""

    address: str
    body: str
    deadline_s: float
    repeats: int = 0


class OrchestraSession:
    """One command at a time. A piece is a frame with values, or of an error, or spontaneous."""

    def __init__(self, *, is_base: bool = True, poll_s: float = 2.0) -> None:
        self._first = BASE if is_base else ""
        self._poll_s = max(poll_s, POLL_MIN_S)
        self._frame = bytearray()
        self._noise = bytearray()
        self._is_nak = False  # the next byte says why
        self._pending: _Pending | None = None
        self._queue: list[tuple[str, str]] = []
        self._open: list[str] = []  # addresses that were connected to, in that order
        self._modules: list[str] = []
        self._next_at_s: float | None = None  # None: the link is not open
        self._poll_at_s = self._modules_at_s = self._fixed_at_s = self._now_s = 0.0
        self._pieces: list[Piece] = []
        self._send = bytearray()
        self._counts: list[str] = []

    def opened(self, now: Moment) -> Step:
        """Connect to the base, or to the pump alone."""
        self._now_s = now.steady_s
        self._begin_anew(0.0)
        self._ask_next()
        return self._step()

    def feed(self, data: bytes, now: Moment) -> Step:
        """What is whole with these bytes, and its acknowledgement."""
        self._now_s = now.steady_s
        for byte in data:
            self._take_byte(byte)
        return self._step()

    def tick(self, now: Moment) -> Step:
        """A command is due, or was not answered."""
        self._now_s = now.steady_s
        pending = self._pending
        if pending is not None:
            if self._now_s >= pending.deadline_s:
                self._end_noise()
                self._break_off("cut-off")
                self._not_answered(pending)
        elif self._next_at_s is not None and self._now_s >= self._next_at_s:
            self._ask_next()
        return self._step()

    def kept(self, token: int, outcome: Outcome, reason: str, now: Moment) -> Step:
        """A frame is acknowledged when it is whole: what it says is asked for again."""
        return self._step()

    def closed(self, orderly: bool, now: Moment) -> Step:
        """What was left; and the last word, that nobody is connected any more."""
        self._end_noise()
        self._break_off("cut-off")
        pieces, self._pieces = tuple(self._pieces), []
        last_words = b"".join(orchestra.framed(address, DISCONNECT) for address in reversed(self._open))
        self._open.clear()
        self._is_nak = False
        self._pending = self._next_at_s = None
        self._send.clear()
        self._counts.clear()
        return Step(pieces, last_words, phase="closed")

    # --- bytes --------------------------------------------------------------------------------------------------------

    def _take_byte(self, byte: int) -> None:
        if self._is_nak:
            self._is_nak = False
            self._refused()
        elif byte == orchestra.STX:
            self._end_noise()
            self._break_off("framing")
            self._frame.append(byte)
        elif byte == orchestra.ENQ:  # it may come in the middle of a frame
            self._send.append(orchestra.DC4)
        elif byte == orchestra.ACK:
            pass  # the answer follows
        elif byte == orchestra.NAK:
            self._is_nak = True
        elif self._frame:
            self._frame.append(byte)
            if byte == orchestra.ETX:
                frame = bytes(self._frame)
                self._frame.clear()
                self._take_frame(frame)
            elif len(self._frame) >= FRAME_BYTES_MAX:
                self._break_off("too-long")
        else:
            self._noise.append(byte)
            if len(self._noise) >= NOISE_BYTES_MAX:
                self._end_noise()

    def _take_frame(self, frame: bytes) -> None:
        try:
            answer = orchestra.read_answer(frame)
        except FrameError as error:
            self._pieces.append(Piece(frame, error.reason))
            if error.reason == "checksum":
                self._send += bytes([orchestra.NAK]) + orchestra.BAD_CHECKSUM
            return
        self._send.append(orchestra.ACK)
        if answer.status in (orchestra.SPONTANEOUS, orchestra.ADJUSTED):
            self._send += orchestra.framed(answer.origin, answer.status)
            self._pieces.append(Piece(frame))
            return
        if answer.fields:
            self._pieces.append(Piece(frame))
        pending = self._pending
        if pending is not None and pending.address == answer.origin:
            self._pending = None
            self._answered(pending, answer)

    def _end_noise(self) -> None:
        if self._noise:
            self._pieces.append(Piece(bytes(self._noise), "framing"))
        self._noise.clear()

    def _break_off(self, reason: str) -> None:
        if self._frame:
            self._pieces.append(Piece(bytes(self._frame), reason))
        self._frame.clear()

    # --- commands -----------------------------------------------------------------------------------------------------

    def _begin_anew(self, after_s: float) -> None:
        self._pending = None
        self._open.clear()
        self._modules.clear()
        self._queue = [(self._first, CONNECT)]
        self._poll_at_s = self._modules_at_s = self._fixed_at_s = self._now_s
        self._next_at_s = self._now_s + after_s

    def _answered(self, pending: _Pending, answer: Answer) -> None:
        is_done = answer.status == orchestra.DONE
        if not is_done:
            self._counts.append("refused")
            if BASE_NOT_OPEN in answer.fields and self._first and pending.body != CONNECT:
                self._begin_anew(POLL_MIN_S)
                return
            if MODULE_NOT_OPEN in answer.fields and pending.body != CONNECT:
                self._forget(pending.address)
                self._queue.insert(0, (pending.address, CONNECT))
        elif pending.body == CONNECT:
            self._open.append(pending.address)
        elif pending.body == MODULES:
            self._take_modules(answer)
        if pending.body == CONNECT and not is_done and pending.address == self._first:
            self._begin_anew(RETRY_S)
        elif pending.body == CONNECT and pending.address == BASE:
            self._next_at_s = self._now_s + OPENING_S  # its modules are not ready at once
        else:
            self._plan()

    def _take_modules(self, answer: Answer) -> None:
        """Bit n is module n + 1."""
        bits = next((field[1:] for field in answer.fields if field.startswith("b")), "")
        if not bits or any(each not in "0123456789ABCDEFabcdef" for each in bits):
            return
        number = int(bits, 16)
        found = [_ADDRESSES[n + 1] for n in range(MODULES_MAX) if number >> n & 1]
        if found != self._modules:
            self._modules, self._poll_at_s = found, self._now_s  # a new one is asked at once
        if found:
            self._modules_at_s = self._now_s + MODULES_EVERY_S
        for address in [each for each in self._open if each != self._first and each not in self._modules]:
            self._forget(address)

    def _forget(self, address: str) -> None:
        if address in self._open:
            self._open.remove(address)

    def _refused(self) -> None:
        """NAK: the command is repeated."""
        self._counts.append("not-acknowledged")
        if self._pending is not None:
            self._not_answered(self._pending)

    def _not_answered(self, pending: _Pending) -> None:
        if pending.repeats < REPEATS_MAX:
            self._ask(pending.address, pending.body, pending.repeats + 1)
            return
        self._counts.append("no-answer")
        self._pending = None
        if pending.address == self._first:
            self._begin_anew(RETRY_S)
            return
        self._forget(pending.address)
        self._queue = [each for each in self._queue if each[0] != pending.address]
        self._plan()

    def _plan(self) -> None:
        self._next_at_s = self._now_s if self._queue else max(self._now_s, self._poll_at_s)
        if self._queue:
            self._ask_next()

    def _ask_next(self) -> None:
        if not self._queue:
            self._poll_at_s = self._now_s + self._poll_s
            self._queue = self._round()
        self._ask(*self._queue.pop(0))

    def _round(self) -> list[tuple[str, str]]:
        """What is due: the base's modules now and then, their values each time."""
        due: list[tuple[str, str]] = []
        if self._first and self._now_s >= self._modules_at_s:
            due.append((BASE, MODULES))
        pumps = self._modules if self._first else [self._first]
        due += [(address, CONNECT) for address in pumps if address not in self._open]
        if self._now_s >= self._fixed_at_s and pumps:
            self._fixed_at_s = self._now_s + FIXED_EVERY_S
            due += [(address, FIXED) for address in pumps]
        due += [(address, READ) for address in pumps]
        return due or [(BASE, MODULES)]

    def _ask(self, address: str, body: str, repeats: int = 0) -> None:
        self._pending = _Pending(address, body, self._now_s + ANSWER_S, repeats)
        self._send += orchestra.framed(address, body)

    def _step(self) -> Step:
        wake_at_s = self._pending.deadline_s if self._pending is not None else self._next_at_s
        phase = "waiting" if wake_at_s is None else "polling" if self._open else "connecting"
        step = Step(tuple(self._pieces), bytes(self._send), wake_at_s, phase, counts=tuple(self._counts))
        self._pieces.clear()
        self._send.clear()
        self._counts.clear()
        return step
