"""The alarms of the platform: each transition as people read it, held against the statement that was signed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

import psycopg

from emr_store.verification import Verification
from evidence import statement
from evidence.act import Act
from evidence.alarm import TRANSITION_MAGIC, read_transition
from evidence.verification import KeyRing
from schemas.errors import LayoutError

_FETCH = 2000


class _Row(NamedTuple):
    transition: str
    episode: str
    kind: str
    at_us: int
    by: str
    device: str
    condition_kind: str
    code: int
    channel: int
    side: str
    priority: str
    opened_at_us: int
    late: bool
    message: str


def check_alarms(
    conn: psycopg.Connection, since: datetime | None, acts: Sequence[Act], keys: KeyRing, result: Verification
) -> None:
    """Step 6, alarms: what was filed from `since` on (None: all) is what the platform signed; what is open is open.

    What a person ended has its act.
    """
    ended = {act.details.get("episode") for act in acts if act.kind == "alarm.end"}
    with conn.cursor(name="transitions", binary=True) as cursor:
        cursor.itersize = _FETCH
        for *columns, signed in cursor.execute(_TRANSITIONS_SQL, (since,)):
            row = _Row(*columns)
            result.counts["alarm_transition"] += 1
            where = f"alarm transition {row.transition} ({row.kind}: {row.message})"
            result.add(where, *_problems(row, signed, keys))
            if row.by == "act" and row.episode not in ended:
                result.add(where, "no act in the log has its episode ended")
            if result.is_full:
                return
    for (episode,) in conn.execute(_OPEN_SQL).fetchall():
        result.add(f"alarm episode {episode}", "the list of open episodes does not agree with its transitions")


def _problems(row: _Row, signed: bytes, keys: KeyRing) -> list[str]:
    try:
        public_der = keys.get(statement.decode(bytes(signed), TRANSITION_MAGIC).key_id)
        if public_der is None:
            return ["a key that is not the platform's signed it"]
        transition = read_transition(bytes(signed), public_der).transition
    except LayoutError as error:
        return [f"the platform's key did not sign it ({error})"]
    sealed = _Row(
        transition.id, transition.episode, transition.kind.value, transition.at_us, transition.by, transition.device,
        transition.condition.kind.value,
        transition.condition.code, transition.condition.channel, transition.condition.side.value, transition.priority,
        transition.opened_at_us, transition.late, transition.message,
    )  # fmt: skip
    return [
        f"its {name} is not what was signed"
        for name, kept, expected in zip(_Row._fields, row, sealed, strict=True)
        if kept != expected
    ]


_TRANSITIONS_SQL = """
SELECT transition::text, episode::text, kind, (extract(epoch FROM at) * 1000000)::int8, by, device_uuid::text,
    condition_kind, code, channel, side, priority, (extract(epoch FROM opened_at) * 1000000)::int8, late, message,
    statement
FROM alarm_transition WHERE filed_at >= coalesce(%s::timestamptz, '-infinity') ORDER BY filed_at, transition
"""
_OPEN_SQL = """
SELECT coalesce(o.episode, t.episode) FROM alarm_open o FULL JOIN (
    SELECT episode FROM alarm_transition GROUP BY episode HAVING NOT bool_or(kind = 'resolved')) AS t USING (episode)
WHERE o.episode IS NULL OR t.episode IS NULL ORDER BY 1
"""
