"""How much a store holds, counted alike before a fault and after a restore; and what its server says of itself."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import msgspec
import psycopg
from psycopg.rows import class_row

from emr_store.connect import current_incarnation
from schemas.errors import VitalwireError

# A server that replays the log, or starts for a look, needs these no smaller than the one that wrote it.
_SETTINGS = (
    "shared_preload_libraries", "max_connections", "max_worker_processes", "max_wal_senders",
    "max_prepared_transactions", "max_locks_per_transaction",
)  # fmt: skip


class StoreCounts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is in a store at a moment; `reports` and `batches` by its ledger, `log_size` of the log of this incarnation.

    `newest_stored_at`: of the newest batch; None before the first.
    """

    at: datetime
    incarnation: str  # hexadecimal
    reports: int
    batches: int
    acts: int
    chart_entries: int
    log_size: int
    newest_stored_at: datetime | None


_COUNTS_SQL = """
SELECT clock_timestamp(),
    coalesce((SELECT sum(reports) FROM ledger), 0)::int8,
    coalesce((SELECT sum(upper(r) - lower(r)) FROM ledger, unnest(kept) AS r), 0)::int8,
    (SELECT count(*) FROM act), (SELECT count(*) FROM chart_entry),
    coalesce((SELECT size FROM log ORDER BY log DESC LIMIT 1), 0),
    (SELECT max(updated_at) FROM ledger)
"""


def count_store(conn: psycopg.Connection) -> StoreCounts:
    """Of this moment. Acts and chart entries are counted one by one: a second for some ten million."""
    row = conn.execute(_COUNTS_SQL).fetchone()
    assert row is not None
    at, reports, batches, acts, entries, log_size, newest = row
    return StoreCounts(
        at=at, incarnation=current_incarnation(conn).hex(), reports=reports, batches=batches, acts=acts,
        chart_entries=entries, log_size=log_size, newest_stored_at=newest,
    )  # fmt: skip


class StreamEnd(NamedTuple):
    """Where a stream of an edge ends in this store."""

    edge: UUID
    label: str | None
    lane: int
    last_batch_no: int
    updated_at: datetime


_STREAM_ENDS_SQL = """
SELECT g.edge, e.label, g.lane, (coalesce(upper(g.kept + g.quarantined), 1) - 1)::int8 AS last_batch_no, g.updated_at
FROM ledger g LEFT JOIN edge e USING (edge) ORDER BY e.label, g.edge, g.lane
"""


def stream_ends(conn: psycopg.Connection) -> list[StreamEnd]:
    """What each edge would send from, had it nothing else to go by."""
    return conn.cursor(row_factory=class_row(StreamEnd)).execute(_STREAM_ENDS_SQL).fetchall()


@dataclass(frozen=True)
class ServerFacts:
    """The database's server: which cluster, what it writes to now, and how it must be started to replay its log.

    `settings` are those that this login may read; `tablespaces` are folders beside the data.
    """

    now: datetime
    system_identifier: str
    timeline: int
    version: int
    segment_bytes: int
    bytes: int
    has_checksums: bool
    settings: dict[str, str]
    tablespaces: int


_FACTS_SQL = """
SELECT clock_timestamp(), (SELECT system_identifier::text FROM pg_control_system()),
    pg_walfile_name(pg_current_wal_lsn()), current_setting('server_version_num')::int,
    pg_size_bytes(current_setting('wal_segment_size')), (SELECT sum(pg_database_size(oid))::int8 FROM pg_database),
    current_setting('data_checksums') = 'on',
    (SELECT count(*) FROM pg_tablespace WHERE spcname NOT IN ('pg_default', 'pg_global'))
"""


def server_facts(conn: psycopg.Connection) -> ServerFacts:
    """Raises VitalwireError on a replica: what is restored must know the timeline that is written on."""
    if conn.execute("SELECT pg_is_in_recovery()").fetchone() == (True,):
        raise VitalwireError(
            "this server is a replica: name the one that is written to (target_session_attrs=read-write)"
        )
    row = conn.execute(_FACTS_SQL).fetchone()
    assert row is not None
    now, system, segment, version, segment_bytes, size, has_checksums, tablespaces = row
    settings = conn.execute("SELECT name, setting FROM pg_settings WHERE name = ANY(%s)", (list(_SETTINGS),)).fetchall()
    return ServerFacts(
        now=now, system_identifier=system, timeline=int(segment[:8], 16), version=version, segment_bytes=segment_bytes,
        bytes=size or 0, has_checksums=has_checksums, settings=dict(settings), tablespaces=tablespaces,
    )  # fmt: skip


def replayed_until(conn: psycopg.Connection) -> datetime | None:
    """Of a server that has replayed a log: when the last transaction of it was committed; None: none was in it."""
    row = conn.execute("SELECT pg_last_xact_replay_timestamp()").fetchone()
    return row[0] if row else None


def has_recovered(conn: psycopg.Connection) -> bool:
    """Whether it can be written to."""
    return conn.execute("SELECT pg_is_in_recovery()").fetchone() == (False,)
