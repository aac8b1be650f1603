"""Why nothing arrives: what is seen at one source, and one verdict in plain words.

`diagnosis` is pure; `Watcher` counts what comes over the real link and out of the real session, which polls and does
what else a link needs to stand. Nothing is kept, and so no message is acknowledged: its sender keeps it. MQTT is
listened to in a session of its own, beside the agent's.
"""

from __future__ import annotations

import asyncio
import errno
import itertools
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, NamedTuple

from adapters.devices import hl7_adt, scan_json
from adapters.driver import Source
from adapters.sessions.mllp import MllpSession
from edge_agent.agent import read_frame
from edge_agent.config import MqttLink, SerialLink, TcpLink
from edge_agent.conversation import Conversation, Keeper, Line
from edge_agent.delivery import Answer, Delivery
from edge_agent.holders import holder_of, listener_on
from edge_agent.links.address import split_address
from edge_agent.links.mqtt import MqttBroker, client_id
from edge_agent.links.owner import LinkError
from edge_agent.recording import Tap
from edge_agent.sources import SourcePlan, link_type
from edge_agent.supervisor import Link, link_of
from runtime.errors import UserError
from runtime.logs import printable
from schemas.nomenclature import METRIC_BY_CODE, UNIT_BY_CODE
from schemas.report import Kind, Record, RecordKind, Validity

SILENT_S = 10.0  # after values: longer than any monitor waits between two
RECONNECT_S = 0.5  # after a gateway ended its connection in good order
CLAIMS_MAX = 500
START_BLOCK = "0b"
TLS_HANDSHAKE = "16 03"  # RFC 8446 section 5.1: a record's type and version


@dataclass
class SourceObservation:
    """What was seen at a source; `trouble` says why it could not be opened, `held_by` who has it."""

    source: str
    transport: str
    place: str
    seconds: float = 0.0
    opened: bool = False  # the port is open, we listen, or the other side has answered
    trouble: str = ""
    held_by: str = ""
    refused: str = ""  # by the MQTT broker, in its words
    is_mllp: bool = False
    connections: int = 0  # senders that came, or the gateway that we reached
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
    adt: int = 0  # what an admission office or a scanner said of a patient
    claims: dict[str, None] = field(default_factory=dict)  # of the devices that spoke
    last_stored: str | None = None  # age of the newest value of these in the store; "" none, None: nobody asked
    unregistered: str = ""  # one of these that is stored and that nobody has registered
    why_not_stored: str = ""


class Diagnosis(NamedTuple):
    """One slug for scripts, one line for people."""

    slug: str
    text: str


def diagnosis(o: SourceObservation) -> Diagnosis:
    """The nearest thing that is wrong on the way from the socket to the record."""
    slug, text = next(itertools.chain(_at_the_port(o), _on_the_wire(o), _in_the_frames(o), _at_the_store(o)))
    if o.frames and o.bad:
        text += f" ({sum(o.bad.values())} beside {o.frames} good frames cannot be read: {_reasons(o)})"
    return Diagnosis(slug, text)


Found = Iterator[tuple[str, str]]


def _at_the_port(o: SourceObservation) -> Found:
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
    if o.transport == "tcp" and not o.connections:
        yield "nobody", f"nobody has connected: is the sender set to {o.place}, and no firewall between?"


def _on_the_wire(o: SourceObservation) -> Found:
    if o.frames:
        return
    if not o.bytes:
        yield (
            "no-bytes",
            {
                "serial": f"port opens, 0 bytes in {o.seconds:.0f} s: cable or null-modem",
                "tcp": f"a sender is connected, 0 bytes in {o.seconds:.0f} s: is its export switched on?",
            }.get(o.transport, "connected, but nothing on this topic"),
        )
    if o.is_mllp:
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


