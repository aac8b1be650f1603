"""Listens where senders of HL7 connect, with or without TLS, and answers nothing."""

from __future__ import annotations

import asyncio
import errno
import os
import ssl
import time
from collections.abc import Callable
from contextlib import suppress

from adapters.session import Moment
from edge_agent.holders import listener_on
from edge_agent.links.address import split_address
from runtime.errors import EXIT_UNREACHABLE, UserError
from runtime.process import stop_event
from vitalwire.doctor.port.hl7_sender import HL7Sender
from vitalwire.doctor.port.tls_offer import is_hello

READ_BYTES = 64 * 1024
LOOK_S = 0.25
MESSAGES_ENOUGH, SETTLE_S = 3, 3.0  # of each sender; so long after that, who else connects
SENDERS_MAX = 500
HELLO_BYTES_MAX = 4096


def now() -> Moment:
    """By the clocks of this machine."""
    return Moment(time.monotonic(), time.time_ns() // 1000)


async def hear_senders(
    place: str, context: ssl.SSLContext | None, seconds: float, progress: Callable[[list[HL7Sender]], object]
) -> list[HL7Sender]:
    """All that connected, by address; it ends after `seconds`, at Ctrl-C, or when each has sent some messages.

    Raises UserError where the place cannot be listened on.
    """
    host, port = split_address(place)
    senders: dict[str, HL7Sender] = {}
    loop, stop = asyncio.get_running_loop(), stop_event()
    if port and (holder := listener_on(port)) is not None:
        mend = "`vitalwire edge watch` with its configuration says what it hears; or end it to listen here"
        raise UserError(f"{holder} listens on {place}: {mend}", EXIT_UNREACHABLE)
    try:
        server = await loop.create_server(lambda: _Connection(senders, context), host or None, port)
    except OSError as error:
        why = os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)
        mend = "end what has it" if error.errno == errno.EADDRINUSE else "choose another address or port"
        raise UserError(f"{place} cannot be listened on ({why}): {mend}", EXIT_UNREACHABLE) from None
    ends_s, settled_s = loop.time() + seconds, None
    try:
        while loop.time() < ends_s and not stop.is_set():
            progress(list(senders.values()))
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_S):
                    await stop.wait()
            is_enough = bool(senders) and all(each.messages >= MESSAGES_ENOUGH for each in senders.values())
            settled_s = (settled_s or loop.time()) if is_enough else None
            if settled_s is not None and loop.time() - settled_s >= SETTLE_S:
                break
    finally:
        server.close()
    return list(senders.values())


class _Connection(asyncio.Protocol):
    """One connection of a sender."""

    def __init__(self, senders: dict[str, HL7Sender], context: ssl.SSLContext | None) -> None:
        self._senders = senders
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True) if context else None
        self._has_hands_shaken = False
        self._hello = b""
        self._transport: asyncio.Transport | None = None
        self._sender: HL7Sender | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A sender came."""
        assert isinstance(transport, asyncio.Transport)
        peer = str((transport.get_extra_info("peername") or ("?",))[0])
        if peer not in self._senders and len(self._senders) >= SENDERS_MAX:
            transport.abort()
            return
        self._transport = transport
        self._sender = self._senders.setdefault(peer, HL7Sender(peer, now))
        self._sender.connected()

    def connection_lost(self, error: Exception | None) -> None:
        """It has gone."""
        if self._sender is not None:
            self._sender.disconnected(orderly=error is None)

    def data_received(self, data: bytes) -> None:
        """Bytes came."""
        if self._sender is None or self._transport is None:
            return
        self._hello = (self._hello + data)[:HELLO_BYTES_MAX] if not self._has_hands_shaken else self._hello
        if self._tls is not None:
            self._decrypt(data)
        elif is_hello(self._hello) or self._sender.tls_problem:
            self._sender.offered(self._hello, "no TLS here")
            self._transport.close()
        else:
            self._sender.feed(data)

    def _decrypt(self, data: bytes) -> None:
        assert self._tls is not None
        assert self._sender is not None
        assert self._transport is not None
        self._incoming.write(data)
        try:
            if not self._has_hands_shaken:
                self._tls.do_handshake()
                self._has_hands_shaken = True
            while plain := self._tls.read(READ_BYTES):
                self._sender.feed(plain)
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError as error:
            if not self._has_hands_shaken:
                self._sender.offered(self._hello if is_hello(self._hello) else b"", _in_words(error))
            self._transport.write(self._outgoing.read())
            self._transport.close()
            return
        self._transport.write(self._outgoing.read())


def _in_words(error: ssl.SSLError) -> str:
    return (error.reason or str(error)).replace("_", " ").lower()
