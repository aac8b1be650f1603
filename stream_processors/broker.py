"""Topics at the broker: created when missing, and what one of them already holds."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from typing import Any, NoReturn

import structlog
from aiokafka import AIOKafkaConsumer
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic
from aiokafka.errors import TopicAlreadyExistsError, for_code

from runtime.errors import UserError
from runtime.tls import client_context, kafka_problem
from schemas.topics import RECEIPTS, TOPICS, Topic
from stream_processors.config import ProcessorsConfig

# A rebalance waits this long for members that vanished; with the defaults the first message comes 32 s late.
SESSION_TIMEOUT_S = 6
EXIT_TOPICS_LOST = 75  # the broker lost its topics: a fresh worker starts from what it has now
QUIET_MS = 500
_log = structlog.get_logger("broker")


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
                    # So an edge learns how its clock stands against the broker's. The embedded broker does not stamp.
                    "message.timestamp.type": "LogAppendTime",
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
        await _add_partitions(admin, [t for t in TOPICS if t.name in known and t.name == RECEIPTS])
        return [t.name for t in missing]
    finally:
        await admin.close()


def _partitions(topic: Topic, config: ProcessorsConfig) -> int:
    """As many as configured; of receipts as the edges expect."""
    return topic.partitions if topic.name == RECEIPTS else config.partitions


async def _add_partitions(admin: AIOKafkaAdminClient, known: Sequence[Topic]) -> None:
    """To topics that have fewer than whoever reads them expects."""
    for topic in known:
        (described,) = await admin.describe_topics([topic.name])
        if 0 < len(described["partitions"]) < topic.partitions:
            await admin.create_partitions({topic.name: NewPartitions(topic.partitions)})


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
    """A broker that lost its data knows no topics: make them again, and begin afresh with them."""
    while True:
        await asyncio.sleep(2.0)
        try:
            made = await ensure_topics(config)
        except Exception as error:  # noqa: BLE001  the broker is away: the stages wait for it by themselves
            _log.warning("broker not reached", error=type(error).__name__)
            continue
        if made:
            _log.error("topics were gone and are made again: the worker starts afresh", topics=made)
            end_at_once(EXIT_TOPICS_LOST)


def end_at_once(code: int) -> NoReturn:
    """End the process without the goodbyes that wait for a broker."""
    os._exit(code)
