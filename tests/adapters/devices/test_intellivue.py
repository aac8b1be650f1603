"""The IntelliVue driver over many messages. The bytes of its cases (`cases/intellivue*`) and of these tests are put
together by `tests/adapters/intellivue_bytes.py`, which knows none of our code; `normal` is the guide's worked result.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.devices import intellivue
from adapters.driver import Source
from schemas.batch import encode_report
from schemas.errors import FrameError
from schemas.report import AlarmState, Kind, Lane, RecordKind, Report
from tests.adapters.intellivue_bytes import (
    NOON,
    SPO2_97,
    accept,
    alarm,
    listed,
    mds_create,
    number,
    operation,
    poll_result,
    real,
    sized,
    text,
    u16,
    u32,
)

RECEIVED_AT_US = 1_773_061_509_000_000
LOW = alarm(0x4BB8, 0x3E, 0x0200, words="** SpO2 88<90")
SPECIFICATION = {0x096D: u16(4) + bytes([16, 14]) + u16(0), 0x098D: u32(64)}


def source(**settings: Any) -> Source[intellivue.IntellivueSettings]:
    return Source(
        "bed", intellivue.IntellivueSettings(**settings), time_zone=ZoneInfo("Europe/Berlin"), peer="10.0.0.7",
        received_at_us=RECEIVED_AT_US,
    )  # fmt: skip


def alerts(*entries: bytes, ticks: int = 1) -> bytes:
    return poll_result(0x36, {1: {0x0902: listed(*entries)}}, number=4, sequence=1, ticks=ticks)


def pulse(ticks: int, *, sequence: int = 1, bpm: int = 60) -> bytes:
    return poll_result(6, {1: {0x0950: number(0x4182, real(bpm), 0x0AA0)}}, sequence=sequence, ticks=ticks)


def wave(ticks: int, *, sequence: int = 1) -> bytes:
    array = {0x096E: u16(0x4BB4, 0) + sized(u16(*[7] * 32))} | SPECIFICATION
    return poll_result(9, {2: array}, sequence=sequence, ticks=ticks, number=3)


def of_kind(reports: Any, kind: Kind) -> list[Report]:
    return [report for report in reports if report.kind is kind]


def kinds(reports: Any) -> list[Kind]:
    return [report.kind for report in reports]


def test_an_alarm_outlives_the_connection_so_that_its_end_is_told() -> None:
    before = source()
    assert kinds(intellivue.read(alerts(LOW), before)) == [Kind.ALARM]
    after = source()
    after.lasting = before.lasting
    assert intellivue.read(alerts(LOW), after) == []
    (report,) = intellivue.read(alerts(), after)
    (record,) = report.records
    assert record.alarm is not None
    assert (record.alarm.state, record.alarm.text) == (AlarmState.INACTIVE, "** SpO2 88<90")


def test_an_alarm_that_could_not_be_kept_is_told_once_more() -> None:
    at = source()
    first = list(intellivue.read(alerts(LOW), at))
    at.retract(at.take_emitted())
    assert [r.records for r in intellivue.read(alerts(LOW, ticks=7), at)] == [r.records for r in first]


def test_samples_that_could_not_be_kept_leave_a_gap_that_shows() -> None:
    at = source()

    def first_sample(ticks: int) -> int:
        ((record,),) = [report.records for report in of_kind(intellivue.read(wave(ticks), at), Kind.WAVEFORM)]
        assert record.samples is not None
        return record.samples.first_sample

    assert first_sample(0) == 0
    at.take_emitted()
    assert first_sample(2048) == 32
    at.retract(at.take_emitted())  # the spool was full
    assert first_sample(4096) == 64


def test_a_datagram_that_comes_late_keeps_its_place() -> None:
    at = source()
    places = []
    for ticks in (0, 2048, 6144, 4096, 8192):
        (report,) = of_kind(intellivue.read(wave(ticks), at), Kind.WAVEFORM)
        assert report.lane is Lane.WAVEFORM
        assert report.records[0].samples is not None
        places.append(report.records[0].samples.first_sample)
    assert places == [0, 32, 96, 64, 128]


def test_ticks_wrap_and_the_clock_goes_on() -> None:
    at = source()
    intellivue.read(mds_create({0x0987: NOON, 0x098F: u32(2**32 - 8000)}, ticks=2**32 - 8000), at)
    (report,) = intellivue.read(pulse(8000), at)
    assert report.device_at_us == RECEIVED_AT_US + 2_000_000
    assert report.own_time


def test_a_clock_that_somebody_sets_counts_from_then_on() -> None:
    at = source()
    intellivue.read(mds_create({0x0987: NOON, 0x098F: u32(0)}, ticks=0), at)
    an_hour_later = bytes.fromhex("2026030915050900")
    intellivue.read(poll_result(0x36, {}, absolute=an_hour_later, ticks=8000), at)
    (report,) = intellivue.read(pulse(16_000), at)
    assert report.device_at_us == RECEIVED_AT_US + 3_601_000_000


def test_without_a_zone_a_local_time_is_none() -> None:
    at = source()
    at.time_zone = None
    (report,) = intellivue.read(SPO2_97, at)
    assert (report.observed_at_us, report.device_at_us, report.own_time) == (RECEIVED_AT_US, None, False)


def test_a_cuff_pressure_is_told_once_and_anew_when_it_is_measured_anew() -> None:
    at = source()

    def cuff(stamp: str, value: int = 120, ticks: int = 0) -> bytes:
        attributes = {0x0950: number(0x4A05, real(value), 0x0F20), 0x0990: bytes.fromhex(stamp)}
        return poll_result(6, {1: attributes}, sequence=1, ticks=ticks)

    stamps = ["2026030914000000"] * 3 + ["2026030914100000"]
    told = [kinds(intellivue.read(cuff(stamp, ticks=8000 * n), at)) for n, stamp in enumerate(stamps)]
    assert told == [[Kind.METRIC], [], [], [Kind.METRIC]]
    assert kinds(intellivue.read(cuff("2026030914100000", 121), at)) == [Kind.METRIC]


def test_lost_results_are_told_and_linked_parts_and_renewals_are_none() -> None:
    at = source()
    told = []
    for sequence in (0, 1, 1, 2, 5, 6, 0, 1, 65535):
        events = of_kind(intellivue.read(pulse(8000, sequence=sequence), at), Kind.EVENT)
        told += [record.text for report in events for record in report.records]
    assert told == ["2 results of class 0006 were lost"]
    intellivue.read(pulse(8000, sequence=0), at)
    assert at.counts["results-lost"] == 2


def test_an_association_begins_with_a_clean_sheet() -> None:
    at = source()
    intellivue.read(pulse(8000, sequence=500), at)
    intellivue.read(mds_create({}), at)
    assert kinds(intellivue.read(pulse(9000, sequence=900), at)) == [Kind.METRIC]


def test_patient_and_bed_are_told_together_and_names_never() -> None:
    at = source()
    intellivue.read(mds_create({0x091E: text("ICU 7")}), at)
    patient = {0x0957: u16(2), 0x095A: text("7^evil"), 0x095C: text("Muster"), 0x095D: text("Erika")}
    (report,) = intellivue.read(poll_result(0x2A, {1: patient}), at)
    assert report.kind is Kind.CONTEXT
    said = {(record.as_sent.system, record.as_sent.code): record.text for record in report.records if record.as_sent}
    # A number with HL7's own signs in it would be read as several: it is the monitor's word alone.
    assert said == {
        ("Philips", "patient state"): "admitted", ("Philips", "patient id"): "7^evil", ("Philips", "bed"): "ICU 7",
    }  # fmt: skip
    assert "Muster" not in str(report)
    (moved,) = intellivue.read(mds_create({0x091E: text("ICU 8")}), at)[:1]
    assert [record.text for record in moved.records] == ["admitted", "7^evil", "ICU 8"]


def test_what_is_not_read_is_counted() -> None:
    at = source()
    assert intellivue.read(operation(2, 1, 3, b""), at) == ()
    assert at.counts == {"not-read:operation:2-3": 1}
    for command in range(20, 300):
        intellivue.read(operation(2, 1, command, b""), at)
    assert len(at.counts) == intellivue.COUNTED_NAMES_MAX + 1
    assert at.counts.total() == 281


def test_a_request_that_is_refused_is_told_once_in_an_association() -> None:
    at = source()
    refusal = operation(3, 9, 5, b"")
    assert [kinds(intellivue.read(refusal, at)) for _ in range(2)] == [[Kind.EVENT], []]
    intellivue.read(mds_create({}), at)
    assert kinds(intellivue.read(refusal, at)) == [Kind.EVENT]


def test_a_state_of_an_unknown_layout_is_kept_as_its_bytes() -> None:
    (report,) = intellivue.read(poll_result(5, {1: {0x099E: u16(0xF0D0, 0, 8) + sized(u16(0xBEEF))}}), source())
    assert [(record.kind, record.text) for record in report.records] == [(RecordKind.TEXT, "beef")]


def test_what_is_remembered_of_a_connection_has_an_end() -> None:
    at = source()
    for start in range(0, 3 * intellivue.MEMORY_MAX, 500):
        objects = {n & 0xFFFF: {0x0950: number(n & 0xFFFF, real(1), 0x0AA0)} for n in range(start, start + 500)}
        intellivue.read(poll_result(6, objects, sequence=1, ticks=start), at)
    assert len(at.memory) < intellivue.MEMORY_MAX + 600


GOOD = [
    SPO2_97, pulse(8000), wave(2048), alerts(LOW), accept(0x88000000), mds_create({0x0987: NOON, 0x098F: u32(1)}),
    poll_result(0x2A, {1: {0x0957: u16(2), 0x095A: text("7"), 0x09DC: real(1785, -1) + u16(0x0511)}}),
    poll_result(5, {1: {0x099E: u16(0xF0D0, 0, 1) + sized(u16(1))}}),
]  # fmt: skip


@settings(deadline=None)
@given(data=st.data())
def test_whatever_comes_in_whatever_order_is_read_or_refused(data: st.DataObject) -> None:
    at = source()
    for _ in range(data.draw(st.integers(1, 12))):
        frame = bytearray(data.draw(st.sampled_from(GOOD)))
        for _ in range(data.draw(st.integers(0, 3))):
            place = data.draw(st.integers(0, len(frame) - 1))
            frame[place : place + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=3))
        reports: Sequence[Report] = ()
        with suppress(FrameError):
            reports = intellivue.read(bytes(frame), at)
        for report in reports:
            assert encode_report(report, bytes(16), bytes(32))
        at.take_emitted()


def test_a_list_that_claims_to_be_long_costs_no_time() -> None:
    at = source()
    objects = b"".join(u16(n, 0, 0) for n in range(10_000))
    huge = SPO2_97.replace(bytes.fromhex("0001001A"), b"\xff\xff\x00\x1a")
    many = operation(2, 5, 7, u16(0x21, 0, 0, 0x0C16) + sized(
        u16(1) + u32(0) + NOON + u16(1, 6, 0x803) + u16(1) + sized(u16(0, 10_000) + sized(objects))
    ))  # fmt: skip
    began_s = time.process_time()
    with pytest.raises(FrameError):
        intellivue.read(huge, at)
    assert intellivue.read(many, at) == []
    assert time.process_time() - began_s < 2
