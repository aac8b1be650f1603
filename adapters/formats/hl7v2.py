r"""HL7 v2 in ER7 encoding (HL7 2.5.1 and 2.7, chapter 2): bytes in, text out, a field split only when asked for.

Which codec reads the bytes, and what is refused, says `hl7_charset`. A message is one MSH and what follows it: two in
one frame are refused, for one answer cannot serve both.
"""

from __future__ import annotations

import re
from functools import lru_cache
from string import punctuation
from typing import NamedTuple

import msgspec

from adapters.formats.hl7_charset import decode
from schemas.errors import FrameError

NULL = '""'  # 2.5.1 §2.5.3: "delete what you have"; neither empty (nothing said) nor a text
SEGMENTS_MAX = 10_000  # in a message
REPETITIONS_MAX = 1_000  # in a field
HEADER_BYTES_MAX = 4_096  # of MSH, read before its charset is known
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
HEADER_FIELDS = 26  # "MSH" and its 25 fields (2.7)

_SEGMENT_LIKE = re.compile(rb"[A-Z][A-Z0-9]{2}[^A-Za-z0-9\s]")
_LINE_END = re.compile(rb"[\r\n]")


class Syntax(NamedTuple):
    """MSH-1 and MSH-2 taken apart (`truncation` is "" before 2.7), and the charset's codec."""

    field: str
    component: str
    repetition: str
    escape: str
    subcomponent: str
    truncation: str
    codec: str


class Hl7Header(NamedTuple):
    """MSH as sent: `fields[n]` is MSH-n, "" where there is none; `codec` turns them into their bytes again."""

    fields: list[str]
    codec: str


def header(payload: bytes) -> Hl7Header | None:
    """The first MSH in any bytes, None if there is none.

    It has to be read before its charset is known. That matters only where a second byte looks like a separator: the
    first codec under which MSH-12 stands in its place is taken.
    """
    start = payload.find(b"MSH")
    end = _LINE_END.search(payload, start, start + HEADER_BYTES_MAX) if start >= 0 else None
    line = payload[start : end.start() if end else start + HEADER_BYTES_MAX]
    if start < 0 or len(line) < 4 or chr(line[3]) not in punctuation:
        return None
    for codec in ("utf-8", "gb18030", "latin-1"):
        try:
            fields = line.decode(codec).split(chr(line[3]))
        except UnicodeDecodeError:
            continue
        fields.insert(1, chr(line[3]))
        fields += [""] * (HEADER_FIELDS - len(fields))
        if fields[12].lstrip().startswith("2"):
            break
    return Hl7Header(fields, codec)


@lru_cache(64)
def syntax(field: str, encoding_characters: str, codec: str) -> Syntax:
    r"""Separators of MSH-1 and MSH-2; what MSH-2 leaves out is `^~\&`."""
    marks = field + encoding_characters + r"^~\&"[len(encoding_characters) :]
    if len(marks) > 6 or len(set(marks)) < len(marks) or not set(marks) <= set(punctuation):
        raise FrameError("not-hl7", "MSH-1 and MSH-2 are not separators")
    return Syntax._make((*marks[:5], marks[5:], codec))


def _lines(text: str, field: str) -> list[str]:
    """Segments end with CR, CRLF or LF; an LF that no segment name follows is part of a text."""
    if "\n" in text:
        text = re.sub(rf"\r\n|\n(?=[A-Z][A-Z0-9]{{2}}{re.escape(field)})", "\r", text)
    if text.count("\r") >= SEGMENTS_MAX:
        raise FrameError("too-many-segments", f"more than {SEGMENTS_MAX}")
    if f"\rMSH{field}" in text:
        raise FrameError("two-messages", "a second MSH in the frame")
    lines = text.split("\r")
    if "\r\r" in text or "\r " in text or "\r\t" in text:
        lines = [line for line in lines if line and not line.isspace()]
    return lines


class Segment(msgspec.Struct, frozen=True, eq=False, gc=False):
    """One segment. Numbers are HL7's, from 1; 0 is "all of it".

    `fields[n]` is field n as it was sent, escapes and all, up to the last that was sent; fields[0] is the name.
    """

    fields: list[str]
    name: str
    syntax: Syntax

    def field(self, n: int, component: int = 0, subcomponent: int = 0, repetition: int = 0) -> str:
        """What was sent there, unescaped, or "". A component without a repetition is the first repetition's."""
        if n >= len(self.fields):
            return ""
        text, syntax = self.fields[n], self.syntax
        if component or repetition:
            text = _nth(text, syntax.repetition, repetition or 1)
            if component:
                text = _nth(text, syntax.component, component)
                if subcomponent:
                    text = _nth(text, syntax.subcomponent, subcomponent)
        return unescape(text, syntax) if syntax.escape in text else text

    def repetitions(self, n: int) -> int:
        """How many repetitions a field has; 0 for an empty one."""
        text = self.fields[n] if n < len(self.fields) else ""
        return text.count(self.syntax.repetition) + 1 if text else 0


