"""How many reports wait in a spool that no agent has open: what would be lost with it."""

from __future__ import annotations

import fcntl
import sqlite3
from contextlib import closing
from pathlib import Path

from edge_agent.spool.chunks import split
from evidence.seal import open_body
from schemas.errors import LayoutError, VitalwireError
from schemas.report import Kind

_KIND_OFFSET = 101  # in a report's row


def waiting_reports(folder: Path) -> int:
    """Reports without a receipt, but for events, which the agent makes with each stop. Raises VitalwireError."""
    file = folder / "spool.db"
    if not file.is_file():
        return 0
    try:
        with (folder / "lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with closing(sqlite3.connect(f"file:{file}?mode=rw", uri=True)) as db:
                return _count(db)
    except BlockingIOError:
        raise VitalwireError(f"the spool {folder} is in use by an agent: end that one first") from None
    except (OSError, sqlite3.Error, LayoutError) as error:
        raise VitalwireError(f"the spool {folder} cannot be read: {error}; copy it away before it is removed") from None


def _count(db: sqlite3.Connection) -> int:
    count = 0
    for (leaves,) in db.execute("SELECT leaves FROM chunk"):
        count += sum(leaf[_KIND_OFFSET] != Kind.EVENT for leaf in split(leaves))
    for (sealed,) in db.execute("SELECT bytes FROM batch JOIN sealed USING (id) WHERE unreceipted"):
        _, table = open_body(sealed)
        count += int((table.kind != Kind.EVENT).sum())
    return count
