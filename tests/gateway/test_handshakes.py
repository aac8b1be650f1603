from __future__ import annotations

import asyncio
import ssl

import pytest
from structlog.testing import capture_logs

from gateway.handshakes import log_handshakes
from runtime.tls import client_context, server_context
from tests.runtime.conftest import Certified


async def _connect(ours: Certified, client: ssl.SSLContext) -> None:
    """To a server of its own."""
    context = log_handshakes(server_context(ours.cert, ours.key))
    server = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0, ssl=context)
    async with server:
        port = server.sockets[0].getsockname()[1]
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=client, server_hostname="localhost")
        assert await reader.read() == b""
        writer.close()


def _old() -> ssl.SSLContext:
    """A client that knows TLS 1.1 alone."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    return context


def test_one_that_fails_has_a_line_and_one_that_succeeds_has_none(ours: Certified) -> None:
    with capture_logs() as logged:
        asyncio.run(_connect(ours, client_context(ours.cert)))
    assert logged == []
    with capture_logs() as logged, pytest.raises((ssl.SSLError, ConnectionError)):
        asyncio.run(_connect(ours, _old()))
    assert [(each["event"], each["reason"]) for each in logged] == [("a TLS handshake failed", "UNSUPPORTED_PROTOCOL")]
