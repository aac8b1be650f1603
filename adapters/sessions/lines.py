"""Lines of text on a serial port, which nobody answers."""

from __future__ import annotations

import re

from adapters.session import Piece
from adapters.sessions.one_way import OneWaySession

LINE_BYTES_MAX = 256
_LINE_END = re.compile(rb"[\r\n]")


class LineSession(OneWaySession):
    """Lines ended by CR, LF or both; empty ones are nothing."""

    def _take(self) -> list[Piece]:
        pieces = []
        start = 0
        while True:
            limit = start + LINE_BYTES_MAX
            end = _LINE_END.search(self._buffer, start, limit)
            if end is None and len(self._buffer) < limit:
                break
            if end is None:
                pieces.append(Piece(self._buffer[start:limit], "line-too-long"))
                start = limit
            else:
                if end.start() > start:
                    pieces.append(Piece(self._buffer[start : end.start()]))
                start = end.end()
        self._buffer = self._buffer[start:]
        return pieces
