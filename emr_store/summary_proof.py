"""What is computed from rows, computed again: the minutes, the latest values, the ledger."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from uuid import UUID

import numpy as np
import psycopg
from numpy.typing import NDArray
from psycopg.rows import class_row

from emr_store.batch_proof import Window
from emr_store.row_proof import NO_NUMBER
from emr_store.rows import Chunk, shown_in_latest
from emr_store.verification import NUMBER_MIN, Verification
from evidence.verification import stream_words
from schemas.block import ValidationResult, result_class_counts
from schemas.identity import EdgeId, SpoolId, StreamKey

_Pair = tuple[int, int]  # device, channel set


class _Newest(NamedTuple):
    moment_us: int
    places: dict[tuple[int, int], bool]  # (batch, leaf) of the reports of this moment: whether it has words


class NewestReports:
    """Of each device and channel list the newest report in what was looked at: what `latest` has to show.

    By the writer's order: a report's moment is when it was observed, but never later than its batch was stored.
    """

    def __init__(self, conn: psycopg.Connection) -> None:
        self._newest: dict[_Pair, _Newest] = {}
        self._shown: set[tuple[int, int]] = set(conn.execute("SELECT batch, leaf FROM latest"))
        self._may_be_shown: set[tuple[int, int]] = set()

    def add(self, chunk: Chunk, stored_at_us: NDArray[np.int64], unknown: NDArray[np.bool_]) -> None:
        """The reports of a window; `stored_at_us`, a report each, of its batch.

        `unknown`, a report each: nobody can say whether it was stored under its exact list.
        """
        places = zip(chunk.batch[unknown].tolist(), chunk.leaf[unknown].tolist(), strict=True)
        self._may_be_shown |= self._shown.intersection(places)
        # Rows of an unknown device or list of channels are findings of their own.
        is_known = (chunk.device != NO_NUMBER) & (chunk.channel_set != NO_NUMBER)
        reports = shown_in_latest(chunk)
        reports = reports[is_known[reports] & ~chunk.in_superset[reports] & ~unknown[reports]]
        if not len(reports):
            return
        sets, devices = chunk.channel_set[reports], chunk.device[reports]
        moments = np.minimum(chunk.observed_at_us[reports], stored_at_us[reports])
        order = np.lexsort((moments, sets, devices))
        changes = (np.diff(devices[order]) != 0) | (np.diff(sets[order]) != 0)
        last = np.append(np.flatnonzero(changes), len(order) - 1)
        newest = np.repeat(moments[order][last], np.diff(np.append(-1, last)))
        for index in order[moments[order] == newest].tolist():
            report = int(reports[index])
            pair, moment = (int(devices[index]), int(sets[index])), int(moments[index])
            place = (int(chunk.batch[report]), int(chunk.leaf[report]))
            known = self._newest.get(pair)
            if known is None or moment > known.moment_us:
                self._newest[pair] = _Newest(moment, {place: bool(chunk.worded[report])})
            elif moment == known.moment_us:
                known.places[place] = bool(chunk.worded[report])

    def check(self, conn: psycopg.Connection, first_batch: int, result: Verification) -> None:
        """Step 8: the newest accepted report is what pages show, and they show it as it is."""
        for row in conn.cursor(row_factory=class_row(_LatestRow)).execute(_LATEST_SQL):
            newest = self._newest.pop((row.device, row.channel_set), None)
            where = f"latest value of device {row.uuid}"
            if row.is_emptied or (newest is None and row.batch < first_batch):
                continue
            result.counts["latest"] += 1
            if newest is None:
                if (row.batch, row.leaf) not in self._may_be_shown:
                    result.add(where, "no report stands behind it")
                continue
            if row.moment_us < newest.moment_us or (
                row.moment_us == newest.moment_us and (row.batch, row.leaf) not in newest.places
            ):
                result.add(where, "it is not the newest report of this device")
            elif row.moment_us > newest.moment_us:
                if row.batch >= first_batch:
                    result.add(where, "no report of this moment stands behind it")
            else:
                self._compare(row, newest.places[row.batch, row.leaf], where, result)
        for device, _ in self._newest:
            result.add(f"latest value of device {device}", "it is gone, though reports of the device are kept")

    def _compare(self, row: _LatestRow, has_words: bool, where: str, result: Verification) -> None:
        if row.is_there and not row.is_same:
            result.add(where, "it is not what the report that it points to says")
        if row.is_there and (row.has_texts != has_words or not row.texts_same):
            result.add(where, "its texts are not what the report that it points to says")


class _LatestRow(NamedTuple):
    device: int
    uuid: UUID | None
    channel_set: int
    moment_us: int
    batch: int
    leaf: int
    is_there: bool
    is_same: bool
    has_texts: bool
    texts_same: bool
    is_emptied: bool


_LATEST_SQL = """
SELECT l.device, d.uuid, l.channel_set, (extract(epoch FROM least(l.observed_at, b.stored_at)) * 1000000)::int8
        AS moment_us, l.batch, l.leaf, r.batch IS NOT NULL AS is_there,
    (l.received_at, l.stored_at, l.flags, l.value, l.decimals, l.validity, l.validation_result)
        IS NOT DISTINCT FROM (r.received_at, b.stored_at, r.flags, r.value, r.decimals, r.validity, r.validation_result)
        AS is_same,
    l.texts IS NOT NULL AS has_texts, l.texts IS NULL OR l.texts IS NOT DISTINCT FROM r.texts AS texts_same,
    EXISTS (SELECT FROM dropped_body x WHERE x.lane = b.lane AND b.batch >= x.first_batch
        AND b.batch < x.after_batch) AS is_emptied
