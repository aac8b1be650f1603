"""A listening or dialling transport, an agent behind it, and senders: for the tests of MLLP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from adapters.driver import Source
from adapters.formats.hl7_ack import Outcome
from adapters.formats.mllp import wrap
from edge_agent.config import MllpConfig
from edge_agent.delivery import Delivery
from edge_agent.transports.mllp import MllpTransport, split_address

LIMIT_S = 10.0
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


def message(ident: object, kind: str = "ORU^R01", more: str = "") -> bytes:
    return f"MSH|^~\\&|MON||||20261124101500+0000||{kind}|{ident}|P|2.6\r{more}".encode()


def outcome(answer: bytes) -> tuple[str, str]:
    """MSA-1 and MSA-2."""
    msa = next(s for s in answer.decode().split("\r") if s.startswith("MSA")).split("|")
    return msa[1], (*msa, "")[2]


class Agent:
    """Takes deliveries, and answers each at once unless told to hold them."""

    def __init__(self, holds: bool = False, answers: Callable[[Delivery], Outcome] = lambda _: Outcome.KEPT) -> None:
        self.came: list[Delivery] = []
        self._holds, self._answers = holds, answers
        self._more = asyncio.Event()

    def __call__(self, delivery: Delivery) -> None:
        self.came.append(delivery)
        self._more.set()
        if not self._holds:
            self.answer(delivery)

    def answer(self, delivery: Delivery) -> None:
        asyncio.get_running_loop().call_soon(delivery.ack, self._answers(delivery), delivery.reason)

    async def until(self, holds: Callable[[], object]) -> None:
        async with asyncio.timeout(LIMIT_S):
            while not holds():
                self._more.clear()
                await self._more.wait()


@asynccontextmanager
async def running(config: MllpConfig, deliver: Callable[[Delivery], None]) -> AsyncIterator[MllpTransport]:
    """A transport at work. When it ends, no task of its own is left."""
    transport = MllpTransport(config, lambda peer: Source("bed", peer=peer))
    before = asyncio.all_tasks()
    task = asyncio.ensure_future(transport.run(deliver))
    try:
        await eventually(lambda: transport.address or task.done() or config.dial)
        if task.done():
            task.result()
        yield transport
    finally:
        task.cancel()
        async with asyncio.timeout(LIMIT_S):
            await asyncio.gather(task, return_exceptions=True)
    ours = [t for t in asyncio.all_tasks() - before if "_serve" in repr(t) or "serve" in repr(t)]
    assert ours == []


async def eventually(holds: Callable[[], object]) -> None:
    async with asyncio.timeout(LIMIT_S):
        while not holds():
            await asyncio.sleep(0.005)


def listening(**more: Any) -> MllpConfig:
    return MllpConfig("bed", "hl7_oru", listen="127.0.0.1:0", **more)


async def connect(transport: MllpTransport, **more: Any) -> Streams:
    return await asyncio.open_connection(*split_address(transport.address), **more)


async def answer(reader: asyncio.StreamReader) -> bytes:
    async with asyncio.timeout(LIMIT_S):
        return (await reader.readuntil(b"\x1c\r"))[1:-2]


async def ask(streams: Streams, payload: bytes) -> tuple[str, str]:
    streams[1].write(wrap(payload))
    return outcome(await answer(streams[0]))


@asynccontextmanager
async def gateway_or_listener(deliver: Callable[[Delivery], None], dialled: bool) -> AsyncIterator[Streams]:
    """A connection to a transport, whichever of the two has opened it."""
    if not dialled:
        async with running(listening(), deliver) as transport:
            streams = await connect(transport)
            yield streams
            streams[1].close()
        return
    came: asyncio.Queue[Streams] = asyncio.Queue()
    gateway = await asyncio.start_server(lambda r, w: came.put_nowait((r, w)), "127.0.0.1", 0)
    async with running(dialling(gateway), deliver):
        streams = await came.get()
        yield streams
        streams[1].close()
    gateway.close()


def dialling(gateway: asyncio.Server, **more: Any) -> MllpConfig:
    return MllpConfig("bed", "hl7_oru", dial=f"127.0.0.1:{gateway.sockets[0].getsockname()[1]}", **more)
