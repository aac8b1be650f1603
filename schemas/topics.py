"""Topic names and their settings: the one table that processes meet on."""

from typing import NamedTuple

from schemas.report import Lane


class Topic(NamedTuple):
    """A topic's name and what the broker is told of it; partitions are equal for all, so order holds throughout."""

    name: str
    retention_ms: int
    message_bytes_max: int
    partitions: int = 4


HOUR_MS = 3_600_000
# Downstream of validate a message is a block: the sealed batches beside their verdicts.
MESSAGE_BYTES_MAX = 2 * 1024 * 1024
RECEIPTS = "receipts"
ALERTS = "alerts"


def raw(lane: Lane) -> str:
    """Where edges publish sealed batches, keyed by edge."""
    return f"{lane.name.lower()}.raw"


def valid(lane: Lane) -> str:
    """Blocks with verdicts; alert and sign read it."""
    return f"{lane.name.lower()}.valid"


def signed(lane: Lane) -> str:
    """Signed blocks; store reads it."""
    return f"{lane.name.lower()}.signed"


TOPICS: tuple[Topic, ...] = (
    *(
        Topic(name(lane), 24 * HOUR_MS, MESSAGE_BYTES_MAX)
        for lane in (Lane.LIVE, Lane.BACKFILL, Lane.WAVEFORM)
        for name in (raw, valid, signed)
    ),
    Topic(RECEIPTS, 24 * HOUR_MS, 64 * 1024),
    Topic(ALERTS, 7 * 24 * HOUR_MS, 256 * 1024),
)
