"""`vitalwire edge`: the bedside agent, its key, and whether its configuration works.

What a box runs all the time is imported here: nothing of the store, of the page or of the processors.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from edge_agent import control
from edge_agent.config import EdgeConfig, SourceConfig
from edge_agent.process import Edge, control_path
from edge_agent.settings_check import settings_findings
from edge_agent.sources import load_edge
from runtime import keys, logs, metrics
from runtime.errors import EXIT_DOES_NOT_HOLD, UserError
from runtime.process import share_arenas, stop_event
from schemas.errors import ConfigError
from vitalwire.on_demand import on_demand
from vitalwire.output import age, as_json, console

IN_OTHER_MODULES = {
    "check": "vitalwire.edge_check:check",
    "read": "vitalwire.edge_read:read",
    "drivers": "vitalwire.edge_read:drivers",
    "watch": "vitalwire.edge_watch:watch",
    "witness": "vitalwire.edge_witness:witness",
    "install": "vitalwire.box.commands:install",
    "upgrade": "vitalwire.box.commands:upgrade",
    "uninstall": "vitalwire.box.commands:uninstall",
    "enrol": "vitalwire.edge_enrol:enrol",
    "drain": "vitalwire.edge_drain:drain",
    "downtime": "vitalwire.edge_downtime:downtime",
}
app = typer.Typer(
    cls=on_demand(IN_OTHER_MODULES), help="The bedside side: bytes in, sealed batches out.", no_args_is_help=True
)
Config = Annotated[Path, typer.Option(help="TOML file; vitalwire config sample edge")]
Json = Annotated[bool, typer.Option("--json", help="for scripts")]


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
    for finding in settings_findings(settings):
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
    configured_source(settings, source)
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


def configured_source(settings: EdgeConfig | None, name: str) -> SourceConfig:
    """The source of this name; raises ConfigError."""
    by_name = {source.name: source for source in (settings.source if settings else ())}
    if name not in by_name:
        names = ", ".join(map(repr, by_name)) or "none"
        raise ConfigError(f"no source {name!r} in the configuration: there are {names}; or give a port, serial:/dev/…")
    return by_name[name]
