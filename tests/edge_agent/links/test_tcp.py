"""TCP at real sockets, with MLLP senders: what a sender does, and what it gets."""

from __future__ import annotations

import asyncio
import logging
import socket
from contextlib import suppress
from typing import Any

import pytest

from adapters.session import Moment, Outcome, Piece, Step
from adapters.sessions.mllp import wrap
from edge_agent import conversation
from edge_agent.config import TcpLink
from edge_agent.delivery import Delivery
from edge_agent.links import tcp
from edge_agent.links.address import split_address
from edge_agent.links.owner import LinkError
from edge_agent.links.tcp import TcpListener, dialler_of
from runtime.errors import UserError
from runtime.tls import client_context
from schemas.layout import FRAME_BYTES_MAX
from tests.edge_agent.links.scene import (
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
        agent, listener = Agent(holds=True), listening()
        async with running(listener, agent):
            senders = [await connect(listener) for _ in range(20)]
            for n, (_, writer) in enumerate(senders):
                writer.write(b"".join(wrap(message(f"{n}.{i}")) for i in range(5)))
            await agent.until(lambda: len(agent.came) == 100)
            agent.release()
            for n, (reader, _) in enumerate(senders):
                assert [outcome(await answer(reader)) for _ in range(5)] == [("AA", f"{n}.{i}") for i in range(5)]
            assert {d.answered for d in agent.came} == {range(0)}  # no answer was under way before the last of them
            senders[0][1].write(wrap(message("more")))
            await agent.until(lambda: len(agent.came) == 101)
            assert agent.came[100].answered == range(agent.came[100].token or 0) == range(5)
            agent.release()
            assert len({d.connection for d in agent.came}) == 20
            assert {d.sender for d in agent.came} == {"bed@127.0.0.1"}
            for _, writer in senders:
                writer.close()

    asyncio.run(run())


def test_a_long_frame_in_many_pieces_and_one_that_is_too_long() -> None:
    async def run() -> None:
        agent, listener = Agent(), listening()
        async with running(listener, agent):
            streams = await connect(listener)
            long = message("long", more="OBX|" + "x" * (FRAME_BYTES_MAX - 1000))
            for at in range(0, len(long), 10_000):
                streams[1].write((b"" if at else b"\x0b") + long[at : at + 10_000])
                await streams[1].drain()
            streams[1].write(b"\x1c\r")
            assert outcome(await answer(streams[0])) == ("AA", "long")
            assert agent.came[0].frame == long
            assert await ask(streams, message("more", more="x" * FRAME_BYTES_MAX)) == ("AE", "more")
            assert agent.came[1].reason == "too-long"
            assert await ask(streams, message("next")) == ("AA", "next")
            streams[1].close()

    asyncio.run(run())


class Waking:
    """A session that is woken by its own wish, and sends what it is told."""

    def __init__(self, delays_s: list[float]) -> None:
        self._delays_s = delays_s

    def _wake(self, now: Moment, send: bytes = b"") -> Step:
        return Step(send=send, wake_at_s=now.steady_s + self._delays_s.pop(0) if self._delays_s else None)

    def opened(self, now: Moment) -> Step:
        return self._wake(now, b"opened ")

    def feed(self, data: bytes, now: Moment) -> Step:
        return Step(send=b"fed ", wake_at_s=now.steady_s + 1000)

    def tick(self, now: Moment) -> Step:
        return self._wake(now, b"tick ")

    def kept(self, token: int, outcome: Outcome, reason: str, now: Moment) -> Step:
        return Step()

    def closed(self, orderly: bool, now: Moment) -> Step:
        return Step()


def test_a_session_is_woken_when_it_wants_and_not_when_it_has_changed_its_mind() -> None:
    async def run() -> None:
        agent, listener = Agent(make_session=lambda: Waking([0.01, 0.02, 0.03])), listening()
        async with running(listener, agent):
            reader, writer = await connect(listener)
            assert await asyncio.wait_for(reader.readexactly(22), LIMIT_S) == b"opened tick tick tick "
            writer.write(b"x")
            assert await asyncio.wait_for(reader.readexactly(4), LIMIT_S) == b"fed "
            (timer,) = [agent.conversations[0]._timer]
            assert timer is not None
            assert timer.when() - asyncio.get_running_loop().time() > 900
            writer.close()
            await eventually(lambda: not listener.connections)
        assert timer.cancelled()

    asyncio.run(run())


class Bug(Waking):
    def feed(self, data: bytes, now: Moment) -> Step:
        raise ZeroDivisionError


def test_a_bug_in_a_session_ends_its_connection_and_costs_no_byte_and_no_neighbour() -> None:
    async def run() -> None:
        agent, listener = Agent(make_session=lambda: Bug([])), listening()
        async with running(listener, agent):
            bad, other = await connect(listener), await connect(listener)
            assert await other[0].readexactly(7) == b"opened "
            bad[1].write(b"abc")
            assert await asyncio.wait_for(bad[0].read(), LIMIT_S) == b"opened "
            assert agent.frames() == [(b"abc", "session-error")]
            assert [type(e) for e in agent.bugs] == [ZeroDivisionError]
            await eventually(lambda: len(listener.connections) == 1)
            for _, writer in (bad, other):
                writer.close()

    asyncio.run(run())


@pytest.mark.parametrize("dialled", [False, True])
def test_an_acknowledgement_is_never_acknowledged(dialled: bool) -> None:
    async def run() -> None:
        agent = Agent()
        async with gateway_or_listener(agent, dialled) as streams:
            streams[1].write(wrap(message("a", "ACK^R01^ACK", "MSA|AA|7\r")) + wrap(message("m")))
            assert outcome(await answer(streams[0])) == ("AA", "m")  # and nothing before it

    asyncio.run(run())


def test_what_cannot_be_kept_is_said_so_and_the_connection_stays_usable() -> None:
    async def run() -> None:
        fates = iter([Outcome.CANNOT_KEEP, Outcome.CANNOT_KEEP, Outcome.KEPT])
        listener = listening()
        async with running(listener, Agent(answers=lambda _: next(fates))):
            streams = await connect(listener)
            assert await ask(streams, message(1)) == ("AR", "1")
            enhanced = message(1).replace(b"|2.6", b"|2.6|||AL|NE")
            assert await ask(streams, enhanced) == ("CE", "1")
            assert await ask(streams, message(1)) == ("AA", "1")
            streams[1].close()

    asyncio.run(run())


def test_a_sender_that_closes_its_own_direction_gets_its_answers() -> None:
    async def run() -> None:
        agent, listener = Agent(holds=True), listening()
        async with running(listener, agent):
            reader, writer = await connect(listener)
            writer.write(wrap(message("whole")) + b"\x0b" + message("cut"))
            writer.write_eof()
            await agent.until(lambda: len(agent.came) == 2)
            agent.release()
            assert outcome(await answer(reader)) == ("AA", "whole")
            assert await asyncio.wait_for(reader.read(), LIMIT_S) == b""  # a frame without its end is not answered
            assert [d.reason for d in agent.came] == ["", "no-end-block"]
            writer.close()

    asyncio.run(run())


def test_one_sender_too_many_is_turned_away_and_a_place_becomes_free() -> None:
    async def run() -> None:
        agent, listener = Agent(), listening(connections_max=2)
        async with running(listener, agent):
            senders = [await connect(listener) for _ in range(2)]
            for streams in senders:
                assert (await ask(streams, message(1)))[0] == "AA"
            reader, writer = await connect(listener)
            with suppress(ConnectionError):
                assert await asyncio.wait_for(reader.read(), LIMIT_S) == b""
            writer.close()
            assert agent.counts == {"connections-refused": 1}
            senders[0][1].close()
            await eventually(lambda: len(listener.connections) == 1)
            again = await connect(listener)
            assert (await ask(again, message(2)))[0] == "AA"
            for _, writer in (*senders, again):
                writer.close()

    asyncio.run(run())


@pytest.mark.parametrize("tls", [False, True])
def test_many_slow_ones_from_one_address_do_not_shut_an_honest_sender_out(tls: bool, ours: Any) -> None:
    async def run() -> None:
        agent = Agent()
        certificate = {"tls_cert": ours.cert, "tls_key": ours.key} if tls else {}
        listener = listening(connections_max=60, connections_per_address_max=40, **certificate)
        async with running(listener, agent):
            host, port = split_address(listener.address)
            slow = []
            for _ in range(70):  # they say nothing, not even the first word of a handshake
                sock = socket.socket()
                sock.bind(("127.0.0.2", 0))
                sock.connect((host, port))
                slow.append(sock)
            await eventually(lambda: agent.counts["connections-refused"] == 30)
            assert len(listener.connections) == 40
            context = client_context(ours.cert) if tls else None
            streams = await connect(listener, ssl=context)  # from 127.0.0.1
            assert await ask(streams, message("honest")) == ("AA", "honest")
            streams[1].close()
            for sock in slow:
                sock.close()
            await eventually(lambda: not listener.connections)
            assert not listener._by_address

    asyncio.run(run())


def test_a_sender_that_says_nothing_is_disconnected_also_within_a_frame() -> None:
    async def run() -> None:
        agent, listener = Agent(), listening(idle_s=0.1)
        async with running(listener, agent):
            for sent in (b"", b"\x0b" + message("x")):
                reader, writer = await connect(listener)
                writer.write(sent)
                assert await asyncio.wait_for(reader.read(), LIMIT_S) == b""
                writer.close()
        assert [d.reason for d in agent.came] == ["no-end-block"]

    asyncio.run(run())


def test_who_speaks_now_and_then_is_not_idle() -> None:
    async def run() -> None:
        listener = listening(idle_s=0.4)
        async with running(listener, Agent()):
            streams = await connect(listener)
            for n in range(8):  # 0.8 s in all
                await asyncio.sleep(0.1)
                assert await ask(streams, message(n)) == ("AA", str(n))
            streams[1].close()

    asyncio.run(run())


def test_a_sender_that_reads_no_answer_holds_up_nobody_and_is_disconnected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tcp, "UNREAD_S", 0.3)

    async def run() -> None:
        agent, listener = Agent(), listening()
        async with running(listener, agent):
            host, port = split_address(listener.address)
            deaf = socket.socket()
            deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)  # answers fill it soon
            deaf.connect((host, port))
            deaf.setblocking(False)
            messages = b"".join(wrap(message("y" * 200)) for _ in range(100))
            streams = await connect(listener)
            sent = 0
            with suppress(ConnectionError):
                async with asyncio.timeout(LIMIT_S):
                    while len(listener.connections) == 2 or not sent:
                        with suppress(BlockingIOError):
                            sent += deaf.send(messages)
                        assert await ask(streams, message("other")) == ("AA", "other")
            await eventually(lambda: len(listener.connections) == 1)
            assert sent < 20 << 20
            streams[1].close()
            deaf.close()

    asyncio.run(run())


