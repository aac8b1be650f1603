"""One source's chain: from a delivery to its reports in the spool, and to its answer."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import msgspec
import pytest
import structlog

from adapters.devices import hl7_oru
from adapters.driver import DeviceDriver, Source
from adapters.formats.hl7_ack import Outcome
from edge_agent import agent
from edge_agent.delivery import Delivery
from edge_agent.events import Voice
from edge_agent.spool import Kept, Spool
from runtime.logs import set_up
from schemas.errors import FrameError
from schemas.report import Kind, Report
from tests.making import T0_US, report

Answer = tuple[Outcome, str]
HEAD = b"MSH|^~\\&|MON||||20261124101500+0000||%s|7|P|2.6\r"


def driver(read: Callable[[bytes, Source], Sequence[Report]]) -> DeviceDriver:
    return DeviceDriver("test", "", "", "mllp", (), read)


def raising(error: BaseException) -> DeviceDriver:
    def read(frame: bytes, source: Source) -> Sequence[Report]:
        raise error

    return driver(read)


DRIVER = driver(lambda frame, source: [report()])
HEARTBEAT = driver(lambda frame, source: [])


def delivery(frame: bytes = b"frame", answers: list[Answer] | None = None, **more: Any) -> Delivery:
    def ack(outcome: Outcome, reason: str) -> None:
        if answers is not None:
            answers.append((outcome, reason))

    return replace(Delivery(frame, Source("bed 7"), T0_US, ack, sender="bed 7@peer", slot=0), **more)


class FakeSpool:
    """Holds what is put until it is told what became of it."""

    def __init__(self) -> None:
        self.put_in: list[tuple[Sequence[Report], Delivery | None]] = []
        self._done: list[Callable[[Kept], object]] = []

    def put(self, reports: Sequence[Report], delivery: Delivery | None = None, done: Any = None) -> None:
        self.put_in.append((reports, delivery))
        self._done.append(done)

    def settle(self, kept: Kept = Kept.KEPT) -> None:
        for done in self._done:
            done(kept)


def carried(*deliveries: Delivery, by: DeviceDriver = DRIVER, kept: Kept = Kept.KEPT) -> FakeSpool:
    spool = FakeSpool()

    async def run() -> None:
        for each in deliveries:
            agent.carry(each, by, spool, Voice("edge:1", lambda: T0_US))  # type: ignore[arg-type]
        spool.settle(kept)
        await asyncio.sleep(0)  # the answers are called soon

    asyncio.run(run())
    return spool


def counted(label: str) -> float:
    return float(agent.frames.labels("bed 7", label)._value.get())


def code_of(found: Report) -> str:
    as_sent = found.records[0].as_sent
    return as_sent.code if as_sent else ""


def test_a_frame_is_answered_after_its_commit_and_not_before() -> None:
    answers: list[Answer] = []

    async def run() -> None:
        spool = FakeSpool()
        agent.carry(delivery(answers=answers), DRIVER, spool, Voice("edge:1", lambda: T0_US))  # type: ignore[arg-type]
        await asyncio.sleep(0.02)
        assert answers == []
        spool.settle()
        await asyncio.sleep(0)

    asyncio.run(run())
    assert answers == [(Outcome.KEPT, "")]


def test_events_travel_beside_the_frame_for_a_repeat_does_not_repeat_them() -> None:
    one = delivery()
    (events, nobody), (reports, from_whom) = carried(one).put_in
    assert [[r.kind for r in put] for put in (events, reports)] == [[Kind.EVENT], [Kind.METRIC]]
    assert (nobody, from_whom) == (None, one)


def test_an_introduction_that_could_not_be_kept_comes_again() -> None:
    voice, spool = Voice("edge:1", lambda: T0_US), FakeSpool()

    async def run() -> list[int]:
        found = []
        for kept in (Kept.FULL, Kept.KEPT, Kept.KEPT):
            spool.put_in.clear()
            agent.carry(delivery(), DRIVER, spool, voice)  # type: ignore[arg-type]
            spool.settle(kept)
            spool._done.clear()
            await asyncio.sleep(0)
            found.append(len(spool.put_in))
        return found

    assert asyncio.run(run()) == [2, 2, 1]


@pytest.mark.parametrize(
    ("kept", "outcome", "label"),
    [(Kept.KEPT, Outcome.KEPT, "kept"), (Kept.REPEAT, Outcome.KEPT, "repeat"),
     (Kept.FULL, Outcome.CANNOT_KEEP, "full")],
)  # fmt: skip
def test_each_fate_has_its_answer_and_its_count(kept: Kept, outcome: Outcome, label: str) -> None:
    answers: list[Answer] = []
    before = counted(label)
    carried(delivery(answers=answers), kept=kept)
    assert [a for a, _ in answers] == [outcome]
    assert ("send it again" in answers[0][1]) == (kept is Kept.FULL)
    assert counted(label) == before + 1


def test_a_heartbeat_is_answered_at_once_also_before_an_earlier_frame() -> None:
    answers: list[Answer] = []
    spool = carried(delivery(b"1", answers), by=HEARTBEAT, kept=Kept.FULL)
    assert (spool.put_in, answers) == ([], [(Outcome.KEPT, "")])


@pytest.mark.parametrize(
    ("reason", "outcome"),
    [("checksum", Outcome.MALFORMED), ("unsupported-type", Outcome.UNSUPPORTED),
     ("unsupported-version", Outcome.UNSUPPORTED)],
)  # fmt: skip
def test_a_frame_that_cannot_be_read_is_kept_with_its_bytes_and_reason(reason: str, outcome: Outcome) -> None:
    answers: list[Answer] = []
    spool = carried(delivery(b"\x00bytes", answers), by=raising(FrameError(reason, "what is wrong")))
    ((found,), _) = spool.put_in[-1]
    assert (found.kind, found.claim, found.frame) == (Kind.REJECTED, "bed 7/rejected", b"\x00bytes")
    assert code_of(found) == reason
    assert found.records[0].text == "what is wrong"
    assert answers == [(outcome, reason)]


def test_what_the_transport_could_not_cut_is_not_shown_to_the_driver() -> None:
    spool = carried(delivery(b"half", reason="no-end-block"), by=raising(AssertionError()))
    ((found,), _) = spool.put_in[-1]
    assert code_of(found) == "no-end-block"


def test_a_type_that_is_not_read_is_answered_as_unsupported() -> None:
    one = delivery(HEAD % b"QRY^A19")
    assert agent.read(hl7_oru.DRIVER, one)[:2] == (Outcome.UNSUPPORTED, "unsupported-type")


@pytest.fixture
def logged(capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[[], str]]:
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
    first, second = delivery(b"1", answers), delivery(b"2", answers)
    spool = carried(first, second, by=raising(error))
    assert [reports[0].frame for reports, _ in spool.put_in] == [b"1", b"2"]
    found = spool.put_in[0][0][0]
    assert found.kind is Kind.REJECTED
    assert code_of(found) == "driver-error"
    assert found.records[0].text == type(error).__name__
    assert answers == [(Outcome.MALFORMED, "driver-error")] * 2
    text = logged()
    assert "DOE" not in text
    line = json.loads(text.splitlines()[0])
    assert (line["level"], line["driver"]) == ("error", "test")
    assert line["error"].startswith(f"{type(error).__name__} < read ")


def test_a_sender_that_has_gone_is_no_error() -> None:
    def gone(outcome: Outcome, reason: str) -> None:
        raise ConnectionResetError

    agent.answer(delivery(ack=gone), Outcome.KEPT, "", Kept.KEPT)


def test_a_retained_message_is_marked_and_never_a_new_value() -> None:
    for kind, kept_as in ((Kind.METRIC, Kind.CONTEXT), (Kind.REJECTED, Kind.REJECTED)):
        said = msgspec.structs.replace(report(), kind=kind)
        ((found,), _) = carried(delivery(retained=True), by=driver(lambda f, s, said=said: [said])).put_in[-1]  # type: ignore[misc]
        assert found.kind is kept_as
        marks = [r.text for r in found.records if r.as_sent]
        assert marks == (["retained"] if kind is Kind.METRIC else [])


def test_a_first_message_that_is_a_repeat_still_introduces_its_device(tmp_path: Path) -> None:
    """After a start: a sender resends what was kept before, and the introduction must not go with it."""

    async def one_run(spool: Spool, connections: count[int]) -> Kept:
        labels = {kept: counted(kept.value) for kept in Kept}
        answered = asyncio.Event()
        one = delivery(ack=lambda *_: answered.set(), connection=next(connections))
        own_time = driver(lambda f, s: [msgspec.structs.replace(report(), own_time=True)])
        agent.carry(one, own_time, spool, Voice("edge:1", lambda: T0_US))
        await asyncio.wait_for(answered.wait(), 10)
        return next(kept for kept in Kept if counted(kept.value) > labels[kept])

    spool = Spool(tmp_path, bytes_max=1 << 20, receipt_hold_s=1)
    connections = count(1)
    assert asyncio.run(one_run(spool, connections)) is Kept.KEPT
    assert spool.figures.reports == 2
    assert asyncio.run(one_run(spool, connections)) is Kept.REPEAT
    assert spool.figures.reports == 3
    spool.close()
