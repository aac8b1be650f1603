"""Nonin's Data Format 2 on a serial port: three packets, one second, to a frame (OEM III and Xpod "Specification and
Technical Information", "Serial Data Format #2").

The device sends by itself and knows no answer; the bytes are drawn in `adapters/devices/nonin.py`.
"""

from __future__ import annotations

from adapters.session import Moment, Piece, Step
from adapters.sessions.one_way import OneWaySession

FRAME, PACKET, SECOND = 5, 125, 375  # bytes


def begins_packet(part: bytes) -> bool:
    """Whether a packet can begin with these bytes, up to 125: each frame's 01, bit 7 set, SYNC in the first alone."""
    starts = part[0::FRAME]
    if starts != b"\x01" * len(starts):
        return False
    return all(s & 0x81 == (0x80 if i else 0x81) for i, s in enumerate(part[1::FRAME]))


class NoninDf2Session(OneWaySession):
    """Three packets to a frame, aligned on SYNC; after a lost byte it looks for the next packet."""

    def __init__(self) -> None:
        super().__init__()
        self._whole = 0  # bytes at the front that are whole packets

    def _take(self) -> list[Piece]:
        """The seconds that are whole, and bytes that fit no packet."""
        pieces = []
        start = 0
        while len(self._buffer) >= start + self._whole + PACKET:
            at = start + self._whole
            part = self._buffer[at : at + PACKET]
            end = start
            if begins_packet(part):
                self._whole += PACKET
                if self._whole == SECOND:
                    end = start + SECOND
                    pieces.append(Piece(self._buffer[start:end]))
            else:
                end = at + next(i for i in range(1, PACKET + 1) if begins_packet(part[i:]))
                pieces.append(Piece(self._buffer[start:end], "framing"))
            if end > start:
                start, self._whole = end, 0
        self._buffer = self._buffer[start:]
        return pieces

    def closed(self, orderly: bool, now: Moment) -> Step:
        """What was left of a second."""
        self._whole = 0
        return super().closed(orderly, now)
