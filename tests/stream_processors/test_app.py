"""The three workers as processes of their own, between real topics and a real store; the edge is the test."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest
from confluent_kafka import OFFSET_BEGINNING, Consumer, Producer, TopicPartition

from emr_store import registry
from emr_store.connect import open_store
from emr_store.migrate import migrate
from evidence.alarm import read_open_set, read_transition
from evidence.checkpoint import read_checkpoint
from evidence.receipt import Receipt, ReceiptOutcome, read_receipt
from runtime import keys
from schemas.report import Record
from schemas.transition import TransitionKind
from stream_processors.config import APPS
from tests.making import PERCENT, SPO2, Key, report, sealed
from tests.wire import eventually, forget_topics

EDGE = b"E" * 16
LIMIT_S = 60.0
CONFIG = """
kafka = "{kafka}"
database = "{database}"
key_file = "platform.key"
site = "test"
metrics_port = 0
demo = true
[[limits]]
metric = "MDC_PULS_OXIM_SAT_O2"
low = 90
"""


class Processors:
    """The three workers, and what an edge sends to them and reads from them."""

    def __init__(self, folder: Path, kafka: str, database: str) -> None:
        self.folder, self.kafka, self.database, self.edge = folder, kafka, database, Key()
        self.platform = keys.generate(folder / "platform.key", demo=True)
        forget_topics(kafka)
        migrate(database)
        with open_store(database) as conn:
            registry.add_edge(conn, UUID(bytes=EDGE), "test", self.edge.public_der)
        (folder / "processors.toml").write_text(CONFIG.format(kafka=kafka, database=database), "utf-8")
        self.workers: list[subprocess.Popen[bytes]] = []

    def start(self) -> None:
        with (self.folder / "log").open("ab") as log:
            for name in APPS:
                command = [sys.executable, "-m", "stream_processors", name, str(self.folder / "processors.toml")]
                self.workers.append(subprocess.Popen(command, stdout=log, stderr=log, cwd=self.folder))

    def stop(self) -> None:
        for worker in self.workers:
            worker.terminate()
        for worker in self.workers:
            worker.wait(30)
        self.workers.clear()

    def send(self, *messages: bytes, topic: str = "live.raw") -> None:
        producer = Producer({"bootstrap.servers": self.kafka})
        for message in messages:
            producer.produce(topic, message, key=EDGE)
        assert producer.flush(LIMIT_S) == 0

    def measure(self, batch_no: int, value: int, by: Key | None = None, ago_s: int = 0) -> bytes:
        """A batch that was made now, of a value measured now; or all of it so long ago."""
        now_us = time.time_ns() // 1000 - ago_s * 1_000_000
        emitted = report(at_us=now_us - 5_000, records=[Record(SPO2, PERCENT, mantissa=value)])
        return sealed([emitted], by or self.edge, batch_no=batch_no, created_at_us=now_us)

    def read(self, topic: str) -> list[bytes]:
        """All that is on a topic now."""
        reader = Consumer({"bootstrap.servers": self.kafka, "group.id": "test", "enable.auto.commit": False})
        partitions = reader.list_topics(topic, timeout=10).topics[topic].partitions
        reader.assign([TopicPartition(topic, number, OFFSET_BEGINNING) for number in partitions])
        found: list[bytes] = []
        try:
            while message := reader.poll(LIMIT_S if not found else 2.0):
                assert message.error() is None
                found.append(message.value() or b"")
            return found
        finally:
            reader.close()

    def rows(self, sql: str) -> list[tuple[object, ...]]:
        with open_store(self.database) as conn:
            return conn.execute(sql.encode()).fetchall()

    def receipts(self) -> list[Receipt]:
        return [read_receipt(m, self.platform.public_der) for m in self.read("receipts")]


@pytest.fixture
def processors(tmp_path: Path, kafka: str, database: str) -> Iterator[Processors]:
    started = Processors(tmp_path, kafka, database)
    started.start()
    yield started
    started.stop()


def test_from_a_raw_topic_to_record_receipts_log_and_alarms(processors: Processors) -> None:
    low, high, stranger = processors.measure(1, 80), processors.measure(2, 95), processors.measure(3, 97, by=Key())
    damaged = processors.measure(3, 97)[:-1] + b"\x00"
    eventually(lambda: "live.raw" in _topics(processors.kafka), LIMIT_S, "topics")
    processors.send(low, stranger, b"noise", damaged)
    opened = "SELECT count(*) FROM alarm_transition WHERE kind = 'opened'"
    eventually(lambda: processors.rows(opened) == [(1,)], LIMIT_S, "an episode is filed")
    processors.send(high)
    open_now = "SELECT (SELECT count(*) FROM alarm_open), (SELECT count(*) FROM alarm_episode)"
    eventually(lambda: processors.rows(open_now) == [(0, 1)], LIMIT_S, "the episode is resolved")
    eventually(lambda: processors.rows("SELECT count(*) FROM batch") == [(2,)], LIMIT_S, "batches are stored")
    eventually(lambda: processors.rows("SELECT count(*) FROM unlogged") == [(0,)], LIMIT_S, "seals are logged")
    eventually(lambda: processors.rows("SELECT count(*) FROM outbox") == [(0,)], LIMIT_S, "receipts are sent")
    receipts = processors.receipts()
    named = {(r.outcome, batch.batch_no) for r in receipts for batch in r.batches}
    assert named == {(ReceiptOutcome.STORED, 1), (ReceiptOutcome.STORED, 2), (ReceiptOutcome.QUARANTINED, 3)}
    notes = [r.checkpoint for r in receipts if r.checkpoint]
    assert all(read_checkpoint(note, processors.platform.public_der).size >= 1 for note in notes)
    reasons = processors.rows("SELECT reason FROM dead_letter ORDER BY reason")
    assert reasons == [("body-hash",), ("size",), ("unknown-edge",)]
    public_der = processors.platform.public_der
    transitions = [read_transition(m, public_der).transition for m in processors.read("alerts")]
    assert [(t.kind, t.late) for t in transitions] == [(TransitionKind.OPENED, False), (TransitionKind.RESOLVED, False)]
    open_sets = [read_open_set(m, public_der) for m in processors.read("alerts.open")]
    assert [len(each.episodes) for each in open_sets] == [1, 0]


def test_a_live_batch_that_was_lost_with_the_broker_opens_late_when_it_is_sent_again(processors: Processors) -> None:
    eventually(lambda: "backfill.raw" in _topics(processors.kafka), LIMIT_S, "topics")
    processors.send(processors.measure(1, 80, ago_s=120), topic="backfill.raw")
    eventually(
        lambda: processors.rows("SELECT late FROM alarm_episode WHERE resolved_at IS NULL") == [(True,)],
        LIMIT_S,
        "it is open, and late",
    )
    processors.send(processors.measure(2, 95))
    eventually(lambda: processors.rows("SELECT 1 FROM alarm_open") == [], LIMIT_S, "a live value ends it")


def test_an_open_episode_outlives_the_workers(processors: Processors) -> None:
    eventually(lambda: "live.raw" in _topics(processors.kafka), LIMIT_S, "topics")
    processors.send(processors.measure(1, 80))
    eventually(lambda: processors.rows("SELECT 1 FROM alarm_open") == [(1,)], LIMIT_S, "an episode is open")
    processors.stop()
    processors.start()
    processors.send(processors.measure(2, 95))
    eventually(lambda: processors.rows("SELECT 1 FROM alarm_open") == [], LIMIT_S, "the episode is resolved")
    assert processors.rows("SELECT count(*) FROM alarm_episode WHERE resolved_at IS NOT NULL") == [(1,)]


def _topics(kafka: str) -> set[str]:
    reader = Consumer({"bootstrap.servers": kafka, "group.id": "test"})
    try:
        return set(reader.list_topics(timeout=10).topics)
    finally:
        reader.close()
