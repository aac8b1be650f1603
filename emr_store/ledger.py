"""The ledger: which batches of each stream are kept, and what they held. Its row makes the effect happen once.

The rows of all streams of a transaction are locked until COMMIT, in one order, so that two writers never both store a
batch and never wait for each other in a circle; then each is updated once: many updates of one row chain up at 0.3 ms
each.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import psycopg
from numpy.typing import NDArray

from emr_store.signed_block import BlockBatch
from schemas.batch import Header
from schemas.block import result_class_counts
from schemas.identity import BatchId, BatchKey, EdgeId, SpoolId, StreamKey

_CLASSES = 26  # that a validation result of one byte can be of, by its tens


@dataclass
class _Change:
    """What a transaction adds to a stream's row."""

    kept: list[int] = field(default_factory=list)
    quarantined: list[int] = field(default_factory=list)
    reports: int = 0
    quarantined_reports: int = 0
    classes: NDArray[Any] = field(default_factory=lambda: np.zeros(4, np.int64))  # verdict_class_counts
    duplicates: int = 0

    @property
    def is_any(self) -> bool:
        return bool(self.kept or self.quarantined or self.duplicates or self.classes.any())


class Ledger:
    """The ledger's rows of the streams of one transaction."""

    def __init__(self, conn: psycopg.Connection) -> None:
        self._conn = conn
        self._changes: dict[StreamKey, _Change] = {}
        self._kept: dict[BatchKey, set[BatchId]] = {}
        self._quarantined: set[BatchKey] = set()
        self.replaced_spools: list[
            EdgeId
        ] = []  # edges that are heard by a spool for the first time, and not their first

    def lock(self, headers: Iterable[Header]) -> None:
        """Lock the rows of the streams of all the batches that this transaction will speak of, and read of these
        batches what is kept."""
        asked = sorted({header.batch_key for header in headers})
        streams = sorted({key.stream for key in asked})
        self._changes = {stream: _Change() for stream in streams}
        if not streams:
            return
        columns = [list(column) for column in zip(*streams, strict=True)]
        if self._conn.execute(_MAKE_SQL, columns).rowcount:
            self.replaced_spools = [EdgeId(bytes(edge)) for (edge,) in self._conn.execute(_REPLACED_SQL, columns)]
        self._conn.execute(_LOCK_SQL, columns)
        of_keys = [list(column) for column in zip(*((*key.stream, key.batch_no) for key in asked), strict=True)]
        for spool, lane, edge, batch_no, quarantined, ident in self._conn.execute(_KNOWN_SQL, of_keys, binary=True):
            key = BatchKey(StreamKey(SpoolId(bytes(spool)), lane, EdgeId(bytes(edge))), batch_no)
            if ident is not None:
                self._kept.setdefault(key, set()).add(BatchId(bytes(ident)))
            if quarantined:
                self._quarantined.add(key)

    def is_stored(self, header: Header, batch_id: BatchId) -> bool:
        """Whether this batch is kept, from earlier or by this transaction."""
        return batch_id in self._kept.get(header.batch_key, ())

    def split_duplicates(self, batches: Sequence[BlockBatch]) -> Split:
        """Which of these batches are new; they count as kept from now on."""
        split = Split([], [], [])
        for batch in batches:
            key = batch.header.batch_key
            if self.is_stored(batch.header, batch.batch_id):
                split.duplicates.append(batch)
                self._changes[key.stream].duplicates += 1
                continue
            if self._kept.get(key):
                split.conflicts.append(batch.batch_id)
            self._kept.setdefault(key, set()).add(batch.batch_id)
            split.new.append(batch)
        return split

    def count_stored(self, headers: Sequence[Header], validation_results: NDArray[Any]) -> None:
        """Batches are stored, with these validation results, one batch's after another's; one that was quarantined
        before is no longer counted as that."""
        keys = [header.batch_key for header in headers]
        self._count_classes(keys, headers, validation_results)
        for key, header in zip(keys, headers, strict=True):
            change = self._changes[key.stream]
            change.kept.append(header.batch_no)
            change.reports += header.report_count
            if key in self._quarantined:
                self._quarantined.discard(key)
                change.quarantined_reports -= header.report_count

    def _count_classes(
        self, keys: Sequence[BatchKey], headers: Sequence[Header], validation_results: NDArray[Any]
    ) -> None:  # fmt: skip
        """As `result_class_counts` of each stream's, for all streams at once: small batches are many."""
        place = {stream: i for i, stream in enumerate(self._changes)}
        stream_of_record = np.repeat([place[key.stream] for key in keys], [header.record_count for header in headers])
        cells = stream_of_record * _CLASSES + validation_results // 10
        counts = np.bincount(cells, minlength=len(place) * _CLASSES).reshape(-1, _CLASSES)[:, :4]
        for change, classes in zip(self._changes.values(), counts, strict=True):
            change.classes = change.classes + classes

    def reclassify(self, header: Header, before: NDArray[Any], after: NDArray[Any]) -> None:
        """A stored batch's values have other validation results than before."""
        change = self._changes[header.stream]
        change.classes = change.classes + result_class_counts(after) - result_class_counts(before)

    def count_quarantined(self, header: Header) -> None:
        """A batch that could not be validated is kept as bytes."""
        key = header.batch_key
        change = self._changes[key.stream]
        change.quarantined.append(header.batch_no)
        change.quarantined_reports += header.report_count
        self._quarantined.add(key)

    def write(self) -> None:
        """Update each row that changes, all in one statement."""
        changed = [(stream, change) for stream, change in self._changes.items() if change.is_any]
        if not changed:
            return
        streams = [list(column) for column in zip(*(stream for stream, _ in changed), strict=True)]
        changes = [change for _, change in changed]
        self._conn.execute(_WRITE_SQL, [
            *streams,
            [_multirange(c.kept) for c in changes],
            [_multirange(c.quarantined) for c in changes],
            [c.reports for c in changes],
            [c.quarantined_reports for c in changes],
            *([int(c.classes[i]) for c in changes] for i in range(4)),
            [c.duplicates for c in changes],
        ])  # fmt: skip


