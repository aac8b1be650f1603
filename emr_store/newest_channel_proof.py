"""The rows of `latest_by_channel`, held against the newest value of each channel in the batches."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple
from uuid import UUID

import numpy as np
import psycopg
from numpy.typing import NDArray
from psycopg.rows import class_row

from emr_store.latest_by_channel import NO_VALUE_YET
from emr_store.row_proof import NO_NUMBER
from emr_store.rows import Chunk, shown_in_latest
from emr_store.texts import texts_json, words_of
from emr_store.verification import Verification
from schemas.layout import CHANNEL_BYTES


class _Channel(NamedTuple):
    """A channel of a device; of equal ones of a report the how-manieth."""

    device: int
    channel: bytes
    earlier_equal: int


class _ReportedValue(NamedTuple):
    """What a report says of a channel, as `latest_by_channel` has it."""

    observed_at_us: int
    received_at_us: int
    stored_at_us: int
    flags: int
    value: float | None
    decimals: int
    validity: int
    validation_result: int
    text: str | None

    @property
    def moment_us(self) -> int:
        """Nothing is newer than the moment at which it was stored."""
        return min(self.observed_at_us, self.stored_at_us)


_Place = tuple[int, int]  # batch and leaf


class _Newest(NamedTuple):
    moment_us: int
    reported: dict[_Place, _ReportedValue]  # of all reports of this moment: any of them may have been stored last


class NewestChannels:
    """Of each channel of devices that send only what changed, the newest value in what was looked at.

    By the writer's order: a report's moment is when it was observed, but never later than its batch was stored.
    """

    def __init__(self, conn: psycopg.Connection) -> None:
        self._newest: dict[_Channel, _Newest] = {}
        self._shown: set[_Place] = set(conn.execute(_PLACES_SQL))
        self._may_be_shown: dict[_Channel, dict[_Place, _ReportedValue]] = {}

    def add(self, chunk: Chunk, stored_at_us: NDArray[np.int64], unknown: NDArray[np.bool_]) -> None:
        """The reports of a window; `stored_at_us`, a report each, of its batch.

        `unknown`, a report each: nobody can say whether it was stored under a superset; a row may point to it.
        """
        for report in np.flatnonzero(unknown).tolist():
            place = int(chunk.batch[report]), int(chunk.leaf[report])
            if place in self._shown:
                for channel, reported in _all_reported(chunk, report, int(stored_at_us[report])):
                    self._may_be_shown.setdefault(channel, {})[place] = reported
        reports = shown_in_latest(chunk)
        reports = reports[chunk.in_superset[reports] & (chunk.device[reports] != NO_NUMBER)]
        moments = np.minimum(chunk.observed_at_us[reports], stored_at_us[reports])
        for report, moment_us in zip(reports.tolist(), moments.tolist(), strict=True):
            self._add_report(chunk, report, moment_us, int(stored_at_us[report]))

    def _add_report(self, chunk: Chunk, report: int, moment_us: int, stored_at_us: int) -> None:
        place = int(chunk.batch[report]), int(chunk.leaf[report])
        for channel, reported in _all_reported(chunk, report, stored_at_us):
            known = self._newest.get(channel)
            if known is None or moment_us > known.moment_us:
                self._newest[channel] = _Newest(moment_us, {place: reported})
            elif moment_us == known.moment_us:
                known.reported[place] = reported

    def check(self, conn: psycopg.Connection, first_batch: int, result: Verification) -> None:
        """Step 8, channel by channel: the newest value is what pages show, with its own moment."""
        for row in conn.cursor(row_factory=class_row(_Row)).execute(_ROWS_SQL):
            if not row.fits:
                result.add(f"latest values of device {row.uuid}", "its row does not fit its list of channels")
                continue
            equal: Counter[bytes] = Counter()
            cells = conn.execute(_CELLS_SQL, (NO_VALUE_YET, row.device)).fetchall()
            for index, (batch, leaf, is_emptied, *reported) in enumerate(cells):
                listed = row.channels[index * CHANNEL_BYTES : (index + 1) * CHANNEL_BYTES]
                channel = _Channel(row.device, listed, equal[listed])
                equal[listed] += 1
                newest = self._newest.pop(channel, None)
                may_be = self._may_be_shown.get(channel, {}).get((batch, leaf))
                if may_be is not None and (newest is None or newest.moment_us <= may_be.moment_us):
                    newest = _Newest(may_be.moment_us, {(batch, leaf): may_be})
                if is_emptied or (newest is None and (leaf == NO_VALUE_YET or batch < first_batch)):
                    continue
                result.counts["latest"] += 1
                if what := _finding(newest, (batch, leaf), _ReportedValue(*reported), first_batch):
                    result.add(f"latest value of device {row.uuid} channel {index + 1}", what)
        for channel in self._newest:
            what = "of a channel it is gone, though reports of the device are kept"
            result.add(f"latest value of device {channel.device}", what)


def _all_reported(chunk: Chunk, report: int, stored_at_us: int) -> Iterator[tuple[_Channel, _ReportedValue]]:
    """What a report says of each of its channels."""
    table, equal = chunk.table, Counter[bytes]()
    begin, end = table.record_start[report : report + 2].tolist()
    words = words_of(texts_json(table, report)) if chunk.worded[report] else {}
    for record in range(begin, end):
        listed = table.channel_bytes[record].tobytes()
        channel = _Channel(int(chunk.device[report]), listed, equal[listed])
        equal[listed] += 1
        yield channel, _ReportedValue(
            int(chunk.observed_at_us[report]), int(table.received_at_us[report]), stored_at_us,
            int(chunk.flags[report]), _number(float(chunk.values[record])), int(table.exponent[record]),
            int(chunk.validity[record]), int(chunk.validation_results[record]), words.get(record - begin),
        )  # fmt: skip


def _finding(newest: _Newest | None, place: _Place, reported: _ReportedValue, first_batch: int) -> str | None:
    """What is wrong with what the row says of this channel; None: nothing."""
    batch, leaf = place
    if newest is None:
        return "no report stands behind it"
    if leaf == NO_VALUE_YET:
        return "it is gone, though reports of the device are kept"
    if place in newest.reported:
        return None if reported == newest.reported[place] else "it is not what the report that it points to says"
    if reported.moment_us > newest.moment_us:
        return "no report of this moment stands behind it" if batch >= first_batch else None
    return "it is not the newest value of this channel"


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value


class _Row(NamedTuple):
    device: int
    uuid: UUID | None
    channels: bytes
    fits: bool


_ARRAYS = "observed_at, received_at, stored_at, flags, batch, leaf, value, decimals, validity, validation_result"
_ROWS_SQL = f"""
SELECT l.device, d.uuid, coalesce(s.channels, '') AS channels, coalesce((
    SELECT bool_and(n = length(s.channels) / {CHANNEL_BYTES}) FROM unnest(ARRAY[
        {", ".join(f"cardinality(l.{name})" for name in _ARRAYS.split(", "))}]) AS n), false)
    AND l.changed_at IS NOT DISTINCT FROM (SELECT max(at) FROM unnest(l.stored_at) AS at) AS fits
