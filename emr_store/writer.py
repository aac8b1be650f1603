"""The one transaction that makes a vital sign part of the record: rows, sealed bytes, ledger, receipts, or nothing.

Effect exactly once: the ledger's row of a stream says which batch numbers are kept; what is there already stores
nothing and gets its receipt again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any
from uuid import UUID

import msgspec
import numpy as np
import psycopg
import zstandard
from numpy.typing import NDArray

from emr_store import device_state, rows
from emr_store.connect import INCARNATION_SQL, incarnation
from emr_store.partitions import Partitions
from emr_store.rows import Lot
from emr_store.texts import texts_json
from evidence.seal import batch_id
from evidence.statements import Receipt, ReceiptOutcome, chain_hash
from schemas.batch import Header, Table, read_header
from schemas.block import Block, Quarantine, verdict_class_counts
from schemas.errors import LayoutError
from schemas.report import Kind

_Array = NDArray[Any]
ABSURD_FUTURE_US = 24 * 3600 * 1_000_000  # a moment further ahead makes no chunk of its own
_CHAIN_LOCK = 0x76_77_63_68
CHAIN_START = bytes(32)


@dataclass(frozen=True)
class SignedBlock:
    """A block with its seal, and its batches opened: what the writer takes."""

    seal: bytes
    block: Block
    headers: tuple[Header, ...]
    tables: tuple[Table, ...]


@dataclass
class Written:
    """What one transaction did."""

    reports: int = 0
    values: int = 0
    batches: int = 0
    duplicates: int = 0
    quarantined: int = 0
    conflicts: list[bytes] = field(default_factory=list)  # ids of batches whose number another one has


@dataclass(frozen=True)
class _Kept:
    """A batch that this transaction stores."""

    number: int
    signed: SignedBlock
    index: int
    first_report: int
    first_record: int

    @property
    def header(self) -> Header:
        return self.signed.headers[self.index]

    @property
    def table(self) -> Table:
        return self.signed.tables[self.index]

    @property
    def sealed(self) -> bytes:
        return self.signed.block.batches[self.index]


class Writer:
    """Stores signed blocks over one connection; its caches are of rows that never change."""

    def __init__(self, conn: psycopg.Connection, key_id: bytes, sign: Callable[[bytes], bytes]) -> None:
        self._conn = conn
        self._key_id = key_id
        self._sign = sign
        self._devices: dict[bytes, int] = {}
        self._channel_sets: dict[bytes, int] = {}
        self._partitions: Partitions | None = None
        self._incarnation = b""

    def close(self) -> None:
        """End its connection."""
        self._conn.close()

    def store(self, blocks: Sequence[SignedBlock], quarantined: Sequence[Quarantine], now_us: int) -> Written:
        """Store a lot in one transaction. Nothing is kept where it raises (psycopg.Error)."""
        if self._partitions is None:
            self._partitions = Partitions.of(self._conn)
            row = self._conn.execute(INCARNATION_SQL).fetchone()
            self._incarnation = incarnation(row[0] if row else "")
            self._conn.execute("SET synchronous_commit = on")
            self._conn.execute("CREATE TEMPORARY TABLE latest_in (LIKE latest) ON COMMIT DELETE ROWS")
        written = Written()
        devices, channel_sets = dict(self._devices), dict(self._channel_sets)
        try:
            with self._conn.transaction():
                kept, repeated = self._sift(blocks, written)
                if kept:
                    self._insert(kept, written, now_us)
                if repeated:
                    streams = Counter((h.spool, int(h.lane), h.edge) for h, _, _ in repeated)
                    names = [list(c) for c in zip(*streams, strict=True)]
                    self._conn.execute(_REPEATS_SQL, [*names, list(streams.values())])
                self._receipts(kept, repeated, now_us)
                for item in quarantined:
                    self._quarantine(item, written, now_us)
        except BaseException:
            self._devices, self._channel_sets = devices, channel_sets  # ids of a rolled-back transaction are none
            raise
        return written

    def _sift(
        self, blocks: Sequence[SignedBlock], written: Written
    ) -> tuple[list[_Kept], list[tuple[Header, bytes, int]]]:
        """Which batches are new. The streams' ledger rows are locked until COMMIT: two writers never both store one."""
        flat = [(signed, i, header) for signed in blocks for i, header in enumerate(signed.headers)]
        if not flat:
            return [], []
        streams = sorted({(h.spool, int(h.lane), h.edge) for _, _, h in flat})
        columns = [list(c) for c in zip(*streams, strict=True)]
        self._conn.execute(
            "INSERT INTO ledger (spool, lane, edge) SELECT encode(s, 'hex')::uuid, l, encode(e, 'hex')::uuid"
            " FROM unnest(%b::bytea[], %b::int2[], %b::bytea[]) AS u(s, l, e) ON CONFLICT DO NOTHING",
            columns,
        )
        self._conn.execute(
            "SELECT 1 FROM ledger WHERE (spool, lane, edge) IN"
            " (SELECT encode(s, 'hex')::uuid, l, encode(e, 'hex')::uuid"
            " FROM unnest(%b::bytea[], %b::int2[], %b::bytea[]) AS u(s, l, e)) ORDER BY spool, lane, edge FOR UPDATE",
            columns,
        )
        known = self._known([header for _, _, header in flat])
        kept: list[_Kept] = []
        repeated: list[tuple[Header, bytes, int]] = []
        offsets = {id(s): (np.cumsum([0] + [h.report_count for h in s.headers]).tolist(),
                           np.cumsum([0] + [h.record_count for h in s.headers]).tolist()) for s in blocks}  # fmt: skip
        for signed, i, header in flat:
            name = (header.spool, int(header.lane), header.edge, header.batch_no)
            ident = batch_id(signed.block.batches[i])
            if ident in known.get(name, {}):
                repeated.append((header, ident, known[name][ident]))
                written.duplicates += 1
                continue
            if known.get(name):
                written.conflicts.append(ident)
            known.setdefault(name, {})[ident] = 0
            reports, records = offsets[id(signed)]
            kept.append(_Kept(0, signed, i, reports[i], records[i]))
        return self._numbered(kept), repeated

    def _known(self, headers: Sequence[Header]) -> dict[tuple[bytes, int, bytes, int], dict[bytes, int]]:
        """Of these batch numbers the ones kept already: their batches' ids and chain positions."""
        cursor = self._conn.execute(
            "SELECT uuid_send(b.spool), b.lane, uuid_send(b.edge), b.batch_no, b.batch_id, b.position"
            " FROM unnest(%b::bytea[], %b::int2[], %b::bytea[], %b::int8[]) AS u(s, l, e, n)"
            " JOIN ledger g ON g.spool = encode(s, 'hex')::uuid AND g.lane = l AND g.edge = encode(e, 'hex')::uuid"
            " AND g.kept @> n"
            " JOIN batch b ON b.spool = g.spool AND b.lane = l AND b.batch_no = n AND b.edge = g.edge",
            [[h.spool for h in headers], [int(h.lane) for h in headers], [h.edge for h in headers],
             [h.batch_no for h in headers]], binary=True,
        )  # fmt: skip
        known: dict[tuple[bytes, int, bytes, int], dict[bytes, int]] = {}
        for spool, lane, edge, number, ident, position in cursor:
            known.setdefault((bytes(spool), lane, bytes(edge), number), {})[bytes(ident)] = position
        return known

    def _numbered(self, kept: list[_Kept]) -> list[_Kept]:
        cursor = self._conn.execute("SELECT nextval('batch_number') FROM generate_series(1, %s)", [len(kept)])
        numbers = [row[0] for row in cursor.fetchall()]
        return [_Kept(n, k.signed, k.index, k.first_report, k.first_record) for n, k in zip(numbers, kept, strict=True)]

    def _insert(self, kept: list[_Kept], written: Written, now_us: int) -> None:
        lot = self._lot(kept)
        self._channel_set_ids(lot)
        assert self._partitions is not None
        self._partitions.ensure(self._conn, lot.observed_at_us)
        waveform = lot.table.kind == Kind.WAVEFORM
        self._copy("report", rows.report_rows(lot))
        if waveform.any():
            self._copy("waveform", rows.waveform_rows(lot, np.flatnonzero(waveform)))
        newest = rows.newest(lot, rows.chartable(lot))
        if len(newest):
            self._copy("latest_in", rows.latest_rows(lot, newest, now_us))
            self._conn.execute(_LATEST_SQL)
        self._copy("minute_touched", rows.touched_rows(lot))
        spool = np.frombuffer(b"".join(k.header.spool for k in kept), "V16")
        self._copy("sequence_noted", rows.sequence_rows(lot, np.repeat(spool, [k.header.report_count for k in kept])))
        device_state.write(self._conn, lot)
        edges = np.repeat(np.frombuffer(b"".join(k.header.edge for k in kept), "V16"), [len(k.table) for k in kept])
        self._events(lot, edges)
        self._ledger(kept, lot)
        written.reports += len(lot.table)
        written.values += len(lot.verdicts)
        written.batches += len(kept)

    def _lot(self, kept: list[_Kept]) -> Lot:
        tables = [k.table for k in kept]
        table = Table.join(tables)
        flags = np.concatenate(
            [k.signed.block.flags[k.first_report :][: len(t)] for k, t in zip(kept, tables, strict=True)]
        )
        cells = [slice(k.first_record, k.first_record + k.header.record_count) for k in kept]
        verdicts = np.concatenate([k.signed.block.verdicts[c] for k, c in zip(kept, cells, strict=True)])
        values = np.concatenate([k.signed.block.values[c] for k, c in zip(kept, cells, strict=True)])
        counts = [len(t) for t in tables]
        absurd = table.observed_at_us > table.received_at_us + ABSURD_FUTURE_US
        edges = np.repeat(np.frombuffer(b"".join(k.header.edge for k in kept), "V16"), counts)
        return Lot(
            table, flags, verdicts, values,
            device=self._device_ids(table.device, edges),
            batch=np.repeat([k.number for k in kept], counts),
            leaf=np.concatenate([np.arange(n) for n in counts]),
            observed_at_us=np.where(absurd, table.received_at_us, table.observed_at_us),
            channel_set_of=self._channel_sets.__getitem__,
        )  # fmt: skip

    def _device_ids(self, device: _Array, edge: _Array) -> _Array:
        """The store's number of each report's device; new ones get a row."""
        words = np.ascontiguousarray(device).view(np.uint8).reshape(len(device), 16)
        first, which = rows.distinct(words)
        names = [words[i].tobytes() for i in first.tolist()]
        new = [(name, edge[i].tobytes()) for name, i in zip(names, first, strict=True) if name not in self._devices]
        if new:
            cursor = self._conn.execute(
                "WITH u AS (SELECT encode(d, 'hex')::uuid AS uuid, encode(e, 'hex')::uuid AS edge"
                " FROM unnest(%b::bytea[], %b::bytea[]) AS t(d, e)),"
                " i AS (INSERT INTO device (uuid, edge) SELECT uuid, edge FROM u ORDER BY uuid"
                " ON CONFLICT (uuid) DO UPDATE SET uuid = excluded.uuid RETURNING uuid, device)"
                " SELECT uuid_send(uuid), device FROM i",
                [[n for n, _ in new], [e for _, e in new]], binary=True,
            )  # fmt: skip
            for name, number in cursor:
                self._devices[bytes(name)] = number
        return np.array([self._devices[name] for name in names])[which]

    def _channel_set_ids(self, lot: Lot) -> None:
        """Give each channel list that is new a row: all in one statement, in an order that no two writers cross in."""
        lists, table = lot.channel_lists, lot.table
        new = [(c, r) for c, r in zip(lists.channels, lists.report, strict=True) if c not in self._channel_sets]
        if not new:
            return
        columns: list[list[str]] = [[], [], []]
        for _, report in new:
            records = slice(*table.record_start[report : report + 2].tolist())
            for texts, column in zip(columns, (table.code, table.unit, table.channel), strict=True):
                texts.append("{" + ",".join(map(str, column[records].tolist())) + "}")
        cursor = self._conn.execute(
            _CHANNEL_SETS_SQL, [[c for c, _ in new], [sha256(c).digest() for c, _ in new], *columns], binary=True
        )
        for channels, number in cursor:
            self._channel_sets[bytes(channels)] = number

    def _copy(self, table: str, data: bytes) -> None:
        with self._conn.cursor().copy(f"COPY {table} FROM STDIN (FORMAT BINARY)".encode()) as copy:
            copy.write(data)

    def _events(self, lot: Lot, edges: _Array) -> None:
        """Events tell what a device claims to be, the first claim stays; and how far an edge's clock is off."""
        claims: dict[int, str] = {}
        for report in np.flatnonzero((lot.table.kind == Kind.EVENT) | (lot.table.kind == Kind.REJECTED)).tolist():
            for entry in msgspec.json.decode(texts_json(lot.table, report)):
                if "claim" in entry:
                    claims[int(lot.device[report])] = entry["claim"]
                if entry.get("system") == "vitalwire" and entry.get("code") == "counts":
                    offset_ms = device_state.clock_offset_ms(entry.get("text", ""))
                    if offset_ms is not None:
                        at_us = int(lot.table.received_at_us[report])
                        device_state.note_clock(self._conn, edges[report].tobytes(), at_us, offset_ms)
        if claims:
            self._conn.execute(
                "UPDATE device SET claim = u.c FROM unnest(%b::int4[], %b::text[]) AS u(d, c)"
                " WHERE device.device = u.d AND device.claim IS NULL",
                [list(claims), list(claims.values())],
            )

    def _ledger(self, kept: list[_Kept], lot: Lot) -> None:
        """One UPDATE for all streams of the transaction: many updates of one row chain up at 0.3 ms each."""
        streams: dict[tuple[bytes, int, bytes], list[Any]] = {}
        record = 0
        for k in kept:
            h = k.header
            total = streams.setdefault((h.spool, int(h.lane), h.edge), [[], 0, np.zeros(4, np.int64)])
            total[0].append(h.batch_no)
            total[1] += h.report_count
            total[2] = total[2] + verdict_class_counts(lot.verdicts[record : record + h.record_count])
            record += h.record_count
        batches = [k.header for k in kept]
        self._conn.execute(_RELEASED_SQL, [
            [h.spool for h in batches], [int(h.lane) for h in batches], [h.edge for h in batches],
            [h.batch_no for h in batches], [h.report_count for h in batches],
        ])  # fmt: skip
        names = [list(c) for c in zip(*streams, strict=True)]
        ranges = ["{" + ",".join(f"[{n},{n}]" for n in numbers) + "}" for numbers, _, _ in streams.values()]
        counts = [[int(t[2][c]) for t in streams.values()] for c in range(4)]
        self._conn.execute(_LEDGER_SQL, [*names, ranges, [t[1] for t in streams.values()], *counts])

    def _receipts(self, kept: list[_Kept], repeated: list[tuple[Header, bytes, int]], now_us: int) -> None:
        """Seal the blocks into the chain, keep the sealed bytes, and put the receipts into the outbox.

        Last before COMMIT, since the chain has one head: whoever holds its lock is followed by nobody.
        """
        position_of: dict[int, int] = {}
        if kept:
            self._conn.execute("SELECT pg_advisory_xact_lock(%s)", [_CHAIN_LOCK])
            cursor = self._conn.execute("SELECT position, chain_hash FROM seal ORDER BY position DESC LIMIT 1")
            position, chain = cursor.fetchone() or (0, CHAIN_START)
            for signed in {id(k.signed): k.signed for k in kept}.values():
                position, chain = position + 1, chain_hash(bytes(chain), signed.seal)
                position_of[id(signed)] = position
                ids = b"".join(batch_id(b) for b in signed.block.batches)
                judgement = zstandard.ZstdCompressor(level=1).compress(signed.block.judgement)
                self._conn.execute(
                    "INSERT INTO seal (position, seal, batch_ids, judgement, chain_hash) VALUES (%b, %b, %b, %b, %b)",
                    [position, signed.seal, ids, judgement, chain],
                )
            with self._conn.cursor().copy(
                "COPY batch (batch, edge, spool, lane, batch_no, batch_id, position, first_report, first_record,"
                " sealed) FROM STDIN (FORMAT BINARY)"
            ) as copy:
                copy.set_types(["int8", "uuid", "uuid", "int2", "int8", "bytea", "int8", "int4", "int4", "bytea"])
                for k in kept:
                    h = k.header
                    copy.write_row(
                        (k.number, _uuid(h.edge), _uuid(h.spool), int(h.lane), h.batch_no, batch_id(k.sealed),
                         position_of[id(k.signed)], k.first_report, k.first_record, k.sealed)
                    )  # fmt: skip
        stored = {batch_id(k.sealed): position_of[id(k.signed)] for k in kept}
        receipts = [
            self._receipt(ReceiptOutcome.STORED, k.header, ident, position, now_us)
            for k, (ident, position) in zip(kept, stored.items(), strict=True)
        ] + [self._receipt(ReceiptOutcome.STORED, h, i, stored.get(i, position), now_us) for h, i, position in repeated]
        self._outbox(receipts)

    def _receipt(
        self, outcome: ReceiptOutcome, h: Header, ident: bytes, position: int, now_us: int, reason: str = ""
    ) -> tuple[bytes, bytes]:
        receipt = Receipt(
            outcome, h.edge, h.spool, int(h.lane), h.batch_no, ident, position, self._incarnation, now_us, reason
        )
        return h.edge, receipt.encode(self._key_id, self._sign)

    def _outbox(self, receipts: list[tuple[bytes, bytes]]) -> None:
        if receipts:
            self._conn.execute(
                "INSERT INTO outbox (edge, receipt) SELECT encode(e, 'hex')::uuid, r"
                " FROM unnest(%b::bytea[], %b::bytea[]) AS u(e, r)",
                [[e for e, _ in receipts], [r for _, r in receipts]],
            )

    def _quarantine(self, item: Quarantine, written: Written, now_us: int) -> None:
        """Keep a message that could not be judged, tell its edge so, and let the ledger count its reports."""
        written.quarantined += 1
        digest = sha256(item.message).digest()
        cursor = self._conn.execute(_DEAD_SQL, [
            item.reason, item.topic, item.receipted, digest, item.message, item.receipted, DEAD_REFUSED_MAX
        ])  # fmt: skip
        new = cursor.fetchone() is not None
        header = _header_or_none(item.message)
        if not item.receipted or header is None:
            return
        ident = batch_id(item.message)
        self._outbox([self._receipt(ReceiptOutcome.QUARANTINED, header, ident, 0, now_us, item.reason)])
        if new:
            self._conn.execute(_QUARANTINE_SQL, [
                _uuid(header.edge), _uuid(header.spool), int(header.lane), header.batch_no, header.batch_no,
                header.report_count
            ])  # fmt: skip


