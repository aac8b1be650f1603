"""The reader of receipts: this edge's partition, and no other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from threading import Event

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, Message, TopicPartition

from edge_agent.publisher.broker_watch import ANSWER_LIMIT_S, Broker, BrokerWatch
from edge_agent.publisher.security import ClientSettings
from edge_agent.publisher.witness import Witness
from edge_agent.spool import Receipted, ReceiptsTaken, Spool
from evidence.receipt import Receipt, ReceiptOutcome, read_receipt
from schemas import topics
from schemas.errors import LayoutError, LayoutReason, VitalwireError
from schemas.identity import EdgeId

AT_ONCE_MAX = 500
RECEIVE_S = 0.2
WAIT_S = 0.05
BACK_OFF_S = 1.0  # after the spool refused
CONSUMER = {"enable.auto.commit": False, "auto.offset.reset": "earliest"}


class ReceiptReader:
    """Takes receipts for `edge` that `platform_key_der` signed; what they say of batches goes to `receipted`."""

    def __init__(
        self, spool: Spool, platform_key_der: bytes, *, edge: EdgeId, client: ClientSettings, watch: BrokerWatch,
        counts: Counter[str], on_event: Callable[[str, str], object],
        receipted: SimpleQueue[Receipted | None], witness: Witness,
    ) -> None:  # fmt: skip
        self._spool, self._platform_key_der, self._edge = spool, platform_key_der, edge
        self._client, self._watch, self._counts, self._on_event = client, watch, counts, on_event
        self._partition, self._receipted = topics.receipt_partition(edge), receipted
        self._witness = witness

    def run(self, ending: Event) -> None:
        """Take receipts, for ever; a new consumer for each log that is found, not for one that was away a while."""
        consumer: Consumer | None = None
        source: Broker | None = None
        while not ending.is_set():
            broker = self._watch.broker
            if broker is not None and broker != source:
                if consumer is not None:
                    consumer.close()  # it waits long for a broker that is away
                consumer = self._new_consumer()
                source = broker if consumer else None
            if consumer is None:
                ending.wait(WAIT_S)
            elif first := consumer.poll(RECEIVE_S):
                self._release([first, *consumer.consume(AT_ONCE_MAX - 1, 0)], ending)
                with suppress(KafkaException):
                    consumer.commit(asynchronous=True)

    def _new_consumer(self) -> Consumer | None:
        """Without a group's rounds: this edge is the only member. None: it cannot be yet."""
        if self._watch.receipt_partitions <= self._partition:
            return None
        settings = CONSUMER | {"group.id": f"edge-{self._edge.hex()}", "error_cb": self._watch.on_error}
        consumer = Consumer(self._client | settings)
        partition = TopicPartition(topics.RECEIPTS, self._partition)
        try:  # with OFFSET_STORED the client would ask a coordinator that is not ready once, and never again
            (committed,) = consumer.committed([partition], ANSWER_LIMIT_S)
        except KafkaException:
            committed = None
        if committed is None or committed.error:
            consumer.close()
            return None
        partition.offset = committed.offset if committed.offset >= 0 else OFFSET_BEGINNING
        consumer.assign([partition])
        return consumer

    def _release(self, messages: list[Message], ending: Event) -> None:
        receipts = [receipt for m in messages if m.error() is None and (receipt := self._believed(m))]
        if not receipts:
            return
        try:
            taken = self._spool.receipted(receipts)
        except VitalwireError as error:  # the batches are sent again, and have their receipts again
            self._on_event("receipts-not-noted", str(error))
            ending.wait(BACK_OFF_S)
            return
        self._count(taken)
        for receipted in taken.batches:
            self._receipted.put(receipted)
        if taken.store_changed:
            self._on_event("store-changed", "the store was restored or replaced: all that is held is sent again")
            self._receipted.put(None)
        if taken.is_copied:
            self._renew_id()
        self._witness.take(receipts)

    def _renew_id(self) -> None:
        before = self._spool.spool_id.hex()
        try:
            self._spool.renew_id()
        except VitalwireError as error:  # the next receipt for the other box's batches says it again
            self._on_event("spool-copied", f"another box sends as this spool, and it cannot have a new id: {error}")
            return
        self._on_event(
            "spool-copied",
            f"another box sends as this spool {before}: this one goes on as {self._spool.spool_id.hex()}, nothing is"
            " lost; find the box that runs a copy of this one's disk, and give it a key of its own",
        )
        self._receipted.put(None)

    def _count(self, taken: ReceiptsTaken) -> None:
        for receipted in taken.batches:
            self._counts[f"batch {receipted.outcome.name.lower()}"] += 1
            self._counts["released"] += receipted.outcome is not ReceiptOutcome.REFUSED
        self._counts["unmatched"] += taken.unmatched

    def _believed(self, message: Message) -> Receipt | None:
        """This edge's receipt, signed by the platform's key; None for another edge's, and for anything else."""
        if message.key() != self._edge:
            return None
        try:
            receipt = read_receipt(message.value() or b"", self._platform_key_der)
            if receipt.edge != self._edge:
                raise LayoutError(LayoutReason.FOREIGN)
        except LayoutError as error:
            self._counts[f"receipt {error.reason}"] += 1
            return None
        self._counts[f"receipt {receipt.outcome.name.lower()}"] += 1
        return receipt
