"""The chart: how fast an encounter's day is read, what charting costs, how long a value takes from port to entry."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from random import Random
from typing import LiteralString
from uuid import UUID, uuid4

import msgspec
import numpy as np
import psycopg

from benchmarks import fixture
from benchmarks.asking import asking
from benchmarks.databases import drop_database
from benchmarks.load import METRICS
from benchmarks.pipeline import Bench
from benchmarks.ward import SECOND_US, Stretch, Ward
from benchmarks.whose_day import put_places, visit_of
from clinical.chart_policy import read_policies
from clinical.key_words import NO_BED_NAMES
from emr_store import chart_policies, rows
from emr_store.channel_sets import ChannelSets
from emr_store.charting import Charter
from emr_store.connect import open_store
from emr_store.instants import moment, us_of
from emr_store.partitions import Partitions
from emr_store.rows import Chunk
from gateway.access.words import Role
from gateway.pages import chart as page
from runtime.process import collect_seldom
from schemas.nomenclature import METRIC_BY_CODE
from schemas.report import device_id
from stream_processors.chart import DUE_EVERY_S
from stream_processors.validation import validate_table

SLOT_US = 1_790_000_100_000_000  # the end of a slot of five minutes
SLOT_S = 300
SLOTS = 86_400 // SLOT_S  # of a day
READS, READS_QUICK = 200, 50  # of a day, each another patient's
PORT_TO_ENTRY_S = 90  # for which the demo's ward runs
SPO2_AT_ONCE = """
zone = "UTC"
[[policy]]
metrics = ["MDC_PULS_OXIM_SAT_O2"]
when = "each"
value = "each"
"""
EVERY_FIVE_MINUTES = """
zone = "UTC"
[[policy]]
metrics = [{metrics}]
when = "every 5 min"
value = "median of the last minute"
"""


def metrics() -> list[str]:
    """The twelve that each device of the bench measures."""
    return [METRIC_BY_CODE[int(name.partition("^")[0])].reference_id for name, *_ in METRICS]


@contextmanager
def database() -> Iterator[str]:
    """One of its own, with the schema."""
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), edges=1)
        try:
            bench.make_database()
            yield bench.database
        finally:
            drop_database(bench.server, bench.name)


# --- what charting costs ---------------------------------------------------------------------------------------------


def core_fraction(quick: bool) -> dict[str, float]:
    """1,000 devices of 12 values at 1 Hz, charted every five minutes."""
    with database() as address:
        return core_fraction_on(address, 200 if quick else 1000)


def core_fraction_on(address: str, devices: int) -> dict[str, float]:
    """As a share of one core, of our process and its backend of the database, for 1,000 devices.

    Raises RuntimeError where an entry is missing.
    """
    ward = Ward(0, devices)
    with open_store(address) as conn:
        _fill(conn, ward)
        listed = ", ".join(f'"{metric}"' for metric in metrics())
        charter = Charter(conn, read_policies(EVERY_FIVE_MINUTES.format(metrics=listed)))
        charter.begin(SLOT_US - 1)
        due_us = SLOT_US + SLOT_S * SECOND_US
        conn.execute("UPDATE chart_progress SET charted_until = %s", (moment(due_us - 1),))
        pid = conn.info.backend_pid
        began_s = time.process_time() + _backend_s(pid)
        for after_s in np.arange(0, SLOT_S + DUE_EVERY_S, DUE_EVERY_S).tolist():
            charter.chart_due(due_us + int(after_s) * SECOND_US)
        spent_s = time.process_time() + _backend_s(pid) - began_s
        row = conn.execute("SELECT count(*) FROM chart_entry").fetchone()
    if row != (devices * len(METRICS),):
        raise RuntimeError(f"{row} entries of {devices} devices")
    return {"chart_core_fraction_1000": spent_s / SLOT_S * 1000 / devices}


def _backend_s(pid: int) -> float:
    """Processor time of a process of this machine."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _fill(conn: psycopg.Connection, ward: Ward) -> None:
    """What the ward sent in the slot, and whose each device is."""
    starts_us = [SLOT_US - (SLOT_S - begin_s) * SECOND_US for begin_s in range(0, SLOT_S, 60)]
    put_reports(conn, ward, starts_us, times=60)


