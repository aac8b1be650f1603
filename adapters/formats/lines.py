"""Lines of text on a serial port."""

from __future__ import annotations

import re

from adapters.driver import Piece

LINE_BYTES_MAX = 256


class LineFramer:
    """Lines ended by CR, LF or both; empty ones are nothing."""

    def __init__(self) -> None:
        self._buffer = b""

    def feed(self, data: bytes) -> list[Piece]:
        """Pieces that are complete with these bytes."""
        self._buffer += data
        pieces = []
        while (end := re.search(rb"[\r\n]", self._buffer[:LINE_BYTES_MAX])) or len(self._buffer) >= LINE_BYTES_MAX:
            if end is None:
                pieces.append(Piece(self._buffer[:LINE_BYTES_MAX], "line-too-long"))
            elif end.start():
                pieces.append(Piece(self._buffer[: end.start()]))
            self._buffer = self._buffer[end.end() if end else LINE_BYTES_MAX :]
        return pieces
