"""TCP: listening for senders, and dialling gateways and terminal servers that send to whoever connects.

On asyncio's protocols: a read is one call, without a task, a time-out or a stream of its own.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections import Counter
from collections.abc import Callable
from typing import Any, cast

import structlog
from prometheus_client import Gauge

from edge_agent.config import TcpLink
from edge_agent.conversation import Conversation
from edge_agent.links.address import split_address
from edge_agent.links.owner import LinkError, LinkOwner
from edge_agent.links.threads import in_own_thread
from runtime.errors import UserError
from runtime.tls import check_client, check_listener, client_context, server_context

READ_BYTES = 64 * 1024  # of one connection at one time
BACKLOG = 512
UNREAD_S = 30.0  # a sender that does not read its answers for so long is disconnected
LAST_ANSWERS_S = 5.0  # at a connection's end, for what is on its way to the disk
CLOSE_S = 5.0  # for the last answers on the wire
HANDSHAKE_S = 10.0
DIAL_LIMIT_S = 10.0
_log = structlog.get_logger("tcp")
_connected = Gauge("vitalwire_tcp_connections", "Senders connected now", ["source"])


class Connection(asyncio.BufferedProtocol):
    """One connection, ours or theirs; the `Line` of its conversation.

    `ended` is resolved when it is gone, with what ended it: None where either side closed it.
    """

    def __init__(self, owner: LinkOwner, buffer: bytearray, idle_s: float | None) -> None:
        self._owner, self._buffer, self._idle_s = owner, memoryview(buffer), idle_s
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._pauses: set[str] = set()
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._early = bytearray()
        self._is_closing = self._they_ended = False
        self.conversation: Conversation | None = None
        self.heard = False
        self.ended: asyncio.Future[Exception | None] = self._loop.create_future()

    # --- what asyncio calls -------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It stands, TLS included."""
        self._transport = cast("asyncio.Transport", transport)
        if self.ended.done():  # lost while its TLS was made
            self._transport.abort()
            return
        peer = (transport.get_extra_info("peername") or ("?",))[0]
        keep_alive(transport.get_extra_info("socket"))
        try:
            conversation = self._owner.converse(self, peer)
        except Exception as error:  # noqa: BLE001 - a session that cannot even begin
            self._owner.keeper.session_failed(error)
            self._transport.abort()
            return
        self.conversation = conversation
        _connected.labels(self._owner.name).inc()
        self.conversation.opened()
        if self._early:
            self.conversation.received(bytes(self._early))
            self._early.clear()
        if self._idle_s is not None:
            self._look_whether_idle()

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where bytes are read to; what they are is taken out before anybody else reads."""
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Bytes came."""
        self.heard = True
        if self.conversation is None:  # with the end of a handshake
            self._early += self._buffer[:nbytes]
        elif not self._is_closing:
            self.conversation.received(bytes(self._buffer[:nbytes]))

    def eof_received(self) -> bool:
        """They end their direction, and may wait for answers yet; TLS has no half of a connection."""
        self._they_ended = True
        if self.conversation is not None:
            self.conversation.closed(orderly=True)
            self.finish()
        return self._transport is not None and self._transport.get_extra_info("sslcontext") is None

    def connection_lost(self, error: Exception | None) -> None:
        """It is gone."""
        for timer in self._timers.values():
            timer.cancel()
        self._is_closing = True
        if self.conversation is not None:
            _connected.labels(self._owner.name).dec()
            self.conversation.closed(orderly=False)
        if not self.ended.done():
            self.ended.set_result(error)

    def pause_writing(self) -> None:
        """They do not read their answers: nothing is read from them meanwhile, and it has an end."""
        self._pause("writing")
        self._after("unread", UNREAD_S, self._abort_unread)

    def resume_writing(self) -> None:
        """They read again."""
        self._cancel("unread")
        self._resume("writing")

    # --- what the conversation calls ----------------------------------------------------------------------------------

    def write(self, data: bytes) -> None:
        """Send; nothing where the connection is gone."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def close(self) -> None:
        """End it when what was written is out, or after a while."""
        self._is_closing = True
        if self._transport is not None and not self._transport.is_closing():
            self._transport.close()
            self._after("close", CLOSE_S, self._transport.abort)

    def pause_reading(self) -> None:
        """Enough waits for the spool."""
        self._pause("spool")

    def resume_reading(self) -> None:
        """The spool has caught up."""
        self._resume("spool")

    # --- its end ------------------------------------------------------------------------------------------------------

    def finish(self) -> None:
        """No more is read; it is closed when all that came is kept and answered, or after a while."""
        if self._transport is None or self.conversation is None:
            return
        self._pause("end")
        self._is_closing = True
        self._after("finish", LAST_ANSWERS_S, self.close)
        self.conversation.closed(orderly=self._they_ended)
        self.conversation.when_settled(self.close)

    def _look_whether_idle(self) -> None:
        assert self.conversation is not None
        assert self._idle_s is not None
        quiet_s = self._loop.time() - self.conversation.heard_at_s
        if quiet_s >= self._idle_s:
            _log.info("sender silent, disconnected", source=self._owner.name)
            self.finish()
        else:
            self._after("idle", self._idle_s - quiet_s, self._look_whether_idle)

    def _abort_unread(self) -> None:
        _log.info("sender does not read its answers, disconnected", source=self._owner.name)
        if self._transport is not None:
            self._transport.abort()

    def _pause(self, why: str) -> None:
        if not self._pauses and self._transport is not None:
            self._transport.pause_reading()
        self._pauses.add(why)

    def _resume(self, why: str) -> None:
        self._pauses.discard(why)
        if not self._pauses and self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def _after(self, name: str, delay_s: float, then: Callable[[], object]) -> None:
        self._cancel(name)
        self._timers[name] = self._loop.call_later(delay_s, then)

    def _cancel(self, name: str) -> None:
        if name in self._timers:
            self._timers.pop(name).cancel()


# --- listening --------------------------------------------------------------------------------------------------------


class TcpListener:
    """A port for many senders."""

    def __init__(self, config: TcpLink) -> None:
        self._config = config
        self._by_address: Counter[str] = Counter()
        self._buffer = bytearray(READ_BYTES)
        self.connections: set[Connection] = set()
        self.handshakes: set[asyncio.Task[None]] = set()
        self.address = ""

    async def run(self, owner: LinkOwner) -> None:
        """Serve until cancelled. Raises LinkError, or UserError for TLS that cannot be."""
        config, loop = self._config, asyncio.get_running_loop()
        host, port = split_address(config.listen)
        tls = server_tls(config)
        check_listener(host, tls=tls is not None, insecure=config.insecure)
        try:
            places = await _addresses(host, port)
            server = await loop.create_server(lambda: _Admission(self, owner, tls), places, port, backlog=BACKLOG)
        except OSError as error:
            why = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror
            raise LinkError(
                f"{config.listen} cannot be listened on ({why}): choose another address or port, or end what has it"
            ) from error
        self.address = "{}:{}".format(*server.sockets[0].getsockname()[:2])
        owner.stands()
        try:
            await loop.create_future()
        finally:  # Server.wait_closed would wait for the senders to go, from Python 3.12 on
            server.close()
            for handshake in self.handshakes:
                handshake.cancel()
            await _end(list(self.connections))

    def admits(self, address: str) -> bool:
        """Whether one more may come from this address; one address alone cannot take all there are."""
        config = self._config
        total = sum(self._by_address.values())
        return total < config.connections_max and self._by_address[address] < config.connections_per_address_max

    def entered(self, address: str) -> None:
        """A connection was accepted; its TLS is yet to come."""
        self._by_address[address] += 1

    def left(self, address: str) -> None:
        """It is gone."""
        self._by_address[address] -= 1
        if not self._by_address[address]:
            del self._by_address[address]

    def connection(self, owner: LinkOwner, address: str) -> Connection:
        """What an accepted connection goes on as."""
        made = Connection(owner, self._buffer, self._config.idle_s)
        self.connections.add(made)

        def gone(_: object) -> None:
            self.connections.discard(made)
            self.left(address)

        made.ended.add_done_callback(gone)
        return made


class _Admission(asyncio.Protocol):
    """A connection just accepted: counted before its TLS, so that handshakes cannot fill the listener."""

    def __init__(self, listener: TcpListener, owner: LinkOwner, tls: ssl.SSLContext | None) -> None:
        self._listener, self._owner, self._tls = listener, owner, tls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        address = (transport.get_extra_info("peername") or ("?",))[0]
        if not self._listener.admits(address):
            _log.warning("too many connections", source=self._owner.name)
            self._owner.count("connections-refused")
            cast("asyncio.Transport", transport).abort()
            return
        self._listener.entered(address)
        connection = self._listener.connection(self._owner, address)
        if self._tls is None:
            transport.set_protocol(connection)
            connection.connection_made(transport)
            return
        cast("asyncio.Transport", transport).pause_reading()
        handshake = asyncio.ensure_future(self._shake_hands(cast("asyncio.Transport", transport), connection))
        self._listener.handshakes.add(handshake)
        handshake.add_done_callback(self._listener.handshakes.discard)

    async def _shake_hands(self, transport: asyncio.Transport, connection: Connection) -> None:
        assert self._tls is not None
        loop = asyncio.get_running_loop()
        try:
            secured = await loop.start_tls(
                transport, connection, self._tls, server_side=True, ssl_handshake_timeout=HANDSHAKE_S
            )
        except (OSError, ssl.SSLError) as error:  # TimeoutError is one
            _log.info("no TLS with a sender", source=self._owner.name, error=type(error).__name__)
            self._owner.count("handshakes-failed")
            transport.abort()
            if not connection.ended.done():
                connection.ended.set_result(error)
            return
        assert secured is not None
        connection.connection_made(secured)


# --- dialling ---------------------------------------------------------------------------------------------------------


class TcpDialler:
    """One gateway or terminal server that we connect to; `what` is the word for it.

    `may_end`: it ends its connections when it has nothing more to send, which is no trouble.
    """

    def __init__(
        self, address: str, what: str, *, insecure: bool, may_end: bool, mend: str, idle_s: float | None = None,
        tls: Callable[[], ssl.SSLContext | None] = lambda: None,
    ) -> None:  # fmt: skip
        self.address, self._what, self._insecure, self._idle_s = address, what, insecure, idle_s
        self._may_end, self._mend, self._tls = may_end, mend, tls

    async def run(self, owner: LinkOwner) -> None:
        """One connection to its end, which returns if it was of use. Raises LinkError, UserError."""
        host, port = split_address(self.address)
        tls = self._tls()
        check_client(host, tls=tls is not None, insecure=self._insecure, mend=self._mend)
        loop = asyncio.get_running_loop()
        connection = Connection(owner, bytearray(READ_BYTES), self._idle_s)
        try:
            async with asyncio.timeout(DIAL_LIMIT_S):
                await _connect(loop, connection, host, port, tls)
        except asyncio.CancelledError:
            connection.close()
            raise
        except OSError as error:  # TimeoutError is one
            why = str(error) or "no answer"
            raise LinkError(
                f"{self.address} is not reached ({why}): is the {self._what} on, its port free, no firewall between?"
            ) from error
        owner.stands()
        try:
            loss = await asyncio.shield(connection.ended)
        finally:
            await _end([connection])
        if loss is not None:
            raise LinkError(f"{self.address} was lost ({loss}): the {self._what} or the network between")
        if not self._may_end:
            raise LinkError(f"{self.address} was closed by the {self._what}: was it restarted?")
        if not connection.heard:
            raise LinkError(f"{self.address} closes the connection without a word: is the {self._what} set up for us?")


async def _connect(
    loop: asyncio.AbstractEventLoop, connection: Connection, host: str, port: int, tls: ssl.SSLContext | None
) -> None:
    """Connect to the first of a host's addresses that answers."""
    server_name = host if tls else None
    failure: OSError | None = None
    for place in await _addresses(host, port):
        try:
            await loop.create_connection(lambda: connection, place, port, ssl=tls, server_hostname=server_name)
        except OSError as error:
            failure = error
        else:
            return
    raise failure or OSError("the name has no address")


