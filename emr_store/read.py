"""What people and pages read: the ledger, what is dead, what has no code; latest values are in `latest`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import msgspec
import psycopg
from psycopg.rows import class_row, dict_row

from emr_store.retention import HEAD_BYTES
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


class Dead(NamedTuple):
    """A message that was not judged."""

    id: int
    at: datetime
    reason: str
    topic: str
    receipted: bool
    size: int
    replayed_at: datetime | None


class Unmapped(NamedTuple):
    """A thing that a sender calls by a name without a standard code."""

    device: UUID
    claim: str | None
    system: str
    code: str
    unit: str
    times: int
    example: str


@contextmanager
def one_moment(conn: psycopg.Connection) -> Iterator[None]:
    """What is read inside is of one moment, whatever is stored meanwhile."""
    with conn.transaction():
        conn.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        yield


class Channel(NamedTuple):
    """A channel of a device as its sender describes it; `label` is what people call it, `bed` where it stands now."""

    device: UUID
    claim: str | None
    bed: str | None
    channel: int
    code: int
    words: dict[str, object]
    label: str | None
    since: datetime


def channels(conn: psycopg.Connection) -> list[Channel]:
    """Every channel that was described, device by device."""
    sql = (
        "SELECT d.uuid AS device, d.claim, b.bed, c.channel, c.code, c.words, c.label, c.since"
        " FROM channel c JOIN device d USING (device)"
        " LEFT JOIN device_bed_believed b ON b.device = d.device AND b.valid @> clock_timestamp()"
        " ORDER BY b.bed, d.claim, d.uuid, c.code, c.since"
    )
    return conn.cursor(row_factory=class_row(Channel)).execute(sql).fetchall()


class DeviceAlarm(NamedTuple):
    """An alarm of the device itself that is active, as it said last."""

    code: int
    channel: int
    condition: str
    text: str
    priority: int
    since: datetime
    audio_paused: bool


# Of what was said of each condition within a day the newest: a device repeats what is active.
_DEVICE_ALARMS_SQL = """
SELECT code, channel, condition, text, priority, coalesce(since, observed_at) AS since, audio_paused
FROM (SELECT DISTINCT ON (a.code, a.channel, a.condition) a.* FROM device_alarm a JOIN device d USING (device)
      WHERE d.uuid = %s AND a.observed_at > now() - interval '1 day' AND a.validity & 1024 = 0
      ORDER BY a.code, a.channel, a.condition, a.observed_at DESC, a.batch DESC, a.leaf DESC, a.record DESC) AS newest
WHERE state = 1 ORDER BY priority DESC, since
"""


def device_alarms(conn: psycopg.Connection, device: UUID) -> list[DeviceAlarm]:
    """The alarms that this device itself says are active."""
    return conn.cursor(row_factory=class_row(DeviceAlarm)).execute(_DEVICE_ALARMS_SQL, (device,)).fetchall()


_STREAMS_SQL = """
SELECT g.edge, e.label, g.spool, g.lane, g.kept::text AS kept,
    coalesce(upper(g.kept + g.quarantined), 1) - 1 AS last_batch_no,
    (coalesce(upper(g.kept + g.quarantined), 1) - 1
        - coalesce((SELECT sum(upper(r) - lower(r)) FROM unnest(g.kept + g.quarantined) AS r), 0))::int8 AS gaps,
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
    waiting_reports: int = 0
    unreceipted_batches: int = 0


