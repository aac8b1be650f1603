"""What MEDIBUS responses mean over a connection: what begins, goes on and ends."""

from __future__ import annotations

from contextlib import suppress
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.devices.medibus import DRIVER, MedibusSettings
from adapters.driver import Source
from adapters.formats.medibus_frames import response
from adapters.formats.medibus_tables import FAMILIES, FAMILY_BY_NAME
from schemas.batch import encode_report
from schemas.errors import FrameError
from schemas.nomenclature import METRIC_BY_CODE, canonical_unit
from schemas.report import (
    AlarmKind,
    AlarmPriority,
    AlarmState,
    AsSent,
    ClockQuality,
    Kind,
    Record,
    Report,
    Validity,
)

AT_US = 1_790_000_000_000_000
PAW = b"00    8000-  20  1003C0"
FLOW = b"01    8000- 200  200FFF"


def source(zone: str = "", **settings: Any) -> Source[MedibusSettings]:
    made = msgspec.convert({"device": "site:draeger:1", "family": "evita", **settings}, MedibusSettings)
    return Source("icu", made, time_zone=ZoneInfo(zone) if zone else None, received_at_us=AT_US)


def read(at: Source[MedibusSettings], code: int, data: bytes = b"") -> list[Report]:
    return list(DRIVER.read(response(code, data), at))


def read_one(at: Source[MedibusSettings], code: int, data: bytes = b"") -> Report:
    (report,) = read(at, code, data)
    return report


def shown(report: Report) -> dict[str, Any]:
    """Each record under its MDC code or its own name: value and exponent, None for no reading."""
    return {
        record.as_sent.code if record.as_sent else str(record.code): None
        if record.validity == Validity.NOT_AVAILABLE
        else (record.mantissa, record.exponent)
        for record in report.records
    }


def alarms(report: Report) -> list[tuple[str, AlarmState, str]]:
    assert report.kind is Kind.ALARM
    return [(r.alarm.condition, r.alarm.state, r.alarm.text) for r in report.records if r.alarm]


def value(bins: int) -> bytes:
    return bytes((0x80 | bins & 0x3F, 0x80 | bins >> 6))


def test_values_keep_their_digits_and_signs() -> None:
    report = read_one(source(), 0x24, b"7D 24 D6 12 B9 5.371-  2")
    assert report.kind is Kind.METRIC
    assert shown(report) == {"151973": (24, 0), "151586": (12, 0), "151996": (53, -1), "151794": (-2, 0)}


def test_what_is_left_out_is_no_reading_once_it_was_there() -> None:
    at = source()
    assert read(at, 0x24) == []
    read(at, 0x24, b"7D 24 71   2")
    assert shown(read_one(at, 0x24, b"7D 25 ")) == {"151973": (25, 0), "151794": None}
    assert shown(read_one(at, 0x24)) == {"151973": None, "151794": None}
    assert shown(read_one(at, 0x24, b"7D    ")) == {"151973": None, "151794": None}
    assert read(at, 0x2B) == []  # the other page


def test_one_quantity_in_two_codes_is_one_channel() -> None:
    at = source()
    assert shown(read_one(at, 0x24, b"B80.95")) == {"151996": (95, -2)}
    assert shown(read_one(at, 0x24, b"B9 1.2")) == {"151996": (12, -1)}
    assert shown(read_one(at, 0x24)) == {"151996": None}
    both = read_one(at, 0x24, b"820.4588450 ")
    assert shown(both) == {"152664": (450, 0), "82^VTe": (45, -2), "151996": None}
    assert both.records[1].as_sent is not None
    assert both.records[1].as_sent.unit == "L"


@pytest.mark.parametrize("data", [b"7D 24", b"7D 24 D", b"7d 24 ", b"7D x1 ", b"7D 24 7D 24 ", b"7D1 -2"])
def test_values_that_cannot_be_are_refused(data: bytes) -> None:
    with pytest.raises(FrameError):
        read(source(), 0x24, data)


