"""Site mapping: what one sender calls a thing, in standard words."""

from __future__ import annotations

from typing import NamedTuple

import msgspec


class Mapped(NamedTuple):
    """A thing in standard words; the value as sent is multiplied by 10^exponent_shift (exact, no float)."""

    code: int
    unit: int
    exponent_shift: int = 0


class SiteMapping(msgspec.Struct, frozen=True):
    """The table of one source: (code system or "", code) to standard words, with the unit as the sender means it."""

    rows: dict[tuple[str, str], Mapped] = {}

    def find(self, system: str, code: str) -> Mapped | None:
        """By system and code, else by code alone."""
        return self.rows.get((system, code)) or self.rows.get(("", code))
