"""Nonin's Data Format 13, a measurement at a time (9560 OEM specification 6470-000-01):

    00 02 00 0D | length, 2 bytes | data | sum of the data modulo 256 | 03

The device waits for an acknowledgement by some readings, which no document here makes sure of: none is sent.
"""

from __future__ import annotations

from adapters.session import Piece
from adapters.sessions.one_way import OneWaySession

HEAD = b"\x00\x02\x00\x0d"
HEAD_BYTES, TAIL_BYTES = 6, 2
DATA_BYTES_MIN, DATA_BYTES_MAX = 14, 250  # of the format, and of what is waited for here
ETX = 0x03
NOISE_BYTES_MAX = 256


class NoninDf13Session(OneWaySession):
    """Messages by their stated length; bytes between them are noise up to the next head."""

    def _take(self) -> list[Piece]:
        """The messages that are whole, and bytes that fit none."""
        pieces = []
        while self._buffer:
            length = _length_of(self._buffer)
            reason = ""
            if length == 0:
                reason = "framing"
                length = self._buffer.find(HEAD, 1, NOISE_BYTES_MAX)
                if length < 0 and len(self._buffer) < NOISE_BYTES_MAX + len(HEAD):
                    break
                length = length if length > 0 else NOISE_BYTES_MAX - len(HEAD)
            elif length > len(self._buffer):
                break
            pieces.append(Piece(self._buffer[:length], reason))
            self._buffer = self._buffer[length:]
        return pieces


def _length_of(part: bytes) -> int:
    """How many bytes the message has that begins here, 0 where none does; more than there are: wait."""
    if not part.startswith(HEAD[: len(part)]):
        return 0
    if len(part) < HEAD_BYTES:
        return HEAD_BYTES + 1
    data_bytes = int.from_bytes(part[4:6], "big")
    if not DATA_BYTES_MIN <= data_bytes <= DATA_BYTES_MAX:
        return 0
    whole = HEAD_BYTES + data_bytes + TAIL_BYTES
    if len(part) >= whole and part[whole - 1] != ETX:
        return 0
    return whole
