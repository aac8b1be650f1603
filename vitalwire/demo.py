"""`make run`: a ward on this machine, from simulated sockets to rows, through the same programs as in a hospital."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import sys
import time
import urllib.request
import uuid
from collections.abc import Coroutine
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer
from rich.live import Live
from rich.text import Text

from emr_store import registry
from emr_store.connect import StoreError, open_store
from emr_store.migrate import migrate
from gateway.people.sign_in_links import SignInLinks
from gateway.people.sign_in_settings import SignInSettings
from runtime import keys, logs
from runtime.errors import EXIT_DOES_NOT_HOLD
from runtime.process import collect_seldom, end_with_parent, stop_event, stops_within
from simulators import mqtt_json
from simulators.hospital import HospitalPlan, office_of, run_hospital
from simulators.scan_json import run_scanner
from simulators.ward import WardPlan, run_ward, serial_links, transport_of_beds
from vitalwire import demo_people, ward_site
from vitalwire.demo_people import DemoLinks
from vitalwire.embedded import Addresses, EmbeddedServices
from vitalwire.embedded.services import free_port
from vitalwire.flow import (
    arrivals_text,
    arrived,
    balance,
    destinations_without,
    equations,
    flow,
    path_text,
    transports_with_values,
)
from vitalwire.output import console
from vitalwire.page import serve
from vitalwire.processors import supervise

FIRST_VALUE_S = 60.0
DRAIN_S = 60.0  # what was read is stored by then, or it does not balance
END_S = 15.0


class Ports(NamedTuple):
    """Where this run listens, all on loopback: the usual ones, or the next that are free."""

    page: int
    mllp: int
    mindray: int  # MLLP too, for the monitors of that dialect
    adt: int  # MLLP too, for the admission office
    edge_metrics: int
    processors_metrics: int  # and the two after it
    emr_fhir: int
    emr_mllp: int
    emr_page: int  # its table


def demo(
    seconds: Annotated[float | None, typer.Option(help="end by itself; exit 0 only if all balances")] = None,
    beds: Annotated[int, typer.Option(min=3, max=64, help="a third each over serial, MLLP and MQTT")] = 12,
    data: Annotated[Path, typer.Option(help="everything of this run; the next goes on with it")] = Path("data"),
) -> None:
    """A simulated ward with everything around it, until Ctrl-C: vitalwire demo --seconds 60."""
    data = data.resolve()
    services = EmbeddedServices(data)
    addresses = services.start(step)
    try:
        # The terminal shows the flow; what is logged lies beside the data.
        with (data / "demo.log").open("a", encoding="utf-8", buffering=1) as log, contextlib.redirect_stderr(log):
            logs.set_up()
            collect_seldom()  # the page is served here
            code = asyncio.run(_run(data, beds, seconds, addresses, services))
    finally:
        step("stopping the servers")
        services.stop()
    raise typer.Exit(code)


def step(text: str) -> None:
    """A line of progress."""
    console.print(f"  {text}", markup=False)


async def _run(data: Path, beds: int, seconds: float | None, at: Addresses, services: EmbeddedServices) -> int:
    stop, ending = stop_event(), asyncio.Event()
    ports = Ports(
        page=free_port(*range(8420, 8440)),
        mllp=free_port(*range(12575, 12595)),
        mindray=free_port(*range(12595, 12615)),
        adt=free_port(*range(12615, 12635)),
        edge_metrics=free_port(*range(9463, 9470)),
        processors_metrics=free_port(*range(9470, 9500, 3), span=3),
        emr_fhir=free_port(*range(8440, 8460)),
        emr_mllp=free_port(*range(12635, 12655)),
        emr_page=free_port(*range(8460, 8480)),
    )  # fmt: skip
    plan = WardPlan(
        beds=beds,
        serial_dir=data / "serial",
        mllp=("127.0.0.1", ports.mllp),
        mllp_mindray=("127.0.0.1", ports.mindray),
        mqtt=at.mqtt5,
        rate_hz=1.0,
        values=12,
    )
    await asyncio.to_thread(prepare, data, at, ports, plan)
    links = SignInLinks()
    doors = DemoLinks(links, f"http://localhost:{ports.page}")
    works: dict[str, Coroutine[Any, Any, None]] = {
        "processors": supervise(data / "processors.toml", [], ending, data / "processors.log"),
        "page": serve(
            at.database, ports.page, ending, settings=SignInSettings(links=links), look_journal=data / "looks.journal"
        ),
        "beds": ward_site.assign_beds(at.database, ending),
        "servers": watch(services, ending),
        "emr": run_emr(data, ports, ending),
    }
    beside = [asyncio.create_task(_logged(name, work)) for name, work in works.items()]
    try:
        return await _live(data, at, ports, plan, stop, seconds, doors)
    finally:
        ending.set()
        await asyncio.wait(beside, timeout=END_S)


async def _logged(name: str, work: Coroutine[Any, Any, object]) -> None:
    try:
        await work
    except Exception as error:  # noqa: BLE001  said, whatever it is; the others go on
        step(f"{name} failed: {error}")


async def run_emr(data: Path, ports: Ports, ending: asyncio.Event) -> None:
    """The hospital's other system: its table outlives the run."""
    from simulators import emr  # aiohttp, which no other command needs

    fhir, mllp, page = (("127.0.0.1", port) for port in (ports.emr_fhir, ports.emr_mllp, ports.emr_page))
    await emr.run_emr(emr.EmrPlan(fhir=fhir, mllp=mllp, page=page, table=data / "emr.sqlite"), ending, lambda emr: None)


