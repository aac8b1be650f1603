"""The edge process: sources, spool and publisher, started and ended together."""

from __future__ import annotations

import asyncio
import gc
import itertools
import json
import sys
import time
import uuid
from collections import Counter
from contextlib import suppress
from functools import partial
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path

import msgspec
import prometheus_client
import structlog
from prometheus_client import Gauge

from adapters.devices.registry import DRIVER_BY_NAME
from adapters.formats.recording import Heading
from edge_agent.agent import keep_events
from edge_agent.bugs import log_bug
from edge_agent.condition import Condition, SpoolState
from edge_agent.config import EdgeConfig
from edge_agent.control import ControlServer
from edge_agent.downtime.keeping import DowntimeKeeper
from edge_agent.downtime.ring_file import HistoryState, SourceNote
from edge_agent.events import EventEmitter
from edge_agent.flight_recorder import FlightRecorder, RecorderPlan, Ring, delete_others, ring_folder
from edge_agent.flight_recorder import plan_of as recorder_plan
from edge_agent.publisher import Publisher, kafka_problem, refusal_mend
from edge_agent.renewal import renewal_of
from edge_agent.reread import Reread, RereadTotals
from edge_agent.sources import plan_source, site_mappings
from edge_agent.spool import Kept, Spool
from edge_agent.spool.drained import mark_of
from edge_agent.spool.queue import Done
from edge_agent.supervisor import SourceState, Supervisor, link_of
from evidence.seal import seal
from runtime import keys
from runtime.clock import ClockWatch, now_us
from schemas.edge_status import broker_away
from schemas.errors import ConfigError, VitalwireError
from schemas.identity import EdgeId
from schemas.report import Lane

HOUSEKEEPING_S = 1.0
COUNTS_EVERY = 10  # of these
COUNT_NAMES_MAX = 200  # of a source
CLOCKS_OFF_MAX = 20  # that the counts name; the metric has their number
# The spool's thread waits for the interpreter's lock at each statement: with the usual 5 ms a commit beside a busy
# event loop takes 30.
SWITCH_S = 0.0005
GC_YOUNG_OBJECTS = 20_000  # made since the last look at the youngest
NOT_KNOWN = float("nan")  # no rule fires on it
LATE_S = 30  # a report that has waited longer says that data does not flow
_log = structlog.get_logger("edge")
_own = prometheus_client.Counter("vitalwire_edge_events", "Events of the edge itself", ["code"])
_counted = Gauge("vitalwire_source_counts", "What sessions and drivers count, by their own names", ["source", "name"])
_gauges = {
    "reports": Gauge("vitalwire_spool_waiting_reports", "Reports that wait to be cut"),
    "open_bytes": Gauge("vitalwire_spool_unreceipted_bytes", "Bytes of batches without a receipt"),
    "held_bytes": Gauge("vitalwire_spool_held_bytes", "Bytes of batches kept after their receipt"),
}
_commits = Gauge("vitalwire_spool_commits", "Commits of the spool since the agent's start")
_receipts = Gauge("vitalwire_receipts_believed", "Receipts that say stored, believed since the agent's start")
_age = Gauge("vitalwire_spool_oldest_seconds", "How long the oldest waiting report has waited")
_refused = Gauge("vitalwire_spool_refused_batches", "Batches that the hospital refuses; they are kept")
_quota = Gauge("vitalwire_spool_quota_bytes", "What the spool may hold without a receipt")
_room = Gauge("vitalwire_spool_room_seconds", "How long the spool takes what comes while nothing leaves it")
_disk_free = Gauge("vitalwire_spool_disk_free_bytes", "Free bytes of the disk that the spool is on")
_broker_away = Gauge("vitalwire_broker_away_seconds", "How long no broker has been reached; 0: one is")
_certificate_end = Gauge("vitalwire_edge_certificate_end_seconds", "When the certificate for the broker ends")
_clock_offset = Gauge("vitalwire_edge_clock_offset_seconds", "How far the edge's clock is ahead of the broker's")
_clocks_off = Gauge("vitalwire_device_clocks_off", "Devices whose clock is off by more than its limit", ["source"])
_contradiction = Gauge("vitalwire_log_contradiction", "1: two checkpoints of the hospital's log contradict each other")
CONDITION_NAMES = (
    "version", "spool_bytes", "spool_quota_bytes", "disk_free_bytes", "room_s", "broker_away_s",
    "certificate_ends_at_s",
)  # fmt: skip  # of an EdgeStatus, what `condition` knows
ALARMS = {"batches-refused", "log-forked", "log-shrunk", "spool-copied"}  # somebody must act: logged as errors


