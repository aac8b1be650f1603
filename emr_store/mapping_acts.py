"""Mapping acts: recorded by a command, worked off by the processors, which hold the platform's key."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any, NamedTuple

import psycopg
from psycopg.rows import class_row

from emr_store import acts
from emr_store.acts import Author
from evidence.act import MAPPING_CHANGE, parse_act

RANGE_BATCHES = 5000  # numbers of batches that are looked through at once
CHUNK_BATCHES = 16  # opened at once


class MappingWork(NamedTuple):
    """A mapping act and how far the processors are with it; `act_id` in hexadecimal.

    `batches` were validated anew, in which `records` came out otherwise than before; `done_at` None: it goes on.
    """

    act_id: str
    at: datetime
    by: str
    why: str
    details: dict[str, Any]
    next_batch: int
    last_batch: int
    batches: int
    records: int
    done_at: datetime | None


def newest_batch(conn: psycopg.Connection) -> int:
    """The newest number of a stored batch; 0: there is none."""
    row = conn.execute("SELECT coalesce(max(batch), 0) FROM batch").fetchone()
    assert row is not None
    number: int = row[0]
    return number


def record(conn: psycopg.Connection, details: dict[str, Any], author: Author | None = None) -> str:
    """Record a mapping act, and let the processors know; its id in hexadecimal.

    Raises VitalwireError where it is longer than an act may be.
    """
    with conn.transaction():
        act_id = acts.record(conn, acts.act(MAPPING_CHANGE, author, acts.now(conn), **details))
        conn.execute("INSERT INTO mapping_work (act_id, last_batch) VALUES (%s, %s)", (act_id, newest_batch(conn)))
    return act_id.hex()


class _Work(NamedTuple):
    act_id: bytes
    body: bytes
    next_batch: int
    last_batch: int
    batches: int
    records: int
    done_at: datetime | None


_WORK_SQL = """
SELECT w.act_id, a.body, w.next_batch, w.last_batch, w.batches, w.records, w.done_at
FROM mapping_work w JOIN act a USING (act_id)
"""


def listed(conn: psycopg.Connection) -> list[MappingWork]:
    """Every mapping act, the oldest first."""
    found = []
    for kept in conn.cursor(row_factory=class_row(_Work)).execute(f"{_WORK_SQL} ORDER BY a.at, a.act_id".encode()):
        stated = parse_act(bytes(kept.body))
        found.append(MappingWork(
            bytes(kept.act_id).hex(), acts.moment_of(stated), stated.by, stated.why, stated.details, kept.next_batch,
            kept.last_batch, kept.batches, kept.records, kept.done_at,
        ))  # fmt: skip
    return found


class WaitingAct(NamedTuple):
    """A mapping act that is not done."""

    act_id: bytes
    body: bytes
    next_batch: int
    last_batch: int


def oldest_waiting(conn: psycopg.Connection) -> WaitingAct | None:
    """The act that is to be worked off next: one after another, for a later one overrules an earlier one."""
    sql = f"{_WORK_SQL} WHERE w.done_at IS NULL ORDER BY a.at, a.act_id LIMIT 1"
    row = conn.cursor(row_factory=class_row(_Work)).execute(sql.encode()).fetchone()
    return WaitingAct(bytes(row.act_id), bytes(row.body), row.next_batch, row.last_batch) if row else None


def advance(conn: psycopg.Connection, act_id: bytes, next_batch: int, batches: int = 0, records: int = 0) -> None:
    """All before this batch are done."""
    conn.execute(
        "UPDATE mapping_work SET next_batch = %s, batches = batches + %s, records = records + %s WHERE act_id = %s",
        (next_batch, batches, records, act_id),
    )


def finish(conn: psycopg.Connection, act_id: bytes) -> None:
    """Nothing of it is left to do."""
    conn.execute("UPDATE mapping_work SET done_at = clock_timestamp() WHERE act_id = %s", (act_id,))


def candidates(conn: psycopg.Connection, first: int, last: int) -> Iterator[tuple[int, list[int]]]:
    """Batches from `first` to `last` that may have what a mapping act is about, in steps: its end, and those.

    Those whose rows name what has no code, and those that an earlier act changed. What retention took rows of is none.
    """
    while first <= last:
        after = min(first + RANGE_BATCHES, last + 1)
        found = conn.execute(_CANDIDATES_SQL, {"first": first, "after": after}).fetchall()
        yield after, [number for (number,) in found]
        first = after


# `= ANY` of the validation results UNMAPPED_CODE and UNMAPPED_TEXT.
_CANDIDATES_SQL = """
SELECT batch FROM report WHERE batch >= %(first)s AND batch < %(after)s AND kind = 1 AND texts IS NOT NULL
    AND validation_result && '{20,21}'::int2[]
UNION SELECT batch FROM batch_validation WHERE batch >= %(first)s AND batch < %(after)s
ORDER BY 1
"""
