"""The agent as a process of its own, without what the command line is made of: typer takes 9 MB."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Sequence
from pathlib import Path

from edge_agent.process import Edge
from edge_agent.settings_check import settings_findings
from edge_agent.sources import load_edge
from runtime import logs, metrics
from runtime.process import share_arenas, stop_event
from schemas.errors import ConfigError
from vitalwire.failing import EXPECTED, fail


def run_agent(config: Path) -> None:
    """Run it until SIGINT or SIGTERM. Raises UserError, VitalwireError, OSError."""
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
    shown = f"; metrics and health on port {port}" if port else ""
    sys.stdout.write(f"edge {edge.id} runs{shown}; Ctrl-C ends it\n")
    sys.stdout.flush()
    await edge.run(stop)


def run_as_asked(words: Sequence[str]) -> None:
    """Run the agent and end the process, where these words say so and nothing else; else nothing."""
    config = config_of(words)
    if config is None:
        return
    try:
        run_agent(config)
    except EXPECTED as error:
        fail(error)
    sys.exit()


def config_of(words: Sequence[str]) -> Path | None:
    """The configuration, where a command line is one that runs the agent and nothing else; None: typer reads it."""
    match list(words):
        case ["edge", "run"]:
            return Path("edge.toml")
        case ["edge", "run", "--config", path]:
            return Path(path)
        case _:
            return None
