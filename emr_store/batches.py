"""Batches into the store: their numbers, heads and bytes, with what was said of them; and all of them joined."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import psycopg
import zstandard
from numpy.typing import NDArray

from emr_store import log
from emr_store.channel_sets import ChannelSets
from emr_store.devices import Devices
from emr_store.rows import COPY_END, COPY_HEAD, POSTGRES_EPOCH_US, Chunk, copy
from emr_store.signed_block import BlockBatch
from schemas.batch import Table
from schemas.filed_at import filed_at_us

_Array = NDArray[Any]


@dataclass(frozen=True)
class NumberedBatch:
    """A batch that is stored now, and the number that it has in this store alone."""

    number: int
    batch: BlockBatch


def number(conn: psycopg.Connection, new: Sequence[BlockBatch]) -> list[NumberedBatch]:
    """Give each a number."""
    cursor = conn.execute("SELECT nextval('batch_number') FROM generate_series(1, %s)", [len(new)])
    return [NumberedBatch(row[0], batch) for row, batch in zip(cursor.fetchall(), new, strict=True)]


def put(conn: psycopg.Connection, numbered: Sequence[NumberedBatch]) -> None:
    """Keep these batches and the seals over them; inside the caller's transaction."""
    blocks = list({id(each.batch.signed): each.batch.signed for each in numbered}.values())
    seal_of = dict(zip((id(block) for block in blocks), log.put_seals(conn, blocks), strict=True))
    compressor = zstandard.ZstdCompressor(level=1)
    heads, bodies = [COPY_HEAD], [COPY_HEAD]
    for each in numbered:
        batch, header = each.batch, each.batch.header
        heads.append(_HEAD_ROW.pack(
            11, 8, each.number, 16, header.edge, 16, header.spool, 2, int(header.lane), 8, header.batch_no,
            32, batch.batch_id, 8, seal_of[id(batch.signed)], 4, batch.index, 8, _instant(header.created_at_us),
            4, header.report_count, 4, header.record_count,
        ))  # fmt: skip
        sealed, validation = batch.sealed, compressor.compress(batch.validation)
        bodies += (
            _BODY_ROW.pack(4, 2, int(header.lane), 8, each.number, len(sealed)), sealed,
            _SIZE.pack(len(validation)), validation,
        )  # fmt: skip
    copy(conn, _HEAD_COLUMNS, b"".join([*heads, COPY_END]))
    copy(conn, _BODY_COLUMNS, b"".join([*bodies, COPY_END]))


def joined(numbered: Sequence[NumberedBatch], devices: Devices, channel_sets: ChannelSets) -> Chunk:
    """All their reports as one, each with its device's number."""
    batches = [each.batch for each in numbered]
    table = Table.join([batch.table for batch in batches])
    counts = [batch.header.report_count for batch in batches]
    validated = _validated(batches)
    return Chunk(
        table,
        flags=np.concatenate(validated.flags),
        validation_results=np.concatenate(validated.validation_results),
        values=np.concatenate(validated.values),
        device=devices.numbers(table.device, of_reports(numbered, [batch.header.edge for batch in batches])),
        batch=np.repeat([each.number for each in numbered], counts),
        leaf=np.arange(len(table)) - np.repeat(np.cumsum(counts) - counts, counts),
        observed_at_us=filed_at_us(table.observed_at_us, table.received_at_us),
        channel_set_of=channel_sets.number,
    )


class _Validated(NamedTuple):
    """What was said of batches, in stretches of one or several."""

    flags: list[_Array]
    validation_results: list[_Array]
    values: list[_Array]


def _validated(batches: Sequence[BlockBatch]) -> _Validated:
    """Of blocks all of whose batches are new a stretch is the whole block: small batches are many."""
    blocks = {id(batch.signed): batch.signed for batch in batches}.values()
    if len(batches) == sum(len(signed.headers) for signed in blocks):
        whole = [signed.block for signed in blocks]
        return _Validated(
            [block.flags for block in whole],
            [block.validation_results for block in whole],
            [block.values for block in whole],
        )
    return _Validated(
        [batch.signed.block.flags[batch.reports] for batch in batches],
        [batch.signed.block.validation_results[batch.records] for batch in batches],
        [batch.signed.block.values[batch.records] for batch in batches],
    )


def of_reports(numbered: Sequence[NumberedBatch], ids: Sequence[bytes]) -> _Array:
    """V16, a report each: the id of 16 bytes that its batch has."""
    return np.repeat(np.frombuffer(b"".join(ids), "V16"), [each.batch.header.report_count for each in numbered])


def _instant(us: int) -> int:
    """As PostgreSQL counts. An edge's clock may say anything: what is no date of a calendar becomes its first or
    last."""
    return min(max(us, FIRST_INSTANT_US), LAST_INSTANT_US) - POSTGRES_EPOCH_US


# The years 1 to 9999: what every reader's calendar has.
FIRST_INSTANT_US, LAST_INSTANT_US = -62_135_596_800_000_000, 253_402_300_799_999_999
_HEAD_COLUMNS = "batch (batch, edge, spool, lane, batch_no, batch_id, seal, seal_index, created_at, reports, records)"
_BODY_COLUMNS = "batch_body (lane, batch, sealed, validation)"
# Rows of binary COPY: how many columns, then each with its size before it (PostgreSQL documentation, COPY).
_HEAD_ROW = struct.Struct(">h iq i16s i16s ih iq i32s iq ii iq ii ii")
_BODY_ROW = struct.Struct(">h ih iq i")  # up to the size of the sealed bytes
_SIZE = struct.Struct(">i")
