"""MQTT through paho: 5.0 and 3.1.1, persistent session, acknowledged by hand after the spool's commit.

A bad payload is kept, counted and acknowledged all the same: 5.0 sends again only on a new connection, so withheld
acknowledgements would fill Receive Maximum and stop the feed (MQTT 5.0 section 4.9).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from hashlib import sha256
from itertools import count
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
from edge_agent.delivery import Delivery
from edge_agent.transports.mllp import split_address
from runtime.config import read_secret
from runtime.tls import client_context

SESSION_EXPIRY_S = 7 * 24 * 3600  # 5.0: without it a session ends with the connection, clean start or not
RECEIVE_MAX = 100  # un-acknowledged messages that a broker may have under way to us
KEEPALIVE_S = 20
RETRY_S = 5.0  # after a message that could not be kept
AGAIN_S = 0.5  # after a connection that ended by our own doing
FULL_LOOK_S = 0.5  # how soon paho's thread, held back, sees that we end
SOURCES_MAX = 10_000  # topics whose source is remembered
_log = structlog.get_logger("mqtt")


class _Client(paho.Client):
    """paho, whose thread goes on until `ended`, whatever a broker sends and also after our own disconnect."""

    def __init__(self, **options: Any) -> None:
        super().__init__(CallbackAPIVersion.VERSION2, **options)
        self.ended = Event()
        self.suppress_exceptions = True

    def loop_forever(self, timeout: float = 1.0, retry_first_connection: bool = False) -> MQTTErrorCode:
        """Called by paho, on its thread."""
        while not self.ended.is_set():
            try:
                super().loop_forever(timeout, retry_first_connection)
            except Exception as error:  # noqa: BLE001 - what paho raises on bytes that are no packet is nowhere said
                _log.warning("not MQTT", error=type(error).__name__)
            if not self.ended.wait(AGAIN_S):
                with suppress(OSError):
                    self.reconnect()
        return MQTTErrorCode.MQTT_ERR_SUCCESS


class MqttTransport:
    """One broker. paho's network thread hands on to the event loop; nothing that it calls ever raises."""

    def __init__(self, config: MqttConfig, edge: str, make_source: Callable[[str], Source], now_us: Callable[[], int],
                 connections: count[int]) -> None:  # fmt: skip
        self._config, self._make_source = config, make_source
        self._now_us, self._connections = now_us, connections
        self._connection = next(connections)
        self._given_up = -1  # the connection that is about to be ended, because something could not be kept
        self._sources: dict[str, Source] = {}
        self._incoming: asyncio.Queue[tuple[paho.MQTTMessage, int]] = asyncio.Queue(RECEIVE_MAX * 2)
        self._v5 = config.version == "5.0"
        # 22 letters and digits, which every broker has to accept (3.1.1 section 3.1.3.1); some refuse other characters.
        named = f"vw{edge[:8]}{sha256(config.name.encode()).hexdigest()[:12]}"
        self.client = _Client(
            client_id=config.client_id or named,
            clean_session=None if self._v5 else False,
            protocol=paho.MQTTv5 if self._v5 else paho.MQTTv311,
            manual_ack=True,
        )
        self.client.reconnect_delay_set(1, 5)

    async def run(self, deliver: Callable[[Delivery], None]) -> None:
        """Deliver for ever; paho connects again by itself. Raises UserError for a secret or CA that cannot be used."""
        loop = asyncio.get_running_loop()
        self._set_up(loop)
        host, port = split_address(self._config.broker)
        options: dict[str, Any] = {}
        if self._v5:
            properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
            properties.SessionExpiryInterval = SESSION_EXPIRY_S
            properties.ReceiveMaximum = RECEIVE_MAX
            options = {"clean_start": False, "properties": properties}
        self.client.connect_async(host, port, KEEPALIVE_S, **options)
        self.client.loop_start()
        try:
            while True:
                message, connection = await self._incoming.get()
                deliver(self._delivery(message, connection))
        finally:
            await asyncio.to_thread(self._stop)

    def _set_up(self, loop: asyncio.AbstractEventLoop) -> None:
        config, client = self._config, self.client
        if config.username is not None:
            client.username_pw_set(config.username, read_secret(config.password_file) if config.password_file else None)
        if config.tls_ca is not None:
            client.tls_set_context(client_context(config.tls_ca))

        def on_pre_connect(_: paho.Client, __: Any) -> None:
            self._connection = next(self._connections)  # what came before is not acknowledged here: it comes again

        def on_connect(c: paho.Client, _: Any, flags: Any, reason: Any, __: Any = None) -> None:
            if reason.is_failure:
                _log.warning("broker refused", source=config.name, reason=str(reason))
                return
            if self._v5:
                once = SubscribeOptions.RETAIN_SEND_IF_NEW_SUB  # not all retained messages at each connection
                c.subscribe([(t, SubscribeOptions(1, retainHandling=once)) for t in config.topics])
            else:
                c.subscribe([(t, 1) for t in config.topics])
            _log.info("connected", source=config.name, session_present=bool(flags.session_present))

        def on_subscribe(_: paho.Client, __: Any, ___: Any, reasons: Any, ____: Any = None) -> None:
            if refused := [f"{t}: {r}" for t, r in zip(config.topics, reasons, strict=False) if r.is_failure]:
                _log.error("broker refused topics", source=config.name, topics=refused)

        def on_connect_fail(_: paho.Client, __: Any) -> None:
            _log.info("broker not reached", source=config.name, broker=config.broker)

        def on_disconnect(c: paho.Client, _: Any, __: Any, reason: Any, ___: Any = None) -> None:
            _log.info("broker gone", source=config.name, reason=str(reason))

        def on_message(c: paho.Client, _: Any, message: paho.MQTTMessage) -> None:
            put = None
            with suppress(RuntimeError):  # the loop has ended: not acknowledged, so the broker sends it again
                put = asyncio.run_coroutine_threadsafe(self._incoming.put((message, self._connection)), loop)
            while put is not None and not client.ended.is_set():
                with suppress(TimeoutError):  # waits while the agent is behind: Receive Maximum holds the broker back
                    put.result(FULL_LOOK_S)
                    return

        client.on_pre_connect, client.on_connect, client.on_subscribe = on_pre_connect, on_connect, on_subscribe
        client.on_connect_fail, client.on_disconnect, client.on_message = on_connect_fail, on_disconnect, on_message

    def _delivery(self, message: paho.MQTTMessage, connection: int) -> Delivery:
        reason = ""
        try:
            topic = message.topic
        except UnicodeDecodeError:
            topic, reason = "?", "topic-not-utf-8"
        if topic not in self._sources:
            if len(self._sources) >= SOURCES_MAX:
                self._sources.clear()
            self._sources[topic] = self._make_source(topic)

        def ack(outcome: Outcome, reason: str) -> None:
            if outcome is Outcome.CANNOT_KEEP:  # comes again on a new connection, and only there
                asyncio.get_running_loop().call_later(RETRY_S, self._connect_again, connection)
            elif message.qos > 0 and connection == self._connection:
                self.client.ack(message.mid, message.qos)

        slot = message.mid if message.qos else None
        return Delivery(
            bytes(message.payload), self._sources[topic], self._now_us(), ack, reason, retained=message.retain,
            sender=f"{self._config.name}/{topic}", connection=connection, slot=slot,
            proves=range(slot, slot + 1) if slot else range(0), redelivered=message.dup,
        )  # fmt: skip

    def _connect_again(self, connection: int) -> None:
        if connection == self._connection != self._given_up:  # once for all that could not be kept
            self._given_up = connection
            self.client.disconnect()

    def _stop(self) -> None:
        self.client.ended.set()
        self.client.disconnect()
        self.client.loop_stop()


def topic_problem(topic: str) -> str:
    """Why this topic filter cannot be subscribed to (MQTT 5.0 section 4.7), in plain words; "" where it can."""
    *most, last = topic.split("/")
    if not topic or any("#" in level for level in most) or (last != "#" and "#" in last):
        return f"{topic!r} is no topic filter: # stands alone, and last: ward/#"
    if any("+" in level and level != "+" for level in (*most, last)):
        return f"{topic!r} is no topic filter: + stands alone between two slashes: ward/+/vitals"
    return ""
