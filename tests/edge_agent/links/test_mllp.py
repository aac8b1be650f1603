"""MLLP at real sockets: what a sender does, and what it gets."""

from __future__ import annotations

import asyncio
import logging
import socket
from contextlib import suppress
from typing import Any

import pytest

from adapters.formats.hl7_ack import Outcome
from adapters.formats.mllp import wrap
from edge_agent.delivery import Delivery
from edge_agent.transports import mllp
from edge_agent.transports.mllp import split_address
from schemas.layout import FRAME_BYTES_MAX
from tests.edge_agent.transports.scene import (
    LIMIT_S,
    Agent,
    Streams,
    answer,
    ask,
    connect,
    dialling,
    eventually,
    gateway_or_listener,
    listening,
    message,
    outcome,
    running,
)


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
            assert {d.proves for d in agent_.came} == {range(0)}  # no answer was under way before the last of them came
            senders[0][1].write(wrap(message("more")))
            await agent_.until(lambda: len(agent_.came) == 101)
            assert agent_.came[100].proves == range(agent_.came[100].slot or 0) == range(5)
            agent_.answer(agent_.came[100])
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

    asyncio.run(run())


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
            await eventually(lambda: len(transport._talks) == 1)
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
                    while len(transport._talks) == 2 or not sent:
                        with suppress(BlockingIOError):
                            sent += deaf.send(lot)
                        assert await ask(streams, message("other")) == ("AA", "other")
            await eventually(lambda: len(transport._talks) == 1)
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
