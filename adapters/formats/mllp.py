"""MLLP, the frame around HL7 v2 on TCP (HL7 Transport Specification MLLP, Release 1).

    <SB 0x0B> payload <EB 0x1C> <CR 0x0D>

SB and EB cannot occur in a payload, so each of them is believed wherever it stands: an SB always starts a frame, an
EB always ends one. What lies between frames is noise and reported, save the blanks and line ends that some senders add.
"""

from __future__ import annotations

import re
from enum import Enum

from adapters.driver import Piece
from schemas.layout import FRAME_BYTES_MAX

SB, EB, CR = b"\x0b", b"\x1c", b"\x0d"
_TOKENS = re.compile(rb"[\x0b\x1c]|[^\x0b\x1c]+")
_BLANKS = b" \t\r\n"
_State = Enum("_State", ["BETWEEN", "INSIDE", "ENDED", "SKIPPING"])  # ENDED: the EB's CR is due
_BETWEEN, _INSIDE, _ENDED, _SKIPPING = _State


class MllpFramer:
    """Cuts a byte stream into payloads and malformed pieces. Any chunking gives the same pieces, in linear time.

    A malformed piece has the reason `no-start-block`, `no-end-block`, `end-block-without-cr`, `nested-start-block` or
    `too-long`, and at most `max_frame_bytes` of its bytes; the rest of something too long is passed over, up to the
    next SB or EB.
    """

    def __init__(self, max_frame_bytes: int = FRAME_BYTES_MAX) -> None:
        self._max = max_frame_bytes
        self._state = _BETWEEN
        self._buffer = bytearray()

    @property
    def pending(self) -> bool:
        """Something has begun and not ended: a sender is connected, and no end block (or not its CR) came."""
        return self._state is not _BETWEEN or bool(self._buffer)

    def feed(self, data: bytes) -> list[Piece]:
        """The pieces that are complete with these bytes."""
        pieces: list[Piece] = []
        for token in _TOKENS.findall(data):
            self._step(token, pieces)
        return pieces

    def close(self) -> Piece | None:
        """What is left when no more will come (disconnected, or silent for too long); then it begins anew."""
        state, self._state = self._state, _BETWEEN
        if state is _INSIDE:
            return self._piece("no-end-block")
        if state is _ENDED:
            return self._piece("end-block-without-cr")
        return self._piece("no-start-block") if self._buffer else None

    def _step(self, token: bytes, pieces: list[Piece]) -> None:
        """One SB, one EB, or bytes without either."""
        if self._state is _ENDED:
            pieces.append(self._piece("" if token.startswith(CR) else "end-block-without-cr"))
            self._state = _BETWEEN  # where a CR is a blank
        if token == SB:
            if self._state is _INSIDE or self._buffer:
                pieces.append(self._piece("nested-start-block" if self._state is _INSIDE else "no-start-block"))
            self._state = _INSIDE
        elif token == EB:
            if self._state is _BETWEEN:
                self._buffer = self._buffer or bytearray(EB)
                pieces.append(self._piece("no-start-block"))
            self._state = _ENDED if self._state is _INSIDE else _BETWEEN
        elif self._state is not _SKIPPING:
            if self._state is _BETWEEN and not self._buffer:
                token = token.lstrip(_BLANKS)
            room = self._max - len(self._buffer)
            self._buffer += token[:room]
            if len(token) > room:
                pieces.append(self._piece("too-long" if self._state is _INSIDE else "no-start-block"))
                self._state = _SKIPPING

    def _piece(self, reason: str) -> Piece:
        piece = Piece(bytes(self._buffer), reason)
        self._buffer.clear()
        return piece


def wrap(payload: bytes) -> bytes:
    """A payload as it goes on the wire."""
    return SB + payload + EB + CR
