"""The append-only Merkle log over leaf hashes: RFC 9162 section 2.1, SHA-256.

What a leaf is: `docs/statements.md`. Whoever appends keeps a `Frontier` alone; whoever proves has all leaf hashes.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from hashlib import sha256
from itertools import islice

from evidence.tree import merkle_root, node_hash
from schemas.errors import LayoutError, LayoutReason

HASH_BYTES = 32
EMPTY_ROOT = sha256(b"").digest()
SIZE_MAX = 2**63 - 1  # a bigint in the store
_SIZE = struct.Struct("<Q")


class Frontier:
    """What one has to keep of a log to append to it: the roots of its complete subtrees, largest first.

    There is one for each bit set in its size. Not safe against an `append` that is to be undone: take `from_bytes` of
    the kept bytes again.
    """

    def __init__(self) -> None:
        self._size = 0
        self._subtree_roots: list[bytes] = []

    @property
    def size(self) -> int:
        """The number of leaves."""
        return self._size

    def append(self, leaf_hash: bytes) -> None:
        """Add the next leaf, by its hash (`evidence.tree.leaf_hash`)."""
        if len(leaf_hash) != HASH_BYTES:
            raise ValueError(f"a leaf hash of {len(leaf_hash)} bytes")
        root = leaf_hash
        # Each low bit set is a complete subtree that the new one doubles.
        complete = self._size
        while complete & 1:
            root = node_hash(self._subtree_roots.pop(), root)
            complete >>= 1
        self._subtree_roots.append(root)
        self._size += 1

    def root(self) -> bytes:
        """The root over all leaves so far; of no leaves, the hash of nothing (RFC 9162 section 2.1.1)."""
        if not self._subtree_roots:
            return EMPTY_ROOT
        root = self._subtree_roots[-1]
        for left in reversed(self._subtree_roots[:-1]):
            root = node_hash(left, root)
        return root

    def to_bytes(self) -> bytes:
        """The size (8 bytes, little-endian), then the roots of the complete subtrees, largest first."""
        return _SIZE.pack(self._size) + b"".join(self._subtree_roots)

    @classmethod
    def from_bytes(cls, encoded: bytes) -> Frontier:
        """What `to_bytes` gave; raises LayoutError for anything else."""
        if len(encoded) < _SIZE.size:
            raise LayoutError(LayoutReason.SIZE, "frontier of a log")
        (size,) = _SIZE.unpack_from(encoded)
        if size > SIZE_MAX or len(encoded) != _SIZE.size + HASH_BYTES * size.bit_count():
            raise LayoutError(LayoutReason.SIZE, "frontier of a log")
        frontier = cls()
        frontier._size = size
        frontier._subtree_roots = [encoded[at : at + HASH_BYTES] for at in range(_SIZE.size, len(encoded), HASH_BYTES)]
        return frontier


def inclusion_path(hashes: Sequence[bytes], index: int) -> list[bytes]:
    """The path that shows that leaf `index` is in the log over these leaf hashes: RFC 9162 section 2.1.3.1.

    Raises ValueError for a leaf that it has not.
    """
    return streamed_inclusion_path(hashes, index, len(hashes))


def streamed_inclusion_path(hashes: Iterable[bytes], index: int, size: int) -> list[bytes]:
    """As `inclusion_path`, of the first `size` leaf hashes, none of which is held: a log of years fits no memory.

    Raises ValueError for a leaf that it has not, and where there are fewer hashes.
    """
    if not 0 <= index < size:
        raise ValueError(f"no leaf {index} in a log of {size}")
    siblings = _sibling_subtrees(index, size)
    roots: dict[range, bytes] = {}
    remaining = iter(hashes)
    for subtree in sorted([*siblings, range(index, index + 1)], key=lambda leaves: leaves.start):
        frontier = Frontier()
        for each in islice(remaining, len(subtree)):
            frontier.append(each)
        if frontier.size != len(subtree):
            raise ValueError(f"fewer than {size} leaf hashes")
        roots[subtree] = frontier.root()
    return [roots[subtree] for subtree in siblings]


def _sibling_subtrees(index: int, size: int) -> list[range]:
    """The leaves under each node of the inclusion path, the leaf's sibling first: RFC 9162 section 2.1.3.1."""
    subtrees = []
    start, end = 0, size
    while end - start > 1:
        middle = start + _split(end - start)
        if index < middle:
            subtrees.append(range(middle, end))
            end = middle
        else:
            subtrees.append(range(start, middle))
            start = middle
    return subtrees[::-1]


