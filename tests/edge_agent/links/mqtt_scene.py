"""A ward's topic at the embedded broker, and a broker that says what it is told to: for the tests of MQTT."""

from __future__ import annotations

import asyncio
import secrets
import socket
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any, Literal

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from adapters.session import Outcome
from edge_agent.config import MqttLink
from edge_agent.links.mqtt import MqttBroker, client_id
from tests.edge_agent.links import scene
from tests.edge_agent.links.scene import LIMIT_S, Agent, eventually
from vitalwire.embedded import Addresses

Version = Literal["5.0", "3.1.1"]
VERSIONS: tuple[Version, ...] = ("5.0", "3.1.1")


class Ward:
    """A topic of its own at the embedded broker, the sender on it, and our way there."""

    def __init__(self, addresses: Addresses, version: Version) -> None:
        self.topic, self.version = f"ward/{secrets.token_hex(6)}", version
        at = addresses.mqtt5 if version == "5.0" else addresses.mqtt311
        self._place = f"{at[0]}:{at[1]}"
        protocol = paho.MQTTv5 if version == "5.0" else paho.MQTTv311
        self._sender = paho.Client(CallbackAPIVersion.VERSION2, self.topic.replace("/", "-"), protocol=protocol)
        self._sender.connect(*at)
        self._sender.loop_start()
        self._wait_until_connected()
        self.edge = secrets.token_hex(16)  # a session of its own

    def config(self, **more: Any) -> MqttLink:
        options: dict[str, Any] = {"broker": self._place, "topics": (f"{self.topic}/#",), "version": self.version}
        return MqttLink(**options | more)

    def link(self, **more: Any) -> MqttBroker:
        return MqttBroker(self.config(**more), client_id(self.edge, "ward"))

    def _wait_until_connected(self) -> None:
        give_up = time.monotonic() + LIMIT_S
        while not self._sender.is_connected():
            assert time.monotonic() < give_up, "the sender is connected"
            time.sleep(0.005)

    async def emit(self, payload: bytes, bed: str = "1", **more: Any) -> None:
        await asyncio.to_thread(self._wait_until_connected)  # on a slow machine the broker lets go of it now and then
        sent = self._sender.publish(f"{self.topic}/{bed}", payload, **{"qos": 1} | more)
        await asyncio.to_thread(sent.wait_for_publish, LIMIT_S)

    def close(self) -> None:
        self._sender.disconnect()
        self._sender.loop_stop()


def link_to(config: MqttLink) -> MqttBroker:
    return MqttBroker(config, client_id("e" * 32, "ward"))


CONNACK = b"\x20\x02\x00\x00"  # 3.1.1 section 3.2
CONNACK5 = b"\x20\x03\x00\x00\x00"


def publish(first_byte: int, packet_id: int, payload: bytes, properties: bytes) -> bytes:
    """A PUBLISH of topic ward/1 at QoS 1; `properties` is empty in 3.1.1."""
    body = b"\x00\x06ward/1" + packet_id.to_bytes(2) + properties + payload
    length, rest = b"", len(body)
    while rest > 127:
        length, rest = length + bytes((rest & 127 | 128,)), rest >> 7
    return bytes((first_byte,)) + length + bytes((rest,)) + body


class Scripted:
    """A broker that gives the n-th connection the n-th answer to its CONNECT, and holds what it `got` of each."""

    def __init__(self, *answers: bytes) -> None:
        self.got: list[bytes] = []
        self._held: list[socket.socket] = []
        self._server = socket.create_server(("127.0.0.1", 0))
        self.place = f"127.0.0.1:{self._server.getsockname()[1]}"
        threading.Thread(target=self._serve, args=answers, daemon=True).start()

    def _serve(self, *answers: bytes) -> None:
        with suppress(OSError):
            for n, answer in enumerate(answers):
                connection, _ = self._server.accept()
                self._held.append(connection)
                self.got.append(connection.recv(4096))
                connection.sendall(answer)
                threading.Thread(target=self._hear, args=(n, connection), daemon=True).start()

    def _hear(self, n: int, connection: socket.socket) -> None:
        with suppress(OSError):
            while data := connection.recv(4096):
                self.got[n] += data

    def cut(self) -> None:
        for connection in self._held:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._server.close()
        self.cut()
        for connection in self._held:
            connection.close()


def ward_agent(*outcomes: Outcome | None, then: Outcome | None = Outcome.KEPT) -> Agent:
    """Gives the first messages these outcomes, and all that follow another; None: no answer yet."""
    fates = iter(outcomes)
    return Agent(answers=lambda _: next(fates, then), name="ward")


def emitted(agent: Agent) -> list[bytes]:
    return [d.frame for d in agent.came]


@asynccontextmanager
async def running(link: MqttBroker, agent: Agent) -> AsyncIterator[None]:
    """The link at work, connected and subscribed; when it ends, its thread has ended."""
    async with scene.running(link, agent) as task:
        await eventually(lambda: agent.stood or task.done())
        yield
        assert not task.done()
    assert not any(t.name.startswith("paho-mqtt-client-vw") for t in threading.enumerate())
