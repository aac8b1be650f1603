"""What is proved of kept bytes: pure, works offline on what somebody hands over.

Each function takes what a store has and what was signed, and answers in words what does not hold between them. Which
rows those are, and in which order they are read, the store knows (`emr_store.proof`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple
from uuid import UUID

from evidence.block_seal import BlockSeal, read_seal
from evidence.checkpoint import Checkpoint, read_checkpoint
from evidence.log import Frontier
from evidence.seal import FIRST_PREVIOUS, batch_id, signed_by
from evidence.signature import key_id
from evidence.tree import merkle_root
from schemas.batch import Header
from schemas.errors import LayoutError, LayoutReason
from schemas.identity import BatchId, BatchKey, EdgeId, SpoolId
from schemas.report import Lane


class Finding(NamedTuple):
    """Something that does not hold: where, and what."""

    where: str
    what: str


class OutsideCheckpoint(NamedTuple):
    """A checkpoint that was kept outside the database: the name of its file, and the signed note."""

    name: str
    note: bytes


@dataclass(frozen=True)
class Trust:
    """What is believed because it did not come from the database: public keys (SubjectPublicKeyInfo) and checkpoints.

    Empty: nothing was given, and what then rests on the database's own word is not proved.
    """

    platform_keys: tuple[bytes, ...] = ()
    edge_keys: tuple[bytes, ...] = ()
    checkpoints: tuple[OutsideCheckpoint, ...] = ()


class KeyRing:
    """Public keys by their id."""

    def __init__(self, keys: Iterable[bytes]) -> None:
        self._by_id = {key_id(public_der): public_der for public_der in keys}

    def __contains__(self, ident: bytes) -> bool:
        return ident in self._by_id

    def __len__(self) -> int:
        return len(self._by_id)

    def get(self, ident: bytes) -> bytes | None:
        """The key of this id."""
        return self._by_id.get(ident)

    def open_checkpoint(self, note: bytes) -> Checkpoint:
        """The checkpoint that one of these keys signed; raises LayoutError where none did."""
        problem = LayoutError(LayoutReason.SIGNATURE, "no key to check it by")
        for public_der in self._by_id.values():
            try:
                return read_checkpoint(note, public_der)
            except LayoutError as error:
                problem = error
        raise problem


class RootClaim(NamedTuple):
    """That the log had this root at this size; `who` names where that is written."""

    who: str
    size: int
    root: bytes


@dataclass
class LogReplay:
    """A log built anew, leaf by leaf, and held against every root that somebody signed or kept."""

    frontier: Frontier
    claims: dict[int, list[RootClaim]] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    proved: int = 0

    def expect(self, claim: RootClaim) -> None:
        """Hold the log against this root when it has this size; a log that is longer already is no proof of it."""
        self.claims.setdefault(claim.size, []).append(claim)
        if claim.size == self.frontier.size:
            self._compare()

    def append(self, leaf_hash: bytes) -> None:
        """The next leaf."""
        self.frontier.append(leaf_hash)
        if self.frontier.size in self.claims:
            self._compare()

    def _compare(self) -> None:
        for claim in self.claims.pop(self.frontier.size):
            if claim.root == self.frontier.root():
                self.proved += 1
                continue
            what = f"the log's first {claim.size} entries are not those that it was signed over: the log was changed"
            self.findings.append(Finding(claim.who, what))

    def finish(self) -> None:
        """Roots of a larger log than there is: what came after was taken away."""
        for size in sorted(self.claims):
            for claim in self.claims[size]:
                what = (
                    f"it was signed over {size} entries of the log, and the log has {self.frontier.size}:"
                    " the database was put back to an earlier state"
                )
                self.findings.append(Finding(claim.who, what))
        self.claims.clear()


class CheckedCheckpoints(NamedTuple):
    """What does not hold of a log's checkpoints, and those that the platform's key signed."""

    findings: list[Finding]
    signed: list[Checkpoint]


def check_checkpoints(notes: Sequence[tuple[int, bytes]], origin: str, keys: KeyRing) -> CheckedCheckpoints:
    """The checkpoints that a store keeps of one log, (size column, note) by size: clocks may be set back."""
    found: list[Finding] = []
    signed: list[Checkpoint] = []
    last = -1
    for size, note in notes:
        where = f"checkpoint at size {size} of {origin}"
        try:
            checkpoint = keys.open_checkpoint(note)
        except LayoutError as error:
            found.append(Finding(where, f"the platform's key did not sign it ({error})"))
            continue
        signed.append(checkpoint)
        if (checkpoint.size, checkpoint.origin) != (size, origin):
            found.append(Finding(where, f"it speaks of {checkpoint.origin} at size {checkpoint.size}"))
        if checkpoint.size < last:
            found.append(Finding(where, f"it is smaller than the one before it ({last})"))
        last = max(last, checkpoint.size)
    return CheckedCheckpoints(found, signed)


def check_seal(where: str, statement: bytes, leaves: Mapping[int, bytes], keys: KeyRing) -> list[Finding]:
    """A seal: its signature, and its root over the validation leaves of its batches (by their place in the seal)."""
    try:
        seal, signed_statement = read_seal(statement)
    except LayoutError as error:
        return [Finding(where, f"its bytes are damaged ({error})")]
    found: list[Finding] = []
    public_der = keys.get(signed_statement.key_id)
    if public_der is None:
        found.append(Finding(where, "a key that is not the platform's signed it"))
    elif not signed_statement.is_signed_by(public_der):
        found.append(Finding(where, "its signature does not hold: it was changed after it was signed"))
    missing = [index for index in range(seal.batches) if index not in leaves]
    if missing or len(leaves) != seal.batches:
        found.append(Finding(where, _missing_batches(seal, missing, leaves)))
    elif merkle_root([leaves[index] for index in range(seal.batches)]) != seal.root:
        what = "its batches, or the validation results kept with them, are not those that it was signed over"
        found.append(Finding(where, what))
    return found


def _missing_batches(seal: BlockSeal, missing: Sequence[int], leaves: Mapping[int, bytes]) -> str:
    if not missing:
        return f"it was signed over {seal.batches} batches, and {len(leaves)} say that they are its"
    places = ", ".join(str(index + 1) for index in missing[:5])
    return f"of the {seal.batches} batches that it was signed over {len(missing)} are gone (place {places})"


CALENDAR_US = (-62_135_596_800_000_000, 253_402_300_799_999_999)  # the years 1 to 9999


class BatchHead(NamedTuple):
    """What the columns of a batch's row say of it."""

    batch_id: BatchId
    edge: EdgeId
    spool: SpoolId
    lane: int
    batch_no: int
    created_at_us: int
    reports: int
    records: int


