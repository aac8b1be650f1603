"""Sessions that an OpenID provider ends: by its sid, or all of a person by its sub, once for each token."""

from __future__ import annotations

from datetime import datetime

import psycopg


def end_sessions(
    conn: psycopg.Connection, issuer: str, jti: str, sid: str | None, sub: str | None, at: datetime
) -> list[bytes] | None:
    """Ids of the sessions that ended by this token; None where it was used before.

    A sid with a sub names both, where the session has a sid.
    """
    with conn.transaction():
        used = conn.execute(
            "INSERT INTO provider_logout (issuer, jti, used_at) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING",
            (issuer, jti, at),
        )
        if used.rowcount == 0:
            return None
        rows = conn.execute(
            "UPDATE login_session SET ended_at = %(at)s, ended_by = 'provider', end_reason = 'back-channel logout'"
            " WHERE ended_at IS NULL AND issuer = %(issuer)s"
            " AND (%(sid)s::text IS NULL OR provider_sid = %(sid)s"
            "   OR (provider_sid IS NULL AND %(sub)s::text IS NOT NULL))"
            " AND (%(sub)s::text IS NULL OR provider_sub = %(sub)s)"
            " AND num_nonnulls(%(sid)s::text, %(sub)s::text) > 0 RETURNING session",
            {"at": at, "issuer": issuer, "sid": sid, "sub": sub},
        ).fetchall()
        return [session for (session,) in rows]
