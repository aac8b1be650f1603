"""Leaf and tree: RFC 9162 section 2.1, over SHA-256."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

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
    rows, cells, tails = (
        memoryview(table.rows.tobytes()),
        memoryview(table.cells.tobytes()),
        memoryview(table.tails),
    )
    row_size, cell_size = table.rows.itemsize, table.cells.itemsize
    record_start, tail_start = table.record_start.tolist(), table.tail_start.tolist()
    leaves = []
    for i in range(len(table)):
        leaf = sha256(b"\x00")
        leaf.update(rows[i * row_size : (i + 1) * row_size])
        leaf.update(cells[record_start[i] * cell_size : record_start[i + 1] * cell_size])
        if tail_start[i] != tail_start[i + 1]:
            leaf.update(tails[tail_start[i] : tail_start[i + 1]])
        leaves.append(leaf.digest())
    return leaves
