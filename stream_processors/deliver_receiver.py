"""What a receiver of messages is, whatever its protocol (deliver_mllp.py, deliver_fhir.py)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol
from uuid import UUID

from adapters.emr.answer import Answer

ANSWER_BYTES_MAX = 64 * 1024  # of an answer, kept and read
FRAME_BYTES_MAX = 1024 * 1024  # a longer answer is none


@dataclass(frozen=True)
class Outgoing:
    """A message that is to be sent. `resend`: it may have been sent before, and its answer was lost."""

    delivery: int
    patient: str
    control_id: str
    body: bytes
    attempts: int
    said: tuple[UUID, ...]
    said_versions: tuple[int, ...]
    resend: bool


@dataclass(frozen=True)
class Reply:
    """What a receiver answered, and its bytes. `receiver_versions`: its own numbers, by our ids."""

    answer: Answer
    raw: bytes
    receiver_versions: Mapping[UUID, str] = field(default_factory=dict)


class AwayError(Exception):
    """The receiver did not answer. `timed_out`: it took the message, or may have, and said nothing in time."""

    def __init__(self, reason: str, *, timed_out: bool = False) -> None:
        super().__init__(reason)
        self.reason, self.timed_out = reason, timed_out


class Receiver(Protocol):
    """One connection: a message at a time."""

    async def send(self, outgoing: Outgoing) -> Reply:
        """Send it and wait for the answer. Raises AwayError."""

    async def close(self) -> None:
        """End the connection."""
