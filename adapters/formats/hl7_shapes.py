"""Messages of one shape: a sender's next message differs from the one before in values, times and numbers alone.

What the rest of it means was worked out when its shape was first seen; here it is recognized, field by field, and only
what changes is looked at. A message that is unusual in any way has no shape and is read segment by segment.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from operator import itemgetter
from typing import Any, NamedTuple

import msgspec

from adapters.formats.hl7_groups import ObservationGroup, Order, time_slots
from adapters.formats.hl7_observation import Observation
from adapters.formats.hl7_patients import FieldRule, Patient
from adapters.formats.hl7v2 import REPETITIONS_MAX, Hl7Message, Syntax

FRAME_BYTES_MAX = 16 * 1024  # of a message that has a shape
HEADER_CHARS_MAX = 250  # of MSH-7 and 10
SHAPES_MAX = 2_000  # of a source; beyond it all are forgotten
PATTERN_CHARS_MAX = 2_000
PATTERNS_MAX = 100
LAYOUTS_MAX = 4  # with one number of fields
_MSH_7, _MSH_10 = 6, 9  # MSH-1 is the separator itself
# Fields that change from message to message and of which nothing else depends; OBX-5 and 14, OBR-7 are read each time.
_OBX_CHANGING, _OBR_CHANGING, _OBR_NUMBERS = (5, 14, 19), (7, 8), (2, 3)

Getter = Callable[[Sequence[str]], tuple[str, ...]]


class ShapePiece(NamedTuple):
    """Text that does not change; it begins with the mark (separator or line end) that ends a field before it."""

    mark: str
    text: str
    length: int


@dataclass(frozen=True)
class OrderShape:
    """One OBR: where its own time, and the values and times of its OBX stand (None: there is no such field)."""

    patient: Patient
    claim: str | None  # None: that of the connection
    obr_7: int | None
    observations: list[Observation]
    values: Getter
    times: tuple[int | None, ...]  # () where none has a field for it
    slots: tuple[int, ...]
    notes: dict[int, str]
    groups: tuple[ObservationGroup, ...]


@dataclass(frozen=True)
class Shape:
    """A message but for what changes."""

    syntax: Syntax
    marks: int
    orders: tuple[OrderShape, ...]
    claims: tuple[tuple[Patient, str | None], ...]
    unread: Counter[str]
    begin: str  # the text before what changes first
    pieces: tuple[ShapePiece, ...]  # between what changes, as far as `values` does not go
    values: re.Pattern[str] | None  # what follows them, each change a group; None: it would be long
    last: str  # after what changes last
    constants: tuple[str, ...]  # fields that do not change, and are looked at all the same

    def changes_of(self, text: str) -> list[str] | None:
        """What changes, in its order, in a message that is this shape letter for letter; None for any other.

        It is found between the pieces that do not change, and the message is not cut into its 200 fields for it.
        """
        begin, last = self.begin, self.last
        at, end = len(begin), len(text) - len(last)
        if not text.startswith(begin) or not text.endswith(last):
            return None
        changes: list[str] = []
        for mark, piece, length in self.pieces:
            found = text.find(mark, at)
            if found < 0 or not text.startswith(piece, found):
                return None
            changes.append(text[at:found])
            at = found + length
        if self.values is not None:
            match = self.values.fullmatch(text, at)
            if match is None:
                return None
            changes += match.groups()
        elif at > end:
            return None
        else:
            changes.append(text[at:end])
        together = "".join(changes)
        # One that is unusual is read as such, and one with a separator in it was cut at the wrong place.
        if not together.isprintable() or self.syntax.field in together or not together.isascii():
            return None
        return changes

    def orders_of(
        self, texts: Sequence[str], by_connection: str
    ) -> list[tuple[Order, tuple[ObservationGroup, ...]]] | None:
        """The OBR of a message of this shape with their groups; None where its times fall into other groups.

        `texts` are what changes, and then the constants: the places of an OrderShape are among them.
        """
        found = []
        for shape in self.orders:
            values = shape.values(texts)
            times = [""] * len(values)
            if shape.times:
                times = ["" if place is None else texts[place] for place in shape.times]
                if time_slots(times) != shape.slots:
                    return None
            obr_7 = "" if shape.obr_7 is None else texts[shape.obr_7]
            claim = by_connection if shape.claim is None else shape.claim
            order = Order(shape.patient, claim, obr_7, shape.observations, list(values), times, shape.notes)
            found.append((order, shape.groups))
        return found


@dataclass
class Layout:
    """Which fields change in messages of one number of fields, and the shapes by those that do not."""

    changing: tuple[int, ...]
    changes: Getter
    fixed: Getter
    shapes: dict[tuple[str, ...], Shape] = field(default_factory=dict)


class Match(msgspec.Struct, frozen=True, eq=False):
    """A message of a known shape, and what changes in it."""

    shape: Shape
    changes: Sequence[str]
    generation: int  # of the source's shapes

    @property
    def msh_7(self) -> str:
        """The message's time as sent."""
        return self.changes[0]

    def orders(self, by_connection: str) -> list[tuple[Order, tuple[ObservationGroup, ...]]] | None:
        """Its OBR with their groups; None where its times fall into other groups."""
        return self.shape.orders_of((*self.changes, *self.shape.constants), by_connection)


