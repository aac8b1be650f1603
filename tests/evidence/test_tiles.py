"""Tiles: which there are, by the examples of `tlog-tiles`; and that what is built is what there should be."""

from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evidence.log import Frontier
from evidence.tiles import ENTRY_BYTES_MAX, Tile, TileBuilder, bundles_of, read_bundle, tiles_of
from evidence.tree import leaf_hash, merkle_root
from schemas.errors import LayoutError


def entries_of(size: int) -> list[bytes]:
    return [b"entry %d" % index for index in range(size)]


def built(entries: list[bytes]) -> tuple[TileBuilder, dict[Tile, bytes]]:
    builder = TileBuilder()
    files = [file for entry in entries for file in builder.append(entry)] + builder.finish()
    contents = {file.tile: file.content for file in files}
    assert len(contents) == len(files)
    return builder, contents


@pytest.mark.parametrize(
    ("tile", "path"),
    [
        (Tile(0, 0), "tile/0/000"),
        (Tile(1, 999, 17), "tile/1/999.p/17"),
        (Tile(2, 1000), "tile/2/x001/000"),
        (Tile(0, 1234067), "tile/0/x001/x234/067"),  # the example of the specification
        (Tile(None, 1234067, 255), "tile/entries/x001/x234/067.p/255"),
    ],
)
def test_paths(tile: Tile, path: str) -> None:
    assert tile.path == path


def test_the_tiles_of_the_specifications_examples() -> None:
    tiles = list(tiles_of(70_000))
    assert [tile for tile in tiles if tile.level == 0] == [*(Tile(0, i) for i in range(273)), Tile(0, 273, 112)]
    assert [tile for tile in tiles if tile.level != 0] == [Tile(1, 0), Tile(1, 1, 17), Tile(2, 0, 1)]
    assert list(tiles_of(256)) == [Tile(0, 0), Tile(1, 0, 1)]
    assert list(bundles_of(257)) == [Tile(None, 0), Tile(None, 1, 1)]
    assert [*tiles_of(0), *bundles_of(0)] == []


@pytest.mark.parametrize("size", [0, 1, 2, 255, 256, 257, 511, 512, 1000, 65_535, 65_536, 65_537, 70_000])
def test_what_is_built_is_what_a_log_of_this_size_has(size: int) -> None:
    entries = entries_of(size)
    builder, contents = built(entries)
    assert builder.size == size
    assert set(contents) == {*tiles_of(size), *bundles_of(size)}
    hashes = [leaf_hash(entry) for entry in entries]
    assert builder.root() == merkle_root(hashes)
    assert [e for bundle in bundles_of(size) for e in read_bundle(contents[bundle], bundle.width)] == entries
    for tile in tiles_of(size):
        below = 256 ** (tile.level or 0)
        starts = [(tile.index * 256 + i) * below for i in range(tile.width)]
        # Section "Merkle Tree": MTH(D[(n * 256 + i) * 256**l : (n * 256 + i + 1) * 256**l])
        assert contents[tile] == b"".join(merkle_root(hashes[start : start + below]) for start in starts)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1500))
def test_the_root_at_every_size(size: int) -> None:
    builder, frontier = TileBuilder(), Frontier()
    for entry in entries_of(size):
        builder.append(entry)
        frontier.append(leaf_hash(entry))
    assert builder.root() == frontier.root()


def test_the_longest_entry_and_one_too_long() -> None:
    _, contents = built([b"a" * ENTRY_BYTES_MAX, b""])
    assert contents[Tile(None, 0, 2)] == b"\xff\xff" + b"a" * ENTRY_BYTES_MAX + b"\x00\x00"
    builder = TileBuilder()
    with pytest.raises(LayoutError):
        builder.append(b"a" * (ENTRY_BYTES_MAX + 1))
    assert (builder.size, builder.root(), builder.finish()) == (0, sha256(b"").digest(), [])


@given(st.binary(max_size=60), st.integers(0, 5))
def test_any_bytes_are_a_bundle_or_refused(content: bytes, width: int) -> None:
    try:
        entries = read_bundle(content, width)
    except LayoutError:
        return
    assert b"".join(len(entry).to_bytes(2) + entry for entry in entries) == content
    assert len(entries) == width


@pytest.mark.parametrize(("content", "width"), [(b"\x00", 1), (b"\x00\x02a", 1), (b"\x00\x01a", 2), (b"\x00\x01a", 0)])
def test_a_bundle_that_is_cut_or_of_another_width_is_refused(content: bytes, width: int) -> None:
    with pytest.raises(LayoutError):
        read_bundle(content, width)
