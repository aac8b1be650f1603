"""Files that are replaced whole: whoever reads one, at whatever moment, reads the old or the new one."""

from __future__ import annotations

import os
from pathlib import Path

from runtime.errors import UserError


def replace_file(path: Path, content: bytes, mode: int = 0o644) -> None:
    """Write beside it, and put it in its place when it is on the disk. Raises UserError where it cannot be written."""
    beside = path.with_name(f"{path.name}.new")
    try:
        beside.unlink(missing_ok=True)  # of a process that was killed
        with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror}") from None
