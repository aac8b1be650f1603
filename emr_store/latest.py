"""The newest values: with names for people, and in columns for the page, which reads a thousand devices each second."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import psycopg
from psycopg.rows import class_row


class LatestValue(NamedTuple):
    """The newest value of one channel of one device.

    `unit` is as sent; the value is in `nomenclature.canonical_unit` of it. `bound` is "<", "<=", ">" or ">=" where the
    device says no more than that. `text` is of a code or a text.
    """

    device: UUID
    claim: str | None
    name: str | None
    bed: str | None
    adopted: bool
    code: int
    unit: int
    channel: int
    value: float | None
    bound: str | None
    text: str | None
    decimals: int
    validity: int
    ambiguous: bool
    verdict: int
    flags: int
    observed_at: datetime
    received_at: datetime
    stored_at: datetime
    batch: int
    leaf: int


_LATEST_SQL = """
SELECT DISTINCT ON (d.device, s.code[i], s.channel[i])
    d.uuid AS device, d.claim, d.name, d.bed, d.adopted_at IS NOT NULL AS adopted, s.code[i] AS code, s.unit[i] AS unit,
    s.channel[i] AS channel, l.value[i] AS value,
    CASE l.validity[i] >> 4 & 7 WHEN 1 THEN '<' WHEN 5 THEN '<=' WHEN 2 THEN '>' WHEN 6 THEN '>=' END AS bound,
    CASE WHEN l.texts IS NOT NULL THEN (SELECT coalesce(t ->> 'text', t ->> 'bytes', t ->> 'value')
        FROM jsonb_array_elements(l.texts) AS t WHERE (t ->> 'record')::int = i - 1) END AS text,
    coalesce(get_byte(l.decimals, i - 1) - 128, 0) AS decimals, coalesce(l.validity[i] & 15, 0) AS validity,
    coalesce(l.validity[i] & 128 <> 0, false) AS ambiguous, coalesce(l.verdict[i], 0) AS verdict, l.flags,
    l.observed_at, l.received_at, l.stored_at, l.batch, l.leaf
FROM latest l JOIN device d USING (device) JOIN channel_set s USING (channel_set)
CROSS JOIN LATERAL generate_subscripts(s.code, 1) AS i
WHERE s.code[i] <> 0
ORDER BY d.device, s.code[i], s.channel[i], l.observed_at DESC, l.received_at DESC
"""


def latest(conn: psycopg.Connection) -> list[LatestValue]:
    """The newest value of each channel that has a code, device by device."""
    return conn.cursor(row_factory=class_row(LatestValue)).execute(_LATEST_SQL).fetchall()


_LABELS_SQL = """
SELECT d.uuid, c.code, c.channel, min(coalesce(nullif(c.label, ''), nullif(c.words ->> 'label', ''),
    nullif(c.words ->> 'body_site', ''), nullif(c.words ->> 'handle', ''), nullif(c.words ->> 'ordinals', '')))
FROM channel c JOIN device d USING (device) GROUP BY 1, 2, 3 HAVING count(*) = 1
"""


def channel_labels(conn: psycopg.Connection) -> dict[tuple[UUID, int, int], str]:
    """What people or the sender call each channel (device, code, number); none where two word lists share a number."""
    return {(device, code, channel): label for device, code, channel, label in conn.execute(_LABELS_SQL) if label}


# From minute to minute, by the values in the earlier one; of each channel's six newest minutes within a day.
_INTERVALS_SQL = """
SELECT d.uuid, s.code[i], s.channel[i], percentile_disc(0.5) WITHIN GROUP (ORDER BY every_ms)::int8
FROM latest l JOIN device d USING (device) JOIN channel_set s USING (channel_set)
CROSS JOIN LATERAL generate_subscripts(s.code, 1) AS i
CROSS JOIN LATERAL (
    SELECT extract(epoch FROM lead(minute) OVER (ORDER BY minute) - minute) * 1000 / count AS every_ms
    FROM (SELECT m.minute, m.count[i] AS count FROM report_minute m
          WHERE m.device = l.device AND m.channel_set = l.channel_set AND m.count[i] > 0
              AND m.minute > l.observed_at - interval '1 day' AND m.minute <= l.observed_at
          ORDER BY m.minute DESC LIMIT 6) AS newest) AS gaps
WHERE s.code[i] <> 0 AND every_ms IS NOT NULL GROUP BY 1, 2, 3
"""


def intervals(conn: psycopg.Connection) -> dict[tuple[UUID, int, int], int]:
    """How often each channel (device, code, number) has spoken of late, in ms, as far as two minutes tell it."""
    return {(device, code, channel): ms for device, code, channel, ms in conn.execute(_INTERVALS_SQL)}
