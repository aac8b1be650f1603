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
from vitalwire.embedded import Addresses

LIMIT_S = 10.0
Version = Literal["5.0", "3.1.1"]
VERSIONS: tuple[Version, ...] = ("5.0", "3.1.1")


class Proxy:
    """Stands between us and a broker, and can cut."""

    def __init__(self, to: tuple[str, int]) -> None:
        self._to = to
        self._sockets: list[socket.socket] = []
        self._server = socket.create_server(("127.0.0.1", 0))
        self.place = f"127.0.0.1:{self._server.getsockname()[1]}"
        self.connections = 0
        self.junk = b""  # what the next connection gets, instead of the broker's answer
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                ours = self._server.accept()[0]
                self.connections += 1
                self._sockets.append(ours)
                if self.junk:
                    ours.recv(4096)
                    ours.sendall(self.junk)
                    self.junk = b""
                    continue
                theirs = socket.create_connection(self._to)
                self._sockets.append(theirs)
                for a, b in ((ours, theirs), (theirs, ours)):
                    threading.Thread(target=self._copy, args=(a, b), daemon=True).start()

    @staticmethod
    def _copy(a: socket.socket, b: socket.socket) -> None:
        with suppress(OSError):
            while data := a.recv(65536):
                b.sendall(data)
        for each in (a, b):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def cut(self) -> None:
        sockets, self._sockets = self._sockets, []
        for each in sockets:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def close(self) -> None:
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self.cut()


class Ward:
    """A topic of its own at the embedded broker, the sender on it, and our way there."""

    def __init__(self, addresses: Addresses, version: Version) -> None:
        self.topic, self.version = f"ward/{secrets.token_hex(6)}", version
        at = addresses.mqtt5 if version == "5.0" else addresses.mqtt311
        self.proxy = Proxy(at)
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
        return MqttConfig("ward", "mqtt_json", version=self.version,
                          **{"broker": self.proxy.place, "topics": topics} | more)  # fmt: skip

    def transport(self, **more: Any) -> MqttTransport:
        return transport(self.config(**more), self.edge)

    async def say(self, payload: bytes, bed: str = "1", **more: Any) -> None:
        sent = self._sender.publish(f"{self.topic}/{bed}", payload, **{"qos": 1} | more)
        await asyncio.to_thread(sent.wait_for_publish, LIMIT_S)

    def close(self) -> None:
        self._sender.disconnect()
        self._sender.loop_stop()
        self.proxy.close()


def transport(config: MqttConfig, edge: str = "e" * 32) -> MqttTransport:
    return MqttTransport(config, edge, lambda topic: Source("ward", time_field="ts", peer=topic))


async def eventually(holds: Callable[[], object]) -> None:
    async with asyncio.timeout(LIMIT_S):
        while not holds():
            await asyncio.sleep(0.005)


CONNACK = b"\x20\x02\x00\x00"  # 3.1.1 section 3.2
CONNACK5 = b"\x20\x03\x00\x00\x00"


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
