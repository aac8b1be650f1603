"""Who is signed in: rows of `login_session`. The secret of a cookie is not kept, its SHA-256 is."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256

import psycopg
from psycopg.rows import class_row


@dataclass(frozen=True)
class NewSession:
    """What is known of a sign-in. `idle_s` None: silence does not end it."""

    principal: str
    factor: str
    workstation: str
    address: str
    agent: str
    idle_s: int | None
    ends_at: datetime
    credential: bytes | None = None
    issuer: str | None = None
    provider_sid: str | None = None
    provider_sub: str | None = None


@dataclass(frozen=True)
class SessionRow:
    """A session as kept."""

    session: bytes
    principal: str
    factor: str
    credential: bytes | None
    workstation: str
    address: str
    agent: str
    began_at: datetime
    seen_at: datetime
    idle_s: int | None
    ends_at: datetime
    locked_at: datetime | None
    ended_at: datetime | None
    ended_by: str | None
    end_reason: str | None


_COLUMNS = (
    "session, principal, factor, credential, workstation, address, agent, began_at, seen_at, idle_s, ends_at,"
    " locked_at, ended_at, ended_by, end_reason"
)


def session_id(secret: str) -> bytes:
    """By which a session is kept."""
    return sha256(secret.encode()).digest()


def begin(conn: psycopg.Connection, session: bytes, new: NewSession, at: datetime) -> None:
    """Somebody is signed in from now on."""
    conn.execute(
        "INSERT INTO login_session (session, principal, factor, credential, issuer, provider_sid, provider_sub,"
        " workstation, address, agent, began_at, seen_at, idle_s, ends_at)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
        (session, new.principal, new.factor, new.credential, new.issuer, new.provider_sid, new.provider_sub,
         new.workstation, new.address, new.agent, at, at, new.idle_s, new.ends_at),
    )  # fmt: skip


@dataclass(frozen=True)
class Beside:
    """Where another session of the same person is."""

    workstation: str
    address: str
    agent: str


def begin_beside(conn: psycopg.Connection, session: bytes, of: bytes, where: Beside, at: datetime) -> bool:
    """The person of the session `of` is signed in there too: by the same factor, and at most as long.

    What ends sessions by a key or a provider ends both. False: `of` is over.
    """
    values = {
        "session": session, "of": of, "workstation": where.workstation, "address": where.address,
        "agent": where.agent, "at": at,
    }  # fmt: skip
    return conn.execute(
        "INSERT INTO login_session (session, principal, factor, credential, issuer, provider_sid, provider_sub,"
        " workstation, address, agent, began_at, seen_at, idle_s, ends_at)"
        " SELECT %(session)s, principal, factor, credential, issuer, provider_sid, provider_sub,"
        " %(workstation)s, %(address)s, %(agent)s, %(at)s, %(at)s, idle_s, ends_at"
        " FROM login_session WHERE session = %(of)s AND ended_at IS NULL AND ends_at > %(at)s",
        values,
    ).rowcount == 1  # fmt: skip


def find(conn: psycopg.Connection, session: bytes) -> SessionRow | None:
    """Of this id, ended ones too."""
    cursor = conn.cursor(row_factory=class_row(SessionRow))
    return cursor.execute(f"SELECT {_COLUMNS} FROM login_session WHERE session = %s".encode(), (session,)).fetchone()


def seen(conn: psycopg.Connection, session: bytes, at: datetime) -> None:
    """Somebody did something in it."""
    conn.execute("UPDATE login_session SET seen_at = %s WHERE session = %s AND seen_at < %s", (at, session, at))


def end(conn: psycopg.Connection, session: bytes, at: datetime, by: str, reason: str) -> None:
    """It ends, unless it has."""
    conn.execute(
        "UPDATE login_session SET ended_at = %s, ended_by = %s, end_reason = %s"
        " WHERE session = %s AND ended_at IS NULL",
        (at, by, reason, session),
    )


def lock(conn: psycopg.Connection, session: bytes, at: datetime | None) -> None:
    """Nobody sits there from now on; None: somebody does again."""
    conn.execute("UPDATE login_session SET locked_at = %s WHERE session = %s", (at, session))


def end_of(conn: psycopg.Connection, principals: Collection[str], at: datetime, by: str, reason: str) -> int:
    """All of theirs end; how many there were."""
    return conn.execute(
        "UPDATE login_session SET ended_at = %s, ended_by = %s, end_reason = %s"
        " WHERE principal = ANY(%s) AND ended_at IS NULL",
        (at, by, reason, list(principals)),
    ).rowcount
