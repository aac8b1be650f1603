"""What was recorded says the same again, to the bit, whatever the times and the pieces in which it came."""

from __future__ import annotations

import asyncio
from pathlib import Path
from random import Random
from typing import Any

import pytest

from adapters.formats.recording import LINE_BYTES_MAX, Direction, Entry, Heading, heading_of, read, text_of
from adapters.session import Moment
from adapters.sessions.mllp import wrap
from edge_agent.agent import Chain
from edge_agent.config import Link, MqttLink, SerialLink, SourceConfig, TcpLink
from edge_agent.conversation import Conversation
from edge_agent.delivery import Delivery
from edge_agent.events import EventEmitter
from edge_agent.recorded_frames import read_recording
from edge_agent.recording import Recorder, Tap
from edge_agent.sources import SourcePlan, plan_source
from edge_agent.spool import Kept
from edge_agent.spool.queue import Done
from schemas.batch import encode_report
from schemas.report import Kind, Report
from simulators import hl7_oru, nonin
from simulators.astm import ENQ, EOT, frames
from simulators.patient import Patient
from tests.adapters.devices.test_drivers import CASES
from tests.edge_agent.test_conversation import Line

BEGUN_US = 1_790_000_000_000_000


def plan_of(driver: str, link: Link) -> SourcePlan:
    return plan_source(SourceConfig("bed 7", driver, link, time_zone="Asia/Shanghai"), {})


def oximeter() -> list[bytes]:
    return [nonin.df2_packet(Patient(3), number) for number in range(12)]


def monitor() -> list[bytes]:
    speaking = hl7_oru.Monitor("mindray", "bed-01", Patient(5), 12)
    messages = speaking.greeting()
    for second in range(5):
        messages += speaking.messages(float(second), BEGUN_US + second * 1_000_000)
    return [wrap(message.payload) for message in messages]


def analyser() -> list[bytes]:
    message = bytes.fromhex((CASES / "astm" / "normal" / "frame.hex").read_text())
    return [ENQ, *frames(message), EOT]


class Spool:
    """Keeps all at once."""

    def __init__(self) -> None:
        self.reports: list[Report] = []

    def put(self, reports: list[Report], delivery: Delivery | None, done: Done) -> None:
        if delivery is not None:
            self.reports += reports
        done(Kept.KEPT)

    def prove(self, connection: int, tokens: range) -> None:
        pass


class Live:
    """A conversation at a clock of the test's, with a recorder at the same clock."""

    def __init__(self, plan: SourcePlan) -> None:
        self.at_us, self.spool, self.tap = 0, Spool(), Tap()
        self.recorder = self.tap.attach(Recorder(lambda: self.at_us / 1e6))
        emitter = EventEmitter("edge:1", lambda: BEGUN_US + self.at_us)
        chain = Chain(plan, self.spool, emitter, self.failed, tap=self.tap)  # type: ignore[arg-type]
        session, source = plan.session(), plan.source("10.0.0.7")
        self.conversation = Conversation(session, Line(), source, chain, self.tap, lambda: self.moment())

    def failed(self, error: Exception) -> None:
        raise error

    def moment(self) -> Moment:
        return Moment(self.at_us / 1e6, BEGUN_US + self.at_us)


def leaves(reports: list[Report]) -> list[bytes]:
    return [bytes(encode_report(report, bytes(16), bytes(32))) for report in reports]


@pytest.mark.parametrize(
    ("driver", "link", "said"),
    [
        ("nonin_df2", SerialLink("/dev/ttyNONE"), oximeter()),
        ("hl7_oru", TcpLink(), monitor()),
        ("astm", SerialLink("/dev/ttyNONE"), analyser()),
    ],
)
@pytest.mark.parametrize("seed", range(3))
def test_what_was_recorded_gives_the_reports_of_then_to_the_bit(
    driver: str, link: Link, said: list[bytes], seed: int
) -> None:
    rng, plan = Random(seed), plan_of(driver, link)

    async def run() -> Live:
        live = Live(plan)
        live.conversation.opened()
        for data in [rng.randbytes(20), *said]:
            at = 0
            while at < len(data):
                live.at_us += rng.randrange(1, 400_000)
                end = at + (len(data) if driver == "astm" else rng.randrange(1, 60))
                live.conversation.received(data[at:end])
                await asyncio.sleep(0)
                at = end
        live.at_us += 1_000_000
        live.conversation.closed(orderly=True)
        return live

    live = asyncio.run(run())
    text = text_of(live.recorder.take_now(), Heading("tcp", driver, BEGUN_US))
    heading = heading_of(text)
    assert heading == Heading("tcp", driver, BEGUN_US)
    again = [r for f in read_recording(plan, read(text), heading.begun_us or 0) for r in f.reports]
    assert any(report.kind is Kind.METRIC for report in again)
    assert any(report.kind is Kind.REJECTED for report in again)
    assert leaves(again) == leaves(live.spool.reports)


def test_over_mqtt_a_line_is_a_message_however_long_and_what_was_kept_before_is_old() -> None:
    plan = plan_of("mqtt_json", MqttLink())
    long = b'{"ts":"2026-09-21T22:13:05+08:00","spo2":97,"note":"' + b"x" * (2 * LINE_BYTES_MAX) + b'"}'
    entries = [
        Entry(0, 1, Direction.NOTE, note="opened ward/bed/7"),
        Entry(5, 1, Direction.IN, long),
        Entry(6, 1, Direction.NOTE, note="retained"),
        Entry(6, 1, Direction.IN, b'{"ts":"2026-09-21T22:13:05+08:00","spo2":97}'),
        Entry(7, 1, Direction.IN, b'{"ts":"2026-09-21T22:13:06+08:00","spo2":96}'),
        Entry(8, 2, Direction.IN, b"no JSON"),
    ]
    found = list(read_recording(plan, read(text_of(entries)), BEGUN_US))
    assert [f.data for f in found] == [e.data for e in entries if e.data]
    assert [f.reports[0].kind for f in found] == [Kind.METRIC, Kind.CONTEXT, Kind.METRIC, Kind.REJECTED]
    assert [(f.peer, f.received_at_us - BEGUN_US, f.reason) for f in found][2:] == [
        ("ward/bed/7", 7, ""),
        ("", 8, "json"),
    ]


def test_a_session_that_wants_to_be_woken_is_woken_at_its_time(tmp_path: Path) -> None:
    """What an analyser began and did not end is given up when its time is over, in the middle of a silence."""
    plan = plan_of("astm", SerialLink("/dev/ttyNONE"))
    whole = analyser()
    entries = [Entry(0, 1, Direction.NOTE, note="opened x")]
    entries += [Entry(n, 1, Direction.IN, data) for n, data in enumerate(whole[:2], 1)]
    entries += [Entry(3_600_000_000, 1, Direction.IN, b"\x05")]
    found: list[Any] = list(read_recording(plan, entries, BEGUN_US))
    assert [frame.is_cut for frame in found] == [False]
    assert 1_000_000 < found[0].received_at_us - BEGUN_US < 120_000_000
