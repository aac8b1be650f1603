"""The simulated IntelliVue monitor and our driver, by real sockets: two readings of one guide agree, value by value."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from adapters.devices import intellivue
from adapters.driver import Source
from edge_agent import check
from edge_agent.config import SerialLink, SourceConfig, UdpLink
from edge_agent.links.serial import SerialPort
from edge_agent.links.udp import UdpMonitor
from edge_agent.sources import plan_source
from edge_agent.watch import Watcher, diagnosis, watch
from schemas.errors import FrameError
from schemas.report import AlarmState, Kind, Record, Report, Validity
from simulators.intellivue import MIB_FAULTS, Line, Monitor, serve_mib, serve_udp
from simulators.intellivue_objects import Admitted
from simulators.patient import Patient
from tests.edge_agent.links.scene import Agent, eventually, running

BEGAN = datetime(2026, 11, 24, 10, 15, tzinfo=ZoneInfo("Europe/Berlin"))
WAVES = {131330: 500, 150452: 125, 150036: 125}  # ECG II, pleth, ABP: samples a second


def monitor(scenario: str = "healthy", person: Admitted | None = None) -> Monitor:
    return Monitor(Patient(7001, scenario), "ICU 7", BEGAN.replace(tzinfo=None), person)


class Ward(Agent):
    """An agent that reads what comes, as the real one does."""

    def __init__(self, driver: Any) -> None:
        super().__init__(make_session=lambda: driver.session(driver.settings()), name="bed")
        self.read: list[Report] = []
        self.refused: list[str] = []
        self._taken = 0
        self._at = Source("bed", driver.settings(), time_zone=ZoneInfo("Europe/Berlin"), peer="here")

    def reports(self, kind: Kind) -> list[Report]:
        for delivery in self.came[self._taken :]:
            self._taken += 1
            if not delivery.reason:
                self._at.received_at_us = delivery.received_at_us
                try:
                    self.read += intellivue.read(delivery.frame, self._at)
                except FrameError as error:
                    self.refused.append(error.reason)
                self._at.take_emitted()
        return [report for report in self.read if report.kind is kind]

    def records(self, kind: Kind) -> list[Record]:
        return [record for report in self.reports(kind) for record in report.records]


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@asynccontextmanager
async def over_udp(simulated: Monitor, line: Line | None = None) -> AsyncIterator[Ward]:
    port, stop, ward = free_port(), asyncio.Event(), Ward(intellivue.LAN)
    serving = asyncio.create_task(serve_udp(simulated, "127.0.0.1", port, line or Line(), stop))
    await asyncio.sleep(0)  # its socket is bound at its first turn
    await asyncio.sleep(0)
    async with running(UdpMonitor(UdpLink(f"127.0.0.1:{port}")), ward):
        yield ward
    await eventually(lambda: simulated.peer is None)  # released
    stop.set()
    await serving


def within(seconds: float, scene: Callable[[], Any]) -> None:
    async def limited() -> None:
        async with asyncio.timeout(seconds):
            await scene()

    asyncio.run(limited())


def number_of(record: Record) -> str | None:
    missing = record.validity is Validity.NOT_AVAILABLE
    return None if missing else f"{Decimal(record.mantissa).scaleb(record.exponent):f}"


def test_numbers_waves_patient_and_clock_over_udp() -> None:
    patient = Patient(7001, "healthy")

    async def scene() -> None:
        async with over_udp(monitor(person=Admitted("0007001", "Muster", "Erika"))) as ward:
            await eventually(lambda: len(ward.reports(Kind.WAVEFORM)) > 8 and len(ward.reports(Kind.METRIC)) > 4)
            assert (ward.bugs, ward.refused) == ([], [])
            _numbers_agree(ward, patient)
            _waves_agree(ward)
            said = [(r.as_sent.code, r.text) for r in ward.records(Kind.CONTEXT) if r.as_sent]
            assert ("PID-3", "0007001") in said
            assert ("bed", "ICU 7") in said
            assert "Muster" not in str(ward.read)
            assert [r.text for r in ward.records(Kind.EVENT) if r.as_sent and r.as_sent.code == "gap"] == []
            assert {report.claim for report in ward.reports(Kind.METRIC)} == {"bed/system-id=0009fb0000001b59"}

    within(30, scene)


def _numbers_agree(ward: Ward, patient: Patient) -> None:
    compared = 0
    for report in ward.reports(Kind.METRIC):
        assert report.device_at_us is not None
        at = datetime.fromtimestamp(report.device_at_us / 1e6, UTC)
        assert timedelta(0) <= at - BEGAN < timedelta(seconds=60)
        by_code = {record.code or (record.as_sent and record.as_sent.code): record for record in report.records}
        # The local time beside the ticks is exact to the second, and so is a simulated value's moment.
        second = (at - BEGAN).total_seconds()
        candidates = [patient.report(max(0.0, second + shift)) for shift in (0, 0.5, 1, 1.5, 2)]
        for name, code in {"hr": 147842, "spo2": 150456, "pr": 149530, "rr": 151562, "abp_sys": 150037,
                           "abp_dia": 150038, "temp_c": 150344, "etco2": 151728, "cvp": 150087}.items():  # fmt: skip
            if code in by_code:
                assert number_of(by_code[code]) in {each[name] for each in candidates}
                compared += 1
        if 147842 in by_code:
            assert number_of(by_code[148065]) in {each["pvc"] for each in candidates}
    assert compared > 20


def _waves_agree(ward: Ward) -> None:
    next_sample: dict[int, int] = {}
    for record in ward.records(Kind.WAVEFORM):
        samples = record.samples
        assert samples is not None
        assert samples.rate_numerator / samples.rate_denominator == WAVES[record.code]
        assert next_sample.get(record.code, samples.first_sample) == samples.first_sample
        next_sample[record.code] = samples.first_sample + samples.count
    assert set(next_sample) == set(WAVES)
    assert [record.text for record in ward.records(Kind.EVENT) if "wave" in str(record.as_sent)] == []


def test_an_alarm_begins_and_ends_with_the_finger() -> None:
    simulated, began_s = monitor("finger_off"), 33.0  # the finger is out from 20 to 35
    receive, tick = simulated.receive, simulated.tick
    simulated.receive = lambda data, peer, t_s: receive(data, peer, t_s + began_s)  # type: ignore[method-assign]
    simulated.tick = lambda t_s: tick(t_s + began_s)  # type: ignore[method-assign]

    async def scene() -> None:
        async with over_udp(simulated) as ward:
            await eventually(lambda: len(ward.records(Kind.ALARM)) == 2)
            alarms = [record.alarm for record in ward.records(Kind.ALARM) if record.alarm is not None]
            assert [(each.text, each.state) for each in alarms] == [
                ("SpO2 NO SENSOR", AlarmState.ACTIVE), ("SpO2 NO SENSOR", AlarmState.INACTIVE),
            ]  # fmt: skip

    within(30, scene)


def test_on_a_bad_network_it_goes_on() -> None:
    async def scene() -> None:
        async with over_udp(monitor(), Line(("half_frame", "lost", "doubled"), share=0.2)) as ward:
            await eventually(lambda: len(ward.reports(Kind.WAVEFORM)) > 12)
            assert ward.bugs == []
            assert ward.refused

    within(60, scene)


@asynccontextmanager
async def over_mib(simulated: Monitor, link: Path, line: Line) -> AsyncIterator[Ward]:
    stop, ward = asyncio.Event(), Ward(intellivue.MIB)
    serving = asyncio.create_task(serve_mib(simulated, link, line, stop))
    await eventually(link.exists)
    assert intellivue.MIB.serial is not None
    async with running(SerialPort(SerialLink(str(link)), intellivue.MIB.serial), ward):
        yield ward
    await eventually(lambda: simulated.peer is None)
    stop.set()
    await serving


def test_the_serial_port_says_the_same(tmp_path: Path) -> None:
    async def scene() -> None:
        async with over_mib(monitor(), tmp_path / "mib", Line()) as ward:
            await eventually(lambda: len(ward.reports(Kind.WAVEFORM)) > 8 and len(ward.reports(Kind.METRIC)) > 4)
            assert [delivery.reason for delivery in ward.came if delivery.reason] == []
            _numbers_agree(ward, Patient(7001, "healthy"))
            _waves_agree(ward)

    within(60, scene)


def test_on_a_bad_cable_it_goes_on(tmp_path: Path) -> None:
    async def scene() -> None:
        async with over_mib(monitor(), tmp_path / "mib", Line(MIB_FAULTS, share=0.2)) as ward:
            await eventually(lambda: len(ward.reports(Kind.WAVEFORM)) > 12)
            assert {delivery.reason for delivery in ward.came if delivery.reason}
            assert (ward.bugs, ward.refused) == ([], [])

    within(60, scene)


def test_check_and_watch_say_that_the_monitor_answers() -> None:
    async def scene() -> None:
        port, stop, simulated = free_port(), asyncio.Event(), monitor()
        source = SourceConfig("bed", "intellivue", UdpLink(f"127.0.0.1:{port}"), time_zone="Europe/Berlin")
        finding = await check.socket(source)
        assert finding.wrong
        assert "does not answer (Connection refused)" in finding.what
        serving = asyncio.create_task(serve_udp(simulated, "127.0.0.1", port, Line(), stop))
        await asyncio.sleep(0.05)
        finding = await check.socket(source)
        assert finding.what == f"127.0.0.1:{port} opens"
        await eventually(lambda: simulated.peer is None)
        watcher, enough = Watcher(plan_source(source, {})), asyncio.Event()
        watching = asyncio.create_task(watch(watcher, enough))
        await eventually(lambda: watcher.o.readings > 5)
        enough.set()
        await watching
        assert diagnosis(watcher.look()).slug == "read"
        stop.set()
        await serving

    within(60, scene)
