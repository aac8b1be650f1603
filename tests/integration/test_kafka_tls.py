"""Every client of the real Kafka's TLS listener: with our certificate it speaks, without one the broker refuses."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest
from aiokafka.errors import KafkaError
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from runtime.errors import UserError
from runtime.tls import librdkafka_tls
from schemas import topics
from schemas.report import Lane
from stream_processors.broker import ensure_topics
from stream_processors.config import ProcessorsConfig
from tests.faults.senders import HEART_RATE, MllpSender
from tests.integration.test_wire import ICU, values
from tests.runtime.conftest import Certified
from tests.wire import Wire, eventually
from vitalwire import broker
from vitalwire.broker import republish, topics_of

pytestmark = pytest.mark.integration
LIMIT_S = 40
Files = tuple[Path, Path, Path]


@pytest.fixture
def address() -> str:
    """The listener that wants a certificate."""
    return os.environ["VITALWIRE_KAFKA_TLS"]


@pytest.fixture
def files() -> Files:
    """CA, client certificate, its key."""
    ca, cert, key = (Path(os.environ[f"VITALWIRE_KAFKA_{name}"]) for name in ("CA", "CERT", "KEY"))
    return ca, cert, key


@pytest.fixture
def reach(address: str, files: Files) -> str:
    """The TOML by which edge and processors reach it; they are given no other address."""
    ca, cert, key = files
    return f'kafka = "{address}"\nkafka_ca = "{ca}"\nkafka_cert = "{cert}"\nkafka_key = "{key}"\n'


def test_a_plain_client_with_a_certificate_is_served(address: str, files: Files, topic_prefix: str) -> None:
    topic, settings = f"{topic_prefix}tls", {"bootstrap.servers": address, **librdkafka_tls(*files)}
    admin = AdminClient(settings)
    admin.create_topics([NewTopic(topic, 1, 1)])[topic].result(10)
    producer = Producer(settings)
    producer.produce(topic, b"over TLS")
    assert producer.flush(10) == 0
    consumer = Consumer({**settings, "group.id": topic, "auto.offset.reset": "earliest"})
    consumer.assign([TopicPartition(topic, 0, 0)])
    message = consumer.poll(10)
    consumer.close()
    assert message is not None
    assert message.value() == b"over TLS"


def test_without_our_certificate_no_client_is_served(
    address: str, files: Files, theirs: Certified, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(broker, "LOOK_LIMIT_S", 2.0)
    ca = files[0]
    assert topics_of(address, *files) is not None
    for cert, key in ((None, None), (theirs.cert, theirs.key)):
        with pytest.raises(UserError, match=r"is not reached: .*alert .*certificate"):
            topics_of(address, ca, cert, key)
        config = ProcessorsConfig(kafka=address, kafka_ca=ca, kafka_cert=cert, kafka_key=key)
        with pytest.raises((KafkaError, OSError)):
            asyncio.run(ensure_topics(config))
    with pytest.raises(UserError, match="is not reached"):
        topics_of(address)  # in plaintext


def test_a_broker_of_another_authority_is_not_spoken_to(
    address: str, files: Files, theirs: Certified, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(broker, "LOOK_LIMIT_S", 2.0)
    _, cert, key = files
    with pytest.raises(UserError, match=r"is not reached: .*certificate verify failed"):
        topics_of(address, theirs.cert, cert, key)
    config = ProcessorsConfig(kafka=address, kafka_ca=theirs.cert, kafka_cert=cert, kafka_key=key)
    with pytest.raises((KafkaError, OSError)):
        asyncio.run(ensure_topics(config))


def test_the_processors_make_topics_read_and_file_over_tls(
    tmp_path: Path, kafka: str, database: str, address: str, files: Files, reach: str
) -> None:
    """What cannot be validated is given by a plain client, read by the first stage, and filed by the last."""
    wire = Wire(tmp_path, kafka, database, "", broker=reach)  # forgets the topics
    wire.start("processors")
    try:
        eventually(lambda: {t.name for t in topics.TOPICS} <= topics_of(address, *files), LIMIT_S, "topics")
        republish(address, topics.raw(Lane.LIVE), b"no batch", *files)
        eventually(lambda: wire.rows("SELECT message FROM dead_letter") == [(b"no batch",)], LIMIT_S, "filed as dead")
    finally:
        wire.stop("processors")


def test_from_a_socket_to_a_row_and_back_over_tls(tmp_path: Path, kafka: str, database: str, reach: str) -> None:
    with Wire(tmp_path, kafka, database, ICU, broker=reach) as wire:
        sender = MllpSender(("127.0.0.1", wire.mllp), "icu", "07", enhanced=True)
        sender.send(HEART_RATE, 71.5)
        eventually(lambda: bool(values(wire, sender)), LIMIT_S, "a row")
        assert values(wire, sender) == [("MDC_ECG_HEART_RATE", 71.5, "/min", 0)]
        eventually(wire.released, LIMIT_S, "a receipt")