def conservation(conn: psycopg.Connection) -> dict[str, int]:
    """The two equations in numbers: said = stored + quarantined + on_the_way + lost + unexplained; values by class.

    `said` counts up to the newest report of each device that has come. Of those missing before it, `on_the_way` are as
    many as may lie in the spool that their edge has now, by its own newest counts; `lost` went with a spool that it has
    no longer. A quarantined batch says how many reports it holds and not whose: where no later report of its devices
    has come, their own counts do not speak of it yet. `gaps` and `gap_s` are of the last 24 h: how often and how long
    edges say that they could not listen, which no count of reports can tell.
    """
    names = ("said", "stored", "quarantined", "on_the_way", "lost", "unexplained")
    total = dict.fromkeys(names, 0)
    waits = {edge: _waits(text) for edge, _, text in edge_counts(conn)}
    for edge, current, stored, quarantined, missing in conn.execute(_SPOOLS_SQL):
        says = waits.get(edge, _EdgeWaits()) if current else _EdgeWaits()
        on_the_way = missing if says.unreceipted_batches else min(missing, says.waiting_reports)
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


# The condition of the index report_words: what is said in words, but for the edges' own counts.
_WORDS = """r.texts IS NOT NULL AND NOT r.texts @> '[{"system": "vitalwire", "code": "counts"}]'"""
_SPOOLS_SQL = """
SELECT edge, updated_at = max(updated_at) OVER (PARTITION BY edge), stored, quarantined,
    greatest(said - stored - quarantined, 0)
FROM (SELECT spool, min(edge::text)::uuid AS edge, sum(quarantined_reports)::int8 AS quarantined,
          max(updated_at) AS updated_at FROM ledger GROUP BY spool) AS g
LEFT JOIN LATERAL (SELECT coalesce(sum(last), 0)::int8 AS said, coalesce(sum(stored), 0)::int8 AS stored
                   FROM sequence q WHERE q.spool = g.spool) AS q ON true
"""
_GAPS_SQL = rf"""
SELECT count(*) AS gaps, coalesce(sum(greatest(us[2]::int8 - us[1]::int8, 0)) / 1000000, 0)::int8 AS gap_s
FROM report r CROSS JOIN LATERAL regexp_match(r.texts -> 0 ->> 'text', ' from (\d{{1,18}}) to (\d{{1,18}})$') AS us
WHERE r.kind = {int(Kind.EVENT)} AND {_WORDS} AND r.observed_at > now() - interval '1 day'
    AND r.texts @> '[{{"system": "vitalwire", "code": "gap"}}]'
"""
_CLASSES_SQL = f"""
SELECT * FROM (SELECT coalesce(sum(accepted), 0)::int8 AS accepted, coalesce(sum(doubtful), 0)::int8 AS doubtful,
    coalesce(sum(unmapped), 0)::int8 AS unmapped, coalesce(sum(missing), 0)::int8 AS missing FROM ledger) AS v,
    ({_GAPS_SQL}) AS g
"""


def dead(conn: psycopg.Connection, limit: int = 100) -> list[Dead]:
    """The newest messages that were not judged."""
    sql = (
        "SELECT id, at, reason, topic, receipted, length(message) AS size, replayed_at FROM dead"
        " ORDER BY id DESC LIMIT %s"
    )
    return conn.cursor(row_factory=class_row(Dead)).execute(sql, (limit,)).fetchall()


def dead_message(conn: psycopg.Connection, number: int) -> tuple[Dead, bytes] | None:
    """One of them with its bytes; None where there is none of this number."""
    row = conn.execute(
        "SELECT id, at, reason, topic, receipted, length(message), replayed_at, message FROM dead WHERE id = %s",
        (number,),
    ).fetchone()
    return (Dead(*row[:7]), bytes(row[7])) if row else None


def mark_replayed(conn: psycopg.Connection, number: int) -> None:
    """It was given to the processors again."""
    conn.execute("UPDATE dead SET replayed_at = now() WHERE id = %s", (number,))


