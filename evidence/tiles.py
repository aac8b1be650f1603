"""A log as files that others can read and check: tiles of the tree and bundles of entries, C2SP `tlog-tiles`.

    tile/<level>/<index>[.p/<width>]     hashes, 32 bytes each: of leaves at level 0, else roots of full tiles below
    tile/entries/<index>[.p/<width>]     entries, each behind its length (2 bytes, big-endian)

A full one has 256; the last of a level may have fewer and says so in its path.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from evidence.log import EMPTY_ROOT
from evidence.tree import leaf_hash, merkle_root
from schemas.errors import LayoutError, LayoutReason

TILE_HEIGHT = 8
TILE_WIDTH = 1 << TILE_HEIGHT
ENTRY_BYTES_MAX = 0xFFFF
_LENGTH = struct.Struct(">H")


@dataclass(frozen=True)
class Tile:
    """The place of a tile, or of a bundle of entries (`level` None); `width` is the number of its hashes or entries."""

    level: int | None
    index: int
    width: int = TILE_WIDTH

    @property
    def path(self) -> str:
        """Where it lies, relative to the checkpoint."""
        level = "entries" if self.level is None else str(self.level)
        partial = "" if self.width == TILE_WIDTH else f".p/{self.width}"
        return f"tile/{level}/{_index_path(self.index)}{partial}"


@dataclass(frozen=True)
class TileFile:
    """A tile or bundle, and its bytes."""

    tile: Tile
    content: bytes


def bundles_of(size: int) -> Iterator[Tile]:
    """The bundles of entries that a log of this size has."""
    yield from _of_level(None, size)


def tiles_of(size: int) -> Iterator[Tile]:
    """The tiles that a log of this size has, from the leaves up."""
    level = 0
    while size > 0:
        yield from _of_level(level, size)
        level, size = level + 1, size >> TILE_HEIGHT


def read_bundle(content: bytes, width: int) -> list[bytes]:
    """The entries of a bundle; raises LayoutError where they are not as many as this."""
    entries = []
    at = 0
    while at < len(content):
        if at + _LENGTH.size > len(content):
            raise LayoutError(LayoutReason.SIZE, "bundle of log entries")
        (length,) = _LENGTH.unpack_from(content, at)
        at += _LENGTH.size
        if at + length > len(content):
            raise LayoutError(LayoutReason.SIZE, "bundle of log entries")
        entries.append(content[at : at + length])
        at += length
    if len(entries) != width:
        raise LayoutError(LayoutReason.COUNTS, "bundle of log entries")
    return entries


class TileBuilder:
    """Makes the tiles of a log entry by entry; holds one tile a level and one bundle, however long the log is."""

    def __init__(self) -> None:
        self._size = 0
        self._bundle: list[bytes] = []
        self._hashes_by_level: list[list[bytes]] = []

    @property
    def size(self) -> int:
        """The number of entries so far."""
        return self._size

    def append(self, entry: bytes) -> list[TileFile]:
        """Add the next entry; returns what became full by it. Raises LayoutError for an entry that is too long."""
        if len(entry) > ENTRY_BYTES_MAX:
            raise LayoutError(LayoutReason.SIZE, f"a log entry of {len(entry)} bytes, of at most {ENTRY_BYTES_MAX}")
        self._bundle.append(_LENGTH.pack(len(entry)) + entry)
        self._size += 1
        full = []
        if len(self._bundle) == TILE_WIDTH:
            full.append(TileFile(Tile(None, (self._size - 1) >> TILE_HEIGHT), b"".join(self._bundle)))
            self._bundle = []
        return full + self._add_hash(leaf_hash(entry))

    def finish(self) -> list[TileFile]:
        """What is not full: the last bundle, and the last tile of each level."""
        partial = []
        if self._bundle:
            bundle = Tile(None, self._size >> TILE_HEIGHT, len(self._bundle))
            partial.append(TileFile(bundle, b"".join(self._bundle)))
        for level, hashes in enumerate(self._hashes_by_level):
            if hashes:
                index = self._size >> TILE_HEIGHT * (level + 1)
                partial.append(TileFile(Tile(level, index, len(hashes)), b"".join(hashes)))
        return partial

    def root(self) -> bytes:
        """The root over all entries so far."""
        # The part of the tree that is in no full tile is the last node of the level above, however small it is.
        rest: list[bytes] = []
        for hashes in self._hashes_by_level:
            if hashes or rest:
                rest = [merkle_root(hashes + rest)]
        return rest[0] if rest else EMPTY_ROOT

    def _add_hash(self, hash_of_leaf: bytes) -> list[TileFile]:
        full: list[TileFile] = []
        added, level = hash_of_leaf, 0
        while True:
            if level == len(self._hashes_by_level):
                self._hashes_by_level.append([])
            hashes = self._hashes_by_level[level]
            hashes.append(added)
            if len(hashes) < TILE_WIDTH:
                return full
            index = (self._size - 1) >> TILE_HEIGHT * (level + 1)
            full.append(TileFile(Tile(level, index), b"".join(hashes)))
            added = merkle_root(hashes)
            self._hashes_by_level[level] = []
            level += 1


def _of_level(level: int | None, hashes: int) -> Iterator[Tile]:
    full, partial = divmod(hashes, TILE_WIDTH)
    for index in range(full):
        yield Tile(level, index)
    if partial:
        yield Tile(level, full, partial)


def _index_path(index: int) -> str:
    """1234067 is x001/x234/067: no folder of more than a thousand, and none with the name of a file."""
    elements = [f"{index % 1000:03}"]
    while index >= 1000:
        index //= 1000
        elements.append(f"x{index % 1000:03}")
    return "/".join(reversed(elements))
