"""`vitalwire alarms`: the open alarms of limits, and the end of one that no value will end."""

from __future__ import annotations

from typing import Annotated

import typer

from emr_store import alarms, registry
from emr_store.acts import this_user
from vitalwire.output import age, cell, console, listed
from vitalwire.record import Database, Json, connect

app = typer.Typer(help="Alarms of limits.", no_args_is_help=True)
SHOWN_CHARACTERS = 8


@app.command("list")
def alarms_list(database: Database = "", json: Json = False) -> None:
    """What is open, the oldest first: vitalwire alarms list."""
    with connect(database) as conn:
        found = alarms.open_now(conn)
        names = {device.uuid: device.bed or device.name or device.claim for device in registry.devices(conn)}
    listed(json, "Open alarms", ("episode", "priority", "device", "alarm", "since"), found, lambda a: (
        str(a.episode)[:SHOWN_CHARACTERS], a.priority, names.get(a.device) or a.device, a.message, age(a.opened_at)
    ), "none")  # fmt: skip


@app.command("end")
def alarms_end(
    episode: Annotated[str, typer.Argument(help="its id in `vitalwire alarms list`, or the beginning of it")],
    why: Annotated[str, typer.Option(help="the reason, kept with the act in the log")],
    database: Database = "",
) -> None:
    """End an alarm of a device that will not speak again: vitalwire alarms end 3f2a91c0 --why 'monitor switched off'.

    The processors say so to all within half a minute. A value that comes and is beyond the limit opens a new one.
    """
    with connect(database) as conn:
        ended = alarms.end(conn, episode, this_user(why))
    console.print(
        cell(f"{ended.episode} ({ended.message}) ends within half a minute: the processors emit it"), markup=False
    )
