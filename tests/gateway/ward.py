"""A ward in a real store: sealed batches through validate and the writer, as a broker would carry them."""

from __future__ import annotations

import asyncio
import threading
import time
import uuid
from collections import Counter
from collections.abc import Collection, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any
from urllib.parse import urlsplit

import psycopg

from emr_store import alarms, minutes, places, registry
from emr_store.connect import open_store, open_store_async
from emr_store.migrate import migrate
from emr_store.signed_block import SignedBlock
from emr_store.transaction import Writer
from evidence.alarm import SignedTransition, sign_transition
from evidence.seal import FIRST_PREVIOUS, seal
from gateway.access.viewer import Licence
from gateway.access.words import Role
from gateway.people.cookies import CSRF_HEADER, csrf_token
from gateway.people.sign_in_settings import SignInSettings
from schemas import report as reports
from schemas.batch import encode_report, set_sequence
from schemas.block import Block
from schemas.nomenclature import METRICS, UNIT_BY_REFERENCE_ID, UNIT_BY_UCUM
from schemas.report import Kind, Record, Report
from schemas.transition import Condition, ConditionKind, Side, Transition, TransitionKind
from stream_processors.signed_message import open_message, sign_block
from stream_processors.validation import EdgeKey, Memory, validate
from tests.gateway.signing_in import SITE_WARD, hire, sign_in
from tests.making import Key
from vitalwire.embedded.services import free_port
from vitalwire.page import serve

EDGE = uuid.UUID(bytes=b"E" * 16)
PHYSICIAN = "D1"
METRIC = {m.short: m for m in reversed(METRICS)}
STOP_S = 5.0


class Ward:
    """Devices that speak into a fresh database."""

    def __init__(self, database: str) -> None:
        self.database = database
        self._edge, self._platform = Key(), Key()
        self._emitted: Counter[str] = Counter()
        self._batch_no = 0
        self._waiting: list[bytes] = []
        with open_store(database) as conn:
            if conn.execute("SELECT to_regclass('schema_version')").fetchone() == (None,):
                migrate(database)
            registry.note_platform_key(conn, self._platform.public_der)
            registry.add_edge(conn, EDGE, "box on ward 3", self._edge.public_der)

    def emit(self, claim: str, *, ago_s: float = 0.0, clock_s: float = 0.0, **values: str | None) -> None:
        """One report of `ago_s` ago by a device whose clock is `clock_s` ahead; None is no reading; names as NIBP_S.

        A value is in the metric's canonical unit where it states none ("5 %").
        """
        if not self._emitted[claim]:
            event = Record(kind=reports.RecordKind.TEXT, text="", as_sent=reports.AsSent("vitalwire", "connected"))
            self._add(claim, Kind.EVENT, [event], time.time(), time.time())
        received = time.time() - ago_s
        records = [_record(name.replace("_", "-"), text) for name, text in values.items()]
        self._add(claim, Kind.METRIC, records, received + clock_s, received)

    def emit_records(self, claim: str, kind: Kind, *records: Record) -> None:
        """A report of another kind, or with records that have no name."""
        self._add(claim, kind, list(records), time.time(), time.time())

    def assign(self, claim: str, bed: str, name: str) -> None:
        """As a person does with `vitalwire devices assign`, for a year back; the device must be stored."""
        with open_store(self.database) as conn:
            long_ago = datetime.now(UTC) - timedelta(days=365)
            places.assign(conn, str(reports.device_id(claim)), bed, name=name, since=long_ago)

    def alarm(
        self,
        claim: str,
        short: str,
        message: str,
        priority: str,
        *,
        opened: bool = True,
        channel: int = 0,
        late: bool = False,
        confirmed: bool = False,
    ) -> None:
        """Open, confirm or resolve an episode."""
        now, episode = time.time_ns() // 1000, str(uuid.uuid5(EDGE, f"{claim}/{short}"))
        kind = TransitionKind.OPENED if opened else TransitionKind.RESOLVED
        if confirmed:
            kind = TransitionKind.CONFIRMED
        filed = Transition(
            id=str(uuid.uuid5(EDGE, f"{episode}/{kind}")),
            episode=episode,
            kind=kind,
            at_us=now,
            by="limits",
            device=str(reports.device_id(claim)),
            condition=Condition(
                kind=ConditionKind.LIMIT,
                code=METRIC[short].code,
                channel=channel,
                side=Side.LOW if "<" in message else Side.HIGH,
            ),
            priority=priority,
            opened_at_us=now,
            message=message,
            late=late,
        )
        statement = sign_transition(filed, self._platform.key_id, self._platform.sign)

        async def run() -> None:
            async with await open_store_async(self.database) as conn:
                await alarms.file(conn, [SignedTransition(filed, statement)])

        _complete(run())

    @contextmanager
    def away(self) -> Iterator[None]:
        """The store ends every connection and takes no new one while the block lasts."""
        name = urlsplit(self.database).path[1:]
        elsewhere = urlsplit(self.database)._replace(path="/postgres").geturl()
        with psycopg.connect(elsewhere, autocommit=True) as server:
            server.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false".encode())
            server.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s AND usename = current_user",
                [name],
            )
            yield
            server.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true".encode())

    def lose(self, claim: str) -> None:
        """A report that the device says and that never comes."""
        self._emitted[claim] += 1

    def _add(self, claim: str, kind: Kind, records: list[Record], observed_s: float, received_s: float) -> None:
        observed, received = int(observed_s * 1e6), int(received_s * 1e6)
        emitted = Report(
            kind, claim, observed, received, reports.ClockQuality.DEVICE, tuple(records), device_at_us=observed
        )
        salt = uuid.uuid4().bytes
        leaf = encode_report(emitted, salt, sha256(salt).digest())
        self._emitted[claim] += 1
        set_sequence(leaf, self._emitted[claim])
        self._waiting.append(bytes(leaf))

    def store(self) -> None:
        """Seal what was said, validate it, write it."""
        now, self._batch_no = time.time_ns() // 1000, self._batch_no + 1
        message = seal(
            self._waiting, lane=reports.Lane.LIVE, edge=EDGE.bytes, spool=b"S" * 16, batch_no=self._batch_no,
            previous=FIRST_PREVIOUS, created_at_us=now, config_hash=bytes(32), key_id=self._edge.key_id,
            sign=self._edge.sign,
        )  # fmt: skip
        self._waiting = []
        known = {self._edge.key_id: EdgeKey(EDGE.bytes, self._edge.public_der, 0, 2**62, False)}
        (block,) = validate("live.raw", [message], Memory(known), now)
        assert isinstance(block, Block)
        platform = self._platform
        signed = open_message(sign_block(block, platform.key_id, platform.sign, now), platform.public_der)
        assert isinstance(signed, SignedBlock)
        with open_store(self.database) as conn:
            Writer(conn).store([signed], [])

    def summarise(self) -> None:
        """Of the minutes that are closed."""

        async def run() -> None:
            async with await open_store_async(self.database) as conn:
                await minutes.summarise(conn)

        _complete(run())


