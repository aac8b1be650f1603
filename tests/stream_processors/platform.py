"""What the tests of the stages share: a raw message, and the platform's key of a test's store as its file holds it."""

from __future__ import annotations

from stream_processors.stage import Message
from tests.making import Key

NOWHERE = "host=127.0.0.1 port=1 dbname=x"


class AsSigningKey:
    """A test's key where the platform's is wanted."""

    def __init__(self, key: Key) -> None:
        self.key_id, self.public_der, self.sign = key.key_id, key.public_der, key.sign


def raw(message: bytes, partition: int = 0, appended_at_us: int | None = None) -> Message:
    return Message("live.raw", partition, message, appended_at_us)
