"""Tries to sign in: rows of `sign_in_attempt`, by which who failed must wait."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import psycopg

_MOST = 100  # of one account or address: how long to wait does not depend on more


@dataclass(frozen=True)
class Failed:
    """When somebody failed since `since` and the last success, newest first."""

    account: list[datetime]
    address: list[datetime]


_FAILED_SQL = """
SELECT at FROM sign_in_attempt WHERE {column} = %(value)s AND NOT succeeded AND at > greatest(%(since)s,
    (SELECT max(at) FROM sign_in_attempt WHERE {column} = %(value)s AND succeeded AND at > %(since)s))
ORDER BY at DESC LIMIT %(most)s
"""


def failed(conn: psycopg.Connection, account: str, address: str, since: datetime) -> Failed:
    """Of this account, and of this address."""
    return Failed(_failed(conn, "account", account, since), _failed(conn, "address", address, since))


def _failed(conn: psycopg.Connection, column: str, value: str, since: datetime) -> list[datetime]:
    if not value:
        return []
    sql = _FAILED_SQL.format(column=column)
    rows = conn.execute(sql.encode(), {"value": value, "since": since, "most": _MOST}).fetchall()
    return [at for (at,) in rows]


def note(conn: psycopg.Connection, account: str, address: str, at: datetime, *, succeeded: bool) -> None:
    """Somebody tried."""
    conn.execute(
        "INSERT INTO sign_in_attempt (account, address, succeeded, at) VALUES (%s, %s, %s, %s)",
        (account, address, succeeded, at),
    )
