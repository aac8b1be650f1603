from datetime import UTC, datetime
from uuid import UUID

import msgspec
import pytest

from emr_store import conservation, proof
from emr_store.device_state import clock_offset_ms
from emr_store.latest import latest as latest_values
from schemas.block import ValidationResult
from schemas.report import (
    Alarm,
    AlarmKind,
    AlarmPriority,
    AlarmState,
    AsSent,
    ChannelWords,
    Kind,
    Mark,
    Record,
    RecordKind,
    Report,
    Samples,
    Validity,
    device_id,
)
from tests.making import PERCENT, SPO2, T0_US, report
from tests.storing import EDGE, Store, event
from tests.verifying import masked

MONITOR = "site:monitor:1"
TEMP, DEGC, FAHR, CELSIUS_PER_HOUR = 150344, 268192, 266560, 99
LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)
SECOND = 1_000_000


@pytest.fixture
def store(database: str) -> Store:
    return Store(database)


def alarm(**changed: object) -> Report:
    stated = msgspec.structs.replace(
        Alarm("MDC_EVT_LO", AlarmState.ACTIVE, AlarmPriority.HIGH, AlarmKind.PHYSIOLOGICAL, T0_US - SECOND, (90, 0),
              (1000, -1), latched=True, text="SpO2 85 < 90"), **changed,
    )  # fmt: skip
    record = Record(SPO2, PERCENT, 7, RecordKind.ALARM, mantissa=196674, alarm=stated, as_sent=AsSent("MDC", "1^a", ""))
    return report(MONITOR, T0_US, [record], Kind.ALARM)


def test_an_alarm_of_a_device_is_a_row_with_all_that_it_says(store: Store) -> None:
    store.emit(alarm())
    assert store.rows(
        "SELECT device, metric, channel, sent_code, condition_code, condition, active, priority, kind,"
        " (extract(epoch FROM since) * 1e6)::int8, low, high, unit, latched, audio_paused, text, training"
        " FROM alarm_observation"
    ) == [
        (device_id(MONITOR), "MDC_PULS_OXIM_SAT_O2", 7, "1^a", 196674, "MDC_EVT_LO", True, "high", "physiological",
         T0_US - SECOND, 90.0, 100.0, "%", True, False, "SpO2 85 < 90", False)
    ]  # fmt: skip
    assert store.rows("SELECT count(*) FROM observation") == [(0,)]  # an alarm is no value


@pytest.mark.parametrize("since_us", [None, 2**63 - 1, -(2**63) + 1])
def test_an_instant_that_no_calendar_has_is_not_kept_as_one(store: Store, since_us: int | None) -> None:
    store.emit(alarm(since_us=since_us, low=None, high=None, condition="a\x00b"))
    assert store.rows("SELECT since, low, high, condition FROM device_alarm") == [(None, None, None, "a␀b")]


def test_a_setting_is_a_row_in_the_canonical_unit_and_no_value(store: Store) -> None:
    records = [
        Record(TEMP, FAHR, 3, mantissa=1004, exponent=-1),
        Record(kind=RecordKind.CODE, mantissa=2, text="SIMV", as_sent=AsSent("99V", "mode", "")),
        Record(TEMP, DEGC, 3, validity=Validity.NOT_AVAILABLE, text=b"\xff", marks=Mark.TRAINING),
        Record(TEMP, CELSIUS_PER_HOUR, mantissa=5),
    ]
    store.emit(report(MONITOR, T0_US, records, Kind.SETTING))
    found = store.rows("SELECT metric, channel, sent_code, round(value::numeric, 6)::float8, unit, text, training"
                       " FROM setting_observation ORDER BY record")  # fmt: skip
    assert found == [
        ("MDC_TEMP", 3, None, 38.0, "Cel", None, False),
        (None, 0, "mode", 2.0, None, "SIMV", False),
        ("MDC_TEMP", 3, None, None, "Cel", "\\xff", True),
        ("MDC_TEMP", 0, None, 5.0, None, None, False),
    ]
    with store.open() as conn:
        assert latest_values(conn) == []
        (stream,) = conservation.streams(conn)
        assert (stream.accepted, stream.doubtful, stream.unmapped, stream.missing) == (0, 0, 0, 0)


def described(at_us: int, *stated: tuple[int, ChannelWords | str]) -> Report:
    records = [
        Record(TEMP, channel=channel, kind=RecordKind.TEXT,
               text=words if isinstance(words, str) else msgspec.json.encode(words).decode())
        for channel, words in stated
    ]  # fmt: skip
    return report(MONITOR, at_us, records, Kind.DESCRIPTION)


