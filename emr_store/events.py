"""What edges say of themselves and of their devices: events, their own counts, their clocks."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import msgspec
import psycopg
from psycopg.rows import class_row

from schemas.report import Kind

# With a kind that is no value's, the condition of the index report_words: what is said in words, but for the edges' own
# counts.
WORDS = """r.texts IS NOT NULL AND NOT r.texts @> '[{"system": "vitalwire", "code": "counts"}]'"""


class EdgeEvent(NamedTuple):
    """What an edge reports of itself or of one of its devices."""

    device: UUID
    claim: str | None
    edge: UUID
    observed_at: datetime
    texts: list[dict[str, object]]


_EVENTS_SQL = f"""
SELECT d.uuid AS device, d.claim, d.edge, r.observed_at, r.texts FROM report r JOIN device d USING (device)
WHERE r.kind = {int(Kind.EVENT)} AND {WORDS} ORDER BY r.observed_at DESC LIMIT %s
"""


def events(conn: psycopg.Connection, limit: int = 50) -> list[EdgeEvent]:
    """The newest events; the edges' counts are not among them."""
    return conn.cursor(row_factory=class_row(EdgeEvent)).execute(_EVENTS_SQL, (limit,)).fetchall()


# An edge speaks of itself as the device edge:<id>, and rarely of anything but its counts.
_COUNTS_SQL = f"""
SELECT d.edge, r.observed_at, r.texts -> 0 ->> 'text' FROM device d CROSS JOIN LATERAL (
    SELECT r.observed_at, r.texts FROM report r
    WHERE r.device = d.device AND r.kind = {int(Kind.EVENT)}
        AND r.texts @> '[{{"system": "vitalwire", "code": "counts"}}]'
    ORDER BY r.observed_at DESC LIMIT 1) AS r
WHERE d.claim = 'edge:' || d.edge ORDER BY d.edge
"""


def edge_counts(conn: psycopg.Connection) -> list[tuple[UUID, datetime, str]]:
    """The newest counts that each edge reported of itself: edge, when, JSON."""
    return [(edge, at, text) for edge, at, text in conn.execute(_COUNTS_SQL)]


class SourceTrouble(NamedTuple):
    """A source of an edge that does not stand, and why, as its edge said last."""

    edge: UUID
    source: str
    why: str
    since: datetime | None


_TROUBLES_SQL = f"""
SELECT DISTINCT ON (d.edge, split_part(t ->> 'text', ': ', 1)) d.edge, t ->> 'text', r.observed_at
FROM report r JOIN device d USING (device) CROSS JOIN LATERAL jsonb_array_elements(r.texts) AS t
WHERE r.kind = {int(Kind.EVENT)} AND {WORDS} AND d.claim = 'edge:' || d.edge AND t ->> 'code' = 'source-trouble'
    AND r.observed_at > now() - interval '30 days'
ORDER BY d.edge, split_part(t ->> 'text', ': ', 1), r.observed_at DESC, r.batch DESC, r.leaf DESC
"""


def sources_in_trouble(conn: psycopg.Connection) -> list[SourceTrouble]:
    """Those that stand in trouble by their edges' newest counts; why, their newest event of it says."""
    in_trouble = [
        (edge, name.removeprefix(_STATE))
        for edge, _, text in edge_counts(conn)
        for name, state in sorted(_object(text).items())
        if name.startswith(_STATE) and state == "trouble"
    ]
    if not in_trouble:
        return []
    why: dict[tuple[UUID, str], tuple[str, datetime]] = {}
    for edge, text, at in conn.execute(_TROUBLES_SQL):
        source, _, words = text.partition(": ")
        why[edge, source] = (words, at)
    return [SourceTrouble(edge, source, *why.get((edge, source), ("", None))) for edge, source in in_trouble]


_STATE = "state:"  # a source's state in the counts of its edge


def _object(text: str) -> dict[str, object]:
    try:
        return msgspec.json.decode(text, type=dict[str, object])
    except msgspec.MsgspecError:
        return {}


def edge_clocks(conn: psycopg.Connection) -> dict[UUID, float]:
    """How far each edge's clock is ahead of the broker's, in ms, as it said last."""
    return dict(conn.execute("SELECT edge, offset_ms FROM edge_clock").fetchall())
