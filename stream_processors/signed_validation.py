"""The stage between `<lane>.raw` and `<lane>.signed`: what is signed is what was validated, with no broker between."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from evidence.dead_letter import DeadLetter
from evidence.receipt import ReceiptOutcome
from evidence.statement import Sign
from schemas import layout
from schemas.block import Block
from schemas.errors import LayoutError
from stream_processors.signed_message import sign_block
from stream_processors.validation import Memory, admit, validate


class RawMessage(NamedTuple):
    """A message of a raw topic, and when the broker appended it."""

    value: bytes
    appended_at_us: int


class SignedMessage(NamedTuple):
    """A message for the signed topic; `reason` is that of a dead letter, "" of a block."""

    value: bytes
    reason: str


def validate_and_sign(
    topic: str, messages: Sequence[RawMessage], memory: Memory, *, key_id: bytes, sign: Sign, now_us: int
) -> list[SignedMessage]:
    """Sealed batches to signed blocks, and to a signed dead letter each that does not hold."""
    values, appended = [m.value for m in messages], [m.appended_at_us for m in messages]
    out = []
    for item in validate(topic, values, memory, now_us, appended):
        if isinstance(item, Block):
            out.append(SignedMessage(sign_block(item, key_id, sign, now_us), ""))
        else:
            out.append(SignedMessage(item.encode(key_id, sign), item.reason))
    return out


def dead_letter(topic: str, message: bytes, reason: str, memory: Memory, now_us: int) -> DeadLetter:
    """A message that broke the stage. Its edge is told where it is a registered one's whole batch."""
    outcome = None
    try:
        admission = admit(message, memory.registry, now_us, memory.batch_layout)
        outcome = admission.outcome if admission.reason else ReceiptOutcome.QUARANTINED
    except LayoutError:
        pass  # no batch: nobody to tell
    return DeadLetter(reason, topic, outcome, message[: layout.SEALED_BYTES_MAX])
