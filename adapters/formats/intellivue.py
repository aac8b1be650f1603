"""Messages of Philips IntelliVue's Data Export: their envelope, attribute lists and poll results.

"Data Export Interface Programming Guide" rev G.0, chapters 4 and 5. All integers are big-endian. The first byte tells
an association's message (`adapters/formats/intellivue_association.py`) from a data message:

    E1 00 00 02 | RO type u16, length u16 | ROIV 1, RORS 2:  invoke u16, command u16, length u16, body
                                          | ROER 3:          invoke u16, error u16, length u16, more
                                          | ROLRS 5:         state u8, count u8, then as RORS (linked, before the RORS)

    event   managed object 6, relative time u32, type u16, length u16; create of the MDS: managed object, attributes
    poll    managed object 6, type u16 (0C16 single, F13B extended), length u16, then poll number u16, of the extended
            one its sequence u16, relative time u32, absolute time 8, object type u16 x 2, attribute group u16, and a
            list of contexts, each a list of objects: handle u16, attributes

A list is count u16 and bytes u16 before its entries; an attribute is id u16, length u16, value.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from schemas.errors import FrameError

SESSION = b"\xe1\x00\x00\x02"
ROIV, RORS, ROER, ROLRS = 1, 2, 3, 5
CMD_EVENT, CMD_CONFIRMED_EVENT, CMD_CONFIRMED_ACTION = 0, 1, 7
EVENT_MDS_CREATE = 0x0D06
ACTION_POLL, ACTION_EXTENDED_POLL = 0x0C16, 0xF13B
CONNECT_INDICATION = b"\x00\x00\x01\x00"  # the first bytes of that datagram, which is read no further
TICKS_PER_S = 8000  # of a relative time, which wraps at 32 bits
NO_TIME = b"\xff" * 8  # an absolute time that is not available

CLASS_ENUMERATION, CLASS_NUMERIC, CLASS_WAVE = 0x0005, 0x0006, 0x0009
CLASS_MDS, CLASS_PATIENT, CLASS_ALERT = 0x0021, 0x002A, 0x0036

Attributes = dict[int, bytes]


class Bytes:
    """Bytes read from the front; whoever wants more than there are gets FrameError."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    @property
    def left(self) -> int:
        """How many are left."""
        return len(self._data) - self._at

    def take(self, count: int) -> bytes:
        """The next bytes."""
        if count > self.left:
            raise FrameError("cut-off", f"{count} bytes wanted, {self.left} there")
        self._at += count
        return self._data[self._at - count : self._at]

    def u8(self) -> int:
        """One byte."""
        return self.take(1)[0]

    def u16(self) -> int:
        """Two bytes."""
        return int.from_bytes(self.take(2), "big")

    def u32(self) -> int:
        """Four bytes."""
        return int.from_bytes(self.take(4), "big")

    def sized(self) -> Bytes:
        """What a length u16 stands before."""
        return Bytes(self.take(self.u16()))

    def rest(self) -> bytes:
        """All that is left."""
        return self.take(self.left)

    def entries(self) -> Iterator[Bytes]:
        """The list that follows: its bytes once for each entry, which takes its own off their front."""
        count = self.u16()
        listed = self.sized()
        for _ in range(count):
            if not listed.left:
                raise FrameError("list", f"fewer than its {count} entries")
            yield listed
        if listed.left:
            raise FrameError("list", f"{listed.left} bytes after its {count} entries")


class ManagedObject(NamedTuple):
    """An object of the monitor: its class, its context and its handle there."""

    class_id: int
    context: int
    handle: int


@dataclass(frozen=True)
class MdsCreated:
    """The monitor presents itself after an association; `moment` are its ticks then."""

    invoke_id: int
    moment: int
    mds: ManagedObject
    attributes: Attributes


@dataclass(frozen=True)
class Polled:
    """One object of a poll's result."""

    context: int
    handle: int
    attributes: Attributes


@dataclass(frozen=True)
class PollResult:
    """What a poll gives, or a linked part of it; `sequence` is None of a single poll.

    `ticks` is the monitor's relative time, `absolute` its local time in BCD, None where it is not available. `is_last`
    is False of the linked parts, after which the rest comes.
    """

    invoke_id: int
    poll_number: int
    sequence: int | None
    ticks: int
    absolute: bytes | None
    class_id: int
    group: int
    objects: tuple[Polled, ...]
    is_last: bool = True


@dataclass(frozen=True)
class RequestFailed:
    """The monitor's answer to a request that it does not do, with its number for why."""

    invoke_id: int
    error: int


