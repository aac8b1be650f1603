"""Stored batches validated anew by a mapping act: a new seal over them, and their rows brought up to what it says.

What was said of them before stays, under its seal: a batch's validations are those of `batch_body` and, by their seals,
of `batch_validation`. Rows show the newest.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import psycopg
import zstandard
from numpy.typing import NDArray
from psycopg.rows import class_row

from emr_store import chart_queue, log, mapping_acts, minutes, rows
from emr_store.channel_sets import ChannelSets, columns_of
from emr_store.devices import Devices
from emr_store.latest_by_channel import LatestByChannel, Retracted
from emr_store.ledger import Ledger
from emr_store.log import LogKey
from emr_store.mapping_acts import CHUNK_BATCHES, WaitingAct
from emr_store.rows import Chunk
from emr_store.supersets import Supersets
from emr_store.verification import Remap, Revalidate
from evidence.block_seal import NO_TRAVEL, BlockSeal, validation_leaf
from evidence.seal import open_body
from evidence.tree import merkle_root
from schemas.batch import Header, Table
from schemas.block import CONTEXT_FLAGS, VALIDATION_BYTES_MAX, ReportFlag, chunked, validation_arrays
from schemas.filed_at import filed_at_us
from schemas.identity import BatchId
from schemas.nomenclature import NOMENCLATURE_HASH
from schemas.report import Kind

_Array = NDArray[Any]
CHUNK_REPORTS = 2000  # put anew in one transaction, under one seal: writers of their streams wait meanwhile
_CONTEXT = np.uint16(CONTEXT_FLAGS)
_LOCK = 0x76_77_6D_70  # one at a time works mapping acts off


@dataclass(frozen=True)
class Results:
    """Flags (a report each), validation results and values (a record each)."""

    flags: _Array
    validation_results: _Array
    values: _Array

    @property
    def validation(self) -> bytes:
        """As a leaf of a seal has it (`Block.validations`)."""
        return self.flags.tobytes() + self.validation_results.tobytes() + self.values.tobytes()


class _Kept(NamedTuple):
    batch: int
    batch_id: BatchId
    stored_at_us: int
    sealed: bytes
    validation: bytes
    acts: list[bytes]


@dataclass(frozen=True)
class StoredBatch:
    """A batch as the store has it; `acts` (canonical JSON) are those by which it was validated anew, in order."""

    number: int
    batch_id: BatchId
    stored_at_us: int
    header: Header
    sent: Table
    acts: tuple[bytes, ...]
    results: Results  # of the newest validation


def stored_batches(conn: psycopg.Connection, numbers: Sequence[int]) -> list[StoredBatch]:
    """Those of these batches whose bytes are kept, in order."""
    decompress = zstandard.ZstdDecompressor().decompress
    found = []
    for kept in conn.cursor(binary=True, row_factory=class_row(_Kept)).execute(_STORED_SQL, [list(numbers)]):
        header, table = open_body(bytes(kept.sealed), checked=True)
        validation = decompress(bytes(kept.validation), VALIDATION_BYTES_MAX)
        results = Results(*validation_arrays(validation, header.report_count, header.record_count))
        acts = tuple(bytes(body) for body in kept.acts)
        found.append(
            StoredBatch(kept.batch, BatchId(bytes(kept.batch_id)), kept.stored_at_us, header, table, acts, results)
        )
    return found


_STORED_SQL = """
SELECT b.batch, b.batch_id, (extract(epoch FROM b.stored_at) * 1000000)::int8 AS stored_at_us, y.sealed,
    coalesce((SELECT v.validation FROM batch_validation v WHERE v.batch = b.batch ORDER BY v.seal DESC LIMIT 1),
        y.validation) AS validation,
    ARRAY(SELECT a.body FROM batch_validation v JOIN act a USING (act_id) WHERE v.batch = b.batch ORDER BY v.seal)
        AS acts