FROM latest_by_channel l LEFT JOIN device d USING (device) LEFT JOIN channel_set s USING (channel_set)
ORDER BY l.device
"""
_PLACES_SQL = "SELECT DISTINCT p.* FROM latest_by_channel l CROSS JOIN LATERAL unnest(l.batch, l.leaf) AS p"
_CELLS_SQL = """
SELECT coalesce(v.batch, 0), coalesce(v.leaf, %s), EXISTS (SELECT FROM batch b JOIN dropped_body x USING (lane)
        WHERE b.batch = v.batch AND b.batch >= x.first_batch AND b.batch < x.after_batch),
    (extract(epoch FROM v.observed_at) * 1000000)::int8, (extract(epoch FROM v.received_at) * 1000000)::int8,
    (extract(epoch FROM v.stored_at) * 1000000)::int8, v.flags, nullif(v.value, 'NaN'), v.decimals, v.validity,
    v.validation_result, l.texts ->> v.i::text
FROM latest_by_channel l CROSS JOIN LATERAL unnest(l.observed_at, l.received_at, l.stored_at, l.flags, l.batch, l.leaf,
    l.value, l.decimals, l.validity, l.validation_result) WITH ORDINALITY
    AS v(observed_at, received_at, stored_at, flags, batch, leaf, value, decimals, validity, validation_result, i)
WHERE l.device = %s ORDER BY v.i
"""
