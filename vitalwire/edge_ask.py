"""`vitalwire edge sources`: what a running agent is asked over its control socket."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from edge_agent import control
from edge_agent.config import EdgeConfig, SourceConfig
from edge_agent.process import control_path
from edge_agent.sources import load_edge
from runtime.errors import EXIT_DOES_NOT_HOLD
from schemas.errors import ConfigError
from vitalwire.output import age, as_json, console

Config = Annotated[Path, typer.Option(help="TOML file; vitalwire config sample edge")]
Json = Annotated[bool, typer.Option("--json", help="for scripts")]


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
