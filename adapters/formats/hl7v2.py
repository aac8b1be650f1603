r"""HL7 v2 in ER7 encoding (HL7 2.5.1 and 2.7, chapter 2): bytes in, text out, a field split only when asked for.

The whole payload is decoded before it is split: in GB 18030, BIG-5 and ISO 2022 the second byte of a character can be
`|`, `^`, `\` or `~`.

A charset is never guessed, as little as a time zone:
- The sender's configured charset is believed. Bytes that do not fit it are refused.
- Else MSH-18 (table 0211) is believed, where the bytes fit it. Nearly any bytes fit the 8-bit and the other two-byte
  sets: there, bytes that also read as everyday Chinese in GBK are refused, for many senders write GBK under any name.
- Else (MSH-18 empty or ASCII) bytes beyond ASCII are taken for UTF-8 where they are that, and not GB 2312 as well.
Refused is FrameError("charset"): the bytes are kept, and one line in the source's settings mends it.
"""

from __future__ import annotations

import re
from functools import lru_cache
from string import punctuation
from typing import NamedTuple

import msgspec

from schemas.errors import FrameError

NULL = '""'  # 2.5.1 §2.5.3: "delete what you have"; neither empty (nothing said) nor a text
SEGMENTS_MAX = 10_000  # in a message
REPETITIONS_MAX = 1_000  # in a field
HEADER_BYTES_MAX = 4_096  # of MSH, read before its charset is known
HEADER_FIELDS = 26  # "MSH" and its 25 fields (2.7)

_SHIFTED = "iso2022_jp_ext"
# Table 0211 and what senders write instead, to Python's codecs; in names only upper case, letters and digits count.
CHARSETS = (
    dict.fromkeys(("ASCII", "USASCII", "ISOIR6"), "ascii")
    | dict.fromkeys(("UNICODEUTF8", "UNICODE", "UTF8"), "utf-8")
    | dict.fromkeys(("GB180302000", "GB18030", "GBK", "GB2312", "CP936"), "gb18030")
    | dict.fromkeys(("ISOIR14", "ISOIR87", "ISOIR159", "JISX0202"), _SHIFTED)
    | {"BIG5": "cp950", "KSX1001": "euc_kr", "CP1252": "cp1252", "WINDOWS1252": "cp1252"}
    | {f"{iso}8859{part}": f"iso8859_{part}" for iso in ("", "ISO") for part in (*range(1, 11), 13, 14, 15)}
)
_LATIN = {"cp1252", *(f"iso8859_{part}" for part in (1, 2, 3, 4, 9, 10, 13, 14, 15))}
_NOT_IN_NAMES = re.compile(r"[^A-Z0-9]")
_C1 = re.compile(r"[\x80-\x9f]")  # printable in no 8859: Windows-1252 or GBK under its name
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


class Header(NamedTuple):
    """MSH as sent: `fields[n]` is MSH-n, "" where there is none; `codec` turns them into their bytes again."""

    fields: list[str]
    codec: str


def header(payload: bytes) -> Header | None:
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
        if fields[12].startswith("2"):
            break
    return Header(fields, codec)


@lru_cache(64)
def syntax(field: str, encoding_characters: str, codec: str) -> Syntax:
    r"""Separators of MSH-1 and MSH-2; what MSH-2 leaves out is `^~\&`."""
    marks = field + encoding_characters + r"^~\&"[len(encoding_characters) :]
    if len(marks) > 6 or len(set(marks)) < len(marks) or not set(marks) <= set(punctuation):
        raise FrameError("not-hl7", "MSH-1 and MSH-2 are not separators")
    return Syntax._make((*marks[:5], marks[5:], codec))


@lru_cache(64)
def codec_of(names: str, repetition: str = "~") -> str:
    """Python's codec for a charset's name in table 0211, or for MSH-18 with all its repetitions."""
    codecs = set()
    for name in filter(None, map(str.strip, names.split(repetition))):
        codec = CHARSETS.get(_NOT_IN_NAMES.sub("", name.upper()))
        if codec is None:
            raise FrameError("charset", f"{name[:40]!r} is not known")
        codecs.add(codec)
    codecs.discard("ascii")
    if len(codecs) > 1:
        raise FrameError("charset", "more than one; name the one that is used in the source's settings")
    return codecs.pop() if codecs else "ascii"


