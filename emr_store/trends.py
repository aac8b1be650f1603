"""A patient's trends: minimum, maximum and mean by bucket, of what was measured while it was the patient's."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

import psycopg
from psycopg.rows import class_row

_MINUTE = timedelta(minutes=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Minutes are summed up some seconds after they are over: what is younger is read from reports.
_YOUNG = timedelta(minutes=3)


class Span(NamedTuple):
    """A device's values are the patient's during [since, until)."""

    device: UUID
    since: datetime
    until: datetime


class _Row(NamedTuple):
    code: int
    channel: int
    bucket: int
    low: float
    high: float
    mean: float
    values: int


class Bucket(NamedTuple):
    """What one bucket holds: lowest, highest and mean of so many values."""

    low: float
    high: float
    mean: float
    values: int


@dataclass
class Trend:
    """One channel; its buckets by their number since the window's begin."""

    code: int
    channel: int
    buckets: dict[int, Bucket] = field(default_factory=dict)

    def add(self, row: _Row) -> None:
        """What two devices, or a minute's two halves, say of one bucket counts together."""
        there = self.buckets.get(row.bucket)
        if there is None:
            self.buckets[row.bucket] = Bucket(row.low, row.high, row.mean, row.values)
            return
        values = there.values + row.values
        self.buckets[row.bucket] = Bucket(
            low=min(there.low, row.low),
            high=max(there.high, row.high),
            mean=(there.mean * there.values + row.mean * row.values) / values,
            values=values,
        )


class AlarmMark(NamedTuple):
    """An alarm of a device while its values were the patient's."""

    opened_at: datetime
    resolved_at: datetime | None
    priority: str
    message: str


def trends(
    conn: psycopg.Connection, spans: Sequence[Span], since: datetime, until: datetime, width: timedelta, now: datetime
) -> list[Trend]:
    """Of what was accepted, in buckets of `width`, a whole number of minutes, from `since` on.

    A minute summary mixes what was measured before and after a handover: minutes that are only in part in a span are
    read from reports.
    """
    whole, parts = _divided(spans, since, until, now - _YOUNG)
    found: dict[tuple[int, int], Trend] = {}
    named = {"since": since, "until": until, "width": width}
    for sql, of in ((_MINUTES_SQL, whole), (_REPORTS_SQL, parts)):
        if not of:
            continue
        cursor = conn.cursor(row_factory=class_row(_Row)).execute(sql, {**named, **_arrays(of)})
        for row in cursor:
            found.setdefault((row.code, row.channel), Trend(row.code, row.channel)).add(row)
    return sorted(found.values(), key=lambda trend: (trend.code, trend.channel))


def alarm_marks(conn: psycopg.Connection, spans: Sequence[Span]) -> list[AlarmMark]:
    """Alarms that opened in these spans, by time."""
    found = conn.cursor(row_factory=class_row(AlarmMark)).execute(_ALARMS_SQL, _arrays(spans))
    return found.fetchall()


def _divided(spans: Iterable[Span], since: datetime, until: datetime, young: datetime) -> tuple[list[Span], list[Span]]:
    """Whole minutes that are summed up, and the parts of minutes beside them."""
    whole, parts = [], []
    for span in spans:
        first, last = max(span.since, since), min(span.until, until)
        from_minute = _next_minute(first)
        until_minute = _minute(min(last, young))
        if from_minute >= until_minute:
            parts.append(Span(span.device, first, last))
            continue
        whole.append(Span(span.device, from_minute, until_minute))
        parts += [Span(span.device, first, from_minute), Span(span.device, until_minute, last)]
    return whole, list(_not_empty(parts))


def _not_empty(spans: Iterable[Span]) -> Iterator[Span]:
    return (span for span in spans if span.since < span.until)


def _minute(at: datetime) -> datetime:
    return at - (at - _EPOCH) % _MINUTE


def _next_minute(at: datetime) -> datetime:
    return _minute(at + _MINUTE - timedelta(microseconds=1))


def _arrays(spans: Sequence[Span]) -> dict[str, Any]:
    return {
        "devices": [span.device for span in spans],
        "from_at": [span.since for span in spans],
        "until_at": [span.until for span in spans],
    }


_SPANS = """
unnest(%(devices)s::uuid[], %(from_at)s::timestamptz[], %(until_at)s::timestamptz[]) AS t(uuid, from_at, until_at)
"""
_BUCKET = "floor(extract(epoch FROM {at} - %(since)s::timestamptz) / extract(epoch FROM %(width)s::interval))::int"
# What was heard through an edge that the device does not belong to is nobody's.
_MINUTES_SQL = f"""
SELECT s.code[i] AS code, s.channel[i] AS channel, {_BUCKET.format(at="m.minute")} AS bucket, min(m.min[i]) AS low,
    max(m.max[i]) AS high, sum(m.mean[i] * m.count[i]) / sum(m.count[i]) AS mean, sum(m.count[i])::int AS values
FROM {_SPANS}
JOIN device d ON d.uuid = t.uuid
LEFT JOIN registered_device g ON g.uuid = d.uuid
JOIN report_minute m ON m.device = d.device AND m.minute >= t.from_at AND m.minute < t.until_at
    AND m.minute >= %(since)s AND m.minute < %(until)s
LEFT JOIN device_edge_believed e ON e.device = d.device AND e.valid @> m.minute
JOIN channel_set s USING (channel_set)
CROSS JOIN LATERAL generate_subscripts(s.code, 1) AS i
WHERE m.count[i] > 0 AND (g.uuid IS NULL OR e.device IS NOT NULL)
GROUP BY 1, 2, 3
"""
_REPORTS_SQL = f"""
SELECT o.code, o.channel, {_BUCKET.format(at="o.observed_at")} AS bucket, min(o.value) AS low, max(o.value) AS high,
    avg(o.value) AS mean, count(*)::int AS values
FROM {_SPANS}
JOIN observation o ON o.device = t.uuid AND o.observed_at >= t.from_at AND o.observed_at < t.until_at
    AND o.observed_at >= %(since)s AND o.observed_at < %(until)s
WHERE o.validation_result = 0 AND o.value IS NOT NULL AND NOT o.foreign_edge
GROUP BY 1, 2, 3
"""
_ALARMS_SQL = f"""
SELECT min(a.opened_at) AS opened_at, min(a.at) FILTER (WHERE a.kind = 'resolved') AS resolved_at,
    min(a.priority) AS priority, (array_agg(a.message ORDER BY a.at))[1] AS message
FROM {_SPANS}
JOIN alarm_transition a ON a.device_uuid = t.uuid AND a.opened_at >= t.from_at AND a.opened_at < t.until_at
GROUP BY a.episode ORDER BY 1, 4
"""
