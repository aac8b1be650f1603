from hashlib import sha256

import pytest
from msgspec.structs import replace

from evidence.seal import open_sealed
from evidence.tree import EQUAL_REPORTS_MIN, leaf_hash, merkle_root, node_hash, table_leaves
from schemas.batch import table_of
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


@pytest.mark.parametrize("count", [1, EQUAL_REPORTS_MIN - 1, EQUAL_REPORTS_MIN, EQUAL_REPORTS_MIN + 1])
@pytest.mark.parametrize("shape", ["equal", "without records", "one with another count", "one with a tail"])
def test_leaves_of_reports_of_any_shape_are_the_hashes_of_what_the_edge_wrote(count: int, shape: str) -> None:
    records = () if shape == "without records" else report().records
    reports = [replace(report(f"device {i}"), records=records) for i in range(count)]
    noted = replace(report().records[0], note="moved")
    if shape == "one with another count":
        reports[-1] = replace(reports[-1], records=(*records, *records))
    elif shape == "one with a tail":
        reports[-1] = report(records=[noted, *records[1:]])
    encoded = encoded_reports(reports)
    assert table_leaves(table_of(encoded)) == [leaf_hash(x) for x in encoded]
