import asyncio
import time
from ssl import SSLError

import pytest
from aiokafka import errors
from aiokafka.errors import KafkaError
from confluent_kafka import TIMESTAMP_LOG_APPEND_TIME, Producer
from confluent_kafka.admin import AdminClient, ConfigResource

from runtime.errors import UserError
from runtime.tls import server_context
from schemas.errors import ServiceError
from schemas.topics import Topic
from stream_processors import broker
from stream_processors.config import ProcessorsConfig
from tests.runtime.conftest import Certified
from tests.runtime.test_tls import handshake

HOUR_MS = 3_600_000


def test_without_a_ca_a_broker_on_this_machine_is_spoken_to_in_plaintext() -> None:
    assert broker.security(ProcessorsConfig(kafka="127.0.0.1:1,localhost:2")) == {}


def test_plaintext_to_a_broker_beyond_is_refused_unless_asked_for() -> None:
    with pytest.raises(UserError, match=r"the broker at broker .*give kafka_ca"):
        broker.security(ProcessorsConfig(kafka="127.0.0.1:1,broker:9092"))
    assert broker.security(ProcessorsConfig(kafka="broker:9092", insecure=True)) == {}


def test_our_certificate_is_shown_to_a_broker_that_asks(ours: Certified, theirs: Certified) -> None:
    server = server_context(ours.cert, ours.key, client_ca=theirs.cert)
    known = broker.security(
        ProcessorsConfig(kafka="broker:9092", kafka_ca=ours.cert, kafka_cert=theirs.cert, kafka_key=theirs.key)
    )
    assert known["security_protocol"] == "SSL"
    assert handshake(server, known["ssl_context"]) == "TLSv1.3"
    nobody = broker.security(ProcessorsConfig(kafka="broker:9092", kafka_ca=ours.cert))
    with pytest.raises(SSLError):
        handshake(server, nobody["ssl_context"])


