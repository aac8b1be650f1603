"""Walk what is kept and hold it against itself: seals, batches, rows (`vitalwire verify`)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np
import psycopg
import zstandard

from emr_store.read import one_moment
from emr_store.writer import CHAIN_START
from evidence.seal import open_body
from evidence.verification import Finding, KeptBatch, KeptRow, KeptSeal, Keys, check_batch, check_seal
from schemas.errors import LayoutError

FINDINGS_MAX = 1000  # a store that is wrong everywhere is wrong enough
JUDGEMENT_BYTES_MAX = 64 * 1024 * 1024


@dataclass
class Verification:
    """What was looked at, and what does not hold."""

    seals: int = 0
    batches: int = 0
    reports: int = 0
    values: int = 0
    findings: list[Finding] = field(default_factory=list)


def verify(
    conn: psycopg.Connection, since: datetime, on_progress: Callable[[int, int], None] = lambda done, of: None
) -> Verification:
    """Check everything stored since then. The chain is followed from the link before."""
    with one_moment(conn):
        return _verify(conn, since, on_progress)


def _verify(conn: psycopg.Connection, since: datetime, on_progress: Callable[[int, int], None]) -> Verification:
    result = Verification()
    keys = _keys(conn)
    row = conn.execute("SELECT min(position), count(*) FROM seal WHERE stored_at >= %s", (since,)).fetchone()
    first, total = row or (None, 0)
    if first is None:
        return result
    before = conn.execute("SELECT position, chain_hash FROM seal WHERE position < %s ORDER BY position DESC LIMIT 1",
                          (first,)).fetchone()  # fmt: skip
    position, chain = (before[0], bytes(before[1])) if before else (0, CHAIN_START)
    last = first - 1
    while len(result.findings) < FINDINGS_MAX:
        seal = _next_seal(conn, last)
        if seal is None:
            break
        result.findings += check_seal(seal, chain, position, keys)
        _check_batches(conn, seal, keys, result)
        position, chain, last = seal.position, seal.chain_hash, seal.position
        result.seals += 1
        on_progress(result.seals, total)
    row = conn.execute(
        "SELECT count(*) FROM report r WHERE r.batch >= (SELECT min(batch) FROM batch WHERE position >= %s)", (first,)
    ).fetchone()
    if row and row[0] != result.reports:
        result.findings.append(Finding("report", f"{row[0]} rows, a kept batch behind {result.reports} of them"))
    return result


def _keys(conn: psycopg.Connection) -> Keys:
    return Keys(
        {bytes(k): bytes(p) for k, p in conn.execute("SELECT key_id, public_der FROM edge_key")},
        {bytes(k): bytes(p) for k, p in conn.execute("SELECT key_id, public_der FROM platform_key")},
    )


def _next_seal(conn: psycopg.Connection, after: int) -> KeptSeal | None:
    row = conn.execute(
        "SELECT position, seal, batch_ids, judgement, chain_hash FROM seal WHERE position > %s"
        " ORDER BY position LIMIT 1",
        (after,),
    ).fetchone()
    if row is None:
        return None
    try:
        judgement = zstandard.ZstdDecompressor().decompress(bytes(row[3]), JUDGEMENT_BYTES_MAX)
    except zstandard.ZstdError:
        judgement = b""  # its hash will not be the signed one
    return KeptSeal(row[0], bytes(row[1]), bytes(row[2]), judgement, bytes(row[4]))


def _check_batches(conn: psycopg.Connection, seal: KeptSeal, keys: Keys, result: Verification) -> None:
    rows = conn.execute(
        "SELECT batch, batch_id, first_report, first_record, sealed FROM batch WHERE position = %s ORDER BY batch",
        (seal.position,),
    ).fetchall()
    batches = [KeptBatch(r[0], bytes(r[1]), r[2], r[3], bytes(r[4])) for r in rows]
    totals = _totals(conn, seal, batches)
    kept = {b.batch_id for b in batches}
    for ident in (seal.batch_ids[i : i + 32] for i in range(0, len(seal.batch_ids), 32)):
        if ident not in kept and conn.execute("SELECT 1 FROM batch WHERE batch_id = %s", (ident,)).fetchone() is None:
            result.findings.append(Finding(f"seal {seal.position}", f"its batch {ident.hex()[:16]} is gone"))
    for batch in batches:
        report_rows = _rows(conn, batch)
        result.findings += check_batch(batch, seal, report_rows, totals, keys)
        result.batches += 1
        result.reports += len(report_rows)
        result.values += sum(len(r.value) for r in report_rows if r.kind == 1)


def _totals(conn: psycopg.Connection, seal: KeptSeal, batches: list[KeptBatch]) -> tuple[int, int]:
    """Reports and records of the seal's whole block: its judgement is 2 bytes a report and 9 a record."""
    reports = records = 0
    for ident in (seal.batch_ids[i : i + 32] for i in range(0, len(seal.batch_ids), 32)):
        sealed = next((b.sealed for b in batches if b.batch_id == ident), None)
        if sealed is None:  # it was kept under an earlier seal already
            row = conn.execute("SELECT sealed FROM batch WHERE batch_id = %s", (ident,)).fetchone()
            sealed = bytes(row[0]) if row else b""
        try:
            header, _ = open_body(sealed)
        except LayoutError:
            continue
        reports += header.report_count
        records += header.record_count
    return reports, records


_ROWS_SQL = """
SELECT r.leaf, uuid_send(d.uuid), (extract(epoch FROM r.observed_at) * 1000000)::int8,
    (extract(epoch FROM r.received_at) * 1000000)::int8, r.sequence, r.kind, r.flags, s.channels, r.value, r.validity,
    r.verdict
FROM report r JOIN device d USING (device) JOIN channel_set s USING (channel_set)
WHERE r.observed_at BETWEEN to_timestamp(%s / 1e6) AND to_timestamp(%s / 1e6)
    AND r.device = ANY(SELECT device FROM device WHERE uuid = ANY(%s)) AND r.batch = %s
"""


def _rows(conn: psycopg.Connection, batch: KeptBatch) -> list[KeptRow]:
    """The rows that name this batch, found by the moments and devices that its bytes speak of."""
    try:
        _, table = open_body(batch.sealed)
    except LayoutError:
        return []
    moments = np.concatenate([table.observed_at_us, table.received_at_us])
    devices = {table.device[i].tobytes().hex() for i in range(len(table))}
    rows = conn.execute(
        _ROWS_SQL, (int(moments.min()) - 1, int(moments.max()) + 1, list(devices), batch.number)
    ).fetchall()
    return [KeptRow(r[0], bytes(r[1]), r[2], r[3], r[4], r[5], r[6], bytes(r[7]), r[8], r[9], r[10]) for r in rows]
