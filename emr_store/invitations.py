"""Boxes that are let in: an invitation, the key that a box showed with its code, and what a person decided of it."""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum
from typing import NamedTuple
from uuid import UUID, uuid4

import psycopg
from psycopg.rows import class_row

from emr_store import acts, registry
from emr_store.acts import Author
from evidence.signature import key_id
from schemas.errors import VitalwireError

CODE_LASTS = timedelta(hours=1)
REQUEST_LASTS = timedelta(hours=24)  # from the moment at which the box showed its key
LABEL_CHARS_MAX = 60


class Refusal(StrEnum):
    """Why nothing was decided; the page has the words."""

    CHANGED = "changed"  # nothing waits under this id any more
    OTHER_KEY = "other_key"  # it waits with another key than the one that was compared
    KEY_NOT_TAKEN = "key_not_taken"  # the registry refuses it: revoked, or expired


class InvitationRefusedError(VitalwireError):
    """Nothing was decided."""

    def __init__(self, refusal: Refusal, message: str) -> None:
        super().__init__(message)
        self.refusal = refusal


class InvitationRow(NamedTuple):
    """As kept; `public_der` None: no box has shown the code yet. `agrees` None: nobody decided yet."""

    invitation: UUID
    label: str
    invited_by: str
    invited_at: datetime
    open_until: datetime
    public_der: bytes | None
    address: str
    asked_at: datetime | None
    agrees: bool | None
    decided_by: str | None
    decided_at: datetime | None
    edge: UUID | None

    @property
    def key_id(self) -> bytes | None:
        """Of the key that waits."""
        return None if self.public_der is None else key_id(self.public_der)


class EdgeOfKey(NamedTuple):
    """The edge whose key it is; `label` is the edge's."""

    edge: UUID
    label: str
    public_der: bytes
    is_valid: bool


_COLUMNS = (
    "invitation, label, invited_by, invited_at, open_until, public_der, address, asked_at, agrees, decided_by,"
    " decided_at, edge"
)


def invite(conn: psycopg.Connection, label: str, code_sha256: bytes, author: Author | None = None) -> InvitationRow:
    """Whoever shows this code within the hour may ask to be let in. Raises VitalwireError for what is no label."""
    label = label.strip()
    if not label or len(label) > LABEL_CHARS_MAX or "\0" in label:
        raise VitalwireError(f"a label has 1 to {LABEL_CHARS_MAX} letters, as 'ICU box 2'")
    who = author or acts.this_user()
    with conn.transaction():
        at, invitation = acts.now(conn), uuid4()
        act_id = acts.record(conn, acts.act(
            "edge.invite", who, at, invitation=str(invitation), label=label, code_sha256=code_sha256.hex()
        ))  # fmt: skip
        return _one(conn, (
            "INSERT INTO edge_invitation (invitation, label, invited_by, invited_at, code_sha256, open_until, act_id)"
            f" VALUES (%s, %s, %s, %s, %s, %s, %s) RETURNING {_COLUMNS}"
        ), (invitation, label, who.by, at, code_sha256, at + CODE_LASTS, act_id))  # fmt: skip


def use(conn: psycopg.Connection, code_sha256: bytes, public_der: bytes, address: str) -> InvitationRow | None:
    """A box shows a code with its key; None: the code opens nothing, or opened for another key.

    The same key again is the same question: an answer may have been lost on its way.
    """
    with conn.transaction():
        at = acts.now(conn)
        found = _cursor(conn).execute(
            f"SELECT {_COLUMNS} FROM edge_invitation WHERE code_sha256 = %s FOR UPDATE".encode(), (code_sha256,)
        ).fetchone()  # fmt: skip
        if found is None or found.agrees is not None:
            return None
        if found.public_der is not None:
            return found if found.public_der == public_der and _waits(found, at) else None
        if found.open_until <= at:
            return None
        act_id = acts.record(conn, acts.act(
            "edge.ask", Author(f"invitation:{found.invitation}"), at, invitation=str(found.invitation),
            key_id=key_id(public_der).hex(), address=address,
        ))  # fmt: skip
        return _one(conn, (
            "UPDATE edge_invitation SET public_der = %s, address = %s, asked_at = %s, act_id = %s"
            f" WHERE invitation = %s RETURNING {_COLUMNS}"
        ), (public_der, address, at, act_id, found.invitation))  # fmt: skip


