"""Identifiers in HL7 v2 messages: which fields stay; every other one of any segment is replaced.

What stays is what a driver reads of values, devices, places and times. Of a segment that is not listed (Z segments
too) nothing stays. Texts among the values are looked through for what was found in the other fields.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import cycle

from adapters.formats.hl7_charset import codec_of
from adapters.formats.hl7v2 import header
from adapters.formats.redaction import Redaction
from schemas.errors import FrameError

_ALL = frozenset(range(1, 100))
# By segment the fields that stay (HL7 2.6 chapters 2, 3 and 7; PRT: 2.7).
_KEPT: dict[str, frozenset[int]] = {
    "MSH": _ALL, "MSA": _ALL, "ERR": _ALL, "DSC": _ALL,
    "EVN": frozenset({1, 2, 3, 4, 6}),
    "PID": frozenset({1, 8}),
    "PV1": frozenset({1, 2, 3, 4, 6, 36, 44, 45}),
    "ORC": frozenset({1, 5, 9, 15}),
    "OBR": frozenset({1, 4, 5, 6, 7, 8, 11, 22, 24, 25, 44}),
    "OBX": frozenset({*range(1, 16), 17, 18, 19, 20, 21}),
    "NTE": frozenset({1, 2}),
    "PRT": frozenset({1, 2, 3, 4, 9, 10, 11, 12}),
    "TQ1": frozenset({1, 7, 8}),
}  # fmt: skip
_OF_DEVICES = {("OBR", 3), ("OBR", 29)}  # kept where a component says that it is an EUI-64
_PERSONS = {b"XPN", b"XCN", b"XAD", b"XTN", b"CX", b"PN", b"CN", b"AD", b"TN"}  # data types of OBX-5
_NUMBERS = {b"NM", b"SN", b"NA", b"DTM", b"TS", b"TM", b"DT"}
_TWO_BYTES = {"gb18030", "cp950", "euc_kr"}
_LINE = re.compile(rb"[^\r\n\x0b\x1c]+")
_TOKEN_BYTES_MIN = 4  # of what is looked for among the values
_SEX_BYTES_MAX = 1  # PID-8: a longer one is another field that a half character moved


@dataclass(frozen=True)
class _Charset:
    separators: bytes = b"|^~\\&"
    has_two_bytes: bool = False


@dataclass
class _Found:
    tokens: set[bytes] = field(default_factory=set)


def redact_hl7(stream: bytes, redaction: Redaction) -> bytes:
    """The messages of a stream without who they are about; the bytes around them stay."""
    found = _Found()
    once = _each_line(stream, lambda line, charset: _segment(line, charset, redaction, found))
    if not found.tokens:
        return once
    alternatives = b"|".join(re.escape(token) for token in sorted(found.tokens, key=len, reverse=True))
    pattern = re.compile(rb"(?<![A-Za-z0-9])(?:" + alternatives + rb")(?![A-Za-z0-9])")
    return _each_line(once, lambda line, charset: _values(line, charset, redaction, pattern))


def _each_line(stream: bytes, work: Callable[[bytes, _Charset], bytes]) -> bytes:
    charset = _Charset()
    out, at = bytearray(stream), 0
    for match in _LINE.finditer(stream):
        line, at = match[0], match.start()
        start = line.find(b"MSH") if b"MSH" in line[:8] else 0
        if line[start : start + 3] == b"MSH":
            charset = _charset_of(line[start:], stream[at:])
        out[at : match.end()] = work(line, charset)
    return bytes(out)


def _charset_of(msh: bytes, following: bytes) -> _Charset:
    read = header(msh)
    if read is None:
        return _Charset()
    try:
        codec = codec_of(read.fields[18])
    except FrameError:
        codec = ""
    message = following.partition(b"\x1c")[0]
    is_latin = codec.startswith(("iso8859", "cp1252"))
    has_two_bytes = codec in _TWO_BYTES or (not is_latin and not _is_utf_8(message))
    separators = msh[3:4] + msh[4:].split(msh[3:4], 1)[0][:4]
    return _Charset(separators, has_two_bytes)


def _is_utf_8(text: bytes) -> bool:
    try:
        text.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _segment(line: bytes, charset: _Charset, redaction: Redaction, found: _Found) -> bytes:
    """A segment with its fields replaced; a line that is none is replaced as a whole."""
    name = line[:3].decode("latin-1")
    fields = list(_split(line, charset.separators[0], charset.has_two_bytes))
    if name == "MSH" or b"MSH" in line[:8]:
        return line
    if len(fields) < 2 or len(fields[0]) != 3:
        return _replaced(line, "a line that is no segment", charset, redaction, found)
    kept = _KEPT.get(name, frozenset())
    data_type = fields[2] if name == "OBX" and len(fields) > 2 else b""
    for number in range(1, len(fields)):
        text = fields[number]
        stays = number in kept or ((name, number) in _OF_DEVICES and b"EUI-64" in text)
        if (name, number) == ("OBX", 5) and data_type in _PERSONS:
            stays = False
        if (name, number) == ("PID", 8) and len(text) > _SEX_BYTES_MAX:
            stays = False
        if not stays:
            fields[number] = _replaced(text, f"{name}-{number}", charset, redaction, found)
    return charset.separators[:1].join(fields)


def _replaced(text: bytes, name: str, charset: _Charset, redaction: Redaction, found: _Found) -> bytes:
    """Component by component, so that an identifier is replaced alike wherever it stands."""
    if not text.strip() or text == b'""':
        return text
    found.tokens.update(_tokens(text, charset))
    pieces = re.split(b"([" + re.escape(charset.separators[1:]) + b"])", _plain(text, charset))
    return b"".join(
        piece if is_separator else redaction.replace(piece, name)
        for piece, is_separator in zip(pieces, cycle((False, True)), strict=False)
    )


def _plain(text: bytes, charset: _Charset) -> bytes:
    """Characters of two bytes as two X: the second one may look like a separator."""
    if not charset.has_two_bytes:
        return text
    return re.sub(rb"[\x80-\xff][\x00-\xff]?", lambda match: b"X" * len(match[0]), text)


def _tokens(text: bytes, charset: _Charset) -> Iterator[bytes]:
    for separator in charset.separators[1:]:
        text = text.replace(bytes([separator]), b"\x00")
    for piece in text.split(b"\x00"):
        token = piece.strip()
        if len(token) >= _TOKEN_BYTES_MIN:
            yield token


def _values(line: bytes, charset: _Charset, redaction: Redaction, pattern: re.Pattern[bytes]) -> bytes:
    """An OBX whose texts are without what stands in the fields that were replaced; its status and what follows too."""
    if line[:3] != b"OBX":
        return line
    fields = list(_split(line, charset.separators[0], charset.has_two_bytes))
    is_text = len(fields) > 2 and fields[2] not in _NUMBERS
    for number in ([5] if is_text else []) + list(range(12, len(fields))):
        if number < len(fields):
            fields[number] = pattern.sub(
                lambda match, name=f"OBX-{number}": redaction.replace(_plain(match[0], charset), name),  # type: ignore[misc]
                fields[number],
            )
    return charset.separators[:1].join(fields)


def _split(line: bytes, separator: int, has_two_bytes: bool) -> Iterator[bytes]:
    """The fields of a line; a second byte of a character is no separator."""
    if not has_two_bytes:
        yield from line.split(bytes([separator]))
        return
    begin = at = 0
    while at < len(line):
        if line[at] >= 0x80:
            at += 2
        elif line[at] == separator:
            yield line[begin:at]
            at += 1
            begin = at
        else:
            at += 1
    yield line[begin:]
