"""Which channel list each report is stored under: its own exact list, or its device's superset.

A device that sends only what changed has nearly a list a report. Once one has sent more than EXACT_LISTS_MAX lists, its
reports are stored under the list of all channels that it has sent. A channel that was never seen before makes a longer
list. Only measurements have supersets: docs/adr/0010-supersets-of-channels.md.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import psycopg
from numpy.typing import NDArray

from emr_store import latest_by_channel
from emr_store.channel_sets import ChannelSets
from emr_store.rows import Chunk
from schemas.layout import CHANNEL_BYTES
from schemas.report import Kind

_Array = NDArray[Any]
EXACT_LISTS_MAX = 4  # of a device: as many rows it may have in `latest`, which pages read
SHARED_MAX = 1.5  # so many times its own channels a device's list may have, so that it shares one with others
_LOCK = 0x76_77_73_73  # one transaction at a time makes supersets: what it reads of them stays so until it commits
_TO_BE_MADE = -1


class Supersets:
    """Chooses the lists; remembers what each device has sent, which begins with what `latest` has of it."""

    def __init__(self, conn: psycopg.Connection, channel_sets: ChannelSets) -> None:
        self._conn = conn
        self._channel_sets = channel_sets
        self._superset_of: dict[int, int] = {}  # by device; 0: none
        self._channels: dict[int, bytes] = {}  # by superset
        self._list_ids: dict[bytes, int] = {}  # numbers of our own for exact lists: a pair of device and list is an int
        self._seen: set[int] = set()
        self._lists_of: dict[int, list[bytes]] = {}  # of devices without a superset
        self._uncommitted: list[int] = []  # devices

    def assign(self, chunk: Chunk) -> Chunk:
        """The same reports with the lists that they are stored under, which have rows then."""
        devices, of = np.unique(chunk.device, return_inverse=True)
        self._meet([device for device in devices.tolist() if device not in self._superset_of])
        superset_of = np.array([self._superset_of[device] for device in devices.tolist()], np.int64)
        is_metric = (chunk.table.kind == Kind.METRIC) & (chunk.table.record_count > 0)
        superset = np.where(is_metric, superset_of[of], 0)
        chunk = replace(chunk, superset=superset, superset_channels=self._channels)
        changing = self._note_lists(chunk, is_metric & (superset == 0))
        if superset.any():
            outside = chunk.in_superset[chunk.table.report_of_record] & (chunk.channel_index == 0)
            changing |= set(chunk.device[np.unique(chunk.table.report_of_record[outside])].tolist())
        if changing:
            superset = np.where(is_metric & np.isin(chunk.device, list(changing)), _TO_BE_MADE, superset)
            chunk = replace(chunk, superset=superset)
        longer = self._longer(chunk, changing) if changing else {}
        self._channel_sets.ensure([*chunk.channel_lists.channels, *longer.values()])
        return self._assigned(chunk, longer) if changing else chunk

    def _meet(self, devices: Sequence[int]) -> None:
        """Read what the store knows of these."""
        if not devices:
            return
        self._superset_of |= dict.fromkeys(devices, 0)
        self._read_supersets(devices)
        for device, channels in self._conn.execute(_SHOWN_SQL, [devices], binary=True):
            self._note(device, bytes(channels))
        self._uncommitted += devices

    def _read_supersets(self, devices: Sequence[int]) -> None:
        for device, number, channels in self._conn.execute(_SUPERSETS_SQL, [devices], binary=True):
            self._superset_of[device] = number
            self._channels[number] = bytes(channels)

    def _note(self, device: int, channels: bytes) -> int:
        """Remember that a device sent a list; how many it has sent."""
        pair = device << 32 | self._list_ids.setdefault(channels, len(self._list_ids))
        lists = self._lists_of.setdefault(device, [])
        if pair not in self._seen:
            self._seen.add(pair)
            lists.append(channels)
        return len(lists)

    def _note_lists(self, chunk: Chunk, exact: _Array) -> set[int]:
        """Remember the exact lists of these reports (bool, a report each); the devices that have too many now."""
        channels = chunk.channel_lists.channels
        ids = [self._list_ids.setdefault(listed, len(self._list_ids)) for listed in channels]
        pairs = chunk.device[exact] << 32 | np.array([*ids, 0], np.int64)[chunk.channel_lists.which[exact]]
        new = set(np.unique(pairs).tolist()) - self._seen
        if not new:
            return set()
        by_id = dict(zip(ids, channels, strict=True))
        changing = set()
        for pair in new:
            device = pair >> 32
            if self._note(device, by_id[pair & 0xFFFFFFFF]) > EXACT_LISTS_MAX:
                changing.add(device)
        return changing

    def _longer(self, chunk: Chunk, changing: Iterable[int]) -> dict[int, bytes]:
        """The list of all channels that each of these devices has sent, in these reports or before.

        In one order of channels, and with a few that others of its model have sent: such devices share a list.
        """
        self._conn.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
        self._read_supersets(list(changing))  # another writer may have made a longer one
        table, channels = chunk.table, chunk.table.channel_bytes
        lists: dict[int, set[bytes]] = {device: set(self._lists_of.get(device, ())) for device in changing}
        for report in np.flatnonzero(chunk.superset == _TO_BE_MADE).tolist():
            begin, end = table.record_start[report : report + 2].tolist()
            lists[int(chunk.device[report])].add(channels[begin:end].tobytes())
        longer = {}
        for device, sent in lists.items():
            counts: Counter[bytes] = Counter()
            for listed in (*sent, self._channels.get(self._superset_of[device], b"")):
                counts |= _counts(listed)
            longer[device] = b"".join(sorted(counts.elements()))
        return shared(longer, self._channels.values())

    def _assigned(self, chunk: Chunk, longer: dict[int, bytes]) -> Chunk:
        """The reports of these devices under their new supersets."""
        for device, channels in longer.items():
            number = self._channel_sets.number(channels)
            self._superset_of[device], self._channels[number] = number, channels
            self._lists_of.pop(device, None)
        devices = sorted(longer)
        self._uncommitted += devices
        self._conn.execute(_KEEP_SQL, [devices, [self._superset_of[device] for device in devices]])
        latest_by_channel.make_rows(self._conn, devices)
        to_be_made = chunk.superset == _TO_BE_MADE
        superset = np.zeros(len(chunk.table), np.int64) if chunk.superset is None else chunk.superset.copy()
        superset[to_be_made] = [self._superset_of[device] for device in chunk.device[to_be_made].tolist()]
        return replace(chunk, superset=superset, superset_channels=self._channels)

    def committed(self) -> None:
        """What was read and made since the last time stands."""
        self._uncommitted.clear()

    def rolled_back(self) -> None:
        """What was made in a transaction that was rolled back is not there."""
        if self._uncommitted:
            for known in (self._superset_of, self._channels, self._lists_of, self._seen, self._uncommitted):
                known.clear()


def shared(longer: dict[int, bytes], known: Iterable[bytes]) -> dict[int, bytes]:
    """For each device the longest of all these lists and the known ones that has its channels, and not many more."""
    candidates = sorted({*longer.values(), *known}, key=len, reverse=True)
    counts = [(_counts(listed), listed) for listed in candidates]
    found = {}
    for listed in set(longer.values()):
        own, most = _counts(listed), len(listed) * SHARED_MAX
        found[listed] = next(other for of_other, other in counts if len(other) <= most and own <= of_other)
    return {device: found[listed] for device, listed in longer.items()}


def _counts(listed: bytes) -> Counter[bytes]:
    return Counter(listed[i : i + CHANNEL_BYTES] for i in range(0, len(listed), CHANNEL_BYTES))


_SUPERSETS_SQL = (
    "SELECT device, channel_set, channels FROM superset JOIN channel_set USING (channel_set) WHERE device = ANY(%s)"
)
_SHOWN_SQL = "SELECT device, channels FROM latest JOIN channel_set USING (channel_set) WHERE device = ANY(%s)"
_KEEP_SQL = """
INSERT INTO superset SELECT * FROM unnest(%s::int4[], %s::int4[])
ON CONFLICT (device) DO UPDATE SET channel_set = excluded.channel_set
"""
