"""One entry of the log as a file that proves it to a stranger, without us and without the database.

The form is C2SP `tlog-proof` version 1 (read there, not inferred): the entry's index, its inclusion path and the signed
checkpoint, all of which other tools check as well. What they need besides, the entry itself, stands in the line
`extra`, which nobody trusts before it is checked: base64 of JSON with

    entry   the leaf's data, base64: a signed act, or a signed seal
    batch   of a seal that was asked for by one of its batches, else null:
            sealed      the batch as its edge signed it, base64
            validation  its flags, validation results and values, as its leaf in the seal has them, base64
            place       of that leaf, from 0
            path        from that leaf to the seal's root, base64 each, the leaf's sibling first
"""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from dataclasses import dataclass, field

import msgspec

from evidence.act import ACT_MAGIC, Act, read_act
from evidence.block_seal import SEAL_MAGIC, BlockSeal, read_seal, validation_leaf
from evidence.checkpoint import Checkpoint, parse_checkpoint
from evidence.log import HASH_BYTES, verify_inclusion
from evidence.seal import batch_id, open_sealed, signed_by
from evidence.statement import MAGIC_BYTES, Statement
from evidence.tree import leaf_hash
from evidence.verification import KeyRing
from schemas.batch import Header, Table
from schemas.block import validation_arrays
from schemas.errors import LayoutError, LayoutReason
from schemas.identity import BatchId

FIRST_LINE = "c2sp.org/tlog-proof@v1"
PROOF_BYTES_MAX = 16 * 1024 * 1024  # the largest batch, twice in base64, is less
_INDEX = re.compile(r"index (0|[1-9][0-9]{0,18})")


class ProvedBatch(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A batch, and where its leaf stands in the seal."""

    sealed: bytes
    validation: bytes
    place: int
    path: list[bytes]


class _Extra(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    entry: bytes
    batch: ProvedBatch | None


@dataclass(frozen=True)
class LogProof:
    """What a file says, nothing of it checked. `note` is the signed checkpoint."""

    index: int
    path: list[bytes]
    note: bytes
    entry: bytes
    batch: ProvedBatch | None

    def encode(self) -> bytes:
        """The file."""
        extra = b64encode(msgspec.json.encode(_Extra(self.entry, self.batch))).decode()
        hashes = [b64encode(each).decode() for each in self.path]
        lines = [FIRST_LINE, f"extra {extra}", f"index {self.index}", *hashes, "", ""]
        return "\n".join(lines).encode() + self.note


def read_proof(data: bytes) -> LogProof:
    """A file as `LogProof.encode` wrote it, its form checked; raises LayoutError for anything else."""
    head, blank_line, note = data.partition(b"\n\n")
    try:
        lines = head.decode("ascii").split("\n")
    except UnicodeDecodeError as error:
        raise LayoutError(LayoutReason.TEXT, "no proof: it is not text") from error
    if len(data) > PROOF_BYTES_MAX or not blank_line or lines[0] != FIRST_LINE or len(lines) < 3:
        raise LayoutError(LayoutReason.TEXT, f"no proof: its first line is not {FIRST_LINE}, or it is cut off")
    index = _INDEX.fullmatch(lines[2])
    if index is None or not lines[1].startswith("extra "):
        raise LayoutError(LayoutReason.TEXT, "no proof of ours: it has no lines `extra` and `index`")
    path = [_decode_base64(line) for line in lines[3:]]
    try:
        extra = msgspec.json.decode(_decode_base64(lines[1].removeprefix("extra ")), type=_Extra)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise LayoutError(LayoutReason.TEXT, "no proof of ours: its line `extra` has another form") from error
    if any(len(each) != HASH_BYTES for each in path):
        raise LayoutError(LayoutReason.SIZE, "hash of an inclusion path")
    return LogProof(int(index[1]), path, note, extra.entry, extra.batch)


def _decode_base64(encoded: str) -> bytes:
    try:
        return b64decode(encoded, validate=True)
    except ValueError as error:
        raise LayoutError(LayoutReason.TEXT, "base64 in a proof") from error


@dataclass
class ProofResult:
    """What a proof shows: what does not hold, in words; and what was read, whether it holds or not.

    `edge_signed` None: no key was given to check it by.
    """

    checkpoint: Checkpoint
    findings: list[str] = field(default_factory=list)
    act: Act | None = None
    seal: BlockSeal | None = None
    batch_id: BatchId | None = None
    header: Header | None = None
    table: Table | None = None
    edge_signed: bool | None = None


def check_proof(proof: LogProof, platform_keys: KeyRing, edge_keys: KeyRing) -> ProofResult:
    """Hold a proof against keys that are believed. Raises LayoutError where a part of it cannot be read at all."""
    result = ProofResult(parse_checkpoint(proof.note))
    try:
        platform_keys.open_checkpoint(proof.note)
    except LayoutError as error:
        result.findings.append(f"the platform's key did not sign the checkpoint ({error})")
    is_included = verify_inclusion(
        leaf_hash=leaf_hash(proof.entry), index=proof.index, size=result.checkpoint.size, path=proof.path,
        root=result.checkpoint.root,
    )  # fmt: skip
    if not is_included:
        result.findings.append(f"the entry is not number {proof.index} of the log that the checkpoint is over")
    if proof.entry[:MAGIC_BYTES] == ACT_MAGIC:
        result.act, signed_statement = read_act(proof.entry)
    elif proof.entry[:MAGIC_BYTES] == SEAL_MAGIC:
        result.seal, signed_statement = read_seal(proof.entry)
    else:
        raise LayoutError(LayoutReason.MAGIC, "the entry is neither an act nor a seal")
    if not _signed_by_one(signed_statement, platform_keys):
        result.findings.append("the platform's key did not sign the entry")
    if proof.batch is not None:
        _check_batch(proof.batch, edge_keys, result)
    return result


def _signed_by_one(signed_statement: Statement, keys: KeyRing) -> bool:
    public_der = keys.get(signed_statement.key_id)
    return public_der is not None and signed_statement.is_signed_by(public_der)


def _check_batch(batch: ProvedBatch, edge_keys: KeyRing, result: ProofResult) -> None:
    if result.seal is None:
        raise LayoutError(LayoutReason.TEXT, "a batch beside an act: no act holds one")
    result.header, result.table = open_sealed(batch.sealed)
    validation_arrays(batch.validation, result.header.report_count, result.header.record_count)
    result.batch_id = batch_id(batch.sealed)
    is_in_seal = verify_inclusion(
        leaf_hash=validation_leaf(result.batch_id, batch.validation), index=batch.place, size=result.seal.batches,
        path=batch.path, root=result.seal.root,
    )  # fmt: skip
    if not is_in_seal:
        result.findings.append("the batch, or what validation found of it, is not what the seal was signed over")
    if not len(edge_keys):
        return
    public_der = edge_keys.get(result.header.key_id)
    result.edge_signed = public_der is not None and signed_by(batch.sealed, public_der)
    if not result.edge_signed:
        result.findings.append("none of the edges' keys that were given signed the batch")
