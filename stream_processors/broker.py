"""Topics at the broker: created when missing, and what one of them already holds."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NoReturn

import structlog
from aiokafka import AIOKafkaConsumer
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import (
    IncompatibleBrokerVersion,
    InvalidTimestampError,
    KafkaError,
    MessageSizeTooLargeError,
    RecordListTooLargeError,
    RecordTooLargeError,
    TopicAlreadyExistsError,
    for_code,
)

from runtime.errors import UserError
from runtime.tls import client_context, kafka_problem
from schemas import topics
from schemas.errors import ServiceError
from schemas.report import Lane
from schemas.topics import RECEIPTS, TOPICS, Topic
from stream_processors.config import ProcessorsConfig

# A rebalance waits this long for members that vanished; with the defaults the first message comes 32 s late.
SESSION_TIMEOUT_S = 6
EXIT_TOPICS_LOST = 75  # the broker lost its topics: a fresh worker starts from what it has now
QUIET_MS = 500
# Stamped by the broker, an edge learns how its clock stands, an alarm how old a message is, and an edge whose clock is
# an hour ahead is not refused.
STAMP, STAMPED_BY_BROKER = "message.timestamp.type", "LogAppendTime"
SET_ON_TOPIC = 1  # DescribeConfigs, config_source: DYNAMIC_TOPIC_CONFIG
# What the broker, or the client before it, says of one message; the other errors are of connections and brokers.
_OF_ONE_MESSAGE = (InvalidTimestampError, MessageSizeTooLargeError, RecordListTooLargeError, RecordTooLargeError)
_log = structlog.get_logger("broker")


@contextmanager
def broker_errors() -> Iterator[None]:
    """A KafkaError inside comes out as a ServiceError: a transient one, unless it lies with the message itself."""
    try:
        yield
    except KafkaError as error:
        transient = not isinstance(error, _OF_ONE_MESSAGE)
        raise ServiceError(type(error).__name__, str(error), transient=transient) from error


def security(config: ProcessorsConfig) -> dict[str, Any]:
    """What a client needs to speak TLS to the broker; nothing where the config names no CA.

    Raises UserError where plaintext would leave this machine, and for files that cannot be used.
    """
    if problem := kafka_problem(config.kafka, tls=config.kafka_ca is not None, insecure=config.insecure):
        raise UserError(problem)
    if config.kafka_ca is None:
        return {}
    context = client_context(config.kafka_ca, config.kafka_cert, config.kafka_key)
    return {"security_protocol": "SSL", "ssl_context": context}


async def ensure_topics(config: ProcessorsConfig) -> list[str]:
    """Create the topics that the broker did not have; their names. Raises KafkaError where it refuses one."""
    admin = AIOKafkaAdminClient(bootstrap_servers=config.kafka, **security(config))
    await admin.start()
    try:
        known = set(await admin.list_topics())
        missing = [
            NewTopic(
                t.name,
                _partitions(t, config),
                config.replication,
                topic_configs={
                    "retention.ms": str(t.retention_ms),
                    "max.message.bytes": str(t.message_bytes_max),
                    "compression.type": "producer",
                    STAMP: STAMPED_BY_BROKER,
                },
            )
            for t in TOPICS
            if t.name not in known
        ]
        answer = await admin.create_topics(missing) if missing else None
        # A record for each topic: name, error code, in newer versions a message.
        refused = {r[0]: for_code(r[1]) for r in answer.topic_errors if r[1]} if answer else {}
        for name, error in refused.items():
            if error is not TopicAlreadyExistsError:  # another worker was faster
                raise error(f"topic {name} cannot be made")
        await _add_partitions(admin, known)
        return [t.name for t in missing]
    finally:
        await admin.close()


async def stamp_topics(config: ProcessorsConfig) -> list[str]:
    """Have the broker stamp what it appends to our topics, also to those that were made without; their names.

    Whatever else was set on a topic stays. What a broker does not allow is said, and the topic is used as it is.
    """
    admin = AIOKafkaAdminClient(bootstrap_servers=config.kafka, **security(config))
    await admin.start()
    try:
        unstamped = await _unstamped(admin)
        answers = await admin.alter_configs(unstamped) if unstamped else []
    except IncompatibleBrokerVersion:  # the embedded one does not stamp, and cannot be told to
        return []
    finally:
        await admin.close()
    stamped = []
    for code, _, _, name in (resource for answer in answers for resource in answer.resources):
        if code:
            remedy = f"set {STAMP}={STAMPED_BY_BROKER} on it"
            _log.warning("topic not stamped by the broker", topic=name, error=for_code(code).__name__, remedy=remedy)
        else:
            stamped.append(name)
            _log.info("topic stamped by the broker from now on", topic=name)
    return stamped


async def _unstamped(admin: AIOKafkaAdminClient) -> list[ConfigResource]:
    """The topics that the broker does not stamp, with what is to be set on each; the request replaces all of it."""
    found = []
    answers = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, t.name) for t in TOPICS])
    for error, _, _, name, entries in (resource for answer in answers for resource in answer.resources):
        settings = {key: (value, source) for key, value, _, source, *_ in entries}
        if not error and settings.get(STAMP, (STAMPED_BY_BROKER, 0))[0] != STAMPED_BY_BROKER:
            kept = {key: value for key, (value, source) in settings.items() if source == SET_ON_TOPIC}
            found.append(ConfigResource(ConfigResourceType.TOPIC, name, kept | {STAMP: STAMPED_BY_BROKER}))
    return found


async def partition_counts(config: ProcessorsConfig) -> dict[str, int]:
    """How many partitions each of our topics has that the broker knows."""
    admin = AIOKafkaAdminClient(bootstrap_servers=config.kafka, **security(config))
    await admin.start()
    try:
        described = await admin.describe_topics([t.name for t in TOPICS])
    finally:
        await admin.close()
    return {each["topic"]: len(each["partitions"]) for each in described if each["partitions"]}


def _partitions(topic: Topic, config: ProcessorsConfig) -> int:
    """As many as configured; of receipts as the edges expect."""
    return topic.partitions if topic.name == RECEIPTS else config.partitions


async def _add_partitions(admin: AIOKafkaAdminClient, known: Collection[str]) -> None:
    """To topics that have fewer than whoever reads or writes them expects.

    Of receipts an edge reads the one that its id names; a block goes on in the partition that its batches came in.
    """
    described = await admin.describe_topics([t.name for t in TOPICS if t.name in known])
    found = {each["topic"]: len(each["partitions"]) for each in described if each["partitions"]}
    counts = {t.name: t.partitions for t in TOPICS if t.name == RECEIPTS}
    counts |= {topics.signed(lane): found.get(topics.raw(lane), 0) for lane in Lane}
    for name, count in counts.items():
        if 0 < found.get(name, 0) < count:
            await admin.create_partitions({name: NewPartitions(count)})


async def newest_values(config: ProcessorsConfig, topic: str) -> list[bytes]:
    """The newest message of each key of a topic."""
    # Subscribed without a group: `start` learns the partitions, which `partitions_for_topic` alone never asks for. From
    # the earliest by its own setting: a `seek_to_beginning` races with the first reset, and then messages are lost.
    consumer = AIOKafkaConsumer(
        topic, bootstrap_servers=config.kafka, enable_auto_commit=False, auto_offset_reset="earliest",
        **security(config),
    )  # fmt: skip
    await consumer.start()
    try:
        partitions = sorted(consumer.assignment())
        ends = await consumer.end_offsets(partitions)
        found: dict[bytes | None, bytes] = {}
        while True:
            batches = await consumer.getmany(timeout_ms=QUIET_MS)
            # The embedded broker says too early an end where messages came in one batch: there must be silence as well.
            if not batches and all([await consumer.position(p) >= ends[p] for p in partitions]):
                return list(found.values())
            found |= {message.key: message.value for batch in batches.values() for message in batch}
    finally:
        await consumer.stop()


async def watch_topics(config: ProcessorsConfig) -> None:
    """A broker that lost its data knows no topics: make them again, and begin afresh with them.

    Another number of partitions is said: an edge's batches then go another way than those before them.
    """
    before: dict[str, int] = {}
    while True:
        await asyncio.sleep(2.0)
        try:
            made = await ensure_topics(config)
            counts = await partition_counts(config)
        except Exception as error:  # noqa: BLE001  the broker is away: the stages wait for it by themselves
            _log.warning("broker not reached", error=type(error).__name__)
            continue
        if made:
            _log.error("topics were gone and are made again: the worker starts afresh", topics=made)
            end_at_once(EXIT_TOPICS_LOST)
        for line in changed_partitions(before, counts):
            _log.warning("partitions changed", detail=line)
        before = counts


def changed_partitions(before: Mapping[str, int], now: Mapping[str, int]) -> list[str]:
    """A line for people for each topic whose number of partitions is another one than it was."""
    return [
        f"the topic {name} had {before[name]} partitions and now has {count}: until what was sent before is stored,"
        " the batches of an edge may come out of their order, which the ledger bears"
        for name, count in now.items()
        if before.get(name, count) != count
    ]


def end_at_once(code: int) -> NoReturn:
    """End the process without the goodbyes that wait for a broker."""
    os._exit(code)
