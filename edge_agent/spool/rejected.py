"""Rejected frames that the spool still holds, and which of them were read again since."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from edge_agent.events import PEER, PEER_SYSTEM
from edge_agent.spool.chunks import split
from evidence.seal import open_body
from schemas.batch import Table, table_of
from schemas.errors import LayoutError
from schemas.layout import FRAME_BYTES_MAX, REPORT_LEVEL, TailKind
from schemas.report import Kind, Lane
from schemas.tail import as_sent_of

SINCE_VERSION = 4  # of the spool
FORGOTTEN_AFTER_US = 90 * 24 * 3_600_000_000
SCHEMA = "CREATE TABLE reread (frame BLOB PRIMARY KEY, received_at INTEGER) WITHOUT ROWID"
_LANES = ", ".join(str(int(lane)) for lane in Lane if lane is not Lane.WAVEFORM)  # where rejected frames are
_SEALED = (
    "SELECT batch.id, bytes FROM batch JOIN sealed USING (id)"
    f" WHERE batch.id > ? AND cut_at >= ? AND lane IN ({_LANES}) ORDER BY batch.id LIMIT ?"
)
_WAITING = f"SELECT id, leaves FROM chunk WHERE id > ? AND lane IN ({_LANES}) ORDER BY id LIMIT ?"


@dataclass(frozen=True)
class RejectedFrame:
    """A frame that its driver could not read: whose it was, from whom, when it came, and why it was rejected."""

    source: str
    peer: str
    received_at_us: int
    reason: str
    frame: bytes


@dataclass(frozen=True)
class Stretch:
    """Bytes of the spool, some batches or chunks, and where to go on."""

    after: int
    parts: Sequence[bytes]


def sealed_after(db: sqlite3.Connection, after: int, since_us: int, count: int) -> Stretch:
    """The next batches that were cut since, in the order in which they were cut."""
    rows = db.execute(_SEALED, (after, since_us, count)).fetchall()
    return Stretch(rows[-1][0] if rows else after, [sealed for _, sealed in rows])


def waiting_after(db: sqlite3.Connection, after: int, count: int) -> Stretch:
    """The next chunks that are not cut yet."""
    rows = db.execute(_WAITING, (after, count)).fetchall()
    return Stretch(rows[-1][0] if rows else after, [leaves for _, leaves in rows])


def is_known(db: sqlite3.Connection, key: bytes) -> bool:
    """Whether the frame was read again before."""
    return db.execute("SELECT 1 FROM reread WHERE frame = ?", (key,)).fetchone() is not None


def remember(db: sqlite3.Connection, key: bytes, received_at_us: int) -> None:
    """The frame is read again in this transaction."""
    db.execute("INSERT INTO reread (frame, received_at) VALUES (?, ?)", (key, received_at_us))


def forget_old(db: sqlite3.Connection, now_us: int) -> None:
    """Those that came before all that is held here, and before what a flight recorder holds."""
    (oldest_cut_us,) = db.execute("SELECT min(cut_at) FROM (SELECT cut_at FROM batch ORDER BY id LIMIT 1)").fetchone()
    before_us = now_us - FORGOTTEN_AFTER_US
    db.execute("DELETE FROM reread WHERE received_at < ?", (min(oldest_cut_us or before_us, before_us),))


def in_batch(sealed: bytes) -> Iterator[RejectedFrame]:
    """The rejected frames of a sealed batch; none of one that cannot be opened."""
    try:
        _, table = open_body(sealed, checked=True)
    except LayoutError:
        return
    yield from _in_table(table)


def in_chunk(leaves: bytes) -> Iterator[RejectedFrame]:
    """The rejected frames of reports that are not cut yet."""
    yield from _in_table(table_of(split(leaves)))


def _in_table(table: Table) -> Iterator[RejectedFrame]:
    """Those that a driver refused: whose sender is told. What a session refused never was a frame."""
    for report in np.flatnonzero(table.kind == Kind.REJECTED).tolist():
        frame = claim = b""
        texts: dict[int, str] = {}
        codes: dict[int, tuple[str, str]] = {}
        for index, kind, data in table.tail(report):
            if kind is TailKind.TEXT:
                texts[index] = data.decode("utf-8", "replace")
            elif kind is TailKind.AS_SENT:
                sent = as_sent_of(data)
                codes[index] = (sent.system, sent.code)
            elif index == REPORT_LEVEL and kind is TailKind.FRAME:
                frame = data
            elif index == REPORT_LEVEL and kind is TailKind.CLAIM:
                claim = data
        source, _, rest = claim.decode("utf-8", "replace").rpartition("/")
        is_whole = 0 < len(frame) < FRAME_BYTES_MAX
        if rest == "rejected" and is_whole and codes.get(1) == (PEER_SYSTEM, PEER):
            received_at_us = int(table.received_at_us[report])
            yield RejectedFrame(source, texts.get(1, ""), received_at_us, codes[0][1], frame)
