"""`vitalwire edge`: the bedside agent, its key, and why nothing arrives; `vitalwire config`: sample files."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.live import Live
from rich.text import Text

from adapters.devices.registry import DRIVER_BY_NAME
from edge_agent import check as checks
from edge_agent.config import AnySource, EdgeConfig, MllpConfig, MqttConfig, SerialConfig
from edge_agent.process import Edge, site_mappings, sources
from edge_agent.watch import Observation, Watcher, verdict
from edge_agent.watch import watch as watch_source
from emr_store import read, registry
from runtime import config as configuration
from runtime import keys, logs, metrics
from runtime.errors import EXIT_UNREACHABLE, EXIT_USAGE, UserError
from runtime.process import stop_event
from schemas import topics
from schemas.errors import ConfigError, VitalwireError
from schemas.report import Lane, device_id
from stream_processors.config import ProcessorsConfig
from vitalwire.broker import topics_of
from vitalwire.output import age, as_json, cell, console
from vitalwire.record import Database, Json, connect

DRAW_S = 0.25
LINES_A_DRAW = 3  # of each kind, where they are printed one below the other
LAST_LINES = {"bytes": 4, "frame": 4, "values": 8}
app = typer.Typer(help="The bedside side: bytes in, sealed batches out.", no_args_is_help=True)
config_app = typer.Typer(help="Configuration files.", no_args_is_help=True)
Config = Annotated[Path, typer.Option(help="TOML file; vitalwire config sample edge")]


@config_app.command()
def sample(process: Annotated[Literal["edge", "processors"], typer.Argument(help="whose")]) -> None:
    """A file with every key, its default and what it is for: vitalwire config sample edge > edge.toml."""
    kind = EdgeConfig if process == "edge" else ProcessorsConfig
    typer.echo(configuration.sample(kind, str(kind.__doc__)), nl=False)


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
    settings = configuration.load(config, EdgeConfig)
    for finding in checks.settings(settings):
        raise ConfigError(f"{config}: {finding.where}: {finding.what}: {finding.mend}")
    logs.set_up()
    edge = Edge(settings)
    try:
        with contextlib.ExitStack() as at_end:
            if settings.metrics_port:
                at_end.callback(metrics.serve(settings.metrics_port, edge.not_ready).stop)
            asyncio.run(_run(edge))
    except OSError as error:
        raise VitalwireError(f"{error.strerror or error}: `vitalwire edge check` says who has it") from None


async def _run(edge: Edge) -> None:
    stop = stop_event()
    port = edge.config.metrics_port
    console.print(f"edge {edge.id} runs{f'; metrics and health on port {port}' if port else ''}; Ctrl-C ends it")
    await edge.run(stop)


# --- check ----------------------------------------------------------------------------------------------------------


@app.command()
def check(config: Config = Path("edge.toml"), json: Json = False) -> None:
    """Try a configuration's files, sockets and broker: vitalwire edge check. Exit 2 where something is wrong."""
    settings = configuration.load(config, EdgeConfig)
    found: list[checks.Finding] = []

    def say(finding: checks.Finding) -> None:
        found.append(finding)
        if not json:
            mark, mend = ("WRONG" if finding.wrong else "note " if finding.mend else "ok   "), finding.mend
            console.print(f"{mark} {finding.where}: {finding.what}{f': {mend}' if mend else ''}", markup=False)

    asyncio.run(_check(settings, say))
    if json:
        as_json([{**f._asdict(), "wrong": f.wrong} for f in found])
    if any(f.wrong for f in found):
        raise typer.Exit(EXIT_USAGE)


async def _check(settings: EdgeConfig, say: Callable[[checks.Finding], None]) -> None:
    unusable = list(checks.settings(settings))
    broker = await asyncio.to_thread(_broker, settings)
    for finding in (*unusable, *checks.files(settings), checks.metrics(settings), broker):
        say(finding)
    for source in sources(settings):
        for maybe in (checks.time_zone(source), checks.steady(source)):
            if maybe is not None:
                say(maybe)
        if source.name not in {finding.where for finding in unusable}:
            say(await checks.socket(source))
    if not sources(settings):
        say(checks.Finding("sources", "none is configured", "write a [[serial]], [[mllp]] or [[mqtt]]"))


def _broker(settings: EdgeConfig) -> checks.Finding:
    """Whether the broker answers, and has the topics that the processors create."""
    try:
        known = topics_of(settings.kafka, settings.kafka_ca)
    except UserError as error:
        return checks.Finding("kafka", str(error), "is it started, and no firewall between?")
    missing = ", ".join(name for name in (*map(topics.raw, Lane), topics.RECEIPTS) if name not in known)
    if missing:
        mend = "start the processors, which create them: vitalwire processors run"
        return checks.Finding("kafka", f"{settings.kafka} answers, and lacks the topics {missing}", mend)
    return checks.Finding("kafka", f"{settings.kafka} answers, and has the topics")