def _nth(text: str, separator: str, n: int) -> str:
    if n == 1:
        return text.partition(separator)[0]
    parts = text.split(separator, n)
    return parts[n - 1] if n <= len(parts) else ""


class Hl7Message:
    """One message. Raises FrameError: not-hl7, no-msh, no-msh-10, nul, charset, two-messages, too-many-segments or
    -repetitions.

    `charset` is the sender's configured one, a name in CHARSETS. `lines` are the segments as text, `msh` the fields of
    the first.
    """

    __slots__ = ("_first", "_segments", "lines", "msh", "syntax")

    def __init__(self, payload: bytes, charset: str | None = None) -> None:
        if not payload.startswith(b"MSH"):
            payload = payload.lstrip().removeprefix(BYTE_ORDER_MARK).lstrip()
        payload = payload.rstrip(b"\r\n")
        if b"\0" in payload:
            raise FrameError("nul")
        head = header(payload) if payload.startswith(b"MSH") else None
        if head is None:
            raise FrameError("no-msh" if _SEGMENT_LIKE.match(payload) else "not-hl7")
        fields = head.fields
        separators = syntax(fields[1], fields[2], "")
        text, codec = decode(payload, charset or fields[18], "".join(separators[:6]), bool(charset))
        self.syntax = syntax(fields[1], fields[2], codec)
        if not fields[10].strip():
            raise FrameError("no-msh-10")
        self.lines = _lines(text, separators.field)
        if text.count(separators.repetition) >= REPETITIONS_MAX:
            self._check_repetitions()
        self.msh = self.lines[0].split(separators.field)
        self.msh.insert(1, separators.field)  # MSH-1 is the separator itself
        self._segments: list[Segment] | None = None
        self._first: dict[str, Segment] | None = None

    def _check_repetitions(self) -> None:
        field, repetition = self.syntax.field, self.syntax.repetition
        for line in self.lines:
            for n, sent in enumerate(line.split(field)):
                if sent.count(repetition) >= REPETITIONS_MAX:
                    raise FrameError("too-many-repetitions", f"{line[:3]}-{n} has over {REPETITIONS_MAX}")

    def segment(self, line: str) -> Segment:
        """One of the lines, split into its fields."""
        fields = line.split(self.syntax.field)
        return Segment(fields, fields[0], self.syntax)

    @property
    def segments(self) -> list[Segment]:
        """All segments, in order."""
        if self._segments is None:
            msh = Segment(self.msh, self.msh[0], self.syntax)
            self._segments = [msh, *map(self.segment, self.lines[1:])]
        return self._segments

    def first(self, name: str) -> Segment | None:
        """The first segment of that name."""
        if self._first is None:
            self._first = {segment.name: segment for segment in reversed(self.segments)}
        return self._first.get(name)

    def field(self, name: str, n: int, component: int = 0, subcomponent: int = 0, repetition: int = 0) -> str:
        """A field of the first segment of that name, as Segment.field; "" where there is no such segment."""
        segment = self.first(name)
        return segment.field(n, component, subcomponent, repetition) if segment else ""


def unescape(text: str, syntax: Syntax) -> str:
    r"""Escape sequences of 2.5.1 §2.7 as what they stand for; `\.br\` is a line feed. Unknown ones are kept."""
    return _escapes(syntax).sub(lambda match: _meaning(match, syntax), text)


@lru_cache(64)
def _escapes(syntax: Syntax) -> re.Pattern[str]:
    e = re.escape(syntax.escape)  # highlight, format, charset and Z sequences match to be passed over whole
    known = rf"[FSTREPHN]|X(?:[0-9A-Fa-f]{{2}})+|\.[a-z]{{2}}[+-]?\d*|[CM](?:[0-9A-Fa-f]{{2}}){{2,3}}|Z[^{e}]*"
    return re.compile(f"{e}({known}){e}")


def _meaning(match: re.Match[str], syntax: Syntax) -> str:
    sequence, marks = match[1], syntax[:6]
    if sequence[0] == "X":
        try:
            return bytes.fromhex(sequence[1:]).decode("utf-8" if syntax.codec == "ascii" else syntax.codec)
        except UnicodeDecodeError:
            return match[0]
    return dict(zip(("F", "S", "R", "E", "T", "P", ".br"), (*marks, "\n"), strict=True)).get(sequence) or match[0]
