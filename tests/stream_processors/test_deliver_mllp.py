"""A message out, its own acknowledgement back: whatever else comes over the connection, and whenever."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from adapters.emr.answer import Outcome
from runtime.tls import client_context, server_context
from stream_processors.deliver_mllp import MllpReceiver
from stream_processors.deliver_receiver import AwayError, Outgoing
from tests.runtime.conftest import Certified
from tests.stream_processors.mllp_listener import (
    Answering,
    Answers,
    Listener,
    acknowledge,
    control_id_of,
    frame,
    listening,
)

TIMEOUT_S = 0.3
Conversation = Callable[[Listener, MllpReceiver], Awaitable[None]]


def outgoing(control_id: str) -> Outgoing:
    body = f"MSH|^~\\&|VITALWIRE||||20260921||ORU^R01^ORU_R01|{control_id}|P|2.5.1\rOBX|1|NM|体温\r".encode()
    return Outgoing(1, "P1", control_id, body, 0, (), (), resend=False)


def talk(answering: Answering, conversation: Conversation, meanings: dict[str, Outcome] | None = None) -> None:
    async def both() -> None:
        async with listening(answering) as listener:
            receiver = MllpReceiver(
                "127.0.0.1", listener.port, tls=None, timeout_s=TIMEOUT_S, meanings=meanings or {}
            )  # fmt: skip
            await conversation(listener, receiver)
            await receiver.close()

    asyncio.run(asyncio.wait_for(both(), 20))


def test_messages_go_over_one_connection() -> None:
    async def conversation(listener: Listener, receiver: MllpReceiver) -> None:
        for control_id in ("A1", "A2"):
            reply = await receiver.send(outgoing(control_id))
            assert (reply.answer.outcome, reply.answer.code) == (Outcome.ACCEPTED, "AA")
        assert listener.messages == [outgoing("A1").body, outgoing("A2").body]
        assert listener.connections == 1

    talk(acknowledge(), conversation)


@pytest.mark.parametrize(
    ("code", "outcome"),
    [
        ("AE", Outcome.PARK),
        ("CR", Outcome.PARK),
        ("AR", Outcome.RETRY),
        ("CE", Outcome.RETRY),
        ("CA", Outcome.ACCEPTED),
    ],
)
def test_what_each_code_means(code: str, outcome: Outcome) -> None:
    async def conversation(listener: Listener, receiver: MllpReceiver) -> None:
        reply = await receiver.send(outgoing("A1"))
        assert (reply.answer.outcome, reply.raw) == (outcome, frame(code, b"A1"))

    talk(acknowledge(code), conversation)


def test_a_destination_may_mean_another_thing() -> None:
    async def conversation(listener: Listener, receiver: MllpReceiver) -> None:
        assert (await receiver.send(outgoing("A1"))).answer.outcome is Outcome.PARK

    talk(acknowledge("AR"), conversation, {"AR": Outcome.PARK})


def test_an_answer_that_comes_twice_is_not_the_next_messages() -> None:
    def twice(message: bytes) -> Answers:
        code = "AE" if control_id_of(message) == b"A1" else "AA"
        return Answers((frame(code, control_id_of(message)),) * 2)

    async def conversation(listener: Listener, receiver: MllpReceiver) -> None:
        outcomes = [(await receiver.send(outgoing(each))).answer.outcome for each in ("A1", "A2", "A3")]
        assert outcomes == [Outcome.PARK, Outcome.ACCEPTED, Outcome.ACCEPTED]
        assert listener.connections == 1

    talk(twice, conversation)


def test_an_answer_that_comes_late_is_not_the_next_messages() -> None:
    def late(message: bytes) -> Answers:
        if control_id_of(message) == b"A1":
            return Answers((frame("AE", b"A1"),), delay_s=2 * TIMEOUT_S)
        return Answers((frame("AA", control_id_of(message)),))

    async def conversation(listener: Listener, receiver: MllpReceiver) -> None:
        with pytest.raises(AwayError, match=r"no answer within 0\.3 s") as error:
            await receiver.send(outgoing("A1"))
        assert error.value.timed_out
        assert (await receiver.send(outgoing("A2"))).answer.outcome is Outcome.ACCEPTED
        assert listener.connections == 2

    talk(late, conversation)


def test_a_receiver_that_lies_is_parked_with_its_bytes_and_the_connection_ends() -> None:
    def lie(message: bytes) -> Answers:
        return Answers((frame("AA", b"Z9" if control_id_of(message) == b"A1" else control_id_of(message)),))

    async def conversation(listener: Listener, receiver: MllpReceiver) -> None:
        reply = await receiver.send(outgoing("A1"))
        assert (reply.answer.outcome, reply.answer.reason) == (Outcome.PARK, "acknowledges another message")
        assert reply.raw == frame("AA", b"Z9")
        assert (await receiver.send(outgoing("A2"))).answer.outcome is Outcome.ACCEPTED
        assert listener.connections == 2

    talk(lie, conversation)


def test_one_that_closes_instead_of_answering_took_the_message_or_not() -> None:
    async def conversation(listener: Listener, receiver: MllpReceiver) -> None:
        with pytest.raises(AwayError, match="closed the connection instead of answering") as error:
            await receiver.send(outgoing("A1"))
        assert error.value.timed_out
        listener.answering = acknowledge()
        assert (await receiver.send(outgoing("A1"))).answer.outcome is Outcome.ACCEPTED

    talk(lambda _: Answers(closes=True), conversation)


def test_a_connection_that_ended_while_nothing_was_under_way_is_opened_anew() -> None:
    async def conversation(listener: Listener, receiver: MllpReceiver) -> None:
        assert (await receiver.send(outgoing("A1"))).answer.outcome is Outcome.ACCEPTED
        listener.answering = acknowledge()
        while receiver._streams is not None and not receiver._streams[0].at_eof():
            await asyncio.sleep(0.005)
        assert (await receiver.send(outgoing("A2"))).answer.outcome is Outcome.ACCEPTED
        assert listener.connections == 2

    talk(lambda message: Answers((frame("AA", control_id_of(message)),), closes=True), conversation)


def test_one_that_refuses_connections_is_away() -> None:
    async def conversation(listener: Listener, receiver: MllpReceiver) -> None:
        await listener.end()
        with pytest.raises(AwayError, match="it refuses connections") as error:
            await receiver.send(outgoing("A1"))
        assert not error.value.timed_out

    talk(acknowledge(), conversation)


def test_a_frame_without_end_is_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stream_processors.deliver_mllp.FRAME_BYTES_MAX", 4096)

    async def conversation(listener: Listener, receiver: MllpReceiver) -> None:
        reply = await receiver.send(outgoing("A1"))
        assert (reply.answer.outcome, reply.answer.reason) == (Outcome.RETRY, "answered with a frame without end")

    talk(lambda _: Answers((b"x" * 100_000,)), conversation)


def test_within_tls_a_certificate_of_somebody_else_is_not_spoken_to(ours: Certified, theirs: Certified) -> None:
    async def both() -> None:
        listener = Listener(acknowledge())
        listener.server = await asyncio.start_server(
            listener._serve, "127.0.0.1", 0, ssl=server_context(ours.cert, ours.key)
        )
        listener.port = listener.server.sockets[0].getsockname()[1]
        trusting, doubting = (
            MllpReceiver("127.0.0.1", listener.port, tls=client_context(each.cert), timeout_s=5.0, meanings={})
            for each in (ours, theirs)
        )
        assert (await trusting.send(outgoing("A1"))).answer.outcome is Outcome.ACCEPTED
        with pytest.raises(AwayError, match="certificate cannot be trusted"):
            await doubting.send(outgoing("A2"))
        await trusting.close()
        await listener.end()
        assert listener.messages == [outgoing("A1").body]

    asyncio.run(asyncio.wait_for(both(), 20))
