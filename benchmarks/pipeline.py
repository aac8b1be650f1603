"""The hospital pipeline beside bare COPY of the same values, on real Kafka and TimescaleDB, in one run.

From pre-sealed batches in Kafka to committed rows: every batch verified, validated, signed, stored, receipted.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import psycopg
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient

from benchmarks import devices
from benchmarks.copies import bare_copies, make_bare_tables
from benchmarks.databases import drop_database
from benchmarks.devices import numbered_reports
from emr_store import registry
from emr_store.connect import open_store
from emr_store.migrate import migrate
from evidence.seal import FIRST_PREVIOUS, batch_id, seal
from runtime import keys
from schemas import topics
from schemas.batch import read_header
from schemas.identity import EdgeId, SpoolId
from schemas.report import Lane

EDGES = 4  # as many as a topic has partitions
LIMIT_S = 300.0
BIG_BATCHES = 100
VARIANTS = 8  # of what a device sends that sends only what changed
TEXT_REPORTS = 600  # a batch of them with texts is as large as an edge cuts it
Samples = dict[str, list[float]]  # by figure, a round each


def rounds(quick: bool) -> int:
    """How often each ratio is taken."""
    return 2 if quick else 6


class Sealed(NamedTuple):
    """A sealed batch, and the partition of its lane's topic that its edge publishes to."""

    partition: int
    message: bytes


class Bench:
    """A fresh database, empty topics, keys, and the three workers."""

    def __init__(self, folder: Path, edges: int = EDGES, name: str = "") -> None:
        self.kafka, self.server = os.environ["VITALWIRE_KAFKA"], os.environ["VITALWIRE_DATABASE"]
        self.folder = folder
        self.name = name or f"bench_{uuid.uuid4().hex[:8]}"
        self.edges = [keys.generate(folder / f"edge-{i}.key") for i in range(edges)]
        self.ids = [uuid.uuid4() for _ in range(edges)]
        self._next = [1] * edges
        self._previous = [FIRST_PREVIOUS] * edges
        keys.generate(folder / "platform.key")

    @property
    def database(self) -> str:
        """Where its rows are."""
        return urlsplit(self.server)._replace(path=f"/{self.name}").geturl()

    @contextmanager
    def running(self) -> Iterator[None]:
        """Everything up; the database is dropped after."""
        try:
            self.make_database()
            with self.workers():
                yield
        finally:
            drop_database(self.server, self.name)

    def make_database(self) -> None:
        """A database with the schema and the registered edges."""
        with psycopg.connect(self.server, autocommit=True) as conn:
            conn.execute(f"CREATE DATABASE {self.name}".encode())
        migrate(self.database)
        with open_store(self.database) as conn:
            for key, ident in zip(self.edges, self.ids, strict=True):
                registry.add_edge(conn, ident, "bench", key.public_der)

    @contextmanager
    def workers(self, site: str = "") -> Iterator[None]:
        """The processors on empty topics; ended with the block. `site` is the TOML of beds and admission offices."""
        self._empty_topics()
        config = self.folder / "processors.toml"
        lines = [f'kafka = "{self.kafka}"', f'database = "{self.database}"', 'key_file = "platform.key"']
        config.write_text("\n".join([*lines, "metrics_port = 0", site]))
        run = [sys.executable, "-m", "vitalwire", "processors", "run", "--config", str(config)]
        with (self.folder / "log").open("wb") as log:
            workers = subprocess.Popen(run, stderr=log, stdout=log)
            try:
                yield
            finally:
                workers.terminate()
                workers.wait(30)

    def _empty_topics(self) -> None:
        admin = AdminClient({"bootstrap.servers": self.kafka})
        names = {t.name for t in topics.TOPICS} & set(admin.list_topics(timeout=10).topics)
        for deleted in admin.delete_topics(list(names)).values() if names else ():
            deleted.result(10)
        while names & set(admin.list_topics(timeout=10).topics):
            time.sleep(0.1)

    def batches(self, count: int, reports_of: Callable[[int, int], Sequence[bytes]]) -> list[Sealed]:
        """Sealed batches in turns from all edges, each edge in a partition of its own.

        `reports_of` gives the encoded reports of a batch by the edge's and the batch's number.
        """
        out = []
        for i in range(count):
            edge = i % len(self.edges)
            number = self._next[edge]
            out.append(self.seal(edge, numbered_reports(reports_of(edge, number), number)))
        return out

    def seal(self, edge: int, encoded: Sequence[bytes]) -> Sealed:
        """The next batch of this edge."""
        sealed = seal(
            encoded, lane=Lane.LIVE, edge=EdgeId(self.ids[edge].bytes), spool=SpoolId(b"S" * 16),
            batch_no=self._next[edge], previous=self._previous[edge], created_at_us=time.time_ns() // 1000,
            config_hash=bytes(32),
            key_id=self.edges[edge].key_id, sign=self.edges[edge].sign,
        )  # fmt: skip
        self._next[edge] += 1
        self._previous[edge] = batch_id(sealed)
        return Sealed(edge % EDGES, sealed)

    def through(self, batches: Sequence[Sealed]) -> float:
        """Seconds from the first batch's sending to the last one's commit."""
        limits = {"queue.buffering.max.kbytes": 1 << 20, "message.max.bytes": topics.MESSAGE_BYTES_MAX}
        producer = Producer({"bootstrap.servers": self.kafka, "acks": "all", "linger.ms": 5, **limits})
        reports = sum(read_header(batch.message).report_count for batch in batches)
        with open_store(self.database) as conn:
            before = stored(conn)
            began = time.perf_counter()
            for batch in batches:
                producer.produce(topics.raw(Lane.LIVE), batch.message, partition=batch.partition)
                producer.poll(0)
            producer.flush(60)
            while stored(conn) < before + reports:
                if time.perf_counter() - began > LIMIT_S:
                    raise TimeoutError(f"{stored(conn) - before} of {reports} reports after {LIMIT_S} s")
                time.sleep(0.02)
            return time.perf_counter() - began

    def values_per_s(self, batches: Sequence[Sealed]) -> float:
        """Values of these batches over the seconds that they take."""
        return sum(read_header(batch.message).record_count for batch in batches) / self.through(batches)


