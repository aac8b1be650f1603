"""A device on a serial port that speaks by itself and knows no answer."""

from __future__ import annotations

from abc import ABC, abstractmethod

from adapters.session import Moment, Outcome, Piece, Step


class OneWaySession(ABC):
    """Whatever comes is kept until it is a whole frame; nothing is sent, and nothing waits for a moment."""

    def __init__(self) -> None:
        self._buffer = b""

    @abstractmethod
    def _take(self) -> list[Piece]:
        """The frames that the buffer holds whole, taken off it."""

    def opened(self, now: Moment) -> Step:
        """The device speaks by itself."""
        return self._step([])

    def feed(self, data: bytes, now: Moment) -> Step:
        """The frames that are whole with these bytes."""
        self._buffer += data
        return self._step(self._take())

    def tick(self, now: Moment) -> Step:
        """Nothing waits for a moment."""
        return self._step([])

    def kept(self, token: int, outcome: Outcome, reason: str, now: Moment) -> Step:
        """No frame is answered."""
        return self._step([])

    def closed(self, orderly: bool, now: Moment) -> Step:
        """What was left of a frame."""
        rest, self._buffer = self._buffer, b""
        return self._step([Piece(rest, "cut-off")] if rest else [])

    def _step(self, pieces: list[Piece]) -> Step:
        return Step(tuple(pieces), phase="receiving" if self._buffer else "waiting")
