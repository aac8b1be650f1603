"""Every port is flooded at once with what no device says: reports or a `rejected`, and no neighbour waits.

Each driver that a serial port, TCP or UDP carries stands behind its real link, session and spool. Two seconds in all;
by hand: VITALWIRE_PORT_FUZZ_S=60 VITALWIRE_PORT_FUZZ_SEED=2.
"""

from __future__ import annotations

import asyncio
import os
import random
import socket
import tty
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import structlog

from adapters.devices.registry import DRIVERS
from adapters.driver import DeviceDriver
from edge_agent.config import SerialLink, SourceConfig, TcpLink, UdpLink
from edge_agent.conversation import UNANSWERED_MAX, Conversation, Line
from edge_agent.delivery import Delivery
from edge_agent.events import EventEmitter
from edge_agent.links.tcp import TcpListener
from edge_agent.sources import SourcePlan, plan_source
from edge_agent.spool import Spool
from edge_agent.spool.queue import Done
from edge_agent.supervisor import Supervisor, link_of
from runtime.clock import now_us
from schemas.report import Kind, Report
from tests.adapters.devices.test_drivers import CASES, FRAMES_ON_THE_WIRE
from tests.edge_agent.links.scene import LIMIT_S, ask, eventually, message

FUZZ_S = float(os.environ.get("VITALWIRE_PORT_FUZZ_S", "2"))  # all ports together
SEED = int(os.environ.get("VITALWIRE_PORT_FUZZ_SEED", "20261130"))
CHUNK_BYTES_MAX = 4000  # and a datagram's
NEIGHBOUR = "neighbour"
OF_THE_NEIGHBOUR = "OBR|1\rOBX|1|NM|150456^MDC_PULS_OXIM_SAT_O2^MDC||97|%|||||F\r"
FLOODED = [driver for driver in DRIVERS if driver.links[0] != "mqtt"]
# What begins, ends, acknowledges, refuses or escapes a frame in one protocol or another.
MARKS = (
    b"\x00", b"\x01", b"\x02", b"\x03", b"\x04", b"\x05", b"\x06", b"\x0b", b"\x1c\r", b"\r\n", b"\r", b"\x11", b"\x13",
    b"\x14", b"\x15", b"\x17", b"\x1b", b"\x1c", b"\x7d", b"\x7e", b"\xc0", b"\xff", b"!", b"|", b"^", b";", b"1e999",
    b"MSH|^~\\&|", b"H|\\^&|||", b"<OBS.R01>", b"</OBS.R01>", b'V="', b"SPO2=", b"\xe1\x00", b"\x0d\xec", b"\x0e\x14",
)  # fmt: skip

AnyDriver = DeviceDriver[Any]


class Noise:
    """What a port is flooded with: random bytes, marks, the driver's own frames, whole and spoilt, and what it said."""

    def __init__(self, driver: AnyDriver, seed: str) -> None:
        self._rng = random.Random(seed)
        frames = [bytes.fromhex(path.read_text()) for path in sorted((CASES / driver.name).glob("*/frame.hex"))]
        on_the_wire = FRAMES_ON_THE_WIRE.get(driver.name, bytes)
        self._frames = [each for frame in frames for each in (frame, on_the_wire(frame))] or [b""]
        self._parts = 1 if driver.datagrams else 8  # a datagram is a message
        self.heard = b""  # of the agent, last: a cable may send it back

    def __call__(self) -> bytes:
        rng, kinds = self._rng, (self._random, self._marks, self._frame, self._spoilt, self._echo)
        parts = [rng.choice(kinds)() for _ in range(self._parts)]
        if self._parts == 1:
            return parts[0]
        return b"".join(parts)[: rng.randint(1, CHUNK_BYTES_MAX)]

    def _random(self) -> bytes:
        return self._rng.randbytes(self._rng.randint(1, 60))

    def _marks(self) -> bytes:
        return b"".join(self._rng.choices(MARKS, k=self._rng.randint(1, 12)))

    def _frame(self) -> bytes:
        return self._rng.choice(self._frames)

    def _spoilt(self) -> bytes:
        frame = bytearray(self._frame())
        for _ in range(self._rng.randint(1, 4)):
            if frame:
                frame[self._rng.randrange(len(frame))] = self._rng.randrange(256)
        return bytes(frame[: self._rng.randint(0, len(frame))] if self._rng.random() < 0.3 else frame)

    def _echo(self) -> bytes:
        return self.heard


