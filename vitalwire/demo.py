"""`make run`: a ward on this machine, from simulated sockets to rows, through the same programs as in a hospital."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import signal
import socket
import sys
import time
import urllib.request
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.live import Live

from emr_store import registry
from emr_store.connect import StoreError, open_store
from emr_store.migrate import migrate
from runtime import keys, logs
from runtime.process import end_with_parent, stop_event
from schemas.errors import VitalwireError
from simulators.ward import WardPlan, run_ward, serial_links
from vitalwire import ward_site
from vitalwire.embedded import Addresses, EmbeddedServices
from vitalwire.flow import Flow, balance, flow, transports_with_values
from vitalwire.output import console
from vitalwire.page import serve
from vitalwire.processors import supervise

FIRST_VALUE_S = 60.0
DRAIN_S = 60.0  # what was read is stored by then, or it does not balance
EXIT_DOES_NOT_BALANCE = 4


@dataclass(frozen=True)
class Ports:
    """Where this run listens, all on loopback."""

    page: int
    mllp: int
    edge_metrics: int
    processors_metrics: int


def demo(
    seconds: Annotated[float | None, typer.Option(help="end by itself; exit 0 only if all balances")] = None,
    beds: Annotated[int, typer.Option(min=3, max=64, help="a third each over serial, MLLP and MQTT")] = 12,
    data: Annotated[Path, typer.Option(help="everything of this run; the next goes on with it")] = Path("data"),
) -> None:
    """A simulated ward with everything around it, until Ctrl-C: vitalwire demo --seconds 60."""
    data = data.resolve()
    data.mkdir(parents=True, exist_ok=True)
    sys.stderr = (data / "demo.log").open("a", encoding="utf-8", buffering=1)  # the terminal shows the flow
    logs.set_up()
    services = EmbeddedServices(data)
    try:
        addresses = services.start(step)
        sys.exit(asyncio.run(_run(data, beds, seconds, addresses, services)))
    finally:
        step("stopping the servers")
        services.stop()


def step(text: str) -> None:
    """A line of progress."""
    console.print(f"  {text}", markup=False)


async def _run(data: Path, beds: int, seconds: float | None, at: Addresses, services: EmbeddedServices) -> int:
    stop = stop_event()
    ports = await asyncio.to_thread(choose_ports, data)
    plan = WardPlan(
        beds=beds, serial_dir=data / "serial", mllp=("127.0.0.1", ports.mllp), mqtt=at.mqtt5, rate_hz=1.0, values=12
    )
    await asyncio.to_thread(prepare, data, at, ports, plan)
    ward_stop, ending = asyncio.Event(), asyncio.Event()
    async with contextlib.AsyncExitStack() as running:
        for name, work in (
            ("processors", supervise(data / "processors.toml", [], ending, data / "processors.log")),
            ("page", serve(at.database, ports.page, ending)),
            ("beds", ward_site.adopt_beds(at.database)),
            ("servers", watch(services)),
        ):
            await running.enter_async_context(task(name, work))
        ward = asyncio.create_task(run_ward(plan, ward_stop))
        edge = await start_edge(data)
        step("the ward speaks; waiting for the first value")
        ended = await show(data, at, ports, stop, seconds)
        ward_stop.set()
        step("the ward falls silent; waiting until what was read is stored")
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(ward), DRAIN_S)
        balanced = await drained(at.database, ports.edge_metrics)
        if edge.returncode is None:
            edge.send_signal(signal.SIGTERM)
        await edge.wait()
        ending.set()
        found = await asyncio.to_thread(flow, at.database)
        console.print(found.ledger(), markup=False)
        missing = {"serial", "MLLP", "MQTT"} - await asyncio.to_thread(transports_with_values, at.database)
        if seconds is None:
            return 0
        problems = [f"no value came over {m}" for m in sorted(missing)] + ["it does not balance"] * (not balanced)
        for problem in problems:
            console.print(f"vitalwire: {problem}", markup=False)
        return 0 if balanced and not missing and ended else EXIT_DOES_NOT_BALANCE


@asynccontextmanager
async def task(name: str, work: object) -> AsyncIterator[None]:
    """Run beside, and end with the block; what it raises is said and does not end the others."""
    running = asyncio.ensure_future(work)  # type: ignore[call-overload]  # all are coroutines
    running.add_done_callback(
        lambda t: None if t.cancelled() or t.exception() is None else step(f"{name} failed: {t.exception()}")
    )
    try:
        yield
    finally:
        with contextlib.suppress(TimeoutError, asyncio.CancelledError, Exception):
            await asyncio.wait_for(running, 15.0 if name in ("processors", "page") else 0.01)


def choose_ports(data: Path) -> Ports:
    """The ports of the last run where they are still free, else others; kept for the next."""
    file = data / "ports.json"
    wished_before: dict[str, int] = json.loads(file.read_text()) if file.exists() else {}
    taken: set[int] = set()

    def free(name: str, first: int, span: int) -> int:
        candidates: list[int] = [wished_before.get(name, first), *range(first, first + 1000, span)]
        for port in candidates:
            if not taken & set(range(port, port + span)) and all(map(_is_free, range(port, port + span))):
                taken.update(range(port, port + span))
                return port
        raise VitalwireError(f"no free port from {first} on for {name}")

    wished = (("page", 8420, 1), ("mllp", 12575, 1), ("edge_metrics", 9463, 1), ("processors_metrics", 9470, 3))
    ports = Ports(*(free(*wish) for wish in wished))
    file.write_text(json.dumps(vars(ports)))
    return ports


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def prepare(data: Path, at: Addresses, ports: Ports, plan: WardPlan) -> None:
    """Keys (marked as the demo's), schema, registration, configuration files."""
    step("schema, keys and configuration")
    for name in ("platform.key", "edge.key"):
        if not (data / name).exists():
            keys.generate(data / name, demo=True)
    edge_id = data / "edge.id"
    if not edge_id.exists():
        edge_id.write_text(str(uuid.uuid4()))
    edge = edge_id.read_text().strip()
    migrate(at.database)
    with open_store(at.database) as conn:
        registry.add_edge(conn, uuid.UUID(edge), "demo box", keys.read_public(data / "edge.pub"))
    (data / "serial").mkdir(exist_ok=True)
    (data / "site.toml").write_text(ward_site.site_toml(), encoding="utf-8")
    (data / "processors.toml").write_text(ward_site.processors_toml(at, ports.processors_metrics), encoding="utf-8")
    (data / "edge.toml").write_text(
        ward_site.edge_toml(edge, at, ports.mllp, ports.edge_metrics, serial_links(plan)), encoding="utf-8"
    )


async def start_edge(data: Path) -> asyncio.subprocess.Process:
    """The edge agent, as a box would run it."""
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "vitalwire", "edge", "run", "--config", str(data / "edge.toml"),
        stderr=(data / "edge.log").open("ab"), start_new_session=True, preexec_fn=end_with_parent(),
    )  # fmt: skip


