"""`vitalwire edge`: the bedside agent, its key, and whether its configuration works.

What a box runs all the time is imported here: nothing of the store, of the page or of the processors.
"""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from edge_agent import check as checks
from edge_agent import control
from edge_agent.config import EdgeConfig, SourceConfig
from edge_agent.process import Edge, control_path
from edge_agent.sources import load_edge
from runtime import keys, logs, metrics
from runtime.errors import EXIT_DOES_NOT_HOLD, EXIT_USAGE, UserError
from runtime.process import share_arenas, stop_event
from schemas import topics
from schemas.errors import ConfigError
from schemas.report import Lane
from vitalwire.broker import topics_of
from vitalwire.on_demand import on_demand
from vitalwire.output import age, as_json, console

IN_OTHER_MODULES = {
    "read": "vitalwire.edge_read:read",
    "drivers": "vitalwire.edge_read:drivers",
    "watch": "vitalwire.edge_watch:watch",
    "witness": "vitalwire.edge_witness:witness",
    "install": "vitalwire.box.commands:install",
    "upgrade": "vitalwire.box.commands:upgrade",
    "uninstall": "vitalwire.box.commands:uninstall",
    "enrol": "vitalwire.edge_enrol:enrol",
    "drain": "vitalwire.edge_drain:drain",
    "record": "vitalwire.edge_record:record",
    "reread": "vitalwire.edge_reread:reread",
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
    if (ends := checks.certificate(settings, datetime.now(UTC))) is not None:
        show(ends)
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


# --- sources ------------------------------------------------------------------------------------------------------


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