@dataclass(frozen=True)
class Split:
    """Batches by whether they are stored now; `conflicts` are ids of new ones whose number another batch has."""

    new: list[BlockBatch]
    duplicates: list[BlockBatch]
    conflicts: list[BatchId]


def _multirange(numbers: Sequence[int]) -> str:
    return "{" + ",".join(f"[{n},{n}]" for n in numbers) + "}"


_MAKE_SQL = """
INSERT INTO ledger (spool, lane, edge) SELECT encode(s, 'hex')::uuid, l, encode(e, 'hex')::uuid
FROM unnest(%b::bytea[], %b::int2[], %b::bytea[]) AS u(s, l, e) ON CONFLICT DO NOTHING
"""
# Of the streams given, the edges whose spool has no reports yet in any lane while another one of theirs has.
_REPLACED_SQL = """
SELECT DISTINCT uuid_send(u.edge)
FROM (SELECT encode(s, 'hex')::uuid AS spool, encode(e, 'hex')::uuid AS edge
      FROM unnest(%b::bytea[], %b::int2[], %b::bytea[]) AS u(s, l, e)) AS u
WHERE NOT EXISTS (SELECT FROM ledger g WHERE g.spool = u.spool AND g.reports > 0)
    AND EXISTS (SELECT FROM ledger g WHERE g.edge = u.edge AND g.spool <> u.spool AND g.reports > 0)
"""
_LOCK_SQL = """
SELECT 1 FROM ledger WHERE (spool, lane, edge) IN
    (SELECT encode(s, 'hex')::uuid, l, encode(e, 'hex')::uuid
     FROM unnest(%b::bytea[], %b::int2[], %b::bytea[]) AS u(s, l, e))
ORDER BY spool, lane, edge FOR UPDATE
"""
_KNOWN_SQL = """
SELECT u.s, u.l, u.e, u.n, g.quarantined @> u.n, b.batch_id
FROM unnest(%b::bytea[], %b::int2[], %b::bytea[], %b::int8[]) AS u(s, l, e, n)
JOIN ledger g ON g.spool = encode(s, 'hex')::uuid AND g.lane = l AND g.edge = encode(e, 'hex')::uuid
    AND (g.kept @> n OR g.quarantined @> n)
LEFT JOIN batch b ON g.kept @> n AND b.spool = g.spool AND b.lane = l AND b.batch_no = n AND b.edge = g.edge
"""
_WRITE_SQL = """
UPDATE ledger g SET
    kept = g.kept + u.k::int8multirange, quarantined = g.quarantined - u.k::int8multirange + u.q::int8multirange,
    reports = g.reports + u.r, quarantined_reports = g.quarantined_reports + u.qr,
    accepted = g.accepted + u.c, missing = g.missing + u.m, unmapped = g.unmapped + u.u, doubtful = g.doubtful + u.d,
    duplicates = g.duplicates + u.dup, updated_at = now()
FROM unnest(%b::bytea[], %b::int2[], %b::bytea[], %b::text[], %b::text[], %b::int8[], %b::int8[], %b::int8[],
    %b::int8[], %b::int8[], %b::int8[], %b::int8[]) AS u(s, l, e, k, q, r, qr, c, m, u, d, dup)
WHERE g.spool = encode(u.s, 'hex')::uuid AND g.lane = u.l AND g.edge = encode(u.e, 'hex')::uuid
"""