def _complete(work: Coroutine[Any, Any, None]) -> None:
    """In a thread of its own: a browser's test has a loop running in this one."""
    with ThreadPoolExecutor(1) as pool:
        pool.submit(asyncio.run, work).result()


def _record(short: str, text: str | None) -> Record:
    metric = METRIC[short]
    unit = UNIT_BY_REFERENCE_ID[metric.unit].code
    if text is None:
        return Record(metric.code, unit, validity=reports.Validity.NOT_AVAILABLE)
    numeral, _, ucum = text.partition(" ")
    parts = reports.decimal_parts(numeral)
    assert parts is not None
    unit = UNIT_BY_UCUM[ucum].code if ucum else unit
    return Record(metric.code, unit, mantissa=parts[0], exponent=parts[1])


class Page:
    """The page's server in a thread, as `vitalwire demo` has it in its loop; it can be ended and started again.

    `cookie`: the header by which somebody is signed in: at first a physician of the tests' ward.
    """

    def __init__(self, database: str) -> None:
        self.database, self.port = database, free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.sign_in(PHYSICIAN, Role.PHYSICIAN, name="Li")
        self._thread: threading.Thread | None = None

    def sign_in(
        self, staff: str, role: Role, wards: Collection[str] = (SITE_WARD,), licence: Licence = Licence.HERE,
        name: str = "",
    ) -> None:  # fmt: skip
        """From now on it is they who ask."""
        hire(self.database, staff, role, wards, licence, name)
        self.cookie = sign_in(self.database, staff)

    def start(self, settings: SignInSettings | None = None) -> None:
        self._loop, self._stop = asyncio.new_event_loop(), asyncio.Event()
        work = serve(self.database, self.port, self._stop, settings=settings)
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(work,), daemon=True)
        self._thread.start()

    @property
    def browser_cookie(self) -> dict[str, str]:
        """As Playwright takes it."""
        name, _, value = self.cookie.partition("=")
        return {"name": name, "value": value, "url": self.url}

    @property
    def csrf(self) -> str:
        """The token that an act of the cookie's session carries."""
        return csrf_token(self.cookie.partition("=")[2])

    @property
    def session_headers(self) -> dict[str, str]:
        """What a page of ours sends with an act, beside Origin and content type."""
        return {"Cookie": self.cookie, CSRF_HEADER: self.csrf}

    def stop(self) -> None:
        """In good order; it must not wait for those who look on, nor for a store that hangs."""
        if self._thread:
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join(STOP_S)
            assert not self._thread.is_alive(), "the page's server does not end"
            self._thread = None
            self._loop.close()
