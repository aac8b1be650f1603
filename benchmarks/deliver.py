"""Delivery: an EMR that was away for eight hours comes back, and what is charted meanwhile is not to wait for that."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from benchmarks.chart import database
from emr_store import chart_sequence, deliver_status
from emr_store.connect import open_store
from stream_processors.config import DestinationConfig
from stream_processors.destinations import background_tasks

BEDS, SLOTS, SLOT_S = 1000, 96, 300
ITEMS = ("MDC_PULS_OXIM_SAT_O2", "MDC_ECG_HEART_RATE", "MDC_RESP_RATE", "MDC_TEMP")  # of each slot
LIVE_EVERY_S, LOOK_EVERY_S = 0.5, 1.0
# A receiver that answers each message after 20 ms, in a process of its own.
RECEIVER = """\
import asyncio
async def serve(reader, writer):
    try:
        while True:
            message = await reader.readuntil(b"\\x1c\\r")
            await asyncio.sleep(0.02)
            known_as = message.split(b"|", 10)[9]
            writer.write(b"\\x0bMSH|^~\\\\&|EMR||||||ACK|1|P|2.5.1\\rMSA|AA|" + known_as + b"\\r\\x1c\\r")
    except asyncio.IncompleteReadError:
        writer.close()
async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()
asyncio.run(main())
"""


def backlog(quick: bool) -> dict[str, float]:
    """1,000 beds (a tenth of them in the quick run), over 8 connections; the time is given for 1,000."""
    beds = BEDS // 10 if quick else BEDS
    with database() as address, _receiver() as port:
        with open_store(address) as conn:
            _fill(conn, beds)
        config = DestinationConfig(
            name="emr", protocol="hl7v2", address=f"127.0.0.1:{port}", begins="2020-01-01T00:00Z", connections_max=8
        )
        took_s = asyncio.run(_deliver(address, config, beds))
        with open_store(address) as conn:
            row = conn.execute(_LATE_SQL).fetchone()
    assert row is not None
    accepted, late_s = row
    if accepted < beds * SLOTS or late_s is None:
        raise RuntimeError(f"{accepted} messages were accepted of {beds * SLOTS} and what was charted meanwhile")
    return {"backlog_1000_beds_8h_s": took_s * BEDS / beds, "backlog_live_late_s": float(late_s)}


async def _deliver(address: str, config: DestinationConfig, beds: int) -> float:
    """Until all of the eight hours is there; the seconds that it took."""
    tasks = [asyncio.ensure_future(each) for each in background_tasks(address, [config])]
    ending = asyncio.Event()
    writing = asyncio.ensure_future(_chart_meanwhile(address, beds, ending))
    began_s = time.monotonic()
    with open_store(address) as conn:
        while await asyncio.to_thread(_waiting, conn):
            await asyncio.sleep(LOOK_EVERY_S)
        took_s = time.monotonic() - began_s
        ending.set()
        await writing
        while await asyncio.to_thread(_waiting, conn):
            await asyncio.sleep(LOOK_EVERY_S)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return took_s


def _waiting(conn: psycopg.Connection) -> bool:
    """Whether anything waits, but for the few that are charted just now."""
    found = deliver_status.destinations(conn)
    return not found or found[0].last_accepted_at is None or found[0].waiting + found[0].behind > BEDS // 100


async def _chart_meanwhile(address: str, beds: int, ending: asyncio.Event) -> None:
    number = 0
    with open_store(address) as conn:
        while not ending.is_set():
            number += 1
            named = {"entry": number, "bed": number % beds, "slot": number}
            await asyncio.to_thread(conn.execute, _LIVE_SQL, named)
            await asyncio.sleep(LIVE_EVERY_S)


@contextmanager
def _receiver() -> Iterator[int]:
    """Its port."""
    process = subprocess.Popen([sys.executable, "-c", RECEIVER], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield int(process.stdout.readline())
    finally:
        process.kill()
        process.communicate()


def _fill(conn: psycopg.Connection, beds: int) -> None:
    """Patients, and what was charted of them in eight hours, oldest first."""
    conn.execute(_ENCOUNTERS_SQL, {"beds": beds})
    for slot in range(SLOTS):
        named = {"beds": beds, "slot": slot, "items": list(ITEMS), "age_s": (SLOTS - slot) * SLOT_S}
        conn.execute(_ENTRIES_SQL, named)
        while chart_sequence.sequence(conn):
            pass
    conn.execute("ANALYZE")


_ENCOUNTERS_SQL = """
INSERT INTO encounter (encounter, patient, patients, open, absent, body, recorded)
SELECT 'visit:V' || b || '^HOSP', 'P' || b || '^HOSP^MR', ARRAY['P' || b || '^HOSP^MR'], '{[2026-01-01,)}', '{}',
    '{"key":"visit:V' || b || '^HOSP","patients":[],"periods":[],"absences":[],"admitted_at_us":null,'
    '"discharged_at_us":null}', '[2026-01-01,)'
FROM generate_series(0, %(beds)s - 1) AS b
"""
_COLUMNS = """
INSERT INTO chart_entry (entry, version, encounter, item, slot, ordinal, status, origin, value, text, unit, decimals,
    observed_at, source_batch, source_leaf, source_record, reason, by_time, recorded_at)
"""
_ENTRIES_SQL = f"""{_COLUMNS}
SELECT gen_random_uuid(), 1, 'visit:V' || b || '^HOSP', i, at, 1, 'final', 'device', 97, '', '%%', 0, at, '{{a}}',
    '{{0}}', '{{0}}', '', false, now() - %(age_s)s * interval '1 s'
FROM generate_series(0, %(beds)s - 1) AS b, unnest(%(items)s::text[]) AS i,
    LATERAL (SELECT timestamptz '2026-09-01Z' + %(slot)s * interval '5 min' AS at) AS t
"""
# Of slots of their own, which say when they were charted: in 2027.
_LIVE_SQL = f"""{_COLUMNS}
SELECT gen_random_uuid(), 1, 'visit:V' || %(bed)s || '^HOSP', 'MDC_TEMP', at, 1, 'final', 'hand', 37, '', 'Cel', 0, at,
    '{{a}}', '{{0}}', '{{0}}', '', false, clock_timestamp()
FROM (SELECT timestamptz '2027-01-01Z' + %(slot)s * interval '5 min' AS at) AS t
"""
_LATE_SQL = """
SELECT count(*), extract(epoch FROM max(settled_at - recorded_at) FILTER (WHERE slot >= '2027-01-01Z'))
FROM delivery WHERE state = 'accepted'
"""
