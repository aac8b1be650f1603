"""Nonin's Data Format 7 on a serial port: three packets, one second, to a frame (9560 and 3150 specifications).

The device sends by itself and knows no answer; the bytes are drawn in `adapters/devices/nonin_bluetooth.py`.
"""

from __future__ import annotations

from adapters.session import Moment, Piece, Step
from adapters.sessions.one_way import OneWaySession

FRAME, PACKET, SECOND = 5, 125, 375  # bytes
_FRAMES_THAT_HOLD = 13  # of a packet's 25: a status byte alone may be any byte of the pleth


def begins_packet(part: bytes) -> bool:
    """Whether a packet can begin with these bytes, up to 125: bit 7 of each status, SYNC in the first alone."""
    return all(s & 0x81 == (0x80 if i else 0x81) for i, s in enumerate(part[0:PACKET:FRAME]))


def is_packet(part: bytes) -> bool:
    """Whether 125 bytes are a packet, of which some frames may be damaged."""
    sums = [sum(part[at : at + 4]) & 0xFF == part[at + 4] for at in range(0, PACKET, FRAME)]
    return begins_packet(part) and sum(sums) >= _FRAMES_THAT_HOLD


class NoninDf7Session(OneWaySession):
    """Three packets to a frame, aligned on SYNC; after a lost byte it looks for the next packet."""

    def __init__(self) -> None:
        super().__init__()
        self._whole = 0  # bytes at the front that are whole packets

    def _take(self) -> list[Piece]:
        """The seconds that are whole, and bytes that fit no packet."""
        pieces = []
        while len(self._buffer) >= self._whole + PACKET:
            part = self._buffer[self._whole : self._whole + PACKET]
            if is_packet(part):
                self._whole += PACKET
                if self._whole == SECOND:
                    pieces.append(self._cut(SECOND, ""))
            else:
                skipped = next(i for i in range(1, PACKET + 1) if begins_packet(part[i:]))
                pieces.append(self._cut(self._whole + skipped, "framing"))
        return pieces

    def _cut(self, length: int, reason: str) -> Piece:
        piece = Piece(self._buffer[:length], reason)
        self._buffer = self._buffer[length:]
        self._whole = 0
        return piece

    def closed(self, orderly: bool, now: Moment) -> Step:
        """What was left of a second."""
        self._whole = 0
        return super().closed(orderly, now)
