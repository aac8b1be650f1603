"""`vitalwire log`: the append-only log of seals and acts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.progress import Progress

from emr_store.log import entries
from evidence.checkpoint import parse_checkpoint
from runtime.errors import UserError
from vitalwire.log_export import export
from vitalwire.log_prove import check_proof_file, prove
from vitalwire.output import as_json, cell, console
from vitalwire.record import Database, Json, connect

app = typer.Typer(help="The append-only log of seals and acts.", no_args_is_help=True)
INCARNATION_BYTES = 16


@app.command("export")
def log_export(
    folder: Annotated[Path, typer.Argument(help="a new folder")],
    incarnation: Annotated[
        str, typer.Option(help="of an earlier life of the store, hexadecimal; else the log of now")
    ] = "",
    database: Database = "",
    json: Json = False,
) -> None:
    """The log as files that anybody checks without us (C2SP tlog-tiles): vitalwire log export FOLDER."""
    chosen = _incarnation(incarnation) if incarnation else None
    with connect(database) as conn, Progress(transient=True, disable=json or not console.is_terminal) as progress:
        checkpoint, leaves = entries(conn, chosen)
        bar = progress.add_task("entries", total=None)
        export(leaves, checkpoint, folder, lambda done, total: progress.update(bar, completed=done, total=total))
    exported = parse_checkpoint(checkpoint)
    if json:
        as_json({"folder": folder, "origin": exported.origin, "size": exported.size, "root": exported.root.hex()})
    else:
        console.print(cell(f"{exported.size} entries of {exported.origin} in {folder}"), markup=False)


app.command("prove")(prove)
app.command("check-proof")(check_proof_file)


def _incarnation(text: str) -> bytes:
    try:
        incarnation = bytes.fromhex(text)
    except ValueError:
        incarnation = b""
    if len(incarnation) != INCARNATION_BYTES:
        raise UserError(
            f"{text!r} is no incarnation: {2 * INCARNATION_BYTES} hexadecimal digits, the last part of a checkpoint's"
            " first line (`vitalwire edge witness` prints those that an edge kept)"
        )
    return incarnation
