"""A block with its seal and its batches opened: what the writer takes; and the batches of it that are stored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate

from evidence.block_seal import read_seal, validation_leaf
from evidence.seal import batch_id
from schemas.batch import Header, Table
from schemas.block import Block
from schemas.identity import BatchId


@dataclass(frozen=True)
class SignedBlock:
    """A block with its seal (the signed statement), and its batches opened, in order."""

    seal: bytes
    block: Block
    headers: tuple[Header, ...]
    tables: tuple[Table, ...]

    @cached_property
    def batch_ids(self) -> tuple[BatchId, ...]:
        """Of each batch."""
        return tuple(batch_id(sealed) for sealed in self.block.batches)

    @cached_property
    def validations(self) -> tuple[bytes, ...]:
        """Flags, validation results and values of each batch, as its leaf has them."""
        return tuple(self.block.validations([(h.report_count, h.record_count) for h in self.headers]))

    @cached_property
    def leaves(self) -> tuple[bytes, ...]:
        """The leaf hashes that the seal's root is over."""
        pairs = zip(self.batch_ids, self.validations, strict=True)
        return tuple(validation_leaf(ident, validation) for ident, validation in pairs)

    @cached_property
    def signed_at_us(self) -> int:
        """When the platform sealed it."""
        seal, _ = read_seal(self.seal)
        return seal.signed_at_us

    @cached_property
    def first_report(self) -> tuple[int, ...]:
        """Where each batch's reports begin among the block's."""
        return tuple(accumulate((h.report_count for h in self.headers), initial=0))

    @cached_property
    def first_record(self) -> tuple[int, ...]:
        """Where each batch's records begin among the block's."""
        return tuple(accumulate((h.record_count for h in self.headers), initial=0))


@dataclass(frozen=True)
class BlockBatch:
    """One batch of a block."""

    signed: SignedBlock
    index: int

    @property
    def header(self) -> Header:
        """Its header, read."""
        return self.signed.headers[self.index]

    @property
    def table(self) -> Table:
        """Its body, read."""
        return self.signed.tables[self.index]

    @property
    def sealed(self) -> bytes:
        """Its bytes as they came."""
        return self.signed.block.batches[self.index]

    @property
    def batch_id(self) -> BatchId:
        """Its name beyond this hospital."""
        return self.signed.batch_ids[self.index]

    @property
    def reports(self) -> slice:
        """Its reports among the block's."""
        return slice(*self.signed.first_report[self.index : self.index + 2])

    @property
    def records(self) -> slice:
        """Its records among the block's."""
        return slice(*self.signed.first_record[self.index : self.index + 2])

    @property
    def validation(self) -> bytes:
        """What was said of it: `Block.validations`."""
        return self.signed.validations[self.index]


def batches_of(blocks: Sequence[SignedBlock]) -> list[BlockBatch]:
    """Every batch of these blocks, in order."""
    return [BlockBatch(signed, index) for signed in blocks for index in range(len(signed.headers))]
