"""What waits for the charter, written in the transaction that stores it: late values, values that are charted at once,
and times whose values became another encounter's.

Numbers of batches are given before COMMIT, so that no cursor over them would be safe. A transaction of live values
without a metric that is charted at once pays for two comparisons of arrays.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, LiteralString, NamedTuple
from uuid import UUID

import numpy as np
import psycopg
from numpy.typing import NDArray
from psycopg.types.range import TimestamptzRange

from clinical.attribution import Whose
from clinical.chart import EntryKey
from clinical.chart_policy import DUE_AFTER_MIN
from emr_store.instants import moment, us_of
from emr_store.rows import MINUTE_US, Chunk, copy, touched_rows
from schemas.nomenclature import METRIC_BY_REFERENCE_ID
from schemas.report import Kind, Mark

# The slot of an older value may have been chosen already. Two minutes less than a slot waits: for as long a transaction
# may last that the charter does not see yet.
LATE_AFTER_US = (DUE_AFTER_MIN - 2) * MINUTE_US
TAKE = 500  # rows of a queue, at once


class Touched(NamedTuple):
    """Values that a device measured in [from, until) are to be charted anew."""

    device: str
    from_us: int
    until_us: int


class TouchedWhose(NamedTuple):
    """Likewise, because they are another encounter's than before; `until_us` None: until now."""

    device: str
    from_us: int
    until_us: int | None
    encounters: tuple[str, ...]


class EachMetrics:
    """The metrics that are charted at once, by their codes; a site may change them while writers work."""

    def __init__(self, reference_ids: Iterable[str] = ()) -> None:
        self.codes: NDArray[Any] = np.zeros(0, np.int64)
        self.replace(reference_ids)

    def replace(self, reference_ids: Iterable[str]) -> None:
        """From now on these."""
        self.codes = np.array(sorted(METRIC_BY_REFERENCE_ID[each].code for each in reference_ids), np.int64)


# --- writing ---------------------------------------------------------------------------------------------------------


def put(conn: psycopg.Connection, chunk: Chunk, now_us: int, each_codes: NDArray[Any]) -> None:
    """Note what of these reports the charter must look at; inside the caller's transaction.

    `each_codes`: of the metrics that are charted at once.
    """
    measured = chunk.table.kind == Kind.METRIC
    late = measured & (chunk.observed_at_us < now_us - LATE_AFTER_US)
    if late.any():
        copy(conn, "chart_late", touched_rows(chunk, np.flatnonzero(late)))
    corrects = (chunk.table.marks & _CORRECTS) != 0
    if corrects.any():
        _put_reports(conn, "chart_corrected", chunk, measured, corrects)
    if len(each_codes):
        _put_reports(conn, "chart_each", chunk, measured, np.isin(chunk.table.code, each_codes))


def _put_reports(
    conn: psycopg.Connection, table: LiteralString, chunk: Chunk, measured: NDArray[Any], records: NDArray[Any]
) -> None:
    """The devices of those reports that have any of these records (bool, a record each), and from when to when."""
    if not records.any():
        return
    reports = np.unique(chunk.table.report_of_record[records])
    reports = reports[measured[reports]]
    devices, of = np.unique(chunk.device[reports], return_inverse=True)
    first = np.full(len(devices), np.iinfo(np.int64).max)
    last = np.full(len(devices), np.iinfo(np.int64).min)
    np.minimum.at(first, of, chunk.observed_at_us[reports])
    np.maximum.at(last, of, chunk.observed_at_us[reports])
    conn.execute(
        f"INSERT INTO {table} SELECT d, {_MOMENT.format(us='f')}, {_MOMENT.format(us='l')}"
        " FROM unnest(%b::int4[], %b::int8[], %b::int8[]) AS t(d, f, l)".encode(),
        [devices.tolist(), first.tolist(), last.tolist()],
    )


_MOMENT = "'epoch'::timestamptz + {us} * interval '1 microsecond'"
_CORRECTS = np.uint8(Mark.CORRECTION | Mark.WITHDRAWAL)


