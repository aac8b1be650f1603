"""The Nellcor N-200's port: packets of one length, which the monitor sends by itself (N-200 manual, pages 52 and 56).

    02 RnnnSnnnPnnnLnnnHnnnOnnnAnnnMnnnTnnnnnnQnnn 0D 0A CHK 03      rear switch down
    02 RnnnSnnnPnnnLnnnHnnnOnnnAnnnMnnnTnnnnnnQnnn 0D 0A 03 CHK 03   rear switch up

How CHK is computed is told nowhere, and it may be any byte, so that packets are cut by their length. A packet of the
shorter form whose CHK is 03 is told from the longer one by the byte behind it, and waits for that.
"""

from __future__ import annotations

from adapters.session import Piece
from adapters.sessions.one_way import OneWaySession

STX, ETX = 0x02, 0x03
LINE_END_AT = 1 + 43
DOWN_BYTES, UP_BYTES = LINE_END_AT + 4, LINE_END_AT + 5
NOISE_BYTES_MAX = 256
_STX = bytes([STX])


def length_of(part: bytes) -> int | None:
    """How many bytes a packet that begins here has; 0 where none does, None where more bytes have to say it."""
    if part[:1] != _STX:
        return 0
    if len(part) < DOWN_BYTES:
        return None
    if part[LINE_END_AT : LINE_END_AT + 2] != b"\r\n":
        return 0
    is_down = part[DOWN_BYTES - 1] == ETX
    if part[DOWN_BYTES - 2] != ETX:
        return DOWN_BYTES if is_down else 0
    if len(part) < UP_BYTES:
        return None
    if part[UP_BYTES - 1] == ETX:
        return UP_BYTES
    return DOWN_BYTES if is_down else 0


class NellcorN200Session(OneWaySession):
    """Packets of both forms; bytes between them are noise up to the next STX."""

    def _take(self) -> list[Piece]:
        """The packets that are whole, and bytes that fit none."""
        pieces = []
        while self._buffer:
            length = length_of(self._buffer)
            if length is None:
                break
            reason = ""
            if length == 0:
                reason = "framing"
                length = self._buffer.find(_STX, 1, NOISE_BYTES_MAX)
                if length < 0 and len(self._buffer) < NOISE_BYTES_MAX:
                    break
                length = length if length > 0 else NOISE_BYTES_MAX
            pieces.append(Piece(self._buffer[:length], reason))
            self._buffer = self._buffer[length:]
        return pieces
