"""Batches into the store: their numbers, heads and bytes, with what was said of them; and all of them joined."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import numpy as np
import psycopg
import zstandard
from numpy.typing import NDArray

from emr_store import log
from emr_store.channel_sets import ChannelSets
from emr_store.devices import Devices
from emr_store.rows import Chunk
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
    with conn.cursor().copy(_HEAD_COPY) as copy:
        copy.set_types(["int8", "uuid", "uuid", "int2", "int8", "bytea", "int8", "int4", "timestamptz", "int4", "int4"])
        for each in numbered:
            header = each.batch.header
            copy.write_row((
                each.number, UUID(bytes=header.edge), UUID(bytes=header.spool), int(header.lane), header.batch_no,
                each.batch.batch_id, seal_of[id(each.batch.signed)], each.batch.index, _instant(header.created_at_us),
                header.report_count, header.record_count,
            ))  # fmt: skip
    compressor = zstandard.ZstdCompressor(level=1)
    with conn.cursor().copy(_BODY_COPY) as copy:
        copy.set_types(["int2", "int8", "bytea", "bytea"])
        for each in numbered:
            validation = compressor.compress(each.batch.validation)
            copy.write_row((int(each.batch.header.lane), each.number, each.batch.sealed, validation))


def joined(numbered: Sequence[NumberedBatch], devices: Devices, channel_sets: ChannelSets) -> Chunk:
    """All their reports as one, each with its device's number."""
    batches = [each.batch for each in numbered]
    table = Table.join([batch.table for batch in batches])
    counts = [len(batch.table) for batch in batches]
    return Chunk(
        table,
        flags=np.concatenate([batch.signed.block.flags[batch.reports] for batch in batches]),
        validation_results=np.concatenate([batch.signed.block.validation_results[batch.records] for batch in batches]),
        values=np.concatenate([batch.signed.block.values[batch.records] for batch in batches]),
        device=devices.numbers(table.device, of_reports(numbered, [batch.header.edge for batch in batches])),
        batch=np.repeat([each.number for each in numbered], counts),
        leaf=np.concatenate([np.arange(count) for count in counts]),
        observed_at_us=filed_at_us(table.observed_at_us, table.received_at_us),
        channel_set_of=channel_sets.number,
    )


def of_reports(numbered: Sequence[NumberedBatch], ids: Sequence[bytes]) -> _Array:
    """V16, a report each: the id of 16 bytes that its batch has."""
    return np.repeat(np.frombuffer(b"".join(ids), "V16"), [len(each.batch.table) for each in numbered])


def _instant(us: int) -> datetime:
    """An edge's clock may say anything: what is no date of a calendar becomes its first or last."""
    try:
        return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=us)
    except OverflowError:
        return datetime.min.replace(tzinfo=UTC) if us < 0 else datetime.max.replace(tzinfo=UTC)


_HEAD_COPY = (
    "COPY batch (batch, edge, spool, lane, batch_no, batch_id, seal, seal_index, created_at, reports, records)"
    " FROM STDIN (FORMAT BINARY)"
)
_BODY_COPY = "COPY batch_body (lane, batch, sealed, validation) FROM STDIN (FORMAT BINARY)"