async def _live(
    data: Path, at: Addresses, ports: Ports, plan: WardPlan, stop: asyncio.Event, seconds: float | None,
    doors: DemoLinks,
) -> int:  # fmt: skip
    """The ward, its admission office and its edge agent until they are told to end; the exit code."""
    ward_stop, began = asyncio.Event(), datetime.now(UTC)
    office = office_of(hospital_plan(plan), data / "hospital.json")
    speaking = [
        asyncio.create_task(_logged("ward", run_ward(plan, ward_stop, office.whose))),
        asyncio.create_task(
            _logged("hospital", run_hospital(office, ("127.0.0.1", ports.adt), ward_stop, left=data / "hospital.json"))
        ),
        asyncio.create_task(
            _logged("scanner", run_scanner(scanned_devices(plan), office.wristband, at.mqtt5, ward_stop))
        ),
    ]
    with (data / "edge.log").open("ab") as log:  # as a box would run it
        edge = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "vitalwire", "edge", "run", "--config", str(data / "edge.toml"),
            stdout=log, stderr=log, start_new_session=True, preexec_fn=end_with_parent(),
        )  # fmt: skip
    step("the ward speaks; waiting for the first value")
    await show(data, at, ports, stop, seconds, doors)
    ward_stop.set()
    step("the ward falls silent; waiting until what was read is stored")
    await asyncio.wait(speaking, timeout=DRAIN_S)
    balanced = await drained(at.database, ports.edge_metrics)
    if edge.returncode is None:
        edge.terminate()
    await edge.wait()
    console.print(equations((await asyncio.to_thread(flow, at.database))[1]), markup=False)
    if seconds is None:
        return 0
    problems = await unmet(at.database, began, balanced=balanced)
    for problem in problems:
        console.print(f"vitalwire: {problem}", markup=False)
    return EXIT_DOES_NOT_HOLD if problems else 0


async def unmet(database: str, began: datetime, *, balanced: bool) -> list[str]:
    """What a run that ends by itself was to show, and did not."""
    silent = {"serial", "MLLP", "MQTT"} - await asyncio.to_thread(transports_with_values, database, began)
    limit = time.monotonic() + DRAIN_S
    while without := await asyncio.to_thread(destinations_without, database, began):
        if time.monotonic() > limit:
            break
        await asyncio.sleep(0.3)
    return [
        *(f"no value came over {transport}" for transport in sorted(silent)),
        *(f"nothing that was charted was accepted by {name}" for name in without),
        *["it does not balance"] * (not balanced),
    ]


def scanned_devices(plan: WardPlan) -> dict[str, str]:
    """Those that speak over MQTT have a sticker: the claim of each bed's."""
    of_beds = transport_of_beds(plan).items()
    return {bed: f"mqtt/topic={mqtt_json.topic_of(bed)}" for bed, transport in of_beds if transport == "mqtt"}


