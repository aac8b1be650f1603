"""The mark of a spool that another box sent from its disk: its own agent does not go on under that spool's id."""

from __future__ import annotations

from pathlib import Path

import msgspec

from runtime.whole_file import replace_file
from schemas.identity import SpoolId

MARK = "drained.json"


class DrainMark(msgspec.Struct, frozen=True):
    """Who sent the spool of this id (hexadecimal) from its disk, when, and on which host.

    `owner_at_work_us`: the last commit of the box itself, by its own clock; None: not known.
    """

    spool: str
    at: str
    by: str
    host: str
    owner_at_work_us: int | None = None


_NOT_READ = DrainMark("", "an unknown time", "somebody", "an unknown host")


def leave_mark(folder: Path, mark: DrainMark) -> None:
    """In the spool's folder, before the first batch is sent. Raises UserError where it cannot be written."""
    replace_file(folder / MARK, msgspec.json.encode(mark))


def mark_of(folder: Path, spool_id: SpoolId) -> DrainMark | None:
    """The mark, where it is of this id; one that cannot be read counts as that. None: it was not drained."""
    try:
        mark = msgspec.json.decode((folder / MARK).read_bytes(), type=DrainMark)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError):
        return _NOT_READ
    return mark if mark.spool == spool_id.hex() else None