FROM batch b JOIN batch_body y ON y.lane = b.lane AND y.batch = b.batch WHERE b.batch = ANY(%s) ORDER BY b.batch
"""


@dataclass(frozen=True)
class Change:
    """What an act makes of a stored batch."""

    batch: StoredBatch
    before: Table  # as the acts before have it read
    after: Table
    results: Results

    @cached_property
    def records(self) -> _Array:
        """Which records come out otherwise."""
        old, new = self.batch.results, self.results
        same_value = (old.values == new.values) | (np.isnan(old.values) & np.isnan(new.values))
        records = self.before.records.view(np.uint8) != self.after.records.view(np.uint8)
        differs = records.reshape(len(self.after.records), -1).any(axis=1)
        return np.flatnonzero(differs | (old.validation_results != new.validation_results) | ~same_value)

    @cached_property
    def reports(self) -> _Array:
        """Which reports come out otherwise."""
        differs: _Array = self.batch.results.flags != self.results.flags
        differs[self.after.report_of_record[self.records]] = True
        return np.flatnonzero(differs)


def change_of(batch: StoredBatch, body: bytes, remap: Remap, revalidate: Revalidate) -> Change | None:
    """What an act (canonical JSON) makes of a batch; None where it changes nothing, or has changed it already.

    The flags that say when a batch came are no matter of its bytes: they stay. Raises LayoutError where `remap` does.
    """
    if body in batch.acts:
        return None
    after = remap(batch.sent, (*batch.acts, body))
    if after is batch.sent:
        return None
    flags, validation_results, values = revalidate(after)
    came = batch.results.flags & _CONTEXT
    results = Results((flags & ~_CONTEXT | came).astype("<u2"), validation_results.astype("u1"), values.astype("<f8"))
    change = Change(batch, remap(batch.sent, batch.acts), after, results)
    return change if len(change.reports) else None


# --- the work of the processors --------------------------------------------------------------------------------------


class Revalidation:
    """Works mapping acts off over one connection, in autocommit mode, which is a writer's."""

    def __init__(
        self, conn: psycopg.Connection, *, key: LogKey, remap: Remap, revalidate: Revalidate,
        clock_us: Callable[[], int],
    ) -> None:  # fmt: skip
        self._conn = conn
        self._clock_us = clock_us
        self._key = key
        self._remap = remap
        self._revalidate = revalidate
        conn.execute("SET synchronous_commit = on")
        rows.prepare(conn)
        self._latest_by_channel = LatestByChannel(conn)
        self._latest_by_channel.prepare()

    def work(self) -> bool:
        """Do the next act that waits, whole; False: none waits, or another process is at it.

        What is done stays done where it raises (psycopg.Error, LayoutError).
        """
        row = self._conn.execute("SELECT pg_try_advisory_lock(%s)", [_LOCK]).fetchone()
        if not (row and row[0]):
            return False
        try:
            act = mapping_acts.oldest_waiting(self._conn)
            if act is None:
                return False
            for after, numbers in mapping_acts.candidates(self._conn, act.next_batch, act.last_batch):
                for first in range(0, len(numbers), CHUNK_BATCHES):
                    self._chunk(act, numbers[first : first + CHUNK_BATCHES])
                mapping_acts.advance(self._conn, act.act_id, after)
            mapping_acts.finish(self._conn, act.act_id)
            return True
        finally:
            if not self._conn.closed:
                self._conn.execute("SELECT pg_advisory_unlock(%s)", [_LOCK])

    def _chunk(self, act: WaitingAct, numbers: Sequence[int]) -> None:
        batches = stored_batches(self._conn, numbers)
        changes = [change_of(batch, act.body, self._remap, self._revalidate) for batch in batches]
        found = [change for change in changes if change is not None]
        for part in chunked([len(change.reports) for change in found], CHUNK_REPORTS):
            try:
                self._transaction(act, found[part])
            except BaseException:
                self._latest_by_channel.rolled_back()
                raise

    def _transaction(self, act: WaitingAct, found: Sequence[Change]) -> None:
        with self._conn.transaction():
            minutes.lock(self._conn)  # before the ledger's rows, for which writers wait
            ledger = Ledger(self._conn)
            ledger.lock([change.batch.header for change in found])
            self._put(act, found)
            # Before `latest` is locked, as writers do.
            chunks = [_assigned(self._conn, change.batch, change.after, change.results) for change in found]
            for change, chunk in zip(found, chunks, strict=True):
                self._replace_rows(change, chunk)
                ledger.reclassify(
                    change.batch.header, change.batch.results.validation_results, change.results.validation_results
                )
            ledger.write()
            records = sum(len(change.records) for change in found)
            mapping_acts.advance(self._conn, act.act_id, found[-1].batch.number + 1, len(found), records)

    def _put(self, act: WaitingAct, changes: Sequence[Change]) -> None:
        """A seal over what is said of these batches now."""
        now_us = self._clock_us()
        validations = [change.results.validation for change in changes]
        leaves = [
            validation_leaf(change.batch.batch_id, validation)
            for change, validation in zip(changes, validations, strict=True)
        ]
        seal = BlockSeal(len(changes), now_us, merkle_root(leaves), NOMENCLATURE_HASH, NO_TRAVEL, act.act_id)
        statement = seal.encode(self._key.key_id, self._key.sign)
        (number,) = log.put_seals(self._conn, [_Sealed(statement, leaves, now_us)])
        compressor = zstandard.ZstdCompressor(level=1)
        with self._conn.cursor().copy(_VALIDATION_COPY) as copy:
            copy.set_types(["int8", "int8", "int4", "bytea", "bytea"])
            for index, (change, validation) in enumerate(zip(changes, validations, strict=True)):
                copy.write_row((change.batch.number, number, index, act.act_id, compressor.compress(validation)))

    def _replace_rows(self, change: Change, chunk: Chunk) -> None:
        batch = change.batch
        moments = chunk.observed_at_us[change.reports]
        taken = self._conn.execute(_TAKE_SQL, {
            "batch": batch.number, "leaves": change.reports.tolist(), "since": int(moments.min()),
            "until": int(moments.max()),
        }).fetchall()  # fmt: skip
        # Rows that are not there are those that retention took: they stay gone.
        if not taken:
            return
        old = _Rows(*(np.array(column) for column in zip(*sorted(taken), strict=True)))
        rows.copy(self._conn, "report", rows.report_rows(chunk, old.reports))
        self._replace_latest(batch, old, chunk)
        measured = chunk.table.kind[old.reports] == Kind.METRIC
        reports = old.reports[measured]
        minutes.retract(self._conn, chunk.device[reports], chunk.observed_at_us[reports], old.channel_set[measured])
        chart_queue.note_reports(self._conn, chunk.device[reports], chunk.observed_at_us[reports])

    def _replace_latest(self, batch: StoredBatch, old: _Rows, chunk: Chunk) -> None:
        """Where these reports, as they were, are shown: what is now the newest there; and where they are the newest."""
        conn, reports = self._conn, old.reports
        devices = chunk.device[reports]
        exact = ~old.in_superset, ~chunk.in_superset[reports]
        pairs = {*_pairs(devices[exact[0]], old.channel_set[exact[0]])}
        pairs |= {*_pairs(devices[exact[1]], chunk.channel_set[reports][exact[1]])}
        for device, channel_set in _retract_latest(conn, sorted(pairs), batch.number, reports.tolist()):
            self._show(_newest_place(conn, device, channel_set))
        shown_in_latest = np.intersect1d(rows.shown_in_latest(chunk), reports)
        if not chunk.in_superset[shown_in_latest].all():
            rows.put_latest(conn, chunk, shown_in_latest[~chunk.in_superset[shown_in_latest]], batch.stored_at_us)
            rows.clear_latest(conn)
        if old.in_superset.any():
            changing = np.unique(devices[old.in_superset]).tolist()
            retracted = self._latest_by_channel.retract(changing, batch.number, reports.tolist())
            self._latest_by_channel.clear()
            for channel in retracted:
                self._show(_newest_of_channel(conn, channel))
        self._latest_by_channel.put_reports(chunk, shown_in_latest, batch.stored_at_us)
        self._latest_by_channel.clear()

    def _show(self, place: _Place | None) -> None:
        """Let `latest`, or `latest_by_channel`, show a stored report; None: there is none to be shown."""
        for batch in stored_batches(self._conn, [place.batch]) if place else ():
            assert place is not None
            table = self._remap(batch.sent, batch.acts)
            chunk = _chunk_of_one(self._conn, batch, table, place)
            if place.in_superset:
                self._latest_by_channel.put_reports(chunk, np.array([0]), batch.stored_at_us)
                self._latest_by_channel.clear()
            else:
                rows.put_latest(self._conn, chunk, np.array([0]), batch.stored_at_us)
                rows.clear_latest(self._conn)