def test_the_device_names_itself_and_so_whose_codes_it_sends() -> None:
    at = source(family="auto")
    assert shown(read_one(at, 0x24, b"8B 450")) == {"8B": (450, 0)}
    report = read_one(at, 0x52, b"8240'Evita 4'04.00:04.00")
    assert report.kind is Kind.EVENT
    assert report.records[0].text == "Evita 4 (number 8240, software 04.00, MEDIBUS 04.00)"
    assert read(at, 0x52, b"8240'Evita 4'04.00:04.00") == []
    assert shown(read_one(at, 0x24, b"8B 450")) == {"8B^VTasb": (450, 0)}
    read(at, 0x52, b"8056'Primus'01.00:04.03")
    assert "C4^O2 difference" in shown(read_one(at, 0x24, b"06 45.C4-  12"))
    read(at, 0x52, b"9999'V500'01.00:06.00")
    assert "8B^VTi" in shown(read_one(at, 0x24, b"8B 450"))
    with pytest.raises(FrameError):
        read(at, 0x52, b"8240 Evita")


def test_an_unknown_device_is_read_where_all_families_agree() -> None:
    at = source(family="auto")
    assert shown(read_one(at, 0x24, b"7D 24 88450 ")) == {"151973": (24, 0), "88": (450, 0)}
    assert shown(read_one(at, 0x29, b"0B  8.00C  5.0")) == {"0B^PEEP": (80, -1), "0C": (50, -1)}


def test_alarms_begin_change_and_end() -> None:
    at = source()
    read(at, 0x26, b"7D 40 ")
    high = b"N10PAW HIGH    "
    report = read_one(at, 0x27, high)
    assert alarms(report) == [("CP1 10", AlarmState.ACTIVE, "PAW HIGH")]
    (record,) = report.records
    assert (record.code, record.unit, record.note) == (151973, 266098, "priority 30 of 31")
    assert record.alarm is not None
    assert (record.alarm.high, record.alarm.low) == ((40, 0), None)
    assert (record.alarm.kind, record.alarm.priority) == (AlarmKind.PHYSIOLOGICAL, AlarmPriority.UNKNOWN)
    assert read(at, 0x27, high) == []
    assert read(at, 0x2E) == []
    both = read_one(at, 0x27, high + b"M19MIN VOL LOW ")
    assert [each[:2] for each in alarms(both)] == [("CP1 10", AlarmState.ACTIVE), ("CP1 19", AlarmState.ACTIVE)]
    ended = read_one(at, 0x27, b"M19MIN VOL LOW ")
    assert [each[:2] for each in alarms(ended)] == [("CP1 19", AlarmState.ACTIVE), ("CP1 10", AlarmState.INACTIVE)]


def test_an_alarm_that_ended_while_the_cable_was_out_ends() -> None:
    at = source()
    read(at, 0x27, b"N10PAW HIGH    ")
    at.take_emitted()
    at.memory = {}
    assert alarms(read_one(at, 0x27)) == [("CP1 10", AlarmState.INACTIVE, "PAW HIGH")]
    assert read(at, 0x27) == []


def test_an_alarm_that_could_not_be_kept_is_emitted_again() -> None:
    at = source()
    first = read(at, 0x27, b"N10PAW HIGH    ")
    at.retract(at.take_emitted())
    assert read(at, 0x27, b"N10PAW HIGH    ") == first


def test_priorities_are_as_the_source_divides_them() -> None:
    at = source(priority_high_from=26, priority_medium_from=16)
    report = read_one(at, 0x27, b"N10PAW HIGH    F33VOL INCONST 457CO2 ALRM OFF")
    assert [r.alarm.priority for r in report.records if r.alarm] == [
        AlarmPriority.HIGH,
        AlarmPriority.MEDIUM,
        AlarmPriority.LOW,
    ]


@pytest.mark.parametrize("data", [b"N10PAW HIGH", b"N1xPAW HIGH    ", b"010PAW HIGH    ", b"P10PAW HIGH    "])
def test_alarms_that_cannot_be_are_refused(data: bytes) -> None:
    with pytest.raises(FrameError):
        read(source(), 0x27, data)


def test_settings_and_limits_are_told_when_they_change() -> None:
    at = source()
    report = read_one(at, 0x29, b"0B  8.004 .450")
    assert report.kind is Kind.SETTING
    assert shown(report) == {"0B^PEEP": (80, -1), "16929196": (450, -3)}
    assert read(at, 0x29, b"0B  8.004 .450") == []
    assert shown(read_one(at, 0x29, b"0B 10.0")) == {"16929196": None, "0B^PEEP": (100, -1)}
    limits = read_one(at, 0x25, b"B9 3.0")
    assert next(r.as_sent for r in limits.records if r.as_sent).system == "MEDIBUS low limit CP1"
    assert read(at, 0x25, b"B9 3.0") == []
    assert shown(read_one(at, 0x25)) == {"B9^MV": None}


