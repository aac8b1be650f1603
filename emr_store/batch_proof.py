"""The batches, read once in the order of their numbers: bytes, signature, tree, place in the seal, validation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple
from uuid import UUID

import numpy as np
import psycopg
import zstandard
from numpy.typing import NDArray
from psycopg.rows import class_row

from emr_store.seal_proof import CONTEXT_MASK, KnownLeaves, SealPlaces
from emr_store.validation_proof import LaterValidations
from emr_store.verification import NUMBER_MAX, Revalidate, Verification
from evidence.block_seal import NO_ACT, BlockSeal, read_seal, validation_leaf
from evidence.seal import batch_id, open_body
from evidence.tree import merkle_root, table_leaves
from evidence.verification import BatchHead, KeyRing, StreamLinks, batch_words, check_head
from schemas.batch import Header, Table, check
from schemas.block import VALIDATION_BYTES_MAX, validation_arrays
from schemas.errors import LayoutError, LayoutReason
from schemas.identity import BatchId, EdgeId, SpoolId
from schemas.layout import PLAIN_BYTES_MAX, RECORD, REPORT_ROW
from schemas.report import Lane

_Array = NDArray[Any]
_FETCH = 5000
WINDOW_BYTES = 48 * 1024 * 1024  # of plain reports and records, held at once


class HeadRow(NamedTuple):
    """A row of `batch`, and of its seal what it needs."""

    batch: int
    edge: UUID
    spool: UUID
    lane: int
    batch_no: int
    batch_id: BatchId
    seal: int
    seal_index: int
    created_at_us: int
    stored_at_us: int
    reports: int
    records: int
    sealed: bytes | None
    validation: bytes | None
    statement: bytes | None
    leaf: bytes | None

    @property
    def where(self) -> str:
        """In words, for people."""
        return batch_words(BatchId(bytes(self.batch_id)), EdgeId(self.edge.bytes), self.lane, self.batch_no)

    @property
    def head(self) -> BatchHead:
        """As its edge would have signed it."""
        return BatchHead(
            BatchId(bytes(self.batch_id)), EdgeId(self.edge.bytes), SpoolId(self.spool.bytes), self.lane, self.batch_no,
            self.created_at_us, self.reports, self.records,
        )  # fmt: skip


@dataclass(frozen=True)
class OpenedBatch:
    """A batch whose bytes are whole, and its validation results: those that were signed."""

    row: HeadRow
    header: Header
    table: Table
    validation: bytes
    nomenclature_hash: bytes

    @cached_property
    def results(self) -> tuple[_Array, _Array, _Array]:
        """Flags, validation results, values."""
        return validation_arrays(self.validation, self.header.report_count, self.header.record_count)


@dataclass
class Window:
    """The batches from `first` to, but not, `after`, as their newest validation has them.

    Rows of a batch in `damaged` rest on nothing that can be read. Of one in `emptied` retention took the bytes: it has
    so many reports, and no more is known of what its rows say.
    """

    first: int
    after: int
    batches: list[OpenedBatch] = field(default_factory=list)
    earlier: list[OpenedBatch] = field(default_factory=list)  # as they were before an act had them validated anew
    damaged: set[int] = field(default_factory=set)
    emptied: dict[int, int] = field(default_factory=dict)
    may_lack_channel_words: bool = False  # some of those bytes may have described channels
    words: dict[int, str] = field(default_factory=dict)  # of each batch by its number

    def place(self, batch: int, leaf: int) -> str:
        """A row's place in words; this database's own number where it has no such batch."""
        return f"{self.words.get(batch, f'batch number {batch} of this database')} leaf {leaf}"

    def rests_on_nothing(self, batch: int, leaf: int) -> bool:
        """Whether a row may be there though no report can be read that stands behind it."""
        return batch in self.damaged or 0 <= leaf < self.emptied.get(batch, 0)

    @cached_property
    def table(self) -> Table:
        """All reports."""
        return Table.join([batch.table for batch in self.batches])

    @cached_property
    def results(self) -> tuple[_Array, _Array, _Array]:
        """Flags, validation results, values of all reports and records."""
        flags, validation_results, values = zip(*(batch.results for batch in self.batches), strict=True)
        return np.concatenate(flags), np.concatenate(validation_results), np.concatenate(values)

    @cached_property
    def counts(self) -> list[int]:
        """Reports a batch."""
        return [len(batch.table) for batch in self.batches]

    def per_report(self, values: Sequence[Any]) -> _Array:
        """A value a batch, said for each of its reports."""
        return np.repeat(np.array(values), self.counts)

    @cached_property
    def batch(self) -> _Array:
        """The number of each report's batch."""
        return self.per_report([batch.row.batch for batch in self.batches])

    @cached_property
    def stored_at_us(self) -> _Array:
        """When the store kept each report's batch, as it says itself."""
        return self.per_report([batch.row.stored_at_us for batch in self.batches])

    @cached_property
    def leaf(self) -> _Array:
        """Each report's place in its batch."""
        return np.concatenate([np.arange(count) for count in self.counts])

    def where(self, report: int) -> str:
        """A report in words."""
        batch = self.batches[int(np.searchsorted(np.cumsum(self.counts), report, side="right"))]
        return f"{batch.row.where} leaf {int(self.leaf[report])}"


