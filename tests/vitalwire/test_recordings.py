"""`vitalwire record`: a recording redacted, sent again, and made a case of a driver's tests."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from adapters.formats.recording import Direction, Entry, Heading, heading_of, read, text_of
from adapters.session import Outcome
from adapters.sessions.mllp import wrap
from edge_agent.agent import read_frame
from edge_agent.config import SourceConfig, TcpLink
from edge_agent.delivery import Answer, Delivery
from edge_agent.links.tcp import TcpListener
from edge_agent.recorded_frames import read_recording
from edge_agent.recording import Tap
from edge_agent.sources import plan_source
from edge_agent.supervisor import Supervisor
from runtime.errors import UserError
from schemas.batch import encode_report
from schemas.errors import VitalwireError
from schemas.report import Report
from tests.adapters.devices.test_drivers import plain, read_case
from tests.edge_agent.links.scene import eventually
from vitalwire.__main__ import app

ROOT = Path(__file__).parents[2]
BEGUN_US = 1_790_000_000_000_000
HEAD = "MSH|^~\\&|MON|ICU|||20260921141319+0000||ORU^R01^ORU_R01|{n}|P|2.6|||AL|NE\r"
ORU = HEAD + (
    "PID|1||MRN88421^^^HOSP^MR||Zhang^Wei\rPV1||I|ICU^^07\rOBR|1||||||20260921141319+0000\r"
    "OBX|1|NM|150456^MDC_PULS_OXIM_SAT_O2^MDC||{value}|262688^MDC_DIM_PERCENT^MDC|||||F\r"
)


def vitalwire(*words: object) -> str:
    result = CliRunner().invoke(app, ["record", *map(str, words)])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.fixture
def recorded(tmp_path: Path) -> Path:
    """Two connections, three messages, answers."""
    entries = [Entry(0, 3, Direction.NOTE, note="opened 10.0.0.7")]
    for n in range(3):
        connection = 3 if n < 2 else 4
        if n == 2:
            entries.append(Entry(n * 1000, 4, Direction.NOTE, note="opened 10.0.0.7"))
        message = wrap(ORU.format(n=n, value=95 + n).encode())
        entries.append(Entry(n * 1000, connection, Direction.IN, message[:50]))
        entries.append(Entry(n * 1000 + 1, connection, Direction.IN, message[50:]))
        entries.append(Entry(n * 1000 + 2, connection, Direction.OUT, b"\x0bMSH|^~\\&|...\r\x1c\r"))
    entries += [Entry(9000, n, Direction.NOTE, note="closed") for n in (3, 4)]
    path = tmp_path / "icu.rec"
    path.write_text(text_of(entries, Heading("tcp", "hl7_oru", BEGUN_US)))
    return path


def test_redacted_it_names_nobody_lists_what_was_removed_and_says_the_same(recorded: Path, tmp_path: Path) -> None:
    clean = tmp_path / "clean.rec"
    text = vitalwire("redact", recorded, clean)
    assert "PID-3" in text
    assert "PID-5" in text
    assert clean.stat().st_mode & 0o777 == 0o600
    whole = b"".join(entry.data for entry in read(clean.read_text()))
    assert b"MRN88421" not in whole
    assert b"Zhang" not in whole
    assert "MRN" not in clean.read_text()
    assert heading_of(clean.read_text()) == heading_of(recorded.read_text())
    plan = plan_source(SourceConfig("bed 7", "hl7_oru", TcpLink()), {})
    values = [
        [r.mantissa for f in read_recording(plan, read(path.read_text()), BEGUN_US) for report in f.reports
         if report.kind.name == "METRIC" for r in report.records] for path in (recorded, clean)
    ]  # fmt: skip
    assert values == [[95, 96, 97]] * 2
    with pytest.raises(UserError, match="is there already: name another file"):
        vitalwire("redact", recorded, clean)


def test_redacted_as_json(recorded: Path, tmp_path: Path) -> None:
    found = json.loads(vitalwire("redact", recorded, tmp_path / "clean.rec", "--json"))
    assert found["removed"]["PID-5"] == 6  # family and given name of three messages


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("redact", "{missing}", "out.rec"), "missing.rec cannot be read: No such file"),
        (("redact", "{bare}", "{out}"), "whose bytes are these\\? --driver, one of "),
        (("replay", "{bare}", "nowhere"), "'nowhere' is no address: write host:port"),
        (("replay", "{nothing}", "127.0.0.1:1"), "nothing came in here that could be sent again"),
        (("to-case", "{bare}", "{out}", "--driver", "hl7_oru", "--frame", "4"), "has the frames 1 to 1"),
        (("to-case", "{nothing}", "{out}", "--driver", "hl7_oru"), "no frame is in this recording"),
    ],
)
def test_what_cannot_be_done_is_one_line(words: tuple[str, ...], message: str, tmp_path: Path) -> None:
    frame = Entry(0, 1, Direction.IN, wrap(ORU.format(n=1, value=97).encode()))
    (tmp_path / "bare.rec").write_text(text_of([frame]))
    (tmp_path / "nothing.rec").write_text(text_of([]))
    paths = {name: tmp_path / f"{name}.rec" for name in ("missing", "bare", "nothing", "out")}
    with pytest.raises(VitalwireError, match=message):
        vitalwire(*(word.format(**paths) for word in words))


def test_a_case_is_one_that_the_drivers_tests_take_and_names_nobody(recorded: Path, tmp_path: Path) -> None:
    folder = tmp_path / "cases" / "hl7_oru" / "second"
    assert "a case of hl7_oru" in vitalwire("to-case", recorded, folder, "--frame", "2")
    assert b"MRN88421" not in bytes.fromhex((folder / "frame.hex").read_text())
    assert {"reports": plain(read_case(folder))} == json.loads((folder / "expected.json").read_text())
    assert '"mantissa": 96' in (folder / "expected.json").read_text()
    with pytest.raises(UserError, match="is there already: name another folder"):
        vitalwire("to-case", recorded, folder)
    named = tmp_path / "cases" / "hl7_oru" / "named"
    vitalwire("to-case", recorded, named, "--with-identifiers")
    assert b"MRN88421" in bytes.fromhex((named / "frame.hex").read_text())


def test_a_case_has_the_mapping_and_the_frames_before_that_it_needs(tmp_path: Path) -> None:
    """A Mindray gateway names the bed's channels in an earlier message; a mapping gives its code."""
    mapping = tmp_path / "site.toml"
    mapping.write_text('[[mapping]]\ncode = "HR"\nmetric = "MDC_ECG_HEART_RATE"\nunit = "/min"\n')
    entries = [
        Entry(0, 1, Direction.NOTE, note="opened ward/bed/7"),
        Entry(1, 1, Direction.IN, b'{"ts":"2026-09-21T22:13:05+08:00","HR":71}'),
        Entry(2, 1, Direction.IN, b'{"ts":"2026-09-21T22:13:06+08:00","HR":72}'),
    ]
    path = tmp_path / "bed.rec"
    path.write_text(text_of(entries, Heading("mqtt", "mqtt_json", BEGUN_US)))
    folder = tmp_path / "cases" / "mqtt_json" / "rate"
    vitalwire("to-case", path, folder, "--mapping", mapping, "--frame", "2")
    source = json.loads((folder / "source.json").read_text())
    assert source["mapping"] == mapping.read_text()
    assert source["peer"] == "ward/bed/7"
    assert {"reports": plain(read_case(folder))} == json.loads((folder / "expected.json").read_text())