class Kept(Spool):
    """The real spool, which remembers what it was given by source, and how many frames in all."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, bytes_max=1 << 33, receipt_hold_s=1, on_settled=self._settled)
        self.frames = 0
        self.kinds: dict[str, Counter[Kind]] = {}
        self.reasons: dict[str, Counter[str]] = {}
        self._loop = asyncio.get_running_loop()

    def put(self, reports: Sequence[Report], delivery: Delivery | None = None, done: Done = lambda _: None) -> None:
        if delivery is not None:
            self.frames += 1
            kinds = self.kinds.setdefault(delivery.source.name, Counter())
            reasons = self.reasons.setdefault(delivery.source.name, Counter())
            for report in reports:
                kinds[report.kind] += 1
                if report.kind is Kind.REJECTED:
                    assert report.frame == delivery.frame  # its bytes are kept
                    reasons[report.records[0].as_sent.code if report.records[0].as_sent else ""] += 1
        super().put(reports, delivery, done)

    def _settled(self, outcomes: list[Any]) -> None:
        def notify() -> None:
            for done, kept in outcomes:
                done(kept)

        with suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(notify)


class Watched(Supervisor):
    """The real supervisor, which remembers its conversations and how many frames waited at most."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.conversations: list[Conversation] = []

    def converse(self, line: Line, peer: str) -> Conversation:
        found = super().converse(line, peer)
        self.conversations.append(found)
        return found


@contextmanager
def ports(folder: Path) -> Iterator[dict[str, int]]:
    """A pseudo-terminal for each serial driver: our ends by driver; theirs have its name in the folder."""
    files: list[int] = []
    ours: dict[str, int] = {}
    for driver in FLOODED:
        if driver.links[0] == "serial":
            ours[driver.name], theirs = os.openpty()
            tty.setraw(theirs)
            os.set_blocking(ours[driver.name], False)
            (folder / driver.name).symlink_to(os.ttyname(theirs))
            files += [ours[driver.name], theirs]
    yield ours
    for file in files:
        os.close(file)


async def flood_serial(file: int, noise: Noise, stop: asyncio.Event) -> None:
    while not stop.is_set():
        with suppress(BlockingIOError):
            noise.heard = os.read(file, CHUNK_BYTES_MAX)
        try:
            os.write(file, noise())
            await asyncio.sleep(0)
        except BlockingIOError:
            await asyncio.sleep(0.002)


async def flood_tcp(listener: TcpListener, noise: Noise, stop: asyncio.Event) -> None:
    await eventually(lambda: listener.address)
    host, port = listener.address.split(":")

    async def listen(reader: asyncio.StreamReader) -> None:
        with suppress(OSError):
            while heard := await reader.read(CHUNK_BYTES_MAX):
                noise.heard = heard

    while not stop.is_set():
        reader, writer = await asyncio.open_connection(host, port)
        listening = asyncio.create_task(listen(reader))
        with suppress(OSError, TimeoutError):
            for _ in range(50):
                writer.write(noise())
                async with asyncio.timeout(0.05):
                    await writer.drain()
                await asyncio.sleep(0)
                if stop.is_set() or listening.done():
                    break
        writer.close()
        listening.cancel()


async def flood_udp(monitor: socket.socket, noise: Noise, stop: asyncio.Event) -> None:
    peer: Any = None
    while not stop.is_set():
        with suppress(BlockingIOError):
            noise.heard, peer = monitor.recvfrom(CHUNK_BYTES_MAX)
        if peer is not None:
            with suppress(OSError):
                monitor.sendto(noise(), peer)
        await asyncio.sleep(0)


def plan_of(driver: AnyDriver, folder: Path, monitor: socket.socket) -> SourcePlan:
    """A source with this driver under the first link that carries it."""
    links: dict[str, Callable[[], Any]] = {
        "serial": lambda: SerialLink(str(folder / driver.name)),
        "tcp": lambda: TcpLink("127.0.0.1:0"),
        "udp": lambda: UdpLink(f"127.0.0.1:{monitor.getsockname()[1]}"),
    }
    link = links[driver.links[0]]()
    return plan_source(SourceConfig(driver.name, driver.name, link, time_zone="Europe/London"), {})


