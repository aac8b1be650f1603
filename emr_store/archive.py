"""Archived stays (归档): so many days after discharge nobody changes a chart, unless medical affairs opens it again."""

from __future__ import annotations

from datetime import datetime, timedelta

import psycopg

from emr_store import acts
from emr_store.acts import Author
from emr_store.grants import GrantRefusedError, Refusal, reason_of

REOPENED_MAX = timedelta(hours=72)


def reopened_until(conn: psycopg.Connection, encounter: str, at: datetime) -> datetime | None:
    """Until when its chart may be changed though it is archived, or soon would be; None: it was not reopened."""
    row = conn.execute(
        "SELECT max(upper(valid)) FROM archive_reopening WHERE encounter = %s AND valid @> %s", (encounter, at)
    ).fetchone()
    return row[0] if row is not None else None


def reopen(conn: psycopg.Connection, encounter: str, until: datetime, author: Author) -> None:
    """From now on, for changes of the chart; the reason is `author.why`. Raises GrantRefusedError.

    Whether the stay is there, and who may, is asked before.
    """
    who = Author(author.by, reason_of(author.why))
    with conn.transaction():
        at = acts.now(conn)
        if until <= at:
            raise GrantRefusedError(Refusal.ENDS_TOO_EARLY)
        if until > at + REOPENED_MAX:
            raise GrantRefusedError(Refusal.ENDS_TOO_LATE)
        act_id = acts.record(
            conn, acts.act("archive.reopen", who, at, encounter=encounter, until=until.isoformat())
        )  # fmt: skip
        conn.execute(
            "INSERT INTO archive_reopening (encounter, valid, reason, act_id) VALUES (%s, tstzrange(%s, %s), %s, %s)",
            (encounter, at, until, who.why, act_id),
        )
