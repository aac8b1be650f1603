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
from edge_agent.delivery import Delivery
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

    def __init__(self, config: MllpConfig, make_source: Callable[[str], Source], now_us: Callable[[], int],
                 connections: itertools.count[int]) -> None:  # fmt: skip
        self._config, self._make_source = config, make_source
        self._now_us, self._connections = now_us, connections
        self._open = 0
        self._talks: set[asyncio.Task[object]] = set()
        self.address = ""

    async def run(self, deliver: Callable[[Delivery], None]) -> None:
        """Serve for ever. Raises OSError where the port cannot be listened on, UserError for TLS that cannot be."""
        c = self._config
        if c.dial is not None:
            await self._dial(c.dial, deliver)
        place = c.listen or "127.0.0.1:2575"
        host, port = split_address(place)
        tls = server_tls(c)
        check_listener(host, tls=tls is not None, insecure=c.insecure)
        more: dict[str, Any] = {"ssl": tls, "ssl_handshake_timeout": HANDSHAKE_S} if tls else {}

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            self._talks.add(task)
            task.add_done_callback(self._talks.discard)
            with suppress(asyncio.CancelledError):  # the agent ends; asyncio 3.11 prints a handler that was cancelled
                await self._serve(reader, writer, deliver)

        try:
            server = await asyncio.start_server(serve, host, port, limit=READ_BYTES, **more)
        except OSError as error:
            why = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror
            raise OSError(error.errno, f"{c.name}: {place} cannot be listened on ({why})") from None
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
            heard = False
            try:
                async with asyncio.timeout(DIAL_LIMIT_S):
                    reader, writer = await asyncio.open_connection(host, port, ssl=tls, limit=READ_BYTES)
                heard = await self._serve(reader, writer, deliver)
            except OSError as error:
                _log.info("gateway not reached", source=self._config.name, error=str(error) or type(error).__name__)
            if heard:  # one that accepts and closes at once is not dialled in a storm
                delay_s = REDIAL_FIRST_S
            await asyncio.sleep(delay_s)
            delay_s = min(delay_s * 2, REDIAL_MAX_S)

    async def _serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, deliver: Callable[[Delivery], None]
    ) -> bool:
        """One connection to its end; whatever it sends, only this connection ends. True where anything came."""
        name, heard = self._config.name, False
        if self._open >= self._config.connections_max:
            _log.warning("too many senders", source=name, limit=self._config.connections_max)
            writer.close()
            return heard
        self._open += 1
        _connected.labels(name).set(self._open)
        peer = (writer.get_extra_info("peername") or ("?",))[0]
        talk = _Conversation(self._make_source(peer), f"{name}@{peer}", next(self._connections), writer, self._now_us,
                             deliver)  # fmt: skip
        try:
            keep_alive(writer.get_extra_info("socket"))
            while data := await talk.hear(reader, self._config.idle_s):
                heard = True
                await talk.take(data)
        except OSError as error:  # TimeoutError is one
            _log.info("sender gone", source=name, error=type(error).__name__)
        finally:
            self._open -= 1
            _connected.labels(name).set(self._open)
            await talk.end()
            if not writer.is_closing() and writer.transport.get_write_buffer_size():
                # It closes when these are read, and maybe nobody reads them.
                asyncio.get_running_loop().call_later(CLOSE_S, writer.transport.abort)
            writer.close()
        return heard


class _Conversation:
    """One sender's frames and our answers, first come first answered."""

    def __init__(self, source: Source, sender: str, connection: int, writer: asyncio.StreamWriter,
                 now_us: Callable[[], int], deliver: Callable[[Delivery], None]) -> None:  # fmt: skip
        self._source, self._sender, self._connection = source, sender, connection
        self._writer, self._now_us, self._deliver = writer, now_us, deliver
        self._framer = MllpFramer()
        self._room = asyncio.Semaphore(UNANSWERED_MAX)
        self._slots = itertools.count()
        self._unanswered: dict[int, None] = {}  # in order

    async def hear(self, reader: asyncio.StreamReader, idle_s: float) -> bytes:
        """The next bytes, b"" at the end; a frame that stands still is answered meanwhile. Raises TimeoutError."""
        while True:
            begun = self._framer.pending
            try:
                async with asyncio.timeout(min(STALL_S, idle_s) if begun else idle_s):
                    return await reader.read(READ_BYTES)
            except TimeoutError:
                if not begun:
                    raise
            if rest := self._framer.close():
                await self._hand_on(rest)

    async def take(self, data: bytes) -> None:
        """Bytes as they came. Raises TimeoutError where the answers are not read."""
        for piece in self._framer.feed(data):
            async with asyncio.timeout(UNREAD_S):
                await self._writer.drain()
            await self._hand_on(piece)

    async def end(self) -> None:
        """The connection is over: what was left of a frame is kept too, and all that can be is answered."""
        unanswered = UNANSWERED_MAX
        if rest := self._framer.close():
            self._give(rest)
            unanswered += 1
        with suppress(TimeoutError):  # a sender may have closed only its own direction, and waits
            async with asyncio.timeout(LAST_ANSWERS_S):
                for _ in range(unanswered):
                    await self._room.acquire()

    async def _hand_on(self, piece: Piece) -> None:
        await self._room.acquire()
        self._give(piece)

    def _give(self, piece: Piece) -> None:
        frame, head = piece.data, header(piece.data)
        # An acknowledgement is never acknowledged (HL7 2.5.1 section 2.9): two who did would never end.
        is_ack = head is not None and head.fields[9].strip().upper().startswith("ACK")

        slot = next(self._slots)
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
            Delivery(frame, self._source, self._now_us(), ack, reason,
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
