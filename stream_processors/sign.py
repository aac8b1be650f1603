"""Sign: the platform's word over {block, hash of verdicts, hash of nomenclature}. Stateless.

The seal goes before the block.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256

from evidence.seal import batch_id
from evidence.statements import Seal, block_id, sign_seal
from schemas.block import QUARANTINE_MAGIC, read_block


def sign(message: bytes, key_id: bytes, signer: Callable[[bytes], bytes], now_us: int) -> bytes:
    """The message for `<lane>.signed`; a quarantined one passes as it is. Raises LayoutError for anything else."""
    if message.startswith(QUARANTINE_MAGIC):
        return message
    block = read_block(message)
    seal = Seal(
        key_id,
        block_id([batch_id(b) for b in block.batches]),
        sha256(block.judgement).digest(),
        block.nomenclature_hash,
        now_us,
    )
    return sign_seal(seal, signer) + message
