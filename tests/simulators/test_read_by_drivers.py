"""What a simulator says, its driver reads: two independent readings of the same documents agree, value by value."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import numpy as np
import pytest

from adapters.devices.registry import DRIVER_BY_NAME
from adapters.driver import Source
from adapters.session import Moment
from adapters.site import read_site
from schemas.report import Kind, RecordKind, Report, Validity
from simulators import hl7_oru, mqtt_json, nonin
from simulators.acked_log import SentReport
from simulators.patient import Patient

AT_US = 1_790_000_000_123_000
NOW = Moment(0.0, AT_US)
OUR_DIALECTS = {"plain": "plain", "pcd01": "pcd-01", "mindray": "mindray-pds"}
MINUTE = range(60)  # the finger is out from 20 to 35
# Outside of PCD-01 codes are the site's: the fewest rows that tell the values apart are none, each keeps its own name.
OWN_NAMES = {row.local: name for name, row in hl7_oru._ROWS.items()}
OWN_NAMES |= {row.mindray: name for name, row in hl7_oru._ROWS.items()}
MDC = {int(row.mdc.partition("^")[0]): name for name, row in hl7_oru._ROWS.items()}


def source(name: str, site: str = "", **settings: object) -> Source[Any]:
    zone, made = ZoneInfo("Asia/Shanghai"), msgspec.convert(settings, DRIVER_BY_NAME[name].settings)
    return Source("ward", made, read_site(site, "here")[""], time_zone=zone, peer="here", received_at_us=AT_US + 50_000)


def read_values(report: Report) -> dict[str, str | None]:
    """Numbers by the simulator's names, as exact texts; None where there is no reading."""
    found: dict[str, str | None] = {}
    for r in report.records:
        if r.kind == RecordKind.NUMERIC:
            own = r.as_sent.code if r.as_sent else ""
            missing = r.validity == Validity.NOT_AVAILABLE
            found[MDC.get(r.code) or OWN_NAMES.get(own, own)] = (
                None if missing else str(Decimal(r.mantissa).scaleb(r.exponent))
            )
    return found


def metrics(reports: Sequence[Report]) -> list[Report]:
    return [r for r in reports if r.kind == Kind.METRIC and any(x.kind == RecordKind.NUMERIC for x in r.records)]


def agree(reports: Sequence[Report], sent: Sequence[SentReport]) -> None:
    assert [r.device_at_us for r in reports] == [s.at_us for s in sent]
    for report, one in zip(reports, sent, strict=True):
        assert report.claim in (f"eui64:{one.device}", f"ward/PV1-3={one.device}", f"ward/topic={one.device}")
        assert {name: read_values(report).get(name, "-") for name in one.values} == one.values


@pytest.mark.parametrize("dialect", hl7_oru.DIALECTS)
def test_hl7(dialect: str) -> None:
    at, cuffs = source("hl7_oru", dialect=OUR_DIALECTS[dialect]), 0
    monitor = hl7_oru.Monitor(dialect, "bed-07", Patient(1007, "finger_off"), 12)
    read = DRIVER_BY_NAME["hl7_oru"].read
    for first in monitor.greeting() + monitor.heartbeat():
        assert not metrics(read(first.payload, at))
    for t in MINUTE:
        for message in monitor.messages(t, AT_US + t * 1_000_000):
            agree(metrics(read(message.payload, at)), message.sent)
            cuffs += sum("nibp_sys" in sent.values for sent in message.sent)
    assert cuffs == 1


@pytest.mark.parametrize("dialect", hl7_oru.DIALECTS)
def test_every_value_of_a_large_message_is_a_channel_of_its_own(dialect: str) -> None:
    (message, *_) = hl7_oru.Monitor(dialect, "bed-07", Patient(1007), 200).messages(1.0, AT_US)
    (report,) = metrics(
        DRIVER_BY_NAME["hl7_oru"].read(message.payload, source("hl7_oru", dialect=OUR_DIALECTS[dialect]))
    )
    assert len({(r.code, r.as_sent, r.channel) for r in report.records}) == 200


def test_mqtt() -> None:
    for t in MINUTE:
        body, sent = mqtt_json.payload(Patient(1, "finger_off"), "here", t, AT_US + t * 1_000_000, t, 12)
        agree(metrics(DRIVER_BY_NAME["mqtt_json"].read(body, source("mqtt_json"))), [sent])


@pytest.mark.parametrize("name", ["nonin_ascii", "nonin_df2"])
def test_nonin(name: str) -> None:
    driver, patient, at = DRIVER_BY_NAME[name], Patient(3, "finger_off"), source(name)
    assert driver.session is not None
    df2 = name == "nonin_df2"
    sent = (nonin.df2_packet(patient, n) for n in range(180)) if df2 else (nonin.ascii_line(patient, t) for t in MINUTE)
    stream = b"".join(sent)
    session = driver.session(at.settings)
    noise, *pieces = session.feed((b"\x01\x81 half a packet" if df2 else b"half a line\n") + stream, NOW).pieces
    assert (noise.reason, [p.reason for p in pieces]) == ("framing" if df2 else "", [""] * 60)
    reports = [r for piece in pieces for r in driver.read(piece.data, at)]
    shown = [[None if v is None else int(v) for v in nonin.shown(patient, t).values()] for t in MINUTE]
    assert [
        [None if r.validity == Validity.NOT_AVAILABLE else r.mantissa for r in report.records]
        for report in metrics(reports)
    ] == shown
    if df2:
        raw = b"".join(s.samples.raw for r in reports if r.kind == Kind.WAVEFORM for s in r.records if s.samples)
        wave = np.frombuffer(raw, "<i2")
        assert wave.astype(np.uint8).tobytes() == stream[2::5]
        beats = np.count_nonzero((wave[1:1500] > 128) & (wave[:1499] <= 128))
        assert beats == pytest.approx(np.mean([patient.numbers(t)["pr"] or 0 for t in range(4, 20)]) / 3, abs=1.5)
        alarms = [s.alarm for r in reports if r.kind == Kind.ALARM for s in r.records if s.alarm]
        changes = [a.state.name for a in alarms if a.condition == "SNSA"]
        assert changes == ["INACTIVE", "ACTIVE", "INACTIVE"]  # as it begins, when the finger is out, when it is back
