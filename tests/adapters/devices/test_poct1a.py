"""The POCT1-A driver on messages put together by hand after the makers' manuals (Siemens, Roche, PixCell, Nova)."""

from __future__ import annotations

from contextlib import suppress
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.devices import poct1a
from adapters.driver import Source
from adapters.site import read_site
from schemas.batch import encode_report
from schemas.errors import FrameError
from schemas.report import AsSent, ClockQuality, Kind, Mark, Record, RecordKind, Report, Validity

RECEIVED_AT_US = 1_790_000_000_000_000
AT_US = 1_773_065_109_000_000  # 2026-03-09 14:05:09 UTC
HELLO = (
    b'<HEL.R01><HDR><HDR.control_id V="1"/></HDR><DEV><DEV.device_id V="D-1"/><DEV.vendor_id V="SIEM"/>'
    b'<DEV.model_id V="DCA"/><DEV.serial_id V="S0815"/></DEV></HEL.R01>'
)
SITE = '[[mapping]]\nsystem = "SIEM"\ncode = "GLU"\nmetric = "MDC_CONC_GLU_CAPILLARY_WHOLEBLOOD"\n'


def source(site: str = "", zone: str = "Europe/Berlin", **given: Any) -> Source[poct1a.Poct1Settings]:
    return Source(
        "ward", poct1a.Poct1Settings(**given), read_site(site, "here")[""], ZoneInfo(zone), "10.0.0.9", RECEIVED_AT_US
    )


def result(code: str, value: str, unit: str = "", *, system: str = "SIEM", more: str = "") -> str:
    unit_attribute = f' U="{unit}"' if unit else ""
    return (
        f'<OBS><OBS.observation_id V="{code}" SN="{system}"/><OBS.value V="{value}"{unit_attribute}/>'
        f'<OBS.method_cd V="M"/>{more}</OBS>'
    )


def observations(
    *results: str, at: str = "2026-03-09T14:05:09+00:00", number: str = "", patient: str = "4711", root: str = "OBS.R01"
) -> bytes:
    sequence = f'<SVC.sequence_nbr V="{number}"/>' if number else ""
    below = "".join(results)
    inner = f'<PT><PT.patient_id V="{patient}"/>{below}</PT>' if root == "OBS.R01" else f"<CTC>{below}</CTC>"
    return (
        f'<?xml version="1.0"?><{root}><HDR><HDR.control_id V="2"/>'
        f'<HDR.creation_dttm V="2026-03-09T15:06:00+01:00"/></HDR><SVC><SVC.role_cd V="OBS"/>'
        f'<SVC.observation_dttm V="{at}"/>{sequence}{inner}<RGT><RGT.lot_number V="L7"/></RGT></SVC></{root}>'
    ).encode()


def of_kind(reports: Any, kind: Kind) -> list[Report]:
    return [report for report in reports if report.kind is kind]


def record(*results: str, site: str = "") -> Record:
    ((found,),) = [report.records for report in of_kind(poct1a.read(observations(*results), source(site)), Kind.METRIC)]
    return found


def test_a_result_by_the_sites_row_with_what_stands_beside_it() -> None:
    more = '<OBS.interpretation_cd V="H"/><OBS.normal_lo-hi_limit V="[3.9;5.8]"/><NTE><NTE.text V="haemolysis"/></NTE>'
    found = record(result("GLU", "7.40", "mmol/L", more=more), site=SITE)
    assert found == Record(
        160184, 266866, mantissa=740, exponent=-2, note="flag: H\nrange: [3.9;5.8]\nhaemolysis\nRGT lot_number L7"
    )


def test_a_code_of_nobody_is_kept_under_its_own_name() -> None:
    found = record(result("HbA1c", "5.6", "%"))
    assert (found.code, found.unit, found.as_sent) == (0, 262688, AsSent("SIEM", "HbA1c", "%"))


def test_what_a_clock_says_that_lost_its_time_is_kept_as_the_devices_own() -> None:
    reset = "1980-01-01T00:00:12+00:00"
    frame = observations(result("GLU", "5.6"), at=reset).replace(b"2026-03-09T15:06:00+01:00", reset.encode())
    found = source()
    (report,) = of_kind(poct1a.read(frame, found), Kind.METRIC)
    assert (report.device_at_us, report.clock_quality) == (315_532_812_000_000, ClockQuality.DOUBTFUL)
    assert (report.observed_at_us, report.own_time) == (found.received_at_us, False)


def test_loinc_is_known_without_the_site() -> None:
    found = record(result("2339-0", "5.4", "mmol/L", system="LN"))
    assert (found.code, found.mantissa, found.exponent) == (160020, 54, -1)
    assert record(result("2339-0", "5.4", "mmol/L", system="SIEM")).code == 0


@pytest.mark.parametrize(
    ("sent", "kind", "validity", "marks", "text"),
    [
        (result("GLU", "0"), RecordKind.NUMERIC, Validity.VALID, 0, None),
        (result("GLU", ""), RecordKind.NUMERIC, Validity.NOT_AVAILABLE, 0, None),
        (result("GLU", "---"), RecordKind.NUMERIC, Validity.NOT_AVAILABLE, 0, "---"),
        (result("GLU", "&lt;1.1"), RecordKind.BOUND, Validity.VALID, Mark.LESS, None),
        (result("GLU", "30", more='<OBS.interpretation_cd V=">"/>'), RecordKind.BOUND, Validity.VALID, Mark.GREATER,
         None),
        (result("GLU", "5.4", more='<OBS.status_cd V="D"/>'), RecordKind.NUMERIC, Validity.NOT_AVAILABLE, 0, "5.4"),
        (result("GLU", "", more='<OBS.qualitative_value V="positive"/>'), RecordKind.TEXT, Validity.VALID, 0,
         "positive"),
    ],
)  # fmt: skip
def test_values(sent: str, kind: RecordKind, validity: Validity, marks: int, text: str | None) -> None:
    found = record(sent, site=SITE)
    assert (found.kind, found.validity, found.marks, found.text) == (kind, validity, Mark(marks), text)


