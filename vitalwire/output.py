"""How commands speak: a table for people, JSON for scripts, one line for what went wrong."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

# UTF-8 whatever the locale says: a bed's label in Chinese is also read over SSH into a C locale.
for _stream in (sys.stdout, sys.stderr):
    if hasattr(_stream, "reconfigure"):
        _stream.reconfigure(encoding="utf-8", errors="replace")
# What goes to a pipe or a file is for grep: nothing is wrapped there, however wide.
WIDE = 10_000
_screen = sys.stdout.isatty()
console = Console(highlight=False, soft_wrap=not _screen, width=None if _screen else WIDE)
LANES = {1: "live", 2: "backfill", 3: "waveform"}


def as_json(value: Any) -> None:
    """For scripts, on standard output."""
    sys.stdout.write(msgspec.json.encode(value, enc_hook=_plain).decode() + "\n")


def _plain(value: Any) -> Any:
    return value.hex() if isinstance(value, bytes) else str(value)


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]], empty: str = "nothing yet") -> None:
    """For people. Whatever a device sent is printed as text, never as markup."""
    drawn = Table(title=title, title_justify="left", header_style="bold", box=None, pad_edge=False)
    for column in columns:
        drawn.add_column(column, overflow="fold")
    count = 0
    for row in rows:
        drawn.add_row(*(Text(cell(c)) for c in row))
        count += 1
    console.print(drawn if count else f"{title}: {empty}", markup=False)


def cell(value: Any) -> str:
    """One cell: instants in the local zone, control bytes shown and not obeyed."""
    if value is None:
        return "-"
    if isinstance(value, datetime):
        return value.astimezone().strftime("%Y-%m-%d %H:%M:%S")
    return "".join(c if c.isprintable() else _escaped(ord(c)) for c in str(value))


def _escaped(code: int) -> str:
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def age(moment: datetime) -> str:
    """How long ago."""
    seconds = max(0, int((datetime.now(UTC) - moment).total_seconds()))
    for limit, divisor, unit in ((120, 1, "s"), (7200, 60, "min"), (172_800, 3600, "h")):
        if seconds < limit:
            return f"{seconds // divisor} {unit}"
    return f"{seconds // 86_400} d"
