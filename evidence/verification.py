"""What is proved of kept batches: pure, works offline on bytes and rows that somebody hands over.

Proved: this registered key signed these bytes, this platform kept them in this order, and the rows equal them under
this nomenclature. Not proved: that the device told the truth, whose patient it was, and that nothing is missing since
the last checkpoint that left the house.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import NamedTuple

import numpy as np

from evidence.seal import batch_id, open_sealed, signed_by
from evidence.statements import block_id, chain_hash, read_seal, seal_signed_by
from schemas.batch import Table, read_header
from schemas.block import judgement_arrays
from schemas.errors import LayoutError
from schemas.report import Kind

# Two findings that are none where retention took what they speak of; whether it did, the store knows.
ROW_GONE = "the row is gone"
VERDICTS_CHANGED = "the kept verdicts are not those that were signed"


class Finding(NamedTuple):
    """Something that does not hold: where, and what."""

    where: str
    what: str


class KeptSeal(NamedTuple):
    """A link of the chain as the store keeps it; `judgement` is plain."""

    position: int
    seal: bytes
    batch_ids: bytes
    judgement: bytes
    chain_hash: bytes

    @property
    def ids(self) -> list[bytes]:
        """The ids of its batches, in order."""
        return [self.batch_ids[i : i + 32] for i in range(0, len(self.batch_ids), 32)]


class KeptBatch(NamedTuple):
    """A batch as the store keeps it; `first_report` and `first_record` say where its judgement begins."""

    number: int
    batch_id: bytes
    first_report: int
    first_record: int
    sealed: bytes


class KeptRow(NamedTuple):
    """A row of `report`, instants in microseconds; None in `value` is a null; `validity` is 16 x marks + validity."""

    leaf: int
    device: bytes
    observed_at_us: int
    received_at_us: int
    sequence: int
    kind: int
    flags: int
    channels: bytes
    value: Sequence[float | None]
    validity: Sequence[int] | None
    verdict: Sequence[int] | None


@dataclass(frozen=True)
class Keys:
    """Public keys (SubjectPublicKeyInfo) by key id."""

    edges: Mapping[bytes, bytes]
    platform: Mapping[bytes, bytes]


def check_seal(kept: KeptSeal, previous_chain: bytes, previous_position: int, keys: Keys) -> list[Finding]:
    """The seal itself: signature, judgement, the chain's link to the one before."""
    where = f"seal {kept.position}"
    found: list[Finding] = []
    if kept.position != previous_position + 1:
        found.append(Finding(where, f"the seals between {previous_position} and it are gone"))
    elif kept.chain_hash != chain_hash(previous_chain, kept.seal):
        found.append(Finding(where, "the chain is broken: this seal or one before it is not what was kept"))
    try:
        statement = read_seal(kept.seal)
        public = keys.platform.get(statement.key_id)
        if public is None or not seal_signed_by(kept.seal, public):
            found.append(Finding(where, "no platform key signed it"))
    except LayoutError as error:
        return [*found, Finding(where, str(error))]
    if statement.block_id != block_id(kept.ids):
        found.append(Finding(where, "it was signed over other batches"))
    if statement.judgement_hash != sha256(kept.judgement).digest():
        found.append(Finding(where, VERDICTS_CHANGED))
    return found


def check_head(kept: KeptBatch, seal: KeptSeal, keys: Keys) -> list[Finding]:
    """A batch's header alone: its edge's signature, its place in the seal. `kept.sealed` may be without its body."""
    where = f"batch {kept.number}"
    try:
        public = keys.edges.get(read_header(kept.sealed).key_id)
    except LayoutError as error:
        return [Finding(where, f"its bytes are damaged ({error})")]
    found = []
    if not batch_id(kept.sealed) == kept.batch_id in seal.ids:
        found.append(Finding(where, "its seal does not speak of it"))
    if public is None or not signed_by(kept.sealed, public):
        found.append(Finding(where, "no registered edge key signed it"))
    return found


def check_batch(
    kept: KeptBatch, seal: KeptSeal, report_rows: Sequence[KeptRow], totals: tuple[int, int], keys: Keys
) -> list[Finding]:
    """A batch: its edge's signature, its root, its place in the seal; and the rows over it.

    `totals` are the reports and records of its seal's whole block, `report_rows` all rows that name this batch.
    """
    where = f"batch {kept.number}"
    try:
        _, table = open_sealed(kept.sealed)
        flags, verdicts, values = judgement_arrays(seal.judgement, *totals)
    except LayoutError as error:
        return [Finding(where, f"its bytes are damaged ({error})")]
    first_report, first_record = kept.first_report, kept.first_record
    if not (0 <= first_report <= len(flags) - len(table) and 0 <= first_record <= len(verdicts) - len(table.cells)):
        return [Finding(where, "its place among the signed verdicts is not one")]
    found = check_head(kept, seal, keys)
    expected = set(np.flatnonzero(table.kind != Kind.WAVEFORM).tolist())
    seen: set[int] = set()
    for row in report_rows:
        leaf, there = row.leaf, f"{where} leaf {row.leaf}"
        if leaf in seen or leaf not in expected:
            found.append(Finding(there, "a row that no report is behind"))
            continue
        seen.add(leaf)
        records = slice(*table.record_start[leaf : leaf + 2].tolist())
        judged = slice(first_record + records.start, first_record + records.stop)
        flag = int(flags[first_report + leaf])
        found += [Finding(there, w) for w in _differences(table, records, row, flag, verdicts[judged], values[judged])]
    return found + [Finding(f"{where} leaf {leaf}", ROW_GONE) for leaf in sorted(expected - seen)]


def _differences(
    table: Table, records: slice, row: KeptRow, flags: int, verdicts: np.ndarray, values: np.ndarray
) -> list[str]:
    """What differs between a row and the report that it is an index over."""
    leaf = row.leaf
    validity = (table.marks[records].astype(np.int16) << 4 | table.validity[records]).tolist()
    observed, received = int(table.observed_at_us[leaf]), int(table.received_at_us[leaf])
    # The store keeps an absurd moment under the time of receipt (emr_store.writer.ABSURD_FUTURE_US).
    moments = (observed, received) if observed > received else (observed,)
    pairs = (
        ("device", row.device == table.device[leaf].tobytes()),
        ("moment", row.observed_at_us in moments and row.received_at_us == received),
        ("sequence", row.sequence == int(table.sequence[leaf])),
        ("kind", row.kind == int(table.kind[leaf])),
        ("flags", row.flags == flags),
        ("channels", row.channels == table.channel_bytes[records].tobytes()),
        ("value", list(row.value) == [None if np.isnan(v) else float(v) for v in values]),
        ("validity", list(row.validity or [0] * len(validity)) == validity),
        ("verdict", list(row.verdict or [0] * len(validity)) == verdicts.tolist()),
    )
    return [f"the row's {name} is not what was sealed" for name, equal in pairs if not equal]