def agree(conn: psycopg.Connection, invitation: UUID, compared: bytes, author: Author | None = None) -> UUID:
    """Register the box; the edge that it is. `compared`: the id of the key whose fingerprint the person compared.

    Raises InvitationRefusedError where nothing waits, or another key does, or the registry does not take it.
    """
    who = author or acts.this_user()
    with conn.transaction():
        at = acts.now(conn)
        found = _waiting(conn, invitation, at)
        if found is None or found.public_der is None:
            raise _changed(invitation)
        if key_id(found.public_der) != compared:
            raise InvitationRefusedError(
                Refusal.OTHER_KEY, "the key that waits is another one than the box shows: refuse it, and ask why"
            )
        known = edge_of_key(conn, compared)
        edge = uuid4() if known is None else known.edge
        try:
            registry.add_edge(conn, edge, found.label, found.public_der, author=who)
        except VitalwireError as error:
            raise InvitationRefusedError(Refusal.KEY_NOT_TAKEN, str(error)) from None
        act_id = acts.record(conn, acts.act(
            "edge.agree", who, at, invitation=str(invitation), edge=str(edge), key_id=compared.hex()
        ))  # fmt: skip
        _decide(conn, invitation, agrees=True, by=who.by, at=at, edge=edge, act_id=act_id)
        return edge


def refuse(conn: psycopg.Connection, invitation: UUID, author: Author) -> None:
    """The box is not let in, and a code that nobody used opens nothing any more. Raises InvitationRefusedError."""
    with conn.transaction():
        at = acts.now(conn)
        if _waiting(conn, invitation, at) is None:
            raise _changed(invitation)
        act_id = acts.record(conn, acts.act("edge.refuse", author, at, invitation=str(invitation)))
        _decide(conn, invitation, agrees=False, by=author.by, at=at, edge=None, act_id=act_id)


def undecided(conn: psycopg.Connection) -> list[InvitationRow]:
    """Those on which somebody can decide now, the oldest first; those whose code nobody has used yet too."""
    sql = f"SELECT {_COLUMNS} FROM edge_invitation WHERE agrees IS NULL ORDER BY invited_at, invitation"
    at = acts.now(conn)
    return [row for row in _cursor(conn).execute(sql.encode()) if _waits(row, at)]


def of_key(conn: psycopg.Connection, key: bytes) -> InvitationRow | None:
    """The newest invitation that a box has used with the key of this id."""
    sql = f"SELECT {_COLUMNS} FROM edge_invitation WHERE sha256(public_der) = %s ORDER BY asked_at DESC LIMIT 1"
    return _cursor(conn).execute(sql.encode(), (key,)).fetchone()


def has_ended(row: InvitationRow, at: datetime) -> bool:
    """Whether nobody decided in time."""
    return row.agrees is None and not _waits(row, at)


def edge_of_key(conn: psycopg.Connection, key: bytes) -> EdgeOfKey | None:
    """The registered edge that has the key of this id."""
    return conn.cursor(row_factory=class_row(EdgeOfKey)).execute(
        "SELECT edge, label, public_der, revoked_at IS NULL AND valid_from <= now() AND valid_until > now() AS is_valid"
        " FROM edge_key JOIN edge USING (edge) WHERE key_id = %s",
        (key,),
    ).fetchone()  # fmt: skip


def newest_platform_key(conn: psycopg.Connection) -> bytes | None:
    """SubjectPublicKeyInfo of the key that signs receipts now; None: the processors have not run yet."""
    row = conn.execute("SELECT public_der FROM platform_key ORDER BY first_seen DESC LIMIT 1").fetchone()
    return None if row is None else bytes(row[0])


def note_certificate(
    conn: psycopg.Connection, edge: UUID, serial: str, not_after: datetime, author: Author
) -> None:  # fmt: skip
    """The hospital's authority issued a certificate to this edge."""
    with conn.transaction():
        acts.record(conn, acts.act(
            "certificate.issue", author, acts.now(conn), edge=str(edge), serial=serial, not_after=not_after.isoformat()
        ))  # fmt: skip


def _waits(row: InvitationRow, at: datetime) -> bool:
    return at < (row.open_until if row.asked_at is None else row.asked_at + REQUEST_LASTS)


def _waiting(conn: psycopg.Connection, invitation: UUID, at: datetime) -> InvitationRow | None:
    sql = f"SELECT {_COLUMNS} FROM edge_invitation WHERE invitation = %s AND agrees IS NULL FOR UPDATE"
    found = _cursor(conn).execute(sql.encode(), (invitation,)).fetchone()
    return found if found is not None and _waits(found, at) else None


def _decide(
    conn: psycopg.Connection, invitation: UUID, *, agrees: bool, by: str, at: datetime, edge: UUID | None, act_id: bytes
) -> None:  # fmt: skip
    conn.execute(
        "UPDATE edge_invitation SET agrees = %s, decided_by = %s, decided_at = %s, edge = %s, act_id = %s"
        " WHERE invitation = %s",
        (agrees, by, at, edge, act_id, invitation),
    )


def _changed(invitation: UUID) -> InvitationRefusedError:
    text = f"nothing waits under {invitation} now: `vitalwire registry edge pending` lists what does"
    return InvitationRefusedError(Refusal.CHANGED, text)


def _cursor(conn: psycopg.Connection) -> psycopg.Cursor[InvitationRow]:
    return conn.cursor(row_factory=class_row(InvitationRow))


def _one(conn: psycopg.Connection, sql: str, values: tuple[object, ...]) -> InvitationRow:
    row = _cursor(conn).execute(sql.encode(), values).fetchone()
    assert row is not None
    return row
