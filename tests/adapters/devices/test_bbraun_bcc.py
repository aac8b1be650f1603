"""What blocks of pumps mean, each built by the document's rules."""

from __future__ import annotations

from contextlib import suppress
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.devices.bbraun_bcc import DRIVER, BccSettings
from adapters.driver import Source
from adapters.formats import bcc_frames as bcc
from adapters.formats.bcc_parameters import PARAMETERS
from schemas.batch import encode_report
from schemas.errors import FrameError
from schemas.nomenclature import METRIC_BY_CODE, canonical_unit
from schemas.report import AlarmKind, AlarmState, ClockQuality, Kind, Report, Validity

AT_US = 1_790_000_000_000_000


def source(zone: str = "", **settings: Any) -> Source[BccSettings]:
    made = msgspec.convert(settings, BccSettings)
    return Source("icu", made, time_zone=ZoneInfo(zone) if zone else None, peer="port", received_at_us=AT_US)


def block(*values: str, address: str = "50112", is_stuffed: bool = True) -> bytes:
    text = "\x1e".join(f"12,{address},{value}" for value in values)
    information = f"ICU7/1/1>{text}".encode()
    begin = b"\x01%05d\x02" % (14 + len(information)) + information + b"\x03"
    frame = begin + b"%05d\x04" % (sum(begin) % 256)
    return bcc.stuffed(frame) if is_stuffed else frame


def read(at: Source[BccSettings], *values: str, address: str = "50112") -> list[Report]:
    return list(DRIVER.read(block(*values, address=address), at))


def shown(report: Report) -> dict[str, Any]:
    """Each record under its MDC code and unit or its own name: value and exponent, text, None for no reading."""
    return {
        record.as_sent.code if record.as_sent else f"{record.code} {record.unit}": None
        if record.validity == Validity.NOT_AVAILABLE
        else record.text or (record.mantissa, record.exponent)
        for record in report.records
    }


def test_rates_volumes_and_times_are_known_by_their_codes() -> None:
    (report,) = read(source(), "INRT,2.50", "INVI,0.0", "INRMT,65535", "INP2,47", "INVTB,_NV", "XNEW,7")
    assert report.kind is Kind.METRIC
    assert report.claim == "icu/address=50112"
    assert shown(report) == {
        "157784 265266": (250, -2), "157864 263762": (0, -1), "157916 264320": (65535, 0),
        "INP2^pressure, share of its limit": (47, 0), "157884 263762": None, "XNEW": (7, 0),
    }  # fmt: skip


def test_the_worked_block_has_a_rate_and_no_drug() -> None:
    frame = b"\x0100060\x02ICU7/1/1>12,50113,INRT,2.50\x1e12,50113,INSOL,_NV\x1700144\x04"
    rate, drug = DRIVER.read(frame, source(stuffing=False))
    assert (rate.claim, shown(rate)) == ("icu/address=50113", {"157784 265266": (250, -2)})
    assert (drug.kind, shown(drug)) == (Kind.SETTING, {"INSOL^drug": None})


def test_doses_have_the_unit_that_its_code_says() -> None:
    (report,) = read(source(), "INDORT,0.10", "INDORTU,71", "INDCON,50", "INDCONU,31")
    assert shown(report) == {"157924 265619": (10, -2), "157760 264306": (50, 0)}
    (report,) = read(source(), "INDORT,5", "INDORTU,140", "INDCON,5", "INDCONU,999", "DORT,4", "DORTU,48")
    assert shown(report) == {
        "INDORT^dose rate": (5, 0), "INDCON^drug concentration": (5, 0), "157924 265522": (4, 0)
    }  # fmt: skip
    assert [r.as_sent.unit for r in report.records if r.as_sent] == ["M[iU]/h", "unit 999"]
    (report,) = read(source(), "INDORT,5", "INDORTU,48", "DORT,4", "DORTU,48")
    assert shown(report) == {"157924 265522": (5, 0), "DORT^dose rate": (4, 0)}


def test_pumps_are_devices_by_their_number() -> None:
    at = source()
    frame = block("INRT,1", "INNR,7A01")
    assert {report.claim for report in DRIVER.read(frame, at)} == {"icu/INNR=7A01"}
    assert read(at, "INRT,1")[0].claim == "icu/INNR=7A01"
    assert read(at, "INRT,1", address="50113")[0].claim == "icu/address=50113"
    assert read(at, "GNNEW,688K030001", "INRT,1")[0].claim == "icu/address=50112"  # another pump in this place


def test_drug_and_limits_are_told_when_they_change() -> None:
    at = source()
    values = ("INSOL,Noradrénaline, 5 mg", "INSOLID,0815", "SLLOW,0.5", "RTLIMUT,71", "GNMODEL,688K030001\r")
    (report,) = read(at, *values)
    assert (report.kind, shown(report)) == (
        Kind.SETTING,
        {
            "INSOL^drug": "Noradrénaline, 5 mg", "INSOLID^drug, id": "0815", "SLLOW^lower soft limit": (5, -1),
            "GNMODEL^model and software": "688K030001",
        },
    )  # fmt: skip
    assert read(at, *values) == []
    assert len(read(at, "INSOL,_NV", *values[1:])) == 1


