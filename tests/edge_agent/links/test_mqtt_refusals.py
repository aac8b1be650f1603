"""MQTT before a broker that refuses, breaks off, or is not there; each says what the test has it say."""

from __future__ import annotations

import asyncio
import os
import socket
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import structlog

from adapters.devices import mqtt_json
from edge_agent import agent
from edge_agent.config import MqttConfig
from edge_agent.delivery import Delivery
from edge_agent.events import Voice
from edge_agent.spool import Spool
from edge_agent.transports import mqtt
from runtime.errors import UserError
from tests.edge_agent.transports.mqtt_scene import (
    CONNACK,
    CONNACK5,
    VERSIONS,
    Came,
    Scripted,
    Version,
    publish,
    transport,
)
from tests.edge_agent.transports.scene import eventually
from tests.making import T0_US


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mqtt, "RETRY_S", 0.1)
    monkeypatch.setattr(mqtt, "AGAIN_S", 0.05)


@pytest.mark.parametrize(
    ("version", "connack", "properties"), [("3.1.1", CONNACK, b""), ("5.0", CONNACK5, b"\x00")], ids=VERSIONS[::-1]
)
def test_a_message_whose_acknowledgement_was_lost_comes_again_and_is_a_repeat(
    version: Version, connack: bytes, properties: bytes, tmp_path: Path
) -> None:
    """Not before the embedded broker: it sends again without DUP, now and then (MQTT-3.3.1-1 asks for it)."""

    def say(first_byte: int, packet_id: int, hr: int) -> bytes:
        return publish(first_byte, packet_id, b'{"hr": %d}' % hr, properties)

    spool = Spool(tmp_path, bytes_max=1 << 20, receipt_hold_s=1)
    voice = Voice("edge:1", lambda: T0_US)
    came: list[Delivery] = []
    broker = Scripted(connack + say(0x32, 7, 72), connack + say(0x3A, 7, 72) + say(0x32, 7, 72) + say(0x32, 8, 73))

    def lose_the_first_answer(delivery: Delivery) -> None:
        came.append(delivery)
        if len(came) == 1:  # kept, but the connection breaks under the answer
            delivery = replace(delivery, ack=lambda *_: broker.cut())
        agent.carry(delivery, mqtt_json.DRIVER, spool, voice)

    async def run() -> None:
        made = transport(MqttConfig("ward", "mqtt_json", broker=broker.place, version=version))
        task = asyncio.ensure_future(made.run(lose_the_first_answer))
        await eventually(lambda: len(broker.got) == 2 and b"\x40\x02\x00\x08" in broker.got[1])
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(run())
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
    came = Came()

    async def run() -> None:
        task = asyncio.ensure_future(transport(MqttConfig("w", "mqtt_json", broker=broker.place)).run(came))
        await eventually(lambda: came or task.done())
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    with closing(Scripted(junk, CONNACK5 + publish(0x32, 7, b"{}", b"\x00"))) as broker:
        asyncio.run(run())
    assert came.said() == [b"{}"]
    assert "Traceback" not in capsys.readouterr().err


async def until_logged(config: MqttConfig, event: str) -> dict[str, Any]:
    with structlog.testing.capture_logs() as logs:
        task = asyncio.ensure_future(transport(config).run(Came()))
        await eventually(lambda: any(entry["event"] == event for entry in logs) or task.done())
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    return dict(next(entry for entry in logs if entry["event"] == event))


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
        config = MqttConfig("ward", "mqtt_json", broker=broker.place, version=version, username="box",
                            password_file=tmp_path / "password")  # fmt: skip
        found = asyncio.run(until_logged(config, "broker refused"))
    assert found["reason"] == words
    assert "sesame" not in str(found)
    assert b"\x00\x03box\x00\x06sesame" in broker.got[0]


def test_a_password_that_others_can_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("sesame", "utf-8")
    os.chmod(tmp_path / "password", 0o644)
    config = MqttConfig("ward", "mqtt_json", username="box", password_file=tmp_path / "password")
    with pytest.raises(UserError, match="can be read by others: chmod 600"):
        asyncio.run(transport(config).run(Came()))


def test_a_ca_that_is_not_there_is_said_in_one_line(tmp_path: Path) -> None:
    config = MqttConfig("ward", "mqtt_json", tls_ca=tmp_path / "ca.pem")
    with pytest.raises(UserError, match=r"CA file .*ca\.pem cannot be used"):
        asyncio.run(transport(config).run(Came()))


@pytest.mark.parametrize(
    ("version", "answer"),
    [("3.1.1", CONNACK + b"\x90\x04\x00\x01\x80\x01"), ("5.0", CONNACK5 + b"\x90\x05\x00\x01\x00\x87\x01")],
)
def test_a_topic_that_the_broker_refuses_is_said(version: Version, answer: bytes) -> None:
    with closing(Scripted(answer)) as broker:
        config = MqttConfig("ward", "mqtt_json", broker=broker.place, version=version, topics=("icu/#", "ward/#"))
        found = asyncio.run(until_logged(config, "broker refused topics"))
    (refused,) = found["topics"]
    assert refused.startswith("icu/#: ")


def test_a_broker_that_is_not_there_is_said() -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        place = f"127.0.0.1:{gone.getsockname()[1]}"
    assert (
        asyncio.run(until_logged(MqttConfig("w", "mqtt_json", broker=place), "broker not reached"))["broker"] == place
    )
