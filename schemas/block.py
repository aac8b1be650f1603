"""A block: sealed batches as they came, beside them a validation result and a value in the canonical unit for each
record.

What `validate` writes, signed, to `<lane>.signed`; what `alarm` and the transaction work on. The other message of that
topic is `evidence.dead_letter`.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum, IntFlag
from typing import Any

import numpy as np
from numpy.typing import NDArray

from schemas import layout
from schemas.errors import LayoutError, LayoutReason

BLOCK_MAGIC = b"VWBLOCK\x02"
BLOCK_BYTES = 512 * 1024  # sealed bytes that a stage works at once
# A block is closed before what it holds, all that is added to its batches included, is more than this. The largest
# batch that there can be, alone, is less: 1.1 MiB sealed, 0.4 MiB of flags, validation results and values.
BLOCK_MESSAGE_BYTES = 1536 * 1024
BLOCK_BATCHES_MAX = 4096
BATCH_ADDS_BYTES = 4 + 8  # its size and when it was appended
REPORT_ADDS_BYTES = 2  # flags
RECORD_ADDS_BYTES = 1 + 8  # validation result and value
_HEAD = struct.Struct("<8s32sqIIII")  # magic · nomenclature hash · validated_at · batches, reports, records · zeros
BLOCK_HEAD_BYTES = _HEAD.size
# Flags, validation results and values of the largest batch.
VALIDATION_BYTES_MAX = REPORT_ADDS_BYTES * layout.REPORTS_MAX + RECORD_ADDS_BYTES * (
    layout.PLAIN_BYTES_MAX // layout.RECORD.itemsize + layout.RECORDS_PER_REPORT_MAX
)


class ValidationResult(IntEnum):
    """What became of a record; the tens are the class that the ledger counts (see `result_class_counts`)."""

    ACCEPTED = 0
    ACCEPTED_TEXT = 1  # a text with a known code, of a metric that is no number
    ACCEPTED_SAMPLES = 2
    ACCEPTED_BOUND = 3  # below or above a number: never in a mean
    ACCEPTED_CODE = 4  # an enumeration with a known code
    MISSING = 10  # the device gave no reading
    UNMAPPED_CODE = 20
    UNMAPPED_TEXT = 21  # a text without a known code
    DOUBTFUL_UNIT = 30  # unit unknown, of another dimension than the metric, or in contradiction
    DOUBTFUL_RANGE = 31  # outside what is physically possible
    DOUBTFUL_VALIDITY = 32  # the device itself doubts it
    DOUBTFUL_CLOCK = 33  # its moment lies in the future, or a stated time cannot be read
    DOUBTFUL_TEXT = 34  # a text where the metric is a number, or one that could not be decoded
    DOUBTFUL_TRAINING = 35  # a training or test system said it
    WITHDRAWN = 36  # it takes back what was sent of this moment
    NOT_A_VALUE = 90  # a record of an event, context, setting, alarm, description or rejected report

    @property
    def slug(self) -> str:
        """As scripts and people read it: `doubtful-unit`."""
        return self.name.lower().replace("_", "-")


class ReportFlag(IntFlag):
    """What is odd about a report's moment or order; a flag never keeps it out."""

    LATE = 1  # observed more than 10 minutes before it was received
    FUTURE = 2  # observed more than 1 minute after it was received
    DRIFT = 4  # device clock and edge clock differ by more than 5 s
    NO_TIME = 8  # the message carried none: observed_at = received_at
    GAP = 16  # an earlier report of this device and spool has not come on this lane yet
    DOUBTFUL_TIME = 32  # a stated time could not be read: observed_at is the next readable one
    EXPIRED_KEY = 64  # its edge's key had expired when it came, and had not yet when the batch was made
    FILED_AT_RECEIPT = 128  # observed at a moment that no clock can mean: filed under its receipt (schemas/filed_at.py)


# What a batch's flags say of when it came, not of what it holds: each is on all reports of a batch, or on none.
CONTEXT_FLAGS = ReportFlag.GAP | ReportFlag.EXPIRED_KEY


