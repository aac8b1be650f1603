"""A log as a folder that anybody can check without us: C2SP `tlog-tiles`, the checkpoint beside the tiles.

What is exported holds no measured value: signed seals, which are hashes, and signed acts of people.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from evidence.checkpoint import parse_checkpoint
from evidence.tiles import TileBuilder, TileFile
from runtime.errors import EXIT_DOES_NOT_HOLD, UserError

CHECKPOINT_FILE = "checkpoint"


def export(
    entries: Iterable[bytes],
    checkpoint: bytes,
    folder: Path,
    on_progress: Callable[[int, int], None],
) -> None:
    """Write the log that this checkpoint (a signed note) is over into an empty folder.

    `entries` are its leaves in order; those past the checkpoint's size are left. `on_progress` is given the entries
    written and those that there are. The checkpoint is written last: a folder that has one is complete. Raises
    UserError where the entries are not those of the checkpoint; what was written stays, without a checkpoint.
    """
    expected = parse_checkpoint(checkpoint)
    _make_empty(folder)
    builder = TileBuilder()
    remaining = iter(entries)
    while builder.size < expected.size:
        entry = next(remaining, None)
        if entry is None:
            raise UserError(
                f"the log has {builder.size} entries, its checkpoint says {expected.size}: entries are missing;"
                " `vitalwire verify` says which",
                EXIT_DOES_NOT_HOLD,
            )
        full = builder.append(entry)
        if full:
            _write(folder, full)
            on_progress(builder.size, expected.size)
    _write(folder, builder.finish())
    if builder.root() != expected.root:
        raise UserError(
            "the log's entries do not have the root of its checkpoint: an entry was changed, removed or moved;"
            " `vitalwire verify` says which",
            EXIT_DOES_NOT_HOLD,
        )
    (folder / CHECKPOINT_FILE).write_bytes(checkpoint)
    on_progress(builder.size, expected.size)


def _make_empty(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise UserError(f"{folder} is a file: name a new folder") from None
    if any(folder.iterdir()):
        raise UserError(f"{folder} is not empty: name a new folder")


def _write(folder: Path, files: Iterable[TileFile]) -> None:
    for file in files:
        path = folder / file.tile.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(file.content)
