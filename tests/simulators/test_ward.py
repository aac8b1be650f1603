"""A ward in one process: who speaks over what, what was sent and acknowledged, and the log of it."""

from __future__ import annotations

import asyncio
import json
import socket
from collections import Counter
from pathlib import Path

import pytest
import serial

from simulators.ward import VALUES_MAX, WardPlan, run_device, run_ward, serial_links, transport_of_beds
from vitalwire.embedded import Addresses

FS = b"\x1c\r"


@pytest.fixture
def unused_tcp_port() -> int:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        port: int = held.getsockname()[1]
        return port


class Receiver:
    """Answers everything; after `cut_after` messages of a connection it cuts that."""

    def __init__(self, cut_after: int = 0) -> None:
        self.got: Counter[bytes] = Counter()
        self._cut_after = cut_after

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            left = self._cut_after
            while frame := await reader.readuntil(FS):
                fields = frame.split(b"|", 10)
                self.got[fields[9]] += 1
                left -= 1
                if left == 0:
                    break
                writer.write(b"\x0bMSH|^~\\&|||||||ACK|1|P|2.6\rMSA|AA|" + fields[9] + b"\r" + FS)
        except (EOFError, OSError):
            pass
        finally:
            writer.close()


def test_beds_are_split_over_the_transports_that_are_given(tmp_path: Path) -> None:
    whole = WardPlan(serial_dir=tmp_path, mllp=("h", 1), mqtt=("h", 2))
    assert [*transport_of_beds(whole).values()] == ["serial"] * 4 + ["mllp"] * 4 + ["mqtt"] * 4
    assert [(link.bed, link.driver, link.path) for link in serial_links(whole)] == [
        (f"bed-0{n}", driver, tmp_path / f"bed-0{n}") for n, driver in enumerate(["nonin_df2", "nonin_ascii"] * 2, 1)
    ]
    assert set(transport_of_beds(WardPlan(mllp=("h", 1))).values()) == {"mllp"}
    assert serial_links(WardPlan(mllp=("h", 1))) == ()


@pytest.mark.parametrize("wrong", [{"beds": 0}, {"rate_hz": 0}, {"values": VALUES_MAX + 1}, {"faults": ("none",)}])
def test_a_plan_that_cannot_be_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r".+"):
        WardPlan(**wrong)  # type: ignore[arg-type]


def test_what_was_acknowledged_is_in_the_log_once(embedded: Addresses, tmp_path: Path) -> None:
    receiver, log = Receiver(cut_after=7), tmp_path / "acked.jsonl"

    async def run() -> tuple[Counter[str], Counter[str], int]:
        stop = asyncio.Event()
        async with await asyncio.start_server(receiver.serve, "127.0.0.1") as server:
            plan = WardPlan(
                beds=9, rate_hz=10, serial_dir=tmp_path / "serial", mllp=server.sockets[0].getsockname()[:2],
                mqtt=embedded.mqtt5, acked_log=log,
            )  # fmt: skip
            ward = asyncio.create_task(run_ward(plan, stop))
            while not all(link.path.exists() for link in serial_links(plan)):
                await asyncio.sleep(0.01)
            df2, line = (serial.Serial(str(link.path), 9600, timeout=5) for link in serial_links(plan)[:2])
            with df2, line:
                text = await asyncio.to_thread(line.readline)
                frames = await asyncio.to_thread(df2.read, 375)
                while not all(transport in log.read_text("utf-8") for transport in ('"mllp"', '"mqtt"')):
                    await asyncio.sleep(0.05)
            stop.set()
            totals = await asyncio.wait_for(ward, 30)
        assert text.startswith(b"SPO2=")
        assert len(frames) == 375
        return totals.sent, totals.acked, len(serial_links(plan))

    sent, acked, ports = asyncio.run(run())
    rows = [json.loads(line) for line in log.read_text("utf-8").splitlines()]
    assert ports == 3
    assert sent["mllp"] == acked["mllp"] > 10
    assert sent["mqtt"] == acked["mqtt"] > 10
    assert acked["serial"] == 0
    assert len({row["report_key"] for row in rows if row["acked"]}) == sum(row["acked"] for row in rows)
    assert {row["transport"] for row in rows if not row["acked"]} == {"serial"}
    ids = {row["id"] for row in rows if row["transport"] == "mllp"} - {"204", "503"}
    assert ids == {id_.decode() for id_ in receiver.got} - {"103", "106", "204", "503"}
    assert any(times > 1 for id_, times in receiver.got.items() if id_.decode() in ids)  # cut, and sent again
    assert not (tmp_path / "serial" / "bed-01").is_symlink()


