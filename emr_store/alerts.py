"""Alert episodes: filed from the topic, read by pages."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import psycopg

from schemas.transition import Transition


class OpenEpisode(NamedTuple):
    """An episode that is open now."""

    episode: UUID
    device: UUID
    condition: str
    priority: str
    opened_at: datetime
    message: str


async def file(conn: psycopg.AsyncConnection, transitions: Sequence[Transition]) -> None:
    """Open or resolve episodes; the same transition again changes nothing, and a resolved one never opens again.

    In whichever order the two come, the message is the opening's.
    """
    async with conn.transaction():
        for t in transitions:
            await conn.execute(
                "INSERT INTO alert_episode AS e (episode, device_uuid, condition, priority, opened_at, resolved_at,"
                " message) VALUES (%s, %s, %s, %s, to_timestamp(%s / 1e6), to_timestamp(%s / 1e6), %s)"
                " ON CONFLICT (episode) DO UPDATE SET resolved_at = coalesce(e.resolved_at, excluded.resolved_at),"
                " message = CASE WHEN excluded.resolved_at IS NULL THEN excluded.message ELSE e.message END",
                (
                    t.episode,
                    t.device,
                    t.condition,
                    t.priority,
                    t.opened_at_us,
                    None if t.opened else t.at_us,
                    t.message,
                ),
            )


def open_now(conn: psycopg.Connection) -> list[OpenEpisode]:
    """Open episodes, oldest first."""
    rows = conn.execute(
        "SELECT episode, device_uuid, condition, priority, opened_at, message FROM alert_episode"
        " WHERE resolved_at IS NULL ORDER BY opened_at"
    )
    return [OpenEpisode(*r) for r in rows]