def stored(conn: psycopg.Connection) -> int:
    """Reports in the ledger."""
    row = conn.execute("SELECT coalesce(sum(reports), 0)::int8 FROM ledger").fetchone()
    return int(row[0]) if row else 0


@contextmanager
def warm_bench(edges: int = EDGES) -> Iterator[Bench]:
    """A bench whose workers have stored something: partitions are made and devices known."""
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), edges)
        with bench.running():
            bench.through(bench.batches(EDGES * 2, clean(1000)))
            yield bench


def clean(reports: int) -> Callable[[int, int], Sequence[bytes]]:
    """Batches of so many monitors, a report each."""
    of_edge = [devices.monitors(edge, reports) for edge in range(EDGES)]
    return lambda edge, number: of_edge[edge % EDGES]


def copy_ratios(quick: bool) -> Samples:
    """The pipeline and the bare copies take the same batches in turns, so that all share the weather."""
    samples: Samples = {"values_per_s": [], "to_narrow_copy_ratio": [], "to_report_copy_ratio": []}
    with warm_bench() as bench:
        make_bare_tables(bench.database)
        for _ in range(rounds(quick)):
            batches = bench.batches(BIG_BATCHES, clean(1000))
            rate = bench.values_per_s(batches)
            copied = bare_copies(bench.database, [batch.message for batch in batches])
            samples["values_per_s"].append(rate)
            samples["to_narrow_copy_ratio"].append(rate / copied.narrow_values_per_s)
            samples["to_report_copy_ratio"].append(rate / copied.report_values_per_s)
    return {f"pipeline_{name}": taken for name, taken in samples.items()}


def small_batches(quick: bool) -> Samples:
    """Batches of 12 reports, as edges cut them when little comes."""
    with warm_bench() as bench:
        rate = bench.values_per_s(bench.batches(4000 if quick else 12000, clean(12)))
    return {"pipeline_small_batches_values_per_s": [rate]}


def with_texts(quick: bool) -> Samples:
    """12 values a report that nobody has mapped, over as many that somebody has."""
    texts = [devices.unmapped(edge, TEXT_REPORTS) for edge in range(EDGES)]
    return _beside_clean("pipeline_with_texts_ratio", quick, lambda edge, number: texts[edge])


def changing_channels(quick: bool) -> Samples:
    """Values a second of devices that send only what changed, over those of devices that send all."""
    variants = [[devices.changing(edge, TEXT_REPORTS, variant) for variant in range(VARIANTS)] for edge in range(EDGES)]
    return _beside_clean(
        "pipeline_changing_channels_ratio", quick, lambda edge, number: variants[edge][number % VARIANTS]
    )  # fmt: skip


def _beside_clean(figure: str, quick: bool, reports_of: Callable[[int, int], Sequence[bytes]]) -> Samples:
    """In turns with clean batches of as many reports."""
    taken = []
    with warm_bench() as bench:
        bench.through(bench.batches(EDGES * VARIANTS, reports_of))  # all channel lists have come
        for _ in range(rounds(quick)):
            rate = bench.values_per_s(bench.batches(BIG_BATCHES, clean(TEXT_REPORTS)))
            taken.append(bench.values_per_s(bench.batches(BIG_BATCHES, reports_of)) / rate)
    return {figure: taken}
