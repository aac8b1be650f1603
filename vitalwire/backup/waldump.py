"""When the transactions in a segment of the log were committed, by `pg_waldump`."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

from vitalwire.backup.programs import Programs

_COMMIT = re.compile(r"desc: COMMIT(?:_PREPARED)? (\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?:\.\d+)?) UTC")


def last_commit_at(programs: Programs, segment: Path) -> datetime | None:
    """None: nothing was committed in it. A segment that ends in the middle is read as far as it goes."""
    output = programs.tried("pg_waldump", "--rmgr=Transaction", segment).stdout
    return newest_commit(output)


def newest_commit(output: str) -> datetime | None:
    """In what `pg_waldump` prints, in UTC."""
    found = [datetime.fromisoformat(text).replace(tzinfo=UTC) for text in _COMMIT.findall(output)]
    return max(found, default=None)
