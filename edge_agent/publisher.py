"""The publisher: cuts batches while the broker can be reached, sends them, and takes their receipts.

Three threads beside the event loop: `watch` asks the broker who it is, `publish` cuts and sends, `receive` reads the
topic `receipts`. The only file of this room that knows the Kafka client (librdkafka: its CONFIGURATION.md).
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Event, Thread
from typing import NamedTuple

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from edge_agent.resend import Stream
from edge_agent.spool import Spool
from evidence.statements import Receipt, read_receipt
from runtime.clock import now_us
from schemas import topics
from schemas.errors import LayoutError, VitalwireError
from schemas.report import Lane

TICK_S = 0.05
WATCH_S, WATCH_LIMIT_S = 1.0, 3.0  # how often the broker is asked, and how long it may take to answer
BACK_OFF_S = 1.0  # after the spool or the key refused
DELIVERY_LIMIT_S = 60  # then the producer is built anew
FLUSH_LIMIT_S = 2.0  # at the end; what is not out by then is sent after the next start
# Without a receipt, by lane in the order in which they are served: 8 MiB an edge, and live data waits for no other.
IN_FLIGHT_BYTES_MAX = {Lane.LIVE: 4 << 20, Lane.WAVEFORM: 2 << 20, Lane.BACKFILL: 2 << 20}
# In the client, not acknowledged by the broker: what live data may have to wait for on a slow line.
UNACKNOWLEDGED_BYTES_MAX = 1 << 20
RECEIPTS_LOT = 500
RECEIVE_S = 0.2
QUIET = {"log_level": 2, "reconnect.backoff.max.ms": 2000, "socket.keepalive.enable": True}
PRODUCER = {
    "acks": "all",
    "enable.idempotence": True,
    "compression.type": "none",  # bodies are compressed already
    "partitioner": "murmur2_random",  # as Java's: the same key, the same partition, whoever sends
    "message.max.bytes": topics.MESSAGE_BYTES_MAX,
    "message.timeout.ms": DELIVERY_LIMIT_S * 1000,
    "linger.ms": 0,
}
CONSUMER = {"enable.auto.commit": False, "auto.offset.reset": "earliest"}


class Broker(NamedTuple):
    """Whom we reach: its cluster's id, and the number of partitions of each topic."""

    cluster_id: str
    partitions: Mapping[str, int]


