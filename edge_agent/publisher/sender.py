"""The sender: cuts batches and gives them to the broker, and again those whose receipt does not come.

A new batch goes by the topic of its lane, everything else by the topic of backfill, and only where that leaves capacity
for what is cut next. The topic is the way of travel alone: the stream of a batch is the one that its header names.
"""

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
from edge_agent.resend import ResendStream
from edge_agent.spool import Receipted, Spool
from evidence.receipt import NEWER_LAYOUT, ReceiptOutcome
from runtime.clock import now_us
from schemas import topics
from schemas.errors import VitalwireError
from schemas.identity import EdgeId
from schemas.report import Lane

TICK_S = 0.05
BACK_OFF_S = 1.0  # after the spool or the key refused
DELIVERY_LIMIT_S = 60  # then the producer is made anew
FLUSH_LIMIT_S = 2.0  # at the end; what is not out by then is sent after the next start
# New batches without a receipt, by lane in the order in which they are served: 9 MiB an edge, and live data waits for
# no other; resends have RESEND_BYTES_MAX a lane beside them.
IN_FLIGHT_BYTES_MAX = {Lane.LIVE: 4 << 20, Lane.ADT: 1 << 20, Lane.WAVEFORM: 2 << 20, Lane.BACKFILL: 2 << 20}
# In the client, not acknowledged by the broker: what live data may have to wait for on a slow line.
UNACKNOWLEDGED_BYTES_MAX = 1 << 20
UNACKNOWLEDGED_BEFORE_RESENDS_MAX = UNACKNOWLEDGED_BYTES_MAX // 2  # resends leave the rest to what is cut next
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


def refusal_mend(reason: str) -> str:
    """What a person does about it."""
    if reason == NEWER_LAYOUT:
        return "this box is newer than the hospital: upgrade the processors, then set `batch_layout` (docs/deploy.md)"
    return "make a new key and have it registered, `vitalwire registry edge renew`"


