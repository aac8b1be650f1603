"""`vitalwire edge record`: a source's bytes with their times, from now on or out of its flight recorder."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Annotated

import typer

from adapters.formats.recording import text_of
from edge_agent import control
from edge_agent.config import EdgeConfig
from edge_agent.flight_recorder import Recorded, read_file, read_ring
from edge_agent.process import control_path
from edge_agent.sources import load_edge, plan_source, site_mappings
from runtime.errors import UserError
from runtime.process import stop_event
from vitalwire.edge_ask import Config, configured_source
from vitalwire.output import console
from vitalwire.record import since_moment
from vitalwire.recordings import make_case, write_new


def record(
    source: Annotated[str, typer.Argument(help="a source's name in the config of the running agent")],
    file: Annotated[Path, typer.Argument(help="file to write; a new one")],
    seconds: Annotated[float, typer.Option(min=0.1, help="then it ends; Ctrl-C ends it before")] = 60.0,
    since: Annotated[
        str, typer.Option(help="what the flight recorder kept since then (30m, 1h, an instant), in place of what comes")
    ] = "",
    to_case: Annotated[
        Path | None, typer.Option("--to-case", help="and a case folder of its first frame with values")
    ] = None,
    config: Config = Path("edge.toml"),
) -> None:
    """Write a source's bytes with their times, while the agent works: vitalwire edge record 'ICU-07' icu07.rec

    vitalwire edge record 'ICU-07' icu07.rec --since 30m

    vitalwire edge record 'ICU-07' icu07.rec --to-case tests/adapters/devices/cases/nonin_df2/low_battery

    `vitalwire record` takes identifiers out of it and replays it.
    """
    settings = load_edge(config)
    found = configured_source(settings, source)
    if since:
        recorded = _of_ring(settings, source, int(since_moment(since).timestamp() * 1e6))
        write_new(file, text_of(recorded.entries, recorded.heading))
        count = len(recorded.entries)
    else:
        count = asyncio.run(_record(settings, source, file, seconds))
    console.print(f"{count} lines in {file}: it holds what the device said of patients too", markup=False)
    if to_case is not None:
        plan = plan_source(found, site_mappings(settings.mapping))
        make_case(read_file(file), plan, to_case, None, settings.mapping, None, with_identifiers=False)


def _of_ring(settings: EdgeConfig, source: str, since_us: int) -> Recorded:
    recorded = read_ring(settings.spool, source, since_us)
    if recorded is None:
        raise UserError(
            f"no flight recorder has anything of {source!r}: recorder_h = 1.0 in the configuration keeps the last hour"
            " from the agent's next start on"
        )
    return recorded


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
