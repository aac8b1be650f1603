"""MQTT before the embedded broker, in both versions."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import paho.mqtt.client as paho
import pytest

from adapters.devices import mqtt_json
from adapters.formats.hl7_ack import Outcome
from edge_agent import agent
from edge_agent.config import MqttConfig
from edge_agent.delivery import Delivery
from edge_agent.transports import mqtt
from edge_agent.transports.mqtt import topic_problem
from schemas.report import Kind
from tests.edge_agent.transports.mqtt_scene import (
    VERSIONS,
    Came,
    Version,
    Ward,
    running,
    transport,
)
from tests.edge_agent.transports.scene import eventually
from vitalwire.embedded import Addresses

both = pytest.mark.parametrize("version", VERSIONS)


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mqtt, "RETRY_S", 0.1)
    monkeypatch.setattr(mqtt, "AGAIN_S", 0.05)


@pytest.fixture
def ward(embedded: Addresses, version: Version) -> Iterator[Ward]:
    made = Ward(embedded, version)
    yield made
    made.close()


@both
def test_a_message_is_acknowledged_after_its_commit_and_not_before(ward: Ward) -> None:
    async def run() -> None:
        first = Came(then=None)  # nothing is committed
        async with running(ward.transport(), first):
            await ward.say(b'{"hr": 72}')
            await eventually(lambda: first)
        assert not first[0].redelivered
        second = Came()
        async with running(ward.transport(), second):  # the agent starts afresh, in the same session
            await eventually(lambda: second)
            await ward.say(b'{"hr": 73}')
            await eventually(lambda: len(second) == 2)
        third = Came()
        async with running(ward.transport(), third):
            await ward.say(b'{"hr": 74}')
            await eventually(lambda: third)
        assert [*second.said(), *third.said()] == [b'{"hr": 72}', b'{"hr": 73}', b'{"hr": 74}']
        assert second[0].sender == f"ward/{ward.topic}/1"
        assert second[0].slot is not None

    asyncio.run(run())


@both
def test_a_bad_payload_is_acknowledged_like_any_other(ward: Ward) -> None:
    async def run() -> None:
        came = Came(then=Outcome.MALFORMED)
        async with running(ward.transport(), came):
            for n in range(mqtt.RECEIVE_MAX + 10):  # more than a broker may have under way
                await ward.say(b"\x00not json %d" % n)
            await eventually(lambda: len(came) == mqtt.RECEIVE_MAX + 10)
        again = Came()
        async with running(ward.transport(), again):
            await ward.say(b"{}")
            await eventually(lambda: again)
        assert again.said() == [b"{}"]

    asyncio.run(run())


@both
def test_what_cannot_be_kept_is_not_acknowledged_and_comes_again_on_a_new_connection(ward: Ward) -> None:
    async def run() -> None:
        came = Came(*[Outcome.CANNOT_KEEP] * 3)
        async with running(ward.transport(), came):
            for payload in (b"1", b"2", b"3"):
                await ward.say(payload)
            await eventually(lambda: set(came.said()[3:]) == {b"1", b"2", b"3"})
            assert [len({d.connection for d in part}) for part in (came[:3], came[3:], came)] == [1, 1, 2]
            await ward.say(b"4")
            await eventually(lambda: came.said()[-1] == b"4")
        assert len(came) == 7

    asyncio.run(run())


@both
def test_a_retained_message_is_old_and_one_that_is_said_now_is_new(ward: Ward) -> None:
    async def run() -> None:
        await ward.say(b'{"hr": 1}', "old", retain=True)
        came = Came()
        async with running(ward.transport(), came):
            await eventually(lambda: came)
            await ward.say(b'{"hr": 2}', "now", retain=True)
            await eventually(lambda: len(came) == 2)
        assert [(d.frame, d.retained) for d in came] == [(b'{"hr": 1}', True), (b'{"hr": 2}', False)]
        await ward.say(b"", "old", retain=True)
        await ward.say(b"", "now", retain=True)
        old = [agent.as_old(r) for r in agent.read(mqtt_json.DRIVER, came[0])[2]]
        assert [r.kind for r in old] == [Kind.CONTEXT]

    asyncio.run(run())


@both
def test_an_agent_that_ends_with_much_under_way_ends(ward: Ward, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mqtt, "FULL_LOOK_S", 0.05)

    async def run() -> None:
        made = ward.transport()
        made._incoming = asyncio.Queue(1)
        stuck = Came()

        def slow(delivery: Delivery) -> None:
            stuck(delivery)
            made._incoming.get = lambda: asyncio.get_running_loop().create_future()  # type: ignore[method-assign,assignment,return-value]

        async with running(made, slow):
            for n in range(5):
                await ward.say(b"%d" % n)
            await eventually(lambda: stuck and made._incoming.full())
        assert stuck.said() == [b"0"]
        rest = Came()
        async with running(ward.transport(), rest):
            await eventually(lambda: {b"1", b"2", b"3", b"4"} <= set(rest.said()))

    asyncio.run(run())


@both
def test_a_topic_that_is_no_text_is_kept_as_unreadable(version: Version) -> None:
    made = transport(MqttConfig("ward", "mqtt_json", version=version))
    message = paho.MQTTMessage(7, b"ward/\xff")
    message.payload = b'{"hr": 1}'
    found = made._delivery(message, 1)
    assert (found.reason, found.frame) == ("topic-not-utf-8", b'{"hr": 1}')


def test_the_session_is_the_same_after_each_start() -> None:
    a, b = (transport(MqttConfig("ward 7", "mqtt_json"), "e1b2c3d4" + "0" * 24) for _ in range(2))
    other = transport(MqttConfig("病房/7", "mqtt_json"), "e1b2c3d4" + "0" * 24)
    assert a.client._client_id == b.client._client_id != other.client._client_id
    for made in (a, other):  # what every broker has to accept: MQTT 3.1.1 section 3.1.3.1
        assert made.client._client_id.isalnum()
        assert len(made.client._client_id) <= 23
    named = transport(MqttConfig("ward 7", "mqtt_json", client_id="box-7"))
    assert named.client._client_id == b"box-7"


@both
def test_a_callback_that_raises_does_not_end_the_feed(ward: Ward) -> None:
    async def run() -> None:
        came = Came()
        made = ward.transport()
        async with running(made, came):
            real = made.client.on_message

            def raising(*args: Any) -> None:
                made.client.on_message = real
                raise ZeroDivisionError

            made.client.on_message = raising
            await ward.say(b"1")
            await ward.say(b"2")
            await eventually(lambda: b"2" in came.said())

    asyncio.run(run())


@pytest.mark.parametrize("topic", ["#", "ward/#", "ward/+/vitals", "+", "$share/a/ward/#", "/", "ward//x"])
def test_topic_filters_that_are_some(topic: str) -> None:
    assert topic_problem(topic) == ""


@pytest.mark.parametrize("topic", ["", "ward/#/x", "ward#", "ward/a+", "+a/b", "##"])
def test_topic_filters_that_are_none(topic: str) -> None:
    assert "is no topic filter" in topic_problem(topic)
