"""One page: what each bed shows now, and how old it is; the ledger beside it. Loopback and read-only.

A feed reads the store once a second, however many look on, and sends the whole picture to each as a server-sent event:
a page that missed one is right again with the next. No patient is in it: beds and devices only.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from hashlib import sha256
from importlib.resources import files
from statistics import median
from typing import Any
from uuid import UUID

import msgspec
import structlog
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from emr_store import alerts, latest, read, registry
from emr_store.connect import StoreError, open_store
from schemas.block import Verdict
from schemas.nomenclature import METRICS, UNIT_BY_REFERENCE_ID, canonical_unit

EVERY_S = 1.0
BEAT_S = 4.0  # something is sent at least so often, also while the store is away: proxies cut what is silent
END_S = 2.0
LABELS_EVERY_S = 10.0
GAPS = 5  # of a channel, that its expected interval is the median of
DECIMALS_MAX = 6  # on a screen
BATCH_DIGITS_MAX = 18  # int8
# Its own scripts and styles, nothing from anywhere else.
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self';"
    " img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store, no-transform",
    "X-Accel-Buffering": "no",
}
# Who else gives a name to this address gets nothing (DNS rebinding).
_HOSTS = ["127.0.0.1", "localhost"]
_KINDS = {"html": "text/html", "mjs": "text/javascript", "css": "text/css"}
_VERDICTS = {int(v): v.name.lower() for v in Verdict}
Channel = tuple[UUID, int, int]  # device, code, number
_log = structlog.get_logger("page")


class Cadence:
    """How often each channel speaks: by what was seen of it, and until then as `known`; as large as `latest`."""

    def __init__(self, known: Mapping[Channel, int]) -> None:
        self._known = known
        self._seen: dict[Channel, tuple[int, list[int]]] = {}

    def every_ms(self, channel: Channel, observed_ms: int) -> int | None:
        """The expected interval; None while nobody knows."""
        last, gaps = self._seen.get(channel, (observed_ms, []))
        if observed_ms > last:
            gaps = [*gaps, observed_ms - last][-GAPS:]
        self._seen[channel] = (max(last, observed_ms), gaps)
        return int(median(gaps)) if gaps else self._known.get(channel)


class Labels:
    """What channels are called, read again now and then: it changes rarely, and has a row a channel."""

    def __init__(self) -> None:
        self._found: dict[Channel, str] = {}
        self._read_at_s = -LABELS_EVERY_S

    def of(self, conn: Any) -> dict[Channel, str]:
        """As it was some seconds ago; raises StoreError."""
        if time.monotonic() - self._read_at_s >= LABELS_EVERY_S:
            self._found, self._read_at_s = latest.channel_labels(conn), time.monotonic()
        return self._found


def picture(conn: Any, cadence: Cadence, labels: Labels) -> bytes:
    """Everything the page shows, as JSON; raises StoreError."""
    known = {d.uuid: d for d in registry.devices(conn)}
    values: dict[UUID, list[dict[str, Any]]] = {d.uuid: [] for d in known.values() if d.registered_at}
    for v in latest.latest(conn):
        values.setdefault(v.device, []).append(_value(v, cadence, labels.of(conn)))
    open_alerts = alerts.open_now(conn)
    for a in open_alerts:
        values.setdefault(a.device, [])
    devices = [
        {"id": device, "claim": d and d.claim, "name": d and d.name, "bed": d and d.bed,
         "adopted": bool(d and d.bed), "values": of}
        for device, of in values.items() for d in [known.get(device)]
    ]  # fmt: skip
    # `tick` never jumps: by it a page knows how late a picture is.
    return msgspec.json.encode(
        {
            "now": _ms(time.time()),
            "tick": _ms(time.monotonic()),
            "devices": devices,
            "alerts": [{**a._asdict(), "opened_at": _ms(a.opened_at)} for a in open_alerts],
            "ledger": read.conservation(conn),
        }
    )


def _value(v: latest.LatestValue, cadence: Cadence, labels: Mapping[Channel, str]) -> dict[str, Any]:
    observed, channel = _ms(v.observed_at), (v.device, v.code, v.channel)
    stored = canonical_unit(v.code, v.unit)
    return {
        "code": v.code, "channel": v.channel, "label": labels.get(channel), "ambiguous": v.ambiguous,
        "value": v.value, "decimals": min(max(0, -v.decimals), DECIMALS_MAX), "bound": v.bound, "text": v.text,
        "unit": stored and stored.ucum, "validity": v.validity, "verdict": _VERDICTS.get(v.verdict, "unknown"),
        "flags": v.flags, "observed": observed, "received": _ms(v.received_at), "stored": _ms(v.stored_at),
        "every": cadence.every_ms(channel, observed), "batch": v.batch, "leaf": v.leaf,
    }  # fmt: skip


def _ms(moment: datetime | float) -> int:
    return int((moment.timestamp() if isinstance(moment, datetime) else moment) * 1000)


class Feed:
    """The one reader of the store; those who look on wait for its next picture."""

    def __init__(self, conninfo: str) -> None:
        self._conninfo = conninfo
        self._ended = threading.Event()
        self._picture = b""
        self._turn = asyncio.Event()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Read while the block lasts, in a thread that nobody waits for long: a store may hang."""
        loop = asyncio.get_running_loop()
        thread = threading.Thread(target=self._read, args=(loop,), name="feed", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self.end()
            await asyncio.to_thread(thread.join, END_S)

    def end(self) -> None:
        """Let go of everyone who looks on: their connections are waited for."""
        self._ended.set()
        self._turn.set()

    def _read(self, loop: asyncio.AbstractEventLoop) -> None:
        cadence, labels, away = None, Labels(), False
        while not self._ended.is_set():
            try:
                with open_store(self._conninfo) as conn:
                    cadence = cadence or Cadence(latest.intervals(conn))
                    while not self._ended.wait(EVERY_S):
                        now = picture(conn, cadence, labels)
                        if not self._ended.is_set():
                            loop.call_soon_threadsafe(self._show, now)
                        if away:
                            _log.info("store is read again")
                        away = False
            except StoreError as error:
                if not away:
                    _log.warning("store cannot be read", error=type(error).__name__)
                away = True
                self._ended.wait(EVERY_S)

    def _show(self, now: bytes) -> None:
        self._picture = now
        turn, self._turn = self._turn, asyncio.Event()
        turn.set()

    async def events(self, hello: bytes) -> AsyncIterator[bytes]:
        """For one who looks on: `hello`, then each picture that comes; a slow one gets fewer, never old ones."""
        yield b"retry: 1000\nevent: hello\ndata: " + hello + b"\n\n"
        while not self._ended.is_set():
            try:
                await asyncio.wait_for(self._turn.wait(), BEAT_S)
            except TimeoutError:
                yield b"event: beat\ndata: store away\n\n"
            else:
                yield b"data: " + self._picture + b"\n\n"


def create(conninfo: str, feed: Feed) -> Starlette:
    """The page's application."""
    static = {f.name: f.read_bytes() for f in (files("gateway") / "static").iterdir()}
    metrics = {
        m.code: {"short": m.short, "en": m.en, "zh": m.zh, "unit": UNIT_BY_REFERENCE_ID[m.unit].ucum,
                 "reference": m.reference_id, "loinc": m.loinc} for m in METRICS
    }  # fmt: skip
    # A page that is older than its server loads itself anew.
    build = sha256(b"".join(static[name] for name in sorted(static))).hexdigest()
    hello = msgspec.json.encode({"build": build, "metrics": metrics})

    def file(name: str) -> Callable[[Request], Response]:
        kind = _KINDS[name.rsplit(".", 1)[-1]]
        return lambda request: Response(static[name], media_type=f"{kind}; charset=utf-8", headers=_HEADERS)

    async def events(request: Request) -> Response:
        return StreamingResponse(feed.events(hello), media_type="text/event-stream", headers=_HEADERS)

    def answer(ask: Callable[[Any], Any]) -> Response:
        """What the store says, as JSON: 404 for nothing, 503 while it is away."""
        try:
            with open_store(conninfo) as conn:
                found = ask(conn)
        except StoreError:
            found, status = None, 503
        else:
            status = 404 if found is None else 200
        return Response(msgspec.json.encode(found or {}), status, media_type="application/json", headers=_HEADERS)

    def batch(request: Request) -> Response:
        number: str = request.path_params["batch"]
        whole = number.isdecimal() and len(number) <= BATCH_DIGITS_MAX
        return answer(lambda conn: read.origin(conn, int(number)) if whole else None)

    def device_alarms(request: Request) -> Response:
        device: UUID = request.path_params["uuid"]
        return answer(lambda conn: {"alarms": [
            {**a._asdict(), "since": _ms(a.since)} for a in read.device_alarms(conn, device)
        ]})  # fmt: skip

    return Starlette(
        routes=[
            Route("/", file("index.html")),
            *(Route(f"/{name}", file(name)) for name in static),
            Route("/events", events),
            Route("/batch/{batch}", batch),
            Route("/alarms/{uuid:uuid}", device_alarms),
        ],
        middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=_HOSTS)],
        lifespan=lambda app: feed.running(),
    )
