"""MLLP over TLS, and where it may listen: which certificates are believed, on both sides."""

from __future__ import annotations

import asyncio
import logging
import ssl
from pathlib import Path
from typing import Any

import pytest

from adapters.driver import Source
from edge_agent.config import MllpConfig
from edge_agent.transports.mllp import MllpTransport
from runtime.errors import UserError
from runtime.tls import client_context, server_context
from tests.edge_agent.transports.scene import (
    LIMIT_S,
    Agent,
    Streams,
    ask,
    connect,
    dialling,
    listening,
    message,
    running,
)
from tests.runtime.conftest import Certified, certify


def test_a_listener_takes_only_senders_whose_certificate_it_knows(
    ours: Certified, theirs: Certified, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    stranger = certify(tmp_path, "stranger")
    config = listening(tls_cert=ours.cert, tls_key=ours.key, tls_ca=theirs.cert)

    async def run() -> None:
        agent_ = Agent()
        async with running(config, agent_) as transport:
            known = client_context(ours.cert, theirs.cert, theirs.key)
            streams = await connect(transport, ssl=known)
            assert await ask(streams, message(1)) == ("AA", "1")
            nobody, other = client_context(ours.cert), client_context(ours.cert, stranger.cert, stranger.key)
            for context in (nobody, other, None):  # None: without TLS
                with pytest.raises((ssl.SSLError, ConnectionError, asyncio.IncompleteReadError)):
                    await ask(await connect(transport, ssl=context), message(2))
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
        config = dialling(gateway, tls_ca=ours.cert, tls_cert=theirs.cert, tls_key=theirs.key)
        async with running(config, agent_):
            streams = await came.get()
            assert await ask(streams, message(1)) == ("AA", "1")
            streams[1].close()
        wrong = dialling(gateway, tls_ca=theirs.cert, tls_cert=theirs.cert, tls_key=theirs.key)
        async with running(wrong, agent_):
            await asyncio.sleep(0.1)
        assert came.empty()
        gateway.close()

    asyncio.run(run())


@pytest.mark.parametrize("given", ["cert", "key", "ca"])
def test_half_a_tls_configuration_never_listens_in_plain(ours: Certified, given: str) -> None:
    half: dict[str, Any] = {"cert": {"tls_cert": ours.cert}, "key": {"tls_key": ours.key}, "ca": {"tls_ca": ours.cert}}[
        given
    ]
    for host in ("0.0.0.0", "127.0.0.1"):
        config = MllpConfig("bed", "hl7_oru", listen=f"{host}:0", **half)
        with pytest.raises(UserError, match="needs both tls_cert and tls_key"):
            asyncio.run(start(config))


def test_half_a_client_certificate_never_dials(ours: Certified) -> None:
    config = MllpConfig("bed", "hl7_oru", dial="127.0.0.1:1", tls_cert=ours.cert)
    with pytest.raises(UserError, match="need each other"):
        asyncio.run(start(config))


async def start(config: MllpConfig) -> None:
    transport = MllpTransport(config, Source)
    async with asyncio.timeout(LIMIT_S):
        await transport.run(Agent())


def test_beyond_loopback_it_listens_only_with_tls_or_by_name() -> None:
    with pytest.raises(UserError, match="needs tls_cert and tls_key"):
        asyncio.run(start(MllpConfig("bed", "hl7_oru", listen="0.0.0.0:0")))

    async def run() -> None:
        config = MllpConfig("bed", "hl7_oru", listen="0.0.0.0:0", insecure=True)
        async with running(config, Agent()) as transport:
            assert transport.address.startswith("0.0.0.0:")

    asyncio.run(run())


def test_a_place_that_is_not_ours_names_the_source_and_the_place() -> None:
    with pytest.raises(OSError, match=r"bed: nowhere\.invalid:1 cannot be listened on"):
        asyncio.run(start(MllpConfig("bed", "hl7_oru", listen="nowhere.invalid:1", insecure=True)))