def check_head(head: BatchHead, header: Header, sealed: bytes, keys: KeyRing) -> list[str]:
    """A batch's header: its edge's signature, and the columns that people find it by."""
    found: list[str] = []
    if batch_id(sealed) != head.batch_id:
        found.append("its bytes are not those of the batch id in its row")
    public_der = keys.get(header.key_id)
    if public_der is None:
        found.append(f"it names the key {header.key_id.hex()[:16]}, which is no registered edge's")
    elif not signed_by(sealed, public_der):
        found.append("its edge's signature does not hold")
    # A clock may say anything: what no calendar has is kept as its first or last moment.
    created_at_us = min(max(header.created_at_us, CALENDAR_US[0]), CALENDAR_US[1])
    signed_fields = BatchHead(
        head.batch_id, header.edge, header.spool, int(header.lane), header.batch_no, created_at_us,
        header.report_count, header.record_count,
    )  # fmt: skip
    for name, kept, signed in zip(BatchHead._fields, head, signed_fields, strict=True):
        if kept != signed:
            found.append(f"its row's {name} is not what its edge signed")
    return found


class StreamLinks:
    """The hash of the header before, in each batch of a stream: batches may come in any order.

    A batch whose header names none says nothing of the one before. What is held is one end a stream, and one for each
    gap.
    """

    def __init__(self) -> None:
        self._heads: dict[BatchKey, set[BatchId]] = {}
        self._expected: dict[BatchKey, list[BatchId]] = {}
        self.checked = 0

    def check(self, header: Header, ident: BatchId) -> list[str]:
        """Follow the links from this batch to the one before it, and from the one after it to this."""
        found: list[str] = []
        before, here = BatchKey(header.stream, header.batch_no - 1), header.batch_key
        if before in self._heads:
            self.checked += 1
            heads = self._heads.pop(before)
            if header.previous not in (*heads, FIRST_PREVIOUS):
                found.append(f"the batch before it in its stream, number {header.batch_no - 1}, is another than signed")
        elif header.previous != FIRST_PREVIOUS:
            self._expected.setdefault(before, []).append(header.previous)
        expected = self._expected.pop(here, None)
        if expected is None:
            self._heads.setdefault(here, set()).add(ident)
            return found
        self.checked += 1
        if ident not in expected:
            found.append(f"the batch after it in its stream, number {header.batch_no + 1}, was signed after another")
        return found


def batch_words(ident: BatchId, edge: EdgeId, lane: int, batch_no: int) -> str:
    """A batch in words that name the same one in every copy of the record."""
    return f"batch {ident.hex()} ({stream_words(edge, lane, batch_no)})"


def stream_words(edge: EdgeId, lane: int, batch_no: int) -> str:
    """A batch in words, as its edge knows it."""
    name = Lane(lane).name.lower() if lane in {int(known) for known in Lane} else f"lane {lane}"
    return f"edge {str(UUID(bytes=edge))[:8]}, {name}, number {batch_no}"