# A range is said of each table that is joined: the planner draws no such conclusion, and would read the whole of it.
_HEADS_SQL = "SELECT batch, reports, records FROM batch WHERE batch >= %s ORDER BY batch"
_BODIES_SQL = """
SELECT b.batch, b.edge, b.spool, b.lane, b.batch_no, b.batch_id, b.seal, b.seal_index,
    (extract(epoch FROM b.created_at) * 1000000)::int8 AS created_at_us,
    CASE WHEN isfinite(b.stored_at) THEN (extract(epoch FROM b.stored_at) * 1000000)::int8 ELSE %(infinite)s
    END AS stored_at_us, b.reports, b.records, y.sealed, y.validation,
    s.statement, substr(s.leaves, 1 + 32 * b.seal_index, 32) AS leaf
FROM batch b
LEFT JOIN batch_body y ON y.lane = b.lane AND y.batch = b.batch AND y.batch >= %(first)s AND y.batch < %(after)s
LEFT JOIN seal s ON s.seal = b.seal
WHERE b.batch >= %(first)s AND b.batch < %(after)s ORDER BY b.batch
"""
_DOUBLED_SQL = """
SELECT batch_no FROM batch WHERE spool = %s AND lane = %s AND edge = %s AND batch_no = ANY(%s)
GROUP BY batch_no HAVING count(*) > 1
"""
_BODIES_WITHOUT_HEAD_SQL = """
SELECT y.sealed FROM batch_body y WHERE y.batch >= %(first)s AND y.batch < %(after)s
    AND NOT EXISTS (SELECT FROM batch b WHERE b.batch = y.batch AND b.lane = y.lane
        AND b.batch >= %(first)s AND b.batch < %(after)s)
ORDER BY y.batch
"""


def windows(conn: psycopg.Connection, first_batch: int) -> Iterator[tuple[int, int]]:
    """Ranges of batch numbers, without gaps, of a size that is held at once; the last one is open."""
    first, size = first_batch, 0
    with conn.cursor(name="heads", binary=True) as cursor:
        cursor.itersize = _FETCH
        cursor.execute(_HEADS_SQL, (first_batch,))
        for number, reports, records in cursor:
            plain = max(0, reports) * REPORT_ROW.itemsize + max(0, records) * RECORD.itemsize
            if size and size + plain > WINDOW_BYTES:
                yield first, number
                first, size = number, 0
            size += min(plain, PLAIN_BYTES_MAX)  # what the row says may be anything
    yield first, NUMBER_MAX


