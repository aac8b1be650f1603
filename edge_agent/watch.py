"""Why nothing arrives: what is seen at one source, and one verdict in plain words.

`verdict` is pure; `Watcher` counts what `watch` sees. Nothing is kept, and so nothing is acknowledged: an MLLP
sender keeps its message. MQTT is listened to in a session of its own, beside the agent's.
"""

from __future__ import annotations

import asyncio
import errno
import itertools
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from decimal import Decimal
from functools import partial
from typing import Any, NamedTuple

from adapters.driver import SerialFramer, SerialSettings, Source
from adapters.formats.mllp import MllpFramer
from adapters.site import SiteMapping
from edge_agent import agent
from edge_agent.config import AnySource, MllpConfig, MqttConfig, SerialConfig, place_of
from edge_agent.delivery import Delivery
from edge_agent.holders import holder_of, listener_on
from edge_agent.process import driver_of, make_source
from edge_agent.transports.mllp import READ_BYTES, client_tls, server_tls, split_address
from edge_agent.transports.mqtt import Client, client_id
from edge_agent.transports.serial import open_port, trouble
from runtime.clock import now_us
from runtime.errors import UserError
from runtime.logs import printable
from runtime.tls import check_listener
from schemas.nomenclature import METRIC_BY_CODE, UNIT_BY_CODE
from schemas.report import Kind, Record, RecordKind, Validity

SILENT_S = 10.0  # after values: longer than any monitor waits between two
DIAL_LIMIT_S = 5.0
CLAIMS_MAX = 500
START_BLOCK = "0b"
TLS_HANDSHAKE = "16 03"  # RFC 8446 section 5.1: a record's type and version


@dataclass
class Observation:
    """What was seen at a source; `trouble` says why it could not be opened, `held_by` who has it."""

    source: str
    transport: str
    place: str
    seconds: float = 0.0
    opened: bool = False  # the port is open, we listen, or the other side has answered
    trouble: str = ""
    held_by: str = ""
    refused: str = ""  # by the MQTT broker, in its words
    connections: int = 0  # MLLP senders that came, or the gateway that we reached
    bytes: int = 0
    head: str = ""  # the first bytes, in hex
    silent_s: float | None = None  # age of the last byte
    pending: bool = False  # a frame has begun and not ended
    frames: int = 0
    retained: int = 0  # of the frames: what MQTT kept from earlier
    bad: Counter[str] = field(default_factory=Counter)  # bytes that are no frame, frames that cannot be read: by reason
    values: int = 0
    readings: int = 0  # of the values: those that are there
    coded: int = 0  # of the values: those with a code
    claims: dict[str, None] = field(default_factory=dict)  # of the devices that spoke
    last_stored: str | None = None  # age of the newest value of these in the store; "" none, None: nobody asked
    unregistered: str = ""  # one of these that is stored and that nobody has adopted
    why_not_stored: str = ""


class Verdict(NamedTuple):
    """One slug for scripts, one line for people."""

    slug: str
    text: str


def verdict(o: Observation) -> Verdict:
    """The nearest thing that is wrong on the way from the socket to the record."""
    slug, text = next(itertools.chain(_at_the_port(o), _on_the_wire(o), _in_the_frames(o), _at_the_store(o)))
    if o.frames and o.bad:
        text += f" ({sum(o.bad.values())} beside {o.frames} good frames cannot be read: {_reasons(o)})"
    return Verdict(slug, text)


Found = Iterator[tuple[str, str]]


def _at_the_port(o: Observation) -> Found:
    if o.held_by and o.last_stored is None:
        why = o.why_not_stored or "end it to watch here, or name --database to see what it stores"
        yield "held", f"{o.held_by} holds {o.place}: {why}"
    elif o.held_by:
        yield from _at_the_store(o)
    if o.refused:
        known = any(word in o.refused.lower() for word in ("authori", "password", "user"))
        yield "refused", f"the broker refuses: {'user or password' if known else o.refused}"
    if o.trouble:
        yield "not-open", o.trouble
    if not o.opened:
        yield "not-reached", f"no answer from {o.place} in {o.seconds:.0f} s: address, or a firewall between"
    if o.transport == "mllp" and not o.connections:
        yield "nobody", f"nobody has connected: is the sender set to {o.place}, and no firewall between?"


def _on_the_wire(o: Observation) -> Found:
    if o.frames:
        return
    if not o.bytes:
        yield (
            "no-bytes",
            {
                "serial": f"port opens, 0 bytes in {o.seconds:.0f} s: cable or null-modem",
                "mllp": f"a sender is connected, 0 bytes in {o.seconds:.0f} s: is its export switched on?",
            }.get(o.transport, "connected, but nothing on this topic"),
        )
    if o.transport == "mllp":
        if o.head.startswith(TLS_HANDSHAKE):
            yield "tls", "the sender speaks TLS and this port does not: set tls_cert and tls_key"
        if "no-start-block" in o.bad or not o.head.startswith(START_BLOCK):
            yield "not-mllp", "bytes come, but they are not MLLP (no start block): is it another protocol?"
        if o.pending or "no-end-block" in o.bad:
            yield "no-end-block", "a sender is connected, no end block: it does not speak MLLP, or breaks off"
    if o.transport == "serial":
        if "checksum" in o.bad:
            yield "checksum", "bytes come, checksums fail: baud rate or parity"
        why = "baud rate or parity, or the device is set to another format"
        yield "no-frame", f"bytes come, but no whole frame in {o.seconds:.0f} s: {why}"
    yield "unreadable", f"frames come, but none can be read: {_reasons(o)}"


