"""A link at work, an agent behind it that keeps what it is told to, and senders: for the tests of links."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

from adapters.driver import NoSettings, Source
from adapters.session import Outcome, Session
from adapters.sessions.mllp import MllpSession, wrap
from edge_agent.config import TcpLink
from edge_agent.conversation import Conversation, Keeper, Line
from edge_agent.delivery import Answer, Delivery
from edge_agent.links.address import split_address
from edge_agent.links.tcp import TcpDialler, TcpListener, dialler_of
from edge_agent.recording import Tap
from edge_agent.supervisor import Link

LIMIT_S = 10.0
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


def message(ident: object, kind: str = "ORU^R01", more: str = "") -> bytes:
    return f"MSH|^~\\&|MON||||20261124101500+0000||{kind}|{ident}|P|2.6\r{more}".encode()


def outcome(answer: bytes) -> tuple[str, str]:
    """MSA-1 and MSA-2."""
    msa = next(s for s in answer.decode().split("\r") if s.startswith("MSA")).split("|")
    return msa[1], (*msa, "")[2]


def kept_or_malformed(delivery: Delivery) -> Outcome:
    return Outcome.MALFORMED if delivery.reason else Outcome.KEPT


class Agent:
    """The owner of a link, and the keeper of its frames: answers each at once, unless told to hold them.

    A frame whose `answers` gives None is never answered.
    """

    keeps = True

    def __init__(
        self, holds: bool = False, answers: Callable[[Delivery], Outcome | None] = kept_or_malformed,
        make_session: Callable[[], Session] = MllpSession, name: str = "bed",
    ) -> None:  # fmt: skip
        self.name, self.tap, self.keeper = name, Tap(), self._as_keeper()
        self.came: list[Delivery] = []
        self.events: list[tuple[str, str]] = []
        self.troubles: list[str] = []
        self.refusals: list[str] = []
        self.bugs: list[Exception] = []
        self.counts: Counter[str] = Counter()
        self.conversations: list[Conversation] = []
        self.stood = 0
        self.proven: list[tuple[int, range]] = []
        self.holds = holds
        self._answers, self._make_session = answers, make_session
        self._waiting: list[tuple[Delivery, Answer]] = []
        self._more = asyncio.Event()

    def _as_keeper(self) -> Keeper:
        return self

    # --- the owner ----------------------------------------------------------------------------------------------------

    def stands(self) -> None:
        self.stood += 1

    def troubled(self, why: str, refused: str = "") -> None:
        self.troubles.append(why)
        self.refusals += filter(None, [refused])

    def emit(self, code: str, text: str) -> None:
        self.events.append((code, text))

    def count(self, name: str) -> None:
        self.counts[name] += 1

    def source(self, peer: str) -> Source[Any]:
        return Source(self.name, NoSettings(), peer=peer)

    def converse(self, line: Line, peer: str) -> Conversation:
        made = Conversation(self._make_session(), line, self.source(peer), self.keeper, self.tap)
        self.conversations.append(made)
        return made

    # --- the keeper ---------------------------------------------------------------------------------------------------

    def carry(self, delivery: Delivery, answer: Answer) -> None:
        self.came.append(delivery)
        self._waiting.append((delivery, answer))
        self._more.set()
        if not self.holds:
            self.release()

    def prove(self, connection: int, tokens: range) -> None:
        self.proven.append((connection, tokens))

    def session_failed(self, error: Exception, /) -> object:
        self.bugs.append(error)
        return None

    def release(self) -> None:
        """Answer all that waits, as after a commit."""
        waiting, self._waiting = self._waiting, []
        for delivery, answer in waiting:
            outcome = self._answers(delivery)
            if outcome is not None:
                asyncio.get_running_loop().call_soon(answer, outcome, delivery.reason)

    def frames(self) -> list[tuple[bytes, str]]:
        return [(d.frame, d.reason) for d in self.came]

    async def until(self, holds: Callable[[], object]) -> None:
        async with asyncio.timeout(LIMIT_S):
            while not holds():
                self._more.clear()
                await self._more.wait()


@asynccontextmanager
async def running(link: Link, agent: Agent) -> AsyncIterator[asyncio.Task[None]]:
    """A link at work; when this ends, so has the link, and no task of it is left."""
    before = asyncio.all_tasks()
    stood = agent.stood
    task = asyncio.create_task(link.run(agent))
    try:
        await eventually(lambda: agent.stood > stood or agent.troubles or task.done())
        if task.done():
            task.result()
        yield task
    finally:
        task.cancel()
        async with asyncio.timeout(LIMIT_S):
            await asyncio.gather(task, return_exceptions=True)
    ours = [t for t in asyncio.all_tasks() - before if "edge_agent" in repr(t)]
    assert ours == []


async def eventually(holds: Callable[[], object]) -> None:
    async with asyncio.timeout(LIMIT_S):
        while not holds():
            await asyncio.sleep(0.005)


def listening(**more: Any) -> TcpListener:
    return TcpListener(TcpLink(listen="127.0.0.1:0", **more))


def dialling(gateway: asyncio.Server, **more: Any) -> TcpDialler:
    return dialler_of(TcpLink(dial=f"127.0.0.1:{gateway.sockets[0].getsockname()[1]}", **more))


async def connect(listener: TcpListener, **more: Any) -> Streams:
    return await asyncio.open_connection(*split_address(listener.address), **more)


async def answer(reader: asyncio.StreamReader) -> bytes:
    async with asyncio.timeout(LIMIT_S):
        return (await reader.readuntil(b"\x1c\r"))[1:-2]


async def ask(streams: Streams, payload: bytes) -> tuple[str, str]:
    streams[1].write(wrap(payload))
    return outcome(await answer(streams[0]))


@asynccontextmanager
async def gateway_or_listener(agent: Agent, dialled: bool) -> AsyncIterator[Streams]:
    """A connection to a link, whichever of the two has opened it."""
    if not dialled:
        listener = listening()
        async with running(listener, agent):
            streams = await connect(listener)
            yield streams
            streams[1].close()
        return
    came: asyncio.Queue[Streams] = asyncio.Queue()
    gateway = await asyncio.start_server(lambda r, w: came.put_nowait((r, w)), "127.0.0.1", 0)
    async with running(dialling(gateway), agent):
        streams = await came.get()
        yield streams
        streams[1].close()
        with suppress(OSError):
            await streams[1].wait_closed()
    gateway.close()
