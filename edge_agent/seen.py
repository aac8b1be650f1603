"""Seen keys: what was kept within the last hour, by hashes of 16 bytes; bounded.

In the file they are a row a commit, one after another: in a table by key each key would change a page of its own. In
memory they are sorted runs, 24 bytes a key, in which the keys of a whole commit are looked up at one time.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

KEY_BYTES = 16
KEYS_MAX = 1_000_000  # 40 MB; beyond it the oldest go
KEYS_LEFT = 900_000  # when that happens
RUN_KEYS_MIN, RUN_KEYS_MAX = 4_096, 524_288  # sorted at one time; merged up to this
SCHEMA = "CREATE TABLE seen (id INTEGER PRIMARY KEY, at INTEGER, keys BLOB);\n"
_KEEP = "INSERT INTO seen (at, keys) VALUES (?, ?)"
_SMALL = "SELECT at, keys FROM seen WHERE id > ? ORDER BY id DESC"
_Array = NDArray[Any]


@dataclass(frozen=True)
class _Run:
    """Keys in the order of their first halves, the newest first among equal ones.

    They are hashes: two keys with one first half are one key.
    """

    head: _Array
    rest: _Array
    at_us: _Array

    @staticmethod
    def of(keys: bytes, at_us: _Array) -> _Run:
        """Of keys that stand one after another, the newest first."""
        halves = np.frombuffer(keys, "<u8").reshape(-1, 2)
        return _Run(halves[:, 0], halves[:, 1], at_us).where(np.argsort(halves[:, 0], kind="stable"))

    def where(self, index: _Array) -> _Run:
        """The keys at these places."""
        return _Run(self.head[index], self.rest[index], self.at_us[index])

    def merged(self, older: _Run) -> _Run:
        """Both; stable, and so the newest stays first."""
        head = np.concatenate([self.head, older.head])
        both = _Run(head, np.concatenate([self.rest, older.rest]), np.concatenate([self.at_us, older.at_us]))
        return both.where(np.argsort(head, kind="stable"))

    def contains(self, head: _Array, rest: _Array, since_us: int) -> _Array:
        """Which of these keys are in it, and not from before `since_us`."""
        place = np.minimum(self.head.searchsorted(head), len(self.head) - 1)
        found: _Array = self.head[place] == head
        if found.any():
            found &= (self.rest[place] == rest) & (self.at_us[place] >= since_us)
        return found


class SeenKeys:
    """The keys of one spool, read when it is opened. `begin` opens each transaction's work, `write` ends it."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._runs: list[_Run] = []  # the oldest first
        self._recent: dict[bytes, int] = {}  # not sorted yet: when each was seen
        self._added: dict[bytes, int] = {}  # in this transaction
        self._written_id: int | None = None  # the row of `_added`
        (self._gathered_id,) = db.execute("SELECT coalesce(max(id), 0) FROM seen").fetchone()
        rows = db.execute("SELECT at, keys FROM seen ORDER BY id DESC").fetchall()
        if rows:
            counts = [len(keys) // KEY_BYTES for _, keys in rows]
            at_us = np.repeat(np.array([at for at, _ in rows], "<i8"), counts)
            self._runs.append(_Run.of(b"".join(keys for _, keys in rows), at_us))

    def __len__(self) -> int:
        return len(self._recent) + sum(len(run.head) for run in self._runs)

    def begin(self, keys: Sequence[bytes], since_us: int) -> set[bytes]:
        """Which of these were seen since then; what a transaction that failed had added is forgotten."""
        if self._written_id is not None:  # it failed, or its COMMIT did, and then only the file knows
            if self._db.execute("SELECT 1 FROM seen WHERE id = ?", (self._written_id,)).fetchone():
                self._recent.update(self._added)
            self._written_id = None
        self._added.clear()
        if len(self._recent) >= RUN_KEYS_MIN:
            self._sort_recent()
        found = {key for key in keys if self._recent.get(key, since_us - 1) >= since_us}
        if keys and self._runs:
            halves = np.frombuffer(b"".join(keys), "<u8").reshape(-1, 2)
            for run in self._runs:
                in_run = run.contains(halves[:, 0], halves[:, 1], since_us)
                found.update(keys[i] for i in np.flatnonzero(in_run).tolist())
        return found

    def committed(self) -> None:
        """The transaction is on the disk."""
        if self._written_id is not None:
            self._recent.update(self._added)
            self._written_id = None

    def add(self, key: bytes, now_us: int) -> None:
        """It is kept."""
        self._added[key] = now_us

    @property
    def added(self) -> Collection[bytes]:
        """What this transaction has added so far."""
        return self._added.keys()

    def write(self, now_us: int) -> None:
        """At the end of a transaction."""
        if self._added:
            self._written_id = self._db.execute(_KEEP, (now_us, b"".join(self._added))).lastrowid

    def tidy(self, since_us: int) -> None:
        """After `begin`: forget what is older or too much; what was written since the last time becomes one row."""
        self._sort_recent()
        if len(self) > KEYS_MAX:
            at_us = np.concatenate([run.at_us for run in self._runs])
            excess = len(at_us) - KEYS_LEFT
            since_us = max(since_us, int(np.partition(at_us, excess)[excess]))
        for i, run in enumerate(self._runs):
            young = run.at_us >= since_us
            if not young.all():
                self._runs[i] = run.where(np.flatnonzero(young))
        self._runs = [run for run in self._runs if len(run.head)]
        self._db.execute("DELETE FROM seen WHERE at < ?", (since_us,))
        rows = self._db.execute(_SMALL, (self._gathered_id,)).fetchall()
        if len(rows) > 1:
            self._db.execute("DELETE FROM seen WHERE id > ?", (self._gathered_id,))
            newest_us = max(at for at, _ in rows)
            self._db.execute(_KEEP, (newest_us, b"".join(keys for _, keys in rows)))
        (self._gathered_id,) = self._db.execute("SELECT coalesce(max(id), 0) FROM seen").fetchone()

    def _sort_recent(self) -> None:
        if not self._recent:
            return
        newest_first = list(self._recent.items())[::-1]
        at_us = np.array([at for _, at in newest_first], "<i8")
        self._runs.append(_Run.of(b"".join([key for key, _ in newest_first]), at_us))
        self._recent.clear()
        while len(self._runs) > 1:
            older, newer = self._runs[-2:]
            if len(older.head) > 2 * len(newer.head) or len(older.head) + len(newer.head) > RUN_KEYS_MAX:
                break
            self._runs[-2:] = [newer.merged(older)]
