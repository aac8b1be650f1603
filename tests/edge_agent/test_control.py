"""The control socket: who may use it, and what it answers while the agent works."""

from __future__ import annotations

import asyncio
import io
import json
import os
import socket
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from adapters.formats.recording import Direction, read
from edge_agent import control
from edge_agent.config import TcpLink
from edge_agent.control import ControlServer
from edge_agent.events import EventEmitter
from edge_agent.links.tcp import TcpListener
from edge_agent.reread import RereadTotals
from edge_agent.spool import KeptCheckpoint
from edge_agent.supervisor import Supervisor
from runtime.errors import UserError
from schemas.errors import VitalwireError
from tests.edge_agent.links.scene import LIMIT_S, Streams, ask, eventually, message
from tests.edge_agent.test_supervisor import Spool, plan_of
from tests.making import T0_US


class Agent:
    """A source at work, and the control socket beside it."""

    def __init__(self, path: Path) -> None:
        link = TcpLink("127.0.0.1:0")
        self.listener = TcpListener(link)
        emitter = EventEmitter("edge:1", lambda: T0_US)
        self.supervisor = Supervisor(plan_of(link, "icu"), self.listener, Spool(), emitter, lambda _, __: None)  # type: ignore[arg-type]
        self.events: list[tuple[str, str]] = []
        self.kept = [KeptCheckpoint("vitalwire/ward/00", size, bytes([size]) * 32, b"a note", 7) for size in (1, 2)]
        self.server = ControlServer(path, [self.supervisor], lambda: self.kept)

    async def connect(self) -> Streams:
        await eventually(lambda: self.listener.address)
        return await asyncio.open_connection(*self.listener.address.split(":"))


@asynccontextmanager
async def running(path: Path) -> AsyncIterator[Agent]:
    agent = Agent(path)
    work = agent.supervisor.run(), agent.server.run(lambda code, text: agent.events.append((code, text)))
    tasks = [asyncio.create_task(each) for each in work]
    await eventually(lambda: path.exists() or agent.events)
    try:
        yield agent
        assert not any(task.done() for task in tasks)
    finally:
        for task in tasks:
            task.cancel()
        async with asyncio.timeout(LIMIT_S):
            await asyncio.gather(*tasks, return_exceptions=True)


def test_it_is_for_the_agents_own_user_from_the_first_moment_and_gone_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"

    async def run() -> None:
        async with running(path):
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert not path.exists()

    mask = os.umask(0)
    try:
        asyncio.run(run())
    finally:
        os.umask(mask)


def test_how_sources_stand_is_told(tmp_path: Path) -> None:
    async def run() -> None:
        async with running(tmp_path / "c") as agent:
            streams = await agent.connect()
            await ask(streams, message(1))
            (state,) = await control.states(tmp_path / "c")
            assert (state["name"], state["state"], state["frames"], state["why"]) == ("icu", "stands", 1, "")
            streams[1].close()

    asyncio.run(run())


def test_the_checkpoints_that_are_kept_are_told(tmp_path: Path) -> None:
    async def run() -> None:
        async with running(tmp_path / "c") as agent:
            assert await control.checkpoints(tmp_path / "c") == agent.kept
            agent.kept = []
            assert await control.checkpoints(tmp_path / "c") == []

    asyncio.run(run())


def test_a_spool_that_cannot_be_read_now_is_said(tmp_path: Path) -> None:
    def broken() -> list[KeptCheckpoint]:
        raise VitalwireError("the spool cannot write: disk full")

    async def run() -> None:
        async with running(tmp_path / "c") as agent:
            agent.server._checkpoints = broken
            with pytest.raises(UserError, match="disk full"):
                await control.checkpoints(tmp_path / "c")

    asyncio.run(run())


def test_a_recording_has_both_directions_with_their_times_and_ends_when_it_is_told(tmp_path: Path) -> None:
    async def run() -> str:
        async with running(tmp_path / "c") as agent:
            early = await agent.connect()
            await ask(early, message("before"))
            out, stop = io.StringIO(), asyncio.Event()
            recording = asyncio.create_task(control.record(tmp_path / "c", "icu", out, stop))
            await eventually(lambda: agent.supervisor.tap.is_used)
            assert await ask(early, message("during")) == ("AA", "during")
            late = await agent.connect()
            assert await ask(late, message("late")) == ("AA", "late")
            late[1].close()
            await eventually(lambda: "closed" in out.getvalue())
            stop.set()
            assert await asyncio.wait_for(recording, LIMIT_S) == len(out.getvalue().splitlines())
            await eventually(lambda: not agent.supervisor.tap.is_used)
            assert await ask(early, message("after")) == ("AA", "after")
            early[1].close()
            return out.getvalue()

    text = asyncio.run(run())
    entries = read(text)
    first, second = sorted({entry.connection for entry in entries})
    assert [(e.direction, e.note) for e in entries if e.connection == first and e.note] == [
        (Direction.NOTE, "opened 127.0.0.1 (before the recording)")
    ]
    assert [e.note for e in entries if e.connection == second and e.note] == ["opened 127.0.0.1", "closed"]
    came = b"".join(e.data for e in entries if e.direction is Direction.IN)
    sent = b"".join(e.data for e in entries if e.direction is Direction.OUT)
    assert came == b"".join(b"\x0b" + message(each) + b"\x1c\r" for each in ("during", "late"))
    assert [line for line in sent.split(b"\r") if line.startswith(b"MSA")] == [b"MSA|AA|during", b"MSA|AA|late"]
    assert "# tcp, driver test, begun 20" in text


