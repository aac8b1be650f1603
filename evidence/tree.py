"""Leaf and tree: RFC 9162 section 2.1, over SHA-256."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from hashlib import sha256
from itertools import accumulate

from schemas.batch import Table


def leaf_hash(leaf: bytes) -> bytes:
    """H(0x00 || leaf): RFC 9162 section 2.1.1."""
    return sha256(b"\x00" + leaf).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """H(0x01 || left || right): RFC 9162 section 2.1.1."""
    return sha256(b"\x01" + left + right).digest()


def merkle_root(leaves: Sequence[bytes]) -> bytes:
    """The root over leaf hashes.

    Level by level, an odd last node moving up as it is: the same tree as the RFC's split at the largest power of two.
    """
    if not leaves:
        return sha256(b"").digest()
    level = list(leaves)
    while len(level) > 1:
        odd = [level.pop()] if len(level) % 2 else []
        level = [sha256(b"\x01" + left + right).digest() for left, right in zip(*[iter(level)] * 2, strict=True)] + odd
    return level[0]


def table_leaves(table: Table) -> list[bytes]:
    """The leaf hash of each report. The one loop over reports on the hospital side: it hashes them."""
    rows, records, tails = (
        memoryview(table.rows.tobytes()),
        memoryview(table.records.tobytes()),
        memoryview(table.tails),
    )
    leaves = []
    row_at = cell_at = tail_at = 0
    for row_end, cell_end, tail_end in _ends(table):
        leaf = sha256(b"\x00")
        leaf.update(rows[row_at:row_end])
        leaf.update(records[cell_at:cell_end])
        if tail_at != tail_end:
            leaf.update(tails[tail_at:tail_end])
        leaves.append(leaf.digest())
        row_at, cell_at, tail_at = row_end, cell_end, tail_end
    return leaves


def _ends(table: Table) -> Iterator[tuple[int, int, int]]:
    """Where the row, the records and the tail of each report end."""
    row_size, record_size = table.rows.itemsize, table.records.itemsize
    rows = range(row_size, (len(table) + 1) * row_size, row_size)
    records = accumulate(count * record_size for count in table.record_count.tolist())
    return zip(rows, records, accumulate(table.tail_bytes.tolist()), strict=True)