async def neighbour(listener: TcpListener, kept: Kept, stop: asyncio.Event) -> list[int]:
    """An honest sender: how many frames were worked on while each of its answers was waited for."""
    await eventually(lambda: listener.address)
    streams = await asyncio.open_connection(*listener.address.split(":"))
    waits: list[int] = []
    while not stop.is_set():
        before = kept.frames
        number = str(len(waits))
        assert await ask(streams, message(number, more=OF_THE_NEIGHBOUR)) == ("AA", number)
        waits.append(kept.frames - before)
    streams[1].close()
    return waits


async def watch(supervisors: Sequence[Watched], stop: asyncio.Event) -> int:
    """The most frames of one connection that waited for the spool."""
    most = 0
    while not stop.is_set():
        most = max([most, *(each.unanswered for found in supervisors for each in found.conversations)])
        await asyncio.sleep(0.001)
    return most


async def flood_all(folder: Path, ours: dict[str, int], kept: Kept) -> tuple[list[Watched], list[int], int, list[str]]:
    """Flood every port for a while; the supervisors, the neighbour's waits, what waited at most, troubles."""
    emitter, troubles, stop = EventEmitter("edge:1", now_us), list[str](), asyncio.Event()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as monitor:
        monitor.bind(("127.0.0.1", 0))
        monitor.setblocking(False)
        plans = [plan_of(driver, folder, monitor) for driver in FLOODED]
        plans.append(plan_source(SourceConfig(NEIGHBOUR, "hl7_oru", TcpLink("127.0.0.1:0"), time_zone="UTC"), {}))
        links = [link_of(plan, "e" * 32) for plan in plans]
        supervisors = [
            Watched(plan, link, kept, emitter, lambda _, text: troubles.append(text))
            for plan, link in zip(plans, links, strict=True)
        ]
        running = [asyncio.create_task(each.run()) for each in supervisors]
        flooding = []
        for driver, link in zip(FLOODED, links, strict=False):
            noise = Noise(driver, f"{SEED} {driver.name}")
            if isinstance(link, TcpListener):
                flooding.append(asyncio.create_task(flood_tcp(link, noise, stop)))
            elif driver.name in ours:
                flooding.append(asyncio.create_task(flood_serial(ours[driver.name], noise, stop)))
            else:
                flooding.append(asyncio.create_task(flood_udp(monitor, noise, stop)))
        assert isinstance(links[-1], TcpListener)
        asking = asyncio.create_task(neighbour(links[-1], kept, stop))
        watching = asyncio.create_task(watch(supervisors, stop))
        await asyncio.wait([asking, *flooding], timeout=FUZZ_S, return_when=asyncio.FIRST_EXCEPTION)
        stop.set()
        async with asyncio.timeout(6 * LIMIT_S):
            await asyncio.gather(*flooding)
            waits, most = await asking, await watching
        assert not any(task.done() for task in running)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
    return supervisors, waits, most, troubles


@pytest.mark.timeout(120 + 2 * FUZZ_S)
def test_random_bytes_on_every_port_end_as_reports_or_rejected_and_hurt_no_neighbour(tmp_path: Path) -> None:
    async def run() -> tuple[Kept, list[Watched], list[int], int, list[str]]:
        kept = Kept(tmp_path / "spool")
        try:
            with ports(tmp_path) as ours:
                return kept, *await flood_all(tmp_path, ours, kept)
        finally:
            kept.close()

    with structlog.testing.capture_logs() as logged:
        kept, supervisors, waits, most, troubles = asyncio.run(run())
    bugs = [entry for entry in logged if entry["log_level"] in ("error", "critical") or "exc_info" in entry]
    assert bugs == []
    assert [text for text in troubles if "which is a bug" in text] == []
    assert {each.name for each in supervisors if each.plan.counts["session-errors"]} == set()
    reasons = {name: counted for name, counted in kept.reasons.items() if name != NEIGHBOUR}
    assert set(reasons) == {driver.name for driver in FLOODED}  # each port was read
    assert [name for name, counted in reasons.items() if not counted or "driver-error" in counted] == []
    assert kept.kinds[NEIGHBOUR].keys() == {Kind.METRIC, Kind.CONTEXT, Kind.EVENT} & kept.kinds[NEIGHBOUR].keys()
    # A flood is held to its limit, and its neighbour's answer waits for two commits' worth of every port at the most.
    assert most <= UNANSWERED_MAX
    assert waits
    assert max(waits) <= 2 * UNANSWERED_MAX * len(supervisors), sorted(waits)[-5:]
