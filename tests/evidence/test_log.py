"""The log against the recursive definitions of RFC 9162, and against vectors that everybody has."""

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evidence.log import (
    EMPTY_ROOT,
    HASH_BYTES,
    Frontier,
    consistency_path,
    inclusion_path,
    streamed_inclusion_path,
    verify_consistency,
    verify_inclusion,
)
from evidence.tree import leaf_hash, node_hash
from schemas.errors import LayoutError

# The leaves, roots and paths that the implementations of Certificate Transparency test themselves with.
LEAVES = [
    bytes.fromhex(leaf)
    for leaf in (
        "", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f",
    )
]  # fmt: skip
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
NODE_0_0 = "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"
NODE_0_1 = "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7"
NODE_1_1 = "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e"
NODE_2_1 = "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4"
NODE_0_4 = "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b"
NODE_1_2 = "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a"
NODE_1_3 = "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0"
INCLUSION = [(0, 8, [NODE_0_1, NODE_1_1, NODE_2_1]), (1, 5, [NODE_0_0, NODE_1_1, NODE_0_4]), (4, 5, [ROOTS[3]])]
CONSISTENCY = [
    (1, 8, [NODE_0_1, NODE_1_1, NODE_2_1]),
    (2, 5, [NODE_1_1, NODE_0_4]),
    (6, 8, [NODE_1_2, NODE_1_3, ROOTS[3]]),
    (4, 4, []),
]

sizes = st.integers(1, 130)


def hashes_of(size: int) -> list[bytes]:
    return [leaf_hash(index.to_bytes(4)) for index in range(size)]


def frontier_of(hashes: list[bytes]) -> Frontier:
    frontier = Frontier()
    for each in hashes:
        frontier.append(each)
    return frontier


def split(size: int) -> int:
    k = 1
    while k * 2 < size:
        k *= 2
    return k


def rfc_root(hashes: list[bytes]) -> bytes:
    """Section 2.1.1, as it stands."""
    if not hashes:
        return sha256(b"").digest()
    if len(hashes) == 1:
        return hashes[0]
    k = split(len(hashes))
    return node_hash(rfc_root(hashes[:k]), rfc_root(hashes[k:]))


def rfc_inclusion_path(m: int, hashes: list[bytes]) -> list[bytes]:
    """Section 2.1.3.1, as it stands."""
    if len(hashes) == 1:
        return []
    k = split(len(hashes))
    if m < k:
        return [*rfc_inclusion_path(m, hashes[:k]), rfc_root(hashes[k:])]
    return [*rfc_inclusion_path(m - k, hashes[k:]), rfc_root(hashes[:k])]


def rfc_consistency_path(m: int, hashes: list[bytes], is_whole: bool = True) -> list[bytes]:
    """SUBPROOF of section 2.1.4.1, as it stands."""
    if m == len(hashes):
        return [] if is_whole else [rfc_root(hashes)]
    k = split(len(hashes))
    if m <= k:
        return [*rfc_consistency_path(m, hashes[:k], is_whole), rfc_root(hashes[k:])]
    return [*rfc_consistency_path(m - k, hashes[k:], False), rfc_root(hashes[:k])]


def changed(value: bytes) -> bytes:
    return bytes([value[0] ^ 1]) + value[1:]


def test_known_roots() -> None:
    frontier = Frontier()
    assert frontier.root() == EMPTY_ROOT == sha256(b"").digest()
    for leaf, root in zip(LEAVES, ROOTS, strict=True):
        frontier.append(leaf_hash(leaf))
        assert frontier.root().hex() == root


@pytest.mark.parametrize(("index", "size", "path"), INCLUSION)
def test_known_inclusion_paths(index: int, size: int, path: list[str]) -> None:
    hashes = [leaf_hash(leaf) for leaf in LEAVES[:size]]
    assert [node.hex() for node in inclusion_path(hashes, index)] == path


@pytest.mark.parametrize(("old_size", "size", "path"), CONSISTENCY)
def test_known_consistency_paths(old_size: int, size: int, path: list[str]) -> None:
    hashes = [leaf_hash(leaf) for leaf in LEAVES[:size]]
    assert [node.hex() for node in consistency_path(hashes, old_size)] == path


@given(st.integers(0, 130))
def test_frontier_has_the_root_of_the_rfc_and_survives_its_bytes(size: int) -> None:
    hashes = hashes_of(size)
    frontier = frontier_of(hashes)
    assert (frontier.size, frontier.root()) == (size, rfc_root(hashes))
    kept = Frontier.from_bytes(frontier.to_bytes())
    kept.append(leaf_hash(b"next"))
    assert kept.root() == rfc_root([*hashes, leaf_hash(b"next")])
    assert frontier.size == size


