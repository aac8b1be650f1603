"""Chunks: the leaves of one commit, lane and second in one row, for a row a report costs more than the report."""

from __future__ import annotations

import sqlite3
import struct
from dataclasses import dataclass, field

from edge_agent.spool.encoded_reports import EncodedReport
from schemas.layout import RECORD_STRUCT, REPORT_STRUCT
from schemas.report import Lane

CHUNK_BYTES = 64 * 1024  # a larger leaf has a chunk of its own: what is cut stays below twice CUT_BYTES
SECOND_US = 1_000_000
_COUNTS = struct.Struct("<HI")  # records and bytes of the tail: the end of a report's row
_COUNTS_OFFSET = REPORT_STRUCT.size - _COUNTS.size
_INSERT = "INSERT INTO chunk (lane, received_at, reports, leaves) VALUES (?, ?, ?, ?)"


@dataclass
class _Chunk:
    lane: Lane
    received_at_us: int  # of its oldest report
    contents: list[bytearray] = field(default_factory=list)
    size: int = 0


class ChunkWriter:
    """Gathers the leaves of one commit."""

    def __init__(self) -> None:
        self._chunks: list[_Chunk] = []
        self._open: dict[tuple[Lane, int], _Chunk] = {}  # by lane and second, the one that still grows

    def add(self, encoded: EncodedReport) -> None:
        """In its device's order."""
        lane_and_second = (encoded.lane, encoded.received_at_us // SECOND_US)
        chunk = self._open.get(lane_and_second)
        if chunk is None or chunk.size + len(encoded.content) > CHUNK_BYTES:
            chunk = self._open[lane_and_second] = _Chunk(encoded.lane, encoded.received_at_us)
            self._chunks.append(chunk)
        elif encoded.received_at_us < chunk.received_at_us:
            chunk.received_at_us = encoded.received_at_us
        chunk.contents.append(encoded.content)
        chunk.size += len(encoded.content)

    def write(self, db: sqlite3.Connection) -> None:
        """One row a chunk."""
        rows = [(c.lane, c.received_at_us, len(c.contents), b"".join(c.contents)) for c in self._chunks]
        db.executemany(_INSERT, rows)


def split(encoded_reports: bytes) -> list[bytes]:
    """The leaves of a chunk, one by one."""
    out = []
    begin = 0
    while begin < len(encoded_reports):
        records, tail_bytes = _COUNTS.unpack_from(encoded_reports, begin + _COUNTS_OFFSET)
        end = begin + REPORT_STRUCT.size + records * RECORD_STRUCT.size + tail_bytes
        out.append(encoded_reports[begin:end])
        begin = end
    return out