FROM latest l LEFT JOIN device d ON d.device = l.device LEFT JOIN batch b ON b.batch = l.batch
LEFT JOIN report r ON r.device = l.device AND r.observed_at = l.observed_at AND r.batch = l.batch AND r.leaf = l.leaf
    AND r.channel_set = l.channel_set
ORDER BY l.device, l.channel_set
"""


# --- minutes ---------------------------------------------------------------------------------------------------------

_SLICE = timedelta(hours=1)
MEAN_TOLERANCE = 1e-9  # a sum of floats depends on its order


def check_minutes(conn: psycopg.Connection, since: datetime | None, result: Verification) -> None:
    """Step 7: count, min, max, mean and last of every closed minute, from the rows.

    `since`: only minutes from then on; None: all. Minutes that wait to be summed up are none yet.
    """
    days = [row[0] for row in conn.execute("SELECT day FROM day_stored ORDER BY day")]
    for day in days:
        begin = datetime(day.year, day.month, day.day, tzinfo=UTC)
        for hour in range(24):
            first = begin + hour * _SLICE
            if since is not None and first + _SLICE <= since:
                continue
            _check_slice(conn, max(first, since) if since else first, first + _SLICE, result)
            if result.is_full:
                return


def _check_slice(conn: psycopg.Connection, first: datetime, after: datetime, result: Verification) -> None:
    named = {"first": first, "after": after}
    widths = [row[0] for row in conn.execute(_WIDTHS_SQL, named)]
    for width in widths:
        rows = conn.execute(_minutes_sql(width).encode(), {**named, "tolerance": MEAN_TOLERANCE}).fetchall()
        for device, minute, total, *differences in rows:
            if minute is None:
                result.counts["minutes"] += total
                continue
            where = f"minute {minute.astimezone(UTC):%Y-%m-%d %H:%M} of device {device}"
            names = [name for name, differs in zip(_MINUTE_COLUMNS, differences, strict=True) if differs]
            if differences[0] is None:
                result.add(where, "it has reports and no summary" if total else "it has a summary and no reports")
            else:
                result.add(where, f"its {', '.join(names)} is not what its reports give")


_MINUTE_COLUMNS = ("count", "min", "max", "mean", "last")
_WIDTHS_SQL = """
SELECT DISTINCT cardinality(s.code) FROM channel_set s JOIN (
    SELECT channel_set FROM report WHERE kind = 1 AND observed_at >= %(first)s AND observed_at < %(after)s
    UNION SELECT channel_set FROM report_minute WHERE minute >= %(first)s AND minute < %(after)s) AS used