def test_a_ward_ends_by_itself_and_without_anybody_listening(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unused_tcp_port: int
) -> None:
    monkeypatch.setattr("simulators.ward.DRAIN_S", 0.2)
    plan = WardPlan(beds=4, rate_hz=10, serial_dir=tmp_path, mllp=("127.0.0.1", unused_tcp_port), duration_s=0.5)
    totals = asyncio.run(run_ward(plan, asyncio.Event()))
    assert totals.sent["mllp"] == 2  # each waits for its first acknowledgement
    assert not totals.acked


@pytest.mark.parametrize("kind", ["nonin_ascii", "nonin_df2"])
def test_one_oximeter(kind: str, tmp_path: Path) -> None:
    async def run() -> bytes:
        stop, link = asyncio.Event(), tmp_path / "oximeter"
        device = asyncio.create_task(run_device(kind, str(link), "healthy", 1, 1.0, stop))
        while not link.exists():
            await asyncio.sleep(0.01)
        with serial.Serial(str(link), 9600, timeout=5) as reader:
            sent = await asyncio.to_thread(reader.read, 17)
        stop.set()
        await asyncio.wait_for(device, 10)
        return bytes(sent)

    assert asyncio.run(run())[:1] == (b"S" if kind == "nonin_ascii" else b"\x01")


@pytest.mark.parametrize("kind", ["intellivue", "intellivue-mib"])
def test_one_monitor_that_is_asked(kind: str, tmp_path: Path, unused_tcp_port: int) -> None:
    async def run() -> None:
        stop, link = asyncio.Event(), tmp_path / "mib"
        address = str(link) if kind == "intellivue-mib" else f"127.0.0.1:{unused_tcp_port}"
        device = asyncio.create_task(run_device(kind, address, "healthy", 1, 1.0, stop))
        while kind == "intellivue-mib" and not link.exists():
            await asyncio.sleep(0.01)
        while kind == "intellivue" and not _is_bound(unused_tcp_port):
            await asyncio.sleep(0.01)
        stop.set()
        await asyncio.wait_for(device, 10)
        assert not link.exists()
        assert not _is_bound(unused_tcp_port)

    asyncio.run(run())


def _is_bound(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as tried:
        try:
            tried.bind(("127.0.0.1", port))
        except OSError:
            return True
        return False


@pytest.mark.parametrize("dialect", ["nihon-kohden", "philips-pic"])
def test_one_monitor_of_another_maker(dialect: str) -> None:
    async def run() -> Counter[bytes]:
        stop, receiver = asyncio.Event(), Receiver()
        async with await asyncio.start_server(receiver.serve, "127.0.0.1") as server:
            port = server.sockets[0].getsockname()[1]
            speaking = run_device("hl7", f"127.0.0.1:{port}", "healthy", 1, 20.0, stop, dialect)
            device = asyncio.create_task(speaking)
            while len(receiver.got) < 3:
                await asyncio.sleep(0.01)
            stop.set()
            await asyncio.wait_for(device, 10)
        return receiver.got

    assert set(asyncio.run(run()).values()) == {1}


def test_one_monitor_that_dials_and_one_that_listens(unused_tcp_port: int) -> None:
    async def run() -> tuple[Receiver, Receiver]:
        stop, dialled, dialling = asyncio.Event(), Receiver(), Receiver()
        async with await asyncio.start_server(dialled.serve, "127.0.0.1") as server:
            port = server.sockets[0].getsockname()[1]
            devices = [
                asyncio.create_task(run_device(kind, f"127.0.0.1:{at}", "healthy", 1, 20.0, stop))
                for kind, at in (("hl7", port), ("hl7-listen", unused_tcp_port))
            ]
            while True:
                try:
                    streams = await asyncio.open_connection("127.0.0.1", unused_tcp_port)
                    break
                except OSError:
                    await asyncio.sleep(0.01)
            reading = asyncio.create_task(dialling.serve(*streams))
            while len(dialled.got) < 3 or dialling.got[b"204"] < 3:
                await asyncio.sleep(0.01)
            stop.set()
            await asyncio.wait_for(asyncio.gather(*devices, reading), 20)
        return dialled, dialling

    dialled, dialling = asyncio.run(run())
    assert set(dialled.got.values()) == {1}
    assert dialling.got[b"103"] == 1


@pytest.mark.parametrize(("kind", "address"), [("hl7", "nowhere"), ("mqtt", "nowhere"), ("telnet", "h:1")])
def test_an_unknown_device_is_refused_in_words(kind: str, address: str) -> None:
    with pytest.raises(ValueError, match="host:port"):
        asyncio.run(run_device(kind, address, "healthy", 1, 1.0, asyncio.Event()))