class Shapes:
    """The shapes of one source."""

    def __init__(self) -> None:
        self._layouts: dict[tuple[str, int], list[Layout]] = {}
        self._count = self._generation = 0

    def forget(self) -> None:
        """All of them."""
        self._layouts.clear()
        self._count = 0
        self._generation += 1

    def match(self, frame: bytes, last: Match | None = None) -> Match | None:
        """The message's shape, if it is a known one; `last` is what the connection's message before was."""
        if not frame.isascii() or len(frame) > FRAME_BYTES_MAX:
            return None
        text = frame.decode("ascii")
        if last is not None and last.generation == self._generation:
            changes = last.shape.changes_of(text)
            if changes is not None:
                found = Match(last.shape, changes, self._generation)
                return found if _is_within_limits(text, found) else None
        return self._find(text)

    def _find(self, text: str) -> Match | None:
        fields = _fields(text)
        if fields is None:
            return None
        for layout in self._layouts.get((text[3:4], len(fields)), ()):
            shape = layout.shapes.get(layout.fixed(fields))
            if shape is not None:
                found = Match(shape, layout.changes(fields), self._generation)
                return found if _is_within_limits(text, found) else None
        return None

    def learn(
        self, frame: bytes, message: Hl7Message, marks: int,
        orders: Sequence[tuple[Order, tuple[ObservationGroup, ...]]],
        claims: Sequence[tuple[Patient, str]], unread: Counter[str], by_connection: str,
    ) -> None:  # fmt: skip
        """Remember the shape of a message that was read."""
        fields = _fields(frame.decode("ascii")) if frame.isascii() else None
        if fields is None or any(what.is_wave for order, _ in orders for what in order.observations):
            return
        places = _Places(fields, [order for order, _ in orders])
        changing = tuple(sorted(places.changing))
        at = {place: n for n, place in enumerate(changing)}
        constants = [place for place in places.values if place not in at]
        at |= {place: len(changing) + n for n, place in enumerate(constants)}
        if len(places.values) != sum(len(order.values) for order, _ in orders):
            return
        shapes, start = [], 0
        for order, groups in orders:
            end = start + len(order.values)
            times = tuple(None if place is None else at[place] for place in places.times[start:end])
            obr_7 = places.obr_7[start]
            shapes.append(
                OrderShape(
                    patient=order.patient,
                    claim=None if order.claim == by_connection else order.claim,
                    obr_7=None if obr_7 is None else at[obr_7],
                    observations=order.observations,
                    values=_getter([at[place] for place in places.values[start:end]]),
                    times=times if any(place is not None for place in times) else (),
                    slots=time_slots(order.times),
                    notes=order.notes,
                    groups=groups,
                )
            )
            start = end
        begin, *pieces, last = _pieces(fields, changing, message.syntax.field)
        pieces, values = _with_pattern(pieces, last, message.syntax.field)
        shape = Shape(
            syntax=message.syntax,
            marks=marks,
            orders=tuple(shapes),
            claims=tuple((patient, None if claim == by_connection else claim) for patient, claim in claims),
            unread=unread,
            begin=begin,
            pieces=tuple(ShapePiece(piece[0], piece, len(piece)) for piece in pieces),
            values=values,
            last=last,
            constants=tuple(fields[place] for place in constants),
        )
        self._keep(message.syntax.field, fields, changing, shape)

    def _keep(self, separator: str, fields: list[str], changing: tuple[int, ...], shape: Shape) -> None:
        if self._count >= SHAPES_MAX:
            self.forget()
        layouts = self._layouts.setdefault((separator, len(fields)), [])
        layout = next((layout for layout in layouts if layout.changing == changing), None)
        if layout is None:
            if len(layouts) >= LAYOUTS_MAX:
                layouts.pop(0)
            fixed = [n for n in range(len(fields)) if n not in changing]
            layout = Layout(changing, _getter(changing), _getter(fixed))
            layouts.append(layout)
        layout.shapes[tuple(map(sys.intern, layout.fixed(fields)))] = shape  # most of them are another shape's too
        self._count += 1


