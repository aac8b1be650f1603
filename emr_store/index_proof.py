"""Hold the rows of `device_alarm`, `device_setting` and `waveform` against the batch that they are an index over."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import psycopg
from numpy.typing import NDArray

from emr_store.device_state import alarms, settings
from emr_store.rows import stretches
from emr_store.texts import number
from evidence.verification import Finding
from schemas.batch import Table
from schemas.report import Kind

TABLES = ("waveform", "device_alarm", "device_setting")
Row = tuple[Any, ...]  # leaf, record, device, instant, then what the table says of it


def expected_rows(table: Table, at_us: NDArray[Any], values: NDArray[Any]) -> dict[str, set[Row]]:
    """The rows that this batch has in each table; `at_us` a report each, `values` the judged ones, a record each."""

    def of(report: int, record: int, *said: object) -> Row:
        return (report, record, table.device[report].tobytes(), int(at_us[report]), *said)

    waves = set()
    for report, record, s in stretches(table, np.flatnonzero(table.kind == Kind.WAVEFORM)):
        cell = int(table.record_start[report]) + record
        channel = (int(table.code[cell]), int(table.channel[cell]))
        waves.add(of(report, record, *channel, s.rate_numerator, s.rate_denominator, s.first_sample, s.count))
    return {
        "waveform": waves,
        "device_alarm": {
            of(said.report, said.record, *said[2:-1], a.condition, a.state, a.priority, a.kind, a.since_us,
               number(a.low), number(a.high), a.latched, a.audio_paused, a.text)
            for said in alarms(table) for a in [said.alarm]
        },
        "device_setting": {of(said.report, said.record, *said[2:]) for said in settings(table, values)},
    }  # fmt: skip


def kept_rows(conn: psycopg.Connection, what: str, batch: int, at_us: NDArray[Any]) -> list[Row]:
    """The rows of a table that name this batch, at the moments that its bytes speak of."""
    instants = [int(at_us.min()) - 1, int(at_us.max()) + 1]
    return conn.execute(_SQL[what].encode(), [batch, *instants]).fetchall()


def compare(
    batch: int, expected: Mapping[str, set[Row]], kept: Mapping[str, list[Row]], taken: Mapping[str, NDArray[Any]]
) -> list[Finding]:
    """What differs; rows of reports that retention took from a table (`taken`, a report each) may be gone."""
    found = []
    for what, rows in kept.items():
        missing = {row[:2] for row in expected[what].difference(rows) if not taken[what][row[0]]}
        strange = {row[:2] for row in rows if row not in expected[what]} - missing
        twice = {row[:2] for row in rows if rows.count(row) > 1} if len(set(rows)) < len(rows) else set()
        for places, why in (
            (missing, "its row is gone, or is not what was sealed"), (strange | twice, "a row that no report is behind")
        ):  # fmt: skip
            found += [Finding(f"batch {batch} leaf {leaf} record {record}", f"{what}: {why}")
                      for leaf, record in sorted(places)]  # fmt: skip
    return found


def _sql(table: str, instant: str, said: str) -> str:
    return f"""
SELECT t.leaf, t.record, uuid_send(d.uuid), (extract(epoch FROM t.{instant}) * 1000000)::int8, {said}
FROM {table} t JOIN device d USING (device)
WHERE t.batch = %s AND t.{instant} BETWEEN to_timestamp(%s / 1e6) AND to_timestamp(%s / 1e6)
"""


_SQL = {
    "waveform": _sql(
        "waveform", "second", "t.code, t.channel, t.rate_numerator, t.rate_denominator, t.first_sample, t.count"
    ),
    "device_alarm": _sql(
        "device_alarm", "observed_at",
        "t.code, t.unit, t.channel, t.validity, t.sent_code, t.condition_code, t.condition, t.state, t.priority,"
        " t.kind, (extract(epoch FROM t.since) * 1000000)::int8, t.low, t.high, t.latched, t.audio_paused, t.text",
    ),
    "device_setting": _sql(
        "device_setting", "observed_at",
        "t.code, t.unit, t.channel, t.validity, t.sent_code, t.value, t.text",
    ),
}  # fmt: skip