def _in_the_frames(o: SourceObservation) -> Found:
    if o.retained == o.frames:
        yield "retained", "only retained messages, said some time ago: nobody is sending now"
    if not o.values and o.adt:
        yield "adt", f"who is where is read here ({o.adt} said of a patient); watching stores nothing"
    if not o.values and o.transport == "udp":
        yield (
            "no-values",
            "the monitor answers, but sends no values: is another client, or our agent, associated with it?",
        )
    if not o.values:
        yield "no-values", "frames come, but no values in them: patients and events only"
    if not o.coded:
        yield "no-code", "connected, frames come, but no value has a code: see `vitalwire mapping unmapped`"
    if o.silent_s is not None and o.silent_s > SILENT_S:
        yield "silent", f"values came, and then nothing for {o.silent_s:.0f} s: unplugged, or switched off?"
    if not o.readings:
        yield "no-reading", "the device speaks and says that it has no reading: sensor, lead or finger off"


def _at_the_store(o: SourceObservation) -> Found:
    if o.last_stored is None:
        why = o.why_not_stored or "watching stores nothing, `vitalwire edge run` does"
        yield "read", f"values are read here; not stored: {why}"
    elif not o.last_stored:
        yield "not-stored", f"values are {'not' if o.held_by else 'read here; not'} stored: {o.why_not_stored}"
    elif o.unregistered:
        mend = f"vitalwire devices assign '{o.unregistered}' --bed 'ICU-07'"
        yield "unregistered", f"values stored, device not registered: {mend}"
    else:
        yield "stored", f"values are stored, the last {o.last_stored} ago, and the device is registered"


def _reasons(o: SourceObservation) -> str:
    return ", ".join(f"{reason} {count}x" for reason, count in o.bad.most_common(3))


class _LookingTap(Tap):
    """Shows bytes as they come, and passes them on to nobody."""

    def __init__(self, take: Callable[[bytes], None]) -> None:
        super().__init__()
        self._take, self.is_used = take, True

    def incoming(self, connection: int, data: bytes) -> None:
        self._take(data)


class Watcher:
    """The owner of a source's link that only looks; `show` gets a kind (bytes, frame, values) and a line for people."""

    keeps = False

    def __init__(self, plan: SourcePlan, show: Callable[[str, str], None] = lambda _, __: None) -> None:
        self.name, self.plan = plan.name, plan
        self.tap: Tap = _LookingTap(self._take_bytes)
        self.keeper: Keeper = self
        kind = link_type(plan.link)
        self.o = SourceObservation(plan.name, kind, plan.link.address)
        make_session = plan.driver.session
        self.o.is_mllp = make_session is not None and isinstance(make_session(plan.settings), MllpSession)
        self._show = show
        self._conversations: list[Conversation] = []
        self._began_s, self._last_s = time.monotonic(), 0.0

    def look(self) -> SourceObservation:
        """What was seen so far."""
        now_s = time.monotonic()
        self.o.seconds, self.o.silent_s = now_s - self._began_s, now_s - self._last_s if self.o.bytes else None
        self.o.pending = any(c.phase not in ("", "waiting", "keeping") for c in self._conversations)
        return self.o

    # --- as the owner of its link -------------------------------------------------------------------------------------

    def stands(self) -> None:
        """The port is open, we listen, or the other side has answered."""
        self.o.opened, self.o.trouble, self.o.refused = True, "", ""

    def troubled(self, why: str, refused: str = "") -> None:
        """It does not stand."""
        self.o.opened, self.o.trouble, self.o.refused = False, why, refused

    def emit(self, code: str, text: str) -> None:
        """Nothing is kept."""

    def count(self, name: str) -> None:
        """Something to be counted with the source's counts."""
        self.plan.counts[name] += 1

    def source(self, peer: str) -> Source[Any]:
        """What the driver is told of a connection or a topic."""
        return self.plan.source(peer)

    def converse(self, line: Line, peer: str) -> Conversation:
        """A connection's conversation, in the protocol of the source's driver."""
        self.o.connections += 1
        made = Conversation(self.plan.session(), line, self.source(peer), self.keeper, self.tap)
        self._conversations.append(made)
        return made

    # --- as the keeper of its conversations ---------------------------------------------------------------------------

    def carry(self, delivery: Delivery, answer: Answer) -> None:
        """A frame, or bytes that are none; nobody is answered."""
        _, why, reports = read_frame(self.plan, delivery)
        delivery.source.take_emitted()
        data = delivery.frame
        shown = f"{len(data)} bytes" if b"\0" in data else printable(data, 120)  # binary ones were shown in hex
        self._show("frame", f"{shown}  ← {why}" if why else shown)
        if why:
            self.o.bad[why] += 1
            return
        self.o.frames += 1
        self.o.retained += delivery.retained
        for report in reports:
            self.o.adt += report.claim.startswith((hl7_adt.CLAIM_PREFIX, scan_json.CLAIM_PREFIX))
            if len(self.o.claims) < CLAIMS_MAX and report.kind is not Kind.CONTEXT:
                self.o.claims[report.claim] = None
            numbers = [r for r in report.records if report.kind is Kind.METRIC and r.kind is RecordKind.NUMERIC]
            self.o.values += len(numbers)
            self.o.coded += sum(r.code != 0 for r in numbers)
            self.o.readings += sum(r.validity is not Validity.NOT_AVAILABLE for r in numbers)
            if numbers:
                self._show("values", f"{', '.join(map(in_words, numbers))}  from {report.claim}")

    def prove(self, connection: int, tokens: range) -> None:
        """Nothing is kept."""

    def session_failed(self, error: Exception) -> None:
        """The session raised, which is a bug: its connection ends."""
        self.o.bad[f"session-error {type(error).__name__}"] += 1

    def _take_bytes(self, data: bytes) -> None:
        self.o.head = self.o.head or data[:16].hex(" ")
        self.o.bytes += len(data)
        self._last_s = time.monotonic()
        self._show("bytes", data[:24].hex(" ") + (" …" if len(data) > 24 else ""))


