"""`vitalwire edge`: the bedside agent, its key, and why nothing arrives; `vitalwire config`: sample files."""

from __future__ import annotations

import asyncio
import contextlib
import os
import uuid
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.live import Live
from rich.text import Text

from adapters.devices.registry import DRIVER_BY_NAME
from edge_agent import check as checks
from edge_agent import control
from edge_agent.config import EdgeConfig, MqttLink, SerialLink, SourceConfig, TcpLink
from edge_agent.process import Edge, control_path
from edge_agent.sources import SourcePlan, load_edge, plan_source, sample_edge, site_mappings
from edge_agent.watch import SourceObservation, Watcher, diagnosis
from edge_agent.watch import watch as watch_source
from emr_store import registry
from emr_store.latest import latest
from gateway.people.sign_in_config import GatewayConfig
from runtime import config as configuration
from runtime import keys, logs, metrics
from runtime.errors import EXIT_DOES_NOT_HOLD, EXIT_UNREACHABLE, EXIT_USAGE, UserError
from runtime.process import share_arenas, stop_event
from schemas import topics
from schemas.errors import ConfigError
from schemas.report import Lane, device_id
from stream_processors.config import ProcessorsConfig
from vitalwire.backup.config import BackupConfig
from vitalwire.broker import topics_of
from vitalwire.on_demand import on_demand
from vitalwire.output import age, as_json, cell, console
from vitalwire.record import Database, Json, connect

DRAW_S = 0.25
LINES_A_DRAW = 3  # of each kind, where they are printed one below the other
LAST_LINES = {"bytes": 4, "frame": 4, "values": 8}
IN_OTHER_MODULES = {
    "read": "vitalwire.edge_read:read",
    "drivers": "vitalwire.edge_read:drivers",
    "witness": "vitalwire.edge_witness:witness",
}
app = typer.Typer(
    cls=on_demand(IN_OTHER_MODULES), help="The bedside side: bytes in, sealed batches out.", no_args_is_help=True
)
config_app = typer.Typer(help="Configuration files.", no_args_is_help=True)
Config = Annotated[Path, typer.Option(help="TOML file; vitalwire config sample edge")]


@config_app.command()
def sample(
    process: Annotated[Literal["edge", "processors", "gateway", "backup"], typer.Argument(help="whose")],
) -> None:
    """A file with every key, its default and what it is for: vitalwire config sample edge > edge.toml."""
    if process == "edge":
        typer.echo(sample_edge(), nl=False)
    elif process == "backup":
        typer.echo(configuration.sample(BackupConfig, str(BackupConfig.__doc__)), nl=False)
    elif process == "gateway":
        typer.echo(configuration.sample(GatewayConfig, str(GatewayConfig.__doc__)), nl=False)
    else:
        typer.echo(configuration.sample(ProcessorsConfig, str(ProcessorsConfig.__doc__)), nl=False)


@app.command()
def keygen(path: Annotated[Path, typer.Argument(help="file to make; .pub goes beside it")] = Path("edge.key")) -> None:
    """Make this box's signing key and id, which a person registers: vitalwire edge keygen edge.key."""
    key, edge, public = keys.generate(path), uuid.uuid4(), path.with_suffix(".pub")
    console.print(f"{path} and {public} are made. In this box's edge.toml:\n", markup=False)
    console.print(f'edge = "{edge}"\nkey_file = "{path}"\n', markup=False)
    console.print(f"Copy {public} to the hospital's side, and register it there:\n", markup=False)
    console.print(f"vitalwire registry edge add {edge} {public} --label 'ICU box 2'\n", markup=False, soft_wrap=True)
    console.print(f"Compare what that prints: {keys.fingerprint(key.public_der)}", markup=False)


@app.command()
def run(config: Config = Path("edge.toml")) -> None:
    """Run the agent until Ctrl-C: vitalwire edge run --config edge.toml."""
    settings = load_edge(config)
    for finding in checks.settings(settings):
        raise ConfigError(f"{config}: {finding.where}: {finding.what}: {finding.mend}")
    logs.set_up()
    share_arenas()
    edge = Edge(settings)
    with contextlib.ExitStack() as at_end:
        if settings.metrics_port:
            at_end.callback(metrics.serve(settings.metrics_port, edge.not_ready, edge.notes).stop)
        asyncio.run(_run(edge))


async def _run(edge: Edge) -> None:
    stop = stop_event()
    port = edge.config.metrics_port
    console.print(f"edge {edge.id} runs{f'; metrics and health on port {port}' if port else ''}; Ctrl-C ends it")
    await edge.run(stop)


# --- check ----------------------------------------------------------------------------------------------------------


