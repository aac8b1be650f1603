"""Alarm episodes: their transitions filed from the topic, the open ones read by pages."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from uuid import UUID

import psycopg

from evidence.alarm import SignedTransition
from schemas.transition import Condition, ConditionKind, Episode, Side

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class OpenEpisode(NamedTuple):
    """An episode that is open now; `condition` is code-channel-side."""

    episode: UUID
    device: UUID
    condition: str
    priority: str
    opened_at: datetime
    message: str
    late: bool
    condition_kind: str
    code: int
    channel: int
    side: str


async def file(conn: psycopg.AsyncConnection, transitions: Sequence[SignedTransition]) -> None:
    """File these, all or none; the same transition again changes nothing, and a resolved one never opens again."""
    rows = [
        (
            t.id, t.episode, t.kind, t.at_us, t.by, t.device, t.condition.kind, t.condition.code, t.condition.channel,
            t.condition.side, t.priority, t.opened_at_us, t.late, t.message, statement,
        )
        for t, statement in transitions
    ]  # fmt: skip
    episodes = sorted({t.episode for t, _ in transitions})
    async with conn.transaction(), conn.cursor() as cursor:
        await cursor.executemany(_FILE_SQL, rows)
        await cursor.execute(_OPEN_SQL, {"episodes": episodes})
        await cursor.execute(_NOT_OPEN_SQL, {"episodes": episodes})


def open_now(conn: psycopg.Connection) -> list[OpenEpisode]:
    """Open episodes, oldest first."""
    rows = conn.execute(
        "SELECT e.episode, e.device_uuid, e.condition, e.priority, e.opened_at, e.message, e.late, e.condition_kind,"
        " e.code, e.channel, e.side FROM alarm_open o"
        " CROSS JOIN LATERAL (SELECT * FROM alarm_episode a WHERE a.episode = o.episode) AS e"
        " WHERE e.resolved_at IS NULL ORDER BY e.opened_at, e.episode"
    )
    return [OpenEpisode(*r) for r in rows]


def resolved_of(conn: psycopg.Connection, episodes: Sequence[str]) -> set[str]:
    """Which of these the record has as resolved."""
    rows = conn.execute(
        "SELECT DISTINCT episode::text FROM alarm_transition WHERE kind = 'resolved' AND episode = ANY(%s::uuid[])",
        ([*episodes],),
    )
    return {r[0] for r in rows}


def as_episode(found: OpenEpisode) -> Episode:
    """As it travels."""
    condition = Condition(ConditionKind(found.condition_kind), found.code, found.channel, Side(found.side))
    return Episode(
        id=str(found.episode),
        condition=condition,
        priority=found.priority,
        opened_at_us=(found.opened_at - _EPOCH) // timedelta(microseconds=1),
        message=found.message,
        late=found.late,
    )


_FILE_SQL = """
INSERT INTO alarm_transition (transition, episode, kind, at, by, device_uuid, condition_kind, code, channel, side,
    priority, opened_at, late, message, statement)
VALUES (%s, %s, %s, to_timestamp(%s / 1e6), %s, %s, %s, %s, %s, %s, %s, to_timestamp(%s / 1e6), %s, %s, %s)
ON CONFLICT (transition) DO NOTHING
"""

_OPEN_SQL = """
INSERT INTO alarm_open SELECT e FROM unnest(%(episodes)s::uuid[]) AS u(e)
WHERE NOT EXISTS (SELECT FROM alarm_transition t WHERE t.episode = e AND t.kind = 'resolved')
ON CONFLICT DO NOTHING
"""

_NOT_OPEN_SQL = """
DELETE FROM alarm_open o USING unnest(%(episodes)s::uuid[]) AS u(e)
WHERE o.episode = e AND EXISTS (SELECT FROM alarm_transition t WHERE t.episode = e AND t.kind = 'resolved')
"""
