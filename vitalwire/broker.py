"""What commands ask of the broker themselves: which topics it has, and to take a dead message back."""

from __future__ import annotations

from pathlib import Path

from confluent_kafka import KafkaException, Producer
from confluent_kafka.admin import AdminClient

from runtime.errors import EXIT_UNREACHABLE, UserError
from schemas import topics
from schemas.batch import read_header
from schemas.errors import LayoutError
from schemas.report import Lane

LOOK_LIMIT_S = 5.0
TAKE_LIMIT_S = 10.0


def topics_of(kafka: str, ca: Path | None, cert: Path | None = None, key: Path | None = None) -> set[str]:
    """The topics that a broker has. Raises UserError where it does not answer."""
    tls = {"security.protocol": "ssl", "ssl.ca.location": str(ca)} if ca else {}
    if ca and cert and key:
        tls |= {"ssl.certificate.location": str(cert), "ssl.key.location": str(key)}
    try:
        admin = AdminClient({"bootstrap.servers": kafka, "log_level": 0, **tls})
        return set(admin.list_topics(timeout=LOOK_LIMIT_S).topics)
    except KafkaException:
        raise UserError(f"{kafka} is not reached", EXIT_UNREACHABLE) from None


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
                             "message.timeout.ms": int(TAKE_LIMIT_S * 1000), "log_level": 0})  # fmt: skip
        producer.produce(
            target, message, key, on_delivery=lambda error, _: failed.append(str(error)) if error else None
        )
        if producer.flush(TAKE_LIMIT_S) or failed:
            why = failed[0] if failed else "no answer"
            mend = "is it started? --kafka, VITALWIRE_KAFKA"
            raise UserError(f"the broker at {kafka} did not take it: {why} ({mend})", EXIT_UNREACHABLE)
    except KafkaException as error:
        raise UserError(f"the broker at {kafka} cannot be used: {error.args[0].str()}", EXIT_UNREACHABLE) from None
    return target
