"""Identifiers in POCT1-A's messages: whatever stands in an object that is not of the device or of a result.

Which objects stay; the fields of every other one (PT, OPR, ORD, NTE, ...) are replaced, and so are those of an object
that stays whose name speaks of a person. What stands between tags means nothing here and is replaced too, and with it
a tag that is cut.
"""

from __future__ import annotations

import re

from adapters.formats.redaction import Redaction

_KEPT = frozenset({
    "HDR", "DEV", "DCP", "DSC", "DST", "SVC", "OBS", "RGT", "CTC", "CAL", "EVT", "ACK", "REQ", "DTV", "EOT", "TRM",
    "ESC",
})  # fmt: skip
_KEPT_FIELDS = frozenset({"PT.gender_cd"})
_CODE_BYTES_MAX = 2  # of a sex
_OF_A_PERSON = re.compile(
    r"patient|person|operator|physician|doctor|nurse|user|staff|order|birth|visit|address|phone", re.IGNORECASE
)
_MARKS = re.compile(
    rb"\xef\xbb\xbf|<\?xml[^<>]*\?>|<!--|-->|<!\[CDATA\[|\]\]>"
    rb"|<(?P<name>/?[A-Za-z_][\w.:-]*)(?P<fields>(?:\s+[\w.:-]+\s*=\s*(?:\"[^\"<]*\"|'[^'<]*'))*+)\s*/?>"
)
_VALUE = re.compile(rb"=\s*(?:\"([^\"]*)\"|'([^']*)')")
_REFERENCE = re.compile(rb"(&#?\w{1,10};)")
_ROOT = re.compile(r"[A-Z]{3}\.R\d\d")


def redact_poct1(stream: bytes, redaction: Redaction) -> bytes:
    """The messages of a stream without whom they are about, and who took the sample."""
    out: list[bytes] = []
    at = 0
    for match in _MARKS.finditer(stream):
        out += (_replaced(stream[at : match.start()], "between tags", redaction), _tag(match, redaction))
        at = match.end()
    out.append(_replaced(stream[at:], "between tags", redaction))
    return b"".join(out)


def _tag(match: re.Match[bytes], redaction: Redaction) -> bytes:
    tag = match[0]
    name = (match["name"] or b"").decode("latin-1")
    if not match["fields"] or _ROOT.fullmatch(name):
        return tag
    out = bytearray(tag)
    for value in _VALUE.finditer(tag):
        group = 1 if value[1] is not None else 2
        if not _stays(name, value[group]):
            out[value.start(group) : value.end(group)] = _replaced(value[group], name, redaction)
    return bytes(out)


def _stays(name: str, value: bytes) -> bool:
    object_name, _, field = name.partition(".")
    if name in _KEPT_FIELDS:
        return len(value) <= _CODE_BYTES_MAX
    return object_name in _KEPT and not _OF_A_PERSON.search(field)


def _replaced(text: bytes, name: str, redaction: Redaction) -> bytes:
    """A reference to a character becomes letters: it is XML still."""
    if not text.strip():
        return text
    return redaction.replace(_REFERENCE.sub(lambda match: b"X" * len(match[0]), text), name)
