"""Looks: who saw what, from when until when at the latest. A row is written before the first byte goes out."""

from __future__ import annotations

import threading
from collections.abc import Collection, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any
from uuid import UUID

import psycopg
from psycopg.conninfo import make_conninfo
from psycopg.rows import kwargs_row

from emr_store.connect import StoreError, open_store
from emr_store.reviews import Review, write_review

# An answer waits for the store so long at the most; then the store is away.
CONNECT_TIMEOUT_S = 2
STATEMENT_S = 2
_SILENT_MS = 4000


class AuditAwayError(StoreError):
    """What was to be seen cannot be recorded, so that it must not be sent: HTTP 503."""


@dataclass(frozen=True)
class Look:
    """One interval of one viewer. `stays`: how many were seen, where they are too many to be listed."""

    look: UUID
    person: str
    role: str
    action: str
    page: str
    encounters: tuple[str, ...]
    patients: tuple[str, ...]
    stays: int
    detail: str
    relation: str
    restricted: bool
    session: str
    address: str
    reason: str
    from_at: datetime
    until_at: datetime


@dataclass(frozen=True)
class LookEnd:
    """It was over before its time."""

    look: UUID
    until_at: datetime


Entry = Look | LookEnd | Review


class LookWriter:
    """Writes over one connection, which is opened when it is needed and anew after one that was lost.

    May be called by several threads; one writes at a time. What is there already is left as it is.
    """

    def __init__(self, conninfo: str) -> None:
        self._conninfo = make_conninfo(conninfo, connect_timeout=CONNECT_TIMEOUT_S, tcp_user_timeout=_SILENT_MS)
        self._lock = threading.Lock()
        self._conn: psycopg.Connection | None = None

    def write(self, entries: Sequence[Entry]) -> None:
        """All of them or none; committed, and on disk, when it returns. Raises StoreError."""
        with self._lock:
            is_fresh = self._conn is None
            try:
                self._attempt(entries)
            except psycopg.OperationalError:
                if is_fresh:
                    raise
                self._attempt(entries)  # it was lost since it was used last: it says so only now

    def close(self) -> None:
        """It may be used again."""
        with self._lock:
            self._drop()

    def _attempt(self, entries: Sequence[Entry]) -> None:
        try:
            conn = self._open()
            if len(entries) == 1:
                write(conn, entries[0])
                return
            with conn.transaction():
                for entry in entries:
                    write(conn, entry)
        except BaseException:
            self._drop()
            raise

    def _open(self) -> psycopg.Connection:
        if self._conn is None:
            self._conn = open_store(self._conninfo)
            self._conn.execute("SET synchronous_commit = on")
            self._conn.execute(f"SET statement_timeout = '{STATEMENT_S}s'".encode())
        return self._conn

    def _drop(self) -> None:
        if self._conn is not None:
            self._conn.close()
            self._conn = None


def write(conn: psycopg.Connection, entry: Entry) -> None:
    """Nothing where it is there already. Committed when it returns, outside of a transaction."""
    match entry:
        case Look():
            conn.execute(_LOOK_SQL, _values(entry), prepare=True)
        case LookEnd():
            conn.execute(_END_SQL, {"look": entry.look, "until_at": entry.until_at}, prepare=True)
        case Review():
            write_review(conn, entry)


def _values(look: Look) -> dict[str, object]:
    return vars(look) | {"encounters": list(look.encounters), "patients": list(look.patients)}


_COLUMNS = tuple(field.name for field in fields(Look))
_LOOK_SQL = f"""
WITH written AS (
    INSERT INTO look ({", ".join(_COLUMNS)}) VALUES ({", ".join(f"%({column})s" for column in _COLUMNS)})
    ON CONFLICT DO NOTHING RETURNING look)
INSERT INTO look_unsealed (look, is_end) SELECT look, false FROM written
""".encode()
# Of a look that never came there is no end.
_END_SQL = """
WITH written AS (
    INSERT INTO look_end (look, until_at) SELECT look, %(until_at)s FROM look WHERE look = %(look)s
    ON CONFLICT DO NOTHING RETURNING look)
INSERT INTO look_unsealed (look, is_end) SELECT look, true FROM written
"""


@dataclass(frozen=True)
class LookRow(Look):
    """A look as an auditor reads it; `until_at`: its end, where it ended before its time."""

    name: str  # of the staff file; "" of what is no person


@dataclass(frozen=True)
class Asked:
    """Which looks are asked for: what is None is not asked about. Of several all must hold."""

    persons: Collection[str] | None = None
    patients: Collection[str] | None = None  # keys of one patient; the stays count too, where a look names those alone
    since: datetime | None = None  # of those that were going on, or began, after it
    begun_from: datetime | None = None  # of those that began then or later
    until: datetime | None = None  # of those that began before it
    ids: Collection[UUID] | None = None
    after: tuple[datetime, UUID] | None = None  # older than this one, for the next page
    hide_audit: bool = True  # who read the audit is for the second auditor
    audit_only: bool = False


def find(conn: psycopg.Connection, asked: Asked, limit: int) -> list[LookRow]:
    """The newest first."""
    after = asked.after or (None, None)
    named: dict[str, Any] = {
        "persons": _list_or_none(asked.persons), "patients": _list_or_none(asked.patients), "since": asked.since,
        "begun_from": asked.begun_from, "until": asked.until,
        "ids": _list_or_none(asked.ids), "after_at": after[0], "after_look": after[1],
        "hide_audit": asked.hide_audit, "audit_only": asked.audit_only, "limit": limit,
    }  # fmt: skip
    conditions = [text for name, text in _CONDITIONS if named[name] is not None and named[name] is not False]
    sql = f"{_FIND_SQL} WHERE {' AND '.join(conditions) or 'true'} ORDER BY l.from_at DESC, l.look DESC LIMIT %(limit)s"
    return conn.cursor(row_factory=kwargs_row(_look_row)).execute(sql.encode(), named, prepare=False).fetchall()


def _look_row(*, encounters: list[str], patients: list[str], **columns: Any) -> LookRow:
    return LookRow(encounters=tuple(encounters), patients=tuple(patients), **columns)


def _list_or_none(found: Collection[Any] | None) -> list[Any] | None:
    return None if found is None else list(found)


_FIND_SQL = f"""
SELECT {", ".join(f"l.{column}" for column in _COLUMNS if column != "until_at")},
    coalesce(e.until_at, l.until_at) AS until_at, coalesce(s.name, '') AS name
FROM look l LEFT JOIN look_end e USING (look) LEFT JOIN staff s ON s.staff = l.person
"""
_CONDITIONS = (
    ("persons", "l.person = ANY(%(persons)s)"),
    (
        "patients",
        "(l.patients && %(patients)s::text[]"
        " OR l.encounters && ARRAY(SELECT encounter FROM encounter WHERE patient = ANY(%(patients)s)))",
    ),
    ("since", "coalesce(e.until_at, l.until_at) >= %(since)s AND l.from_at >= %(since)s - interval '15 min'"),
    ("begun_from", "l.from_at >= %(begun_from)s"),
    ("until", "l.from_at < %(until)s"),
    ("ids", "l.look = ANY(%(ids)s)"),
    ("after_at", "(l.from_at, l.look) < (%(after_at)s, %(after_look)s)"),
    ("hide_audit", "l.page <> 'audit'"),
    ("audit_only", "l.page = 'audit'"),
)
