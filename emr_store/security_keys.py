"""Security keys of people and what is asked of them: rows of `security_key`, `key_challenge` and `key_enrolment`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from uuid import UUID, uuid4

import psycopg
from psycopg.rows import class_row

from emr_store import acts
from emr_store.acts import Author
from emr_store.reviews import Review, ReviewKind, open_review

CHALLENGE_LASTS = timedelta(minutes=2)
ENROLMENT_LASTS = timedelta(minutes=15)


@dataclass(frozen=True)
class KeyRow:
    """A key as kept."""

    credential: bytes
    staff: str
    public_key: bytes
    label: str
    model: str
    sign_count: int
    enrolled_at: datetime
    used_at: datetime | None
    revoked_at: datetime | None
    revoked_by: str | None
    revoke_reason: str | None
    untold: bool


@dataclass(frozen=True)
class NewKey:
    """What an authenticator made. `untold`: somebody else than its owner let it in."""

    credential: bytes
    staff: str
    public_key: bytes
    label: str
    model: str
    sign_count: int
    untold: bool


@dataclass(frozen=True)
class EnrolmentRow:
    """Somebody may enrol one key until then."""

    enrolment: UUID
    staff: str
    replaces: bool
    reason: str
    opened_by: str
    opened_at: datetime
    agreed_by: str | None
    open_until: datetime
    used_at: datetime | None


_KEY = (
    "credential, staff, public_key, label, model, sign_count, enrolled_at, used_at, revoked_at, revoked_by,"
    " revoke_reason, untold"
)
_ENROLMENT = "enrolment, staff, replaces, reason, opened_by, opened_at, agreed_by, open_until, used_at"
_OPEN = "used_at IS NULL AND code_sha256 IS NOT NULL AND open_until > %(at)s"


def put_challenge(conn: psycopg.Connection, challenge: bytes, bound_to: str, at: datetime) -> None:
    """It may be answered from now on; takes the place of one that is out of date, so that there are never many."""
    values = {"challenge": challenge, "bound": bound_to, "at": at, "before": at - CHALLENGE_LASTS}
    taken = conn.execute(
        "UPDATE key_challenge SET challenge = %(challenge)s, bound_to = %(bound)s, made_at = %(at)s, used_at = NULL"
        " WHERE challenge = (SELECT challenge FROM key_challenge WHERE made_at < %(before)s ORDER BY made_at LIMIT 1"
        " FOR UPDATE SKIP LOCKED)",
        values,
    )
    if taken.rowcount == 0:
        conn.execute(
            "INSERT INTO key_challenge (challenge, bound_to, made_at) VALUES (%(challenge)s, %(bound)s, %(at)s)", values
        )


def take_challenge(conn: psycopg.Connection, challenge: bytes, bound_to: str, at: datetime) -> bool:
    """Whether it was there for this, in time, and not used; it is used from now on, whatever comes of it."""
    taken = conn.execute(
        "UPDATE key_challenge SET used_at = %s WHERE challenge = %s AND bound_to = %s AND used_at IS NULL"
        " AND made_at > %s",
        (at, challenge, bound_to, at - CHALLENGE_LASTS),
    )
    return taken.rowcount == 1


def find(conn: psycopg.Connection, credential: bytes) -> KeyRow | None:
    """Of this id, revoked ones too."""
    cursor = conn.cursor(row_factory=class_row(KeyRow))
    return cursor.execute(f"SELECT {_KEY} FROM security_key WHERE credential = %s".encode(), (credential,)).fetchone()


def keys_of(conn: psycopg.Connection, staff: str) -> list[KeyRow]:
    """Of a person, the oldest first, revoked ones too."""
    cursor = conn.cursor(row_factory=class_row(KeyRow))
    sql = f"SELECT {_KEY} FROM security_key WHERE staff = %s ORDER BY enrolled_at, credential"
    return cursor.execute(sql.encode(), (staff,)).fetchall()


def note_use(conn: psycopg.Connection, key: KeyRow, sign_count: int, at: datetime) -> bool:
    """Whether nobody used it with as high a count meanwhile; of one that does not count always."""
    used = conn.execute(
        "UPDATE security_key SET sign_count = %s, used_at = %s"
        " WHERE credential = %s AND revoked_at IS NULL AND (sign_count < %s OR (sign_count = 0 AND %s = 0))",
        (sign_count, at, key.credential, sign_count, sign_count),
    )
    return used.rowcount == 1


def note_count_back(conn: psycopg.Connection, key: KeyRow, role: str, detail: str, at: datetime) -> None:
    """There may be a copy of this key: somebody looks into it."""
    open_review(conn, Review(
        review=uuid4(), kind=ReviewKind.KEY_COUNTER, person=key.staff, role=role, patient=None, encounter=None,
        look=None, detail=detail, opened_at=at,
    ))  # fmt: skip


def enrol(conn: psycopg.Connection, new: NewKey, author: Author, code_sha256: bytes | None) -> bool:
    """With its act; False: such a key is there, or the enrolment of this code is not open (None: none is needed)."""
    with conn.transaction():
        at = acts.now(conn)
        if find(conn, new.credential) is not None:
            return False
        act_id = acts.record(conn, acts.act(
            "security_key.enrol", author, at, staff=new.staff, credential=new.credential.hex(), label=new.label,
            model=new.model, key_sha256=sha256(new.public_key).hexdigest(),
        ))  # fmt: skip
        if code_sha256 is not None:
            used = conn.execute(
                f"UPDATE key_enrolment SET used_at = %(at)s, act_id = %(act)s"
                f" WHERE code_sha256 = %(code)s AND staff = %(staff)s AND {_OPEN}".encode(),
                {"at": at, "act": act_id, "code": code_sha256, "staff": new.staff},
            )
            if used.rowcount != 1:
                raise psycopg.Rollback
        conn.execute(
            "INSERT INTO security_key (credential, staff, public_key, label, model, sign_count, enrolled_at, untold,"
            " act_id) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)",
            (new.credential, new.staff, new.public_key, new.label, new.model, new.sign_count, at, new.untold, act_id),
        )
        return True
    return False


def revoke(conn: psycopg.Connection, credential: bytes, author: Author, *, untold: bool) -> KeyRow | None:
    """It opens nothing any more, and every session that it opened ends; None: there is none that is not revoked."""
    with conn.transaction():
        key = find(conn, credential)
        if key is None or key.revoked_at is not None:
            return None
        _revoke(conn, key, author, acts.now(conn), untold=untold)
    return key


def _revoke(conn: psycopg.Connection, key: KeyRow, author: Author, at: datetime, *, untold: bool) -> None:
    act_id = acts.record(
        conn, acts.act("security_key.revoke", author, at, staff=key.staff, credential=key.credential.hex())
    )
    conn.execute(
        "UPDATE security_key SET revoked_at = %s, revoked_by = %s, revoke_reason = %s, untold = %s, act_id = %s"
        " WHERE credential = %s",
        (at, author.by, author.why, untold, act_id, key.credential),
    )
    conn.execute(
        "UPDATE login_session SET ended_at = %s, ended_by = %s, end_reason = 'key revoked'"
        " WHERE credential = %s AND ended_at IS NULL",
        (at, author.by, key.credential),
    )


def told(conn: psycopg.Connection, staff: str) -> None:
    """The person has read what others did with the keys."""
    conn.execute("UPDATE security_key SET untold = false WHERE staff = %s AND untold", (staff,))


def open_enrolment(
    conn: psycopg.Connection, staff: str, opened_by: str, author: Author, code_sha256: bytes
) -> EnrolmentRow:
    """For one key. Where the person has keys it replaces them: it waits for a second administrator (`agree`)."""
    with conn.transaction():
        at = acts.now(conn)
        replaces = any(key.revoked_at is None for key in keys_of(conn, staff))
        act_id = acts.record(conn, acts.act("security_key.open_enrolment", author, at, staff=staff, replaces=replaces))
        cursor = conn.cursor(row_factory=class_row(EnrolmentRow))
        row = cursor.execute(
            "INSERT INTO key_enrolment (enrolment, staff, replaces, reason, opened_by, opened_at, code_sha256,"
            f" open_until, act_id) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s) RETURNING {_ENROLMENT}".encode(),
            (uuid4(), staff, replaces, author.why, opened_by, at, None if replaces else code_sha256,
             at + ENROLMENT_LASTS, act_id),
        ).fetchone()  # fmt: skip
        assert row is not None
        return row


def agree(
    conn: psycopg.Connection, enrolment: UUID, agreed_by: str, author: Author, code_sha256: bytes
) -> EnrolmentRow | None:
    """A second administrator lets the keys end and another one in; None: nothing waits for this person."""
    with conn.transaction():
        at = acts.now(conn)
        cursor = conn.cursor(row_factory=class_row(EnrolmentRow))
        waiting = cursor.execute(
            f"SELECT {_ENROLMENT} FROM key_enrolment WHERE enrolment = %s AND replaces AND agreed_by IS NULL"
            " AND opened_by <> %s AND open_until > %s FOR UPDATE".encode(),
            (enrolment, agreed_by, at),
        ).fetchone()
        if waiting is None or waiting.staff == agreed_by:
            return None
        act_id = acts.record(conn, acts.act(
            "security_key.agree_enrolment", author, at, staff=waiting.staff, enrolment=str(enrolment)
        ))  # fmt: skip
        lost = Author(author.by, waiting.reason)
        for key in keys_of(conn, waiting.staff):
            if key.revoked_at is None:
                _revoke(conn, key, lost, at, untold=True)
        return cursor.execute(
            "UPDATE key_enrolment SET agreed_by = %s, code_sha256 = %s, open_until = %s, act_id = %s"
            f" WHERE enrolment = %s RETURNING {_ENROLMENT}".encode(),
            (agreed_by, code_sha256, at + ENROLMENT_LASTS, act_id, enrolment),
        ).fetchone()


def enrolments(conn: psycopg.Connection, at: datetime) -> list[EnrolmentRow]:
    """Those that wait to be agreed to or to be used."""
    cursor = conn.cursor(row_factory=class_row(EnrolmentRow))
    sql = f"SELECT {_ENROLMENT} FROM key_enrolment WHERE used_at IS NULL AND open_until > %s ORDER BY opened_at"
    return cursor.execute(sql.encode(), (at,)).fetchall()


def enrolment_of(conn: psycopg.Connection, code_sha256: bytes, at: datetime) -> EnrolmentRow | None:
    """The open one of this code."""
    cursor = conn.cursor(row_factory=class_row(EnrolmentRow))
    sql = f"SELECT {_ENROLMENT} FROM key_enrolment WHERE code_sha256 = %(code)s AND {_OPEN}"
    return cursor.execute(sql.encode(), {"code": code_sha256, "at": at}).fetchone()
