"""The ledger's third equation: accepted = attributed, by each basis + nobody's + in conflict + undecided."""

from __future__ import annotations

from datetime import datetime

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
    none. Waves, which the ledger counts too, have no row in `report`. It reads every row: of a large store name a day.
    """
    asked = {"since": since}
    total = dict.fromkeys(("accepted", *PARTS), 0)
    row = conn.execute(_ACCEPTED_SQL, asked).fetchone()
    assert row is not None
    total["accepted"] = row[0]
    for part, count in conn.execute(_PARTS_SQL, asked):
        total[part] += count
    return total


def balances(total: dict[str, int]) -> bool:
    """Whether the parts are the whole."""
    return total["accepted"] == sum(total[part] for part in PARTS)


# Numbers, bounds, codes and texts: the tens of a result are its class, and accepted is the first.
_ACCEPTED = f"""sum(CASE WHEN r.validation_result IS NULL THEN cardinality(r.value)
    ELSE (SELECT count(*) FROM unnest(r.validation_result) AS v WHERE v < {int(ValidationResult.MISSING)}) END)"""
_SINCE = "r.observed_at >= coalesce(%(since)s::timestamptz, '-infinity')"
_ACCEPTED_SQL = f"SELECT coalesce({_ACCEPTED}, 0)::int8 FROM report r WHERE {_SINCE}"
_PARTS_SQL = f"""
SELECT CASE WHEN r.kind <> {int(Kind.METRIC)} THEN '{NOT_MEASURED}'
        WHEN g.uuid IS NOT NULL AND e.device IS NULL THEN '{FOREIGN}'
        WHEN w.state IS NULL THEN '{State.NOBODY.value}'
        WHEN w.state = '{State.ATTRIBUTED.value}' THEN w.basis ELSE w.state END AS part, {_ACCEPTED}::int8
FROM report r JOIN device d USING (device)
LEFT JOIN registered_device g ON g.uuid = d.uuid
LEFT JOIN device_edge_believed e ON e.device = r.device AND e.valid @> r.observed_at
LEFT JOIN whose w ON w.device = d.uuid AND w.valid @> r.observed_at AND upper_inf(w.recorded)
WHERE {_SINCE} GROUP BY part
"""
