"""Walk what is kept and hold it against itself: seals, batches, rows (`vitalwire verify`)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np
import psycopg
import zstandard

from emr_store.index_proof import TABLES, compare, expected_rows, kept_rows
from emr_store.read import one_moment
from emr_store.retention import HEAD_BYTES
from emr_store.writer import ABSURD_FUTURE_US, CHAIN_START
from evidence.seal import open_body
from evidence.verification import (
    ROW_GONE,
    VERDICTS_CHANGED,
    Finding,
    KeptBatch,
    KeptRow,
    KeptSeal,
    Keys,
    check_batch,
    check_head,
    check_seal,
)
from schemas.batch import Table, read_header
from schemas.block import judgement_arrays
from schemas.errors import LayoutError
from schemas.layout import CHANNEL_BYTES

FINDINGS_MAX = 1000  # a store that is wrong everywhere is wrong enough
JUDGEMENT_BYTES_MAX = 64 * 1024 * 1024
_NUMBER_MAX = 2**63 - 1


@dataclass
class Verification:
    """What was looked at, and what does not hold.

    `dropped` reports have no rows any more because retention took them: their originals were checked, and are among
    the batches. `indexed` are the rows of the other tables over the batches. The record begins at `begins`: of the
    `emptied` batches from before it, header, signature and place in the chain were checked, and that is all there is;
    None: nothing was emptied.
    """

    seals: int = 0
    batches: int = 0
    reports: int = 0
    values: int = 0
    dropped: int = 0
    indexed: Counter[str] = field(default_factory=lambda: Counter(dict.fromkeys(TABLES, 0)))
    emptied: int = 0
    begins: datetime | None = None
    findings: list[Finding] = field(default_factory=list)


def verify(
    conn: psycopg.Connection, since: datetime, on_progress: Callable[[int, int], None] = lambda done, of: None
) -> Verification:
    """Check everything stored since then. The chain is followed from the link before."""
    with one_moment(conn):
        conn.execute(
            f"LOCK TABLE report, {', '.join(TABLES)} IN ACCESS SHARE MODE".encode()
        )  # what is dropped now is gone from every snapshot
        return _verify(conn, since, on_progress)


def _verify(conn: psycopg.Connection, since: datetime, on_progress: Callable[[int, int], None]) -> Verification:
    result, keys = Verification(), _keys(conn)
    row = conn.execute("SELECT until FROM dropped WHERE what = 'batch'").fetchone()
    result.begins = row[0] if row else None
    gone = _gone(conn)
    row = conn.execute("SELECT min(position), count(*) FROM seal WHERE stored_at >= %s", (since,)).fetchone()
    first, total = row or (None, 0)
    if first is None:
        return result
    before = conn.execute("SELECT position, chain_hash FROM seal WHERE position < %s ORDER BY position DESC LIMIT 1",
                          (first,)).fetchone()  # fmt: skip
    position, chain = (before[0], bytes(before[1])) if before else (0, CHAIN_START)
    first_batch = _NUMBER_MAX
    while len(result.findings) < FINDINGS_MAX and (found := _next_seal(conn, position)):
        seal, stored_at = found
        emptied = result.begins is not None and stored_at < result.begins
        findings = check_seal(seal, chain, position, keys)
        result.findings += [f for f in findings if not (emptied and f.what == VERDICTS_CHANGED)]
        batches, heads = _batches(conn, seal)
        result.findings += [Finding(f"seal {seal.position}", f"its batch {ident.hex()[:16]} is gone")
                            for ident in seal.ids if ident not in heads]  # fmt: skip
        first_batch = min(first_batch, *(b.number for b in batches), _NUMBER_MAX)
        if emptied:
            result.emptied += len(batches)
            result.findings += [f for b in batches for f in check_head(b, seal, keys)]
        else:
            totals = _totals([heads.get(ident, b"") for ident in seal.ids])
            for batch in batches:
                _check_batch(conn, seal, batch, totals, keys, gone, result)
        position, chain = seal.position, seal.chain_hash
        result.seals += 1
        on_progress(result.seals, total)
    result.findings += _channel_sets(conn)
    for table, behind in (("report", result.reports), *result.indexed.items()):
        row = conn.execute(f"SELECT count(*) FROM {table} WHERE batch >= %s".encode(), (first_batch,)).fetchone()
        if row and row[0] != behind:
            result.findings.append(Finding(table, f"{row[0]} rows, a kept batch behind {behind} of them"))
    return result


def _channel_sets(conn: psycopg.Connection) -> list[Finding]:
    """Rows are held against the bytes of their channel list; people read its arrays."""
    found = []
    for number, channels, *arrays in conn.execute("SELECT channel_set, channels, code, unit, channel FROM channel_set"):
        listed = np.frombuffer(channels, "<u4").reshape(-1, 3).T if len(channels) % CHANNEL_BYTES == 0 else None
        if listed is None or listed.tolist() != arrays:
            found.append(Finding(f"channel_set {number}", "its lists are not its bytes"))
    return found


def _keys(conn: psycopg.Connection) -> Keys:
    return Keys(
        {bytes(k): bytes(p) for k, p in conn.execute("SELECT key_id, public_der FROM edge_key")},
        {bytes(k): bytes(p) for k, p in conn.execute("SELECT key_id, public_der FROM platform_key")},
    )


def _next_seal(conn: psycopg.Connection, after: int) -> tuple[KeptSeal, datetime] | None:
    row = conn.execute(
        "SELECT position, seal, batch_ids, judgement, chain_hash, stored_at FROM seal WHERE position > %s"
        " ORDER BY position LIMIT 1",
        (after,),
    ).fetchone()
    if row is None:
        return None
    try:
        judgement = zstandard.ZstdDecompressor().decompress(bytes(row[3]), JUDGEMENT_BYTES_MAX)
    except zstandard.ZstdError:
        judgement = b""  # its hash will not be the signed one
    return KeptSeal(row[0], bytes(row[1]), bytes(row[2]), judgement, bytes(row[4])), row[5]


_BATCHES_SQL = """
SELECT batch, batch_id, first_report, first_record, position,
    CASE position WHEN %(position)s THEN sealed ELSE substr(sealed, 1, %(head)s) END
