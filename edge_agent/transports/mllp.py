"""MLLP on asyncio streams: listening, and dialling out to gateways that send to whoever connects.

Each frame is answered in its own protocol after the spool has it, on its own connection, in the order of arrival. What
there is nothing to keep of (a heartbeat) is answered at once, maybe before frames that came earlier: each answer names
its own message (HL7 2.5.1 section 2.9: MSA-2 is the MSH-10 that it answers).
"""

from __future__ import annotations

import asyncio
import itertools
import os
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import structlog
from prometheus_client import Gauge

from adapters.driver import Piece, Source
from adapters.formats.hl7_ack import Outcome, acknowledgement
from adapters.formats.hl7v2 import header
from adapters.formats.mllp import MllpFramer, wrap
from edge_agent.config import MllpConfig
from edge_agent.delivery import Delivery, connections
from runtime.clock import now_us
from runtime.errors import UserError
from runtime.tls import check_listener, client_context, server_context

READ_BYTES = 64 * 1024
UNANSWERED_MAX = 256  # frames of one connection that wait for the spool: beyond it, nothing is read from it
STALL_S = 5.0  # a frame that stands still for so long is not going to end: some senders omit the last CR, and wait
UNREAD_S = 30.0  # a sender that does not read its answers for so long is disconnected
LAST_ANSWERS_S = 5.0  # at a connection's end, for what is on its way to the disk
CLOSE_S = 5.0  # for the last answers on the wire
HANDSHAKE_S = 10.0
DIAL_LIMIT_S = 10.0
REDIAL_FIRST_S = 0.5
REDIAL_MAX_S = 30.0
_log = structlog.get_logger("mllp")
_connected = Gauge("vitalwire_mllp_connections", "Senders connected now", ["source"])
_control_ids = itertools.count(1)


class MllpTransport:
    """One port, many senders; or one gateway that we dial."""

    def __init__(self, config: MllpConfig, make_source: Callable[[str], Source]) -> None:
        self._config, self._make_source = config, make_source
        self._talks: set[asyncio.Task[bool]] = set()
        self.address = ""

    async def run(self, deliver: Callable[[Delivery], None]) -> None:
        """Serve for ever. Raises OSError where the port cannot be listened on, UserError for TLS that cannot be."""
        if self._config.dial:
            await self._dial(self._config.dial, deliver)
        await self._listen(deliver)

    async def _listen(self, deliver: Callable[[Delivery], None]) -> None:
        c, tls = self._config, server_tls(self._config)
        host, port = split_address(c.listen)
        check_listener(host, tls=tls is not None, insecure=c.insecure)

        def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            if len(self._talks) >= c.connections_max:
                _log.warning("too many senders", source=c.name, limit=c.connections_max)
                writer.close()
                return
            talk = asyncio.ensure_future(self._serve(reader, writer, deliver))
            self._talks.add(talk)
            talk.add_done_callback(self._talks.discard)

        try:
            limit_s = HANDSHAKE_S if tls else None
            server = await asyncio.start_server(connected, host, port, ssl=tls, ssl_handshake_timeout=limit_s)
        except OSError as error:
            why = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror
            raise OSError(error.errno, f"{c.name}: {c.listen} cannot be listened on ({why})") from None
        self.address = "{}:{}".format(*server.sockets[0].getsockname()[:2])
        try:
            await asyncio.get_running_loop().create_future()
        finally:  # Server.wait_closed would wait for the senders to go, from Python 3.12 on
            server.close()
            for talk in self._talks:
                talk.cancel()
            await asyncio.gather(*self._talks, return_exceptions=True)

    async def _dial(self, address: str, deliver: Callable[[Delivery], None]) -> None:
        host, port = split_address(address)
        tls, delay_s = client_tls(self._config), REDIAL_FIRST_S
        while True:
            try:
                async with asyncio.timeout(DIAL_LIMIT_S):
                    streams = await asyncio.open_connection(host, port, ssl=tls)
                if await self._serve(*streams, deliver):  # one that accepts and closes is not dialled in a storm
                    delay_s = REDIAL_FIRST_S
            except OSError as error:  # TimeoutError is one
                _log.info("gateway not reached", source=self._config.name, error=str(error) or type(error).__name__)
            await asyncio.sleep(delay_s)
            delay_s = min(delay_s * 2, REDIAL_MAX_S)

    async def _serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, deliver: Callable[[Delivery], None]
    ) -> bool:
        """One connection to its end; whatever it sends, only this connection ends. True where anything came."""
        name, heard = self._config.name, False
        peer = (writer.get_extra_info("peername") or ("?",))[0]
        talk = _Conversation(self._make_source(peer), f"{name}@{peer}", writer, deliver)
        with _connected.labels(name).track_inprogress():
            try:
                keep_alive(writer.get_extra_info("socket"))
                while (pieces := await talk.hear(reader, self._config.idle_s)) is not None:
                    heard = True
                    for piece in pieces:
                        await talk.take(piece)
            except OSError as error:  # TimeoutError is one
                _log.info("sender gone", source=name, error=type(error).__name__)
            finally:
                await talk.end()
                if not writer.is_closing() and writer.transport.get_write_buffer_size():
                    # It closes when these are read, and maybe nobody reads them.
                    asyncio.get_running_loop().call_later(CLOSE_S, writer.transport.abort)
                writer.close()
        return heard