@app.command()
def check(config: Config = Path("edge.toml"), json: Json = False) -> None:
    """Try a configuration's files, sockets and broker: vitalwire edge check. Exit 2 where something is wrong."""
    settings = load_edge(config)
    found: list[checks.CheckFinding] = []

    def show(finding: checks.CheckFinding) -> None:
        found.append(finding)
        if not json:
            mark, mend = ("WRONG" if finding.wrong else "note " if finding.mend else "ok   "), finding.mend
            console.print(f"{mark} {finding.where}: {finding.what}{f': {mend}' if mend else ''}", markup=False)

    asyncio.run(_check(settings, show))
    if json:
        as_json([{**f._asdict(), "wrong": f.wrong} for f in found])
    if any(f.wrong for f in found):
        raise typer.Exit(EXIT_USAGE)


async def _check(settings: EdgeConfig, show: Callable[[checks.CheckFinding], None]) -> None:
    unusable = list(checks.settings(settings))
    broker = await asyncio.to_thread(_broker, settings)
    for finding in (*unusable, *checks.files(settings), *checks.senders(settings), checks.metrics(settings), broker):
        show(finding)
    for source in settings.source:
        for maybe in (checks.time_zone(source), checks.steady(source)):
            if maybe is not None:
                show(maybe)
        if source.name not in {finding.where for finding in unusable}:
            show(await checks.socket(source))
    if not settings.source:
        show(checks.CheckFinding("source", "none is configured", "write a [[source]]: `vitalwire config sample edge`"))


def _broker(settings: EdgeConfig) -> checks.CheckFinding:
    """Whether the broker answers, and has the topics that the processors create."""
    try:
        known = topics_of(
            settings.kafka, settings.kafka_ca, settings.kafka_cert, settings.kafka_key, insecure=settings.insecure
        )
    except UserError as error:
        return checks.CheckFinding("kafka", str(error), "is it started, and no firewall between?")
    missing = ", ".join(name for name in (*map(topics.raw, Lane), topics.RECEIPTS) if name not in known)
    if missing:
        mend = "start the processors, which create them: vitalwire processors run"
        return checks.CheckFinding("kafka", f"{settings.kafka} answers, and lacks the topics {missing}", mend)
    return checks.CheckFinding("kafka", f"{settings.kafka} answers, and has the topics")


# --- record and sources ---------------------------------------------------------------------------------------------


@app.command()
def record(
    source: Annotated[str, typer.Argument(help="a source's name in the config of the running agent")],
    file: Annotated[Path, typer.Argument(help="file to write; a new one")],
    seconds: Annotated[float, typer.Option(min=0.1, help="then it ends; Ctrl-C ends it before")] = 60.0,
    config: Config = Path("edge.toml"),
) -> None:
    """Write a source's bytes with their times, while the agent works: vitalwire edge record 'ICU-07' icu07.rec."""
    settings = load_edge(config)
    _configured(settings, source)
    count = asyncio.run(_record(settings, source, file, seconds))
    console.print(f"{count} lines in {file}: it holds what the device said of patients too", markup=False)


async def _record(settings: EdgeConfig, source: str, file: Path, seconds: float) -> int:
    stop = stop_event()
    asyncio.get_running_loop().call_later(seconds, stop.set)
    try:
        with open(file, "x", encoding="utf-8", opener=lambda path, flags: os.open(path, flags, 0o600)) as out:
            return await control.record(control_path(settings), source, out, stop)
    except FileExistsError:
        raise UserError(f"{file} is there already: name another file") from None
    except OSError as error:
        raise UserError(f"{file} cannot be written: {error.strerror}") from None


@app.command("sources")
def show_sources(config: Config = Path("edge.toml"), json: Json = False) -> None:
    """How each source of the running agent stands: vitalwire edge sources. Exit 4 where one does not."""
    states = asyncio.run(control.states(control_path(load_edge(config))))
    if json:
        as_json(states)
    for state in () if json else states:
        since = age(datetime.fromtimestamp(state["since_us"] / 1e6, UTC))
        line = f"{state['name']}: {state['state']} since {since}, {state['frames']} frames, {state['address']}"
        console.print(f"{line}{': ' + state['why'] if state['why'] else ''}", markup=False, soft_wrap=True)
    if any(state["state"] == "trouble" for state in states):
        raise typer.Exit(EXIT_DOES_NOT_HOLD)


# --- watch ----------------------------------------------------------------------------------------------------------


