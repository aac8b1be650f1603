"""Who sits at a workstation: one person at a time, whoever sat there before is locked, not ended. And who is in now."""

from __future__ import annotations

from datetime import datetime

import psycopg
from psycopg.rows import class_row

from emr_store.login_sessions import SessionRow

_COLUMNS = (
    "session, principal, factor, credential, workstation, address, agent, began_at, seen_at, idle_s, ends_at,"
    " locked_at, ended_at, ended_by, end_reason"
)
# A locked one does not end by silence: nobody can do anything in it.
_OPEN = (
    "ended_at IS NULL AND ends_at > %(at)s"
    " AND (idle_s IS NULL OR locked_at IS NOT NULL OR seen_at + make_interval(secs => idle_s) > %(at)s)"
)
_DISPLAYS = "principal LIKE 'display:%%'"


def hand_over(conn: psycopg.Connection, workstation: str, principal: str, at: datetime) -> list[bytes]:
    """This person signs in there: the person's own earlier session ends, everybody else's is locked; which they were.

    A new session for the same person, not the old one anew: the browser of a workstation keeps no secret of who left.
    """
    with conn.transaction():
        values = {"workstation": workstation, "principal": principal, "at": at}
        ended = conn.execute(
            "UPDATE login_session SET ended_at = %(at)s, ended_by = principal, end_reason = 'taken up again'"
            " WHERE workstation = %(workstation)s AND principal = %(principal)s AND ended_at IS NULL"
            " RETURNING session",
            values,
        ).fetchall()
        locked = conn.execute(
            "UPDATE login_session SET locked_at = %(at)s WHERE workstation = %(workstation)s"
            f" AND ended_at IS NULL AND locked_at IS NULL AND NOT {_DISPLAYS} RETURNING session".encode(),
            values,
        ).fetchall()
    return [bytes(session) for (session,) in (*ended, *locked)]


def open_sessions(conn: psycopg.Connection, principal: str | None, at: datetime) -> list[SessionRow]:
    """Of one principal, or (None) of everybody, the newest first; displays are listed by emr_store/station_displays."""
    cursor = conn.cursor(row_factory=class_row(SessionRow))
    sql = (
        f"SELECT {_COLUMNS} FROM login_session WHERE (%(principal)s::text IS NULL OR principal = %(principal)s)"
        f" AND {_OPEN} AND NOT {_DISPLAYS} ORDER BY began_at DESC"
    )
    return cursor.execute(sql.encode(), {"principal": principal, "at": at}).fetchall()