@dataclass(frozen=True)
class OtherMessage:
    """A well-formed message that says nothing that is read here; `what` names it for counts."""

    invoke_id: int
    what: str


DataMessage = MdsCreated | PollResult | RequestFailed | OtherMessage


def data_message(frame: bytes) -> DataMessage:
    """A data message, read whole; raises FrameError."""
    if frame[:4] != SESSION:
        raise FrameError("not-data-export", frame[:4].hex())
    envelope = Bytes(frame[4:])
    kind = envelope.u16()
    body = envelope.sized()
    if envelope.left:
        raise FrameError("length", f"{envelope.left} bytes after the message")
    if kind not in (ROIV, RORS, ROER, ROLRS):
        raise FrameError("remote-operation", f"type {kind}")
    if kind == ROLRS:
        body.take(2)  # state and count: each part is read by itself
    invoke_id, command = body.u16(), body.u16()
    inner = body.sized()
    if body.left:
        raise FrameError("length", f"{body.left} bytes after the operation")
    if kind == ROER:
        return RequestFailed(invoke_id, command)
    if kind == ROIV and command in (CMD_EVENT, CMD_CONFIRMED_EVENT):
        return _event(invoke_id, inner)
    if kind in (RORS, ROLRS) and command == CMD_CONFIRMED_ACTION:
        return _action(invoke_id, inner, is_last=kind == RORS)
    return OtherMessage(invoke_id, f"operation:{kind}-{command}")


def _event(invoke_id: int, body: Bytes) -> DataMessage:
    mds, ticks, kind = managed_object(body), body.u32(), body.u16()
    said = body.sized()
    if kind != EVENT_MDS_CREATE:
        return OtherMessage(invoke_id, f"event:{kind:04X}")
    managed_object(said)
    return MdsCreated(invoke_id, ticks, mds, attributes(said))


def _action(invoke_id: int, body: Bytes, *, is_last: bool) -> DataMessage:
    managed_object(body)
    kind = body.u16()
    said = body.sized()
    if kind not in (ACTION_POLL, ACTION_EXTENDED_POLL):
        return OtherMessage(invoke_id, f"action:{kind:04X}")
    poll_number = said.u16()
    sequence = said.u16() if kind == ACTION_EXTENDED_POLL else None
    ticks, absolute = said.u32(), said.take(8)
    said.u16()  # the partition of the class
    class_id, group = said.u16(), said.u16()
    objects: list[Polled] = []
    for context in said.entries():
        number = context.u16()
        objects += [Polled(number, each.u16(), attributes(each)) for each in context.entries()]
    return PollResult(
        invoke_id=invoke_id,
        poll_number=poll_number,
        sequence=sequence,
        ticks=ticks,
        absolute=None if absolute == NO_TIME else absolute,
        class_id=class_id,
        group=group,
        objects=tuple(objects),
        is_last=is_last,
    )


def managed_object(data: Bytes) -> ManagedObject:
    """A managed object's id."""
    return ManagedObject(data.u16(), data.u16(), data.u16())


def attributes(data: Bytes) -> Attributes:
    """An attribute list by id; of one that comes twice the last."""
    return {each.u16(): each.sized().rest() for each in data.entries()}


# --- what we send -----------------------------------------------------------------------------------------------------


def poll_request(
    *, invoke_id: int, poll_number: int, class_id: int, group: int, active_ticks: int | None = None
) -> bytes:
    """A poll of all objects of a class; with `active_ticks` the extended one, which goes on for so long."""
    asked = struct.pack(">HHHH", poll_number, 1, class_id, group)
    action = ACTION_POLL
    if active_ticks is not None:
        action = ACTION_EXTENDED_POLL
        asked += struct.pack(">HHHHI", 1, 8, 0xF13E, 4, active_ticks)
    body = struct.pack(">HHHIHH", CLASS_MDS, 0, 0, 0, action, len(asked)) + asked
    return _enveloped(ROIV, invoke_id, CMD_CONFIRMED_ACTION, body)


def create_result(created: MdsCreated) -> bytes:
    """The confirmation of the monitor's create event, without which it aborts."""
    body = struct.pack(">HHHIHH", *created.mds, created.moment, EVENT_MDS_CREATE, 0)
    return _enveloped(RORS, created.invoke_id, CMD_CONFIRMED_EVENT, body)


def _enveloped(kind: int, invoke_id: int, command: int, body: bytes) -> bytes:
    operation = struct.pack(">HHH", invoke_id, command, len(body)) + body
    return SESSION + struct.pack(">HH", kind, len(operation)) + operation