def _header_or_none(message: bytes) -> Header | None:
    try:
        return read_header(message)
    except LayoutError:
        return None


def _uuid(data: bytes) -> UUID:
    return UUID(bytes=data)


# What no registered edge signed is kept for inspection, but nobody may fill the store with it.
DEAD_REFUSED_MAX = 1000

_CHANNEL_SETS_SQL = """
INSERT INTO channel_set (channels, digest, code, unit, channel)
SELECT c, h, n::int8[], u::int8[], i::int8[]
FROM unnest(%b::bytea[], %b::bytea[], %b::text[], %b::text[], %b::text[]) AS t(c, h, n, u, i) ORDER BY h
ON CONFLICT (digest) DO UPDATE SET digest = excluded.digest RETURNING channels, channel_set
"""

_LATEST_SQL = """
INSERT INTO latest AS l SELECT * FROM latest_in ORDER BY device, channel_set
ON CONFLICT (device, channel_set) DO UPDATE SET
    observed_at = excluded.observed_at, received_at = excluded.received_at, stored_at = excluded.stored_at,
    flags = excluded.flags, batch = excluded.batch, leaf = excluded.leaf, value = excluded.value,
    decimals = excluded.decimals, validity = excluded.validity, verdict = excluded.verdict, texts = excluded.texts
WHERE excluded.observed_at >= l.observed_at
"""