FROM batch WHERE position = %(position)s OR batch_id = ANY(%(idents)s) ORDER BY batch
"""


def _batches(conn: psycopg.Connection, seal: KeptSeal) -> tuple[list[KeptBatch], dict[bytes, bytes]]:
    """The batches that this seal was the first to speak of; and by id at least the head of each that it speaks of."""
    named = {"position": seal.position, "head": HEAD_BYTES, "idents": seal.ids}
    rows = conn.execute(_BATCHES_SQL, named).fetchall()
    own = [KeptBatch(r[0], bytes(r[1]), r[2], r[3], bytes(r[5])) for r in rows if r[4] == seal.position]
    return own, {bytes(r[1]): bytes(r[5]) for r in rows}


Gone = dict[str, list[tuple[int, int, int]]]  # of each table since, until, last batch


def _check_batch(
    conn: psycopg.Connection, seal: KeptSeal, batch: KeptBatch, totals: tuple[int, int], keys: Keys, gone: Gone,
    result: Verification,
) -> None:  # fmt: skip
    rows: list[KeptRow] = []
    dropped: set[Finding] = set()
    with suppress(LayoutError):  # which is a finding of check_batch
        table = open_body(batch.sealed)[1]
        taken = _taken(batch, table, gone["report"])
        rows = _rows(conn, batch, table)
        dropped = {Finding(f"batch {batch.number} leaf {leaf}", ROW_GONE) for leaf in np.flatnonzero(taken).tolist()}
        result.findings += _check_index(conn, batch, table, _values(seal, batch, table, totals), gone, result)
    findings = check_batch(batch, seal, rows, totals, keys)
    result.findings += [f for f in findings if f not in dropped]
    result.dropped += len(dropped.intersection(findings))
    result.batches += 1
    result.reports += len(rows)
    result.values += sum(len(r.value) for r in rows if r.kind == 1)


def _values(seal: KeptSeal, batch: KeptBatch, table: Table, totals: tuple[int, int]) -> np.ndarray:
    """The judged values of a batch's records; raises LayoutError where the judgement does not hold them."""
    values = judgement_arrays(seal.judgement, *totals)[2][batch.first_record :][: len(table.cells)]
    if len(values) != len(table.cells):
        raise LayoutError("counts", "judgement")
    return values


