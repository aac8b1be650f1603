"""A bed as the ward's pages have it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Bed:
    """A bed, or a device that nobody has put on one: then `assigned` is false and `label` is what it calls itself."""

    key: str
    label: str
    assigned: bool

    def __hash__(self) -> int:
        """Of the key alone: it is asked for some thousand times a second."""
        return hash(self.key)
