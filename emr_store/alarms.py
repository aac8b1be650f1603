"""Alarm episodes: their transitions filed from the topic, the open ones read by pages."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from uuid import UUID

import psycopg

from emr_store import acts
from emr_store.acts import Author
from evidence.act import parse_act
from evidence.alarm import SignedTransition
from schemas.errors import VitalwireError
from schemas.transition import Condition, ConditionKind, Episode, Side

EPISODE_CHARACTERS_MIN = 4
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class EndedByAct(NamedTuple):
    """What a person said of an episode: that it is over."""

    by: str
    at_us: int


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


def find_open(conn: psycopg.Connection, text: str) -> OpenEpisode:
    """The open episode of this id, or of this beginning of one; raises VitalwireError where none or several fit."""
    beginning = text.strip().lower()
    if len(beginning) < EPISODE_CHARACTERS_MIN:
        raise VitalwireError(f"{text!r} is too short: give {EPISODE_CHARACTERS_MIN} characters of the episode's id")
    found = [episode for episode in open_now(conn) if str(episode.episode).startswith(beginning)]
    if len(found) == 1:
        return found[0]
    if not found:
        raise VitalwireError(f"no open episode is {text!r}: `vitalwire alarms list` has those that are")
    raise VitalwireError(f"{len(found)} open episodes begin so: give more of the id, as `vitalwire alarms list` has it")


def end(conn: psycopg.Connection, text: str, author: Author) -> OpenEpisode:
    """Say that an open episode is over, which no value will: an act. The alarm worker emits the transition.

    Raises VitalwireError where no open episode fits, where it was said already, and where no reason is given.
    """
    if not author.why.strip():
        raise VitalwireError("an alarm is ended for a reason: --why 'monitor switched off, patient discharged'")
    with conn.transaction():
        episode, at = find_open(conn, text), acts.now(conn)
        act_id = acts.record(conn, acts.act(
            "alarm.end", author, at, episode=str(episode.episode), device=str(episode.device),
            condition=episode.condition,
        ))  # fmt: skip
        sql = "INSERT INTO alarm_end VALUES (%s, %s) ON CONFLICT DO NOTHING"
        if not conn.execute(sql, (episode.episode, act_id)).rowcount:
            raise VitalwireError("somebody has ended it already: the alarm worker emits it within half a minute")
        return episode


def ended_by_act(conn: psycopg.Connection, known: Sequence[str]) -> dict[str, EndedByAct]:
    """Of the open episodes, and of the known ones, those that a person ended."""
    rows = conn.execute(_ENDED_SQL, {"known": [*known]})
    ended = {}
    for episode, body in rows:
        act = parse_act(bytes(body))
        ended[episode] = EndedByAct(act.by, act.at_us)
    return ended


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


_ENDED_SQL = """
SELECT e.episode::text, a.body FROM alarm_end e JOIN act a USING (act_id)
WHERE e.episode = ANY(%(known)s::uuid[]) OR e.episode IN (SELECT episode FROM alarm_open)
"""

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
