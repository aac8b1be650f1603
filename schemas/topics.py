"""Topic names and their settings: the one table that processes meet on."""

from hashlib import sha256
from typing import NamedTuple

from schemas.identity import EdgeId
from schemas.report import Lane


class Topic(NamedTuple):
    """A topic's name and what the broker is told of it; lanes have equal partitions, so order holds throughout."""

    name: str
    retention_ms: int
    message_bytes_max: int
    partitions: int = 4


HOUR_MS = 3_600_000
# Downstream of `validate` a message is a block: the sealed batches beside their validation, signed.
MESSAGE_BYTES_MAX = 2 * 1024 * 1024
RECEIPTS = "receipts"
RECEIPT_PARTITIONS = 64  # an edge reads one of them
ALERTS = "alerts"  # signed transitions
ALERTS_OPEN = "alerts.open"  # key = device: its whole set of open episodes, so that the newest message is the truth


def raw(lane: Lane) -> str:
    """Where edges publish sealed batches, keyed by edge."""
    return f"{lane.name.lower()}.raw"


def signed(lane: Lane) -> str:
    """Validated and signed blocks, and dead letters; store and alarm read it."""
    return f"{lane.name.lower()}.signed"


def receipt_partition(edge: EdgeId, partitions: int = RECEIPT_PARTITIONS) -> int:
    """The partition of `receipts` that this edge reads: the same for whoever sends, whatever its client."""
    return int.from_bytes(sha256(edge).digest()[:4], "big") % partitions


TOPICS: tuple[Topic, ...] = (
    *(Topic(name(lane), 24 * HOUR_MS, MESSAGE_BYTES_MAX) for lane in Lane for name in (raw, signed)),
    Topic(RECEIPTS, 24 * HOUR_MS, 64 * 1024, partitions=RECEIPT_PARTITIONS),
    Topic(ALERTS, 7 * 24 * HOUR_MS, 256 * 1024),
    Topic(ALERTS_OPEN, 7 * 24 * HOUR_MS, 256 * 1024),
)
