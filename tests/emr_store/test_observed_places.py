"""What people read of stored reports: the bed of the moment, and what came through another edge."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import psycopg
import pytest

from emr_store import device_alarms, latest, places, registry, retention, roles
from emr_store.connect import open_store_async, with_role
from schemas.report import Alarm, AlarmState, Kind, Record, RecordKind, Report, device_id, heard_as
from tests.faults.clusters import Server
from tests.making import PERCENT, SPO2, T0_US, report
from tests.storing import EDGE, Store, event

T0 = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=T0_US)
HOUR_US = 3_600_000_000
CLAIM, OTHER = "icu:monitor:7", b"O" * 16
FOREIGN = "SELECT edge, foreign_edge, bed, value FROM observation WHERE code = 150456 ORDER BY value"


@pytest.fixture
def store(database: str) -> Store:
    return Store(database)


def spo2(percent: int) -> Record:
    return Record(SPO2, PERCENT, mantissa=percent)


def test_what_was_stored_before_a_move_stays_at_its_bed_and_late_data_finds_it(store: Store) -> None:
    store.emit(event(CLAIM, "connected", ""), report(CLAIM, T0_US, [spo2(97)]))
    with store.open() as conn:
        places.assign(conn, CLAIM, "ICU-01", name="监护仪7", since=T0)
        places.move(conn, CLAIM, "ICU-02", since=T0 + timedelta(hours=2))
    store.emit(
        report(CLAIM, T0_US + 3 * HOUR_US, [spo2(93)]),
        report(CLAIM, T0_US + 1 * HOUR_US, [spo2(95)]),  # sent after the move, measured before it
        report(CLAIM, T0_US - 1 * HOUR_US, [spo2(99)]),
    )
    found = store.rows(
        "SELECT value, bed, device_name, foreign_edge FROM observation WHERE code = 150456 ORDER BY value"
    )
    assert found == [
        (93, "ICU-02", "监护仪7", False), (95, "ICU-01", "监护仪7", False), (97, "ICU-01", "监护仪7", False),
        (99, None, "监护仪7", False),
    ]  # fmt: skip
    with store.open() as conn:
        (newest,) = latest.latest(conn)
    assert (newest.value, newest.bed, newest.registered, newest.foreign_edge) == (93, "ICU-02", True, False)


def test_alarms_and_settings_have_the_bed_of_their_moment(store: Store) -> None:
    alarm = Record(SPO2, kind=RecordKind.ALARM, alarm=Alarm("low"))
    setting = Record(SPO2, PERCENT, mantissa=90)
    store.emit(
        event(CLAIM, "connected", ""),
        report(CLAIM, T0_US, [alarm], Kind.ALARM), report(CLAIM, T0_US + 3 * HOUR_US, [alarm], Kind.ALARM),
        report(CLAIM, T0_US, [setting], Kind.SETTING), report(CLAIM, T0_US + 3 * HOUR_US, [setting], Kind.SETTING),
    )  # fmt: skip
    with store.open() as conn:
        places.assign(conn, CLAIM, "ICU-01", since=T0)
        places.move(conn, CLAIM, "ICU-02", since=T0 + timedelta(hours=2))
    for view in ("alarm_observation", "setting_observation"):
        found = store.rows(f"SELECT bed, foreign_edge FROM {view} ORDER BY observed_at")
        assert found == [("ICU-01", False), ("ICU-02", False)], view


def test_a_device_that_nobody_registered_has_no_bed_and_no_edge_of_its_own(store: Store) -> None:
    store.emit(report(CLAIM, T0_US, [spo2(97)]))
    Store(store.address, OTHER).emit(report(CLAIM, T0_US, [spo2(96)]))
    assert [row[1:3] for row in store.rows(FOREIGN)] == [(False, None)] * 2


def test_another_edge_that_claims_an_assigned_monitor_never_writes_onto_it(store: Store) -> None:
    store.emit(event(CLAIM, "connected", ""), report(CLAIM, T0_US, [spo2(97)]))
    with store.open() as conn:
        places.assign(conn, CLAIM, "ICU-01", since=T0)
    thief = Store(store.address, OTHER)
    thief.emit(event(CLAIM, "connected", ""), report(CLAIM, T0_US + 1_000_000, [spo2(50)]))
    # Stored and shown where the monitor stands, and marked.
    assert store.rows(FOREIGN) == [
        (UUID(bytes=OTHER), True, "ICU-01", 50), (UUID(bytes=EDGE), False, "ICU-01", 97)
    ]  # fmt: skip
    # The monitor's own newest value, its count and its minutes are what its own edge said.
    with store.open() as conn:
        assert [(v.value, v.foreign_edge) for v in latest.latest(conn)] == [(97, False), (50, True)]
    counted = store.rows("SELECT edge, last, q.stored FROM sequence q JOIN device USING (device) ORDER BY edge")
    assert counted == [(UUID(bytes=EDGE), 2, 2), (UUID(bytes=OTHER), 2, 2)]
    touched = store.rows("SELECT array_agg(DISTINCT d) FROM minute_touched, unnest(devices) AS d")
    assert touched == [([1, 2],)]


def test_people_agree_and_what_came_meanwhile_is_believed_from_then_on(store: Store) -> None:
    store.emit(event(CLAIM, "connected", ""), report(CLAIM, T0_US, [spo2(97)]))
    with store.open() as conn:
        places.assign(conn, CLAIM, "ICU-01", since=T0)
    moved = Store(store.address, OTHER)
    moved.emit(event(CLAIM, "connected", ""))
    moved.emit(report(CLAIM, T0_US + HOUR_US, [spo2(95)]), report(CLAIM, T0_US + 3 * HOUR_US, [spo2(94)]))
    with store.open() as conn:
        places.agree(conn, CLAIM, UUID(bytes=OTHER), since=T0 + timedelta(hours=2))
    assert [(row[3], row[1]) for row in store.rows(FOREIGN)] == [(94, False), (95, True), (97, False)]
    with store.open() as conn:
        places.agree(conn, CLAIM, UUID(bytes=OTHER))
    assert {row[1] for row in store.rows(FOREIGN)} == {False}


def test_one_transaction_may_hold_what_two_edges_say_of_one_device(store: Store) -> None:
    other = Store(store.address, OTHER)
    other.platform = store.platform
    first, second = store.seal(report(CLAIM, T0_US, [spo2(97)])), other.seal(report(CLAIM, T0_US, [spo2(50)]))
    assert store.write([store.validate(first), other.validate(second)]).batches == 2
    assert [row[0] for row in store.rows(FOREIGN)] == [UUID(bytes=OTHER), UUID(bytes=EDGE)]


@pytest.fixture(params=["embedded", pytest.param("timescaledb", marks=pytest.mark.integration)])
def guarded(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """A store whose groups hold: made by a superuser, or of TimescaleDB by a plain login to which the DBA gave them."""
    if request.param == "embedded":
        yield Store(request.getfixturevalue("database"))
        return
    server = Server(tmp_path, "main")
    try:
        server.make()
        with psycopg.connect(server.address, autocommit=True) as dba:
            dba.execute("CREATE ROLE plain LOGIN")
            for group in roles.GROUPS:
                dba.execute(f"CREATE ROLE {group} NOLOGIN".encode())
                dba.execute(f"GRANT {group} TO plain".encode())
            dba.execute("CREATE DATABASE ward OWNER plain")
        yield Store(f"postgresql://plain@127.0.0.1:{server.port}/ward")
    finally:
        server.stop()


def test_the_writer_and_the_sealer_need_no_more_than_the_writers_rights(guarded: Store) -> None:
    guarded.address = with_role(guarded.address, roles.WRITER)
    guarded.emit(event(CLAIM, "connected", ""), report(CLAIM, T0_US, [spo2(97)]))
    guarded.emit(report(CLAIM, T0_US - 400 * 24 * HOUR_US, [spo2(98)]))  # a month that nobody foresaw
    assert guarded.rows("SELECT current_user::text") == [(roles.WRITER,)]
    for table in ("report", "seal", "batch_body"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            guarded.rows(f"DELETE FROM {table} RETURNING 1")
    with guarded.open() as conn:
        places.assign(conn, CLAIM, "ICU-01", since=T0)
    assert guarded.seal_log() == 5  # the log's begin, two seals, and the acts of the edge and of the bed
    for size in range(3):  # a checkpoint of the same minute takes the place of the one before
        guarded.emit(report(CLAIM, T0_US + size * 1_000_000 + 1, [spo2(97)]))
        assert guarded.seal_log() == 1
    assert guarded.rows("SELECT size FROM checkpoint") == [(8,)]
    assert guarded.rows("SELECT count(*) FROM act WHERE statement IS NULL") == [(0,)]


def test_retention_needs_no_more_than_its_own_rights(guarded: Store) -> None:
    guarded.emit(report(CLAIM, T0_US - 400 * 24 * HOUR_US, [spo2(98)]), report(CLAIM, T0_US, [spo2(97)]))
    guarded.rows(
        "UPDATE day_stored SET last_stored_at = now() - interval '9 days' WHERE day < '2026-01-01' RETURNING 1"
    )

    async def drop() -> list[retention.Dropped]:
        async with await open_store_async(with_role(guarded.address, roles.RETENTION)) as conn:
            return await retention.drop_old(conn, retention.Keep(reports=7))

    assert [dropped.what for dropped in asyncio.run(drop())] == ["report"]
    assert guarded.rows("SELECT value[1] FROM report") == [(97,)]


def test_another_edge_changes_no_name_no_alarm_and_no_detail_of_the_monitor(store: Store) -> None:
    def words(text: str) -> Record:
        return Record(SPO2, kind=RecordKind.TEXT, channel=7, text=json.dumps({"label": text}))

    def alarm(state: AlarmState, at_us: int) -> Report:
        return report(CLAIM, at_us, [Record(SPO2, kind=RecordKind.ALARM, alarm=Alarm("low", state=state))], Kind.ALARM)

    now_us = int(datetime.now(UTC).timestamp()) * 1_000_000
    store.emit(report(CLAIM, T0_US, [spo2(97)]), alarm(AlarmState.ACTIVE, now_us - 60_000_000),
              report(CLAIM, T0_US, [words("left hand")], Kind.DESCRIPTION))  # fmt: skip
    with store.open() as conn:
        places.assign(conn, str(device_id(CLAIM)), "ICU-01", since=T0)
    Store(store.address, OTHER).emit(
        report(CLAIM, T0_US, [spo2(50)]), alarm(AlarmState.INACTIVE, now_us),
        report(CLAIM, T0_US, [words("right hand")], Kind.DESCRIPTION))  # fmt: skip
    with store.open() as conn:
        own, other = (d for d in registry.devices(conn) if d.uuid == device_id(CLAIM))
        assert (own.shown_as, other.foreign_edge) == (own.uuid, True)
        assert other.shown_as == heard_as(other.uuid, other.edge)
        assert places.believed_edges(conn) == {own.uuid.bytes: frozenset({EDGE})}
        labels = latest.channel_labels(conn)
        assert [labels[d.shown_as, SPO2, 7] for d in (own, other)] == ["left hand", "right hand"]
        assert [len(device_alarms.active_alarms(conn, d.shown_as)) for d in (own, other)] == [1, 0]
        assert [[v.value for v in latest.latest(conn, d.shown_as)] for d in (own, other)] == [[97], [50]]
