"""Minute summaries of charted values: computed once when a minute is closed, again when late data comes."""

from __future__ import annotations

import psycopg

LOT = 2000
CLOSED_AFTER = "15 seconds"


async def summarise(conn: psycopg.AsyncConnection) -> int:
    """Compute a lot of touched, closed minutes; how many. By position in the array: unnest costs five times as much."""
    async with conn.transaction():
        cursor = await conn.execute(
            "DELETE FROM minute_touched WHERE (minute, device) IN (SELECT minute, device FROM minute_touched"
            " WHERE minute < date_trunc('minute', now() - %s::interval) ORDER BY minute, device LIMIT %s"
            " FOR UPDATE SKIP LOCKED) RETURNING minute, device",
            (CLOSED_AFTER, LOT),
        )
        touched = await cursor.fetchall()
        if not touched:
            return 0
        minutes, devices = [m for m, _ in touched], [d for _, d in touched]
        named = {"minutes": minutes, "devices": devices, "first": min(minutes), "last": max(minutes)}
        cursor = await conn.execute(f"SELECT DISTINCT cardinality(s.code) {_OF}".encode(), named)
        for (width,) in await cursor.fetchall():
            await conn.execute(_sql(width).encode(), named | {"width": width})
        return len(touched)


# `first` and `last` say the same again, so that the planner opens the partitions of these moments alone.
_OF = """
FROM unnest(%(minutes)s::timestamptz[], %(devices)s::int4[]) AS t(minute, device)
JOIN report r ON r.device = t.device AND r.observed_at >= t.minute
    AND r.observed_at < t.minute + interval '1 minute' AND r.kind = 1
    AND r.observed_at >= %(first)s AND r.observed_at < %(last)s + interval '1 minute'
JOIN channel_set s ON s.channel_set = r.channel_set AND cardinality(s.code) > 0
"""


def _sql(width: int) -> str:
    def columns(cell: str) -> str:
        cells = (cell.format(f"r.value[{i}]", f"FILTER (WHERE coalesce(r.verdict[{i}], 0) = 0)")
                 for i in range(1, width + 1))  # fmt: skip
        return f"ARRAY[{', '.join(cells)}]"

    return f"""
INSERT INTO report_minute AS q (device, minute, channel_set, count, min, max, mean, last)
SELECT r.device, t.minute, r.channel_set, {columns("count({}) {}")}, {columns("min({}) {}")}, {columns("max({}) {}")},
    {columns("avg({}) {}")}, {columns("(array_agg({} ORDER BY r.observed_at DESC, r.batch DESC, r.leaf DESC) {})[1]")}
{_OF} WHERE cardinality(s.code) = %(width)s GROUP BY r.device, t.minute, r.channel_set
ON CONFLICT (device, minute, channel_set) DO UPDATE SET count = excluded.count, min = excluded.min,
    max = excluded.max, mean = excluded.mean, last = excluded.last, computed_at = excluded.computed_at
WHERE NOT EXISTS (SELECT FROM dropped d WHERE d.what = 'report' AND d.dropped_at > q.computed_at
    AND q.minute >= d.since AND q.minute < d.until)
"""
