"""`vitalwire config`: sample files."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from edge_agent.sources import sample_edge
from runtime import config as configuration

app = typer.Typer(help="Configuration files.", no_args_is_help=True)


@app.callback()
def _config() -> None:
    """Nothing that holds for all commands."""


@app.command()
def sample(
    process: Annotated[Literal["edge", "processors", "gateway", "backup"], typer.Argument(help="whose")],
) -> None:
    """A file with every key, its default and what it is for: vitalwire config sample edge > edge.toml."""
    if process == "edge":
        typer.echo(sample_edge(), nl=False)
    elif process == "gateway":
        from gateway.people.sign_in_config import GatewayConfig  # a box has not what it needs

        typer.echo(configuration.sample(GatewayConfig, str(GatewayConfig.__doc__)), nl=False)
    elif process == "backup":
        from vitalwire.backup.config import BackupConfig

        typer.echo(configuration.sample(BackupConfig, str(BackupConfig.__doc__)), nl=False)
    else:
        from stream_processors.config import ProcessorsConfig

        typer.echo(configuration.sample(ProcessorsConfig, str(ProcessorsConfig.__doc__)), nl=False)
