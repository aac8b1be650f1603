"""One supervisor a source: what fails there is said, tried again, and hurts nobody else (F47)."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import structlog

from adapters.driver import DeviceDriver, NoSettings, Source
from adapters.session import Moment, Session, Step
from adapters.sessions.intellivue import IntellivueSession
from adapters.sessions.mllp import MllpSession
from edge_agent.config import Link as LinkConfig
from edge_agent.config import MqttLink, SerialLink, SourceConfig, TcpLink, UdpLink
from edge_agent.delivery import Delivery
from edge_agent.events import EventEmitter
from edge_agent.links import serial
from edge_agent.links.mqtt import MqttBroker
from edge_agent.links.owner import LinkError, LinkOwner
from edge_agent.links.serial import SerialPort
from edge_agent.links.tcp import TcpDialler, TcpListener
from edge_agent.links.udp import UdpMonitor
from edge_agent.sources import SourcePlan
from edge_agent.spool import Kept
from edge_agent.spool.queue import Done
from edge_agent.supervisor import RETRY_FIRST_S, Link, Supervisor, link_of
from runtime.errors import UserError
from schemas.errors import VitalwireError
from schemas.report import Report
from tests.edge_agent.links.scene import LIMIT_S, ask, eventually, message
from tests.making import T0_US, report


class Spool:
    """Keeps all at once, and remembers whose it was, in order."""

    def __init__(self) -> None:
        self.kept: list[str] = []

    def put(self, reports: list[Report], delivery: Delivery | None, done: Done) -> None:
        if delivery is not None:
            self.kept.append(delivery.source.name)
        asyncio.get_running_loop().call_soon(done, Kept.KEPT)

    def prove(self, connection: int, tokens: range) -> None:
        pass


def driver(make_session: Callable[[], Session] = MllpSession, read: Any = None) -> DeviceDriver[Any]:
    def one(frame: bytes, source: Source[Any]) -> list[Report]:
        return [report()]

    return DeviceDriver("test", "", "", NoSettings, read or one, lambda _: make_session())


def plan_of(link: LinkConfig, name: str = "bed", by: DeviceDriver[Any] | None = None) -> SourcePlan:
    return SourcePlan(SourceConfig(name, "test", link), by or driver(), NoSettings())


class Scene:
    """A supervisor whose clock and sleeps are the test's; `step` is what the link does at each attempt."""

    def __init__(self, step: Callable[[LinkOwner, int], Any], link: LinkConfig | None = None) -> None:
        self.events: list[tuple[str, str]] = []
        self.sleeps: list[float] = []
        self.now_us = T0_US
        self.attempts = 0
        scene = self

        class Scripted:
            async def run(self, owner: LinkOwner) -> None:
                scene.attempts += 1
                await step(owner, scene.attempts)

        emitter = EventEmitter("edge:1", lambda: self.now_us)
        self.supervisor = Supervisor(
            plan_of(link or TcpLink()), Scripted(), Spool(), emitter,  # type: ignore[arg-type]
            lambda code, text: self.events.append((code, text)), lambda: self.now_us, self._sleep,
        )  # fmt: skip

    async def _sleep(self, delay_s: float) -> None:
        self.sleeps.append(delay_s)
        self.now_us += int(delay_s * 1e6)
        await asyncio.sleep(0)

    def run(self, attempts: int) -> None:
        async def until() -> None:
            task = asyncio.create_task(self.supervisor.run())
            await eventually(lambda: self.attempts > attempts or task.done())
            assert not task.done()  # whatever happened, it goes on
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

        asyncio.run(until())


def failing(*errors: Exception) -> Callable[[LinkOwner, int], Any]:
    async def step(owner: LinkOwner, attempt: int) -> None:
        if attempt <= len(errors):
            raise errors[attempt - 1]
        owner.stands()
        await asyncio.get_running_loop().create_future()

    return step


def test_each_reason_is_said_once_and_it_is_tried_again_with_longer_waits() -> None:
    scene = Scene(failing(*[LinkError("in use: choose another")] * 9, LinkError("no such address: see ip a")))
    scene.run(10)
    assert scene.sleeps == [0.5, 1, 2, 4, 8, 16, 30, 30, 30, 30]
    troubles = [text for code, text in scene.events if code == "source-trouble"]
    assert troubles == ["bed: in use: choose another", "bed: no such address: see ip a"]
    back = scene.events[-1]
    assert back == ("source-restored", f"bed was gone from {T0_US} to {scene.now_us}")
    assert (scene.supervisor.state.state, scene.supervisor.state.why) == ("stands", "")


