"""The ASTM dialogue of laboratory instruments: ASTM E1381, now CLSI LIS01-A2 (LIS1-A), the low-level protocol.

    sender    ENQ       frame 1       frame 2       ...  frame n               EOT
    receiver       ACK           ACK           ACK  ...           ACK or NAK

    frame:  <STX 0x02> number text <ETX 0x03 or ETB 0x17> checksum <CR> <LF>

The number counts 1 to 7, 0, 1, ... from each ENQ on; one that comes twice is a frame whose ACK was lost. The checksum,
two hexadecimal digits, is the sum modulo 256 of all bytes from the number to ETX or ETB. ETB ends a frame within a
record, ETX one at a record's end. A message, from its H record to its L record (LIS02-A2), is one piece, its records
ended by CR. The frame with which it is complete is answered when it is kept: ACK, or NAK where it cannot be kept, and
its sender sends it again. An answer is only ever to the frame that came last, and there is one of each: who goes on
without it gets none late, for it would be taken as the answer to something else. A message that comes again on this
line, when its ACK is not known to have arrived, is the same message: it is acknowledged again, and is no piece.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from hashlib import sha256

from adapters.session import Moment, Outcome, Piece, Step
from schemas.layout import FRAME_BYTES_MAX

STX, ETX, EOT, ENQ, ACK, NAK, ETB = b"\x02", b"\x03", b"\x04", b"\x05", b"\x06", b"\x15", b"\x17"
CR, LF = b"\r", b"\n"
# LIS01-A2 section 6.5.2: the receiver gives up after 30 s, the sender after 15 s. Here the 30 s are of silence: at 9600
# baud the longest frame, 64,000 bytes, takes 67 s.
RECEIVER_WAIT_S = 30.0
SENDER_WAIT_S = 15.0
ANSWER_WAIT_S = 2.0  # a sender that is silent for so long, with its CR LF or its STX lost, waits for an answer
CHECKSUM_BYTES = 4  # with CR LF
NOISE_BYTES_MAX = 1024  # of one piece
RESEND_WINDOW_S = 3600.0  # as of repeats (DESIGN, "What must hold" 2)
HANDED_OVER_MAX = 16  # messages that may come again
_TOKENS = re.compile(rb"[\x02-\x05\x17]|[^\x02-\x05\x17]+")
_CHECKSUM = re.compile(rb"[0-9A-Fa-f]{2}\r?\n?")
_BLANKS = b" \t\r\n\0"


class _State(Enum):
    """Its value is the phase that people read."""

    NEUTRAL = "waiting"
    BETWEEN = "receiving"  # after ENQ, between frames
    TEXT = "in-frame"  # after STX
    CHECKSUM = "in-checksum"  # after ETX or ETB


@dataclass(frozen=True)
class _Received:
    """What a transfer has brought: the whole records of a message, the record so far, and the last frame."""

    message: bytes = b""
    record: bytes = b""
    number: int = 0
    text: bytes | None = None  # None before the first frame


@dataclass
class _HandedOver:
    """A message that may come again, for its ACK is not known to have arrived."""

    token: int
    at_s: float
    is_kept: bool = False


class AstmSession:
    """The receiver of one line; it never sends an ENQ of its own.

    What is no message has a reason: `no-enquiry` (bytes outside of a transfer), `framing`, `checksum`, `frame-number`
    (these three are answered NAK), `no-terminator` (no L record before EOT or the next H), `cut-off` (30 s of silence,
    a new ENQ, or the end of the connection), `too-long` (the rest of the transfer is answered NAK).
    """

    def __init__(self, max_message_bytes: int = FRAME_BYTES_MAX) -> None:
        self._max = max_message_bytes
        self._state = _State.NEUTRAL
        self._noise = b""
        self._frame = bytearray()  # the frame that has begun: number and text
        self._end = b""  # its ETX or ETB
        self._checksum = b""  # what follows that
        self._received = _Received()
        self._before = self._received  # as it was before the last frame, which may be refused
        self._is_too_long = False
        self._is_nak_due = False  # as soon as the sender is silent
        self._frame_at_s = 0.0  # when the last frame was complete
        self._next_token = 0
        self._tokens: list[int] = []  # of the messages that the last frame completed
        self._unkept: set[int] = set()  # those of them that its answer waits for
        self._is_refused = False
        self._acknowledged: list[int] = []  # tokens whose ACK is sent and not known to have arrived
        self._handed_over: dict[bytes, _HandedOver] = {}  # by the message's digest, oldest first
        self._now_s = 0.0
        self._wake_at_s: float | None = None
        self._pieces: list[Piece] = []
        self._send = b""
        self._proven = range(0)
        self._counts: list[str] = []

    def opened(self, now: Moment) -> Step:
        """A sender speaks first."""
        return self._step()

    def feed(self, data: bytes, now: Moment) -> Step:
        """The messages that are complete with these bytes, and the answers to the frames before."""
        self._now_s = now.steady_s
        for token in _TOKENS.findall(data):
            self._take(token)
        self._wait()
        return self._step()

    def tick(self, now: Moment) -> Step:
        """After 30 s of silence nothing will come of what has begun; a frame may lack its CR LF alone, or its STX."""
        if self._wake_at_s is None or now.steady_s < self._wake_at_s:
            return self._step()
        self._now_s = now.steady_s
        if self._lacks_line_end:
            self._counts.append("no-line-end")
            self._end_frame()
        elif self._is_answer_due:
            self._end_noise()
            self._is_nak_due = False
            self._refuse()
        else:
            self._break_off("cut-off")
        self._wait()
        return self._step()

    def kept(self, token: int, outcome: Outcome, reason: str, now: Moment) -> Step:
        """The answer to a frame, once all messages that it completed are kept, or one of them cannot be."""
        self._note_outcome(token, outcome)
        if token not in self._unkept:
            return self._step()
        self._now_s = now.steady_s
        self._unkept.remove(token)
        self._is_refused = self._is_refused or outcome is Outcome.CANNOT_KEEP
        if not self._unkept:
            if self._is_refused:
                self._received = self._before
                self._refuse()
            else:
                self._acknowledged = self._tokens
                self._send += ACK
            self._wait()
        return self._step()

    def closed(self, orderly: bool, now: Moment) -> Step:
        """What was left; who ended in order had read its answers."""
        if orderly:
            self._prove()
        self._break_off("cut-off")
        self._wait()
        return self._step()

    @property
    def _lacks_line_end(self) -> bool:
        return self._state is _State.CHECKSUM and _CHECKSUM.fullmatch(self._checksum) is not None

    @property
    def _is_answer_due(self) -> bool:
        """Something came that was a frame, and is none: its STX is lost, or it has an ETX too many."""
        defective = self._is_nak_due or self._noise != b""
        return self._state is _State.BETWEEN and defective and not self._unkept

    def _take(self, token: bytes) -> None:
        """One control character of the dialogue, or bytes without any."""
        if self._state is _State.CHECKSUM:
            token = self._take_checksum(token)
        if not token:
            return
        if self._state is _State.TEXT:
            self._take_in_frame(token)
        elif token == ENQ and self._state is _State.NEUTRAL:
            self._end_noise()
            self._state = _State.BETWEEN
            self._send += ACK
        elif token == ENQ:
            # A sender that begins anew says EOT first, and does so if it gets no answer. To a byte that the line has
            # made, an ACK would be taken as the answer to a frame.
            self._counts.append("enquiry-in-transfer")
            self._break_off("cut-off")
        elif token == EOT:
            if self._now_s < self._frame_at_s + SENDER_WAIT_S:
                self._prove()
            self._break_off("no-terminator")
        elif token == STX and self._state is _State.BETWEEN:
            self._end_noise()
            self._is_nak_due = False
            self._state = _State.TEXT
        else:
            self._take_noise(token)

    def _take_in_frame(self, token: bytes) -> None:
        if token == EOT:
            self._break_off("cut-off")
        elif token == STX:  # sent again from its start
            self._piece(bytes(self._frame), "framing")
            self._frame.clear()
        elif token in (ETX, ETB):
            self._state, self._end = _State.CHECKSUM, token
        else:
            # An ENQ here is a byte that the line has spoilt: to answer it would be to acknowledge this frame.
            self._frame += token[: self._max + 1 - len(self._frame)]

    def _take_checksum(self, token: bytes) -> bytes:
        """A frame is complete with its LF; gives what is not of it any more."""
        answers = self._send
        if token in (STX, EOT, ENQ):  # the sender has given the frame up, and waits for no answer
            self._end_frame()
            self._send = answers
            return token
        sent = self._checksum + token
        size = sent.find(LF, 0, CHECKSUM_BYTES) + 1
        if not size and len(sent) < CHECKSUM_BYTES:
            self._checksum = sent
            return b""
        self._checksum = sent[: size or CHECKSUM_BYTES]
        self._end_frame()
        if not size:  # an ETX within a text: one NAK, after the rest of that
            self._send = answers
            self._is_nak_due = True
        return sent[size or CHECKSUM_BYTES :]

    def _end_frame(self) -> None:
        """A frame is complete: keep its text, or say NAK."""
        sent, end, checksum = bytes(self._frame), self._end, self._checksum
        self._frame.clear()
        self._end = self._checksum = b""
        self._state = _State.BETWEEN
        self._frame_at_s = self._now_s
        reason = self._defect(sent, end, checksum)
        if reason == "too-long":
            self._refuse_too_long(sent[1:])
        elif reason:
            self._piece(sent + end + checksum, reason)
            self._refuse()
        elif (int(sent[:1]), sent[1:]) == (self._received.number, self._received.text):
            self._counts.append("frame-sent-again")
            if not self._unkept:
                self._send += ACK
        else:
            self._accept(sent[1:], end)

    def _defect(self, sent: bytes, end: bytes, checksum: bytes) -> str:
        """What is wrong with a frame (LIS01-A2 section 6.5.1), "" if nothing is."""
        text, received = sent[1:], self._received
        if self._is_too_long or len(sent) > self._max:
            return "too-long"
        if not _CHECKSUM.fullmatch(checksum) or int(checksum[:2], 16) != sum(sent + end) % 256:
            return "checksum"
        is_next = sent[:1] == b"%d" % ((received.number + 1) % 8)
        # One number with another text is neither the last frame nor the next.
        is_last = sent[:1] == b"%d" % received.number and text == received.text
        if not is_next and not is_last:
            return "frame-number"
        if is_next and len(received.message) + len(received.record) + len(sent) > self._max:
            return "too-long"
        return ""

    def _refuse_too_long(self, text: bytes) -> None:
        """Keep what there is, once: the sender tries again some times, and then from the start."""
        if not self._is_too_long:
            held = self._received.message + self._received.record + text
            self._piece(held[: self._max], "too-long")
        self._is_too_long = True
        self._counts.append("frame-too-long")
        self._refuse()

    def _accept(self, text: bytes, end: bytes) -> None:
        """The next frame: it is answered at once, unless it completes a message."""
        self._prove()
        self._abandon()
        self._tokens = []
        self._is_refused = False
        before, first_token = self._received, self._next_token
        *records, rest = (before.record + text).split(CR)
        if end == ETX and rest:
            records.append(rest)
            rest = b""
        message = before.message
        for record in records:
            if _is_type(record, b"H") and message.strip(_BLANKS):
                self._piece(message, "no-terminator")
                message = b""
            message += record + CR
            if _is_type(record, b"L"):
                self._complete(message, first_token)
                message = b""
        self._before = before
        self._received = _Received(message, rest, (before.number + 1) % 8, text)
        if not self._unkept:
            self._acknowledged = self._tokens
            self._send += ACK

    def _complete(self, message: bytes, first_token: int) -> None:
        """A message is whole; one that came before this frame, and may come again, is not handed over again."""
        digest = sha256(message).digest()
        earlier = self._handed_over.get(digest)
        if earlier and earlier.token < first_token and self._now_s < earlier.at_s + RESEND_WINDOW_S:
            self._counts.append("message-sent-again")
        else:
            earlier = _HandedOver(self._next_token, self._now_s)
            self._next_token += 1
            self._pieces.append(Piece(message, "", earlier.token, self._proven))
            self._handed_over.pop(digest, None)
            self._handed_over[digest] = earlier
            if len(self._handed_over) > HANDED_OVER_MAX:
                del self._handed_over[next(iter(self._handed_over))]
        self._tokens.append(earlier.token)
        if not earlier.is_kept:
            self._unkept.add(earlier.token)

    def _note_outcome(self, token: int, outcome: Outcome) -> None:
        for digest, message in self._handed_over.items():
            if message.token == token:
                message.is_kept = True
                if outcome is Outcome.CANNOT_KEEP:
                    del self._handed_over[digest]
                return

    def _refuse(self) -> None:
        """NAK; an ACK before it, if there was one, has not arrived."""
        self._acknowledged = []
        self._send += NAK

    def _prove(self) -> None:
        """The sender has gone on as it does after an ACK alone."""
        proven, self._acknowledged = self._acknowledged, []
        if proven:
            kept = {d: m for d, m in self._handed_over.items() if m.token not in proven}
            self._handed_over = kept
            is_run = max(proven) - min(proven) == len(proven) - 1
            self._proven = range(min(proven) if is_run else max(proven), max(proven) + 1)

    def _abandon(self) -> None:
        """The sender has gone on without an answer."""
        if self._unkept:
            self._unkept.clear()
            self._counts.append("not-waited-for-answer")

    def _take_noise(self, token: bytes) -> None:
        """Bytes outside of a frame."""
        self._noise = (self._noise + token).lstrip(_BLANKS)
        while len(self._noise) >= NOISE_BYTES_MAX:
            self._piece(self._noise[:NOISE_BYTES_MAX], self._noise_reason)
            self._noise = self._noise[NOISE_BYTES_MAX:].lstrip(_BLANKS)

    @property
    def _noise_reason(self) -> str:
        return "no-enquiry" if self._state is _State.NEUTRAL else "framing"

    def _end_noise(self) -> None:
        self._piece(self._noise, self._noise_reason)
        self._noise = b""

    def _break_off(self, reason: str) -> None:
        """A transfer is over: what is left of it is a piece, and nothing of it is answered any more."""
        self._end_noise()
        rest = b"" if self._is_too_long else self._received.message + self._received.record
        self._piece(rest + bytes(self._frame) + self._end + self._checksum, reason)
        self._frame.clear()
        self._end = self._checksum = b""
        self._received = self._before = _Received()
        self._is_too_long = self._is_nak_due = False
        self._abandon()
        self._acknowledged = []
        self._state = _State.NEUTRAL

    def _piece(self, data: bytes, reason: str) -> None:
        if data.strip(_BLANKS):
            self._pieces.append(Piece(data, reason))

    def _wait(self) -> None:
        """Until when silence means nothing yet."""
        if self._lacks_line_end or self._is_answer_due:
            self._wake_at_s = self._now_s + ANSWER_WAIT_S
        elif self._state is _State.NEUTRAL and not self._noise:
            self._wake_at_s = None
        else:
            self._wake_at_s = self._now_s + RECEIVER_WAIT_S

    def _step(self) -> Step:
        phase = "keeping" if self._unkept else self._state.value
        step = Step(tuple(self._pieces), self._send, self._wake_at_s, phase, self._proven, counts=tuple(self._counts))
        self._pieces.clear()
        self._send = b""
        self._proven = range(0)
        self._counts.clear()
        return step


def _is_type(record: bytes, letter: bytes) -> bool:
    """Whether a record is of this type: a letter, and then a delimiter or nothing."""
    record = record.lstrip(b"\n")
    return record[:1].upper() == letter and not record[1:2].isalnum()
