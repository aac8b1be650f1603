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

from emr_store import log, mapping_acts, minutes, rows
from emr_store.channel_sets import ChannelSets
from emr_store.devices import Devices
from emr_store.ledger import Ledger
from emr_store.log import LogKey
from emr_store.mapping_acts import CHUNK_BATCHES, WaitingAct
from emr_store.rows import Lot
from emr_store.verification import Remap, Revalidate
from evidence.block_seal import NO_TRAVEL, BlockSeal, validation_leaf
from evidence.seal import open_body
from evidence.tree import merkle_root
from schemas.batch import Header, Table
from schemas.block import CONTEXT_FLAGS, VALIDATION_BYTES_MAX, ReportFlag, parted, validation_arrays
from schemas.filed_at import filed_at_us
from schemas.nomenclature import NOMENCLATURE_HASH
from schemas.report import Kind

_Array = NDArray[Any]
CHUNK_REPORTS = 2000  # put anew in one transaction, under one seal: writers of their streams wait meanwhile
_CONTEXT = np.uint16(CONTEXT_FLAGS)
_LOCK = 0x76_77_6D_70  # one at a time works mapping acts off


@dataclass(frozen=True)
class Results:
    """Flags (a report each), verdicts and values (a record each)."""

    flags: _Array
    verdicts: _Array
    values: _Array

    @property
    def validation(self) -> bytes:
        """As a leaf of a seal has it (`Block.validations`)."""
        return self.flags.tobytes() + self.verdicts.tobytes() + self.values.tobytes()


class _Kept(NamedTuple):
    batch: int
    batch_id: bytes
    stored_at_us: int
    sealed: bytes
    validation: bytes
    acts: list[bytes]


@dataclass(frozen=True)
class StoredBatch:
    """A batch as the store has it; `acts` (canonical JSON) are those by which it was validated anew, in order."""

    number: int
    batch_id: bytes
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
        found.append(StoredBatch(kept.batch, bytes(kept.batch_id), kept.stored_at_us, header, table, acts, results))
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
        cells = self.before.cells.view(np.uint8) != self.after.cells.view(np.uint8)
        differs = cells.reshape(len(self.after.cells), -1).any(axis=1)
        return np.flatnonzero(differs | (old.verdicts != new.verdicts) | ~same_value)

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
    flags, verdicts, values = revalidate(after)
    came = batch.results.flags & _CONTEXT
    results = Results((flags & ~_CONTEXT | came).astype("<u2"), verdicts.astype("u1"), values.astype("<f8"))
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
        for part in parted([len(change.reports) for change in found], CHUNK_REPORTS):
            self._transaction(act, found[part])

    def _transaction(self, act: WaitingAct, found: Sequence[Change]) -> None:
        with self._conn.transaction():
            minutes.lock(self._conn)  # before the ledger's rows, for which writers wait
            ledger = Ledger(self._conn)
            ledger.lock([change.batch.header for change in found])
            self._put(act, found)
            for change in found:
                self._replace_rows(change)
                ledger.reclassify(change.batch.header, change.batch.results.verdicts, change.results.verdicts)
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

    def _replace_rows(self, change: Change) -> None:
        devices, channel_sets = Devices(self._conn), ChannelSets(self._conn)
        batch = change.batch
        old = _lot(batch, change.before, batch.results, devices, channel_sets)
        new = _lot(batch, change.after, change.results, devices, channel_sets)
        channel_sets.ensure(old)
        channel_sets.ensure(new)
        moments = new.observed_at_us[change.reports]
        taken = self._conn.execute(_TAKE_SQL, {
            "batch": batch.number, "leaves": change.reports.tolist(), "since": int(moments.min()),
            "until": int(moments.max()),
        })  # fmt: skip
        # Rows that are not there are those that retention took: they stay gone.
        reports = np.array(sorted(leaf for (leaf,) in taken), np.int64)
        if not len(reports):
            return
        rows.copy(self._conn, "report", rows.report_rows(new, reports))
        self._replace_latest(batch, old, new, reports)
        measured = reports[new.table.kind[reports] == Kind.METRIC]
        minutes.retract(self._conn, old.device[measured], old.observed_at_us[measured], old.channel_set[measured])

    def _replace_latest(self, batch: StoredBatch, old: Lot, new: Lot, reports: _Array) -> None:
        """Where these reports, as they were, are shown: what is now the newest there; and where they are the newest."""
        conn = self._conn
        pairs = sorted({(int(lot.device[i]), int(lot.channel_set[i])) for lot in (old, new) for i in reports.tolist()})
        for device, channel_set in _retract_latest(conn, pairs, batch.number, reports.tolist()):
            place = _newest_place(conn, device, channel_set)
            if place is not None:
                self._show(place)
        chartable = np.intersect1d(rows.chartable(new), reports)
        if len(chartable):
            rows.put_latest(conn, new, chartable, batch.stored_at_us)
            rows.clear_latest(conn)

    def _show(self, place: _Place) -> None:
        """Let `latest` show a stored report."""
        for batch in stored_batches(self._conn, [place.batch]):
            channel_sets = ChannelSets(self._conn)
            table = self._remap(batch.sent, batch.acts)
            lot = _lot(batch, table, batch.results, Devices(self._conn), channel_sets)
            channel_sets.ensure(lot)
            rows.put_latest(self._conn, lot, np.array([place.leaf]), batch.stored_at_us)
            rows.clear_latest(self._conn)


