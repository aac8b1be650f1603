"""What a receiver's answer means for what was sent."""

from __future__ import annotations

from enum import StrEnum

import msgspec


class Outcome(StrEnum):
    """Of one message or transaction."""

    ACCEPTED = "accepted"
    RETRY = "retry"  # the receiver could not now: again with back-off, then parked
    PARK = "park"  # the receiver will not have this content, or lied: a person looks at it


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """`reason` is for people and never names a patient; "" where it was accepted. `code`: MSA-1, or an HTTP status."""

    outcome: Outcome
    code: str
    reason: str
