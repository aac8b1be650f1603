"""MLLP, the frame around HL7 v2 on TCP (HL7 Transport Specification MLLP, Release 1), and the answer to each message.

    <SB 0x0B> payload <EB 0x1C> <CR 0x0D>

SB and EB cannot occur in a payload, so each of them is believed wherever it stands: an SB always starts a frame, an
EB always ends one, with or without its CR. What lies between frames is noise and reported, save the blanks and line
ends that some senders add.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from enum import Enum

from adapters.formats.hl7_ack import Answers, HeadReader, MessageHead
from adapters.session import Moment, Outcome, Piece, Step
from schemas.layout import FRAME_BYTES_MAX

SB, EB, CR = b"\x0b", b"\x1c", b"\x0d"
END = EB + CR
STALL_S = 60.0  # a frame that stands still for so long is not going to end; a slow network is no broken message
CR_WAIT_S = 5.0  # some senders omit the last CR, and wait for their answer
_TOKENS = re.compile(rb"[\x0b\x1c]|[^\x0b\x1c]+")
_BLANKS = b" \t\r\n"
_control_ids = itertools.count(1)  # MSH-10 of our answers


class _State(Enum):
    BETWEEN = "between frames"
    INSIDE = "inside a frame"
    ENDED = "after an EB, whose CR is due"
    SKIPPING = "inside something too long"


_BETWEEN, _INSIDE, _ENDED, _SKIPPING = _State


class _Framing:
    """Cuts a byte stream into payloads and malformed pieces, each with its reason ("" for a payload), in linear time.

    A malformed piece has the reason `no-start-block`, `no-end-block`, `nested-start-block` or `too-long`, and at most
    `max_frame_bytes` of its bytes; the rest of something too long is passed over, up to the next SB or EB.
    """

    def __init__(self, max_frame_bytes: int) -> None:
        self._max = max_frame_bytes
        self._buffer = bytearray()
        self.state = _BETWEEN
        self.cuts: list[tuple[bytes, str]] = []
        self.counts: list[str] = []

    @property
    def idle(self) -> bool:
        """Nothing has begun."""
        return self.state is _BETWEEN and not self._buffer

    def feed(self, data: bytes) -> None:
        """Add what is complete with these bytes to `cuts`."""
        if self.state is _BETWEEN and not self._buffer and self._is_one_frame(data):
            self.cuts.append((data[1:-2], ""))
            return
        for token in _TOKENS.findall(data):
            self._take(token)

    def end(self) -> None:
        """Add what is left when no more will come, and begin anew."""
        state, self.state = self.state, _BETWEEN
        if state is _INSIDE:
            self._cut("no-end-block")
        elif state is _ENDED:
            self._cut("")
            self.counts.append("end-block-without-cr")
        elif self._buffer:
            self._cut("no-start-block")

    def _is_one_frame(self, data: bytes) -> bool:
        """Whether a read holds one whole frame and nothing else: so it is with nearly every sender."""
        return (
            data.startswith(SB)
            and data.endswith(END)
            and data.count(SB) == 1
            and data.count(EB) == 1
            and len(data) <= self._max + 3
        )

    def _take(self, token: bytes) -> None:
        """One SB, one EB, or bytes without either."""
        if self.state is _ENDED:
            self._cut("")
            if not token.startswith(CR):
                self.counts.append("end-block-without-cr")
            self.state = _BETWEEN  # where a CR is a blank
        if token == SB:
            if self.state is _INSIDE or self._buffer:
                self._cut("nested-start-block" if self.state is _INSIDE else "no-start-block")
            self.state = _INSIDE
        elif token == EB:
            if self.state is _BETWEEN:
                self._buffer = self._buffer or bytearray(EB)
                self._cut("no-start-block")
            self.state = _ENDED if self.state is _INSIDE else _BETWEEN
        elif self.state is not _SKIPPING:
            self._fill(token)

    def _fill(self, token: bytes) -> None:
        if self.state is _BETWEEN and not self._buffer:
            token = token.lstrip(_BLANKS)
        capacity = self._max - len(self._buffer)
        self._buffer += token[:capacity]
        if len(token) > capacity:
            self._cut("too-long" if self.state is _INSIDE else "no-start-block")
            self.state = _SKIPPING

    def _cut(self, reason: str) -> None:
        self.cuts.append((bytes(self._buffer), reason))
        self._buffer.clear()


class MllpSession:
    """One sender's messages, each answered when it is kept, in the order of `kept`; each answer names its message.

    `answers` says which of two is sent where a message asks for an accept and for an application acknowledgement.
    What comes in as an acknowledgement is counted and is no piece. A frame without its end is never answered: its
    sender sends it again. Nor is noise between frames without a message in it: nobody waits for that, and its answer
    would be taken for the next message's.
    """

    def __init__(self, answers: Answers = "accept", max_frame_bytes: int = FRAME_BYTES_MAX) -> None:
        self._answers: Answers = answers
        self._framing, self._heads = _Framing(max_frame_bytes), HeadReader()
        self._next_token = 0
        self._unanswered: dict[int, MessageHead] = {}  # in order
        self._wake_at_s: float | None = None

    def opened(self, now: Moment) -> Step:
        """A sender speaks first."""
        return self._step()

    def feed(self, data: bytes, now: Moment) -> Step:
        """The messages that are complete with these bytes."""
        self._framing.feed(data)
        if self._framing.idle or self._framing.state is _SKIPPING:
            self._wake_at_s = None
        else:
            self._wake_at_s = now.steady_s + (CR_WAIT_S if self._framing.state is _ENDED else STALL_S)
        return self._step(self._cuts(answered=True))

    def tick(self, now: Moment) -> Step:
        """A frame has stood still for too long: it is complete where only its CR is missing, else it is no message."""
        if self._wake_at_s is None or now.steady_s < self._wake_at_s:
            return self._step()
        self._wake_at_s = None
        if self._framing.state is _ENDED:
            self._framing.end()
            return self._step(self._cuts(answered=True))
        self._framing.end()
        return self._step(self._cuts(answered=False), close=True)

    def kept(self, token: int, outcome: Outcome, reason: str, now: Moment) -> Step:
        """The answer that the sender of this frame wants."""
        head = self._unanswered.pop(token, None)
        if head is None:
            return self._step()
        answers = head.answers(outcome, now.utc_us, _control_ids, reason, self._answers)
        return self._step(send=b"".join([wrap(answer) for answer in answers]))

    def closed(self, orderly: bool, now: Moment) -> Step:
        """What was left; who ended in order had read its answers (a socket with unread bytes is reset, not ended)."""
        proven = self._answered() if orderly else range(0)
        self._wake_at_s = None
        complete = self._framing.state is _ENDED
        self._framing.end()
        return self._step(self._cuts(answered=complete), proven=proven)

    def _answered(self) -> range:
        """The tokens before the first that is unanswered."""
        return range(next(iter(self._unanswered), self._next_token))

    def _cuts(self, answered: bool) -> list[Piece]:
        """What the framing has cut, as pieces; an acknowledgement is never acknowledged (HL7 2.5.1 section 2.9)."""
        proved, pieces = self._answered(), []
        for data, reason in self._framing.cuts:
            head = self._heads.read(data)
            if head.is_acknowledgement and not reason:
                self._framing.counts.append("acknowledgement")
            elif head.is_acknowledgement or not answered or (reason == "no-start-block" and not head.is_there):
                pieces.append(Piece(data, reason, None, proved))
            else:
                token, self._next_token = self._next_token, self._next_token + 1
                self._unanswered[token] = head
                pieces.append(Piece(data, reason, token, proved))
        self._framing.cuts.clear()
        return pieces

    def _step(
        self, pieces: Sequence[Piece] = (), send: bytes = b"", *, proven: range = range(0), close: bool = False
    ) -> Step:
        counts, self._framing.counts = tuple(self._framing.counts), []
        phase = "waiting" if self._framing.idle else "receiving"
        return Step(tuple(pieces), send, self._wake_at_s, phase, proven, close, counts)


def wrap(payload: bytes) -> bytes:
    """A payload as it goes on the wire."""
    return SB + payload + END