@app.command()
def watch(
    source: Annotated[str, typer.Argument(help="a source's name in the config, or serial:/dev/…, tcp:host:port,"
                                               " dial:host:port, mqtt:host:port")],
    config: Config = Path("edge.toml"),
    seconds: Annotated[float, typer.Option(min=0.1, help="then say why nothing arrives, or that it does")] = 30.0,
    driver: Annotated[str, typer.Option(help="without a config: " + ", ".join(DRIVER_BY_NAME))] = "",
    topic: Annotated[str, typer.Option(help="without a config: MQTT topic filter")] = "#",
    insecure: Annotated[bool, typer.Option("--insecure", help="without a config: plaintext beyond loopback")] = False,
    database: Database = "",
    json: Json = False,
) -> None:  # fmt: skip
    """Show bytes, frames and values, then one verdict: vitalwire edge watch 'ICU-07 oximeter'. Exit 3 if none."""
    ad_hoc = _ad_hoc(source, driver, topic, insecure)
    settings = load_edge(config) if ad_hoc is None else None
    source_config = ad_hoc or _configured(settings, source)
    for finding in checks.source_settings(source_config):
        raise ConfigError(f"{finding.where}: {finding.what}: {finding.mend}")
    screen = _Screen(json)
    plan = plan_source(source_config, site_mappings(settings.mapping) if settings else {})
    w = Watcher(plan, screen.show)
    asyncio.run(_watch(w, seconds, screen))
    if database and settings:  # without a configuration nobody can say what the agent calls it
        ask_store(database, settings.edge, plan, w.o)
    slug, text = diagnosis(w.o)
    if json:
        as_json({**vars(w.o), "verdict": slug, "text": text})
    else:
        console.print(f"\n{text}", markup=False, style="bold")
    if slug not in ("read", "stored", "unregistered", "not-stored", "adt"):
        raise typer.Exit(EXIT_UNREACHABLE)


def _ad_hoc(name: str, driver: str, topic: str, insecure: bool) -> SourceConfig | None:
    """A source without a configuration: serial:/dev/ttyUSB0; None where it is a name."""
    match name.partition(":"):
        case "serial", _, place:
            return SourceConfig(name, driver, SerialLink(port=place, insecure=insecure))
        case "tcp", _, place:
            return SourceConfig(name, driver or "hl7_oru", TcpLink(listen=place, insecure=insecure))
        case "dial", _, place:
            return SourceConfig(name, driver or "hl7_oru", TcpLink(dial=place, insecure=insecure))
        case "mqtt", _, place:
            return SourceConfig(name, driver or "mqtt_json", MqttLink(place, (topic,), insecure=insecure))
    return None


def _configured(settings: EdgeConfig | None, name: str) -> SourceConfig:
    by_name = {source.name: source for source in (settings.source if settings else ())}
    if name not in by_name:
        names = ", ".join(map(repr, by_name)) or "none"
        raise ConfigError(f"no source {name!r} in the configuration: there are {names}; or give a port, serial:/dev/…")
    return by_name[name]


async def _watch(w: Watcher, seconds: float, screen: _Screen) -> None:
    stop = stop_event()
    asyncio.get_running_loop().call_later(seconds, stop.set)
    task = asyncio.ensure_future(watch_source(w, stop))
    with screen.live or contextlib.nullcontext():
        while not stop.is_set() and not task.done():
            await asyncio.wait([task], timeout=DRAW_S)
            screen.draw(w.look())
    stop.set()
    await task
    w.look()


class _Screen:
    """The last lines of each kind on a terminal, at most some a second elsewhere, nothing when quiet."""

    def __init__(self, quiet: bool) -> None:
        self.live = Live(console=console, auto_refresh=False) if console.is_terminal and not quiet else None
        self._quiet, self._lines = quiet, {kind: deque[str](maxlen=count) for kind, count in LAST_LINES.items()}

    def show(self, kind: str, text: str) -> None:
        """A line that came: on a terminal it waits for `draw`."""
        if self.live is None and not self._quiet and len(self._lines[kind]) < LINES_A_DRAW:
            console.print(f"{kind:6} {cell(text)}", markup=False)
        self._lines[kind].append(f"{kind:6} {cell(text)}")

    def draw(self, o: SourceObservation) -> None:
        """What was seen so far."""
        if self.live is None:
            for lines in self._lines.values():
                lines.clear()
            return
        last = "-" if o.silent_s is None else f"{o.silent_s:.0f} s ago"
        counts = f"{o.bytes} bytes, the last {last}; {o.frames} frames, {sum(o.bad.values())} bad"
        head = f"{o.place}  {o.seconds:.0f} s  {counts}"
        came = [line for lines in self._lines.values() for line in lines]
        self.live.update(Text("\n".join((head, *came, "", diagnosis(o).text))), refresh=True)


def ask_store(database: str, edge: str, source: SourcePlan, o: SourceObservation) -> None:
    """Whether the store has values of the devices that were heard, or of this source; why not, where it has none."""
    declared = getattr(source.settings, "device", None)  # a claim, or a field that has one
    ids = {device_id(claim) for claim in (*o.claims, *filter(None, [declared]))}
    try:
        with connect(database) as conn:
            found = [v for v in latest(conn) if v.device in ids or (v.claim or "").startswith(f"{source.name}/")]
            believed = {str(e.edge) for e in registry.edges(conn) if e.revoked_at is None}
    except UserError as error:  # what was seen at the port is worth saying all the same
        o.why_not_stored = str(error)
        return
    o.last_stored = age(max(v.stored_at for v in found)) if found else ""
    o.unregistered = next((v.claim or str(v.device) for v in found if not v.registered), "")
    o.why_not_stored = (
        "are `vitalwire edge run` and `vitalwire processors run` at work? See `vitalwire status`"
        if edge in believed
        else f"the edge {edge} is not registered: vitalwire registry edge add {edge} edge.pub --label 'ICU box 2'"
    )
