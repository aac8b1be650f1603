"""paho made for many messages: the same messages as paho's own way gives, however the bytes arrive."""

from __future__ import annotations

from typing import Any

import paho.mqtt.client as paho
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from edge_agent.config import MqttLink
from edge_agent.links import mqtt_client
from edge_agent.links.mqtt_client import MqttClient, MqttMessage
from runtime.errors import UserError


class Wire:
    """In place of a socket: gives what is left of some bytes, in reads of these sizes."""

    def __init__(self, data: bytes, sizes: list[int] | None = None) -> None:
        self._data, self._sizes = data, sizes or []
        self.sent = bytearray()
        self.reads = 0

    def recv(self, size: int) -> bytes:
        self.reads += 1
        take = min(size, self._sizes.pop(0) if self._sizes else size)
        data, self._data = self._data[:take], self._data[take:]
        if not data:
            raise BlockingIOError
        return data

    def send(self, data: bytes) -> int:
        self.sent += data
        return len(data)

    def close(self) -> None:
        pass


def client(version: Any = "5.0", **more: Any) -> MqttClient:
    return MqttClient(MqttLink(version=version, **more), "x", lasting=True)


def heard(made: MqttClient, wire: Wire) -> list[MqttMessage]:
    """What the client hands over of all that is on the wire."""
    messages: list[MqttMessage] = []
    made.on_chunk = lambda chunk: messages.extend(chunk.messages)
    made._sock = wire  # type: ignore[assignment]
    while made._sock is not None:
        reads = wire.reads
        assert made.loop_read() == MQTTErrorCode.MQTT_ERR_SUCCESS
        assert wire.reads > reads
        if not wire._data:
            break
    return messages


def heard_by_paho(version: str, packets: list[bytes]) -> list[tuple[Any, ...]]:
    protocol = paho.MQTTv5 if version == "5.0" else paho.MQTTv311
    found: list[tuple[Any, ...]] = []
    made = paho.Client(CallbackAPIVersion.VERSION2, "x", protocol=protocol, manual_ack=True)
    made.on_message = lambda _, __, m: found.append(
        (bytes(m._topic), bytes(m.payload), m.mid, bool(m.retain), bool(m.dup), m.qos)
    )
    for packet in packets:
        made._sock = Wire(packet)  # type: ignore[assignment]
        made.loop_read()
    return found


@st.composite
def publishes(draw: st.DrawFn, version: str) -> bytes:
    """A PUBLISH packet of QoS 0 or 1, with or without properties."""
    qos = draw(st.sampled_from([0, 1]))
    topic = draw(st.text(min_size=1, max_size=20).filter(str.isprintable)).encode("utf-8")
    body = len(topic).to_bytes(2) + topic
    if qos:
        body += draw(st.integers(1, 65535)).to_bytes(2)
    if version == "5.0":
        properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        if draw(st.booleans()):
            properties.UserProperty = ("a", draw(st.text("xyz", max_size=200)))
        body += properties.pack()  # type: ignore[no-untyped-call]
    body += draw(st.binary(max_size=300))
    flags = 0x30 | qos << 1 | draw(st.sampled_from([0, 1, 8, 9] if qos else [0, 1]))
    length = bytearray()
    rest = len(body)
    while rest > 127:
        length.append(rest & 127 | 128)
        rest >>= 7
    length.append(rest)
    return bytes((flags,)) + bytes(length) + body


@pytest.mark.parametrize("version", ["5.0", "3.1.1"])
def test_the_messages_are_those_that_paho_gives_however_the_bytes_come(version: str) -> None:
    @settings(max_examples=150, deadline=None)
    @given(st.lists(publishes(version), min_size=1, max_size=8), st.lists(st.integers(1, 40), max_size=60))
    def holds(packets: list[bytes], sizes: list[int]) -> None:
        found = heard(client(version), Wire(b"".join(packets), sizes))
        assert [tuple(m[:6]) for m in found] == heard_by_paho(version, packets)
        assert not any(m.is_too_long for m in found)

    holds()


