"""A batch sealed and opened: leaves, root, header, signature."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import sha256

from evidence import signature
from evidence.tree import leaf_hash, merkle_root, table_leaves
from schemas import batch, layout
from schemas.batch import Header, Table
from schemas.errors import LayoutError, LayoutReason
from schemas.identity import BatchId, EdgeId, SpoolId
from schemas.report import Lane

FIRST_PREVIOUS = BatchId(bytes(32))  # the "header before" of a stream's first batch


def seal(
    encoded_reports: Sequence[bytes],
    *,
    lane: Lane,
    edge: EdgeId,
    spool: SpoolId,
    batch_no: int,
    previous: BatchId,
    created_at_us: int,
    config_hash: bytes,
    key_id: bytes,
    sign: Callable[[bytes], bytes],
) -> bytes:
    """Seal encoded reports (leaf contents) into the bytes that travel; `sign` gives r || s over the header."""
    body, record_count, tail_bytes = batch.plain_body(encoded_reports)
    compressed = batch.compress(body)
    header = Header(
        lane, edge, spool, batch_no, previous, created_at_us, len(encoded_reports), record_count, tail_bytes, key_id,
        config_hash, merkle_root([leaf_hash(bytes(encoded)) for encoded in encoded_reports]),
        sha256(compressed).digest(),
    ).encode()  # fmt: skip
    return header + sign(header) + compressed


def batch_id(sealed: bytes) -> BatchId:
    """H(header): what receipts, seals and people name the batch by."""
    return BatchId(sha256(sealed[: layout.HEADER_BYTES]).digest())


def signed_by(sealed: bytes, public_der: bytes) -> bool:
    """Whether this key signed the batch's header, and the header names this key."""
    header, sig = sealed[: layout.HEADER_BYTES], sealed[layout.HEADER_BYTES : layout.BODY_START]
    return signature.verify(public_der, sig, header)


def open_body(sealed: bytes, *, checked: bool = False) -> tuple[Header, Table]:
    """Header and tables of a sealed batch whose body is the one its header speaks of; raises LayoutError otherwise.

    The signature is the caller's question (`signed_by`); the root is not computed again (`open_sealed`). `checked`
    says that what it holds was looked at before a seal was put to it, or that the caller does it (`batch.check`).
    """
    header = batch.read_header(sealed)
    if sha256(memoryview(sealed)[layout.BODY_START :]).digest() != header.body_hash:
        raise LayoutError(LayoutReason.BODY_HASH)
    return header, batch.read_body(header, sealed, checked=checked)


def open_sealed(sealed: bytes, *, checked: bool = False) -> tuple[Header, Table]:
    """As `open_body`, and the root over the plain bytes is the header's."""
    header, table = open_body(sealed, checked=checked)
    if merkle_root(table_leaves(table)) != header.root:
        raise LayoutError(LayoutReason.ROOT)
    return header, table
