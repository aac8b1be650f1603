"""Which channel of a longer list each record of a report has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emr_store.equal_rows import distinct
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
    set_of_record = superset[table.report_of_record]
    records = np.flatnonzero(set_of_record)
    if not len(records):
        return out
    numbers = np.unique(superset[superset != 0])
    lists = [channels[number] for number in numbers.tolist()]
    counts = [len(listed) // CHANNEL_BYTES for listed in lists]
    listed_bytes = np.frombuffer(b"".join(lists), np.uint8).reshape(-1, CHANNEL_BYTES)
    key = np.zeros((len(listed_bytes) + len(records), _KEY_BYTES), np.uint8)
    key[: len(listed_bytes), :CHANNEL_BYTES] = listed_bytes
    key[len(listed_bytes) :, :CHANNEL_BYTES] = table.channel_bytes[records]
    _, channel = distinct(key)
    listed, sent = channel[: len(listed_bytes)], channel[len(listed_bytes) :]

    # A name for (set, channel, how many equal ones came before it) in the lists, looked up for the records.
    width, most = len(listed_bytes) + len(records), max(int(table.record_count.max()), *counts)
    set_of_listed = np.repeat(np.arange(len(numbers)), counts)
    listed_name = (set_of_listed * width + listed) * most + earlier_equal(set_of_listed * width + listed)
    sent_name = (np.searchsorted(numbers, set_of_record[records]) * width + sent) * most
    sent_name += earlier_equal(table.report_of_record[records] * width + sent)
    order = np.argsort(listed_name)
    found = order[np.minimum(np.searchsorted(listed_name[order], sent_name), len(order) - 1)]
    first_of_set = np.cumsum([0, *counts])[:-1]
    index = found - first_of_set[set_of_listed[found]] + 1
    out[records] = np.where(listed_name[found] == sent_name, index, 0)
    return out


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
