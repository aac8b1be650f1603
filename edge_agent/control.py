"""The control socket of a running agent, both its ends: how sources stand, and what goes over them.

A Unix socket of mode 600, so for the agent's own user. A client sends one line of JSON and gets lines until the end:

    {"ask": "sources"}                          one line of JSON: a list of states
    {"ask": "witness"}                          a line of JSON for each checkpoint of the hospital's log that is kept
    {"ask": "record", "source": "ICU-07"}       a recording (docs/recording.md) until the client closes
    {"ask": "reread", "source": "ICU-07", "since_us": 0}   one line of JSON at its end: what became of rejected frames

What cannot be done is one line {"error": "..."}.
"""

from __future__ import annotations

import asyncio
import os
import socket
import stat
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, TextIO

import msgspec
import structlog

from adapters.formats.recording import LINE_BYTES_MAX, Heading, write
from edge_agent.reread import RereadTotals
from edge_agent.spool import KeptCheckpoint
from edge_agent.supervisor import Supervisor
from runtime.clock import now_us
from runtime.errors import EXIT_UNREACHABLE, UserError
from schemas.errors import VitalwireError

REQUEST_BYTES_MAX = 4096
REQUEST_S = 5.0
CLIENTS_MAX = 8
RETRY_S = 30.0
TURNS_AT_END = 100  # of the event loop, for clients to end
LINE_LIMIT = 4 * LINE_BYTES_MAX  # of a recording: hex, and what can be read of it
_log = structlog.get_logger("control")


RereadSource = Callable[[Supervisor, int], Awaitable[RereadTotals]]


class Request(msgspec.Struct, frozen=True):
    """What a client asks."""

    ask: str
    source: str = ""
    since_us: int = 0


class ControlServer:
    """Serves at `path` as long as the agent runs; where it cannot, the agent does without."""

    def __init__(
        self, path: Path, supervisors: Sequence[Supervisor], checkpoints: Callable[[], Sequence[KeptCheckpoint]],
        reread: RereadSource | None = None,
    ) -> None:  # fmt: skip
        self.path, self._checkpoints, self._reread = path, checkpoints, reread
        self._is_rereading = False
        self._supervisors = {supervisor.name: supervisor for supervisor in supervisors}
        self._clients = 0
        self._work: set[asyncio.Task[Any]] = set()

    async def run(self, emit: Callable[[str, str], object]) -> None:
        """Until cancelled; what hinders it is said once."""
        last_why = ""
        while True:
            try:
                await self._serve()
            except OSError as error:
                why = f"{self.path} cannot be listened on ({error.strerror or error}): set control_socket"
                if why != last_why:
                    last_why = why
                    emit("control-trouble", why)
            await asyncio.sleep(RETRY_S)

    async def _serve(self) -> None:
        listening = listen(self.path)
        try:
            server = await asyncio.start_unix_server(self._client, sock=listening, limit=REQUEST_BYTES_MAX)
            async with server:
                await server.serve_forever()
        finally:
            listening.close()
            with suppress(OSError):
                self.path.unlink()
            await self._end_clients()

    async def _end_clients(self) -> None:
        """Let clients go; asyncio's server leaves them be."""
        for task in self._work:
            task.cancel()
        for _ in range(TURNS_AT_END):
            if not self._clients:
                return
            await asyncio.sleep(0)

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._clients += 1
        try:
            if self._clients > CLIENTS_MAX:
                writer.write(_error("too many clients at one time"))
                return
            async with asyncio.timeout(REQUEST_S):
                line = await reader.readline()
            # The second ends with the client.
            tasks = {asyncio.create_task(self._answer(line, writer)), asyncio.create_task(reader.read())}
            self._work |= tasks
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._work -= tasks
        except (OSError, ValueError) as error:  # TimeoutError is one; ValueError: a line too long
            _log.info("control client gone", error=type(error).__name__)
        finally:
            self._clients -= 1
            writer.close()

    async def _answer(self, line: bytes, writer: asyncio.StreamWriter) -> None:
        async for text in self._lines(line):
            writer.write(text)
            await writer.drain()

    async def _lines(self, line: bytes) -> AsyncIterator[bytes]:
        try:
            request = msgspec.json.decode(line, type=Request)
        except msgspec.DecodeError:
            yield _error("not understood")
            return
        match request.ask:
            case "sources":
                yield msgspec.json.encode([asdict(s.state) for s in self._supervisors.values()]) + b"\n"
            case "witness":
                try:
                    kept = await asyncio.to_thread(self._checkpoints)
                except VitalwireError as error:
                    yield _error(str(error))
                    return
                for checkpoint in kept:
                    yield msgspec.json.encode(checkpoint) + b"\n"
            case "record" if request.source in self._supervisors:
                async for text in self._record(self._supervisors[request.source]):
                    yield text
            case "reread" if request.source in self._supervisors and self._reread is not None:
                yield await self._reread_frames(self._reread, request)
            case "record" | "reread":
                names = ", ".join(map(repr, self._supervisors)) or "none"
                yield _error(f"no source {request.source!r}: there are {names}")
            case other:
                yield _error(f"{other!r} is nothing that can be asked")

    async def _reread_frames(self, reread: RereadSource, request: Request) -> bytes:
        if self._is_rereading:
            return _error("frames are read again already: wait until that is done")
        self._is_rereading = True
        try:
            totals = await reread(self._supervisors[request.source], request.since_us)
        except VitalwireError as error:
            return _error(str(error))
        finally:
            self._is_rereading = False
        return msgspec.json.encode(totals) + b"\n"

    async def _record(self, supervisor: Supervisor) -> AsyncIterator[bytes]:
        recorder = supervisor.tap.attach()
        try:
            state = supervisor.state
            yield Heading(state.link, state.driver, now_us()).text().encode()
            while True:
                for entry in await recorder.take():
                    yield write(entry).encode()
        finally:
            supervisor.tap.detach(recorder)


