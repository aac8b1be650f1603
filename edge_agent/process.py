"""The edge process: sources, spool and publisher, started and ended together."""

from __future__ import annotations

import asyncio
import itertools
import json
import uuid
from collections import Counter
from collections.abc import Callable, Coroutine
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import prometheus_client
import structlog
from prometheus_client import Gauge

from adapters.devices.registry import DRIVER_BY_NAME
from adapters.driver import DeviceDriver, Source
from adapters.site import SiteMapping, read_site
from edge_agent import agent
from edge_agent.config import AnySource, EdgeConfig, MllpConfig, MqttConfig, SerialConfig, place_of
from edge_agent.delivery import Delivery
from edge_agent.events import Voice
from edge_agent.publisher import Publisher
from edge_agent.spool import Spool
from edge_agent.transports.mllp import MllpTransport, split_address
from edge_agent.transports.mqtt import MqttTransport, topic_problem
from edge_agent.transports.serial import SerialTransport, url_problem
from evidence.seal import seal
from runtime import keys
from runtime.clock import ClockWatch, now_us
from schemas.errors import ConfigError, VitalwireError

HOUSEKEEPING_S = 1.0
COUNTS_EVERY = 10  # of these
LATE_S = 30  # a report that has waited longer says that data does not flow
Run = Callable[[Callable[[Delivery], None]], Coroutine[Any, Any, None]]
_log = structlog.get_logger("edge")
_own = prometheus_client.Counter("vitalwire_edge_events", "Events of the edge itself", ["code"])
_gauges = {
    "reports": Gauge("vitalwire_spool_waiting_reports", "Reports that wait to be cut"),
    "open_bytes": Gauge("vitalwire_spool_unreceipted_bytes", "Bytes of batches without a receipt"),
    "held_bytes": Gauge("vitalwire_spool_held_bytes", "Bytes of batches kept after their receipt"),
}
_age = Gauge("vitalwire_spool_oldest_seconds", "How long the oldest waiting report has waited")


def config_hash(config: EdgeConfig) -> bytes:
    """What a batch says of the configuration and drivers that made it."""
    drivers = sorted(DRIVER_BY_NAME)
    return sha256(msgspec.json.encode([config, drivers], enc_hook=str, order="sorted")).digest()


def sources(config: EdgeConfig) -> tuple[AnySource, ...]:
    """Every source, serial first."""
    return *config.serial, *config.mllp, *config.mqtt


def site_mappings(path: Path | None) -> dict[str, SiteMapping]:
    """The site's mapping file by source; raises ConfigError."""
    if path is None:
        return {}
    try:
        return read_site(path.read_text("utf-8"), str(path))
    except OSError as error:
        raise ConfigError(f"mapping file {path} cannot be read: {error.strerror}") from None


def make_source(config: AnySource, sites: dict[str, SiteMapping], peer: str) -> Source:
    """What the driver is told of where a frame came from; raises ConfigError for a zone that is none."""
    try:
        zone = ZoneInfo(config.time_zone) if config.time_zone else None
    except (KeyError, ValueError, OSError):  # OSError: "Europe" is a folder
        raise ConfigError(f"{config.name}: {config.time_zone!r} is no time zone: write it like Europe/Berlin") from None
    source = Source(config.name, sites.get(config.name, sites.get("", SiteMapping())), zone, peer=peer)
    match config:
        case SerialConfig():
            source.device_claim = config.device
        case MllpConfig():
            source.device_field, source.charset = config.device, config.charset
        case MqttConfig():
            source.device_field, source.time_field = config.device, config.time_field
    return source


def driver_of(config: AnySource) -> DeviceDriver:
    """The driver of a source that can be opened, as far as its configuration says; raises ConfigError."""
    driver, wanted, problem = DRIVER_BY_NAME.get(config.driver), config.transport, ""
    if driver is None or driver.transport != wanted:
        names = ", ".join(d.name for d in DRIVER_BY_NAME.values() if d.transport == wanted)
        raise ConfigError(f"{config.name}: driver {config.driver!r} does not speak over {wanted}: choose {names}")
    make_source(config, {}, "")
    if isinstance(config, SerialConfig):
        problem = url_problem(config.port)
    else:
        try:
            split_address(place_of(config))
        except ValueError:
            problem = f"{place_of(config)!r} is no address: write host:port"
    if isinstance(config, MqttConfig):
        problem = problem or next(filter(None, map(topic_problem, config.topics)), "")
    if problem:
        raise ConfigError(f"{config.name}: {problem}")
    return driver