def test_frames_that_wait_for_the_disk_have_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conversation, "UNANSWERED_MAX", 3)

    async def run() -> None:
        agent, listener = Agent(holds=True), listening()
        async with running(listener, agent):
            reader, writer = await connect(listener)
            writer.write(b"".join(wrap(message(i)) for i in range(5)))
            await agent.until(lambda: len(agent.came) == 3)
            other = await connect(listener)
            other[1].write(wrap(message("other")))
            await agent.until(lambda: len(agent.came) == 4)  # a limit of each connection
            assert agent.came[3].connection != agent.came[0].connection
            (full,) = [c for c in listener.connections if "spool" in c._pauses]
            assert full._transport is not None
            assert not full._transport.is_reading()
            agent.holds = False
            agent.release()
            assert [outcome(await answer(reader))[1] for _ in range(5)] == list("01234")
            await eventually(lambda: full._transport and full._transport.is_reading())
            for w in (writer, other[1]):
                w.close()

    asyncio.run(run())


def test_a_flood_on_one_connection_gives_others_their_turn() -> None:
    async def run() -> None:
        agent, listener = Agent(), listening()
        async with running(listener, agent):
            flood, honest = await connect(listener), await connect(listener)
            flood[1].write(b"".join(wrap(message(f"f{i}")) for i in range(600)))  # one read's worth
            honest[1].write(wrap(message("honest")))
            assert outcome(await answer(honest[0])) == ("AA", "honest")
            await eventually(lambda: len(agent.came) == 601)
            place = [b"honest" in d.frame for d in agent.came].index(True)
            assert place <= 3 * conversation.FRAMES_A_TURN
            for _, writer in (flood, honest):
                writer.close()

    asyncio.run(run())