class Publisher:
    """Sends what `spool` holds as `edge` to the brokers `kafka` ("host:port,host:port"), over TLS where `ca` is set.

    `seal` is `evidence.seal.seal` with what is the edge's own; receipts are believed with `platform_key_der` alone.
    `broker` is None while nobody answers. `counts` has sent, resent, rebuilt, failed deliveries by the client's name
    for the error, and of receipts: stored and quarantined, those not believed by reason, released and unmatched.
    """

    def __init__(
        self, spool: Spool, seal: Callable[..., bytes], platform_key_der: bytes, *, edge: bytes,
        kafka: str, ca: Path | None, on_event: Callable[[str, str], object],
    ) -> None:  # fmt: skip
        self._spool, self._seal, self._platform_key_der, self._edge = spool, seal, platform_key_der, edge
        self._client: dict[str, str | int | float | bool] = {**QUIET, "bootstrap.servers": kafka}
        if ca is not None:
            self._client |= {"security.protocol": "ssl", "ssl.ca.location": str(ca)}
        self._on_event = on_event
        self.counts: Counter[str] = Counter()
        self.broker: Broker | None = None
        self._streams = {lane: Stream(limit) for lane, limit in IN_FLIGHT_BYTES_MAX.items()}
        self._released: SimpleQueue[Receipt | None] = SimpleQueue()  # None: the store has changed
        try:
            self._producer = self._new_producer()
        except KafkaException as error:
            raise VitalwireError(f"kafka or kafka_ca cannot be used: {error.args[0].str()}") from None
        self._unacknowledged = 0  # bytes in the client
        self._offsets: dict[tuple[str | None, int | None], int] = {}
        self._distrust = False
        self._ending = Event()
        work = (self._watch, self._publish, self._receive)
        self._threads = [Thread(target=each, name=each.__name__, daemon=True) for each in work]

    @property
    def alive(self) -> bool:
        """False once a thread has ended, for whatever reason."""
        return all(t.is_alive() for t in self._threads)

    def start(self) -> None:
        """Start the threads."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End in bounded time; what has no receipt is sent again after the next start."""
        self._ending.set()
        for thread in self._threads:
            thread.join(WATCH_LIMIT_S + FLUSH_LIMIT_S)

    # --- who is there ------------------------------------------------------------------------------------------------

    def _watch(self) -> None:
        """Ask the broker who it is, for ever."""
        admin = AdminClient(self._client)
        while not self._ending.wait(WATCH_S if self.broker else TICK_S):
            try:
                answer = admin.list_topics(timeout=WATCH_LIMIT_S)
            except KafkaException as error:
                self._lost(error.args[0])
                continue
            found = Broker(str(answer.cluster_id), {name: len(t.partitions) for name, t in answer.topics.items()})
            if self.broker is None:
                self._on_event("broker-reached", f"cluster {found.cluster_id}")
            self.broker = found

    def _lost(self, error: KafkaError) -> None:
        if self.broker is not None:
            # It may come back empty under the same id, and then an old idempotent producer waits for ever.
            self.broker, self._distrust = None, True
            self._on_event("broker-lost", str(error))

    def _on_error(self, error: KafkaError) -> None:
        if error.code() == KafkaError._ALL_BROKERS_DOWN:
            self._lost(error)
        self._distrust |= error.fatal()

    # --- out ---------------------------------------------------------------------------------------------------------

    def _publish(self) -> None:
        """Cut and send, for ever."""
        known: tuple[str, bytes] | None = None
        while not self._ending.is_set():
            self._producer.poll(TICK_S)
            broker = self.broker
            if broker is None:
                continue
            ends = (broker.cluster_id, self._spool.spool_id)
            if self._distrust or known not in (None, ends):
                self._begin_anew()
            known = ends
            self._take_released()
            try:
                for lane, stream in self._streams.items():
                    if topics.raw(lane) in broker.partitions:  # the processors create it
                        self._serve(lane, stream)
            except VitalwireError as error:
                self._on_event("not-sent", str(error))
                self._ending.wait(BACK_OFF_S)
        self._producer.flush(FLUSH_LIMIT_S)

    def _begin_anew(self) -> None:
        """A new producer, and everything without a receipt is sent again."""
        old, self._producer = self._producer, self._new_producer()
        self._distrust, self._unacknowledged = False, 0
        old.purge()
        old.flush(FLUSH_LIMIT_S)  # what it has not reported yet holds it, with its threads and sockets, for ever
        self.counts["rebuilt"] += 1
        self._offsets.clear()
        self._released.put(None)

    def _new_producer(self) -> Producer:
        return Producer(self._client | PRODUCER | {"error_cb": self._on_error})

    def _take_released(self) -> None:
        with suppress(Empty):
            while True:
                if receipt := self._released.get_nowait():
                    self._streams[Lane(receipt.lane)].receipt(receipt.batch_no, time.monotonic())
                    continue
                for stream in self._streams.values():
                    stream.again()

    def _serve(self, lane: Lane, stream: Stream) -> None:
        for number in stream.due(time.monotonic()):
            if self._unacknowledged >= UNACKNOWLEDGED_BYTES_MAX:
                return
            found = self._spool.wanted(lane, number - 1, 0)
            if found and found[0][0] == number:
                self.counts["resent"] += 1
                self._send(lane, stream, *found[0])
            else:
                stream.forget(number)
        while not self._distrust and (room := min(stream.room, UNACKNOWLEDGED_BYTES_MAX - self._unacknowledged)) > 0:
            batches = self._spool.wanted(lane, stream.after, room) if stream.behind else []
            if not batches:
                stream.behind = False
                # Only where there is room: what waits for receipts becomes few large batches of `backfill` later.
                cut = self._spool.cut(lane, self._seal, now_us()) if self._spool.figures.reports else None
                if cut is None:
                    return
                batches = [cut]
            for number, sealed in batches:
                if stream.room and not self._distrust:
                    self._send(lane, stream, number, sealed)

    def _send(self, lane: Lane, stream: Stream, number: int, sealed: bytes) -> None:
        told = partial(self._delivered, self._producer, stream, number, len(sealed))
        try:
            self._producer.produce(topics.raw(lane), sealed, self._edge, on_delivery=told)
        except (BufferError, KafkaException):
            self._distrust = True
            return
        self._unacknowledged += len(sealed)
        self.counts["sent"] += 1
        stream.sent(number, len(sealed), time.monotonic())

    def _delivered(
        self, producer: Producer, stream: Stream, number: int, size: int, error: KafkaError | None, message: Message
    ) -> None:
        if producer is not self._producer:
            return
        self._unacknowledged -= size
        if error is not None:
            self.counts[f"failed {error.name()}"] += 1
            self._distrust |= error.fatal() or error.code() == KafkaError._MSG_TIMED_OUT
            stream.doubt(number, time.monotonic())
            return
        place, offset = (message.topic(), message.partition()), message.offset()
        if offset is None or offset < 0:  # a repeat that the broker had already
            return
        if offset <= self._offsets.get(place, -1):  # the log that we wrote to is gone
            self._lost(KafkaError(KafkaError.OFFSET_OUT_OF_RANGE, "offsets went back"))
        self._offsets[place] = offset

    # --- back --------------------------------------------------------------------------------------------------------

    def _receive(self) -> None:
        """Take receipts, for ever; a new consumer for each cluster that is found, not for one that was away a while."""
        consumer: Consumer | None = None
        source: Broker | None = None
        while not self._ending.is_set():
            broker = self.broker
            if broker is not None and broker != source:
                if consumer is not None:
                    consumer.close()  # it waits long for a broker that is away
                consumer = self._new_consumer(broker)
                source = broker if consumer else None
            if consumer is None:
                self._ending.wait(TICK_S)
            elif first := consumer.poll(RECEIVE_S):
                self._release([first, *consumer.consume(RECEIPTS_LOT - 1, 0)])
                with suppress(KafkaException):
                    consumer.commit(asynchronous=True)

    def _new_consumer(self, broker: Broker) -> Consumer | None:
        """Of all partitions, without a group's rounds: this edge is the only member. None: it cannot be yet."""
        if topics.RECEIPTS not in broker.partitions:
            return None
        consumer = Consumer(self._client | CONSUMER | {"group.id": f"edge-{self._edge.hex()}"})
        wanted = [TopicPartition(topics.RECEIPTS, p) for p in range(broker.partitions[topics.RECEIPTS])]
        try:  # with OFFSET_STORED the client would ask a coordinator that is not ready once, and never again
            places = consumer.committed(wanted, WATCH_LIMIT_S)
        except KafkaException:
            places = []
        if not places or any(place.error for place in places):
            consumer.close()
            return None
        begin = [p.offset if p.offset >= 0 else OFFSET_BEGINNING for p in places]
        consumer.assign([TopicPartition(p.topic, p.partition, at) for p, at in zip(places, begin, strict=True)])
        return consumer

    def _release(self, messages: list[Message]) -> None:
        receipts = [receipt for m in messages if m.error() is None and (receipt := self._believed(m))]
        try:
            settled, changed = self._spool.receipted(receipts) if receipts else ([], False)
        except VitalwireError as error:  # the batches are sent again, and have their receipts again
            self._on_event("receipts-not-noted", str(error))
            self._ending.wait(BACK_OFF_S)
            return
        self.counts["released"] += len(settled)
        self.counts["unmatched"] += len(receipts) - len(settled)
        for receipt in settled:
            self._released.put(receipt)
        if changed:
            self._on_event("store-changed", "the store was restored or replaced: all that is held is sent again")
            self._released.put(None)

    def _believed(self, message: Message) -> Receipt | None:
        """This edge's receipt, signed by the platform's key; None for another edge's, and for anything else."""
        if message.key() != self._edge:
            return None
        try:
            receipt = read_receipt(message.value() or b"", self._platform_key_der)
            if receipt.edge != self._edge:
                raise LayoutError("foreign")
        except LayoutError as error:
            self.counts[f"receipt {error.reason}"] += 1
            return None
        self.counts[f"receipt {receipt.outcome.name.lower()}"] += 1
        return receipt