# A batch that was quarantined and is stored after all is no longer counted as quarantined.
_RELEASED_SQL = """
UPDATE ledger g SET quarantined_reports = g.quarantined_reports - q.reports
FROM (SELECT o.spool, o.lane, o.edge, sum(u.r) AS reports
      FROM unnest(%b::bytea[], %b::int2[], %b::bytea[], %b::int8[], %b::int8[]) AS u(s, l, e, n, r)
      JOIN ledger o ON o.spool = encode(s, 'hex')::uuid AND o.lane = l AND o.edge = encode(e, 'hex')::uuid
          AND o.quarantined @> n
      GROUP BY o.spool, o.lane, o.edge) AS q
WHERE (g.spool, g.lane, g.edge) = (q.spool, q.lane, q.edge)
"""

_LEDGER_SQL = """
UPDATE ledger g SET
    kept = g.kept + u.k::int8multirange, quarantined = g.quarantined - u.k::int8multirange,
    reports = g.reports + u.r, accepted = g.accepted + u.c, missing = g.missing + u.m, unmapped = g.unmapped + u.u,
    doubtful = g.doubtful + u.d, updated_at = now()
FROM unnest(%b::bytea[], %b::int2[], %b::bytea[], %b::text[], %b::int8[], %b::int8[], %b::int8[], %b::int8[],
    %b::int8[]) AS u(s, l, e, k, r, c, m, u, d)
WHERE g.spool = encode(u.s, 'hex')::uuid AND g.lane = u.l AND g.edge = encode(u.e, 'hex')::uuid
"""

_REPEATS_SQL = """
UPDATE ledger g SET duplicates = g.duplicates + u.n FROM unnest(%b::bytea[], %b::int2[], %b::bytea[], %b::int8[])
    AS u(s, l, e, n)
WHERE g.spool = encode(u.s, 'hex')::uuid AND g.lane = u.l AND g.edge = encode(u.e, 'hex')::uuid
"""

_DEAD_SQL = """
INSERT INTO dead (reason, topic, receipted, digest, message) SELECT %s, %s, %s, %s, %s
WHERE %s OR (SELECT count(*) FROM dead WHERE NOT receipted) < %s
ON CONFLICT (digest, reason) DO NOTHING RETURNING id
"""

_QUARANTINE_SQL = """
INSERT INTO ledger AS g (edge, spool, lane, quarantined, quarantined_reports)
VALUES (%s, %s, %s, int8multirange(int8range(%s, %s, '[]')), %s)
ON CONFLICT (spool, lane, edge) DO UPDATE SET quarantined = g.quarantined + excluded.quarantined,
    quarantined_reports = g.quarantined_reports + excluded.quarantined_reports, updated_at = now()
"""
