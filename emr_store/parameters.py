"""Every parameter that a device has sent: what has a code, what has none, and whose unit is in doubt.

What has a code is read from `latest` and `latest_by_channel`, which hold each channel that a device ever sent; what has
none is counted by its sender's words in `unmapped_parameter`, by `note_unmapped`, which the processors call.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, NamedTuple
from uuid import UUID

import psycopg
from psycopg.rows import class_row

from schemas.block import ValidationResult
from schemas.nomenclature import METRIC_BY_CODE, UNIT_BY_CODE
from schemas.report import Kind

BATCHES_AT_ONCE = 2_000
# A batch's number is given before it is committed: what was stored so lately may have neighbours yet to come.
SETTLED_AFTER_S = 60
PARAMETERS_MAX = 50_000  # without a code, of all devices; a sender may make words up
HEARD_WITHIN = timedelta(days=1)  # what coverage is about
SAMPLES = 3


class State(StrEnum):
    """How a parameter stands."""

    MAPPED = "mapped"
    UNMAPPED = "unmapped"
    UNIT_IN_DOUBT = "unit-in-doubt"


class Parameter(NamedTuple):
    """A parameter of a device; `bed` is where it stands now.

    `code` is 0 and `sent_system`, `sent_code`, `sent_unit` are its sender's words where it has no code; else `unit` is
    the code of the unit as sent. `value_count` is of the last hour's accepted values, without a code of all values
    since `first_seen`. `samples` are the newest numbers.
    """

    device: UUID
    claim: str | None
    bed: str | None
    state: State
    code: int
    unit: int
    sent_system: str
    sent_code: str
    sent_unit: str
    samples: tuple[float, ...]
    value_count: int
    first_seen: datetime | None
    last_seen: datetime

    @property
    def name(self) -> str:
        """For people: the metric's reference id, or the sender's words."""
        metric = METRIC_BY_CODE.get(self.code)
        return metric.reference_id if metric else self.sent_code or str(self.code)

    @property
    def unit_words(self) -> str:
        """For people; "" where none is stated."""
        unit = UNIT_BY_CODE.get(self.unit)
        return unit.ucum if unit else self.sent_unit


class _Row(NamedTuple):
    device: UUID
    claim: str | None
    bed: str | None
    code: int
    unit: int
    sent_system: str
    sent_code: str
    sent_unit: str
    samples: list[float]
    value_count: int
    first_seen: datetime | None
    last_seen: datetime
    validation_result: int


# Of like channels of a metric and unit the newest value of each is a sample.
_CODED_SQL = f"""
WITH coded AS (
    SELECT device, code, unit,
        (array_agg(value ORDER BY observed_at DESC) FILTER (WHERE value IS NOT NULL))[1:{SAMPLES}] AS samples,
        max(observed_at) AS last_seen,
        (array_agg(validation_result ORDER BY observed_at DESC))[1] AS validation_result
    FROM latest_value WHERE code <> 0 GROUP BY device, code, unit
), counted AS (
    SELECT m.device, s.code[i] AS code, s.unit[i] AS unit, sum(m.count[i]) AS count
    FROM report_minute m JOIN channel_set s USING (channel_set) CROSS JOIN LATERAL generate_subscripts(s.code, 1) AS i
    WHERE m.minute >= now() - interval '1 hour' GROUP BY 1, 2, 3
)
SELECT d.uuid AS device, d.claim, b.bed, c.code, c.unit, '' AS sent_system, '' AS sent_code, '' AS sent_unit,
    coalesce(c.samples, '{{}}') AS samples, coalesce(n.count, 0)::int8 AS value_count, NULL::timestamptz AS first_seen,
    c.last_seen, c.validation_result
FROM coded c JOIN device d USING (device) LEFT JOIN counted n USING (device, code, unit)
LEFT JOIN device_bed_believed b ON b.device = c.device AND b.valid @> clock_timestamp()
"""
_UNMAPPED_SQL = f"""
SELECT d.uuid AS device, d.claim, b.bed, 0 AS code, 0 AS unit, u.system AS sent_system, u.code AS sent_code,
    u.unit AS sent_unit, u.samples, u.times AS value_count, u.first_seen, u.last_seen,
    {int(ValidationResult.UNMAPPED_CODE)} AS validation_result