def _in_the_frames(o: Observation) -> Found:
    if o.retained == o.frames:
        yield "retained", "only retained messages, said some time ago: nobody is sending now"
    if not o.values:
        yield "no-values", "frames come, but no values in them: patients and events only"
    if not o.coded:
        yield "no-code", "connected, frames come, but no value has a code: see `vitalwire mapping unmapped`"
    if o.silent_s is not None and o.silent_s > SILENT_S:
        yield "silent", f"values came, and then nothing for {o.silent_s:.0f} s: unplugged, or switched off?"
    if not o.readings:
        yield "no-reading", "the device speaks and says that it has no reading: sensor, lead or finger off"


def _at_the_store(o: Observation) -> Found:
    if o.last_stored is None:
        why = o.why_not_stored or "watching stores nothing, `vitalwire edge run` does"
        yield "read", f"values are read here; not stored: {why}"
    elif not o.last_stored:
        yield "not-stored", f"values are {'not' if o.held_by else 'read here; not'} stored: {o.why_not_stored}"
    elif o.unregistered:
        mend = f"vitalwire devices adopt '{o.unregistered}' --bed 'ICU-07'"
        yield "unregistered", f"values stored, device not registered: {mend}"
    else:
        yield "stored", f"values are stored, the last {o.last_stored} ago, and the device is registered"


def _reasons(o: Observation) -> str:
    return ", ".join(f"{reason} {count}x" for reason, count in o.bad.most_common(3))


class Watcher:
    """Counts what comes at a source; `say` gets a kind (bytes, frame, values) and a line for people."""

    def __init__(
        self, config: AnySource, sites: dict[str, SiteMapping], say: Callable[[str, str], None] = lambda _, __: None
    ) -> None:
        self.config, self.driver = config, driver_of(config)
        self.o = Observation(config.name, config.transport, place_of(config))
        self.source, self._say = partial(make_source, config, sites), say
        self._began_s, self._last_s = time.monotonic(), 0.0

    def look(self) -> Observation:
        """What was seen so far."""
        now_s = time.monotonic()
        self.o.seconds, self.o.silent_s = now_s - self._began_s, now_s - self._last_s if self.o.bytes else None
        return self.o

    def take(self, data: bytes) -> None:
        """Bytes as they came."""
        self.o.head = self.o.head or data[:16].hex(" ")
        self.o.bytes += len(data)
        self._last_s = time.monotonic()
        self._say("bytes", data[:24].hex(" ") + (" …" if len(data) > 24 else ""))

    def hear(self, data: bytes, framer: SerialFramer, source: Source) -> None:
        """Bytes as they came, and the pieces that are complete with them."""
        self.take(data)
        for piece in framer.feed(data):
            self.frame(piece.data, source, piece.reason)

    def frame(self, data: bytes, source: Source, reason: str = "", *, retained: bool = False) -> None:
        """A piece that a framer cut."""
        delivery = Delivery(data, source, now_us(), lambda _, __: None, reason, retained)
        _, why, reports = agent.read(self.driver, delivery)
        shown = f"{len(data)} bytes" if b"\0" in data else printable(data, 120)  # binary ones were shown in hex
        self._say("frame", f"{shown}  ← {why}" if why else shown)
        if why:
            self.o.bad[why] += 1
            return
        self.o.frames += 1
        self.o.retained += retained
        for report in reports:
            if len(self.o.claims) < CLAIMS_MAX and report.kind is not Kind.CONTEXT:
                self.o.claims[report.claim] = None
            numbers = [r for r in report.records if report.kind is Kind.METRIC and r.kind is RecordKind.NUMERIC]
            self.o.values += len(numbers)
            self.o.coded += sum(r.code != 0 for r in numbers)
            self.o.readings += sum(r.validity is not Validity.NOT_AVAILABLE for r in numbers)
            if numbers:
                self._say("values", f"{', '.join(map(in_words, numbers))}  from {report.claim}")


def in_words(record: Record) -> str:
    """A numeric record as people say it: SpO2 97 %."""
    metric, unit = METRIC_BY_CODE.get(record.code), UNIT_BY_CODE.get(record.unit)
    sent = record.as_sent
    name = metric.short if metric else f"{sent.code if sent else '?'} (no code)"
    if record.validity is Validity.NOT_AVAILABLE:
        return f"{name} --"
    number = Decimal(record.mantissa).scaleb(record.exponent)
    return f"{name} {number:f} {unit.ucum if unit else sent.unit if sent else ''}".rstrip()


