"""A recording as a device: what came in over a link is sent again, at its times, over a link of the same kind.

What was sent to the device is not sent: it is waited for, so that a dialogue goes in its order whatever its times. Each
connection of the recording is one here: over TCP a connection, over MQTT a topic, on a serial port and over UDP all are
one after the other.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import select
import struct
import termios
import time
import tty
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from simulators.mqtt_json import MqttPublisher

ANSWER_S = 2.0  # for what was sent to the device in the recording; then it goes on without
DRAIN_S = 5.0
POLL_S = 0.02
SETTLE_S = 0.3  # whoever opens a port throws away what it holds
READ_BYTES = 65536
_UNREAD = struct.Struct("i")
Address = tuple[str, int]
Pace = Callable[[float], Awaitable[None]]  # returns when what came so many seconds after the beginning is due


@dataclass(frozen=True)
class Moved:
    """What went over the link, as the recording has it: "<" came from the device, ">" went to it.

    Of a connection that begins ("opened") `peer` is who was on the other side, over MQTT the topic.
    """

    at_s: float
    connection: int
    kind: Literal["<", ">", "opened", "closed"]
    data: bytes = b""
    peer: str = ""


@dataclass
class ReplayTotals:
    """What was done; `unanswered` counts how often an answer of the recording did not come."""

    pieces: int = 0
    bytes: int = 0
    connections: int = 0
    unanswered: int = 0


class Wire(Protocol):
    """The device's side of one connection."""

    async def send(self, data: bytes) -> None:
        """Send these bytes."""
        ...

    async def close(self) -> None:
        """End it, once all is out."""
        ...


class Place(Protocol):
    """Where connections are made; `answered` is called with what comes from the other side."""

    async def open(self, peer: str, answered: Callable[[bytes], None]) -> Wire:
        """A connection; waits until there is somebody on the other side."""
        ...

    async def close(self) -> None:
        """The end of all."""
        ...


def timed(speed: float, now_s: Callable[[], float] = time.monotonic) -> Pace:
    """At the recording's times, so many times as fast."""
    began: list[float] = []

    async def wait(at_s: float) -> None:
        if not began:
            began.append(now_s() - at_s / speed)
        await asyncio.sleep(max(began[0] + at_s / speed - now_s(), 0))

    return wait


async def replay(
    moved: Iterable[Moved],
    place: Place,
    pace: Pace,
    stop: asyncio.Event,
    show: Callable[[Moved], None] = lambda _: None,
) -> ReplayTotals:
    """Send what the device sent, until the end or `stop`."""
    replayed = _Replay(place, pace, show)
    work = asyncio.ensure_future(replayed.run(moved))
    stopped = asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait([work, stopped], return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        if not work.done():
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)
        else:
            work.result()
    finally:
        await place.close()
    return replayed.totals


class _Replay:
    def __init__(self, place: Place, pace: Pace, show: Callable[[Moved], None]) -> None:
        self._place, self._pace, self._show = place, pace, show
        self._wires: dict[int, Wire] = {}
        self._answered: dict[int, asyncio.Event] = {}
        self._is_waiting: set[int] = set()  # connections of which the recording has an answer next
        self.totals = ReplayTotals()

    async def run(self, moved: Iterable[Moved]) -> None:
        for each in moved:
            if each.kind == "opened":
                await self._pace(each.at_s)
                await self._open(each)
            elif each.kind == ">":
                self._is_waiting.add(each.connection)
            elif each.kind == "<":
                await self._await_answer(each.connection)
                await self._pace(each.at_s)
                await self._send(each)
            elif each.connection in self._wires:
                await self._await_answer(each.connection)
                await self._wires.pop(each.connection).close()
        for connection, wire in self._wires.items():
            await self._await_answer(connection)
            await wire.close()

    async def _open(self, each: Moved) -> None:
        answered = self._answered[each.connection] = asyncio.Event()
        self._wires[each.connection] = await self._place.open(each.peer, lambda _: answered.set())
        self.totals.connections += 1

    async def _send(self, each: Moved) -> None:
        if each.connection not in self._wires:
            await self._open(each)
        self._answered[each.connection].clear()
        await self._wires[each.connection].send(each.data)
        self.totals.pieces += 1
        self.totals.bytes += len(each.data)
        self._show(each)

    async def _await_answer(self, connection: int) -> None:
        if connection not in self._is_waiting or connection not in self._answered:
            return
        self._is_waiting.discard(connection)
        try:
            await asyncio.wait_for(self._answered[connection].wait(), ANSWER_S)
        except TimeoutError:
            self.totals.unanswered += 1