# --- watch ----------------------------------------------------------------------------------------------------------


@app.command()
def watch(
    source: Annotated[str, typer.Argument(help="a source's name in the config, or serial:/dev/…, mllp:host:port,"
                                               " dial:host:port, mqtt:host:port")],
    config: Config = Path("edge.toml"),
    seconds: Annotated[float, typer.Option(min=0.1, help="then say why nothing arrives, or that it does")] = 30.0,
    driver: Annotated[str, typer.Option(help="without a config: " + ", ".join(DRIVER_BY_NAME))] = "",
    topic: Annotated[str, typer.Option(help="without a config: MQTT topic filter")] = "#",
    database: Database = "",
    json: Json = False,
) -> None:  # fmt: skip
    """Show bytes, frames and values, then one verdict: vitalwire edge watch 'ICU-07 oximeter'. Exit 3 if none."""
    ad_hoc = _ad_hoc(source, driver, topic)
    settings = configuration.load(config, EdgeConfig) if ad_hoc is None else None
    wanted = ad_hoc or _configured(settings, source)
    for finding in checks.source_settings(wanted):
        raise ConfigError(f"{finding.where}: {finding.what}: {finding.mend}")
    screen = _Screen(json)
    w = Watcher(wanted, site_mappings(settings.mapping) if settings else {}, screen.say)
    asyncio.run(_watch(w, seconds, screen))
    if database and settings:  # without a configuration nobody can say what the agent calls it
        ask_store(database, settings.edge, wanted, w.o)
    slug, text = verdict(w.o)
    if json:
        as_json({**vars(w.o), "verdict": slug, "text": text})
    else:
        console.print(f"\n{text}", markup=False, style="bold")
    if slug not in ("read", "stored", "unregistered", "not-stored"):
        raise typer.Exit(EXIT_UNREACHABLE)


def _ad_hoc(name: str, driver: str, topic: str) -> AnySource | None:
    """A source without a configuration: serial:/dev/ttyUSB0; None where it is a name."""
    match name.partition(":"):
        case "serial", _, place:
            return SerialConfig(name, driver, port=place)
        case "mllp", _, place:
            return MllpConfig(name, driver or "hl7_oru", listen=place)
        case "dial", _, place:
            return MllpConfig(name, driver or "hl7_oru", dial=place)
        case "mqtt", _, place:
            return MqttConfig(name, driver or "mqtt_json", broker=place, topics=(topic,))
    return None


def _configured(settings: EdgeConfig | None, name: str) -> AnySource:
    by_name = {source.name: source for source in (sources(settings) if settings else ())}
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

    def say(self, kind: str, text: str) -> None:
        """A line that came: on a terminal it waits for `draw`."""
        if self.live is None and not self._quiet and len(self._lines[kind]) < LINES_A_DRAW:
            console.print(f"{kind:6} {cell(text)}", markup=False)
        self._lines[kind].append(f"{kind:6} {cell(text)}")

    def draw(self, o: Observation) -> None:
        """What was seen so far."""
        if self.live is None:
            for lines in self._lines.values():
                lines.clear()
            return
        last = "-" if o.silent_s is None else f"{o.silent_s:.0f} s ago"
        counts = f"{o.bytes} bytes, the last {last}; {o.frames} frames, {sum(o.bad.values())} bad"
        head = f"{o.place}  {o.seconds:.0f} s  {counts}"
        came = [line for lines in self._lines.values() for line in lines]
        self.live.update(Text("\n".join((head, *came, "", verdict(o).text))), refresh=True)


def ask_store(database: str, edge: str, source: AnySource, o: Observation) -> None:
    """Whether the store has values of the devices that were heard, or of this source; why not, where it has none."""
    ids = {device_id(claim) for claim in (*o.claims, *filter(None, [source.device]))}
    try:
        with connect(database) as conn:
            found = [v for v in read.latest(conn) if v.device in ids or (v.claim or "").startswith(f"{source.name}/")]
            believed = {str(e.edge) for e in registry.edges(conn) if e.revoked_at is None}
    except UserError as error:  # what was seen at the port is worth saying all the same
        o.why_not_stored = str(error)
        return
    o.last_stored = age(max(v.stored_at for v in found)) if found else ""
    o.unregistered = next((v.claim or str(v.device) for v in found if not v.adopted), "")
    o.why_not_stored = (
        "are `vitalwire edge run` and `vitalwire processors run` at work? See `vitalwire status`"
        if edge in believed
        else f"the edge {edge} is not registered: vitalwire registry edge add {edge} edge.pub --label 'ICU box 2'"
    )
