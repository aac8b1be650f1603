"""UDP: one dialogue with one monitor, a message to a datagram.

There is no connection to see: the monitor is reached when its first datagram comes, and what is sent to a monitor that
is off is lost without a word. So the session asks again, and a monitor that has been silent for `silent_s` is a link
lost: its name is looked up and its session begun anew.

With `announcements` a second port listens for the broadcasts by which a monitor tells that it is on the network; those
of this source's monitor go to its session, and several sources may share the port.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections import deque
from typing import Any, cast

import structlog

from edge_agent.config import UdpLink
from edge_agent.conversation import Conversation
from edge_agent.links.address import split_address
from edge_agent.links.owner import LinkError, LinkOwner
from edge_agent.links.threads import in_own_thread
from runtime.tls import check_client

HELD_MAX = 1000  # datagrams that wait while the spool catches up: beyond it they are lost, and counted
LAST_FRAMES_S = 5.0  # at the end, for what is on its way to the disk
NO_TLS = "monitors have no TLS over UDP: put them on a network of their own"
_log = structlog.get_logger("udp")


class DatagramLine(asyncio.DatagramProtocol):
    """A socket to one monitor; the `Line` of its conversation.

    `ended` is resolved with what ended it. `heard` says whether a datagram has come.
    """

    def __init__(self, owner: LinkOwner) -> None:
        self._owner = owner
        self._transport: asyncio.DatagramTransport | None = None
        self._conversation: Conversation | None = None
        self._held: deque[bytes] | None = None  # None: not paused
        self.heard = False
        self.ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def start(self, conversation: Conversation) -> None:
        """Give what comes to this conversation."""
        self._conversation = conversation

    # --- what asyncio calls -------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket is open."""
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str | Any, int]) -> None:
        """A message came."""
        if not self.heard:
            self.heard = True
            self._owner.stands()
        self.received(data)

    def error_received(self, exc: Exception) -> None:
        """The network refuses what was sent: no such host, or nobody at this port."""
        why = os.strerror(exc.errno) if isinstance(exc, OSError) and exc.errno else str(exc)
        self._end(why)

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is closed."""
        self._end("closed" if exc is None else str(exc))

    # --- what the conversation calls ----------------------------------------------------------------------------------

    def write(self, data: bytes) -> None:
        """Send one datagram; nothing where the socket is gone."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.sendto(data)

    def close(self) -> None:
        """The session wants it: the dialogue is begun anew."""
        self._end("the session gave it up")

    def pause_reading(self) -> None:
        """Enough waits for the spool."""
        self._held = self._held or deque()

    def resume_reading(self) -> None:
        """The spool has caught up: what was held comes first, as long as it may."""
        held, self._held = self._held or deque(), None
        while held and self._held is None:
            self.received(held.popleft())
        if held and self._held is not None:
            self._held.extendleft(reversed(held))

    # ------------------------------------------------------------------------------------------------------------------

    def received(self, data: bytes) -> None:
        """A message of the monitor, on whichever port."""
        if self._held is None:
            if self._conversation is not None and not self.ended.done():
                self._conversation.received(data)
        elif len(self._held) < HELD_MAX:
            self._held.append(data)
        else:
            self._owner.count("datagrams-dropped")

    def _end(self, why: str) -> None:
        if not self.ended.done():
            self.ended.set_result(why)


class _Announcements(asyncio.DatagramProtocol):
    """The port for broadcasts; what others than this monitor send is theirs."""

    def __init__(self, monitor: str, line: DatagramLine) -> None:
        self._monitor, self._line = monitor, line

    def datagram_received(self, data: bytes, addr: tuple[str | Any, int]) -> None:
        """One came."""
        if addr[0] == self._monitor:
            self._line.received(data)


class UdpMonitor:
    """One monitor that we ask over UDP."""

    def __init__(self, config: UdpLink) -> None:
        self._config = config

    async def run(self, owner: LinkOwner) -> None:
        """The dialogue until the monitor is lost, which raises LinkError; UserError for plaintext unasked."""
        config, loop = self._config, asyncio.get_running_loop()
        host, port = split_address(config.monitor)
        check_client(host, tls=False, insecure=config.insecure, mend=NO_TLS)
        place = await self._place(host, port)
        try:
            transport, line = await loop.create_datagram_endpoint(lambda: DatagramLine(owner), remote_addr=place)
        except OSError as error:
            raise LinkError(f"{config.monitor} is not reached ({error.strerror}): is the network up?") from error
        try:
            announcements = await self._listen(place[0], line)
        except BaseException:
            transport.close()
            raise
        conversation = owner.converse(line, place[0])
        line.start(conversation)
        conversation.opened()
        try:
            why = await self._end_of(line, conversation)
        finally:
            conversation.closed(orderly=False)
            transport.close()
            if announcements is not None:
                announcements.close()
            await _settled(conversation)
        if line.heard:
            raise LinkError(f"{config.monitor} was lost ({why}): the monitor or the network between")
        raise LinkError(
            f"{config.monitor} does not answer ({why}): is the monitor on, its data export enabled, no firewall"
            " between?"
        )

    async def _place(self, host: str, port: int) -> tuple[str, int]:
        """The address that a name stands for; raises LinkError."""
        try:
            found = await in_own_thread(lambda: socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM))
        except OSError as error:
            raise LinkError(f"{self._config.monitor} is not found ({error.strerror}): is the name right?") from error
        return str(found[0][4][0]), port

    async def _listen(self, monitor: str, line: DatagramLine) -> asyncio.DatagramTransport | None:
        """The port for broadcasts, None where none is configured; raises LinkError."""
        config = self._config
        if config.announcements is None:
            return None
        try:
            transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
                lambda: _Announcements(monitor, line),
                local_addr=split_address(config.announcements),
                reuse_port=True,
                allow_broadcast=True,
            )
        except OSError as error:
            raise LinkError(
                f"{config.announcements} cannot be listened on ({error.strerror}): choose another address or port,"
                " or leave announcements out"
            ) from error
        return transport

    async def _end_of(self, line: DatagramLine, conversation: Conversation) -> str:
        """What ended it; a monitor is lost too when nothing has come for so long."""
        loop = asyncio.get_running_loop()
        while True:
            left_s = conversation.heard_at_s + self._config.silent_s - loop.time()
            if left_s <= 0:
                _log.info("monitor silent", source=self._config.monitor)
                return f"silent for {self._config.silent_s:.0f} s"
            done, _ = await asyncio.wait([line.ended], timeout=left_s)
            if done:
                return line.ended.result()


async def _settled(conversation: Conversation) -> None:
    """Wait until what came is kept, or for a while."""
    settled = asyncio.Event()
    conversation.when_settled(settled.set)
    try:
        async with asyncio.timeout(LAST_FRAMES_S):
            await settled.wait()
    except TimeoutError:
        _log.info("frames were still on their way to the disk at the end of a dialogue")