def note_reports(conn: psycopg.Connection, device: NDArray[Any], observed_at_us: NDArray[Any]) -> None:
    """These reports say another thing than before; devices as heard through one edge."""
    pairs = sorted(set(zip((observed_at_us // MINUTE_US * MINUTE_US).tolist(), device.tolist(), strict=True)))
    conn.execute(
        f"INSERT INTO chart_late SELECT {_MOMENT.format(us='m')}, ARRAY[d]"
        " FROM unnest(%b::int8[], %b::int4[]) AS t(m, d)".encode(),
        [[minute for minute, _ in pairs], [number for _, number in pairs]],
    )


def note_whose(conn: psycopg.Connection, device: UUID, before: Sequence[Whose], after: Iterable[Whose]) -> None:
    """Note where `after` gives the device's values to another encounter than `before` did."""
    for touched in changed_encounters(str(device), before, list(after)):
        valid = TimestamptzRange(moment(touched.from_us), moment(touched.until_us))
        conn.execute("INSERT INTO chart_whose VALUES (%s, %s, %s)", (device, valid, list(touched.encounters)))


def changed_encounters(device: str, before: Sequence[Whose], after: Sequence[Whose]) -> list[TouchedWhose]:
    """The intervals in which the two differ, those that touch and name the same encounters as one."""
    bounds = sorted(
        {row.from_us for row in (*before, *after)}
        | {row.until_us for row in (*before, *after) if row.until_us is not None}
    )
    found: list[TouchedWhose] = []
    for from_us, until_us in zip(bounds, [*bounds[1:], None], strict=True):
        was, becomes = _encounter_at(before, from_us), _encounter_at(after, from_us)
        if was == becomes:
            continue
        encounters = tuple(sorted(each for each in (was, becomes) if each is not None))
        if found and found[-1].until_us == from_us and found[-1].encounters == encounters:
            from_us = found.pop().from_us
        found.append(TouchedWhose(device, from_us, until_us, encounters))
    return found


def _encounter_at(rows: Sequence[Whose], at_us: int) -> str | None:
    for row in rows:
        if row.from_us <= at_us and (row.until_us is None or at_us < row.until_us):
            return row.encounter
    return None


# --- taking ----------------------------------------------------------------------------------------------------------


def take_late(conn: psycopg.Connection) -> list[Touched]:
    """Some of the late values, a minute and device each."""
    rows = conn.execute(_TAKE_LATE_SQL, {"take": TAKE}).fetchall()
    return [Touched(str(uuid), us_of(minute), us_of(minute) + MINUTE_US) for uuid, minute in rows]


_TAKE_LATE_SQL = """
WITH taken AS (
    DELETE FROM chart_late WHERE ctid = ANY (ARRAY(SELECT ctid FROM chart_late ORDER BY minute LIMIT %(take)s))
    RETURNING minute, devices)
SELECT DISTINCT d.uuid, t.minute FROM taken t CROSS JOIN LATERAL unnest(t.devices) AS u(device)
JOIN device d ON d.device = u.device ORDER BY 1, 2
"""


def take_each(conn: psycopg.Connection) -> list[Touched]:
    """Some of the values that are charted at once."""
    return _take_reports(conn, "chart_each")


def take_corrected(conn: psycopg.Connection) -> list[Touched]:
    """Some of the values that correct or take back others."""
    return _take_reports(conn, "chart_corrected")


def _take_reports(conn: psycopg.Connection, table: LiteralString) -> list[Touched]:
    rows = conn.execute(
        f"WITH taken AS (DELETE FROM {table} WHERE ctid = ANY (ARRAY(SELECT ctid FROM {table} LIMIT %s))"
        " RETURNING device, since, until)"
        " SELECT d.uuid, t.since, t.until FROM taken t JOIN device d USING (device)".encode(),
        (TAKE,),
    )
    return [Touched(str(uuid), us_of(since), us_of(until) + 1) for uuid, since, until in rows]


def take_whose(conn: psycopg.Connection) -> list[TouchedWhose]:
    """Some of the times whose values are another encounter's than before."""
    rows = conn.execute(_TAKE_WHOSE_SQL, {"take": TAKE}).fetchall()
    return [
        TouchedWhose(str(device), 0 if from_at is None else us_of(from_at), us_of(until_at), tuple(encounters))
        for device, from_at, until_at, encounters in rows
    ]


_TAKE_WHOSE_SQL = """
DELETE FROM chart_whose WHERE ctid = ANY (ARRAY(SELECT ctid FROM chart_whose LIMIT %(take)s))
RETURNING device, lower(valid), upper(valid), encounters
"""


def take_acted(conn: psycopg.Connection) -> list[EntryKey]:
    """Some of the slots in which a person wrote a version."""
    rows = conn.execute(_TAKE_ACTED_SQL, {"take": TAKE}).fetchall()
    return sorted({EntryKey(encounter, item, us_of(slot)) for encounter, item, slot in rows})


_TAKE_ACTED_SQL = """
DELETE FROM chart_acted WHERE ctid = ANY (ARRAY(SELECT ctid FROM chart_acted LIMIT %(take)s))
RETURNING encounter, item, slot
"""
