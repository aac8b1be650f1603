"""Minute summaries of accepted values: computed once when a minute is closed, again when late data comes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
from numpy.typing import NDArray

from emr_store.rows import MINUTE_US

NOTES = 500  # of touched minutes, taken at once
CHUNK = 2000  # summaries, computed at once
CLOSED_AFTER = "15 seconds"
WIDE = 100  # values of a report
_LOCK = 0x76_77_6D_69
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def lock(conn: psycopg.Connection) -> None:
    """Until the end of this transaction nothing is summed up: what began before would put back what `retract` takes."""
    conn.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))


def retract(
    conn: psycopg.Connection, device: NDArray[Any], observed_at_us: NDArray[Any], channel_set: NDArray[Any]
) -> None:
    """Take the summaries away that these reports were in, and have their minutes summed up again; with `lock`.

    One of which retention took reports stays as it is: nothing could sum it up again.
    """
    minutes = observed_at_us // MINUTE_US * MINUTE_US
    found = sorted(set(zip(minutes.tolist(), device.tolist(), channel_set.tolist(), strict=True)))
    if not found:
        return
    moments = [_EPOCH + timedelta(microseconds=minute_us) for minute_us, _, _ in found]
    named = {
        "minutes": moments,
        "devices": [number for _, number, _ in found],
        "channel_sets": [number for _, _, number in found],
        "first": moments[0],
        "last": moments[-1],
    }
    conn.execute(_RETRACT_SQL, named)
    conn.execute(_TOUCH_SQL, named)


async def summarise(conn: psycopg.AsyncConnection) -> int:
    """Compute some touched, closed minutes; how many.

    Reports of up to WIDE values by position in the array: unnest costs five times as much. Wider ones by unnest: the
    planner compares each aggregate with all before it, which of 10,000 values takes it three quarters of a minute.

    A note commits with its reports, so whoever takes it sees them; a report that comes later brings its own.
    """
    async with conn.transaction():
        # One at a time: of two, the one that saw less might write last.
        cursor = await conn.execute(_TAKE_SQL, {"lock": _LOCK, "closed_after": CLOSED_AFTER, "notes": NOTES})
        touched = await cursor.fetchall()
        for i in range(0, len(touched), CHUNK):
            minutes, devices = zip(*touched[i : i + CHUNK], strict=True)
            named = {"minutes": [*minutes], "devices": [*devices], "first": minutes[0], "last": minutes[-1]}
            cursor = await conn.execute(_WIDTHS_SQL.encode(), named)
            for width, in_superset in await cursor.fetchall():
                wide_sql = _WIDE_SUPERSET_SQL if in_superset else _WIDE_SQL
                sql = _sql(width, in_superset) if width <= WIDE else wide_sql
                await conn.execute(sql.encode(), named | {"width": width})
        return len(touched)


_TAKE_SQL = """
WITH one AS MATERIALIZED (SELECT pg_try_advisory_xact_lock(%(lock)s) AS alone), taken AS (
    DELETE FROM minute_touched WHERE (SELECT alone FROM one) AND ctid = ANY (ARRAY(
        SELECT ctid FROM minute_touched WHERE minute < date_trunc('minute', now() - %(closed_after)s::interval)
        ORDER BY minute LIMIT %(notes)s))
    RETURNING minute, devices)
SELECT DISTINCT minute, unnest(devices) AS device FROM taken ORDER BY 1, 2
"""

_RETRACT_SQL = """
DELETE FROM report_minute q USING unnest(%(devices)s::int4[], %(minutes)s::timestamptz[], %(channel_sets)s::int4[])
    AS u(device, minute, channel_set)
WHERE q.device = u.device AND q.minute = u.minute AND q.channel_set = u.channel_set
    AND q.minute >= %(first)s AND q.minute <= %(last)s
    AND NOT EXISTS (SELECT FROM dropped d WHERE d.what = 'report' AND d.dropped_at > q.computed_at
        AND q.minute >= d.since AND q.minute < d.until)
"""
_TOUCH_SQL = """
INSERT INTO minute_touched (minute, devices)
SELECT minute, array_agg(DISTINCT device) FROM unnest(%(devices)s::int4[], %(minutes)s::timestamptz[])
    AS u(device, minute) GROUP BY minute
"""

# `first` and `last` say the same again, so that the planner opens the partitions of these moments alone.
_OF = """
FROM unnest(%(minutes)s::timestamptz[], %(devices)s::int4[]) AS t(minute, device)
JOIN report r ON r.device = t.device AND r.observed_at >= t.minute
    AND r.observed_at < t.minute + interval '1 minute' AND r.kind = 1
    AND r.observed_at >= %(first)s AND r.observed_at < %(last)s + interval '1 minute'
