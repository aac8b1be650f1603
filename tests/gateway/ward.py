"""A ward in a real store: sealed batches through validate, sign and the writer, as a broker would carry them."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections import Counter
from hashlib import sha256

from emr_store import alerts, registry
from emr_store.connect import open_store, open_store_async
from emr_store.migrate import migrate
from emr_store.writer import SignedBlock, Writer
from evidence.seal import FIRST_PREVIOUS, seal
from schemas.batch import encode_report, set_sequence
from schemas.block import Block
from schemas.nomenclature import METRICS, UNIT_BY_REFERENCE_ID
from schemas.report import (
    AsSent,
    ClockQuality,
    Kind,
    Lane,
    Record,
    RecordKind,
    Report,
    Validity,
    decimal_parts,
    device_id,
)
from stream_processors.sign import sign
from stream_processors.store import open_message
from stream_processors.validate import EdgeKey, Memory, validate
from tests.making import Key

EDGE = uuid.UUID(bytes=b"E" * 16)
METRIC = {m.short: m for m in reversed(METRICS)}
CODE = {short: m.code for short, m in METRIC.items()}


class Ward:
    """Devices that speak into a fresh database; `hold_back` numbers are said and never come."""

    def __init__(self, database: str) -> None:
        self.database = database
        self._edge, self._platform = Key(), Key()
        self._said: Counter[str] = Counter()
        self._batch_no = 0
        self._waiting: list[bytes] = []
        migrate(database)
        with open_store(database) as conn:
            registry.note_platform_key(conn, self._platform.public_der)
            registry.add_edge(conn, EDGE, "box on ward 3", self._edge.public_der)

    def say(self, claim: str, *, ago_s: float = 0.0, received_ago_s: float | None = None, **values: str | None) -> None:
        """One report; names are screens' (`NIBP_S`), None is no reading."""
        observed = time.time_ns() // 1000 - int(ago_s * 1e6)
        received = observed if received_ago_s is None else time.time_ns() // 1000 - int(received_ago_s * 1e6)
        records = [_record(name.replace("_", "-"), text) for name, text in values.items()]
        self._add(Report(Kind.METRIC, claim, observed, received, ClockQuality.DEVICE, tuple(records),
                         device_at_us=observed, own_time=True))  # fmt: skip

    def adopt(self, claim: str, bed: str, name: str) -> None:
        """As a person does with `vitalwire devices adopt`; the device must have spoken."""
        with open_store(self.database) as conn:
            registry.adopt(conn, str(device_id(claim)), bed, name)

    def introduce(self, claim: str) -> None:
        """The edge tells what a device claims to be."""
        record = Record(kind=RecordKind.TEXT, text="connected", as_sent=AsSent("vitalwire", "connected"))
        now = time.time_ns() // 1000
        self._add(Report(Kind.EVENT, claim, now, now, ClockQuality.RECEIVED, (record,)))

    def alarm(self, claim: str, short: str, message: str, priority: str, *, opened: bool = True) -> None:
        """Open or resolve an episode."""
        now, name = time.time_ns() // 1000, f"{claim}/{short}"
        episode = str(uuid.uuid5(EDGE, name))
        side = "low" if "<" in message else "high"
        filed = alerts.Filed(f"{episode}/{opened}", episode, str(device_id(claim)), f"{CODE[short]}-{side}", priority,
                             opened, now, now, message)  # fmt: skip

        async def run() -> None:
            async with await open_store_async(self.database) as conn:
                await alerts.file(conn, [filed])

        asyncio.run(run())

    def skip(self, claim: str) -> None:
        """A report that the device said and that never comes."""
        self._said[claim] += 1

    def _add(self, report: Report) -> None:
        salt = uuid.uuid4().bytes
        leaf = encode_report(report, salt, sha256(salt).digest())
        self._said[report.claim] += 1
        set_sequence(leaf, self._said[report.claim])
        self._waiting.append(bytes(leaf))

    def store(self) -> None:
        """Seal what was said, judge it, write it."""
        now, self._batch_no = time.time_ns() // 1000, self._batch_no + 1
        message = seal(self._waiting, lane=Lane.LIVE, edge=EDGE.bytes, spool=b"S" * 16, batch_no=self._batch_no,
                       previous=FIRST_PREVIOUS, created_at_us=now, config_hash=bytes(32), key_id=self._edge.key_id,
                       sign=self._edge.sign)  # fmt: skip
        self._waiting = []
        known = {self._edge.key_id: EdgeKey(EDGE.bytes, self._edge.public_der, 0, 2**62, False)}
        (block,) = validate("live.raw", [message], Memory(known), now)
        assert isinstance(block, Block)
        signed = open_message(
            sign(block.encode(), self._platform.key_id, self._platform.sign, now), self._platform.public_der
        )
        assert isinstance(signed, SignedBlock)

        async def run() -> None:
            async with await open_store_async(self.database) as conn:
                await Writer(conn, self._platform.key_id, self._platform.sign).store(
                    [signed], [], time.time_ns() // 1000
                )

        asyncio.run(run())


def _record(short: str, text: str | None) -> Record:
    metric = METRIC[short]
    unit = UNIT_BY_REFERENCE_ID[metric.unit].code
    if text is None:
        return Record(metric.code, unit, validity=Validity.NOT_AVAILABLE)
    parts = decimal_parts(text)
    assert parts is not None
    return Record(metric.code, unit, mantissa=parts[0], exponent=parts[1])
