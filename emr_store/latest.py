"""The newest values: with names for people, and in columns for the page, which reads a thousand devices each second."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import numpy as np
import psycopg
from numpy.typing import NDArray
from psycopg.rows import class_row

from emr_store.rows import POSTGRES_EPOCH_US
from emr_store.texts import words_of
from schemas.identity import BatchId

# A transaction stamps its rows before it commits: what was stamped so long before the newest one seen is read again.
OVERLAP_S = 5.0
WHOLE_EVERY_S = 30.0  # and everything so often: a transaction may have taken longer, and a writer's clock may be off


class LatestValue(NamedTuple):
    """The newest value of one channel of one device.

    `unit` is as sent; the value is in `nomenclature.canonical_unit` of it. `bound` is "<", "<=", ">" or ">=" where the
    device says no more than that. `text` is of a code or a text. `bed` is where the device stood when it measured;
    `foreign_edge`: it was heard through an edge that it does not belong to, and nobody agreed to that.
    `batch_id` None: a row without a batch, which `verify` finds.
    """

    device: UUID
    claim: str | None
    name: str | None
    bed: str | None
    registered: bool
    edge: UUID
    foreign_edge: bool
    code: int
    unit: int
    channel: int
    value: float | None
    bound: str | None
    text: str | None
    decimals: int
    validity: int
    ambiguous: bool
    validation_result: int
    flags: int
    observed_at: datetime
    received_at: datetime
    stored_at: datetime
    batch_id: BatchId | None
    leaf: int


# Newest by the moment of measurement, but nothing is newer than its row: what an edge said whose clock was ahead gives
# way to what comes after the clock was put right.
_LATEST_SQL = """
SELECT DISTINCT ON (d.device, l.code, l.channel)
    d.uuid AS device, d.claim, g.name, b.bed, g.uuid IS NOT NULL AS registered, d.edge,
    g.uuid IS NOT NULL AND e.device IS NULL AS foreign_edge, l.code, l.unit, l.channel, l.value,
    CASE l.validity >> 4 & 7 WHEN 1 THEN '<' WHEN 5 THEN '<=' WHEN 2 THEN '>' WHEN 6 THEN '>=' END AS bound,
    l.text, l.decimals, l.validity & 15 AS validity, l.validity & 128 <> 0 AS ambiguous, l.validation_result, l.flags,
    l.observed_at, l.received_at, l.stored_at, h.batch_id, l.leaf
FROM latest_value l JOIN device d USING (device) JOIN device_shown v USING (device)
LEFT JOIN registered_device g ON g.uuid = d.uuid LEFT JOIN batch h ON h.batch = l.batch
LEFT JOIN device_bed_believed b ON b.device = l.device AND b.valid @> l.observed_at
LEFT JOIN device_edge_believed e ON e.device = l.device AND e.valid @> l.observed_at
WHERE l.code <> 0 AND coalesce(v.shown_as = %s, true)
ORDER BY d.device, l.code, l.channel, least(l.observed_at, l.stored_at) DESC, l.batch DESC, l.leaf DESC,
    l.channel_index
"""


def latest(conn: psycopg.Connection, device: UUID | None = None) -> list[LatestValue]:
    """The newest value of each channel that has a code, device by device; of one device alone where it is named."""
    return conn.cursor(row_factory=class_row(LatestValue)).execute(_LATEST_SQL, (device,)).fetchall()


_LABELS_SQL = """
SELECT v.shown_as, c.code, c.channel, min(coalesce(nullif(c.label, ''), nullif(c.words ->> 'label', ''),
    nullif(c.words ->> 'body_site', ''), nullif(c.words ->> 'handle', ''), nullif(c.words ->> 'ordinals', '')))
FROM channel c JOIN device_shown v USING (device) GROUP BY 1, 2, 3 HAVING count(*) = 1
"""


def channel_labels(conn: psycopg.Connection) -> dict[tuple[UUID, int, int], str]:
    """What people or the sender call each channel (device as `DeviceRow.shown_as`, code, number).

    None where two word lists share a number.
    """
    return {(device, code, channel): label for device, code, channel, label in conn.execute(_LABELS_SQL) if label}


# From minute to minute, by the values in the earlier one; of each channel's six newest minutes within a day.
_INTERVALS_SQL = """
SELECT v.shown_as, l.code, l.channel, percentile_disc(0.5) WITHIN GROUP (ORDER BY every_ms)::int8
FROM latest_value l JOIN device_shown v USING (device)
CROSS JOIN LATERAL (
    SELECT extract(epoch FROM lead(minute) OVER (ORDER BY minute) - minute) * 1000 / count AS every_ms
    FROM (SELECT m.minute, m.count[l.channel_index] AS count FROM report_minute m
          WHERE m.device = l.device AND m.channel_set = l.channel_set AND m.count[l.channel_index] > 0
              AND m.minute > l.observed_at - interval '1 day' AND m.minute <= l.observed_at
          ORDER BY m.minute DESC LIMIT 6) AS newest) AS gaps
