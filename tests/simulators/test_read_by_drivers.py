"""What a simulator says, its driver reads: two independent readings of the same documents agree, value by value."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

import numpy as np
import pytest

from adapters.devices.registry import DRIVER_BY_NAME
from adapters.driver import Source
from adapters.site import read_site
from schemas.report import Kind, RecordKind, Report, Validity
from simulators import hl7_oru, mqtt_json, nonin
from simulators.acked_log import Said
from simulators.patient import Patient

AT_US = 1_790_000_000_123_000
RECEIVED_US = AT_US + 50_000
# Outside of PCD-01 codes are the site's: the fewest rows that tell the values apart are none, each keeps its own name.
OWN_NAMES = {row.local: name for name, row in hl7_oru._ROWS.items()}
OWN_NAMES |= {row.mindray: name for name, row in hl7_oru._ROWS.items()}
MDC = {int(row.mdc.partition("^")[0]): name for name, row in hl7_oru._ROWS.items()}


def read_values(report: Report) -> dict[str, str | None]:
    """Numbers by the simulator's names, as exact texts; None where there is no reading."""
    found: dict[str, str | None] = {}
    for r in report.records:
        if r.kind == RecordKind.NUMERIC:
            name = MDC[r.code] if r.code else OWN_NAMES.get(r.as_sent.code if r.as_sent else "", str(r.as_sent))
            missing = r.validity == Validity.NOT_AVAILABLE
            found[name] = None if missing else str(Decimal(r.mantissa).scaleb(r.exponent))
    return found


def metrics(reports: Sequence[Report]) -> list[Report]:
    return [r for r in reports if r.kind == Kind.METRIC and any(x.kind == RecordKind.NUMERIC for x in r.records)]


def agree(reports: Sequence[Report], said: Sequence[Said]) -> None:
    assert [r.device_at_us for r in reports] == [s.at_us for s in said]
    for report, one in zip(reports, said, strict=True):
        assert one.device in report.claim
        assert read_values(report) == one.values


@pytest.mark.parametrize("scenario", ["healthy", "finger_off"])
@pytest.mark.parametrize("dialect", hl7_oru.DIALECTS)
def test_hl7(dialect: str, scenario: str) -> None:
    # In Mindray's dialect only the site can say that -100 is no reading.
    missing = [f'[[mapping]]\ncode = "{code}"\nmetric = "{metric}"\nmissing = ["-100"]' for code, metric in (
        ("160", "MDC_PULS_OXIM_SAT_O2"), ("161", "MDC_PULS_OXIM_PULS_RATE"), ("162", "MDC_PULS_OXIM_PERF_REL"),
    )]  # fmt: skip
    site = read_site("\n".join(missing) if dialect == "mindray" else "", "here")[""]
    source = Source("icu", site=site, received_at_us=RECEIVED_US)
    monitor = hl7_oru.Monitor(dialect, "bed-07", Patient(1007, scenario), 12)
    read = DRIVER_BY_NAME["hl7_oru"].read
    for first in monitor.greeting() + monitor.heartbeat():
        assert not metrics(read(first.payload, source))
    for t_s in (1.0, 25.0):
        for message in monitor.messages(t_s, AT_US):
            if message.id == "503":  # local time, which the source's zone makes an instant
                continue
            agree(metrics(read(message.payload, source)), message.said)


def test_mqtt() -> None:
    source = Source("ward", peer="ward/icu/bed/bed-01/monitor", time_field="ts", received_at_us=RECEIVED_US)
    body, said = mqtt_json.payload(Patient(1, "finger_off"), source.peer, 25.0, AT_US, 1, 12)
    (report,) = DRIVER_BY_NAME["mqtt_json"].read(body, source)
    names = {r.as_sent.code: r for r in report.records if r.as_sent}
    found = {
        n: None if names[n].validity else str(Decimal(names[n].mantissa).scaleb(names[n].exponent)) for n in said.values
    }
    assert (report.device_at_us, found) == (said.at_us, said.values)
    assert said.device in report.claim


@pytest.mark.parametrize("scenario", ["healthy", "finger_off"])
@pytest.mark.parametrize("name", ["nonin_ascii", "nonin_df2"])
def test_nonin(name: str, scenario: str) -> None:
    driver, patient = DRIVER_BY_NAME[name], Patient(3, scenario)
    assert driver.framer is not None
    if name == "nonin_df2":
        stream = b"".join(nonin.df2_packet(patient, n) for n in range(90))
    else:
        stream = b"".join(nonin.ascii_line(patient, t) for t in range(30))
    pieces = driver.framer().feed(stream)
    assert [p.reason for p in pieces] == [""] * 30
    for t, piece in enumerate(pieces):
        reports = driver.read(piece.data, Source("oximeter", received_at_us=RECEIVED_US))
        shown = nonin.shown(patient, t)
        expected = [None if (text := shown[n]) is None else int(text) for n in ("SPO2", "HR")]
        numbers = reports[0].records[:2]
        assert [None if r.validity == Validity.NOT_AVAILABLE else r.mantissa for r in numbers] == expected
    if name == "nonin_df2":
        waves = [r.samples.raw for p in pieces[:20] for r in driver.read(p.data, Source("x"))[1].records if r.samples]
        wave = np.concatenate(waves)
        assert len(wave) == 20 * 75
        assert wave.min() >= 20
        beats = np.count_nonzero((wave[1:] > 128) & (wave[:-1] <= 128))
        assert beats == pytest.approx(np.mean([patient.numbers(t)["pr"] or 0 for t in range(4, 20)]) / 3, abs=1.5)
