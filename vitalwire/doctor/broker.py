"""What the broker says: its topics, their replicas, and what the workers have not taken yet."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from confluent_kafka import ConsumerGroupTopicPartitions, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]  # they document it there

from runtime.errors import EXIT_UNREACHABLE, UserError
from schemas import topics
from schemas.topics import TOPICS
from stream_processors.config import APPS, ProcessorsConfig
from vitalwire.broker import client_settings, usable
from vitalwire.doctor.facts import LagFact, TopicFact

LIMIT_S = 5.0


@dataclass(frozen=True)
class BrokerFacts:
    """`lag_problem`: why nobody knows the lag; "" where it is known."""

    brokers: int
    topics: list[TopicFact]
    lags: list[LagFact]
    lag_problem: str


def broker_facts(config: ProcessorsConfig) -> BrokerFacts:
    """Raises UserError where the broker is not reached, or would be in plaintext."""
    errors = list[str]()
    settings = client_settings(
        config.kafka, config.kafka_ca, config.kafka_cert, config.kafka_key, insecure=config.insecure, errors=errors
    )
    with usable(config.kafka):
        admin = AdminClient(settings)
    try:
        known = admin.list_topics(timeout=LIMIT_S)
    except KafkaException:
        admin.poll(0)
        raise UserError("; ".join(errors[:1]) or "no answer", EXIT_UNREACHABLE) from None
    found = []
    for topic in TOPICS:
        expected = topic.partitions if topic.name == topics.RECEIPTS else config.partitions
        there = known.topics.get(topic.name)
        partitions = list(there.partitions.values()) if there is not None and there.error is None else []
        found.append(TopicFact(
            name=topic.name, partitions=len(partitions), partitions_expected=expected,
            replicas=min((len(each.replicas) for each in partitions), default=0),
            under_replicated=sum(len(each.isrs) < len(each.replicas) for each in partitions),
        ))  # fmt: skip
    lags, problem = list[LagFact](), ""
    try:
        for worker in APPS:
            lags += lags_of(admin, f"vitalwire-{worker}", worker)
    except KafkaException as error:
        problem = f"the broker does not tell it: {error.args[0].str()}"
    return BrokerFacts(len(known.brokers), found, lags, problem)


def lags_of(admin: AdminClient, group: str, worker: str) -> list[LagFact]:
    """Of one worker's group, a line a topic; what it has never committed is not counted. Raises KafkaException."""
    asked = admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group)], request_timeout=LIMIT_S)
    committed = [each for each in asked[group].result(LIMIT_S).topic_partitions or () if each.offset >= 0]
    if not committed:
        return []
    latest: OffsetSpec = OffsetSpec.latest()  # type: ignore[no-untyped-call]  # confluent's own
    ends = admin.list_offsets(
        {TopicPartition(each.topic, each.partition): latest for each in committed}, request_timeout=LIMIT_S
    )
    newest = {(where.topic, where.partition): future.result(LIMIT_S).offset for where, future in ends.items()}
    behind: Counter[str] = Counter()
    for each in committed:
        behind[each.topic] += max(0, newest[each.topic, each.partition] - each.offset)
    return [LagFact(worker, topic, messages) for topic, messages in sorted(behind.items())]
