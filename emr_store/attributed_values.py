"""The ledger's third equation: accepted = attributed, by each basis + nobody's + in conflict + undecided."""

from __future__ import annotations

from datetime import datetime
from typing import LiteralString

import psycopg

from clinical.attribution import Basis, State
from schemas.block import ValidationResult
from schemas.report import Kind

FOREIGN = "through another edge"  # than the one that the device belongs to, and nobody agreed
NOT_MEASURED = "not measured"  # what devices, edges and admission offices say beside values: alarms, settings, words
PARTS = (
    *(basis.value for basis in Basis if basis is not Basis.NONE),
    State.NOBODY.value, State.CONFLICT.value, State.UNDECIDED.value, FOREIGN, NOT_MEASURED,
)  # fmt: skip


def attributed_values(conn: psycopg.Connection, since: datetime | None = None) -> dict[str, int]:
    """How many accepted values there are, of each part, among the rows that were measured since then (None: all rows).

    `accepted` counts the rows without asking whose they are: the parts are its sum, unless a value had two answers or
    none. Waves are counted by `attributed_waves`. It reads every row: of a large store name a day.
    """
    return _counted(conn, _ACCEPTED_SQL, _PARTS_SQL, since)


def attributed_waves(conn: psycopg.Connection, since: datetime | None = None) -> dict[str, int]:
    """Likewise of waves, by stretches: a row of `waveform` is one, its samples stand in the sealed batch."""
    return _counted(conn, _WAVES_SQL, _PARTS_OF_WAVES_SQL, since)


def _counted(
    conn: psycopg.Connection, whole_sql: LiteralString, parts_sql: LiteralString, since: datetime | None
) -> dict[str, int]:
    asked = {"since": since}
    total = dict.fromkeys(("accepted", *PARTS), 0)
    row = conn.execute(whole_sql, asked).fetchone()
    assert row is not None
    total["accepted"] = row[0]
    for part, count in conn.execute(parts_sql, asked):
        total[part] += count
    return total


def balances(total: dict[str, int]) -> bool:
    """Whether the parts are the whole."""
    return total["accepted"] == sum(total[part] for part in PARTS)


_ACCEPTED = f"""sum(CASE WHEN r.validation_result IS NULL THEN cardinality(r.value)
    ELSE cardinality(array_positions(r.validation_result, {int(ValidationResult.ACCEPTED)}::int2)) END)"""
_SINCE = "coalesce(%(since)s::timestamptz, '-infinity')"
_ACCEPTED_SQL = f"SELECT coalesce({_ACCEPTED}, 0)::int8 FROM report r WHERE r.observed_at >= {_SINCE}"
_WAVES_SQL = f"SELECT count(*) FROM waveform r WHERE r.second >= {_SINCE}"
_WHOSE = f"""WHEN g.uuid IS NOT NULL AND e.device IS NULL THEN '{FOREIGN}'
        WHEN w.state IS NULL THEN '{State.NOBODY.value}'
        WHEN w.state = '{State.ATTRIBUTED.value}' THEN w.basis ELSE w.state END AS part"""
_PARTS_SQL = f"""
SELECT CASE WHEN r.kind <> {int(Kind.METRIC)} THEN '{NOT_MEASURED}' {_WHOSE}, {_ACCEPTED}::int8
FROM report r JOIN device d USING (device)
LEFT JOIN registered_device g ON g.uuid = d.uuid
LEFT JOIN device_edge_believed e ON e.device = r.device AND e.valid @> r.observed_at
LEFT JOIN whose w ON w.device = d.uuid AND w.valid @> r.observed_at AND upper_inf(w.recorded)
WHERE r.observed_at >= {_SINCE} GROUP BY part
"""
_PARTS_OF_WAVES_SQL = f"""
SELECT CASE {_WHOSE}, count(*)
FROM waveform r JOIN device d USING (device)
LEFT JOIN registered_device g ON g.uuid = d.uuid
LEFT JOIN device_edge_believed e ON e.device = r.device AND e.valid @> r.second
LEFT JOIN whose w ON w.device = d.uuid AND w.valid @> r.second AND upper_inf(w.recorded)
WHERE r.second >= {_SINCE} GROUP BY part
"""
