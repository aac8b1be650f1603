"""MQTT through paho: 5.0 and 3.1.1, persistent session, acknowledged by hand after the spool's commit.

A bad payload is kept, counted and acknowledged all the same: 5.0 sends again only on a new connection, so withheld
acknowledgements would fill Receive Maximum and stop the feed (MQTT 5.0 section 4.9).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from hashlib import sha256
from threading import Event
from typing import Any

import paho.mqtt.client as paho
import structlog
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

from adapters.driver import Source
from adapters.formats.hl7_ack import Outcome
from edge_agent.config import MqttConfig
from edge_agent.delivery import Delivery, connections
from edge_agent.transports.mllp import split_address
from runtime.clock import now_us
from runtime.config import read_secret
from runtime.tls import client_context

SESSION_EXPIRY_S = 7 * 24 * 3600  # 5.0: without it a session ends with the connection, clean start or not
RECEIVE_MAX = 100  # un-acknowledged messages that a broker may have under way to us
KEEPALIVE_S = 20
RETRY_S = 5.0  # after a message that could not be kept
AGAIN_S = 0.5  # after a connection that ended by our own doing
FULL_LOOK_S = 0.5  # how soon paho's thread, held back, sees that we end
_log = structlog.get_logger("mqtt")


class Client(paho.Client):
    """paho, set up as configured; its thread goes on until `end`, whatever a broker sends.

    `lasting`: the broker keeps what comes for this id while we are away.
    """

    def __init__(self, config: MqttConfig, client_id: str, *, lasting: bool) -> None:
        protocol, clean = (paho.MQTTv5, None) if config.version == "5.0" else (paho.MQTTv311, not lasting)
        super().__init__(CallbackAPIVersion.VERSION2, client_id, clean, protocol=protocol, manual_ack=lasting)
        self.ended = Event()
        self.suppress_exceptions = True
        self.reconnect_delay_set(1, 5)
        if config.username is not None:
            self.username_pw_set(config.username, read_secret(config.password_file) if config.password_file else None)
        if config.tls_ca is not None:
            self.tls_set_context(client_context(config.tls_ca))
        options: dict[str, Any] = {}
        if protocol == paho.MQTTv5 and lasting:
            properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
            properties.SessionExpiryInterval = SESSION_EXPIRY_S
            properties.ReceiveMaximum = RECEIVE_MAX
            options = {"clean_start": False, "properties": properties}
        self.connect_async(*split_address(config.broker), KEEPALIVE_S, **options)

    def loop_forever(self, timeout: float = 1.0, retry_first_connection: bool = False) -> MQTTErrorCode:
        """Called by paho, on its thread; goes on also after our own disconnect."""
        while not self.ended.is_set():
            try:
                super().loop_forever(timeout, retry_first_connection)
            except Exception as error:  # noqa: BLE001 - what paho raises on bytes that are no packet is nowhere said
                _log.warning("not MQTT", error=type(error).__name__)
            if not self.ended.wait(AGAIN_S):
                with suppress(OSError):
                    self.reconnect()
        return MQTTErrorCode.MQTT_ERR_SUCCESS

    def end(self) -> None:
        """Disconnect, and wait for the thread."""
        self.ended.set()
        self.disconnect()
        self.loop_stop()


class MqttTransport:
    """One broker. paho's network thread hands on to the event loop; nothing that it calls ever raises."""

    def __init__(self, config: MqttConfig, edge: str, make_source: Callable[[str], Source]) -> None:
        self._config, self._make_source = config, make_source
        self._connection = next(connections)
        self._given_up = -1  # the connection that is about to be ended, because something could not be kept
        self._incoming: asyncio.Queue[tuple[paho.MQTTMessage, int]] = asyncio.Queue(RECEIVE_MAX * 2)
        self.client = Client(config, config.client_id or client_id(edge, config.name), lasting=True)

    async def run(self, deliver: Callable[[Delivery], None]) -> None:
        """Deliver for ever; paho connects again by itself."""
        self._set_up(asyncio.get_running_loop())
        self.client.loop_start()
        try:
            while True:
                deliver(self._delivery(*await self._incoming.get()))
        finally:
            await asyncio.to_thread(self.client.end)

    def _set_up(self, loop: asyncio.AbstractEventLoop) -> None:
        config, client = self._config, self.client

        def on_pre_connect(*_: object) -> None:
            self._connection = next(connections)  # what came before is not acknowledged here: it comes again

        def on_connect(_: object, __: object, flags: Any, reason: Any, *___: object) -> None:
            if reason.is_failure:
                _log.warning("broker refused", source=config.name, reason=str(reason))
                return
            if config.version == "5.0":
                once = SubscribeOptions.RETAIN_SEND_IF_NEW_SUB  # not all retained messages at each connection
                client.subscribe([(t, SubscribeOptions(1, retainHandling=once)) for t in config.topics])
            else:
                client.subscribe([(t, 1) for t in config.topics])
            _log.info("connected", source=config.name, session_present=bool(flags.session_present))

        def on_subscribe(_: object, __: object, ___: object, reasons: Any, *____: object) -> None:
            if refused := [f"{t}: {r}" for t, r in zip(config.topics, reasons, strict=False) if r.is_failure]:
                _log.error("broker refused topics", source=config.name, topics=refused)

        def on_disconnect(_: object, __: object, ___: object, reason: object, *____: object) -> None:
            _log.info("broker gone", source=config.name, reason=str(reason))

        def on_message(_: object, __: object, message: paho.MQTTMessage) -> None:
            put = None
            with suppress(RuntimeError):  # the loop has ended: not acknowledged, so the broker sends it again
                put = asyncio.run_coroutine_threadsafe(self._incoming.put((message, self._connection)), loop)
            while put is not None and not client.ended.is_set():
                with suppress(TimeoutError):  # waits while the agent is behind: Receive Maximum holds the broker back
                    put.result(FULL_LOOK_S)
                    return

        client.on_pre_connect, client.on_connect, client.on_subscribe = on_pre_connect, on_connect, on_subscribe
        client.on_disconnect, client.on_message = on_disconnect, on_message
        client.on_connect_fail = lambda *_: _log.info("broker not reached", source=config.name, broker=config.broker)

    def _delivery(self, message: paho.MQTTMessage, connection: int) -> Delivery:
        reason = ""
        try:
            topic = message.topic
        except UnicodeDecodeError:
            topic, reason = "?", "topic-not-utf-8"

        def ack(outcome: Outcome, reason: str) -> None:
            if outcome is Outcome.CANNOT_KEEP:  # comes again on a new connection, and only there
                asyncio.get_running_loop().call_later(RETRY_S, self._connect_again, connection)
            elif message.qos > 0 and connection == self._connection:
                self.client.ack(message.mid, message.qos)

        slot = message.mid if message.qos else None
        return Delivery(
            bytes(message.payload), self._make_source(topic), now_us(), ack, reason, retained=message.retain,
            sender=f"{self._config.name}/{topic}", connection=connection, slot=slot,
            proves=range(slot, slot + 1) if slot else range(0), redelivered=message.dup,
        )  # fmt: skip

    def _connect_again(self, connection: int) -> None:
        if connection == self._connection != self._given_up:  # once for all that could not be kept
            self._given_up = connection
            self.client.disconnect()


def client_id(edge: str, source: str) -> str:
    """22 letters and digits, which every broker has to accept (3.1.1 section 3.1.3.1); some refuse other characters."""
    return f"vw{edge[:8]}{sha256(source.encode()).hexdigest()[:12]}"


def topic_problem(topic: str) -> str:
    """Why this topic filter cannot be subscribed to (MQTT 5.0 section 4.7), in plain words; "" where it can."""
    *most, last = topic.split("/")
    if not topic or any("#" in level for level in most) or (last != "#" and "#" in last):
        return f"{topic!r} is no topic filter: # stands alone, and last: ward/#"
    if any("+" in level and level != "+" for level in (*most, last)):
        return f"{topic!r} is no topic filter: + stands alone between two slashes: ward/+/vitals"
    return ""