# --- TCP --------------------------------------------------------------------------------------------------------------


class TcpPlace:
    """Connections that we make to a listener, or with `listens` that are made to us."""

    def __init__(self, address: Address, *, listens: bool = False) -> None:
        self._address, self._listens = address, listens
        self._came: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()
        self._server: asyncio.Server | None = None

    async def open(self, peer: str, answered: Callable[[bytes], None]) -> Wire:
        """A connection."""
        if not self._listens:
            return _TcpWire(*await asyncio.open_connection(*self._address), answered)
        if self._server is None:
            self._server = await asyncio.start_server(self._accept, *self._address)
        return _TcpWire(*await self._came.get(), answered)

    async def close(self) -> None:
        """The end of all."""
        if self._server is not None:
            self._server.close()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._came.put((reader, writer))


class _TcpWire:
    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answered: Callable[[bytes], None]
    ) -> None:  # fmt: skip
        self._reader, self._writer, self._answered = reader, writer, answered
        self._reading = asyncio.create_task(self._read())

    async def send(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def close(self) -> None:
        """Our direction ends first; what the other side still says is waited for."""
        with suppress(OSError):
            if self._writer.can_write_eof():
                self._writer.write_eof()
            with suppress(TimeoutError):
                await asyncio.wait_for(asyncio.shield(self._reading), DRAIN_S)
        self._reading.cancel()
        self._writer.close()

    async def _read(self) -> None:
        with suppress(OSError):
            while data := await self._reader.read(READ_BYTES):
                self._answered(data)


# --- UDP --------------------------------------------------------------------------------------------------------------


class UdpPlace:
    """Datagrams from an address of ours to whoever spoke to it last, or to `peer_address` where it is given."""

    def __init__(self, address: Address, peer_address: Address | None = None) -> None:
        self._address, self._peer_address = address, peer_address
        self._wire: _UdpWire | None = None
        self.port = 0

    async def open(self, peer: str, answered: Callable[[bytes], None]) -> Wire:
        """All connections of the recording share the socket."""
        if self._wire is None:
            loop = asyncio.get_running_loop()
            _, self._wire = await loop.create_datagram_endpoint(
                lambda: _UdpWire(self._peer_address), local_addr=self._address
            )
            self.port = self._wire.transport.get_extra_info("sockname")[1]
        self._wire.answered = answered
        return self._wire

    async def close(self) -> None:
        """The end of all."""
        if self._wire is not None:
            self._wire.transport.close()


class _UdpWire(asyncio.DatagramProtocol):
    transport: asyncio.DatagramTransport

    def __init__(self, peer: Address | None) -> None:
        self._peer: Any = peer
        self._has_peer = asyncio.Event()
        self.answered: Callable[[bytes], None] = lambda _: None
        if peer is not None:
            self._has_peer.set()

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self._peer = addr
        self._has_peer.set()
        self.answered(data)

    async def send(self, data: bytes) -> None:
        await self._has_peer.wait()
        self.transport.sendto(data, self._peer)

    async def close(self) -> None:
        """The socket stays: another connection of the recording may follow."""


# --- MQTT -------------------------------------------------------------------------------------------------------------


class MqttPlace:
    """Messages to a broker; a connection of the recording is a topic."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._publisher: MqttPublisher | None = None

    async def open(self, peer: str, answered: Callable[[bytes], None]) -> Wire:
        """A topic."""
        if self._publisher is None:
            self._publisher = MqttPublisher(*self._address)
        return _Topic(self._publisher, peer)

    async def close(self) -> None:
        """Wait for the last acknowledgements."""
        if self._publisher is not None:
            await self._publisher.close(DRAIN_S)


class _Topic:
    def __init__(self, publisher: MqttPublisher, topic: str) -> None:
        self._publisher, self._topic = publisher, topic

    async def send(self, data: bytes) -> None:
        await self._publisher.publish(self._topic, data, lambda: None)

    async def close(self) -> None:
        """Nothing: the broker's session is for all topics."""


# --- a pseudo-terminal ------------------------------------------------------------------------------------------------


class PtyPlace:
    """A serial line by the name of a link, which is removed at the end. A file there is not replaced."""

    def __init__(self, link: Path) -> None:
        self._link = link
        self._wire: _PtyWire | None = None

    async def open(self, peer: str, answered: Callable[[bytes], None]) -> Wire:
        """All connections of the recording share the line; waits until somebody has it open."""
        if self._wire is None:
            self._wire = _PtyWire(self._link)
        self._wire.answered = answered
        await self._wire.opened()
        return self._wire

    async def close(self) -> None:
        """The end of all."""
        if self._wire is not None:
            self._wire.hang_up()


class _PtyWire:
    def __init__(self, link: Path) -> None:
        self._link = link
        self.answered: Callable[[bytes], None] = lambda _: None
        if link.is_symlink():
            link.unlink()
        self._master, slave = os.openpty()
        tty.setraw(slave)
        os.set_blocking(self._master, False)
        self._slave_name = os.ttyname(slave)
        link.symlink_to(self._slave_name)
        os.close(slave)  # so that the line hangs up where nobody has it open
        self._reading: asyncio.Task[None] | None = None

    async def opened(self) -> None:
        while self._is_hung_up():
            await asyncio.sleep(POLL_S)
        await asyncio.sleep(SETTLE_S)
        if self._reading is None:
            self._reading = asyncio.create_task(self._read())

    async def send(self, data: bytes) -> None:
        while data:
            try:
                data = data[os.write(self._master, data) :]
            except BlockingIOError:
                await asyncio.sleep(POLL_S)

    async def close(self) -> None:
        """Wait until the other side has read all, for what it has not read ends with the line; the line stays."""
        slave = os.open(self._slave_name, os.O_RDWR | os.O_NOCTTY)
        try:
            empty_polls = 0  # one in a row says little: what the line's buffer hands on later is not counted yet
            for _ in range(int(DRAIN_S / POLL_S)):
                (unread,) = _UNREAD.unpack(fcntl.ioctl(slave, termios.FIONREAD, bytes(_UNREAD.size)))
                empty_polls = 0 if unread else empty_polls + 1
                if empty_polls * POLL_S >= SETTLE_S:
                    return
                await asyncio.sleep(POLL_S)
        finally:
            os.close(slave)

    def hang_up(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
        os.close(self._master)
        self._link.unlink(missing_ok=True)

    async def _read(self) -> None:
        while True:
            try:
                data = os.read(self._master, READ_BYTES)
                self.answered(data)
            except OSError:  # nothing there, or nobody has it open
                await asyncio.sleep(POLL_S)

    def _is_hung_up(self) -> bool:
        poll = select.poll()
        poll.register(self._master, select.POLLOUT)
        return any(event & select.POLLHUP for _, event in poll.poll(0))


def place_of(over: str, address: str) -> Place:
    """The place of a link's kind; raises ValueError with what to write.

    `over`: pty (address is a path to make), tcp (we dial), tcp-listen, udp (we answer whoever speaks to us), udp-send,
    mqtt.
    """
    if over == "pty":
        return PtyPlace(Path(address))
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal():
        raise ValueError(f"{address!r} is no address: write host:port (or --over pty and a path)")
    where = (host, int(port))
    places: dict[str, Callable[[], Place]] = {
        "tcp": lambda: TcpPlace(where),
        "tcp-listen": lambda: TcpPlace(where, listens=True),
        "udp": lambda: UdpPlace(where),
        "udp-send": lambda: UdpPlace(("0.0.0.0", 0), where),
        "mqtt": lambda: MqttPlace(where),
    }
    if over not in places:
        raise ValueError(f"--over {over!r} is none of pty, {', '.join(places)}")
    return places[over]()


def beginning_at_zero(moved: Sequence[Moved]) -> list[Moved]:
    """Without the silence before the first thing that happened."""
    first_s = moved[0].at_s if moved else 0.0
    return [Moved(each.at_s - first_s, each.connection, each.kind, each.data, each.peer) for each in moved]
