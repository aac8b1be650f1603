"""The dialogue of POCT1-A (CLSI POCT1-A2, its device messaging layer) with an analyser or meter that connects to us.

    device  HEL.R01 who it is            we  ACK.R01
    device  DST.R01 its status           we  ACK.R01, and where it has new results REQ.R01 (ROBS), else END.R01
    device  OBS.R01 a result, ...        we  ACK.R01 each, once it is kept
    device  EOT.R01 no more              we  ACK.R01, END.R01: the device connects again when it has more

Messages are bare XML, ended by the root's end tag, or stand in MLLP frames (0B ... 1C 0D); answers come as the device's
messages do. Nothing is sent that changes a device: no directive (DTV), no list of operators or patients, no time; so a
device that wants to be told to stay connected and to send at will is not. A device that is silent for longer than the
time-out which it stated (HEL.R01, DCP.application_timeout) is disconnected, and begins anew.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from datetime import UTC, datetime

from adapters.formats.poct1_xml import Message, read_message, written
from adapters.quality import Request
from adapters.session import Moment, Outcome, Piece, Step
from schemas.errors import FrameError
from schemas.layout import FRAME_BYTES_MAX

SB, EB, CR = b"\x0b", b"\x1c", b"\r"
SILENT_S = 65.0  # where the device states no time-out
SILENT_MAX_S = 3600.0
END_WAIT_S = 5.0  # for the device's last word
NOISE_BYTES_MAX = 4096  # of one piece
_TAG_BYTES_MAX = 16  # of a root's start or end tag that may yet be cut
_BEGIN = re.compile(rb"\x0b|<([A-Z]{3}\.R\d\d)(?=[\s/>])")
_DECLARATION = re.compile(rb"(?:\xef\xbb\xbf)?<\?xml[^<>]*\?>\s*\Z")
_MLLP_END = re.compile(rb"\x1c\r?|\x0b")
_BLANKS = b" \t\r\n"
REQUESTS = (
    Request("results", b"ROBS", "CLSI POCT1-A2, observation topic: asks for results that the device holds"),
    Request("end", b"END.R01", "CLSI POCT1-A2, termination: ends the conversation"),
)


class _Framing:
    """Cuts a stream into messages and bytes that are none, each with its reason ("" for a message)."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._searched = 0  # up to here no end stands in it
        self.is_mllp = False

    @property
    def is_idle(self) -> bool:
        """Nothing has begun."""
        return not self._buffer.strip(_BLANKS)

    def feed(self, data: bytes) -> Iterator[tuple[bytes, str]]:
        """What is complete with these bytes."""
        self._buffer += data
        while True:
            if self._buffer[:1].strip(_BLANKS) != self._buffer[:1]:  # such as the CR of an end block, come alone
                self._buffer = self._buffer.lstrip(_BLANKS)
            begin = _BEGIN.search(self._buffer)
            if begin is None or begin.start() >= NOISE_BYTES_MAX:
                if len(self._buffer) < NOISE_BYTES_MAX + _TAG_BYTES_MAX:
                    return
                yield from self._noise(NOISE_BYTES_MAX)
                continue
            start = self._start_of(begin)
            if start:
                yield from self._noise(start)
                continue
            end = self._end_of(begin)
            if end is None:
                if len(self._buffer) <= FRAME_BYTES_MAX:
                    return
                yield self._cut(FRAME_BYTES_MAX), "too-long"
                continue
            yield self._message(begin, end)

    def rest(self) -> Iterator[tuple[bytes, str]]:
        """What is left when no more will come."""
        if not self.is_idle:
            yield self._cut(len(self._buffer)), "cut-off"
        self._buffer.clear()

    def _start_of(self, begin: re.Match[bytes]) -> int:
        """Where a message begins: with its declaration, if there is one."""
        if begin[0] == SB:
            return begin.start()
        declaration = _DECLARATION.search(self._buffer, 0, begin.start())
        return declaration.start() if declaration else begin.start()

    def _end_of(self, begin: re.Match[bytes]) -> int | None:
        """Behind the message's last byte, None where it has not come."""
        end = _MLLP_END
        if begin[0] != SB:
            name = re.escape(begin[1])
            empty = re.compile(b"<" + name + rb"[^<>]*/>").match(self._buffer, begin.start())
            if empty is not None:
                return empty.end()
            end = re.compile(b"</" + name + rb"\s{0,9}>")
        found = end.search(self._buffer, max(begin.end(), self._searched))
        if found is None:
            self._searched = len(self._buffer) - 2 * _TAG_BYTES_MAX
            return None
        return found.start() if found[0] == SB else found.end()

    def _message(self, begin: re.Match[bytes], end: int) -> tuple[bytes, str]:
        self.is_mllp = begin[0] == SB
        data = self._cut(end)
        if not self.is_mllp:
            return data, ""
        if EB not in data:
            return data, "no-end-block"
        return data[1 : data.rindex(EB)], ""

    def _noise(self, count: int) -> Iterator[tuple[bytes, str]]:
        data = self._cut(count)
        if data.strip(_BLANKS):
            yield data, "noise"

    def _cut(self, count: int) -> bytes:
        data = bytes(self._buffer[:count])
        del self._buffer[:count]
        self._searched = 0
        return data


