"""What Nonin's driver remembers from second to second."""

from __future__ import annotations

from pathlib import Path

import pytest

from adapters.devices.nonin import NoninSettings, read_df2
from adapters.driver import Source
from schemas.errors import FrameError
from schemas.report import AlarmState, Kind, Report

CASES = Path(__file__).parent / "cases" / "nonin_df2"
ON, OFF = AlarmState.ACTIVE, AlarmState.INACTIVE


def frame(case: str) -> bytes:
    return bytes.fromhex((CASES / case / "frame.hex").read_text())


NORMAL, SENSOR_OFF, DISCONNECTED = frame("normal"), frame("no_reading"), frame("sensor_disconnected")


@pytest.fixture
def source() -> Source[NoninSettings]:
    return Source("oximeter", NoninSettings(), peer="/dev/ttyUSB0")


def alarms(reports: list[Report]) -> dict[str, AlarmState]:
    records = [record for report in reports if report.kind is Kind.ALARM for record in report.records]
    return {record.alarm.condition: record.alarm.state for record in records if record.alarm is not None}


def read(data: bytes, source: Source[NoninSettings]) -> list[Report]:
    return list(read_df2(data, source))


def test_alarms_are_told_at_the_start_and_when_they_change(source: Source[NoninSettings]) -> None:
    emitted = [alarms(read(data, source)) for data in (NORMAL, NORMAL, SENSOR_OFF, SENSOR_OFF, DISCONNECTED, NORMAL)]
    assert emitted == [
        {"SNSD": OFF, "SNSA": OFF}, {}, {"SNSD": OFF, "SNSA": ON}, {}, {"SNSD": ON, "SNSA": OFF},
        {"SNSD": OFF, "SNSA": OFF},
    ]  # fmt: skip


def test_an_alarm_that_could_not_be_kept_is_told_again(source: Source[NoninSettings]) -> None:
    read(NORMAL, source)
    source.take_emitted()
    assert alarms(read(SENSOR_OFF, source))
    emitted = source.take_emitted()
    assert not alarms(read(SENSOR_OFF, source))
    source.retract(emitted)
    assert alarms(read(SENSOR_OFF, source)) == {"SNSD": OFF, "SNSA": ON}


def test_samples_are_counted_and_a_second_that_cannot_be_read_shows(source: Source[NoninSettings]) -> None:
    def first_sample() -> int:
        (samples,) = [r.samples for report in read(NORMAL, source) for r in report.records if r.samples]
        assert (samples.count, samples.rate_numerator, samples.rate_denominator) == (75, 75, 1)
        return samples.first_sample

    assert [first_sample(), first_sample()] == [0, 75]
    with pytest.raises(FrameError, match="checksum"):
        read(frame("bad_checksum"), source)
    assert first_sample() == 225
