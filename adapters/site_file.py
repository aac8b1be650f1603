"""Editing a site's mapping file: a row is added or replaced, and everything else stays to the byte, comments too."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import msgspec

from adapters.site import MappingRow, quoted, read_rows, read_site
from schemas.errors import ConfigError

_HEADER = re.compile(r"\s*\[\[?\s*[\w.\"' -]+\s*\]\]?\s*(#.*)?$")
_ROW_HEADER = re.compile(r"\s*\[\[\s*mapping\s*\]\]\s*(#.*)?$")
_KEYS = ("sender", "system", "code", "text", "metric", "unit", "unit_is_wrong", "power_of_ten", "decimal_comma",
         "missing")  # fmt: skip


@dataclass(frozen=True)
class Edited:
    """The file's new text; `replaced` is the row that stood there before, None where the new one was added."""

    text: str
    replaced: MappingRow | None


def set_row(text: str, row: MappingRow, where: str) -> Edited:
    """The text with this row in place of the one about the same thing, or at its end.

    Raises ConfigError where the text is no site's file, before or after, as where another row overlaps with this one.
    """
    rows = read_rows(text, where)
    same = next((n for n, old in enumerate(rows) if (old.sender, old.key) == (row.sender, row.key)), None)
    if same is None:
        gap = "" if not text else "\n" if text.endswith("\n") else "\n\n"
        new = f"{text}{gap}{toml_of(row)}"
    else:
        new = _replaced(text, same, row, where)
    read_site(new, where)
    expected = [*rows, row] if same is None else [*rows[:same], row, *rows[same + 1 :]]
    if read_rows(new, where) != tuple(expected):
        raise ConfigError(f"{where}: it is written in a way that cannot be edited safely: write the row by hand")
    return Edited(new, None if same is None else rows[same])


def toml_of(row: MappingRow) -> str:
    """A row as it stands in a file; defaults are left out."""
    return "\n".join(["[[mapping]]", *_lines(row)]) + "\n"


def _lines(row: MappingRow) -> list[str]:
    defaults = {field.name: field.default for field in msgspec.structs.fields(MappingRow)}
    return [
        f"{name} = {_toml(getattr(row, name))}" for name in _KEYS if getattr(row, name) != defaults[name]
    ]  # fmt: skip


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return f"[{', '.join(map(_toml, value))}]"
    return quoted(value) if isinstance(value, str) else str(value)


def _replaced(text: str, number: int, row: MappingRow, where: str) -> str:
    """The row's own lines are made anew; comments between them stay, above those lines."""
    lines = text.splitlines(keepends=True)
    blocks = list(_blocks(lines))
    if number >= len(blocks):
        raise ConfigError(f"{where}: its rows are not written as [[mapping]]: write the row by hand")
    begin, end = blocks[number]
    # What stands behind the last line with a key belongs to what follows.
    last = max((i for i in range(begin, end) if _is_content(lines[i])), default=begin)
    comments = [line for line in lines[begin + 1 : last + 1] if line.lstrip().startswith("#")]
    own = [*comments, *(f"{line}\n" for line in _lines(row))]
    return "".join([*lines[: begin + 1], *own, *lines[last + 1 :]])


def _is_content(line: str) -> bool:
    stripped = line.strip()
    return bool(stripped) and not stripped.startswith("#")


def _blocks(lines: list[str]) -> Iterator[tuple[int, int]]:
    """The first line of each row, and the line after its last."""
    begin: int | None = None
    for i, line in enumerate(lines):
        if _HEADER.match(line):
            if begin is not None:
                yield begin, i
            begin = i if _ROW_HEADER.match(line) else None
    if begin is not None:
        yield begin, len(lines)
