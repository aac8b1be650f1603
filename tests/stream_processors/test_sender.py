"""What a stage sends by faust's producer, to a broker, and what comes of it."""

from __future__ import annotations

import asyncio

import faust
import pytest
from confluent_kafka.admin import AdminClient, NewTopic

from schemas.errors import ServiceError
from stream_processors.app import sender
from stream_processors.stage import Output

LIMIT_S = 10
MESSAGE_BYTES_MAX = 1000


def send(kafka: str, *outputs: Output) -> None:
    async def run() -> None:
        app = faust.App("test", broker=f"kafka://{kafka}", producer_max_request_size=MESSAGE_BYTES_MAX)
        try:
            await sender(lambda name: app.topic(name, key_serializer="raw", value_serializer="raw"))(outputs)
        finally:
            await app.producer.stop()

    asyncio.run(run())


@pytest.fixture
def topic(kafka: str, topic_prefix: str) -> str:
    """Of one partition."""
    name = f"{topic_prefix}one"
    admin = AdminClient({"bootstrap.servers": kafka})
    admin.create_topics([NewTopic(name, 1, 1)])[name].result(LIMIT_S)
    return name


def test_a_message_that_is_too_large_never_will_be_taken(kafka: str, topic: str) -> None:
    small = Output(topic, b"small", partition=0)
    send(kafka, small)
    with pytest.raises(ServiceError) as raised:
        send(kafka, small, Output(topic, bytes(2 * MESSAGE_BYTES_MAX), partition=0))
    assert (raised.value.reason, raised.value.transient) == ("MessageSizeTooLargeError", False)


def test_a_partition_that_is_not_there_yet_is_waited_for(kafka: str, topic: str) -> None:
    with pytest.raises(ServiceError, match="has no partition 1 yet") as raised:
        send(kafka, Output(topic, b"a", partition=1))
    assert (raised.value.reason, raised.value.transient) == ("NoSuchPartition", True)
