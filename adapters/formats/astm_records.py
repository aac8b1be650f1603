r"""A message of ASTM E1394 (CLSI LIS02-A2) as records: text that ends with CR, its letter first, fields by delimiters.

H-2 declares the delimiters. In single-byte sets and UTF-8 a byte that does not decode is a lone surrogate in its text
(`adapters/formats/values.py`); of GB 18030 all must decode, for a byte of it may look like a delimiter.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from adapters.formats.values import printable
from schemas.errors import FrameError


@dataclass(frozen=True)
class Delimiters:
    """As H-2 declares them; `escape` may be missing. `codec` turns a text into its bytes again."""

    field: str
    repeat: str
    component: str
    escape: str
    codec: str

    def unescaped(self, text: str) -> str:
        """`&F&` and its like as what they stand for; an unknown sequence stays as it is."""
        if not self.escape or self.escape not in text:
            return text
        meant = {"F": self.field, "S": self.component, "R": self.repeat, "E": self.escape}

        def replaced(match: re.Match[str]) -> str:
            sequence = match[1]
            return meant.get(sequence) or bytes.fromhex(sequence[1:]).decode("latin-1")

        mark = re.escape(self.escape)
        return re.sub(f"{mark}([FSRE]|X(?:[0-9A-Fa-f]{{2}})+){mark}", replaced, text)


@dataclass(frozen=True)
class AstmRecord:
    """One record; fields are counted from 1, as the standard does, with the letter as the first."""

    letter: str
    fields: list[str]
    delimiters: Delimiters

    def raw(self, number: int) -> str:
        """A field as it was sent; "" where the record ends before it."""
        return self.fields[number - 1].strip() if number <= len(self.fields) else ""

    def value(self, number: int) -> str:
        """A field as one value."""
        return self.delimiters.unescaped(self.raw(number))

    def text(self, number: int) -> str:
        """A field with its component delimiters, but for those at its end."""
        return self.delimiters.unescaped(self.raw(number).rstrip(self.delimiters.component))

    def words(self, number: int) -> str:
        """A field's text as people read it, whatever did not decode."""
        return printable(self.text(number))

    def components(self, number: int) -> list[str]:
        """A field's components."""
        return self._split(number, self.delimiters.component)

    def repeats(self, number: int) -> list[str]:
        """What a field says several times."""
        return self._split(number, self.delimiters.repeat)

    def first(self, number: int) -> str:
        """A field's first component."""
        return self.components(number)[0]

    def _split(self, number: int, delimiter: str) -> list[str]:
        return [self.delimiters.unescaped(part).strip() for part in self.raw(number).split(delimiter)]


def read_records(frame: bytes, charset: str) -> list[AstmRecord]:
    """The records of a message, from H to L; FrameError where it is none, or not whole."""
    try:
        text = frame.decode(charset, "strict" if charset == "gb18030" else "surrogateescape")
    except UnicodeDecodeError:
        raise FrameError("charset", f"not {charset}") from None
    lines = [stripped for line in text.split("\r") if (stripped := line.strip("\n\0 "))]
    if not lines or lines[0][0] not in "Hh" or lines[0][1:2].isalnum():
        raise FrameError("no-header", f"{len(frame)} bytes")
    delimiters = _delimiters(lines[0], charset)
    split = [line.split(delimiters.field) for line in lines]
    records = [AstmRecord(fields[0].strip().upper(), fields, delimiters) for fields in split]
    letters = [record.letter for record in records]
    if not frame.endswith((b"\r", b"\r\n")) or letters[-1] != "L":
        raise FrameError("no-terminator", f"{len(records)} records")
    if letters.count("H") > 1 or letters.count("L") > 1:
        raise FrameError("several-messages", "one answer cannot serve two")
    return records


def _delimiters(header: str, codec: str) -> Delimiters:
    separator = header[1:2]
    declared = header[2:].partition(separator)[0] if separator else ""
    each = [separator, *declared[:3]]
    if len(each) < 3 or len(set(each)) < len(each) or any(d.isalnum() or d.isspace() for d in each):
        raise FrameError("delimiters", "H-2 declares none that can be told apart")
    return Delimiters(
        field=separator, repeat=declared[0], component=declared[1], escape=declared[2:3], codec=codec
    )  # fmt: skip
