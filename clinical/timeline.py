"""Things that hold from one moment to another, asked for in the order of time."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Generic, TypeVar

import msgspec


class Span(msgspec.Struct, frozen=True):
    """[from, until); until None: without an end."""

    from_us: int
    until_us: int | None


T = TypeVar("T")


class Timeline(Generic[T]):
    """Things with a begin and an end, asked for at moments that never go back."""

    def __init__(self, things: Iterable[tuple[int, int | None, T]]) -> None:
        self._coming = deque(
            sorted((thing for thing in things if thing[1] is None or thing[1] > thing[0]), key=lambda thing: thing[0])
        )
        self._active: list[tuple[int | None, T]] = []
        self.cuts = {cut for from_us, until_us, _ in self._coming for cut in (from_us, until_us) if cut is not None}

    def at(self, at_us: int) -> list[T]:
        """In the order of their begins."""
        while self._coming and self._coming[0][0] <= at_us:
            _, until_us, thing = self._coming.popleft()
            self._active.append((until_us, thing))
        self._active = [(until_us, thing) for until_us, thing in self._active if until_us is None or until_us > at_us]
        return [thing for _, thing in self._active]
