"""Site mapping: what one sender calls a thing, in standard words; one TOML file a site.

    [[mapping]]
    sender = "icu-monitors"        # the source's name; absent: every source
    system = "99MNDRY"             # absent: whatever the system
    code = "101"                   # OBX-3.1, or the path in a JSON payload
    metric = "MDC_ECG_HEART_RATE"
    unit = "MDC_DIM_BEAT_PER_MIN"  # or UCUM; absent: as sent
    power_of_ten = 0               # the value as sent is multiplied by 10^this
    missing = ["-100"]             # values as sent that mean "no reading"

`vitalwire mapping unmapped` prints such rows for what has none.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from difflib import get_close_matches
from functools import lru_cache
from typing import Annotated, NamedTuple

import msgspec

from schemas import nomenclature
from schemas.errors import ConfigError
from schemas.report import decimal_parts

NUMERAL_CHARS_MAX = 40  # a record holds 19 digits; bounds the cache's memory
_parts = lru_cache(8192)(decimal_parts)


class Mapped(NamedTuple):
    """A thing in standard words; unit 0 is "as sent"; the value as sent is multiplied by 10^exponent_shift (exact)."""

    code: int
    unit: int
    exponent_shift: int = 0
    missing: tuple[str, ...] = ()


class SiteMapping(msgspec.Struct, frozen=True, eq=False):
    """The table of one source: (code system or "", code) to standard words, with the unit as the sender means it."""

    rows: dict[tuple[str, str], Mapped] = {}

    def find(self, system: str, code: str) -> Mapped | None:
        """By system and code, else by code alone."""
        return self.rows.get((system, code)) or self.rows.get(("", code))


def scaled(text: str, exponent_shift: int = 0) -> tuple[int, int] | None:
    """Mantissa and exponent of a numeral as sent, shifted; None if it is none or a record cannot hold it."""
    parts = _parts(text) if len(text) <= NUMERAL_CHARS_MAX else None
    if parts is None or not -128 <= parts[1] + exponent_shift <= 127:
        return None
    return parts[0], parts[1] + exponent_shift


class _Row(msgspec.Struct, forbid_unknown_fields=True):
    code: str
    metric: str
    sender: str = ""
    system: str = ""
    unit: str = ""
    power_of_ten: Annotated[int, msgspec.Meta(ge=-12, le=12)] = 0
    missing: tuple[str, ...] = ()


class _File(msgspec.Struct, forbid_unknown_fields=True):
    mapping: tuple[_Row, ...] = ()


def read_site(text: str, where: str) -> dict[str, SiteMapping]:
    """The mappings of a site by sender, each with the rows for every source; "" is that of a sender without rows.

    `where` names the file in errors; raises ConfigError.
    """
    try:
        rows = msgspec.toml.decode(text, type=_File).mapping
    except (msgspec.DecodeError, RecursionError) as error:
        raise ConfigError(f"{where}: {error}") from None
    tables: dict[str, dict[tuple[str, str], Mapped]] = {"": {}}
    for number, row in enumerate(rows, 1):
        table = tables.setdefault(row.sender, {})
        if (row.system, row.code) in table:
            raise ConfigError(f"{where}: mapping {number}: {row.code!r} is there twice for sender {row.sender!r}")
        table[row.system, row.code] = _mapped(row, f"{where}: mapping {number} (code {row.code!r})")
    return {sender: SiteMapping(tables[""] | table) for sender, table in tables.items()}


def _mapped(row: _Row, where: str) -> Mapped:
    metric = nomenclature.METRIC_BY_REFERENCE_ID.get(row.metric)
    if metric is None:
        raise ConfigError(f"{where}: no metric {row.metric!r}{_like(row.metric, nomenclature.METRIC_BY_REFERENCE_ID)}")
    unit = nomenclature.unit_from_text(row.unit) if row.unit else None
    if row.unit and unit is None:
        raise ConfigError(f"{where}: no unit {row.unit!r}{_like(row.unit, nomenclature.UNIT_BY_REFERENCE_ID)}")
    return Mapped(metric.code, unit.code if unit else 0, row.power_of_ten, row.missing)


def _like(word: str, known: Iterable[str]) -> str:
    close = get_close_matches(word, list(known), 1)
    return f"; did you mean {close[0]!r}?" if close else ""


def unmapped_line(system: str, code: str, unit: str, name: str) -> str:
    """TOML to paste into the site's file for what the source `name` calls `code` (OBX-3 as `code^its name`)."""
    code, _, called = code.partition("^")
    known = nomenclature.unit_from_text(unit)
    lines = ["[[mapping]]" + (f"  # {called}" if called.isprintable() and called else "")]
    lines += [f"{key} = {_quoted(value)}" for key, value in (("sender", name), ("system", system), ("code", code))]
    lines.append('metric = "MDC_"')
    lines.append(f"unit = {_quoted(known.reference_id if known else unit)}")
    return "\n".join(lines)


def _quoted(text: str) -> str:
    # TOML's basic strings are JSON's, but for DEL.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