class _Rows(NamedTuple):
    """Rows of `report` as they were: of which reports of their batch, and under which list of channels."""

    reports: _Array
    channel_set: _Array
    in_superset: _Array


def _pairs(devices: _Array, channel_sets: _Array) -> list[tuple[int, int]]:
    return list(zip(devices.tolist(), channel_sets.tolist(), strict=True))


@dataclass(frozen=True)
class _Sealed:
    seal: bytes
    leaves: Sequence[bytes]
    signed_at_us: int


def _assigned(conn: psycopg.Connection, batch: StoredBatch, table: Table, results: Results) -> Chunk:
    """A batch as its rows are made of it."""
    channel_sets, count = ChannelSets(conn), len(table)
    edges = np.repeat(np.frombuffer(batch.header.edge, "V16"), count)
    chunk = Chunk(
        table,
        flags=results.flags,
        validation_results=results.validation_results,
        values=results.values,
        device=Devices(conn).numbers(table.device, edges),
        batch=np.full(count, batch.number),
        leaf=np.arange(count),
        observed_at_us=filed_at_us(table.observed_at_us, table.received_at_us),
        channel_set_of=channel_sets.number,
    )
    return Supersets(conn, channel_sets).assign(chunk)


def _chunk_of_one(conn: psycopg.Connection, batch: StoredBatch, table: Table, place: _Place) -> Chunk:
    """One report of a batch, under the list of channels that its row names."""
    leaf = place.leaf
    records = slice(int(table.record_start[leaf]), int(table.record_start[leaf + 1]))
    tail = slice(int(table.tail_start[leaf]), int(table.tail_start[leaf + 1]))
    one = Table(table.rows[leaf : leaf + 1], table.records[records], table.tails[tail])
    results = batch.results
    return Chunk(
        one,
        flags=results.flags[leaf : leaf + 1],
        validation_results=results.validation_results[records],
        values=results.values[records],
        device=Devices(conn).numbers(one.device, np.frombuffer(batch.header.edge, "V16")),
        batch=np.array([batch.number]),
        leaf=np.array([leaf]),
        observed_at_us=filed_at_us(one.observed_at_us, one.received_at_us),
        channel_set_of=lambda _: place.channel_set,
        superset=np.array([place.channel_set if place.in_superset else 0]),
        superset_channels={place.channel_set: place.channels},
    )


