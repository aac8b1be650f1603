from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import psycopg
import pytest

from emr_store.connect import open_store
from emr_store.migrate import CHUNK_INTERVAL, has_timescaledb, migrate, migrations
from schemas.errors import VitalwireError
from schemas.nomenclature import METRICS
from tests.making import T0_US, report
from tests.storing import Store

NUMBERS = [number for number, _ in migrations()]


def test_a_fresh_database_gets_every_migration_once(database: str) -> None:
    assert migrate(database) == NUMBERS
    assert migrate(database) == []
    with open_store(database) as conn:
        assert [r[0] for r in conn.execute("SELECT version FROM schema_version ORDER BY 1")] == NUMBERS


def test_the_names_of_metrics_are_this_programs(database: str) -> None:
    migrate(database)
    with open_store(database) as conn:
        conn.execute("UPDATE metric SET short = 'old'")
        conn.execute("DELETE FROM metric WHERE code = (SELECT min(code) FROM metric)")
    migrate(database)
    with open_store(database) as conn:
        found = conn.execute("SELECT code, short, zh FROM metric").fetchall()
    assert sorted(found) == sorted((m.code, m.short, m.zh) for m in METRICS)


def test_a_newer_schema_is_refused_and_left_alone(database: str) -> None:
    migrate(database)
    with open_store(database) as conn:
        conn.execute("INSERT INTO schema_version VALUES (%s, now())", [NUMBERS[-1] + 1])
        conn.execute("DELETE FROM metric")
    with pytest.raises(VitalwireError, match=rf"version {NUMBERS[-1] + 1}, this program knows {NUMBERS[-1]}: install"):
        migrate(database)
    with open_store(database) as conn:
        assert conn.execute("SELECT count(*) FROM metric").fetchone() == (0,)


def test_of_two_runners_at_once_one_works_and_one_waits(database: str) -> None:
    with ThreadPoolExecutor(3) as pool:
        applied = sorted(pool.map(migrate, [database] * 3))
    assert applied == [[], [], NUMBERS]


def test_a_migration_that_fails_leaves_nothing(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = [*migrations(), (NUMBERS[-1] + 1, "CREATE TABLE half (a int); CREATE TABLE half (a int);")]
    with monkeypatch.context() as patched:
        patched.setattr("emr_store.migrate.migrations", lambda: broken)
        with pytest.raises(psycopg.errors.DuplicateTable):
            migrate(database)
    with open_store(database) as conn:
        assert conn.execute("SELECT to_regclass('half')").fetchone() == (None,)
    assert migrate(database) == []


@pytest.mark.parametrize("parts", ["embedded", pytest.param("real", marks=pytest.mark.integration)])
def test_what_was_stored_before_retention_is_kept(parts: str, database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    first = migrations()[:1]
    with monkeypatch.context() as patched:
        patched.setattr("emr_store.migrate.migrations", lambda: first)
        assert migrate(database) == [1]
    with open_store(database) as conn:
        if not has_timescaledb(conn):
            conn.execute("CREATE TABLE report_2026_09 PARTITION OF report FOR VALUES FROM ('2026-09-01T00:00Z')"
                         " TO ('2026-10-01T00:00Z')")  # fmt: skip
        conn.execute("INSERT INTO report SELECT t, t, 1, 1, 1, 0, 1, 1, 0, '{97}' FROM to_timestamp(%s) AS t",
                     [T0_US // 10**6])  # fmt: skip
        conn.execute("INSERT INTO waveform SELECT 1, observed_at, 150452, 0, 1, 0, 0 FROM report")
        conn.execute("INSERT INTO report_minute SELECT 1, date_trunc('minute', observed_at), 1, 1, value, value, value,"
                     " value FROM report")  # fmt: skip
    assert migrate(database) == NUMBERS[1:]
    with open_store(database) as conn:
        assert conn.execute("SELECT code FROM waveform").fetchall() == [(150452,)]
        assert conn.execute("SELECT minute FROM minute_touched").fetchall() == conn.execute(
            "SELECT date_trunc('minute', observed_at) FROM report"
        ).fetchall()  # fmt: skip
        assert conn.execute("SELECT first_stored_at = 'epoch', last_stored_at > now() - interval '1 min'"
                            " FROM day_stored").fetchall() == [(True, True)]  # fmt: skip
        conn.execute("INSERT INTO report_minute SELECT devices[1], minute, 1, '{1}', '{97}', '{97}', '{97}', '{97}'"
                     " FROM minute_touched")  # fmt: skip


def test_an_extension_that_comes_later_changes_nothing(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    first, every = migrations()[:1], migrations()
    monkeypatch.setattr("emr_store.migrate.migrations", lambda: first)
    migrate(database)
    monkeypatch.setattr("emr_store.migrate.migrations", lambda: every)
    monkeypatch.setattr("emr_store.migrate.has_timescaledb", lambda conn: True)
    migrate(database)
    assert Store(database).say(report()).reports == 1  # partitions beside partitions


@pytest.mark.integration
def test_reports_are_a_hypertable_with_timescaledb(database: str) -> None:
    store = Store(database)
    day_us = 86_400_000_000
    store.say(*(report(at_us=T0_US - 30 * day_us * i) for i in range(3)))
    with store.open() as conn:
        assert has_timescaledb(conn)
        intervals = conn.execute(
            "SELECT time_interval FROM timescaledb_information.dimensions WHERE hypertable_name = 'report'"
        ).fetchall()
        assert conn.execute("SELECT %s::interval", [CHUNK_INTERVAL]).fetchall() == intervals
        buckets = conn.execute(
            "SELECT time_bucket('1 day', observed_at), count(*) FROM report GROUP BY 1 ORDER BY 1 DESC"
        ).fetchall()
        midnight_us = T0_US // day_us * day_us
        wanted = [datetime.fromtimestamp((midnight_us - 30 * day_us * i) / 1e6, UTC) for i in range(3)]
        assert buckets == [(moment, 1) for moment in wanted]
        assert conn.execute("SELECT count(*) FROM show_chunks('report')").fetchone() == (3,)
        conn.execute("SELECT drop_chunks('report', %s::timestamptz)", [wanted[1]])
        assert conn.execute("SELECT count(*) FROM report").fetchone() == (2,)
        # Partitions of ours would stand in the way of the chunks.
        assert conn.execute("SELECT count(*) FROM pg_class WHERE relname ~ '^report_[0-9]{4}'").fetchone() == (0,)
