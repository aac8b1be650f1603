"""A ward's topic at the embedded broker, a scripted broker, and an agent that acknowledges: for the tests of MQTT."""

from __future__ import annotations

import asyncio
import secrets
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, Literal, cast

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from adapters.driver import Source
from adapters.formats.hl7_ack import Outcome
from edge_agent.config import MqttConfig
from edge_agent.delivery import Delivery
from edge_agent.transports.mqtt import MqttTransport
from tests.edge_agent.transports.scene import LIMIT_S, eventually
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
        give_up = time.monotonic() + LIMIT_S
        while not self._sender.is_connected():
            assert time.monotonic() < give_up, "the sender is connected"
            time.sleep(0.005)
        self.edge = secrets.token_hex(16)  # a session of its own

    def config(self, **more: Any) -> MqttConfig:
        topics = (f"{self.topic}/#",)
        options: dict[str, Any] = {"broker": self._place, "topics": topics, "version": self.version} | more
        return MqttConfig("ward", "mqtt_json", **options)

    def transport(self, **more: Any) -> MqttTransport:
        return transport(self.config(**more), self.edge)

    async def say(self, payload: bytes, bed: str = "1", **more: Any) -> None:
        sent = self._sender.publish(f"{self.topic}/{bed}", payload, **{"qos": 1} | more)
        await asyncio.to_thread(sent.wait_for_publish, LIMIT_S)

    def close(self) -> None:
        self._sender.disconnect()
        self._sender.loop_stop()


def transport(config: MqttConfig, edge: str = "e" * 32) -> MqttTransport:
    return MqttTransport(config, edge, lambda topic: Source("ward", time_field="ts", peer=topic))


CONNACK = b"\x20\x02\x00\x00"  # 3.1.1 section 3.2
CONNACK5 = b"\x20\x03\x00\x00\x00"


def publish(first_byte: int, packet_id: int, payload: bytes, properties: bytes) -> bytes:
    """A PUBLISH of topic ward/1 at QoS 1; `properties` is empty in 3.1.1."""
    body = b"\x00\x06ward/1" + packet_id.to_bytes(2) + properties + payload
    return bytes((first_byte, len(body))) + body


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


class Came(list[Delivery]):
    """Takes deliveries; acknowledges each at once where it has an outcome."""

    def __init__(self, *outcomes: Outcome, then: Outcome | None = Outcome.KEPT) -> None:
        super().__init__()
        self._outcomes, self._then = iter(outcomes), then

    def __call__(self, delivery: Delivery) -> None:
        self.append(delivery)
        outcome = next(self._outcomes, self._then)
        if outcome is not None:
            delivery.ack(outcome, "")

    def said(self) -> list[bytes]:
        return [d.frame for d in self]


@asynccontextmanager
async def running(made: MqttTransport, deliver: Callable[[Delivery], None]) -> AsyncIterator[None]:
    """The transport at work, subscribed; it never ends by itself, and when it ends its thread has ended."""
    subscribed = threading.Event()
    set_up = made._set_up

    def spied(loop: asyncio.AbstractEventLoop) -> None:
        set_up(loop)
        told = made.client.on_subscribe

        def on_subscribe(*args: Any) -> None:
            cast("Callable[..., None]", told)(*args)
            subscribed.set()

        made.client.on_subscribe = on_subscribe

    made._set_up = spied  # type: ignore[method-assign]
    task = asyncio.ensure_future(made.run(deliver))
    try:
        await eventually(lambda: subscribed.is_set() or task.done())
        if task.done():
            task.result()
        yield
        assert not task.done()
    finally:
        task.cancel()
        async with asyncio.timeout(LIMIT_S):
            await asyncio.gather(task, return_exceptions=True)
    assert not any(t.name.startswith("paho-mqtt-client-vw") for t in threading.enumerate())
