"""Identifiers in JSON messages: every text and number under a key that speaks of a person."""

from __future__ import annotations

import re

from adapters.formats.redaction import Redaction

_OF_A_PERSON = re.compile(
    rb"patient|person|surname|given|family|birth|dob|mrn|ssn|visit|encounter|admission|wristband|nurse|doctor"
    rb"|physician|staff|operator|address|phone|mail"
)
_NOT_ITSELF = re.compile(rb"(_of|_kind|_type)$")  # says what stands there, not who
_PART = re.compile(rb'"(?:[^"\\]|\\.)*"|-?[0-9][0-9.eE+-]*|[{}\[\],:]')
_KEY = re.compile(rb"\s*:")
_ESCAPE = re.compile(rb"(\\(?:u[0-9a-fA-F]{4}|.))")


def redact_json(stream: bytes, redaction: Redaction) -> bytes:
    """The messages of a stream without who they are about; what is no JSON stays as it is."""
    out = bytearray(stream)
    open_keys: list[bytes] = []  # of the objects and lists around, each under the key that leads to it
    key = b""
    for match in _PART.finditer(stream):
        part = match[0]
        if part in b"{[":
            open_keys.append(key)
            key = b"" if part == b"{" else key
        elif part in b"}]":
            key = open_keys.pop() if open_keys else b""
        elif part == b",":
            pass
        elif part.startswith(b'"') and _KEY.match(stream, match.end()):
            key = part[1:-1]
        elif part != b":":
            path = [*open_keys, key]
            named = next((each for each in path if _is_of_a_person(each)), b"")
            if named:
                name = key.decode("utf-8", "backslashreplace") or named.decode("utf-8", "backslashreplace")
                out[match.start() : match.end()] = _replaced(part, name, redaction)
    return bytes(out)


def _is_of_a_person(key: bytes) -> bool:
    key = key.lower()
    return bool(_OF_A_PERSON.search(key)) and not _NOT_ITSELF.search(key)


def _replaced(part: bytes, name: str, redaction: Redaction) -> bytes:
    """Still of the same length, and JSON: an escape becomes letters."""
    if not part.startswith(b'"'):
        return re.sub(rb"[0-9]+", lambda match: b"1" + redaction.replace(match[0], name)[1:], part)
    text = _ESCAPE.sub(lambda match: b"X" * len(match[0]), part[1:-1])
    return b'"' + redaction.replace(text, name) + b'"'
