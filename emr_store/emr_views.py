"""The view `emr_vital_sign` for those who poll: what was written since a position of the order of COMMIT."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec
import psycopg
from psycopg.rows import class_row

from emr_store.chart_sequence import newest_position, sequenced_after
from emr_store.visible_stays import VISIBLE_SQL, Sight
from schemas.errors import VitalwireError


class VitalSign(msgspec.Struct, frozen=True, kw_only=True):
    """A row of the view, column by column: docs/emr-views.md."""

    patient_number: str | None
    patient_authority: str | None
    patient_number_type: str | None
    patient_name: str | None
    visit_number: str | None
    entry: UUID
    version: int
    status: str
    encounter: str
    bed: str | None
    item: str
    name_zh: str | None
    name_en: str | None
    loinc: str | None
    mdc_id: str | None
    mdc_code: int | None
    data_element: str | None
    data_element_name: str | None
    value: float | None
    value_text: str | None
    unit: str
    unit_zh: str
    observed_at: datetime
    slot: datetime
    recorded_at: datetime
    origin: str
    by_time: bool
    confirmed_by: str | None


@dataclass(frozen=True)
class Changes:
    """Entries as they stand, in the order of their versions' COMMIT, and where to go on."""

    rows: list[VitalSign]
    position: int  # up to which all was looked at
    is_last: bool  # nothing stands after it yet


def changes_after(conn: psycopg.Connection, position: int, limit: int, sight: Sight) -> Changes:
    """Of the next `limit` versions after this position those that are the newest of their entry, of stays in sight.

    A version that has a later one is passed over: the later one has a position of its own. Raises VitalwireError for
    a position that nothing had yet.
    """
    newest = newest_position(conn)
    if position > newest:
        raise VitalwireError(f"nothing has the position {position} yet, the newest is {newest}")
    sequenced = sequenced_after(conn, position, limit)
    named: dict[str, Any] = {
        "entries": [each.entry for each in sequenced],
        "versions": [each.version for each in sequenced],
    }
    named.update(sight.parameters)
    rows = conn.cursor(row_factory=class_row(VitalSign)).execute(_ROWS_SQL, named).fetchall()
    return Changes(
        rows=[_in_utc(row) for row in rows],
        position=sequenced[-1].position if sequenced else position,
        is_last=len(sequenced) < limit,
    )


_ROWS_SQL = f"""
SELECT v.* FROM unnest(%(entries)s::uuid[], %(versions)s::int4[]) WITH ORDINALITY AS k(entry, version, n)
JOIN emr_vital_sign v ON v.entry = k.entry AND v.version = k.version
WHERE v.encounter IN (SELECT s.encounter FROM ({VISIBLE_SQL}) AS s) ORDER BY k.n
"""


def _in_utc(row: VitalSign) -> VitalSign:
    return msgspec.structs.replace(
        row,
        observed_at=row.observed_at.astimezone(UTC),
        slot=row.slot.astimezone(UTC),
        recorded_at=row.recorded_at.astimezone(UTC),
    )