async def watch(services: EmbeddedServices) -> None:
    """Servers that died are started again; the broker too when it has grown (it never frees memory)."""
    while True:
        await asyncio.sleep(5.0)
        for line in await asyncio.to_thread(services.check):
            step(line)


async def show(data: Path, at: Addresses, ports: Ports, stop: asyncio.Event, seconds: float | None) -> bool:
    """The flow on the terminal until it is told to end; whether a value came at all."""
    began = time.monotonic()
    seen = False
    live = Live(console=console, refresh_per_second=2, transient=False) if console.is_terminal else None
    with live or contextlib.nullcontext():
        for tick in itertools.count():
            if stop.is_set() or (seconds is not None and time.monotonic() - began > seconds):
                return seen
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), 1.0)
            found: Flow | None = None
            with contextlib.suppress(StoreError):
                found = await asyncio.to_thread(flow, at.database)
            if found is None or found.path is None:
                if time.monotonic() - began > FIRST_VALUE_S and tick % 30 == 0:
                    step(f"no value yet: see {data}/demo.log and edge.log")
                continue
            text = f"{found.way()}\n\n{found.ledger()}\n\n{where(at, ports)}"
            if live is not None:
                live.update(text)
            elif not seen:
                console.print(text, markup=False)
            elif tick % 10 == 0:
                console.print(found.ledger(), markup=False)
            seen = True
    return seen


def where(at: Addresses, ports: Ports) -> str:
    """The addresses of this run."""
    return "\n".join(
        (
            f"page      http://127.0.0.1:{ports.page}/",
            f"metrics   http://127.0.0.1:{ports.edge_metrics}/metrics (edge), :{ports.processors_metrics} to +2",
            f"MLLP      127.0.0.1:{ports.mllp}",
            f"MQTT      {at.mqtt5[0]}:{at.mqtt5[1]} (5.0), {at.mqtt311[0]}:{at.mqtt311[1]} (3.1.1)",
            f"Kafka     {at.kafka}",
            f"store     export VITALWIRE_DATABASE='{at.database}'",
        )
    )


async def drained(database: str, metrics_port: int) -> bool:
    """Wait until the edge holds nothing without a receipt and the ledger adds up; False where it does not."""
    limit = time.monotonic() + DRAIN_S
    while time.monotonic() < limit:
        with contextlib.suppress(OSError, StoreError):
            empty = await asyncio.to_thread(_spool_is_empty, metrics_port)
            if empty and await asyncio.to_thread(balance, database):
                return True
        await asyncio.sleep(0.3)
    return False


def _spool_is_empty(metrics_port: int) -> bool:
    with urllib.request.urlopen(f"http://127.0.0.1:{metrics_port}/metrics", timeout=2) as answer:
        text = answer.read().decode()
    wanted = ("vitalwire_spool_waiting_reports ", "vitalwire_spool_unreceipted_bytes ")
    return all(float(line.split()[1]) == 0 for line in text.splitlines() if line.startswith(wanted))
