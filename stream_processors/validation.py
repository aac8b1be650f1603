"""Validate: batches in, blocks with a validation result for each value out. Pure; numpy over a whole block.

An edge must be registered, its signature hold and its root match; then each record is validated: known code, unit to
the canonical one by literal factor, physically possible range, the device's own word, clocks. Nothing vanishes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from evidence.dead_letter import DeadLetter
from evidence.receipt import NEWER_LAYOUT, ReceiptOutcome
from evidence.seal import open_sealed, signed_by
from schemas import layout
from schemas.batch import Header, Table, check, layout_number, read_any_header
from schemas.block import (
    BLOCK_HEAD_BYTES,
    BLOCK_MESSAGE_BYTES,
    Block,
    ReportFlag,
    ValidationResult,
    bytes_in_block,
    chunked,
)
from schemas.errors import LayoutError
from schemas.filed_at import filed_at_us
from schemas.identity import EdgeId, StreamKey
from schemas.nomenclature import METRIC_BY_CODE, METRICS, NOMENCLATURE_HASH, UNIT_BY_CODE, storage
from schemas.report import ClockQuality, Kind, Mark, RecordKind, Validity

_Array = NDArray[Any]
LATE_US = 10 * 60 * 1_000_000  # observed this long before it was received: kept as late
FUTURE_US = 60 * 1_000_000  # observed this long after it was received: its moment is not believed
DRIFT_US = 5 * 1_000_000  # device clock and edge clock apart
KEY_GRACE_US = 30 * 24 * 3600 * 1_000_000  # a key that expired still speaks so long for batches of before
STREAMS_MAX = 10_000  # remembered for gaps; an edge has a few


Seen = dict[StreamKey, int]  # the last batch number of each


class EdgeKey(NamedTuple):
    """A registered edge's key; instants in microseconds."""

    edge: EdgeId
    public_der: bytes
    valid_from_us: int
    valid_until_us: int
    revoked: bool


@dataclass
class Memory:
    """What the stage knows: the registry as last read, and each stream's last batch number (for the flag GAP).

    `batch_layout` is the newest that is taken: what every worker of this hospital reads (`ProcessorsConfig`).
    """

    registry: Mapping[bytes, EdgeKey] = field(default_factory=dict)
    last_batch_no: Seen = field(default_factory=dict)
    batch_layout: int = layout.LAYOUT


class Validation(NamedTuple):
    """Flags (a report each), validation results and canonical values (a record each)."""

    flags: _Array
    validation_results: _Array
    values: _Array


def validate(
    topic: str,
    messages: Sequence[bytes],
    memory: Memory,
    now_us: int,
    appended_at_us: Sequence[int] | None = None,
) -> list[Block | DeadLetter]:
    """Validate sealed batches, in order: blocks of those that hold, and each that does not with its reason.

    `appended_at_us` is when the broker appended each message; None: now.
    """
    out: list[Block | DeadLetter] = []
    good: list[Opened] = []
    for message, appended_us in zip(messages, appended_at_us or [now_us] * len(messages), strict=True):
        item = _open(topic, message, memory, now_us, min(appended_us, now_us))
        if isinstance(item, Opened):
            good.append(item)
        else:
            out.append(item)
    good, bad = _canonical(good)
    out += [DeadLetter(reason, topic, ReceiptOutcome.QUARANTINED, message) for message, reason in bad]
    sizes = [bytes_in_block(len(each.sealed), each.header.report_count, each.header.record_count) for each in good]
    for indices in chunked(sizes, BLOCK_MESSAGE_BYTES - BLOCK_HEAD_BYTES):
        out.append(_block(good[indices], memory, now_us))
    return out


class Opened(NamedTuple):
    """A batch that a registered edge signed, its root checked."""

    sealed: bytes
    header: Header
    table: Table
    appended_at_us: int
    flags: int  # of each of its reports: ReportFlag


def _open(topic: str, message: bytes, memory: Memory, now_us: int, appended_us: int) -> Opened | DeadLetter:
    """A message opened; what is longer than a batch can be is cut, and is nobody's."""
    kept = message[: layout.SEALED_BYTES_MAX]
    try:
        admission = admit(message, memory.registry, now_us, memory.batch_layout)
    except LayoutError as error:
        return DeadLetter(error.reason, topic, None, kept)
    if admission.reason:
        return DeadLetter(admission.reason, topic, admission.outcome, kept)
    try:
        return Opened(message, *open_sealed(message, checked=True), appended_us, admission.flags)
    except LayoutError as error:  # a registered edge signed it: whatever is wrong now, its edge is told
        return DeadLetter(error.reason, topic, ReceiptOutcome.QUARANTINED, kept)


