"""The site's rows for what a device's own table has no standard code for (docs/nomenclature.md).

For drivers whose values are numbers already; those that send texts read them by the row (`values.read_number`).
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from msgspec.structs import replace

from adapters.driver import Source
from adapters.site import Mapped, unit_of
from schemas.report import Record, RecordKind, Validity

_MAPPED_KINDS = (RecordKind.NUMERIC, RecordKind.SAMPLES)


def mapped_records(records: Iterable[Record], source: Source[Any]) -> list[Record]:
    """The records, those without a code as the site's row for what the device calls them has it, if there is one."""
    return [_mapped(record, source) for record in records]


def _mapped(record: Record, source: Source[Any]) -> Record:
    sent = record.as_sent
    if record.code or sent is None or record.kind not in _MAPPED_KINDS:
        return record
    row = source.rows.find(sent.system, sent.code, "")
    if row is None:
        return record
    unit = unit_of([sent.unit, str(record.unit)] if record.unit else [sent.unit], row)
    has_all = bool(row.code) and (unit != 0 or not sent.unit)
    found = replace(record, code=row.code, unit=unit, as_sent=None if has_all else sent)
    if record.samples is not None:
        samples = replace(record.samples, exponent=record.samples.exponent + row.exponent_shift)
        return replace(found, samples=samples)
    if record.validity is Validity.NOT_AVAILABLE:
        return found
    if _is_missing(record, row):
        return replace(found, validity=Validity.NOT_AVAILABLE, mantissa=0, exponent=0)
    return replace(found, exponent=record.exponent + row.exponent_shift)


def _is_missing(record: Record, row: Mapped) -> bool:
    return bool(row.missing) and str(Decimal(record.mantissa).scaleb(record.exponent)) in row.missing