def hospital_plan(plan: WardPlan) -> HospitalPlan:
    """An admission office of the ward's beds; numbers of patients are another run's never."""
    return HospitalPlan(
        beds=tuple(transport_of_beds(plan)), seed=int(time.time()) % 1_000_000, late=0.05, late_s=60.0, doubled=0.05
    )


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
    demo_people.hire(at.database)
    (data / "serial").mkdir(exist_ok=True)
    for name, text in (
        ("site.toml", ward_site.site_toml()),
        ("chart.toml", ward_site.CHART),
        (
            "processors.toml",
            ward_site.processors_toml(
                at, ports.processors_metrics, transport_of_beds(plan), emr_fhir=ports.emr_fhir, emr_mllp=ports.emr_mllp
            ),
        ),
        (
            "edge.toml",
            ward_site.edge_toml(
                edge,
                at,
                serial_links(plan),
                mllp=ports.mllp,
                mindray=ports.mindray,
                adt=ports.adt,
                metrics=ports.edge_metrics,
            ),
        ),
    ):
        (data / name).write_text(text, encoding="utf-8")


async def watch(services: EmbeddedServices, ending: asyncio.Event) -> None:
    """Servers that died are started again; the broker too when it has grown (it never frees memory)."""
    while not await stops_within(ending, 5.0):
        for line in await asyncio.to_thread(services.check):
            step(line)


async def show(
    data: Path, at: Addresses, ports: Ports, stop: asyncio.Event, seconds: float | None, doors: DemoLinks
) -> None:
    """The flow on the terminal until it is told to end."""
    began_s, began, seen = time.monotonic(), datetime.now(UTC), False
    live = Live(console=console, refresh_per_second=2) if console.is_terminal else None
    with live or contextlib.nullcontext():
        for tick in itertools.count():
            if await stops_within(stop, 1.0) or (seconds is not None and time.monotonic() - began_s > seconds):
                return
            path = None
            with contextlib.suppress(StoreError):
                path, total = await asyncio.to_thread(flow, at.database)
                found = await asyncio.to_thread(arrived, at.database)
            if path is None or path.received_at < began:  # an earlier run's
                if time.monotonic() - began_s > FIRST_VALUE_S and tick % 30 == 0:
                    step(f"no value yet: see demo.log, edge.log and processors.log in {data}")
                continue
            if not seen:  # above what changes, and not wrapped: lines to copy
                console.print(f"{where(at, ports)}\n", markup=False, soft_wrap=True)
            for line in doors.renewed():
                console.print(line, markup=False, soft_wrap=True)
            stages = [path_text(path), arrivals_text(found), equations(total)]
            text = "\n\n".join(stage for stage in stages if stage)
            if live is not None:
                live.update(Text(text))
            elif not seen or tick % 10 == 0:
                console.print("\n\n".join(filter(None, stages[1:])) if seen else text, markup=False)
            seen = True


def where(at: Addresses, ports: Ports) -> str:
    """The addresses of this run."""
    port = ports.processors_metrics
    return f"""\
page      http://localhost:{ports.page}/; what went to the EMR: /deliveries; charts as FHIR: /fhir
EMR       http://127.0.0.1:{ports.emr_page}/ its table; FHIR at {ports.emr_fhir}, MLLP at {ports.emr_mllp}
          stop it: curl -X PUT --data down http://127.0.0.1:{ports.emr_page}/faults; start it: --data none
metrics   http://127.0.0.1:{ports.edge_metrics}/metrics of the edge; {port}, {port + 1}, {port + 2} of the processors
MLLP      127.0.0.1:{ports.mllp}; {ports.mindray} for Mindray's dialect
ADT       127.0.0.1:{ports.adt} over MLLP, from an admission office
MQTT      {at.mqtt5[0]}:{at.mqtt5[1]} (5.0), {at.mqtt311[0]}:{at.mqtt311[1]} (3.1.1)
Kafka     {at.kafka}
store     export VITALWIRE_DATABASE='{at.database}'"""


async def drained(database: str, metrics_port: int) -> bool:
    """Wait until the edge holds nothing without a receipt and the ledger adds up; False where it does not."""
    limit = time.monotonic() + DRAIN_S
    while time.monotonic() < limit:
        with contextlib.suppress(OSError, StoreError):
            if await asyncio.to_thread(lambda: _spool_is_empty(metrics_port) and balance(database)):
                return True
        await asyncio.sleep(0.3)
    return False


def _spool_is_empty(metrics_port: int) -> bool:
    with urllib.request.urlopen(f"http://127.0.0.1:{metrics_port}/metrics", timeout=2) as answer:
        text = answer.read().decode()
    gauges = ("vitalwire_spool_waiting_reports ", "vitalwire_spool_unreceipted_bytes ")
    return all(float(line.split()[1]) == 0 for line in text.splitlines() if line.startswith(gauges))
