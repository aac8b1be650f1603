"""What a broker holds: offsets and messages, for fault cases."""

from __future__ import annotations

from collections.abc import Iterator

from confluent_kafka import Consumer, ConsumerGroupState, ConsumerGroupTopicPartitions, Message, TopicPartition
from confluent_kafka.admin import AdminClient

ANSWER_S = 20
Offsets = dict[tuple[str, int], int]  # topic and partition


def ends(kafka: str, suffix: str) -> Offsets:
    """The end of each partition of the topics whose names end so."""
    consumer = reader(kafka)
    topics = consumer.list_topics(timeout=ANSWER_S).topics
    places = [(name, p) for name, topic in topics.items() if name.endswith(suffix) for p in topic.partitions]
    found = {place: consumer.get_watermark_offsets(TopicPartition(*place), ANSWER_S)[1] for place in places}
    consumer.close()
    return found


def committed(kafka: str, group: str) -> Offsets:
    """What a group of workers has acknowledged."""
    admin = AdminClient({"bootstrap.servers": kafka})
    asked = admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group)])
    return {(t.topic, t.partition): t.offset for t in asked[group].result(ANSWER_S).topic_partitions}


def members(kafka: str, group: str) -> int:
    """How many workers share a group's partitions; 0 while they are being shared out."""
    admin = AdminClient({"bootstrap.servers": kafka})
    described = admin.describe_consumer_groups([group])[group].result(ANSWER_S)
    return len(described.members) if described.state is ConsumerGroupState.STABLE else 0


def messages(kafka: str, up_to: Offsets) -> Iterator[Message]:
    """Everything that the broker holds before these offsets."""
    consumer = reader(kafka)
    for (topic, partition), end in up_to.items():
        consumer.assign([TopicPartition(topic, partition, 0)])
        at = 0
        while at < end:
            message = consumer.poll(ANSWER_S)
            assert message is not None
            assert message.error() is None, message.error()
            at = (message.offset() or 0) + 1
            if at <= end:
                yield message
    consumer.close()


def reader(kafka: str) -> Consumer:
    """A client that commits nothing."""
    return Consumer({"bootstrap.servers": kafka, "group.id": "faults", "enable.auto.commit": False, "log_level": 2})