def test_the_end_of_the_agent_keeps_what_came_and_prints_nothing(caplog: pytest.LogCaptureFixture) -> None:
    async def run() -> list[Delivery]:
        asyncio.get_running_loop().set_debug(True)  # then asyncio also tells what it would swallow
        agent, listener = Agent(), listening()
        async with running(listener, agent):
            whole, half = await connect(listener), await connect(listener)
            assert (await ask(whole, message(1)))[0] == "AA"
            half[1].write(wrap(message(2)) + b"\x0b" + message("half"))
            assert outcome(await answer(half[0])) == ("AA", "2")
            assert len(listener.connections) == 2
        assert await asyncio.wait_for(whole[0].read(), LIMIT_S) == b""
        for _, writer in (whole, half):
            writer.close()
        return agent.came

    with caplog.at_level(logging.WARNING, "asyncio"):
        came = asyncio.run(run())
    assert [d.reason for d in came] == ["", "", "no-end-block"]
    assert [r.getMessage() for r in caplog.records if r.name == "asyncio" and "took" not in r.getMessage()] == []


def test_the_end_of_the_agent_waits_for_what_is_on_its_way_to_the_disk() -> None:
    async def run() -> None:
        agent, listener = Agent(holds=True), listening()
        async with running(listener, agent) as task:
            streams = await connect(listener)
            streams[1].write(wrap(message(1)))
            await agent.until(lambda: agent.came)
            task.cancel()
            await asyncio.sleep(0.05)
            assert not task.done()
            agent.release()
            assert outcome(await answer(streams[0])) == ("AA", "1")
            streams[1].close()

    asyncio.run(run())


