"""Lines of text on a serial port, which nobody answers."""

from __future__ import annotations

import re

from adapters.session import Moment, Outcome, Piece, Step

LINE_BYTES_MAX = 256
_LINE_END = re.compile(rb"[\r\n]")


class LineSession:
    """Lines ended by CR, LF or both; empty ones are nothing."""

    def __init__(self) -> None:
        self._buffer = b""

    def opened(self, now: Moment) -> Step:
        """The device speaks by itself."""
        return self._step([])

    def feed(self, data: bytes, now: Moment) -> Step:
        """The lines that end in these bytes."""
        self._buffer += data
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
        return self._step(pieces)

    def tick(self, now: Moment) -> Step:
        """Nothing waits for a moment."""
        return self._step([])

    def kept(self, token: int, outcome: Outcome, reason: str, now: Moment) -> Step:
        """No line is answered."""
        return self._step([])

    def closed(self, orderly: bool, now: Moment) -> Step:
        """What was left of a line."""
        rest, self._buffer = self._buffer, b""
        return self._step([Piece(rest, "cut-off")] if rest else [])

    def _step(self, pieces: list[Piece]) -> Step:
        return Step(tuple(pieces), phase="receiving" if self._buffer else "waiting")
