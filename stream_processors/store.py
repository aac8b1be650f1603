"""Store: signed blocks, checked once more, into one transaction; receipts leave from its outbox after COMMIT."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from emr_store.signed_block import SignedBlock
from evidence.dead_letter import DeadLetter
from schemas.block import Block
from schemas.errors import LayoutError
from stream_processors.signed_message import open_message


@dataclass
class Contents:
    """What a chunk of messages holds; `forged` counts those of the dead letters that the platform did not sign."""

    blocks: list[SignedBlock] = field(default_factory=list)
    dead_letters: list[DeadLetter] = field(default_factory=list)
    forged: int = 0


def sort_messages(messages: Sequence[bytes], topic: str, platform_public_der: bytes) -> Contents:
    """Blocks and dead letters of a chunk. What the platform did not sign is a dead letter that nobody is told of."""
    contents = Contents()
    for message in messages:
        try:
            item = open_message(message, platform_public_der)
        except LayoutError as error:
            item = DeadLetter(error.reason, topic, None, message)
            contents.forged += 1
        if isinstance(item, DeadLetter):
            contents.dead_letters.append(item)
        else:
            contents.blocks.append(item)
    return contents


def split_by_batch(signed: SignedBlock) -> list[Block]:
    """Each batch of a block as a block of its own, validated as it was."""
    block, report, record = signed.block, 0, 0
    out: list[Block] = []
    for index, (sealed, header) in enumerate(zip(block.batches, signed.headers, strict=True)):
        of_reports = slice(report, report + header.report_count)
        of_records = slice(record, record + header.record_count)
        out.append(
            replace(
                block,
                batches=(sealed,),
                flags=block.flags[of_reports],
                validation_results=block.validation_results[of_records],
                values=block.values[of_records],
                appended_at_us=block.appended_at_us[index : index + 1],
            )
        )
        report, record = of_reports.stop, of_records.stop
    return out
