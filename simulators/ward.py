"""A ward of simulated devices in one process: a part of the beds each over serial, MLLP and MQTT."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Coroutine
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from simulators import (
    alaris,
    bbraun_bcc,
    datex_dri,
    hl7_oru,
    intellivue,
    medibus,
    mqtt_json,
    nonin,
    orchestra,
    oximeters,
    poct1a,
)
from simulators.acked_log import AckedLog, SentReport, WardTotals
from simulators.faults import FAULTS, NOTICED, FaultyWire
from simulators.hl7_mindray import serve_share
from simulators.hl7_vendors import VENDORS, VendorMonitor
from simulators.intellivue_objects import Admitted
from simulators.medibus_values import MODELS
from simulators.patient import Patient

VALUES_MAX = 200  # of a report
STOP_POLL_S = 0.25
BEHIND_MAX_S = 1.0  # a report that is later than this moves all that follow; none is made up for
DRAIN_S = 20.0  # at the end, for the last acknowledgements

Address = tuple[str, int]
MEDIBUS_MODELS = {"medibus": "evita_xl", **{f"medibus-{model}": model for model in MODELS}}
PUMPS = {"bbraun_bcc": bbraun_bcc.run, "alaris": alaris.run, "orchestra": orchestra.run}
SERIAL_KINDS = ("nonin_ascii", "nonin_df2", "datex_dri", "intellivue-mib", *oximeters.KINDS, *MEDIBUS_MODELS, *PUMPS)
POCT1A_MODELS = {"poct1a": "dca", **{f"poct1a-{model}": model for model in poct1a.MODELS}}
NETWORK_KINDS = ("hl7", "hl7-listen", "mqtt", "intellivue", "mindray-pds", "bbraun_bcc-tcp", *POCT1A_MODELS)


@dataclass(frozen=True)
class WardPlan:
    """What the ward does. Beds are split over the transports that are given; `rate_hz` is reports a second and bed.

    Serial devices keep their own rate, one report a second, and their own two values.
    """

    beds: int = 12
    rate_hz: float = 1.0
    values: int = 12
    seed: int = 1
    scenario: str = "healthy"
    serial_dir: Path | None = None
    mllp: Address | None = None
    mllp_mindray: Address | None = None  # of the monitors with that dialect; None: they go where the others go
    mqtt: Address | None = None
    acked_log: Path | None = None
    duration_s: float | None = None
    faults: tuple[str, ...] = ()  # of faults.FAULTS; where the format cannot show a fault, it is left out
    fault_share: float = 0.01

    def __post_init__(self) -> None:
        if self.beds < 1 or self.rate_hz <= 0 or not 1 <= self.values <= VALUES_MAX:
            raise ValueError(f"beds from 1, rate above 0, values from 1 to {VALUES_MAX}")
        if unknown := set(self.faults) - set(FAULTS):
            raise ValueError(f"no fault {', '.join(unknown)}: {', '.join(FAULTS)}")


class SerialLink(NamedTuple):
    """A serial bed: the driver that reads it, and its port, which keeps its name when it is plugged in again."""

    bed: str
    driver: str
    path: Path


def transport_of_beds(plan: WardPlan) -> dict[str, str]:
    """bed-01 and so on, each with its transport, in equal blocks."""
    given = (("serial", plan.serial_dir), ("mllp", plan.mllp), ("mqtt", plan.mqtt))
    names = [name for name, there in given if there is not None]
    if not names:
        raise ValueError("no transport: give serial_dir, mllp or mqtt")
    return {f"bed-{n + 1:02}": names[n * len(names) // plan.beds] for n in range(plan.beds)}


def serial_links(plan: WardPlan) -> tuple[SerialLink, ...]:
    """The ports that `run_ward` makes, DF2 and ASCII in turn."""
    beds = [bed for bed, transport in transport_of_beds(plan).items() if transport == "serial"]
    drivers = ("nonin_df2", "nonin_ascii")
    return tuple(SerialLink(b, drivers[i % 2], (plan.serial_dir or Path()) / b) for i, b in enumerate(beds))


async def run_ward(plan: WardPlan, stop: asyncio.Event, whose: hl7_oru.Whose | None = None) -> WardTotals:
    """Speak until `stop` or the plan's end, wait for the last acknowledgements, and say what was sent and acked.

    The serial ports are there before anything is sent. `whose` says who lies at a bed, for monitors that name patients.
    """
    log = AckedLog(plan.acked_log)
    links = {link.bed: link for link in serial_links(plan)}
    async with AsyncExitStack() as held:
        held.callback(log.close)
        publisher = None
        if plan.mqtt is not None:
            publisher = mqtt_json.MqttPublisher(*plan.mqtt)
            held.push_async_callback(publisher.close, DRAIN_S)
        work: list[Coroutine[Any, Any, None]] = []
        for n, (bed, transport) in enumerate(transport_of_beds(plan).items()):
            device = _Device(plan, n, bed, stop, log, whose)
            if transport == "serial":
                port = held.enter_context(nonin.Port(links[bed].path))
                work.append(device.serial(port, links[bed].driver))
            elif transport == "mllp" and plan.mllp is not None:
                dialect = hl7_oru.DIALECTS[n % len(hl7_oru.DIALECTS)]
                address = plan.mllp_mindray if dialect == "mindray" and plan.mllp_mindray else plan.mllp
                work.append(device.mllp(dialect, hl7_oru.dialler(*address)))
            elif publisher is not None:
                work.append(device.mqtt(publisher))
        await _run(work, plan.duration_s, stop)
    return log.totals


async def run_device(
    kind: str, address: str, scenario: str, seed: int, rate_hz: float, stop: asyncio.Event, dialect: str = "",
) -> None:  # fmt: skip
    """One device until `stop`; the address of a serial one is a path, else host:port.

    `dialect` is that of HL7; "" is pcd01, and mindray where it listens.
    """
    host, _, number = address.rpartition(":")
    plan, log = WardPlan(beds=1, rate_hz=rate_hz, seed=seed, scenario=scenario), AckedLog()
    device = _Device(plan, 0, "bed-01", stop, log)
    async with AsyncExitStack() as held:
        if kind in ("nonin_ascii", "nonin_df2"):
            work = device.serial(held.enter_context(nonin.Port(Path(address))), kind)
        elif kind == "datex_dri":
            work = datex_dri.run(Path(address), Patient(seed, scenario), stop)
        elif kind in oximeters.KINDS:
            work = oximeters.run(kind, Path(address), Patient(seed, scenario), stop)
        elif kind in MEDIBUS_MODELS:
            work = medibus.run(Path(address), Patient(seed, scenario), stop, MEDIBUS_MODELS[kind])
        elif kind in PUMPS:
            work = PUMPS[kind](Path(address), Patient(seed, scenario), stop)
        elif kind == "intellivue-mib":
            work = intellivue.serve_mib(device.intellivue(), Path(address), intellivue.Line(), stop)
        elif kind not in NETWORK_KINDS or not number.isdecimal():
            serial, network = ", ".join(SERIAL_KINDS), ", ".join(NETWORK_KINDS)
            raise ValueError(f"give one of {serial} and a path, or of {network} and host:port")
        elif kind == "bbraun_bcc-tcp":
            rack = bbraun_bcc.rack(Patient(seed, scenario))
            work = bbraun_bcc.serve(rack, host, int(number), bbraun_bcc.Spoiler(), stop)
        elif kind in POCT1A_MODELS:
            work = poct1a.run(POCT1A_MODELS[kind], (host, int(number)), Patient(seed, scenario), stop)
        elif kind == "intellivue":
            work = intellivue.serve_udp(device.intellivue(), host, int(number), intellivue.Line(), stop)
        elif kind == "mindray-pds":
            work = serve_share("bed-01", Patient(seed, scenario), host, int(number), stop)
        elif kind == "hl7":
            work = device.mllp(dialect or "pcd01", hl7_oru.dialler(host, int(number)))
        elif kind == "hl7-listen":
            connect, _ = await held.enter_async_context(hl7_oru.listener(host, int(number)))
            work = device.mllp(dialect or "mindray", connect)
        else:
            publisher = mqtt_json.MqttPublisher(host, int(number))
            held.push_async_callback(publisher.close, DRAIN_S)
            work = device.mqtt(publisher)
        await _run([work], None, stop)


class _Device:
    """One bed's device: when it speaks, and on which clock."""

    def __init__(
        self, plan: WardPlan, number: int, bed: str, stop: asyncio.Event, log: AckedLog,
        whose: hl7_oru.Whose | None = None,
    ) -> None:  # fmt: skip
        self._plan, self._bed, self._stop, self._log, self._whose = plan, bed, stop, log, whose
        self._patient = Patient(plan.seed * 1000 + number + 1, plan.scenario)
        self._first_delay_s = number / plan.beds  # so that the ward does not speak in one breath
        self._last_ms = 0

    async def serial(self, port: nonin.Port, driver: str) -> None:
        """An oximeter: a line or three packets a second."""
        df2, wire = driver == "nonin_df2", self._wire(FAULTS)
        number = -1
        async for _ in self._moments(nonin.PACKETS_A_SECOND if df2 else 1):
            number += 1
            second = number // nonin.PACKETS_A_SECOND if df2 else number
            if self._patient.is_silent(second):
                continue
            data = nonin.df2_packet(self._patient, number) if df2 else nonin.ascii_line(self._patient, second)
            spoilt = wire.spoilt(data)
            there = port.write(data if spoilt is None else spoilt)
            if there and spoilt is None and (not df2 or number % nonin.PACKETS_A_SECOND == 2):
                values = nonin.shown(self._patient, second)
                self._log.add("serial", self._bed, (SentReport(self._bed, str(second), None, values),), acked=False)

    def intellivue(self) -> intellivue.Monitor:
        """A monitor that answers an association, with somebody admitted."""
        family, _, given = hl7_oru.NAMES[self._patient.seed % len(hl7_oru.NAMES)].partition("^")
        person = Admitted(f"{self._patient.seed:06}", family, given)
        return intellivue.Monitor(self._patient, self._bed, datetime.now(hl7_oru.ZONE), person)

    async def mllp(self, dialect: str, connect: Callable[[], Awaitable[hl7_oru.Streams]]) -> None:
        """A monitor, one message after the other."""
        monitor: hl7_oru.Monitor | VendorMonitor
        if dialect in VENDORS:
            monitor = VendorMonitor(dialect, self._bed, self._patient)
        else:
            monitor = hl7_oru.Monitor(dialect, self._bed, self._patient, self._plan.values, self._whose)
        sender = hl7_oru.Sender(monitor, connect, self._wire(NOTICED))
        next_heartbeat_s = hl7_oru.HEARTBEAT_S
        try:
            async for t_s in self._moments(self._plan.rate_hz):
                if t_s >= next_heartbeat_s:
                    next_heartbeat_s = t_s + hl7_oru.HEARTBEAT_S
                    for message in monitor.heartbeat():
                        await sender.send(message)
                for message in () if self._patient.is_silent(t_s) else monitor.messages(t_s, self._clock_us(t_s)):
                    self._log.totals.sent["mllp"] += 1
                    await sender.send(message)
                    self._log.add("mllp", self._bed, message.sent)
        finally:
            sender.close()

    async def mqtt(self, publisher: mqtt_json.MqttPublisher) -> None:
        """A sensor; many share a connection."""
        topic, wire, seq = mqtt_json.topic_of(self._bed), self._wire(NOTICED), 0
        async for t_s in self._moments(self._plan.rate_hz):
            if self._patient.is_silent(t_s):
                continue
            seq += 1
            body, sent = mqtt_json.payload(self._patient, topic, t_s, self._clock_us(t_s), seq, self._plan.values)
            if spoilt := wire.spoilt(body):
                await publisher.publish(topic, spoilt, lambda: None)
            self._log.totals.sent["mqtt"] += 1
            await publisher.publish(topic, body, partial(self._log.add, "mqtt", self._bed, (sent,)))

    def _wire(self, possible: Collection[str]) -> FaultyWire:
        kinds = [kind for kind in self._plan.faults if kind in possible]
        return FaultyWire(kinds, self._plan.fault_share, self._patient.seed)

    def _clock_us(self, t_s: float) -> int:
        """The device's clock in whole milliseconds, each later than the one before."""
        self._last_ms = max(time.time_ns() // 1_000_000, self._last_ms + 1)
        return (self._last_ms + round(self._patient.clock_offset_s(t_s) * 1000)) * 1000

    async def _moments(self, rate_hz: float) -> AsyncIterator[float]:
        """Seconds since the beginning at which the device speaks, until it is told to stop."""
        begin = time.monotonic()
        due_s = self._first_delay_s / rate_hz
        while not self._stop.is_set():
            now_s = time.monotonic() - begin
            if now_s < due_s:
                await asyncio.sleep(min(due_s - now_s, STOP_POLL_S))
                continue
            yield now_s
            due_s += 1 / rate_hz
            if now_s - due_s > BEHIND_MAX_S:
                due_s = now_s


async def _run(work: Collection[Coroutine[Any, Any, None]], duration_s: float | None, stop: asyncio.Event) -> None:
    """Until the end, and then until the last message is acknowledged; an error in a device ends all and is raised."""
    async with asyncio.TaskGroup() as group:
        running = [group.create_task(w) for w in work]
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), duration_s)
        stop.set()
        await asyncio.wait(running, timeout=DRAIN_S)
        for task in running:
            task.cancel()