@pytest.mark.parametrize("address", ["", "x", "x:", "x:y", "x:65536", "x:-1"])
def test_what_is_no_address(address: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        split_address(address)


def test_what_is_an_address() -> None:
    assert split_address("[::1]:2575") == ("::1", 2575)
    assert split_address(":2575") == ("", 2575)
    assert split_address("ward-edge:0") == ("ward-edge", 0)


def test_a_port_in_use_is_said_with_its_remedy() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        place = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(LinkError, match=rf"{place} cannot be listened on \(Address already in use\): choose"):
            asyncio.run(TcpListener(TcpLink(listen=place)).run(Agent()))


# --- dialling ---------------------------------------------------------------------------------------------------------


def test_a_gateway_that_ends_in_good_order_is_no_trouble_and_one_without_a_word_is() -> None:
    async def run() -> None:
        agent = Agent()
        came: asyncio.Queue[Streams] = asyncio.Queue()
        gateway = await asyncio.start_server(lambda r, w: came.put_nowait((r, w)), "127.0.0.1", 0)
        task = asyncio.create_task(dialling(gateway).run(agent))
        streams = await came.get()
        assert await ask(streams, message(1)) == ("AA", "1")
        streams[1].close()
        await asyncio.wait_for(task, LIMIT_S)
        assert agent.proven == [(agent.came[0].connection, range(1))]
        task = asyncio.create_task(dialling(gateway).run(agent))
        (await came.get())[1].close()
        with pytest.raises(LinkError, match="closes the connection without a word"):
            await asyncio.wait_for(task, LIMIT_S)
        dialler = dialling(gateway)
        gateway.close()
        await gateway.wait_closed()
        with pytest.raises(LinkError, match=r"is not reached .*: is the gateway on"):
            await dialler.run(agent)

    asyncio.run(run())


def test_the_first_of_a_names_addresses_that_answers_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    def addresses(*_: Any, **__: Any) -> list[Any]:
        return [(0, 0, 0, "", ("127.0.0.3", 0)), (0, 0, 0, "", ("127.0.0.1", 0))]

    async def run() -> None:
        agent = Agent()
        came: asyncio.Queue[Streams] = asyncio.Queue()
        gateway = await asyncio.start_server(lambda r, w: came.put_nowait((r, w)), "127.0.0.1", 0)
        port = gateway.sockets[0].getsockname()[1]
        dialler = dialler_of(TcpLink(dial=f"gateway.example:{port}", insecure=True))
        with monkeypatch.context() as patch:
            patch.setattr(socket, "getaddrinfo", addresses)
            task = asyncio.create_task(dialler.run(agent))
            streams = await came.get()
        assert await ask(streams, message(1)) == ("AA", "1")
        streams[1].close()
        await asyncio.wait_for(task, LIMIT_S)
        gateway.close()

    asyncio.run(run())


def test_plaintext_beyond_loopback_is_refused_with_the_remedy() -> None:
    dialler = dialler_of(TcpLink(dial="192.0.2.1:2575"))
    with pytest.raises(UserError, match=r"plaintext to 192\.0\.2\.1 .*: set tls_ca \(or, knowingly, insecure = true\)"):
        asyncio.run(dialler.run(Agent()))


def test_the_kernel_asks_a_sender_that_is_silent_whether_it_is_still_there(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    real = tcp.keep_alive

    def spy(sock: Any) -> None:
        real(sock)
        seen.append(sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE))

    monkeypatch.setattr(tcp, "keep_alive", spy)

    async def run() -> None:
        listener = listening()
        async with running(listener, Agent()):
            streams = await connect(listener)
            await ask(streams, message(1))
            streams[1].close()

    asyncio.run(run())
    assert seen == [1]


class Pieces(Waking):
    """Each byte is a frame that nobody waits for an answer to."""

    def feed(self, data: bytes, now: Moment) -> Step:
        return Step(pieces=tuple(Piece(bytes((b,))) for b in data))


def test_frames_without_a_token_are_nobodys_to_send_again() -> None:
    async def run() -> None:
        agent, listener = Agent(make_session=lambda: Pieces([])), listening()
        async with running(listener, agent):
            _, writer = await connect(listener)
            writer.write(b"abc")
            await agent.until(lambda: len(agent.came) == 3)
            writer.close()
        assert [(d.frame, d.sender, d.token) for d in agent.came] == [(b, "", None) for b in (b"a", b"b", b"c")]

    asyncio.run(run())
