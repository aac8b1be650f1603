"""MQTT before a broker that refuses, breaks off, or is not there; each says what the test has it say."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from adapters.devices import mqtt_json
from adapters.driver import Source
from adapters.session import Outcome
from edge_agent.agent import Chain
from edge_agent.config import MqttLink, SourceConfig
from edge_agent.delivery import Answer, Delivery
from edge_agent.events import EventEmitter
from edge_agent.links import mqtt, mqtt_client
from edge_agent.sources import SourcePlan
from edge_agent.spool import Kept, Spool
from edge_agent.spool.queue import Done
from runtime.errors import UserError
from tests.edge_agent.links.mqtt_scene import (
    CONNACK,
    CONNACK5,
    VERSIONS,
    Scripted,
    Version,
    emitted,
    link_to,
    publish,
    ward_agent,
)
from tests.edge_agent.links.scene import Agent, eventually
from tests.making import T0_US


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mqtt, "RETRY_S", 0.1)
    monkeypatch.setattr(mqtt_client, "RECONNECT_S", 0.05)


@pytest.mark.parametrize(
    ("version", "connack", "properties"), [("3.1.1", CONNACK, b""), ("5.0", CONNACK5, b"\x00")], ids=VERSIONS[::-1]
)
def test_a_message_whose_acknowledgement_was_lost_comes_again_and_is_a_duplicate(
    version: Version, connack: bytes, properties: bytes, tmp_path: Path
) -> None:
    """Not before the embedded broker: it sends again without DUP, now and then (MQTT-3.3.1-1 asks for it)."""

    def emit(first_byte: int, packet_id: int, hr: int) -> bytes:
        return publish(first_byte, packet_id, b'{"hr": %d}' % hr, properties)

    broker = Scripted(connack + emit(0x32, 7, 72), connack + emit(0x3A, 7, 72) + emit(0x32, 7, 72) + emit(0x32, 8, 73))
    came: list[Delivery] = []

    async def run() -> Spool:
        loop = asyncio.get_running_loop()

        def settled(outcomes: list[tuple[Done, Kept]]) -> None:
            loop.call_soon_threadsafe(lambda: [done(kept) for done, kept in outcomes])

        spool = Spool(tmp_path, bytes_max=1 << 20, receipt_hold_s=1, on_settled=settled)
        config = MqttLink(broker=broker.place, version=version)
        plan = SourcePlan(SourceConfig("ward", "mqtt_json", config), mqtt_json.DRIVER, mqtt_json.DRIVER.settings())

        class Losing(Agent):
            chain = Chain(plan, spool, EventEmitter("edge:1", lambda: T0_US), lambda _: None)

            def source(self, peer: str) -> Source[Any]:
                return plan.source(peer)

            def carry(self, delivery: Delivery, answer: Answer) -> None:
                came.append(delivery)
                if len(came) == 1:  # kept, but the connection breaks under the answer
                    self.chain.carry(delivery, lambda *_: broker.cut())
                else:
                    self.chain.carry(delivery, answer)

        task = asyncio.create_task(link_to(config).run(Losing(name="ward")))
        await eventually(lambda: len(broker.got) == 2 and b"\x00\x08" in broker.got[1].partition(b"\x40\x02")[2])
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return spool

    spool = asyncio.run(run())
    broker.close()
    assert b"\x40\x02" not in broker.got[0]
    assert broker.got[1].count(b"\x40\x02\x00\x07") == 2
    assert [d.redelivered for d in came] == [False, True, False, False]
    assert [d.connection == came[0].connection for d in came] == [True, False, False, False]
    # The second is a repeat; the third says the same again, and means it. One more introduces the device.
    assert spool.figures.reports == 1 + 3
    spool.close()


@pytest.mark.parametrize(
    "junk",
    [
        b"HTTP/1.1 400 Bad Request\r\n\r\n" + b"x" * 100,
        b"\xff" * 64,
        CONNACK5 + b"\x90\x00",  # an empty SUBACK
        CONNACK5 + b"\x30\x02\xff\xff",  # a PUBLISH whose topic is longer than itself
        CONNACK5 + b"\x32\x05\x00\x01a\x00\x01",  # a PUBLISH without its properties
        b"\x20\x0a\x00\x00\x07\x99abcdef",  # a CONNACK with a property that there is not
    ],
)
def test_what_is_no_mqtt_ends_neither_the_thread_nor_the_feed(junk: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    agent = ward_agent()

    async def run() -> None:
        task = asyncio.create_task(link_to(MqttLink(broker=broker.place)).run(agent))
        await eventually(lambda: agent.came or task.done())
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    with closing(Scripted(junk, CONNACK5 + publish(0x32, 7, b"{}", b"\x00"))) as broker:
        asyncio.run(run())
    assert emitted(agent) == [b"{}"]
    assert "Traceback" not in capsys.readouterr().err


async def until(config: MqttLink, holds: Callable[[Agent], object]) -> Agent:
    agent = ward_agent()
    task = asyncio.create_task(link_to(config).run(agent))
    await eventually(lambda: holds(agent) or task.done())
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return agent


@pytest.mark.parametrize(
    ("version", "answer", "words"),
    [
        ("3.1.1", b"\x20\x02\x00\x05", "Not authorized"),
        ("3.1.1", b"\x20\x02\x00\x04", "Bad user name or password"),
        ("5.0", b"\x20\x03\x00\x86\x00", "Bad user name or password"),
        ("5.0", b"\x20\x03\x00\x87\x00", "Not authorized"),
    ],
)
def test_refused_credentials_are_said_plainly_and_the_password_is_not(
    version: Version, answer: bytes, words: str, tmp_path: Path
) -> None:
    (tmp_path / "password").touch(0o600)
    (tmp_path / "password").write_text("sesame\n", "utf-8")
    with closing(Scripted(answer, answer)) as broker:
        config = MqttLink(broker.place, version=version, username="box", password_file=tmp_path / "password")
        found = asyncio.run(until(config, lambda agent: agent.refusals))
    assert found.refusals[0] == words
    assert found.troubles[0] == f"the broker {broker.place} refuses us: {words}"
    assert "sesame" not in str(found.troubles)
    assert b"\x00\x03box\x00\x06sesame" in broker.got[0]


def test_a_password_that_others_can_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("sesame", "utf-8")
    os.chmod(tmp_path / "password", 0o644)
    config = MqttLink(username="box", password_file=tmp_path / "password")
    with pytest.raises(UserError, match="can be read by others: chmod 600"):
        asyncio.run(link_to(config).run(ward_agent()))


def test_a_ca_that_is_not_there_is_said_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"CA file .*ca\.pem cannot be used"):
        asyncio.run(link_to(MqttLink(tls_ca=tmp_path / "ca.pem")).run(ward_agent()))


@pytest.mark.parametrize(
    ("version", "answer"),
    [("3.1.1", CONNACK + b"\x90\x04\x00\x01\x80\x01"), ("5.0", CONNACK5 + b"\x90\x05\x00\x01\x00\x87\x01")],
)
def test_a_topic_that_the_broker_refuses_is_said(version: Version, answer: bytes) -> None:
    with closing(Scripted(answer)) as broker:
        config = MqttLink(broker.place, ("icu/#", "ward/#"), version)
        found = asyncio.run(until(config, lambda agent: agent.troubles))
    assert "refuses topics, see its access list: ['icu/#: " in found.troubles[0]
    assert "ward/#" not in found.troubles[0]


def test_a_broker_that_is_not_there_is_said() -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        place = f"127.0.0.1:{gone.getsockname()[1]}"
    found = asyncio.run(until(MqttLink(place), lambda agent: agent.troubles))
    assert found.troubles[0].startswith(f"the broker {place} is not reached: is it on")


PRESENT, ABSENT = b"\x20\x03\x01\x00\x00", CONNACK5


@pytest.mark.parametrize(("second", "lost"), [(PRESENT, []), (ABSENT, ["session-lost"])])
def test_a_broker_that_was_away_is_trouble_and_one_that_has_lost_our_session_is_an_event(
    second: bytes, lost: list[str]
) -> None:
    with closing(Scripted(ABSENT, second)) as broker:

        def step(agent: Agent) -> bool:
            if agent.stood == 1 and not agent.troubles:
                broker.cut()
            return agent.stood == 2

        found = asyncio.run(until(MqttLink(broker.place), step))
    assert found.troubles[0].startswith(f"the broker {broker.place} is away: ")
    assert [code for code, _ in found.events] == lost


def test_what_could_not_be_kept_ends_its_connection_once(tmp_path: Path) -> None:
    first = CONNACK5 + b"".join(publish(0x32, n, b"%d" % n, b"\x00") for n in (1, 2, 3))
    with closing(Scripted(first, CONNACK5, CONNACK5)) as broker:
        agent = ward_agent(then=Outcome.CANNOT_KEEP)

        async def run() -> None:
            task = asyncio.create_task(link_to(MqttLink(broker.place)).run(agent))
            await eventually(lambda: len(broker.got) == 2)
            await asyncio.sleep(5 * mqtt.RETRY_S)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

        asyncio.run(run())
    assert len(broker.got) == 2
    assert b"\x40\x02" not in broker.got[0]