_VALIDATION_COPY = "COPY batch_validation (batch, seal, seal_index, act_id, validation) FROM STDIN (FORMAT BINARY)"
_TAKE_SQL = """
SELECT * FROM take_reports(%(batch)s, %(leaves)s::int4[],
    timestamptz '1970-01-01Z' + (%(since)s - 1000000) * interval '1 microsecond',
    timestamptz '1970-01-01Z' + (%(until)s + 1000000) * interval '1 microsecond')
"""


# --- latest ----------------------------------------------------------------------------------------------------------


class _Place(NamedTuple):
    """A stored report, and the list of channels (12 bytes a channel) that its row names."""

    batch: int
    leaf: int
    channel_set: int
    channels: bytes
    in_superset: bool


def _retract_latest(
    conn: psycopg.Connection, pairs: Sequence[tuple[int, int]], batch: int, leaves: Sequence[int]
) -> list[tuple[int, int]]:
    """Take these reports out of `latest`, where they are shown; of which devices and channel sets, of `pairs`.

    All of `pairs` are locked, in the writers' order.
    """
    named = {
        "devices": [device for device, _ in pairs],
        "channel_sets": [channel_set for _, channel_set in pairs],
        "batch": batch,
        "leaves": list(leaves),
    }
    conn.execute(_LOCK_LATEST_SQL, named)
    return conn.execute(_RETRACT_LATEST_SQL, named).fetchall()


