"""A proof of one act or batch from the store, as a file that needs the store no more (`evidence.log_proof`)."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import zstandard

from evidence.block_seal import validation_leaf
from evidence.checkpoint import parse_checkpoint
from evidence.log import HASH_BYTES, inclusion_path, streamed_inclusion_path, verify_inclusion
from evidence.log_proof import LogProof, ProvedBatch
from evidence.seal import batch_id
from evidence.tree import leaf_hash
from schemas.block import REPORT_ADDS_BYTES
from schemas.errors import VitalwireError
from schemas.identity import BatchId
from schemas.layout import PLAIN_BYTES_MAX, REPORTS_MAX

_FETCH = 10_000


def prove(conn: psycopg.Connection, ident: bytes) -> LogProof:
    """The proof of the act or batch of this id, at the newest checkpoint of its log. Reads every leaf hash of the log.

    Raises VitalwireError where there is none of this id, where the log does not have it yet, where the bytes of the
    batch are gone, and where the store does not hold together.
    """
    found = conn.execute(_ACT_SQL, {"ident": ident}).fetchone()
    batch = None
    if found is None:
        found = conn.execute(_BATCH_SQL, {"ident": ident}).fetchone()
        batch = _batch(conn, BatchId(ident)) if found is not None else None
    if found is None:
        raise VitalwireError(
            f"no act and no batch here has the id {ident.hex()}: `vitalwire acts list --json` and"
            " `vitalwire latest --json` have ids"
        )
    incarnation, index, entry = found
    row = conn.execute(_CHECKPOINT_SQL, [incarnation, index]).fetchone()
    if row is None or entry is None:
        raise VitalwireError(
            f"{ident.hex()} is not in the log yet, or no checkpoint is signed over it: the processors do both each"
            " second"
        )
    checkpoint = parse_checkpoint(bytes(row[0]))
    try:
        path = streamed_inclusion_path(_hashes(conn, incarnation, checkpoint.size), index, checkpoint.size)
    except ValueError:
        path = []
    proof = LogProof(index, path, bytes(row[0]), bytes(entry), batch)
    hashed = leaf_hash(proof.entry)
    if not verify_inclusion(leaf_hash=hashed, index=index, size=checkpoint.size, path=path, root=checkpoint.root):
        raise VitalwireError("the log's entries do not have the root of its checkpoint: `vitalwire verify` says which")
    return proof


def _hashes(conn: psycopg.Connection, incarnation: bytes, size: int) -> Iterator[bytes]:
    with conn.cursor(name="leaf_hashes", binary=True) as cursor:
        cursor.itersize = _FETCH
        cursor.execute(_HASHES_SQL, [incarnation, size])
        for (hashed,) in cursor:
            yield bytes(hashed)


def _batch(conn: psycopg.Connection, ident: BatchId) -> ProvedBatch:
    row = conn.execute(_BODY_SQL, {"ident": ident}).fetchone()
    if row is None:
        raise VitalwireError(
            f"the bytes of batch {ident.hex()} are gone from this store: `vitalwire verify` says whether retention took"
            " them"
        )
    sealed, validation, place, leaves = row
    hashes = [leaves[at : at + HASH_BYTES] for at in range(0, len(leaves), HASH_BYTES)]
    try:
        plain = zstandard.ZstdDecompressor().decompress(bytes(validation), _VALIDATION_BYTES_MAX)
    except zstandard.ZstdError:
        plain = b""
    if place >= len(hashes) or hashes[place] != validation_leaf(batch_id(bytes(sealed)), plain):
        raise VitalwireError(
            f"batch {ident.hex()}, or what validation found of it, is not what was sealed: see `vitalwire verify`"
        )
    return ProvedBatch(bytes(sealed), plain, place, inclusion_path(hashes, place))


_VALIDATION_BYTES_MAX = REPORT_ADDS_BYTES * REPORTS_MAX + PLAIN_BYTES_MAX
_ACT_SQL = """
SELECT e.incarnation, e.position, a.statement FROM act a LEFT JOIN log_entry e USING (act_id)
WHERE a.act_id = %(ident)s ORDER BY e.position LIMIT 1
"""
_BATCH_SQL = """
SELECT e.incarnation, e.position, s.statement FROM batch b JOIN seal s USING (seal) LEFT JOIN log_entry e USING (seal)
WHERE b.batch_id = %(ident)s ORDER BY e.position LIMIT 1
"""
_BODY_SQL = """
SELECT y.sealed, y.validation, b.seal_index, s.leaves
FROM batch b JOIN batch_body y USING (lane, batch) JOIN seal s USING (seal) WHERE b.batch_id = %(ident)s
ORDER BY b.batch LIMIT 1
"""
_CHECKPOINT_SQL = """
SELECT note FROM checkpoint WHERE incarnation = %s AND size > %s ORDER BY size DESC LIMIT 1
"""
_HASHES_SQL = """
SELECT leaf_hash FROM log_entry WHERE incarnation = %s AND position < %s ORDER BY position
"""