def _block(batches: Sequence[Opened], memory: Memory, now_us: int) -> Block:
    table = Table.join([each.table for each in batches])
    counts = [each.header.report_count for each in batches]
    gaps = np.repeat([_gap(memory, each.header) for each in batches], counts)
    of_batches = np.repeat(np.array([each.flags for each in batches], np.uint16), counts)
    flags, validation_results, values = validate_table(table, gaps)
    return Block(
        nomenclature_hash=NOMENCLATURE_HASH,
        validated_at_us=now_us,
        batches=tuple(each.sealed for each in batches),
        flags=flags | of_batches,
        validation_results=validation_results,
        values=values,
        appended_at_us=np.array([each.appended_at_us for each in batches], np.int64),
    )


def _canonical(opened: list[Opened]) -> tuple[list[Opened], list[tuple[bytes, str]]]:
    """Which of these hold nothing but what the layout allows: looked at together, and singly where one does not."""
    try:
        check(Table.join([each.table for each in opened]))
        return opened, []
    except LayoutError:
        good: list[Opened] = []
        bad: list[tuple[bytes, str]] = []
        for item in opened:
            try:
                check(item.table)
                good.append(item)
            except LayoutError as error:
                bad.append((item.sealed, error.reason))
        return good, bad


class NotAdmitted(StrEnum):
    """Why a batch is not taken from whoever sent it."""

    UNKNOWN_EDGE = "unknown-edge"
    NOT_THIS_EDGE = "not-this-edge"
    KEY_NOT_VALID = "key-not-valid"
    SIGNATURE = "signature"
    EXPIRED_KEY = "expired-key"
    NEWER_LAYOUT = NEWER_LAYOUT


class Admission(NamedTuple):
    """What a batch's header and its key say: a reason against it (or None), what its edge is told then, or flags."""

    reason: NotAdmitted | None
    outcome: ReceiptOutcome | None
    flags: int = 0


def admit(
    message: bytes, registry: Mapping[bytes, EdgeKey], now_us: int, batch_layout: int = layout.LAYOUT
) -> Admission:
    """Whether a registered edge signed this batch by a key that was valid; raises LayoutError where it is no batch.

    Nobody is told anything who is unknown, whose signature does not hold or whose key is revoked. A key that expired
    still speaks for what was made before, for KEY_GRACE_US; what came later or was made later is refused, and its edge
    told so: it holds on to it. So is one whose edge is newer than the workers: none of them may meet what it cannot
    read, or the value would be stored by one and its alarm not be raised by the other.
    """
    header = read_any_header(message)
    key = registry.get(header.key_id)
    if key is None:
        return Admission(NotAdmitted.UNKNOWN_EDGE, None)
    if key.edge != header.edge:
        return Admission(NotAdmitted.NOT_THIS_EDGE, None)
    if key.revoked or now_us < key.valid_from_us:
        return Admission(NotAdmitted.KEY_NOT_VALID, None)
    if not signed_by(message, key.public_der):
        return Admission(NotAdmitted.SIGNATURE, None)
    if layout_number(message) > batch_layout:
        return Admission(NotAdmitted.NEWER_LAYOUT, ReceiptOutcome.REFUSED)
    if now_us < key.valid_until_us:
        return Admission(None, None)
    if header.created_at_us < key.valid_until_us and now_us < key.valid_until_us + KEY_GRACE_US:
        return Admission(None, None, ReportFlag.EXPIRED_KEY)
    return Admission(NotAdmitted.EXPIRED_KEY, ReceiptOutcome.REFUSED)


def is_unknown(message: bytes, registry: Mapping[bytes, EdgeKey]) -> bool:
    """Whether a batch names a key that the registry does not have: it may have been registered a moment ago."""
    try:
        return read_any_header(message).key_id not in registry
    except LayoutError:
        return False


def _gap(memory: Memory, header: Header) -> bool:
    """Whether batches between the last one seen of this stream and this one have not come."""
    stream = header.stream
    last = memory.last_batch_no.pop(stream, None)
    memory.last_batch_no[stream] = max(header.batch_no, last or 0)
    if len(memory.last_batch_no) > STREAMS_MAX:
        del memory.last_batch_no[next(iter(memory.last_batch_no))]
    return last is not None and header.batch_no > last + 1


