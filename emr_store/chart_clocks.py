"""When the clock of a box was set that an encounter's devices are heard through: paper says so, and draws no less."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

import psycopg

from clinical.sheet.content import ClockStep
from emr_store.events import WORDS
from schemas.report import Kind

STEP_MIN_S = 60  # paper has minutes: what sets a clock right by seconds moves nothing on it
_STEPPED = re.compile(r"stepped by (-?[0-9]{1,15}) ms")  # edge_agent/process.py


def clock_steps(conn: psycopg.Connection, encounter: str, since: datetime, until: datetime) -> tuple[ClockStep, ...]:
    """Those in [since, until), by time; of several boxes that stepped alike within the same minute, one.

    Times are by the clock after it was set.
    """
    found: list[ClockStep] = []
    named = {"encounter": encounter, "since": since, "until": until}
    for at, text in conn.execute(_STEPS_SQL, named):
        stepped = _STEPPED.search(text)
        step_s = 0.0 if stepped is None else int(stepped[1]) / 1000
        step = ClockStep(at=at, step_s=step_s)
        if abs(step_s) >= STEP_MIN_S and not any(_is_same(step, other) for other in found):
            found.append(step)
    return tuple(found)


def _is_same(step: ClockStep, other: ClockStep) -> bool:
    return step.at - other.at < timedelta(minutes=1) and abs(step.step_s - other.step_s) < STEP_MIN_S


_STEPS_SQL = f"""
WITH heard AS (
    SELECT DISTINCT box.device, w.valid FROM whose w JOIN device d ON d.uuid = w.device
    JOIN device box ON box.edge = d.edge AND box.claim = 'edge:' || box.edge
    WHERE w.encounter = %(encounter)s AND upper_inf(w.recorded)
        AND w.valid && tstzrange(%(since)s, %(until)s))
SELECT r.observed_at, t ->> 'text'
FROM report r CROSS JOIN LATERAL jsonb_array_elements(r.texts) AS t
WHERE r.kind = {int(Kind.EVENT)} AND {WORDS} AND r.observed_at >= %(since)s AND r.observed_at < %(until)s
    AND t ->> 'system' = 'vitalwire' AND t ->> 'code' = 'clock-step'
    AND EXISTS (SELECT FROM heard h WHERE h.device = r.device AND h.valid @> r.observed_at)
ORDER BY r.observed_at, r.batch, r.leaf
"""
