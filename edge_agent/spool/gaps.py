"""Wave gaps: waves that were not kept, counted in the transaction that has their frames acknowledged.

Every ten seconds or so they become one event a device, `waves-lost`: how many reports, received from when to when. Lost
reports have no sequence, so that a device's sequence stays without a gap.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

from edge_agent.events import event
from edge_agent.spool.encoded_reports import EncodedReport
from schemas.report import Report

EVENTS_AT_ONCE = 1_000
_ADD = """
INSERT INTO wave_gap (device, claim, reports, begin_at, end_at) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (device) DO UPDATE SET
    reports = reports + excluded.reports, begin_at = min(begin_at, excluded.begin_at),
    end_at = max(end_at, excluded.end_at)
"""


@dataclass
class _Gap:
    claim: str
    reports: int
    begin_us: int
    end_us: int


class WaveGaps:
    """What one transaction loses."""

    def __init__(self) -> None:
        self._by_device: dict[bytes, _Gap] = {}

    def add(self, encoded_reports: Sequence[EncodedReport]) -> None:
        """These waves are not kept."""
        for encoded in encoded_reports:
            at_us = encoded.received_at_us
            gap = self._by_device.setdefault(encoded.device, _Gap(encoded.claim, 0, at_us, at_us))
            gap.reports += 1
            gap.begin_us, gap.end_us = min(gap.begin_us, at_us), max(gap.end_us, at_us)

    def write(self, db: sqlite3.Connection) -> None:
        """At the end of the transaction."""
        if not self._by_device:
            return
        rows = [(device, g.claim, g.reports, g.begin_us, g.end_us) for device, g in self._by_device.items()]
        db.executemany(_ADD, rows)


def waiting_events(db: sqlite3.Connection, now_us: int) -> list[tuple[bytes, Report]]:
    """The gaps that were not told yet, each with its device."""
    rows = db.execute("SELECT device, claim, reports, begin_at, end_at FROM wave_gap LIMIT ?", (EVENTS_AT_ONCE,))
    return [
        (device, event(claim, "waves-lost", json.dumps({"reports": n, "from_us": begin, "to_us": end}), now_us))
        for device, claim, n, begin, end in rows
    ]


def delete(db: sqlite3.Connection, device: bytes) -> None:
    """The event is kept."""
    db.execute("DELETE FROM wave_gap WHERE device = ?", (device,))
