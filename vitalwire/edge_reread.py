"""`vitalwire edge reread`: frames that could not be read then, read again with what was mended since."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from edge_agent import control
from edge_agent.process import control_path
from edge_agent.sources import load_edge
from runtime.errors import EXIT_DOES_NOT_HOLD, UserError
from vitalwire.edge_ask import Config, configured_source
from vitalwire.output import as_json, console
from vitalwire.record import Json, since_moment


def reread(
    source: Annotated[str, typer.Argument(help="a source's name in the config of the running agent")],
    since: Annotated[str, typer.Option(help="received since then: an instant or a span (30m, 2h, 1d)")],
    config: Config = Path("edge.toml"),
    json: Json = False,
) -> None:
    """Read rejected frames again with what was mended since: vitalwire edge reread 'ICU-07' --since 2h

    First mend edge.toml or the mapping file and start the agent again; try it with `vitalwire edge read`. What the
    frames say now is kept as of the moment at which they came, as backfill and marked "read again". Each frame once: a
    second call emits nothing. Nothing rings. Their bytes are those that the spool still holds (receipt_hold_h), else
    those of the flight recorder (recorder_h). Exit 4 where some are still rejected.
    """
    settings = load_edge(config)
    configured_source(settings, source)
    since_us = int(since_moment(since).timestamp() * 1e6)
    totals = asyncio.run(control.reread(control_path(settings), source, since_us))
    if json:
        as_json(asdict(totals))
    else:
        console.print(
            f"{totals.found} rejected frames since {since}: {totals.read} are read now ({totals.reports} reports),"
            f" {totals.known} were read again before",
            markup=False,
        )
        if totals.from_recorder:
            console.print(f"of {totals.from_recorder} only the flight recorder had the bytes", markup=False)
        for reason, count in sorted(totals.still_rejected.items()):
            console.print(f"still rejected: {count}x {reason}", markup=False)
        if totals.lost:
            console.print(f"{totals.lost} are nowhere on this disk any more", markup=False)
    if totals.is_full:
        raise UserError("the spool is full: what is left is read when receipts have come; ask again then")
    if totals.still_rejected:
        raise typer.Exit(EXIT_DOES_NOT_HOLD)