@given(st.data(), sizes)
def test_inclusion_path_is_the_one_of_the_rfc(data: st.DataObject, size: int) -> None:
    index = data.draw(st.integers(0, size - 1))
    hashes = hashes_of(size)
    path = inclusion_path(hashes, index)
    assert path == rfc_inclusion_path(index, hashes)
    assert streamed_inclusion_path(iter([*hashes, leaf_hash(b"later")]), index, size) == path
    with pytest.raises(ValueError, match="fewer than"):
        streamed_inclusion_path(iter(hashes), index, size + 1)
    assert verify_inclusion(leaf_hash=hashes[index], index=index, size=size, path=path, root=rfc_root(hashes))


@given(st.data(), sizes)
def test_no_other_inclusion_is_verified(data: st.DataObject, size: int) -> None:
    index = data.draw(st.integers(0, size - 1))
    hashes = hashes_of(size)
    root, leaf, path = rfc_root(hashes), hashes[index], inclusion_path(hashes, index)
    other_indexes = [other for other in range(-1, size + 1) if other != index]
    assert not any(verify_inclusion(leaf_hash=leaf, index=i, size=size, path=path, root=root) for i in other_indexes)
    assert not verify_inclusion(leaf_hash=changed(leaf), index=index, size=size, path=path, root=root)
    assert not verify_inclusion(leaf_hash=leaf, index=index, size=size, path=path, root=changed(root))
    assert not verify_inclusion(leaf_hash=leaf, index=index, size=size, path=[*path, leaf], root=root)
    for at, node in enumerate(path):
        for wrong in ([changed(node)], [], [node[:-1]]):
            broken = path[:at] + wrong + path[at + 1 :]
            assert not verify_inclusion(leaf_hash=leaf, index=index, size=size, path=broken, root=root)


@given(st.data(), sizes)
def test_consistency_path_is_the_one_of_the_rfc(data: st.DataObject, size: int) -> None:
    old_size = data.draw(st.integers(1, size))
    hashes = hashes_of(size)
    path = consistency_path(hashes, old_size)
    assert path == rfc_consistency_path(old_size, hashes)
    old_root, root = rfc_root(hashes[:old_size]), rfc_root(hashes)
    assert verify_consistency(old_size=old_size, old_root=old_root, size=size, root=root, path=path)


@given(st.data(), sizes)
def test_no_other_consistency_is_verified(data: st.DataObject, size: int) -> None:
    old_size = data.draw(st.integers(1, size))
    hashes = hashes_of(size)
    path = consistency_path(hashes, old_size)
    old_root, root = rfc_root(hashes[:old_size]), rfc_root(hashes)

    def verify(old_root: bytes, root: bytes, path: list[bytes], *, claimed: int = old_size) -> bool:
        return verify_consistency(old_size=claimed, old_root=old_root, size=size, root=root, path=path)

    assert not verify(changed(old_root), root, path)
    assert not verify(old_root, changed(root), path)
    assert not verify(old_root, root, [*path, root])
    assert not verify(old_root, root, path, claimed=size + 1)
    assert not verify(old_root, root, path, claimed=-1)
    for at, node in enumerate(path):
        for wrong in ([changed(node)], [], [node[:-1]]):
            assert not verify(old_root, root, path[:at] + wrong + path[at + 1 :])
    # The log of another history: the same length, one leaf of the old part changed.
    forked = [changed(hashes[0]), *hashes[1:]]
    assert not verify(old_root, rfc_root(forked), consistency_path(forked, old_size))


def test_consistency_with_an_empty_log_needs_no_path() -> None:
    root = rfc_root(hashes_of(5))
    assert consistency_path(hashes_of(5), 0) == []
    assert verify_consistency(old_size=0, old_root=EMPTY_ROOT, size=5, root=root, path=[])
    assert not verify_consistency(old_size=0, old_root=root, size=5, root=root, path=[])
    assert not verify_consistency(old_size=0, old_root=EMPTY_ROOT, size=5, root=root, path=[root])


def test_a_proof_of_what_the_log_never_had_is_not_made() -> None:
    for index in (-1, 5):
        with pytest.raises(ValueError, match="no leaf"):
            inclusion_path(hashes_of(5), index)
    for old_size in (-1, 6):
        with pytest.raises(ValueError, match="never had"):
            consistency_path(hashes_of(5), old_size)
    with pytest.raises(ValueError, match="31 bytes"):
        Frontier().append(bytes(31))


@given(st.binary(max_size=8 + 3 * HASH_BYTES))
def test_any_bytes_are_a_frontier_or_refused(encoded: bytes) -> None:
    try:
        frontier = Frontier.from_bytes(encoded)
    except LayoutError:
        return
    assert frontier.to_bytes() == encoded


@pytest.mark.parametrize("cut", [-1, 1, 8, HASH_BYTES])
def test_a_frontier_of_another_length_is_refused(cut: int) -> None:
    encoded = frontier_of(hashes_of(7)).to_bytes()
    with pytest.raises(LayoutError):
        Frontier.from_bytes(encoded[:-cut] if cut > 0 else encoded + b"\x00")