def _check_index(
    conn: psycopg.Connection, batch: KeptBatch, table: Table, values: np.ndarray, gone: Gone, result: Verification
) -> list[Finding]:
    """What the other tables have of a batch: only asked where it has any such records."""
    at_us = _instants(table)
    expected = expected_rows(table, at_us, values)
    kept = {what: kept_rows(conn, what, batch.number, at_us) for what in TABLES if expected[what]}
    for what, found in kept.items():
        result.indexed[what] += len(found)
    return compare(batch.number, expected, kept, {what: _taken(batch, table, gone[what]) for what in kept})


def _gone(conn: psycopg.Connection) -> Gone:
    """What retention took of each table's rows."""
    gone: Gone = {what: [] for what in ("report", *TABLES)}
    for what, since_us, until_us, last_batch in conn.execute(_DROPPED_SQL):
        gone.setdefault(what, []).append((since_us, until_us, last_batch))
    return gone


_DROPPED_SQL = """
SELECT what, (extract(epoch FROM since) * 1000000)::int8, (extract(epoch FROM until) * 1000000)::int8, last_batch
FROM dropped WHERE what IN ('report', 'waveform', 'device_alarm', 'device_setting')
"""


def _instants(table: Table) -> np.ndarray:
    """The moment of each report, as the writer has it."""
    observed, received = table.observed_at_us, table.received_at_us
    at_us: np.ndarray = np.where(observed > received + ABSURD_FUTURE_US, received, observed)
    return at_us


def _taken(batch: KeptBatch, table: Table, gone: Sequence[tuple[int, int, int]]) -> np.ndarray:
    """Whether each report's rows lay in a dropped partition when it was dropped."""
    at_us, taken = _instants(table), np.zeros(len(table), bool)
    for since_us, until_us, last_batch in gone:
        if batch.number <= last_batch:
            taken |= (at_us >= since_us) & (at_us < until_us)
    return taken


def _totals(heads: Sequence[bytes]) -> tuple[int, int]:
    """Reports and records of a seal's whole block: its judgement is 2 bytes a report and 9 a record."""
    reports = records = 0
    for head in heads:
        with suppress(LayoutError):
            header = read_header(head)
            reports, records = reports + header.report_count, records + header.record_count
    return reports, records


_ROWS_SQL = """
SELECT r.leaf, uuid_send(d.uuid), (extract(epoch FROM r.observed_at) * 1000000)::int8,
    (extract(epoch FROM r.received_at) * 1000000)::int8, r.sequence, r.kind, r.flags, s.channels, r.value, r.validity,
    r.verdict
FROM report r JOIN device d USING (device) JOIN channel_set s USING (channel_set)
WHERE r.observed_at BETWEEN to_timestamp(%s / 1e6) AND to_timestamp(%s / 1e6)
    AND r.device = ANY(SELECT device FROM device WHERE uuid = ANY(%s)) AND r.batch = %s
"""


def _rows(conn: psycopg.Connection, batch: KeptBatch, table: Table) -> list[KeptRow]:
    """The rows that name this batch, found by the moments and devices that its bytes speak of."""
    moments = np.concatenate([table.observed_at_us, table.received_at_us])
    devices = {table.device[i].tobytes().hex() for i in range(len(table))}
    rows = conn.execute(
        _ROWS_SQL, (int(moments.min()) - 1, int(moments.max()) + 1, list(devices), batch.number)
    ).fetchall()
    return [KeptRow(r[0], bytes(r[1]), r[2], r[3], r[4], r[5], r[6], bytes(r[7]), r[8], r[9], r[10]) for r in rows]