@pytest.fixture
def table(topic_prefix: str, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Topics of this test alone."""
    names = [f"{topic_prefix}{name}" for name in ("one", "two", "three")]
    monkeypatch.setattr(broker, "TOPICS", [Topic(n, HOUR_MS * (i + 1), 100_000) for i, n in enumerate(names)])
    return names


def ensure(kafka: str, **more: int) -> list[str]:
    return asyncio.run(broker.ensure_topics(ProcessorsConfig(kafka=kafka, **more)))  # type: ignore[arg-type]


def newest(kafka: str, topic: str) -> list[bytes]:
    return asyncio.run(broker.newest_values(ProcessorsConfig(kafka=kafka), topic))


def test_only_what_is_missing_is_made(kafka: str, table: list[str]) -> None:
    assert ensure(kafka, partitions=3) == table
    assert ensure(kafka) == []
    admin = AdminClient({"bootstrap.servers": kafka})
    assert [len(admin.list_topics(timeout=10).topics[n].partitions) for n in table] == [3, 3, 3]
    admin.delete_topics(table[1:2])[table[1]].result(10)
    assert ensure(kafka) == table[1:2]


def test_receipts_have_the_partitions_that_edges_count_on(
    kafka: str, table: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(broker, "RECEIPTS", table[0])
    monkeypatch.setattr(broker, "TOPICS", [Topic(n, HOUR_MS, 100_000, partitions=9) for n in table])
    ensure(kafka, partitions=3)
    admin = AdminClient({"bootstrap.servers": kafka})
    assert [len(admin.list_topics(timeout=10).topics[n].partitions) for n in table] == [9, 3, 3]


def test_topics_have_their_settings(kafka: str, table: list[str]) -> None:
    ensure(kafka)
    resource = ConfigResource(ConfigResource.Type.TOPIC, table[1])
    admin = AdminClient({"bootstrap.servers": kafka})
    found = admin.describe_configs([resource])[resource].result(10)
    assert found["retention.ms"].value == str(2 * HOUR_MS)
    assert found["max.message.bytes"].value == "100000"


def test_of_two_workers_at_once_both_go_on(kafka: str, table: list[str]) -> None:
    async def both() -> list[list[str]]:
        config = ProcessorsConfig(kafka=kafka)
        return await asyncio.gather(*(broker.ensure_topics(config) for _ in range(4)))

    made = asyncio.run(both())
    assert {name for names in made for name in names} == set(table)
    assert ensure(kafka) == []


@pytest.mark.integration
def test_a_topic_that_the_broker_refuses_is_an_error(kafka: str, table: list[str]) -> None:
    """The embedded broker takes any number of replicas."""
    with pytest.raises(KafkaError, match="cannot be made"):
        ensure(kafka, replication=3)


def test_the_newest_message_of_each_key_is_found(kafka: str, table: list[str]) -> None:
    ensure(kafka, partitions=3)
    assert newest(kafka, table[2]) == []
    producer = Producer({"bootstrap.servers": kafka})
    for i in range(500):  # the third partition stays empty
        producer.produce(table[2], str(i).encode(), key=f"device {i % 20}".encode(), partition=i % 2)
    assert producer.flush(10) == 0
    assert sorted(newest(kafka, table[2])) == sorted(str(i).encode() for i in range(480, 500))


def test_receipts_have_a_partition_for_each_edge_whatever_is_configured(
    kafka: str, topic_prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"{topic_prefix}receipts"
    monkeypatch.setattr(broker, "RECEIPTS", name)
    monkeypatch.setattr(broker, "TOPICS", [Topic(name, HOUR_MS, 100_000, partitions=8)])
    ensure(kafka, partitions=3)
    admin = AdminClient({"bootstrap.servers": kafka})
    assert len(admin.list_topics(timeout=10).topics[name].partitions) == 8


@pytest.mark.integration
def test_partitions_are_added_where_receipts_have_too_few(
    kafka: str, topic_prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The embedded broker begins anew with each start."""
    name = f"{topic_prefix}receipts"
    monkeypatch.setattr(broker, "RECEIPTS", name)
    for partitions in (4, 8):
        monkeypatch.setattr(broker, "TOPICS", [Topic(name, HOUR_MS, 100_000, partitions=partitions)])
        ensure(kafka)
    admin = AdminClient({"bootstrap.servers": kafka})
    assert len(admin.list_topics(timeout=10).topics[name].partitions) == 8


@pytest.mark.integration
def test_the_broker_stamps_what_it_appends(kafka: str, table: list[str]) -> None:
    ensure(kafka)
    stamps: list[tuple[int, int]] = []
    producer = Producer({"bootstrap.servers": kafka})
    before_ms = time.time() * 1000
    producer.produce(table[0], b"x", timestamp=5, on_delivery=lambda _, message: stamps.append(message.timestamp()))
    assert producer.flush(10) == 0
    ((kind, at_ms),) = stamps
    assert kind == TIMESTAMP_LOG_APPEND_TIME
    assert before_ms - 1 <= at_ms <= time.time() * 1000 + 1


@pytest.mark.parametrize(
    ("error", "transient"),
    [
        (errors.MessageSizeTooLargeError, False),
        (errors.RecordTooLargeError, False),
        (errors.RecordListTooLargeError, False),
        (errors.InvalidTimestampError, False),
        (errors.KafkaTimeoutError, True),
        (errors.KafkaConnectionError, True),
        (errors.NotLeaderForPartitionError, True),
        (errors.TopicAuthorizationFailedError, True),
    ],
)
def test_what_another_attempt_may_do(error: type[KafkaError], transient: bool) -> None:
    with pytest.raises(ServiceError, match="why") as raised, broker.broker_errors():
        raise error("why")
    assert (raised.value.reason, raised.value.transient) == (error.__name__, transient)


def test_an_error_that_is_not_the_broker_s_stays_what_it_is() -> None:
    with pytest.raises(AssertionError), broker.broker_errors():
        raise AssertionError