def test_patients_are_a_context() -> None:
    (report,) = read(source(), "PATID,4711", "PATIDDRUG,_NV")
    assert (report.kind, shown(report)) == (Kind.CONTEXT, {"PATID^patient": "4711"})


def alarms(report: Report) -> list[tuple[str, AlarmState, str]]:
    assert report.kind is Kind.ALARM
    return [(r.alarm.condition, r.alarm.state, r.alarm.text) for r in report.records if r.alarm]


@pytest.mark.parametrize("bits", ["512", "0x00000200", "0x00000200h", "00000200h"])
def test_alarms_begin_and_end(bits: str) -> None:
    at = source()
    assert read(at, "ALARM1,1", "PREALARM,1") == []
    (report,) = read(at, f"ALARM1,{bits}", "PREALARM,4")
    assert alarms(report) == [
        ("ALARM1 9", AlarmState.ACTIVE, "syringe empty"),
        ("PREALARM 2", AlarmState.ACTIVE, "volume near end"),
    ]
    assert [r.alarm.kind for r in report.records if r.alarm] == [AlarmKind.TECHNICAL, AlarmKind.ADVISORY]
    assert read(at, f"ALARM1,{bits}", "PREALARM,4") == []
    assert read(at, f"ALARM1,{bits}", "PREALARM,_NV") == []  # it says nothing
    at.memory = {}  # another connection
    (report,) = read(at, "ALARM1,1", "PREALARM,4")
    assert alarms(report)[-1] == ("ALARM1 9", AlarmState.INACTIVE, "syringe empty")


def test_flags_are_alarms_and_states_too() -> None:
    at = source()
    alarm, state = read(at, "INA3,1", "INA4,0", "INM3,1", "INM8,0", "INM9,_NV")
    assert alarms(alarm) == [("INA3", AlarmState.ACTIVE, "pressure")]
    assert (state.kind, shown(state)) == (Kind.EVENT, {"status": "pumping"})
    (alarm,) = read(at, "INA3,0", "INM3,1", "INM8,0")
    assert alarms(alarm) == [("INA3", AlarmState.INACTIVE, "pressure")]
    (state,) = read(at, "STATUS1,0x82", "RUNSTATE,2")
    assert shown(state) == {"status": "run, mains, running"}


def test_a_pump_that_is_taken_out_is_an_event_and_its_alarms_end() -> None:
    at = source()
    read(at, "INNR,7A01", "INA3,1")
    event, alarm = read(at, "GNERR,39")
    assert (event.claim, shown(event)) == ("icu/INNR=7A01", {"GNERR": "39 pump removed or unreachable"})
    assert alarms(alarm) == [("INA3", AlarmState.INACTIVE, "pressure")]
    assert read(at, "INRT,1")[0].claim == "icu/address=50112"


def test_the_rack_is_told_once_and_its_errors_each_time() -> None:
    at = source()
    assert read(at, "GNACK,0", address="50100") == []
    assert read(at, "GNERR,11", address="50100") == []
    (report,) = read(at, "V3.36", address="50100")
    assert (report.claim, shown(report)) == ("icu/connection=port", {"V3.36": "V3.36"})
    for _ in range(2):
        (report,) = read(at, "GNERR,68", address="50100")
        assert shown(report) == {"GNERR": "68 syntax or checksum"}


def test_a_pumps_date_and_time_are_its_clock() -> None:
    (report,) = read(source("Europe/Berlin"), "INRT,1", "DATE,20261009", "TIME,070509")
    assert (report.clock_quality, report.device_at_us) == (ClockQuality.DEVICE, 1_791_522_309_000_000)
    (report,) = read(source("Europe/Berlin"), "INRT,1", "DATE,_NV", "TIME,070509")
    assert (report.clock_quality, report.device_at_us) == (ClockQuality.RECEIVED, None)
    (report,) = read(source("UTC"), "INRT,1", "DATE,20260231", "TIME,070509")
    assert report.clock_quality is ClockQuality.DOUBTFUL


def test_each_parameter_has_a_unit_of_its_metrics_dimension() -> None:
    for parameter in PARAMETERS.values():
        if parameter.mdc_unit:
            reference_id = METRIC_BY_CODE[parameter.code].reference_id
            assert canonical_unit(parameter.code, parameter.mdc_unit) is not None, reference_id


NAMES = [*PARAMETERS, "INA1", "INM3", "ALARM1", "STATUS1", "GNERR", "GNNEW", "Ä"]


@given(data=st.data())
def test_any_block_gives_reports_that_a_batch_holds(data: st.DataObject) -> None:
    at = source("UTC")
    texts = st.sampled_from(["1", "_NV", "2.50", "71", "0x200", "20261009"]) | st.text(
        st.characters(exclude_categories=["Cs"], exclude_characters="\x1e\x01\x02\x03\x04\x17"), max_size=12
    )
    for _ in range(data.draw(st.integers(1, 5))):
        names = data.draw(st.lists(st.sampled_from(NAMES), min_size=1, max_size=6))
        frame = bytearray(block(*[f"{name},{data.draw(texts)}" for name in names]))
        if data.draw(st.booleans()):
            frame[data.draw(st.integers(0, len(frame) - 1))] = data.draw(st.integers(0, 255))
        with suppress(FrameError):
            for report in DRIVER.read(bytes(frame), at):
                encode_report(report, bytes(16), bytes(32))