def put_reports(conn: psycopg.Connection, ward: Ward, starts_us: Sequence[int], *, times: int) -> list[Stretch]:
    """What each device sent `times` times from these moments on, as the writer leaves it, and whose each device is."""
    edge = uuid4()
    with conn.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO device (uuid, claim, edge) VALUES (%s, %s, %s)",
            [(device_id(name), name, edge) for name in ward.names],
        )
    known: dict[UUID, int] = dict(conn.execute("SELECT uuid, device FROM device").fetchall())
    numbers = np.array([known[device_id(name)] for name in ward.names])
    conn.execute(
        "INSERT INTO batch SELECT 0, %(edge)s, %(edge)s, 1, 1, sha256('bench'), 1, 0, now(), 1, 1", {"edge": edge}
    )
    conn.execute(
        "INSERT INTO whose SELECT uuid, '[2026-01-01,)', tstzrange(now(), NULL), 'attributed', 'visit:' || device,"
        " 'p' || device, 'bed', NULL, '{}' FROM device"
    )
    conn.execute(
        "INSERT INTO encounter_bed SELECT 'visit:' || device, 'h^icu^^' || device, '[2026-01-01,)',"
        " tstzrange(now(), NULL), '', NULL, false FROM device"
    )
    sets, partitions = ChannelSets(conn), Partitions.of(conn)
    sent = []
    for start_us in starts_us:
        stretch = ward.send(start_us, times, 1)
        sent.append(stretch)
        table = stretch.table()
        found = validate_table(table, np.zeros(len(table), bool))
        nothing = np.zeros(len(table), np.int64)
        chunk = Chunk(
            table, found.flags, found.validation_results, found.values, numbers[stretch.device], nothing,
            np.arange(len(table)), table.observed_at_us, sets.number,
        )  # fmt: skip
        partitions.ensure(conn, chunk.observed_at_us)
        with conn.transaction():
            sets.ensure(chunk.channel_lists.channels)
            rows.copy(conn, "report", rows.report_rows(chunk))
    conn.execute("ANALYZE")
    return sent


# --- an encounter's day ----------------------------------------------------------------------------------------------


def flowsheet(quick: bool) -> dict[str, float]:
    """On the fixture, with as many entries as its 292 million values make in a day: of 1,000 patients, 12 metrics."""
    made = fixture.make(fixture.QUICK if quick else fixture.FULL)
    patients = fixture.DEVICES // 10 if quick else fixture.DEVICES
    return flowsheet_on(made.address, moment(made.ends_us), patients, READS_QUICK if quick else READS)


