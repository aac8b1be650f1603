"""Messages of one shape: a sender's next message differs from the one before in values, times and numbers alone.

What the rest of it means was worked out when its shape was first seen; here it is recognized, field by field, and only
what changes is looked at. A message that is unusual in any way has no shape and is read segment by segment.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any

from adapters.formats.hl7_groups import Group, Order, time_slots
from adapters.formats.hl7_observation import Observation
from adapters.formats.hl7_patients import FieldRule, Patient
from adapters.formats.hl7v2 import REPETITIONS_MAX, Message, Syntax

FRAME_BYTES_MAX = 16 * 1024  # of a message that has a shape
HEADER_CHARS_MAX = 250  # of MSH-7 and 10
SHAPES_MAX = 2_000  # of a source; beyond it all are forgotten
LAYOUTS_MAX = 4  # with one number of fields
_MSH_7, _MSH_10 = 6, 9  # MSH-1 is the separator itself
# Fields that change from message to message and of which nothing else depends; OBX-5 and 14, OBR-7 are read each time.
_OBX_CHANGING, _OBR_CHANGING, _OBR_NUMBERS = (5, 14, 19), (7, 8), (2, 3)

Getter = Callable[[Sequence[str]], tuple[str, ...]]


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
    groups: tuple[Group, ...]


@dataclass(frozen=True)
class Shape:
    """A message but for what changes."""

    syntax: Syntax
    marks: int
    orders: tuple[OrderShape, ...]
    claims: tuple[tuple[Patient, str | None], ...]
    unread: Counter[str]

    def orders_of(self, fields: Sequence[str], by_connection: str) -> list[tuple[Order, tuple[Group, ...]]] | None:
        """The OBR of a message of this shape with their groups; None where its times fall into other groups."""
        found = []
        for shape in self.orders:
            values = shape.values(fields)
            times = [""] * len(values)
            if shape.times:
                times = ["" if place is None else fields[place] for place in shape.times]
                if time_slots(times) != shape.slots:
                    return None
            obr_7 = "" if shape.obr_7 is None else fields[shape.obr_7]
            claim = by_connection if shape.claim is None else shape.claim
            order = Order(shape.patient, claim, obr_7, shape.observations, list(values), times, shape.notes)
            found.append((order, shape.groups))
        return found


@dataclass
class Layout:
    """Which fields change in messages of one number of fields, and the shapes by those that do not."""

    changing: frozenset[int]
    fixed: Getter
    shapes: dict[tuple[str, ...], Shape] = field(default_factory=dict)


@dataclass(frozen=True)
class Match:
    """A message of a known shape, with its fields."""

    shape: Shape
    fields: list[str]

    @property
    def msh_7(self) -> str:
        """The message's time as sent."""
        return self.fields[_MSH_7]


class Shapes:
    """The shapes of one source."""

    def __init__(self) -> None:
        self._layouts: dict[tuple[str, int], list[Layout]] = {}
        self._count = 0

    def forget(self) -> None:
        """All of them."""
        self._layouts.clear()
        self._count = 0

    def match(self, frame: bytes) -> Match | None:
        """The message's shape, if it is a known one."""
        fields = _fields(frame)
        if fields is None:
            return None
        for layout in self._layouts.get((frame[3:4].decode("ascii"), len(fields)), ()):
            shape = layout.shapes.get(layout.fixed(fields))
            if shape is not None:
                return Match(shape, fields) if _is_within_limits(frame, fields, shape.syntax) else None
        return None

    def learn(
        self, frame: bytes, message: Message, marks: int, orders: Sequence[tuple[Order, tuple[Group, ...]]],
        claims: Sequence[tuple[Patient, str]], unread: Counter[str], by_connection: str,
    ) -> None:  # fmt: skip
        """Remember the shape of a message that was read."""
        fields = _fields(frame)
        if fields is None or any(what.is_wave for order, _ in orders for what in order.observations):
            return
        places = _Places(fields, [order for order, _ in orders])
        if len(places.values) != sum(len(order.values) for order, _ in orders):
            return
        shapes, start = [], 0
        for order, groups in orders:
            end = start + len(order.values)
            times = tuple(places.times[start:end])
            shapes.append(
                OrderShape(
                    patient=order.patient,
                    claim=None if order.claim == by_connection else order.claim,
                    obr_7=places.obr_7[start],
                    observations=order.observations,
                    values=_getter(places.values[start:end]),
                    times=times if any(place is not None for place in times) else (),
                    slots=time_slots(order.times),
                    notes=order.notes,
                    groups=groups,
                )
            )
            start = end
        shape = Shape(
            syntax=message.syntax,
            marks=marks,
            orders=tuple(shapes),
            claims=tuple((patient, None if claim == by_connection else claim) for patient, claim in claims),
            unread=unread,
        )
        self._keep(message.syntax.field, fields, frozenset(places.changing), shape)

    def _keep(self, separator: str, fields: list[str], changing: frozenset[int], shape: Shape) -> None:
        if self._count >= SHAPES_MAX:
            self.forget()
        layouts = self._layouts.setdefault((separator, len(fields)), [])
        layout = next((layout for layout in layouts if layout.changing == changing), None)
        if layout is None:
            if len(layouts) >= LAYOUTS_MAX:
                layouts.pop(0)
            layout = Layout(changing, _getter([n for n in range(len(fields)) if n not in changing]))
            layouts.append(layout)
        layout.shapes[tuple(map(sys.intern, layout.fixed(fields)))] = shape  # most of them are another shape's too
        self._count += 1


def has_shape(rule: FieldRule) -> bool:
    """Whether the field that names the device is one that does not change with every message."""
    changes = rule.segment == "MSH" and rule.number in (7, 10)
    return rule.segment in ("", "PID", "PV1", "MSH") and not changes


def _fields(frame: bytes) -> list[str] | None:
    """All fields of a message, line ends among them; None where it is unusual."""
    if not frame.startswith(b"MSH") or len(frame) > FRAME_BYTES_MAX or not frame.isascii():
        return None
    if b"\0" in frame or b"\n" in frame or b"\x1b" in frame:
        return None
    if b"\r\r" in frame or b"\r " in frame or b"\r\t" in frame:  # not the plain lines that these fields are cut from
        return None
    text = frame.decode("ascii")
    separator = text[3:4]
    fields = text.replace("\r", f"{separator}\r{separator}").split(separator)
    return fields if len(fields) > _MSH_10 else None


def _is_within_limits(frame: bytes, fields: list[str], syntax: Syntax) -> bool:
    """Whether what changes is as `Message` takes it."""
    return (
        fields[_MSH_10].strip() != ""
        and len(fields[_MSH_7]) + len(fields[_MSH_10]) <= HEADER_CHARS_MAX
        and frame.count(syntax.repetition.encode("ascii")) < REPETITIONS_MAX
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
