"""The hospital pipeline beside bare COPY of the same values, on real Kafka and TimescaleDB, in one run.

From pre-sealed batches in Kafka to committed rows: every batch verified, judged, signed, stored, receipted.
"""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import psycopg
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient

from benchmarks.databases import drop_database
from emr_store import registry, rows
from emr_store.connect import open_store
from emr_store.migrate import migrate
from emr_store.rows import Lot
from evidence.seal import FIRST_PREVIOUS, batch_id, open_body, seal
from runtime import keys
from schemas import topics
from schemas.batch import Table, encode_report
from schemas.nomenclature import METRICS, UNIT_BY_REFERENCE_ID
from schemas.report import ClockQuality, Kind, Lane, Record, Report
from stream_processors.validate import judge

VALUES = 12
EDGES = 4  # as many as a topic has partitions
LIMIT_S = 300.0
_SAID = struct.Struct("<48sqqqQ")  # of a report row, from the salt to the sequence (docs/batch.md)


class Bench:
    """A fresh database, empty topics, keys, and the three workers."""

    def __init__(self, folder: Path) -> None:
        self.kafka, server = os.environ["VITALWIRE_KAFKA"], os.environ["VITALWIRE_DATABASE"]
        self.folder = folder
        self._server = server
        self._name = f"bench_{uuid.uuid4().hex[:8]}"
        self.database = urlsplit(server)._replace(path=f"/{self._name}").geturl()
        self.edges = [keys.generate(folder / f"edge-{i}.key") for i in range(EDGES)]
        self.ids = [uuid.uuid4() for _ in range(EDGES)]
        self._next = [1] * EDGES
        self._previous = [FIRST_PREVIOUS] * EDGES
        self._monitors = [monitors(edge, 1000) for edge in range(EDGES)]
        keys.generate(folder / "platform.key")

    @contextmanager
    def running(self) -> Iterator[None]:
        """Everything up; the database is dropped after."""
        with psycopg.connect(self._server, autocommit=True) as conn:
            conn.execute(f"CREATE DATABASE {self._name}".encode())
        try:
            self._empty_topics()
            migrate(self.database)
            with open_store(self.database) as conn:
                for key, ident in zip(self.edges, self.ids, strict=True):
                    registry.add_edge(conn, ident, "bench", key.public_der)
            config = self.folder / "processors.toml"
            lines = [f'kafka = "{self.kafka}"', f'database = "{self.database}"', 'key_file = "platform.key"']
            config.write_text("\n".join([*lines, "metrics_port = 0"]))
            run = [sys.executable, "-m", "vitalwire", "processors", "run", "--config", str(config)]
            with (self.folder / "log").open("wb") as log:
                workers = subprocess.Popen(run, stderr=log, stdout=log)
                try:
                    yield
                finally:
                    workers.terminate()
                    workers.wait(30)
        finally:
            drop_database(self._server, self._name)

    def _empty_topics(self) -> None:
        admin = AdminClient({"bootstrap.servers": self.kafka})
        names = {t.name for t in topics.TOPICS} & set(admin.list_topics(timeout=10).topics)
        for deleted in admin.delete_topics(list(names)).values() if names else ():
            deleted.result(10)
        while names & set(admin.list_topics(timeout=10).topics):
            time.sleep(0.1)

    def batches(self, count: int, reports: int) -> list[tuple[int, bytes]]:
        """Sealed batches in turns from all edges, each edge in a partition of its own: partition, bytes."""
        out = []
        for i in range(count):
            edge = i % EDGES
            sealed = seal(
                leaves(self._monitors[edge][:reports], self._next[edge]), lane=Lane.LIVE, edge=self.ids[edge].bytes,
                spool=b"S" * 16, batch_no=self._next[edge], previous=self._previous[edge],
                created_at_us=time.time_ns() // 1000, config_hash=bytes(32), key_id=self.edges[edge].key_id,
                sign=self.edges[edge].sign,
            )  # fmt: skip
            self._next[edge] += 1
            self._previous[edge] = batch_id(sealed)
            out.append((edge, sealed))
        return out

    def through(self, batches: Sequence[tuple[int, bytes]], reports: int) -> float:
        """Seconds from the first batch's sending to the last one's commit."""
        limits = {"queue.buffering.max.kbytes": 1 << 20, "message.max.bytes": topics.MESSAGE_BYTES_MAX}
        producer = Producer({"bootstrap.servers": self.kafka, "acks": "all", "linger.ms": 5, **limits})
        with open_store(self.database) as conn:
            before = stored(conn)
            began = time.perf_counter()
            for partition, sealed in batches:
                producer.produce(topics.raw(Lane.LIVE), sealed, partition=partition)
                producer.poll(0)
            producer.flush(60)
            while stored(conn) < before + len(batches) * reports:
                if time.perf_counter() - began > LIMIT_S:
                    raise TimeoutError(f"{stored(conn) - before} of {len(batches) * reports} reports after {LIMIT_S} s")
                time.sleep(0.02)
            return time.perf_counter() - began


def stored(conn: psycopg.Connection) -> int:
    """Reports in the ledger."""
    row = conn.execute("SELECT coalesce(sum(reports), 0)::int8 FROM ledger").fetchone()
    return int(row[0]) if row else 0


