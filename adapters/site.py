"""Site mapping: what one sender calls a thing, in standard words; one TOML file a site.

    [[mapping]]
    sender = "icu-monitors"        # the source's name; absent: every source
    system = "99MNDRY"             # absent: whatever the system
    code = "101"                   # OBX-3.1, or the path in a JSON payload; absent: whatever the identifier
    text = "HR"                    # OBX-3.2, in any case; absent: whatever the text. One of code and text must be there
    metric = "MDC_ECG_HEART_RATE"
    unit = "MDC_DIM_BEAT_PER_MIN"  # or UCUM, where the sender states none; absent: as sent
    unit_is_wrong = false          # true: `unit` holds, whatever unit the sender states
    power_of_ten = 0               # the value as sent is multiplied by 10^this
    decimal_comma = false          # true: "36,5" is 36.5
    missing = ["-100"]             # values as sent that mean "no reading"

What the sender states outranks what a row assumes: a known unit that is not the row's makes the value doubtful. Two
rows that could both match one thing are refused. A row without a text is not applied to a sender that writes several
texts beside its code: nobody can say which of them was meant.

`vitalwire mapping unmapped` prints such rows for what has none.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from difflib import get_close_matches
from itertools import combinations
from typing import Annotated, NamedTuple

import msgspec

from schemas import nomenclature
from schemas.errors import ConfigError


class Mapped(NamedTuple):
    """A thing in standard words; unit 0 is "as sent"; the value as sent is multiplied by 10^exponent_shift (exact).

    `row` names the row for people, "" where there is none; `any_text` says that it matched whatever the text.
    """

    code: int
    unit: int
    exponent_shift: int = 0
    missing: frozenset[str] = frozenset()
    unit_is_wrong: bool = False
    decimal_comma: bool = False
    any_text: bool = False
    row: str = ""


class _Key(NamedTuple):
    """What a row matches; "" is anything. The text is folded."""

    system: str
    code: str
    text: str

    def matches(self, system: str, code: str, text: str) -> bool:
        return (
            self.system in ("", system)
            and self.code in ("", code)
            and (not self.text or self.text == text)
        )  # fmt: skip

    def overlaps(self, other: _Key) -> bool:
        """Whether one thing could match both."""
        return all("" in (mine, theirs) or mine == theirs for mine, theirs in zip(self, other, strict=True))


class SiteMapping(msgspec.Struct, frozen=True, eq=False):
    """The rows of one source: by code, and under "" those that name a text alone."""

    rows: dict[str, tuple[tuple[_Key, Mapped], ...]] = {}

    def find(self, system: str, code: str, text: str = "") -> Mapped | None:
        """The row that matches, if any; the texts are as sent. There is never more than one."""
        system, code, text = system.strip(), code.strip(), _folded(text)
        for table in (code, "") if code else ("",):
            for key, mapped in self.rows.get(table, ()):
                if key.matches(system, code, text):
                    return mapped
        return None


def _folded(text: str) -> str:
    """As texts are compared: blanks and case mean nothing."""
    return " ".join(text.split()).casefold()


class Rows:
    """A site's rows for one source, whatever its connections: a row that matches whatever the text is not applied any
    more once it is met with several."""

    def __init__(self, site: SiteMapping) -> None:
        self.site = site
        self.ambiguous: dict[str, tuple[str, str]] = {}  # rows with the first two texts that they were met with
        self._texts: dict[str, str] = {}  # by row

    def find(self, system: str, code: str, text: str) -> Mapped | None:
        """The row for what the sender calls so."""
        mapped = self.site.find(system, code, text)
        if mapped is None or not mapped.any_text:
            return mapped
        if text and mapped.row not in self.ambiguous:
            first = self._texts.setdefault(mapped.row, text)
            if _folded(first) != _folded(text):
                self.ambiguous[mapped.row] = (first, text)
        return None if mapped.row in self.ambiguous else mapped


def unit_of(stated: Iterable[str], row: Mapped | None) -> int:
    """The unit's code; 0: none is known, or what is said of it contradicts itself.

    `stated` are the sender's words for the unit (its number, its name, its symbol). A known unit that the sender states
    is used, and the row's where none is stated that is known. One that contradicts the row makes the unit doubtful,
    unless the row says that the sender's is wrong, or shifts the value from the one into the other (uV by 10^-3: mV).
    """
    if row is not None and row.unit_is_wrong:
        return row.unit
    known = [unit for word in stated if (unit := nomenclature.unit_from_text(word)) is not None]
    if not known:
        return row.unit if row else 0
    first = known[0].code
    if any(_factor(first, other.code) != 1.0 for other in known[1:]):
        return 0
    if row is None or not row.unit or _factor(first, row.unit) == 1.0:
        return first
    factor = _factor(first, row.unit)
    is_shifted = factor is not None and abs(factor / 10.0**row.exponent_shift - 1) < 1e-9
    return row.unit if is_shifted else 0


def _factor(unit: int, other: int) -> float | None:
    """What a number in `unit` is multiplied by for `other`; None where that does not do."""
    if unit == other:
        return 1.0
    factor, offset = nomenclature.conversion(unit, other) or (None, 0.0)
    return factor if offset == 0.0 else None


class MappingRow(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A row as written in a site's file."""

    metric: str
    code: str = ""
    text: str = ""
    sender: str = ""
    system: str = ""
    unit: str = ""
    unit_is_wrong: bool = False
    power_of_ten: Annotated[int, msgspec.Meta(ge=-12, le=12)] = 0
    decimal_comma: bool = False
    missing: tuple[str, ...] = ()

    @property
    def key(self) -> _Key:
        """What it matches."""
        return _Key(self.system.strip(), self.code.strip(), _folded(self.text))


