"""Mapping acts: rows as in a site's mapping file, applied to stored values that came without a standard code. Pure.

What an act makes of a batch follows from the act and the sealed bytes alone, so that `verify` computes it again. Of
metric reports only: waves, alarms and settings stay as they came.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from adapters.formats.values import is_no_reading, read_number, scaled
from adapters.site import Mapped, MappingRow, SiteMapping, mapping_of, unit_of
from evidence.act import MAPPING_CHANGE, parse_act
from schemas.batch import Table
from schemas.errors import ConfigError, LayoutError, LayoutReason
from schemas.layout import RECORD, TailKind
from schemas.nomenclature import UNIT_BY_CODE
from schemas.report import AsSent, Kind, Mark, RecordKind, Validity
from schemas.tail import as_sent_of, tail_entries


class MappingChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a mapping act says (its `details`): these rows hold for what was received in [since_us, until_us).

    `device` is a UUID, None: every device. A time that is None is no bound: what is stored when the act is recorded is
    meant in any case, and nothing that comes later.
    """

    rows: tuple[MappingRow, ...]
    since_us: int | None = None
    until_us: int | None = None
    device: str | None = None


class Match(NamedTuple):
    """A record that a row is about: its index in the table, what the sender called it, what it becomes."""

    record: int
    as_sent: AsSent
    mapped: Mapped
    cell: Cell


class Cell(NamedTuple):
    """A record, field by field as the layout has it."""

    code: int
    unit: int
    channel: int
    kind: int
    validity: int
    exponent: int
    marks: int
    mantissa: int


assert Cell._fields == RECORD.names


def remap(table: Table, bodies: Sequence[bytes]) -> Table:
    """The table as these acts (canonical JSON, the oldest first) have it read; of two about one record the later holds.

    Raises LayoutError where one of them says no mapping that this program understands.
    """
    changed: NDArray[Any] | None = None
    for body in bodies:
        for match in matches(table, body):
            if changed is None:
                changed = table.records.copy()
            changed[match.record] = match.cell
    return table if changed is None else Table(table.rows, changed, table.tails)


def matches(table: Table, body: bytes) -> Iterator[Match]:
    """What the rows of an act are about, of a table as it was sealed; raises LayoutError as `remap` does."""
    opened, records = _opened(body), table.records
    for report in _reports_in(table, opened).tolist():
        first = int(table.record_start[report])
        count = int(table.record_start[report + 1]) - first
        tail = table.tails[table.tail_start[report] : table.tail_start[report + 1]]
        for named in _named(tail):
            record = first + named.record
            sent = Cell(*records[record].item()) if named.record < count else None
            if sent is None or sent.code != 0:
                continue
            mapped = opened.site.find(named.as_sent.system, *named.code_and_text)
            cell = _cell(sent, named, mapped) if mapped is not None else None
            if mapped is not None and cell is not None:
                yield Match(record, named.as_sent, mapped, cell)


class _Opened(NamedTuple):
    site: SiteMapping
    since_us: int
    until_us: int
    device: bytes | None


@lru_cache(64)
def _opened(body: bytes) -> _Opened:
    act = parse_act(body)
    try:
        change = msgspec.convert(act.details, MappingChange)
        device = None if change.device is None else uuid.UUID(change.device).bytes
        site = mapping_of(change.rows, "the act")
    except (msgspec.ValidationError, ValueError, ConfigError) as error:
        raise LayoutError(LayoutReason.TEXT, f"an act that says no mapping: {error}") from error
    if act.kind != MAPPING_CHANGE:
        raise LayoutError(LayoutReason.TEXT, f"an act {act.kind} says no mapping")
    since_us = -(2**63) if change.since_us is None else change.since_us
    until_us = 2**63 - 1 if change.until_us is None else change.until_us
    return _Opened(site, since_us, until_us, device)


def _reports_in(table: Table, opened: _Opened) -> NDArray[Any]:
    """The metric reports that the act may be about: with a record that has no code, of its device and time."""
    chosen = np.zeros(len(table), bool)
    chosen[table.report_of_record[table.code == 0]] = True
    chosen &= (table.kind == Kind.METRIC) & (np.diff(table.tail_start) > 0)
    chosen &= (table.received_at_us >= opened.since_us) & (table.received_at_us < opened.until_us)
    if opened.device is not None:
        devices = np.ascontiguousarray(table.device).view(np.uint8).reshape(-1, 16)
        chosen &= (devices == np.frombuffer(opened.device, np.uint8)).all(axis=1)
    return np.flatnonzero(chosen)


class _Named(NamedTuple):
    """What a tail says of a record that its sender names; `text` is None where it is none, or could not be decoded."""

    record: int
    as_sent: AsSent
    text: str | None

    @property
    def code_and_text(self) -> tuple[str, str]:
        """Its identifier, and its sender's text for it."""
        code, _, text = self.as_sent.code.partition("^")
        return code, text


@lru_cache(4096)  # a device says the same words in report after report
def _named(tail: bytes) -> tuple[_Named, ...]:
    names: dict[int, AsSent] = {}
    texts: dict[int, str] = {}
    for index, kind, data in tail_entries(tail):
        if kind == TailKind.AS_SENT:
            names[index] = as_sent_of(data)
        elif kind == TailKind.TEXT:
            texts[index] = data.decode()
    return tuple(_Named(index, name, texts.get(index)) for index, name in names.items())


def _cell(sent: Cell, named: _Named, mapped: Mapped) -> Cell | None:
    """What the record holds by this row, as an edge would have had it; None where the row does not do."""
    unit = UNIT_BY_CODE.get(sent.unit)
    stated = [word for word in named.as_sent.unit.split("^") if word] or ([unit.reference_id] if unit else [])
    cell = sent._replace(code=mapped.code, unit=unit_of(stated, mapped))
    if sent.validity == Validity.NOT_AVAILABLE:
        return cell
    if sent.kind in (RecordKind.NUMERIC, RecordKind.BOUND):
        return _number(cell, mapped)
    if sent.kind == RecordKind.TEXT:
        return _text(cell, named.text, mapped)
    return cell if sent.kind == RecordKind.CODE else None


def _number(cell: Cell, mapped: Mapped) -> Cell | None:
    is_number = cell.kind == RecordKind.NUMERIC
    if is_number and (cell.mantissa, cell.exponent) in {scaled(word) for word in mapped.missing}:
        return _no_reading(cell)
    exponent = cell.exponent + mapped.exponent_shift
    return cell._replace(exponent=exponent) if -128 <= exponent <= 127 else None


def _text(cell: Cell, text: str | None, mapped: Mapped) -> Cell:
    """A text may be a number that its sender did not say to be one."""
    if text is None or cell.marks & Mark.UNDECODED:
        return cell
    number = read_number(text, mapped.exponent_shift, decimal_comma=mapped.decimal_comma)
    if text.strip() in mapped.missing or (number is None and is_no_reading(text)):
        return _no_reading(cell)
    if number is None:
        return cell
    return cell._replace(
        kind=int(number.kind), mantissa=number.mantissa, exponent=number.exponent, marks=cell.marks | number.marks
    )


def _no_reading(cell: Cell) -> Cell:
    return cell._replace(kind=int(RecordKind.NUMERIC), validity=int(Validity.NOT_AVAILABLE), mantissa=0, exponent=0)
