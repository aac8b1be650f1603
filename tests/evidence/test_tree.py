from hashlib import sha256

import pytest

from evidence.seal import open_sealed
from evidence.tree import leaf_hash, merkle_root, node_hash, table_leaves
from tests.making import Key, encoded_reports, report, sealed

KEY = Key()


def _root_by_the_rfc(hashes: list[bytes]) -> bytes:
    """RFC 9162 section 2.1.1, as it stands: split at the largest power of two smaller than n."""
    if len(hashes) == 1:
        return hashes[0]
    k = 1
    while k * 2 < len(hashes):
        k *= 2
    return node_hash(_root_by_the_rfc(hashes[:k]), _root_by_the_rfc(hashes[k:]))


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 6, 7, 8, 9, 31, 33])
def test_root_is_the_rfcs(n: int) -> None:
    hashes = [leaf_hash(bytes([i])) for i in range(n)]
    assert merkle_root(hashes) == _root_by_the_rfc(hashes)


def test_empty_tree() -> None:
    assert merkle_root([]) == sha256(b"").digest()


def test_leaves_of_a_table_are_the_hashes_of_what_the_edge_wrote() -> None:
    reports = [report(), report("other")]
    _, table = open_sealed(sealed(reports, KEY))
    assert table_leaves(table) == [leaf_hash(x) for x in encoded_reports(reports)]
