"""Delivery: how long a value takes from the port into the EMR, and how long eight hours take that the EMR missed."""

from __future__ import annotations

import asyncio
import contextlib
import random
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha256

import msgspec
import numpy as np
import psycopg

from benchmarks.chart import database, metrics, put_reports, waits_of_demo_s
from benchmarks.ward import SECOND_US, Ward
from clinical.chart import EntryKey, Origin, Source, Status, Version
from clinical.encounter import Encounter
from emr_store import chart_entries, chart_sequence, deliver
from emr_store.chart_entries import NewVersion
from emr_store.connect import open_store
from emr_store.instants import moment
from runtime.clock import now_us
from schemas.nomenclature import METRIC_BY_REFERENCE_ID, UNIT_BY_REFERENCE_ID
from stream_processors.config import DestinationConfig
from stream_processors.destinations import background_tasks

BEDS, SLOTS, ENTRIES = 1000, 96, 7  # eight hours of five minutes
SLOT_S = 300
ANSWER_S = 0.02
LIVE_EVERY_S = SLOT_S / BEDS  # a ward of that size charts a slot of some bed so often
LIMIT_S = 3600.0
NAME = "emr"
BATCH_ID = sha256(b"bench").digest()  # as put_reports has it


def device_to_emr(quick: bool) -> dict[str, float]:
    """Of the demo's ward, whose SpO2 is charted at once: from the port of its edge to the EMR, in both protocols."""
    waits_s = waits_of_demo_s(quick, _WAITS_SQL)
    if len(waits_s) < 100:
        raise RuntimeError(f"{len(waits_s)} deliveries of values that are charted at once")
    return {"device_to_emr_p99_s": float(np.percentile(waits_s, 99))}


# What is still waiting has waited until now; what is parked never arrives.
_WAITS_SQL = """
SELECT CASE WHEN d.state = 'parked' THEN 'Infinity'::float8
    ELSE extract(epoch FROM coalesce(d.settled_at, clock_timestamp()) - r.received_at)::float8 END
FROM delivery d CROSS JOIN LATERAL unnest(d.entries, d.versions) AS u(entry, version)
JOIN chart_entry c ON c.entry = u.entry AND c.version = u.version
JOIN batch b ON b.batch_id = c.source_batch[1]
JOIN report r ON r.batch = b.batch AND r.leaf = c.source_leaf[1] AND r.observed_at = c.observed_at
WHERE c.version = 1 AND c.item = 'MDC_PULS_OXIM_SAT_O2' AND b.lane = 1
    AND r.received_at > (SELECT min(recorded_at) FROM chart_entry WHERE item = 'MDC_PULS_OXIM_SAT_O2')
"""


# --- eight hours that an EMR missed ----------------------------------------------------------------------------------


