"""Sealed accounts for downtime: their hashes, and that somebody opened an envelope, which an auditor learns at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import uuid4

import psycopg
from psycopg.rows import class_row

from emr_store import acts
from emr_store.acts import Author


@dataclass(frozen=True)
class Sealed:
    """The newest seal of an account. `opened_at`: when this envelope was used first."""

    account: str
    hash: str
    sealed_at: datetime
    opened_at: datetime | None


_SEALED_SQL = """
SELECT account, hash, sealed_at,
    (SELECT min(opened_at) FROM emergency_opened o WHERE o.account = e.account AND opened_at >= sealed_at) AS opened_at
FROM emergency_account e WHERE account = %(account)s ORDER BY sealed_at DESC LIMIT 1
"""


def seal(conn: psycopg.Connection, hashes: Mapping[str, str], author: Author | None) -> None:
    """New passwords of these accounts: what was sealed before opens nothing any more."""
    with conn.transaction():
        at = acts.now(conn)
        act_id = acts.record(conn, acts.act("emergency.seal", author, at, accounts=sorted(hashes)))
        for account, hashed in hashes.items():
            conn.execute(
                "INSERT INTO emergency_account (account, hash, sealed_at, act_id) VALUES (%s, %s, %s, %s)",
                (account, hashed, at, act_id),
            )


def sealed(conn: psycopg.Connection, account: str) -> Sealed | None:
    """None: it was never sealed."""
    cursor = conn.cursor(row_factory=class_row(Sealed))
    return cursor.execute(_SEALED_SQL, {"account": account}).fetchone()


def note_opened(conn: psycopg.Connection, account: str, principal: str, role: str, address: str) -> None:
    """Somebody used it: an act, and a review for the auditor."""
    with conn.transaction():
        at = acts.now(conn)
        act = acts.act("emergency.open", Author(f"staff:{principal}"), at, account=account, address=address)
        act_id = acts.record(conn, act)
        conn.execute(
            "INSERT INTO emergency_opened (account, opened_at, address, act_id) VALUES (%s, %s, %s, %s)",
            (account, at, address, act_id),
        )
        conn.execute(
            "INSERT INTO review (review, kind, person, role, detail, opened_at)"
            " VALUES (%s, 'emergency', %s, %s, %s, %s)",
            (uuid4(), principal, role, f"{account} was opened at {address}", at),
        )
