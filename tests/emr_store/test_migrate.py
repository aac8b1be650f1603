from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from clinical.chart import EntryKey, Origin, Source, Status, Version
from emr_store import chart_entries
from emr_store.chart_entries import NewVersion, new_entry_id
from emr_store.connect import open_store
from emr_store.instants import us_of
from emr_store.migrate import CHUNK_INTERVAL, has_timescaledb, migrate, migrations
from schemas.errors import VitalwireError
from schemas.nomenclature import METRICS, UNIT_BY_REFERENCE_ID
from schemas.report import Alarm, Kind, Record, RecordKind, Samples
from tests.making import T0_US, report
from tests.storing import Store

NUMBERS = [number for number, _ in migrations()]


@pytest.fixture
def database(empty_database: str) -> str:
    """Without a schema: these tests are about its making."""
    return empty_database


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
        etco2 = conn.execute("SELECT unit, stored, ucum FROM metric_unit WHERE code = 151708 ORDER BY 1").fetchall()
    assert sorted(found) == sorted((m.code, m.short, m.zh) for m in METRICS)
    code = {name: UNIT_BY_REFERENCE_ID[f"MDC_DIM_{name}"].code for name in ("MMHG", "KILO_PASCAL", "PERCENT")}
    stored = {unit: (canonical, ucum) for unit, canonical, ucum in etco2}
    assert stored[code["KILO_PASCAL"]] == stored[code["MMHG"]] == (code["MMHG"], "mm[Hg]")
    assert stored[code["PERCENT"]] == (code["PERCENT"], "%")


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


def as_the_first_edition_left_it(database: str, *versions: int) -> None:
    with open_store(database) as conn:
        conn.execute("CREATE TABLE schema_version (version int PRIMARY KEY, applied_at timestamptz NOT NULL)")
        for version in versions:
            conn.execute("INSERT INTO schema_version VALUES (%s, now())", [version])
        conn.execute("CREATE TABLE batch (batch bigint PRIMARY KEY, sealed bytea NOT NULL)")


@pytest.mark.parametrize("versions", [(1,), (1, 2), (1, 2, 3)])  # its second form had a migration 3 too
def test_a_database_of_the_first_edition_is_refused_in_words_and_left_alone(
    database: str, versions: tuple[int, ...]
) -> None:
    as_the_first_edition_left_it(database, *versions)
    with pytest.raises(VitalwireError, match=r"made by the first edition of vitalwire.* name a new, empty database$"):
        migrate(database)
    with open_store(database) as conn:
        assert [r[0] for r in conn.execute("SELECT version FROM schema_version ORDER BY 1")] == [*versions]
        assert conn.execute("SELECT to_regclass('seal')").fetchone() == (None,)


def test_an_extension_that_comes_later_changes_nothing(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert migrate(database) == NUMBERS
    later = (NUMBERS[-1] + 1, "CREATE TABLE later (\n    at timestamptz NOT NULL\n) PARTITION BY RANGE (at);\n")
    known = [*migrations(), later]
    monkeypatch.setattr("emr_store.migrate.migrations", lambda: known)
    monkeypatch.setattr("emr_store.migrate.has_timescaledb", lambda conn: True)
    assert migrate(database) == [NUMBERS[-1] + 1]
    with open_store(database) as conn:
        assert conn.execute("SELECT relkind FROM pg_class WHERE relname = 'later'").fetchone() == ("p",)
    assert Store(database).emit(report()).reports == 1  # partitions beside partitions


@pytest.mark.parametrize("parts", ["embedded", pytest.param("real", marks=pytest.mark.integration)])
def test_every_kind_of_report_has_its_table(parts: str, database: str) -> None:
    samples = Record(150452, kind=RecordKind.SAMPLES, samples=Samples(256, 1, 1, 0, 0, b"ab"))
    alarm = Record(150456, kind=RecordKind.ALARM, alarm=Alarm("low"))
    store = Store(database)
    store.emit(report(), report(kind=Kind.WAVEFORM, records=[samples]), report(kind=Kind.ALARM, records=[alarm]))
    assert store.rows("SELECT (SELECT count(*) FROM waveform), (SELECT count(*) FROM device_alarm)") == [(1, 1)]


@pytest.mark.integration
def test_reports_are_a_hypertable_with_timescaledb(database: str) -> None:
    store = Store(database)
    day_us = 86_400_000_000
    store.emit(*(report(at_us=T0_US - 30 * day_us * i) for i in range(3)))
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
        expected = [datetime.fromtimestamp((midnight_us - 30 * day_us * i) / 1e6, UTC) for i in range(3)]
        assert buckets == [(moment, 1) for moment in expected]
        assert conn.execute("SELECT count(*) FROM show_chunks('report')").fetchone() == (3,)
        conn.execute("SELECT drop_chunks('report', %s::timestamptz)", [expected[1]])
        assert conn.execute("SELECT count(*) FROM report").fetchone() == (2,)
        # Partitions of ours would stand in the way of the chunks.
        assert conn.execute("SELECT count(*) FROM pg_class WHERE relname ~ '^report_[0-9]{4}'").fetchone() == (0,)


def migrate_up_to(number: int, database: str) -> None:
    """As a program left it that knew no newer ones."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("emr_store.migrate.migrations", lambda: [each for each in migrations() if each[0] <= number])
        for of_the_newest in ("emr_store.migrate._fill_names", "emr_store.roles.ensure"):
            patched.setattr(of_the_newest, lambda conn: None)
        migrate(database)


def test_encounters_that_were_computed_without_classes_wait_to_be_computed_anew(database: str) -> None:
    migrate_up_to(9, database)
    with open_store(database) as conn:
        for key, body in (("visit:old", '{"key":"visit:old"}'), ("visit:new", '{"key":"visit:new","classes":[]}')):
            conn.execute(
                "INSERT INTO encounter (encounter, patients, open, absent, body, recorded)"
                " VALUES (%s, '{}', '{}', '{}', %s, tstzrange(now(), NULL))",
                (key, body),
            )
    migrate(database)
    with open_store(database) as conn:
        assert conn.execute("SELECT encounter FROM attribution_encounter").fetchall() == [("visit:old",)]


def test_a_chart_that_was_written_before_its_index_is_read_by_it(database: str) -> None:
    migrate_up_to(10, database)
    at = datetime(2026, 3, 1, tzinfo=UTC)
    key = EntryKey("visit:V1^H", "MDC_PULS_OXIM_SAT_O2", us_of(at))
    version = Version(
        number=1, status=Status.PRELIMINARY, origin=Origin.DEVICE, value=97.5, text="", unit="%", decimals=1,
        observed_at_us=key.at_us, sources=(Source(bytes(32), 0, 0),), reason="last valid", act_id=None, by_time=False,
        recorded_at_us=key.at_us,
    )  # fmt: skip
    with open_store(database) as conn:
        chart_entries.append(conn, [NewVersion(new_entry_id(), key, 1, version)])
    assert migrate(database) == [number for number in NUMBERS if number > 10]
    with open_store(database) as conn:
        (found,) = chart_entries.summaries(conn, key.encounter, at, at + timedelta(seconds=1))
        with pytest.raises(psycopg.errors.UniqueViolation):
            chart_entries.append(conn, [NewVersion(new_entry_id(), key, 1, version)])
    assert (found.item, found.at_us, found.value) == (key.item, key.at_us, 97.5)
