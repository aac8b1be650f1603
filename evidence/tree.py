"""Leaf and tree: RFC 9162 section 2.1, over SHA-256."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from struct import Struct

import numpy as np

from schemas.batch import Table

EQUAL_REPORTS_MIN = 64  # of fewer the loop is faster


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
        pairs = zip(level[::2], level[1::2], strict=True)
        level = [sha256(b"\x01" + left + right).digest() for left, right in pairs] + odd
    return level[0]


def table_leaves(table: Table) -> list[bytes]:
    """The leaf hash of each report. The one loop over reports on the hospital side: it hashes them."""
    counts, tail_sizes = table.record_count, table.tail_bytes
    if len(table) >= EQUAL_REPORTS_MIN and not len(table.tails) and (counts == counts[0]).all():
        return _leaves_of_equal_size(table)
    rows, records, tails = table.rows.tobytes(), table.records.tobytes(), table.tails
    row_size, record_size = table.rows.itemsize, table.records.itemsize
    leaves = []
    row = record = tail = 0  # where each part of this report begins
    for count, tail_size in zip(counts.tolist(), tail_sizes.tolist(), strict=True):
        row_end, record_end, tail_end = row + row_size, record + count * record_size, tail + tail_size
        leaf = b"\x00" + rows[row:row_end] + records[record:record_end] + tails[tail:tail_end]
        leaves.append(sha256(leaf).digest())
        row, record, tail = row_end, record_end, tail_end
    return leaves


def _leaves_of_equal_size(table: Table) -> list[bytes]:
    """The same of reports that have equally many records and no tail: what is hashed is put together by numpy."""
    parts = [np.zeros((len(table), 1), np.uint8)]
    parts += [part.view(np.uint8).reshape(len(table), -1) for part in (table.rows, table.records)]
    hashed = np.concatenate(parts, axis=1)
    return [sha256(leaf).digest() for (leaf,) in Struct(f"{hashed.shape[1]}s").iter_unpack(hashed.data)]
