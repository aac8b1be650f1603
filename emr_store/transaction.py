"""The one transaction that makes a vital sign part of the record: rows, sealed bytes, ledger, receipts, or nothing.

Effect exactly once: the ledger's row of a stream says which batch numbers are kept; what is there already stores
nothing and gets its receipt again. Nothing is signed here, and no lock is held that all writers need.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import psycopg

from emr_store import (
    attribution_queue,
    batches,
    chart_queue,
    dead_letters,
    device_state,
    outbox,
    reports,
    rows,
    sequences,
)
from emr_store.channel_sets import ChannelSets
from emr_store.chart_queue import EachMetrics
from emr_store.devices import Devices, note_events
from emr_store.latest_by_channel import LatestByChannel
from emr_store.ledger import Ledger
from emr_store.partitions import Partitions
from emr_store.signed_block import BlockBatch, SignedBlock, batches_of
from emr_store.supersets import Supersets
from evidence.dead_letter import DeadLetter
from schemas.identity import BatchId, EdgeId


@dataclass
class Written:
    """What one transaction did."""

    reports: int = 0
    values: int = 0
    batches: int = 0
    duplicates: int = 0
    dead_letters: int = 0
    evicted_dead_letters: int = 0  # older ones that no edge let go of for them (dead_letters.EVICTABLE_MAX)
    replaced_spools: list[EdgeId] = field(default_factory=list)  # edges that send from another spool than before
    conflicts: list[BatchId] = field(default_factory=list)  # ids of batches whose number another one has


class Writer:
    """Stores signed blocks over one connection; its caches are of rows that never change."""

    def __init__(self, conn: psycopg.Connection, each_metrics: EachMetrics | None = None) -> None:
        """`each_metrics`: those whose values are charted at once; None: none."""
        self._conn = conn
        self._each_metrics = each_metrics or EachMetrics()
        self._devices = Devices(conn)
        self._channel_sets = ChannelSets(conn)
        self._supersets = Supersets(conn, self._channel_sets)
        self._latest_by_channel = LatestByChannel(conn)
        self._partitions: Partitions | None = None

    def close(self) -> None:
        """End its connection."""
        self._conn.close()

    def store(self, blocks: Sequence[SignedBlock], letters: Sequence[DeadLetter]) -> Written:
        """Store blocks and dead letters in one transaction. Nothing is kept where it raises (psycopg.Error)."""
        if self._partitions is None:
            self._partitions = Partitions.of(self._conn)
            self._conn.execute("SET synchronous_commit = on")
            rows.prepare(self._conn)
            self._latest_by_channel.prepare()
        try:
            with self._conn.transaction():
                written = self._transaction(batches_of(blocks), letters, self._partitions)
        except BaseException:
            self._devices.rolled_back()
            self._channel_sets.rolled_back()
            self._supersets.rolled_back()
            self._latest_by_channel.rolled_back()
            raise
        self._devices.committed()
        self._channel_sets.committed()
        self._supersets.committed()
        return written

    def _transaction(
        self, found: Sequence[BlockBatch], letters: Sequence[DeadLetter], partitions: Partitions
    ) -> Written:
        ledger = Ledger(self._conn)
        ledger.lock([batch.header for batch in found] + dead_letters.headers(letters))
        split = ledger.split_duplicates(found)
        written = Written(
            duplicates=len(split.duplicates),
            dead_letters=len(letters),
            replaced_spools=ledger.replaced_spools,
            conflicts=split.conflicts,
        )
        if split.new:
            self._store_new(split.new, ledger, partitions, written)
        outcomes = [outbox.stored(batch) for batch in found]
        for letter in letters:
            kept = dead_letters.keep(self._conn, ledger, letter)
            outcomes += kept.outcomes
            written.evicted_dead_letters += kept.evicted
        outbox.put(self._conn, outcomes)
        ledger.write()
        return written

    def _store_new(self, new: Sequence[BlockBatch], ledger: Ledger, partitions: Partitions, written: Written) -> None:
        numbered = batches.number(self._conn, new)
        partitions.ensure_bodies(self._conn, [(int(each.batch.header.lane), each.number) for each in numbered])
        chunk = batches.joined(numbered, self._devices, self._channel_sets)
        chunk = self._supersets.assign(chunk)
        partitions.ensure(self._conn, chunk.observed_at_us)
        reports.put(self._conn, chunk)
        rows.put(self._conn, chunk)
        self._latest_by_channel.put(chunk)
        sequences.note(self._conn, chunk, batches.of_reports(numbered, [batch.header.spool for batch in new]))
        device_state.write(self._conn, chunk)
        note_events(self._conn, chunk, batches.of_reports(numbered, [batch.header.edge for batch in new]))
        batches.put(self._conn, numbered)
        attribution_queue.put(self._conn, numbered, chunk)
        chart_queue.put(self._conn, chunk, time.time_ns() // 1000, self._each_metrics.codes)
        ledger.count_stored([batch.header for batch in new], chunk.validation_results)
        written.reports, written.values, written.batches = len(chunk.table), len(chunk.validation_results), len(new)