class _File(msgspec.Struct, forbid_unknown_fields=True):
    mapping: tuple[MappingRow, ...] = ()


class _Named(NamedTuple):
    """A row with its name for people, "mapping 3 (code '0002')"."""

    number: int
    name: str
    row: MappingRow


def read_site(text: str, where: str) -> dict[str, SiteMapping]:
    """The mappings of a site by sender, each with the rows for every source; "" is that of a sender without rows.

    `where` names the file in errors; raises ConfigError.
    """
    rows = read_rows(text, where)
    mapped = _checked(rows, where)
    return {
        sender: _table([(row.key, m) for row, m in zip(rows, mapped, strict=True) if row.sender in ("", sender)])
        for sender in dict.fromkeys(["", *(row.sender for row in rows)])
    }


def read_rows(text: str, where: str) -> tuple[MappingRow, ...]:
    """The rows of a site's file as written, whatever they say; raises ConfigError for what is no such file."""
    try:
        return msgspec.toml.decode(text, type=_File).mapping
    except (msgspec.DecodeError, RecursionError) as error:
        raise ConfigError(f"{where}: {error}") from None


def mapping_of(rows: Sequence[MappingRow], where: str) -> SiteMapping:
    """The mapping that these rows are, whichever sender they name; raises ConfigError as `read_site` does."""
    rows = [msgspec.structs.replace(row, sender="") for row in rows]
    return _table([(row.key, mapped) for row, mapped in zip(rows, _checked(rows, where), strict=True)])


def _checked(rows: Sequence[MappingRow], where: str) -> list[Mapped]:
    """What each row maps to; raises ConfigError where one cannot be, or two could match one thing."""
    named = [_Named(number, _name(number, row), row) for number, row in enumerate(rows, 1)]
    mapped = [_mapped(each, where) for each in named]
    _refuse_overlaps(named, where)
    return mapped


def _name(number: int, row: MappingRow) -> str:
    words = [f"{name} {value!r}" for name, value in (("code", row.code), ("text", row.text)) if value]
    return f"mapping {number} ({', '.join(words)})"


def _table(rows: Iterable[tuple[_Key, Mapped]]) -> SiteMapping:
    table: dict[str, list[tuple[_Key, Mapped]]] = {}
    for key, mapped in rows:
        table.setdefault(key.code, []).append((key, mapped))
    return SiteMapping({code: tuple(group) for code, group in table.items()})


def _refuse_overlaps(rows: list[_Named], where: str) -> None:
    """No thing of one sender may match two rows: which of them counts would be chance."""
    for first, second in map(sorted, _comparable(rows)):
        senders = {first.row.sender, second.row.sender}
        if (len(senders) == 1 or "" in senders) and first.row.key.overlaps(second.row.key):
            raise ConfigError(
                f"{where}: {first.name} and {second.name} could both match one value;"
                " tell them apart by code, text or system"
            )