class _Conversation:
    """One sender's frames and our answers, first come first answered."""

    def __init__(
        self, source: Source, sender: str, writer: asyncio.StreamWriter, deliver: Callable[[Delivery], None]
    ) -> None:
        self._source, self._sender, self._connection = source, sender, next(connections)
        self._writer, self._deliver = writer, deliver
        self._framer = MllpFramer()
        self._room = asyncio.Semaphore(UNANSWERED_MAX)
        self._slots = itertools.count()
        self._unanswered: dict[int, None] = {}  # in order

    async def hear(self, reader: asyncio.StreamReader, idle_s: float) -> list[Piece] | None:
        """What is complete with the next bytes, or stands still; None at the end. Raises TimeoutError."""
        begun = self._framer.pending
        try:
            async with asyncio.timeout(min(STALL_S, idle_s) if begun else idle_s):
                data = await reader.read(READ_BYTES)
        except TimeoutError:
            if not begun:
                raise
            return list(filter(None, [self._framer.close()]))
        return self._framer.feed(data) if data else None

    async def take(self, piece: Piece) -> None:
        """Hand on what came. Raises TimeoutError where the answers are not read."""
        async with asyncio.timeout(UNREAD_S):
            await self._writer.drain()
        await self._room.acquire()
        self._give(piece)

    async def end(self) -> None:
        """The connection is over: what was left of a frame is kept too, and all that can be is answered."""
        if rest := self._framer.close():
            self._give(rest)
        with suppress(TimeoutError):  # a sender may have closed only its own direction, and waits
            async with asyncio.timeout(LAST_ANSWERS_S):
                for _ in range(UNANSWERED_MAX + bool(rest)):
                    await self._room.acquire()

    def _give(self, piece: Piece) -> None:
        frame, head, slot = piece.data, header(piece.data), next(self._slots)
        # An acknowledgement is never acknowledged (HL7 2.5.1 section 2.9): two who did would never end.
        is_ack = head is not None and head.fields[9].strip().upper().startswith("ACK")
        proves = range(next(iter(self._unanswered), slot))
        self._unanswered[slot] = None

        def ack(outcome: Outcome, why: str) -> None:
            del self._unanswered[slot]
            self._room.release()
            if is_ack or self._writer.is_closing():
                return
            answer = acknowledgement(frame, outcome, datetime.now(UTC), f"VW{next(_control_ids)}", why)
            if answer is not None:
                self._writer.write(wrap(answer))

        reason = piece.reason or ("acknowledgement" if is_ack else "")
        self._deliver(
            Delivery(frame, self._source, now_us(), ack, reason,
                     sender=self._sender, connection=self._connection, slot=slot, proves=proves)
        )  # fmt: skip


def server_tls(c: MllpConfig) -> ssl.SSLContext | None:
    """The listener's TLS, None where none is configured; raises UserError for half of one."""
    if c.tls_cert is None and c.tls_key is None and c.tls_ca is None:
        return None
    if c.tls_cert is None or c.tls_key is None:
        raise UserError(f"{c.name}: a listener with TLS needs both tls_cert and tls_key")
    return server_context(c.tls_cert, c.tls_key, c.tls_ca)


def client_tls(c: MllpConfig) -> ssl.SSLContext | None:
    """TLS to a gateway that we dial, None where none is configured; raises UserError."""
    named = c.tls_ca or c.tls_cert or c.tls_key
    return client_context(c.tls_ca, c.tls_cert, c.tls_key) if named else None


def keep_alive(sock: Any) -> None:
    """Have the kernel ask a silent peer, and end the connection after a minute without an answer: it lost its power."""
    for level, option, value in (
        (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
        (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 30),
        (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 10),
        (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3),
    ):
        sock.setsockopt(level, option, value)


def split_address(address: str) -> tuple[str, int]:
    """Host and port of "host:port" ("[::1]:2575" too); raises ValueError."""
    host, _, port = address.rpartition(":")
    if not 0 <= int(port) <= 65535:
        raise ValueError(f"{port} is no port")
    return host.strip("[]"), int(port)
