"""Which channel of a longer list each record of a report has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from emr_store.equal_rows import distinct, hashes_of
from schemas.batch import Table
from schemas.layout import CHANNEL_BYTES

_Array = NDArray[Any]
_KEY_BYTES = 16  # a channel in whole words


def channel_index(table: Table, superset: _Array, channels: Mapping[int, bytes]) -> _Array:
    """i16, a record each, from 1; 0 where its report has no superset (0), or one without this channel.

    `superset` is a number a report, `channels` the list of each (CHANNEL_BYTES a channel). Of equal channels the first
    of a report has the first of the list, and so on.
    """
    out = np.zeros(len(table.code), np.int16)
    if not superset.any():
        return out
    records = np.flatnonzero((superset != 0)[table.report_of_record])
    if not len(records):
        return out
    lists = _Lists.of(superset, channels)
    report = table.report_of_record[records]
    words = _words(table.channel_items[records].view(np.uint8).reshape(-1, CHANNEL_BYTES))
    set_place = np.searchsorted(lists.numbers, superset)[report]
    out[records] = lists.by_channel(set_place, words, report)
    return out


@dataclass(frozen=True)
class _Lists:
    """The channels of all lists, one list after another, each with the place of its list in `numbers`."""

    numbers: _Array
    words: _Array
    set_place: _Array
    first: _Array  # where each list begins

    @classmethod
    def of(cls, superset: _Array, channels: Mapping[int, bytes]) -> Self:
        numbers = np.unique(superset[superset != 0])
        lists = [np.frombuffer(channels[number], np.uint8) for number in numbers.tolist()]
        counts = [len(listed) // CHANNEL_BYTES for listed in lists]
        words = _words(np.concatenate(lists).reshape(-1, CHANNEL_BYTES))
        return cls(numbers, words, np.repeat(np.arange(len(numbers)), counts), np.cumsum([0, *counts])[:-1])

    def by_channel(self, set_place: _Array, words: _Array, report: _Array) -> _Array:
        """The index of each record in its list: by a number of the channel, where no list has two equal ones."""
        hashes, which = np.unique(hashes_of(self.words), return_inverse=True)
        table = np.full((len(self.numbers), len(hashes)), -1)
        table[self.set_place, which] = np.arange(len(self.words))
        channel = np.minimum(np.searchsorted(hashes, hashes_of(words)), len(hashes) - 1)
        found = table[set_place, channel]
        listed = self.words[found]
        is_there = (found >= 0) & (listed[:, 0] == words[:, 0]) & (listed[:, 1] == words[:, 1])
        index = np.where(is_there, found - self.first[set_place] + 1, 0)
        width = int(index.max()) + 1
        cells = ((report - report[0]) * width + index)[is_there]
        seen = np.zeros((int(report[-1] - report[0]) + 1) * width, bool)
        seen[cells] = True
        if np.count_nonzero(table >= 0) < len(self.words) or np.count_nonzero(seen) < len(cells):
            return self._by_order(set_place, words, report)
        return index

    def _by_order(self, set_place: _Array, words: _Array, report: _Array) -> _Array:
        """The same where a list or a report has equal channels: these by how many came before each."""
        _, channel = distinct(np.concatenate([self.words, words]).view(np.uint8))
        listed, sent = channel[: len(self.words)], channel[len(self.words) :]
        width = len(channel)
        listed_name, sent_name = self.set_place * width + listed, set_place * width + sent
        most = width  # of equal ones
        listed_name = listed_name * most + earlier_equal(listed_name)
        sent_name = sent_name * most + earlier_equal(report * width + sent)
        order = np.argsort(listed_name)
        found = order[np.minimum(np.searchsorted(listed_name[order], sent_name), len(order) - 1)]
        return np.where(listed_name[found] == sent_name, found - self.first[set_place] + 1, 0)


def _words(channels: _Array) -> _Array:
    """(n, 2) u64 of (n, CHANNEL_BYTES) bytes."""
    key = np.zeros((len(channels), _KEY_BYTES), np.uint8)
    key[:, :CHANNEL_BYTES] = channels
    return key.view(np.uint64)


def earlier_equal(key: _Array) -> _Array:
    """How many equal elements stand before each."""
    order = np.argsort(key, kind="stable")
    ordered, places = key[order], np.arange(len(key))
    begins = np.append(True, ordered[1:] != ordered[:-1])[: len(key)]
    out = np.empty(len(key), np.int64)
    out[order] = places - np.maximum.accumulate(np.where(begins, places, 0))
    return out


def channel_index_of_list(channels: bytes, longer: bytes) -> list[int] | None:
    """The same for the channels of a list; None where it is not wholly in the longer one."""
    places: dict[bytes, list[int]] = {}
    for place in range(len(longer) // CHANNEL_BYTES, 0, -1):
        places.setdefault(longer[(place - 1) * CHANNEL_BYTES : place * CHANNEL_BYTES], []).append(place)
    try:
        return [places[channels[i : i + CHANNEL_BYTES]].pop() for i in range(0, len(channels), CHANNEL_BYTES)]
    except (KeyError, IndexError):
        return None