def _comparable(rows: list[_Named]) -> Iterator[tuple[_Named, _Named]]:
    """The pairs of rows that are not told apart by their codes at sight."""
    by_code: dict[str, list[_Named]] = {}
    for each in rows:
        by_code.setdefault(each.row.key.code, []).append(each)
    for group in by_code.values():
        yield from combinations(group, 2)
    for any_code in by_code.get("", ()):
        yield from ((any_code, each) for each in rows if each.row.key.code)


def _mapped(named: _Named, where: str) -> Mapped:
    _, name, row = named
    where = f"{where}: {name}"
    if not row.key.code and not row.key.text:
        raise ConfigError(f"{where}: it would match everything; give a code or a text")
    metric = nomenclature.METRIC_BY_REFERENCE_ID.get(row.metric)
    if metric is None:
        raise ConfigError(f"{where}: no metric {row.metric!r}{_like(row.metric, nomenclature.METRIC_BY_REFERENCE_ID)}")
    unit = nomenclature.unit_from_text(row.unit) if row.unit else None
    if row.unit and unit is None:
        raise ConfigError(f"{where}: no unit {row.unit!r}{_like(row.unit, nomenclature.UNIT_BY_REFERENCE_ID)}")
    if row.unit_is_wrong and unit is None:
        raise ConfigError(f"{where}: unit_is_wrong needs the unit that is right")
    return Mapped(
        code=metric.code,
        unit=unit.code if unit else 0,
        exponent_shift=row.power_of_ten,
        missing=frozenset(text.strip() for text in row.missing),
        unit_is_wrong=row.unit_is_wrong,
        decimal_comma=row.decimal_comma,
        any_text=not row.key.text,
        row=name,
    )


def _like(word: str, known: Iterable[str]) -> str:
    close = get_close_matches(word, list(known), 1)
    return f"; did you mean {close[0]!r}?" if close else ""


def unmapped_line(system: str, code: str, unit: str, name: str) -> str:
    """TOML to paste into the site's file for what the source `name` calls `code` (OBX-3 as `code^its text`).

    It carries no unit: where the sender states one, that one counts. Where it states none, a comment asks for it.
    """
    code, _, text = code.partition("^")
    named = (("sender", name), ("system", system), ("code", code), ("text", text))
    lines = ["[[mapping]]", *(f"{key} = {quoted(value)}" for key, value in named if value or key == "sender")]
    lines.append('metric = "MDC_"')
    known = nomenclature.unit_from_text(unit) if unit else None
    if not unit:
        lines.append('# unit = ""  # the sender states none')
    elif known is None:
        lines.append(f'# unit = ""  # the sender\'s {_commented(unit)} is not known')
    return "\n".join(lines)


def unmapped_lines(things: Iterable[tuple[str, str, str]], name: str) -> dict[tuple[str, str], str]:
    """`unmapped_line` of each (system, code, unit), by system and code, such that `read_site` takes them together.

    Of things that one row would match, the one that is told best is a row, and the others are comments.
    """
    units: dict[tuple[str, str], str] = {}
    for system, code, unit in things:
        units[system, code] = units.get((system, code)) or unit
    kept: list[_Key] = []
    lines = {}
    for system, code in sorted(units, key=lambda thing: -sum(map(bool, _key_of(*thing)))):
        key, line = _key_of(system, code), unmapped_line(system, code, units[system, code], name)
        if not (key.code or key.text) or any(key.overlaps(other) for other in kept):
            line = "\n".join(f"# {part}" for part in line.splitlines())
        else:
            kept.append(key)
        lines[system, code] = line
    return lines


def _key_of(system: str, code: str) -> _Key:
    code, _, text = code.partition("^")
    return _Key(system.strip(), code.strip(), _folded(text))


def quoted(text: str) -> str:
    """A text as TOML writes it."""
    # TOML's basic strings are JSON's, but for DEL.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _commented(text: str) -> str:
    return quoted(text).encode("ascii", "backslashreplace").decode()
