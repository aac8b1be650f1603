"""Topics at the broker: created when missing, and the alerts that it already holds."""

from __future__ import annotations

from typing import Any

import msgspec
from aiokafka import AIOKafkaConsumer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from schemas.topics import ALERTS, TOPICS
from stream_processors.alert import Transition
from stream_processors.config import ProcessorsConfig

# A rebalance waits this long for members that vanished; with the defaults the first message comes 32 s late.
SESSION_TIMEOUT_S = 6


def security(config: ProcessorsConfig) -> dict[str, Any]:
    """What a client needs to speak TLS to the broker; nothing where the config names no CA."""
    if config.kafka_ca is None:
        return {}
    from ssl import create_default_context

    return {"security_protocol": "SSL", "ssl_context": create_default_context(cafile=str(config.kafka_ca))}


async def ensure_topics(config: ProcessorsConfig) -> list[str]:
    """Create the topics that the broker does not have; their names."""
    admin = AIOKafkaAdminClient(bootstrap_servers=config.kafka, **security(config))
    await admin.start()
    try:
        known = set(await admin.list_topics())
        missing = [
            NewTopic(
                t.name,
                config.partitions,
                config.replication,
                topic_configs={
                    "retention.ms": str(t.retention_ms),
                    "max.message.bytes": str(t.message_bytes_max),
                    "compression.type": "producer",
                },
            )
            for t in TOPICS
            if t.name not in known
        ]
        if missing:
            await admin.create_topics(missing)
        return [t.name for t in missing]
    finally:
        await admin.close()


async def kept_transitions(config: ProcessorsConfig) -> list[Transition]:
    """Every transition on the topic `alerts`, oldest first in each partition."""
    # Subscribed without a group: `start` learns the partitions, which `partitions_for_topic` alone never asks for.
    consumer = AIOKafkaConsumer(ALERTS, bootstrap_servers=config.kafka, enable_auto_commit=False, **security(config))
    await consumer.start()
    try:
        partitions = sorted(consumer.assignment())
        await consumer.seek_to_beginning(*partitions)
        ends = await consumer.end_offsets(partitions)
        found: list[Transition] = []
        while any([await consumer.position(p) < ends[p] for p in partitions]):
            batches = await consumer.getmany(timeout_ms=500)
            found += [msgspec.json.decode(m.value, type=Transition) for b in batches.values() for m in b]
        return found
    finally:
        await consumer.stop()
