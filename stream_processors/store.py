"""Store: signed blocks, checked once more, into one transaction; receipts leave from its outbox after COMMIT."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from hashlib import sha256

from emr_store.writer import SignedBlock
from evidence.seal import batch_id, open_body
from evidence.statements import SEAL_BYTES, block_id, read_seal, seal_signed_by
from schemas.block import QUARANTINE_MAGIC, Block, Quarantine, read_block, read_quarantine
from schemas.errors import LayoutError


def open_message(message: bytes, platform_public_der: bytes) -> SignedBlock | Quarantine:
    """What a message of `<lane>.signed` holds.

    Raises LayoutError where this platform did not sign it, or did not sign this: a broker is not trusted either.
    """
    if message.startswith(QUARANTINE_MAGIC):
        return read_quarantine(message)
    seal, rest = message[:SEAL_BYTES], message[SEAL_BYTES:]
    statement = read_seal(seal)
    if not seal_signed_by(seal, platform_public_der):
        raise LayoutError("signature", "seal")
    block = read_block(rest)
    if statement.block_id != block_id([batch_id(b) for b in block.batches]):
        raise LayoutError("seal", "another block")
    if statement.judgement_hash != sha256(block.judgement).digest():
        raise LayoutError("seal", "another judgement")
    opened = [open_body(b, checked=True) for b in block.batches]
    headers, tables = tuple(h for h, _ in opened), tuple(t for _, t in opened)
    if sum(map(len, tables)) != len(block.flags) or sum(h.record_count for h in headers) != len(block.verdicts):
        raise LayoutError("counts", "judgement")
    return SignedBlock(seal, block, headers, tables)


def apart(signed: SignedBlock) -> list[Block]:
    """Each batch of a block as a block of its own, judged as it was."""
    block, report, record = signed.block, 0, 0
    out: list[Block] = []
    for sealed, header in zip(block.batches, signed.headers, strict=True):
        of_reports = slice(report, report + header.report_count)
        of_records = slice(record, record + header.record_count)
        flags, verdicts, values = block.flags[of_reports], block.verdicts[of_records], block.values[of_records]
        out.append(replace(block, batches=(sealed,), flags=flags, verdicts=verdicts, values=values))
        report, record = of_reports.stop, of_records.stop
    return out


def sort_messages(
    messages: Sequence[bytes], topic: str, platform_public_der: bytes
) -> tuple[list[SignedBlock], list[Quarantine]]:
    """Blocks and quarantined messages of a lot; what is neither is quarantined with its reason."""
    blocks: list[SignedBlock] = []
    quarantined: list[Quarantine] = []
    for message in messages:
        try:
            item = open_message(message, platform_public_der)
        except LayoutError as error:
            item = Quarantine(error.reason, topic, False, message)
        if isinstance(item, Quarantine):
            quarantined.append(item)
        else:
            blocks.append(item)
    return blocks, quarantined
