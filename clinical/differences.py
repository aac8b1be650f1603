"""What to write when intervals were computed anew: a row that no longer holds gets an end of its recorded time, a new
one begins. Nothing else of a row ever changes, so that what was believed at any time can be asked for."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import Generic, TypeVar

import msgspec

T = TypeVar("T", bound=Hashable)


class Differences(msgspec.Struct, Generic[T], frozen=True):
    """Rows to end first, then rows to begin, at one moment of recorded time."""

    to_end: tuple[T, ...]
    to_begin: tuple[T, ...]


def differences(believed: Iterable[T], computed: Iterable[T]) -> Differences[T]:
    """`believed`: the rows of the same encounters, devices or subjects that have no end of recorded time yet. Rows are
    the same only if all of them is, the facts behind them too."""
    before, after = dict.fromkeys(believed), dict.fromkeys(computed)
    return Differences(
        to_end=tuple(row for row in before if row not in after),
        to_begin=tuple(row for row in after if row not in before),
    )
