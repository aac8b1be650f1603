"""Recordings of what went over a link: the format of `vitalwire edge record` and of recorded dialogues in tests.

Text, a line each, in the order of time; docs/recording.md has it for people:

    # vitalwire recording 1
    # tcp, driver hl7_oru, begun 2026-11-24T10:15:00.000000+00:00
    0.000000 1 * opened 10.0.0.7
    0.103210 1 < 0b4d53480d1c0d  # .MSH...
    0.115840 1 > 0b4d53410d1c0d  # .MSA...
    9.500000 1 * closed

    <seconds since the start> <connection> "<" came in | ">" went out | "*" what happened: opened, closed, dropped
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import Enum

from schemas.errors import ConfigError

HEADER = "# vitalwire recording 1"
LINE_BYTES_MAX = 4096  # of a piece on one line; what is longer goes on in the next line, at the same time
_LINE = re.compile(r"(\d+(?:\.\d{1,6})?) +(\d+) +([<>*]) *(.*)")
_HEADING = re.compile(r"# (\S+), driver (\S+), begun (\S+)\s*")
BEFORE = " (before the recording)"  # behind the peer of a connection that stood already
RETAINED = "retained"  # a note before an MQTT message: what somebody once said
_SHOWN = bytes(byte if 0x20 <= byte < 0x7F else ord(".") for byte in range(256))


class Direction(Enum):
    """Which way; NOTE: no bytes, but something that happened."""

    IN = "<"
    OUT = ">"
    NOTE = "*"


@dataclass(frozen=True)
class Entry:
    """One line: bytes, or a note in words ("opened 10.0.0.7", "closed", "dropped 3")."""

    at_us: int  # since the start of the recording
    connection: int
    direction: Direction
    data: bytes = b""
    note: str = ""


@dataclass(frozen=True)
class Heading:
    """What the second line says of where the bytes came from; `begun_us` is when, None where it does not say."""

    link: str = ""
    driver: str = ""
    begun_us: int | None = None

    def text(self) -> str:
        """The first two lines of a recording."""
        begun = datetime.fromtimestamp((self.begun_us or 0) / 1e6, UTC)
        return f"{HEADER}\n# {self.link}, driver {self.driver}, begun {begun.isoformat(timespec='microseconds')}\n"


def heading_of(text: str) -> Heading:
    """What a recording says of itself; nothing where its second line is another comment, or none."""
    second = (text.removeprefix("\ufeff").splitlines()[1:2] or [""])[0]
    match = _HEADING.fullmatch(second)
    if match is None:
        return Heading()
    try:
        begun = datetime.fromisoformat(match[3])
    except ValueError:
        return Heading(match[1], match[2])
    if begun.tzinfo is None:
        return Heading(match[1], match[2])
    return Heading(match[1], match[2], round(begun.timestamp() * 1e6))


def joined(entries: Iterable[Entry]) -> Iterator[Entry]:
    """The entries with each piece whole again that `write` spread over several lines.

    Where two pieces of one moment follow each other and the first fills its lines to the byte, they become one.
    """
    held: Entry | None = None
    last_bytes = 0
    for entry in entries:
        continues = (
            held is not None
            and last_bytes == LINE_BYTES_MAX
            and entry.direction is not Direction.NOTE
            and (entry.at_us, entry.connection, entry.direction) == (held.at_us, held.connection, held.direction)
        )
        if continues and held is not None:
            held = replace(held, data=held.data + entry.data)
        else:
            if held is not None:
                yield held
            held = entry
        last_bytes = len(entry.data)
    if held is not None:
        yield held


def peer_of(note: str) -> str | None:
    """Who is on the other side, of a note that a connection was opened; None of another note."""
    opened, _, peer = note.partition(" ")
    return peer.removesuffix(BEFORE) if opened == "opened" else None


def write(entry: Entry) -> str:
    """An entry as its line or lines, each ended by LF; `read` gives the same bytes."""
    head = f"{entry.at_us // 1_000_000}.{entry.at_us % 1_000_000:06} {entry.connection} {entry.direction.value} "
    if entry.direction is Direction.NOTE:
        return f"{head}{_one_line(entry.note)}\n"
    lines = []
    for start in range(0, len(entry.data), LINE_BYTES_MAX):
        data = entry.data[start : start + LINE_BYTES_MAX]
        lines.append(f"{head}{data.hex()}  # {data.translate(_SHOWN).decode('ascii')}\n")
    return "".join(lines)


def _one_line(note: str) -> str:
    """A note is one line, whatever a peer or a topic is called."""
    return "".join(c if c.isprintable() and c != "#" else "." for c in note).strip()


def read(text: str, where: str = "recording") -> list[Entry]:
    """The entries of a recording, in order. Raises ConfigError that names the line."""
    lines = text.removeprefix("\ufeff").splitlines()
    if not lines or lines[0].strip() != HEADER:
        raise ConfigError(f"{where}: line 1: a recording begins with {HEADER!r}")
    entries: list[Entry] = []
    for number, line in enumerate(lines, 1):
        line = line.partition("#")[0].strip()
        if line:
            entries.append(_entry(line, f"{where}: line {number}"))
            if len(entries) > 1 and entries[-1].at_us < entries[-2].at_us:
                raise ConfigError(f"{where}: line {number}: earlier than the line before it")
    return entries


def _entry(line: str, where: str) -> Entry:
    match = _LINE.fullmatch(line)
    if match is None:
        raise ConfigError(f"{where}: write seconds, connection, one of < > *, and bytes in hex or a note")
    seconds, connection, mark, rest = match.groups()
    whole, _, part = seconds.partition(".")
    at_us = int(whole) * 1_000_000 + int(part.ljust(6, "0"))
    direction = Direction(mark)
    if direction is Direction.NOTE:
        return Entry(at_us, int(connection), direction, note=rest.strip())
    try:
        return Entry(at_us, int(connection), direction, bytes.fromhex(rest))
    except ValueError:
        raise ConfigError(
            f"{where}: the bytes are no hex: two digits a byte, blanks between them as you like"
        ) from None


def text_of(entries: Iterable[Entry], heading: Heading | None = None) -> str:
    """A whole recording."""
    return (heading.text() if heading else HEADER + "\n") + "".join(map(write, entries))
