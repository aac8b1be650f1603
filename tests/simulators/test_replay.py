"""A recording as a device: the bytes of then, in the order of then, over each link."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from simulators import replay as module
from simulators.replay import Moved, MqttPlace, PtyPlace, TcpPlace, UdpPlace, beginning_at_zero, place_of, replay, timed
from tests.edge_agent.links.scene import LIMIT_S, eventually
from tests.simulators.test_mqtt_json import subscribed, until
from vitalwire.embedded import Addresses

ONE_WAY = [Moved(0, 1, "opened", peer="x"), Moved(0, 1, "<", b"ab"), Moved(0, 1, "<", b"cd"), Moved(0, 1, "closed")]
DIALOGUE = [
    Moved(0, 7, "opened", peer="10.0.0.7"),
    Moved(0, 7, "<", b"\x05"),
    Moved(0, 7, ">", b"\x06"),
    Moved(0, 7, "<", b"frame"),
    Moved(0, 7, ">", b"\x06"),
    Moved(0, 7, "<", b"\x04"),
    Moved(0, 7, "closed"),
]


async def at_once(at_s: float) -> None:
    """Nothing is waited for."""


class Server:
    """Answers each piece with ACK, after having let the other side hurry."""

    def __init__(self, *, answers: bool = True) -> None:
        self.came: list[bytes] = []
        self.connections: list[bytes] = []
        self._answers = answers

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        whole = b""
        while data := await reader.read(100):
            whole += data
            self.came.append(data)
            if self._answers and data != b"\x04":
                await asyncio.sleep(0.02)
                writer.write(b"\x06")
        self.connections.append(whole)
        writer.close()


def test_a_dialogue_keeps_its_order_for_answers_are_waited_for() -> None:
    async def run() -> None:
        served = Server()
        server = await asyncio.start_server(served, "127.0.0.1", 0)
        address = server.sockets[0].getsockname()
        totals = await replay(DIALOGUE, TcpPlace(address), at_once, asyncio.Event())
        await eventually(lambda: served.connections)
        assert served.came == [b"\x05", b"frame", b"\x04"]
        assert (totals.pieces, totals.bytes, totals.connections, totals.unanswered) == (3, 7, 1, 0)
        server.close()

    asyncio.run(run())


def test_an_answer_that_does_not_come_is_counted_and_it_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ANSWER_S", 0.05)

    async def run() -> None:
        served = Server(answers=False)
        server = await asyncio.start_server(served, "127.0.0.1", 0)
        totals = await replay(DIALOGUE, TcpPlace(server.sockets[0].getsockname()), at_once, asyncio.Event())
        await eventually(lambda: served.connections)
        assert served.connections == [b"\x05frame\x04"]
        assert totals.unanswered == 2
        server.close()

    asyncio.run(run())


def test_it_listens_for_an_agent_that_dials() -> None:
    async def run() -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            address = taken.getsockname()
        work = asyncio.create_task(replay(ONE_WAY, TcpPlace(address, listens=True), at_once, asyncio.Event()))
        reader = writer = None
        while reader is None or writer is None:
            try:
                reader, writer = await asyncio.open_connection(*address)
            except OSError:
                await asyncio.sleep(0.01)
        assert await asyncio.wait_for(reader.read(), LIMIT_S) == b"abcd"
        writer.close()
        assert (await asyncio.wait_for(work, LIMIT_S)).pieces == 2

    asyncio.run(run())


def test_over_udp_whoever_speaks_is_answered_datagram_by_datagram() -> None:
    async def run() -> None:
        place = UdpPlace(("127.0.0.1", 0))
        work = asyncio.create_task(replay(ONE_WAY, place, at_once, asyncio.Event()))
        await eventually(lambda: place.port)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
            peer.settimeout(LIMIT_S)
            peer.sendto(b"hello", ("127.0.0.1", place.port))
            assert [await asyncio.to_thread(peer.recv, 100) for _ in range(2)] == [b"ab", b"cd"]
        await asyncio.wait_for(work, LIMIT_S)

    asyncio.run(run())


def test_on_a_serial_port_it_waits_until_the_port_is_open_and_loses_nothing(tmp_path: Path) -> None:
    moved = [Moved(0, 1, "opened"), *(Moved(0, 1, "<", bytes([n]) * 3000) for n in range(10)), Moved(0, 1, "closed")]

    async def run() -> None:
        link = tmp_path / "oximeter"
        work = asyncio.create_task(replay(moved, PtyPlace(link), at_once, asyncio.Event()))
        await eventually(link.is_symlink)
        port = os.open(link, os.O_RDWR | os.O_NOCTTY)
        came = b""
        while len(came) < 30_000:
            came += await asyncio.to_thread(os.read, port, 4096)
        assert came == b"".join(each.data for each in moved)
        await asyncio.wait_for(work, LIMIT_S)
        os.close(port)
        assert not link.is_symlink()

    asyncio.run(run())


@pytest.mark.parametrize(("speed", "due_s"), [(1.0, [0.0, 2.0, 6.0]), (4.0, [0.0, 0.5, 1.5])])
def test_its_times_are_those_of_then_or_faster(
    speed: float, due_s: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    now_s, slept = [100.0], list[float]()

    async def sleep(delay_s: float) -> None:
        now_s[0] += delay_s
        slept.append(now_s[0] - 100.0)

    monkeypatch.setattr(module.asyncio, "sleep", sleep)
    pace = timed(speed, lambda: now_s[0])

    async def run() -> None:
        for at_s in (0.0, 2.0, 6.0):
            await pace(at_s)

    asyncio.run(run())
    assert slept == pytest.approx(due_s)


def test_a_stop_ends_it_in_the_middle() -> None:
    async def run() -> None:
        stop, served = asyncio.Event(), Server()
        server = await asyncio.start_server(served, "127.0.0.1", 0)
        later = [Moved(0, 1, "opened"), Moved(0, 1, "<", b"now"), Moved(3600, 1, "<", b"in an hour")]
        place = TcpPlace(server.sockets[0].getsockname())
        work = asyncio.create_task(replay(later, place, timed(1), stop))
        await eventually(lambda: served.came)
        stop.set()
        assert (await asyncio.wait_for(work, LIMIT_S)).pieces == 1
        server.close()

    asyncio.run(run())


def test_the_silence_before_the_first_piece_is_left_out() -> None:
    assert [each.at_s for each in beginning_at_zero([Moved(5.5, 1, "<", b"a"), Moved(7.5, 1, "<", b"b")])] == [0, 2]
    assert beginning_at_zero([]) == []


@pytest.mark.parametrize(
    ("over", "address", "words"),
    [
        ("tcp", "here", "'here' is no address: write host:port"),
        ("rs485", "127.0.0.1:1", "--over 'rs485' is none of pty, tcp, tcp-listen, udp, udp-send, mqtt"),
    ],
)
def test_a_place_that_there_is_not_is_said(over: str, address: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        place_of(over, address)


@pytest.mark.parametrize("make", [lambda: place_of("mqtt", "127.0.0.1:1"), lambda: place_of("udp-send", "127.0.0.1:9")])
def test_a_place_is_nothing_until_it_is_opened(make: Callable[[], object]) -> None:
    assert make() is not None


def test_over_mqtt_a_connection_is_a_topic(embedded: Addresses) -> None:
    moved = [Moved(0, 1, "opened", peer="ward/t/replay/7"), *(Moved(0, 1, "<", b"%d" % n) for n in range(5))]

    async def run(got: list[bytes]) -> None:
        totals = await replay(moved, MqttPlace(embedded.mqtt5), at_once, asyncio.Event())
        assert totals.pieces == 5
        await until(lambda: len(got) >= 5)

    with subscribed(embedded.mqtt5, "ward/t/replay/7") as got:
        asyncio.run(run(got))
    assert sorted(set(got)) == [b"%d" % n for n in range(5)]
