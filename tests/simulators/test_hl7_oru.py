"""The monitor's messages are those of the documents, and its sender skips nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from simulators import hl7_oru
from simulators.hl7_oru import Message, Monitor, Sender, dialler, listener
from simulators.patient import Patient

AT_US = 1_790_000_000_123_000
VT, FS = b"\x0b", b"\x1c\r"
Answer = Callable[[int, bytes], bytes | None]  # (how many came before, the message) -> the answer; None cuts


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hl7_oru, "RETRY_FIRST_S", 0.01)


def monitor(dialect: str, scenario: str = "healthy", values: int = 12) -> Monitor:
    return Monitor(dialect, "bed-05", Patient(1005, scenario), values)


def segments(message: Message, codec: str = "utf-8") -> list[list[str]]:
    text = message.payload.decode(codec)
    assert text.endswith("\r")
    return [line.split("|") for line in text[:-1].split("\r")]


def answer(frame: bytes, code: str = "AA", id_: str | None = None) -> bytes:
    answered = frame.split(b"|")[9].decode() if id_ is None else id_
    return VT + f"MSH|^~\\&|||||||ACK|1|P|2.6\rMSA|{code}|{answered}\r".encode() + FS


def test_pcd01_has_what_the_profile_asks() -> None:
    (message,) = monitor("pcd01").messages(1.0, AT_US)
    msh, pid, pv1, obr, *obx = segments(message)
    assert msh[6] == "20260921221320.1230+0800"
    assert (msh[8], msh[9], msh[11]) == ("ORU^R01^ORU_R01", message.id, "2.6")
    assert msh[14:18] == ["AL", "NE", "", "UNICODE UTF-8"]
    assert (pid[0], pv1[3], obr[3].split("^")[0]) == ("PID", "ICU^^bed-05", message.id)
    nodes = {fields[4] for fields in obx if fields[4].endswith(".0")}
    metrics = [fields for fields in obx if fields[2] == "NM"]
    assert len(metrics) == 12
    assert len({fields[4] for fields in metrics}) == 12
    assert "1.0.0.0" in nodes
    assert all(len(fields[4].split(".")) == 4 for fields in obx)
    assert all(fields[18].endswith("^020001FFFE000005^EUI-64") for fields in metrics)
    assert [int(fields[1]) for fields in obx] == list(range(1, len(obx) + 1))
    sent = message.sent[0]
    assert [fields[5] for fields in metrics] == list(sent.values.values())
    assert sent.at_us == AT_US


def test_a_missing_reading_is_empty_and_said_to_be_missing() -> None:
    (message,) = monitor("pcd01", "finger_off").messages(25.0 - 24.0, AT_US)
    assert None not in message.sent[0].values.values()
    message, _ = (*monitor("pcd01", "finger_off").messages(25.0, AT_US), None)
    empty = [fields for fields in segments(message) if fields[0] == "OBX" and fields[2] == "NM" and not fields[5]]
    assert {fields[3].split("^")[1] for fields in empty} == {
        "MDC_PULS_OXIM_PULS_RATE", "MDC_PULS_OXIM_SAT_O2", "MDC_PULS_OXIM_PERF_REL",
    }  # fmt: skip
    assert all((fields[8], fields[11]) == ("NAV", "X") for fields in empty)
    periodic = monitor("mindray", "finger_off").messages(25.0, AT_US)[0]
    assert [f[5] for f in segments(periodic) if f[3:4] == ["160^SpO2"]] == ["-100"]


def test_plain_is_of_version_2_3_1_in_original_mode() -> None:
    msh, pid, *_ = segments(monitor("plain").messages(1.0, AT_US)[0], "gb18030")
    assert (msh[8], msh[11], msh[17]) == ("ORU^R01", "2.3.1", "GB 18030-2000")
    assert msh[14] == msh[15] == ""
    assert pid[5]


@pytest.mark.parametrize(
    ("dialect", "charset", "codec"), [("pcd01", "UNICODE UTF-8", "utf-8"), ("plain", "GB 18030-2000", "gb18030")]
)
def test_a_chinese_name_in_both_charsets(dialect: str, charset: str, codec: str) -> None:
    (message,) = Monitor(dialect, "bed-01", Patient(1000), 12).messages(1.0, AT_US)
    assert f"|{charset}" in message.payload.decode(codec)
    assert "张^三".encode(codec) in message.payload


def test_mindray_is_bare_and_says_first_who_lies_where() -> None:
    bed = monitor("mindray")
    (first,) = bed.greeting()
    assert first.payload.startswith(rb"MSH|^~\&|||||||ORU^R01|103|P|2.3.1|" + b"\rPID|||")
    assert "bed-05" in first.payload.decode()
    assert [m.payload for m in bed.heartbeat()] == [rb"MSH|^~\&|||||||ORU^R01|106|P|2.3.1|" + b"\r"]
    values = bed.messages(1.0, AT_US)[0]
    msh, *obx = segments(values)
    assert "|".join(msh) == r"MSH|^~\&|||||||ORU^R01|204|P|2.3.1|"
    assert all(fields[0] == "OBX" for fields in obx)
    assert f"OBX||NM|101^HR|2101|{values.sent[0].values['hr']}||||||F" in values.payload.decode()


def test_the_cuff_comes_once_with_its_own_time() -> None:
    bed = monitor("pcd01")
    beds_reports = [len(bed.messages(float(t), AT_US + t * 1_000_000)[0].sent) for t in range(400)]
    assert beds_reports.count(2) == 3
    assert set(beds_reports) == {1, 2}


def test_the_same_seed_is_the_same_bytes() -> None:
    for dialect in hl7_oru.DIALECTS:
        assert monitor(dialect).messages(5.0, AT_US) == monitor(dialect).messages(5.0, AT_US)


class Receiver:
    """A listening interface that answers as told and keeps every message."""

    def __init__(self, answered: Answer) -> None:
        self._answered = answered
        self.got: list[bytes] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while frame := await reader.readuntil(FS):
                self.got.append(frame[1 : -len(FS)])
                reply = self._answered(len(self.got) - 1, self.got[-1])
                if reply is None:
                    break
                writer.write(reply)
        except EOFError:
            pass
        finally:
            writer.close()


async def deliver(bed: Monitor, answered: Answer, count: int = 3) -> tuple[list[bytes], list[bytes]]:
    """(what the receiver got, what the monitor wanted to say)."""
    receiver = Receiver(answered)
    async with await asyncio.start_server(receiver.serve, "127.0.0.1") as server:
        sender = Sender(bed, dialler(*server.sockets[0].getsockname()[:2]))
        expected = [m for n in range(count) for m in bed.messages(float(n), AT_US + n * 1_000_000)]
        for message in expected:
            await asyncio.wait_for(sender.send(message), 20)
        sender.close()
    return receiver.got, [message.payload for message in expected]


def _run(work: Awaitable[tuple[list[bytes], list[bytes]]]) -> tuple[list[bytes], list[bytes]]:
    async def main() -> tuple[list[bytes], list[bytes]]:
        return await work

    return asyncio.run(main())


@pytest.mark.parametrize("code", ["AA", "CA"])
def test_each_message_goes_once_when_it_is_accepted(code: str) -> None:
    got, expected = _run(deliver(monitor("pcd01"), lambda n, frame: answer(frame, code)))
    assert got == expected


@pytest.mark.parametrize("said", [b"QRY^R02|1203|P|2.3.1", b"ORU^R01|106|P|2.3.1|"])
def test_what_a_client_of_mindray_says_by_itself_is_no_answer(said: bytes) -> None:
    before = b"\x0bMSH|^~\\&|||||||" + said + b"\r" + FS
    got, expected = _run(deliver(monitor("mindray"), lambda n, frame: before + (answer(frame) or b"")))
    assert got[-len(expected) :] == expected


@pytest.mark.parametrize("code", ["AE", "AR", "CE", "CR", "cut", "no id"])
def test_what_is_refused_goes_again_with_the_same_bytes(code: str) -> None:
    def answered(n: int, frame: bytes) -> bytes | None:
        if n not in (1, 2):
            return answer(frame)
        return None if code == "cut" else answer(frame, id_="") if code == "no id" else answer(frame, code)

    got, expected = _run(deliver(monitor("pcd01"), answered))
    assert got == [expected[0], expected[1], expected[1], expected[1], expected[2]]


@pytest.mark.parametrize("dialect", hl7_oru.DIALECTS)
def test_the_answer_to_another_message_is_no_answer(dialect: str) -> None:
    def answered(n: int, frame: bytes) -> bytes:
        return answer(frame, id_="999") + answer(frame, "AE", id_="998") + answer(frame)

    bed = monitor(dialect)
    got, expected = _run(deliver(bed, answered))
    assert got == [m.payload for m in bed.greeting()] + expected


def test_no_answer_at_all_cuts_and_sends_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hl7_oru, "ACK_LIMIT_S", 0.05)
    got, expected = _run(deliver(monitor("plain"), lambda n, frame: b"" if n == 1 else answer(frame)))
    assert got == [expected[0], expected[1], expected[1], expected[2]]


def test_mindray_says_who_lies_where_on_each_new_connection() -> None:
    bed = monitor("mindray")
    got, expected = _run(deliver(bed, lambda n, frame: None if n == 2 else answer(frame), count=2))
    first = bed.greeting()[0].payload
    assert got == [first, expected[0], expected[1], first, expected[1]]


def test_who_listens_serves_whoever_dials_and_dials_again() -> None:
    async def run() -> list[bytes]:
        got: list[bytes] = []
        bed = monitor("mindray")
        async with listener("127.0.0.1", 0) as (connect, address):
            sender = Sender(bed, connect)
            sending = asyncio.create_task(_all(sender, [*bed.heartbeat(), *bed.messages(0.0, AT_US)]))
            for _ in range(2):  # the first dialler takes the greeting and hangs up, the second takes all
                reader, writer = await asyncio.open_connection(*address)
                for take in (1,) if not got else (1, 1, 1):
                    frame = (await reader.readuntil(FS))[1 : -len(FS)]
                    got.append(frame)
                    writer.write(answer(frame) * take)
                if len(got) == 1:
                    await reader.readuntil(FS)  # not answered: it comes again
                writer.close()
            await asyncio.wait_for(sending, 20)
            sender.close()
        return got

    kinds = [frame.split(b"|")[9] for frame in asyncio.run(run())]
    assert kinds == [b"103", b"103", b"106", b"204"]


async def _all(sender: Sender, messages: list[Message]) -> None:
    for message in messages:
        await sender.send(message)
