"""`vitalwire edge record` and `vitalwire edge sources`: what a running agent is asked over its control socket."""

from __future__ import annotations

import asyncio
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from edge_agent import control
from edge_agent.config import EdgeConfig, SourceConfig
from edge_agent.process import control_path
from edge_agent.sources import load_edge
from runtime.errors import EXIT_DOES_NOT_HOLD, UserError
from runtime.process import stop_event
from schemas.errors import ConfigError
from vitalwire.output import age, as_json, console

Config = Annotated[Path, typer.Option(help="TOML file; vitalwire config sample edge")]
Json = Annotated[bool, typer.Option("--json", help="for scripts")]


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
