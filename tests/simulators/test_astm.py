"""The analyser's messages and its side of the dialogue; what it says, session and driver read value by value."""

from __future__ import annotations

import asyncio
import os
import tty
from decimal import Decimal
from pathlib import Path
from time import monotonic
from zoneinfo import ZoneInfo

import pytest

from adapters.devices.astm import DRIVER, AstmSettings
from adapters.driver import Source
from adapters.session import Moment, Outcome
from adapters.sessions.astm import AstmSession
from schemas.report import Kind, Mark, Record, RecordKind, Report, Validity
from simulators import astm
from simulators.acked_log import AckedLog

AT_US = 1_790_000_000_000_000
GLUCOSE_METER = astm.Analyser(7, astm.GLUCOSE)
BLOOD_GAS = astm.Analyser(3)


class Host:
    """The receiving side: the session of the edge, and a spool that keeps all but every `refused`th message."""

    def __init__(self, refused: int = 0) -> None:
        self._session = AstmSession()
        self._refused, self._seen = refused, 0
        self.messages: list[bytes] = []
        self.rejected: list[str] = []

    def hear(self, data: bytes) -> bytes:
        now = Moment(monotonic(), AT_US)
        step = self._session.feed(data, now)
        sent = step.send
        for piece in step.pieces:
            if piece.token is None:
                self.rejected.append(piece.reason)
                continue
            self._seen += 1
            refused = bool(self._refused) and self._seen % self._refused == 0
            if not refused:
                self.messages.append(piece.data)
            outcome = Outcome.CANNOT_KEEP if refused else Outcome.KEPT
            sent += self._session.kept(piece.token, outcome, "", now).send
        return sent


def texts(report: Report) -> dict[str, str | None]:
    """A report's values by the analyser's codes, as exact texts."""
    comparators = {Mark.LESS: "<", Mark.GREATER: ">"}

    def text(record: Record) -> str | None:
        if record.validity == Validity.NOT_AVAILABLE:
            return None
        number = str(Decimal(record.mantissa).scaleb(record.exponent))
        return comparators.get(record.marks, "?") + number if record.kind is RecordKind.BOUND else number

    return {record.as_sent.code: text(record) for record in report.records if record.as_sent}


@pytest.mark.parametrize("analyser", [GLUCOSE_METER, BLOOD_GAS])
def test_what_it_says_is_read_value_by_value(analyser: astm.Analyser) -> None:
    source = Source("lab", AstmSettings(), time_zone=ZoneInfo("Asia/Shanghai"), received_at_us=AT_US)
    shown: list[str | None] = []
    for number in range(200):
        message = analyser.message(number, AT_US + number * 1_000_000)
        host = Host()
        for sent in (astm.ENQ, *astm.frames(message.text)):
            assert host.hear(sent) == astm.ACK
        (frame,) = host.messages
        assert frame == message.text
        (report,) = [r for r in DRIVER.read(frame, source) if r.kind is Kind.METRIC]
        assert texts(report) == message.sent.values
        assert (report.observed_at_us, report.claim) == (message.sent.at_us, f"lab/H-5={message.sent.device}")
        shown += message.sent.values.values()
    assert None in shown
    assert {value[0] for value in shown if value} >= {"<"}


def test_a_message_is_the_same_for_the_same_seed_and_number() -> None:
    assert BLOOD_GAS.message(5, AT_US) == astm.Analyser(3).message(5, AT_US)
    assert BLOOD_GAS.message(5, AT_US).text != BLOOD_GAS.message(6, AT_US).text


def test_frames_have_the_numbers_and_sums_of_e1381() -> None:
    message = b"C|1|" + b"x" * 500 + b"\r" + b"R|1\r" * 9
    built = astm.frames(message)
    assert [frame[1:2] for frame in built] == [b"%d" % (n % 8) for n in range(1, 13)]
    assert [frame[-5:-4] for frame in built[:4]] == [astm.ETB, astm.ETB, astm.ETX, astm.ETX]
    assert all(int(frame[-4:-2], 16) == sum(frame[1:-4]) % 256 for frame in built)
    assert all(len(frame) <= 247 for frame in built)
    assert b"".join(frame[2:-5] for frame in built) == message


async def serve(host: Host, port: int = 0) -> asyncio.Server:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1000):
            writer.write(host.hear(data))
            await writer.drain()
        writer.close()

    return await asyncio.start_server(answer, "127.0.0.1", port)


# What may leave the sender without an answer; what is answered is waited for as long as it takes.
UNANSWERED = ("half_frame", "noise", "burst")


def sent_over_tcp(host: Host, messages: list[astm.Message], kind: str = "") -> None:
    limit_s = 0.05 if kind in UNANSWERED else 30.0

    async def main() -> None:
        async with await serve(host) as server:
            wire = astm.TcpWire(*server.sockets[0].getsockname()[:2])
            kinds = (kind,) if kind else ()
            sender = astm.Sender(wire, fault_kinds=kinds, fault_share=0.2, answer_limit_s=limit_s, busy_s=0.0)
            for message in messages:
                await sender.send(message.text)
            wire.close()

    asyncio.run(asyncio.wait_for(main(), 60))


@pytest.mark.parametrize("kind", [*astm.FAULTS, ""])
def test_each_message_arrives_over_a_faulty_connection(kind: str) -> None:
    host, messages = Host(), [GLUCOSE_METER.message(number, AT_US) for number in range(8)]
    sent_over_tcp(host, messages, kind)
    assert list(dict.fromkeys(host.messages)) == [message.text for message in messages]
    assert bool(host.rejected) == (kind not in ("", "lost_ack"))


def test_what_is_refused_comes_again() -> None:
    host, messages = Host(refused=2), [GLUCOSE_METER.message(number, AT_US) for number in range(6)]
    sent_over_tcp(host, messages)
    assert host.messages == [message.text for message in messages]


def test_over_a_serial_line(tmp_path: Path) -> None:
    host, stop, log_path = Host(), asyncio.Event(), tmp_path / "acked.jsonl"

    async def main() -> None:
        async with astm.pty_wire(tmp_path / "abg") as wire:
            line = os.open(tmp_path / "abg", os.O_RDWR | os.O_NOCTTY)
            tty.setraw(line)
            loop = asyncio.get_running_loop()
            loop.add_reader(line, hear, line)
            log = AckedLog(log_path)
            running = asyncio.create_task(astm.run(BLOOD_GAS, astm.Sender(wire), log, 0.01, stop))
            await running
            loop.remove_reader(line)
            os.close(line)
            assert log.totals.acked["astm"] == log.totals.sent["astm"] == len(host.messages)
            log.close()

    def hear(line: int) -> None:
        os.write(line, host.hear(os.read(line, 1000)))
        if len(host.messages) == 3:
            stop.set()

    asyncio.run(asyncio.wait_for(main(), 30))
    assert len(log_path.read_text().splitlines()) == 3
    assert not (tmp_path / "abg").is_symlink()


def test_a_file_is_not_taken_for_a_line(tmp_path: Path) -> None:
    (tmp_path / "abg").write_text("mine")

    async def open_line() -> None:
        async with astm.pty_wire(tmp_path / "abg"):
            pass

    with pytest.raises(FileExistsError):
        asyncio.run(open_line())
    assert (tmp_path / "abg").read_text() == "mine"