def test_the_words_of_a_channel_are_kept_with_when_they_were_first_said(store: Store) -> None:
    t1, t2 = ChannelWords(("69854", "69855"), "T1", "axilla\x00"), ChannelWords(label="T2")
    store.emit(described(T0_US, (t1.number, t1), (t2.number, t2), (t1.number, t1)))
    store.emit(described(T0_US + SECOND, (t1.number, t1)), described(T0_US - SECOND, (t2.number, t2)))
    store.emit(described(T0_US, (5, "no words"), (6, '{"label": 7}')))  # in the report's texts alone
    assert store.rows(
        "SELECT channel, code, words, (extract(epoch FROM since) * 1e6)::int8 FROM channel ORDER BY words ->> 'label'"
    ) == [
        (t1.number, TEMP, {"path": ["69854", "69855"], "label": "T1", "body_site": "axilla␀"}, T0_US),
        (t2.number, TEMP, {"label": "T2"}, T0_US - SECOND),
    ]


def test_two_word_lists_with_one_number_are_two_rows(store: Store) -> None:
    store.emit(described(T0_US, (5, ChannelWords(label="T1")), (5, ChannelWords(label="T2"))))
    assert store.rows("SELECT channel, words ->> 'label' FROM channel ORDER BY 2") == [(5, "T1"), (5, "T2")]


def test_the_newest_offset_of_an_edges_clock_is_kept(store: Store) -> None:
    claim = f"edge:{UUID(bytes=EDGE)}"
    for at_us, counts in (
        (T0_US, '{"clock_offset_ms": -1500.5, "waiting": 1}'), (T0_US - SECOND, '{"clock_offset_ms": 7}'),
        (T0_US + SECOND, '{"waiting": 1}'), (T0_US + SECOND, "no json"),
    ):  # fmt: skip
        store.emit(event(claim, "counts", counts, at_us))
    assert store.rows("SELECT edge, offset_ms FROM edge_clock") == [(UUID(bytes=EDGE), -1500.5)]
    assert clock_offset_ms('{"clock_offset_ms": "soon"}') is None


def test_a_clock_that_was_put_right_is_said_to_be_right(store: Store) -> None:
    hour_us, now_us = 3600 * SECOND, int(datetime.now(UTC).timestamp()) * SECOND
    ahead = f"edge:{UUID(bytes=EDGE)}"
    store.emit(event(ahead, "counts", '{"clock_offset_ms": 3600000}', now_us + hour_us))
    store.rows("UPDATE edge_clock SET at = at - interval '10 s' RETURNING 1")  # the counts are said every ten seconds
    store.emit(event(ahead, "counts", '{"clock_offset_ms": 0.5}', now_us))
    assert store.rows("SELECT offset_ms FROM edge_clock") == [(0.5,)]


def test_a_value_says_its_bound_its_marks_and_its_words(store: Store) -> None:
    records = [
        Record(SPO2, PERCENT, 1, RecordKind.BOUND, mantissa=70, marks=Mark.LESS | Mark.OR_EQUAL | Mark.AMBIGUOUS,
               validity=Validity.QUESTIONABLE),
        Record(SPO2, PERCENT, 2, mantissa=97, marks=Mark.CORRECTION, note="finger"),
        Record(SPO2, PERCENT, 3, mantissa=96, marks=Mark.WITHDRAWAL),
        Record(SPO2, PERCENT, 4, mantissa=95, marks=Mark.TRAINING),
        Record(SPO2, 0, 5, RecordKind.CODE, mantissa=3, text="searching"),
        Record(TEMP, FAHR, 6, RecordKind.BOUND, mantissa=95, marks=Mark.GREATER),
        Record(SPO2, 0, 7, RecordKind.CODE, mantissa=4),
    ]  # fmt: skip
    store.emit(report(records=records))
    found = store.rows(
        "SELECT channel, value, bound, unit, validity, ambiguous, correction, withdrawal, training, validation_result,"
        " text, note"
        " FROM observation ORDER BY record"
    )
    assert found == [
        (1, 70.0, "<=", "%", 1, True, False, False, False, ValidationResult.DOUBTFUL_VALIDITY, None, None),
        (2, 97.0, None, "%", 0, False, True, False, False, ValidationResult.ACCEPTED, None, "finger"),
        (3, 96.0, None, "%", 0, False, False, True, False, ValidationResult.WITHDRAWN, None, None),
        (4, 95.0, None, "%", 0, False, False, False, True, ValidationResult.DOUBTFUL_TRAINING, None, None),
        (5, None, None, None, 0, False, False, False, False, ValidationResult.ACCEPTED_CODE, "searching", None),
        (6, 35.0, ">", "Cel", 0, False, False, False, False, ValidationResult.ACCEPTED_BOUND, None, None),
        (7, None, None, None, 0, False, False, False, False, ValidationResult.ACCEPTED_CODE, "4", None),
    ]
    with store.open() as conn:
        latest = {v.channel: (v.value, v.bound, v.text, v.validity, v.ambiguous) for v in latest_values(conn)}
    assert latest == {
        1: (70.0, "<=", None, 1, True), 2: (97.0, None, None, 0, False), 3: (96.0, None, None, 0, False),
        4: (95.0, None, None, 0, False), 5: (None, None, "searching", 0, False), 6: (35.0, ">", None, 0, False),
        7: (None, None, "4", 0, False),
    }  # fmt: skip


