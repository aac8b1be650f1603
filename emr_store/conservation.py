"""The ledger as people read it: what came of each stream and device, and the equations that it must satisfy."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import msgspec
import psycopg
from psycopg.rows import class_row, dict_row

from emr_store.events import WORDS, edge_counts
from schemas.report import Kind, Lane


class Stream(NamedTuple):
    """A stream's row in the ledger; `gaps` are batch numbers that did not come though later ones did.

    `duplicates` are batches that came again and stored nothing.
    """

    edge: UUID
    label: str | None
    spool: UUID
    lane: int
    kept: str
    last_batch_no: int
    gaps: int
    reports: int
    quarantined_reports: int
    accepted: int
    missing: int
    unmapped: int
    doubtful: int
    duplicates: int
    updated_at: datetime


class Sequence(NamedTuple):
    """A device's own count against what is kept of it, in one spool."""

    spool: UUID
    device: UUID
    last: int
    stored: int


# Numbers below the highest that came, kept or not.
_GAPS_OF_STREAM = """(coalesce(upper(kept + quarantined), 1) - 1
        - coalesce((SELECT sum(upper(r) - lower(r)) FROM unnest(kept + quarantined) AS r), 0))::int8"""
_STREAMS_SQL = f"""
SELECT g.edge, e.label, g.spool, g.lane, g.kept::text AS kept,
    coalesce(upper(g.kept + g.quarantined), 1) - 1 AS last_batch_no, {_GAPS_OF_STREAM} AS gaps,
    g.reports, g.quarantined_reports, g.accepted, g.missing, g.unmapped, g.doubtful, g.duplicates, g.updated_at
FROM ledger g LEFT JOIN edge e USING (edge) ORDER BY e.label, g.spool, g.lane
"""


def streams(conn: psycopg.Connection) -> list[Stream]:
    """The ledger, a row a stream."""
    return conn.cursor(row_factory=class_row(Stream)).execute(_STREAMS_SQL).fetchall()


def sequences(conn: psycopg.Connection) -> list[Sequence]:
    """Each device's own count against what is kept."""
    sql = (
        "SELECT q.spool, d.uuid AS device, q.last, q.stored FROM sequence q JOIN device d USING (device) ORDER BY 1, 2"
    )
    return conn.cursor(row_factory=class_row(Sequence)).execute(sql).fetchall()


class _EdgeWaits(msgspec.Struct):
    """What an edge says of its spool; of batches of a lane without a receipt None where it does not say."""

    waiting_reports: int = 0
    unreceipted_batches: int = 0
    live: int | None = msgspec.field(name="unreceipted:live", default=None)
    backfill: int | None = msgspec.field(name="unreceipted:backfill", default=None)
    waveform: int | None = msgspec.field(name="unreceipted:waveform", default=None)
    adt: int | None = msgspec.field(name="unreceipted:adt", default=None)

    def evicted(self, lane: Lane, gaps: int) -> int:
        """How many of the batches that are missing in a lane it does not have any more."""
        unreceipted = getattr(self, lane.name.lower())
        return 0 if unreceipted is None else max(0, gaps - unreceipted)


def conservation(conn: psycopg.Connection) -> dict[str, int]:
    """The two equations in numbers: said = stored + quarantined + on_the_way + lost + unexplained; values by class.

    `said` counts up to the newest report of each device that has come. Of those missing before it, `on_the_way` are as
    many as may lie in the spool that their edge has now, by its own newest counts; a batch of one stream without a
    receipt hides none that is missing in another: of each such batch at least a report is unexplained. `lost` went with
    a spool that it has no longer. A quarantined batch says how many reports it holds and not whose: where no later
    report of its devices has come, their own counts do not speak of it yet. `gaps` and `gap_s` are of the last 24 h:
    how often and how long edges say that they could not listen, which no count of reports can tell.
    """
    names = ("said", "stored", "quarantined", "on_the_way", "lost", "unexplained")
    total = dict.fromkeys(names, 0)
    waits = {edge: _waits(text) for edge, _, text in edge_counts(conn)}
    for edge, current, stored, quarantined, missing, gaps in conn.execute(_SPOOLS_SQL):
        edge_waits = waits.get(edge, _EdgeWaits()) if current else _EdgeWaits()
        evicted = sum(edge_waits.evicted(Lane(int(lane)), count) for lane, count in gaps.items())
        on_the_way = missing if edge_waits.unreceipted_batches else min(missing, edge_waits.waiting_reports)
        on_the_way = max(0, min(on_the_way, missing - evicted))
        lost = 0 if current else missing
        amounts = (stored + quarantined + missing, stored, quarantined, on_the_way, lost, missing - on_the_way - lost)
        for name, amount in zip(names, amounts, strict=True):
            total[name] += amount
    return total | conn.cursor(row_factory=dict_row).execute(_CLASSES_SQL).fetchall()[0]


def _waits(text: str) -> _EdgeWaits:
    try:
        return msgspec.json.decode(text, type=_EdgeWaits)
    except msgspec.MsgspecError:
        return _EdgeWaits()


_SPOOLS_SQL = f"""
SELECT edge, updated_at = max(updated_at) OVER (PARTITION BY edge), stored, quarantined,
    greatest(said - stored - quarantined, 0), gaps
FROM (SELECT spool, min(edge::text)::uuid AS edge, sum(quarantined_reports)::int8 AS quarantined,
          max(updated_at) AS updated_at, jsonb_object_agg(lane, {_GAPS_OF_STREAM}) AS gaps
      FROM ledger GROUP BY spool) AS g
LEFT JOIN LATERAL (SELECT coalesce(sum(last), 0)::int8 AS said, coalesce(sum(stored), 0)::int8 AS stored
                   FROM sequence q WHERE q.spool = g.spool) AS q ON true
"""
_GAPS_SQL = rf"""
SELECT count(*) AS gaps, coalesce(sum(greatest(us[2]::int8 - us[1]::int8, 0)) / 1000000, 0)::int8 AS gap_s
FROM report r CROSS JOIN LATERAL regexp_match(r.texts -> 0 ->> 'text', ' from (\d{{1,18}}) to (\d{{1,18}})$') AS us
WHERE r.kind = {int(Kind.EVENT)} AND {WORDS} AND r.observed_at > now() - interval '1 day'
    AND r.texts @> '[{{"system": "vitalwire", "code": "gap"}}]'
"""
_CLASSES_SQL = f"""
SELECT * FROM (SELECT coalesce(sum(accepted), 0)::int8 AS accepted, coalesce(sum(doubtful), 0)::int8 AS doubtful,
    coalesce(sum(unmapped), 0)::int8 AS unmapped, coalesce(sum(missing), 0)::int8 AS missing FROM ledger) AS v,
    ({_GAPS_SQL}) AS g
"""
