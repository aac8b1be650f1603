"""Scans, every column of them, held against the reports that they were read from."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import psycopg
from psycopg.rows import class_row

from emr_store import adt_facts
from emr_store.adt_facts import ScanReport
from emr_store.scans import ScanRow, scan_row
from emr_store.verification import Verification
from schemas.report import Lane

_FETCH = 2000


def check_scans(conn: psycopg.Connection, first_batch: int, reports_dropped: bool, result: Verification) -> None:
    """Step 6, scans, of batches from `first_batch` on: each says what its report says, and no report's scan is missing.

    The rows of `report` were held against the bytes before. `reports_dropped`: retention took some, so that a scan
    without one is no finding.
    """
    sealed: dict[bytes, list[ScanRow]] = {}
    for report in _reports(conn, first_batch):
        row = _sealed(report)
        if row is not None:
            sealed.setdefault(row.scan, []).append(row)
    unseen = set(sealed)
    with conn.cursor(name="scans", row_factory=class_row(ScanRow)) as cursor:
        cursor.itersize = _FETCH
        for row in cursor.execute(_SCANS_SQL, {"first": first_batch}):
            result.counts["device_scan"] += 1
            unseen.discard(bytes(row.scan))
            _check(row, sealed.get(bytes(row.scan), []), reports_dropped, result)
            if result.is_full:
                return
    waiting = {bytes(batch) for (batch,) in conn.execute(_WAITING_SQL)}
    for scan in sorted(unseen):
        known = conn.execute("SELECT FROM device_scan WHERE scan = %s", (scan,)).rowcount
        if not known and not any(bytes(row.batch_id) in waiting for row in sealed[scan]):
            result.add(_where(scan), "its row is gone")


def _reports(conn: psycopg.Connection, first_batch: int) -> Iterator[ScanReport]:
    batches = [batch for (batch,) in conn.execute(_BATCHES_SQL, {"first": first_batch})]
    for start in range(0, len(batches), _FETCH):
        yield from adt_facts.scans_of(conn, batches[start : start + _FETCH])


def _sealed(report: ScanReport) -> ScanRow | None:
    """As the writer has it; None for one of a newer edge, which became no scan."""
    try:
        return scan_row(report)
    except msgspec.MsgspecError:
        return None


def _check(row: ScanRow, sealed: list[ScanRow], reports_dropped: bool, result: Verification) -> None:
    where = _where(bytes(row.scan))
    by_report = [each for each in sealed if (bytes(each.batch_id), each.leaf) == (bytes(row.batch_id), row.leaf)]
    if not by_report:
        if not reports_dropped:
            result.add(where, "no report stands behind it")
        return
    result.add(where, *(
        f"its {name} is not what was sealed"
        for name, kept, said in zip(ScanRow._fields, row, by_report[0], strict=True)
        if _plain(kept) != _plain(said)
    ))  # fmt: skip


def _plain(value: Any) -> Any:
    return bytes(value) if isinstance(value, (bytes, memoryview)) else value


def _where(scan: bytes) -> str:
    return f"scan {scan.hex()[:16]}"


_BATCHES_SQL = f"SELECT batch FROM batch WHERE lane = {int(Lane.ADT)} AND batch >= %(first)s ORDER BY batch"
_SCANS_SQL = """
SELECT s.scan, s.batch_id, s.leaf, s.device, s.number, s.action, s.at, s.received_at, s.retained, s.effective, s.said
FROM device_scan s LEFT JOIN batch b USING (batch_id) WHERE b.batch IS NULL OR b.batch >= %(first)s
ORDER BY s.received_at, s.scan
"""
_WAITING_SQL = "SELECT b.batch_id FROM attribution_batch a JOIN batch b USING (batch)"
