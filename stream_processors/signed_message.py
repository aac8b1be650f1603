"""The messages of `<lane>.signed`, written and read: a seal and its block, or a signed dead letter."""

from __future__ import annotations

from emr_store.signed_block import SignedBlock
from evidence.block_seal import SEAL_BYTES, BlockSeal, read_seal, travel_hash, validation_root
from evidence.dead_letter import DeadLetter, is_dead_letter, read_dead_letter
from evidence.seal import batch_id, open_body
from evidence.statement import Sign
from evidence.tree import merkle_root
from schemas.batch import read_header
from schemas.block import Block, read_block
from schemas.errors import LayoutError, LayoutReason


def sign_block(block: Block, key_id: bytes, sign: Sign, now_us: int) -> bytes:
    """The seal over a block, then the block."""
    headers = [read_header(sealed) for sealed in block.batches]
    validations = block.validations([(header.report_count, header.record_count) for header in headers])
    root = validation_root([batch_id(sealed) for sealed in block.batches], validations)
    seal = BlockSeal(len(block.batches), now_us, root, block.nomenclature_hash, travel_hash(block))
    return seal.encode(key_id, sign) + block.encode()


def open_message(message: bytes, platform_public_der: bytes) -> SignedBlock | DeadLetter:
    """What a message of `<lane>.signed` holds.

    Raises LayoutError where this platform did not sign it, or did not sign this: a broker is not trusted either.
    """
    if is_dead_letter(message):
        return read_dead_letter(message, platform_public_der)
    statement = message[:SEAL_BYTES]
    seal, signed_statement = read_seal(statement)
    if not signed_statement.is_signed_by(platform_public_der):
        raise LayoutError(LayoutReason.SIGNATURE, "seal")
    block = read_block(message[SEAL_BYTES:])
    if seal.batches != len(block.batches) or seal.nomenclature_hash != block.nomenclature_hash:
        raise LayoutError(LayoutReason.SEAL, "another block")
    opened = [open_body(sealed, checked=True) for sealed in block.batches]
    headers, tables = tuple(header for header, _ in opened), tuple(table for _, table in opened)
    reports, records = sum(map(len, tables)), sum(header.record_count for header in headers)
    if reports != len(block.flags) or records != len(block.validation_results):
        raise LayoutError(LayoutReason.COUNTS, "validation")
    signed = SignedBlock(statement, block, headers, tables)
    if seal.root != merkle_root(signed.leaves):
        raise LayoutError(LayoutReason.SEAL, "another validation")
    if seal.travel_hash != travel_hash(block):
        raise LayoutError(LayoutReason.SEAL, "other times or signatures")
    return signed
