"""paho, made for many small messages: packets are read and PUBACKs written many at a time.

paho asks the kernel five times for each message that comes (select, three reads, a write of the PUBACK), and takes
17 µs to unpack one. Here a read takes what there is, the plain PUBLISH packets in it are unpacked at once and handed
over together, and all else goes paho's own way. Written against paho-mqtt 2.x; the overridden methods are named so.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from threading import Event, Lock
from typing import Any, NamedTuple

import paho.mqtt.client as paho
import structlog
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode
from paho.mqtt.exception import MalformedPacket
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from edge_agent.config import MqttLink
from edge_agent.delivery import connections
from edge_agent.links.address import split_address
from runtime.config import read_secret
from runtime.tls import check_client, client_context
from schemas.layout import FRAME_BYTES_MAX

SESSION_EXPIRY_S = 7 * 24 * 3600  # 5.0: without it a session ends with the connection, clean start or not
# Un-acknowledged messages that a broker may have under way to us: those of the time that a commit takes.
RECEIVE_MAX = 4096
PACKET_BYTES_MAX = 64 * 1024 * 1024  # 5.0: a broker drops what is larger, and counts it nowhere
KEEPALIVE_S = 20
RECONNECT_S = 0.5  # after a connection that ended by our own doing
READ_BYTES = 64 * 1024
TOPIC_BYTES_MAX = 64 * 1024  # MQTT 5.0 section 1.5.4
# Of a longer message so much is kept: the frame limit, and before it topic, packet id and the usual properties.
LARGE_BYTES = FRAME_BYTES_MAX + 2 + TOPIC_BYTES_MAX + 2 + 1024
_PUBLISH, _PUBACK = 0x30, 0x40
_log = structlog.get_logger("mqtt")


class MqttMessage(NamedTuple):
    """A message as it came. `payload` is cut at the frame limit where `is_too_long`."""

    topic: bytes
    payload: bytes
    packet_id: int  # 0: QoS 0, nobody waits for an acknowledgement
    is_retained: bool
    is_duplicate: bool  # DUP: the broker has sent it before
    qos: int = 1
    is_too_long: bool = False


class MqttChunk(NamedTuple):
    """The messages of one read."""

    connection: int  # of `delivery.connections`
    at_us: int
    messages: list[MqttMessage]


class MqttClient(paho.Client):
    """paho, set up as configured; its thread goes on until `end`, whatever a broker sends.

    `lasting`: the broker keeps what comes for this id while we are away. `on_chunk` is called on paho's thread, and may
    wait: then nothing is read meanwhile.
    """

    def __init__(self, config: MqttLink, client_id: str, *, lasting: bool) -> None:
        protocol, clean = (paho.MQTTv5, None) if config.version == "5.0" else (paho.MQTTv311, not lasting)
        super().__init__(CallbackAPIVersion.VERSION2, client_id, clean, protocol=protocol, manual_ack=lasting)
        self.ended = Event()
        self.connection = next(connections)
        self.on_chunk: Callable[[MqttChunk], object] = lambda _: None
        self.on_message = self._on_whole_message
        self._acknowledging = Lock()
        self._incoming = bytearray()
        self._skipping = 0  # bytes of a message that is too long, still to come
        self._too_long: MqttMessage | None = None
        self._messages: list[MqttMessage] = []
        self.suppress_exceptions = True
        self.reconnect_delay_set(1, 5)
        host, port = split_address(config.broker)
        check_client(host, tls=_has_tls(config), insecure=config.insecure)
        if config.username is not None:
            self.username_pw_set(config.username, read_secret(config.password_file) if config.password_file else None)
        if _has_tls(config):
            self.tls_set_context(client_context(config.tls_ca, config.tls_cert, config.tls_key))
        options: dict[str, Any] = {}
        if protocol == paho.MQTTv5:
            properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
            properties.MaximumPacketSize = PACKET_BYTES_MAX
            if lasting:
                properties.SessionExpiryInterval = SESSION_EXPIRY_S
                properties.ReceiveMaximum = RECEIVE_MAX
            options = {"clean_start": not lasting, "properties": properties}
        self.connect_async(host, port, KEEPALIVE_S, **options)

    def acknowledge(self, connection: int, packets: Iterable[tuple[int, int]]) -> None:
        """Send PUBACK (or after QoS 2 PUBCOMP) for these packet ids and their QoS, all at once. On any thread.

        Nothing is sent where the connection that they came on is over: they come again, and their ids may be others'.
        """
        with self._acknowledging:
            if connection != self.connection:
                return
            pubacks = bytearray()
            for packet_id, qos in packets:
                if qos == 1:
                    pubacks += b"\x40\x02" + packet_id.to_bytes(2)
                else:
                    self.ack(packet_id, qos)
            if pubacks:
                self._packet_queue(_PUBACK, pubacks, 0, 1)

    def end(self) -> None:
        """Disconnect, and wait for the thread."""
        self.ended.set()
        self.disconnect()
        self.loop_stop()

    # --- overridden ---------------------------------------------------------------------------------------------------

    def loop_forever(self, timeout: float = 1.0, retry_first_connection: bool = False) -> MQTTErrorCode:
        """Called by paho, on its thread; goes on also after our own disconnect."""
        while not self.ended.is_set():
            try:
                super().loop_forever(timeout, retry_first_connection)
            except Exception as error:  # noqa: BLE001 - what paho raises on bytes that are no packet is nowhere said
                _log.warning("not MQTT", error=type(error).__name__)
            if not self.ended.wait(RECONNECT_S):
                with suppress(OSError):
                    self.reconnect()
        return MQTTErrorCode.MQTT_ERR_SUCCESS

    def reconnect(self) -> MQTTErrorCode:
        """From here on nothing of the connection before is acknowledged; what was queued for it, paho forgets."""
        with self._acknowledging:
            self.connection = next(connections)
        self._incoming.clear()
        self._skipping, self._too_long = 0, None
        return super().reconnect()

    def loop_read(self, max_packets: int = 1) -> MQTTErrorCode:
        """Read what there is, once, and take all packets that are whole."""
        if self._sock is None:
            return MQTTErrorCode.MQTT_ERR_NO_CONN
        try:
            data = self._sock_recv(READ_BYTES)
        except BlockingIOError:
            return MQTTErrorCode.MQTT_ERR_SUCCESS
        except OSError:
            return self._loop_rc_handle(MQTTErrorCode.MQTT_ERR_CONN_LOST)
        if not data:
            return self._loop_rc_handle(MQTTErrorCode.MQTT_ERR_CONN_LOST)
        with self._msgtime_mutex:
            self._last_bytes_received = time.monotonic()
        connection, at_us = self.connection, time.time_ns() // 1000
        self._incoming += data
        try:
            code = self._take_packets()
        except MalformedPacket:
            code = MQTTErrorCode.MQTT_ERR_PROTOCOL
        if self._messages:
            messages, self._messages = self._messages, []
            self.on_chunk(MqttChunk(connection, at_us, messages))
        return self._loop_rc_handle(code) if code else code

    # --- packets ------------------------------------------------------------------------------------------------------

    def _take_packets(self) -> MQTTErrorCode:
        """Take the packets that are whole off `_incoming`; the code of the first that is not right."""
        buffer, at = self._incoming, self._skip()
        code = MQTTErrorCode.MQTT_ERR_SUCCESS
        while not code and self._sock is not None and not self._skipping:
            length, begin = _variable_integer(buffer, at + 1)
            if length is None:
                break
            if length < 0:
                code = MQTTErrorCode.MQTT_ERR_PROTOCOL
                break
            command, end = buffer[at], begin + length
            if length > LARGE_BYTES and command & 0xF0 == _PUBLISH:
                if len(buffer) < begin + LARGE_BYTES:
                    break
                self._too_long = _too_long(command, bytes(buffer[begin : begin + LARGE_BYTES]), self._protocol)
                if self._too_long is None:
                    code = MQTTErrorCode.MQTT_ERR_PROTOCOL
                self._skipping = end - begin - LARGE_BYTES
                at = begin + LARGE_BYTES
                del buffer[:at]
                at = self._skip()
                continue
            if len(buffer) < end:
                break
            if message := _plain_publish(command, buffer, begin, end, self._protocol):
                self._messages.append(message)
            else:
                code = self._handle_by_paho(command, buffer[begin:end])
            at = end
        del buffer[:at]
        return code

    def _skip(self) -> int:
        """Pass over what is left of a message that is too long; how much of `_incoming` that is."""
        passed = min(self._skipping, len(self._incoming))
        self._skipping -= passed
        if self._too_long is not None and not self._skipping:
            self._messages.append(self._too_long)  # now it has come, and can be acknowledged
            self._too_long = None
        return passed

    def _handle_by_paho(self, command: int, packet: bytearray) -> MQTTErrorCode:
        """Any other packet, the way paho takes it."""
        self._in_packet = {
            "command": command, "have_remaining": 1, "remaining_count": [], "remaining_mult": 1,
            "remaining_length": len(packet), "packet": packet, "to_process": 0, "pos": 0,
        }  # fmt: skip
        return self._packet_handle()

    def _on_whole_message(self, _: object, __: object, message: paho.MQTTMessage) -> None:
        """A message that paho has unpacked: one of QoS 2 at its end."""
        payload = bytes(message.payload)
        self._messages.append(
            MqttMessage(
                bytes(message._topic),
                payload[:FRAME_BYTES_MAX],
                message.mid,
                message.retain,
                message.dup,
                message.qos,
                len(payload) > FRAME_BYTES_MAX,
            )
        )


def _has_tls(config: MqttLink) -> bool:
    return config.tls_ca is not None or config.tls_cert is not None


def _plain_publish(command: int, buffer: bytearray, begin: int, end: int, protocol: int) -> MqttMessage | None:
    """A PUBLISH (MQTT 5.0 section 3.3) of QoS 0 or 1 without properties; None where paho is to say what it is."""
    if command & 0xF4 != _PUBLISH:  # another packet, or QoS 2 or 3
        return None
    qos = command >> 1 & 1
    topic_end = begin + 2 + (buffer[begin] << 8 | buffer[begin + 1]) if end - begin > 2 else end
    at = topic_end + 2 * qos
    if protocol == paho.MQTTv5:
        if at >= end or buffer[at]:
            return None
        at += 1
    if at > end or topic_end == begin + 2:
        return None
    packet_id = buffer[topic_end] << 8 | buffer[topic_end + 1] if qos else 0
    return MqttMessage(
        bytes(buffer[begin + 2 : topic_end]), bytes(buffer[at : min(end, at + FRAME_BYTES_MAX)]), packet_id,
        bool(command & 1), bool(command & 8), qos, end - at > FRAME_BYTES_MAX,
    )  # fmt: skip


def _too_long(command: int, head: bytes, protocol: int) -> MqttMessage | None:
    """A PUBLISH of which only the head is kept; None where it is of QoS 2, which we never subscribe to."""
    qos = command >> 1 & 3
    topic_end = 2 + int.from_bytes(head[:2])
    at = topic_end + 2 * qos
    packet_id = int.from_bytes(head[topic_end:at])
    if protocol == paho.MQTTv5:
        length, begin = _variable_integer(head, at)
        at = begin + length if length is not None and 0 <= length < len(head) - begin else at
    payload = head[at : at + FRAME_BYTES_MAX]
    retained, duplicate = bool(command & 1), bool(command & 8)
    return MqttMessage(head[2:topic_end], payload, packet_id, retained, duplicate, qos, True) if qos < 2 else None


def _variable_integer(buffer: bytes | bytearray, at: int) -> tuple[int | None, int]:
    """A variable byte integer (MQTT 5.0 section 1.5.5) and what follows it; None: it goes on; below 0: it is none."""
    value = 0
    for n in range(4):
        if at + n >= len(buffer):
            return None, 0
        byte = buffer[at + n]
        value |= (byte & 0x7F) << 7 * n
        if byte < 0x80:
            return value, at + n + 1
    return -1, 0
