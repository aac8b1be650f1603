"""MLLP at real sockets: what a sender does, and what it gets."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from adapters.driver import Source
from adapters.formats.hl7_ack import Outcome
from adapters.formats.mllp import wrap
from edge_agent import agent
from edge_agent.config import MllpConfig
from edge_agent.delivery import Delivery
from edge_agent.transports import mllp
from edge_agent.transports.mllp import MllpTransport, split_address
from runtime.errors import UserError
from runtime.tls import client_context, server_context
from schemas.layout import FRAME_BYTES_MAX
from tests.making import T0_US
from tests.runtime.conftest import Certified, certify

LIMIT_S = 10.0
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


def message(ident: object, kind: str = "ORU^R01", more: str = "") -> bytes:
    return f"MSH|^~\\&|MON||||20261124101500+0000||{kind}|{ident}|P|2.6\r{more}".encode()


def outcome(answer: bytes) -> tuple[str, str]:
    """MSA-1 and MSA-2."""
    msa = next(s for s in answer.decode().split("\r") if s.startswith("MSA")).split("|")
    return msa[1], (*msa, "")[2]


class Agent:
    """Takes deliveries, and answers each at once unless told to hold them."""

    def __init__(self, holds: bool = False, answers: Callable[[Delivery], Outcome] = lambda _: Outcome.KEPT) -> None:
        self.came: list[Delivery] = []
        self._holds, self._answers = holds, answers
        self._more = asyncio.Event()

    def __call__(self, delivery: Delivery) -> None:
        self.came.append(delivery)
        self._more.set()
        if not self._holds:
            self.answer(delivery)

    def answer(self, delivery: Delivery) -> None:
        asyncio.get_running_loop().call_soon(delivery.ack, self._answers(delivery), delivery.reason)

    async def until(self, holds: Callable[[], object]) -> None:
        async with asyncio.timeout(LIMIT_S):
            while not holds():
                self._more.clear()
                await self._more.wait()


@asynccontextmanager
async def running(config: MllpConfig, deliver: Callable[[Delivery], None]) -> AsyncIterator[MllpTransport]:
    """A transport at work. When it ends, no task of its own is left."""
    transport = MllpTransport(config, lambda peer: Source("bed", peer=peer), lambda: T0_US, count(1))
    before = asyncio.all_tasks()
    task = asyncio.ensure_future(transport.run(deliver))
    try:
        await eventually(lambda: transport.address or task.done() or config.dial)
        if task.done():
            task.result()
        yield transport
    finally:
        task.cancel()
        async with asyncio.timeout(LIMIT_S):
            await asyncio.gather(task, return_exceptions=True)
    ours = [t for t in asyncio.all_tasks() - before if "_serve" in repr(t) or "serve" in repr(t)]
    assert ours == []


async def eventually(holds: Callable[[], object]) -> None:
    async with asyncio.timeout(LIMIT_S):
        while not holds():
            await asyncio.sleep(0.005)


def listening(**more: Any) -> MllpConfig:
    return MllpConfig("bed", "hl7_oru", listen="127.0.0.1:0", **more)


async def connect(transport: MllpTransport, **more: Any) -> Streams:
    return await asyncio.open_connection(*split_address(transport.address), **more)


async def answer(reader: asyncio.StreamReader) -> bytes:
    async with asyncio.timeout(LIMIT_S):
        return (await reader.readuntil(b"\x1c\r"))[1:-2]


async def ask(streams: Streams, payload: bytes) -> tuple[str, str]:
    streams[1].write(wrap(payload))
    return outcome(await answer(streams[0]))


def test_each_sender_gets_its_own_answers_in_order() -> None:
    async def run() -> None:
        agent_ = Agent(holds=True)
        async with running(listening(), agent_) as transport:
            senders = [await connect(transport) for _ in range(20)]
            for n, (_, writer) in enumerate(senders):
                writer.write(b"".join(wrap(message(f"{n}.{i}")) for i in range(5)))
            await agent_.until(lambda: len(agent_.came) == 100)
            for delivery in agent_.came:
                agent_.answer(delivery)
            for n, (reader, _) in enumerate(senders):
                assert [outcome(await answer(reader)) for _ in range(5)] == [("AA", f"{n}.{i}") for i in range(5)]
            assert len({d.connection for d in agent_.came}) == 20
            assert {d.sender for d in agent_.came} == {"bed@127.0.0.1"}
            for _, writer in senders:
                writer.close()

    asyncio.run(run())


def test_a_long_frame_in_many_pieces_and_one_that_is_too_long() -> None:
    async def run() -> None:
        agent_ = Agent(answers=lambda d: Outcome.MALFORMED if d.reason else Outcome.KEPT)
        async with running(listening(), agent_) as transport:
            streams = await connect(transport)
            long = message("long", more="OBX|" + "x" * (FRAME_BYTES_MAX - 1000))
            for at in range(0, len(long), 10_000):
                streams[1].write((b"" if at else b"\x0b") + long[at : at + 10_000])
                await streams[1].drain()
            streams[1].write(b"\x1c\r")
            assert outcome(await answer(streams[0])) == ("AA", "long")
            assert agent_.came[0].frame == long
            assert await ask(streams, message("more", more="x" * FRAME_BYTES_MAX)) == ("AE", "more")
            assert agent_.came[1].reason == "too-long"
            assert await ask(streams, message("next")) == ("AA", "next")
            streams[1].close()

    asyncio.run(run())


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        (b"\x0b" + message("x"), "no-end-block"),
        (b"\x0b" + message("x") + b"\x1c", "end-block-without-cr"),
        (message("x"), "no-start-block"),
    ],
)
def test_a_frame_that_stands_still_is_answered_as_malformed_and_the_connection_stays(
    sent: bytes, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mllp, "STALL_S", 0.1)

    async def run() -> None:
        agent_ = Agent(answers=lambda d: Outcome.MALFORMED if d.reason else Outcome.KEPT)
        async with running(listening(), agent_) as transport:
            streams = await connect(transport)
            streams[1].write(sent)
            assert outcome(await answer(streams[0])) == ("AE", "x")
            assert [(d.reason, d.frame) for d in agent_.came] == [(reason, message("x"))]
            assert await ask(streams, message("next")) == ("AA", "next")
            streams[1].close()

    asyncio.run(run())


def test_a_slow_frame_that_moves_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mllp, "STALL_S", 0.5)

    async def run() -> None:
        agent_ = Agent()
        async with running(listening(), agent_) as transport:
            streams = await connect(transport)
            for byte in wrap(message(1))[:-1]:
                streams[1].write(bytes((byte,)))
                await asyncio.sleep(0.012)  # three quarters of a second in all
            streams[1].write(b"\r")
            assert outcome(await answer(streams[0])) == ("AA", "1")
            streams[1].close()

    asyncio.run(run())


def test_a_frame_inside_a_frame_costs_the_outer_one_alone() -> None:
    async def run() -> None:
        agent_ = Agent(answers=lambda d: Outcome.MALFORMED if d.reason else Outcome.KEPT)
        async with running(listening(), agent_) as transport:
            reader, writer = await connect(transport)
            writer.write(b"\x0b" + message("outer") + b"\x0b\x0b" + message("inner") + b"\x1c\r\x1c\r")
            assert [outcome(await answer(reader)) for _ in range(4)][:3] == [
                ("AE", "outer"), ("AE", ""), ("AA", "inner"),
            ]  # fmt: skip
            assert [d.reason for d in agent_.came] == [*["nested-start-block"] * 2, "", "no-start-block"]
            writer.close()

    asyncio.run(run())


@pytest.mark.parametrize("dialled", [False, True])
@pytest.mark.parametrize("kind", ["ACK", "ACK^R01^ACK", "ack"])
def test_an_acknowledgement_is_kept_and_never_acknowledged(dialled: bool, kind: str) -> None:
    async def run() -> None:
        agent_ = Agent()
        ack = message("a", kind, "MSA|AA|7\r")
        async with gateway_or_listener(agent_, dialled) as streams:
            streams[1].write(wrap(ack) + b"\x0b" + ack + b"\x0b" + ack + b"\x1c\x0b" + message("m") + b"\x1c\r")
            assert outcome(await answer(streams[0])) == ("AA", "m")  # and nothing before it
            reasons = [d.reason for d in agent_.came]
            assert reasons == ["acknowledgement", "nested-start-block", "end-block-without-cr", ""]
            assert agent.read(agent_driver(), agent_.came[0])[1] == "acknowledgement"

    asyncio.run(run())


def agent_driver() -> Any:
    return None  # the driver is not asked about what has a reason already


@asynccontextmanager
async def gateway_or_listener(deliver: Callable[[Delivery], None], dialled: bool) -> AsyncIterator[Streams]:
    """A connection to a transport, whichever of the two has opened it."""
    if not dialled:
        async with running(listening(), deliver) as transport:
            streams = await connect(transport)
            yield streams
            streams[1].close()
        return
    came: asyncio.Queue[Streams] = asyncio.Queue()
    gateway = await asyncio.start_server(lambda r, w: came.put_nowait((r, w)), "127.0.0.1", 0)
    async with running(dialling(gateway), deliver):
        streams = await came.get()
        yield streams
        streams[1].close()
    gateway.close()


def dialling(gateway: asyncio.Server, **more: Any) -> MllpConfig:
    return MllpConfig("bed", "hl7_oru", dial=f"127.0.0.1:{gateway.sockets[0].getsockname()[1]}", **more)


def test_what_cannot_be_kept_is_said_so_and_the_connection_stays_usable() -> None:
    async def run() -> None:
        fates = iter([Outcome.CANNOT_KEEP, Outcome.CANNOT_KEEP, Outcome.KEPT])
        async with running(listening(), Agent(answers=lambda _: next(fates))) as transport:
            streams = await connect(transport)
            assert await ask(streams, message(1)) == ("AR", "1")
            enhanced = message(1).replace(b"|2.6", b"|2.6|||AL|NE")
            assert await ask(streams, enhanced) == ("CE", "1")
            assert await ask(streams, message(1)) == ("AA", "1")
            streams[1].close()

    asyncio.run(run())


def test_a_sender_that_closes_its_own_direction_gets_its_answers() -> None:
    async def run() -> None:
        agent_ = Agent(holds=True)
        async with running(listening(), agent_) as transport:
            reader, writer = await connect(transport)
            writer.write(wrap(message("whole")) + b"\x0b" + message("cut"))
            writer.write_eof()
            await agent_.until(lambda: len(agent_.came) == 2)
            for delivery in agent_.came:
                agent_.answer(delivery)
            assert [outcome(await answer(reader)) for _ in range(2)] == [("AA", "whole"), ("AA", "cut")]
            assert await asyncio.wait_for(reader.read(), LIMIT_S) == b""  # and then it is over
            assert [d.reason for d in agent_.came] == ["", "no-end-block"]
            writer.close()

    asyncio.run(run())


def test_one_sender_too_many_is_turned_away_and_a_place_becomes_free() -> None:
    async def run() -> None:
        async with running(listening(connections_max=2), Agent()) as transport:
            senders = [await connect(transport) for _ in range(2)]
            for streams in senders:
                assert (await ask(streams, message(1)))[0] == "AA"
            reader, writer = await connect(transport)
            assert await asyncio.wait_for(reader.read(), LIMIT_S) == b""
            writer.close()
            senders[0][1].close()
            await eventually(lambda: transport._open == 1)
            again = await connect(transport)
            assert (await ask(again, message(2)))[0] == "AA"
            for _, writer in (*senders, again):
                writer.close()

    asyncio.run(run())


def test_a_sender_that_says_nothing_is_disconnected_also_within_a_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mllp, "STALL_S", 0.05)

    async def run() -> None:
        agent_ = Agent()
        async with running(listening(idle_s=0.1), agent_) as transport:
            for sent in (b"", b"\x0b" + message("x")):
                reader, writer = await connect(transport)
                writer.write(sent)
                assert (await asyncio.wait_for(reader.read(), LIMIT_S) != b"") == bool(sent)
                writer.close()
        assert [d.reason for d in agent_.came] == ["no-end-block"]

    asyncio.run(run())


def test_a_sender_that_reads_no_answer_holds_up_nobody_and_is_disconnected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mllp, "UNREAD_S", 0.3)
    monkeypatch.setattr(mllp, "CLOSE_S", 0.1)

    async def run() -> None:
        agent_ = Agent()
        async with running(listening(), agent_) as transport:
            host, port = split_address(transport.address)
            deaf = socket.socket()
            deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)  # answers fill it soon
            deaf.connect((host, port))
            deaf.setblocking(False)
            lot = b"".join(wrap(message("y" * 200)) for _ in range(100))
            streams = await connect(transport)
            sent = 0
            with suppress(ConnectionError):
                async with asyncio.timeout(LIMIT_S):
                    while transport._open == 2 or not sent:
                        with suppress(BlockingIOError):
                            sent += deaf.send(lot)
                        assert await ask(streams, message("other")) == ("AA", "other")
            await eventually(lambda: transport._open == 1)
            assert sent < 20 << 20
            streams[1].close()
            deaf.close()

    asyncio.run(run())


def test_frames_that_wait_for_the_disk_have_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mllp, "UNANSWERED_MAX", 3)

    async def run() -> None:
        agent_ = Agent(holds=True)
        async with running(listening(), agent_) as transport:
            reader, writer = await connect(transport)
            writer.write(b"".join(wrap(message(i)) for i in range(5)))
            await agent_.until(lambda: len(agent_.came) == 3)
            other = await connect(transport)
            other[1].write(wrap(message("other")))
            await agent_.until(lambda: len(agent_.came) == 4)  # a limit of each connection
            assert agent_.came[3].connection != agent_.came[0].connection
            agent_._holds = False
            for delivery in agent_.came[:]:
                agent_.answer(delivery)
            assert [outcome(await answer(reader))[1] for _ in range(5)] == list("01234")
            for w in (writer, other[1]):
                w.close()

    asyncio.run(run())


def test_the_end_of_the_agent_keeps_what_came_and_prints_nothing(caplog: pytest.LogCaptureFixture) -> None:
    async def run() -> list[Delivery]:
        asyncio.get_running_loop().set_debug(True)  # then asyncio also tells what it would swallow
        agent_ = Agent()
        async with running(listening(), agent_) as transport:
            whole, half = await connect(transport), await connect(transport)
            assert (await ask(whole, message(1)))[0] == "AA"
            half[1].write(wrap(message(2)) + b"\x0b" + message("half"))
            assert outcome(await answer(half[0])) == ("AA", "2")
            assert len(transport._talks) == 2
        assert await asyncio.wait_for(whole[0].read(), LIMIT_S) == b""
        for _, writer in (whole, half):
            writer.close()
        return agent_.came

    with caplog.at_level(logging.WARNING, "asyncio"):
        came = asyncio.run(run())
    assert [d.reason for d in came] == ["", "", "no-end-block"]
    assert [r.getMessage() for r in caplog.records if r.name == "asyncio" and "took" not in r.getMessage()] == []


# --- dialling ---------------------------------------------------------------------------------------------------------


def test_a_gateway_is_dialled_again_after_each_end_with_longer_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    real_sleep = asyncio.sleep

    async def sleep(delay_s: float) -> None:
        waits.append(delay_s)
        await real_sleep(0)

    async def run() -> None:
        agent_ = Agent()
        came: asyncio.Queue[Streams] = asyncio.Queue()
        gateway = await asyncio.start_server(lambda r, w: came.put_nowait((r, w)), "127.0.0.1", 0)
        config = dialling(gateway)
        async with running(config, agent_):
            for n in range(3):  # heartbeats, then it breaks off
                streams = await came.get()
                assert await ask(streams, message(n)) == ("AA", str(n))
                streams[1].close()
            assert set(waits) <= {mllp.REDIAL_FIRST_S}
            waits.clear()
            for _ in range(4):  # it accepts, and closes at once
                (await came.get())[1].close()
            gateway.close()
            await gateway.wait_closed()
            async with asyncio.timeout(LIMIT_S):
                while len(waits) < 12:
                    await real_sleep(0.005)
        assert waits[:3] == [mllp.REDIAL_FIRST_S, mllp.REDIAL_FIRST_S * 2, mllp.REDIAL_FIRST_S * 4]
        assert max(waits) == mllp.REDIAL_MAX_S
        assert len({d.connection for d in agent_.came}) == 3

    monkeypatch.setattr("edge_agent.transports.mllp.asyncio.sleep", sleep)
    asyncio.run(run())


# --- TLS --------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Certified:
    return certify(tmp_path_factory.mktemp("ours"), "ours")


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Certified:
    return certify(tmp_path_factory.mktemp("theirs"), "theirs")


def test_a_listener_takes_only_senders_whose_certificate_it_knows(
    ours: Certified, theirs: Certified, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    stranger = certify(tmp_path, "stranger")
    config = listening(tls_cert=ours.cert, tls_key=ours.key, tls_ca=theirs.cert)

    async def run() -> None:
        agent_ = Agent()
        async with running(config, agent_) as transport:
            known = client_context(ours.cert, theirs.cert, theirs.key)
            streams = await connect(transport, ssl=known)
            assert await ask(streams, message(1)) == ("AA", "1")
            nobody, other = client_context(ours.cert), client_context(ours.cert, stranger.cert, stranger.key)
            for context in (nobody, other, None):  # None: without TLS
                with pytest.raises((ssl.SSLError, ConnectionError, asyncio.IncompleteReadError)):
                    await ask(await connect(transport, ssl=context), message(2))
            assert await ask(streams, message(3)) == ("AA", "3")
            streams[1].close()
        assert len(agent_.came) == 2

    with caplog.at_level(logging.WARNING, "asyncio"):
        asyncio.run(run())
    assert [r.getMessage() for r in caplog.records if r.name == "asyncio"] == []


def test_a_gateway_is_dialled_with_tls_and_only_the_right_one(ours: Certified, theirs: Certified) -> None:
    async def run() -> None:
        agent_ = Agent()
        came: asyncio.Queue[Streams] = asyncio.Queue()
        gateway = await asyncio.start_server(
            lambda r, w: came.put_nowait((r, w)), "127.0.0.1", 0, ssl=server_context(ours.cert, ours.key, theirs.cert)
        )
        config = dialling(gateway, tls_ca=ours.cert, tls_cert=theirs.cert, tls_key=theirs.key)
        async with running(config, agent_):
            streams = await came.get()
            assert await ask(streams, message(1)) == ("AA", "1")
            streams[1].close()
        wrong = dialling(gateway, tls_ca=theirs.cert, tls_cert=theirs.cert, tls_key=theirs.key)
        async with running(wrong, agent_):
            await asyncio.sleep(0.1)
        assert came.empty()
        gateway.close()

    asyncio.run(run())


@pytest.mark.parametrize("given", ["cert", "key", "ca"])
def test_half_a_tls_configuration_never_listens_in_plain(ours: Certified, given: str) -> None:
    half: dict[str, Any] = {"cert": {"tls_cert": ours.cert}, "key": {"tls_key": ours.key}, "ca": {"tls_ca": ours.cert}}[
        given
    ]
    for host in ("0.0.0.0", "127.0.0.1"):
        config = MllpConfig("bed", "hl7_oru", listen=f"{host}:0", **half)
        with pytest.raises(UserError, match="needs both tls_cert and tls_key"):
            asyncio.run(start(config))


def test_half_a_client_certificate_never_dials(ours: Certified) -> None:
    config = MllpConfig("bed", "hl7_oru", dial="127.0.0.1:1", tls_cert=ours.cert)
    with pytest.raises(UserError, match="need each other"):
        asyncio.run(start(config))


async def start(config: MllpConfig) -> None:
    transport = MllpTransport(config, Source, lambda: T0_US, count(1))
    async with asyncio.timeout(LIMIT_S):
        await transport.run(Agent())


def test_beyond_loopback_it_listens_only_with_tls_or_by_name() -> None:
    with pytest.raises(UserError, match="needs tls_cert and tls_key"):
        asyncio.run(start(MllpConfig("bed", "hl7_oru", listen="0.0.0.0:0")))

    async def run() -> None:
        config = MllpConfig("bed", "hl7_oru", listen="0.0.0.0:0", insecure=True)
        async with running(config, Agent()) as transport:
            assert transport.address.startswith("0.0.0.0:")

    asyncio.run(run())


def test_a_port_in_use_names_the_source_the_place_and_the_reason() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        place = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(OSError, match=rf"bed: {place} cannot be listened on \(Address already in use\)"):
            asyncio.run(start(MllpConfig("bed", "hl7_oru", listen=place)))
    with pytest.raises(OSError, match=r"bed: nowhere\.invalid:1 cannot be listened on"):
        asyncio.run(start(MllpConfig("bed", "hl7_oru", listen="nowhere.invalid:1", insecure=True)))


def test_the_kernel_asks_a_sender_that_is_silent_whether_it_is_still_there() -> None:
    async def run() -> None:
        seen: list[int] = []
        real = mllp.keep_alive

        def spy(sock: Any) -> None:
            real(sock)
            seen.append(sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE))

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(mllp, "keep_alive", spy)
            async with running(listening(), Agent()) as transport:
                streams = await connect(transport)
                await ask(streams, message(1))
                streams[1].close()
        assert seen == [1]

    asyncio.run(run())


@pytest.mark.parametrize("address", ["host", "host:", "host:x", "host:65536", "host:-1", ""])
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        split_address(address)


def test_addresses_are_split() -> None:
    assert list(map(split_address, ["h:1", "[::1]:2575", ":0"])) == [("h", 1), ("::1", 2575), ("", 0)]