def in_words(record: Record) -> str:
    """A numeric record as people say it: SpO2 97 %."""
    metric, unit = METRIC_BY_CODE.get(record.code), UNIT_BY_CODE.get(record.unit)
    sent = record.as_sent
    name = metric.short if metric else f"{sent.code if sent else '?'} (no code)"
    if record.validity is Validity.NOT_AVAILABLE:
        return f"{name} --"
    number = Decimal(record.mantissa).scaleb(record.exponent)
    return f"{name} {number:f} {unit.ucum if unit else sent.unit if sent else ''}".rstrip()


async def watch(w: Watcher, stop: asyncio.Event) -> None:
    """Watch until `stop`, or until the link cannot be had; what hinders it stands in the observation."""
    link = w.plan.link
    if isinstance(link, SerialLink) and "://" not in link.port and (holder := holder_of(link.port)):
        w.o.held_by = str(holder)  # also without a lock: each of two readers gets half of the bytes
        return
    work = asyncio.ensure_future(_run(w, _link_to_watch(w.plan)))
    stopped = asyncio.ensure_future(stop.wait())
    await asyncio.wait([work, stopped], return_when=asyncio.FIRST_COMPLETED)
    for task in (work, stopped):
        task.cancel()
    await asyncio.gather(work, stopped, return_exceptions=True)


def _link_to_watch(plan: SourcePlan) -> Link:
    """The link as the agent has it; a broker in a session of its own, at QoS 0."""
    if isinstance(plan.link, MqttLink):
        return MqttBroker(plan.link, client_id("watch", plan.name), lasting=False)
    return link_of(plan, "")


async def _run(w: Watcher, link: Link) -> None:
    try:
        while True:
            await link.run(w)
            await asyncio.sleep(RECONNECT_S)
    except LinkError as error:
        cause = error.__cause__
        if isinstance(w.plan.link, TcpLink) and isinstance(cause, OSError) and cause.errno == errno.EADDRINUSE:
            w.o.held_by = str(listener_on(split_address(w.o.place)[1]) or "")
        w.troubled(str(error))
    except (UserError, OSError) as error:
        w.troubled(str(error))
