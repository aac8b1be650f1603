"""Drivers against simulators, which were written from the documents by others: what one says the other reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest

from adapters.devices import hl7_oru, mqtt_json, nonin
from adapters.driver import Source
from adapters.formats.lines import LineFramer
from adapters.site import read_site
from schemas.nomenclature import METRIC_BY_CODE
from schemas.report import ClockQuality, Kind, Record, RecordKind, Report, Validity
from simulators import mqtt_json as sensor
from simulators import nonin as oximeter
from simulators.hl7_oru import DIALECTS, Monitor
from simulators.patient import Patient

T0_US = 1_790_000_000_000_000
MINUTE = [float(t) for t in range(60)]  # the finger is out from 20 to 35
METRICS = {
    "hr": "MDC_ECG_HEART_RATE", "pr": "MDC_PULS_OXIM_PULS_RATE", "spo2": "MDC_PULS_OXIM_SAT_O2", "rr": "MDC_RESP_RATE",
}  # fmt: skip
LOCAL = {"plain": ("HR", "PR", "SPO2", "RR"), "mindray": ("101", "161", "160", "151")}


def source(codes: Sequence[str] = ()) -> Source:
    rows = (
        f'[[mapping]]\ncode = "{code}"\nmetric = "{metric}"\nmissing = ["-100"]\n'
        for code, metric in zip(codes, METRICS.values(), strict=False)
    )
    site = read_site("".join(rows), "test")[""]
    return Source("ward", site, ZoneInfo("Asia/Shanghai"), time_field="ts", peer="here", received_at_us=T0_US)


def read_as(records: Sequence[Record]) -> list[str | None]:
    """What was read, as it would be written."""
    numbers = [r for r in records if r.kind == RecordKind.NUMERIC]
    missing = Validity.NOT_AVAILABLE
    return [None if r.validity == missing else str(Decimal(r.mantissa).scaleb(r.exponent)) for r in numbers]


def metrics(reports: Sequence[Report]) -> list[Report]:
    return [r for r in reports if r.kind == Kind.METRIC]


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_monitor_is_understood_in_each_dialect(dialect: str) -> None:
    monitor, at = Monitor(dialect, "07", Patient(7, "finger_off"), 14), source(LOCAL.get(dialect, ()))
    for greeting in monitor.greeting():
        hl7_oru.read(greeting.payload, at)
    cuffs = 0
    for t in MINUTE:
        for message in monitor.messages(t, T0_US + int(t * 1e6)):
            reports = metrics(hl7_oru.read(message.payload, at))
            assert len(reports) == len(message.said)
            for report, said in zip(reports, message.said, strict=True):
                assert report.claim.removeprefix("eui64:").removeprefix("ward/PV1-3=") == said.device
                assert report.device_at_us == said.at_us
                assert read_as(report.records)[: len(METRICS)] == list(said.values.values())[: len(METRICS)]
                channels = [(r.code, r.as_sent, r.instance) for r in report.records]
                assert len(set(channels)) == len(said.values)
                cuffs += "nibp_sys" in said.values
    assert cuffs == 1
    assert all(hl7_oru.read(beat.payload, at) == [] for beat in monitor.heartbeat())


def test_an_oximeter_is_understood_line_by_line() -> None:
    patient, at, framer = Patient(7, "finger_off"), source(), LineFramer()
    stream = b"".join(oximeter.ascii_line(patient, t) for t in MINUTE)
    found = [metrics(nonin.read_ascii(piece.data, at)) for piece in framer.feed(stream)]
    expected = [[None if v is None else str(int(v)) for v in oximeter.shown(patient, t).values()] for t in MINUTE]
    assert [read_as(report.records) for (report,) in found] == expected
    assert [None, None] in expected


def test_an_oximeter_is_understood_in_its_frames() -> None:
    patient, at, framer = Patient(7, "finger_off"), source(), nonin.SecondFramer()
    stream = b"".join(oximeter.df2_packet(patient, n) for n in range(180))
    pieces = framer.feed(b"\x01\x81 half a packet" + stream)
    assert [p.reason for p in pieces] == ["framing"] + [""] * 60
    reports = [r for piece in pieces[1:] for r in nonin.read_df2(piece.data, at)]
    expected = [[None if v is None else str(int(v)) for v in oximeter.shown(patient, t).values()] for t in MINUTE]
    assert [read_as(r.records) for r in metrics(reports)] == expected
    samples = [r.records[0].samples for r in reports if r.kind == Kind.WAVEFORM]
    assert bytes(v for s in samples if s for v in s.raw) == stream[2::5]
    alerts = [r.records[0].text for r in reports if r.kind == Kind.ALERT]
    assert alerts == ["sensor off or unusable", "sensor off or unusable: over"]


def test_a_sensor_is_understood() -> None:
    patient, at = Patient(7, "finger_off"), source(tuple(METRICS))
    for seq, t in enumerate(MINUTE):
        body, said = sensor.payload(patient, "ward/icu/bed/07/monitor", t, T0_US + seq * 1_000_000, seq, 12)
        (report,) = mqtt_json.read(body, at)
        assert (report.clock_quality, report.device_at_us) == (ClockQuality.DEVICE, said.at_us)
        values = _by_name(report.records)
        assert {name: values[name] for name in said.values} == said.values


def _by_name(records: Sequence[Record]) -> Mapping[str, str | None]:
    names = {metric: name for name, metric in METRICS.items()}
    keys = [r.as_sent.code if r.as_sent else names[METRIC_BY_CODE[r.code].reference_id] for r in records]
    return {key: read_as([r])[0] for key, r in zip(keys, records, strict=True) if r.kind == RecordKind.NUMERIC}