FROM unmapped_parameter u JOIN device d USING (device)
LEFT JOIN device_bed_believed b ON b.device = u.device AND b.valid @> clock_timestamp()
"""


def parameters(conn: psycopg.Connection) -> list[Parameter]:
    """Every parameter of every device, device by device, those first that somebody has to look at."""
    cursor = conn.cursor(row_factory=class_row(_Row))
    rows = [*cursor.execute(_UNMAPPED_SQL.encode()), *cursor.execute(_CODED_SQL.encode())]
    rows.sort(
        key=lambda r: (r.bed is None, r.bed or "", r.claim or "", str(r.device), -_rank(r), -r.value_count, r.code)
    )
    return [
        Parameter(
            device=r.device, claim=r.claim, bed=r.bed, state=_state(r), code=r.code, unit=r.unit,
            sent_system=r.sent_system, sent_code=r.sent_code or ("" if r.code in METRIC_BY_CODE else str(r.code)),
            sent_unit=r.sent_unit, samples=tuple(r.samples), value_count=r.value_count, first_seen=r.first_seen,
            last_seen=r.last_seen,
        )
        for r in rows
    ]  # fmt: skip


def _state(row: _Row) -> State:
    if row.code not in METRIC_BY_CODE:
        return State.UNMAPPED
    return State.UNIT_IN_DOUBT if row.validation_result == ValidationResult.DOUBTFUL_UNIT else State.MAPPED


def _rank(row: _Row) -> int:
    return list(State).index(_state(row))


@dataclass(frozen=True)
class Coverage:
    """Of a device, how many of its parameters heard within a day stand how."""

    device: UUID
    claim: str | None
    bed: str | None
    mapped: int
    unmapped: int
    unit_in_doubt: int

    @property
    def share(self) -> float:
        """Of its parameters, those that are mapped."""
        total = self.mapped + self.unmapped + self.unit_in_doubt
        return self.mapped / total if total else 1.0


def coverage(found: Sequence[Parameter], now: datetime) -> list[Coverage]:
    """Device by device, in the order of the parameters; what was not heard within a day is not counted."""
    counts: dict[UUID, Counter[State]] = {}
    first: dict[UUID, Parameter] = {}
    for each in found:
        first.setdefault(each.device, each)
        if each.last_seen >= now - HEARD_WITHIN:
            counts.setdefault(each.device, Counter())[each.state] += 1
    return [
        Coverage(
            device=device,
            claim=first[device].claim,
            bed=first[device].bed,
            mapped=count[State.MAPPED],
            unmapped=count[State.UNMAPPED],
            unit_in_doubt=count[State.UNIT_IN_DOUBT],
        )
        for device, count in counts.items()
    ]


# --- counting what has no code ----------------------------------------------------------------------------------------

_NEWEST_SETTLED_SQL = f"""
SELECT coalesce(max(batch), -1) FROM (SELECT batch FROM batch
    WHERE stored_at < clock_timestamp() - interval '{SETTLED_AFTER_S} seconds' ORDER BY stored_at DESC LIMIT 1000) AS b
"""
_COUNT_SQL = f"""
WITH sent AS (
    SELECT r.device, left(coalesce(t ->> 'system', ''), 100) AS system, left(t ->> 'code', 200) AS code,
        left(coalesce(t ->> 'unit', ''), 100) AS unit, r.observed_at, t ? 'text' OR t ? 'bytes' AS is_text,
        r.value[(t ->> 'record')::int + 1] AS value
    FROM report r CROSS JOIN LATERAL jsonb_array_elements(r.texts) AS t
    WHERE r.batch >= %(first)s AND r.batch < %(after)s AND r.kind = {int(Kind.METRIC)} AND r.texts IS NOT NULL
        AND t ? 'code' AND r.validation_result[(t ->> 'record')::int + 1]
            IN ({int(ValidationResult.UNMAPPED_CODE)}, {int(ValidationResult.UNMAPPED_TEXT)})
)
INSERT INTO unmapped_parameter AS known (device, system, code, unit, first_seen, last_seen, times, texts, samples)
SELECT device, system, code, unit, min(observed_at), max(observed_at), count(*), count(*) FILTER (WHERE is_text),
    coalesce((array_agg(value ORDER BY observed_at DESC) FILTER (WHERE value IS NOT NULL))[1:{SAMPLES}], '{{}}')
FROM sent
WHERE %(is_open)s OR EXISTS (SELECT FROM unmapped_parameter u
    WHERE (u.device, u.system, u.code, u.unit) = (sent.device, sent.system, sent.code, sent.unit))
GROUP BY device, system, code, unit
ON CONFLICT (device, system, code, unit) DO UPDATE SET
    first_seen = least(known.first_seen, excluded.first_seen),
    last_seen = greatest(known.last_seen, excluded.last_seen),
    times = known.times + excluded.times, texts = known.texts + excluded.texts,
    samples = (excluded.samples || known.samples)[1:{SAMPLES}]
"""


def note_unmapped(conn: psycopg.Connection) -> bool:
    """Count the next batches that were stored; False: there are none, or another process is at it."""
    with conn.transaction():
        row = conn.execute("SELECT next_batch FROM unmapped_parameter_work FOR UPDATE SKIP LOCKED").fetchone()
        if row is None:
            return False
        first = int(row[0])
        newest = _number(conn, _NEWEST_SETTLED_SQL, ())
        last = min(newest, first + BATCHES_AT_ONCE - 1)
        if last < first:
            return False
        known = _number(conn, "SELECT count(*) FROM unmapped_parameter", ())
        conn.execute(_COUNT_SQL.encode(), {"first": first, "after": last + 1, "is_open": known < PARAMETERS_MAX})
        conn.execute("UPDATE unmapped_parameter_work SET next_batch = %s", (last + 1,))
        return last < newest


def _number(conn: psycopg.Connection, sql: str, parameters: Any) -> int:
    row = conn.execute(sql.encode(), parameters).fetchone()
    assert row is not None
    return int(row[0])
