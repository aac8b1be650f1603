"""MQTT before the embedded broker, in both versions."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from adapters.formats.recording import Direction
from adapters.session import Outcome
from edge_agent.config import MqttLink
from edge_agent.delivery import Answer, Delivery
from edge_agent.links import mqtt, mqtt_client
from edge_agent.links.mqtt import MqttBroker, client_id, topic_problem
from edge_agent.links.mqtt_client import MqttChunk, MqttMessage
from tests.edge_agent.links.mqtt_scene import VERSIONS, Version, Ward, emitted, running, ward_agent
from tests.edge_agent.links.scene import Agent, eventually
from vitalwire.embedded import Addresses

both = pytest.mark.parametrize("version", VERSIONS)


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mqtt, "RETRY_S", 0.1)
    monkeypatch.setattr(mqtt_client, "RECONNECT_S", 0.05)


@pytest.fixture
def ward(embedded: Addresses, version: Version) -> Iterator[Ward]:
    made = Ward(embedded, version)
    yield made
    made.close()


@both
def test_a_message_is_acknowledged_after_its_commit_and_not_before(ward: Ward) -> None:
    async def run() -> None:
        first = ward_agent(then=None)  # nothing is committed
        async with running(ward.link(), first):
            await ward.emit(b'{"hr": 72}')
            await eventually(lambda: first.came)
        assert not first.came[0].redelivered
        second = ward_agent()
        async with running(ward.link(), second):  # the agent starts afresh, in the same session
            await eventually(lambda: second.came)
            await ward.emit(b'{"hr": 73}')
            await eventually(lambda: len(second.came) == 2)
        third = ward_agent()
        async with running(ward.link(), third):
            await ward.emit(b'{"hr": 74}')
            await eventually(lambda: third.came)
        assert [*emitted(second), *emitted(third)] == [b'{"hr": 72}', b'{"hr": 73}', b'{"hr": 74}']
        found = second.came[0]
        assert found.sender == f"ward/{ward.topic}/1"
        assert found.token is not None
        assert found.answered == range(found.token, found.token + 1)

    asyncio.run(run())


@both
def test_a_bad_payload_is_acknowledged_like_any_other(ward: Ward, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mqtt_client, "RECEIVE_MAX", 10)

    async def run() -> None:
        came = ward_agent(then=Outcome.MALFORMED)
        async with running(ward.link(), came):
            for n in range(30):  # more than a broker may have under way
                await ward.emit(b"\x00not json %d" % n)
            await eventually(lambda: len(came.came) == 30)
        again = ward_agent()
        async with running(ward.link(), again):
            await ward.emit(b"{}")
            await eventually(lambda: again.came)
        assert emitted(again) == [b"{}"]

    asyncio.run(run())


@both
def test_what_cannot_be_kept_is_not_acknowledged_and_comes_again_on_a_new_connection(ward: Ward) -> None:
    async def run() -> None:
        agent = ward_agent(*[Outcome.CANNOT_KEEP] * 3)
        async with running(ward.link(), agent):
            for payload in (b"1", b"2", b"3"):
                await ward.emit(payload)
            await eventually(lambda: set(emitted(agent)[3:]) == {b"1", b"2", b"3"})
            came = agent.came
            assert [len({d.connection for d in part}) for part in (came[:3], came[3:], came)] == [1, 1, 2]
            await ward.emit(b"4")
            await eventually(lambda: emitted(agent)[-1] == b"4")
        assert len(agent.came) == 7

    asyncio.run(run())


@both
def test_a_retained_message_is_old_and_one_that_is_said_now_is_new(ward: Ward) -> None:
    async def run() -> None:
        await ward.emit(b'{"hr": 1}', "old", retain=True)
        agent = ward_agent()
        async with running(ward.link(), agent):
            await eventually(lambda: agent.came)
            await ward.emit(b'{"hr": 2}', "now", retain=True)
            await eventually(lambda: len(agent.came) == 2)
        assert [(d.frame, d.retained) for d in agent.came] == [(b'{"hr": 1}', True), (b'{"hr": 2}', False)]
        await ward.emit(b"", "old", retain=True)
        await ward.emit(b"", "now", retain=True)

    asyncio.run(run())


@both
def test_many_messages_come_in_order_and_each_topic_has_one_source(ward: Ward) -> None:
    async def run() -> None:
        agent, link = ward_agent(), ward.link()
        async with running(link, agent):
            await asyncio.gather(*(ward.emit(b"%d" % n, str(n % 3)) for n in range(300)))
            await eventually(lambda: len(agent.came) == 300)
        for bed in range(3):
            own = [d for d in agent.came if d.source.peer == f"{ward.topic}/{bed}"]
            assert [int(d.frame) for d in own] == sorted(int(d.frame) for d in own)
            assert len({id(d.source) for d in own}) == 1

    asyncio.run(run())


@both
def test_a_message_over_the_frame_limit_is_cut_said_so_and_acknowledged(
    ward: Ward, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The embedded broker takes no more than some 20 KB: the limits are lowered, not the message raised.
    for name, value in {"FRAME_BYTES_MAX": 1000, "LARGE_BYTES": 4000}.items():
        monkeypatch.setattr(mqtt_client, name, value)

    async def run() -> None:
        agent = ward_agent(then=Outcome.MALFORMED)
        async with running(ward.link(), agent):
            for size in (1000, 1001, 9000):
                await ward.emit(b"x" * size)
            await ward.emit(b"next")
            await eventually(lambda: len(agent.came) == 4)
        assert [(len(d.frame), d.reason) for d in agent.came] == [
            (1000, ""), (1000, "too-long"), (1000, "too-long"), (4, ""),
        ]  # fmt: skip
        again = ward_agent()
        async with running(ward.link(), again):
            await ward.emit(b"last")
            await eventually(lambda: again.came)
        assert emitted(again) == [b"last"]

    asyncio.run(run())


@both
def test_an_agent_that_ends_with_much_under_way_ends(ward: Ward, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mqtt, "FULL_LOOK_S", 0.05)
    monkeypatch.setattr(mqtt_client, "READ_BYTES", 32)  # so that each chunk is a message

    async def run() -> None:
        link, stuck = ward.link(), ward_agent(then=None)
        release = link._unread.release
        link._unread.release = lambda n=1: None  # type: ignore[method-assign,assignment,misc] # the loop never catches up
        async with running(link, stuck):
            for n in range(8):
                await ward.emit(b"%d" % n)
            await eventually(lambda: len(stuck.came) >= mqtt.CHUNKS_MAX)
        link._unread.release = release  # type: ignore[method-assign]
        assert len(stuck.came) < 8
        rest = ward_agent()
        async with running(ward.link(), rest):
            await eventually(lambda: {b"%d" % n for n in range(8)} <= set(emitted(rest)))

    asyncio.run(run())


class Held(Agent):
    """Keeps answers until they are wanted, as a commit does."""

    def carry(self, delivery: Delivery, answer: Answer) -> None:
        self.came.append(delivery)
        self.answers.append(answer)

    answers: list[Answer]


@both
def test_all_that_one_commit_kept_is_acknowledged_with_one_packet(ward: Ward) -> None:
    async def run() -> None:
        agent, link = Held(name="ward"), ward.link()
        agent.answers = []
        async with running(link, agent):
            for n in range(20):
                await ward.emit(b"%d" % n)
            await eventually(lambda: len(agent.came) == 20)
            assert link.client is not None
            queued = []
            real = link.client._packet_queue

            def spy(command: int, packet: bytearray, *rest: object) -> object:
                queued.append(bytes(packet))
                return real(command, packet, *rest)  # type: ignore[arg-type]

            link.client._packet_queue = spy  # type: ignore[method-assign,assignment]
            for answer in agent.answers:
                answer(Outcome.KEPT, "")
            await eventually(lambda: queued)
            assert queued == [b"".join(b"\x40\x02" + (d.token or 0).to_bytes(2) for d in agent.came)]
        again = ward_agent()
        async with running(ward.link(), again):
            await ward.emit(b"new")
            await eventually(lambda: again.came)
        assert emitted(again) == [b"new"]

    asyncio.run(run())


@both
def test_a_recording_has_each_topic_as_a_connection(ward: Ward) -> None:
    async def run() -> None:
        agent = ward_agent()
        async with running(ward.link(), agent):
            recorder = agent.tap.attach()
            for payload, bed in ((b"a", "1"), (b"b", "2"), (b"c", "1")):
                await ward.emit(payload, bed)
            await eventually(lambda: len(agent.came) == 3)
            entries = await recorder.take()
        notes = [(e.connection, e.note) for e in entries if e.direction is Direction.NOTE]
        assert notes == [(1, f"opened {ward.topic}/1"), (2, f"opened {ward.topic}/2")]
        came = [(e.connection, e.data) for e in entries if e.direction is Direction.IN]
        assert sorted(came) == [(1, b"a"), (1, b"c"), (2, b"b")]

    asyncio.run(run())


def test_a_topic_that_is_no_text_is_kept_as_unreadable() -> None:
    async def run() -> Delivery:
        agent, link = ward_agent(), MqttBroker(MqttLink(), "x")
        link._unread.acquire()
        link._take(agent, MqttChunk(1, 2, [MqttMessage(b"ward/\xff", b"{}", 7, False, False)]))
        return agent.came[0]

    found = asyncio.run(run())
    assert (found.reason, found.frame) == ("topic-not-utf-8", b"{}")


def test_the_sources_of_topics_have_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mqtt, "TOPICS_MAX", 3)

    async def run() -> None:
        agent, link = ward_agent(), MqttBroker(MqttLink(), "x")
        for n in range(10):
            link._unread.acquire()
            link._take(agent, MqttChunk(1, 2, [MqttMessage(b"ward/%d" % n, b"{}", 7, False, False)]))
        assert len(link._sources) == 3

    asyncio.run(run())


def test_the_session_is_the_same_after_each_start() -> None:
    a, b, other = (client_id("e1b2c3d4" + "0" * 24, name) for name in ("ward 7", "ward 7", "病房/7"))
    assert a == b != other
    for made in (a, other):  # what every broker has to accept: MQTT 3.1.1 section 3.1.3.1
        assert made.isalnum()
        assert len(made) <= 23


@pytest.mark.parametrize("topic", ["#", "ward/#", "ward/+/vitals", "+", "$share/a/ward/#", "/", "ward//x"])
def test_topic_filters_that_are_some(topic: str) -> None:
    assert topic_problem(topic) == ""


@pytest.mark.parametrize("topic", ["", "ward/#/x", "ward#", "ward/a+", "+a/b", "##"])
def test_topic_filters_that_are_none(topic: str) -> None:
    assert "is no topic filter" in topic_problem(topic)