_OF_PAIRS = "(l.device, l.channel_set) IN (SELECT * FROM unnest(%(devices)s::int4[], %(channel_sets)s::int4[]))"
_LOCK_LATEST_SQL = f"SELECT FROM latest l WHERE {_OF_PAIRS} ORDER BY l.device, l.channel_set FOR UPDATE"
_RETRACT_LATEST_SQL = f"""
DELETE FROM latest l WHERE {_OF_PAIRS} AND l.batch = %(batch)s AND l.leaf = ANY(%(leaves)s::int4[])
RETURNING l.device, l.channel_set
"""


def _newest_place(conn: psycopg.Connection, device: int, channel_set: int) -> _Place | None:
    """The newest report of a device with exactly this list of channels, of those that may be shown."""
    return _newest(conn, _NEWEST_PLACE_SQL, {"device": device, "channel_set": channel_set})


def _newest_of_channel(conn: psycopg.Connection, channel: Retracted) -> _Place | None:
    """The newest report of a device that has this channel, of those under its superset that may be shown."""
    code, unit, number = (column[0] for column in columns_of(channel.channel))
    named = {"code": code, "unit": unit, "channel": number, "nth": channel.earlier_equal + 1}
    places = conn.execute(_PLACES_SQL, named).fetchall()
    sets, indices = [number for number, _ in places], [index for _, index in places]
    return _newest(conn, _NEWEST_OF_CHANNEL_SQL, {"device": channel.device, "sets": sets, "indices": indices})


def _newest(conn: psycopg.Connection, sql: str, named: dict[str, Any]) -> _Place | None:
    doubted = int(ReportFlag.FUTURE | ReportFlag.FILED_AT_RECEIPT)  # as `rows.shown_in_latest`
    cursor = conn.cursor(binary=True, row_factory=class_row(_Place))
    return cursor.execute(sql.encode(), named | {"doubted": doubted}).fetchone()


def _newest_sql(which: str) -> str:
    """The newest of these reports.

    A report's moment is never later than its batch was stored: so none that was observed before the moment of the one
    that was observed last is newer than that.
    """
    shown = f"""
FROM report r JOIN batch b USING (batch) JOIN channel_set s USING (channel_set)
WHERE r.device = %(device)s AND {which} AND r.kind = 1 AND r.flags & %(doubted)s = 0 AND cardinality(r.value) > 0
"""
    return f"""
WITH last_observed AS MATERIALIZED (
    SELECT least(r.observed_at, b.stored_at) AS moment {shown} ORDER BY r.observed_at DESC LIMIT 1)
SELECT r.batch, r.leaf, r.channel_set, s.channels, r.channel_index IS NOT NULL AS in_superset
{shown} AND r.observed_at >= (SELECT moment FROM last_observed)
ORDER BY least(r.observed_at, b.stored_at) DESC, r.batch DESC, r.leaf DESC LIMIT 1
"""


_NEWEST_PLACE_SQL = _newest_sql("r.channel_set = %(channel_set)s AND r.channel_index IS NULL")
_NEWEST_OF_CHANNEL_SQL = _newest_sql(
    "EXISTS (SELECT FROM unnest(%(sets)s::int4[], %(indices)s::int2[]) AS p(channel_set, i)"
    " WHERE p.channel_set = r.channel_set AND p.i = ANY(r.channel_index))"
)
# Of equal channels the first of a report has the first of the list, and so on.
_PLACES_SQL = """
SELECT channel_set, i FROM (
    SELECT s.channel_set, u.i, row_number() OVER (PARTITION BY s.channel_set ORDER BY u.i) AS nth
    FROM channel_set s CROSS JOIN LATERAL unnest(s.code, s.unit, s.channel) WITH ORDINALITY AS u(code, unit, channel, i)
    WHERE u.code = %(code)s AND u.unit = %(unit)s AND u.channel = %(channel)s) AS equal WHERE nth = %(nth)s
"""