def validate_table(table: Table, gaps: _Array) -> Validation:
    """Flags, validation results and values in the canonical unit for every report and record of a table.

    A bound's value is its number; a number whose unit is not its metric's stays as sent; a code is no number.
    """
    flags = _flags(table, gaps)
    units = _conversions(table)
    sent = to_float(table.mantissa, table.exponent)
    values = sent * units.factor + units.offset
    clear = table.plain & units.comparable & (values >= units.low) & (values <= units.high)
    clear &= np.repeat(_is_measured(table) & ~_is_doubtful(flags), table.record_count)
    validation_results = np.full(len(values), ValidationResult.ACCEPTED, np.uint8)
    rest = np.flatnonzero(~clear)  # a few, where all is well: looked at more closely
    if len(rest):
        validation_results[rest], values[rest] = _validate_rest(table, flags, units, sent, values, rest)
    return Validation(flags, validation_results, values)


def validate_stored(table: Table) -> Validation:
    """The same of stored reports, whose gaps are known already and no matter of their bytes."""
    return validate_table(table, np.zeros(len(table)))


def _is_measured(table: Table) -> _Array:
    """bool, a report each."""
    is_measured: _Array = np.isin(table.kind, (Kind.METRIC, Kind.WAVEFORM))
    return is_measured


def _is_doubtful(flags: _Array) -> _Array:
    """bool, a report each: whether its moment is doubted."""
    doubtful = ReportFlag.FUTURE | ReportFlag.DOUBTFUL_TIME | ReportFlag.FILED_AT_RECEIPT
    is_doubtful: _Array = (flags & doubtful) != 0
    return is_doubtful


def _validate_rest(
    table: Table, flags: _Array, units: _Conversions, sent: _Array, canonical: _Array, rest: _Array
) -> tuple[_Array, _Array]:
    """The validation result and value of each of these records; the validation result is the first that holds, in this
    order.

    What is no value; what was never meant as a patient's, or is taken back; no reading; texts; what has no known code;
    what is known and doubted for its unit, by its device, for its moment, for its size; and the rest is accepted.
    """
    kind, marks, validity, unit = (c[rest] for c in (table.record_kind, table.marks, table.validity, table.unit))
    known, comparable, low, high = (c[rest] for c in (units.known, units.comparable, units.low, units.high))
    of_report = table.report_of_record[rest]
    measured, doubtful_moment = _is_measured(table)[of_report], _is_doubtful(flags)[of_report]
    missing = validity == Validity.NOT_AVAILABLE
    text, number = kind == RecordKind.TEXT, kind <= RecordKind.BOUND
    values = np.where(number & comparable, canonical[rest], sent[rest])
    # Of a bound only what no possible value can be: below the lowest, above the highest.
    below = (values < low) & ((marks & Mark.GREATER) == 0)
    above = (values > high) & ((marks & Mark.LESS) == 0)
    rules = (
        (~measured | (kind == RecordKind.ALARM), ValidationResult.NOT_A_VALUE),
        ((marks & Mark.TRAINING) != 0, ValidationResult.DOUBTFUL_TRAINING),
        ((marks & Mark.WITHDRAWAL) != 0, ValidationResult.WITHDRAWN),
        (missing, ValidationResult.MISSING),
        # All metrics of the nomenclature are numbers.
        (text & (known | ((marks & Mark.UNDECODED) != 0)), ValidationResult.DOUBTFUL_TEXT),
        (text | ((kind == RecordKind.CODE) & ~known), ValidationResult.UNMAPPED_TEXT),
        (~known, ValidationResult.UNMAPPED_CODE),
        # Counts of a converter have no unit; a unit that they have is the metric's.
        ((number | (unit != 0)) & ~comparable, ValidationResult.DOUBTFUL_UNIT),
        (validity != Validity.VALID, ValidationResult.DOUBTFUL_VALIDITY),
        (doubtful_moment, ValidationResult.DOUBTFUL_CLOCK),
        (number & (below | above), ValidationResult.DOUBTFUL_RANGE),
    )
    validation_results = _ACCEPTED_AS[kind]
    for holds, validation_result in reversed(rules):
        validation_results[holds] = validation_result
    return validation_results, np.where(number & ~missing, values, np.nan)


# Of each kind of record what an accepted one is.
_ACCEPTED_AS = np.zeros(max(RecordKind) + 1, np.uint8)
_ACCEPTED_AS[[RecordKind.BOUND, RecordKind.CODE, RecordKind.TEXT, RecordKind.SAMPLES]] = (
    ValidationResult.ACCEPTED_BOUND, ValidationResult.ACCEPTED_CODE, ValidationResult.ACCEPTED_TEXT,
    ValidationResult.ACCEPTED_SAMPLES
)  # fmt: skip


