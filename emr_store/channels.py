"""What senders call things: the channels that they describe, and what has no code."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import psycopg
from psycopg.rows import class_row

from schemas.report import Kind


class ChannelRow(NamedTuple):
    """A channel of a device as its sender describes it; `label` is what people call it, `bed` where it stands now."""

    device: UUID
    claim: str | None
    bed: str | None
    channel: int
    code: int
    words: dict[str, object]
    label: str | None
    since: datetime


def channels(conn: psycopg.Connection) -> list[ChannelRow]:
    """Every channel that was described, device by device."""
    sql = (
        "SELECT d.uuid AS device, d.claim, b.bed, c.channel, c.code, c.words, c.label, c.since"
        " FROM channel c JOIN device d USING (device)"
        " LEFT JOIN device_bed_believed b ON b.device = d.device AND b.valid @> clock_timestamp()"
        " ORDER BY b.bed, d.claim, d.uuid, c.code, c.since"
    )
    return conn.cursor(row_factory=class_row(ChannelRow)).execute(sql).fetchall()


class Unmapped(NamedTuple):
    """A thing that a sender calls by a name without a standard code."""

    device: UUID
    claim: str | None
    system: str
    code: str
    unit: str
    times: int
    example: str


UNMAPPED_OF = 100_000  # newest reports of values with words
_UNMAPPED_SQL = f"""
SELECT d.uuid AS device, d.claim, coalesce(t ->> 'system', '') AS system, t ->> 'code' AS code,
    coalesce(t ->> 'unit', '') AS unit, count(*) AS times,
    coalesce(min(t ->> 'text'), min(r.value[(t ->> 'record')::int + 1]::text), '') AS example
FROM (SELECT * FROM report r WHERE r.kind = {int(Kind.METRIC)} AND r.texts IS NOT NULL
      ORDER BY r.observed_at DESC LIMIT {UNMAPPED_OF}) AS r
JOIN device d USING (device) CROSS JOIN LATERAL jsonb_array_elements(r.texts) AS t
WHERE t ? 'code' AND r.validation_result[(t ->> 'record')::int + 1] IN (20, 21)
GROUP BY 1, 2, 3, 4, 5 ORDER BY count(*) DESC, 3, 4 LIMIT %s
"""


def unmapped(conn: psycopg.Connection, limit: int = 500) -> list[Unmapped]:
    """What senders call by names without a code, the most frequent first."""
    return conn.cursor(row_factory=class_row(Unmapped)).execute(_UNMAPPED_SQL, (limit,)).fetchall()
