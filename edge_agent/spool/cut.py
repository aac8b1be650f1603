"""Cutting: the oldest reports of a lane become a sealed batch."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain

from edge_agent.spool.chunks import split
from edge_agent.spool.quota import Figures
from evidence.seal import FIRST_PREVIOUS, batch_id
from schemas.layout import CUT_BYTES
from schemas.report import Lane

BACKFILL_AFTER_US = 10_000_000  # what had waited longer when it was cut does not travel with live data
# LIVE becomes BACKFILL as it is cut; a chunk is of BACKFILL where what it says was read again.
LANES_OF_CHUNKS = tuple(Lane)
_FIRST, _LAST = -(2**63), 2**63 - 1  # moments
_WAITING = (
    "SELECT id, received_at, reports, leaves FROM chunk"
    " WHERE lane = ? AND received_at BETWEEN ? AND ? ORDER BY received_at, id"
)
_KEEP_STREAM = "INSERT OR REPLACE INTO stream (lane, batch_no, header_hash) VALUES (?, ?, ?)"
_KEEP_BATCH = "INSERT INTO batch (lane, batch_no, batch_id, size, cut_at) VALUES (?, ?, ?, ?, ?)"
OLDEST = " UNION ALL ".join(f"SELECT min(received_at) AS at FROM chunk WHERE lane = {lane}" for lane in LANES_OF_CHUNKS)
NEWEST = OLDEST.replace("min(", "max(")


@dataclass
class _Chosen:
    """What goes into a batch."""

    chunk_ids: list[tuple[int]]
    encoded_reports: list[bytes]
    reports: int = 0
    size: int = 0


def cut(
    db: sqlite3.Connection, figures: Figures, lane: Lane, cut_after_us: int, seal: Callable[..., bytes], now_us: int
) -> tuple[int, bytes] | None:
    """The number and the bytes of a batch, where one is due; `seal` knows all that is not the stream's own."""
    chosen = _choose(db, figures, lane, cut_after_us, now_us)
    if chosen is None:
        return None
    row = db.execute("SELECT batch_no, header_hash FROM stream WHERE lane = ?", (lane,)).fetchone()
    last, previous = row or (0, FIRST_PREVIOUS)
    number = last + 1
    sealed = seal(chosen.encoded_reports, lane=lane, batch_no=number, previous=previous, created_at_us=now_us)
    ident = batch_id(sealed)
    db.execute(_KEEP_STREAM, (lane, number, ident))
    kept = db.execute(_KEEP_BATCH, (lane, number, ident, len(sealed), now_us))
    db.execute("INSERT INTO sealed (id, bytes) VALUES (?, ?)", (kept.lastrowid, sealed))
    db.executemany("DELETE FROM chunk WHERE id = ?", chosen.chunk_ids)
    figures.reports -= chosen.reports
    figures.report_bytes -= chosen.size
    figures.open_batches += 1
    figures.open_bytes += len(sealed)
    if lane is Lane.WAVEFORM:
        figures.wave_bytes += len(sealed) - chosen.size
    return number, sealed


def _choose(db: sqlite3.Connection, figures: Figures, lane: Lane, cut_after_us: int, now_us: int) -> _Chosen | None:
    """The oldest chunks up to the size of a batch. None: they are few, and none has waited long enough."""
    border_us = now_us - BACKFILL_AFTER_US
    spans = {
        Lane.LIVE: [(Lane.LIVE, border_us, _LAST)],
        Lane.BACKFILL: [(Lane.LIVE, _FIRST, border_us - 1), (Lane.BACKFILL, _FIRST, _LAST)],
    }.get(lane, [(lane, _FIRST, _LAST)])
    chosen, due = _Chosen([], []), False
    waiting = chain.from_iterable(db.execute(_WAITING, span) for span in spans)
    for ident, received_us, reports, encoded_reports in waiting:
        due = due or not 0 <= now_us - received_us < cut_after_us  # an age below 0: the clock was set back
        if not due and figures.report_bytes < CUT_BYTES:
            return None
        chosen.chunk_ids.append((ident,))
        chosen.encoded_reports += split(encoded_reports)
        chosen.reports += reports
        chosen.size += len(encoded_reports)
        if chosen.size >= CUT_BYTES:
            due = True
            break
    return chosen if due else None