class Keeping:
    """The keeper of a link at work: what frames say, received at one moment of the test's."""

    keeps = True

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor
        self.reports: list[Report] = []

    def carry(self, delivery: Delivery, answer: Answer) -> None:
        fixed = Delivery(delivery.frame, delivery.source, BEGUN_US, delivery.reason)
        outcome, reason, reports = read_frame(self._supervisor.plan, fixed)
        delivery.source.take_emitted()
        self.reports += reports
        answer(outcome if not reason else Outcome.MALFORMED, reason)

    def prove(self, connection: int, tokens: range) -> None:
        pass

    def session_failed(self, error: Exception, /) -> object:
        raise error


def test_replayed_over_a_real_link_it_gives_the_reports_of_the_recording_to_the_bit(recorded: Path) -> None:
    """A recording, `vitalwire record replay` at a listening agent; one receive clock."""
    plan = plan_source(SourceConfig("bed 7", "hl7_oru", TcpLink("127.0.0.1:0")), {})
    # At the same moment, to which every time is 0.
    moments = [Entry(0, e.connection, e.direction, e.data, e.note) for e in read(recorded.read_text())]
    then = [report for frame in read_recording(plan, moments, BEGUN_US) for report in frame.reports]

    async def run() -> list[Report]:
        listener = TcpListener(TcpLink("127.0.0.1:0"))
        supervisor = Supervisor(plan, listener, None, None, lambda _, __: None)  # type: ignore[arg-type]
        supervisor.keeper = keeping = Keeping(supervisor)
        assert isinstance(supervisor.tap, Tap)
        work = asyncio.create_task(supervisor.run())
        await eventually(lambda: listener.address)
        command = [
            sys.executable,
            "-m",
            "vitalwire",
            "record",
            "replay",
            str(recorded),
            listener.address,
            "--speed",
            "5",
        ]
        made = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=subprocess.PIPE)
        out, _ = await made.communicate()
        assert made.returncode == 0
        size = sum(len(entry.data) for entry in moments if entry.direction is Direction.IN)
        assert out.decode() == f"6 pieces, {size} bytes over 2 connections\n"
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)
        return keeping.reports

    now = asyncio.run(run())
    assert len(now) == len(then) > 3
    assert [bytes(encode_report(r, bytes(16), bytes(32))) for r in now] == [
        bytes(encode_report(r, bytes(16), bytes(32))) for r in then
    ]


def test_stepped_it_sends_a_piece_a_line(recorded: Path) -> None:
    """Standard input that has ended steps through to the end."""
    assert shutil.which("sh")

    async def run() -> tuple[bytes, bytes]:
        came = bytearray()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while data := await reader.read(1000):
                came.extend(data)
                writer.write(b"ack")
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        host, port = server.sockets[0].getsockname()
        command = [sys.executable, "-m", "vitalwire", "record", "replay", str(recorded), f"{host}:{port}", "--step"]
        made = await asyncio.create_subprocess_exec(
            *command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
        )
        out, _ = await made.communicate()
        server.close()
        return out, bytes(came)

    out, came = asyncio.run(run())
    assert came.count(b"\x0bMSH") == 3
    assert out.count(b" < ") == 6
