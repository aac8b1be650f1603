"""A patient's trends: minimum, maximum and mean by bucket, of what was measured while it was the patient's."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

import numpy as np
import psycopg
from psycopg.rows import class_row

from schemas.block import ValidationResult
from schemas.report import Kind

_MINUTE = timedelta(minutes=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Minutes are summed up some seconds after they are over: what is younger is read from reports.
_YOUNG = timedelta(minutes=3)


class Span(NamedTuple):
    """A device's values are the patient's during [since, until)."""

    device: UUID
    since: datetime
    until: datetime


class _Report(NamedTuple):
    """A row of report: a value each; None for the two others where all are accepted, and in the channel set's order."""

    channel_set: int
    bucket: int
    values: list[float | None]
    results: list[int | None] | None
    places: list[int] | None  # in the channel set, from 1


class _Minute(NamedTuple):
    """A row of report_minute; a channel of the set each, None where it has no values."""

    channel_set: int
    bucket: int
    counts: list[int]
    low: list[float | None]
    high: list[float | None]
    mean: list[float | None]


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

    def add(self, number: int, bucket: Bucket) -> None:
        """What two devices, or a minute's two halves, say of one bucket counts together."""
        there = self.buckets.get(number)
        if there is None:
            self.buckets[number] = bucket
            return
        values = there.values + bucket.values
        self.buckets[number] = Bucket(
            low=min(there.low, bucket.low),
            high=max(there.high, bucket.high),
            mean=(there.mean * there.values + bucket.mean * bucket.values) / values,
            values=values,
        )


Found = dict[tuple[int, int], Trend]  # by code and channel


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
    found: Found = {}
    named = {"since": since, "until": until, "width": width}
    if whole:
        minutes = conn.cursor(binary=True, row_factory=class_row(_Minute))
        _add_minutes(conn, found, minutes.execute(_MINUTES_SQL, {**named, **_arrays(whole)}).fetchall())
    if parts:
        reports = conn.cursor(binary=True, row_factory=class_row(_Report))
        _add_reports(conn, found, reports.execute(_REPORTS_SQL, {**named, **_arrays(parts)}).fetchall())
    return sorted(found.values(), key=lambda trend: (trend.code, trend.channel))


def _add_minutes(conn: psycopg.Connection, found: Found, minutes: Sequence[_Minute]) -> None:
    """Put together here: SQL would make a row of each channel of each minute, which took four times as long."""
    by_set: dict[int, list[_Minute]] = {}
    for minute in minutes:
        by_set.setdefault(minute.channel_set, []).append(minute)
    for channel_set, codes, channels in _channels(conn, minutes):
        of_set = sorted(by_set[channel_set], key=lambda minute: minute.bucket)
        numbers = np.array([minute.bucket for minute in of_set])
        starts = np.flatnonzero(np.diff(numbers, prepend=numbers[0] - 1))  # each bucket's first minute
        count = np.array([minute.counts for minute in of_set])
        mean = np.array([minute.mean for minute in of_set], float)
        values = np.add.reduceat(count, starts)
        low = np.fmin.reduceat(np.array([minute.low for minute in of_set], float), starts)
        high = np.fmax.reduceat(np.array([minute.high for minute in of_set], float), starts)
        total = np.add.reduceat(np.where(count > 0, mean * count, 0), starts)
        for column, key in enumerate(zip(codes, channels, strict=True)):
            (there,) = np.nonzero(values[:, column])
            if not len(there):
                continue
            trend = found.setdefault(key, Trend(*key))
            of_channel = (
                low[there, column], high[there, column], total[there, column] / values[there, column],
                values[there, column],
            )  # fmt: skip
            buckets = map(Bucket, *(each.tolist() for each in of_channel))
            for number, bucket in zip(numbers[starts[there]].tolist(), buckets, strict=True):
                trend.add(number, bucket)


