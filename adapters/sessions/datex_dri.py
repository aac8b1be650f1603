"""The dialogue with a GE / Datex-Ohmeda S/5 monitor (DRI): the host asks once for what it wants, the monitor sends.

"S/5 Computer Interface Specification" M1017617 (12th edition, 2020): frame on pages 3-4, requests on pages 6-11. There
is no login and no acknowledgement; what was asked for stays asked for until the monitor is switched off, so that
silence means: no cable, no monitor, or a monitor that has begun anew. Then everything is asked for again. Waves stop
where the line was blocked for more than 2 s (page 10), and are asked for again alone.

Nothing is sent but the three requests in `REQUESTS`; each asks for data, and changes nothing that is shown or measured.
"""

from __future__ import annotations

from adapters.formats.dri_record import (
    ALARM,
    FLAG,
    FRAME_BYTES_MAX,
    PHDB,
    WAVE,
    code_of,
    framed,
    read_record,
    record_of,
)
from adapters.quality import Request
from adapters.session import Moment, Outcome, Piece, Step
from schemas.errors import FrameError

# What each record begins its data with; a request's code is the record from its main type up to that.
_DISPLAYED, _START, _WHEN_CHANGED = b"\x01", b"\x00\x00", b"\x02\x00"
DISPLAYED = Request("displayed values, periodically", code_of(PHDB, _DISPLAYED), "M1017617, pages 6-7")
WAVES = Request("start of waveforms", code_of(WAVE, _START), "M1017617, pages 8-9")
ALARMS = Request("alarms when they change", code_of(ALARM, _WHEN_CHANGED), "M1017617, page 11")
REQUESTS = (DISPLAYED, WAVES, ALARMS)

INTERVAL_MIN_S = 5  # of displayed values (page 7)
CLASS_EXT1 = 0x0002  # the basic class comes with it
WAVES_MAX = 8  # subrecords that a header can name
SILENCE_S = 15.0  # without a record of values
SILENT_INTERVALS = 2.5
WAVES_SILENCE_S, WAVES_SILENCE_MAX_S = 10.0, 60.0  # none may come for long: a module is not there
_FLAG = bytes([FLAG])


def displayed_request(interval_s: int, classes: int = CLASS_EXT1) -> bytes:
    """The basic class and these others every so many seconds."""
    fields = (
        _DISPLAYED + interval_s.to_bytes(2, "little") + classes.to_bytes(4, "little") + bytes(2)
    )  # record type, interval, classes, reserved
    return framed(record_of(PHDB, fields))


def waves_request(types: bytes) -> bytes:
    """Waveforms of these types; the list replaces an earlier one."""
    listed = types if len(types) == WAVES_MAX else types + b"\xff"
    return framed(record_of(WAVE, _START + bytes(2) + listed.ljust(WAVES_MAX + 16, b"\0") + bytes(4)))


def alarms_request() -> bytes:
    """The state of all alarms, and again whenever it changes."""
    return framed(record_of(ALARM, _WHEN_CHANGED + bytes(10)))


class DatexDriSession:
    """Frames without their flags, escaped as they came; `waves` are wave types (8005313, page 65).

    What is no frame has a reason: `framing` (bytes before the first flag), `too-long`, `cut-off` (the link's end).
    """

    def __init__(self, interval_s: int = INTERVAL_MIN_S, waves: bytes = b"", *, alarms: bool = True) -> None:
        self._values_request = displayed_request(interval_s) + (alarms_request() if alarms else b"")
        self._waves_request = waves_request(waves) if waves else b""
        self._silence_s = max(SILENCE_S, SILENT_INTERVALS * interval_s)
        self._buffer = b""
        self._reason = "framing"  # of the bytes up to the next flag
        self._phase = "waiting"
        self._values_due_s: float | None = None
        self._waves_due_s: float | None = None
        self._waves_wait_s = WAVES_SILENCE_S

    def opened(self, now: Moment) -> Step:
        """Ask for everything."""
        self._buffer, self._reason, self._phase = b"", "framing", "waiting"
        return self._ask_for_all(now)

    def feed(self, data: bytes, now: Moment) -> Step:
        """The frames that are complete with these bytes."""
        self._buffer += data
        pieces = self._take()
        for piece in pieces:
            if not piece.reason:
                self._note_record(piece.data, now)
        return self._step(pieces=tuple(pieces))

    def tick(self, now: Moment) -> Step:
        """What has not come for long is asked for again."""
        if self._values_due_s is not None and now.steady_s >= self._values_due_s:
            self._phase = "silent"
            return self._ask_for_all(now, counts=("asked-again",))
        if self._waves_due_s is not None and now.steady_s >= self._waves_due_s:
            self._waves_wait_s = min(2 * self._waves_wait_s, WAVES_SILENCE_MAX_S)
            self._waves_due_s = now.steady_s + self._waves_wait_s
            return self._step(send=self._waves_request, counts=("waves-asked-again",))
        return self._step()

    def kept(self, token: int, outcome: Outcome, reason: str, now: Moment) -> Step:
        """No frame is answered."""
        return self._step()

    def closed(self, orderly: bool, now: Moment) -> Step:
        """What was left of a frame."""
        rest, self._buffer = self._buffer, b""
        self._values_due_s = self._waves_due_s = None
        self._reason, self._phase = "framing", "waiting"
        return self._step(pieces=(Piece(rest, "cut-off"),) if rest else ())

    def _ask_for_all(self, now: Moment, counts: tuple[str, ...] = ()) -> Step:
        self._values_due_s = now.steady_s + self._silence_s
        self._waves_wait_s = WAVES_SILENCE_S
        self._waves_due_s = now.steady_s + WAVES_SILENCE_S if self._waves_request else None
        return self._step(send=self._values_request + self._waves_request, counts=counts)

    def _take(self) -> list[Piece]:
        """What stands between two flags, and the pieces of what is longer than any frame."""
        pieces = []
        while True:
            end = self._buffer.find(_FLAG, 0, FRAME_BYTES_MAX + 1)
            if end >= 0:
                frame, self._buffer = self._buffer[:end], self._buffer[end + 1 :]
                if frame:
                    pieces.append(Piece(frame, self._reason))
                self._reason = ""
            elif len(self._buffer) > FRAME_BYTES_MAX:
                pieces.append(Piece(self._buffer[:FRAME_BYTES_MAX], "too-long"))
                self._buffer = self._buffer[FRAME_BYTES_MAX:]
                self._reason = "too-long"
            else:
                return pieces

    def _note_record(self, frame: bytes, now: Moment) -> None:
        """A record came: its like is not asked for again for a while."""
        try:
            main_type = read_record(frame).main_type
        except FrameError:
            return
        self._phase = "receiving"
        if main_type == PHDB and self._values_due_s is not None:
            self._values_due_s = now.steady_s + self._silence_s
        elif main_type == WAVE and self._waves_due_s is not None:
            self._waves_wait_s = WAVES_SILENCE_S
            self._waves_due_s = now.steady_s + WAVES_SILENCE_S

    def _step(self, pieces: tuple[Piece, ...] = (), send: bytes = b"", counts: tuple[str, ...] = ()) -> Step:
        due_s = [due for due in (self._values_due_s, self._waves_due_s) if due is not None]
        return Step(pieces, send, min(due_s, default=None), self._phase, counts=counts)
