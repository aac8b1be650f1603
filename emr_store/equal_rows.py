"""Equal rows of a byte matrix, found for many rows at once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

_Array = NDArray[Any]
# A fixed odd multiplier a word: equal keys give equal sums; unequal ones are told apart by a full comparison.
_MIX = np.random.default_rng().integers(1, 2**63, size=16_384, dtype=np.uint64) * np.uint64(2) + np.uint64(1)


def distinct(key: _Array) -> tuple[_Array, _Array]:
    """The equal rows of a (n, 8k) byte matrix: where each distinct one stands first, and which one each row is.

    By a hash of the rows, and whether all that share one are equal in fact is looked at; else by comparing them all.
    """
    if not key.shape[1]:
        return np.zeros(1, np.int64), np.zeros(len(key), np.int64)
    words = key.view(np.uint64)
    _, first, which = np.unique(hashes_of(words), return_index=True, return_inverse=True)
    if not (words == words[first[which]]).all():  # two rows with one hash
        whole = np.ascontiguousarray(key).view(f"V{key.shape[1]}").ravel()
        _, first, which = np.unique(whole, return_index=True, return_inverse=True)
    return first, which


def distinct_of_runs(key: _Array) -> tuple[_Array, _Array]:
    """As `distinct`, faster where equal rows often follow each other: only the first of a run is looked for."""
    words = key.view(np.uint64)
    begins = np.append(True, (words[1:] != words[:-1]).any(axis=1))[: len(key)]
    runs = np.flatnonzero(begins)
    if 2 * len(runs) > len(key):
        return distinct(key)
    first, which = distinct(key[runs])
    return runs[first], which[np.cumsum(begins) - 1]


def hashes_of(words: _Array) -> _Array:
    """A number for each row of a (n, k) matrix of u64: equal rows have equal ones."""
    mix = np.resize(_MIX, words.shape[1])
    hashes: _Array = ((words ^ (words >> np.uint64(29))) * mix).sum(axis=1, dtype=np.uint64)
    return hashes


def group_equal(key: _Array) -> Iterator[_Array]:
    """Indices of the equal rows of a (n, 8k) byte matrix, a distinct row each."""
    _, which = distinct(key)
    order = np.argsort(which, kind="stable")
    yield from np.split(order, np.flatnonzero(np.diff(which[order])) + 1)
