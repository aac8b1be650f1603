"""Acts: what people did to the registry, written in the transaction of the deed itself.

An act enters `act` and `unlogged` unsigned; the sealer signs it and gives it its place in the log (evidence/act.py).
"""

from __future__ import annotations

import os
import pwd
import socket
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

import psycopg
from psycopg.rows import class_row

from evidence.act import Act, parse_act
from schemas.errors import LayoutError, VitalwireError


@dataclass(frozen=True)
class Author:
    """Who does something, and why; `by` is "staff:number", or "os:user@host" on the command line."""

    by: str
    why: str = ""


def this_user(why: str = "") -> Author:
    """The user of the operating system who runs this process, by its real id."""
    try:
        user = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # a container's user without a name
        user = str(os.getuid())
    return Author(f"os:{user}@{socket.gethostname()}", why)


def now(conn: psycopg.Connection) -> datetime:
    """The store's clock, by which acts are dated."""
    row = conn.execute("SELECT clock_timestamp()").fetchone()
    assert row is not None
    moment: datetime = row[0]
    return moment


def record(conn: psycopg.Connection, act: Act) -> bytes:
    """Keep an act that was just done, in the caller's transaction; its id.

    Raises VitalwireError where it cannot be said in JSON, and where there is no transaction that it would share.
    """
    if conn.info.transaction_status != psycopg.pq.TransactionStatus.INTRANS:
        raise RuntimeError("an act is recorded in the transaction of what it did, and there is none")
    try:
        body = act.body
    except LayoutError as error:
        raise VitalwireError(str(error)) from None
    conn.execute(
        "INSERT INTO act (act_id, kind, body, at) VALUES (%s, %s, %s, %s)",
        (act.act_id, act.kind, body, moment_of(act)),
    )
    conn.execute("INSERT INTO unlogged (act) VALUES (%s)", (act.act_id,))
    return act.act_id


def act(kind: str, author: Author | None, at: datetime, **details: Any) -> Act:
    """An act of this author (None: the user of this process); `details` holds what JSON can say."""
    who = author or this_user()
    return Act(kind, who.by, us_of(at), who.why, details)


def us_of(moment: datetime) -> int:
    """Microseconds since 1970-01-01 UTC."""
    since_epoch = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return (since_epoch.days * 86_400 + since_epoch.seconds) * 1_000_000 + since_epoch.microseconds


def moment_of(act: Act) -> datetime:
    """When it was done."""
    seconds, us = divmod(act.at_us, 1_000_000)
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=us)


def record_change(conn: psycopg.Connection, kind: str, author: Author, digest: bytes, **details: Any) -> bool:
    """Record an act where `digest` differs from what the last act of this kind says; whether it did.

    For what is configured in a file: the act says that a program began to work by another one.
    """
    with conn.transaction():
        # Of several processes that start at once, one records it.
        conn.execute("SELECT pg_advisory_xact_lock(%s)", (_CHANGE_LOCK,))
        row = conn.execute("SELECT body FROM act WHERE kind = %s ORDER BY at DESC LIMIT 1", (kind,)).fetchone()
        if row is not None and parse_act(bytes(row[0])).details.get("sha256") == digest.hex():
            return False
        record(conn, act(kind, author, now(conn), sha256=digest.hex(), **details))
        return True


_CHANGE_LOCK = 0x76_77_61_63


class ActRow(NamedTuple):
    """An act as kept; `act_id` in hexadecimal; `position` is its place in the log, None until the sealer came to it."""

    act_id: str
    kind: str
    by: str
    at: datetime
    why: str
    details: dict[str, Any]
    signed: bool
    position: int | None


class _Kept(NamedTuple):
    act_id: bytes
    body: bytes
    signed: bool
    position: int | None


# An act is a leaf of one log alone: a new incarnation begins a new log, and goes on with what is unlogged.
_ACTS_SQL = """
SELECT a.act_id, a.body, a.statement IS NOT NULL AS signed, max(e.position) AS position
FROM act a LEFT JOIN log_entry e USING (act_id)
WHERE a.at >= coalesce(%s::timestamptz, '-infinity') GROUP BY a.act_id ORDER BY a.at, a.act_id
"""


def acts(conn: psycopg.Connection, since: datetime | None = None) -> list[ActRow]:
    """Every act from this moment on (None: from the first), oldest first."""
    found = []
    for kept in conn.cursor(row_factory=class_row(_Kept)).execute(_ACTS_SQL, (since,)):
        recorded = parse_act(bytes(kept.body))
        found.append(ActRow(
            bytes(kept.act_id).hex(), recorded.kind, recorded.by, moment_of(recorded), recorded.why, recorded.details,
            kept.signed, kept.position,
        ))  # fmt: skip
    return found