def _add_reports(conn: psycopg.Connection, found: Found, reports: Sequence[_Report]) -> None:
    """Of what was accepted."""
    values: dict[tuple[int, int, int], list[float]] = {}  # by channel set, place in it and bucket
    for report in reports:
        places = report.places or range(1, len(report.values) + 1)
        results = report.results or [ValidationResult.ACCEPTED] * len(report.values)
        for place, value, result in zip(places, report.values, results, strict=True):
            if value is not None and result in (None, ValidationResult.ACCEPTED):
                values.setdefault((report.channel_set, place, report.bucket), []).append(value)
    sets = {channel_set: (codes, channels) for channel_set, codes, channels in _channels(conn, reports)}
    for (channel_set, place, number), each in values.items():
        codes, channels = sets[channel_set]
        key = codes[place - 1], channels[place - 1]
        bucket = Bucket(min(each), max(each), sum(each) / len(each), len(each))
        found.setdefault(key, Trend(*key)).add(number, bucket)


def _channels(
    conn: psycopg.Connection, rows: Iterable[_Minute | _Report]
) -> list[tuple[int, list[int], list[int]]]:  # fmt: skip
    """Of each channel set that is among these: its number, codes and channels."""
    return conn.execute(_CHANNELS_SQL, ([*{row.channel_set for row in rows}],)).fetchall()


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
# By what each edge calls them; what was heard through an edge that the device does not belong to is nobody's. That is
# asked once a span, not once a row.
_HEARD = f"""
WITH heard AS MATERIALIZED (
    SELECT d.device, greatest(t.from_at, lower(e.valid)) AS from_at, least(t.until_at, upper(e.valid)) AS until_at
    FROM {_SPANS}
    JOIN device d ON d.uuid = t.uuid
    CROSS JOIN LATERAL (
        SELECT '(,)'::tstzrange AS valid WHERE NOT EXISTS (SELECT FROM registered_device g WHERE g.uuid = d.uuid)
        UNION ALL
        SELECT b.valid FROM device_edge_believed b
        WHERE b.device = d.device AND b.valid && tstzrange(t.from_at, t.until_at)
            AND EXISTS (SELECT FROM registered_device g WHERE g.uuid = d.uuid)
    ) AS e)
"""
# Once a row, not once a value: it is numeric arithmetic.
_BUCKET = "floor(extract(epoch FROM {at} - %(since)s::timestamptz) / extract(epoch FROM %(width)s::interval))::int"
# Each span's rows are read by themselves (OFFSET 0), by the index over device and moment: joined as they stand, the
# planner reads the whole window of every device.
_MINUTES_SQL = f"""
{_HEARD}
SELECT m.channel_set, {_BUCKET.format(at="m.minute")} AS bucket, m.count AS counts, m.min AS low, m.max AS high, m.mean
FROM heard h
CROSS JOIN LATERAL (
    SELECT * FROM report_minute
    WHERE device = h.device AND minute >= h.from_at AND minute < h.until_at
        AND minute >= %(since)s AND minute < %(until)s
    OFFSET 0) AS m
"""
_CHANNELS_SQL = "SELECT channel_set, code, channel FROM channel_set WHERE channel_set = ANY (%s)"
_REPORTS_SQL = f"""
{_HEARD}
SELECT r.channel_set, {_BUCKET.format(at="r.observed_at")} AS bucket, r.value AS values,
    r.validation_result AS results, r.channel_index AS places
FROM heard h
CROSS JOIN LATERAL (
    SELECT * FROM report
    WHERE device = h.device AND observed_at >= h.from_at AND observed_at < h.until_at
        AND observed_at >= %(since)s AND observed_at < %(until)s AND kind = {int(Kind.METRIC)}
    OFFSET 0) AS r
"""
_ALARMS_SQL = f"""
SELECT min(a.opened_at) AS opened_at, min(a.at) FILTER (WHERE a.kind = 'resolved') AS resolved_at,
    min(a.priority) AS priority, (array_agg(a.message ORDER BY a.at))[1] AS message
FROM {_SPANS}
JOIN alarm_transition a ON a.device_uuid = t.uuid AND a.opened_at >= t.from_at AND a.opened_at < t.until_at
GROUP BY a.episode ORDER BY 1, 4
"""