@dataclass(frozen=True)
class _Sealed:
    seal: bytes
    leaves: Sequence[bytes]
    signed_at_us: int


def _lot(batch: StoredBatch, table: Table, results: Results, devices: Devices, channel_sets: ChannelSets) -> Lot:
    """A batch as its rows are made of it."""
    count = len(table)
    edges = np.repeat(np.frombuffer(batch.header.edge, "V16"), count)
    return Lot(
        table,
        flags=results.flags,
        verdicts=results.verdicts,
        values=results.values,
        device=devices.numbers(table.device, edges),
        batch=np.full(count, batch.number),
        leaf=np.arange(count),
        observed_at_us=filed_at_us(table.observed_at_us, table.received_at_us),
        channel_set_of=channel_sets.number,
    )


_VALIDATION_COPY = "COPY batch_validation (batch, seal, seal_index, act_id, validation) FROM STDIN (FORMAT BINARY)"
_TAKE_SQL = """
SELECT take_reports(%(batch)s, %(leaves)s::int4[],
    timestamptz '1970-01-01Z' + (%(since)s - 1000000) * interval '1 microsecond',
    timestamptz '1970-01-01Z' + (%(until)s + 1000000) * interval '1 microsecond')
"""


# --- latest ----------------------------------------------------------------------------------------------------------


class _Place(NamedTuple):
    """A stored report."""

    batch: int
    leaf: int


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
    """The newest report of a device with this channel set, of those that `latest` may show (`rows.chartable`).

    A report's moment is never later than its batch was stored: so none that was observed before the moment of the one
    that was observed last is newer than that.
    """
    named = {
        "device": device,
        "channel_set": channel_set,
        "doubted": int(ReportFlag.FUTURE | ReportFlag.FILED_AT_RECEIPT),
    }
    return conn.cursor(row_factory=class_row(_Place)).execute(_NEWEST_PLACE_SQL, named).fetchone()


_SHOWN = """
FROM report r JOIN batch b USING (batch) WHERE r.device = %(device)s AND r.channel_set = %(channel_set)s AND r.kind = 1
    AND r.flags & %(doubted)s = 0 AND cardinality(r.value) > 0
"""
_NEWEST_PLACE_SQL = f"""
WITH last_observed AS MATERIALIZED (
    SELECT least(r.observed_at, b.stored_at) AS moment {_SHOWN} ORDER BY r.observed_at DESC LIMIT 1)
SELECT r.batch, r.leaf {_SHOWN} AND r.observed_at >= (SELECT moment FROM last_observed)
ORDER BY least(r.observed_at, b.stored_at) DESC, r.batch DESC, r.leaf DESC LIMIT 1
"""