def test_the_agents_end_ends_a_recording(tmp_path: Path) -> None:
    async def run() -> None:
        out = io.StringIO()
        async with running(tmp_path / "c") as agent:
            recording = asyncio.create_task(control.record(tmp_path / "c", "icu", out, asyncio.Event()))
            await eventually(lambda: agent.supervisor.tap.is_used)
        assert await asyncio.wait_for(recording, LIMIT_S) == 2

    asyncio.run(run())


def test_what_cannot_be_done_is_one_line(tmp_path: Path) -> None:
    async def run() -> None:
        async with running(tmp_path / "c"):
            with pytest.raises(UserError, match=r"no source 'icy': there are 'icu'"):
                await control.record(tmp_path / "c", "icy", io.StringIO(), asyncio.Event())
            for line in (b"\n", b"{}\n", b'{"ask": "stop"}\n', b"\xff\n"):
                reader, writer = await asyncio.open_unix_connection(tmp_path / "c")
                writer.write(line)
                assert "error" in json.loads(await asyncio.wait_for(reader.readline(), LIMIT_S))
                writer.close()
        with pytest.raises(UserError, match=r"no agent answers at .*: does `vitalwire edge run` run"):
            await control.states(tmp_path / "c")

    asyncio.run(run())


def test_clients_that_say_nothing_or_too_much_are_left_and_have_a_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control, "REQUEST_S", 0.1)
    monkeypatch.setattr(control, "CLIENTS_MAX", 2)

    async def run() -> None:
        async with running(tmp_path / "c") as agent:
            for garbage in (b"", b"x" * 100_000):
                reader, writer = await asyncio.open_unix_connection(tmp_path / "c")
                writer.write(garbage)
                assert await asyncio.wait_for(reader.read(), LIMIT_S) == b""
                writer.close()
            await eventually(lambda: not agent.server._clients)
            open_ones = [await asyncio.open_unix_connection(tmp_path / "c") for _ in range(3)]
            assert b"too many clients" in await asyncio.wait_for(open_ones[-1][0].read(), LIMIT_S)
            for _, writer in open_ones:
                writer.close()

    asyncio.run(run())


def test_the_socket_of_an_agent_that_died_is_replaced_and_of_one_that_lives_is_left(tmp_path: Path) -> None:
    path = tmp_path / "c"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    with control.listen(path) as living:
        with pytest.raises(OSError, match="Address already in use"):
            control.listen(path)
        assert living.getsockname() == str(path)
    path.unlink()
    path.write_text("no socket")
    with pytest.raises(OSError, match="Address already in use"):
        control.listen(path)
    assert path.read_text() == "no socket"


def test_an_agent_does_without_it_where_it_cannot_be_had(tmp_path: Path) -> None:
    path = tmp_path / ("x" * 120)  # a Unix socket's path has 107 bytes

    async def run() -> None:
        async with running(path) as agent:
            assert agent.events[0][0] == "control-trouble"
            assert "set control_socket" in agent.events[0][1]

    asyncio.run(run())


def test_a_reread_is_one_at_a_time_and_what_became_of_it_is_told(tmp_path: Path) -> None:
    async def run() -> None:
        async with running(tmp_path / "c") as agent:
            begun, ending = asyncio.Event(), asyncio.Event()

            async def reread(supervisor: Supervisor, since_us: int) -> RereadTotals:
                assert (supervisor, since_us) == (agent.supervisor, T0_US)
                begun.set()
                await ending.wait()
                return RereadTotals(found=3, read=2, still_rejected={"charset": 1})

            agent.server._reread = reread
            first = asyncio.create_task(control.reread(tmp_path / "c", "icu", T0_US))
            await begun.wait()
            with pytest.raises(UserError, match="read again already"):
                await control.reread(tmp_path / "c", "icu", T0_US)
            ending.set()
            assert await first == RereadTotals(found=3, read=2, still_rejected={"charset": 1})
            with pytest.raises(UserError, match="no source 'nicu': there are 'icu'"):
                await control.reread(tmp_path / "c", "nicu", T0_US)

            async def failing(supervisor: Supervisor, since_us: int) -> RereadTotals:
                raise VitalwireError("the spool cannot write: disk full")

            agent.server._reread = failing
            with pytest.raises(UserError, match="disk full"):
                await control.reread(tmp_path / "c", "icu", T0_US)

    asyncio.run(run())