class Poct1Session:
    """One device's conversation. What is no message has a reason: `noise`, `no-end-block`, `too-long`, `cut-off`."""

    def __init__(self) -> None:
        self._framing = _Framing()
        self._ids = itertools.count(1)
        self._next_token = 0
        self._unanswered: dict[int, Message] = {}  # in order
        self._silent_s, self._heard_s = SILENT_S, 0.0
        self._ends_at_s: float | None = None  # an END was sent
        self._is_ending = False  # an END is due once all is answered
        self._counts: list[str] = []

    def opened(self, now: Moment) -> Step:
        """The device speaks first."""
        self._heard_s = now.steady_s
        return self._step(now)

    def feed(self, data: bytes, now: Moment) -> Step:
        """The messages that are complete with these bytes, and answers to those that nobody keeps."""
        self._heard_s = now.steady_s
        pieces: list[Piece] = []
        send, close = b"", False
        for payload, reason in self._framing.feed(data):
            if reason:
                pieces.append(Piece(payload, reason))
                continue
            try:
                message = read_message(payload)
            except FrameError:  # nobody can say what it would answer; its driver says why
                pieces.append(Piece(payload))
                continue
            if message.type in ("EOT.R01", "KPA.R01", "END.R01", "ACK.R01", "ESC.R01"):
                close = self._of_dialogue(message) or close
                if message.type == "ESC.R01":
                    pieces.append(Piece(payload))
                if message.type != "ACK.R01":
                    send += self._acknowledged(message, Outcome.KEPT, "", now)
                continue
            if message.type == "HEL.R01":
                self._silent_s = _time_out_s(message.value("DCP", "application_timeout"))
            token, self._next_token = self._next_token, self._next_token + 1
            answered = range(next(iter(self._unanswered), token))
            self._unanswered[token] = message
            pieces.append(Piece(payload, "", token, answered))
        return self._step(now, pieces, send + self._ended(now), close=close)

    def tick(self, now: Moment) -> Step:
        """The device is silent for longer than it said, or has no last word."""
        ends_at_s = self._ends_at_s
        if ends_at_s is not None and now.steady_s >= ends_at_s:
            return self._step(now, close=True)
        if now.steady_s >= self._heard_s + self._silent_s:
            self._counts.append("silent")
            return self._step(now, close=True)
        return self._step(now)

    def kept(self, token: int, outcome: Outcome, reason: str, now: Moment) -> Step:
        """A message is kept, or cannot be: its acknowledgement, and what the conversation goes on with."""
        message = self._unanswered.pop(token, None)
        if message is None:
            return self._step(now)
        send = self._acknowledged(message, outcome, reason, now)
        if message.type == "DST.R01":
            if message.value("DST", "new_observations_qty") == "0":
                self._is_ending = True
            else:
                send += self._framed(written("REQ.R01", next(self._ids), _iso(now), (
                    ("REQ", (("request_cd", "ROBS"),)),)))  # fmt: skip
        return self._step(now, send=send + self._ended(now))

    def closed(self, orderly: bool, now: Moment) -> Step:
        """What was left of a message."""
        pieces = tuple(Piece(data, reason) for data, reason in self._framing.rest())
        proven = range(next(iter(self._unanswered), self._next_token)) if orderly else range(0)
        return Step(pieces, phase="waiting", proven=proven)

    def _of_dialogue(self, message: Message) -> bool:
        """What belongs to the conversation alone; whether it is over."""
        if message.type == "EOT.R01":
            self._is_ending = True
        elif message.type == "ACK.R01":
            if message.value("ACK", "type_cd") not in ("AA", ""):
                self._counts.append("refused-by-device")
            return self._ends_at_s is not None
        return message.type in ("END.R01", "ESC.R01")

    def _ended(self, now: Moment) -> bytes:
        """END, once all that came is answered."""
        if not self._is_ending or self._unanswered:
            return b""
        self._is_ending = False
        self._ends_at_s = now.steady_s + END_WAIT_S
        end = written("END.R01", next(self._ids), _iso(now), (("TRM", (("reason_cd", "NRM"),)),))
        return self._framed(end)

    def _acknowledged(self, message: Message, outcome: Outcome, reason: str, now: Moment) -> bytes:
        fields = [("type_cd", "AA" if outcome is Outcome.KEPT else "AE"), ("ack_control_id", message.control_id)]
        if outcome is not Outcome.KEPT:
            fields.append(("note_txt", reason))
        return self._framed(written("ACK.R01", next(self._ids), _iso(now), (("ACK", tuple(fields)),)))

    def _framed(self, message: bytes) -> bytes:
        return SB + message + EB + CR if self._framing.is_mllp else message

    def _step(self, now: Moment, pieces: list[Piece] | None = None, send: bytes = b"", *, close: bool = False) -> Step:
        counts, self._counts = tuple(self._counts), []
        wake_at_s = self._heard_s + self._silent_s
        if self._ends_at_s is not None:
            wake_at_s = min(wake_at_s, self._ends_at_s)
        phase = "waiting" if self._framing.is_idle else "receiving"
        return Step(tuple(pieces or ()), send, None if close else wake_at_s, phase, close=close, counts=counts)


def _time_out_s(stated: str) -> float:
    """The device's own time-out, in whole seconds; ours where it states none that can be meant."""
    seconds = int(stated) if stated.isascii() and stated.isdecimal() and len(stated) < 6 else 0
    return min(float(seconds), SILENT_MAX_S) if seconds else SILENT_S


def _iso(now: Moment) -> str:
    return datetime.fromtimestamp(now.utc_us // 1_000_000, UTC).isoformat()
