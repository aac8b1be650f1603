"""What migrations that are to come will do to a store: how long each takes, and what it locks meanwhile.

An estimate from the text of each and the sizes of the tables that it names; nothing is changed, and nothing is locked.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum

import psycopg

from emr_store.connect import open_store
from emr_store.migrate import migrations

# Of a disk that others use meanwhile; reading decides for a look at all rows, log and indexes for writing them.
READ_BYTES_PER_S = 100e6
WRITE_BYTES_PER_S = 20e6
STATEMENT_S = 0.02
_TOKEN = re.compile(r"--[^\n]*|'(?:[^']|'')*'|\$(\w*)\$.*?\$\1\$|.", re.DOTALL)
_NAME = r"(?:IF EXISTS |ONLY )*(\w+)"


class Lock(IntEnum):
    """PostgreSQL's manual, "Explicit Locking": what others wait for until a migration is committed."""

    NONE = 0
    ROWS = 1  # changes of the same rows
    WRITES = 2  # SHARE: all writes
    ALL = 3  # ACCESS EXCLUSIVE: reads too

    @property
    def words(self) -> str:
        """For people."""
        return ("nothing waits", "changes of the same rows wait", "writes wait", "reads and writes wait")[self]


@dataclass(frozen=True)
class Step:
    """What one statement does to a table that is there: `seconds` None where its text does not say."""

    table: str
    lock: Lock
    seconds: float | None


@dataclass(frozen=True)
class PlannedMigration:
    """A migration that is to come; it is one transaction, so that its locks are held to its end."""

    number: int
    seconds: float
    is_known: bool  # False: a statement in it cannot be estimated, and it may take longer
    lock: Lock
    tables: tuple[str, ...]  # that are locked; of an index that goes, the index


def plan(conninfo: str) -> list[PlannedMigration]:
    """The migrations that `migrate` would apply, in order."""
    with open_store(conninfo) as conn:
        has_schema = conn.execute("SELECT to_regclass('schema_version')").fetchone() != (None,)
        applied = {number for (number,) in conn.execute("SELECT version FROM schema_version")} if has_schema else set()
        sizes = _table_bytes(conn)
    return [planned(number, sql, sizes) for number, sql in migrations() if number not in applied]


def planned(number: int, sql: str, table_bytes: Mapping[str, int]) -> PlannedMigration:
    """One migration; tables that are not in `table_bytes` are made by migrations, and empty."""
    seconds, is_known, lock, tables = 0.0, True, Lock.NONE, list[str]()
    for statement in statements(sql):
        seconds += STATEMENT_S
        for step in _steps(statement, table_bytes):
            lock = max(lock, step.lock)
            if step.lock > Lock.NONE:
                tables.append(step.table)
            if step.seconds is None:
                is_known = False
            else:
                seconds += step.seconds
    return PlannedMigration(number, seconds, is_known, lock, tuple(dict.fromkeys(tables)))


def statements(sql: str) -> Iterator[str]:
    """Each statement in one line, without comments; a function's or a block's body stays within its own."""
    text = ""
    for token in (found[0] for found in _TOKEN.finditer(sql)):
        if token == ";":
            yield " ".join(text.split())
            text = ""
        elif not token.startswith("--"):
            text += token
    if text.strip():
        yield " ".join(text.split())


def _steps(statement: str, table_bytes: Mapping[str, int]) -> Iterator[Step]:
    if statement.startswith("DO "):  # a program: whatever it names may be changed
        for table in table_bytes:
            if re.search(rf"\b{table}\b", statement):
                yield Step(table, Lock.ALL, None)
        return
    if statement.startswith(("SELECT ", "WITH ")):  # a function may do anything
        yield Step("", Lock.NONE, None)
        return
    for pattern, lock, bytes_per_s in _KINDS:
        found = re.match(pattern, statement)
        if found and found[1] in table_bytes:
            seconds = table_bytes[found[1]] / bytes_per_s if bytes_per_s else 0.0
            yield Step(found[1], lock, seconds)
            return


# By what a statement begins with: its lock, and how fast it goes through the table (None: it looks at no row).
# The first that fits holds.
_KINDS: tuple[tuple[str, Lock, float | None], ...] = (
    (rf"CREATE (?:UNIQUE )?INDEX CONCURRENTLY .*? ON {_NAME}", Lock.NONE, READ_BYTES_PER_S),
    (rf"CREATE (?:UNIQUE )?INDEX .*? ON {_NAME}", Lock.WRITES, READ_BYTES_PER_S),
    # PostgreSQL's manual, ALTER TABLE: these write the table anew.
    (rf"ALTER TABLE {_NAME} .*\b(?:ALTER (?:COLUMN )?\w+ (?:SET DATA )?TYPE|SET LOGGED|GENERATED ALWAYS AS \()",
     Lock.ALL, WRITE_BYTES_PER_S),
    # And these look at every row of it.
    (rf"ALTER TABLE {_NAME} (?!.*\bNOT VALID\b).*\b(?:ADD CONSTRAINT|ADD (?:PRIMARY|FOREIGN|UNIQUE|CHECK|EXCLUDE)"
     r"|SET NOT NULL|CHECK \(|REFERENCES|VALIDATE)",
     Lock.ALL, READ_BYTES_PER_S),
    (rf"ALTER TABLE {_NAME}", Lock.ALL, None),
    (rf"DROP (?:TABLE|INDEX) {_NAME}", Lock.ALL, None),  # an index: its table waits
    (rf"CREATE (?:CONSTRAINT )?TRIGGER .*? ON {_NAME}", Lock.WRITES, None),
    (rf"UPDATE {_NAME}", Lock.ROWS, WRITE_BYTES_PER_S),
    (rf"DELETE FROM {_NAME}", Lock.ROWS, WRITE_BYTES_PER_S),
    (rf"INSERT INTO \w+ .*\bSELECT\b.* FROM {_NAME}", Lock.NONE, WRITE_BYTES_PER_S),
)  # fmt: skip

# Tables and indexes, with partitions, and with the chunks of a hypertable, which inherit from it.
_BYTES_SQL = """
WITH RECURSIVE member AS (
    SELECT oid AS root, oid FROM pg_class
    WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'p', 'i', 'I')
    UNION ALL SELECT member.root, inhrelid FROM member JOIN pg_inherits ON inhparent = member.oid
)
SELECT root::regclass::text, sum(pg_total_relation_size(oid))::bigint FROM member GROUP BY root
"""


def _table_bytes(conn: psycopg.Connection) -> dict[str, int]:
    return dict(conn.execute(_BYTES_SQL).fetchall())
