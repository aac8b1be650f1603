"""`vitalwire patients unlink` and `patients undo`: what a person said or a message linked in error is taken back."""

from __future__ import annotations

from typing import Annotated

import typer

from emr_store import undone
from emr_store.acts import this_user
from vitalwire.output import as_json, cell, console
from vitalwire.record import Database, Json, connect

Reason = Annotated[str, typer.Option("--why", help="the reason, kept with the act in the log")]


def patients_unlink(
    retired: Annotated[str, typer.Argument(help="the number that was to go on as the other")],
    survivor: Annotated[str, typer.Argument(help="the number that it was to go on as")],
    why: Reason,
    database: Database = "",
    json: Json = False,
) -> None:
    """Say that two patient numbers were linked in error: vitalwire patients unlink T3f2a91c0 0000123 --why 'not him'.

    The messages or acts that linked them stay as they were said, and count no more.
    """
    with connect(database) as conn:
        found = undone.unlink(conn, retired, survivor, author=this_user(why))
    if json:
        as_json(found)
        return
    console.print(cell(f"{found.retired} and {found.survivor} are two patients again"), markup=False)


def patients_undo(
    act: Annotated[str, typer.Argument(help="the id in `vitalwire acts list`, or the beginning of it")],
    why: Reason,
    database: Database = "",
    json: Json = False,
) -> None:
    """Take back a first census, a temporary patient or a link: vitalwire patients undo 3f2a91c0 --why 'wrong ward'.

    What it said stays as it was said, and counts no more; what was believed can be asked for with --believed-at. After
    a census was taken back, the next one of its source is a first one again.
    """
    with connect(database) as conn:
        found = undone.undo(conn, act, author=this_user(why))
    if json:
        as_json(found)
        return
    named = f", of {len(found.encounters)} visits" if found.encounters else ""
    console.print(cell(f"taken back: {found.kind} {found.act[:12]}{named}"), markup=False)
