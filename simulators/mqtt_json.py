"""A sensor that publishes JSON over MQTT at QoS 1: one object a report, on `ward/<ward>/bed/<bed>/monitor`.

    {"ts": "2026-11-24T10:00:00.123+08:00", "seq": 17, "serial": "SIM000042", "hr": 72, "spo2": null, "temp_c": 36.8, …}

A missing reading is null. Papers: RFC 8259, ISO 8601, MQTT 5.0 and 3.1.1 section 4.3.2 (QoS 1).
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from simulators.acked_log import SentReport
from simulators.hl7_oru import ZONE
from simulators.patient import Patient

VERSIONS = {"5.0": paho.MQTTv5, "3.1.1": paho.MQTTv311}
KEEPALIVE_S = 10
UNACKED_MAX = 1000  # published and not acknowledged: beyond it, publishing waits
INFLIGHT_MAX = 100
RECONNECT_S = (1, 5)
SESSION_EXPIRY_S = 3600  # 5.0: without it the broker forgets the session with the connection
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def topic_of(bed: str, ward: str = "icu") -> str:
    """Where a bed's monitor publishes."""
    return f"ward/{ward}/bed/{bed}/monitor"


def payload(patient: Patient, topic: str, t_s: float, at_us: int, seq: int, values: int) -> tuple[bytes, SentReport]:
    """One report, and what it says. `at_us` counts to the millisecond, and differs from report to report."""
    sent = patient.report(t_s, values)
    ts = (_EPOCH + timedelta(microseconds=at_us)).astimezone(ZONE).isoformat(timespec="milliseconds")
    members = "".join(f', "{name}": {text or "null"}' for name, text in sent.items())
    text = f'{{"ts": "{ts}", "seq": {seq}, "serial": "SIM{patient.seed:06}"{members}}}'
    return text.encode(), SentReport(topic, str(seq), at_us, sent)


class MqttPublisher:
    """One connection to a broker, through paho's own thread; it comes back by itself and loses nothing.

    paho sends again what was not acknowledged when a connection ended; what a 5.0 broker refuses is published again.
    """

    def __init__(self, host: str, port: int, version: str = "5.0") -> None:
        self._loop = asyncio.get_running_loop()
        self._capacity = asyncio.Semaphore(UNACKED_MAX)
        self._connected = asyncio.Event()
        self._waiting: dict[int, tuple[str, bytes, Callable[[], None]]] = {}
        v5 = VERSIONS[version] == paho.MQTTv5
        self._client = client = paho.Client(
            CallbackAPIVersion.VERSION2, client_id=f"simulator-{secrets.token_hex(6)}", protocol=VERSIONS[version],
            clean_session=None if v5 else False,
        )  # fmt: skip
        client.max_inflight_messages_set(INFLIGHT_MAX)
        client.reconnect_delay_set(*RECONNECT_S)
        # Called by paho's thread; the loop does the work.
        client.on_connect = lambda c, u, flags, why, p: self._in_loop(
            self._connected.clear if why.is_failure else self._connected.set
        )
        client.on_disconnect = lambda c, u, flags, why, p: self._in_loop(self._connected.clear)
        client.on_publish = lambda c, u, mid, why, p: self._in_loop(self._acked, mid, why.is_failure)
        session: dict[str, Any] = {}
        if v5:
            session = {"clean_start": False, "properties": Properties(PacketTypes.CONNECT)}  # type: ignore[no-untyped-call]
            session["properties"].SessionExpiryInterval = SESSION_EXPIRY_S
        client.connect_async(host, port, KEEPALIVE_S, **session)
        client.loop_start()

    async def publish(self, topic: str, body: bytes, acked: Callable[[], None]) -> None:
        """Hand over a message, waiting while too many are not acknowledged; `acked` is called when this one is."""
        await self._capacity.acquire()
        await self._connected.wait()
        self._publish(topic, body, acked)

    async def close(self, limit_s: float) -> None:
        """Wait for the last acknowledgements, and disconnect."""
        limit = self._loop.time() + limit_s
        while self._waiting and self._loop.time() < limit:
            await asyncio.sleep(0.02)
        self._client.disconnect()
        await asyncio.to_thread(self._client.loop_stop)

    def _publish(self, topic: str, body: bytes, acked: Callable[[], None]) -> None:
        # On the loop's thread, where _acked runs too: the acknowledgement cannot overtake this entry.
        self._waiting[self._client.publish(topic, body, qos=1).mid] = topic, body, acked

    def _acked(self, mid: int, refused: bool) -> None:
        topic, body, acked = self._waiting.pop(mid)
        if refused:
            self._loop.call_later(RECONNECT_S[0], self._publish, topic, body, acked)
            return
        self._capacity.release()
        acked()

    def _in_loop(self, call: Callable[..., None], *arguments: Any) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(call, *arguments)
