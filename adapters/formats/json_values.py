"""JSON payloads (RFC 8259) as values by their path (`vitals.hr`, `leads.0.st`), exactly: 37.0 stays 370e-1.

A sender's payloads differ in their values alone. `JsonShape` is what they have in common: with it the next is taken
apart without reading it as JSON. Reading afresh gives the same, or the shape does not fit.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

from schemas.errors import FrameError

VALUES_MAX = 1000  # in one payload
PATH_BYTES_MAX = 256
SHAPE_CHARS_MAX, SHAPE_VALUES_MAX = 8192, 100  # of a payload that a shape may fit

_NUMERAL = r"-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?(?:[eE][-+]?[0-9]++)?"
_STRING = r'"(?:[^"\\\x00-\x1f]++|\\.)*+"'
NUMERAL = re.compile(_NUMERAL)
_VALUE = re.compile(f"{_NUMERAL}|{_STRING}|true|false|null")
# What a JSON text is made of; group 1 is a name in an object.
_LEXEME = re.compile(f"({_STRING}[ \t\r\n]*+:)|{_VALUE.pattern}|[][{{}},: \t\r\n]")
# What may stand in a shape's gap, up to what ends it, and not a long text; that it is a value is seen when it is read.
_GAP = r'(["\-0-9tfn][^,}\]]{0,63})'
_GAP_OF_STRINGS = r'("[^"\\\x00-\x1f]{0,63}"|["\-0-9tfn][^,}\]]{0,63})'

Leaf = str | bool | None


class Numeral(str):
    """A JSON number as it is written."""


class NoValueError(ValueError):
    """What stands in a shape's gap is no JSON value."""


def read_leaves(frame: bytes) -> dict[str, Leaf]:
    """Every value by its path, in their order; raises FrameError."""
    try:
        payload = json.loads(
            frame, parse_int=Numeral, parse_float=Numeral, parse_constant=_refuse, object_pairs_hook=_object
        )
        if not isinstance(payload, dict):
            raise FrameError("json", "not an object")
        leaves = list(islice(_leaves(payload), VALUES_MAX + 1))
    except (ValueError, RecursionError) as error:
        raise FrameError("json", type(error).__name__) from None
    if len(leaves) > VALUES_MAX:
        raise FrameError("too-many-values", f"more than {VALUES_MAX}")
    values = dict(leaves)
    if len(values) < len(leaves):  # {"a.b": 1, "a": {"b": 2}}
        raise FrameError("path-twice")
    return values


def _leaves(node: Any, path: str = "") -> Iterator[tuple[str, Leaf]]:
    """Every value with its path."""
    if len(path) > PATH_BYTES_MAX or (not path.isascii() and len(path.encode("utf-8", "replace")) > PATH_BYTES_MAX):
        raise FrameError("path-too-long")
    if isinstance(node, dict | list):
        for key, child in node.items() if isinstance(node, dict) else enumerate(node):
            yield from _leaves(child, f"{path}.{key}" if path else str(key))
    else:
        yield _sendable(path), _sendable(node) if type(node) is str else node


def _refuse(constant: str) -> None:
    raise ValueError(constant)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        raise ValueError("a name twice in one object")
    return members


def _sendable(text: str) -> str:
    """JSON's escapes can spell half a surrogate pair, which UTF-8 cannot hold."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def plain_text(frame: bytes) -> str:
    """A payload that a shape may fit: an object in UTF-8, not a large one; "" for another."""
    if len(frame) > SHAPE_CHARS_MAX or not frame.startswith(b"{") or frame.startswith(b"{\0"):
        return ""
    try:
        return frame.decode()
    except UnicodeDecodeError:
        return ""


def split(text: str) -> tuple[tuple[str, ...], list[str]]:
    """A JSON text as what stands between the values, and the values as they stand there."""
    between, values, end = [], [], 0
    for lexeme in _LEXEME.finditer(text):
        if lexeme[1] is None and lexeme[0][0] in '"-0123456789tfn':
            between.append(text[end : lexeme.start()])
            values.append(lexeme[0])
            end = lexeme.end()
    return (*between, text[end:]), values


class JsonShape:
    """The text between a payload's values, and their number.

    A payload that fits has the same names at the same places: the text between is the same, and whatever stands in a
    gap is one whole value (`read_value` sees to it). `examples` are the values of a payload with this text.
    """

    def __init__(self, between: Sequence[str], examples: Sequence[str]) -> None:
        gaps = [_GAP_OF_STRINGS if value.startswith('"') else _GAP for value in examples]
        pieces = [re.escape(text) for text in between]
        self._match = re.compile("".join([a + b for a, b in zip(pieces, [*gaps, ""], strict=True)])).fullmatch

    def values(self, text: str) -> list[str] | None:
        """What stands in the gaps, None where the payload does not fit."""
        match = self._match(text)
        return None if match is None else list(match.groups())


def read_value(value: str) -> Leaf:
    """A JSON value as it stands in the payload; raises NoValueError."""
    if _VALUE.fullmatch(value) is None:
        raise NoValueError
    first = value[0]
    if first == '"':
        if "\\" not in value:
            return value[1:-1]
        try:
            return _sendable(json.loads(value))
        except ValueError:
            raise NoValueError from None
    if first == "n":
        return None
    return value == "true" if first in "tf" else Numeral(value)
