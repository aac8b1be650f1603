"""Alarm limits in OBX-7: `90-100`, `90-`, `-100`, `<100`, `>= 90.5`.

They are those of an alarm's source, or of a value where a dialect has them there: elsewhere OBX-7 is what is usual.
"""

from __future__ import annotations

import re

from adapters.formats.hl7_observation import Observation
from adapters.formats.values import printable, scaled
from schemas.report import AsSent, Record, RecordKind, Validity

_LIMITS = re.compile(r"([+-]?[0-9.]+)?\s*-\s*([+-]?[0-9.]+)?|([<>]=?)\s*([+-]?[0-9.]+)")

Limit = tuple[int, int] | None


def limits_of(text: str, shift: int) -> tuple[Limit, Limit]:
    """Low and high, None where there is none; shifted as the site's row shifts its values."""
    match = _LIMITS.fullmatch(text.strip())
    if match is None:
        return None, None
    low, high, comparator, number = match.groups("")
    if comparator.startswith("<"):
        high = number
    elif comparator:
        low = number
    return scaled(low, shift) if low else None, scaled(high, shift) if high else None


def limit_records(what: Observation) -> tuple[Record, ...]:
    """The limits of a value as two settings in its unit, under the sender's own words; a text where they are none."""
    low, high = limits_of(what.limits, what.exponent_shift)
    if low is None and high is None:
        text = printable(what.limits.strip())
        return (Record(0, kind=RecordKind.TEXT, text=text, as_sent=AsSent("OBX-7 limits", what.label)),)
    return tuple(_record(what, side, limit) for side, limit in (("low", low), ("high", high)))


def _record(what: Observation, side: str, limit: Limit) -> Record:
    as_sent = AsSent(f"OBX-7 {side} limit", what.label)
    if limit is None:
        return Record(0, what.unit, validity=Validity.NOT_AVAILABLE, as_sent=as_sent)
    mantissa, exponent = limit
    return Record(
        0, what.unit, kind=RecordKind.NUMERIC, validity=Validity.VALID, mantissa=mantissa, exponent=exponent,
        as_sent=as_sent,
    )  # fmt: skip
