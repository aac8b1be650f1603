"""A dead message back to the topic it came from."""

from __future__ import annotations

from confluent_kafka import KafkaException, Producer

from schemas import topics
from schemas.batch import read_header
from schemas.errors import LayoutError, VitalwireError
from schemas.report import Lane

TIMEOUT_S = 10


def publish_again(kafka: str, topic: str, message: bytes) -> str:
    """Publish to the raw topic of the message's lane, keyed by its edge; the topic. Raises VitalwireError."""
    try:
        header = read_header(message)
        key, target = header.edge, topics.raw(header.lane)
    except LayoutError:
        key, target = b"", topic if topic.endswith(".raw") else topics.raw(Lane.LIVE)
    failed: list[str] = []
    try:
        producer = Producer({"bootstrap.servers": kafka, "acks": "all", "message.max.bytes": topics.MESSAGE_BYTES_MAX,
                             "message.timeout.ms": TIMEOUT_S * 1000, "log_level": 0})  # fmt: skip
        producer.produce(
            target, message, key, on_delivery=lambda error, _: failed.append(str(error)) if error else None
        )
        if producer.flush(TIMEOUT_S) or failed:
            raise VitalwireError(f"the broker at {kafka} did not take it: {failed[0] if failed else 'no answer'}")
    except KafkaException as error:
        raise VitalwireError(f"the broker at {kafka} cannot be used: {error}") from None
    return target
