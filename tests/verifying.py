"""A ward for `verify`: some hundreds of reports of two patients in a store, and a copy of it for each test."""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import msgspec
import numpy as np
import psycopg
from numpy.typing import NDArray

from benchmarks.databases import drop_database
from emr_store import alarms, minutes, places, proof, registry
from emr_store.connect import open_store, open_store_async
from emr_store.log import newest_checkpoint
from emr_store.verification import Verification
from evidence.alarm import SignedTransition, sign_transition
from evidence.seal import batch_id
from evidence.verification import OutsideCheckpoint, Trust
from schemas.batch import Table
from schemas.report import (
    Alarm,
    AlarmKind,
    AlarmPriority,
    AlarmState,
    ChannelWords,
    Kind,
    Lane,
    Record,
    RecordKind,
    Report,
    Samples,
    device_id,
)
from schemas.transition import Condition, ConditionKind, Side, Transition, TransitionKind
from stream_processors.mapping import remap
from stream_processors.validation import validate_table
from tests.making import PER_MIN, PERCENT, PULSE, SPO2, T0_US, Key, report, sealed
from tests.storing import Store

SECOND_US = 1_000_000
FIRST, SECOND = "ward:monitor:1", "ward:monitor:2"  # what two patients' monitors claim to be
TEMP, DEGC = 150344, 268192


def masked(text: str) -> str:
    """Without the ids of batches, which are others in each run."""
    return re.sub(r"\bbatch [0-9a-f]{64}\b", "batch ID", text)


def revalidate(table: Table) -> tuple[NDArray[np.uint16], NDArray[np.uint8], NDArray[np.float64]]:
    """As `vitalwire verify` has it computed again."""
    found = validate_table(table, np.zeros(len(table)))
    return found.flags, found.validation_results, found.values


class Ward(Store):
    """Batches of one stream that follow each other, as an edge makes them."""

    def __init__(self, address: str) -> None:
        super().__init__(address)
        self.previous = bytes(32)

    def seal(self, *reports: Report, lane: Lane = Lane.LIVE) -> bytes:
        self.batch_no += 1
        first = sum(self.emitted.values()) + 1
        self.emitted[reports[0].device] += len(reports)
        batch = sealed(
            reports, self.edge_key, batch_no=self.batch_no, first_sequence=first, previous=self.previous, lane=lane
        )
        self.previous = batch_id(batch)
        return batch

    def fill(self, minutes_of_data: int = 3, first_us: int = T0_US) -> None:
        """Two monitors, a report a second each; 20 reports a batch, two batches a block."""
        for block in range(minutes_of_data * 3):
            at_us = first_us + block * 20 * SECOND_US
            halves = [
                self.seal(*(vitals(claim, at_us + second * SECOND_US) for second in span for claim in (FIRST, SECOND)))
                for span in (range(10), range(10, 20))
            ]
            self.write([self.validate(*halves)])
            if block % 2:
                self.seal_log(first_us + block * 60 * SECOND_US)
        self.write([self.validate(self.seal(*others(first_us)))])
        self.register()
        self.alarm()
        self.seal_log(first_us + 3600 * SECOND_US)
        summarise(self.address)

    def register(self) -> None:
        """What people do: beds, a second edge whose key is renewed and then revoked, a label."""
        edge, old, new = UUID(int=7), Key(), Key()
        first, second = str(device_id(FIRST)), str(device_id(SECOND))
        long_ago = datetime(2026, 1, 1, tzinfo=UTC)
        with self.open() as conn:
            places.assign(conn, first, "ICU-01", name="monitor 1", since=long_ago)
            places.assign(conn, second, "ICU-02")
            places.move(conn, first, "ICU-03", since=long_ago + timedelta(days=1))
            places.move(conn, first, "ICU-04")
            places.release(conn, second)
            places.rename(conn, second, "monitor two")
            registry.add_edge(conn, edge, "spare", old.public_der)
            registry.renew_edge(conn, edge, new.public_der, timedelta(days=1))
            registry.revoke_edge(conn, edge)
            (channel,) = conn.execute("SELECT channel FROM channel").fetchone() or (None,)
            registry.label_channel(conn, first, channel, "T axilla")

    def alarm(self) -> None:
        """An episode that is over, and one that is open."""
        low = Condition(ConditionKind.LIMIT, SPO2, 0, Side.LOW)
        opened = Transition(
            id=str(UUID(int=1)), episode=str(UUID(int=11)), kind=TransitionKind.OPENED, at_us=T0_US, by="limits",
            device=str(device_id(FIRST)), condition=low, priority="high", opened_at_us=T0_US, message="SpO2 89 < 90",
        )  # fmt: skip
        resolved = msgspec.structs.replace(
            opened, id=str(UUID(int=2)), kind=TransitionKind.RESOLVED, at_us=T0_US + 5_000_001, message="in limits"
        )
        other = msgspec.structs.replace(opened, id=str(UUID(int=3)), episode=str(UUID(int=13)))
        signed = [
            SignedTransition(each, sign_transition(each, self.platform.key_id, self.platform.sign))
            for each in (opened, resolved, other)
        ]

        async def run() -> None:
            async with await open_store_async(self.address) as conn:
                await alarms.file(conn, signed)

        asyncio.run(run())

    def trust(self, *checkpoints: bytes) -> Trust:
        """All that a verifier can be given."""
        outside = tuple(OutsideCheckpoint(f"edge-{i}.note", note) for i, note in enumerate(checkpoints, 1))
        return Trust((self.platform.public_der,), (self.edge_key.public_der,), outside)


