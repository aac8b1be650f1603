"""How commands speak: a table for people, JSON for scripts, one line for what went wrong."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from runtime.logs import escaped
from schemas.report import Lane

# UTF-8 whatever the locale says: a bed's label in Chinese is also read over SSH into a C locale.
for _stream in (sys.stdout, sys.stderr):
    if hasattr(_stream, "reconfigure"):
        _stream.reconfigure(encoding="utf-8", errors="replace")
# What goes to a pipe or a file is for grep: nothing is wrapped there, however wide.
WIDE = 10_000
_screen = sys.stdout.isatty()
console = Console(highlight=False, soft_wrap=not _screen, width=None if _screen else WIDE)
LANES = {int(lane): lane.name.lower() for lane in Lane}


def as_json(value: Any) -> None:
    """For scripts, on standard output; bytes are hexadecimal, as in all that is written for people."""
    plain = msgspec.to_builtins(value, builtin_types=(bytes,), enc_hook=str)
    sys.stdout.write(f"{msgspec.json.encode(_with_hex(plain)).decode()}\n")


def _with_hex(value: Any) -> Any:
    if isinstance(value, dict):
        return {_with_hex(key): _with_hex(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_with_hex(each) for each in value]
    return value.hex() if isinstance(value, bytes) else value


def listed(
    json: bool, title: str, columns: Sequence[str], found: Iterable[Any], row: Callable[[Any], Sequence[Any]],
    empty: str = "nothing yet",
) -> None:  # fmt: skip
    """Named tuples: for scripts all that is known of each, for people a row of it."""
    if json:
        as_json([each._asdict() for each in found])
    else:
        table(title, columns, map(row, found), empty)


def table(
    title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]], empty: str = "nothing yet", *,
    most: int | None = None, gap: int = 2,
) -> None:  # fmt: skip
    """For people: `most` rows, `gap` spaces between cells. What a device sent is printed as text, never as markup."""
    rows = list(rows)
    drawn = Table(title=title, title_justify="left", header_style="bold", box=None, pad_edge=False)
    drawn.padding = (0, gap, 0, 0)
    for at, column in enumerate(columns):
        numbers = all(isinstance(row[at], int) for row in rows)
        drawn.add_column(column, overflow="fold", min_width=len(column), justify="right" if numbers else "left")
    for row in rows[:most]:
        drawn.add_row(*(Text(cell(c)) for c in row))
    console.print(drawn if rows else f"{title}: {empty}", markup=False)
    if most is not None and len(rows) > most:
        console.print(f"and {len(rows) - most} more")


def cell(value: Any) -> str:
    """One cell: instants in the local zone, control bytes shown and not obeyed."""
    if value is None:
        return "-"
    return value.astimezone().strftime("%Y-%m-%d %H:%M:%S") if isinstance(value, datetime) else escaped(str(value))


def age(moment: datetime) -> str:
    """How long ago."""
    seconds = max(0, int((datetime.now(UTC) - moment).total_seconds()))
    for limit, divisor, unit in ((120, 1, "s"), (7200, 60, "min"), (172_800, 3600, "h")):
        if seconds < limit:
            return f"{seconds // divisor} {unit}"
    return f"{seconds // 86_400} d"
