"""Numbered SQL migrations, applied in order under an advisory lock; a schema of another edition is refused."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files

import psycopg

from clinical.chart_items import ITEM_LOINC, ITEMS, item_of
from clinical.data_elements import DATA_ELEMENTS, UNITS_ZH
from emr_store import roles
from emr_store.connect import open_store
from schemas.errors import VitalwireError
from schemas.nomenclature import METRICS, UNIT_BY_CODE, UNIT_BY_REFERENCE_ID, UNITS, canonical_unit, is_private

_LOCK = 0x76_77_73_63  # one runner at a time
FIRST_MIGRATION = 3  # 1 and 2 were the first edition's
# A chunk of a week: of its index only the last leaf of each device is written (docs/adr/0006-retention.md).
CHUNK_INTERVAL = "7 days"
# Name and column of each table that a migration makes with partitions.
_PARTITIONED = re.compile(r"^CREATE TABLE (\w+) \(\n(?:[^)].*\n)*\) PARTITION BY RANGE \((\w+)\);", re.MULTILINE)


def migrations() -> list[tuple[int, str]]:
    """Number and text of each migration, in order."""
    found = [p for p in (files("emr_store") / "migrations").iterdir() if p.name.endswith(".sql")]
    return sorted((int(p.name.split("_")[0]), p.read_text("utf-8")) for p in found)


def migrate(conninfo: str) -> list[int]:
    """Bring the schema up to date; the numbers applied.

    Raises VitalwireError where it is newer than this program, or of an edition that cannot be read.
    """
    with open_store(conninfo) as conn:
        conn.execute("SELECT pg_advisory_lock(%s)", (_LOCK,))
        known = migrations()
        if _belongs_to_another(conn):
            _must_be_current(conn, [number for number, _ in known])
            return []
        conn.execute(
            "CREATE TABLE IF NOT EXISTS schema_version (version int PRIMARY KEY, applied_at timestamptz NOT NULL)"
        )
        there, newest = _versions(conn), known[-1][0]
        if there and max(there) > newest:
            raise VitalwireError(
                f"the store's schema is version {max(there)}, this program knows {newest}: install a newer vitalwire"
            )
        missing = [(number, sql) for number, sql in known if number not in there]
        for number, sql in missing:
            with conn.transaction():
                _apply(conn, number, sql)
        _fill_names(conn)
        roles.ensure(conn)
        return [number for number, _ in missing]


def _belongs_to_another(conn: psycopg.Connection) -> bool:
    """Whether the schema is there, and this login is none of those who may change it."""
    row = conn.execute(
        "SELECT NOT pg_has_role(relowner, 'USAGE') FROM pg_class WHERE oid = to_regclass('schema_version')"
    ).fetchone()
    return bool(row and row[0])


def _must_be_current(conn: psycopg.Connection, known: list[int]) -> None:
    """Raises VitalwireError where the schema is not this program's, and this login may not change it."""
    there = _versions(conn)
    if there != set(known):
        raise VitalwireError(
            f"the store's schema is version {max(there, default=0)}, this program needs {known[-1]}, and this login may"
            f" not change it: run `vitalwire migrate` of this program with a login that is a member of {roles.OWNER}"
        )


def _versions(conn: psycopg.Connection) -> set[int]:
    """The migrations applied. Raises VitalwireError for a database of the first edition."""
    there = {version for (version,) in conn.execute("SELECT version FROM schema_version")}
    if there and min(there) < FIRST_MIGRATION:
        raise VitalwireError(
            "this database was made by the first edition of vitalwire, whose batches this program cannot read: keep it"
            " with the program that wrote it, and name a new, empty database"
        )
    return there


def has_timescaledb(conn: psycopg.Connection) -> bool:
    """Whether the extension can be used here."""
    return conn.execute("SELECT 1 FROM pg_available_extensions WHERE name = 'timescaledb'").fetchone() is not None


def _apply(conn: psycopg.Connection, number: int, sql: str) -> None:
    hypertables: list[tuple[str, str]] = []
    # As `report` is, all are: an extension that came later changes nothing.
    made = conn.execute("SELECT relkind = 'r' FROM pg_class WHERE oid = to_regclass('report')").fetchone()
    if made[0] if made else has_timescaledb(conn):
        conn.execute("CREATE EXTENSION IF NOT EXISTS timescaledb")
        hypertables = _PARTITIONED.findall(sql)
        sql = re.sub(r"^\) PARTITION BY RANGE .*;", ");", sql, flags=re.MULTILINE)
    conn.execute(sql.encode())
    for table, column in hypertables:
        conn.execute(
            "SELECT create_hypertable(%s::regclass, by_range(%s, %s::interval), create_default_indexes => false,"
            " migrate_data => true)",
            (table, column, CHUNK_INTERVAL),
        )
    conn.execute("INSERT INTO schema_version VALUES (%s, %s)", (number, datetime.now(UTC)))


def _fill_names(conn: psycopg.Connection) -> None:
    """The nomenclature as tables, for those who read by SQL."""
    with conn.transaction(), conn.cursor() as cursor:
        for table, rows in _names().items():
            cursor.execute(f"DELETE FROM {table}".encode())
            with cursor.copy(f"COPY {table} FROM STDIN".encode()) as copy:
                for row in rows:
                    copy.write_row(row)


@cache
def _names() -> Mapping[str, Sequence[tuple[object, ...]]]:
    """Rows by table. Each metric in each unit takes a tenth of a second, and nothing changes them in one process."""
    metrics = [
        (m.code, m.reference_id, m.short, m.en, m.zh, UNIT_BY_REFERENCE_ID[m.unit].ucum, m.loinc) for m in METRICS
    ]
    units = [(u.code, u.reference_id, u.ucum) for u in UNITS]
    stored = [
        (m.code, unit, canonical.code, canonical.ucum)
        for m in METRICS
        for unit in (0, *UNIT_BY_CODE)
        if (canonical := canonical_unit(m.code, unit)) is not None
    ]
    return {
        "metric": metrics, "unit": units, "metric_unit": stored, "chart_item": list(_chart_items()),
        "unit_name": list(UNITS_ZH.items()),
    }  # fmt: skip


def _chart_items() -> Iterator[tuple[object, ...]]:
    metrics = {metric.reference_id: metric for metric in METRICS}
    for key in (*metrics, *ITEMS):
        item, metric, element = item_of(key), metrics.get(key), DATA_ELEMENTS.get(key)
        code = None if metric is None or is_private(metric.code) else metric.code
        loinc = ITEM_LOINC.get(key) if metric is None else metric.loinc
        standard = (None, None) if element is None else (element.code, element.name)
        yield (key, item.en, item.zh, item.unit, code, loinc, *standard)
