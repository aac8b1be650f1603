from collections.abc import Callable

import pytest
from confluent_kafka import Consumer, KafkaException, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from edge_agent.publisher.sender import PRODUCER
from runtime.errors import UserError
from schemas import topics
from schemas.report import Lane
from schemas.topics import Topic
from tests.making import Key, of_newer_layout, report, sealed
from tests.runtime.conftest import Certified
from tests.storing import EDGE
from vitalwire import broker
from vitalwire.broker import republish, topics_of

BATCH = sealed([report()], Key(), lane=Lane.LIVE)
PARTITIONS = 8


@pytest.fixture
def prefix(kafka: str, topic_prefix: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Topics of this test alone, a partition each."""
    monkeypatch.setattr(topics, "raw", lambda lane: f"{topic_prefix}{lane.name.lower()}.raw")
    names = [f"{topic_prefix}{name}" for name in ("live.raw", "backfill.raw", "live.signed")]
    monkeypatch.setattr(topics, "TOPICS", tuple(Topic(name, 1000, 1000) for name in names))
    admin = AdminClient({"bootstrap.servers": kafka})
    for made in admin.create_topics([NewTopic(name, 1, 1) for name in names]).values():
        made.result(10)
    return topic_prefix


def only(kafka: str, topic: str) -> Message:
    consumer = Consumer({"bootstrap.servers": kafka, "group.id": "t", "auto.offset.reset": "earliest"})
    consumer.assign([TopicPartition(topic, 0, 0)])
    message = consumer.poll(10)
    assert message is not None
    consumer.close()
    return message


@pytest.mark.parametrize(
    ("was_on", "message", "goes_to", "key"),
    [
        ("live.raw", BATCH, "backfill.raw", EDGE),  # as all that is sent again: by live it would ring as if it were new
        ("live.raw", of_newer_layout(BATCH, Key()), "backfill.raw", EDGE),
        ("live.raw", b"noise", "live.raw", b""),
        ("live.signed", b"a signed block", "live.signed", b""),
        ("of an older version", b"noise", "live.raw", b""),
    ],
)
def test_a_dead_message_goes_back(
    kafka: str, prefix: str, was_on: str, message: bytes, goes_to: str, key: bytes
) -> None:
    assert republish(kafka, prefix + was_on, message) == prefix + goes_to
    found = only(kafka, prefix + goes_to)
    assert (found.value(), found.key() or b"") == (message, key)


def test_a_batch_goes_back_by_the_partition_of_its_edge(kafka: str, topic_prefix: str) -> None:
    """The one that the edge's own client chooses."""
    name = f"{topic_prefix}backfill.raw"
    admin = AdminClient({"bootstrap.servers": kafka})
    admin.create_topics([NewTopic(name, PARTITIONS, 1)])[name].result(10)
    key, chosen = Key(), dict[bytes, int]()
    edges = [number.to_bytes(16) for number in range(PARTITIONS)]
    producer = Producer({"bootstrap.servers": kafka, **PRODUCER})
    for edge in edges:
        producer.produce(name, b"", edge, on_delivery=lambda _, m: chosen.__setitem__(m.key(), m.partition()))
    assert producer.flush(10) == 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(topics, "raw", lambda lane: f"{topic_prefix}{lane.name.lower()}.raw")
        for edge in edges:
            republish(kafka, name, sealed([report()], key, edge=edge))
    consumer = Consumer({"bootstrap.servers": kafka, "group.id": "t", "auto.offset.reset": "earliest"})
    consumer.assign([TopicPartition(name, partition, 0) for partition in range(PARTITIONS)])
    found = [m for m in consumer.consume(2 * PARTITIONS, 10) if m.value()]
    consumer.close()
    assert {m.key(): m.partition() for m in found} == chosen
    assert len(set(chosen.values())) > 1


def test_a_broker_that_is_away_is_said_in_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broker, "TAKE_LIMIT_S", 0.3)
    with pytest.raises(UserError, match=r"^the broker at 127.0.0.1:1 did not take it: ") as caught:
        republish("127.0.0.1:1", "live.raw", b"x")
    assert caught.value.exit_code == 3


def test_an_address_that_is_none_is_said_in_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: object) -> None:
        raise KafkaException(_Error())

    class _Error:
        def str(self) -> str:
            return "No such configuration property"

    monkeypatch.setattr(broker, "Producer", refuse)
    with pytest.raises(UserError, match=r"^the broker at :: cannot be used: No such configuration property$"):
        republish("::", "live.raw", b"x", insecure=True)


def test_what_the_client_met_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broker, "LOOK_LIMIT_S", 1.0)
    with pytest.raises(UserError, match=r"^127.0.0.1:1 is not reached: .*Connection refused") as caught:
        topics_of("127.0.0.1:1")
    assert caught.value.exit_code == 3


def test_topics_are_seen(kafka: str, prefix: str) -> None:
    assert {f"{prefix}live.raw", f"{prefix}live.signed"} <= topics_of(kafka)


@pytest.mark.parametrize("ask", [topics_of, lambda kafka, **more: republish(kafka, "live.raw", b"x", **more)])
def test_plaintext_stays_on_this_machine(ask: Callable[..., object], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broker, "LOOK_LIMIT_S", 0.1)
    monkeypatch.setattr(broker, "TAKE_LIMIT_S", 0.1)
    with pytest.raises(UserError, match="give kafka_ca, or, knowingly, set insecure = true") as caught:
        ask("127.0.0.1:1,broker.invalid:9092")
    assert caught.value.exit_code == 2
    with pytest.raises(UserError) as caught:
        ask("127.0.0.1:1,broker.invalid:9092", insecure=True)
    assert caught.value.exit_code == 3


def test_a_certificate_that_cannot_be_used_is_named(ours: Certified, theirs: Certified) -> None:
    with pytest.raises(UserError, match=f"certificate {ours.cert} with key {theirs.key} cannot be used"):
        topics_of("127.0.0.1:1", ours.cert, ours.cert, theirs.key)