def listen(path: Path) -> socket.socket:
    """A listening Unix socket that its owner alone may use. Raises OSError, also where another agent listens there."""
    _remove_stale(path)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    mask = os.umask(0o177)  # from the first moment on
    try:
        listening.bind(str(path))
        listening.listen()
    except OSError:
        listening.close()
        raise
    finally:
        os.umask(mask)
    return listening


async def states(path: Path) -> list[dict[str, Any]]:
    """How the sources of the agent at this socket stand; raises UserError."""
    async with _asking(path, {"ask": "sources"}) as reader:
        answer = await _first_line(reader)
    found: list[dict[str, Any]] = msgspec.json.decode(answer)
    return found


async def checkpoints(path: Path) -> list[KeptCheckpoint]:
    """The checkpoints that the agent at this socket keeps; raises UserError."""
    async with _asking(path, {"ask": "witness"}) as reader:
        first = await _first_line(reader)
        lines = [first, *[line async for line in reader]] if first else []
    return [msgspec.json.decode(line, type=KeptCheckpoint) for line in lines]


async def reread(path: Path, source: str, since_us: int) -> RereadTotals:
    """Have the agent at this socket read rejected frames of a source again; raises UserError."""
    async with _asking(path, {"ask": "reread", "source": source, "since_us": since_us}) as reader:
        answer = await _first_line(reader)
    if not answer:
        raise UserError("the agent ended before it was done: what it read is kept; ask again", EXIT_UNREACHABLE)
    return msgspec.json.decode(answer, type=RereadTotals)


async def record(path: Path, source: str, out: TextIO, stop: asyncio.Event) -> int:
    """Write a recording of a source until `stop`, or until the agent ends; the number of lines. Raises UserError."""
    count = 0
    async with _asking(path, {"ask": "record", "source": source}) as reader:
        line = await _first_line(reader)
        stopped = asyncio.ensure_future(stop.wait())
        while line:
            out.write(line.decode())
            count += 1
            reading = asyncio.ensure_future(reader.readline())
            await asyncio.wait([reading, stopped], return_when=asyncio.FIRST_COMPLETED)
            if stopped.done():
                reading.cancel()
                break
            line = await reading
        stopped.cancel()
    return count


@asynccontextmanager
async def _asking(path: Path, request: dict[str, object]) -> AsyncIterator[asyncio.StreamReader]:
    try:
        reader, writer = await asyncio.open_unix_connection(path, limit=LINE_LIMIT)
    except OSError as error:
        raise UserError(
            f"no agent answers at {path} ({error.strerror}): does `vitalwire edge run` run with this configuration?",
            EXIT_UNREACHABLE,
        ) from None
    try:
        writer.write(msgspec.json.encode(request) + b"\n")
        yield reader
    finally:
        writer.close()


async def _first_line(reader: asyncio.StreamReader) -> bytes:
    line = await reader.readline()
    if line.startswith(b'{"error"'):
        raise UserError(str(msgspec.json.decode(line)["error"]))
    return line


def _remove_stale(path: Path) -> None:
    """Remove the socket of an agent that has died; of a living one it is left, and cannot be had."""
    with suppress(FileNotFoundError):
        if not stat.S_ISSOCK(path.lstat().st_mode):
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            if probe.connect_ex(str(path)) != 0:
                path.unlink()


def _error(text: str) -> bytes:
    return msgspec.json.encode({"error": text}) + b"\n"
