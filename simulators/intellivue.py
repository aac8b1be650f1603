"""A Philips IntelliVue monitor: Data Export over UDP, and over its serial port (MIB) on a pseudo-terminal.

Data Export Interface Programming Guide rev. G.0 (4535 642 59271): one association at a time (p. 67-73), the MDS Create
event that begins it, single and extended polls with linked results (p. 58-63), release and abort. Left out, as their
bytes are in no public reader: the Connect Indication's attributes, refusals' reasons. Of a Set only the list of waves
is taken; everything else is refused.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from random import Random

from simulators import intellivue_bytes as wire
from simulators import intellivue_objects as objects
from simulators.faults import FAULTS
from simulators.nonin import Port
from simulators.patient import Patient

PORT = 24105
MTU_MAX, MTU_MIN = 1364, 300
CREATE_EVERY_S, CREATE_LIMIT_S = 2.5, 10.0  # sent once and three times more; the interval follows from the limit
TICKS_A_SECOND = 8000
_POLL, _EXTENDED_POLL, _CREATED = 0x0C16, 0xF13B, 0x0D06
_POLL_PROFILE, _EXTENSIONS, _ACTIVE_PERIOD, _WAVE_LIST = 0x0001, 0xF001, 0xF13E, 0xF23A
_CLIENT = 0x80000000
# Of a numeric's extended poll: the bit of the profile, seconds from result to result.
_NUMERIC_PERIODS_S = ((0x80000000, 1.0), (0x40000000, 6.0), (0x20000000, 30.0), (0x10000000, 150.0))
_SUPPORTED = 0xFE000000
_NO_CLASS, _NO_INSTANCE, _DENIED, _NO_ACTION, _ARGUMENT = 0, 1, 2, 9, 15
_CLASSES = (objects.MDS, objects.NUMERIC, objects.WAVE, objects.ENUMERATION, objects.DEMOGRAPHICS, objects.ALARMS)
STOP_POLL_S, SERIAL_POLL_S = 0.25, 0.01
UDP_FAULTS = ("half_frame", "burst", "lost", "doubled")
MIB_FAULTS = (*FAULTS, "lost", "doubled")


@dataclass
class _Extended:
    """A poll that is answered again and again until its active period ends."""

    invoke: int
    number: int
    cls: int
    group: int
    every_s: float
    next_s: float
    until_s: float
    sequence: int = 0


@dataclass
class _Association:
    """The one client, and what was agreed with it."""

    peer: object
    mtu: int
    silence_s: float
    numeric_period_s: float | None
    heard_s: float
    began_s: float
    created: bool = False  # whether the MDS Create event is confirmed
    creates: int = 0
    next_create_s: float = 0.0
    polls: dict[tuple[int, int], _Extended] = field(default_factory=dict)
    waves: list[int] = field(default_factory=lambda: [wave.physio for wave in objects.WAVES])


Sent = list[tuple[object, bytes]]  # to whom, and a whole message


class Monitor:
    """The monitor without its line: messages and times in, messages out. `began` is its local time at t = 0."""

    def __init__(self, patient: Patient, bed: str, began: datetime, person: objects.Admitted | None = None) -> None:
        self._patient, self._bed, self._person = patient, bed, person
        self._clock = objects.clock(began, patient)
        self._system_id = bytes.fromhex("0009FB") + patient.seed.to_bytes(5, "big")
        self._relative_first = Random(patient.seed).randrange(2**32)
        self._association: _Association | None = None

    @property
    def peer(self) -> object | None:
        """Who is associated; None: nobody."""
        return self._association.peer if self._association else None

    @property
    def wake_at_s(self) -> float | None:
        """When `tick` has something to do."""
        link = self._association
        if link is None:
            return None
        moments = [link.heard_s + link.silence_s, *(poll.next_s for poll in link.polls.values())]
        if not link.created:
            moments += [link.next_create_s, link.began_s + CREATE_LIMIT_S]
        return min(moments)

    def receive(self, data: bytes, peer: object, t_s: float) -> Sent:
        """A message came: what is answered. Any bytes are borne."""
        kind = data[0] if data else -1
        if kind == wire.REQUEST:
            return self._associate(data, peer, t_s)
        link = self._association
        if link is None or link.peer != peer:
            return []
        link.heard_s = t_s
        if kind == wire.RELEASE_REQUEST and link.created:
            self._association = None
            return [(peer, wire.RELEASE_RESPONSE_BYTES)]
        if kind == wire.ABORT:
            self._association = None
        elif kind == 0xE1:
            with suppress(wire.ShortError):
                return [(peer, answer) for answer in self._data(wire.Reader(data), link, t_s)]
        return []

    def tick(self, t_s: float) -> Sent:
        """What is due: the Create event once more, results of extended polls, an abort for a client that is silent."""
        link = self._association
        if link is None:
            return []
        created_late = not link.created and t_s >= link.began_s + CREATE_LIMIT_S
        if created_late or t_s >= link.heard_s + link.silence_s:
            self._association = None
            return [(link.peer, wire.ABORT_BYTES)]
        sent: list[bytes] = []
        if not link.created and t_s >= link.next_create_s:
            sent.append(self._create(link, t_s))
        for key, poll in sorted(link.polls.items(), key=lambda item: item[1].next_s):
            while poll.next_s <= t_s:
                if poll.next_s > poll.until_s:
                    del link.polls[key]
                    break
                sent += self._extended_result(poll, link)
        return [(link.peer, message) for message in sent]

    def _associate(self, data: bytes, peer: object, t_s: float) -> Sent:
        if self._association is not None:
            return [(peer, wire.REFUSE_BYTES)]
        try:
            profile, extensions, min_poll, receives, transmits = _asked(wire.user_info_of(data))
        except wire.ShortError:
            return [(peer, wire.REFUSE_BYTES)]
        if min(receives, transmits) < MTU_MIN:
            return [(peer, wire.REFUSE_BYTES)]
        mtu = min(receives, MTU_MAX)
        period_s = next((every_s for bit, every_s in _NUMERIC_PERIODS_S if extensions & bit), None)
        packages = () if period_s is None else (_extensions(extensions & _SUPPORTED),)
        answer = wire.u32(min_poll, min(transmits, MTU_MAX), mtu, 0xFFFFFFFF, profile) + wire.counted(packages)
        info = wire.u32(0x80000000, 0x40000000, 0, 0x00800000, 0x80000000) + wire.counted(())
        info += wire.counted((wire.ava(_POLL_PROFILE, wire.u32(0x80000000) + answer),))
        self._association = _Association(peer, mtu, _silence_s(min_poll / TICKS_A_SECOND), period_s, t_s, t_s)
        return [(peer, wire.accept(info)), (peer, self._create(self._association, t_s))]

    def _create(self, link: _Association, t_s: float) -> bytes:
        link.creates += 1
        link.next_create_s = link.began_s + link.creates * CREATE_EVERY_S
        attributes = objects.system(self._bed, self._system_id, self._clock(t_s), self._relative(t_s))
        what = wire.managed_object(objects.MDS, 0, 1) + attributes
        body = wire.managed_object(objects.MDS, 0, 1) + wire.u32(self._relative(link.began_s)) + wire.u16(_CREATED)
        return wire.message(wire.ROIV, wire.operation(1, wire.CONFIRMED_EVENT, body + wire.variable(what)))

    def _relative(self, t_s: float) -> int:
        return (self._relative_first + round(t_s * TICKS_A_SECOND)) % 2**32

    def _data(self, reader: wire.Reader, link: _Association, t_s: float) -> list[bytes]:
        reader.take(4)
        kind, inner = reader.u16(), wire.Reader(reader.take(reader.u16()))
        invoke, command = inner.u16(), inner.u16()
        body = wire.Reader(inner.take(inner.u16()))
        if kind == wire.RORS and command == wire.CONFIRMED_EVENT:
            link.created = True
            return []
        if kind != wire.ROIV or not link.created:
            return []
        try:
            cls, _, handle = body.u16(), body.u16(), body.u16()
            body.u32()  # the scope
            if cls != objects.MDS or handle:
                return [wire.error(invoke, _NO_INSTANCE if handle else _NO_CLASS)]
            if command == wire.CONFIRMED_ACTION:
                action, argument = body.u16(), wire.Reader(body.take(body.u16()))
                return self._action(invoke, action, argument, link, t_s)
            return [_wave_list(invoke, command, body, link)]
        except wire.ShortError:
            return [wire.error(invoke, _ARGUMENT)]

    def _action(self, invoke: int, action: int, argument: wire.Reader, link: _Association, t_s: float) -> list[bytes]:
        if action not in (_POLL, _EXTENDED_POLL):
            return [wire.error(invoke, _NO_ACTION)]
        number, partition, cls, group = argument.u16(), argument.u16(), argument.u16(), argument.u16()
        if partition != 1 or cls not in _CLASSES:
            return [wire.error(invoke, _ARGUMENT)]
        if action == _POLL:
            head = wire.u16(number) + wire.u32(self._relative(t_s)) + wire.absolute_time(self._clock(t_s))
            found = self._observations(cls, group, t_s, round(t_s // objects.WAVE_PERIOD_S), link, turn=None)
            return _results(invoke, _POLL, head + wire.u16(1, cls, group), found, link.mtu)
        if link.numeric_period_s is None:
            return [wire.error(invoke, _NO_ACTION)]  # the profile's extensions were not agreed
        asked = argument.attributes()
        active_s = int.from_bytes(asked.get(_ACTIVE_PERIOD, b""), "big") / TICKS_A_SECOND
        every_s = {objects.WAVE: objects.WAVE_PERIOD_S, objects.NUMERIC: link.numeric_period_s}.get(cls, 1.0)
        running = link.polls.get((cls, group))
        first_s = running.next_s if running else _next_multiple(t_s, every_s)
        poll = _Extended(invoke, number, cls, group, every_s, first_s, t_s + active_s)
        link.polls[cls, group] = poll
        return _results(invoke, _EXTENDED_POLL, self._extended_head(poll, t_s), [], link.mtu)

    def _extended_head(self, poll: _Extended, t_s: float) -> bytes:
        """Its sequence number counts on; 0 is the answer that accepts the poll, and carries nothing."""
        head = wire.u16(poll.number, poll.sequence) + wire.u32(self._relative(t_s)) + wire.absolute_time(None)
        poll.sequence = (poll.sequence + 1) % 2**16
        return head + wire.u16(1, poll.cls, poll.group)

    def _extended_result(self, poll: _Extended, link: _Association) -> list[bytes]:
        """The result that is due; that of waves bears the beginning of its 256 ms and is sent at their end."""
        at_s = poll.next_s - (objects.WAVE_PERIOD_S if poll.cls == objects.WAVE else 0.0)
        block = round(at_s / objects.WAVE_PERIOD_S)
        found = self._observations(poll.cls, poll.group, at_s, block, link, turn=poll.sequence)
        messages = _results(poll.invoke, _EXTENDED_POLL, self._extended_head(poll, at_s), found, link.mtu)
        poll.next_s += poll.every_s
        return messages

    def _observations(
        self, cls: int, group: int, t_s: float, block: int, link: _Association, *, turn: int | None
    ) -> list[bytes]:
        """Each object with its attributes. `turn`: the result's number where how to read waves comes one by one."""
        if cls == objects.NUMERIC:
            rows = ((row.handle, objects.numeric(row, group, self._patient, t_s, self._clock)) for row in
                    objects.NUMERICS)  # fmt: skip
            return [wire.u16(handle) + attributes for handle, attributes in rows if attributes is not None]
        if cls == objects.WAVE:
            listed = [row for row in objects.WAVES if row.physio in link.waves]
            found = []
            for place, row in enumerate(listed):
                # In an extended poll of group 0 one object's context every 1024 ms.
                context = turn is None or (turn % 4 == 1 and turn // 4 % len(listed) == place)
                attributes = objects.wave(row, group, self._patient, block, context=context)
                found.append(wire.u16(row.handle) + attributes)
            return found
        if cls == objects.DEMOGRAPHICS:
            return [wire.u16(0x0401) + objects.demographics(self._person)]
        if cls == objects.ALARMS:
            return [wire.u16(0x0300) + objects.alarm_monitor(self._patient, t_s)]
        if cls == objects.MDS:
            attributes = objects.system(self._bed, self._system_id, self._clock(t_s), self._relative(t_s))
            return [wire.u16(1) + attributes]
        return []


def _asked(info: bytes) -> tuple[int, int, int, int, int]:
    """Of a request: the profile's options, extensions, shortest poll period, what it receives at most, and sends."""
    reader = wire.Reader(info)
    reader.take(12)
    if reader.u32() != _CLIENT:
        raise wire.ShortError
    reader.take(4)
    reader.attributes()
    profile = wire.Reader(reader.attributes().get(_POLL_PROFILE, b""))
    profile.take(4)
    min_poll, receives, transmits, _, options = (profile.u32() for _ in range(5))
    package = wire.Reader(profile.attributes().get(_EXTENSIONS, bytes(4)))
    return options, package.u32(), min_poll, receives, transmits


def _extensions(bits: int) -> bytes:
    return wire.ava(_EXTENSIONS, wire.u32(bits) + wire.counted(()))


def _silence_s(min_poll_s: float) -> float:
    """After which silence a client is lost (p. 70)."""
    if min_poll_s < 3.3:
        return 10.0
    return 130.0 if min_poll_s > 43 else 3 * min_poll_s


def _next_multiple(t_s: float, every_s: float) -> float:
    return (t_s // every_s + 1) * every_s


def _wave_list(invoke: int, command: int, body: wire.Reader, link: _Association) -> bytes:
    """Get or Set of the list of waves; what the monitor does not have is dropped from it without a word (p. 286)."""
    if command == wire.CONFIRMED_SET:
        body.u16()
        body.u16()
        operator, attribute, value = body.u16(), body.u16(), wire.Reader(body.take(body.u16()))
        if (operator, attribute) != (0, _WAVE_LIST):
            return wire.error(invoke, _DENIED)
        count, inner = value.u16(), wire.Reader(value.take(value.u16()))
        asked = [inner.u32() & 0xFFFF for _ in range(count)]
        link.waves = [wave.physio for wave in objects.WAVES if wave.physio in asked]
    elif command != wire.GET:
        return wire.error(invoke, _DENIED)
    listed = wire.ava(_WAVE_LIST, wire.counted([wire.u32(0x00020000 | physio) for physio in link.waves]))
    body_ = wire.managed_object(objects.MDS) + wire.counted((listed,))
    return wire.message(wire.RORS, wire.operation(invoke, command, body_))


def _results(invoke: int, action: int, head: bytes, found: list[bytes], mtu: int) -> list[bytes]:
    """The RORS of a poll, behind the linked results that it takes where all of `found` is too much for the MTU."""
    overhead = 14 + 12 + len(head) + 4 + 6 + 2  # headers to `head`, two lists, and what a linked one has more
    chunks: list[list[bytes]] = [[]]
    for observation in found:
        if chunks[-1] and overhead + sum(map(len, chunks[-1])) + len(observation) > mtu:
            chunks.append([])
        chunks[-1].append(observation)
    messages = []
    for number, chunk in enumerate(chunks, 1):
        contexts = (wire.u16(objects.CONTEXT) + wire.counted(chunk),) if chunk else ()
        result = wire.u16(action) + wire.variable(head + wire.counted(contexts))
        body = wire.operation(invoke, wire.CONFIRMED_ACTION, wire.managed_object(objects.MDS) + result)
        if number == len(chunks):
            messages.append(wire.message(wire.RORS, body))
        else:
            state = 1 if number == 1 else 3 if number == len(chunks) - 1 else 2
            messages.append(wire.linked(state, number, body))
    return messages


class Line:
    """What becomes of messages on the way: a share is spoilt, lost or comes twice."""

    def __init__(self, kinds: Collection[str] = (), share: float = 0.0, seed: int = 1) -> None:
        self._kinds, self._share, self._rng = sorted(kinds), share, Random(seed)

    def carried(self, data: bytes) -> list[bytes]:
        """What arrives in place of `data`."""
        if not self._kinds or self._rng.random() >= self._share:
            return [data]
        kind = self._rng.choice(self._kinds)
        if kind == "lost":
            return []
        return [data, data] if kind == "doubled" else [FAULTS[kind](data, self._rng)]


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, received: asyncio.Queue[tuple[bytes, object]]) -> None:
        self._received = received

    def datagram_received(self, data: bytes, addr: object) -> None:
        self._received.put_nowait((data, addr))


async def serve_udp(monitor: Monitor, host: str, port: int, line: Line, stop: asyncio.Event) -> None:
    """Answer over UDP until `stop`."""
    loop = asyncio.get_running_loop()
    received: asyncio.Queue[tuple[bytes, object]] = asyncio.Queue()
    transport, _ = await loop.create_datagram_endpoint(lambda: _Datagrams(received), local_addr=(host, port))
    began_s = loop.time()
    try:
        while not stop.is_set():
            wake_at_s = monitor.wake_at_s
            wait_s = STOP_POLL_S if wake_at_s is None else min(STOP_POLL_S, wake_at_s - (loop.time() - began_s))
            sent: Sent = []
            try:
                async with asyncio.timeout(max(wait_s, 0.0)):
                    data, peer = await received.get()
                sent = monitor.receive(data, peer, loop.time() - began_s)
            except TimeoutError:
                sent = monitor.tick(loop.time() - began_s)
            for to, message in sent:
                for carried in line.carried(message):
                    transport.sendto(carried, to)  # type: ignore[arg-type]
    finally:
        transport.close()


async def serve_mib(monitor: Monitor, link: Path, line: Line, stop: asyncio.Event) -> None:
    """Answer on a pseudo-terminal of this name until `stop`; the real port runs at 115200 baud, 8N1."""
    loop = asyncio.get_running_loop()
    began_s, reader = loop.time(), wire.MibReader()
    with Port(link) as port:
        while not stop.is_set():
            t_s = loop.time() - began_s
            sent = [answer for payload in reader.feed(port.read()) for answer in monitor.receive(payload, link, t_s)]
            sent += monitor.tick(t_s)
            for _, message in sent:
                for carried in line.carried(wire.mib_frame(message)):
                    port.write(carried)
            await asyncio.sleep(SERIAL_POLL_S)
