"""Entries of charts, held against the values that they were taken from and the acts of people that the log has."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
import psycopg
from psycopg.rows import class_row

from emr_store.verification import Verification
from evidence.act import Act

_FETCH = 2000
_KINDS = frozenset({"chart.enter", "chart.take", "chart.confirm", "chart.correct", "chart.withdraw"})


class _Said(msgspec.Struct):
    """What an act on a chart says; unknown details of a later program are passed over."""

    entry: str
    version: int
    encounter: str
    item: str
    slot_us: int
    status: str
    unit: str
    value: float | None = None
    text: str = ""


class _Row(NamedTuple):
    entry: UUID
    version: int
    encounter: str
    item: str
    slot_us: int
    status: str
    unit: str
    value: float | None
    text: str
    act_id: bytes | None


def check_charts(conn: psycopg.Connection, acts: Sequence[Act], since: datetime | None, result: Verification) -> None:
    """Step 6, charts: versions that were recorded from `since` on (None: all).

    What the charter wrote is what its sources say; what people wrote is what their acts say, and every act stands
    there.
    """
    _check_acts(conn, acts, since, result)
    _check_sources(conn, since, result)
    for entry, version, what in conn.execute(_BROKEN_SQL, {"since": since}).fetchall():
        result.add(f"chart entry {entry} version {version}", what)


def _check_acts(conn: psycopg.Connection, acts: Sequence[Act], since: datetime | None, result: Verification) -> None:
    said: dict[bytes, _Said] = {}
    for act in acts:
        if act.kind not in _KINDS:
            continue
        try:
            said[act.act_id] = msgspec.convert(act.details, _Said)
        except msgspec.ValidationError as error:
            result.add(f"act {act.act_id.hex()[:16]} ({act.kind})", f"what it says cannot be read: {error}")
    with conn.cursor(row_factory=class_row(_Row)) as cursor:
        for row in cursor.execute(_BY_ACT_SQL):
            known = said.pop(bytes(row.act_id or b""), None)
            where = f"chart entry {row.entry} version {row.version} ({row.item})"
            if known is None:
                result.add(where, "no act in the log wrote it: it was invented")
            elif known != _Said(str(row.entry), *row[1:9]):
                result.add(where, "it is not what the act in the log says")
    for known in said.values():
        result.add(f"chart entry {known.entry} version {known.version}", "an act in the log wrote it, and it is gone")


def _check_sources(conn: psycopg.Connection, since: datetime | None, result: Verification) -> None:
    row = conn.execute("SELECT count(*) FROM chart_entry").fetchone()
    result.counts["chart_entry"] += row[0] if row else 0
    with conn.cursor(name="chart_sources") as cursor:
        cursor.itersize = _FETCH
        found: Any
        for found in cursor.execute(_SOURCES_SQL.encode(), {"since": since}):
            entry, version, item, problem = found
            if problem == _GONE:
                result.counts["chart sources dropped"] += 1
            elif problem == _ANEW:
                result.counts["chart sources validated anew"] += 1
            else:
                result.add(f"chart entry {entry} version {version} ({item})", problem)
            if result.is_full:
                return


_GONE, _ANEW = "gone", "anew"
_SINCE = "c.recorded_at >= coalesce(%(since)s::timestamptz, '-infinity')"
_BY_ACT_SQL = """
SELECT entry, version, encounter, item, (extract(epoch FROM slot) * 1000000)::int8 AS slot_us, status, unit, value,
    text, act_id FROM chart_entry WHERE act_id IS NOT NULL
"""
_BROKEN_SQL = f"""
SELECT c.entry, c.version, CASE
    WHEN c.act_id IS NULL AND cardinality(c.source_batch) = 0 THEN 'neither an act nor a value stands behind it'
    WHEN c.version > 1 AND b.entry IS NULL THEN 'the version before it is gone'
    ELSE 'it does not say the encounter, item and time of the version before it' END
FROM chart_entry c LEFT JOIN chart_entry b ON b.entry = c.entry AND b.version = c.version - 1
WHERE {_SINCE} AND (c.act_id IS NULL AND cardinality(c.source_batch) = 0
    OR c.version > 1 AND (b.entry IS NULL
        OR (b.encounter, b.item, b.slot, b.ordinal) IS DISTINCT FROM (c.encounter, c.item, c.slot, c.ordinal)))
"""
# Of a value that an act had validated anew the newest version alone says what its row says now.
_SOURCES_SQL = f"""
SELECT entry, version, item, problem FROM (
    SELECT c.entry, c.version, c.item, CASE
        WHEN b.batch IS NULL THEN 'no batch is kept with the id that it names as its source'
        WHEN r.batch IS NULL AND EXISTS (SELECT FROM dropped d WHERE d.what = 'report' AND d.last_batch >= b.batch
            AND c.observed_at >= d.since AND c.observed_at < d.until) THEN '{_GONE}'
        WHEN r.batch IS NULL THEN 'its source is no report of that moment'
        WHEN m.reference_id IS NOT DISTINCT FROM c.item AND r.value[s.record + 1] IS NOT DISTINCT FROM c.value
            AND coalesce(mu.ucum, u.ucum, '') = c.unit
            AND greatest(0, 128 - coalesce(get_byte(r.decimals, s.record), 128)) = c.decimals THEN NULL
        WHEN EXISTS (SELECT FROM batch_validation v WHERE v.batch = b.batch) THEN '{_ANEW}'
        ELSE 'it does not say what the value that it names as its source says' END AS problem
    FROM chart_entry c
    CROSS JOIN LATERAL unnest(c.source_batch, c.source_leaf, c.source_record) AS s(batch_id, leaf, record)
    LEFT JOIN batch b ON b.batch_id = s.batch_id
    LEFT JOIN report r ON r.batch = b.batch AND r.leaf = s.leaf AND r.observed_at = c.observed_at
    LEFT JOIN channel_set l ON l.channel_set = r.channel_set
    CROSS JOIN LATERAL (SELECT coalesce(r.channel_index[s.record + 1], s.record + 1) AS i) AS listed
    LEFT JOIN metric m ON m.code = l.code[listed.i]
    LEFT JOIN metric_unit mu ON mu.code = l.code[listed.i] AND mu.unit = l.unit[listed.i]
    LEFT JOIN unit u ON u.unit = l.unit[listed.i]
    WHERE {_SINCE} AND c.origin = 'device') AS checked
WHERE problem IS NOT NULL
"""
