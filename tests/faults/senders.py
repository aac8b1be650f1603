"""Senders that remember: what they put on the wire, and what was acknowledged to them. Each in a thread of its own.

A record is named by its device and moment (no two of a sender are alike) and compared by its value.
"""

from __future__ import annotations

import itertools
import json
import os
import socket
import ssl
import time
import tty
import uuid
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from queue import SimpleQueue
from threading import Event, Thread

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from schemas.report import device_id

# OBX-3 to 6
HEART_RATE = "147842^MDC_ECG_HEART_RATE^MDC||{:.1f}|264864^MDC_DIM_BEAT_PER_MIN^MDC"
SPO2 = "150456^MDC_PULS_OXIM_SAT_O2^MDC||{:.1f}|262688^MDC_DIM_PERCENT^MDC"
NO_SUBSCRIBER = 0x10  # MQTT 5.0 section 3.4.2.1: taken by the broker, and nobody is there to have it
ANSWER_S = 5.0
RETRY_S = 0.02
BEHIND_S = 0.1
IN_FLIGHT_MAX = 1000
Record = tuple[uuid.UUID, int]  # device, moment in microseconds


class Sender(Thread):
    """Sends `rate_hz` records a second until `stop`; `sent` and `acked` give each record its value."""

    def __init__(self, claim: str, rate_hz: float) -> None:
        super().__init__(daemon=True)
        self.claim, self.device = claim, device_id(claim)
        self.sent: dict[Record, float] = {}
        self.acked: dict[Record, float] = {}
        self._pause_s, self._ending, self._last_us = 1 / rate_hz, Event(), 0

    def stop(self) -> None:
        """Send no more; returns when all that is under way is acknowledged."""
        self._ending.set()
        if self.is_alive():
            self.join(60)
        assert not self.is_alive(), f"{self.claim} still waits for an acknowledgement"

    def _values(self) -> Iterator[float]:
        """At an even pace; what a slow turn missed is made up for, up to BEHIND_S."""
        due_s = time.monotonic()
        for number in itertools.count():
            now_s = time.monotonic()
            due_s = max(due_s + self._pause_s, now_s - BEHIND_S)
            if self._ending.wait(max(0.0, due_s - now_s)):
                return
            yield 40 + number % 1000 / 10

    def _measured(self, value: float) -> tuple[datetime, Record]:
        """A moment of its own, in steps of 100 us (HL7 knows no finer), and the record's name."""
        self._last_us = max(self._last_us + 100, time.time_ns() // 100_000 * 100)
        record = self.device, self._last_us
        self.sent[record] = value
        return datetime.fromtimestamp(self._last_us / 1e6, UTC), record


class MllpSender(Sender):
    """A monitor that conforms: the same bytes again, on a new connection, until the MSA names its message."""

    def __init__(
        self, address: tuple[str, int], source: str, bed: str, rate_hz: float = 40, *, enhanced: bool = False,
        tls: ssl.SSLContext | None = None,
    ) -> None:  # fmt: skip
        super().__init__(f"{source}/PV1-3=ICU^^{bed}", rate_hz)
        self._address, self._bed, self._enhanced, self._tls = address, bed, enhanced, tls
        self.took_s: list[float] = []  # from a message to its acknowledgement
        self._socket: socket.socket | None = None

    def run(self) -> None:
        for value in self._values():
            self.send(HEART_RATE, value)

    def send(self, observed: str, value: float) -> None:
        """One observation; returns when it is acknowledged as received."""
        moment, record = self._measured(value)
        at, ident = f"{moment:%Y%m%d%H%M%S.%f}"[:19] + "+0000", f"{self._bed}-{len(self.sent)}"
        message = "\r".join([
            f"MSH|^~\\&|MON|ICU|||{at}||ORU^R01|{ident}|P|2.5.1|||{'AL|NE' if self._enhanced else '|'}",
            f"PV1|1|I|ICU^^{self._bed}", f"OBR|1||{ident}||||{at}", f"OBX|1|NM|{observed.format(value)}|||||F", "",
        ])  # fmt: skip
        frame = b"\x0b" + message.encode() + b"\x1c\r"
        expected = f"MSA|{'CA' if self._enhanced else 'AA'}|{ident}\r".encode()
        began = time.monotonic()
        while not self.exchange(frame, expected):
            time.sleep(RETRY_S)
        self.took_s.append(time.monotonic() - began)
        self.acked[record] = value

    def exchange(self, frame: bytes, expected: bytes) -> bool:
        """Whether the answer to this frame has these bytes; the connection is kept for the next if so."""
        try:
            if self._socket is None:
                plain = socket.create_connection(self._address, ANSWER_S)
                self._socket = self._tls.wrap_socket(plain, server_hostname=self._address[0]) if self._tls else plain
            self._socket.sendall(frame)
            answer = b""
            while not answer.endswith(b"\x1c\r") and (data := self._socket.recv(4096)):
                answer += data
            if expected in answer:
                return True
        except OSError:
            pass
        if self._socket is not None:
            self._socket.close()
        self._socket = None
        return False


class MqttSender(Sender):
    """A device at QoS 1, MQTT 5.0; what nobody has subscribed to is published again."""

    def __init__(
        self, client: paho.Client, address: tuple[str, int], source: str, topic: str, rate_hz: float = 40
    ) -> None:
        super().__init__(f"{source}/topic={topic}", rate_hz)
        self._client, self._address, self._topic = client, address, topic
        self._open: dict[int, tuple[bytes, Record, float]] = {}
        self._answers: SimpleQueue[tuple[int, int]] = SimpleQueue()  # paho holds a lock while it calls back
        client.on_publish = lambda _, __, mid, reason, ___: self._answers.put((mid, reason.value))

    def run(self) -> None:
        self._client.connect(*self._address)
        self._client.loop_start()
        for value in self._values():
            moment, record = self._measured(value)
            self._publish(json.dumps({"ts": moment.isoformat(), "hr": value}).encode(), record, value)
            self._take_answers()
        while self._open:
            self._take_answers()
            time.sleep(RETRY_S)
        self._client.disconnect()
        self._client.loop_stop()

    def _publish(self, payload: bytes, record: Record, value: float) -> None:
        self._open[self._client.publish(self._topic, payload, qos=1).mid] = payload, record, value

    def _take_answers(self) -> None:
        for _ in range(self._answers.qsize()):
            mid, reason = self._answers.get()
            payload, record, value = self._open.pop(mid)
            if reason == NO_SUBSCRIBER:
                self._publish(payload, record, value)
            else:
                self.acked[record] = value


class SerialSender(Sender):
    """A Nonin oximeter on a pty: nobody acknowledges, so `acked` stays empty; records are named by their values."""

    def __init__(self, claim: str, rate_hz: float = 10) -> None:
        super().__init__(claim, rate_hz)
        self._port, self._slave = os.openpty()  # ours stays open: the line does not hang up when the agent dies
        tty.setraw(self._slave)
        os.set_blocking(self._port, False)
        self.path = os.ttyname(self._slave)

    def run(self) -> None:
        for number, _ in enumerate(self._values()):
            spo2, rate = 70 + number // 200 % 30, 50 + number % 200
            self.sent[self.device, spo2 * 1000 + rate] = spo2
            with suppress(BlockingIOError):  # nobody reads, and the line holds no more
                os.write(self._port, f"SPO2={spo2:03d} HR={rate:03d}\r\n".encode())


def mqtt_client(username: str | None = None, password: str | None = None) -> paho.Client:
    """A device's client with a name of its own."""
    client = paho.Client(CallbackAPIVersion.VERSION2, f"device-{uuid.uuid4().hex[:12]}", protocol=paho.MQTTv5)
    client.max_inflight_messages_set(IN_FLIGHT_MAX)
    if username is not None:
        client.username_pw_set(username, password)
    return client