JOIN channel_set s ON s.channel_set = r.channel_set AND cardinality(s.code) > 0
"""
_WIDTHS_SQL = f"SELECT DISTINCT cardinality(s.code), r.channel_index IS NOT NULL {_OF}"


def _sql(width: int, in_superset: bool) -> str:
    """Each value is taken out of its array once, and OFFSET 0 keeps it so: plain columns are sorted once for all.

    Of what was not accepted, and of what devices did not send that send only what changed, `v` is null, which no
    aggregate but array_agg counts.
    """
    places = range(1, width + 1)
    at = "at{i}" if in_superset else "{i}"  # of a channel's value in its array
    looked_up, chosen = "", "NULL"
    if in_superset:
        looked_up = "".join(f", array_position(r.channel_index, {i}::int2) AS at{i}" for i in places)
        chosen = "NOT NULL OFFSET 0"
    values = ", ".join(
        f"CASE WHEN coalesce(r.validation_result[{at}], 0) = 0 THEN r.value[{at}] END AS v{{i}},"
        f" {at} IS NOT NULL AND coalesce(r.validation_result[{at}], 0) = 0 AS accepted{{i}}".format(i=i)
        for i in places
    )

    def columns(cell: str) -> str:
        return f"ARRAY[{', '.join(cell.format(i=i) for i in places)}]"

    newest = "(array_agg(v{i} ORDER BY observed_at DESC, batch DESC, leaf DESC) FILTER (WHERE accepted{i}))[1]"
    return f"""
{_INSERT}
SELECT device, minute, channel_set, {columns("count(v{i})")}, {columns("min(v{i})")}, {columns("max(v{i})")},
    {columns("avg(v{i})")}, {columns(newest)}
FROM (SELECT r.device, minute, r.channel_set, r.observed_at, r.batch, r.leaf, {values}
    FROM (SELECT r.*, t.minute{looked_up}
        {_OF} WHERE cardinality(s.code) = %(width)s AND r.channel_index IS {chosen}) AS r
    OFFSET 0) AS r
GROUP BY device, minute, channel_set
{_ON_CONFLICT}
"""


_INSERT = "INSERT INTO report_minute AS q (device, minute, channel_set, count, min, max, mean, last)"
_ON_CONFLICT = """
ON CONFLICT (device, minute, channel_set) DO UPDATE SET count = excluded.count, min = excluded.min,
    max = excluded.max, mean = excluded.mean, last = excluded.last, computed_at = excluded.computed_at
WHERE NOT EXISTS (SELECT FROM dropped d WHERE d.what = 'report' AND d.dropped_at > q.computed_at
    AND q.minute >= d.since AND q.minute < d.until)
"""

_WIDE_SQL = f"""
{_INSERT}
SELECT device, minute, channel_set, array_agg(count ORDER BY i), array_agg(min ORDER BY i), array_agg(max ORDER BY i),
    array_agg(mean ORDER BY i), array_agg(last ORDER BY i)
FROM (SELECT device, minute, channel_set, i, count(value) FILTER (WHERE accepted) AS count,
        min(value) FILTER (WHERE accepted) AS min, max(value) FILTER (WHERE accepted) AS max,
        avg(value) FILTER (WHERE accepted) AS mean,
        (array_agg(value ORDER BY observed_at DESC, batch DESC, leaf DESC) FILTER (WHERE accepted))[1] AS last
    FROM (SELECT r.device, t.minute, r.channel_set, r.observed_at, r.batch, r.leaf, v.i, v.value,
            coalesce(v.validation_result, 0) = 0 AS accepted
        {_OF} CROSS JOIN LATERAL unnest(r.value, r.validation_result) WITH ORDINALITY AS v(value, validation_result, i)
        WHERE cardinality(s.code) = %(width)s AND r.channel_index IS NULL) AS each
    GROUP BY device, minute, channel_set, i) AS channel
GROUP BY device, minute, channel_set
{_ON_CONFLICT}
"""

# Of devices that send only what changed: each value goes to its channel of the superset; a channel that nobody sent in
# the minute counts none.
_WIDE_SUPERSET_SQL = f"""
{_INSERT}
SELECT device, minute, channel_set, array_agg(coalesce(count, 0) ORDER BY i), array_agg(min ORDER BY i),
    array_agg(max ORDER BY i), array_agg(mean ORDER BY i), array_agg(last ORDER BY i)
FROM (SELECT DISTINCT r.device, t.minute, r.channel_set {_OF}
      WHERE cardinality(s.code) = %(width)s AND r.channel_index IS NOT NULL) AS of
CROSS JOIN LATERAL generate_series(1, %(width)s) AS i
LEFT JOIN (
    SELECT r.device, t.minute, r.channel_set, v.i, count(v.value), min(v.value), max(v.value), avg(v.value) AS mean,
        (array_agg(v.value ORDER BY r.observed_at DESC, r.batch DESC, r.leaf DESC))[1] AS last
    {_OF} CROSS JOIN LATERAL unnest(r.value, r.validation_result, r.channel_index) AS v(value, validation_result, i)
    WHERE cardinality(s.code) = %(width)s AND r.channel_index IS NOT NULL AND coalesce(v.validation_result, 0) = 0
    GROUP BY 1, 2, 3, 4) AS each USING (device, minute, channel_set, i)
GROUP BY device, minute, channel_set
{_ON_CONFLICT}
"""
