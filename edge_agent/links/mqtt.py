"""An MQTT broker on the ward: persistent session, acknowledged after the spool's commit.

A bad payload is kept, counted and acknowledged all the same: 5.0 sends again only on a new connection, so withheld
acknowledgements would fill Receive Maximum and stop the feed (MQTT 5.0 section 4.9).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from hashlib import sha256
from threading import BoundedSemaphore
from typing import Any

import structlog
from paho.mqtt.subscribeoptions import SubscribeOptions

from adapters.driver import Source
from adapters.session import Outcome
from edge_agent.config import MqttLink
from edge_agent.delivery import Delivery
from edge_agent.links.mqtt_client import MqttChunk, MqttClient, MqttMessage
from edge_agent.links.owner import LinkOwner

CHUNKS_MAX = 2  # read, and not yet taken up by the event loop: one is worked on while the next is read
RETRY_S = 5.0  # after a message that could not be kept
FULL_LOOK_S = 0.5  # how soon paho's thread, held back, sees that we end
TOPICS_MAX = 10_000  # whose sources are remembered
_log = structlog.get_logger("mqtt")


class MqttBroker:
    """One broker. paho's thread hands on to the event loop; it connects again by itself.

    With `lasting` false it only looks: at QoS 0, in a session that ends with the connection.
    """

    def __init__(self, config: MqttLink, client_id: str, *, lasting: bool = True) -> None:
        self._config, self._client_id, self._lasting = config, client_id, lasting
        self._sources: dict[bytes, Source[Any]] = {}
        self._taps: dict[bytes, int] = {}
        self._kept: list[tuple[int, int]] = []  # packet id and QoS, to be acknowledged with the next flush
        self._kept_on = 0  # their connection
        self._given_up = -1  # the connection that is about to be ended, because something could not be kept
        self._had_session = self._stood = False
        self._unread = BoundedSemaphore(CHUNKS_MAX)
        self.client: MqttClient | None = None

    async def run(self, owner: LinkOwner) -> None:
        """Until cancelled. Raises UserError for a password, a certificate or plaintext that cannot be."""
        client = self.client = MqttClient(self._config, self._client_id, lasting=self._lasting)
        self._set_up(client, owner, asyncio.get_running_loop())
        client.loop_start()
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            self._flush()
            await asyncio.to_thread(client.end)

    # --- on paho's thread ---------------------------------------------------------------------------------------------

    def _set_up(self, client: MqttClient, owner: LinkOwner, loop: asyncio.AbstractEventLoop) -> None:
        config = self._config

        def in_loop(what: Callable[..., object], *arguments: object) -> None:
            with suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(what, *arguments)

        def on_connect(_: object, __: object, flags: Any, reason: Any, *___: object) -> None:
            if reason.is_failure:
                in_loop(owner.troubled, f"the broker {config.broker} refuses us: {reason}", str(reason))
                return
            client.subscribe(self._subscriptions())
            self._stood = True
            in_loop(self._connected, owner, bool(flags.session_present))

        def on_subscribe(_: object, __: object, ___: object, reasons: Any, *____: object) -> None:
            if refused := [f"{t}: {r}" for t, r in zip(config.topics, reasons, strict=False) if r.is_failure]:
                in_loop(owner.troubled, f"the broker {config.broker} refuses topics, see its access list: {refused}")

        def on_disconnect(_: object, __: object, ___: object, reason: object, *____: object) -> None:
            stood, self._stood = self._stood, False
            if stood and not client.ended.is_set():  # otherwise it was said why it does not stand
                in_loop(owner.troubled, f"the broker {config.broker} is away: {reason}")

        def on_connect_fail(*_: object) -> None:
            in_loop(
                owner.troubled,
                f"the broker {config.broker} is not reached: is it on, the port right, no firewall between?",
            )

        def on_chunk(chunk: MqttChunk) -> None:
            while not self._unread.acquire(timeout=FULL_LOOK_S):
                if client.ended.is_set():
                    return  # not acknowledged, so the broker sends it again
            in_loop(self._take, owner, chunk)

        client.on_connect, client.on_subscribe, client.on_disconnect = on_connect, on_subscribe, on_disconnect
        client.on_connect_fail, client.on_chunk = on_connect_fail, on_chunk

    def _subscriptions(self) -> list[tuple[str, Any]]:
        qos = 1 if self._lasting else 0
        if self._config.version != "5.0":
            return [(topic, qos) for topic in self._config.topics]
        # Of an agent: not all retained messages at each connection.
        retain = SubscribeOptions.RETAIN_SEND_IF_NEW_SUB if self._lasting else SubscribeOptions.RETAIN_SEND_ON_SUBSCRIBE
        return [(topic, SubscribeOptions(qos, retainHandling=retain)) for topic in self._config.topics]

    # --- on the event loop --------------------------------------------------------------------------------------------

    def _connected(self, owner: LinkOwner, session_present: bool) -> None:
        _log.info("connected", source=owner.name, session_present=session_present)
        if self._lasting and self._had_session and not session_present:
            owner.emit(
                "session-lost",
                f"{owner.name}: the broker {self._config.broker} no longer had our session:"
                " what was published while we were away is lost",
            )
        self._had_session = True
        owner.stands()

    def _take(self, owner: LinkOwner, chunk: MqttChunk) -> None:
        for message in chunk.messages:
            self._carry(owner, message, chunk)
        self._unread.release()

    def _carry(self, owner: LinkOwner, message: MqttMessage, chunk: MqttChunk) -> None:
        reason = "too-long" if message.is_too_long else ""
        source = self._sources.get(message.topic)
        if source is None:
            source = self._new_source(owner, message.topic)
        if source.peer == "?":
            reason = "topic-not-utf-8"
        if owner.tap.is_used:
            self._record(owner, source, message)
        token = message.packet_id if message.qos else None
        delivery = Delivery(
            message.payload, source, chunk.at_us, reason, message.is_retained, f"{source.name}/{source.peer}",
            chunk.connection, token, range(token, token + 1) if token else range(0), message.is_duplicate,
        )  # fmt: skip
        owner.keeper.carry(delivery, partial(self._answer, chunk.connection, message.packet_id, message.qos))

    def _new_source(self, owner: LinkOwner, topic: bytes) -> Source[Any]:
        if len(self._sources) >= TOPICS_MAX:
            del self._sources[next(iter(self._sources))]
        try:
            source = owner.source(topic.decode("utf-8"))
        except UnicodeDecodeError:
            source = owner.source("?")
        self._sources[topic] = source
        return source

    def _record(self, owner: LinkOwner, source: Source[Any], message: MqttMessage) -> None:
        """For a recording each topic is a connection, and each message what came on it."""
        number = self._taps.get(message.topic)
        if number is None:
            number = self._taps[message.topic] = len(self._taps) + 1
            owner.tap.opened(number, source.peer)
        if message.is_retained:
            owner.tap.retained(number)
        owner.tap.incoming(number, message.payload)

    def _answer(self, connection: int, packet_id: int, qos: int, outcome: Outcome, _: str) -> None:
        """Kept or refused; all that one commit kept is acknowledged at once."""
        if not qos:  # nobody waits for an answer, and it does not come again
            return
        if outcome is Outcome.CANNOT_KEEP:  # comes again on a new connection, and only there
            asyncio.get_running_loop().call_later(RETRY_S, self._reconnect, connection)
            return
        if connection != self._kept_on:
            self._flush()
            self._kept_on = connection
        if not self._kept:
            asyncio.get_running_loop().call_soon(self._flush)
        self._kept.append((packet_id, qos))

    def _flush(self) -> None:
        kept, self._kept = self._kept, []
        if kept and self.client is not None:
            self.client.acknowledge(self._kept_on, kept)

    def _reconnect(self, connection: int) -> None:
        if self.client is not None and connection == self.client.connection != self._given_up:
            self._given_up = connection  # once for all that could not be kept
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