UNMAPPED_OF = 100_000  # newest reports that say anything in words
_UNMAPPED_SQL = f"""
SELECT d.uuid AS device, d.claim, coalesce(t ->> 'system', '') AS system, t ->> 'code' AS code,
    coalesce(t ->> 'unit', '') AS unit, count(*) AS times,
    coalesce(min(t ->> 'text'), min(r.value[(t ->> 'record')::int + 1]::text), '') AS example
FROM (SELECT * FROM report r WHERE r.kind = 1 AND {_WORDS} ORDER BY r.observed_at DESC LIMIT {UNMAPPED_OF}) AS r
JOIN device d USING (device) CROSS JOIN LATERAL jsonb_array_elements(r.texts) AS t
WHERE t ? 'code' AND r.verdict[(t ->> 'record')::int + 1] IN (20, 21)
GROUP BY 1, 2, 3, 4, 5 ORDER BY count(*) DESC, 3, 4 LIMIT %s
"""


def unmapped(conn: psycopg.Connection, limit: int = 500) -> list[Unmapped]:
    """What senders call by names without a code, the most frequent first."""
    return conn.cursor(row_factory=class_row(Unmapped)).execute(_UNMAPPED_SQL, (limit,)).fetchall()


class EdgeSays(NamedTuple):
    """What an edge reports of itself or of one of its devices."""

    device: UUID
    claim: str | None
    edge: UUID
    observed_at: datetime
    texts: list[dict[str, object]]


_EVENTS_SQL = f"""
SELECT d.uuid AS device, d.claim, d.edge, r.observed_at, r.texts FROM report r JOIN device d USING (device)
WHERE r.kind = {int(Kind.EVENT)} AND {_WORDS} ORDER BY r.observed_at DESC LIMIT %s
"""


def events(conn: psycopg.Connection, limit: int = 50) -> list[EdgeSays]:
    """The newest events; the edges' counts are not among them."""
    return conn.cursor(row_factory=class_row(EdgeSays)).execute(_EVENTS_SQL, (limit,)).fetchall()


class Path(NamedTuple):
    """One report's way: instants of each stage; `sealed_head` is as much of its batch as its header's reading needs."""

    device: UUID
    claim: str | None
    bed: str | None
    observed_at: datetime
    received_at: datetime
    signed: bytes
    position: int
    batch_no: int
    batch_id: bytes
    lane: int
    leaf: int
    stored_at: datetime
    sealed_head: bytes


def newest_path(conn: psycopg.Connection) -> Path | None:
    """The way of the newest report that came live; None while there is none."""
    sql = (
        "SELECT d.uuid AS device, d.claim, w.bed, l.observed_at, l.received_at, s.seal AS signed, b.position,"
        " b.batch_no, b.batch_id, b.lane, l.leaf, l.stored_at, substr(b.sealed, 1, %s) AS sealed_head"
        " FROM latest l JOIN device d USING (device) JOIN batch b USING (batch) JOIN seal s USING (position)"
        " LEFT JOIN device_bed_believed w ON w.device = l.device AND w.valid @> l.observed_at"
        " WHERE b.lane = 1 ORDER BY l.stored_at DESC LIMIT 1"
    )
    return conn.cursor(row_factory=class_row(Path)).execute(sql, (HEAD_BYTES,)).fetchone()


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
WHERE r.kind = {int(Kind.EVENT)} AND {_WORDS} AND d.claim = 'edge:' || d.edge AND t ->> 'code' = 'source-trouble'
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


def origin(conn: psycopg.Connection, batch: int) -> dict[str, object] | None:
    """Where a kept batch came from, for people; None where there is none of this number."""
    row = conn.execute(
        "SELECT b.batch_no, encode(b.batch_id, 'hex'), b.edge::text, e.label, b.lane, s.seal, b.position"
        " FROM batch b JOIN seal s USING (position) LEFT JOIN edge e ON e.edge = b.edge WHERE b.batch = %s",
        (batch,),
    ).fetchone()
    if row is None:
        return None
    number, ident, edge, label, lane, seal, position = row
    return {
        "batch_no": number, "batch_id": ident, "edge": f"{label or ''} {edge}".strip(), "lane": Lane(lane).name.lower(),
        "signed_ms": read_seal(bytes(seal)).signed_at_us // 1000, "position": position,
    }  # fmt: skip