class Sender:
    """Sends what the spool holds as `edge`; raises KafkaException where the settings cannot be used.

    `receipts` has what receipts said of batches, and None where all is to be sent again. `refusal` is why the hospital
    refuses what this agent signs now, "" where it does not: while it does, nothing more is cut, so that what waits is
    sealed with the next key. Without `seal` nothing is cut at all.
    """

    def __init__(
        self, spool: Spool, seal: Callable[..., bytes] | None, *, edge: EdgeId, client: ClientSettings,
        watch: BrokerWatch, counts: Counter[str], on_event: Callable[[str, str], object],
    ) -> None:  # fmt: skip
        self._spool, self._seal, self._edge = spool, seal, edge
        self._client, self._watch, self._counts, self._on_event = client, watch, counts, on_event
        self.receipts: SimpleQueue[Receipted | None] = SimpleQueue()
        self.clock_offset = ClockOffset()
        self.refusal = ""
        self._refused: set[tuple[Lane, int]] = set()
        self._streams = {lane: ResendStream(limit) for lane, limit in IN_FLIGHT_BYTES_MAX.items()}
        self._first_cut: dict[Lane, int] = {}  # since the start: from it on the key is the one that we have now
        self._producer = self._new_producer()
        self._unacknowledged_bytes = 0  # in the client
        self._offsets: dict[tuple[str | None, int | None], int] = {}

    @property
    def refused_batches(self) -> int:
        """How many the hospital has refused since the start and not taken after all."""
        return len(self._refused)

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
            if known is not None and known[1] != self._spool.spool_id:
                self._forget_numbers()
            known = ends
            self._take_receipts()
            try:
                for lane, stream in self._streams.items():
                    if self._watch.has(topics.raw(lane)):  # the processors create it
                        self._send_new(lane, stream)
                if self._watch.has(topics.raw(Lane.BACKFILL)):
                    for lane, stream in self._streams.items():
                        self._resend(lane, stream)
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
        self.receipts.put(None)

    def _forget_numbers(self) -> None:
        """The spool has a new id, or a fresh one began: numbers are other batches' from now on."""
        self._first_cut.clear()
        self._refused.clear()

    def _new_producer(self) -> Producer:
        return Producer(self._client | PRODUCER | {"error_cb": self._watch.on_error})

    def _take_receipts(self) -> None:
        with suppress(Empty):
            while True:
                receipted = self.receipts.get_nowait()
                if receipted is None:
                    for stream in self._streams.values():
                        stream.resend_all()
                elif receipted.outcome is ReceiptOutcome.REFUSED:
                    self._take_refusal(receipted)
                else:
                    self._streams[receipted.lane].receipt(receipted.batch_no, time.monotonic())
                    if self._is_signed_now(receipted):
                        self.refusal = ""
                    self._forget_refusal(receipted)

    def _take_refusal(self, receipted: Receipted) -> None:
        """It is kept, and people are told."""
        reason = receipted.reason or "without a reason"
        self._streams[receipted.lane].refused(receipted.batch_no, time.monotonic())
        if self._is_signed_now(receipted):
            self.refusal = reason
        if not self._refused:
            self._on_event(
                "batches-refused",
                f"the hospital refuses batches of this edge ({reason}); they are kept here: {refusal_mend(reason)}",
            )
        self._refused.add((receipted.lane, receipted.batch_no))

    def _forget_refusal(self, receipted: Receipted) -> None:
        batch = (receipted.lane, receipted.batch_no)
        if batch in self._refused:
            self._refused.discard(batch)
            if not self._refused:
                self._on_event("batches-taken-again", "the hospital has taken every batch that it had refused")

    def _is_signed_now(self, receipted: Receipted) -> bool:
        """Whether it was cut since the start, and so says something of the key that we sign with now."""
        first = self._first_cut.get(receipted.lane)
        return first is not None and receipted.batch_no >= first

    def _send_new(self, lane: Lane, stream: ResendStream) -> None:
        """Cut what is due and send it."""
        while self._seal is not None and not self._watch.is_stale and not self.refusal and self._capacity(stream) > 0:
            # Only where there is capacity: what waits for receipts becomes few large batches of `backfill` later.
            cut = self._spool.cut(lane, self._seal, now_us()) if self._spool.figures.reports else None
            if cut is None:
                return
            number, sealed = cut
            self._first_cut.setdefault(lane, number)
            self._send(lane, stream, number, sealed)

    def _resend(self, lane: Lane, stream: ResendStream) -> None:
        """Send again what is due, then what else the spool holds without a receipt, within the budget of resends."""
        for number in stream.due(time.monotonic()):
            if self._resend_capacity() <= 0:
                return
            found = self._spool.unreceipted(lane, number - 1, 0)
            if found and found[0][0] == number:
                self._send(lane, stream, number, found[0][1], is_resend=True)
            else:
                stream.forget(number)
        capacity = min(stream.resend_capacity, self._resend_capacity())
        if not stream.behind or capacity <= 0:
            return
        batches = self._spool.unreceipted_before(lane, stream.before, capacity)
        stream.behind = bool(batches)
        for number, sealed in batches:
            if self._watch.is_stale or not stream.resend_capacity:
                return
            if not stream.is_in_flight(number):
                self._send(lane, stream, number, sealed, is_resend=True)
            stream.before = number

    def _resend_capacity(self) -> int:
        return 0 if self._watch.is_stale else UNACKNOWLEDGED_BEFORE_RESENDS_MAX - self._unacknowledged_bytes

    def _capacity(self, stream: ResendStream) -> int:
        return min(stream.capacity, UNACKNOWLEDGED_BYTES_MAX - self._unacknowledged_bytes)

    def _send(self, lane: Lane, stream: ResendStream, number: int, sealed: bytes, *, is_resend: bool = False) -> None:
        delivered = partial(self._delivered, self._producer, stream, number, len(sealed), now_us())
        try:
            topic = topics.raw(Lane.BACKFILL if is_resend else lane)
            self._producer.produce(topic, sealed, self._edge, on_delivery=delivered)
        except (BufferError, KafkaException):
            self._watch.is_stale = True
            return
        self._unacknowledged_bytes += len(sealed)
        self._counts["sent"] += 1
        self._counts["resent"] += is_resend
        stream.sent(number, len(sealed), time.monotonic(), is_resend=is_resend)

    def _delivered(
        self, producer: Producer, stream: ResendStream, number: int, size: int, sent_us: int,
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
        partition, offset = (message.topic(), message.partition()), message.offset()
        if offset is None or offset < 0:  # a duplicate that the broker had already
            return
        if offset <= self._offsets.get(partition, -1):
            self._watch.log_changed(KafkaError(KafkaError.OFFSET_OUT_OF_RANGE, "offsets went back"))
        self._offsets[partition] = offset