def test_what_somebody_entered_is_no_measurement() -> None:
    entered = result("TEMP", "37.0").replace('method_cd V="M"', 'method_cd V="I"')
    reports = poct1a.read(observations(entered), source())
    assert [report.kind for report in reports] == [Kind.CONTEXT, Kind.SETTING]


def test_the_device_is_who_it_said_it_is() -> None:
    at = source()
    (connected,) = poct1a.read(HELLO, at)
    assert (connected.kind, connected.claim) == (Kind.EVENT, "ward/HEL=SIEM/DCA/S0815")
    assert of_kind(poct1a.read(observations(result("GLU", "5")), at), Kind.METRIC)[0].claim == "ward/HEL=SIEM/DCA/S0815"
    (declared,) = poct1a.read(HELLO, source(device="site:siemens:1"))
    assert declared.claim == "site:siemens:1"
    assert of_kind(poct1a.read(observations(result("GLU", "5")), source()), Kind.METRIC)[0].claim == (
        "ward/connection=10.0.0.9"
    )


@pytest.mark.parametrize(
    ("at", "expected_us", "quality"),
    [
        ("2026-03-09T14:05:09+00:00", AT_US, ClockQuality.DEVICE),
        ("2026-03-09T15:05:09", AT_US, ClockQuality.DEVICE),  # in the header's offset, an hour before Berlin's summer
        ("", AT_US + 51_000_000, ClockQuality.DEVICE),  # the header's
        ("2026-13-09T14:05:09", AT_US + 51_000_000, ClockQuality.DOUBTFUL),
        ("2000-01-01T00:00:00.00+08:00", AT_US + 51_000_000, ClockQuality.DEVICE),  # never
    ],
)
def test_when_it_was(at: str, expected_us: int, quality: ClockQuality) -> None:
    (report,) = of_kind(poct1a.read(observations(result("GLU", "5"), at=at), source(zone="Asia/Tokyo")), Kind.METRIC)
    assert (report.observed_at_us, report.clock_quality) == (expected_us, quality)


def test_a_control_is_no_patient() -> None:
    reports = poct1a.read(observations(result("GLU", "5.4"), root="OBS.R02"), source())
    assert [report.kind for report in reports] == [Kind.METRIC]
    assert all(each.marks & Mark.TRAINING for report in reports for each in report.records)


def test_a_result_that_comes_again_is_read_once_on_whatever_connection() -> None:
    before = source()
    again = observations(result("GLU", "5.4"), number="17")
    assert of_kind(poct1a.read(again, before), Kind.METRIC)
    after = source()
    after.lasting = before.lasting
    assert list(poct1a.read(again, after)) == []
    assert after.counts == {"results-repeated": 1}
    assert of_kind(poct1a.read(observations(result("GLU", "5.4"), number="18"), after), Kind.METRIC)


def test_one_that_could_not_be_kept_is_read_when_it_comes_again() -> None:
    at = source()
    frame = observations(result("GLU", "5.4"), number="17")
    first = list(poct1a.read(frame, at))
    at.retract(at.take_emitted())
    assert list(poct1a.read(frame, at)) == first


def test_the_patient_is_told_when_it_changes() -> None:
    at = source()
    told = [
        [record.text for report in of_kind(poct1a.read(observations(result("GLU", "5"), patient=patient), at),
                                           Kind.CONTEXT) for record in report.records]
        for patient in ("4711", "4711", "4712", "", "4712")
    ]  # fmt: skip
    assert told == [["4711"], [], ["4712"], [], ["4712"]]


def test_condition_events_and_escape() -> None:
    at = source()
    status = b'<DST.R01><DST><DST.condition_cd V="R"/><DST.new_observations_qty V="0"/></DST></DST.R01>'
    assert [[r.text for r in report.records] for report in poct1a.read(status, at)] == [["R"]]
    assert list(poct1a.read(status, at)) == []
    (event,) = poct1a.read(b'<EVS.R01><HDR/><EVT><EVT.description V="door open"/></EVT></EVS.R01>', at)
    assert event.records[0].text == "EVT.description door open"
    (escape,) = poct1a.read(b'<ESC.R01><ESC><ESC.detail_cd V="CNC"/></ESC></ESC.R01>', at)
    assert escape.records[0].text == "ESC.detail_cd CNC"


@pytest.mark.parametrize(
    ("frame", "reason"),
    [(b"<OBS.R01/>", "no-results"), (b"<DTV.R01/>", "unsupported-type"), (b"<OBS.R01>", "not-xml")],
)
def test_what_cannot_be_read_is_refused(frame: bytes, reason: str) -> None:
    with pytest.raises(FrameError) as raised:
        poct1a.read(frame, source())
    assert raised.value.reason == reason


@settings(deadline=None)
@given(data=st.data())
def test_any_bytes_give_reports_or_a_reason(data: st.DataObject) -> None:
    good = [HELLO, observations(result("GLU", "5.4", "mmol/L")), observations(result("GLU", "5"), root="OBS.R02")]
    frame = bytearray(data.draw(st.sampled_from(good)))
    for _ in range(data.draw(st.integers(0, 4))):
        place = data.draw(st.integers(0, len(frame) - 1))
        frame[place : place + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=4))
    reports: Any = ()
    with suppress(FrameError):
        reports = poct1a.read(bytes(frame), source(SITE))
    for report in reports:
        assert encode_report(report, bytes(16), bytes(32))
