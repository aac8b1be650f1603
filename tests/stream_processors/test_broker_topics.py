"""What is set on topics that there are already, and what is said of their partitions."""

from __future__ import annotations

import asyncio

import pytest
from confluent_kafka.admin import AdminClient, ConfigResource, NewPartitions, NewTopic

from schemas.report import Lane
from schemas.topics import Topic
from stream_processors import broker
from stream_processors.config import ProcessorsConfig

HOUR_MS = 3_600_000
LIMIT_S = 10


@pytest.fixture
def name(topic_prefix: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Of the one topic that is ours."""
    monkeypatch.setattr(broker, "TOPICS", [Topic(f"{topic_prefix}one", HOUR_MS, 100_000)])
    return f"{topic_prefix}one"


def make(kafka: str, name: str, partitions: int = 3, **settings: str) -> AdminClient:
    admin = AdminClient({"bootstrap.servers": kafka})
    config = {key.replace("_", "."): value for key, value in settings.items()}
    admin.create_topics([NewTopic(name, partitions, 1, config=config)])[name].result(LIMIT_S)
    return admin


def settings(admin: AdminClient, name: str) -> dict[str, str]:
    resource = ConfigResource(ConfigResource.Type.TOPIC, name)
    found = admin.describe_configs([resource])[resource].result(LIMIT_S)
    return {key: entry.value for key, entry in found.items()}


def stamp(kafka: str) -> list[str]:
    return asyncio.run(broker.stamp_topics(ProcessorsConfig(kafka=kafka)))


@pytest.mark.integration
def test_a_topic_that_was_made_without_is_stamped_from_now_on_and_keeps_what_was_set(kafka: str, name: str) -> None:
    admin = make(kafka, name, retention_ms="7200000", segment_bytes="10485760")
    assert settings(admin, name)["message.timestamp.type"] == "CreateTime"
    assert stamp(kafka) == [name]
    found = settings(admin, name)
    assert found["message.timestamp.type"] == "LogAppendTime"
    assert (found["retention.ms"], found["segment.bytes"]) == ("7200000", "10485760")
    assert stamp(kafka) == []


def test_a_broker_that_cannot_stamp_and_a_topic_that_is_not_there_are_no_obstacle(kafka: str, name: str) -> None:
    assert stamp(kafka) == []
    make(kafka, name, message_timestamp_type="CreateTime")
    assert stamp(kafka) in ([], [name])


def test_another_number_of_partitions_is_said_once(kafka: str, name: str) -> None:
    admin = make(kafka, name)
    config = ProcessorsConfig(kafka=kafka)
    before = asyncio.run(broker.partition_counts(config))
    assert before == {name: 3}
    assert broker.changed_partitions({}, before) == broker.changed_partitions(before, before) == []
    (line,) = broker.changed_partitions(before, {name: 5})
    assert line.startswith(f"the topic {name} had 3 partitions and now has 5: ")
    admin.delete_topics([name])[name].result(LIMIT_S)


@pytest.mark.integration
def test_what_is_signed_has_as_many_partitions_as_what_came(
    kafka: str, topic_prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A block goes on in the partition that its batches came in: with fewer, its lane would stand still."""
    monkeypatch.setattr(broker.topics, "raw", lambda lane: f"{topic_prefix}{lane.name}.raw")
    monkeypatch.setattr(broker.topics, "signed", lambda lane: f"{topic_prefix}{lane.name}.signed")
    raw, signed = broker.topics.raw(Lane.LIVE), broker.topics.signed(Lane.LIVE)
    monkeypatch.setattr(broker, "TOPICS", [Topic(raw, HOUR_MS, 100_000), Topic(signed, HOUR_MS, 100_000)])
    config = ProcessorsConfig(kafka=kafka, partitions=2)
    assert asyncio.run(broker.ensure_topics(config)) == [raw, signed]
    admin = AdminClient({"bootstrap.servers": kafka})
    admin.create_partitions([NewPartitions(raw, 5)])[raw].result(LIMIT_S)
    assert asyncio.run(broker.ensure_topics(config)) == []
    assert asyncio.run(broker.partition_counts(config)) == {raw: 5, signed: 5}
