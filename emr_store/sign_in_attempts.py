"""Tries to sign in: rows of `sign_in_attempt`, by which who failed, or began too often, must wait."""

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
SELECT at FROM sign_in_attempt WHERE {column} = %(value)s AND NOT succeeded AND begun = %(begun)s
    AND at > greatest(%(since)s,
        (SELECT max(at) FROM sign_in_attempt WHERE {column} = %(value)s AND succeeded AND at > %(since)s))
ORDER BY at DESC LIMIT %(most)s
"""


def failed(conn: psycopg.Connection, account: str, address: str, since: datetime) -> Failed:
    """Of this account, and of this address."""
    return Failed(
        _without_success(conn, "account", account, since, begun=False),
        _without_success(conn, "address", address, since, begun=False),
    )


def begun(conn: psycopg.Connection, address: str, since: datetime) -> list[datetime]:
    """When sign-ins were begun at this address since `since` and its last success, newest first."""
    return _without_success(conn, "address", address, since, begun=True)


def _without_success(
    conn: psycopg.Connection, column: str, value: str, since: datetime, *, begun: bool
) -> list[datetime]:
    if not value:
        return []
    sql = _FAILED_SQL.format(column=column)
    rows = conn.execute(sql.encode(), {"value": value, "since": since, "most": _MOST, "begun": begun}).fetchall()
    return [at for (at,) in rows]


def note(conn: psycopg.Connection, account: str, address: str, at: datetime, *, factor: str, succeeded: bool) -> None:
    """Somebody tried."""
    _insert(conn, account, address, at, factor, succeeded=succeeded, begun=False)


def note_begun(conn: psycopg.Connection, address: str, at: datetime, *, factor: str) -> None:
    """Somebody began to; who he is is not known yet."""
    _insert(conn, "", address, at, factor, succeeded=False, begun=True)


def _insert(
    conn: psycopg.Connection, account: str, address: str, at: datetime, factor: str, *, succeeded: bool, begun: bool
) -> None:
    conn.execute(
        "INSERT INTO sign_in_attempt (account, address, succeeded, at, factor, begun) VALUES (%s, %s, %s, %s, %s, %s)",
        (account, address, succeeded, at, factor, begun),
    )
