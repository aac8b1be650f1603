"""The dialogue with an Alaris/Asena syringe pump, as mdpnp (Asena.java) and infupy (alaris.py) have it.

One query, one answer that repeats its name; the pump says nothing by itself. An answer may take 4 s (what the pump's
own limit is can be read: COMMS_RESPONSE_MAX); a query without one is repeated once. Where INF, which has all of it in
one answer, is not answered, rate and volume are asked for alone.

A query has no argument. The same names with one would set the pump: no such frame is made here.
"""

from __future__ import annotations

from dataclasses import dataclass

from adapters.formats import alaris_frames as alaris
from adapters.quality import Request
from adapters.session import Moment, Outcome, Piece, Step
from schemas.errors import FrameError

ANSWER_S, REPEATS_MAX = 4.0, 1
PAUSE_S = 0.1  # between an answer and the next query
POLL_MIN_S, SLOW_POLL_S = 0.5, 15.0
FRAME_BYTES_MAX, NOISE_BYTES_MAX = 512, 512
_READERS = "Alaris/Asena GH, CC, TIVA serial protocol, as mdpnp (Asena.java) and infupy (alaris.py) have it"

REQUESTS: tuple[Request, ...] = tuple(
    Request(name, b"!" + code + b"|", _READERS)
    for name, code in (
        ("serial number", b"INST_SERIALNO"), ("protocol", b"COMMS_PROTOCOL"), ("answer time", b"COMMS_RESPONSE_MAX"),
        ("highest rate of the syringe", b"INF_RATE_MAX_SYRINGE"), ("alarm", b"ALARM"), ("infusion", b"INF"),
        ("rate", b"INF_RATE"), ("volume infused", b"INF_VI"), ("volume to be infused", b"INF_VTBI"),
        ("syringe", b"SYRINGE_STATUS"),
    )
)  # fmt: skip
_AT_FIRST = ("INST_SERIALNO", "COMMS_PROTOCOL", "COMMS_RESPONSE_MAX")
_EACH_TIME = ("ALARM", "INF", "INF_VTBI")
_IN_PLACE_OF_INF = ("INF_RATE", "INF_VI")
_SLOWLY = ("SYRINGE_STATUS", "INF_RATE_MAX_SYRINGE")


@dataclass
class _Pending:
    """A query that waits for its answer."""

    name: str
    deadline_s: float
    repeats: int = 0


class AlarisSession:
    """Asks in turn. A piece is an answer without its CR."""

    def __init__(self, *, poll_s: float = 2.0) -> None:
        self._poll_s = max(poll_s, POLL_MIN_S)
        self._frame = bytearray()
        self._noise = bytearray()
        self._pending: _Pending | None = None
        self._queue: list[str] = []
        self._next_at_s: float | None = None  # of the next query; None: nothing is asked, the link is not open
        self._poll_at_s = self._slow_at_s = self._now_s = 0.0
        self._has_inf = True
        self._pieces: list[Piece] = []
        self._send = bytearray()
        self._counts: list[str] = []

    def opened(self, now: Moment) -> Step:
        """Which pump is it?"""
        self._now_s = self._poll_at_s = self._slow_at_s = now.steady_s
        self._pending, self._has_inf = None, True
        self._queue = list(_AT_FIRST)
        self._ask_next()
        return self._step()

    def feed(self, data: bytes, now: Moment) -> Step:
        """The answers that are whole with these bytes."""
        self._now_s = now.steady_s
        for byte in data:
            self._take_byte(byte)
        return self._step()

    def tick(self, now: Moment) -> Step:
        """A query is due, or was not answered."""
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
        """No answer is acknowledged."""
        return self._step()

    def closed(self, orderly: bool, now: Moment) -> Step:
        """What was left."""
        self._end_noise()
        self._break_off("cut-off")
        pieces, self._pieces = tuple(self._pieces), []
        self._pending = self._next_at_s = None
        self._send.clear()
        self._counts.clear()
        return Step(pieces, phase="closed")

    # --- bytes --------------------------------------------------------------------------------------------------------

    def _take_byte(self, byte: int) -> None:
        if byte == alaris.BEGIN[0]:
            self._end_noise()
            self._break_off("framing")
            self._frame.append(byte)
        elif not self._frame:
            self._take_noise(byte)
        elif byte in (alaris.ESC, alaris.CR[0]):
            self._frame.append(byte)
            self._break_off("framing")
        else:
            self._frame.append(byte)
            end = self._frame.find(alaris.END)
            if end >= 0 and len(self._frame) > end + alaris.CHECK_CHARS:
                self._take_frame(bytes(self._frame))
                self._frame.clear()
            elif len(self._frame) >= FRAME_BYTES_MAX:
                self._break_off("too-long")

    def _take_noise(self, byte: int) -> None:
        if self._noise or byte not in (*b"\r\n", alaris.ESC):
            self._noise.append(byte)
            if len(self._noise) >= NOISE_BYTES_MAX:
                self._end_noise()

    def _take_frame(self, frame: bytes) -> None:
        pending = self._pending
        try:
            name, _ = alaris.read_reply(frame)
        except FrameError as error:
            self._pieces.append(Piece(frame, error.reason))
            if pending is not None:
                self._not_answered(pending)
            return
        self._pieces.append(Piece(frame))
        if pending is not None and pending.name == name:
            self._pending = None
            self._plan()

    def _end_noise(self) -> None:
        if self._noise:
            self._pieces.append(Piece(bytes(self._noise), "framing"))
        self._noise.clear()

    def _break_off(self, reason: str) -> None:
        if self._frame:
            self._pieces.append(Piece(bytes(self._frame), reason))
        self._frame.clear()

    # --- queries ------------------------------------------------------------------------------------------------------

    def _not_answered(self, pending: _Pending) -> None:
        if pending.repeats < REPEATS_MAX:
            self._ask(pending.name, pending.repeats + 1)
            return
        self._counts.append("no-answer")
        self._pending = None
        if pending.name == "INF":
            self._has_inf = False
            self._queue = [*_IN_PLACE_OF_INF, *self._queue]
        self._plan()

    def _plan(self) -> None:
        """When the next query is due: soon while there is one, else with the next round."""
        earliest_s = self._now_s + PAUSE_S
        self._next_at_s = earliest_s if self._queue else max(earliest_s, self._poll_at_s)

    def _ask_next(self) -> None:
        if not self._queue:
            self._poll_at_s = self._now_s + self._poll_s
            self._queue = [name for name in _EACH_TIME if name != "INF" or self._has_inf]
            if not self._has_inf:
                self._queue += _IN_PLACE_OF_INF
            if self._now_s >= self._slow_at_s:
                self._slow_at_s = self._now_s + SLOW_POLL_S
                self._has_inf = True  # it may answer now
                self._queue += _SLOWLY
        self._ask(self._queue.pop(0))

    def _ask(self, name: str, repeats: int = 0) -> None:
        self._pending = _Pending(name, self._now_s + ANSWER_S, repeats)
        self._send += alaris.query(name)

    def _step(self) -> Step:
        wake_at_s = self._pending.deadline_s if self._pending is not None else self._next_at_s
        phase = "waiting" if wake_at_s is None else "polling"
        step = Step(tuple(self._pieces), bytes(self._send), wake_at_s, phase, counts=tuple(self._counts))
        self._pieces.clear()
        self._send.clear()
        self._counts.clear()
        return step