def has_shape(rule: FieldRule) -> bool:
    """Whether the field that names the device is one that does not change with every message."""
    changes = rule.segment == "MSH" and rule.number in (7, 10)
    return rule.segment in ("", "PID", "PV1", "MSH") and not changes


def _fields(text: str) -> list[str] | None:
    """All fields of a message, line ends among them; None where it is unusual."""
    if not text.startswith("MSH") or not 3 < len(text) <= FRAME_BYTES_MAX:  # the separator is the fourth
        return None
    if "\0" in text or "\n" in text or "\x1b" in text:
        return None
    if "\r\r" in text or "\r " in text or "\r\t" in text:  # not the plain lines that these fields are cut from
        return None
    separator = text[3:4]
    if not separator:
        return None
    fields = text.replace("\r", f"{separator}\r{separator}").split(separator)
    return fields if len(fields) > _MSH_10 else None


def _pieces(fields: list[str], changing: Sequence[int], separator: str) -> list[str]:
    """The text between the fields that change, and before and after them."""
    pieces, piece = [], ""
    changes = set(changing)
    for n, text in enumerate(fields):
        if n and text != "\r" and fields[n - 1] != "\r":
            piece += separator
        if n in changes:
            pieces.append(piece)
            piece = ""
        else:
            piece += text
    return [*pieces, piece]


def _with_pattern(pieces: list[str], last: str, separator: str) -> tuple[list[str], re.Pattern[str] | None]:
    """The pieces before the first OBX, and a pattern for the rest; all pieces and none where it would be long.

    What stands before, names patient and bed. The rest is the same for all monitors that say the same: a pattern takes
    some 7 ms to make for 1,000 characters, and then half of the time that the pieces take one by one.
    """
    first = next((n for n, piece in enumerate(pieces) if "\rOBX" in piece), len(pieces))
    rest = (*pieces[first:], last)
    if first == len(pieces) or sum(map(len, rest)) > PATTERN_CHARS_MAX:
        return pieces, None
    return pieces[:first], _pattern(rest, separator)


@lru_cache(PATTERNS_MAX)
def _pattern(pieces: tuple[str, ...], separator: str) -> re.Pattern[str]:
    change = f"([^{re.escape(separator)}\r]*)"
    return re.compile(change + change.join(map(re.escape, pieces)))


def _is_within_limits(text: str, found: Match) -> bool:
    """Whether what changes is as `Hl7Message` takes it."""
    msh_7, msh_10 = found.changes[:2]
    return (
        msh_10.strip() != ""
        and len(msh_7) + len(msh_10) <= HEADER_CHARS_MAX
        and text.count(found.shape.syntax.repetition) < REPETITIONS_MAX
    )


def _getter(places: Sequence[int]) -> Getter:
    if len(places) == 1:
        (place,) = places
        return lambda fields: (fields[place],)
    getter: Any = itemgetter(*places)
    return getter  # type: ignore[no-any-return]


class _Places:
    """Where in a message's fields stand those that change, and the values and times of its OBX in order."""

    def __init__(self, fields: list[str], orders: Sequence[Order]) -> None:
        self.changing = {_MSH_7, _MSH_10}
        self.values: list[int] = []
        self.times: list[int | None] = []
        self.obr_7: list[int | None] = []  # of each OBX, that of its OBR
        observations = [what for order in orders for what in order.observations]
        numbers = () if "ORC" in fields else _OBR_NUMBERS  # whether an order has a number is told in its context
        obr_7: int | None = None
        start = 0
        for end in [*(n for n, text in enumerate(fields) if text == "\r"), len(fields)]:
            name, length = fields[start], end - start
            if name == "OBX" and length > 5:
                if len(self.values) < len(observations):
                    self._add_obx(start, length, observations[len(self.values)])
                    self.obr_7.append(obr_7)
            elif name == "OBR":
                obr_7 = start + 7 if length > 7 else None
                self.changing |= {start + n for n in (*_OBR_CHANGING, *numbers) if n < length}
            elif name == "PID":
                obr_7 = None
            start = end + 1

    def _add_obx(self, start: int, length: int, what: Observation) -> None:
        self.values.append(start + 5)
        self.times.append(start + 14 if length > 14 else None)
        its = set(_OBX_CHANGING)
        if what.node is not None or what.is_bare_node:  # whether it has a value tells what it is
            its.discard(5)
        self.changing |= {start + n for n in its if n < length}
