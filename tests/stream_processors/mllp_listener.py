"""An MLLP listener that answers as a test says, and keeps what it was sent."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

MSH_10 = re.compile(rb"MSH(?:\|[^|\r]*){8}\|([^|\r]*)")
Answering = Callable[[bytes], "Answers"]


@dataclass(frozen=True)
class Answers:
    """The frames that follow a message, after `delay_s`; then the connection is closed, or not."""

    frames: tuple[bytes, ...] = ()
    closes: bool = False
    delay_s: float = 0.0


def frame(code: str, control_id: bytes) -> bytes:
    """An acknowledgement in its frame."""
    return b"\x0bMSH|^~\\&|EMR||||||ACK^R01|1|P|2.5.1\rMSA|" + code.encode() + b"|" + control_id + b"\r\x1c\r"


def control_id_of(message: bytes) -> bytes:
    found = MSH_10.match(message)
    assert found is not None
    return found[1]


def acknowledge(code: str = "AA") -> Answering:
    """Each message is answered by this code."""
    return lambda message: Answers((frame(code, control_id_of(message)),))


@dataclass
class Listener:
    """`messages` without their frames, in the order in which they came; `answering` may be changed while it serves."""

    answering: Answering
    port: int = 0
    messages: list[bytes] = field(default_factory=list)
    connections: int = 0
    server: asyncio.Server | None = None

    async def listen(self) -> None:
        self.server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self.server.sockets[0].getsockname()[1]

    async def end(self) -> None:
        """Refuse connections from now on, and break those that are open."""
        assert self.server is not None
        self.server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        try:
            while True:
                message = (await reader.readuntil(b"\x1c\r"))[1:-2]
                self.messages.append(message)
                answers = self.answering(message)
                await asyncio.sleep(answers.delay_s)
                writer.write(b"".join(answers.frames))
                await writer.drain()
                if answers.closes:
                    return
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            return
        finally:
            self._tasks.discard(task)
            writer.close()


@asynccontextmanager
async def listening(answering: Answering) -> AsyncIterator[Listener]:
    found = Listener(answering)
    await found.listen()
    try:
        yield found
    finally:
        await found.end()