class Edge:
    """One edge agent. `run` ends when `stop` is set; what was kept is kept."""

    def __init__(self, config: EdgeConfig) -> None:
        key = keys.load(config.key_file, allow_demo=config.demo)
        self.config, self.id = config, uuid.UUID(config.edge)
        self.voice = Voice(f"edge:{self.id}", now_us)
        self._frames: Counter[str] = Counter()
        self._sites = site_mappings(config.mapping)
        # What is wrong with a source is said before anything is opened.
        drivers = [(each, driver_of(each)) for each in sources(config)]
        self._sources = [(each.name, driver, self._run_of(each, driver)) for each, driver in drivers]
        self.spool = Spool(
            config.spool,
            bytes_max=config.spool_bytes_max,
            receipt_hold_s=config.receipt_hold_h * 3600,
            cut_after_s=config.cut_after_s,
            on_event=self._say,
        )
        own = partial(seal, edge=self.id.bytes, config_hash=config_hash(config), key_id=key.key_id, sign=key.sign)
        self.publisher = Publisher(
            self.spool, own, keys.read_public(config.platform_key_file), edge=self.id.bytes,
            kafka=config.kafka, ca=config.kafka_ca, on_event=self._say,
        )  # fmt: skip
        for name, gauge in _gauges.items():  # read as they are asked for
            gauge.set_function(lambda name=name: getattr(self.spool.figures, name))  # type: ignore[misc]
        _age.set_function(self._oldest_s)

    def _say(self, code: str, text: str) -> None:
        """An event of the edge: logged, counted, and a report like any other. On any thread."""
        _own.labels(code).inc()
        _log.info(code, detail=text)
        self.spool.put([self.voice.say(code, text)])

    def _run_of(self, config: AnySource, driver: DeviceDriver) -> Run:
        source = partial(make_source, config, self._sites)
        match config:
            case SerialConfig():
                return SerialTransport(config, driver, source(config.port), self._say).run
            case MllpConfig():
                return MllpTransport(config, source).run
            case MqttConfig():
                return MqttTransport(config, self.config.edge, source).run

    async def run(self, stop: asyncio.Event) -> None:
        """Until told to stop. Raises what a source cannot start with (OSError: a port in use)."""
        self._say("started", f"{len(self._sources)} sources")
        if (last_us := self.spool.last_at_work_us) is not None and last_us < (at_us := now_us()):
            self._say("gap", f"the agent was not at work from {last_us} to {at_us}")
        work = [run(partial(self._carry, driver)) for _, driver, run in self._sources]
        tasks = [asyncio.ensure_future(each) for each in (*work, self._housekeeping(), stop.wait())]
        self.publisher.start()
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._put_counts()
            await asyncio.to_thread(self.publisher.stop)
            await asyncio.to_thread(self.spool.close)

    def _carry(self, driver: DeviceDriver, delivery: Delivery) -> None:
        self._frames[f"frames:{delivery.source.name}"] += 1
        agent.carry(delivery, driver, self.spool, self.voice)

    def _put_counts(self) -> None:
        """The edge's own counts, which travel as it counted them: one side of the equation for frames."""
        figures = self.spool.figures
        waiting = {
            "waiting_reports": figures.reports, "unreceipted_batches": figures.open_batches,
            "oldest_waiting_s": round(self._oldest_s(), 1),
        }  # fmt: skip
        counts = json.dumps({**self._frames, **waiting, **self.publisher.counts}, sort_keys=True)
        self.spool.put([self.voice.say("counts", counts)])

    async def _housekeeping(self) -> None:
        """Each second: who is silent, whether the clock stepped, whether the publisher lives; every ten, the counts."""
        clock, names = ClockWatch(), [name for name, _, _ in self._sources]
        for tick in itertools.count(1):
            await asyncio.sleep(HOUSEKEEPING_S)
            if step_ms := clock.step_ms():
                self.voice.clock_stepped(step_ms)
                self._say("clock-step", f"the edge's clock stepped by {step_ms} ms")
            for silence in self.voice.silences(names):
                agent.tell([silence], self.spool, self.voice)
            if not self.publisher.alive:
                raise VitalwireError("the publisher has ended: the agent ends too, to be started afresh")
            if tick % COUNTS_EVERY == 0:
                self._put_counts()

    def _oldest_s(self) -> float:
        oldest = self.spool.figures.oldest_received_us
        return 0.0 if oldest is None else max(0, now_us() - oldest) / 1e6

    def not_ready(self) -> list[str]:
        """Why data does not flow; nothing where it does (/readyz)."""
        reasons = []
        if self.publisher.broker is None:
            reasons.append(f"the broker {self.config.kafka} is not reached")
        if self._oldest_s() > LATE_S:
            reasons.append(f"the oldest report has waited for more than {LATE_S} s")
        return reasons
