"""`vitalwire scaling`: brokers, partitions, workers and disk for so many devices, from what was measured."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Annotated

import typer

from vitalwire.output import as_json, table

VALUES_A_REPORT = 12  # as a monitor says them, once a second
REPORTS_A_DEVICE_S = 1.0
WAVE_HZ = 250  # samples a second of a wave; a stretch of it is a second
ENTRIES_A_DEVICE_DAY = 24 * 12  # a chart of an item an hour
DAY_S, YEAR_DAYS = 86_400, 365
REPLICATION, IN_SYNC_MIN = 3, 2  # of each topic: a broker may be away and nothing waits
PARTITIONS_MIN = 4  # as topics are made (schemas/topics.py)
HEADROOM = 3  # a backlog drains beside live data, and one of three may be away
BROKER_DISK_SHARE = 0.5  # of a broker's disk that may be full
BROKER_BYTES_A_S = 30e6  # in and out, of one broker, with room for a rebalance: an assumption, no measurement
DEVICES_A_CELL = 20_000  # beyond it: several platforms side by side


@dataclass(frozen=True)
class Cost:
    """What one unit costs, and the command that measured it."""

    name: str
    amount: float
    unit: str
    measured_by: str


# On two cores, with Kafka, TimescaleDB and the workers on one machine. `make bench-data` makes 24.3 million reports,
# 1.44 million minutes, 3.6 million entries; sizes are PostgreSQL's own, indexes included, and nothing is compressed.
REPORT_ROW = Cost("a report's row, 12 values", 276, "bytes", "make bench-data; hypertable_size('report')")
MINUTE_ROW = Cost("a device's minute", 700, "bytes", "make bench-data; hypertable_size('report_minute')")
BATCH = Cost("a report in its sealed batch", 91, "bytes", "make bench-data; pg_total_relation_size of batch_body")
ENTRY = Cost("an entry of a chart, its place included", 1002, "bytes", "make bench-data; chart_entry, chart_sequence")
PIPELINE = Cost("from Kafka to committed rows, a core", 300_000, "values/s", "make bench NAME=pipeline_values_per_s")
CHART = Cost("charting of 1,000 devices, the goal", 0.1, "cores", "make bench NAME=chart_core_fraction_1000")
EDGE = Cost("an agent of 1,000 devices", 0.29, "cores", "make bench NAME=edge_core_fraction_1000")
WAVE_ROW = Cost("a second of a wave, its row", 152, "bytes", "make bench NAME=wave_row_bytes")
WAVE_BATCH = Cost("a sample in its sealed batch", 2.45, "bytes", "make bench NAME=wave_batch_bytes_per_sample")
WAVES = Cost("waves from sockets to rows, a core", 450_000, "samples/s", "make bench NAME=edge_wave_samples_per_s")
COSTS = (REPORT_ROW, MINUTE_ROW, BATCH, ENTRY, PIPELINE, CHART, EDGE, WAVE_ROW, WAVE_BATCH, WAVES)


@dataclass(frozen=True)
class Plan:
    """What a hospital of so many devices needs; disks in gigabytes."""

    devices: int
    waves: int  # of each device, WAVE_HZ samples a second
    cells: int  # platforms side by side; all that follows is of all of them
    values_per_s: int
    samples_per_s: int
    pipeline_cores: int
    workers: int  # processes of each stage
    partitions: int  # of each lane's two topics
    brokers: int
    broker_disk_gb: int  # of each
    reports_gb_a_year: int
    minutes_gb_a_year: int
    batches_gb_a_year: int
    entries_gb_a_year: int
    wave_rows_gb_a_year: int
    wave_batches_gb_a_year: int
    database_gb_90_days: int  # rows of reports and waves for 90 days; minutes, batches and entries for a year
    replicas: int  # of the database


def plan(devices: int, waves: int = 1) -> Plan:
    """By the costs above; `waves` of each device."""
    reports_per_s = devices * REPORTS_A_DEVICE_S
    reports_a_year = reports_per_s * DAY_S * YEAR_DAYS
    values_per_s = reports_per_s * VALUES_A_REPORT
    stretches_per_s = devices * waves
    samples_per_s = stretches_per_s * WAVE_HZ
    live_cores = values_per_s / PIPELINE.amount + samples_per_s / WAVES.amount
    cores = math.ceil(HEADROOM * live_cores + CHART.amount * devices / 1000)
    cells = math.ceil(devices / DEVICES_A_CELL)
    workers = max(cells, math.ceil(cores / 2))
    sealed_per_s = BATCH.amount * reports_per_s + WAVE_BATCH.amount * samples_per_s  # bytes
    # A batch is kept for a day in `raw` and, beside its validation, in `signed`.
    kept_on_kafka = 2 * sealed_per_s * DAY_S * REPLICATION
    bytes_a_s = 2 * sealed_per_s * (REPLICATION + 2)  # copies, and the stages that read
    brokers = max(3 * cells, math.ceil(bytes_a_s / BROKER_BYTES_A_S))
    minutes_a_year = devices * DAY_S / 60 * YEAR_DAYS
    reports_gb = REPORT_ROW.amount * reports_a_year / 1e9
    minutes_gb = MINUTE_ROW.amount * minutes_a_year / 1e9
    batches_gb = BATCH.amount * reports_a_year / 1e9
    entries_gb = ENTRY.amount * ENTRIES_A_DEVICE_DAY * devices * YEAR_DAYS / 1e9
    wave_rows_gb = WAVE_ROW.amount * stretches_per_s * DAY_S * YEAR_DAYS / 1e9
    wave_batches_gb = WAVE_BATCH.amount * samples_per_s * DAY_S * YEAR_DAYS / 1e9
    of_rows_gb = (reports_gb + wave_rows_gb) * 90 / YEAR_DAYS
    return Plan(
        devices=devices,
        waves=waves,
        cells=cells,
        values_per_s=round(values_per_s),
        samples_per_s=round(samples_per_s),
        pipeline_cores=max(2 * cells, cores),
        workers=workers,
        partitions=max(PARTITIONS_MIN, 2 ** math.ceil(math.log2(HEADROOM * math.ceil(workers / cells)))),
        brokers=brokers,
        broker_disk_gb=math.ceil(kept_on_kafka / brokers / BROKER_DISK_SHARE / 1e9),
        reports_gb_a_year=math.ceil(reports_gb),
        minutes_gb_a_year=math.ceil(minutes_gb),
        batches_gb_a_year=math.ceil(batches_gb),
        entries_gb_a_year=math.ceil(entries_gb),
        wave_rows_gb_a_year=math.ceil(wave_rows_gb),
        wave_batches_gb_a_year=math.ceil(wave_batches_gb),
        database_gb_90_days=math.ceil(of_rows_gb + minutes_gb + batches_gb + entries_gb + wave_batches_gb),
        replicas=2 * cells,
    )


WORDS = {
    "devices": "devices, a report of 12 values a second each",
    "waves": f"waves of each device, {WAVE_HZ} samples a second",
    "cells": "cells",
    "values_per_s": "values a second",
    "samples_per_s": "samples of waves a second",
    "pipeline_cores": f"cores of processors, database and brokers, {HEADROOM} times the load",
    "workers": "workers of each stage",
    "partitions": "partitions of each lane's topics, in a cell",
    "brokers": f"brokers (replication {REPLICATION}, min.insync.replicas {IN_SYNC_MIN})",
    "broker_disk_gb": "disk of each broker, GB",
    "reports_gb_a_year": "rows of reports, GB a year",
    "minutes_gb_a_year": "rows of minutes, GB a year",
    "batches_gb_a_year": "sealed batches of reports, GB a year",
    "entries_gb_a_year": "entries of charts, GB a year",
    "wave_rows_gb_a_year": "rows of waves, GB a year",
    "wave_batches_gb_a_year": "sealed batches of waves, GB a year",
    "database_gb_90_days": "database, GB: rows of reports and waves for 90 days, the rest for a year",
    "replicas": "replicas of the database, one of them for reads",
}


def lines(devices: int, waves: int = 1) -> list[tuple[str, str]]:
    """A plan as people read it."""
    found = asdict(plan(devices, waves))
    return [(words, f"{found[name]:,}") for name, words in WORDS.items()]


def scaling(
    devices: Annotated[int, typer.Option(min=1, max=1_000_000, help="monitors that speak once a second")] = 1000,
    waves: Annotated[int, typer.Option(min=0, max=12, help=f"of each, {WAVE_HZ} samples a second")] = 1,
    json: Annotated[
        bool, typer.Option("--json", help="for scripts: the plan and the costs that it is made of")
    ] = False,
) -> None:
    """What so many devices need, from measured costs: vitalwire scaling --devices 10000 --waves 3 (docs/scaling.md)."""
    if json:
        return as_json({"plan": asdict(plan(devices, waves)), "costs": [asdict(cost) for cost in COSTS]})
    table(f"For {devices:,} devices", ("what", "how much"), lines(devices, waves))
    return table("From", ("cost", "how much", "measured by"), [
        (cost.name, f"{cost.amount:,} {cost.unit}", cost.measured_by) for cost in COSTS
    ])  # fmt: skip
