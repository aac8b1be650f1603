"""What the database's server and this store's schema say of their own health: read, and judged by nobody here."""

from __future__ import annotations

import re
from datetime import datetime
from typing import NamedTuple

import psycopg
from psycopg.rows import class_row

from emr_store import roles
from emr_store.migrate import migrations
from emr_store.partitions import MONTHS_AHEAD


class Slot(NamedTuple):
    """For a receiver of the log; `retained_bytes` are kept on the server's disk for it. `wal_status`: PostgreSQL's."""

    name: str
    active: bool
    wal_status: str
    retained_bytes: int


class Standby(NamedTuple):
    """A receiver that is connected now; `behind_bytes` of the log it has not written yet."""

    name: str
    state: str
    behind_bytes: int


class Archiver(NamedTuple):
    """Of `archive_command`; None: never."""

    last_archived_at: datetime | None
    last_failed_at: datetime | None
    failed: int

    @property
    def is_failing(self) -> bool:
        """Whether its last attempt failed."""
        if self.last_failed_at is None:
            return False
        return self.last_archived_at is None or self.last_archived_at < self.last_failed_at


class MissingIndex(NamedTuple):
    """An index that a migration made and that is gone, or not valid; `statement` makes it."""

    name: str
    table: str
    statement: str


class StoreHealth(NamedTuple):
    """`data_directory`: "" where this login may not see it. `pending`: migrations that were not applied."""

    now: datetime
    timeline: int
    data_directory: str
    has_checksums: bool
    slots: list[Slot]
    standbys: list[Standby]
    archiver: Archiver | None
    missing_indexes: list[MissingIndex]
    missing_months: list[str]
    pending: list[int]
    roles_problem: str


def store_health(conn: psycopg.Connection) -> StoreHealth:
    """Of the server that is written to. Raises StoreError."""
    row = conn.execute(_SERVER_SQL).fetchone()
    assert row is not None
    now, timeline, directory, has_checksums = row
    archiver = conn.cursor(row_factory=class_row(Archiver)).execute(_ARCHIVER_SQL).fetchone()
    applied = {version for (version,) in conn.execute("SELECT version FROM schema_version")}
    return StoreHealth(
        now=now, timeline=int(timeline, 16), data_directory=directory or "", has_checksums=has_checksums,
        slots=conn.cursor(row_factory=class_row(Slot)).execute(_SLOTS_SQL).fetchall(),
        standbys=conn.cursor(row_factory=class_row(Standby)).execute(_STANDBYS_SQL).fetchall(),
        archiver=archiver,
        missing_indexes=missing_indexes(conn),
        missing_months=[name for (name,) in conn.execute(_MISSING_MONTHS_SQL, (MONTHS_AHEAD - 1,))],
        pending=[number for number, _ in migrations() if number not in applied],
        roles_problem=roles.problem(conn),
    )  # fmt: skip


_CREATE_INDEX = re.compile(r"CREATE (?:UNIQUE )?INDEX (\w+) ON (\w+)[^;]*;")
_DROP_INDEX = re.compile(r"DROP INDEX (\w+);")


def expected_indexes(texts: list[str]) -> dict[str, MissingIndex]:
    """Those that these migrations leave behind, by name."""
    found: dict[str, MissingIndex] = {}
    for text in texts:
        without_comments = re.sub(r"--[^\n]*", "", text)
        for dropped in _DROP_INDEX.finditer(without_comments):
            found.pop(dropped[1], None)
        for made in _CREATE_INDEX.finditer(without_comments):
            found[made[1]] = MissingIndex(made[1], made[2], " ".join(made[0].split()))
    return found


def missing_indexes(conn: psycopg.Connection) -> list[MissingIndex]:
    """Those of the migrations that were applied here."""
    applied = {version for (version,) in conn.execute("SELECT version FROM schema_version")}
    expected = expected_indexes([text for number, text in migrations() if number in applied])
    valid = {name for (name,) in conn.execute(_VALID_SQL)}
    return [index for name, index in expected.items() if name not in valid]


_SERVER_SQL = """
SELECT clock_timestamp(), left(pg_walfile_name(pg_current_wal_lsn()), 8),
    (SELECT setting FROM pg_settings WHERE name = 'data_directory'), current_setting('data_checksums') = 'on'
"""
_SLOTS_SQL = """
SELECT slot_name::text AS name, active, coalesce(wal_status, '') AS wal_status,
    coalesce(pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn), 0)::int8 AS retained_bytes
FROM pg_replication_slots WHERE NOT temporary ORDER BY slot_name
"""
_STANDBYS_SQL = """
SELECT coalesce(application_name, '') AS name, coalesce(state, '') AS state,
    coalesce(pg_wal_lsn_diff(pg_current_wal_lsn(), coalesce(write_lsn, sent_lsn)), 0)::int8 AS behind_bytes
FROM pg_stat_replication WHERE application_name <> 'pg_basebackup' ORDER BY 1
"""
_ARCHIVER_SQL = """
SELECT last_archived_time AS last_archived_at, last_failed_time AS last_failed_at, failed_count AS failed
FROM pg_stat_archiver WHERE current_setting('archive_mode') <> 'off'
"""
# Plain PostgreSQL alone has months: with TimescaleDB `report` is no partitioned table.
_MISSING_MONTHS_SQL = """
SELECT to_char(month, 'YYYY-MM') FROM generate_series(0, %s) AS ahead,
    LATERAL (SELECT date_trunc('month', now() AT TIME ZONE 'UTC') + ahead * interval '1 month') AS m(month)
WHERE EXISTS (SELECT FROM pg_class WHERE oid = to_regclass('report') AND relkind = 'p')
    AND to_regclass('report_' || to_char(month, 'YYYY_MM')) IS NULL
ORDER BY month
"""
_VALID_SQL = """
SELECT c.relname::text FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
WHERE c.relnamespace = current_schema()::regnamespace AND i.indisvalid
"""