def test_any_bytes_are_messages_or_the_end_of_the_connection_and_never_an_exception_of_ours() -> None:
    @settings(max_examples=300, deadline=None)
    @given(st.binary(max_size=200), st.sampled_from(["5.0", "3.1.1"]))
    def holds(data: bytes, version: str) -> None:
        made = client(version)
        made._sock = Wire(data)  # type: ignore[assignment]
        own, other = 0, 0
        try:
            made.loop_read()
            own = 1
        except Exception:  # noqa: BLE001 - what paho raises of packets that are none; its thread goes on
            other = 1
        assert own + other == 1
        assert len(made._incoming) <= len(data)

    holds()


def publish(packet_id: int, payload: bytes) -> bytes:
    body = b"\x00\x01t" + packet_id.to_bytes(2) + b"\x00" + payload
    length, rest = bytearray(), len(body)
    while rest > 127:
        length.append(rest & 127 | 128)
        rest >>= 7
    return b"\x32" + bytes(length) + bytes((rest,)) + body


@pytest.mark.parametrize("size", [0, 1, 300_000, 33_000_000])
def test_of_a_message_that_is_too_long_the_head_is_kept_and_no_more_is_held(size: int) -> None:
    made = client()
    wire = Wire(publish(1, b"a") + publish(2, b"b" * (mqtt_client.FRAME_BYTES_MAX + size)) + publish(3, b"c"))
    most = 0
    take = made._take_packets

    def watched() -> MQTTErrorCode:
        nonlocal most
        most = max(most, len(made._incoming))
        return take()

    made._take_packets = watched  # type: ignore[method-assign]
    found = heard(made, wire)
    assert [(m.packet_id, len(m.payload), m.is_too_long) for m in found] == [
        (1, 1, False), (2, mqtt_client.FRAME_BYTES_MAX, size > 0), (3, 1, False),
    ]  # fmt: skip
    assert most <= mqtt_client.LARGE_BYTES + 2 * mqtt_client.READ_BYTES


def test_many_messages_are_read_at_once_and_acknowledged_at_once() -> None:
    made = client()
    wire = Wire(b"".join(publish(n, b"x" * 200) for n in range(1, 101)))
    assert len(heard(made, wire)) == 100
    assert wire.reads == 1
    made.acknowledge(made.connection, [(n, 1) for n in range(1, 101)])
    assert made.loop_write() == MQTTErrorCode.MQTT_ERR_SUCCESS
    assert bytes(wire.sent) == b"".join(b"\x40\x02" + n.to_bytes(2) for n in range(1, 101))


def test_nothing_is_acknowledged_on_another_connection_than_it_came_on() -> None:
    made = client(broker="127.0.0.1:1")
    before = made.connection
    with pytest.raises(OSError, match=r"."):
        made.reconnect()
    assert made.connection != before
    made.acknowledge(before, [(7, 1)])
    assert not made._out_packet


def test_plaintext_to_a_broker_beyond_loopback_is_refused_with_the_remedy() -> None:
    with pytest.raises(UserError, match=r"plaintext to 192\.0\.2\.1 .*: set tls_ca .*insecure = true"):
        client(broker="192.0.2.1:1883")
    client(broker="192.0.2.1:1883", insecure=True)


def test_a_client_certificate_is_used(ours: Any, theirs: Any) -> None:
    made = client(broker="192.0.2.1:8883", tls_ca=ours.cert, tls_cert=theirs.cert, tls_key=theirs.key)
    assert made._ssl_context is not None
    with pytest.raises(UserError, match="need each other"):
        client(tls_ca=ours.cert, tls_cert=theirs.cert)


def test_what_a_broker_is_told_of_our_limits() -> None:
    properties = client()._connect_properties
    assert properties is not None
    assert properties.json()["MaximumPacketSize"] == 64 * 1024 * 1024  # type: ignore[no-untyped-call]
    assert properties.json()["ReceiveMaximum"] >= 2000  # type: ignore[no-untyped-call]
    assert properties.json()["SessionExpiryInterval"] == 7 * 24 * 3600  # type: ignore[no-untyped-call]
