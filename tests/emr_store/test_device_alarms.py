from datetime import UTC, datetime

import pytest

from emr_store.device_alarms import active_alarms
from schemas.report import Alarm, AlarmState, Kind, Record, RecordKind, Report, device_id
from tests.making import SPO2, report
from tests.storing import Store

CLAIM, SECOND = "monitor", 1_000_000


@pytest.fixture
def store(database: str) -> Store:
    return Store(database)


def alarm(state: AlarmState, at_us: int) -> Report:
    return report(CLAIM, at_us, [Record(SPO2, kind=RecordKind.ALARM, alarm=Alarm("low", state=state))], Kind.ALARM)


def is_active(store: Store) -> bool:
    with store.open() as conn:
        return bool(active_alarms(conn, device_id(CLAIM)))


def test_what_the_device_said_last_counts(store: Store) -> None:
    now_us = int(datetime.now(UTC).timestamp()) * SECOND
    store.emit(alarm(AlarmState.ACTIVE, now_us - 9 * SECOND))
    assert is_active(store)
    store.emit(alarm(AlarmState.INACTIVE, now_us - 5 * SECOND))
    store.emit(alarm(AlarmState.ACTIVE, now_us - 7 * SECOND))  # it was sent late
    assert not is_active(store)


def test_an_alarm_of_a_clock_that_was_ahead_ends_when_the_clock_was_put_right(store: Store) -> None:
    now_us = int(datetime.now(UTC).timestamp()) * SECOND
    store.emit(alarm(AlarmState.ACTIVE, now_us + 3600 * SECOND))
    assert is_active(store)
    # A second later by the clock that is right: nothing that was said is newer than when it was stored.
    store.rows("UPDATE batch SET stored_at = stored_at - interval '10 s' RETURNING 1")
    store.emit(alarm(AlarmState.INACTIVE, now_us))
    assert not is_active(store)