@pytest.mark.parametrize("link", [SerialLink("/dev/x"), UdpLink()])
def test_what_cannot_be_asked_for_later_is_a_gap_and_is_back_in_five_seconds(link: LinkConfig) -> None:
    scene = Scene(failing(*[LinkError("unplugged")] * 6), link)
    scene.run(6)
    assert max(scene.sleeps) == 5.0
    assert scene.events == [
        ("source-trouble", "bed: unplugged"),
        ("gap", f"bed was gone from {T0_US} to {scene.now_us}"),
    ]


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (LinkError("a port in use"), "a port in use"),
        (UserError("key.pem can be read by others"), "key.pem can be read by others"),
        (VitalwireError("x"), "x"),
        (PermissionError(13, "Permission denied"), "Permission denied"),
        (KeyError("DOE^JANE"), "KeyError, which is a bug: the agent's log has its place"),
    ],
)
def test_whatever_fails_is_that_sources_trouble_in_words_without_a_patient(error: Exception, words: str) -> None:
    scene = Scene(failing(error))
    with structlog.testing.capture_logs():
        scene.run(1)
    assert scene.events[0] == ("source-trouble", f"bed: {words}")


def test_what_ends_in_good_order_is_no_trouble_and_begun_again_at_once() -> None:
    async def step(owner: LinkOwner, attempt: int) -> None:
        owner.stands()
        supervisor.chain.frames += 1

    scene = Scene(step)
    supervisor = scene.supervisor
    scene.run(5)
    assert set(scene.sleeps) == {RETRY_FIRST_S}
    assert scene.events == []


def test_an_end_that_fails_is_the_end_all_the_same() -> None:
    async def step(owner: LinkOwner, attempt: int) -> None:
        try:
            owner.stands()
            await asyncio.get_running_loop().create_future()
        finally:
            raise ZeroDivisionError

    scene = Scene(step)

    async def run() -> None:
        task = asyncio.create_task(scene.supervisor.run())
        await eventually(lambda: scene.attempts)
        task.cancel()
        await asyncio.wait_for(asyncio.gather(task, return_exceptions=True), LIMIT_S)

    with structlog.testing.capture_logs():
        asyncio.run(run())
    assert scene.attempts == 1


def test_who_opens_and_closes_without_a_word_is_not_tried_in_a_storm() -> None:
    async def step(owner: LinkOwner, attempt: int) -> None:
        owner.stands()
        raise LinkError("closes without a word")

    scene = Scene(step)
    with structlog.testing.capture_logs():
        scene.run(4)
    assert scene.sleeps[:4] == [0.5, 1, 2, 4]
    assert [code for code, _ in scene.events] == ["source-trouble", "source-restored"]  # not once an attempt


def test_reasons_that_take_turns_are_said_once_each_and_again_after_frames_have_come() -> None:
    async def step(owner: LinkOwner, attempt: int) -> None:
        if attempt == 7:
            scene.supervisor.chain.frames += 1
        raise LinkError(f"reason {attempt % 2}")

    scene = Scene(step)
    with structlog.testing.capture_logs():
        scene.run(12)
    assert [text for _, text in scene.events] == [f"bed: reason {n}" for n in (1, 0, 1, 0)]


@pytest.mark.parametrize(
    ("config", "kind"),
    [
        (SerialLink("/dev/ttyUSB0"), SerialPort),
        (TcpLink(), TcpListener),
        (TcpLink(dial="10.0.0.7:1"), TcpDialler),
        (MqttLink(), MqttBroker),
        (UdpLink(), UdpMonitor),
    ],
)
def test_each_configured_link_is_one_of_ours(config: LinkConfig, kind: type[Link]) -> None:
    assert isinstance(link_of(plan_of(config), "e" * 32), kind)


# --- F47: one bad source among many -----------------------------------------------------------------------------------


class Bug(MllpSession):
    """Fails with the first bytes, and at the end."""

    def feed(self, data: bytes, now: Moment) -> Step:
        raise ZeroDivisionError

    def closed(self, orderly: bool, now: Moment) -> Step:
        raise ZeroDivisionError


def raising(frame: bytes, source: Source[Any]) -> list[Report]:
    raise ZeroDivisionError


