"""The text of one value: a numeral, a bound, no reading, or words; and text whose bytes did not decode.

One meaning for every driver (docs/adr/0007): blanks around a value mean nothing, "<70" is a bound, "36,5" is a number
only where the site says so, and what means "no reading" is a closed list. A byte that did not decode is a lone
surrogate in its text (PEP 383).
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

from schemas.report import COMPARATORS, AsSent, Mark, Record, RecordKind, decimal_parts

NUMERAL_CHARS_MAX = 40  # a record holds 19 digits; bounds the cache's memory
# Where a number is expected, these say that there is none; anything else that has content keeps its text.
_NO_READING_WORDS = frozenset({
    "none", "null", "nil", "nan", "na", "n/a", "n.a.", "n/m", "inv", "invalid", "not available", "no reading",
})  # fmt: skip
_NO_READING_SIGNS = re.compile(r"[-–—*?_. ]*")
_DECIMAL_COMMA = re.compile(r"[+-]?[0-9]*,[0-9]+")
_BOUND = re.compile(r"(<=|>=|<|>|≤|≥) *([^ ].*)")
_BOUND_MARKS = {sign: int(marks) for sign, marks in COMPARATORS.items()}
_BOUND_MARKS |= {"≤": _BOUND_MARKS["<="], "≥": _BOUND_MARKS[">="]}
MARKS = tuple(Mark(bits) for bits in range(256))  # an enumeration's own arithmetic is slow
_UNDECODED = re.compile("[\udc80-\udcff]")
_SURROGATES = re.compile("[\ud800-\udfff]")

_parts = lru_cache(8192)(decimal_parts)


class Number(NamedTuple):
    """A number as a record holds it. `marks` (of Mark, as an int) say which bound it is; 0: it is the value itself."""

    mantissa: int
    exponent: int
    marks: int = 0

    @property
    def kind(self) -> RecordKind:
        """NUMERIC or BOUND."""
        return RecordKind.BOUND if self.marks else RecordKind.NUMERIC


def scaled(text: str, exponent_shift: int = 0) -> tuple[int, int] | None:
    """Mantissa and exponent of a numeral as sent, shifted; None if it is none or a record cannot hold it."""
    parts = _parts(text) if len(text) <= NUMERAL_CHARS_MAX else None
    if parts is None or not exponent_shift:
        return parts
    if not -128 <= parts[1] + exponent_shift <= 127:
        return None
    return parts[0], parts[1] + exponent_shift


def read_number(text: str, exponent_shift: int = 0, *, decimal_comma: bool = False) -> Number | None:
    """The number or bound that a text is, shifted; None if it is neither.

    `decimal_comma`: "36,5" is 36.5. A comma between thousands is never read.
    """
    text = text.strip()
    parts = _numeral(text, exponent_shift, decimal_comma)
    if parts is not None:
        return Number(parts[0], parts[1])
    bound = _BOUND.fullmatch(text)
    parts = _numeral(bound[2], exponent_shift, decimal_comma) if bound else None
    if bound is None or parts is None:
        return None
    return Number(parts[0], parts[1], _BOUND_MARKS[bound[1]])


def _numeral(text: str, exponent_shift: int, decimal_comma: bool) -> tuple[int, int] | None:
    if decimal_comma and _DECIMAL_COMMA.fullmatch(text):
        text = text.replace(",", ".")
    return scaled(text, exponent_shift)


def is_no_reading(text: str) -> bool:
    """Whether a text where a number is expected says that there is none; an empty one does."""
    return _NO_READING_SIGNS.fullmatch(text) is not None or text.strip().casefold() in _NO_READING_WORDS


# --- texts whose bytes did not decode ---------------------------------------------------------------------------------


def undecoded(text: str) -> bool:
    """Whether there are bytes in it that could not be decoded."""
    return not text.isascii() and _UNDECODED.search(text) is not None


def text_bytes(text: str, codec: str) -> bytes:
    """A text's bytes as they came, where some of them could not be decoded."""
    try:
        return text.encode(codec, "surrogateescape")
    except UnicodeEncodeError:  # an escape sequence stood for a character that the charset does not have
        return text.encode("utf-8", "surrogateescape")


def text_or_bytes(text: str, codec: str) -> tuple[str | bytes, Mark]:
    """A text for a record, with its mark: as its bytes where some of them could not be decoded."""
    return (text_bytes(text, codec), Mark.UNDECODED) if undecoded(text) else (text, Mark(0))


def text_record(system: str, name: str, text: str, codec: str = "utf-8", marks: int = 0) -> Record:
    """A text under a name of its own, which the code system `system` gives it; `marks` are of Mark."""
    kept, undecoded_mark = text_or_bytes(text, codec)
    return Record(
        kind=RecordKind.TEXT, marks=MARKS[marks | int(undecoded_mark)], text=kept, as_sent=AsSent(system, name)
    )


def printable(text: str) -> str:
    """The text with each byte that could not be decoded as `\\udcXX`: what every encoding takes, and no two alike."""
    if text.isascii() or _SURROGATES.search(text) is None:
        return text
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