def config_hash(config: EdgeConfig) -> bytes:
    """What a batch says of what made it: the configuration, the mapping's content, the version, the drivers."""
    mapping = config.mapping.read_bytes() if config.mapping is not None else b""
    made_by = [config, sha256(mapping).hexdigest(), version("vitalwire"), sorted(DRIVER_BY_NAME)]
    return sha256(msgspec.json.encode(made_by, enc_hook=str, order="sorted")).digest()


class Edge:
    """One edge agent. `run` ends when `stop` is set; what was kept is kept."""

    def __init__(self, config: EdgeConfig) -> None:
        key = keys.load(config.key_file, allow_demo=config.demo)
        self.config, self.id = config, uuid.UUID(config.edge)
        self.emitter = EventEmitter(f"edge:{self.id}", now_us)
        self._loop: asyncio.AbstractEventLoop | None = None
        sites = site_mappings(config.mapping)
        # What is wrong with the configuration is said before anything is opened.
        if wrong := kafka_problem(config):
            raise ConfigError(wrong)
        plans = [plan_source(each, sites) for each in config.source]
        recorders = recorder_plan(config)
        self.spool = Spool(
            config.spool,
            bytes_max=recorders.spool_bytes_max,
            wave_share=config.wave_share,
            hold_version=config.spool_hold_version,
            receipt_hold_s=config.receipt_hold_h * 3600,
            cut_after_s=config.cut_after_s,
            on_event=self._emit,
            on_settled=self._settled,
        )
        edge_id = EdgeId(self.id.bytes)
        own = partial(seal, edge=edge_id, config_hash=config_hash(config), key_id=key.key_id, sign=key.sign)
        self.publisher = Publisher(
            self.spool, own, keys.read_public(config.platform_key_file), edge=edge_id,
            kafka=config.kafka, ca=config.kafka_ca, cert=config.kafka_cert, key=config.kafka_key,
            insecure=config.insecure, on_event=self._emit,
        )  # fmt: skip
        self.renewal = renewal_of(config, key, self._emit, self.publisher.reconnect)
        self._downtime = DowntimeKeeper(config.spool, config.downtime, self._emit, now_us)
        self.supervisors = [
            Supervisor(
                plan, link_of(plan, config.edge), self.spool, self.emitter, self._emit, on_arrived=self._downtime.take
            )
            for plan in plans
        ]
        self._unreceipted: dict[Lane, int] = {}  # batches, a lane each, as the newest counts say
        self.flight_recorders = self._flight_recorders(recorders)
        self.condition = Condition(
            config.spool, recorders.spool_bytes_max, config.kafka_cert, self._emit, self._certificate_replaced
        )
        self._control = ControlServer(control_path(config), self.supervisors, self.spool.checkpoints, self._reread)
        for name, gauge in _gauges.items():  # read as they are asked for
            gauge.set_function(lambda name=name: getattr(self.spool.figures, name))  # type: ignore[misc]
        _age.set_function(self._oldest_s)
        _commits.set_function(lambda: self.spool.commits)
        _receipts.set_function(lambda: self.publisher.receipts_believed)
        _quota.set(recorders.spool_bytes_max)
        _refused.set_function(lambda: self.publisher.refused_batches)
        _contradiction.set_function(lambda: bool(self.publisher.contradiction))

    async def _reread(self, supervisor: Supervisor, since_us: int) -> RereadTotals:
        """Read a source's rejected frames again, and keep that it was done."""
        totals = await Reread(supervisor.plan, self.spool, self.config.spool).run(since_us)
        self._emit("frames-reread", f"{supervisor.name}: {totals.read} of {totals.found} rejected frames are read now")
        return totals

    def _flight_recorders(self, plan: RecorderPlan) -> list[FlightRecorder]:
        """One for each source that is recorded; the rings of the others are deleted."""
        try:
            delete_others(self.config.spool, plan.hours_by_source)
        except OSError as error:
            self._emit("recorder-trouble", f"a ring that is not wanted any more cannot be deleted: {error.strerror}")
        return [
            FlightRecorder(
                each.name,
                each.tap,
                Ring(
                    ring_folder(self.config.spool, each.name),
                    Heading(each.state.link, each.state.driver),
                    hours=plan.hours_by_source[each.name],
                    bytes_max=plan.ring_bytes_max,
                ),
                self._emit,
            )
            for each in self.supervisors
            if each.name in plan.hours_by_source
        ]

    def _emit(self, code: str, text: str) -> None:
        """An event of the edge: logged, counted, and a report like any other. On any thread."""
        _own.labels(code).inc()
        if code in ALARMS:
            _log.error(code, detail=text)
        else:
            _log.info(code, detail=text)
        self.spool.put([self.emitter.emit(code, text)], None, lambda _: None)

    def _certificate_replaced(self) -> None:
        """By a person; the renewal sees to its own."""
        if self.renewal is None:
            self._emit("certificate-renewed", "for Kafka: another one is in its file")
            self.publisher.reconnect()

    def _settled(self, settled: list[tuple[Done, Kept]]) -> None:
        """What became of all frames of a commit: told on the event loop, in one call. On the spool's thread."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(_notify_each, settled)

    async def run(self, stop: asyncio.Event) -> None:
        """Until told to stop. What a source cannot start with is that source's trouble alone."""
        self._loop = asyncio.get_running_loop()
        # A full collection walks all that there is, 150 ms and more: what is there for good is left out of it, and it
        # comes seldom. What a frame makes has no cycles.
        gc.freeze()
        sys.setswitchinterval(SWITCH_S)
        gc.set_threshold(GC_YOUNG_OBJECTS, 50, 100)
        self._look()
        self._emit("started", f"{len(self.supervisors)} sources")
        if self.spool.is_new:
            self._emit("spool-new", f"{self.spool.spool_id.hex()}: nothing of an earlier one is on this disk")
        last_us = self._leave_drained_id()
        if last_us is not None and last_us < (at_us := now_us()):
            self._emit("gap", f"the agent was not at work from {last_us} to {at_us}")
        sources = [asyncio.create_task(each.run(), name=each.name) for each in self.supervisors]
        work = (self._housekeeping(), self._control.run(self._emit), self._downtime.run(self._downtime_state))
        others = [asyncio.create_task(each) for each in (*work, *(each.run() for each in self.flight_recorders))]
        if self.renewal is not None:
            others.append(asyncio.create_task(self.renewal.run()))
        stopped = asyncio.create_task(stop.wait())
        self.publisher.start()
        try:
            done, _ = await asyncio.wait([stopped, others[0]], return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            tasks = [*sources, *others, stopped]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._put_counts()
            await self._downtime.end(self._downtime_state())
            await asyncio.to_thread(self.publisher.stop)
            await asyncio.to_thread(self.spool.close)

    def _leave_drained_id(self) -> int | None:
        """Where another box sent this spool from its disk, go on under a new id. Raises VitalwireError if it cannot.

        When this box was at work last, which is not when the other one cut and sent; None: never, or not known.
        """
        mark = mark_of(self.config.spool, self.spool.spool_id)
        if mark is None:
            return self.spool.last_at_work_us
        before = self.spool.spool_id.hex()
        self.spool.renew_id()
        self._emit(
            "spool-drained",
            f"the spool {before} was sent from this disk by {mark.by} on {mark.host} at {mark.at}: this box goes on as"
            f" {self.spool.spool_id.hex()}",
        )
        return mark.owner_at_work_us

    def _put_counts(self) -> None:
        """The edge's own counts, which travel as it counted them: one side of the equation for frames."""
        figures = self.spool.figures
        counts: dict[str, object] = {
            "waiting_reports": figures.reports, "unreceipted_batches": figures.open_batches,
            "refused_batches": self.publisher.refused_batches,
            "oldest_waiting_s": round(self._oldest_s(), 1), "waves_lost": figures.waves_lost,
            "clock_offset_ms": self.publisher.clock_offset_ms, **self.publisher.counts,
        }  # fmt: skip
        condition = msgspec.structs.asdict(self.condition.status)
        counts |= {name: condition[name] for name in CONDITION_NAMES}
        counts |= {f"unreceipted:{lane.name.lower()}": count for lane, count in self._unreceipted.items()}
        counts["device_clocks_off_ms"] = self._device_clocks_off_ms()
        for supervisor in self.supervisors:
            state = supervisor.state
            counts[f"frames:{state.name}"] = state.frames
            counts[f"state:{state.name}"] = state.state
            for name, count in _bounded(supervisor.plan.counts).items():
                counts[f"{state.name}:{name}"] = count
                _counted.labels(state.name, name).set(count)
        self.spool.put([self.emitter.emit("counts", json.dumps(counts, sort_keys=True))], None, lambda _: None)

    def _device_clocks_off_ms(self) -> dict[str, int]:
        """The worst of them by claim, ahead positive."""
        found: dict[str, int] = {}
        for supervisor in self.supervisors:
            offsets_us = supervisor.chain.device_clocks.offsets_us()
            _clocks_off.labels(supervisor.name).set(len(offsets_us))
            found |= {claim: offset_us // 1000 for claim, offset_us in offsets_us.items()}
        worst = sorted(found, key=lambda claim: abs(found[claim]), reverse=True)[:CLOCKS_OFF_MAX]
        return {claim: found[claim] for claim in worst}

    async def _housekeeping(self) -> None:
        """Each second: who is silent, whether the clock stepped, whether the publisher lives; every ten, the counts."""
        clock = ClockWatch()
        names = [each.name for each in self.supervisors if each.plan.speaks_regularly]
        for tick in itertools.count(1):
            await asyncio.sleep(HOUSEKEEPING_S)
            if step_ms := clock.step_ms():
                self.emitter.clock_stepped(step_ms)
                for supervisor in self.supervisors:
                    supervisor.chain.device_clocks.clock_stepped(step_ms)
                self._emit("clock-step", f"the edge's clock stepped by {step_ms} ms")
            keep_events(self.emitter.silences(names), self.emitter, self.spool)
            self._look()
            if not self.publisher.alive:
                raise VitalwireError("the publisher has ended: the agent ends too, to be started afresh")
            if tick % COUNTS_EVERY == 0:
                with suppress(VitalwireError):  # a spool that cannot write now: the counts of ten seconds ago
                    self._unreceipted = await asyncio.to_thread(self.spool.unreceipted_by_lane)
                self._put_counts()

    def _look(self) -> None:
        """How the edge stands now, for its counts, its metrics and people."""
        figures = self.spool.figures
        state = SpoolState(
            waiting_reports=figures.reports,
            unreceipted_batches=figures.open_batches,
            unreceipted_bytes=figures.unreceipted_bytes,
            held_bytes=figures.held_bytes,
            kept_bytes=self.spool.kept_bytes,
        )
        status = self.condition.look(
            time.monotonic(), state,
            is_broker_reached=self.publisher.broker is not None, answers=self.publisher.answers,
            refused_batches=self.publisher.refused_batches,
        )  # fmt: skip
        _broker_away.set(status.broker_away_s or 0)
        _room.set(NOT_KNOWN if status.room_s is None else status.room_s)
        _disk_free.set(NOT_KNOWN if status.disk_free_bytes is None else status.disk_free_bytes)
        _certificate_end.set(NOT_KNOWN if status.certificate_ends_at_s is None else status.certificate_ends_at_s)
        self._downtime.note_receipts(self.publisher.receipts_believed)
        offset_ms = self.publisher.clock_offset_ms
        _clock_offset.set(NOT_KNOWN if offset_ms is None else offset_ms / 1000)

    def _downtime_state(self) -> HistoryState:
        """How the agent stands, for its downtime view."""
        away_s = self.condition.status.broker_away_s
        troubled = [state for state in self.states() if state.state == "trouble"]
        return HistoryState(
            written_at_us=now_us(),
            edge=self.config.edge,
            broker_away_since_us=None if away_s is None else now_us() - int(away_s * 1e6),
            troubled=tuple(SourceNote(state.name, state.why) for state in troubled),
        )

    def _oldest_s(self) -> float:
        oldest = self.spool.figures.oldest_received_us
        return 0.0 if oldest is None else max(0, now_us() - oldest) / 1e6

    def not_ready(self) -> list[str]:
        """Why data does not flow; nothing where it does (/readyz)."""
        reasons = []
        if self.publisher.broker is None:
            status = self.condition.status
            away = broker_away(status, status.broker_away_s or 0.0).en
            reasons.append(f"the broker {self.config.kafka} is not reached: {away}")
        if refusal := self.publisher.refusal:
            reasons.append(f"the hospital refuses this edge's batches ({refusal}): {refusal_mend(refusal)}")
        if self._oldest_s() > LATE_S:
            reasons.append(f"the oldest report has waited for more than {LATE_S} s")
        return reasons

    def states(self) -> list[SourceState]:
        """How each source stands (`vitalwire edge sources`)."""
        return [supervisor.state for supervisor in self.supervisors]

    def notes(self) -> list[str]:
        """What is in trouble while the rest flows, and so it is ready (/readyz): sources, and the hospital's log."""
        notes = [f"{state.name}: {state.why}" for state in self.states() if state.state == "trouble"]
        if contradiction := self.publisher.contradiction:
            notes.append(f"{contradiction}: checkpoints of the hospital's log contradict: `vitalwire edge witness`")
        if self.renewal is not None and self.renewal.trouble:
            notes.append(self.renewal.trouble)
        return notes


def control_path(config: EdgeConfig) -> Path:
    """Where the running agent can be asked."""
    return config.control_socket or config.spool / "control.sock"


def _bounded(counts: Counter[str]) -> Counter[str]:
    """A source's counts, the rarest together where there are too many names: a sender may make up what is counted."""
    if len(counts) > COUNT_NAMES_MAX:
        others = counts.most_common()[COUNT_NAMES_MAX - 1 :]
        for name, _ in others:
            del counts[name]
        counts["others"] += sum(count for _, count in others)
    return counts


def _notify_each(settled: list[tuple[Done, Kept]]) -> None:
    for done, kept in settled:
        try:
            done(kept)
        except Exception as error:  # noqa: BLE001 - a bug with one answer costs no other frame its own
            log_bug("an answer failed", error, "")
