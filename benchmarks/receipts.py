"""How much of the topic `receipts` one of 1,000 edges reads."""

from __future__ import annotations

from collections.abc import Sequence

from confluent_kafka import Consumer, TopicPartition

from benchmarks import devices
from benchmarks.pipeline import Samples, warm_bench
from schemas import topics
from schemas.identity import EdgeId

EDGES = 1000
ANSWER_S = 20.0


def share_per_edge(quick: bool) -> Samples:
    """Each edge has a batch stored; the messages in the partition of the edge that reads most, over all of them."""
    report = devices.monitors(0, 1)

    def one_report(edge: int, number: int) -> Sequence[bytes]:
        return report

    with warm_bench(EDGES) as bench:
        bench.through(bench.batches(EDGES, one_report))
        messages = _messages_by_partition(bench.kafka)
    partitions = [topics.receipt_partition(EdgeId(edge.bytes), len(messages)) for edge in bench.ids]
    share = [messages[partition] / sum(messages) for partition in partitions]
    return {"receipts_share_per_edge": [max(share)]}


def _messages_by_partition(kafka: str) -> list[int]:
    """Read until nothing more comes: the receipts follow the rows by a moment."""
    consumer = Consumer({"bootstrap.servers": kafka, "group.id": "bench-receipts", "enable.auto.commit": False})
    partitions = len(consumer.list_topics(topics.RECEIPTS, ANSWER_S).topics[topics.RECEIPTS].partitions)
    consumer.assign([TopicPartition(topics.RECEIPTS, partition, 0) for partition in range(partitions)])
    messages = [0] * partitions
    while (message := consumer.poll(5.0 if any(messages) else ANSWER_S)) is not None:
        if message.error() is None:
            messages[message.partition() or 0] += 1
    consumer.close()
    if not any(messages):
        raise TimeoutError("no receipt came")
    return messages
