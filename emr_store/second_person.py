"""What takes two people: one asks for it, another one agrees or declines, and then it is done, once.

A request says exactly what is to be done; whoever changes a word of it asks anew. Acts `second.ask`, `second.agree`,
`second.decline`; the deed's own act names the request (`second_person`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from hashlib import sha256
from typing import Any, NamedTuple
from uuid import UUID, uuid4

import msgspec
import psycopg
import rfc8785
from psycopg.rows import class_row

from emr_store import acts
from emr_store.acts import Author, this_user
from schemas.errors import VitalwireError

LASTS = timedelta(hours=24)  # a request, from the question to the deed


class Kind(StrEnum):
    """For what it is asked."""

    STAFF_FILE = "staff_file"  # that would end half of the staff or more
    CUSTODY_COPY = "custody_copy"  # opening one
    ACCESS_TABLE = "access_table"  # changing it, or the registration officers
    BULK_EXPORT = "bulk_export"
    LOST_KEY = "lost_key"  # replacing a security key


class SecondPersonError(VitalwireError):
    """It waits for a second person, or the answer is none; `request` is what he agrees to (None: there is none)."""

    def __init__(self, message: str, request: UUID | None = None) -> None:
        super().__init__(message)
        self.request = request


class Request(NamedTuple):
    """As it stands now: `agrees` None: nobody answered yet."""

    request: UUID
    kind: str
    details: dict[str, Any]
    by: str
    why: str
    at: datetime
    expires_at: datetime
    agrees: bool | None
    answered_by: str | None
    used_at: datetime | None


@dataclass(frozen=True)
class _Row:
    request: UUID
    kind: str
    details: str
    by: str
    why: str
    at: datetime
    expires_at: datetime
    agrees: bool | None
    answered_by: str | None
    used_at: datetime | None


_SQL = """
SELECT r.request, r.kind, r.details, r.by, r.why, r.at, r.expires_at, a.agrees, a.by AS answered_by, u.at AS used_at
FROM second_person r LEFT JOIN second_person_answer a USING (request) LEFT JOIN second_person_use u USING (request)
"""


def person_of(by: str) -> str:
    """Who stands behind an act's `by`: of os:<user>@<host> the user, wherever he sat; of staff:<number> the number."""
    return by.partition(":")[2].partition("@")[0].casefold() or by.casefold()


def digest_of(kind: Kind, details: Mapping[str, Any]) -> bytes:
    """By which a request is found again: of what exactly is to be done."""
    return sha256(rfc8785.dumps({"details": dict(details), "kind": str(kind)})).digest()


def ask(conn: psycopg.Connection, kind: Kind, details: Mapping[str, Any], author: Author | None = None) -> UUID:
    """Ask a second person; one's own question that is still open is asked once."""
    who = author or this_user()
    digest = digest_of(kind, details)
    with conn.transaction():
        now = acts.now(conn)
        for open_request in _found(conn, "r.sha256 = %s", digest):
            if open_request.by == who.by and _is_open(open_request, now) and open_request.agrees is not False:
                return open_request.request
        request, expires_at = uuid4(), now + LASTS
        act_id = acts.record(conn, acts.act(
            "second.ask", who, now, request=str(request), what=str(kind), sha256=digest.hex(),
            expires_at=expires_at.isoformat(),
        ))  # fmt: skip
        conn.execute(
            "INSERT INTO second_person (request, kind, details, sha256, by, why, at, expires_at, act_id)"
            " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)",
            (request, kind, rfc8785.dumps(dict(details)).decode(), digest, who.by, who.why, now, expires_at, act_id),
        )
    return request


def agree(conn: psycopg.Connection, request: UUID, author: Author | None = None) -> Request:
    """A second person agrees. Raises SecondPersonError: it is the same one, or too late, or answered already."""
    return _answer(conn, request, author or this_user(), agrees=True)


def decline(conn: psycopg.Connection, request: UUID, author: Author | None = None) -> Request:
    """A second person does not agree, or who asked takes it back. Raises SecondPersonError likewise."""
    return _answer(conn, request, author or this_user(), agrees=False)


def agreed(conn: psycopg.Connection, kind: Kind, details: Mapping[str, Any], author: Author | None = None) -> UUID:
    """The request by which this may be done now, by one of the two; the deed then notes its `use`.

    Raises SecondPersonError where nobody agreed.
    """
    who = person_of((author or this_user()).by)
    waiting = None
    now = acts.now(conn)
    for found in _found(conn, "r.sha256 = %s", digest_of(kind, details)):
        if not _is_open(found, now):
            continue
        if found.agrees and who in (person_of(found.by), person_of(found.answered_by or "")):
            return found.request
        if found.agrees is None:
            waiting = found.request
    raise SecondPersonError("this takes two people, and no second one has agreed", waiting)


def use(conn: psycopg.Connection, request: UUID, act_id: bytes) -> None:
    """It is done now, by this act, in the caller's transaction. Raises SecondPersonError where it was done before."""
    try:
        with conn.transaction():
            conn.execute(
                "INSERT INTO second_person_use (request, at, act_id) VALUES (%s, %s, %s)",
                (request, acts.now(conn), act_id),
            )
    except psycopg.errors.UniqueViolation:
        raise SecondPersonError("what the second person agreed to was done already: ask again", request) from None


def asked(conn: psycopg.Connection) -> list[Request]:
    """What can still be answered or done, the oldest first."""
    now = acts.now(conn)
    return [each for each in _found(conn, "r.expires_at > %s", now) if _is_open(each, now) and each.agrees is not False]


def _is_open(request: Request, now: datetime) -> bool:
    return request.used_at is None and request.expires_at > now


def _found(conn: psycopg.Connection, condition: str, value: Any) -> list[Request]:
    rows = conn.cursor(row_factory=class_row(_Row)).execute(
        f"{_SQL} WHERE {condition} ORDER BY r.at, r.request".encode(), (value,)
    )
    return [
        Request(row.request, row.kind, msgspec.json.decode(row.details, type=dict[str, Any]), row.by, row.why, row.at,
                row.expires_at, row.agrees, row.answered_by, row.used_at)
        for row in rows
    ]  # fmt: skip


def _answer(conn: psycopg.Connection, request: UUID, who: Author, *, agrees: bool) -> Request:
    try:
        with conn.transaction():
            now = acts.now(conn)
            found = _found(conn, "r.request = %s", request)
            if not found:
                raise SecondPersonError("nobody asked for this: see `vitalwire people asked`")
            (asked_for,) = found
            if agrees and person_of(asked_for.by) == person_of(who.by):
                raise SecondPersonError("who asked cannot agree: it takes another person, at an account of his own")
            if asked_for.expires_at <= now:
                raise SecondPersonError("it was asked too long ago: ask again")
            digest = digest_of(Kind(asked_for.kind), asked_for.details).hex()
            if agrees:
                act = acts.act("second.agree", who, now, request=str(request), sha256=digest)
            else:
                act = acts.act("second.decline", who, now, request=str(request), sha256=digest)
            act_id = acts.record(conn, act)
            conn.execute(
                "INSERT INTO second_person_answer (request, agrees, by, at, act_id) VALUES (%s, %s, %s, %s, %s)",
                (request, agrees, who.by, now, act_id),
            )
    except psycopg.errors.UniqueViolation:
        raise SecondPersonError("somebody answered already: see `vitalwire people asked`") from None
    return asked_for._replace(agrees=agrees, answered_by=who.by)
