"""The BCC dialogue with B. Braun's SpaceCom, the server of a rack of pumps, in request mode.

"Technical Interface Specification BCC", I0022_000030, version 4.0, pages 8 to 15:

    we          ADMIN:ALIVE, bed id 1      ADMIN:VERSION      MEM:GET           ACK        ACK            MEM:GET
    SpaceCom         GNACK, its bed id          Vx.yy          block, ETB  block, ETB  block, ETX

ACK comes at least 0.1 s after a block, also after the last, MEM:GET at least 0.5 s after that. A block that is damaged
is asked for again by NAK, at most three times. ADMIN:ALIVE is sent at the start and after a time-out, for which the
document has no figure. In the cyclic mode the SpaceCom sends by itself, and stops where a block is not acknowledged:
an ACK lets it go on.
"""

from __future__ import annotations

from enum import Enum

from adapters.formats import bcc_frames as bcc
from adapters.quality import Request
from adapters.session import Moment, Outcome, Piece, Step
from schemas.errors import FrameError
from schemas.layout import FRAME_BYTES_MAX

ACK_AFTER_S, POLL_MIN_S, ANSWER_S = 0.1, 0.5, 5.0
CYCLE_S = 15.0  # in cyclic mode: silence after which an ACK is sent
REPEATS_MAX = 3
NOISE_BYTES_MAX = 1024
_B = "Technical Interface Specification BCC 4.0, page"

REQUESTS: tuple[Request, ...] = (
    Request("who is there", b"ADMIN:ALIVE", f"{_B} 12"),
    Request("protocol version", b"ADMIN:VERSION", f"{_B} 12"),
    Request("values of all pumps", b"MEM:GET", f"{_B} 13"),
)


class _Next(Enum):
    """What is to be sent at `_send_at_s`, or what an answer is waited for."""

    ALIVE = "ADMIN:ALIVE"
    VERSION = "ADMIN:VERSION"
    GET = "MEM:GET"
    ACK = "ACK"
    NAK = "NAK"


class BccSession:
    """One request at a time. A piece is a frame as it came, stuffed as it is."""

    def __init__(self, *, is_stuffed: bool = True, poll_s: float = 2.0, is_cyclic: bool = False) -> None:
        self._is_stuffed, self._is_cyclic = is_stuffed, is_cyclic
        self._poll_s = max(poll_s, POLL_MIN_S)
        self._bed_id = bcc.ANY_BED
        self._frame = bytearray()
        self._noise = bytearray()
        self._asked = _Next.ALIVE
        self._next: _Next | None = None  # None: an answer is waited for
        self._after_ack: _Next | None = None  # None: the next block
        self._send_at_s = self._now_s = self._asked_at_s = 0.0
        self._deadline_s: float | None = None  # None: nothing was sent yet
        self._repeats = 0
        self._pieces: list[Piece] = []
        self._send = bytearray()
        self._counts: list[str] = []

    def opened(self, now: Moment) -> Step:
        """Who is there? In cyclic mode an ACK, which restarts what a lost one has stopped."""
        self._now_s = now.steady_s
        self._start()
        return self._step()

    def feed(self, data: bytes, now: Moment) -> Step:
        """Frames run from SOH to EOT, which never stand inside of one."""
        self._now_s = now.steady_s
        for byte in data:
            if byte == bcc.SOH:
                self._end_noise()
                self._break_off("framing")
                self._frame.append(byte)
            elif not self._frame:
                self._noise.append(byte)
                if len(self._noise) >= NOISE_BYTES_MAX:
                    self._end_noise()
            else:
                self._frame.append(byte)
                if byte == bcc.EOT:
                    frame = bytes(self._frame)
                    self._frame.clear()
                    self._take(frame)
                elif len(self._frame) >= FRAME_BYTES_MAX:
                    self._break_off("too-long")
        return self._step()

    def tick(self, now: Moment) -> Step:
        """Something is due, or was not answered."""
        self._now_s = now.steady_s
        if self._next is None:
            if self._deadline_s is not None and self._now_s >= self._deadline_s:
                self._end_noise()
                self._break_off("cut-off")
                self._counts.append("no-answer")
                self._start()
        elif self._now_s >= self._send_at_s:
            self._ask(self._next)
        return self._step()

    def kept(self, token: int, outcome: Outcome, reason: str, now: Moment) -> Step:
        """A block is acknowledged when it is whole: what it says is said again with the next request."""
        return self._step()

    def closed(self, orderly: bool, now: Moment) -> Step:
        """What was left."""
        self._end_noise()
        self._break_off("cut-off")
        pieces, self._pieces = tuple(self._pieces), []
        self._send.clear()
        self._counts.clear()
        return Step(pieces, phase="closed")

    def _start(self) -> None:
        self._bed_id = bcc.ANY_BED
        self._repeats = 0
        self._after_ack = None
        self._ask(_Next.ACK if self._is_cyclic else _Next.ALIVE)

    def _ask(self, what: _Next) -> None:
        self._next = None
        self._deadline_s = self._now_s + (CYCLE_S if self._is_cyclic else ANSWER_S)
        if what is _Next.NAK:
            self._send.append(bcc.NAK)
        elif what is _Next.ACK:
            self._send.append(bcc.ACK)
            after, self._after_ack = self._after_ack, None
            if after is not None:
                earliest_s = self._asked_at_s + self._poll_s if self._asked is _Next.GET else self._now_s
                self._later(after, max(self._now_s + POLL_MIN_S, earliest_s))
        else:
            self._asked, self._asked_at_s = what, self._now_s
            self._send += bcc.request(self._bed_id, what.value, is_stuffed=self._is_stuffed)

    def _later(self, what: _Next, at_s: float) -> None:
        self._next, self._send_at_s = what, at_s

    def _take(self, frame: bytes) -> None:
        """A block, acknowledged or asked for again after the pause that the SpaceCom needs."""
        try:
            block = bcc.read_block(frame, is_stuffed=self._is_stuffed)
        except FrameError as error:
            self._pieces.append(Piece(frame, error.reason))
            self._refuse()
            return
        self._pieces.append(Piece(frame))
        self._repeats = 0
        self._after_ack = None
        if block.is_last and not self._is_cyclic:
            self._after_ack = _Next.VERSION if self._asked is _Next.ALIVE else _Next.GET
            if self._asked is _Next.ALIVE:
                self._bed_id = block.bed_id
        self._later(_Next.ACK, self._now_s + ACK_AFTER_S)

    def _refuse(self) -> None:
        if self._repeats == REPEATS_MAX:
            self._start()
            return
        self._repeats += 1
        self._later(_Next.NAK, self._now_s + ACK_AFTER_S)

    def _end_noise(self) -> None:
        if self._noise:
            self._pieces.append(Piece(bytes(self._noise), "framing"))
        self._noise.clear()

    def _break_off(self, reason: str) -> None:
        if self._frame:
            self._pieces.append(Piece(bytes(self._frame), reason))
        self._frame.clear()

    def _step(self) -> Step:
        wake_at_s = self._deadline_s if self._next is None else self._send_at_s
        phase = "cyclic" if self._is_cyclic else "initializing" if self._asked is _Next.ALIVE else "polling"
        step = Step(tuple(self._pieces), bytes(self._send), wake_at_s, phase, counts=tuple(self._counts))
        self._pieces.clear()
        self._send.clear()
        self._counts.clear()
        return step
