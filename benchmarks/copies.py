"""Bare COPY of values that the pipeline stores: what the same server does when nothing is checked, signed or kept."""

from __future__ import annotations

import struct
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from emr_store import rows
from emr_store.connect import open_store
from emr_store.rows import Chunk
from evidence.seal import open_body
from schemas.batch import Table
from stream_processors.validation import validate_table


@dataclass(frozen=True)
class BareCopies:
    """How fast each of them was."""

    narrow_values_per_s: float
    report_values_per_s: float


def bare_copies(database: str, batches: Sequence[bytes]) -> BareCopies:
    """Binary COPY of these batches' values, the bytes ready made: as narrow rows, and as report rows."""
    table = Table.join([open_body(batch)[1] for batch in batches])
    validated = validate_table(table, np.zeros(len(table), bool))
    _, device = np.unique(table.device, return_inverse=True)
    chunk = Chunk(table, validated.flags, validated.validation_results, validated.values, device,
              np.ones(len(table), np.int64),
              np.arange(len(table)), table.observed_at_us, lambda channels: 1)  # fmt: skip
    values = len(validated.values)
    return BareCopies(
        narrow_values_per_s=values / _copy(database, "narrow", _narrow_rows(chunk)),
        report_values_per_s=values / _copy(database, "wide", rows.report_rows(chunk)),
    )


def _copy(database: str, table: str, data: bytes) -> float:
    with open_store(database) as conn:
        began = time.perf_counter()
        with conn.transaction(), conn.cursor().copy(f"COPY {table} FROM STDIN (FORMAT BINARY)".encode()) as copy:
            copy.write(data)
        return time.perf_counter() - began


def make_bare_tables(database: str) -> None:
    """The tables of the bare copies, with the index that each needs to be read by."""
    with open_store(database) as conn:
        conn.execute(
            "CREATE TABLE narrow (observed_at timestamptz, received_at timestamptz, device int, code int,"
            " channel int8, validity int2, validation_result int2, value float8, batch bigint, leaf int)"
        )
        conn.execute("CREATE INDEX ON narrow (device, code, observed_at)")
        conn.execute("CREATE TABLE wide (LIKE report)")
        conn.execute("CREATE INDEX ON wide (device, observed_at)")


def _narrow_rows(chunk: Chunk) -> bytes:
    """A row a value that says what `report` says of it: when, whose, what, how sure, and where it came from."""
    of, table = chunk.table.report_of_record, chunk.table
    columns = (
        (chunk.observed_at_us[of] - rows.POSTGRES_EPOCH_US, ">i8"),
        (table.received_at_us[of] - rows.POSTGRES_EPOCH_US, ">i8"),
        (chunk.device[of], ">i4"), (table.code, ">i4"), (table.channel, ">i8"), (table.validity, ">i2"),
        (chunk.validation_results, ">i2"), (chunk.values, ">f8"), (chunk.batch[of], ">i8"), (chunk.leaf[of], ">i4"),
    )  # fmt: skip
    parts = [np.broadcast_to(np.frombuffer(struct.pack(">h", len(columns)), np.uint8), (len(of), 2))]
    for values, dtype in columns:
        size = np.dtype(dtype).itemsize
        parts.append(np.broadcast_to(np.frombuffer(struct.pack(">i", size), np.uint8), (len(of), 4)))
        parts.append(np.ascontiguousarray(values.astype(dtype)).view(np.uint8).reshape(len(of), size))
    return rows.COPY_HEAD + np.concatenate(parts, axis=1).tobytes() + rows.COPY_END