def test_texts_are_modes_or_events() -> None:
    at = source()
    mode, other = read(at, 0x2A, b"0E:Mode BIPAP\x03222mm\x03")
    assert (mode.kind, mode.records[0].text) == (Kind.SETTING, "Mode BIPAP")
    assert mode.records[0].as_sent == AsSent("MEDIBUS text", "0E")
    assert (other.kind, other.records[0].text) == (Kind.EVENT, "mm")
    assert read(at, 0x2A, b"0E:Mode BIPAP\x03222mm\x03") == []
    (changed,) = read(at, 0x2A, b"0A9Mode CPAP\x03222mm\x03")
    assert changed.records[0].text == "Mode CPAP"


@pytest.mark.parametrize("data", [b"0E:Mode BIPAP", b"0E0\x03", b"0E;Mode BIPAP\x03", b"0", b"0EQ\x03"])
def test_texts_that_cannot_be_are_refused(data: bytes) -> None:
    with pytest.raises(FrameError):
        read(source(), 0x2A, data)


@pytest.mark.parametrize(
    ("sent", "device_at_us", "uncertainty_ms"),
    [
        (b"07:05:0909-OKT-26", 1_791_522_309_000_000, 1000),
        (b"07:0509-OCT-26", 1_791_522_300_000_000, 60_000),
        (b" 7:05:09 9-OKT-26", 1_791_522_309_000_000, 1000),
        (b"07:05:09 09-OKT-26", 1_791_522_309_000_000, 1000),
        (b"08:05:0909-MAI-26", 1_778_306_709_000_000, 1000),
    ],
)
def test_the_devices_clock_is_read_in_the_sources_zone(sent: bytes, device_at_us: int, uncertainty_ms: int) -> None:
    report = read_one(source("Europe/Berlin"), 0x28, sent)
    assert (report.kind, report.clock_quality) == (Kind.EVENT, ClockQuality.DEVICE)
    assert (report.device_at_us, report.uncertainty_ms) == (device_at_us, uncertainty_ms)


@pytest.mark.parametrize(("zone", "sent"), [("", b"07:05:0909-OKT-26"), ("UTC", b"07:05:0931-FEB-26"), ("UTC", b"??")])
def test_a_clock_that_cannot_be_read_is_doubtful(zone: str, sent: bytes) -> None:
    report = read_one(source(zone), 0x28, sent)
    assert (report.device_at_us, report.clock_quality) == (None, ClockQuality.DOUBTFUL)
    assert report.records[0].text == sent.decode()


def stream(at: Source[MedibusSettings], frame: bytes, after_s: float = 1.0) -> list[Record]:
    at.received_at_us += round(after_s * 1e6)
    (report,) = DRIVER.read(frame, at)
    assert report.kind is Kind.WAVEFORM
    return list(report.records)


def test_curves_are_samples_that_are_counted_on() -> None:
    at = source()
    assert read(at, 0x53, PAW + FLOW) == []
    second = (b"\xd3" + value(280) + value(0x7FF)) * 62
    paw, flow = stream(at, second)
    assert (paw.code, paw.unit, flow.code, flow.unit) == (151792, 266098, 151764, 265216)
    assert paw.samples is not None
    assert (paw.samples.count, paw.samples.rate_numerator, paw.samples.rate_denominator) == (62, 125, 2)
    paw, _ = stream(at, second)
    assert paw.samples is not None
    assert paw.samples.first_sample == 62
    paw, _ = stream(at, second, after_s=11.0)  # ten seconds are lost
    assert paw.samples is not None
    assert paw.samples.first_sample == pytest.approx(124 + 625, abs=2)
    read(at, 0x53, PAW + FLOW)
    paw, _ = stream(at, second)
    assert paw.samples is not None
    assert paw.samples.first_sample == pytest.approx(124 + 625 + 62, abs=2)