def verify_inclusion(*, leaf_hash: bytes, index: int, size: int, path: Sequence[bytes], root: bytes) -> bool:
    """Whether the path shows that leaf `index` of the log with this size and root has this hash.

    RFC 9162 section 2.1.3.2.
    """
    if not 0 <= index < size or not _are_hashes([leaf_hash, *path]):
        return False
    node, last = index, size - 1
    computed = leaf_hash
    for sibling in path:
        if last == 0:
            return False
        if node & 1 or node == last:
            computed = node_hash(sibling, computed)
            while not node & 1 and node != 0:
                node, last = node >> 1, last >> 1
        else:
            computed = node_hash(computed, sibling)
        node, last = node >> 1, last >> 1
    return last == 0 and computed == root


def consistency_path(hashes: Sequence[bytes], old_size: int) -> list[bytes]:
    """The path that shows that the log over these leaf hashes only grew since `old_size`: RFC 9162 section 2.1.4.1.

    Empty where nothing is to be shown: since no leaf, or since its present size. Raises ValueError for a size that it
    never had.
    """
    if not 0 <= old_size <= len(hashes):
        raise ValueError(f"a log of {len(hashes)} never had {old_size} leaves")
    if old_size in (0, len(hashes)):
        return []
    path: list[bytes] = []
    start, end = 0, len(hashes)
    # Down to the subtree that ends where the old log ended; the other half at each step is the path, in reverse.
    while old_size != end:
        middle = start + _split(end - start)
        if old_size <= middle:
            path.append(merkle_root(hashes[middle:end]))
            end = middle
        else:
            path.append(merkle_root(hashes[start:middle]))
            start = middle
    # Whoever verifies knows this subtree already where it is the whole old log.
    if start != 0:
        path.append(merkle_root(hashes[start:end]))
    return path[::-1]


def verify_consistency(*, old_size: int, old_root: bytes, size: int, root: bytes, path: Sequence[bytes]) -> bool:
    """Whether the path shows that the log with this size and root begins with all that the old one had.

    RFC 9162 section 2.1.4.2, and the two cases that it leaves out: an empty old log, and one of the same size.
    """
    if not 0 <= old_size <= size or not _are_hashes([old_root, root, *path]):
        return False
    if old_size == size:
        return not path and old_root == root
    if old_size == 0:
        return not path and old_root == EMPTY_ROOT
    if not path:
        return False
    # A complete old log is the first node of the path itself, which is left out for that reason.
    nodes = list(path) if old_size & (old_size - 1) else [old_root, *path]
    node, last = old_size - 1, size - 1
    while node & 1:
        node, last = node >> 1, last >> 1
    computed_old = computed = nodes[0]
    for sibling in nodes[1:]:
        if last == 0:
            return False
        if node & 1 or node == last:
            computed_old = node_hash(sibling, computed_old)
            computed = node_hash(sibling, computed)
            while not node & 1 and node != 0:
                node, last = node >> 1, last >> 1
        else:
            computed = node_hash(computed, sibling)
        node, last = node >> 1, last >> 1
    return last == 0 and computed_old == old_root and computed == root


def _split(size: int) -> int:
    """The largest power of two smaller than this size."""
    return 1 << ((size - 1).bit_length() - 1)


def _are_hashes(values: Sequence[bytes]) -> bool:
    return all(len(value) == HASH_BYTES for value in values)