def test_a_withdrawal_takes_the_place_of_the_value_of_its_moment(store: Store) -> None:
    def spo2(marks: Mark, *more: Record) -> Report:
        return report(records=[Record(SPO2, PERCENT, 2, mantissa=97, marks=marks), *more])

    store.emit(spo2(Mark(0), Record(TEMP, DEGC, mantissa=37)))
    later = spo2(Mark.WITHDRAWAL)
    store.emit(msgspec.structs.replace(later, received_at_us=later.received_at_us + SECOND))
    with store.open() as conn:
        assert {v.code: v.validation_result for v in latest_values(conn)} == {
            SPO2: ValidationResult.WITHDRAWN,
            TEMP: ValidationResult.ACCEPTED,
        }


CHANGES = [
    ("UPDATE device_alarm SET low = 80", "device_alarm: its row is gone"),
    ("UPDATE device_alarm SET priority = 1", "device_alarm: its row is gone"),
    ("UPDATE device_alarm SET since = since + interval '1 s'", "device_alarm: its row is gone"),
    ("DELETE FROM device_alarm", "device_alarm: its row is gone"),
    ("INSERT INTO device_alarm SELECT * FROM device_alarm", "device_alarm: a row that no report stands behind"),
    ("UPDATE device_setting SET value = 1", "device_setting: its row is gone"),
    ("UPDATE device_setting SET batch = 2", "device_setting: its row is gone"),
    ("UPDATE waveform SET first_sample = 0", "waveform: its row is gone"),
    ("UPDATE waveform SET channel = 9", "waveform: its row is gone"),
    ("UPDATE report SET validity = '{1,0}' WHERE kind = 1", "the row's validity"),
    ("UPDATE report SET validity = NULL WHERE kind = 1", "the row's validity"),
    ("UPDATE channel_set SET channels = overlay(channels placing '\\x09' from 9) WHERE length(channels) = 24",
     "the row's channel_set is not"),
    ("UPDATE channel_set SET channel[1] = 9 WHERE length(channels) = 24", "list is not its bytes"),
    ("UPDATE channel_set SET unit[1] = 9 WHERE length(channels) = 24", "list is not its bytes"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "where"), CHANGES)
def test_verify_names_what_is_wrong_with_the_other_tables(store: Store, change: str, where: str) -> None:
    wave = Record(150452, kind=RecordKind.SAMPLES, channel=3, samples=Samples(256, 1, 1, 0, 0, bytes(8), 512))
    marked = [Record(SPO2, PERCENT, 1, mantissa=97, marks=Mark.AMBIGUOUS), Record(SPO2, PERCENT, 2, mantissa=98)]
    store.emit(
        alarm(),
        report(records=[Record(TEMP, FAHR, mantissa=100)], kind=Kind.SETTING),
        report(records=[wave], kind=Kind.WAVEFORM),
        report(records=marked),
    )
    store.emit(report("another", records=[Record(SPO2, PERCENT, mantissa=1)]))
    with store.open() as conn:
        result = proof.verify(conn, LONG_AGO)
        assert result.findings == []
        assert [result.counts[table] for table in ("waveform", "device_alarm", "device_setting")] == [1, 1, 1]
        conn.execute(change.encode())
        findings = proof.verify(conn, LONG_AGO).findings
        assert any(where in f.what for f in findings), findings


def test_a_row_that_names_a_batch_without_any_is_found(store: Store) -> None:
    store.emit(alarm())
    store.emit(report())
    with store.open() as conn:
        conn.execute("INSERT INTO device_alarm SELECT * FROM device_alarm")
        conn.execute("UPDATE device_alarm SET batch = 2 WHERE ctid = (SELECT max(ctid) FROM device_alarm)")
        (finding,) = proof.verify(conn, LONG_AGO).findings
        assert masked(finding.where) == "batch ID (edge 45454545, live, number 2) leaf 0 record 0"
        assert finding.what == "device_alarm: a row that no report stands behind"