def test_curves_without_a_standard_code_keep_their_own() -> None:
    at = source(curves=["volume"])
    read(at, 0x53, b"03    8000    0 1000FFF")
    (volume,) = stream(at, b"\xd1" + value(0x400) + b"\xd1\x80")
    assert volume.as_sent is not None
    assert (volume.code, volume.as_sent.code, volume.as_sent.unit) == (0, "03^volume", "mL")
    assert volume.samples is not None
    assert volume.samples.invalid == ((1, 2),)
    (volume,) = stream(at, b"\xd1\x80")
    assert volume.validity is Validity.INVALID
    assert DRIVER.read(b"\xd0\xc6\xc0\xc0\xc0", at) == ()


def test_a_stream_that_nobody_configured_is_refused() -> None:
    with pytest.raises(FrameError, match="no-configuration"):
        DRIVER.read(b"\xd1\x98\x84", source())


def test_an_answer_that_is_no_data_is_refused() -> None:
    with pytest.raises(FrameError, match="unsupported"):
        read(source(), 0x30)


def test_keys_and_the_kind_of_patient_are_told_when_they_change() -> None:
    at = source()
    assert read(at, 0x6A) == read(at, 0x6A, b"2") == read(at, 0x6A, b"302.00") == []
    assert shown_text(read_one(at, 0x6A, b"4Adult")) == (Kind.SETTING, "patient", "Adult")
    assert read(at, 0x6A, b"4Adult") == []
    assert shown_text(read_one(at, 0x6A, b"23299")) == (Kind.EVENT, "keys", "alarm silence, 99")
    (record,) = read_one(at, 0x27, b"N10PAW HIGH    ").records
    assert record.alarm is not None
    assert record.alarm.audio_paused
    assert shown_text(read_one(at, 0x6A, b"2")) == (Kind.EVENT, "keys", "none")
    with pytest.raises(FrameError):
        read(at, 0x6A, b"232x")


def shown_text(report: Report) -> tuple[Kind, str, str | bytes | None]:
    (record,) = report.records
    assert record.as_sent is not None
    return report.kind, record.as_sent.code, record.text


@pytest.mark.parametrize("name", FAMILIES)
def test_each_row_has_a_unit_of_its_metrics_dimension(name: str) -> None:
    family = FAMILY_BY_NAME[name]
    rows = [row for table in (*family.data.values(), family.settings) for row in table.values() if row.code]
    assert rows
    for row in rows:
        assert canonical_unit(row.code, row.mdc_unit) is not None, METRIC_BY_CODE[row.code].reference_id
    alarm_rows = [row for table in family.alarms.values() for row in table.values() if row.about]
    assert all(any(code in family.data[1] for code in row.about) for row in alarm_rows)


FRAMES = (
    response(0x24, b"7D 24 D6 12 B9 5.3"), response(0x2B, b"0A 45 "), response(0x26, b"7D 40 "),
    response(0x27, b"N10PAW HIGH    "), response(0x28, b"07:05:0909-OKT-26"), response(0x29, b"0B  8.0"),
    response(0x2A, b"0E:Mode BIPAP\x03"), response(0x52, b"8240'Evita 4'04.00:04.00"), response(0x53, PAW + FLOW),
    b"\xd3\x98\x84\x98\x84\xd3\x98\x84\x98\x84", b"\xd1\xc4\xcf\xc0\xc0\x80\x80",
)  # fmt: skip


@given(data=st.data())
def test_any_sequence_of_frames_gives_reports_that_a_batch_holds(data: st.DataObject) -> None:
    at = source("UTC", family=data.draw(st.sampled_from(["auto", *FAMILIES])), curves=["paw", "flow", "volume"])
    for _ in range(data.draw(st.integers(1, 8))):
        frame = bytearray(data.draw(st.sampled_from(FRAMES)))
        if data.draw(st.booleans()):
            place = data.draw(st.integers(2, len(frame) - 1))
            frame[place : place + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=4))
        if frame[0] == 1 and data.draw(st.booleans()):
            frame = bytearray(response(frame[1], bytes(each & 0x7F for each in frame[2:-3])))
        at.received_at_us += data.draw(st.integers(0, 10**8))
        with suppress(FrameError):
            for report in DRIVER.read(bytes(frame), at):
                encode_report(report, bytes(16), bytes(32))
