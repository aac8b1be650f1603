"""A dead message back to the topic it came from."""

from __future__ import annotations

from confluent_kafka import KafkaException, Producer

from runtime.errors import UserError
from schemas import topics
from schemas.batch import read_header
from schemas.errors import LayoutError
from schemas.report import Lane

TIMEOUT_S = 10.0
EXIT_UNREACHABLE = 3


def publish_again(kafka: str, topic: str, message: bytes) -> str:
    """Publish a batch to its lane's raw topic, keyed by its edge, anything else where it was; the topic.

    Raises UserError.
    """
    try:
        header = read_header(message)
        key, target = header.edge, topics.raw(header.lane)
    except LayoutError:
        key, target = b"", topic if topic in {t.name for t in topics.TOPICS} else topics.raw(Lane.LIVE)
    failed: list[str] = []
    try:
        producer = Producer({"bootstrap.servers": kafka, "acks": "all", "message.max.bytes": topics.MESSAGE_BYTES_MAX,
                             "message.timeout.ms": int(TIMEOUT_S * 1000), "log_level": 0})  # fmt: skip
        producer.produce(
            target, message, key, on_delivery=lambda error, _: failed.append(str(error)) if error else None
        )
        if producer.flush(TIMEOUT_S) or failed:
            raise UserError(
                f"the broker at {kafka} did not take it: {failed[0] if failed else 'no answer'} (is it started?"
                " --kafka, VITALWIRE_KAFKA)", EXIT_UNREACHABLE,
            )  # fmt: skip
    except KafkaException as error:
        raise UserError(f"the broker at {kafka} cannot be used: {error.args[0].str()}", EXIT_UNREACHABLE) from None
    return target