async def _addresses(host: str, port: int) -> list[str]:
    """What a host's name stands for, "" for all of ours; the DNS is asked in a thread of its own. Raises OSError."""
    flags = 0 if host else socket.AI_PASSIVE
    found = await in_own_thread(lambda: socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=flags))
    return list(dict.fromkeys(str(place[0]) for *_, place in found))


async def _end(connections: list[Connection]) -> None:
    """Let connections keep and answer what came, and close them."""
    for connection in connections:
        connection.finish()
    waiting = [c.ended for c in connections if c.conversation is not None]
    if waiting:
        await asyncio.wait(waiting, timeout=LAST_ANSWERS_S + CLOSE_S)


def dialler_of(config: TcpLink) -> TcpDialler:
    """The gateway that a source dials."""
    assert config.dial is not None
    return TcpDialler(
        config.dial, "gateway", insecure=config.insecure, may_end=True, mend="set tls_ca",
        idle_s=config.idle_s, tls=lambda: client_tls(config),
    )  # fmt: skip


def server_tls(config: TcpLink) -> ssl.SSLContext | None:
    """The listener's TLS, None where none is configured; raises UserError for half of one."""
    if config.tls_cert is None and config.tls_key is None and config.tls_ca is None:
        return None
    if config.tls_cert is None or config.tls_key is None:
        raise UserError("a listener with TLS needs both tls_cert and tls_key")
    return server_context(config.tls_cert, config.tls_key, config.tls_ca)


def client_tls(config: TcpLink) -> ssl.SSLContext | None:
    """TLS to a gateway that we dial, None where none is configured; raises UserError."""
    named = config.tls_ca or config.tls_cert or config.tls_key
    return client_context(config.tls_ca, config.tls_cert, config.tls_key) if named else None


def keep_alive(sock: Any) -> None:
    """Have the kernel ask a silent peer, and end the connection after a minute without an answer: it lost its power."""
    for level, option, value in (
        (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
        (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 30),
        (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 10),
        (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3),
    ):
        sock.setsockopt(level, option, value)
