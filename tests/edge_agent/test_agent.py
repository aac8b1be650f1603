"""One source's chain: from a delivery to its reports in the spool, and to its answer."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import Any

import msgspec
import pytest
import structlog
from msgspec.structs import replace

from adapters.devices import hl7_oru
from adapters.driver import DeviceDriver, NoSettings, Source
from adapters.session import Outcome
from edge_agent import agent, bugs
from edge_agent.agent import Chain
from edge_agent.config import SourceConfig, TcpLink
from edge_agent.delivery import Delivery
from edge_agent.events import EventEmitter
from edge_agent.sources import SourcePlan, message_type
from edge_agent.spool import Kept, Spool
from edge_agent.spool.queue import Done
from runtime.logs import set_up
from schemas.errors import FrameError
from schemas.report import ClockQuality, Kind, Lane, Report
from tests.making import T0_US, report

Answer = tuple[Outcome, str]
HEAD = b"MSH|^~\\&|MON||||20261124101500+0000||%s|7|P|2.6\r"


def driver(
    read: Callable[[bytes, Source[Any]], Sequence[Report]], rejected_lane: Lane = Lane.LIVE
) -> DeviceDriver[Any]:  # fmt: skip
    return DeviceDriver("test", "", "", NoSettings, read, rejected_lane=rejected_lane)


def plan_of(by: DeviceDriver[Any], **routes: DeviceDriver[Any]) -> SourcePlan:
    config = SourceConfig("bed 7", "test", TcpLink())
    return SourcePlan(config, by, NoSettings(), routes={name: (d, NoSettings()) for name, d in routes.items()})


def raising(error: BaseException) -> DeviceDriver[Any]:
    def read(frame: bytes, source: Source[Any]) -> Sequence[Report]:
        raise error

    return driver(read)


DRIVER = driver(lambda frame, source: [report()])
HEARTBEAT = driver(lambda frame, source: [])


def delivery(frame: bytes = b"frame", **more: Any) -> Delivery:
    source = Source("bed 7", NoSettings())
    return replace(Delivery(frame, source, T0_US, sender="bed 7@peer", token=0), **more)


class FakeSpool:
    """Holds what is put until it is told what became of it."""

    def __init__(self) -> None:
        self.put_in: list[tuple[Sequence[Report], Delivery | None]] = []
        self.proven: list[tuple[int, range]] = []
        self._done: list[Done] = []

    def put(self, reports: Sequence[Report], delivery: Delivery | None, done: Done) -> None:
        self.put_in.append((reports, delivery))
        self._done.append(done)

    def prove(self, connection: int, tokens: range) -> None:
        self.proven.append((connection, tokens))

    def settle(self, kept: Kept = Kept.KEPT) -> None:
        waiting, self._done = self._done, []
        for done in waiting:
            done(kept)


def chain_to(spool: FakeSpool, plan: SourcePlan, emitter: EventEmitter | None = None) -> Chain:
    return Chain(plan, spool, emitter or EventEmitter("edge:1", lambda: T0_US), lambda _: None)  # type: ignore[arg-type]


def carried(
    *deliveries: Delivery, by: DeviceDriver[Any] = DRIVER, kept: Kept = Kept.KEPT, answers: list[Answer] | None = None
) -> FakeSpool:
    spool = FakeSpool()
    chain = chain_to(spool, plan_of(by))
    for each in deliveries:
        chain.carry(each, lambda outcome, reason: (answers if answers is not None else []).append((outcome, reason)))
    spool.settle(kept)
    return spool


def counted(label: str) -> float:
    return float(agent.frames.labels("bed 7", label)._value.get())


def code_of(found: Report) -> str:
    as_sent = found.records[0].as_sent
    return as_sent.code if as_sent else ""


def test_a_frame_is_answered_after_its_commit_and_not_before() -> None:
    answers: list[Answer] = []
    spool = FakeSpool()
    chain_to(spool, plan_of(DRIVER)).carry(delivery(), lambda *answer: answers.append(answer))
    assert answers == []
    spool.settle()
    assert answers == [(Outcome.KEPT, "")]


def test_events_travel_beside_the_frame_for_a_resend_does_not_repeat_them() -> None:
    one = delivery()
    (events, nobody), (reports, from_whom) = carried(one).put_in
    assert [[r.kind for r in put] for put in (events, reports)] == [[Kind.EVENT], [Kind.METRIC]]
    assert (nobody, from_whom) == (None, one)


def test_an_event_that_could_not_be_kept_comes_again() -> None:
    spool, found = FakeSpool(), []
    chain = chain_to(spool, plan_of(DRIVER))
    for kept in (Kept.FULL, Kept.KEPT, Kept.KEPT):
        spool.put_in.clear()
        chain.carry(delivery(), lambda *_: None)
        spool.settle(kept)
        found.append(len(spool.put_in))
    assert found == [2, 2, 1]


def test_what_a_driver_has_emitted_with_a_frame_that_could_not_be_kept_is_emitted_again() -> None:
    source, spool, changes = Source("bed 7", NoSettings()), FakeSpool(), []

    def read(frame: bytes, source: Source[Any]) -> Sequence[Report]:
        """Tells the patient when it changes."""
        changes.append(changed := source.memory.get("patient") != frame)
        if changed:
            source.remember_emitted("patient", frame)
        return [report()]

    chain = chain_to(spool, plan_of(driver(read)))
    for frame, kept in ((b"a", Kept.FULL), (b"a", Kept.KEPT), (b"a", Kept.KEPT), (b"b", Kept.KEPT)):
        chain.carry(delivery(frame, source=source), lambda *_: None)
        spool.settle(kept)
    assert changes == [True, True, False, True]


@pytest.mark.parametrize(
    ("kept", "outcome", "label"),
    [(Kept.KEPT, Outcome.KEPT, "kept"), (Kept.DUPLICATE, Outcome.KEPT, "duplicate"),
     (Kept.FULL, Outcome.CANNOT_KEEP, "full")],
)  # fmt: skip
def test_each_fate_has_its_answer_and_its_count(kept: Kept, outcome: Outcome, label: str) -> None:
    answers: list[Answer] = []
    before = counted(label)
    carried(delivery(), kept=kept, answers=answers)
    assert [a for a, _ in answers] == [outcome]
    assert ("send it again" in answers[0][1]) == (kept is Kept.FULL)
    assert counted(label) == before + 1


def test_a_heartbeat_is_answered_at_once_also_before_an_earlier_frame() -> None:
    answers: list[Answer] = []
    spool = carried(delivery(b"1"), by=HEARTBEAT, kept=Kept.FULL, answers=answers)
    assert (spool.put_in, answers) == ([], [(Outcome.KEPT, "")])


@pytest.mark.parametrize(
    ("reason", "outcome"),
    [("checksum", Outcome.MALFORMED), ("unsupported-type", Outcome.UNSUPPORTED),
     ("unsupported-version", Outcome.UNSUPPORTED)],
)  # fmt: skip
def test_a_frame_that_cannot_be_read_is_kept_with_its_bytes_and_reason(reason: str, outcome: Outcome) -> None:
    answers: list[Answer] = []
    spool = carried(delivery(b"\x00bytes"), by=raising(FrameError(reason, "what is wrong")), answers=answers)
    ((found,), _) = spool.put_in[-1]
    assert (found.kind, found.claim, found.frame) == (Kind.REJECTED, "bed 7/rejected", b"\x00bytes")
    assert code_of(found) == reason
    assert found.records[0].text == "what is wrong"
    assert answers == [(outcome, reason)]


def test_what_the_session_could_not_cut_is_not_shown_to_the_driver() -> None:
    spool = carried(delivery(b"half", reason="no-end-block"), by=raising(AssertionError()))
    ((found,), _) = spool.put_in[-1]
    assert code_of(found) == "no-end-block"


def test_a_type_that_is_not_read_is_answered_as_unsupported() -> None:
    plan = SourcePlan(SourceConfig("a", "hl7_oru", TcpLink()), hl7_oru.DRIVER, hl7_oru.DRIVER.settings())
    one = delivery(HEAD % b"QRY^A19", source=plan.source("peer"))
    assert agent.read_frame(plan, one)[:2] == (Outcome.UNSUPPORTED, "unsupported-type")


def test_a_message_type_may_have_a_driver_of_its_own() -> None:
    read: list[str] = []

    def reading(name: str) -> DeviceDriver[Any]:
        def one(frame: bytes, source: Source[Any]) -> Sequence[Report]:
            read.append(name)
            source.memory[name] = frame
            source.remember_emitted("emitted", name)
            return [report()]

        return driver(one)

    plan, source = plan_of(reading("oru"), ADT=reading("adt")), Source("bed 7", NoSettings())
    spool = FakeSpool()
    chain = chain_to(spool, plan)
    for kind in (b"ORU^R01", b"adt^A01", b"MDM^T02"):
        chain.carry(delivery(HEAD % kind, source=source), lambda *_: None)
    assert read == ["oru", "adt", "oru"]
    assert set(source.memory) == {"oru", "adt", "emitted"}  # what is remembered is the connection's
    spool.settle(Kept.FULL)
    assert "emitted" not in source.memory


def test_a_rejected_adt_goes_where_adt_goes_for_there_are_names_in_it() -> None:
    def refuse(frame: bytes, source: Source[Any]) -> Sequence[Report]:
        raise FrameError("no-event")

    def lanes(plan: SourcePlan) -> list[Lane]:
        lanes = []
        for frame in (HEAD % b"ADT^A01", HEAD % b"ORU^R01", b"PID|||0815||Zhang^San"):
            _, _, (found,) = agent.read_frame(plan, delivery(frame, source=plan.source("peer")))
            assert found.kind is Kind.REJECTED
            lanes.append(found.lane)
        return lanes

    observing, admitting = driver(refuse), driver(refuse, Lane.ADT)
    assert lanes(plan_of(observing)) == [Lane.ADT, Lane.LIVE, Lane.LIVE]
    assert lanes(plan_of(admitting)) == [Lane.ADT] * 3
    assert lanes(plan_of(observing, ADT=admitting)) == [Lane.ADT, Lane.LIVE, Lane.ADT]


@pytest.mark.parametrize(
    ("frame", "kind"),
    [(HEAD % b"ORU^R01^ORU_R01", "ORU"), (HEAD % b"adt", "ADT"), (b"MSH|^~\\&|a", ""), (b"", ""), (b"\xff" * 9, "")],
)
def test_the_type_of_a_message(frame: bytes, kind: str) -> None:
    assert message_type(frame) == kind


def test_what_is_proven_goes_to_the_spool() -> None:
    spool = FakeSpool()
    chain_to(spool, plan_of(DRIVER)).prove(7, range(3))
    assert spool.proven == [(7, range(3))]


@pytest.fixture
def logged(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], str]]:
    monkeypatch.setattr(bugs, "_logged_at_s", {})
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    set_up()
    yield lambda: capsys.readouterr().err
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


@pytest.mark.parametrize("error", [KeyError("DOE^JANE"), RecursionError("DOE^JANE"), ZeroDivisionError("DOE^JANE")])
def test_a_bug_in_a_driver_loses_no_frame_and_shows_no_patient(error: Exception, logged: Callable[[], str]) -> None:
    answers: list[Answer] = []
    spool = carried(delivery(b"1"), delivery(b"2"), by=raising(error), answers=answers)
    assert [reports[0].frame for reports, _ in spool.put_in] == [b"1", b"2"]
    found = spool.put_in[0][0][0]
    assert found.kind is Kind.REJECTED
    assert code_of(found) == "driver-error"
    assert found.records[0].text == type(error).__name__
    assert answers == [(Outcome.MALFORMED, "driver-error")] * 2
    text = logged()
    assert "DOE" not in text
    line = json.loads(text.splitlines()[0])
    assert (line["level"], line["event"]) == ("error", "driver test failed")
    assert line["error"].startswith(f"{type(error).__name__} < read ")


def test_a_retained_message_is_marked_and_never_a_new_value() -> None:
    for kind, kept_as in ((Kind.METRIC, Kind.CONTEXT), (Kind.REJECTED, Kind.REJECTED)):
        given = msgspec.structs.replace(report(), kind=kind)
        ((found,), _) = carried(delivery(retained=True), by=driver(lambda f, s, given=given: [given])).put_in[-1]  # type: ignore[misc]
        assert found.kind is kept_as
        marks = [r.text for r in found.records if r.as_sent]
        assert marks == (["retained"] if kind is Kind.METRIC else [])


def test_a_first_message_that_is_a_resend_still_introduces_its_device(tmp_path: Path) -> None:
    """After a start: a sender resends what was kept before, and the introduction must not go with it."""

    async def one_run(connections: count[int]) -> tuple[Kept, int]:
        loop = asyncio.get_running_loop()

        def settled(outcomes: list[tuple[Done, Kept]]) -> None:
            loop.call_soon_threadsafe(lambda: [done(kept) for done, kept in outcomes])

        spool = Spool(tmp_path, bytes_max=1 << 20, receipt_hold_s=1, on_settled=settled)
        labels = {kept: counted(kept.value) for kept in Kept}
        answered = asyncio.Event()
        own_time = driver(lambda f, s: [msgspec.structs.replace(report(), own_time=True)])
        chain = Chain(plan_of(own_time), spool, EventEmitter("edge:1", lambda: T0_US), lambda _: None)
        chain.carry(delivery(connection=next(connections)), lambda *_: answered.set())
        await asyncio.wait_for(answered.wait(), 10)
        reports = spool.figures.reports
        spool.close()
        return next(kept for kept in Kept if counted(kept.value) > labels[kept]), reports

    connections = count(1)
    assert asyncio.run(one_run(connections)) == (Kept.KEPT, 2)
    assert asyncio.run(one_run(connections)) == (Kept.DUPLICATE, 3)


def test_a_device_whose_clock_is_off_is_corrected_and_told_where_its_delay_is_declared() -> None:
    """Three minutes ahead: after a minute of live frames its moments are by the edge's clock, its own stay beside."""
    ahead_us = 180_000_000

    def read(frame: bytes, source: Source[Any]) -> Sequence[Report]:
        device_at_us = source.received_at_us + ahead_us
        quality = ClockQuality.DEVICE
        return [replace(report(at_us=device_at_us), device_at_us=device_at_us, clock_quality=quality,
                        received_at_us=source.received_at_us)]  # fmt: skip

    config = SourceConfig("bed 7", "test", TcpLink(), max_delay_s=1.0)
    spool = FakeSpool()
    chain = chain_to(spool, SourcePlan(config, driver(read), NoSettings()))
    for second in range(120):
        chain.carry(delivery(b"%d" % second, received_at_us=T0_US + second * 1_000_000), lambda *answer: None)
    last = spool.put_in[-1][0][0]
    assert last.device_at_us == last.received_at_us + ahead_us
    assert abs(last.observed_at_us - last.received_at_us) <= last.uncertainty_ms * 1000 <= 2_000_000
    events = [code_of(each) for reports, whom in spool.put_in if whom is None for each in reports]
    assert events == ["connected", "device-clock-off"]
    assert chain.device_clocks.offsets_us() == {last.claim: pytest.approx(ahead_us, abs=1_000_000)}