def vitals(claim: str, at_us: int) -> Report:
    """Two numbers and a rhythm's name; each monitor has numbers of its own."""
    own = 1 if claim == FIRST else 2
    second = at_us // SECOND_US % 7
    records = (
        Record(SPO2, PERCENT, mantissa=90 + own + second),
        Record(PULSE, PER_MIN, mantissa=700 + 10 * own + second, exponent=-1),
        Record(kind=RecordKind.TEXT, text="VT"),
    )
    return report(claim, at_us, records)


def others(at_us: int) -> list[Report]:
    """What is no row of `report` alone: a wave, an alarm, a setting, a channel's words."""
    samples = Samples(75, 1, 1, 0, 0, bytes(150), 7500)
    alarm = Alarm("MDC_EVT_LO", AlarmState.ACTIVE, AlarmPriority.HIGH, AlarmKind.PHYSIOLOGICAL, text="SpO2 85 < 90")
    words = ChannelWords(label="T1")
    return [
        report(FIRST, at_us, [Record(150452, kind=RecordKind.SAMPLES, samples=samples)], Kind.WAVEFORM),
        report(FIRST, at_us, [Record(SPO2, PERCENT, 7, RecordKind.ALARM, mantissa=196674, alarm=alarm)], Kind.ALARM),
        report(FIRST, at_us, [Record(TEMP, DEGC, 3, mantissa=38)], Kind.SETTING),
        report(
            FIRST, at_us,
            [Record(TEMP, channel=words.number, kind=RecordKind.TEXT, text=msgspec.json.encode(words).decode())],
            Kind.DESCRIPTION,
        ),
    ]  # fmt: skip


def summarise(address: str) -> None:
    """What sums up the closed minutes."""

    async def run() -> None:
        async with await open_store_async(address) as conn:
            while await minutes.summarise(conn):
                pass

    asyncio.run(run())


def checkpoint_of(address: str) -> bytes:
    """The newest, as an edge is given it."""
    with open_store(address) as conn:
        return newest_checkpoint(conn)


@contextmanager
def copy_of(address: str) -> Iterator[str]:
    """The address of a copy of this database, whom nobody is connected to."""
    name = f"t{secrets.token_hex(8)}"
    server = urlsplit(address)._replace(path="/postgres").geturl()
    with psycopg.connect(server, autocommit=True) as conn:
        template = urlsplit(address).path[1:]
        # Nobody may be in it: not even a connection that a Store has kept, which finds another afterwards.
        conn.execute("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s", (template,))
        conn.execute(f"CREATE DATABASE {name} TEMPLATE {template}".encode())
    try:
        yield urlsplit(address)._replace(path=f"/{name}").geturl()
    finally:
        drop_database(server, name)


def verify(store: str | psycopg.Connection, trust: Trust | None = None, **scope: Any) -> Verification:
    """All steps, validation computed again."""
    with nullcontext(store) if isinstance(store, psycopg.Connection) else open_store(store) as conn:
        return proof.verify(conn, trust=trust, revalidate=revalidate, remap=remap, **scope)