USING (channel_set) WHERE cardinality(s.code) > 0
"""


def _minutes_sql(width: int) -> str:
    """Each minute that differs, and a row without a minute that counts all.

    By position in the array, as it is summed up; but sorted once, and not for the last value of each channel.
    """

    def columns(cell: str) -> str:
        accepted = "FILTER (WHERE coalesce(r.validation_result[{i}], 0) = 0)"
        cells = (cell.format(v=f"r.value[{i}]", f=accepted.format(i=i)) for i in range(1, width + 1))
        return f"ARRAY[{', '.join(cells)}]"

    return f"""
WITH waiting AS (
    SELECT DISTINCT minute, unnest(devices) AS device FROM minute_touched
    WHERE minute >= %(first)s AND minute < %(after)s),
ordered AS (
    SELECT device, date_trunc('minute', observed_at) AS minute, channel_set,
        CASE WHEN channel_index IS NULL THEN value ELSE (
            SELECT array_agg(value[array_position(channel_index, i::int2)] ORDER BY i)
            FROM generate_series(1, {width}) AS i) END AS value,
        CASE WHEN channel_index IS NULL THEN validation_result ELSE (
            SELECT array_agg(CASE WHEN i = ANY(channel_index)
                THEN coalesce(validation_result[array_position(channel_index, i::int2)], 0)
                ELSE {int(ValidationResult.NOT_A_VALUE)} END ORDER BY i) FROM generate_series(1,
                {width}) AS i) END AS validation_result
    FROM report JOIN channel_set s USING (channel_set)
    WHERE kind = 1 AND observed_at >= %(first)s AND observed_at < %(after)s AND cardinality(s.code) = {width}
        AND (device, date_trunc('minute', observed_at)) NOT IN (SELECT device, minute FROM waiting)
    ORDER BY 1, 2, 3, observed_at, batch, leaf),
computed AS (
    SELECT r.device, r.minute, r.channel_set,
        {columns("count({v}) {f}")}::int4[] AS count, {columns("min({v}) {f}")} AS min,
        {columns("max({v}) {f}")} AS max, {columns("avg({v}) {f}")} AS mean,
        {columns("(array_agg({v}) {f})[count(*) {f}]")} AS last
    FROM ordered r GROUP BY 1, 2, 3),
kept AS (
    SELECT q.* FROM report_minute q JOIN channel_set s USING (channel_set)
    WHERE q.minute >= %(first)s AND q.minute < %(after)s AND cardinality(s.code) = {width}),
both_of AS (
    SELECT device, minute, c.device IS NOT NULL AS computed, q.device IS NOT NULL AS kept,
        c.count IS DISTINCT FROM q.count AS count, c.min IS DISTINCT FROM q.min AS min,
        c.max IS DISTINCT FROM q.max AS max,
        CASE WHEN c.mean IS NOT DISTINCT FROM q.mean THEN false
            WHEN cardinality(c.mean) <> cardinality(q.mean) THEN true
            ELSE (SELECT bool_or((x IS NULL) <> (y IS NULL)
                OR coalesce(abs(x - y) > %(tolerance)s * (1 + abs(x)), false)) FROM unnest(c.mean, q.mean) AS u(x, y))
        END AS mean, c.last IS DISTINCT FROM q.last AS last
    FROM computed c FULL JOIN kept q USING (device, minute, channel_set)
    WHERE (device, minute) NOT IN (SELECT device, minute FROM waiting)
        AND NOT EXISTS (SELECT FROM dropped d WHERE d.what = 'report'
            AND coalesce(c.minute, q.minute) >= d.since AND coalesce(c.minute, q.minute) < d.until)
        AND NOT (q.device IS NULL AND EXISTS (SELECT FROM dropped d WHERE d.what = 'report_minute'
            AND c.minute >= d.since AND c.minute < d.until)))
