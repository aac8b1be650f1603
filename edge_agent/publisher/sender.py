"""The sender: cuts batches and gives them to the broker, and again those whose receipt does not come."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from queue import Empty, SimpleQueue
from threading import Event

from confluent_kafka import TIMESTAMP_LOG_APPEND_TIME, KafkaError, KafkaException, Message, Producer

from edge_agent.publisher.broker_watch import BrokerWatch
from edge_agent.publisher.clock_offset import ClockOffset
from edge_agent.publisher.security import ClientSettings
from edge_agent.resend import Stream
from edge_agent.spool import Spool
from evidence.statements import Receipt
from runtime.clock import now_us
from schemas import topics
from schemas.errors import VitalwireError
from schemas.report import Lane

TICK_S = 0.05
BACK_OFF_S = 1.0  # after the spool or the key refused
DELIVERY_LIMIT_S = 60  # then the producer is made anew
FLUSH_LIMIT_S = 2.0  # at the end; what is not out by then is sent after the next start
# Without a receipt, by lane in the order in which they are served: 9 MiB an edge, and live data waits for no other.
IN_FLIGHT_BYTES_MAX = {Lane.LIVE: 4 << 20, Lane.ADT: 1 << 20, Lane.WAVEFORM: 2 << 20, Lane.BACKFILL: 2 << 20}
# In the client, not acknowledged by the broker: what live data may have to wait for on a slow line.
UNACKNOWLEDGED_BYTES_MAX = 1 << 20
PRODUCER = {
    "acks": "all",
    "enable.idempotence": True,
    "compression.type": "none",  # bodies are compressed already
    "partitioner": "murmur2_random",  # as Java's: the same key, the same partition, whoever sends
    "message.max.bytes": topics.MESSAGE_BYTES_MAX,
    "message.timeout.ms": DELIVERY_LIMIT_S * 1000,
    "linger.ms": 0,
}
_TOPIC_GONE = {
    KafkaError.UNKNOWN_TOPIC_OR_PART,
    KafkaError.UNKNOWN_TOPIC_ID,
    KafkaError._UNKNOWN_TOPIC,
    KafkaError._UNKNOWN_PARTITION,
}


class Sender:
    """Sends what the spool holds as `edge`; raises KafkaException where the settings cannot be used.

    `released` has the receipts that settled a batch, and None where all is to be sent again.
    """

    def __init__(
        self, spool: Spool, seal: Callable[..., bytes], *, edge: bytes, client: ClientSettings, watch: BrokerWatch,
        counts: Counter[str], on_event: Callable[[str, str], object],
    ) -> None:  # fmt: skip
        self._spool, self._seal, self._edge = spool, seal, edge
        self._client, self._watch, self._counts, self._on_event = client, watch, counts, on_event
        self.released: SimpleQueue[Receipt | None] = SimpleQueue()
        self.clock_offset = ClockOffset()
        self._streams = {lane: Stream(limit) for lane, limit in IN_FLIGHT_BYTES_MAX.items()}
        self._producer = self._new_producer()
        self._unacknowledged_bytes = 0  # in the client
        self._offsets: dict[tuple[str | None, int | None], int] = {}

    def run(self, ending: Event) -> None:
        """Cut and send, for ever."""
        known: tuple[str, bytes] | None = None
        while not ending.is_set():
            self._producer.poll(TICK_S)
            broker = self._watch.broker
            if broker is None:
                continue
            ends = (broker.cluster_id, self._spool.spool_id)
            if self._watch.is_stale or known not in (None, ends):
                self._recreate_producer()
            known = ends
            self._take_released()
            try:
                for lane, stream in self._streams.items():
                    if self._watch.has(topics.raw(lane)):  # the processors create it
                        self._serve(lane, stream)
            except VitalwireError as error:
                self._on_event("not-sent", str(error))
                ending.wait(BACK_OFF_S)
        self._producer.flush(FLUSH_LIMIT_S)

    def _recreate_producer(self) -> None:
        """And everything without a receipt is sent again."""
        old, self._producer = self._producer, self._new_producer()
        self._watch.is_stale, self._unacknowledged_bytes = False, 0
        old.purge()
        old.flush(FLUSH_LIMIT_S)  # what it has not reported yet holds it, with its threads and sockets, for ever
        self._counts["rebuilt"] += 1
        self._offsets.clear()
        self.released.put(None)

    def _new_producer(self) -> Producer:
        return Producer(self._client | PRODUCER | {"error_cb": self._watch.on_error})

    def _take_released(self) -> None:
        with suppress(Empty):
            while True:
                if receipt := self.released.get_nowait():
                    self._streams[Lane(receipt.lane)].receipt(receipt.batch_no, time.monotonic())
                    continue
                for stream in self._streams.values():
                    stream.resend_all()

    def _serve(self, lane: Lane, stream: Stream) -> None:
        for number in stream.due(time.monotonic()):
            if self._unacknowledged_bytes >= UNACKNOWLEDGED_BYTES_MAX:
                return
            found = self._spool.unreceipted(lane, number - 1, 0)
            if found and found[0][0] == number:
                self._counts["resent"] += 1
                self._send(lane, stream, *found[0])
            else:
                stream.forget(number)
        while not self._watch.is_stale and (capacity := self._capacity(stream)) > 0:
            batches = self._spool.unreceipted(lane, stream.after, capacity) if stream.behind else []
            if not batches:
                stream.behind = False
                # Only where there is capacity: what waits for receipts becomes few large batches of `backfill` later.
                cut = self._spool.cut(lane, self._seal, now_us()) if self._spool.figures.reports else None
                if cut is None:
                    return
                batches = [cut]
            for number, sealed in batches:
                if stream.capacity and not self._watch.is_stale:
                    self._send(lane, stream, number, sealed)

    def _capacity(self, stream: Stream) -> int:
        return min(stream.capacity, UNACKNOWLEDGED_BYTES_MAX - self._unacknowledged_bytes)

    def _send(self, lane: Lane, stream: Stream, number: int, sealed: bytes) -> None:
        delivered = partial(self._delivered, self._producer, stream, number, len(sealed), now_us())
        try:
            self._producer.produce(topics.raw(lane), sealed, self._edge, on_delivery=delivered)
        except (BufferError, KafkaException):
            self._watch.is_stale = True
            return
        self._unacknowledged_bytes += len(sealed)
        self._counts["sent"] += 1
        stream.sent(number, len(sealed), time.monotonic())

    def _delivered(
        self, producer: Producer, stream: Stream, number: int, size: int, sent_us: int,
        error: KafkaError | None, message: Message,
    ) -> None:  # fmt: skip
        if producer is not self._producer:
            return
        self._unacknowledged_bytes -= size
        if error is not None:
            self._counts[f"failed {error.name()}"] += 1
            self._watch.is_stale |= error.fatal() or error.code() == KafkaError._MSG_TIMED_OUT
            if error.code() in _TOPIC_GONE:
                self._watch.forget_topics()
            stream.schedule_resend(number, time.monotonic())
            return
        kind, timestamp_ms = message.timestamp()
        if kind == TIMESTAMP_LOG_APPEND_TIME:
            self.clock_offset.add(sent_us, now_us(), timestamp_ms)
        place, offset = (message.topic(), message.partition()), message.offset()
        if offset is None or offset < 0:  # a duplicate that the broker had already
            return
        if offset <= self._offsets.get(place, -1):
            self._watch.log_changed(KafkaError(KafkaError.OFFSET_OUT_OF_RANGE, "offsets went back"))
        self._offsets[place] = offset
