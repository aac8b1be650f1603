"""Minute summaries: computed once when a minute is closed, again when late data comes."""

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
        lists = [[m for m, _ in touched], [d for _, d in touched]]
        cursor = await conn.execute(
            "SELECT DISTINCT cardinality(s.code) FROM unnest(%s::timestamptz[], %s::int4[]) AS t(m, d)"
            " JOIN report r ON r.device = d AND r.observed_at >= m AND r.observed_at < m + interval '1 minute'"
            " JOIN channel_set s USING (channel_set) WHERE r.kind = 1 AND cardinality(s.code) > 0",
            lists,
        )
        for (width,) in await cursor.fetchall():
            await conn.execute(_sql(width).encode(), [*lists, width])
        return len(touched)


def _sql(width: int) -> str:
    def columns(aggregate: str) -> str:
        cells = (
            f"{aggregate}(r.value[{i}]) FILTER (WHERE coalesce(r.verdict[{i}], 0) = 0)" for i in range(1, width + 1)
        )
        return "ARRAY[" + ", ".join(cells) + "]"

    within = "r.observed_at >= {m} AND r.observed_at < {m} + interval '1 minute' AND r.kind = 1"
    return f"""
INSERT INTO report_minute AS q (device, minute, channel_set, count, min, max, mean, last)
SELECT g.*, l.value FROM (
    SELECT r.device, m AS minute, r.channel_set, count(*), {columns("min")}, {columns("max")}, {columns("avg")}
    FROM unnest(%s::timestamptz[], %s::int4[]) AS t(m, d)
    JOIN report r ON r.device = d AND {within.format(m="m")}
    JOIN channel_set s USING (channel_set)
    WHERE cardinality(s.code) = %s
    GROUP BY r.device, m, r.channel_set) AS g
CROSS JOIN LATERAL (
    SELECT r.value FROM report r
    WHERE r.device = g.device AND r.channel_set = g.channel_set AND {within.format(m="g.minute")}
    ORDER BY r.observed_at DESC, r.batch DESC, r.leaf DESC LIMIT 1) AS l
ON CONFLICT (device, minute, channel_set) DO UPDATE SET
    count = excluded.count, min = excluded.min, max = excluded.max, mean = excluded.mean, last = excluded.last
"""
