"""A picture of all beds as it goes out: fragments by bed, encoded once and shared by all who may see the same."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import msgspec

from gateway.access.beds import Bed

Fragments = list[tuple[Bed, bytes]]
_BEGIN, _END = b"data: ", b"\n\n"  # of a server-sent event


@dataclass
class Picture:
    """The `number`-th picture: what changed since the one before, and all there is where somebody asked for it.

    `head` goes to everyone, `whole_head` with the whole: they hold nothing of a bed.
    """

    number: int
    head: dict[str, Any]
    beds: list[Bed]
    differences: Fragments
    whole_head: dict[str, Any]
    whole: Fragments | None
    _messages: dict[tuple[bool, frozenset[Bed]], bytes] = field(default_factory=dict)

    def message(self, hidden: frozenset[Bed], *, whole: bool) -> bytes:
        """The server-sent event for those from whom these beds are hidden; `whole` must be there for the whole."""
        key = (whole, hidden)
        if key not in self._messages:
            fragments = self.whole if whole else self.differences
            assert fragments is not None
            head = {"number": self.number, "whole": whole, **self.head, **(self.whole_head if whole else {})}
            beds = b",".join(fragment for bed, fragment in fragments if bed not in hidden)
            # One line: JSON escapes what would end it.
            self._messages[key] = _BEGIN + msgspec.json.encode(head)[:-1] + b',"beds":[' + beds + b"]}" + _END
        return self._messages[key]

    def document(self, hidden: frozenset[Bed]) -> bytes:
        """The whole as JSON, for those from whom these beds are hidden."""
        return self.message(hidden, whole=True).removeprefix(_BEGIN).removesuffix(_END)