def backlog(quick: bool) -> dict[str, float]:
    """Of 1,000 beds; with `quick` a tenth of the messages, and ten times the time that they took."""
    with database() as address:
        return backlog_on(address, BEDS, SLOTS // 10 if quick else SLOTS)


def backlog_on(address: str, beds: int, slots: int) -> dict[str, float]:
    """As eight hours of 1,000 beds would take, by what so many beds and slots took. Raises RuntimeError where one was
    not accepted."""
    with open_store(address) as conn:
        ward = _Charts(conn, beds, slots)
        while chart_sequence.sequence(conn):
            pass
        number = deliver.open_destination(conn, NAME, moment(0))
        while deliver.take(conn, number, preliminary=False):  # which goes on while an EMR is away
            pass
        conn.execute("VACUUM ANALYZE")
        with _receiver() as port:
            config = DestinationConfig(name=NAME, protocol="hl7v2", address=f"127.0.0.1:{port}")
            took_s = asyncio.run(_delivered(address, conn, config, ward, beds * slots))
        waits_s = [row[0] for row in conn.execute(_LIVE_WAITS_SQL, (ward.live_since,))]
    return {
        "backlog_1000_beds_8h_s": took_s * BEDS * SLOTS / (beds * slots),
        "backlog_live_p99_s": float(np.percentile(waits_s, 99)),
    }


_LIVE_WAITS_SQL = """
SELECT extract(epoch FROM coalesce(settled_at, clock_timestamp()) - recorded_at)::float8 FROM delivery
WHERE recorded_at >= %s
"""


@contextmanager
def _receiver() -> Iterator[int]:
    command = [sys.executable, "-m", "benchmarks.emr_receiver", str(ANSWER_S)]
    receiver = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert receiver.stdout is not None
        yield int(receiver.stdout.readline())
    finally:
        receiver.terminate()
        receiver.wait(10)


async def _delivered(
    address: str, conn: psycopg.Connection, config: DestinationConfig, ward: _Charts, messages: int
) -> float:
    """How long the messages of the backlog took, while the ward went on charting."""
    tasks = [asyncio.ensure_future(each) for each in background_tasks(address, [config])]
    began_s = next_live_s = time.monotonic()
    took_s = 0.0
    try:
        while True:
            await asyncio.sleep(max(0.0, next_live_s - time.monotonic()))
            next_live_s += LIVE_EVERY_S
            if await asyncio.to_thread(_waiting, conn, ward) == 0 and not took_s:
                took_s = time.monotonic() - began_s
            if took_s and await asyncio.to_thread(_has_live, conn, ward):  # a small backlog may be over before one
                return took_s
            if time.monotonic() - began_s > LIMIT_S:
                raise RuntimeError(f"{messages} messages are not accepted within {LIMIT_S:g} s")
    finally:
        for task in tasks:
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(*tasks)


def _waiting(conn: psycopg.Connection, ward: _Charts) -> int:
    """How much of the backlog is not accepted yet; a live slot is charted beside it."""
    ward.chart_live(conn)
    row = conn.execute(
        "SELECT count(*) FROM (SELECT FROM delivery WHERE state <> 'accepted' AND recorded_at < %s"
        " ORDER BY delivery LIMIT 1) AS n",
        (ward.live_since,),
    ).fetchone()
    assert row is not None
    return int(row[0])


def _has_live(conn: psycopg.Connection, ward: _Charts) -> bool:
    """Whether a live slot is on its way, or accepted."""
    row = conn.execute("SELECT EXISTS (SELECT FROM delivery WHERE recorded_at >= %s)", (ward.live_since,)).fetchone()
    assert row is not None
    return bool(row[0])


class _Charts:
    """Charts of a ward of monitors: `slots` slots that are over, and then live ones."""

    def __init__(self, conn: psycopg.Connection, beds: int, slots: int) -> None:
        self._random = random.Random(1)
        self._items = metrics()[:ENTRIES]
        self._beds = beds
        self.live_since = moment(now_us())
        end_us = now_us() // (SLOT_S * SECOND_US) * SLOT_S * SECOND_US
        ends_us = [end_us - (slots - n) * SLOT_S * SECOND_US for n in range(slots)]
        ward = Ward(0, beds)
        sent = put_reports(conn, ward, [at_us - SECOND_US for at_us in ends_us], times=1)
        self._devices = _admit(conn, ward)
        for at_us, stretch in zip(ends_us, sent, strict=True):
            observed = stretch.table().observed_at_us.tolist()
            with conn.transaction():
                chart_entries.append(conn, [
                    self._version(self._devices[device], at_us, ordinal, at_us + SECOND_US, observed[leaf], leaf)
                    for leaf, device in enumerate(stretch.device.tolist())
                    for ordinal in range(ENTRIES)
                ])  # fmt: skip
        self._newest = {device: (observed[leaf], leaf) for leaf, device in enumerate(stretch.device.tolist())}
        self._live_us = end_us
        self.live_since = moment(now_us())

    def chart_live(self, conn: psycopg.Connection) -> None:
        """A slot of some bed, out of its newest report."""
        self._live_us += 1
        device = self._random.randrange(self._beds)
        observed_us, leaf = self._newest[device]
        with conn.transaction():
            chart_entries.append(conn, [
                self._version(self._devices[device], self._live_us, ordinal, now_us(), observed_us, leaf)
                for ordinal in range(ENTRIES)
            ])  # fmt: skip

    def _version(
        self, encounter: str, at_us: int, item: int, recorded_us: int, observed_us: int, leaf: int
    ) -> NewVersion:
        metric = METRIC_BY_REFERENCE_ID[self._items[item]]
        version = Version(
            number=1, status=Status.FINAL, origin=Origin.DEVICE, value=float(self._random.randrange(36, 42)), text="",
            unit=UNIT_BY_REFERENCE_ID[metric.unit].ucum, decimals=0, observed_at_us=observed_us,
            sources=(Source(BATCH_ID, leaf, item),), reason="last valid", act_id=None, by_time=True,
            recorded_at_us=recorded_us,
        )  # fmt: skip
        key = EntryKey(encounter, self._items[item], at_us)
        return NewVersion(chart_entries.new_entry_id(), key, 1, version)


def _admit(conn: psycopg.Connection, ward: Ward) -> Sequence[str]:
    """A patient in each bed; the encounter of each device."""
    claims: dict[str, int] = dict(conn.execute("SELECT claim, device FROM device").fetchall())
    encounters = [f"visit:{claims[name]}" for name in ward.names]
    patients = [f"{claims[name]:08}^HOSP^MR" for name in ward.names]
    bodies = [
        msgspec.json.encode(Encounter(
            key=encounter, patients=(patient,), periods=(), absences=(), admitted_at_us=None, discharged_at_us=None
        )).decode()
        for encounter, patient in zip(encounters, patients, strict=True)
    ]  # fmt: skip
    with conn.transaction():
        conn.execute(_ENCOUNTERS_SQL, (encounters, patients, bodies))
        conn.execute(_PERSONS_SQL, (patients,))
    return encounters


_ENCOUNTERS_SQL = """
INSERT INTO encounter SELECT e, p, ARRAY[p], '{[2026-01-01,)}', '{}', NULL, NULL, b, tstzrange(now(), NULL)
FROM unnest(%s::text[], %s::text[], %s::text[]) AS u(e, p, b)
"""
_PERSONS_SQL = """
INSERT INTO patient_person SELECT p, '', '', '张三', '19570311', 'M', now(), '' FROM unnest(%s::text[]) AS u(p)
"""
