"""`vitalwire edge run`: the agent."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vitalwire.agent import run_agent


def run(
    config: Annotated[Path, typer.Option(help="TOML file; vitalwire config sample edge")] = Path("edge.toml"),
) -> None:
    """Run the agent until Ctrl-C: vitalwire edge run --config edge.toml."""
    run_agent(config)
