"""`vitalwire edge watch`: what a source says, byte by byte and value by value, and why nothing arrives."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from pathlib import Path
from typing import Annotated

import typer
from rich.live import Live
from rich.text import Text

from adapters.devices.registry import DRIVER_BY_NAME
from edge_agent.config import MqttLink, SerialLink, SourceConfig, TcpLink, UdpLink
from edge_agent.settings_check import source_findings
from edge_agent.sources import SourcePlan, load_edge, plan_source, site_mappings
from edge_agent.watch import SourceObservation, Watcher, diagnosis
from edge_agent.watch import watch as watch_source
from emr_store import registry
from emr_store.latest import latest
from runtime.errors import EXIT_UNREACHABLE, UserError
from runtime.process import stop_event
from schemas.errors import ConfigError
from schemas.report import device_id
from vitalwire.edge_ask import Config, configured_source
from vitalwire.output import age, as_json, cell, console
from vitalwire.record import Database, Json, connect

DRAW_S = 0.25
LINES_A_DRAW = 3  # of each kind, where they are printed one below the other
LAST_LINES = {"bytes": 4, "frame": 4, "values": 8}


def watch(
    source: Annotated[str, typer.Argument(help="a source's name in the config, or serial:/dev/…, tcp:host:port,"
                                               " dial:host:port, udp:host:port, mqtt:host:port")],
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
    source_config = ad_hoc or configured_source(settings, source)
    for finding in source_findings(source_config):
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
        case "udp", _, place:
            return SourceConfig(name, driver or "intellivue", UdpLink(monitor=place, insecure=insecure))
        case "mqtt", _, place:
            return SourceConfig(name, driver or "mqtt_json", MqttLink(place, (topic,), insecure=insecure))
    return None


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