def monitors(edge: int, count: int) -> list[bytes]:
    """Encoded reports of as many devices, 12 values each, as a monitor sends them; `leaves` gives them their moment."""
    random = np.random.default_rng(edge)
    metrics = [m for m in METRICS if m.short][:VALUES]
    out = []
    for i in range(count):
        records = tuple(
            Record(m.code, UNIT_BY_REFERENCE_ID[m.unit].code, mantissa=int(random.integers(10, 100)), exponent=-(j % 2))
            for j, m in enumerate(metrics)
        )
        report = Report(Kind.METRIC, f"bench:{edge}:{i}", 0, 0, ClockQuality.DEVICE, records, device_at_us=0,
                        own_time=True)  # fmt: skip
        out.append(bytes(encode_report(report, bytes(16), bytes(32))))
    return out


def leaves(of: Sequence[bytes], sequence: int) -> list[bytes]:
    """What these devices say next: now, with salts and hashes of frames that no compression makes smaller."""
    now_us = time.time_ns() // 1000
    unique = np.random.default_rng(sequence).bytes(48 * len(of))
    out = []
    for i, said in enumerate(of):
        leaf, at_us = bytearray(said), now_us + i
        _SAID.pack_into(leaf, 16, unique[48 * i : 48 * i + 48], at_us, at_us, at_us + 1000, sequence)
        out.append(bytes(leaf))
    return out


def bare_copies(database: str, batches: Sequence[tuple[int, bytes]]) -> dict[str, float]:
    """Seconds for binary COPY of the same values, the bytes ready made: as narrow rows, and as report rows."""
    table = Table.join([open_body(b)[1] for _, b in batches])
    judged = judge(table, np.zeros(len(table), bool))
    _, device = np.unique(table.device, return_inverse=True)
    lot = Lot(table, judged.flags, judged.verdicts, judged.values, device, np.ones(len(table), np.int64),
              np.arange(len(table)), table.observed_at_us, lambda channels: 1)  # fmt: skip
    narrow = _narrow_rows(lot)
    report = rows.report_rows(lot)
    found = {}
    with open_store(database) as conn:
        for name, data in (("narrow", narrow), ("wide", report)):
            began = time.perf_counter()
            with conn.transaction(), conn.cursor().copy(f"COPY {name} FROM STDIN (FORMAT BINARY)".encode()) as copy:
                copy.write(data)
            found[name] = time.perf_counter() - began
    return found


def make_bare_tables(database: str) -> None:
    """The tables of the bare copies, with the index that each needs to be read by."""
    with open_store(database) as conn:
        conn.execute(
            "CREATE TABLE narrow (observed_at timestamptz, received_at timestamptz, device int, code int,"
            " channel int8, validity int2, verdict int2, value float8, batch bigint, leaf int)"
        )
        conn.execute("CREATE INDEX ON narrow (device, code, observed_at)")
        conn.execute("CREATE TABLE wide (LIKE report)")
        conn.execute("CREATE INDEX ON wide (device, observed_at)")


def _narrow_rows(lot: Lot) -> bytes:
    """A row a value that says what `report` says of it: when, whose, what, how sure, and where it came from."""
    of, table = lot.table.report_of_record, lot.table
    columns = (
        (lot.observed_at_us[of] - rows.POSTGRES_EPOCH_US, ">i8"),
        (table.received_at_us[of] - rows.POSTGRES_EPOCH_US, ">i8"),
        (lot.device[of], ">i4"), (table.code, ">i4"), (table.channel, ">i8"), (table.validity, ">i2"),
        (lot.verdicts, ">i2"), (lot.values, ">f8"), (lot.batch[of], ">i8"), (lot.leaf[of], ">i4"),
    )  # fmt: skip
    parts = [np.broadcast_to(np.frombuffer(struct.pack(">h", len(columns)), np.uint8), (len(of), 2))]
    for values, dtype in columns:
        size = np.dtype(dtype).itemsize
        parts.append(np.broadcast_to(np.frombuffer(struct.pack(">i", size), np.uint8), (len(of), 4)))
        parts.append(np.ascontiguousarray(values.astype(dtype)).view(np.uint8).reshape(len(of), size))
    return rows.COPY_HEAD + np.concatenate(parts, axis=1).tobytes() + rows.COPY_END


def measure(quick: bool) -> dict[str, float]:
    """The pipeline's figures; it and the bare copies take the same batches in turns, so that all share the weather."""
    rounds, big, small = (2, 100, 4000) if quick else (6, 100, 12000)
    seconds = {"pipeline": 0.0, "narrow": 0.0, "wide": 0.0}
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder))
        with bench.running():
            make_bare_tables(bench.database)
            bench.through(bench.batches(EDGES * 2, 1000), 1000)  # workers up, partitions and devices known
            for _ in range(rounds):
                sealed = bench.batches(big, 1000)
                seconds["pipeline"] += bench.through(sealed, 1000)
                for name, spent in bare_copies(bench.database, sealed).items():
                    seconds[name] += spent
            small_s = bench.through(bench.batches(small, 12), 12)
    return {
        "pipeline_values_per_s": rounds * big * 1000 * VALUES / seconds["pipeline"],
        "pipeline_to_narrow_copy_ratio": seconds["narrow"] / seconds["pipeline"],
        "pipeline_to_report_copy_ratio": seconds["wide"] / seconds["pipeline"],
        "pipeline_small_batches_values_per_s": small * 12 * VALUES / small_s,
    }