def flowsheet_on(address: str, until: datetime, patients: int, reads: int) -> dict[str, float]:
    """The day before `until` of this many patients, each once, as the flowsheet's page asks for it, to its JSON.

    Each patient has 20 handovers in the day; those, and by what is charted, are in a transaction that is never
    committed. Raises RuntimeError where entries are missing.
    """
    last_us = us_of(until) // (SLOT_S * SECOND_US) * SLOT_S * SECOND_US
    listed = ", ".join(f'"{metric}"' for metric in metrics())
    times, who = [], asking(address, Role.RECORD_OFFICE)
    collect_seldom()  # as the page's process does
    with open_store(address) as conn:
        keep_entries(conn, moment(last_us), patients)
        with conn.transaction(force_rollback=True):
            put_places(conn, until - timedelta(days=1), until, patients)
            chart_policies.note_policies(conn, EVERY_FIVE_MINUTES.format(metrics=listed))
            for number in Random(1).sample(range(patients), reads):
                began_s = time.perf_counter()
                found = page.flowsheet(conn, who, visit_of(number), SLOT_S // 60, 24, last_us // 1000, NO_BED_NAMES)
                msgspec.json.encode(found)
                times.append(time.perf_counter() - began_s)
                cells = sum(len(row["cells"]) for row in (found or {"rows": []})["rows"])
                if cells != SLOTS * len(METRICS):
                    raise RuntimeError(f"{cells} cells of a day")
    return {"flowsheet_day_p95_ms": 1000 * float(np.percentile(times, 95))}


def keep_entries(conn: psycopg.Connection, last: datetime, patients: int) -> None:
    """A day of entries as the charter writes them, written once and kept: by slot, not by encounter; one source each.

    One in twenty has a second version, of a late value. No batch has their sources: they were recorded before the
    fixture was made, and what looks at the newest of it passes them over.
    """
    begin = last - timedelta(seconds=SLOT_S * (SLOTS - 1))
    encounters = [visit_of(number) for number in range(patients)]
    with conn.transaction():
        there = conn.execute("SELECT FROM chart_entry WHERE encounter = ANY(%s) AND slot = %s", (encounters, last))
        if there.fetchone() is None:
            conn.execute("ALTER TABLE chart_entry DISABLE TRIGGER USER")
            # Of a fixture that was made anew the entries of the one before end at another moment.
            conn.execute("DELETE FROM chart_entry WHERE encounter = ANY(%s)", (encounters,))
            conn.execute(_ENTRIES_SQL, {
                "begin": begin, "slots": SLOTS, "encounters": encounters, "metrics": metrics(),
            })  # fmt: skip
            conn.execute("ALTER TABLE chart_entry ENABLE TRIGGER USER")
    conn.execute("VACUUM ANALYZE chart_entry")


_ENTRIES_SQL = """
INSERT INTO chart_entry
SELECT lpad(to_hex((s::bigint * 10000 + e) * 100 + m), 32, '0')::uuid, v, encounter, metric,
    at, 1, 'preliminary', 'device', 60 + (s + e + m + v) %% 40, '', '', 0,
    at, ARRAY[sha256(s::text::bytea)], ARRAY[e], ARRAY[0],
    'median of 60 values of the last minute', NULL, false, at
FROM generate_series(0, %(slots)s - 1) AS s
CROSS JOIN unnest(%(encounters)s::text[]) WITH ORDINALITY AS of_encounter(encounter, e)
CROSS JOIN unnest(%(metrics)s::text[]) WITH ORDINALITY AS of_metric(metric, m)
CROSS JOIN generate_series(1, CASE WHEN (s + e + m) %% 20 = 0 THEN 2 ELSE 1 END) AS v
CROSS JOIN LATERAL (SELECT %(begin)s::timestamptz + s * interval '5 minutes' AS at) AS its_end
ORDER BY s, e, m, v
"""


# --- from port to entry ----------------------------------------------------------------------------------------------


def port_to_entry(quick: bool) -> dict[str, float]:
    """Of the demo's ward, whose SpO2 is charted at once: from the port of its edge (`received_at`) to the entry."""
    waits_s = waits_of_demo_s(quick, _WAITS_SQL)
    if len(waits_s) < 100:
        raise RuntimeError(f"{len(waits_s)} entries of values that are charted at once")
    return {"port_to_entry_p99_s": float(np.percentile(waits_s, 99))}


def waits_of_demo_s(quick: bool, sql: LiteralString) -> list[float]:
    """What this statement reads last from the demo's store, while its ward's SpO2 is charted at once."""
    seconds = PORT_TO_ENTRY_S if quick else 2 * PORT_TO_ENTRY_S
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        with (Path(folder) / "log").open("w+", encoding="utf-8") as log:
            demo = subprocess.Popen(
                [sys.executable, "-m", "vitalwire", "demo", "--seconds", str(seconds), "--data", str(data)],
                stdout=log, stderr=log,
            )  # fmt: skip
            try:
                return _waits_s(demo, Path(folder) / "log", data, sql)
            finally:
                demo.terminate()
                demo.wait(120)


def _waits_s(demo: subprocess.Popen[bytes], log: Path, data: Path, sql: LiteralString) -> list[float]:
    """As of the last second of the demo that its store could be asked in."""
    found: list[float] = []
    address = ""
    while demo.poll() is None:
        time.sleep(1.0)
        if not address and (data / "edge.toml").exists():
            (data / "chart.toml").write_text(SPO2_AT_ONCE, "utf-8")
            _, _, after = log.read_text("utf-8").partition("VITALWIRE_DATABASE='")
            address = after.partition("'")[0]
        if address:
            try:
                with open_store(address) as conn:
                    found = [row[0] for row in conn.execute(sql)]
            except psycopg.Error:  # the demo is ending
                continue
    return found


# Of every entry whose value came after the first one was charted.
_WAITS_SQL = """
SELECT extract(epoch FROM c.recorded_at - r.received_at)::float8 FROM chart_entry c
JOIN batch b ON b.batch_id = c.source_batch[1]
JOIN report r ON r.batch = b.batch AND r.leaf = c.source_leaf[1] AND r.observed_at = c.observed_at
WHERE c.version = 1 AND c.item = 'MDC_PULS_OXIM_SAT_O2' AND b.lane = 1
    AND r.received_at > (SELECT min(recorded_at) FROM chart_entry WHERE item = 'MDC_PULS_OXIM_SAT_O2')
"""