@dataclass(frozen=True)
class Block:
    """Sealed batches and what was validated of their reports (flags) and records (validation results, values).

    `appended_at_us` is when the broker appended each batch to its raw topic: its own word, which no signature of ours
    makes any truer, but which nobody changes once the block is sealed (`evidence.block_seal.travel_hash`). Alarms alone
    use it (what is old does not ring), and it is not stored.
    """

    nomenclature_hash: bytes
    validated_at_us: int
    batches: tuple[bytes, ...]
    flags: NDArray[Any]  # u2, a report each: ReportFlag
    validation_results: NDArray[Any]  # u1, a record each: ValidationResult
    values: NDArray[Any]  # f8, a record each, in the metric's canonical unit; NaN where there is none
    appended_at_us: NDArray[Any]  # i8, a batch each

    @property
    def validation(self) -> bytes:
        """Flags, validation results and values of all batches, as they travel behind them."""
        return self.flags.tobytes() + self.validation_results.tobytes() + self.values.tobytes()

    def validations(self, counts: Sequence[tuple[int, int]]) -> list[bytes]:
        """Flags, validation results and values of each batch, as its leaf in the seal has it; `counts`: reports,
        records."""
        out, report, record = [], 0, 0
        for reports, records in counts:
            flags, of_records = self.flags[report : report + reports], slice(record, record + records)
            out.append(
                flags.tobytes() + self.validation_results[of_records].tobytes() + self.values[of_records].tobytes()
            )
            report, record = report + reports, record + records
        return out

    def encode(self) -> bytes:
        """The message."""
        head = _HEAD.pack(
            BLOCK_MAGIC, self.nomenclature_hash, self.validated_at_us,
            len(self.batches), len(self.flags), len(self.validation_results), 0,
        )  # fmt: skip
        sizes = np.array([len(b) for b in self.batches], "<u4").tobytes()
        appended = self.appended_at_us.astype("<i8").tobytes()
        return b"".join((head, sizes, appended, *self.batches, self.validation))


def bytes_in_block(sealed_bytes: int, reports: int, records: int) -> int:
    """How many bytes of a block's message are of one batch: its own, and what is added to them."""
    return sealed_bytes + BATCH_ADDS_BYTES + REPORT_ADDS_BYTES * reports + RECORD_ADDS_BYTES * records


def validation_arrays(data: bytes, reports: int, records: int) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Flags, validation results and values of `Block.validation`, or of one batch; raises LayoutError on a wrong
    size."""
    if len(data) != 2 * reports + 9 * records:
        raise LayoutError(LayoutReason.COUNTS, "validation")
    return (
        np.frombuffer(data, "<u2", reports),
        np.frombuffer(data, "u1", records, 2 * reports),
        np.frombuffer(data, "<f8", records, 2 * reports + records),
    )


def read_block(message: bytes) -> Block:
    """A block as `Block.encode` wrote it; raises LayoutError for anything else."""
    if len(message) < _HEAD.size or message[:8] != BLOCK_MAGIC:
        raise LayoutError(LayoutReason.MAGIC)
    _, nomenclature, validated_at, batches, reports, records, zero = _HEAD.unpack_from(message)
    first_batch = _HEAD.size + BATCH_ADDS_BYTES * batches
    if zero or not 0 < batches <= BLOCK_BATCHES_MAX or first_batch > len(message):
        raise LayoutError(LayoutReason.COUNTS)
    sizes = np.frombuffer(message, "<u4", batches, _HEAD.size).astype(np.int64)
    appended = np.frombuffer(message, "<i8", batches, _HEAD.size + 4 * batches)
    ends = first_batch + np.cumsum(sizes)
    if int(ends[-1]) > len(message) or int(sizes.max()) > layout.SEALED_BYTES_MAX:
        raise LayoutError(LayoutReason.COUNTS, "batches")
    sealed = tuple(message[end - size : end] for end, size in zip(ends.tolist(), sizes.tolist(), strict=True))
    arrays = validation_arrays(message[int(ends[-1]) :], reports, records)
    return Block(nomenclature, validated_at, sealed, *arrays, appended_at_us=appended)


def result_class_counts(validation_results: NDArray[Any]) -> NDArray[Any]:
    """i64[4]: accepted, missing, unmapped, doubtful, which a stored report's values add up to; NOT_A_VALUE is none."""
    counts: NDArray[Any] = np.bincount(validation_results // 10, minlength=10)[:4]
    return counts


def chunked(sizes: Sequence[int], bytes_max: int) -> Iterator[slice]:
    """Consecutive messages of these sizes, cut at so many bytes or BLOCK_BATCHES_MAX; one message at the least."""
    start = total = 0
    for i, size in enumerate(sizes):
        if i > start and (total + size > bytes_max or i - start >= BLOCK_BATCHES_MAX):
            yield slice(start, i)
            start, total = i, 0
        total += size
    if start < len(sizes):
        yield slice(start, len(sizes))
