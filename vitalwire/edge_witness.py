"""`vitalwire edge witness`: the checkpoints of the hospital's log that an edge was given and keeps."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from edge_agent import control
from edge_agent.config import EdgeConfig
from edge_agent.process import control_path
from edge_agent.sources import load_edge
from edge_agent.spool import KeptCheckpoint, read_kept
from runtime.errors import EXIT_DOES_NOT_HOLD, EXIT_UNREACHABLE, UserError
from vitalwire.output import as_json, console


def witness(
    config: Annotated[Path, typer.Option(help="TOML file; vitalwire config sample edge")] = Path("edge.toml"),
    write: Annotated[Path | None, typer.Option(help="folder for a file each, as `vitalwire verify --checkpoint` takes")]
    = None,
    json: Annotated[bool, typer.Option("--json", help="for scripts")] = False,
) -> None:  # fmt: skip
    """Checkpoints of the hospital's log that this edge was given: vitalwire edge witness. Exit 4 if two contradict."""
    settings = load_edge(config)
    kept = _kept_checkpoints(settings)
    if write is not None:
        _write_notes(kept, write)
    if json:
        as_json([_checkpoint_facts(checkpoint) for checkpoint in kept])
    else:
        _print_checkpoints(kept)
        if write is not None:
            console.print(f"{len(kept)} files in {write}", markup=False)
    if any(checkpoint.contradiction for checkpoint in kept):
        raise typer.Exit(EXIT_DOES_NOT_HOLD)


def _kept_checkpoints(settings: EdgeConfig) -> list[KeptCheckpoint]:
    """The running agent's, or those of the spool where none runs."""
    try:
        return asyncio.run(control.checkpoints(control_path(settings)))
    except UserError as error:
        if error.exit_code != EXIT_UNREACHABLE:
            raise
    return read_kept(settings.spool)


def _checkpoint_facts(checkpoint: KeptCheckpoint) -> dict[str, object]:
    return {
        "origin": checkpoint.origin, "size": checkpoint.size, "root": checkpoint.root.hex(),
        "received_at": datetime.fromtimestamp(checkpoint.received_at_us / 1e6, UTC).isoformat(),
        "contradiction": checkpoint.contradiction, "note": checkpoint.note.decode(),
    }  # fmt: skip


def _print_checkpoints(kept: Sequence[KeptCheckpoint]) -> None:
    """The newest of each log, and every one that contradicts another."""
    by_log: dict[str, list[KeptCheckpoint]] = {}
    for checkpoint in kept:
        by_log.setdefault(checkpoint.origin, []).append(checkpoint)
    for origin, of_log in by_log.items():
        since = min(checkpoint.received_at_us for checkpoint in of_log)
        console.print(f"{origin}: {len(of_log)} kept, the first {_moment(since)}", markup=False, soft_wrap=True)
        newest = [checkpoint for checkpoint in of_log if not checkpoint.contradiction][-1:]
        for checkpoint in (*newest, *(checkpoint for checkpoint in of_log if checkpoint.contradiction)):
            mark = f"  {checkpoint.contradiction}" if checkpoint.contradiction else ""
            line = f"  size {checkpoint.size}  root {checkpoint.root.hex()}  {_moment(checkpoint.received_at_us)}{mark}"
            console.print(line, markup=False, soft_wrap=True)
    if not kept:
        console.print("none: they come with the receipts of a hospital whose log has begun", markup=False)


def _moment(at_us: int) -> str:
    return f"{datetime.fromtimestamp(at_us / 1e6, UTC):%Y-%m-%d %H:%M:%S} UTC"


def _write_notes(kept: Sequence[KeptCheckpoint], folder: Path) -> None:
    """A file a checkpoint, named by its log, size and root."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for checkpoint in kept:
            log = checkpoint.origin.rpartition("/")[2]
            (folder / f"{log}-{checkpoint.size}-{checkpoint.root.hex()[:8]}.checkpoint").write_bytes(checkpoint.note)
    except OSError as error:
        raise UserError(f"{folder} cannot be written: {error.strerror}: name another folder") from None
