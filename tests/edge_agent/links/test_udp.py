"""A dialogue over UDP at real sockets: a datagram is a message, and a monitor that says nothing is lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from adapters.session import Moment, Outcome, Piece, Step
from edge_agent.config import UdpLink
from edge_agent.links.owner import LinkError
from edge_agent.links.udp import HELD_MAX, DatagramLine, UdpMonitor
from runtime.errors import UserError
from tests.edge_agent.links.scene import LIMIT_S, Agent, eventually, running


class Asking:
    """Asks at the beginning, answers each message, and takes leave."""

    def opened(self, now: Moment) -> Step:
        return Step(send=b"hello")

    def feed(self, data: bytes, now: Moment) -> Step:
        if data == b"enough":
            return Step((Piece(data),), close=True)
        return Step((Piece(data),), send=b"got " + data)

    def tick(self, now: Moment) -> Step:
        return Step()

    def kept(self, token: int, outcome: Outcome, reason: str, now: Moment) -> Step:
        return Step()

    def closed(self, orderly: bool, now: Moment) -> Step:
        return Step(send=b"bye")


class Monitor(asyncio.DatagramProtocol):
    """Answers a hello with two datagrams, and keeps what it was told."""

    def __init__(self) -> None:
        self.told: list[bytes] = []
        self.peer: Any = None
        self.answers = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: Any = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.told.append(data)
        self.peer = addr
        if data == b"hello" and self.answers:
            self.say(b"one")
            self.say(b"two")

    def say(self, data: bytes) -> None:
        self.transport.sendto(data, self.peer)

    @property
    def address(self) -> str:
        host, port = self.transport.get_extra_info("sockname")
        return f"{host}:{port}"


@asynccontextmanager
async def monitor_on() -> AsyncIterator[Monitor]:
    transport, monitor = await asyncio.get_running_loop().create_datagram_endpoint(Monitor, local_addr=("127.0.0.1", 0))
    try:
        yield monitor
    finally:
        transport.close()


def agent() -> Agent:
    return Agent(make_session=Asking)


def test_each_datagram_is_a_message_and_the_monitor_gets_a_last_word() -> None:
    async def scene() -> None:
        ours = agent()
        async with monitor_on() as monitor:
            async with running(UdpMonitor(UdpLink(monitor.address)), ours):
                await eventually(lambda: len(monitor.told) == 3)
                assert ours.frames() == [(b"one", ""), (b"two", "")]
                assert ours.stood == 1
                assert ours.came[0].source.peer == "127.0.0.1"
            await eventually(lambda: len(monitor.told) == 4)
            assert monitor.told == [b"hello", b"got one", b"got two", b"bye"]

    asyncio.run(scene())


def test_a_monitor_that_says_nothing_does_not_stand_and_is_given_up() -> None:
    async def scene() -> None:
        ours = agent()
        async with monitor_on() as monitor:
            monitor.answers = False
            with pytest.raises(LinkError, match=r"does not answer \(silent for 0 s\): is the monitor on"):
                await UdpMonitor(UdpLink(monitor.address, silent_s=0.1)).run(ours)
        assert ours.stood == 0

    asyncio.run(scene())


def test_a_monitor_that_falls_silent_is_lost() -> None:
    async def scene() -> None:
        async with monitor_on() as monitor:
            with pytest.raises(LinkError, match=r"was lost \(silent for"):
                await UdpMonitor(UdpLink(monitor.address, silent_s=0.2)).run(agent())

    asyncio.run(scene())


def test_a_port_that_nobody_has_is_said_at_once() -> None:
    async def scene() -> None:
        async with monitor_on() as monitor:
            address = monitor.address
        async with asyncio.timeout(LIMIT_S):
            with pytest.raises(LinkError, match="Connection refused"):
                await UdpMonitor(UdpLink(address)).run(agent())

    asyncio.run(scene())


def test_a_session_that_gives_up_ends_the_dialogue() -> None:
    async def scene() -> None:
        async with monitor_on() as monitor:
            task = asyncio.create_task(UdpMonitor(UdpLink(monitor.address)).run(agent()))
            await eventually(lambda: monitor.peer is not None)
            monitor.say(b"enough")
            async with asyncio.timeout(LIMIT_S):
                with pytest.raises(LinkError, match="gave it up"):
                    await task

    asyncio.run(scene())


def test_plaintext_beyond_loopback_and_names_of_nobody_are_refused() -> None:
    with pytest.raises(UserError, match="a network of their own"):
        asyncio.run(UdpMonitor(UdpLink("192.0.2.7:24105")).run(agent()))
    with pytest.raises(LinkError, match="is the name right"):
        asyncio.run(UdpMonitor(UdpLink("nowhere.invalid:24105", insecure=True)).run(agent()))


def test_broadcasts_of_this_monitor_come_to_its_session() -> None:
    async def scene() -> None:
        ours = agent()
        loop = asyncio.get_running_loop()
        probe, _ = await loop.create_datagram_endpoint(asyncio.DatagramProtocol, local_addr=("127.0.0.1", 0))
        host, port = probe.get_extra_info("sockname")
        probe.close()
        async with monitor_on() as monitor:
            link = UdpMonitor(UdpLink(monitor.address, announcements=f"{host}:{port}"))
            async with running(link, ours):
                other, _ = await loop.create_datagram_endpoint(
                    asyncio.DatagramProtocol, local_addr=("127.0.0.2", 0), remote_addr=(host, port)
                )
                other.sendto(b"of another monitor")
                other.close()
                monitor.transport.sendto(b"here I am", (host, port))
                await ours.until(lambda: len(ours.came) == 3)
            assert [frame for frame, _ in ours.frames()] == [b"one", b"two", b"here I am"]

    asyncio.run(scene())


def test_a_port_for_broadcasts_that_is_taken_is_said() -> None:
    async def scene() -> None:
        async with monitor_on() as monitor:
            link = UdpMonitor(UdpLink(monitor.address, announcements=monitor.address))
            with pytest.raises(LinkError, match="cannot be listened on"):
                await link.run(agent())

    asyncio.run(scene())


def test_datagrams_wait_while_the_spool_catches_up_and_are_counted_beyond_that() -> None:
    async def scene() -> None:
        ours = agent()
        line = DatagramLine(ours)
        line.start(ours.converse(line, "10.0.0.7"))
        line.pause_reading()
        for number in range(HELD_MAX + 3):
            line.received(str(number).encode())
        assert ours.came == []
        assert ours.counts == {"datagrams-dropped": 3}
        line.resume_reading()
        await ours.until(lambda: len(ours.came) == HELD_MAX)
        assert [d.frame for d in ours.came] == [str(number).encode() for number in range(HELD_MAX)]

    asyncio.run(scene())
