"""What commands ask of the broker themselves: which topics it has, and to take a dead message back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from confluent_kafka import KafkaException, Producer
from confluent_kafka.admin import AdminClient

from runtime.errors import EXIT_UNREACHABLE, UserError
from runtime.tls import kafka_problem, librdkafka_tls
from schemas import topics
from schemas.batch import read_any_header
from schemas.errors import LayoutError
from schemas.report import Lane

LOOK_LIMIT_S = 5.0
TAKE_LIMIT_S = 10.0


def topics_of(
    kafka: str, ca: Path | None = None, cert: Path | None = None, key: Path | None = None, *, insecure: bool = False
) -> set[str]:
    """The topics that a broker has. Raises UserError where it is not reached, or would be in plaintext."""
    errors: list[str] = []
    settings = client_settings(kafka, ca, cert, key, insecure=insecure, errors=errors)
    with usable(kafka):
        admin = AdminClient(settings)
    try:
        return set(admin.list_topics(timeout=LOOK_LIMIT_S).topics)
    except KafkaException:
        admin.poll(0)  # has the client say what it met: a certificate that is refused is no broker that is away
        why = f": {errors[0]}" if errors else ""
        raise UserError(f"{kafka} is not reached{why}", EXIT_UNREACHABLE) from None


def republish(
    kafka: str, topic: str, message: bytes,
    ca: Path | None = None, cert: Path | None = None, key: Path | None = None, *, insecure: bool = False,
) -> str:  # fmt: skip
    """Publish a batch to the raw topic of backfill, keyed by its edge, anything else where it was; the topic.

    By that topic goes all that is sent again, whatever lane its header names: by the topic of live an old value would
    ring as if it were of now. Raises UserError.
    """
    try:
        header = read_any_header(message)
        message_key, target = bytes(header.edge), topics.raw(Lane.BACKFILL)
    except LayoutError:
        message_key, target = b"", topic if topic in {t.name for t in topics.TOPICS} else topics.raw(Lane.LIVE)
    failed: list[str] = []
    errors: list[str] = []
    settings = client_settings(kafka, ca, cert, key, insecure=insecure, errors=errors) | {
        "acks": "all",
        "partitioner": "murmur2_random",  # as the edge's: a stream keeps to one partition, and that to one writer
        "message.max.bytes": topics.MESSAGE_BYTES_MAX,
        "message.timeout.ms": int(TAKE_LIMIT_S * 1000),
    }
    with usable(kafka):
        producer = Producer(settings)
        producer.produce(
            target, message, message_key, on_delivery=lambda error, _: failed.append(str(error)) if error else None
        )
        if producer.flush(TAKE_LIMIT_S) or failed:
            why = "; ".join([*failed[:1], *errors[:1]]) or "no answer"
            mend = "is it started? --kafka, VITALWIRE_KAFKA"
            raise UserError(f"the broker at {kafka} did not take it: {why} ({mend})", EXIT_UNREACHABLE)
    return target


def client_settings(
    kafka: str, ca: Path | None, cert: Path | None, key: Path | None, *, insecure: bool, errors: list[str]
) -> dict[str, Any]:
    """Of a client; `errors` takes what it meets, in words. Raises UserError."""
    if problem := kafka_problem(kafka, tls=ca is not None, insecure=insecure):
        raise UserError(problem)
    return {
        "bootstrap.servers": kafka,
        "log_level": 0,
        "error_cb": lambda error: errors.append(error.str().partition(" (after ")[0]),
        **librdkafka_tls(ca, cert, key),
    }


@contextmanager
def usable(kafka: str) -> Iterator[None]:
    """What the client itself refuses, in a line. Raises UserError."""
    try:
        yield
    except KafkaException as error:
        raise UserError(f"the broker at {kafka} cannot be used: {error.args[0].str()}", EXIT_UNREACHABLE) from None