class BatchProof:
    """Step 4 and 5 for one window after another."""

    def __init__(
        self, conn: psycopg.Connection, edge_keys: KeyRing, later: LaterValidations, result: Verification
    ) -> None:  # fmt: skip
        self.places = SealPlaces()
        self._later = later
        self.known = KnownLeaves()
        self._conn = conn
        self._keys = edge_keys
        self._result = result
        self._links = StreamLinks()
        self._seals: dict[int, BlockSeal | None] = {}
        self._decompress = zstandard.ZstdDecompressor().decompress
        self._edge_of = {bytes(ident): edge.bytes for ident, edge in conn.execute("SELECT key_id, edge FROM edge_key")}
        self._dropped = [
            (lane, first, after)
            for lane, first, after in conn.execute("SELECT lane, first_batch, after_batch FROM dropped_body")
        ]

    def open(self, first: int, after: int) -> Window:
        """The batches of a window, what does not hold of them noted."""
        window = Window(first, after)
        self._seals.clear()
        with self._conn.cursor(binary=True, row_factory=class_row(HeadRow)) as cursor:
            for row in cursor.execute(_BODIES_SQL, {"first": first, "after": after, "infinite": NUMBER_MAX}):
                window.words[row.batch] = row.where
                self._account(row)
                opened = self._open(row, window)
                if opened is not None:
                    window.batches.append(opened)
        for (sealed,) in self._conn.execute(_BODIES_WITHOUT_HEAD_SQL, {"first": first, "after": after}):
            ident = batch_id(bytes(sealed)).hex()
            self._result.add(f"batch {ident}", "its bytes are kept, and its row in the list of batches is gone")
        self._drop_what_is_not_canonical(window)
        self._apply_later(window)
        return window

    def _apply_later(self, window: Window) -> None:
        later = self._later.of(window.first, window.after, self.places.account)
        if not later:
            return
        newest = []
        for batch in window.batches:
            opened = [batch, *self._later.open(batch, later[batch.row.batch])] if batch.row.batch in later else [batch]
            newest.append(opened.pop())
            window.earlier += opened
        if window.earlier:
            window.__dict__.pop("table", None)  # of what was before
        window.batches = newest

    def _seal(self, row: HeadRow) -> BlockSeal | None:
        if row.seal not in self._seals:
            self._seals[row.seal] = None
            if row.statement is not None:
                with suppress(LayoutError):  # a finding of the seal
                    self._seals[row.seal] = read_seal(bytes(row.statement))[0]
        return self._seals[row.seal]

    def _account(self, row: HeadRow) -> None:
        seal = self._seal(row)
        if row.statement is None:
            self._result.add(row.where, f"the seal {row.seal} that it names is gone")
        elif seal is not None:
            self.places.nomenclatures.add(seal.nomenclature_hash)
            if not self.places.account(row.seal, seal.batches, row.seal_index):
                self._result.add(row.where, f"its place in seal {row.seal} is another batch's, or none")
            if seal.act_id != NO_ACT:
                self._result.add(row.where, f"the seal {row.seal} that it names is that of an act, and not its first")

    def _open(self, row: HeadRow, window: Window) -> OpenedBatch | None:
        if row.sealed is None or row.validation is None:
            self._note_missing(row, window)
            return None
        sealed = bytes(row.sealed)
        try:
            header, table = open_body(sealed, checked=True)
            if merkle_root(table_leaves(table)) != header.root:
                raise LayoutError(LayoutReason.ROOT)
            validation = self._decompress(bytes(row.validation), VALIDATION_BYTES_MAX)
            validation_arrays(validation, header.report_count, header.record_count)
        except (LayoutError, zstandard.ZstdError) as error:
            self._result.add(row.where, f"its bytes are damaged ({error}): its rows rest on nothing")
            window.damaged.add(row.batch)
            return None
        ident = row.head.batch_id
        self._result.add(row.where, *check_head(row.head, header, sealed, self._keys))
        if self._edge_of.get(header.key_id, header.edge) != header.edge:
            self._result.add(row.where, "the key that signed it is another edge's")
        problems = self._links.check(header, ident)
        if problems and not self._has_doubled_number(header):
            self._result.add(row.where, *problems)
        leaf = validation_leaf(ident, validation)
        if row.leaf is not None and bytes(row.leaf) != leaf:
            place = f"place {row.seal_index + 1} of seal {row.seal}"
            self._result.add(row.where, f"it, or what validation found of it, is not what was sealed at {place}")
        self.known.add(ident, leaf, validation, header.report_count)
        seal = self._seal(row)
        self._result.counts["batches"] += 1
        self._result.counts["reports"] += header.report_count
        self._result.counts["values"] += header.record_count
        return OpenedBatch(row, header, table, validation, seal.nomenclature_hash if seal else b"")

    def _has_doubled_number(self, header: Header) -> bool:
        """Whether this batch's number, or one beside it, is two batches': a spool was put back, its chain forked."""
        numbers = [header.batch_no - 1, header.batch_no, header.batch_no + 1]
        stream = (UUID(bytes=header.spool), int(header.lane), UUID(bytes=header.edge), numbers)
        return self._conn.execute(_DOUBLED_SQL, stream).rowcount > 0

    def _note_missing(self, row: HeadRow, window: Window) -> None:
        if any(lane == row.lane and first <= row.batch < after for lane, first, after in self._dropped):
            self._result.counts["emptied"] += 1
            window.emptied[row.batch] = row.reports
            window.may_lack_channel_words |= row.lane != Lane.ADT
        else:
            self._result.add(row.where, "its bytes are gone, and retention did not take them")
            window.damaged.add(row.batch)

    def _drop_what_is_not_canonical(self, window: Window) -> None:
        """Bytes that the layout does not allow: looked at together, and singly where one does not hold."""
        if not window.batches:
            return
        with suppress(LayoutError):
            check(window.table)
            return
        good = []
        for batch in window.batches:
            try:
                check(batch.table)
                good.append(batch)
            except LayoutError as error:
                self._result.add(batch.row.where, f"its bytes are damaged ({error}): its rows rest on nothing")
                window.damaged.add(batch.row.batch)
        del window.table
        window.batches = good


def check_validation(window: Window, revalidate: Revalidate, nomenclature_hash: bytes, result: Verification) -> None:
    """Step 5: flags, validation results and values computed again from the bytes.

    The flags of CONTEXT_MASK depend on when the batch came: they are what the platform signed, and no more is said of
    them.
    """
    if window.earlier:
        earlier = Window(window.first, window.after, window.earlier)
        check_validation(earlier, revalidate, nomenclature_hash, result)
    chosen = [batch for batch in window.batches if batch.nomenclature_hash == nomenclature_hash]
    result.counts["other nomenclature"] += len(window.batches) - len(chosen)
    if not chosen:
        return
    compared = window if len(chosen) == len(window.batches) else Window(window.first, window.after, chosen)
    flags, validation_results, values = revalidate(compared.table)
    kept_flags, kept_results, kept_values = compared.results
    differ = ((flags ^ kept_flags) & ~CONTEXT_MASK) != 0
    same_value = (values == kept_values) | (np.isnan(values) & np.isnan(kept_values))
    records = (validation_results != kept_results) | ~same_value
    if records.any():
        differ[compared.table.report_of_record[records]] = True
    for report in np.flatnonzero(differ).tolist():
        result.add(compared.where(report), "validation of its bytes gives another result than the one that was signed")
    result.counts["validated again"] += len(validation_results)
