"""Philips IntelliVue's Data Export on the MIB/RS-232 port: its messages in frames, and the dialogue of the LAN inside.

"Data Export Interface Programming Guide" rev G.0, pages 29 to 35; the check by the public readers that it was compared
with: CRC-16/X.25, low byte first.

    C0 | 11 01 | length u16 | message | check, low byte, high byte | C1

The length is that of the message; the check is over all between C0 and itself. C0, C1 and 7D between the ends are sent
as 7D and the byte xor 20; 7D C1 gives a frame up.
"""

from __future__ import annotations

from collections.abc import Iterator

from adapters.session import Moment, Outcome, Piece, Session, Step

BEGIN, END, ESCAPE, FLIP = 0xC0, 0xC1, 0x7D, 0x20
HEAD = b"\x11\x01"
FRAME_BYTES_MAX = 2 * (4 + 0xFFFF + 2)  # all of it escaped
NOISE_BYTES_MAX = 1024  # of one piece


def _table() -> tuple[int, ...]:
    rows = []
    for byte in range(256):
        value = byte
        for _ in range(8):
            value = value >> 1 ^ 0x8408 if value & 1 else value >> 1
        rows.append(value)
    return tuple(rows)


_TABLE = _table()


def check_of(data: bytes) -> int:
    """CRC-16/X.25.

    >>> f"{check_of(b'123456789'):04X}"
    '906E'
    """
    value = 0xFFFF
    for byte in data:
        value = value >> 8 ^ _TABLE[(value ^ byte) & 0xFF]
    return value ^ 0xFFFF


def framed(message: bytes) -> bytes:
    """A message as it goes over the line."""
    inner = HEAD + len(message).to_bytes(2, "big") + message
    inner += check_of(inner).to_bytes(2, "little")
    escaped = bytearray([BEGIN])
    for byte in inner:
        escaped += bytes([ESCAPE, byte ^ FLIP]) if byte in (BEGIN, END, ESCAPE) else bytes([byte])
    return bytes(escaped) + bytes([END])


class MibSession:
    """Frames off the line to a session of messages, and its messages onto it.

    What is no frame has a reason: `noise` (bytes between frames), `framing` (no end before the next begin, head or
    length), `checksum`, `aborted`, `too-long`, `cut-off`.
    """

    def __init__(self, messages: Session) -> None:
        self._messages = messages
        self._noise = bytearray()
        self._frame: bytearray | None = None  # as it came, from its begin on; None between frames

    def opened(self, now: Moment) -> Step:
        """As the session of messages."""
        return self._sent(self._messages.opened(now))

    def feed(self, data: bytes, now: Moment) -> Step:
        """The frames that are whole with these bytes."""
        step = Step()
        pieces: list[Piece] = []
        counts: list[str] = []
        sent = b""
        is_told = False
        for found in self._pieces(data):
            if found.reason:
                pieces.append(found)
                continue
            step, is_told = self._sent(self._messages.feed(found.data, now)), True
            pieces += step.pieces
            counts += step.counts
            sent += step.send
        if not is_told:
            step = self._sent(self._messages.feed(b"", now))
            sent = step.send
        return Step(tuple(pieces), sent, step.wake_at_s, step.phase, counts=tuple(counts))

    def tick(self, now: Moment) -> Step:
        """As the session of messages; what is left of noise is given out."""
        return self._sent(self._messages.tick(now))

    def kept(self, token: int, outcome: Outcome, reason: str, now: Moment) -> Step:
        """As the session of messages."""
        return self._sent(self._messages.kept(token, outcome, reason, now))

    def closed(self, orderly: bool, now: Moment) -> Step:
        """What was left of a frame, and the last message."""
        step = self._sent(self._messages.closed(orderly, now))
        pieces = list(self._noise_pieces())
        if self._frame is not None:
            pieces.append(Piece(bytes(self._frame), "cut-off"))
            self._frame = None
        return Step((*pieces, *step.pieces), step.send, step.wake_at_s, step.phase, counts=step.counts)

    @staticmethod
    def _sent(step: Step) -> Step:
        return Step(
            step.pieces, framed(step.send) if step.send else b"", step.wake_at_s, step.phase, step.proven, step.close,
            step.counts,
        )  # fmt: skip

    # --- frames -------------------------------------------------------------------------------------------------------

    def _pieces(self, data: bytes) -> Iterator[Piece]:
        """Each frame's message, and with a reason what is none."""
        for byte in data:
            if byte == BEGIN:
                yield from self._noise_pieces()
                if self._frame is not None:
                    yield Piece(bytes(self._frame), "framing")
                self._frame = bytearray([BEGIN])
            elif self._frame is None:
                self._noise.append(byte)
                if len(self._noise) >= NOISE_BYTES_MAX:
                    yield from self._noise_pieces()
            else:
                self._frame.append(byte)
                if byte == END or len(self._frame) > FRAME_BYTES_MAX:
                    frame, self._frame = bytes(self._frame), None
                    yield _message(frame)

    def _noise_pieces(self) -> Iterator[Piece]:
        if self._noise:
            noise = bytes(self._noise)
            self._noise.clear()
            yield Piece(noise, "noise")


def _message(frame: bytes) -> Piece:
    """The message of a frame from its begin to its end, or the frame with what is wrong with it."""
    if frame[-1] != END:
        return Piece(frame, "too-long")
    if frame[-2] == ESCAPE:
        return Piece(frame, "aborted")
    inner = bytearray()
    is_escaped = False
    for byte in frame[1:-1]:
        if is_escaped:
            inner.append(byte ^ FLIP)
            is_escaped = False
        elif byte == ESCAPE:
            is_escaped = True
        else:
            inner.append(byte)
    if len(inner) < 6 or inner[:2] != HEAD or int.from_bytes(inner[2:4], "big") != len(inner) - 6:
        return Piece(frame, "framing")
    if check_of(bytes(inner[:-2])) != int.from_bytes(inner[-2:], "little"):
        return Piece(frame, "checksum")
    return Piece(bytes(inner[4:-2]))
