"""Repair: what cannot be used any more is set aside under a new name, never deleted."""

from __future__ import annotations

import os
import sqlite3
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

DAMAGE = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}  # all other errors (disk full, I/O) may pass


def is_damage(error: BaseException) -> bool:
    """Whether an error says that the file is damaged."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in DAMAGE


def set_aside(path: Path, what: str, at_us: int) -> str:
    """Rename a closed spool with all that belongs to it; its new name, which begins with `spool-what`."""
    at = datetime.fromtimestamp(at_us / 1e6, UTC)
    aside = path.with_name(f"spool-{what}-{at:%Y%m%dT%H%M%SZ}-{os.urandom(2).hex()}.db")
    for suffix in ("", "-wal", "-shm"):
        with suppress(FileNotFoundError):
            os.rename(f"{path}{suffix}", f"{aside}{suffix}")
    return aside.name