def _decode(payload: bytes, codec: str, configured: bool) -> str:
    if b"\x1b" in payload and codec != _SHIFTED:
        raise FrameError("charset", "ISO 2022 shifts that MSH-18 does not name")
    if payload.isascii() and codec != _SHIFTED:
        return payload.decode("ascii")
    try:
        text = payload.decode("utf-8" if codec == "ascii" else codec)
    except UnicodeDecodeError:
        raise FrameError("charset", f"the bytes are not {codec}; name the source's charset in its settings") from None
    if configured or codec in ("utf-8", "gb18030"):
        return text
    doubtful = _share_of_everyday_chinese(payload) >= (0.5 if codec in _LATIN else 1)
    if doubtful or (codec.startswith("iso8859") and _C1.search(text)):
        raise FrameError("charset", f"it may not be {codec}; name the source's charset in its settings")
    return text


def _share_of_everyday_chinese(payload: bytes) -> float:
    """Of the characters beyond ASCII, read as GB 18030, those in GB 2312; 0 if they cannot be read so."""
    try:
        beyond = [c for c in payload.decode("gb18030") if c > "\x7f"]
    except UnicodeDecodeError:
        return 0.0
    return sum(1 for c in beyond if c.encode("gb2312", "ignore")) / max(1, len(beyond))


def _lines(text: str, field: str) -> list[str]:
    """Segments end with CR, CRLF or LF; an LF that no segment name follows is part of a text."""
    if "\n" in text:
        text = re.sub(rf"\r\n|\n(?=[A-Z][A-Z0-9]{{2}}{re.escape(field)})", "\r", text)
    if text.count("\r") >= SEGMENTS_MAX:
        raise FrameError("too-many-segments", f"more than {SEGMENTS_MAX}")
    return [line for line in text.split("\r") if line and not line.isspace()]


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


class Message:
    """One message. Raises FrameError: not-hl7, no-msh, no-msh-10, nul, charset, too-many-segments or -repetitions.

    `charset` is the sender's configured one, a name in CHARSETS.
    """

    __slots__ = ("_first", "segments", "syntax")

    def __init__(self, payload: bytes, charset: str | None = None) -> None:
        payload = payload.lstrip().rstrip(b"\r\n")
        if b"\0" in payload:
            raise FrameError("nul")
        head = header(payload) if payload.startswith(b"MSH") else None
        if head is None:
            raise FrameError("no-msh" if _SEGMENT_LIKE.match(payload) else "not-hl7")
        fields = head.fields
        repetition = syntax(fields[1], fields[2], "").repetition
        codec = codec_of(charset or fields[18], repetition)
        text = _decode(payload, codec, bool(charset))
        self.syntax = marks = syntax(fields[1], fields[2], codec)
        if not fields[10].strip():
            raise FrameError("no-msh-10")
        split = [line.split(marks.field) for line in _lines(text, marks.field)]
        split[0].insert(1, marks.field)  # MSH-1 is the separator itself
        if text.count(repetition) >= REPETITIONS_MAX:
            for name, n, count in ((f[0], n, sent.count(repetition)) for f in split for n, sent in enumerate(f)):
                if count >= REPETITIONS_MAX:
                    raise FrameError("too-many-repetitions", f"{name[:3]}-{n} has over {REPETITIONS_MAX}")
        self.segments = [Segment(f, f[0], marks) for f in split]
        self._first = {segment.name: segment for segment in reversed(self.segments)}

    def first(self, name: str) -> Segment | None:
        """The first segment of that name."""
        return self._first.get(name)

    def field(self, name: str, n: int, component: int = 0, subcomponent: int = 0, repetition: int = 0) -> str:
        """A field of the first segment of that name, as Segment.field; "" where there is no such segment."""
        segment = self._first.get(name)
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
