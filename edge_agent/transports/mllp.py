"""MLLP on asyncio streams: listening, and dialling out to gateways that send to whoever connects.

Each frame is answered in its own protocol after the spool has it, in the order of arrival, on its own connection.
"""

from __future__ import annotations

import asyncio
import itertools
import ssl
from collections.abc import Callable
from datetime import UTC, datetime

import structlog
from prometheus_client import Gauge

from adapters.driver import Source
from adapters.formats.hl7_ack import Outcome, acknowledgement
from adapters.formats.mllp import MllpFramer, wrap
from edge_agent.config import MllpConfig
from edge_agent.delivery import Delivery
from runtime.tls import check_listener, client_context, server_context

READ_BYTES = 64 * 1024
UNANSWERED_MAX = 256  # frames of one connection that wait for the spool: beyond it, nothing is read from it
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
        self.address = ""

    async def run(self, deliver: Callable[[Delivery], None]) -> None:
        """Serve for ever. Raises OSError where the port cannot be listened on."""
        if self._config.dial is not None:
            await self._dial(self._config.dial, deliver)
        host, port = split_address(self._config.listen or "127.0.0.1:2575")
        check_listener(host, tls=self._config.tls_cert is not None, insecure=self._config.insecure)
        server = await asyncio.start_server(
            lambda r, w: self._serve(r, w, deliver), host, port, ssl=self._server_tls(), limit=READ_BYTES
        )
        self.address = "{}:{}".format(*server.sockets[0].getsockname()[:2])
        async with server:
            await server.serve_forever()

    def _server_tls(self) -> ssl.SSLContext | None:
        c = self._config
        return server_context(c.tls_cert, c.tls_key, c.tls_ca) if c.tls_cert and c.tls_key else None

    async def _dial(self, address: str, deliver: Callable[[Delivery], None]) -> None:
        c, delay_s = self._config, REDIAL_FIRST_S
        host, port = split_address(address)
        tls = client_context(c.tls_ca, c.tls_cert, c.tls_key) if c.tls_ca else None
        while True:
            try:
                reader, writer = await asyncio.open_connection(host, port, ssl=tls, limit=READ_BYTES)
            except OSError as error:
                _log.info("gateway not reached", source=c.name, error=type(error).__name__)
                await asyncio.sleep(delay_s)
                delay_s = min(delay_s * 2, REDIAL_MAX_S)
                continue
            delay_s = REDIAL_FIRST_S
            await self._serve(reader, writer, deliver)
            await asyncio.sleep(delay_s)

    async def _serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, deliver: Callable[[Delivery], None]
    ) -> None:
        """One connection, from its first byte to its end; whatever it sends, only this connection ends."""
        if self._open >= self._config.connections_max:
            _log.warning("too many senders", source=self._config.name, limit=self._config.connections_max)
            writer.close()
            return
        self._open += 1
        _connected.labels(self._config.name).set(self._open)
        peer = (writer.get_extra_info("peername") or ("?",))[0]
        conversation = _Conversation(self._make_source(peer), f"{self._config.name}@{peer}", next(self._connections),
                                     writer, self._now_us, deliver)  # fmt: skip
        try:
            while data := await asyncio.wait_for(reader.read(READ_BYTES), self._config.idle_s):
                await conversation.take(data)
        except (OSError, TimeoutError, asyncio.CancelledError) as error:  # cancelled: the agent ends
            _log.info("sender gone", source=self._config.name, error=type(error).__name__)
        finally:
            self._open -= 1
            _connected.labels(self._config.name).set(self._open)
            await conversation.end()
            writer.close()


class _Conversation:
    """One sender's frames and our answers, first come first answered."""

    def __init__(self, source: Source, sender: str, connection: int, writer: asyncio.StreamWriter,
                 now_us: Callable[[], int], deliver: Callable[[Delivery], None]) -> None:  # fmt: skip
        self._source, self._sender, self._connection = source, sender, connection
        self._writer, self._now_us, self._deliver = writer, now_us, deliver
        self._framer = MllpFramer()
        self._room = asyncio.Semaphore(UNANSWERED_MAX)

    async def take(self, data: bytes) -> None:
        """Bytes as they came."""
        for piece in self._framer.feed(data):
            await self._hand_on(piece.data, piece.reason)

    async def end(self) -> None:
        """The connection is over: what was left of a frame is kept as one that could not be read."""
        rest = self._framer.close()
        if rest is not None:
            await self._hand_on(rest.data, rest.reason)

    async def _hand_on(self, frame: bytes, reason: str) -> None:
        await self._room.acquire()

        def ack(outcome: Outcome, why: str) -> None:
            self._room.release()
            answer = acknowledgement(frame, outcome, datetime.now(UTC), f"VW{next(_control_ids)}", why)
            if answer is not None and not self._writer.is_closing():
                self._writer.write(wrap(answer))

        self._deliver(Delivery(frame, self._source, self._sender, self._connection, self._now_us(), ack, reason=reason))


def split_address(address: str) -> tuple[str, int]:
    """Host and port of "host:port" ("[::1]:2575" too); raises ValueError."""
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)