def bad_sources(tmp_path: Path, taken: int, dead: int, certificate: Any) -> list[SourcePlan]:
    """One of each kind that can go wrong."""
    unreadable = tmp_path / "unreadable.key"
    unreadable.write_bytes(certificate.key.read_bytes())
    unreadable.chmod(0o644)
    any_port = "127.0.0.1:0"
    return [
        plan_of(TcpLink(listen=f"127.0.0.1:{taken}"), "port in use"),
        plan_of(TcpLink(listen="192.0.2.77:2575", insecure=True), "address not up"),
        plan_of(TcpLink(any_port, tls_cert=certificate.cert, tls_key=unreadable), "key"),
        plan_of(TcpLink("0.0.0.0:0"), "plaintext"),
        plan_of(TcpLink(dial=f"127.0.0.1:{dead}"), "gateway closes"),
        plan_of(TcpLink(dial="127.0.0.1:1"), "gateway gone"),
        plan_of(SerialLink("/dev/ttyNONE"), "unplugged"),
        plan_of(SerialLink(f"rfc2217://127.0.0.1:{dead}"), "dead terminal server"),
        plan_of(SerialLink("/dev/hanging"), "hanging port"),
        plan_of(MqttLink("127.0.0.1:1"), "broker gone"),
        plan_of(UdpLink("127.0.0.1:1"), "monitor off", driver(IntellivueSession)),
        plan_of(TcpLink("127.0.0.1:23471"), "driver bug", driver(read=raising)),
        plan_of(TcpLink("127.0.0.1:23472"), "session bug", driver(Bug)),
        plan_of(TcpLink("127.0.0.1:23473"), "flood"),
    ]


async def flood(stop: asyncio.Event, data: bytes, *ports: int) -> None:
    """Senders that never read an answer, for as long as they are let."""

    async def one(port: int) -> None:
        while not stop.is_set():
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                while not stop.is_set():
                    writer.write(data)
                    await writer.drain()
                writer.close()
            except OSError:
                await asyncio.sleep(0.01)

    await asyncio.gather(*(one(port) for port in ports))


def test_one_bad_source_of_each_kind_hurts_no_neighbour(
    tmp_path: Path, ours: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By order, which no busy machine changes: how much of others is worked on between a message and its answer.

    Some 100 µs a frame make 0.1 s a thousand frames.
    """
    real = serial.open_port

    def opened(config: SerialLink, settings: Any) -> Any:
        if config.port == "/dev/hanging":
            time.sleep(LIMIT_S)
        return real(config, settings)

    monkeypatch.setattr(serial, "open_port", opened)
    events: list[tuple[str, str]] = []
    spool, emitter = Spool(), EventEmitter("edge:1", lambda: T0_US)

    async def run() -> list[int]:
        dead = await asyncio.start_server(lambda _, w: w.close(), "127.0.0.1", 0)
        with socket.create_server(("127.0.0.1", 0)) as taken:
            ports = taken.getsockname()[1], dead.sockets[0].getsockname()[1]
            bad = bad_sources(tmp_path, *ports, ours)
            good = [plan_of(TcpLink("127.0.0.1:0"), f"good {n}") for n in range(5)]
            links = {plan.name: link_of(plan, "e" * 32) for plan in (*bad, *good)}
            supervisors = [
                Supervisor(plan, links[plan.name], spool, emitter, lambda c, t: events.append((c, t)))  # type: ignore[arg-type]
                for plan in (*bad, *good)
            ]
            tasks = [asyncio.create_task(each.run()) for each in supervisors]
            stop = asyncio.Event()
            flooding = asyncio.create_task(flood(stop, b"\x0b" + message(1) + b"\x1c\r", 23471, 23472, 23473))
            waits = await neighbours([links[plan.name] for plan in good], bad, events, spool)
            stop.set()
            flooding.cancel()
            assert not any(task.done() for task in tasks)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, flooding, return_exceptions=True)
        dead.close()
        return waits

    with structlog.testing.capture_logs():
        waits = asyncio.run(run())
    troubles = {text.partition(":")[0] for code, text in events if code == "source-trouble"}
    assert troubles == {
        "port in use", "address not up", "key", "plaintext", "gateway closes", "gateway gone", "unplugged",
        "dead terminal server", "broker gone", "monitor off", "session bug",
    }  # fmt: skip
    assert set(spool.kept) >= {"driver bug", "flood", "good 0"}
    assert max(waits) < 1000


async def neighbours(links: list[Any], bad: list[SourcePlan], events: list[tuple[str, str]], spool: Spool) -> list[int]:
    """How many frames of others were kept while each answer was waited for.

    They ask on until each bad source has said what is wrong with it.
    """
    await eventually(lambda: all(link.address for link in links))
    streams = [await asyncio.open_connection(*link.address.split(":")) for link in links]
    quiet = {"hanging port", "driver bug", "flood"}  # nothing is known yet, or nothing is wrong with the link
    noisy = {plan.name for plan in bad} - quiet
    waits: list[int] = []

    async def sender(n: int) -> None:
        i = 0
        while i < 20 or not noisy <= {text.partition(":")[0] for _, text in events}:
            before = len(spool.kept)
            assert await ask(streams[n], message(i)) == ("AA", str(i))
            waits.append(len(spool.kept) - before)
            i += 1

    async with asyncio.timeout(6 * LIMIT_S):
        await asyncio.gather(*(sender(n) for n in range(len(links))))
    for _, writer in streams:
        writer.close()
    return waits
