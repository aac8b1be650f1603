"""TCP with TLS, and where it may listen: which certificates are believed, on both sides."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from adapters.sessions.mllp import wrap
from edge_agent.config import TcpLink
from edge_agent.links import tcp
from edge_agent.links.address import split_address
from edge_agent.links.owner import LinkError
from edge_agent.links.tcp import TcpListener, dialler_of
from runtime.errors import UserError
from runtime.tls import client_context, server_context
from tests.edge_agent.links.scene import (
    LIMIT_S,
    Agent,
    Streams,
    ask,
    connect,
    dialling,
    eventually,
    listening,
    message,
    outcome,
    running,
)
from tests.runtime.conftest import Certified, certify


def test_a_listener_takes_only_senders_whose_certificate_it_knows(
    ours: Certified, theirs: Certified, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    stranger = certify(tmp_path, "stranger")
    listener = listening(tls_cert=ours.cert, tls_key=ours.key, tls_ca=theirs.cert)

    async def run() -> None:
        agent_ = Agent()
        async with running(listener, agent_):
            known = client_context(ours.cert, theirs.cert, theirs.key)
            streams = await connect(listener, ssl=known)
            assert await ask(streams, message(1)) == ("AA", "1")
            nobody, other = client_context(ours.cert), client_context(ours.cert, stranger.cert, stranger.key)
            for context in (nobody, other, None):  # None: without TLS
                with pytest.raises((ssl.SSLError, ConnectionError, asyncio.IncompleteReadError)):
                    await ask(await connect(listener, ssl=context), message(2))
            assert await ask(streams, message(3)) == ("AA", "3")
            streams[1].close()
        assert len(agent_.came) == 2

    with caplog.at_level(logging.WARNING, "asyncio"):
        asyncio.run(run())
    assert [r.getMessage() for r in caplog.records if r.name == "asyncio"] == []


def test_a_gateway_is_dialled_with_tls_and_only_the_right_one(ours: Certified, theirs: Certified) -> None:
    async def run() -> None:
        agent_ = Agent()
        came: asyncio.Queue[Streams] = asyncio.Queue()
        gateway = await asyncio.start_server(
            lambda r, w: came.put_nowait((r, w)), "127.0.0.1", 0, ssl=server_context(ours.cert, ours.key, theirs.cert)
        )
        async with running(dialling(gateway, tls_ca=ours.cert, tls_cert=theirs.cert, tls_key=theirs.key), agent_):
            streams = await came.get()
            assert await ask(streams, message(1)) == ("AA", "1")
            streams[1].close()
        wrong = dialling(gateway, tls_ca=theirs.cert, tls_cert=theirs.cert, tls_key=theirs.key)
        with pytest.raises(LinkError, match="certificate verify failed"):
            await wrong.run(agent_)
        assert came.empty()
        gateway.close()

    asyncio.run(run())


@pytest.mark.parametrize("given", ["cert", "key", "ca"])
def test_half_a_tls_configuration_never_listens_in_plain(ours: Certified, given: str) -> None:
    half: dict[str, Any] = {"cert": {"tls_cert": ours.cert}, "key": {"tls_key": ours.key}, "ca": {"tls_ca": ours.cert}}[
        given
    ]
    for host in ("0.0.0.0", "127.0.0.1"):
        with pytest.raises(UserError, match="needs both tls_cert and tls_key"):
            asyncio.run(TcpListener(TcpLink(listen=f"{host}:0", **half)).run(Agent()))


def test_half_a_client_certificate_never_dials(ours: Certified) -> None:
    dialler = dialler_of(TcpLink(dial="127.0.0.1:1", tls_cert=ours.cert))
    with pytest.raises(UserError, match="need each other"):
        asyncio.run(dialler.run(Agent()))


def test_beyond_loopback_it_listens_only_with_tls_or_by_name() -> None:
    with pytest.raises(UserError, match="needs tls_cert and tls_key"):
        asyncio.run(TcpListener(TcpLink(listen="0.0.0.0:0")).run(Agent()))

    async def run() -> None:
        listener = TcpListener(TcpLink(listen="0.0.0.0:0", insecure=True))
        async with running(listener, Agent()):
            assert listener.address.startswith("0.0.0.0:")

    asyncio.run(run())


def test_a_place_that_is_not_ours_is_named() -> None:
    with pytest.raises(LinkError, match=r"nowhere\.invalid:1 cannot be listened on"):
        asyncio.run(TcpListener(TcpLink(listen="nowhere.invalid:1", insecure=True)).run(Agent()))


def test_a_handshake_that_does_not_end_is_ended(ours: Certified, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tcp, "HANDSHAKE_S", 0.1)

    async def run() -> None:
        agent_, listener = Agent(), listening(tls_cert=ours.cert, tls_key=ours.key)
        async with running(listener, agent_):
            reader, writer = await connect(listener)
            with suppress(ConnectionError):
                await asyncio.wait_for(reader.read(), LIMIT_S)
            writer.close()
            await eventually(lambda: not listener.connections and not listener.handshakes)
            assert agent_.counts == {"handshakes-failed": 1}

    asyncio.run(run())


def test_words_that_come_with_the_end_of_the_handshake_are_not_lost(ours: Certified) -> None:
    """TLS 1.3: a client may send right behind its Finished."""

    def speak(host: str, port: int) -> bytes:
        context = client_context(ours.cert)
        with socket.create_connection((host, port), LIMIT_S) as plain:
            incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
            tls = context.wrap_bio(incoming, outgoing, server_hostname="127.0.0.1")
            while True:
                try:
                    tls.do_handshake()
                except ssl.SSLWantReadError:
                    plain.sendall(outgoing.read())
                    incoming.write(plain.recv(65536))
                else:
                    break
            tls.write(wrap(message("early")))
            plain.sendall(outgoing.read())  # in one piece
            while True:
                try:
                    return tls.read(1000)
                except ssl.SSLWantReadError:
                    incoming.write(plain.recv(65536))

    async def run() -> None:
        listener = listening(tls_cert=ours.cert, tls_key=ours.key)
        async with running(listener, Agent()):
            got = await asyncio.to_thread(speak, *split_address(listener.address))
            assert outcome(got[1:-2]) == ("AA", "early")

    asyncio.run(run())
