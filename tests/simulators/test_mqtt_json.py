"""The sensor's payload is what its readers expect, and nothing is lost when the broker goes and comes back."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from simulators import mqtt_json
from simulators.mqtt_json import MqttPublisher, payload, topic_of
from simulators.patient import Patient
from vitalwire.embedded import Addresses

AT_US = 1_790_000_000_123_000


def test_a_payload_says_what_the_screen_shows() -> None:
    body, sent = payload(Patient(42, "finger_off"), topic_of("bed-09"), 25.0, AT_US, 17, 12)
    read = json.loads(body, parse_int=str, parse_float=str)
    assert datetime.fromisoformat(read["ts"]).timestamp() == AT_US / 1_000_000
    assert read["ts"].endswith(".123+08:00")
    assert (read["seq"], read["serial"]) == ("17", "SIM000042")
    assert {name: read[name] for name in sent.values} == sent.values
    assert read["spo2"] is None


def test_200_values_have_200_paths() -> None:
    body, sent = payload(Patient(42), topic_of("bed-09"), 25.0, AT_US, 17, 200)
    assert len(sent.values) == 200
    assert set(sent.values) < set(json.loads(body))


@contextmanager
def subscribed(address: tuple[str, int], topic: str) -> Iterator[list[bytes]]:
    """What arrives on a topic."""
    got: list[bytes] = []
    ready = threading.Event()
    client = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)

    def on_connect(client: paho.Client, *_: Any) -> None:
        client.subscribe(topic, qos=1)

    client.on_connect = on_connect
    client.on_subscribe = lambda *_: ready.set()
    client.on_message = lambda _client, _userdata, message: got.append(bytes(message.payload))
    client.connect(*address)
    client.loop_start()
    assert ready.wait(10)
    yield got
    client.disconnect()
    client.loop_stop()


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not true():
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("version", ["5.0", "3.1.1"])
def test_what_is_published_arrives_and_is_acknowledged(embedded: Addresses, version: str) -> None:
    # The embedded broker has a port for each version, and one session store: read where it was published to.
    address = embedded.mqtt5 if version == "5.0" else embedded.mqtt311
    topic, acked = f"ward/t/bed/{version}/monitor", []

    async def run(got: list[bytes]) -> None:
        publisher = MqttPublisher(*address, version=version)
        for n in range(50):
            await publisher.publish(topic, b"%d" % n, lambda n=n: acked.append(n))  # type: ignore[misc]
        await until(lambda: len(acked) == 50 and len(got) >= 50)
        await publisher.close(10)

    with subscribed(embedded.mqtt5, topic) as got:
        asyncio.run(run(got))
    assert sorted(acked) == list(range(50))
    assert sorted({int(n) for n in got}) == list(range(50))


class Relay:
    """A wire to the broker that can be cut: in the middle of messages, and with acknowledgements under way."""

    def __init__(self, to: tuple[str, int]) -> None:
        self._to, self._writers, self.connections = to, set[asyncio.StreamWriter](), 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        far_reader, far_writer = await asyncio.open_connection(*self._to)
        self._writers |= {writer, far_writer}
        await asyncio.gather(self._copy(reader, far_writer), self._copy(far_reader, writer))

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(64):
                writer.write(data)
        except OSError:
            pass
        finally:
            writer.close()

    def cut(self) -> None:
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()


def test_a_cut_wire_loses_nothing(embedded: Addresses, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mqtt_json, "RECONNECT_S", (1, 1))
    topic, acked = "ward/t/bed/cut/monitor", []

    async def run(got: list[bytes]) -> None:
        relay = Relay(embedded.mqtt5)
        async with await asyncio.start_server(relay.serve, "127.0.0.1") as server:
            publisher = MqttPublisher(*server.sockets[0].getsockname()[:2])
            for n in range(600):
                await publisher.publish(topic, b"%d" % n, lambda n=n: acked.append(n))  # type: ignore[misc]
                if n in (200, 400):
                    await until(lambda n=n: len(acked) > n - 150)  # type: ignore[misc]
                    relay.cut()
            await until(lambda: len(acked) == 600 and len(set(got)) == 600)
            assert relay.connections >= 2
            await publisher.close(10)
            relay.cut()

    with subscribed(embedded.mqtt5, topic) as got:
        asyncio.run(run(got))
    assert sorted(acked) == list(range(600))