# By an exponent (an i8, as u8): what a mantissa is divided and multiplied by; a power's inverse would not be exact.
_EXPONENTS = np.arange(256, dtype=np.uint8).view(np.int8).tolist()
_DIVISOR = np.array([10.0 ** max(-exponent, 0) for exponent in _EXPONENTS])
_FACTOR_OF_TEN = np.array([10.0 ** max(exponent, 0) for exponent in _EXPONENTS])


def to_float(mantissa: _Array, exponent: _Array) -> _Array:
    """mantissa x 10^exponent, correctly rounded for mantissas below 2^53 and |exponent| <= 22."""
    index = exponent.view(np.uint8)
    value: _Array = mantissa / _DIVISOR[index]
    if (exponent > 0).any():
        value *= _FACTOR_OF_TEN[index]
    return value


def _flags(table: Table, gaps: _Array) -> _Array:
    behind = table.received_at_us - table.observed_at_us
    timed = table.device_at_us != layout.ABSENT_TIME
    drift = timed & (np.abs(table.received_at_us - np.where(timed, table.device_at_us, 0)) > DRIFT_US)
    no_time = table.clock_quality == ClockQuality.RECEIVED
    filed_elsewhere = filed_at_us(table.observed_at_us, table.received_at_us) != table.observed_at_us
    flags = np.zeros(len(table), np.uint16)
    for holds, flag in (
        (behind > LATE_US, ReportFlag.LATE),
        (behind < -FUTURE_US, ReportFlag.FUTURE),
        (drift, ReportFlag.DRIFT),
        (no_time, ReportFlag.NO_TIME),
        (table.clock_quality == ClockQuality.DOUBTFUL, ReportFlag.DOUBTFUL_TIME),
        (gaps.astype(bool), ReportFlag.GAP),
        (filed_elsewhere, ReportFlag.FILED_AT_RECEIPT),
    ):
        flags |= np.where(holds, int(flag), 0).astype(np.uint16)
    return flags


# Every (metric, unit as sent) that can be stored, sorted by code << 32 | unit; unit 0 is "none stated". Which of the
# metric's canonical units it is stored in, `nomenclature.canonical_unit` tells readers from the same pair.
_pairs = sorted(
    (metric.code << 32 | unit, stored.factor, stored.offset, stored.low, stored.high)
    for metric in METRICS
    for unit in (0, *UNIT_BY_CODE)
    for stored in [storage(metric.code, unit)]
    if stored is not None
)
_PAIR = np.array([p[0] for p in _pairs], np.uint64)
_FACTOR, _OFFSET, _LOW, _HIGH = (np.array([p[i] for p in _pairs]) for i in (1, 2, 3, 4))
_CODES = np.array(sorted(METRIC_BY_CODE), np.uint32)
# Where most pairs are found at once, by the upper bits of a product: of two with one slot the other is searched for.
_SLOT_OF = np.uint64(0x9E3779B97F4A7C15)
_SLOT_SHIFT = np.uint64(48)
_AT_SLOT = np.zeros(2**16, np.intp)
_AT_SLOT[(_PAIR * _SLOT_OF) >> _SLOT_SHIFT] = np.arange(len(_PAIR))


class _Conversions(NamedTuple):
    """For each record: is its code known, its unit convertible; how; what is possible, in the unit it is stored in."""

    known: _Array
    comparable: _Array
    factor: _Array
    offset: _Array
    low: _Array
    high: _Array


def _conversions(table: Table) -> _Conversions:
    pair = table.code.astype(np.uint64) << np.uint64(32) | table.unit
    at = _AT_SLOT[(pair * _SLOT_OF) >> _SLOT_SHIFT]
    comparable = _PAIR[at] == pair
    rest = np.flatnonzero(~comparable & (table.code != 0))  # 0: nobody has mapped it, and there is nothing to find
    at[rest] = np.minimum(np.searchsorted(_PAIR, pair[rest]), len(_PAIR) - 1)
    comparable[rest] = _PAIR[at[rest]] == pair[rest]
    known = comparable.copy()
    rest = rest[~comparable[rest]]
    known[rest] = _CODES[np.minimum(np.searchsorted(_CODES, table.code[rest]), len(_CODES) - 1)] == table.code[rest]
    return _Conversions(known, comparable, _FACTOR[at], _OFFSET[at], _LOW[at], _HIGH[at])
