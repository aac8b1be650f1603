"""A picture of all beds as it goes out: fragments by bed, encoded once and shared by all who may see the same."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import msgspec

from gateway.access.beds import Bed
from gateway.places import Places

_BEGIN, _END = b"data: ", b"\n\n"  # of a server-sent event
_NOBODY = msgspec.json.encode({"hidden": True})  # who lies there is not this viewer's business


class Fragment(NamedTuple):
    """What is said of a bed, as JSON: `body` an object, what else belongs into it by itself; b"": nothing of it."""

    body: bytes
    alarms: bytes = b""
    patient: bytes = b""


Fragments = list[tuple[Bed, Fragment]]


@dataclass(frozen=True)
class Visible:
    """What somebody sees of a ward: the beds, those with their alarms, and those with who lies there."""

    beds: frozenset[Bed] = frozenset()
    alarms: frozenset[Bed] = frozenset()
    named: frozenset[Bed] = frozenset()
    asked: int | None = None  # how many questions of the worklist are his; None: none is

    def of(self, bed: Bed, fragment: Fragment) -> bytes:
        """As it goes out."""
        parts = [fragment.body[:-1]]
        if fragment.alarms and bed in self.alarms:
            parts.append(b',"alarms":' + fragment.alarms)
        if fragment.patient:
            parts.append(b',"patient":' + (fragment.patient if bed in self.named else _NOBODY))
        return b"".join(parts) + b"}"


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
    places: Places = field(default_factory=Places)
    _messages: dict[tuple[bool, Visible, frozenset[Bed]], bytes] = field(default_factory=dict)
    _by_bed: dict[bool, dict[Bed, tuple[int, Fragment]]] = field(default_factory=dict)  # of the whole, and not

    def message(self, visible: Visible, *, whole: bool, gone: frozenset[Bed] = frozenset()) -> bytes:
        """The server-sent event for those who see this much; `whole` must be there for the whole.

        `gone`: beds that they saw and that are no more.
        """
        key = (whole, visible, gone)
        if key not in self._messages:
            by_bed = self._places_by_bed(whole=whole)
            # Of many wards most viewers see one: they are looked up, not each bed of the hospital for each viewer.
            found = sorted((*by_bed[bed], bed) for bed in visible.beds | gone if bed in by_bed)
            head = {"number": self.number, "whole": whole, **self.head, **(self.whole_head if whole else {})}
            head["asked"] = visible.asked
            beds = b",".join(visible.of(bed, fragment) for _, fragment, bed in found)
            # One line: JSON escapes what would end it.
            self._messages[key] = _BEGIN + msgspec.json.encode(head)[:-1] + b',"beds":[' + beds + b"]}" + _END
        return self._messages[key]

    def _places_by_bed(self, *, whole: bool) -> dict[Bed, tuple[int, Fragment]]:
        """Each bed's fragment, and which one it is."""
        if whole not in self._by_bed:
            fragments = self.whole if whole else self.differences
            assert fragments is not None
            self._by_bed[whole] = {bed: (place, fragment) for place, (bed, fragment) in enumerate(fragments)}
        return self._by_bed[whole]

    def document(self, visible: Visible) -> bytes:
        """The whole as JSON, for those who see this much."""
        return self.message(visible, whole=True).removeprefix(_BEGIN).removesuffix(_END)
