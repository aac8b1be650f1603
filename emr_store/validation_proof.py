"""What acts made of stored batches, held against its seals, its acts and the sealed bytes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple
from uuid import UUID

import psycopg
import zstandard
from psycopg.rows import class_row

from emr_store.verification import Remap, Verification
from evidence.act import MAPPING_CHANGE, Act
from evidence.block_seal import BlockSeal, read_seal, validation_leaf
from evidence.verification import batch_words
from schemas.block import VALIDATION_BYTES_MAX, validation_arrays
from schemas.errors import LayoutError
from schemas.identity import BatchId, EdgeId

if TYPE_CHECKING:
    from emr_store.batch_proof import OpenedBatch

Account = Callable[[int, int, int], bool]  # seal, its batches, index: whether that place was free


class LaterValidation(NamedTuple):
    """A row of `batch_validation`, and of its seal what it needs."""

    batch: int
    seal: int
    seal_index: int
    act_id: bytes
    validation: bytes | None
    statement: bytes | None
    leaf: bytes | None
    batch_id: bytes | None
    edge: UUID | None
    lane: int | None
    batch_no: int | None

    @property
    def where(self) -> str:
        """In words; this database's own number where it has no such batch."""
        if self.batch_id is None or self.edge is None or self.lane is None or self.batch_no is None:
            batch = f"batch number {self.batch} of this database"
        else:
            batch = batch_words(BatchId(bytes(self.batch_id)), EdgeId(self.edge.bytes), self.lane, self.batch_no)
        return f"{batch}, validated anew under seal {self.seal}"


_LATER_SQL = """
SELECT v.batch, v.seal, v.seal_index, v.act_id, v.validation, s.statement,
    substr(s.leaves, 1 + 32 * v.seal_index, 32) AS leaf,
    b.batch_id, b.edge, b.lane, b.batch_no
FROM batch_validation v LEFT JOIN seal s ON s.seal = v.seal
LEFT JOIN batch b ON b.batch = v.batch AND b.batch >= %(first)s AND b.batch < %(after)s
WHERE v.batch >= %(first)s AND v.batch < %(after)s ORDER BY v.batch, v.seal
"""


class LaterValidations:
    """Step 4 and 5 of batches that were validated anew; `acts` are those that the log, or its waiting list, has."""

    def __init__(
        self, conn: psycopg.Connection, acts: Sequence[Act], remap: Remap | None, result: Verification
    ) -> None:  # fmt: skip
        self._conn = conn
        self._acts = {act.act_id: act for act in acts}
        self._remap = remap
        self._result = result
        self._decompress = zstandard.ZstdDecompressor().decompress

    def of(self, first: int, after: int, account: Account) -> dict[int, list[LaterValidation]]:
        """Those of each batch of a window, the oldest first; what does not hold of their seals is noted."""
        found: dict[int, list[LaterValidation]] = {}
        for row in self._conn.cursor(row_factory=class_row(LaterValidation)).execute(
            _LATER_SQL, {"first": first, "after": after}
        ):
            where = row.where
            if row.batch_id is None:
                self._result.add(where, "there is no such batch")
            else:
                found.setdefault(row.batch, []).append(row)
            seal = _seal_of(row)
            if seal is None:
                self._result.add(where, "the seal that it names is gone, or damaged")
            elif not account(row.seal, seal.batches, row.seal_index):
                self._result.add(where, f"its place in seal {row.seal} is another batch's, or none")
            elif seal.act_id != bytes(row.act_id):
                self._result.add(where, "the act that it names is not the one that its seal names")
            act = self._acts.get(bytes(row.act_id))
            if act is None:
                self._result.add(where, f"no act {bytes(row.act_id).hex()[:16]} is in the log: nobody asked for it")
            elif act.kind != MAPPING_CHANGE:
                self._result.add(where, f"the act that it names says no mapping, but {act.kind}")
        return found

    def open(self, batch: OpenedBatch, rows: Sequence[LaterValidation]) -> list[OpenedBatch]:
        """The batch as each of its later validations has it, the oldest first."""
        if self._remap is None:
            raise ValueError("a store with mapping acts is verified with `remap`")
        bodies: list[bytes] = []
        opened: list[OpenedBatch] = []
        for row in rows:
            where = row.where
            act = self._acts.get(bytes(row.act_id))
            if act is not None and act.kind == MAPPING_CHANGE:
                bodies.append(act.body)
            try:
                validation = self._decompress(bytes(row.validation or b""), VALIDATION_BYTES_MAX)
                validation_arrays(validation, batch.header.report_count, batch.header.record_count)
                table = self._remap(batch.table, bodies)
            except (LayoutError, zstandard.ZstdError) as error:
                self._result.add(where, f"it is damaged ({error}): rows rest on what was said before")
                continue
            if row.leaf is not None and bytes(row.leaf) != validation_leaf(batch.row.head.batch_id, validation):
                place = f"place {row.seal_index + 1} of seal {row.seal}"
                self._result.add(where, f"what validation found is not what was sealed at {place}")
            seal = _seal_of(row)
            nomenclature_hash = seal.nomenclature_hash if seal else b""
            opened.append(replace(batch, table=table, validation=validation, nomenclature_hash=nomenclature_hash))
        if opened:
            self._result.counts["validated anew"] += 1
        return opened


def _seal_of(row: LaterValidation) -> BlockSeal | None:
    try:
        return None if row.statement is None else read_seal(bytes(row.statement))[0]
    except LayoutError:
        return None