WHERE l.code <> 0 AND every_ms IS NOT NULL GROUP BY 1, 2, 3
"""


def intervals(conn: psycopg.Connection) -> dict[tuple[UUID, int, int], int]:
    """How often each channel (device, code, number) has spoken of late, in ms, as far as two minutes tell it."""
    return {(device, code, channel): ms for device, code, channel, ms in conn.execute(_INTERVALS_SQL)}


_LAST_RECEIVED_SQL = """
SELECT v.shown_as, max(r.at) FROM (
    SELECT device, received_at AS at FROM latest
    UNION ALL SELECT l.device, c.at FROM latest_by_channel l
        CROSS JOIN unnest(l.received_at, l.leaf) AS c (at, leaf) WHERE c.leaf >= 0) AS r
JOIN device_shown v USING (device) GROUP BY v.shown_as
"""


def last_received(conn: psycopg.Connection) -> dict[UUID, datetime]:
    """When the newest value of each device came to its edge, by DeviceRow.shown_as; not of one that never sent any."""
    return dict(conn.execute(_LAST_RECEIVED_SQL).fetchall())


# --- in columns ------------------------------------------------------------------------------------------------------


class ChannelSet(NamedTuple):
    """The channels that a row of `latest` has values of, in its order; `unit` is as sent."""

    code: list[int]
    unit: list[int]
    channel: list[int]


@dataclass(frozen=True)
class LatestRows:
    """Rows of `latest` of one channel set, in columns; two dimensions are a line a row and a column a channel.

    A row of `latest_by_channel`, whose channels have a moment each, is here a row a channel, of a channel set of its
    own with a negative number. Instants are in microseconds since 1970. `value` is NaN where there is none. `text` has
    the words of codes and texts by (row, channel's place).
    """

    channel_set: int
    device: NDArray[np.int64]
    observed_at_us: NDArray[np.int64]
    received_at_us: NDArray[np.int64]
    stored_at_us: NDArray[np.int64]
    flags: NDArray[np.int64]
    value: NDArray[np.float64]
    validity: NDArray[np.int64]
    validation_result: NDArray[np.int64]
    text: dict[tuple[int, int], str]


class Changes:
    """Reads of `latest` what is new since the reading before; for one connection."""

    def __init__(self) -> None:
        self._heads: dict[tuple[int, bytes], bytes] = {}  # of the rows that were read: by channel set and device
        self._newest_us: int | None = None
        self._looked_at_us = 0  # the newest stamp that `has_news` met
        self._whole_at_s = -WHOLE_EVERY_S

    def read(self, conn: psycopg.Connection) -> list[LatestRows]:
        """The rows that are new or changed, by channel set; everything at first."""
        now_s, since_us = time.monotonic(), self._newest_us
        if now_s - self._whole_at_s >= WHOLE_EVERY_S:
            since_us, self._whole_at_s = None, now_s
        changed: dict[int, list[Any]] = {}
        cursor = conn.cursor(binary=True).execute(_CHANGED_SQL, {"since": since_us, "overlap": OVERLAP_S})
        for row in cursor.fetchall():
            channel_set, head, *_ = row
            device = (channel_set, head[:_DEVICE_BYTES])
            if self._heads.get(device) != head:
                self._heads[device] = head
                changed.setdefault(channel_set, []).append(row)
        found = [_columns(channel_set, rows) for channel_set, rows in changed.items()]
        newest_us = [int(rows.stored_at_us.max()) - POSTGRES_EPOCH_US for rows in found]
        self._newest_us = max([*newest_us, *filter(None, [self._newest_us])], default=None)
        return found

    def has_news(self, conn: psycopg.Connection) -> bool:
        """Whether a row is stamped later than all that were read, or that this met: a small part of a reading's cost.

        Not of a row that an earlier stamp brings: `read` alone finds it.
        """
        row = conn.execute(_NEWEST_SQL).fetchone()
        newest_us = row[0] if row is not None and row[0] is not None else 0
        known_us = max(self._newest_us or 0, self._looked_at_us)
        self._looked_at_us = max(known_us, newest_us)
        return bool(newest_us > known_us)


# In microseconds since 2000.
_NEWEST_SQL = """
SELECT (extract(epoch FROM greatest((SELECT max(stored_at) FROM latest),
    (SELECT max(changed_at) FROM latest_by_channel)) - timestamptz '2000-01-01Z') * 1000000)::int8
"""


# A row that does not fit its channel set is none that the writer made: `verify` finds it, and no page shows it.
# The head: fixed widths in network order. An array without nulls, as array_send writes it: 20 bytes, then each element
# after its length. NaN stands for null: no value is NaN.
_DEVICE_BYTES = 4
_ARRAY_HEAD_BYTES = 20
_SINCE = """(least(timestamptz '2000-01-01Z' + %(since)s::int8 * interval '1 microsecond', now())
            - %(overlap)s::float8 * interval '1 second')"""
_INDEX_BITS = 16  # a report has fewer records
_CHANGED_SQL = """
SELECT channel_set, int4send(device) || timestamptz_send(observed_at) || timestamptz_send(received_at)
        || timestamptz_send(stored_at) || int2send(flags) || int8send(batch) || int4send(leaf),
    array_send(array_replace(value, NULL, 'NaN')), array_send(validity), array_send(validation_result), texts::text
FROM latest JOIN device USING (device) JOIN channel_set AS s USING (channel_set)
WHERE (%(since)s::int8 IS NULL OR stored_at > @SINCE)
    AND cardinality(value) = cardinality(s.code)
    AND coalesce(cardinality(validity), cardinality(s.code)) = cardinality(s.code)
    AND coalesce(cardinality(validation_result), cardinality(s.code)) = cardinality(s.code)
UNION ALL
SELECT -(channel_set::int8 << @INDEX_BITS | i), int4send(device) || timestamptz_send(l.observed_at[i])
        || timestamptz_send(l.received_at[i]) || timestamptz_send(l.stored_at[i]) || int2send(l.flags[i])
        || int8send(l.batch[i]) || int4send(l.leaf[i]),
    array_send(l.value[i : i]), array_send(l.validity[i : i]), array_send(l.validation_result[i : i]),
    CASE WHEN l.texts ? i::text
        THEN jsonb_build_array(jsonb_build_object('record', 0, 'text', l.texts -> i::text))::text END
FROM latest_by_channel l JOIN device USING (device) JOIN channel_set AS s USING (channel_set)
CROSS JOIN LATERAL generate_subscripts(s.code, 1) AS i
WHERE (%(since)s::int8 IS NULL OR changed_at > @SINCE)
    AND (%(since)s::int8 IS NULL OR l.stored_at[i] > @SINCE) AND l.leaf[i] >= 0 AND num_nulls(l.observed_at[i],
        l.received_at[i], l.stored_at[i], l.flags[i], l.batch[i], l.value[i], l.validity[i], l.validation_result[i]) = 0
""".replace("@SINCE", _SINCE).replace("@INDEX_BITS", str(_INDEX_BITS))


def _columns(channel_set: int, rows: Sequence[Any]) -> LatestRows:
    _, heads, values, validities, validation_results, texts = zip(*rows, strict=True)
    matrix = np.frombuffer(b"".join(heads), np.uint8).reshape(len(rows), -1)
    device, observed, received, stored, flags = (
        np.ascontiguousarray(matrix[:, begin:end]).view(kind).astype(np.int64).ravel()
        for begin, end, kind in ((0, 4, ">i4"), (4, 12, ">i8"), (12, 20, ">i8"), (20, 28, ">i8"), (28, 30, ">i2"))
    )
    value = _elements(values, ">f8").astype(np.float64)
    return LatestRows(
        channel_set, device, observed + POSTGRES_EPOCH_US, received + POSTGRES_EPOCH_US, stored + POSTGRES_EPOCH_US,
        flags, value, _or_zero(validities, value.shape), _or_zero(validation_results, value.shape), _texts(texts),
    )  # fmt: skip


def _elements(arrays: Sequence[bytes], kind: str) -> NDArray[Any]:
    """The elements of as many arrays of one length, a line an array."""
    length, size = len(arrays[0]), np.dtype(kind).itemsize
    matrix = np.frombuffer(b"".join(arrays), np.uint8).reshape(len(arrays), length)
    elements = matrix[:, _ARRAY_HEAD_BYTES:].reshape(len(arrays), -1, 4 + size)
    return np.ascontiguousarray(elements[:, :, 4:]).view(kind).reshape(len(arrays), -1)


def _or_zero(arrays: Sequence[bytes | None], shape: tuple[int, ...]) -> NDArray[np.int64]:
    """The same for arrays that may be null: then all are 0."""
    out = np.zeros(shape, np.int64)
    if stated := {i: array for i, array in enumerate(arrays) if array is not None}:
        out[list(stated)] = _elements(list(stated.values()), ">i2")
    return out


def _texts(texts: Sequence[str | None]) -> dict[tuple[int, int], str]:
    found = {}
    for row, text in enumerate(texts):
        for record, words in words_of(text).items() if text else ():
            found[row, record] = words
    return found


def channel_sets(conn: psycopg.Connection, numbers: Iterable[int]) -> dict[int, ChannelSet]:
    """What these rows' values are of."""
    asked = list(numbers)
    single = {number: divmod(-number, 1 << _INDEX_BITS) for number in asked if number < 0}
    whole = {number for number in asked if number >= 0} | {superset for superset, _ in single.values()}
    sql = "SELECT channel_set, code, unit, channel FROM channel_set WHERE channel_set = ANY(%s)"
    found = {row[0]: ChannelSet(*row[1:]) for row in conn.execute(sql, (list(whole),))}
    out = {number: found[number] for number in asked if number in found}
    for number, (superset, index) in single.items():
        if superset in found:
            out[number] = ChannelSet(*(column[index - 1 : index] for column in found[superset]))
    return out


def device_ids(conn: psycopg.Connection, numbers: Iterable[int]) -> dict[int, UUID]:
    """Who these devices are on a screen: `DeviceRow.shown_as`."""
    sql = "SELECT device, shown_as FROM device_shown WHERE device = ANY(%s)"
    return dict(conn.execute(sql, (list(numbers),)).fetchall())