SELECT NULL::uuid, NULL::timestamptz, count(*)::int, NULL::boolean, NULL::boolean, NULL::boolean, NULL::boolean,
    NULL::boolean FROM both_of
UNION ALL
SELECT d.uuid, b.minute, computed::int, CASE WHEN computed AND kept THEN b.count END, b.min, b.max, b.mean, b.last
FROM both_of b LEFT JOIN device d USING (device)
WHERE NOT computed OR NOT kept OR b.count OR b.min OR b.max OR b.mean OR b.last
"""


# --- the ledger ------------------------------------------------------------------------------------------------------


class _Kept:
    """What the batches of a stream add up to."""

    def __init__(self) -> None:
        self.counts = np.zeros(5, np.int64)  # reports, then verdict_class_counts


class LedgerSums:
    """The batch numbers and counts of each stream, from its batches."""

    def __init__(self) -> None:
        self._kept: defaultdict[StreamKey, _Kept] = defaultdict(_Kept)

    def add(self, window: Window) -> None:
        """The batches of a window."""
        for batch in window.batches:
            header = batch.header
            kept = self._kept[header.stream]
            kept.counts[0] += header.report_count
            kept.counts[1:] += result_class_counts(batch.results[1])

    def check(self, conn: psycopg.Connection, result: Verification) -> None:
        """Step 9, the ledger: its ranges are those of the batches, and its sums what their values come to."""
        for row in conn.cursor(row_factory=class_row(_LedgerRow)).execute(_LEDGER_SQL):
            stream = StreamKey(SpoolId(row.spool.bytes), row.lane, EdgeId(row.edge.bytes))
            where = f"ledger of {stream_words(stream.edge, row.lane, 0).rpartition(',')[0]}"
            result.counts["ledger"] += 1
            if not row.is_same:
                result.add(where, f"it says that {row.ledger} are kept, and the batches kept are {row.batches}")
            sums = self._kept.pop(stream, _Kept()).counts.tolist()
            stored = [row.reports, row.accepted, row.missing, row.unmapped, row.doubtful]
            if not row.is_emptied and stored != sums:
                names = [name for name, a, b in zip(_SUMS, stored, sums, strict=True) if a != b]
                result.add(where, f"its sums of {', '.join(names)} are not those of its batches")


_SUMS: Sequence[str] = ("reports", "accepted", "missing", "unmapped", "doubtful")


class _LedgerRow(NamedTuple):
    edge: UUID
    spool: UUID
    lane: int
    ledger: str | None
    batches: str | None
    is_same: bool
    reports: int
    accepted: int
    missing: int
    unmapped: int
    doubtful: int
    is_emptied: bool


_LEDGER_SQL = """
SELECT edge, spool, lane, g.kept::text AS ledger, b.kept::text AS batches,
    coalesce(g.kept, '{}') = coalesce(b.kept, '{}') AS is_same, coalesce(reports, 0) AS reports,
    coalesce(accepted, 0) AS accepted, coalesce(missing, 0) AS missing, coalesce(unmapped, 0) AS unmapped,
    coalesce(doubtful, 0) AS doubtful,
    EXISTS (SELECT FROM dropped_body x WHERE x.lane = coalesce(g.lane, b.lane)) AS is_emptied
FROM ledger g FULL JOIN (
    SELECT edge, spool, lane, range_agg(int8range(batch_no, batch_no, '[]')) AS kept FROM batch GROUP BY 1, 2, 3
) AS b USING (edge, spool, lane) ORDER BY edge, lane, spool
"""


def begin_of(conn: psycopg.Connection, first_batch: int) -> datetime | None:
    """The first whole minute after the first of these batches was stored; None: from the beginning."""
    if first_batch == NUMBER_MIN:
        return None
    row = conn.execute(
        "SELECT date_trunc('minute', min(stored_at)) FROM batch WHERE batch >= %s", (first_batch,)
    ).fetchone()
    return row[0] if row and row[0] is not None else datetime.now(UTC)