# --- at the ports: each waits until `stop` is set -------------------------------------------------------------------


async def watch(w: Watcher, stop: asyncio.Event) -> None:
    """Watch until `stop`; what hinders it stands in the observation."""
    try:
        if isinstance(w.config, SerialConfig):
            await _serial(w, w.config, stop)
        elif isinstance(w.config, MllpConfig):
            await (_dial if w.config.dial else _listen)(w, w.config, stop)
        else:
            await _subscribe(w, w.config, stop)
    except (UserError, OSError) as error:  # OSError: a CA file of the MQTT broker
        w.o.trouble = str(error)


async def _serial(w: Watcher, config: SerialConfig, stop: asyncio.Event) -> None:
    assert w.driver.framer is not None
    if "://" not in config.port and (holder := holder_of(config.port)):
        w.o.held_by = str(holder)  # also without a lock: each of two readers gets half of the bytes
        return
    try:
        port = await asyncio.to_thread(open_port, config, w.driver.serial or SerialSettings())
    except Exception as error:  # noqa: BLE001 - see open_port
        w.o.trouble = trouble(config.port, error)
        return
    w.o.opened, framer, source = True, w.driver.framer(), w.source(config.port)
    try:
        while not stop.is_set():
            if data := await asyncio.to_thread(port.read, READ_BYTES):  # what came until its time-out
                w.hear(data, framer, source)
    except Exception as error:  # noqa: BLE001 - as in the agent, when a port goes under a read
        w.o.trouble = f"{config.port} was lost while it was read ({error}): plug, adapter or hub"
    finally:
        with suppress(OSError):
            port.close()


async def _converse(w: Watcher, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    w.o.connections += 1
    source, framer = w.source((writer.get_extra_info("peername") or ("?",))[0]), MllpFramer()
    with suppress(OSError):
        while data := await reader.read(READ_BYTES):
            w.hear(data, framer, source)
            w.o.pending = framer.pending
    if rest := framer.close():
        w.frame(rest.data, source, rest.reason)
    writer.close()


async def _listen(w: Watcher, c: MllpConfig, stop: asyncio.Event) -> None:
    host, port = split_address(w.o.place)
    check_listener(host, tls=c.tls_cert is not None, insecure=c.insecure)
    talks: dict[asyncio.StreamWriter, asyncio.Future[None]] = {}

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        talks[writer] = asyncio.ensure_future(_converse(w, reader, writer))

    try:
        server = await asyncio.start_server(connected, host, port, ssl=server_tls(c))
    except OSError as error:
        w.o.held_by = str(listener_on(port) or "") if error.errno == errno.EADDRINUSE else ""
        w.o.trouble = f"{w.o.place} is not to be had ({os.strerror(error.errno or 0)}): choose another address or port"
        return
    w.o.opened = True
    await stop.wait()
    server.close()
    for writer in talks:
        writer.close()
    await asyncio.gather(*talks.values())


async def _dial(w: Watcher, c: MllpConfig, stop: asyncio.Event) -> None:
    tls = client_tls(c)
    try:
        async with asyncio.timeout(DIAL_LIMIT_S):
            reader, writer = await asyncio.open_connection(*split_address(w.o.place), ssl=tls)
    except OSError as error:  # TimeoutError is one
        w.o.trouble = (
            f"{w.o.place} is not reached ({str(error) or 'no answer'}): is the gateway on, no firewall between?"
        )
        return
    w.o.opened = True
    talk = asyncio.ensure_future(_converse(w, reader, writer))
    await stop.wait()
    writer.close()
    await talk


async def _subscribe(w: Watcher, c: MqttConfig, stop: asyncio.Event) -> None:
    """At QoS 0, in a session of its own. paho calls back on a thread of its own."""
    loop, client = asyncio.get_running_loop(), Client(c, client_id("watch", c.name), lasting=False)

    def on_connect(_: object, __: object, ___: object, reason: Any, *____: object) -> None:
        w.o.trouble, w.o.refused, w.o.opened = "", str(reason) if reason.is_failure else "", not reason.is_failure
        if w.o.opened:
            client.subscribe([(topic, 0) for topic in c.topics])

    def on_subscribe(_: object, __: object, ___: object, reasons: Any, *____: object) -> None:
        if any(reason.is_failure for reason in reasons):
            w.o.trouble = f"connected, but the broker allows us none of {c.topics}: its access list"

    def on_connect_fail(*_: object) -> None:
        w.o.trouble = f"{w.o.place} is not reached: is the broker on, the port right, no firewall between?"

    def on_message(_: object, __: object, message: Any) -> None:
        loop.call_soon_threadsafe(came, message.topic, message)

    def came(topic: str, message: Any) -> None:
        w.take(message.payload)
        w.frame(message.payload, w.source(topic), retained=message.retain)

    client.on_connect, client.on_subscribe, client.on_message = on_connect, on_subscribe, on_message
    client.on_connect_fail = on_connect_fail
    client.loop_start()
    await stop.wait()
    await asyncio.to_thread(client.end)
